"""A parameter's value may differ by layers, module and name; gradients are mergekit's."""

import numpy as np
import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.core.layout import Place, layer_count, place_of
from heterosis.core.settings import Rule, depth_of, dump_setting, parse_setting, value_for
from hypothesis import given, settings
from hypothesis import strategies as st

NUMBERS = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-99, 99), st.booleans())
SPANS = st.tuples(st.integers(0, 40), st.integers(1, 40)).map(lambda pair: (pair[0], pair[0] + pair[1]))
RULES = st.builds(
    Rule,
    value=st.one_of(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=5).map(tuple)),
    layers=st.none() | SPANS,
    module=st.sampled_from([None, "attention", "mlp", "other"]),
    filter=st.none() | st.sampled_from(["*", "", "self_attn", "1.5", "true", "q_proj: #"]),
)
SETTINGS = st.lists(RULES, min_size=1, max_size=4).map(tuple)
ATTENTION = "model.layers.2.self_attn.q_proj.weight"


def at(setting, name, layers=3):
    place = place_of(name)
    return value_for(parse_setting(setting, "test"), name, place, depth_of(place.layer, layers))


@given(SETTINGS)
@settings(deadline=None, max_examples=50)
def test_what_is_dumped_reads_back_the_same(setting):
    assert parse_setting(dump_setting(setting), "test") == setting


@pytest.mark.parametrize(
    ("name", "place"),
    [
        (ATTENTION, Place(2, "attention")),
        ("model.layers.11.mlp.up_proj.weight", Place(11, "mlp")),
        ("model.layers.0.input_layernorm.weight", Place(0, "other")),
        ("model.embed_tokens.weight", Place(None, "other")),
        ("lm_head.weight", Place(None, "other")),
        ("transformer.h.4.attn.c_attn.weight", Place(4, "attention")),
        ("gpt_neox.layers.1.attention.dense.bias", Place(1, "attention")),
        ("model.mylayers.3.mlp.weight", Place(None, "other")),
    ],
)
def test_places_are_told_from_names(name, place):
    assert place_of(name) == place


def test_layers_are_counted_from_the_highest():
    assert layer_count(["model.layers.10.mlp.w", "model.layers.9.mlp.w", "model.norm.weight"]) == 11
    assert layer_count(["model.norm.weight"]) == 0


def test_the_first_rule_that_matches_counts():
    setting = [
        {"layers": [0, 1], "value": 1},
        {"module": "mlp", "value": 2},
        {"filter": "q_proj", "value": 3},
        {"value": 4},
    ]
    assert at(setting, "model.layers.0.mlp.up_proj.weight") == 1
    assert at(setting, "model.layers.1.mlp.up_proj.weight") == 2
    assert at(setting, ATTENTION) == 3
    assert at(setting, "model.norm.weight") == 4
    assert at(setting[:3], "model.norm.weight") is None


def test_all_conditions_of_a_rule_must_be_met():
    setting = {"layers": [2, 3], "module": "attention", "filter": "q_proj", "value": 1}
    assert at(setting, ATTENTION) == 1
    for other in (ATTENTION.replace(".2.", ".1."), ATTENTION.replace("q_proj", "k_proj"), "model.layers.2.mlp.q_proj"):
        assert at(setting, other) is None


def test_layers_end_before_the_second_number_and_leave_out_what_is_in_none():
    setting = {"layers": [1, 3], "value": 1}
    found = [at(setting, f"model.layers.{layer}.mlp.up_proj.weight", 5) for layer in range(5)]
    assert found == [None, 1, 1, None, None]
    assert at(setting, "model.norm.weight", 5) is None


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=6), st.integers(1, 12), st.data())
@settings(deadline=None, max_examples=50)
def test_gradients_are_interpolated_linearly_between_evenly_spread_knots(gradient, layers, data):
    layer = data.draw(st.integers(0, layers - 1))
    t = layer / (layers - 1) if layers > 1 else 1.0
    expected = np.interp(t, np.linspace(0, 1, len(gradient)), gradient) if len(gradient) > 1 else gradient[0]
    found = at(gradient, f"model.layers.{layer}.mlp.up_proj.weight", layers)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert at(gradient, "model.embed_tokens.weight", layers) == gradient[0]


@pytest.mark.mergekit
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=5), st.integers(1, 9), st.data())
@settings(deadline=None, max_examples=30)
def test_gradients_are_mergekits(gradient, layers, data):
    from mergekit.config import evaluate_setting

    layer = data.draw(st.integers(0, layers - 1))
    t = layer / (layers - 1) if layers > 1 else 1.0
    found = at(gradient, f"model.layers.{layer}.mlp.up_proj.weight", layers)
    assert found == pytest.approx(evaluate_setting("", gradient, t, validate=float), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"value": 1, "layer": [0, 1]}, "unknown key 'layer'. Did you mean 'layers'"),
        ({"value": 1, "module": "mpl"}, "unknown module 'mpl'. Did you mean 'mlp'"),
        ({"layers": [0, 1]}, "a rule needs a `value`"),
        ({"value": 1, "layers": [3, 1]}, "upside down or empty"),
        ({"value": 1, "layers": [1, 1]}, "upside down or empty"),
        ({"value": 1, "layers": [-1, 1]}, "upside down or empty"),
        ({"value": 1, "layers": 3}, "two whole numbers, not 3"),
        ({"value": 1, "layers": [0, True]}, "two whole numbers"),
        ("much", "expected a number, true or false, not 'much'"),
        (None, "expected a number"),
        ([], "expected a number"),
        ([1, "much"], "not 'much'"),
        ([1, {"value": 2}], "expected a number"),
        (float("nan"), "must be finite, not nan"),
        ("inf", "must be finite, not inf"),
        ([0, -float("inf")], "must be finite, not -inf"),
        pytest.param(10**400, "must be finite", id="more than a float holds"),
    ],
)
def test_what_is_no_setting_is_refused_with_where_it_stands(content, message):
    with pytest.raises(ConfigurationError, match=rf"recipe, weight: .*{message}"):
        parse_setting(content, "recipe, weight")


def test_exponents_that_yaml_reads_as_text_are_numbers():
    assert parse_setting("1e-3", "test") == (Rule(0.001),)
