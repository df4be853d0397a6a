"""What one visitor has in hand. Lives in ``st.session_state`` only, so no other visitor can reach it."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from app.shell.intake import INTAKE
from app.shell.jobs import Job
from app.shell.tasks import Results, Run, State, drop, failure
from app.shell.visitor_cleanup import look_after, was_seen_off
from brainlm_core.base.errors import BrainLMError
from brainlm_core.base.fair_lock import OWNER
from brainlm_core.base.input_recipe import DEFAULT_RECIPE, InputRecipe
from brainlm_core.base.recording import Recording

if TYPE_CHECKING:
    from brainlm_core.inference.engine import Engine

#: Model that new visitors start with; `brainlm app --model` sets it.
MODEL_VARIABLE = "BRAINLM_MODEL"
#: Scheduler whose workers hold the models; `brainlm app --scheduler` sets it. Empty: this process does.
SCHEDULER_VARIABLE = "BRAINLM_SCHEDULER"
#: Results kept per visitor; the oldest goes first.
MAX_RESULTS = 6
#: Slots of tasks that outlive the recording and the model in hand.
OUTLIVES = frozenset({INTAKE})


def scheduler() -> str:
    """Return the address of the scheduler whose workers hold the models; empty when this process does."""
    return os.environ.get(SCHEDULER_VARIABLE, "")


@dataclass(frozen=True)
class ModelChoice:
    """The model a visitor works with.

    Parameters
    ----------
    name : str
        As :func:`brainlm_core.inference.weights.load` takes it.
    licence_accepted : bool
        Whether this visitor has accepted the licence of published weights.
    device, precision : str
        As :func:`brainlm_core.inference.engine.get_engine` takes them.
    recipe : InputRecipe
        How recordings are scaled for the model, on every page.
    """

    name: str = field(default_factory=lambda: os.environ.get(MODEL_VARIABLE, "default"))
    licence_accepted: bool = False
    device: str = "auto"
    precision: str = "auto"
    recipe: InputRecipe = DEFAULT_RECIPE

    def engine(self, progress: Callable[[float, str], None] | None = None, *, precision: str = "") -> Engine:
        """Return the engine for the choice, in this process or on a worker of the scheduler.

        Raises as :func:`brainlm_core.inference.weights.load`, and where nobody answers. ``precision``
        overrides the choice where an analysis does not stand another one.
        """
        settings: dict[str, Any] = {
            "device": self.device,
            "precision": precision or self.precision,
            "progress": progress,
            "recipe": self.recipe,
        }
        if address := scheduler():
            from brainlm_core.inference.weights import licence_accepted
            from brainlm_core.remote.engine import RemoteEngine

            accepted = self.licence_accepted or licence_accepted()
            return RemoteEngine.on(address, self.name, accept_licence=accepted, **settings)
        from brainlm_core.inference.engine import get_engine

        return get_engine(self.name, accept_licence=self.licence_accepted, **settings)

    def twin(self, *, precision: str = "") -> Engine:
        """Return the engine of the same architecture with random weights."""
        name = self.name if self.name.startswith("random:") else f"random:{self.name}"
        return replace(self, name=name).engine(precision=precision)


@dataclass
class Visitor:
    """All that belongs to one visitor.

    Parameters
    ----------
    recording : Recording or None
        The recording in hand; None only before the first page has chosen the demo.
    key : str
        Identifies the recording among this visitor's results; changes with every new recording.
    demo_index : int or None
        Which bundled demo it is.
    picked : int or None
        Parcel picked last, 0-based, on whatever page.
    model : ModelChoice
        The model in use.
    device, licence : str
        Of the model in use, in words; empty until it is loaded.
    model_error : BrainLMError or None
        Why the model that a link asks for is not in use; nothing is computed until it was read.
    last_attempt : str
        Signature of the last drop, so that a rerun does not read the same file again.
    last_choice : int, str or None
        What the list of ready recordings said when it was last acted upon.
    drop_count : int
        Changes whenever the settings beside the drop zone must be emptied.
    read_uploads : set of str
        Numbers of the dropped files that are in hand, or were: they are not read again.
    tasks : dict
        What was asked for and has no answer, by slot (see :mod:`app.shell.tasks`).
    results : Results
        What was computed from the recording in hand.
    lost : bool
        Whether the page had an earlier session, whose scan is gone; until there is a new recording.
    token : str
        Tells visitors apart in the queue before the model; nobody sees it.
    """

    recording: Recording | None = None
    key: str = ""
    demo_index: int | None = None
    picked: int | None = None
    model: ModelChoice = field(default_factory=ModelChoice)
    device: str = ""
    licence: str = ""
    model_error: BrainLMError | None = None
    last_attempt: str = ""
    last_choice: int | str | None = None
    drop_count: int = 0
    read_uploads: set[str] = field(default_factory=set)
    tasks: dict[str, Run] = field(default_factory=dict)
    results: Results = field(default_factory=lambda: Results(MAX_RESULTS))
    lost: bool = False
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def jobs(self) -> dict[str, Job[Any]]:
        """What runs now, by slot."""
        return {slot: run.job for slot, run in list(self.tasks.items()) if run.state is State.RUNNING}

    @property
    def intake_error(self) -> BrainLMError | None:
        """Why the last scan could not be read."""
        return failure(self, INTAKE)

    def take(self, recording: Recording, *, demo_index: int | None = None) -> None:
        """Put a new recording in hand and let go of everything computed from the old one."""
        self.recording = recording
        self.demo_index = demo_index
        self.key = fingerprint(recording)
        self.picked = None
        self.lost = False
        drop(
            self,
            *[slot for slot, run in self.tasks.items() if slot not in OUTLIVES or run.state != State.RUNNING],
        )
        self.results.clear()

    def change_model(self, choice: ModelChoice) -> None:
        """Use another model; what is running for the old one stops, the recording stays."""
        if choice.name == self.model.name or choice.recipe != self.model.recipe:
            # computed elsewhere, with other bits, or from signals that are scaled otherwise
            self.results.clear()
        self.model = choice
        self.model_error = None
        self.device = self.licence = ""
        drop(self, *[slot for slot in self.tasks if slot not in OUTLIVES])

    def leave(self) -> None:
        """Stop what is running and let go of everything: this visitor has gone."""
        drop(self, *list(self.tasks))
        self.results.clear()
        self.recording = None
        self.key = ""


def fingerprint(recording: Recording) -> str:
    """Return a digest of the signals and the sampling interval."""
    digest = hashlib.sha256(recording.signals.tobytes())
    digest.update(f"{recording.tr_s}{recording.parcellation.name}".encode())
    return digest.hexdigest()[:16]


def visitor() -> Visitor:
    """Return this visitor's state, with a demo recording in hand from the first moment."""
    if "visitor" not in st.session_state:
        st.session_state["visitor"] = Visitor()
        look_after(st.session_state["visitor"].leave)
    who: Visitor = st.session_state["visitor"]
    OWNER.set(who.token)
    if who.recording is None:
        from brainlm_core.scans.demo import demo_recordings

        who.take(demo_recordings()[0], demo_index=0)
        who.lost = was_seen_off()
    return who
