"""The tabs of the Model page: the card's figures, what choices change, input scale, cost, limits."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import streamlit as st

from app.components.strip import baseline_strip
from app.model import charts
from app.model.work import (
    COST,
    chosen_options,
    cost_task,
    doctor_task,
    side_key,
    sweep_task,
)
from app.shell import tasks
from app.shell.model_chooser import chooser, device_controls, title_of
from app.shell.recipe import KINDS, recipe_controls, use
from app.shell.session import Visitor
from app.shell.task_bar import task_bar
from app.shell.tasks import Task
from app.shell.words import facts, note
from brainlm_core.base.recording import Recording
from brainlm_core.features.shared.model_card import CARD_NAME, BarDistance, CardTable, load_card
from brainlm_core.inference.weights import BUNDLED, bundled_folder, default_folder

#: What the training choices mean, one line each.
CHOICES = (
    (
        "Hidden share",
        "Hide little, and neighbours in time and space answer; hide most, and only what is common to all "
        "brains is left. The published models were trained at 20 to 90 %.",
    ),
    (
        "Length of a piece",
        "A short hole can be bridged by a straight line. One longer than the signal's memory, a few seconds, "
        "can only be filled from other parcels.",
    ),
    (
        "Scaling",
        "Median and interquartile range resist spikes; mean and SD do not. A model sees only what its "
        "scaling leaves: absolute levels are gone in all of them.",
    ),
    (
        "Window",
        "200 samples, 144 s at 0.72 s: too short to know one person's connectivity well, so what is filled "
        "in is in part the average person.",
    ),
)
#: What cannot be expected, in three groups.
LIMITS = (
    (
        "Of fMRI itself",
        (
            "The signal follows blood, seconds after neurons, and mixes in heart, breath and motion.",
            "About half of the variance at 0.72 s is noise that nothing can fill in.",
            "Two parcels that go together need not be connected, and which leads cannot be read off.",
        ),
    ),
    (
        "Of the training",
        (
            "Few people: 15 from HCP, 871 from ABIDE, most of them young. Other ages, scanners, tasks and "
            "illnesses are extrapolation.",
            "Filling in rewards what is predictable. What is rare, small or fast leaves no trace.",
            "A model that knows the group fills in the group: a map of one scan is partly everybody's.",
        ),
    ),
    (
        "Of what is shown here",
        (
            "Responses are what the model expects, embeddings are what it keeps, and attention is what it "
            "reads only where taking it away changes the answers. None of them is a cause.",
            "What a model shows of one scan may be what all brains share: Networks and Perturb ask the same "
            "of no scan, and claim only what stands above that.",
            "A score without its baseline says nothing. Every score here has one, and several lose to it.",
            "For research only. Not for diagnosis.",
        ),
    ),
)


def card(who: Visitor, _: Recording) -> None:
    """Draw the figures of the model's card beside their baselines; the default's where it has none."""
    folder = _card_folder(who)
    shown = load_card(folder)
    if shown is None:
        note("The bundled model card is missing; reinstall BrainLM Explorer.")
        return
    if folder != default_folder():
        note(f"Figures of {title_of(who.model.name)}, from its own card.")
    elif who.model.name != "default":
        note(f"{title_of(who.model.name)} comes without a card of figures. These are the default model's.")
    note(f"On recordings that the model was never fitted on. Intervals: {shown.intervals}.")
    columns = st.columns(2, gap="large")
    for i, table in enumerate(shown.tables):
        with columns[i % 2]:
            _table(table)
    if shown.distance_to_bars:
        st.subheader("Against what simple methods reach")
        rows = [_distance(bar) for bar in shown.distance_to_bars]
        st.dataframe(
            rows, hide_index=True, alt="How far the model is from each bar, and whether it is reached."
        )
    text = folder / "MODEL_CARD.md"
    if text.is_file():
        with st.expander("The whole card"):
            st.markdown(text.read_text("utf-8", errors="replace").partition("\n")[2])


def _card_folder(who: Visitor) -> Path:
    bundled = who.model.name in BUNDLED
    folder = bundled_folder(who.model.name) if bundled else Path(who.model.name)
    return folder if (folder / CARD_NAME).is_file() else default_folder()


def _distance(bar: BarDistance) -> dict[str, str]:
    pairs = zip(bar.columns, bar.distance, strict=True)
    return {
        "Bar": bar.bar[:1].upper() + bar.bar[1:],
        "Distance": ", ".join(f"{c}: {d:+.3f}" for c, d in pairs).replace("-", "−"),
        "Reached": "yes" if bar.reached else "no",
    }


def _table(table: CardTable) -> None:
    column = 0
    if len(table.columns) > 1:
        column = st.selectbox(
            table.title,
            range(len(table.columns)),
            format_func=lambda i: _column(table, i),
            key=f"md-card-{table.key}",
        )
    rows = charts.card_rows(table, column)
    known = [v for r in rows if r.value is not None for v in (r.value, *(r.interval or ()))]
    if not known:
        return
    # A hopeless baseline must not press the others together.
    low = max(min(known), -0.6)
    shown = [r for r in rows if r.value is None or r.value >= low]
    left_out = [r for r in rows if r not in shown]
    st.html(
        baseline_strip(shown, title=_column(table, column), limits=(min(low, 0.0), max(known)), decimals=3)
    )
    if left_out:
        note(
            "Off the scale: " + ", ".join(f"{(r.label or '').lower()} {r.value:.3f}" for r in left_out) + "."
        )


def _column(table: CardTable, i: int) -> str:
    """Return a column in words; two columns of one name are told apart by the one before."""
    name = table.columns[i]
    if table.columns.count(name) > 1:
        name = f"{table.columns[i - 1]}, {name}"
    if name.isdigit() and table.columns[0].startswith("step"):
        name = f"step {name}"
    return name[:1].upper() + name[1:]


def choices(who: Visitor, recording: Recording) -> None:
    """Say what the training choices mean, and draw how they change the result on this scan."""
    found = _background(who, sweep_task(who, recording, chosen_options(recording)))
    if found is not None:
        for column, one in zip(st.columns(2, gap="large"), found, strict=True):
            with column:
                what = "how much is hidden" if one.name == "share" else "how long the hidden pieces are"
                st.html(f'<p class="b-note"><b>Explained variance by {what}</b></p>')
                st.plotly_chart(
                    charts.sweep_figure(one),
                    key=f"md-sweep-{one.name}",
                    config={"displayModeBar": False},
                    alt=f"Explained variance of the model and of every baseline by {what}.",
                )
        note("This scan, window and scaling. Interpolation, worse throughout, is left out.")
    cells = "".join(f"<dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd>" for k, v in CHOICES)
    st.html(f'<dl class="b-facts">{cells}</dl>')


def input_scale(who: Visitor, recording: Recording) -> None:
    """Draw the input recipe in use, the input-scale doctor's curves and finding."""
    left, right = st.columns([3, 2], gap="large")
    with right:
        recipe_controls(who, recording)
    with left:
        found = _background(who, doctor_task(who, recording))
        if found is None:
            return
        st.plotly_chart(
            charts.gain_figure(found),
            key="md-gain",
            config={"displayModeBar": False},
            alt="Explained variance of hidden pieces by the gain that the signals are multiplied with, for "
            "each kind of scaling.",
        )
    with right:
        st.markdown(f"**{html.escape(found.sentence, quote=False)}**")
        recipe = found.recipe
        mine = who.model.recipe
        if (recipe.kind, recipe.gain) != (mine.kind, mine.gain):
            if st.button(f"Use this recipe ({recipe.in_words()})", key="md-use-recipe", type="primary"):
                use(who, recipe)
        else:
            note("This recipe is in use on every page.")
        rows = [
            ("This model, best recipe", found.best_r2),
            ("The same, parcels share nothing", found.shuffled_r2),
        ]
        if found.ridge_r2 is not None:
            rows.append(("Ridge from visible parcels", found.ridge_r2))
        if found.logged_r2 is not None:
            rows.append(("Logged by the authors, their data", found.logged_r2))
        facts([(name, f"R² {value:.3f}") for name, value in rows])
    for kind, why in found.not_tried.items():
        note(f"Not tried: {KINDS[kind]}. {why[:1].upper()}{why[1:]}.")
    note(
        "The same 20 % of pieces are hidden each time, and every answer is brought back into units of this "
        "recording's own scaling, so that all recipes are judged alike. Authors' figures: the best logged "
        "while training, 20 % hidden for 13M and 75 % for 650M."
    )
    note("Not shown: whether the scan is healthy. A right scale does not make a right domain.")


def machine(who: Visitor, _: Recording) -> None:
    """Draw weights, device, cost on this machine, and equality with the published code."""
    left, middle, right = st.columns(3, gap="large")
    with left:
        st.subheader("Weights")
        chooser(who, "page")
    with middle:
        st.subheader("Device and cost")
        device_controls(who)
        tasks.look(who, COST)
        task_bar(who, COST)
        if COST not in who.tasks and st.button("Measure on this machine", key="md-measure"):
            tasks.start(who, cost_task(who))
            st.rerun()
        found = who.results.get(side_key(who, COST))
        if found is not None:
            facts(
                [
                    ("Runs on", f"{found.device.upper()}, {found.precision}"),
                    ("Embedding", _seconds(found.encode_s)),
                    ("Attention maps", _seconds(found.attention_s)),
                    ("Filling in", _seconds(found.reconstruct_s)),
                    ("Loading", _seconds(found.load_s)),
                    ("Weights", f"{found.weights_mb:.0f} MB"),
                    ("Peak above that", "not told" if found.peak_mb is None else f"{found.peak_mb:.0f} MB"),
                ]
            )
            note(f"One window of 200 samples and {found.n_parcels} parcels, in a process of its own.")
    with right:
        st.subheader("Equal to the published code")
        _verified()


def _verified() -> None:
    from app.shell.server_cache import verified
    from brainlm_core.features.verify.analysis import TOLERANCE

    for result in verified():
        family = "Image tokens (111M, 650M)" if "vit" in result.case else "Parcel tokens (13M)"
        rows = [(family, "equal" if result.passed else "DIFFERS")]
        rows.append(("Masks", "exactly equal" if result.mask_equal else "differ"))
        for name, value in result.max_abs_error.items():
            if value is not None:
                rows.append(
                    (name.capitalize(), f"off by {value:.0e} at most (allowed {TOLERANCE[name]:.0e})")
                )
        facts(rows)
    note(
        "Small models with random weights, run here once since the server started, against stored answers of "
        "the published code: `brainlm verify`."
    )


def limits(_: Visitor, __: Recording) -> None:
    """Say where the pictures end."""
    for column, (title, lines) in zip(st.columns(3, gap="large"), LIMITS, strict=True):
        with column:
            st.subheader(title)
            st.markdown("\n".join(f"- {line}" for line in lines))


def _background(who: Visitor, task: Task[Any]) -> Any:
    """Start what a tab needs when it is looked at; show how far it is; return the answer once it is there."""
    found = who.results.get(task.key)
    if found is None and who.model_error is None:
        found = tasks.run(who, task).result
        task_bar(who, task.slot)
    return found


def _seconds(value: float) -> str:
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.1f} s"
