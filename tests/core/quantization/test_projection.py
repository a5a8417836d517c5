"""Re-projection: levels that a target cannot hold become the nearest ones that it can."""

import pytest
from heterosis.core.checkpoints import SourceSet
from heterosis.core.errors import ConfigurationError
from heterosis.core.quantization.level import Level
from heterosis.core.quantization.projection import plan_for
from heterosis.core.recipe import Recipe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def projected(checkpoints, levels, exporter="compressed-tensors", **quantize):
    content = {"merge_method": "passthrough", "models": ["base"], "dtype": "bfloat16"}
    if levels:
        content["quantize"] = {"levels": levels, **quantize}
    recipe = Recipe.from_dict(content)
    return plan_for(recipe, SourceSet(recipe.base_model, recipe.references, checkpoints), exporter)


def labels(plan, module):
    return [tensor.level.label if tensor.level else "none" for tensor in plan.tensors if module in tensor.name]


def test_legal_levels_stay_and_others_become_the_nearest_that_is_not_larger(checkpoints):
    levels = {"qkv": "int4-g16", "down_proj": "hqq:int3-g16-float"}
    plan, replaced = projected(checkpoints, levels | {"o_proj": ["fp8_e5m2", "none", "int5-g8"]})
    assert set(labels(plan, "q_proj")) == {"int4-g16"}
    assert labels(plan, "o_proj")[1:] == ["none", "int5-g8"]
    found = {one.old: one for one in replaced}
    assert set(found) == {"hqq:int3-g16-float", "fp8_e5m2"}
    assert found["hqq:int3-g16-float"].groups == 3
    for one in replaced:
        old, new = Level.parse(one.old), Level.parse(one.new)
        assert new.format.bits((48, 80)) <= old.format.bits((48, 80))
        assert new.quantizer in (old.quantizer, "rtn")
    assert "3 groups" in str(found["hqq:int3-g16-float"])


def test_the_recipe_that_is_written_names_what_was_written(checkpoints):
    plan, _ = projected(checkpoints, {"qkv": "fp6_e3m2"})
    assert plan.recipe.quantize.target == "compressed-tensors"
    again = Recipe.from_yaml(plan.recipe.to_yaml())
    assert again == plan.recipe


def test_embeddings_that_cannot_be_quantised_are_left_as_they_are(checkpoints):
    plan, replaced = projected(checkpoints, {"embedding": "int8-channel", "qkv": "int8-channel"})
    assert labels(plan, "embed_tokens") == ["none"]
    assert [(one.old, one.new, one.groups) for one in replaced] == [("int8-channel", "none", 1)]


def test_exporters_that_quantise_nothing_and_recipes_without_levels_stay_as_they_are(checkpoints):
    plan, replaced = projected(checkpoints, {"qkv": "fp6_e3m2"}, "safetensors")
    assert set(labels(plan, "q_proj")) == {"fp6_e3m2"}
    assert replaced == ()
    assert projected(checkpoints, {})[1] == ()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(["none", "int1-g16", "fp6_e3m2", "int2-g8-float", "int8-g16", "ternary-g16"]),
        min_size=3,
        max_size=3,
    )
)
def test_what_is_projected_is_legal_and_projecting_again_changes_nothing(checkpoints, chosen):
    plan, _ = projected(checkpoints, {"gate_up": chosen})
    second, replaced = plan_for(plan.recipe, plan.sources, "compressed-tensors")
    assert replaced == ()
    assert [tensor.hash for tensor in second.tensors] == [tensor.hash for tensor in plan.tensors]


def test_a_source_that_the_target_cannot_hold_is_refused(checkpoints, monkeypatch):
    from heterosis.plugins.export.compressed_tensors import CompressedTensorsExporter

    monkeypatch.setattr(CompressedTensorsExporter, "refuses_source", lambda *_: "it is odd")
    with pytest.raises(ConfigurationError, match="cannot hold this model: it is odd"):
        projected(checkpoints, {"qkv": "int4-g16"})
