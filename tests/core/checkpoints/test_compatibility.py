"""What does not fit is named tensor by tensor before a single weight is read."""

import json

import pytest
import torch
from heterosis.core.checkpoints import SourceSet, check_compatible, open_checkpoint
from heterosis.core.checkpoints.adapter import AdapterCheckpoint
from heterosis.core.checkpoints.safetensors import SafetensorsCheckpoint
from heterosis.core.errors import CheckpointError
from heterosis.core.merge_space import Merge
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.core.space import Space
from heterosis.testing.checkpoints import write_tiny
from heterosis.testing.tiny import tiny_model, tiny_tokenizer
from safetensors.torch import load_file, save_file


@pytest.fixture(autouse=True)
def unread(monkeypatch):
    """Reading a weight is an error in this file."""

    def refuse(self, name):
        raise AssertionError(f"{name} was read")

    for kind in (SafetensorsCheckpoint, AdapterCheckpoint):
        monkeypatch.setattr(kind, "read", refuse)


@pytest.fixture
def problems(checkpoints, tmp_path):
    """Writes a tiny Llama with changed fields, tensors and config; returns what the shared base is told of it."""

    def problems(fields=None, rewrite=None, config=None):
        model = tiny_model(**(fields or {}))
        model.save_pretrained(tmp_path / "other")
        change_folder(tmp_path / "other", rewrite, config)
        sources = [open_checkpoint(str(tmp_path / "other")), open_checkpoint("one", checkpoints)]
        with pytest.raises(CheckpointError) as raised:
            check_compatible(open_checkpoint("base", checkpoints), sources)
        return str(raised.value).replace(str(tmp_path) + "/", "")

    return problems


def change_folder(folder, rewrite=None, config=None):
    if rewrite:
        save_file(rewrite(load_file(folder / "model.safetensors")), folder / "model.safetensors")
    if config:
        content = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**content, **config}))


def test_fine_tunes_and_adapters_of_one_base_fit(checkpoints):
    sources = SourceSet("base", ["one", "two", "lora-one", "lora-two"], checkpoints)
    check_compatible(sources["base"], list(sources.values()))


def test_another_width_is_named_tensor_by_tensor(problems):
    assert problems({"intermediate_size": 96}).splitlines() == [
        "these checkpoints cannot be merged:",
        "  other: model.layers.0.mlp.down_proj.weight is [48, 96], not [48, 80], "
        "model.layers.0.mlp.gate_proj.weight is [96, 48], not [80, 48], "
        "model.layers.0.mlp.up_proj.weight is [96, 48], not [80, 48], "
        "model.layers.1.mlp.down_proj.weight is [48, 96], not [48, 80], "
        "model.layers.1.mlp.gate_proj.weight is [96, 48], not [80, 48] and 4 more",
    ]


def test_another_vocabulary_is_named(problems):
    found = problems({"vocab_size": 400})
    assert "other has a vocabulary of 400, base one of 384" in found
    assert "lm_head.weight is [400, 48], not [384, 48]" in found


def test_another_depth_is_named(problems):
    assert "other lacks model.layers.2." in problems({"num_hidden_layers": 2})
    assert "other has model.layers.3." in problems({"num_hidden_layers": 4})


def test_another_architecture_is_named(checkpoints, tmp_path):
    other = open_checkpoint(str(write_tiny(tmp_path / "other", family="qwen2")))
    with pytest.raises(CheckpointError, match=r"is a Qwen2ForCausalLM, base is a LlamaForCausalLM"):
        check_compatible(open_checkpoint("base", checkpoints), [other])


def test_every_source_is_looked_at_and_all_differences_told(problems):
    found = problems(
        rewrite=lambda tensors: (
            {n: t for n, t in tensors.items() if n != "model.norm.weight"} | {"extra": torch.ones(2)}
        ),
        config={"architectures": None},
    )
    assert found.splitlines()[1:] == [
        "  other is a model of unnamed architecture, base is a LlamaForCausalLM",
        "  other lacks model.norm.weight",
        "  other has extra, which base does not",
    ]


def test_a_space_over_misfits_is_refused_before_a_candidate_is_built(checkpoints, tmp_path):
    write_tiny(tmp_path / "gemma", family="gemma3")
    space = Space("base", ["one", str(tmp_path / "gemma")], Merge("ties"), checkpoints)
    with pytest.raises(CheckpointError, match="is a Gemma3ForCausalLM, base is a LlamaForCausalLM"):
        _ = space.genes


@pytest.mark.parametrize("stored_by", ["base", "one", "both"])
def test_an_output_embedding_stored_beside_the_one_it_is_tied_to_is_no_difference(tmp_path, stored_by):
    for name in ("base", "one"):
        model = tiny_model("qwen2", tie_word_embeddings=True)
        model.save_pretrained(tmp_path / name)
        if stored_by in (name, "both"):
            change_folder(
                tmp_path / name,
                lambda tensors: {**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"].clone()},
            )
    sources = SourceSet("base", ["one"], tmp_path)
    check_compatible(sources["base"], [sources["one"]])
    recipe = Recipe.from_yaml("merge_method: linear\nmodels: [base, one]\nparameters: {weight: 1}\n")
    assert "lm_head.weight" not in {tensor.name for tensor in plan(recipe, sources).tensors}


def test_the_tokenizer_of_the_tiny_models_has_the_vocabulary_they_are_compared_by(checkpoints):
    assert len(tiny_tokenizer()) == open_checkpoint("base", checkpoints).config["vocab_size"]
