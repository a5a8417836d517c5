"""Tiny models whose matrices 32 divides, and the plan that quantises one of them."""

import pytest
import torch
from heterosis.core.checkpoints import SourceSet
from heterosis.core.executors import LiveExecutor, resident_model
from heterosis.core.plan import plan
from heterosis.core.quiet import no_progress_bars
from heterosis.core.recipe import Recipe
from heterosis.testing.tiny import tiny_model, tiny_tokenizer

TOKENS = torch.arange(1, 25).reshape(2, 12)


@pytest.fixture(scope="session")
def wide(tmp_path_factory):
    """`wide("qwen2", torch.bfloat16)`: a folder with a model of this family, hidden size 64."""
    made = {}

    def make(family="llama", dtype=torch.bfloat16):
        if (family, dtype) not in made:
            folder = tmp_path_factory.mktemp("wide") / family
            with no_progress_bars():
                tiny_model(family, hidden_size=64, intermediate_size=96).to(dtype).save_pretrained(folder)
            tiny_tokenizer().save_pretrained(folder)
            made[family, dtype] = folder
        return made[family, dtype]

    return make


@pytest.fixture(scope="session")
def planned(wide):
    """`planned({"qkv": "int4-g32"}, target="gguf")`: how the model is quantised."""

    def make(levels, family="llama", dtype=torch.bfloat16, target="none"):
        folder = wide(family, dtype)
        content = {"merge_method": "passthrough", "models": [folder.name]}
        if levels:
            content["quantize"] = {"target": target, "levels": levels}
        recipe = Recipe.from_dict(content)
        return plan(recipe, SourceSet(recipe.base_model, recipe.references, folder.parent))

    return make


@pytest.fixture(scope="session")
def simulated_logits():
    """What the search would see of a planned model."""

    def compute(planned):
        dtype = next(iter(planned.tensors)).info.dtype
        model = resident_model(planned.template, dtype)
        LiveExecutor(model).materialise(planned)
        return logits_of(model)

    return compute


def logits_of(model):
    with torch.inference_mode():
        return model(TOKENS).logits


@pytest.fixture(scope="session")
def logits():
    return logits_of
