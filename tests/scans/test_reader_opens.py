"""A reader opens nothing but what it was handed; and what watches over that sees every way out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_readers_contract import GOOD

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="one process a case is forked here")

#: Runs each case in a fork that is watched from before the file is opened, and prints what was refused.
_SCRIPT = """
import ctypes, http.client, json, os, pickle, socket, subprocess, sys, urllib.request
from pathlib import Path
from brainlm_core.scans import ScanSource, read_scan
from brainlm_core.scans.isolation import child, guard
if sys.argv[1] == "readers":
    child._load_readers()
sys.dont_write_bytecode = True
import nibabel
for case in json.loads(sys.stdin.read()):
    here, there = os.pipe()
    if os.fork():
        os.close(there)
        with os.fdopen(here) as pipe:
            print(pipe.read() or '["died"]')
        os.wait()
        continue
    paths = [Path(p) for p in case["paths"]]
    source = ScanSource(tuple(paths), tuple(p.name for p in paths), uploaded=case["uploaded"])
    refused, error = [], ""
    guard.watch(child._allowed(source, {}, Path(case["scratch"])), refused.append)
    try:
        with guard.read_here():
            exec(case["deed"]) if case["deed"] else read_scan(source, tr_s=2.0)
    except BaseException as problem:
        error = f"{type(problem).__name__}: {problem}"
    os.write(there, json.dumps([refused, error]).encode())
    os._exit(0)
"""


def _watched(what: str, cases: list[dict[str, Any]]) -> list[list[Any]]:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, what], input=json.dumps(cases), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_reader_opens_only_what_it_was_handed(tmp_path: Path) -> None:
    cases = []
    for key, make in GOOD.items():
        home = tmp_path / key
        home.mkdir()
        path = make(home)
        (home / "scratch").mkdir()
        paths = sorted(map(str, home.glob("*.gii"))) if key == "gifti" else [str(path)]
        scratch = str(home / "scratch")
        cases.append({"paths": paths, "scratch": scratch, "uploaded": key != "fmriprep", "deed": ""})
    answers = dict(zip(GOOD, _watched("readers", cases), strict=True))
    assert answers == {key: [[], ""] for key in GOOD}


_WAYS_OUT = (
    "open('/etc/passwd')",
    "os.open('/etc/passwd', os.O_RDONLY)",
    "Path('/etc/hostname').read_text()",
    "socket.create_connection(('127.0.0.1', 9))",
    "socket.getaddrinfo('localhost', 9)",
    "urllib.request.urlopen('http://127.0.0.1:9/')",
    "subprocess.run(['true'])",
    "os.system('true')",
    "os.execv('/bin/true', ['true'])",
    "os.posix_spawn('/bin/true', ['true'], {})",
    "os.fork()",
    "ctypes.CDLL('/tmp/x.so')",
    "pickle.loads(b'cos\\nsystem\\n.')",
    "open('/tmp/made-by-a-reader', 'w')",
    "open(os.path.join(os.path.dirname(os.__file__), 'made.py'), 'w')",
    "os.listdir('/root')",
    "os.remove('/tmp/none')",
    "os.symlink('/etc/passwd', '/tmp/none')",
    "open(str(paths[0]) + '/../secret')",
)


def test_every_way_out_is_seen(tmp_path: Path) -> None:
    cases = [
        {"paths": [str(tmp_path / "x")], "scratch": str(tmp_path / "s"), "uploaded": True, "deed": deed}
        for deed in _WAYS_OUT
    ]
    answers = dict(zip(_WAYS_OUT, _watched("light", cases), strict=True))
    assert {deed for deed, (refused, _) in answers.items() if not refused} == set()
    assert not Path("/tmp/made-by-a-reader").exists()


def test_it_would_have_found_a_gifti_that_names_a_file(tmp_path: Path) -> None:
    """The reader of version 0.1.0, as far as it matters: it hands the path to nibabel."""
    (tmp_path / "secret").write_bytes(os.urandom(20_000))
    array = (
        '<DataArray Intent="NIFTI_INTENT_TIME_SERIES" DataType="NIFTI_TYPE_UINT8" '
        'ArrayIndexingOrder="RowMajorOrder" Dimensionality="1" Dim0="10242" Encoding="GIFTI_ENCODING_EXTBIN" '
        f'Endian="LittleEndian" ExternalFileName="{tmp_path / "secret"}" ExternalFileOffset="0"><Data/>'
        "</DataArray>"
    )
    path = tmp_path / "x.gii"
    path.write_text(f'<?xml version="1.0"?><GIFTI Version="1.0" NumberOfDataArrays="1">{array}</GIFTI>')
    deed = "nibabel.load(paths[0]).darrays"
    case = {"paths": [str(path)], "scratch": str(tmp_path / "s"), "uploaded": True, "deed": deed}
    ((refused, _),) = _watched("light", [case])
    assert any("secret" in r for r in refused)
