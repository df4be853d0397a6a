"""What libraries print beside this program's own sentence is not for the reader's eyes."""

from __future__ import annotations

import logging
import warnings


def quiet_nibabel() -> None:
    """Keep nibabel from saying on stderr what it repairs in headers; what matters is said in a sentence."""
    warnings.filterwarnings("ignore", category=UserWarning, module=r"nibabel\.")
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL + 1)
