"""What a visitor can take home from the Embeddings page."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from app.embeddings.state import Desk
from app.embeddings.work import Here, MapChoice, here_key
from app.shell.exports import safe_stem
from app.shell.reproduce import reproduce
from app.shell.session import Visitor
from brainlm_core.base.scratch import scratch
from brainlm_core.base.tables import table_bytes
from brainlm_core.cohort.files import write_embeddings
from brainlm_core.features.attribution.result import Attribution
from brainlm_core.features.decode.analysis import DecodeResult
from brainlm_core.features.embedding.analysis import EmbeddingMap


def map_csv(own: Desk, made: EmbeddingMap) -> bytes:
    """Return one row per recording: place on the map, trust, whether it is selected, and all columns."""
    table = own.cohort.table()
    table.insert(1, "selected", np.isin(np.arange(len(table)), own.selected))
    table.insert(1, "trust", made.trust)
    table.insert(1, "map_y", made.xy[:, 1])
    table.insert(1, "map_x", made.xy[:, 0])
    return table_bytes(table)


def parquet(own: Desk, *, selected_only: bool) -> bytes:
    """Return the embeddings as the command line writes and reads them."""
    cohort = own.cohort.subset(own.selected) if selected_only else own.cohort
    with scratch() as folder:
        return write_embeddings(cohort, folder / "embeddings.parquet").read_bytes()


def buttons(own: Desk, made: EmbeddingMap) -> None:
    """Draw the download buttons."""
    stem = safe_stem(own.name)
    with st.container(horizontal=True):
        st.download_button(
            "Map (.csv)",
            lambda: map_csv(own, made),
            f"{stem}-map.csv",
            "text/csv",
            key="emb-map-csv",
            help="One row per recording: place, selection, all columns.",
            on_click="ignore",
        )
        if len(own.selected):
            st.download_button(
                "Selection (.csv)",
                lambda: table_bytes(own.cohort.table().iloc[own.selected], float_format=None),
                f"{stem}-selection.csv",
                "text/csv",
                key="emb-selection-csv",
                on_click="ignore",
            )
            st.download_button(
                "Selected embeddings (.parquet)",
                lambda: parquet(own, selected_only=True),
                f"{stem}-selection.parquet",
                "application/octet-stream",
                key="emb-selection-parquet",
                on_click="ignore",
            )
        st.download_button(
            "All embeddings (.parquet)",
            lambda: parquet(own, selected_only=False),
            f"{stem}.parquet",
            "application/octet-stream",
            key="emb-parquet",
            help="For `brainlm decode`, and for this page.",
            on_click="ignore",
        )


def scripts(who: Visitor, own: Desk, choice: MapChoice) -> None:
    """Offer the scripts of the pictures that this page has drawn."""
    from brainlm_core.cohort.reference import NAME

    state = st.session_state
    asked: dict[str, Any] = {
        "cohort-map": (choice.method, choice.kind, state.get(f"emb-colour-{own.serial}", "trust"))
    }
    scan = own.kept.get(here_key(who))
    here = scan if isinstance(scan, Here) else None
    if here and own.cohort.provenance.cohort == NAME:
        asked["place"] = None
    told = own.kept.get(state.get("emb-decode-asked", ()))
    if isinstance(told, DecodeResult):
        asked["decoding"] = told.options
    key = state.get("emb-attribute-asked", ())
    found = own.kept.get(key)
    if here and isinstance(found, Attribution):
        readout, layer = key[-3:-1]
        asked["attribution"] = (readout, layer, found.options)
    reproduce("emb", asked, model=here.model if here else None, recording=who.recording, cohort=own.cohort)
