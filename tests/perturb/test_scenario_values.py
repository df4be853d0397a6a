"""Scenarios are values: they survive every way of travelling, and a broken one is refused in a sentence."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainlm_core.base.atlas import YEO7, a424, a424_cortex
from brainlm_core.base.errors import ConfigError
from brainlm_core.features.perturb.scenario import KINDS, READOUTS, Action, Scenario, Target

MINIMAL = {"actions": [{"targets": {"network": "Visual"}, "kind": "add", "amplitude_sd": 2.0}]}
finite = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def target_dicts(draw):  # type: ignore[no-untyped-def]
    if draw(st.booleans()):
        return {"parcels": draw(st.lists(st.integers(1, 424), min_size=1, max_size=30))}
    out = {}
    if draw(st.booleans()):
        out["network"] = draw(st.sampled_from(YEO7))
    if draw(st.booleans()):
        out["hemisphere"] = draw(st.sampled_from(["L", "R", "midline"]))
    if draw(st.booleans()) or not out:
        out["structure"] = draw(st.sampled_from(["cortex", "subcortex", "cerebellum"]))
    return out


@st.composite
def action_dicts(draw):  # type: ignore[no-untyped-def]
    kind = draw(st.sampled_from(sorted(KINDS)))
    out = {"targets": draw(target_dicts()), "kind": kind}
    for number in KINDS[kind]:
        if number.default is None or draw(st.booleans()):
            out[number.key] = draw(st.floats(number.low, number.high))
    if draw(st.booleans()):
        out["onset_s"] = draw(st.floats(0, 1000))
    if draw(st.booleans()):
        out["duration_s"] = draw(st.floats(0.01, 1000))
        out["ramp_s"] = draw(st.floats(0, out["duration_s"] / 2))
    return out


@st.composite
def scenario_dicts(draw):  # type: ignore[no-untyped-def]
    out = {"actions": draw(st.lists(action_dicts(), min_size=1, max_size=4))}
    optional = {
        "readout": st.sampled_from(READOUTS),
        "draws": st.integers(1, 256),
        "seed": st.integers(0, 2**32 - 1),
        "model": st.sampled_from(["default", "13m", "random:default", "dossier/modèle"]),
        "parcellation": st.sampled_from(["A424", "CC200", "ä ö"]),
        "window": st.integers(1, 9),
    }
    for key, values in optional.items():
        if draw(st.booleans()):
            out[key] = draw(values)
    return out


@settings(max_examples=200, deadline=None)
@given(scenario_dicts())
def test_every_way_of_travelling_leads_back(data):  # type: ignore[no-untyped-def]
    scenario = Scenario.from_dict(data)
    assert Scenario.from_dict(scenario.to_dict()) == scenario
    assert Scenario.from_json(scenario.to_json()) == scenario
    url = scenario.to_url()
    assert Scenario.from_url(url) == scenario
    assert url.isascii() and all(c.isalnum() or c in "-_" for c in url)
    assert Scenario.from_json(json.dumps(scenario.to_dict())).to_url() == url
    assert hash(Scenario.from_url(url)) == hash(scenario)


@settings(max_examples=150, deadline=None)
@given(scenario_dicts(), st.data())
def test_a_mangled_address_is_refused_or_means_the_same(data, more):  # type: ignore[no-untyped-def]
    url = Scenario.from_dict(data).to_url()
    at = more.draw(st.integers(0, len(url) - 1))
    how = more.draw(st.sampled_from(["cut", "change", "insert"]))
    letter = more.draw(st.sampled_from("AZaz09-_%=+é "))
    changed = {
        "cut": url[:at],
        "change": url[:at] + letter + url[at + 1 :],
        "insert": url[:at] + letter + url[at:],
    }[how]
    try:
        again = Scenario.from_url(changed)
    except ConfigError as error:
        assert "address" in str(error)
    else:  # unused bits of the last letter carry nothing
        assert again == Scenario.from_url(url)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | finite | st.text(max_size=5),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(
                st.sampled_from(["actions", "targets", "kind", "parcels", "readout", "x"]), x, max_size=3
            )
        ),
        max_leaves=8,
    )
)
def test_nothing_but_a_sentence_comes_out_of_nonsense(data):  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError) as caught:
        Scenario.from_dict(data)
    assert caught.value.what and caught.value.fix and "\n" not in str(caught.value)


def change(**changes):  # type: ignore[no-untyped-def]
    action = {**MINIMAL["actions"][0], **changes}
    return {"actions": [{k: v for k, v in action.items() if v is not ...}]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "JSON object"),
        ({}, "no actions"),
        ({"actions": []}, "no actions"),
        ({**MINIMAL, "colour": 1}, "unknown key 'colour'"),
        ({**MINIMAL, "readout": "past"}, "readout"),
        ({**MINIMAL, "draws": 0}, "draws"),
        ({**MINIMAL, "draws": 1.5}, "draws"),
        ({**MINIMAL, "draws": True}, "draws"),
        ({**MINIMAL, "seed": -1}, "seed"),
        ({**MINIMAL, "model": ""}, "model"),
        ({**MINIMAL, "window": 0}, "window"),
        (change(targets=...), "no targets"),
        (change(targets={}), "empty"),
        (change(targets={"parcels": []}), "no parcel"),
        (change(targets={"parcels": [0]}), "parcel 0"),
        (change(targets={"parcels": [1.5]}), "parcel 1.5"),
        (change(targets={"parcels": [True]}), "parcel True"),
        (change(targets={"parcels": "all"}), "no parcel"),
        (change(targets={"parcels": [1], "network": "Visual"}), "mixes"),
        (change(targets={"network": "Tactile"}), "unknown network"),
        (change(targets={"lobe": "occipital"}), "unknown key"),
        (change(targets="Visual"), "JSON object"),
        (change(kind=...), "no kind"),
        (change(kind="explode"), "unknown kind"),
        (change(kind=["add"]), "unknown kind"),
        (change(amplitude_sd=...), "no amplitude_sd"),
        (change(amplitude_sd=11), "amplitude_sd"),
        (change(amplitude_sd=float("nan")), "amplitude_sd"),
        (change(amplitude_sd=10**400), "amplitude_sd"),
        (change(amplitude_sd="2"), "no number"),
        (change(factor=2), "takes no factor"),
        (change(onset_s=-1), "onset_s"),
        (change(duration_s=0), "lasts 0 s"),
        (change(duration_s=10, ramp_s=6), "ramps"),
        (change(when=3), "unknown key"),
        (change(kind="sine", amplitude_sd=...), "no frequency_hz"),
        (change(kind="scale", amplitude_sd=..., factor=-1), "factor"),
        (change(kind="delay", amplitude_sd=..., delay_s=100), "delay_s"),
    ],
)
def test_each_mistake_has_its_sentence(data, words):  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        Scenario.from_dict(data)


def test_the_house_example_reads_with_all_defaults():  # type: ignore[no-untyped-def]
    text = (
        '{"actions": [{"targets": {"network": "Visual"}, "kind": "add", "amplitude_sd": 2.0, "onset_s": 20, '
        '"duration_s": 30, "ramp_s": 0}], "readout": "both", "draws": 8, "seed": 0, "model": "default"}'
    )
    scenario = Scenario.from_json(text)
    assert scenario == Scenario(
        (Action(Target(network="Visual"), "add", 2.0, onset_s=20.0, duration_s=30.0),),
        "both",
        8,
        0,
        "default",
    )
    assert Scenario.from_dict(MINIMAL).readout == "both"


def test_a_scenario_cannot_be_changed():  # type: ignore[no-untyped-def]
    with pytest.raises(FrozenInstanceError):
        Scenario.from_dict(MINIMAL).draws = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    "text", ['{"actions": [}', "", "[" * 100_000, '{"actions": [], "actions": []}', "\xff", "NaN"]
)
def test_text_that_is_no_json_is_refused(text):  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match=r"JSON|no actions"):
        Scenario.from_json(text)
    with pytest.raises(ConfigError, match=r"JSON|no actions"):
        Scenario.from_json(text.encode("latin-1"))


@pytest.mark.parametrize("text", ["", "1", "2abc", "hello", "1" + "A" * 500, "1eJw"])
def test_an_address_of_nonsense_is_refused(text):  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="damaged"):
        Scenario.from_url(text)


def test_an_address_cannot_unpack_to_a_bomb():  # type: ignore[no-untyped-def]
    import base64
    import zlib

    bomb = "1" + base64.urlsafe_b64encode(zlib.compress(b" " * 50_000_000, 9)).decode().rstrip("=")
    with pytest.raises(ConfigError, match="damaged"):
        Scenario.from_url(bomb)


def test_a_missing_file_is_a_sentence(tmp_path):  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="cannot be read"):
        Scenario.read(tmp_path / "none.json")


def test_targets_find_their_parcels():  # type: ignore[no-untyped-def]
    parcellation = a424()
    assert Target(parcels=(1, 181)).rows(parcellation).tolist() == [0, 180]
    assert len(Target(network="Visual").rows(parcellation)) == 59
    left = Target(network="Visual", hemisphere="L").rows(parcellation)
    assert 0 < len(left) < 59 and all(parcellation.hemisphere[i] == "L" for i in left)
    assert len(Target(structure="cerebellum").rows(parcellation)) == 28
    with pytest.raises(ConfigError, match="has 360 parcels"):
        Target(parcels=(1, 361)).rows(a424_cortex())
    with pytest.raises(ConfigError, match="no parcel"):
        Target(structure="cerebellum").rows(a424_cortex())


def test_another_parcellation_is_refused():  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="made for CC200"):
        Scenario.from_dict({**MINIMAL, "parcellation": "CC200"}).check_parcellation(a424())
    Scenario.from_dict({**MINIMAL, "parcellation": "A424"}).check_parcellation(a424())
