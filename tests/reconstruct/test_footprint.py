"""What a model costs, measured in a process of its own."""

from __future__ import annotations

import pytest

from brainlm_core.base.errors import EngineError
from brainlm_core.bench.footprint import measure_apart


@pytest.mark.slow
def test_the_default_model_is_measured() -> None:
    found = measure_apart("default", "cpu", "fp32")
    assert (found.device, found.precision, found.n_parcels) == ("cpu", "fp32", 424)
    assert min(found.encode_s, found.attention_s, found.reconstruct_s) > 0
    assert 20 < found.weights_mb < 40
    assert found.peak_mb is None or 1 < found.peak_mb < 2000


def test_what_cannot_be_loaded_is_one_sentence() -> None:
    with pytest.raises(EngineError, match="no model or folder named"):
        measure_apart("nowhere")


def test_a_cancelled_measurement_ends() -> None:
    with pytest.raises(EngineError, match="was ended"):
        measure_apart("default", cancelled=lambda: True)
