"""Open the dashboard in a browser."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from pathlib import Path

from brainlm_core.commands import CommandResult
from brainlm_core.errors import BrainLMError, ConfigError
from brainlm_core.scratch import sweep

#: First port that is tried when none is named, and how many more.
FIRST_PORT, N_PORTS = 8501, 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; anything but 127.0.0.1 lets other machines in (default: 127.0.0.1)",
    )
    parser.add_argument("--port", type=int, metavar="N", help="port (default: the first free one from 8501)")
    parser.add_argument(
        "--model",
        default=None,
        help="model that pages start with: default, 13m, 111m, 650m, random:NAME or a folder",
    )
    parser.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="Dask scheduler whose workers hold the models, tcp://gpu-box:8786 (default: this process)",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")


def run(args: argparse.Namespace) -> CommandResult:
    """Start the dashboard and wait until it is stopped."""
    sweep()
    if args.scheduler:
        _check_scheduler(args.scheduler)
    port = _free_port(args.host, args.port)
    url = f"http://{'localhost' if args.host in ('0.0.0.0', '::') else args.host}:{port}"
    reach = (
        "only from this machine"
        if args.host in ("127.0.0.1", "localhost", "::1")
        else "from other machines too"
    )
    sys.stderr.write(f"BrainLM Explorer is at {url}, reachable {reach}. Stop it with Ctrl+C.\n")
    command = command_line(args.host, port, open_browser=not args.no_browser)
    try:
        code = subprocess.run(
            command, cwd=working_folder(), env=_environment(args.model, args.scheduler), check=False
        ).returncode
    except KeyboardInterrupt:
        code = 0
    return CommandResult(
        [{"url": url, "exit_code": code}], "The dashboard was stopped.", 0 if code in (0, 130) else 1
    )


def entry_script() -> Path:
    """Return ``app/main.py``: beside this package, in a checkout as in an installed wheel.

    Raises
    ------
    ConfigError
        If the dashboard was left out of this installation.
    """
    path = Path(__file__).resolve().parents[2] / "app" / "main.py"
    if not path.is_file():
        raise ConfigError(
            "the dashboard is not part of this installation", "install the package brainlm-explorer"
        )
    return path


def working_folder() -> Path | None:
    """Return the folder that Streamlit must start in to find its settings; None leaves it alone.

    A checkout holds ``.streamlit`` at its root; an installed wheel holds it beside the entry
    script, where Streamlit looks by itself.
    """
    root = entry_script().parents[1]
    return root if (root / ".streamlit" / "config.toml").is_file() else None


def command_line(host: str, port: int, *, open_browser: bool) -> list[str]:
    """Return the command that starts Streamlit."""
    window = open_browser and (
        sys.platform != "linux" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
    )
    return [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(entry_script()),
        f"--server.address={host}",
        f"--server.port={port}",
        f"--server.headless={'false' if window else 'true'}",
        "--server.showEmailPrompt=false",
        "--logger.hideWelcomeMessage=true",
        "--browser.gatherUsageStats=false",
    ]


def _check_scheduler(address: str) -> None:
    """Say which machines hold the model. No worker yet is no reason not to start: it may come later.

    Raises
    ------
    ConfigError
        If no scheduler answers.
    """
    from brainlm_core.remote.cluster import cluster

    there = cluster(address)
    there.reach()
    try:
        hosts = ", ".join(sorted({told.host for told in there.check()}))
        sys.stderr.write(f"The model runs on {hosts}.\n")
    except BrainLMError as error:
        sys.stderr.write(f"Careful: {error.what}; {error.fix}.\n")
    finally:
        there.close()


def _environment(model: str | None, scheduler: str | None = None) -> dict[str, str]:
    env = dict(os.environ)
    # The server may start in another folder; "here" must still mean the user's.
    env.setdefault("BRAINLM_ROOTS", os.pathsep.join([str(Path.home()), str(Path.cwd())]))
    if model:
        folder = Path(model).expanduser()
        env["BRAINLM_MODEL"] = str(folder.resolve()) if folder.is_dir() and not scheduler else model
    if scheduler:
        env["BRAINLM_SCHEDULER"] = scheduler
    return env


def _free_port(host: str, wanted: int | None) -> int:
    """Return the port to listen on.

    Raises
    ------
    ConfigError
        If the port is taken, or the address is not this machine's.
    """
    candidates = [wanted] if wanted is not None else list(range(FIRST_PORT, FIRST_PORT + N_PORTS))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in candidates:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except (OSError, OverflowError):
                continue
        return port
    if wanted is None:
        raise ConfigError(
            f"no port from {FIRST_PORT} on can be used on {host}", "name a free one with --port"
        )
    raise ConfigError(f"port {wanted} cannot be used on {host}", "name another one with --port")
