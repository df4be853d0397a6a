"""Open the dashboard in a browser."""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
from pathlib import Path

from brainlm_core.base.errors import BrainLMError, ConfigError
from brainlm_core.base.scratch import sweep
from brainlm_core.command_line import CommandResult

#: First port that is tried when none is named, and how many more.
FIRST_PORT, N_PORTS = 8501, 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="address to listen on; anything but 127.0.0.1 lets other machines in, which needs a login "
        "or --open-to-everyone (default: 127.0.0.1)",
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
    parser.add_argument(
        "--plain-tcp",
        action="store_true",
        help="speak with a scheduler on another machine without encryption: whoever reaches its port runs "
        "code on the workers, whoever is on the way reads the signals",
    )
    parser.add_argument(
        "--public-url",
        action="append",
        metavar="URL",
        help="address under which people reach the dashboard, https://brainlm.example.org; requests under "
        "other names are refused (again for each; that of the login is known)",
    )
    parser.add_argument(
        "--open-to-everyone",
        action="store_true",
        help="without a login, let everybody in who can reach --host: they see the demo, upload, and use "
        "this machine's processor",
    )
    parser.add_argument(
        "--no-login",
        action="store_true",
        help="read no secrets file: there is no login, even where one is set up",
    )
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")


def run(args: argparse.Namespace) -> CommandResult:
    """Become the dashboard's server: one process, so that whoever ends it ends all of it."""
    sweep()
    if args.plain_tcp:
        from brainlm_core.remote.safety import allow_plain_tcp

        allow_plain_tcp()
    if args.scheduler:
        _check_scheduler(args.scheduler)
    port = _free_port(args.host, args.port)
    shown = "localhost" if args.host in ("0.0.0.0", "::") else args.host
    url = f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
    command, env = command_line(args.host, port), _environment(args, url)
    folder = working_folder()
    if sys.platform != "win32":  # which has no exec that a terminal would wait for
        sys.stdout.flush()
        sys.stderr.flush()
        os.chdir(folder or Path.cwd())
        os.execve(command[0], command, env)
    code = subprocess.run(command, cwd=folder, env=env, check=False).returncode
    return CommandResult([{"url": url, "exit_code": code}], "", code if code in (0, 2) else 1)


def entry_script() -> Path:
    """Return ``app/main.py``: beside this package in a checkout, inside it in an installed wheel.

    The wheel has one importable name, so that a user's own ``app`` or ``pages`` never meets ours.

    Raises
    ------
    ConfigError
        If the dashboard was left out of this installation.
    """
    package = Path(__file__).resolve().parents[1]
    for root in (package / "_dashboard", package.parent):
        if (root / "app" / "main.py").is_file():
            return root / "app" / "main.py"
    raise ConfigError(
        "the dashboard is not part of this installation", "install the package brainlm-explorer"
    )


def working_folder() -> Path | None:
    """Return the folder that Streamlit must start in to find its settings; None leaves it alone.

    A checkout holds ``.streamlit`` at its root; an installed wheel holds it beside the entry
    script, where Streamlit looks by itself.
    """
    root = entry_script().parents[1]
    return root if (root / ".streamlit" / "config.toml").is_file() else None


def command_line(host: str, port: int) -> list[str]:
    """Return the command that starts Streamlit."""
    return [
        sys.executable,
        "-m",
        "streamlit",
        "run",
        str(entry_script()),
        f"--server.address={host}",
        f"--server.port={port}",
        "--server.headless=true",
        "--server.showEmailPrompt=false",
        "--logger.hideWelcomeMessage=true",
        "--browser.gatherUsageStats=false",
        *(f"--secrets.files={place}" for place in _secrets_places()),
    ]


def _secrets_places() -> list[Path]:
    """Return where secrets files are looked for when one lies where the command was given.

    The server starts in another folder, where Streamlit would not see it. Empty leaves it to Streamlit.
    """
    folder = working_folder()
    here = Path.cwd() / ".streamlit" / "secrets.toml"
    if folder is None or folder == Path.cwd() or os.environ.get("STREAMLIT_SECRETS_FILES"):
        return []
    there = [Path.home() / ".streamlit" / "secrets.toml", folder / ".streamlit" / "secrets.toml"]
    return [*there, here] if here.parent.is_dir() else []


def _wants_window(no_browser: bool) -> bool:
    return not no_browser and (
        sys.platform != "linux" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
    )


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


def _environment(args: argparse.Namespace, url: str) -> dict[str, str]:
    env = dict(os.environ)
    # The server may start in another folder; "here" must still mean the user's.
    env.setdefault("BRAINLM_ROOTS", os.pathsep.join([str(Path.home()), str(Path.cwd())]))
    env["BRAINLM_URL"] = url
    # Files of the folder where the command was given are no modules of ours: not app.py, not brainlm_core.py.
    env["PYTHONSAFEPATH"] = "1"
    env["BRAINLM_OPEN_WINDOW"] = "1" if _wants_window(args.no_browser) else ""
    if args.model:
        folder = Path(args.model).expanduser()
        local = folder.is_dir() and not args.scheduler
        env["BRAINLM_MODEL"] = str(folder.resolve()) if local else args.model
    if args.scheduler:
        env["BRAINLM_SCHEDULER"] = args.scheduler
    if args.open_to_everyone:
        env["BRAINLM_OPEN_TO_EVERYONE"] = "1"
    if args.no_login:
        env["BRAINLM_NO_LOGIN"] = "1"
    if args.public_url:
        env["BRAINLM_PUBLIC_URL"] = " ".join(args.public_url)
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
