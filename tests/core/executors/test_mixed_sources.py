"""Sources stored in different dtypes, and with an output embedding of their own or the input's, merged."""

import pytest
import torch
from heterosis.core.checkpoints import SourceSet
from heterosis.core.executors import LiveExecutor, resident_model, write_model
from heterosis.core.merge_space import Merge
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.core.space import Space
from heterosis.testing.checkpoints import write_tiny
from heterosis.testing.tiny import tiny_model, tiny_tokenizer
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

STORED = {
    "base": torch.bfloat16,
    "one": torch.float16,
    "two": torch.float32,
    "three": torch.float8_e4m3fn,
    "four": torch.float8_e5m2,
}
METHODS = {
    "linear": "merge_method: linear\nmodels: [one, base, two, three, four]\nparameters: {weight: [0.2, 0.6]}\n",
    "ties": "merge_method: ties\nbase_model: base\nmodels: [one, two, three, four]\n"
    + "parameters: {weight: 1, density: 0.4}\n",
    "dare_ties": "merge_method: dare_ties\nbase_model: base\nmodels: [four, two]\n"
    + "parameters: {weight: 0.4, density: 0.4}\n",
    "slerp": "merge_method: slerp\nbase_model: three\nmodels: [three, one]\nparameters: {t: 0.4}\n",
}
TOKENS = torch.tensor([[1, 5, 40, 3, 77]])


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Sources of every dtype; and in `wide` the same values, all in float32."""
    folder = tmp_path_factory.mktemp("mixed")
    for seed, (name, dtype) in enumerate(STORED.items()):
        for place in (folder / name, folder / "wide" / name):
            write_tiny(place, seed=seed, change=0.3 if seed else 0.0)
            tensors = {key: tensor.to(dtype) for key, tensor in load_file(place / "model.safetensors").items()}
            if place.parent.name == "wide":
                tensors = {key: tensor.float() for key, tensor in tensors.items()}
            save_file(tensors, place / "model.safetensors", metadata={"format": "pt"})
    return folder


def open_all(folder):
    return SourceSet("base", [name for name in STORED if name != "base"], folder)


def written(planned, out):
    write_model(planned, out)
    return load_file(out / "model.safetensors")


@pytest.mark.parametrize("method", METHODS)
def test_the_stored_dtypes_change_nothing_but_the_values_stored(method, mixed, tmp_path):
    recipe = Recipe.from_yaml(METHODS[method] + "dtype: float32\n")
    ours = written(plan(recipe, open_all(mixed)), tmp_path / "mixed")
    wide = written(plan(recipe, open_all(mixed / "wide")), tmp_path / "wide")
    for name, tensor in ours.items():
        assert torch.equal(tensor, wide[name]), name


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtypes", ["", "dtype: float32\nout_dtype: bfloat16\n", "dtype: bfloat16\n"])
def test_mixed_dtypes_give_the_same_bits_live_and_on_disk(method, dtypes, mixed, tmp_path):
    planned = plan(Recipe.from_yaml(METHODS[method] + dtypes), open_all(mixed))
    ours = written(planned, tmp_path / "out")
    dtype = ours["model.norm.weight"].dtype
    assert dtype == (
        torch.bfloat16 if dtypes else torch.float32
    )  # the narrowest that holds all of float16 and bfloat16
    live = LiveExecutor(resident_model(planned.template, dtype))
    live.materialise(planned)
    for name, tensor in live.model.state_dict().items():
        assert torch.equal(tensor, ours[name]), name


def write_head(directory, tied, seed=0):
    """A tiny Llama whose output embedding is the input's, or is not; all weights but for `seed` 0 are changed."""
    model = tiny_model("llama", tie_word_embeddings=tied)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += (0.05 if seed else 0.0) * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(directory)
    tiny_tokenizer().save_pretrained(directory)


HEADS = {"only the base ties": (True, False), "only the source ties": (False, True), "both tie": (True, True)}
HALF = "merge_method: task_arithmetic\nbase_model: base\nmodels: [one]\nparameters: {weight: 0.5}\n"


@pytest.fixture(params=HEADS)
def heads(request, tmp_path):
    base, source = HEADS[request.param]
    write_head(tmp_path / "base", base)
    write_head(tmp_path / "one", source, seed=1)
    return tmp_path


def head_of(checkpoint):
    return checkpoint.read("lm_head.weight" if "lm_head.weight" in checkpoint.tensors else "model.embed_tokens.weight")


def test_an_output_embedding_is_merged_with_what_stands_for_it(heads, tmp_path):
    sources = SourceSet("base", ["one"], heads)
    planned = plan(Recipe.from_yaml(HALF), sources)
    merged = written(planned, tmp_path / "out")
    both_tie = all("lm_head.weight" not in checkpoint.tensors for checkpoint in sources.values())
    assert planned.config["tie_word_embeddings"] is both_tie
    base, one = head_of(sources["base"]), head_of(sources["one"])
    head = merged["model.embed_tokens.weight" if both_tie else "lm_head.weight"]
    torch.testing.assert_close(head, base + 0.5 * (one - base))
    live = LiveExecutor(resident_model(planned.template, torch.float32))
    live.materialise(planned)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    with torch.no_grad():
        assert torch.equal(live.model(TOKENS).logits, loaded(TOKENS).logits)


def test_one_resident_model_becomes_tied_and_untied_candidates_in_turn(heads, tmp_path):
    space = Space("base", ["one"], Merge("task_arithmetic"), heads)
    live = LiveExecutor(resident_model(space.checkpoints["base"], torch.float32))
    recipes = [*space.references().values(), Recipe.from_yaml(HALF), *space.references().values()]
    for number, recipe in enumerate(recipes):
        planned = plan(recipe, space.checkpoints)
        live.materialise(planned)
        write_model(planned, tmp_path / f"out {number}")
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path / f"out {number}").eval()
        with torch.no_grad():
            assert torch.equal(live.model(TOKENS).logits, loaded(TOKENS).logits), recipe
        assert live.materialise(planned) == 0
