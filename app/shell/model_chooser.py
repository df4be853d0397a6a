"""The model chip: which weights, under which licence, on which device; opens the chooser."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import streamlit as st

from app.shell.intake import allowed_model_folder, started_locally
from app.shell.session import ModelChoice, Visitor, scheduler
from brainlm_core.base.errors import BrainLMError, ConfigError


@dataclass(frozen=True)
class ModelEntry:
    """One line of the chooser.

    Parameters
    ----------
    name : str
        As :func:`brainlm_core.inference.weights.load` takes it.
    title : str
        In the chooser and on the chip.
    note : str
        One sentence.
    published : bool
        Whether a licence must be accepted and a download may follow.
    """

    name: str
    title: str
    note: str
    published: bool = False


MODELS: tuple[ModelEntry, ...] = (
    ModelEntry("default", "Default model", "Small, bundled, ready at once."),
    ModelEntry(
        "context",
        "Context network",
        "Bundled. A kernel attention network that reads the whole recording beside the window.",
    ),
    ModelEntry("13m", "BrainLM 13M", "Published weights. One token is one parcel for 20 volumes.", True),
    ModelEntry("111m", "BrainLM 111M", "Published weights. One token mixes 16 parcels.", True),
    ModelEntry(
        "650m", "BrainLM 650M", "Published weights. One token mixes 14 parcels; slow without a GPU.", True
    ),
    ModelEntry(
        "random:default", "Random weights", "The default architecture, never trained: a sanity check."
    ),
)
#: How many choices this visitor has made.
_CHOICES = "model-choices"
#: Choice of a folder on this machine; no folder can have this name.
LOCAL = "folder:"


def title_of(name: str) -> str:
    """Return the chip's words for a model name."""
    for entry in MODELS:
        if entry.name == name:
            return entry.title
    if name == LOCAL:
        return "A folder on this machine"
    if name.startswith("random:"):
        return f"{title_of(name.removeprefix('random:'))}, random weights"
    return name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]


def reads_recording(who: Visitor) -> bool:
    """Whether the model in hand reads the whole recording, as the context family does."""
    from brainlm_core.inference.weights import family_of

    try:
        return family_of(who.model.name) == "context"
    except BrainLMError:
        return False  # what is wrong with it is said where it is loaded


def short_licence(licence: str) -> str:
    """Return the name of a licence without what follows it in brackets or after a colon."""
    return re.split(r"\s*[(:;,]", licence, maxsplit=1)[0]


def choose_model(who: Visitor) -> None:
    """Draw the model chip as a popover with the chooser inside; a change runs the page again."""
    words = [title_of(who.model.name), short_licence(who.licence), who.device]
    title = " · ".join(w for w in words if w)
    # A choice that is made has no more use for the list: another key is another popover, which is closed.
    made = st.session_state.get(_CHOICES, 0)
    with (
        st.container(key="model-chip"),
        st.popover(title, icon=":material/neurology:", key=f"model-chip-{made}"),
    ):
        chooser(who, "model")


def chooser(who: Visitor, prefix: str) -> None:
    """Draw the list of models; ``prefix`` keeps the widgets of two lists on one page apart."""
    entries = [*MODELS]
    if all(entry.name != who.model.name for entry in MODELS):
        entries.append(ModelEntry(who.model.name, title_of(who.model.name), "In use now."))
    if started_locally() and not scheduler():  # the folders are here, the model is not
        entries.append(
            ModelEntry(LOCAL, title_of(LOCAL), "With config.json and model.safetensors or pytorch_model.bin.")
        )
    names = [entry.name for entry in entries]
    chosen = st.radio(
        "Model",
        names,
        index=names.index(who.model.name),
        format_func=title_of,
        captions=[entry.note for entry in entries],
        key=f"{prefix}-name-{who.model.name}",
    )
    _details(who, chosen, prefix)
    if who.licence:
        st.caption(f"Licence of the weights in use: {who.licence}")


def device_controls(who: Visitor) -> None:
    """Draw where and with how many bits the model runs; a change runs the page again."""
    devices, precisions = _devices(who.model.device)
    device = st.segmented_control(
        "Device",
        devices,
        default=who.model.device,
        required=True,
        format_func=lambda d: (
            ("Best one there" if scheduler() else "Best one here") if d == "auto" else d.upper()
        ),
        key=f"device-{who.model.device}",
    )
    precision = st.segmented_control(
        "Precision",
        precisions,
        default=who.model.precision if who.model.precision in precisions else "auto",
        required=True,
        format_func=lambda p: "Best for the device" if p == "auto" else p,
        key=f"precision-{who.model.device}-{who.model.precision}",
        help="bf16 and fp16 compute with fewer digits: faster, and a little less exact.",
    )
    if (device, precision) != (who.model.device, who.model.precision):
        _switch(who, replace(who.model, device=device, precision=precision))


def _devices(chosen: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return devices, and precisions of the chosen one: here, or as far as the workers have said."""
    if address := scheduler():
        from brainlm_core.remote.cluster import cluster

        known = cluster(address).known
        devices = dict.fromkeys(["auto", *(d for told in known for d in told.devices), chosen])
        precisions = dict.fromkeys(["auto", *(p for t in known for p in t.precisions.get(chosen, ()))])
        return tuple(devices), tuple(precisions)
    from brainlm_core.inference.devices import available_devices, available_precisions

    return available_devices(), available_precisions(chosen)


def _details(who: Visitor, chosen: str, prefix: str) -> None:
    """Take the choice over, after the licence or the folder where one is needed."""
    if chosen == LOCAL:
        folder = st.text_input("Folder", key=f"{prefix}-folder", placeholder="/data/models/my-brainlm")
        if folder and folder != who.model.name:
            try:
                _switch(who, replace(who.model, name=str(allowed_model_folder(folder))))
            except BrainLMError as error:
                st.error(f"{error.what[:1].upper()}{error.what[1:]}. {error.fix[:1].upper()}{error.fix[1:]}.")
        return
    published = any(entry.published for entry in MODELS if entry.name == chosen)
    if published and not (who.model.licence_accepted or _accepted_on_this_machine()):
        st.caption(
            "These weights are under [CC BY-NC-ND 4.0](https://creativecommons.org/licenses/by-nc-nd/4.0/): "
            f"no commercial use, no changed copies. {_whereabouts(chosen)}"
        )
        if st.button("Accept the licence and use it", key=f"{prefix}-accept-licence", type="primary"):
            _switch(who, replace(who.model, name=chosen, licence_accepted=True))
        return
    if chosen != who.model.name:
        _switch(who, replace(who.model, name=chosen))


def _whereabouts(name: str) -> str:
    """Say whether published weights are here, how large the download is, where to put them by hand."""
    if scheduler():  # the workers keep them, not this machine
        return "They are downloaded once."
    from brainlm_core.inference import hub
    from brainlm_core.inference.weights import PUBLISHED

    published = PUBLISHED[name]
    if hub.cached(published.folder) is not None:
        return "They are on this machine already."
    text = f"They are downloaded once, {published.size_mb:,.0f} MB."
    if started_locally():
        names = " and ".join(f"`{file}`" for file in hub.FILES)
        text += (
            f" Without internet, put {names} of `{hub.REPOSITORY}/{published.folder}` "
            f"into `{hub.folder_by_hand(published.folder)}`."
        )
    return text


def _accepted_on_this_machine() -> bool:
    from app.shell.server_cache import licence_accepted

    return licence_accepted()


def _switch(who: Visitor, choice: ModelChoice) -> None:
    who.change_model(choice)
    st.session_state[_CHOICES] = st.session_state.get(_CHOICES, 0) + 1
    st.rerun()


def use_model(who: Visitor, name: str) -> None:
    """Work with the model that a link or a scenario names, if that needs nobody's consent.

    Raises
    ------
    ConfigError
        If it is a folder, or published weights whose licence nobody accepted: a link must not load those.
    """
    if name == who.model.name:
        return
    free = {entry.name for entry in MODELS if not entry.published}
    if name not in free:
        raise ConfigError(
            f"the link or scenario asks for the model {name}",
            "choose that model in the chip above, then open it again",
        )
    who.change_model(ModelChoice(name, recipe=who.model.recipe))
