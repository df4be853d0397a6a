"""What one visitor has on the Embeddings page: a cohort, a selection, a picked recording. Theirs alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.shell.intake import no_room_is_a_sentence, plain_name
from app.shell.streamlit_patches.uploads import forget_upload
from app.shell.tasks import Results
from app.shell.visitor_cleanup import has_left
from brainlm_core.base.errors import BrainLMError, ConfigError
from brainlm_core.cohort.embeddings import Embeddings

if TYPE_CHECKING:
    from app.shell.streamlit_patches.uploads import UploadedFile

_STATE = "embeddings-desk"
#: Results kept per visitor.
MAX_KEPT = 24


def _nothing() -> NDArray[np.intp]:
    return np.zeros(0, dtype=np.intp)


@dataclass
class Desk:
    """The cohort in hand and what the visitor has done with it.

    Parameters
    ----------
    cohort : Embeddings
    name : str
        Of the cohort, to show.
    serial : int
        Changes with every new cohort, so that results of the old one are not taken for its own.
    other : Embeddings or None
        The same recordings from another layer or checkpoint, in the same order.
    other_name : str
    selected : ndarray (k,), int
        Rows.
    picked : int or None
        Row.
    turn : int
        The last hand on the map that is known: see :func:`app.components.points_view.points_view`.
    error : BrainLMError or None
        What was wrong with the last thing given.
    told : str
        What the last thing given led to.
    read_uploads : set of str
        Numbers of the dropped files that were read.
    kept : Results
        What was computed from the cohort and for the scan in hand.
    """

    cohort: Embeddings
    name: str
    serial: int = 0
    other: Embeddings | None = None
    other_name: str = ""
    selected: NDArray[np.intp] = field(default_factory=_nothing)
    picked: int | None = None
    turn: int = 0
    error: BrainLMError | None = None
    told: str = ""
    read_uploads: set[str] = field(default_factory=set)
    kept: Results = field(default_factory=lambda: Results(MAX_KEPT))

    def take(self, cohort: Embeddings, name: str) -> None:
        """Put another cohort in hand."""
        self.cohort, self.name = cohort, name
        self.serial += 1
        self.other, self.other_name = None, ""
        self.selected, self.picked, self.error, self.told = _nothing(), None, None, ""
        self.kept.clear()

    def compare_with(self, other: Embeddings, name: str) -> None:
        """Put another layer or checkpoint of the same recordings beside the cohort.

        Raises
        ------
        ConfigError
            If recordings of the cohort are missing in it.
        """
        index = {i: row for row, i in enumerate(other.ids)}
        missing = [i for i in self.cohort.ids if i not in index]
        if missing:
            from brainlm_core.cohort.phenotypes import name_some

            raise ConfigError(
                f"{len(missing)} of {len(self.cohort)} recordings are not in {name}: {name_some(missing)}",
                "embed the same cohort with both models",
            )
        self.other, self.other_name = other.subset([index[i] for i in self.cohort.ids]), name


def desk() -> Desk:
    """Return this visitor's desk, with the bundled cohort on it from the first moment."""
    if _STATE not in st.session_state:
        from brainlm_core.cohort.reference import NAME, reference_cohort

        st.session_state[_STATE] = Desk(reference_cohort(), NAME)
    own: Desk = st.session_state[_STATE]
    return own


def take_upload(own: Desk, file: UploadedFile, role: str) -> None:
    """Read a dropped file: a cohort, another checkpoint of it, or phenotypes; on error all stays as it was.

    Parameters
    ----------
    own : Desk
    file : UploadedFile
    role : {"cohort", "other", "phenotypes"}
    """
    from brainlm_core.base.scratch import scratch
    from brainlm_core.cohort.isolated import read_embeddings_isolated, read_table_isolated

    name = plain_name(file.name)
    own.error, own.told = None, ""
    try:
        with scratch() as folder:
            path = folder / name
            with no_room_is_a_sentence():
                path.write_bytes(file.getbuffer())
            if role == "phenotypes":
                table = read_table_isolated(path, cancelled=has_left())
                serial = own.serial
                own.cohort, matching = own.cohort.with_phenotypes(table, name)
                own.serial = serial
                own.told = f"{name}: {matching.sentence()}"
            else:
                read = partial(read_embeddings_isolated, path, name=name, parcels=False, cancelled=has_left())
                if role == "other":
                    own.compare_with(read(connectivity=False), name)
                else:
                    own.take(read(), name)
    except BrainLMError as error:
        own.error = error
    finally:
        own.read_uploads.add(file.file_id)
        forget_upload(file)
