"""No configuration, however absurd, is built before its numbers have been counted."""

from __future__ import annotations

import dataclasses
import json
import resource
import time
from pathlib import Path

import pytest

import brainlm_core.model as model_module
from brainlm_core import cli
from brainlm_core.base.errors import BrainLMError
from brainlm_core.inference.weights import load
from brainlm_core.model import FAMILIES, build

ABSURD = (10**18, 10**6, 16384, 2048, 0, -1)
#: Bound of these tests, so that what is allowed is quickly built.
SMALL = 50_000_000


def grown_mb(before: int) -> float:
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


@pytest.mark.parametrize("family", FAMILIES)
def test_every_number_of_every_family_may_be_absurd(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "MAX_PARAMETERS", SMALL)
    config_class = FAMILIES[family].config_class()
    names = [f.name for f in dataclasses.fields(config_class) if isinstance(f.default, int | float)]
    assert names or family == "context"
    base = {"family": family}
    for name in [n for n in names if not isinstance(getattr(config_class, n, 0), bool)]:
        for value in ABSURD:
            before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
            try:
                model = build({**base, name: value})
            except BrainLMError:
                model = None
            assert model is None or sum(p.numel() for p in model.parameters()) <= SMALL
            assert grown_mb(before) < 400 and time.process_time() - began < 20, (name, value)
            del model


#: Each number allowed by itself, all of them together some 200 billion.
HUGE = {
    "architectures": ["BrainLMForPretraining"],
    "hidden_size": 16384,
    "decoder_hidden_size": 16384,
    "intermediate_size": 65536,
    "decoder_intermediate_size": 65536,
    "num_hidden_layers": 8,
    "decoder_num_hidden_layers": 8,
    "num_attention_heads": 16,
    "decoder_num_attention_heads": 16,
}


@pytest.mark.parametrize("prefix", ["", "random:"])
def test_a_folder_that_describes_too_much_is_one_sentence(
    tmp_path: Path, prefix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(HUGE))
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BrainLMError, match="million parameters"):
        load(f"{prefix}{tmp_path}")
    assert (
        cli.main(["networks", "nothing.csv", "-o", str(tmp_path / "o"), "--model", f"{prefix}{tmp_path}"])
        == 2
    )
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1
    assert grown_mb(before) < 200
