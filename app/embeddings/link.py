"""What of the Embeddings page belongs into its address: colour, maps, the picked recording, the open tab."""

from __future__ import annotations

import streamlit as st

from app.embeddings import charts
from app.embeddings.state import Desk
from app.embeddings.work import kinds_of
from app.shell.links import Setting, keep, one_of, restore
from app.shell.session import Visitor
from brainlm_core.features.embedding.analysis import METHOD_WORDS

#: What stands beside the map: nothing, or a file of the visitor, which no link carries.
NOTHING, OTHER = "nothing", "other"
#: Where the picked recording lies between address and desk; no widget has this key.
_PICKED = "emb-scan"
_LINK, _SERIAL = "emb-link", "emb-link-serial"


def columns_of(own: Desk) -> list[str]:
    """Return what the points can be coloured by."""
    return [*charts.colour_columns(own.cohort.table()), "trust"]


def settings(own: Desk, tabs: list[str]) -> tuple[Setting, ...]:
    """Return what belongs into the address; the cohort in hand says what makes sense."""
    serial, columns, kinds = own.serial, columns_of(own), kinds_of(own.cohort)
    ids = own.cohort.ids if _everyone_has(own) else ()
    return (
        Setting(f"emb-colour-{serial}", "colour", columns[0], one_of(columns)),
        Setting(f"emb-kind-{serial}", "layer", kinds[0], one_of(kinds)),
        Setting(f"emb-method-{serial}", "map", next(iter(METHOD_WORDS)), one_of(METHOD_WORDS)),
        Setting(f"emb-beside-{serial}", "beside", NOTHING, one_of([NOTHING, *kinds, *METHOD_WORDS])),
        Setting(_PICKED, "scan", None, one_of(ids)),
        Setting("emb-tabs", "tab", tabs[0], one_of(tabs)),
    )


def take_link(who: Visitor, own: Desk, tabs: list[str]) -> None:
    """Take over the address; what fits only another cohort waits for the first one that is given."""
    state = st.session_state
    if _LINK not in state:
        state[_LINK], state[_SERIAL] = dict(st.query_params), own.serial
    restore(who, "embeddings", lambda: settings(own, tabs))
    if state[_SERIAL] != own.serial:
        waiting, state[_LINK], state[_SERIAL] = state[_LINK], {}, own.serial
        for setting in settings(own, tabs):
            value = setting.read(waiting[setting.name]) if setting.name in waiting else None
            if value is not None and setting.key != "emb-tabs":
                state[setting.key] = value
    picked = state.pop(_PICKED, None)
    if picked is not None:
        own.picked = own.cohort.ids.index(picked)


def keep_link(who: Visitor, own: Desk, tabs: list[str]) -> None:
    """Write the address."""
    state = st.session_state
    if own.picked is not None and _everyone_has(own):
        state[_PICKED] = own.cohort.ids[own.picked]
    wanted = settings(own, tabs)
    keep(who, [s for s in wanted if state.get(s.key) != OTHER])
    state.pop(_PICKED, None)


def _everyone_has(own: Desk) -> bool:
    """Whether the recordings are public: names of other people's recordings do not go into addresses."""
    from brainlm_core.cohort import abide, reference

    return own.name in (reference.NAME, abide.NAME)
