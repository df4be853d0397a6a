"""Nobody but its owner speaks with a cluster that is started here; plain TCP does not leave the machine."""

from __future__ import annotations

import ast
import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from brainlm_core.base.errors import ConfigError
from brainlm_core.base.processes import children
from brainlm_core.remote.link import Link
from brainlm_core.remote.safety import allow_plain_tcp, check_address, local_cluster

STRANGER = """
import sys
from distributed import Client, Security
for address, security in (
    (sys.argv[1].replace("tls://", "tcp://"), None),
    (sys.argv[1], Security.temporary()),
    (sys.argv[1].replace("tls://", "ws://"), None),
):
    try:
        with Client(address, security=security, timeout=2, set_as_default=False) as client:
            print("IN", client.run_on_scheduler(lambda: 1))
    except Exception as error:
        print("out", type(error).__name__)
"""


@pytest.mark.parametrize(
    "address",
    [
        "tls://gpu-box:8786",
        "TLS://gpu-box:8786",
        "tcp://127.0.0.1:8786",
        "tcp://localhost:8786",
        "127.0.0.1:8786",
        "tcp://[::1]:8786",
        "ws://127.0.0.1:8786",
    ],
)
def test_encrypted_or_on_this_machine_is_let_through(address: str) -> None:
    assert check_address(address) == address


@pytest.mark.parametrize(
    "address",
    [
        "tcp://gpu-box:8786",
        "gpu-box:8786",
        "gpu-box",
        "TCP://gpu-box:8786",
        "ucx://gpu-box:8786",
        "ws://gpu-box:8786",
        "tcp://192.0.2.7:8786",
        "tcp://0.0.0.0:8786",
        "tcp://[2001:db8::1]:8786",
        "tcp://127.0.0.1.evil.example:8786",
        "tcp://localhost@evil.example:8786",
        "tcp://evil.example:8786#tls://",
    ],
)
def test_plain_tcp_to_another_machine_is_one_sentence(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BRAINLM_PLAIN_TCP", raising=False)
    with pytest.raises(ConfigError, match="--plain-tcp") as refused:
        check_address(address)
    assert "\n" not in str(refused.value)
    monkeypatch.setenv("BRAINLM_PLAIN_TCP", "0")  # undone at the end, with what the next line sets
    allow_plain_tcp()
    assert check_address(address) == address


@pytest.mark.parametrize(
    "address", ["tlsx://gpu-box:8786", "gpu-box:8786?x=tls://", "tcp://[::1", "nonsense://x", "tls://"]
)
def test_what_is_no_address_never_connects(address: str) -> None:
    with pytest.raises(ConfigError):
        Link(address)


def test_clusters_are_started_and_addresses_judged_in_one_place(root: Path) -> None:
    started, spoken = [], []
    for path in [*(root / "brainlm_core").rglob("*.py"), *(root / "app").rglob("*.py")]:
        source = path.read_text("utf-8")
        names = {n.id for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Name)}
        if names & {"LocalCluster", "SpecCluster", "SSHCluster", "Scheduler", "Worker", "Nanny"}:
            started.append(path.name)
        if "Client" in names and "distributed" in source:
            spoken.append(path.name)
            assert path.name == "safety.py" or "check_address(" in source, path
    assert started == ["safety.py"] and sorted(spoken) == ["embed_run.py", "link.py", "safety.py"]


@pytest.mark.slow
def test_strangers_on_the_same_machine_are_refused_and_there_is_no_dashboard() -> None:
    before = {pid: set(listening(pid)) for pid in [os.getpid(), *children()]}  # other tests' servers
    with local_cluster(1) as client:
        assert client.submit(sum, (1, 2)).result(timeout=30) == 3
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        done = subprocess.run(
            [sys.executable, "-c", STRANGER, address], capture_output=True, text=True, timeout=60
        )
        assert done.stdout.split()[::2] == ["out"] * 3, done
        opened = set(listening(os.getpid(), *children())) - set().union(*before.values())
        assert opened or sys.platform != "linux"
        for port in opened:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as probe:
                probe.settimeout(2)
                with contextlib.suppress(OSError):
                    probe.sendall(b"GET /status HTTP/1.0\r\n\r\n")
                    assert not probe.recv(64).startswith(b"HTTP"), f"something serves pages on {port}"


def listening(*pids: int) -> list[int]:
    """Return the TCP ports on which processes listen; all of them on the loopback interface."""
    inodes = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
    ports = []
    for table, loopback in (("tcp", "0100007F"), ("tcp6", "0" * 24 + "01000000")):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                host, port = fields[1].split(":")
                assert host == loopback, "only on the loopback interface"
                ports.append(int(port, 16))
    return ports


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_go_when_whoever_started_them_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "start.py"
    script.write_text(
        "import time\nfrom brainlm_core.remote.safety import local_cluster\n"
        "if __name__ == '__main__':\n"
        "    with local_cluster(2) as client:\n"
        "        print('up', flush=True)\n        time.sleep(600)\n"
    )
    starter = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None and starter.stdout.readline() == "up\n"
    below = children(starter.pid)
    assert len(below) >= 2
    starter.kill()
    starter.communicate()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in below):
        assert time.monotonic() < deadline, "workers outlive their starter"
        time.sleep(0.1)


def test_two_clusters_at_once_do_not_fight_over_a_port() -> None:
    with local_cluster(1) as first, local_cluster(1) as second:
        assert first.submit(sum, (1, 2)).result() == second.submit(sum, (1, 2)).result() == 3
