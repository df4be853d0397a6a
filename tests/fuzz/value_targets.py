"""Scenarios, links, browser messages, tables about people, settings, stores, embeddings, model folders."""

from __future__ import annotations

import base64
import contextlib
import json
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.fuzz import containers as make
from tests.fuzz.mutations import Part
from tests.fuzz.targets import Target

_ROOT = Path(__file__).resolve().parents[2]
_SCENARIO = {
    "actions": [
        {"targets": {"network": "Visual", "hemisphere": "L"}, "kind": "add", "amplitude_sd": 2.0,
         "onset_s": 20, "duration_s": 30, "ramp_s": 1},
        {"targets": {"parcels": [1, 181]}, "kind": "sine", "frequency_hz": 0.05},
        {"targets": {"structure": "cerebellum"}, "kind": "delay", "delay_s": 4},
    ],
    "readout": "both", "draws": 8, "seed": 0, "model": "default", "parcellation": "A424", "window": 1,
}  # fmt: skip


def _hold_scenario(scenario: Any) -> None:
    """Hold that a scenario is the same value after a file and after an address."""
    from brainlm_core.features.perturb.scenario import Scenario

    assert Scenario.from_json(scenario.to_json()) == scenario
    assert Scenario.from_url(scenario.to_url()) == scenario
    scenario.to_json().encode()


def _read_scenario(path: Path, option: int) -> None:
    from brainlm_core.features.perturb.scenario import Scenario

    _hold_scenario(Scenario.read(path))


def _address(text: bytes) -> bytes:
    return b"1" + base64.urlsafe_b64encode(zlib.compress(text, 1)).rstrip(b"=")


def _link_parts() -> tuple[Part, ...]:
    text = make.to_json(_SCENARIO)
    camera = b"lateral,0.1,0.2,0.3,0.4,0.5,1"
    both = _address(text) + b"\n" + _address(text) + b"\n" + camera
    return (
        Part(text, _address, is_json=True), Part(text, _address, is_json=True), Part(both),
        Part(camera, lambda c: _address(text) + b"\n" + _address(text) + b"\n" + c),
    )  # fmt: skip


@contextlib.contextmanager
def _page(**streamlit: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Give the Perturb page's state a visitor without a browser."""
    from app.perturb import state as perturb_state
    from app.perturb.state import PageState
    from app.shell.session import Visitor
    from brainlm_core.features.perturb.scenario import Scenario
    from brainlm_core.scans.demo import demo_recordings

    real = perturb_state.st
    state = PageState("k", Scenario((), "others", 8, 0, "default", "A424"))
    perturb_state.st = SimpleNamespace(session_state={perturb_state._STATE: state}, **streamlit)
    try:
        yield Visitor(), demo_recordings()[0], state
    finally:
        perturb_state.st = real


def _read_link(path: Path, option: int) -> None:
    from app.perturb.state import from_link

    lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    link = dict(zip(("s", "a", "c"), lines, strict=False))
    with _page(query_params=link) as (who, recording, state):
        from_link(who, recording, state)
        if state.error is not None:
            raise state.error
        _hold_scenario(state.scenario)


_MESSAGE = {
    "serial": 3, "camera": "lateral,0.1,0.2,0.3,0.4,0.5,1", "scenario": _SCENARIO, "a": None,
    "readout": "both", "common": {"kind": "add", "frequency_hz": 0.05, "onset_s": 1.0, "duration_s": None},
    "extra": [1, 2],
}  # fmt: skip


def _read_message(path: Path, option: int) -> None:
    from app.perturb.state import rows_of, take_message

    try:
        event = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return  # the browser's message always is JSON
    if not isinstance(event, dict):
        return
    with _page(query_params={}) as (_who, recording, state):
        take_message(event)
        if state.error is not None:
            raise state.error
        rows_of(state, recording)


_PEOPLE = b"participant_id\tage\tsex\tsite\tsubject_id\n" + b"\n".join(
    b"sub-%03d\t%d\tf\tA\t%d" % (i, 20 + i, i) for i in range(12)
)


def _people_parts() -> tuple[Part, ...]:
    commas = _PEOPLE.replace(b"\t", b",")
    return Part(_PEOPLE), Part(commas), Part(_PEOPLE[:120], lambda h: h + _PEOPLE[120:])


def _read_people(path: Path, option: int) -> None:
    from brainlm_core.cohort.phenotypes import match_phenotypes, read_table

    if option % 2:
        path = path.rename(path.with_suffix(".csv"))
    ids = [f"{i:03d}" for i in range(10)]
    matching = match_phenotypes(read_table(path), ids, ids, path.name)
    assert len(matching.table) == len(ids)
    assert matching.matched + len(matching.unmatched) == len(ids)
    matching.sentence()


def _settings_parts() -> tuple[Part, ...]:
    texts = [p.read_bytes() for p in sorted((_ROOT / "configs").glob("*.yaml"))]
    words = (
        b"!!python/name:os.system",
        b"!!binary",
        b"!!set",
        b"2001-01-01",
        b"? [a]",
        b"<<:",
        b"|",
        b">",
        b"---",
    )
    return (*(Part(t, words=words) for t in texts), Part(make.to_json(_settings()), is_json=True))


def _settings() -> dict[str, Any]:
    import yaml

    loaded: dict[str, Any] = yaml.safe_load((_ROOT / "configs" / "default.yaml").read_text("utf-8"))
    return loaded


def _read_settings(path: Path, option: int) -> None:
    from brainlm_core.training.config import read_config

    read_config(path)


@cache
def _embeddings_file() -> bytes:
    from tests.fuzz.cohort_files import embeddings_file

    return embeddings_file()


def _embeddings_parts() -> tuple[Part, ...]:
    return make.parquet_parts(_embeddings_file())


def _read_embeddings(path: Path, option: int) -> None:
    from brainlm_core.cohort.isolated import read_embeddings_isolated

    found = read_embeddings_isolated(path, connectivity=bool(option % 2), parcels=bool(option % 3))
    assert len(found.table()) == len(found) == len(found.cls)
    found.vectors("mean")


@cache
def _store() -> dict[str, bytes]:
    from tests.fuzz.cohort_files import store_files

    return store_files()


def _store_parts() -> tuple[Part, ...]:
    """Damage one file of a store; the name of the file goes in front."""
    parts = []
    for name, data in _store().items():
        front = f"{name}\n".encode()
        if name.endswith(".parquet"):
            parts += make.parquet_parts(data, lambda d, front=front: front + d)
        elif name.endswith(".npz"):
            parts += [Part(data, lambda d, front=front: front + d)]
        else:
            lines = data.split(b"\n", 1)
            one, rest = lines[0], (b"\n" + lines[1] if len(lines) > 1 else b"")
            parts += [
                Part(
                    one,
                    lambda d, front=front, rest=rest: front + d + rest,
                    is_json=name != "participants.tsv",
                ),
                Part(data, lambda d, front=front: front + d),
            ]
    return tuple(parts)


def _read_store(path: Path, option: int) -> None:
    from brainlm_core.cohort.packs import open_cohort

    name, data = path.read_bytes().split(b"\n", 1)
    folder = path.parent / "store"
    for known, healthy in _store().items():
        file = folder / known
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data if known.encode() == name else healthy)
    from tests.fuzz.scan_targets import check

    cohort = open_cohort(folder)
    for k in range(min(len(cohort), 3)):
        check(cohort.recording(k))


def _pack_parts() -> tuple[Part, ...]:
    pack = {
        "signals": make.signals(360, 2 * make.N_VOLUMES).astype(np.float16),
        "offsets": np.array([0, 24, 48]),
        "tr_s": np.array(2.0),
    }
    return make.npz_parts(pack)


def _read_pack(path: Path, option: int) -> None:
    from brainlm_core.cohort.packs import open_cohort
    from brainlm_core.scans.quality import assess
    from tests.fuzz.scan_targets import check

    cohort = open_cohort(path, tr_s=(None, 2.0)[option % 2])
    for k in range(min(len(cohort), 2)):
        check(assess(cohort.recording(k)))


def _row_parts() -> tuple[Part, ...]:
    from tests.fuzz.scan_targets import arrow_parts

    return arrow_parts()


def _read_rows(path: Path, option: int) -> None:
    """Find the recordings of an Arrow file, as an import does, and read the first ones."""
    from brainlm_core.cohort.sources import ImportOptions, find_scans
    from tests.fuzz.scan_targets import check

    found = find_scans(path, ImportOptions(tr_s=(2.0, None)[option % 2]))
    for scan in found.scans[:2]:
        check(scan.load())


_FIXTURES = _ROOT / "tests" / "model" / "fixtures"


def _model_parts() -> tuple[Part, ...]:
    parts = []
    for folder in sorted(_FIXTURES.iterdir()):
        front = folder.name.encode() + b"\n"
        config, weights = (folder / n for n in ("config.json", "model.safetensors"))
        parts += [
            Part(config.read_bytes(), lambda d, front=front: front + b"config.json\n" + d, is_json=True),
            Part(config.read_bytes(), lambda d, front=front: front + b"config.json\n" + d, is_json=True),
        ]
        data = weights.read_bytes()
        head, rest = data[:20000], data[20000:]
        parts.append(Part(head, lambda d, front=front, rest=rest: front + b"model.safetensors\n" + d + rest))
    return tuple(parts)


def _read_model(path: Path, option: int) -> None:
    from brainlm_core.model.checkpoints import load_folder

    case, name, data = path.read_bytes().split(b"\n", 2)
    folder = path.parent / "model"
    folder.mkdir()
    for known in ("config.json", "model.safetensors"):
        if known.encode() == name:
            (folder / known).write_bytes(data)
        else:
            (folder / known).symlink_to(_FIXTURES / case.decode() / known)
    load_folder(folder)


VALUE_TARGETS = (
    Target(
        "scenario", "scenario.json", lambda: (Part(make.to_json(_SCENARIO), is_json=True),), _read_scenario
    ),
    Target("link", "link.txt", _link_parts, _read_link),
    Target("message", "message.json", lambda: (Part(make.to_json(_MESSAGE), is_json=True),), _read_message),
    Target("people", "people.tsv", _people_parts, _read_people),
    Target("settings", "settings.yaml", _settings_parts, _read_settings),
    Target("embeddings", "embeddings.parquet", _embeddings_parts, _read_embeddings),
    Target("store", "store.bin", _store_parts, _read_store),
    Target("cohort-pack", "pack.npz", _pack_parts, _read_pack),
    Target("rows", "rows.parquet", _row_parts, _read_rows),
    Target("model", "model.bin", _model_parts, _read_model),
)
