"""Environment variables that the program reads: one table, for the documentation and for ``brainlm info``."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["VARIABLES", "Variable"]


@dataclass(frozen=True)
class Variable:
    """One environment variable.

    Parameters
    ----------
    name : str
    default : str
        What holds where it is not set, in words.
    words : str
        What it changes.
    """

    name: str
    default: str
    words: str


#: In the order in which the documentation lists them; without those that the program sets for itself alone.
VARIABLES: tuple[Variable, ...] = (
    Variable(
        "BRAINLM_CACHE",
        "`brainlm` in `$XDG_CACHE_HOME`, else in `~/.cache`",
        "Folder for weights, atlases and public scans that were fetched.",
    ),
    Variable("BRAINLM_OFFLINE", "not set", "Set to anything, nothing is fetched; files at hand are used."),
    Variable(
        "BRAINLM_HUB_REVISION",
        "the commit that this version was tested with",
        "Other commit (40 hexadecimal digits) of the published weights.",
    ),
    Variable(
        "BRAINLM_MODEL", "`default`", "Model that new visitors start with; `brainlm app --model` sets it."
    ),
    Variable(
        "BRAINLM_SCHEDULER",
        "this process",
        "Dask scheduler whose workers hold the models; `brainlm app --scheduler` sets it.",
    ),
    Variable(
        "BRAINLM_PLAIN_TCP",
        "not set",
        "`1` allows a scheduler on another machine without TLS; `--plain-tcp` sets it.",
    ),
    Variable(
        "BRAINLM_ROOTS",
        "home folder and working folder",
        "Folders, parted like `PATH`, below which a browser on this machine may open files by their path.",
    ),
    Variable(
        "BRAINLM_OPEN_TO_EVERYONE",
        "not set",
        "`1` serves other machines without a login; `--open-to-everyone` sets it.",
    ),
    Variable(
        "BRAINLM_NO_LOGIN", "not set", "`1` starts without the login that is set up; `--no-login` sets it."
    ),
    Variable(
        "BRAINLM_PUBLIC_URL",
        "none",
        "Addresses, parted by spaces, under which a proxy or a port forward makes the server reachable; "
        "`--public-url` sets it.",
    ),
    Variable(
        "BRAINLM_SESSION_UPLOAD_MB",
        "largest file (`server.maxUploadSize`) and 64 MB",
        "Megabytes that one visitor may have uploaded at any one time.",
    ),
    Variable("BRAINLM_SESSION_UPLOAD_FILES", "32", "Files that one visitor may have uploaded at one time."),
    Variable(
        "BRAINLM_UPLOADS_MB",
        "half of the machine's memory",
        "Megabytes that all visitors together may have uploaded at any one time.",
    ),
)
