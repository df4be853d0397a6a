"""The process that reads: ``python -m brainlm_core.scans.isolation.child``.

With a number it is a nursery: readers loaded, one thread, no visitor's data; it forks a fresh child for every
file that is asked for over the socket of that number. As ``once``, where there is no fork, it reads one file.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import faulthandler
import gc
import importlib
import json
import os
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from brainlm_core.base.errors import BrainLMError
from brainlm_core.base.slices import Slices
from brainlm_core.scans.isolation import guard, wire
from brainlm_core.scans.types import PATH_OPTIONS

#: Work on files that are no scan, by name: a module and its function ``f(files, folder, **options)``.
TASKS = {
    "embeddings": ("brainlm_core.cohort.isolated", "embeddings_to_plain"),
    "table": ("brainlm_core.cohort.isolated", "table_to_plain"),
    "arrow people": ("brainlm_core.cohort.isolated", "arrow_people_to_plain"),
}
_PR_SET_PDEATHSIG = 1
#: Parameters of glibc's ``mallopt`` (malloc.h).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
#: Room on top of the limit for stacks and what the allocator keeps ready, in bytes.
_SLACK = 192 << 20


def nursery(number: int) -> None:
    """Fork a child for every file asked for, until the program is gone."""
    control = socket.socket(fileno=number)
    _load_readers()
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page of what all share
    _keep_what_is_freed()
    control.send(b"ready")
    while True:
        message, fds = _receive(control)
        if not message:
            os._exit(0)  # children follow: they asked the kernel for it
        if fds:
            pid = os.fork()
            if pid == 0:
                control.close()
                _child(fds[0], int(message))
            os.close(fds[0])
            control.send(str(pid).encode())
        else:
            pid = int(message)
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            status = 0
            with contextlib.suppress(OSError):
                status = os.waitpid(pid, 0)[1]
            control.send(str(status).encode())


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    try:
        message, extra, _, _ = control.recvmsg(256, socket.CMSG_SPACE(4))
    except OSError:
        return b"", []
    fds = array.array("i")
    for level, kind, data in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
    return message, list(fds)


def _load_readers() -> None:
    """Import what any reader needs and compute what all of them share, before the first file."""
    for name in (
        "scipy.io", "pyarrow.parquet", "pyarrow.compute", "nibabel.cifti2", "nibabel.cifti2.cifti2_axes",
        "pandas", "scipy.signal", "brainlm_core.scans.arrow_rows", "brainlm_core.scans.array_tables",
        "brainlm_core.scans.gifti", "brainlm_core.scans.cifti", "brainlm_core.scans.text_tables",
        "brainlm_core.scans.saved", "brainlm_core.scans.mat_elements", "brainlm_core.scans.volumes",
        "brainlm_core.scans.hdf5_tables",
        *(module for module, _ in TASKS.values()),
    ):  # fmt: skip
        # What cannot be loaded here is said when a file needs it.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    from brainlm_core.scans.grayordinates import load_grayordinates
    from brainlm_core.scans.volumes import warm_up

    warm_up()
    load_grayordinates(deep=False)


def _child(fd: int, limit: int) -> None:
    """Read one file and end; never returns."""
    code = 1
    try:
        _die_with_the_nursery()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # a library that gives up says so before it does
        with socket.socket(fileno=fd) as link, link.makefile("rb") as asked, link.makefile("wb") as out:
            answer(asked, out, limit)
        code = 0
    finally:
        os._exit(code)


def answer(asked: IO[bytes], out: IO[bytes], limit: int) -> None:
    """Read the request, then the scan, and say how it went."""

    def say(message: dict[str, Any]) -> None:
        out.write(json.dumps(message).encode()[: wire.MAX_LINE] + b"\n")
        out.flush()

    request = json.loads(asked.readline())
    folder = Path(request["folder"])
    _take_settings(request)
    _limit_memory(limit)
    try:
        if request["task"] == "scan":
            _read_scan(request, folder, say)
        else:
            _do(request, folder)
        say({"done": True})
    except BrainLMError as error:
        say(wire.encode_error(error))
    except MemoryError:
        say({"memory": True})
    except BaseException:  # a defect: the program says it in a sentence, and its log gets this
        say({"defect": traceback.format_exc()[-4000:]})


def _read_scan(request: dict[str, Any], folder: Path, say: Callable[[dict[str, Any]], None]) -> None:
    source, options = wire.decode_scan(request)
    guard.watch(_allowed(source, options, folder))
    from brainlm_core.scans import read_scan

    def progress(fraction: float, stage: str) -> None:
        say({"fraction": fraction, "stage": stage[:200]})

    def first_look(slices: Slices) -> None:
        wire.save_look(folder, slices)
        say({"look": True})

    with guard.read_here():
        recording = read_scan(source, progress=progress, first_look=first_look, **options)
    recording.save(folder / wire.RESULT, packed=False)


def _do(request: dict[str, Any], folder: Path) -> None:
    """Work on files that are no scan; only these may be opened."""
    files = {name: Path(path) for name, path in request["files"].items()}
    scratch = (str(folder), os.path.realpath(folder))
    handed = frozenset(os.path.abspath(p) for p in files.values())
    guard.watch(guard.Allowed(handed, guard.own_folders(), (), scratch))
    module, function = TASKS[request["task"]]
    with guard.read_here():
        getattr(importlib.import_module(module), function)(files, folder / wire.RESULT, **request["options"])


def _keep_what_is_freed() -> None:
    """Let a child use the memory of its arrays again instead of asking the kernel for each: it ends soon."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, n_bytes in (
            (_TRIM_THRESHOLD, 1 << 28),
            (_TOP_PAD, 1 << 24),
            (_MMAP_THRESHOLD, 1 << 25),
        ):
            mallopt(ctypes.c_int(parameter), ctypes.c_int(n_bytes))


def _take_settings(request: dict[str, Any]) -> None:
    for name in [n for n in os.environ if n.startswith(("BRAINLM_", "HF_HUB_"))]:
        del os.environ[name]
    os.environ.update(request["settings"])
    os.chdir(request["folder"])
    tempfile.tempdir, sys.dont_write_bytecode = request["folder"], True
    from brainlm_core.scans.volume_atlas import do_not_download

    do_not_download()  # the program has tried


def _allowed(source: Any, options: dict[str, Any], folder: Path) -> guard.Allowed:
    """Return what this scan may open: itself, what was named with it, and what lies beside it."""
    handed = [*source.paths, *(options[k] for k in PATH_OPTIONS if options.get(k))]
    atlas = options.get("atlas")
    if atlas and Path(atlas).is_file():
        handed.append(Path(atlas))
    files = {os.path.abspath(p) for p in handed}
    folders = list(guard.own_folders())
    beside: list[str] = []
    if not source.uploaded:
        for path in source.paths:
            home = path if path.is_dir() else path.parent
            folders.append(os.path.abspath(home))
            beside += [str(p) for p in Path(os.path.abspath(home)).parents]
    scratch = (str(folder), os.path.realpath(folder))
    return guard.Allowed(frozenset(files), tuple(folders), tuple(beside), scratch)


def _limit_memory(limit: int) -> None:
    """Ask the kernel to refuse more than so much above what is taken now."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        status = Path("/proc/self/status").read_text("ascii")
        most = 1024 * int(status.split("VmData:")[1].split()[0]) + limit + _SLACK
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    except (ImportError, OSError, ValueError, IndexError):
        return  # no such limit here; the program watches all the same


def _die_with_the_nursery() -> None:
    if sys.platform != "linux":
        return
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    """Run as a nursery, or once."""
    faulthandler.disable()
    if len(sys.argv) > 2:
        answer(sys.stdin.buffer, sys.stdout.buffer, int(sys.argv[2]))
    else:
        nursery(int(sys.argv[1]))


if __name__ == "__main__":
    main()
