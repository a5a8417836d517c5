"""What was measured is what is shipped: the live model and the written one have the same bits, and the same logits."""

import pytest
import torch
from heterosis.core import registry
from heterosis.core.checkpoints import SourceSet
from heterosis.core.checkpoints.statistics import include_statistics
from heterosis.core.executors import LiveExecutor, resident_model, write_model
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe, RecipeModel
from heterosis.core.settings import Rule
from heterosis.core.statistics import needed_statistics
from heterosis.testing.checkpoints import write_tiny
from heterosis.testing.tiny import FAMILIES, tiny_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

SOURCES = {
    "fine-tunes": ["one", "two", "three"],
    "adapters": ["lora-one", "lora-two"],
    "both": ["lora-one", "one", "lora-two"],
}
DTYPES = {
    "float32": {"dtype": "float32"},
    "float32 to bfloat16": {"dtype": "float32", "out_dtype": "bfloat16"},
    "bfloat16": {"dtype": "bfloat16"},
    "stored": {"dtype": None},
}


def recipe_for(method, models, **changes):
    """A recipe in the middle of what a method's parameters may be searched over, else at their defaults."""
    plugin = registry.load("merge_methods", method)
    models = models[: plugin.source_count[1] or len(models)]
    own, shared = [{} for _ in models], {}
    for spec in plugin.parameters:
        if spec.search is not None:
            low, high = spec.search
            for number, parameters in enumerate(own if spec.scope == "source" else [shared]):
                parameters[spec.name] = (Rule(low + (high - low) * (0.4 + 0.15 * number)),)
    return Recipe(
        merge_method=method,
        models=tuple(RecipeModel(model, parameters) for model, parameters in zip(models, own, strict=True)),
        base_model="base" if plugin.base_required else None,
        parameters=shared,
        **{"dtype": "float32", "seed": 11, **changes},
    )


def given_statistics(method, folder):
    """For a method that needs some, texts to gather statistics on."""
    if registry.load("merge_methods", method).needs_statistics is None:
        return {}
    texts = folder / "texts.txt"
    texts.write_text("the quick brown fox jumps over the lazy dog\nand the dog sleeps\n", encoding="utf-8")
    return {"statistics": str(texts)}


def resident(planned):
    executor = LiveExecutor(resident_model(planned.template, planned.tensors[0].info.dtype))
    assert executor.materialise(planned) == len(planned.tensors)
    return executor.model


def check_same_bits(model, tensors):
    state = model.state_dict()
    assert set(tensors) == set(state) - ({"lm_head.weight"} if model.config.tie_word_embeddings else set())
    for name, tensor in tensors.items():
        assert tensor.dtype == state[name].dtype
        bits = {2: torch.int16, 4: torch.int32}[tensor.element_size()]
        assert torch.equal(tensor.view(bits), state[name].view(bits)), name


@pytest.mark.parametrize("models", SOURCES)
@pytest.mark.parametrize("method", registry.names("merge_methods"))
def test_every_method_gives_the_same_bits_live_and_on_disk(
    method, models, sources, tmp_path, tmp_path_factory, monkeypatch
):
    recipe = recipe_for(method, SOURCES[models], **given_statistics(method, tmp_path))
    monkeypatch.setenv("HETEROSIS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    include_statistics(sources, needed_statistics(recipe).values())
    planned = plan(recipe, sources)
    model = resident(planned)
    write_model(planned, tmp_path / "out")
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    check_same_bits(model, tensors)
    base = sources["base"]
    assert any(not torch.equal(tensor, base.read(name)) for name, tensor in tensors.items()), "nothing was merged"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("method", ["dare_ties", "slerp"])
def test_every_dtype_gives_the_same_bits_live_and_on_disk(method, dtype, sources, tmp_path):
    planned = plan(recipe_for(method, ["one", "lora-one"], **DTYPES[dtype]), sources)
    write_model(planned, tmp_path / "out")
    check_same_bits(resident(planned), load_file(tmp_path / "out" / "model.safetensors"))


def test_a_random_method_follows_the_recipes_seed_alone(sources, tmp_path):
    written = []
    for number, seed in enumerate((11, 11, 12)):
        torch.manual_seed(number)
        folder = tmp_path / str(number)
        write_model(plan(recipe_for("dare_linear", ["one", "two"], seed=seed), sources), folder)
        written.append((folder / "model.safetensors").read_bytes())
    assert written[0] == written[1]
    assert written[0] != written[2]


def test_transformers_loads_what_was_written_and_says_the_same(sources, tmp_path):
    planned = plan(recipe_for("ties", ["one", "lora-two"]), sources)
    write_model(planned, tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert loaded.dtype == torch.float32
    tokens = AutoTokenizer.from_pretrained(tmp_path / "out")("the quick brown fox", return_tensors="pt")
    with torch.no_grad():
        ours, theirs = resident(planned)(**tokens).logits, loaded.eval()(**tokens).logits
        base = AutoModelForCausalLM.from_pretrained(sources["base"].directory).eval()(**tokens).logits
    assert torch.equal(ours, theirs)
    assert not torch.allclose(ours, base, atol=1e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_goes_the_whole_way(family, tmp_path):
    write_tiny(tmp_path / "base", family)
    write_tiny(tmp_path / "one", family, seed=1, change=0.3)
    planned = plan(recipe_for("task_arithmetic", ["one"]), SourceSet("base", ["one"], tmp_path))
    model = resident(planned)
    write_model(planned, tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    tokens = torch.tensor([[1, 5, 40, 3, 77]])
    with torch.no_grad():
        logits = model(tokens).logits
        assert torch.equal(logits, loaded(tokens).logits)
        assert not torch.allclose(logits, tiny_model(family)(tokens).logits, atol=1e-2)
