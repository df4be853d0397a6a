"""The decode panel: which column can be told from the embedding, beside all that needs no model."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.components.strip import baseline_strip
from app.embeddings import decode_charts as figures
from app.embeddings.charts import colour_columns
from app.embeddings.state import Desk
from app.embeddings.work import DECODE, decode_key, decoding
from app.shell import exports, tasks
from app.shell.session import Visitor
from app.shell.task_bar import task_bar
from app.shell.words import note
from brainlm_core.base.errors import BrainLMError
from brainlm_core.base.tables import table_bytes
from brainlm_core.cohort.columns import words
from brainlm_core.features.decode import figures as look
from brainlm_core.features.decode.analysis import DecodeOptions, DecodeResult

PREDICTORS = {
    "ridge": "Ridge",
    "logistic": "Logistic (ridge for numbers)",
    "svm": "Support vectors",
    "mlp": "Small network",
}
#: Fewer sites are not left out whole.
MIN_SITES = 3
#: Columns that say how a scan was made: told by anything, worth nothing.
_ACQUISITION = ("n_volumes", "duration_s", "n_windows")


def targets(own: Desk) -> list[str]:
    """Return the columns that can be decoded, phenotypes first."""
    return [c for c in colour_columns(own.cohort.table()) if c not in _ACQUISITION]


def chosen_options(own: Desk, kind: str) -> DecodeOptions:
    """Draw the controls; return what they ask for."""
    one, two, three = st.columns(3)
    target = one.selectbox("Tell", targets(own), format_func=words, key=f"emb-target-{own.serial}")
    sites = len(set(filter(None, own.cohort.sites)))
    ways = ["people", "site"] if sites >= MIN_SITES else ["people"]
    leave = two.selectbox(
        "Leave out",
        ways,
        index=len(ways) - 1,
        format_func={"people": "People", "site": "Whole sites"}.__getitem__,
        key=f"emb-leave-{own.serial}",
        help="Inside a sample of several sites age is mostly site: leave whole sites out.",
    )
    predictor = three.selectbox(
        "With", list(PREDICTORS), format_func=PREDICTORS.__getitem__, key="emb-predictor"
    )
    return DecodeOptions(
        target=str(target),
        leave_out="site" if leave == "site" and target != "site" else None,
        layer="mean" if kind == "mean" else "cls",
        predictor=predictor,
    )


def ask(own: Desk, options: DecodeOptions) -> None:
    """Remember that a decoding was asked for."""
    st.session_state["emb-decode-asked"] = decode_key(own, options)


def panel(who: Visitor, own: Desk, kind: str) -> None:
    """Draw the panel."""
    options = chosen_options(own, kind)
    asked = st.session_state.get("emb-decode-asked") == decode_key(own, options)
    if not asked:
        tasks.expect(who, DECODE, decode_key(own, options))
        note("Every person is told by models that have not seen them; baselines and chance come with it.")
        st.button("Decode", key="emb-decode", type="primary", on_click=ask, args=(own, options))
        return
    result = decoding(who, own, options)
    if result is None or isinstance(result, BrainLMError):
        task_bar(who, DECODE)
    else:
        draw(result, own)


def draw(result: DecodeResult, own: Desk) -> None:
    """Draw scores, guesses and what they do not say."""
    target = words(result.options.target)
    st.html(f"<p><b>{look.one_sentence(result, target)}</b></p>")
    strip, picture = st.columns(2, gap="large")
    with strip:
        limits = (-0.2, 0.6) if result.metric == "r2" else (0.4, 1.0)
        st.html(baseline_strip(look.strip_rows(result), title=look.measure_words(result), limits=limits))
        people = len(set(result.subjects))
        note(f"{len(result.ids)} recordings of {people} people; {result.folds}.")
        for text in result.notices:
            note(text)
    with picture:
        if result.metric == "r2":
            st.plotly_chart(
                figures.observed_figure(result, target),
                key="emb-observed",
                config={"displayModeBar": False},
                alt=f"Observed {target} against what the model tells of people left out.",
            )
        else:
            _classes(result)
    table = figures.score_table(result)
    form = {
        name: st.column_config.NumberColumn(format="%.2f" if name != "p" else "%.3f")
        for name in (look.measure_words(result), "p")
    }
    st.dataframe(table, hide_index=True, column_config=form, alt="Scores of every method.")
    note(
        "Not shown: mechanism. A score says that people can be told apart on average in this cohort; it is "
        "not good enough to say anything about one person."
    )
    stem = exports.safe_stem(f"{own.name}-{result.options.target}")
    with st.container(horizontal=True):
        st.download_button(
            "Guesses (.csv)",
            lambda: guesses_csv(result),
            f"{stem}-guesses.csv",
            "text/csv",
            key="emb-guesses",
            on_click="ignore",
        )
        st.download_button(
            "Everything (.zip)",
            lambda: exports.saved(result),
            f"{stem}-decode.zip",
            "application/zip",
            key="emb-decode-all",
            help="What `brainlm decode` writes.",
            on_click="ignore",
        )


def _classes(result: DecodeResult) -> None:
    shown = st.segmented_control(
        "Picture",
        ["roc", "calibration"],
        default="roc",
        required=True,
        format_func={"roc": "ROC curve", "calibration": "Calibration"}.__getitem__,
        key="emb-decode-picture",
        label_visibility="collapsed",
    )
    figure = figures.roc_figure(result) if shown == "roc" else figures.calibration_figure(result)
    if figure is None:
        note("This predictor tells classes without probabilities.")
        return
    st.plotly_chart(
        figure,
        key=f"emb-{shown}",
        config={"displayModeBar": False},
        alt=f"{'ROC curves' if shown == 'roc' else 'Told against observed shares'} of {result.classes[-1]}.",
    )
    if len(result.classes) > 2:
        note(f"Drawn for {result.classes[-1]} against the other classes; the score is over all.")


def guesses_csv(result: DecodeResult) -> bytes:
    """Return one row per recording."""
    table: pd.DataFrame = result.table()
    return table_bytes(table)
