"""A plan says for every tensor what is read and done, before any weight is read, and names what cannot be done."""

import pytest
import torch
from heterosis.core.checkpoints import SourceSet, TensorInfo
from heterosis.core.errors import ConfigurationError, PluginError
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe

QUERY = "model.layers.0.self_attn.q_proj.weight"
TIES = "merge_method: ties\nbase_model: base\nmodels:\n- {model: one, parameters: {weight: [0.1, 0.9]}}\n- model: two\n"


@pytest.fixture
def planned(checkpoints):
    """Plans a recipe over the shared checkpoints."""
    sources = SourceSet("base", ["one", "two", "lora-one"], checkpoints)
    return lambda text: plan(Recipe.from_yaml(text), sources)


def checkpoints_of(step):
    return tuple(operand.checkpoint for operand in step.sources)


def steps(planned):
    return {tensor.name: tensor.steps[0] for tensor in planned.tensors}


def test_every_tensor_of_the_base_is_planned_in_its_order(planned, checkpoints):
    found = planned(TIES + "parameters: {weight: 0.4}\ndtype: float32\nout_dtype: bfloat16\n")
    base = SourceSet("base", [], checkpoints)["base"]
    assert [tensor.name for tensor in found.tensors] == list(base.tensors)
    assert [tensor.info for tensor in found.tensors] == [
        TensorInfo(info.shape, torch.bfloat16) for info in base.tensors.values()
    ]
    assert found.template.reference == "base"


def test_a_models_own_value_comes_before_everybodys_and_that_before_the_default(planned):
    step = steps(planned(TIES + "parameters: {weight: 0.4, density: 0.7, normalize: false}\n"))
    last = step["model.layers.2.mlp.up_proj.weight"]
    assert (last.method, last.base) == ("ties", ("base", "model.layers.2.mlp.up_proj.weight"))
    assert last.sources == tuple((name, "model.layers.2.mlp.up_proj.weight") for name in ("one", "two"))
    assert last.per_source == {"weight": (0.9, 0.4), "density": (0.7, 0.7)}
    assert (last.shared["normalize"], last.shared["lambda"]) == (False, 1.0)
    assert step["model.layers.0.mlp.up_proj.weight"].per_source["weight"] == (0.1, 0.4)


def test_a_rule_that_does_not_match_leaves_the_value_to_the_next(planned):
    text = TIES.replace("[0.1, 0.9]", "{filter: q_proj, value: 0.8}") + "parameters: {weight: 0.4}\n"
    assert steps(planned(text))[QUERY].per_source["weight"] == (0.8, 0.4)
    assert steps(planned(text))["model.norm.weight"].per_source["weight"] == (0.4, 0.4)


def test_every_tensor_has_a_seed_of_its_own_that_follows_the_recipes(planned):
    text = TIES + "parameters: {weight: 0.4}\n"
    one, again, other = (
        [step.seed for step in steps(planned(text + seed)).values()] for seed in ("", "seed: 0\n", "seed: 1\n")
    )
    assert one == again
    assert len({*one, *other}) == len(one) + len(other)


def test_a_tensors_hash_changes_with_whatever_it_depends_on(planned):
    def hashes(text):
        return {tensor.name: tensor.hash for tensor in planned(text).tensors}

    usual = hashes(TIES + "parameters: {weight: 0.4}\n")
    assert usual == hashes(TIES + "parameters: {weight: 0.4, density: 1.0}\n")
    for change in ("weight: 0.41", "weight: 0.4, lambda: 2", "weight: 0.4, normalize: false"):
        other = hashes(TIES + f"parameters: {{{change}}}\n")
        assert all(other[name] != usual[name] for name in usual)
    for change in ("out_dtype: bfloat16", "dtype: float64\nout_dtype: float32", "seed: 1"):
        other = hashes(TIES + f"parameters: {{weight: 0.4}}\n{change}\n")
        assert all(other[name] != usual[name] for name in usual)
    local = hashes(TIES + "parameters: {weight: [{filter: q_proj, value: 0.5}, {value: 0.4}]}\n")
    assert {name for name in usual if local[name] != usual[name]} == {name for name in usual if "q_proj" in name}


def test_a_base_among_the_models_is_not_merged_into_itself(planned):
    text = TIES.replace("model: two", "model: base") + "parameters: {weight: 0.4}\n"
    assert steps(planned(text))[QUERY].sources == (("one", QUERY),)


def test_a_method_without_a_base_takes_the_first_model_as_its_template(planned):
    found = planned("merge_method: linear\nmodels: [two, one, base]\nparameters: {weight: 1}\n")
    assert found.template.reference == "two"
    step = steps(found)[QUERY]
    assert (step.base, checkpoints_of(step)) == (None, ("two", "one", "base"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TIES, "ties needs a value of 'weight' for lm_head.weight"),
        (TIES + "parameters: {weigth: 0.4}\n", "ties has no parameter 'weigth'. Did you mean 'weight'"),
        (TIES.replace("weight", "wait") + "parameters: {weight: 1}\n", "ties has no parameter 'wait'"),
        (TIES + "parameters: {weight: 1, density: 1.5}\n", r"density = 1.5 is outside \[0.0, 1.0\]"),
        (TIES + "parameters: {weight: 1, density: [0.5, -0.5]}\n", r"density = -0.5 is outside \[0.0, 1.0\]"),
        (TIES + "- model: three\nparameters: {weight: 1}\n", "names 'three'. .*lora-one, one, two"),
        ("merge_method: ties\nmodels: [one, two]\nparameters: {weight: 1}\n", "ties needs a `base_model`"),
        (
            "merge_method: ties\nbase_model: base\nmodels: [base]\nparameters: {weight: 1}\n",
            r"ties merges at least 1 model\(s\) besides the base, not 0",
        ),
        (
            "merge_method: slerp\nbase_model: base\nmodels: [one, two]\nparameters: {t: 1}\n",
            r"slerp merges 1 model\(s\) besides the base, not 2",
        ),
        ("merge_method: passthrough\nmodels: [one, two]\n", r"passthrough merges 1 model\(s\), not 2"),
        ("merge_method: slerp\nbase_model: base\nmodels: [one]\n", "slerp needs a value of 't'"),
    ],
)
def test_what_cannot_be_planned_is_named(planned, text, message):
    with pytest.raises(ConfigurationError, match=message):
        planned(text)


def test_a_parameter_of_another_method_is_passed_over_with_a_warning(planned):
    with pytest.warns(UserWarning, match="ties makes no use of 't'"):
        found = planned(TIES.replace("weight", "t") + "parameters: {weight: 1, t: 0.5}\n")
    assert "t" not in steps(found)[QUERY].shared


def test_an_unknown_method_is_answered_with_the_nearest(planned):
    with pytest.raises(PluginError, match=r"no merge method 'slurp'. Did you mean 'slerp'"):
        planned("merge_method: slurp\nmodels: [one]\n")
