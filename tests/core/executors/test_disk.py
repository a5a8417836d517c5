"""A written model: whole, loadable, described, and as large as was planned."""

import json
import re

import pytest
import torch
from heterosis.core.checkpoints import SourceSet, open_checkpoint
from heterosis.core.errors import ConfigurationError
from heterosis.core.executors import costs, write_model
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.testing.checkpoints import write_tiny
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

RANDOM = (
    "merge_method: dare_ties\nbase_model: base\nmodels: [one, lora-two]\n"
    "parameters: {weight: 0.5, density: 0.4}\ndtype: float32\nseed: 5\n"
)


def shards(folder):
    return sorted(path.name for path in folder.glob("*.safetensors"))


def test_a_written_folder_holds_what_is_needed_and_nothing_else(planned, tmp_path):
    write_model(planned(RANDOM), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "recipe.yaml",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("out_dtype", ["float32", "bfloat16", "float16", "float64"])
def test_the_config_says_what_the_weights_are(planned, sources, tmp_path, out_dtype):
    write_model(planned(RANDOM + f"out_dtype: {out_dtype}\n"), tmp_path / "out")
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config == {**sources["base"].config, "dtype": out_dtype}
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert {str(parameter.dtype) for parameter in model.parameters()} == {f"torch.{out_dtype}"}


@pytest.mark.parametrize("out_dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("shard_bytes", [10**9, 40_000, 1])
def test_shards_hold_the_same_bits_as_one_file(planned, tmp_path, shard_bytes, out_dtype):
    model = planned(RANDOM + f"out_dtype: {out_dtype}\n")
    write_model(model, tmp_path / "whole")
    write_model(model, tmp_path / "out", shard_bytes)
    expected = load_file(tmp_path / "whole" / "model.safetensors")
    opened = open_checkpoint(str(tmp_path / "out"))
    assert dict(opened.tensors) == {tensor.name: tensor.info for tensor in model.tensors}
    assert all(torch.equal(opened.read(name), tensor) for name, tensor in expected.items())
    state = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def test_no_shard_is_larger_than_asked_unless_it_holds_one_tensor(planned, tmp_path):
    model = planned(RANDOM)
    write_model(model, tmp_path / "out", shard_bytes=40_000)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == costs(model).bytes
    assert list(index["weight_map"]) == [tensor.name for tensor in model.tensors]
    files = shards(tmp_path / "out")
    count = len(files)
    assert count > 2
    assert files == [f"model-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)]
    for file in files:
        tensors = load_file(tmp_path / "out" / file)
        assert len(tensors) == 1 or sum(tensor.nbytes for tensor in tensors.values()) <= 40_000


@pytest.mark.parametrize("out_dtype", ["float32", "bfloat16"])
def test_costs_are_the_bytes_and_parameters_that_are_written(planned, tmp_path, out_dtype):
    model = planned(RANDOM + f"out_dtype: {out_dtype}\n")
    write_model(model, tmp_path / "out")
    path = tmp_path / "out" / "model.safetensors"
    header = int.from_bytes(path.read_bytes()[:8], "little")
    assert costs(model).bytes == path.stat().st_size - 8 - header
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert costs(model).parameters == sum(parameter.numel() for parameter in loaded.parameters())


def test_a_tied_embedding_costs_once(tmp_path):
    write_tiny(tmp_path / "tied", "qwen2")
    model = plan(Recipe.from_yaml("merge_method: passthrough\nmodels: [tied]\n"), SourceSet("tied", [], tmp_path))
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "tied")
    assert costs(model).parameters == sum(parameter.numel() for parameter in loaded.parameters())


def test_tensors_of_mixed_and_odd_shapes_and_dtypes_pass_unchanged(tmp_path):
    tensors = {
        "odd": torch.arange(3.0, dtype=torch.bfloat16),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        "positions": torch.arange(5),
        "mask": torch.tensor([True, False, True]),
        "double": torch.arange(2.0, dtype=torch.float64),
        "half": torch.arange(5.0, dtype=torch.float16),
    }
    (tmp_path / "odd").mkdir()
    save_file(tensors, tmp_path / "odd" / "model.safetensors")
    (tmp_path / "odd" / "config.json").write_text('{"torch_dtype": "float16", "auto_map": {"AutoModel": "x.Y"}}')
    model = plan(Recipe.from_yaml("merge_method: passthrough\nmodels: [odd]\n"), SourceSet("odd", [], tmp_path))
    write_model(model, tmp_path / "out")
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert written.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert written[name].dtype == tensor.dtype
        assert torch.equal(written[name], tensor)
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == {"dtype": "float16"}


@pytest.mark.parametrize("where", ["card", "recipe.yaml"])
def test_whoever_has_the_checkpoints_builds_the_same_bits_from_the_written_recipe(planned, tmp_path, where):
    write_model(planned(RANDOM), tmp_path / "out")
    text = (tmp_path / "out" / "recipe.yaml").read_text()
    if where == "card":
        (text,) = re.findall(r"```yaml\n(.*?)```", (tmp_path / "out" / "README.md").read_text(), re.DOTALL)
    write_model(planned(text), tmp_path / "again")
    for name in ("model.safetensors", "recipe.yaml", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_the_card_names_every_checkpoint_by_its_contents(planned, sources, tmp_path):
    model = planned(RANDOM)
    write_model(model, tmp_path / "math-it")
    card = (tmp_path / "math-it" / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\ntags: [merge, heterosis]\n---\n# math-it\n")
    for reference in ("base", "one", "lora-two"):
        assert f"| `{reference}` | `{sources[reference].fingerprint[:16]}` |" in card
    assert f"{costs(model).parameters:,} parameters, {costs(model).bytes:,} bytes" in card


def test_alternatives_do_not_break_the_cards_table(checkpoints, tmp_path):
    reference = "nowhere | base"
    recipe = Recipe.from_dict({"merge_method": "passthrough", "models": [reference]})
    write_model(plan(recipe, SourceSet(reference, [], checkpoints)), tmp_path / "out")
    assert r"| `nowhere \| base` | `" in (tmp_path / "out" / "README.md").read_text()


def test_progress_counts_every_tensor(planned, tmp_path):
    told = []
    model = planned(RANDOM)
    write_model(model, tmp_path / "out", 40_000, lambda done, whole: told.append((done, whole)))
    assert told == [(number, len(model.tensors)) for number in range(1, len(model.tensors) + 1)]


def test_missing_parents_are_made_and_an_empty_folder_is_filled(planned, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "a" / "b" / "out", tmp_path / "empty"):
        write_model(planned(RANDOM), folder)
        assert (folder / "model.safetensors").is_file()


def test_a_folder_with_something_in_it_is_refused_and_left_alone(planned, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("three years of work")
    (tmp_path / "file").write_text("")
    for taken in ("out", "file"):
        with pytest.raises(ConfigurationError, match=f"{tmp_path / taken} exists already; choose another folder"):
            write_model(planned(RANDOM), tmp_path / taken)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out"]
