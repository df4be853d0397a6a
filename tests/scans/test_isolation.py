"""Reading in a child: the same answers, nothing else opened, and an end whenever nobody waits."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from scan_files import bold_table
from test_readers_contract import GOOD

from brainlm_core.base.errors import BrainLMError, ScanError
from brainlm_core.base.processes import children
from brainlm_core.scans import READERS, CleaningOptions, MissingTR, ScanSource, read_scan
from brainlm_core.scans.isolation import child, guard, nursery, read, read_isolated, wire
from brainlm_core.scans.types import PATH_OPTIONS, MissingChoice

T = 32


@pytest.fixture
def slow_table(tmp_path: Path) -> Path:
    """A table that takes a second or more to read, and more than 50 MB."""
    line = ",".join(["10000.5"] * 424) + "\n"
    other = ",".join(["10001.5"] * 424) + "\n"
    (tmp_path / "slow.csv").write_text((line + other) * 7000)
    return tmp_path / "slow.csv"


@pytest.mark.parametrize("key", GOOD)
def test_the_same_recording(key: str, tmp_path: Path) -> None:
    path = GOOD[key](tmp_path)
    stages: list[float] = []
    options = {"tr_s": 2.0, "cleaning": CleaningOptions(detrend=True)}
    found = read_isolated(path, progress=lambda f, _: stages.append(f), **options)  # type: ignore[arg-type]
    wanted = read_scan(path, **options)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.signals, wanted.signals)
    assert found.provenance == wanted.provenance and found.notices == wanted.notices
    assert stages == sorted(stages) and stages[-1] == 1
    assert not children_of_the_nursery()


def children_of_the_nursery() -> list[int]:
    process = nursery._NURSERY._process
    return [] if process is None else children(process.pid)


def test_errors_cross_as_they_are(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "x.csv", bold_table(T), delimiter=",")
    with pytest.raises(MissingTR) as caught:
        read_isolated(tmp_path / "x.csv")
    with pytest.raises(MissingTR) as direct:
        read_scan(tmp_path / "x.csv")
    assert vars(caught.value) == vars(direct.value)
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY" + bytes(100))
    with pytest.raises(ScanError, match=r"damaged \.npy"):
        read_isolated(tmp_path / "x.npy", tr_s=2)


def test_an_upload_keeps_its_name(tmp_path: Path) -> None:
    path = tmp_path / "upload-0"
    np.savetxt(path, bold_table(T), delimiter=",")
    found = read_isolated(ScanSource((path,), ("mine.csv",), uploaded=True), tr_s=2)
    assert found.provenance.source_name == "mine.csv"


def test_too_much_memory_is_a_sentence(slow_table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "BASE_BYTES", 1 << 20)
    monkeypatch.setattr(read, "BYTES_PER_BYTE", 0)
    with pytest.raises(ScanError, match="takes more memory than a scan of its size"):
        read_isolated(slow_table, tr_s=2)
    assert not children_of_the_nursery()


def test_too_much_time_is_a_sentence(slow_table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "BASE_SECONDS", 0.05)
    monkeypatch.setattr(read, "SECONDS_PER_MB", 0.0)
    with pytest.raises(ScanError, match="takes more time than a scan of its size"):
        read_isolated(slow_table, tr_s=2)
    assert not children_of_the_nursery()


class Stopped(Exception):
    """What a job's progress raises."""


def test_cancel_ends_the_child_at_once(slow_table: Path) -> None:
    nursery.warm()
    stop = threading.Event()

    def progress(_fraction: float, _stage: str) -> None:
        if stop.is_set():
            raise Stopped

    threading.Timer(0.4, stop.set).start()
    start = time.monotonic()
    with pytest.raises(Stopped):
        read_isolated(slow_table, tr_s=2, progress=progress, cancelled=stop.is_set)
    assert time.monotonic() - start < 1.5  # the table takes longer
    assert not children_of_the_nursery()


def _parent(pid: int) -> int:
    """Return who forked a child: the nursery that is in use now."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _in_the_middle(path: Path, what: object) -> BaseException | None:
    """Read in a thread, do something while the child lives, and return what reading raised."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            read_isolated(path, tr_s=2)
        except BrainLMError as error:
            raised.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    deadline = time.monotonic() + 20
    while not children_of_the_nursery() and time.monotonic() < deadline:
        time.sleep(0.01)
    what(children_of_the_nursery()[0])  # type: ignore[operator]
    thread.join(30)
    return raised[0] if raised else None


@pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux only")
def test_a_child_that_dies_is_a_sentence(slow_table: Path, tmp_path: Path) -> None:
    nursery.warm()
    for number in (signal.SIGKILL, signal.SIGSEGV):
        error = _in_the_middle(slow_table, lambda pid, n=number: os.kill(pid, n))
        assert isinstance(error, ScanError) and "ended before it was done" in str(error)
    error = _in_the_middle(slow_table, lambda pid: os.kill(_parent(pid), signal.SIGKILL))
    assert isinstance(error, ScanError)
    np.savetxt(tmp_path / "x.csv", bold_table(T), delimiter=",")
    assert read_isolated(tmp_path / "x.csv", tr_s=2).n_timepoints == T  # a new nursery


_ABANDONED = """
import sys, threading, time
from brainlm_core.scans.isolation import nursery, read_isolated
from brainlm_core.base.processes import children
nursery.warm()
threading.Thread(target=read_isolated, args=(sys.argv[1],), kwargs={"tr_s": 2}, daemon=True).start()
while len(children()) < 2:
    time.sleep(0.01)
print(*children(), flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux only")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_program(number: int, slow_table: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _ABANDONED, str(slow_table)], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        pids = [int(p) for p in program.stdout.readline().split()]
        assert len(pids) == 2
        program.send_signal(number)
        program.wait(10)
        deadline = time.monotonic() + 3
        while any(map(_lives, pids)) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert not any(map(_lives, pids))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    "line",
    [b"", b"{", b"[1]", b"null", b'{"done": 1}', b'{"fraction": "x"}', b'{"error": 3}', b"[" * 100_000,
     b'{"error": "SystemExit", "what": 1, "fix": 2, "more": {}}', b"\xff\xfe"],
)  # fmt: skip
def test_what_a_child_sends_is_never_trusted(line: bytes) -> None:
    message = read._parse(line)
    assert isinstance(message, dict) and message.get("done") is not True
    assert isinstance(wire.decode_error(message), ScanError)
    assert type(wire.decode_error({"error": "ValueError", "what": "a", "fix": "b", "more": {}})) is ScanError
    long = wire.decode_error(
        {"error": "ScanError", "what": "a\n" * 10_000, "fix": "b", "more": {"__class__": 1}}
    )
    assert str(long).isprintable() and len(str(long)) < 1000


def test_every_option_that_names_a_file_may_be_opened_by_the_child(tmp_path: Path) -> None:
    """An option of ``read_scan`` whose kind says PathLike is in the list; what is not is refused."""
    given = inspect.signature(read_scan).parameters
    named = {p for p in given if "Path" in str(given[p].annotation)} - {"path"}
    assert named == set(PATH_OPTIONS)
    assert {p for p in given if p not in ("rows_are", "labels")} <= set(
        inspect.signature(read_isolated).parameters
    )
    source = ScanSource((tmp_path / "x.nii",), ("x.nii",), uploaded=True)
    options = {k: tmp_path / f"{k}.csv" for k in PATH_OPTIONS} | {"cleaning": None, "rows_are": None}
    line = json.loads(wire.encode_scan(source, options, tmp_path))
    allowed = child._allowed(*wire.decode_scan(line), tmp_path / "scratch")
    for path in (*source.paths, *(options[k] for k in named)):
        assert allowed.refusal("open", (str(path), "r", os.O_RDONLY)) is None
        assert allowed.refusal("open", (f"{path}x", "r", os.O_RDONLY))


def test_a_kind_whose_library_may_end_the_process_is_read_in_a_child_always(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = GOOD["arrow"](tmp_path)
    started = []
    monkeypatch.setattr(nursery, "start_child", lambda limit: started.append(limit) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        read_scan(path, tr_s=2.0)
    with guard.read_here():
        assert read_scan(path, tr_s=2.0).n_timepoints
    assert len(started) == 1 and [r.key for r in READERS if r.may_abort] == ["arrow", "hdf5"]


def test_a_result_is_read_like_a_strangers_file(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="could not be read"):
        wire.load_result(tmp_path, "x")
    (tmp_path / "secret.npz").write_bytes(b"PK\x03\x04")
    (tmp_path / wire.RESULT).symlink_to(tmp_path / "secret.npz")
    with pytest.raises(ScanError, match="could not be read"):
        wire.load_result(tmp_path, "x")
    (tmp_path / wire.RESULT).unlink()
    np.savez_compressed(tmp_path / wire.RESULT, signals=np.zeros(20_000_000))
    with pytest.raises(ScanError, match="would unpack"):
        wire.load_result(tmp_path, "x")


def test_every_question_crosses_with_all_that_a_page_asks_with() -> None:
    glimpse = np.random.default_rng(0).normal(size=(200, 40)).astype(np.float32)
    readings = (("A", {"rows_are": "volumes"}), ("B", {"rows_are": "parcels"}))
    asked = MissingChoice("two readings", "say which", readings, (glimpse, glimpse.T))
    got = wire.decode_error(json.loads(json.dumps(wire.encode_error(asked))))
    assert isinstance(got, MissingChoice)
    assert (got.what, got.fix, got.options) == (asked.what, asked.fix, asked.options)
    for there, here in zip(got.previews, asked.previews, strict=True):
        np.testing.assert_allclose(there, here, atol=0.026)
    for kind in wire._known_errors().values():
        error = kind.__new__(kind)
        BrainLMError.__init__(error, "what", "fix")
        if kind not in (MissingChoice,):
            assert type(wire.decode_error(wire.encode_error(error))) is kind
    assert wire.decode_error(wire.encode_error(MissingTR("a", "b", 1.0))).stated_s == 1.0


@pytest.mark.parametrize(
    "more",
    [{}, {"options": 3}, {"options": [3]}, {"options": [["a", 3]]}, {"options": [["a"]]}],
)
def test_a_damaged_question_is_a_sentence(more: dict) -> None:
    message = {"error": "MissingChoice", "what": "a", "fix": "b", "more": more}
    assert type(wire.decode_error(message)) is ScanError


@pytest.mark.parametrize(
    "previews", [None, [3], [{"shape": [2, 2], "steps": [1]}] * 2, [{"shape": [1, 1], "steps": [1]}]]
)
def test_damaged_glimpses_are_left_out(previews: object) -> None:
    options = [["a", {"x": "1"}], ["b", {"x": "2"}]]
    message = {
        "error": "MissingChoice",
        "what": "a",
        "fix": "b",
        "more": {"options": options, "previews": previews},
    }
    got = wire.decode_error(message)
    assert isinstance(got, MissingChoice) and got.previews == () and len(got.options) == 2
