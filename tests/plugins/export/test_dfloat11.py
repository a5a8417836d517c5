"""The lossless export: the same model comes back, and nothing half written is left."""

import json

import pytest
import torch
from heterosis.core import registry
from heterosis.core.checkpoints import SourceSet
from heterosis.core.errors import CheckpointError, ConfigurationError, StorageError
from heterosis.core.executors import write_model
from heterosis.core.executors.safetensors_writer import SafetensorsWriter
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.plugins.export.dfloat11 import INDEX, lossless_bytes, read_dfloat11, write_dfloat11
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

RECIPE = "merge_method: ties\nbase_model: base\nmodels: [one, two]\nparameters: {weight: 0.5, density: 0.6}\n"


@pytest.fixture
def planned(checkpoints):
    sources = SourceSet("base", ["one", "two"], checkpoints)
    return lambda text="": plan(Recipe.from_yaml(RECIPE + (text or "out_dtype: bfloat16\n")), sources)


def same(one, other):
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and torch.equal(one[name].view(torch.uint8), other[name].contiguous().view(torch.uint8))
        for name in one
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_what_is_read_are_the_bits_that_safetensors_would_hold(planned, tmp_path, dtype):
    recipe = planned(f"out_dtype: {dtype}\n")
    write_model(recipe, tmp_path / "plain")
    registry.load("exporters", "dfloat11")().write(recipe, tmp_path / "small")
    expected = load_file(tmp_path / "plain" / "model.safetensors")
    assert same(
        {name: expected[name] for name in sorted(expected)}, dict(sorted(read_dfloat11(tmp_path / "small").items()))
    )


def test_transformers_builds_the_same_model(planned, tmp_path):
    write_model(planned(), tmp_path / "plain")
    write_dfloat11(planned(), tmp_path / "small")
    config = AutoConfig.from_pretrained(tmp_path / "small")
    model = AutoModelForCausalLM.from_config(config, dtype=config.dtype).eval()
    model.load_state_dict(read_dfloat11(tmp_path / "small"), strict=False)
    expected = AutoModelForCausalLM.from_pretrained(tmp_path / "plain", dtype="auto")
    tokens = torch.arange(20)[None]
    assert model.dtype == torch.bfloat16
    assert torch.equal(model(tokens).logits, expected(tokens).logits)


def test_quantised_models_come_back_as_they_were_measured(planned, tmp_path):
    recipe = planned("out_dtype: bfloat16\nquantize: {levels: {gate_up: int4-g16, qkv: nvfp4}}\n")
    write_model(recipe, tmp_path / "plain")
    write_dfloat11(recipe, tmp_path / "small")
    expected = load_file(tmp_path / "plain" / "model.safetensors")
    assert same(
        {name: expected[name] for name in sorted(expected)}, dict(sorted(read_dfloat11(tmp_path / "small").items()))
    )


def test_many_files_hold_the_same(planned, tmp_path):
    write_dfloat11(planned(), tmp_path / "one")
    write_dfloat11(planned(), tmp_path / "many", file_bytes=5000)
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 3
    assert same(read_dfloat11(tmp_path / "one"), read_dfloat11(tmp_path / "many"))


def test_the_bytes_of_the_tensors_are_known_beforehand(planned, tmp_path):
    for dtype in ("bfloat16", "float32"):
        recipe = planned(f"out_dtype: {dtype}\n")
        write_dfloat11(recipe, tmp_path / dtype)
        held = load_file(tmp_path / dtype / "dfloat11-00001.safetensors").values()
        assert lossless_bytes(recipe) == sum(tensor.nbytes for tensor in held)


def test_the_folder_has_what_goes_with_a_model(planned, tmp_path):
    write_dfloat11(planned(), tmp_path / "small")
    names = {path.name for path in (tmp_path / "small").iterdir()}
    assert {"config.json", "tokenizer.json", "recipe.yaml", "README.md", INDEX} < names
    assert "model.safetensors" not in names
    assert json.loads((tmp_path / "small" / "config.json").read_text())["dtype"] == "bfloat16"


def test_a_folder_with_something_in_it_is_refused(planned, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(ConfigurationError, match="exists already"):
        write_dfloat11(planned(), tmp_path / "taken")


def test_a_full_disk_leaves_nothing(planned, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SafetensorsWriter, "write", full)
    with pytest.raises(StorageError, match="nothing was kept"):
        write_dfloat11(planned(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_damage_is_told(planned, tmp_path):
    with pytest.raises(CheckpointError, match=r"dfloat11\.json is missing"):
        read_dfloat11(tmp_path)
    write_dfloat11(planned(), tmp_path / "small", file_bytes=5000)
    file = tmp_path / "small" / "dfloat11-00002.safetensors"
    content = file.read_bytes()
    file.write_bytes(content[:-10])
    with pytest.raises(CheckpointError, match="damaged"):
        read_dfloat11(tmp_path / "small")
    file.unlink()
    with pytest.raises(CheckpointError, match="export the model again"):
        read_dfloat11(tmp_path / "small")
