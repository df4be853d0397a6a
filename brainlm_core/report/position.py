"""Where a recording lies among others, in the model's embedding and in that of its random-weights twin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from brainlm_core.base.atlas import Parcellation
from brainlm_core.base.errors import AnalysisError
from brainlm_core.base.recording import Recording
from brainlm_core.base.shown import Shown
from brainlm_core.features.embedding.analysis import EmbeddingMap, Placement, make_map

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine


@dataclass(frozen=True, eq=False, repr=False)
class Position(Shown):
    """A recording on the map of the bundled cohort.

    Parameters
    ----------
    drawn, twin_drawn : EmbeddingMap
        Principal components of the summary token, by the model and by its random twin.
    placed, twin_placed : Placement
        The recording on each.
    parcellation : Parcellation
        Of the recording.
    notices : tuple of str
        What a reader must know.
    """

    drawn: EmbeddingMap
    placed: Placement
    twin_drawn: EmbeddingMap
    twin_placed: Placement
    parcellation: Parcellation
    notices: tuple[str, ...]

    first_figure: ClassVar[str] = "place"

    def in_words(self) -> str:
        """Return how the recording lies to the cohort, one line."""
        return self.placed.sentence()


def position(engine: Engine, recording: Recording) -> Position:
    """Embed a recording and place it among those of the bundled cohort.

    Raises
    ------
    AnalysisError
        If the bundled cohort was embedded with another model.
    EngineError, ConfigError
        If the model cannot embed this recording.
    """
    from brainlm_core.cohort.features import embed_recording
    from brainlm_core.cohort.reference import reference_cohort

    cohort = reference_cohort()
    made_with = str(cohort.provenance.model.get("model_name", ""))
    if made_with != engine.info.model_name:
        raise AnalysisError(
            f"the bundled cohort was embedded with the model {made_with!r}", "choose that model to be placed"
        )
    if not cohort.provenance.fits_input(engine.info.recipe):
        raise AnalysisError(
            "the bundled cohort was embedded with each recording's own scaling",
            "choose --scaling recording and gain 1 to be placed",
        )
    drawn, twin = make_map(cohort, "pca", "cls"), make_map(cohort, "pca", "twin_cls")
    notices = (
        ("The cohort is simulated: no person was scanned for it.",) if cohort.provenance.simulated else ()
    )
    return Position(
        drawn,
        drawn.place(embed_recording(engine, recording).cls),
        twin,
        twin.place(embed_recording(engine.twin(), recording).cls),
        recording.parcellation,
        notices,
    )
