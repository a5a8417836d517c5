"""What a study will need: sizes that can be counted are exact, what is measured is above zero, shortages are told."""

from dataclasses import replace

import pytest
import torch
from heterosis.core import preflight
from heterosis.core.merge_space import Merge
from heterosis.core.preflight import needs
from heterosis.core.space import Space
from heterosis.testing.checkpoints import write_tiny
from heterosis.testing.tiny import tiny_model, tiny_tokenizer
from safetensors.torch import load_file, save_file


@pytest.fixture
def space(checkpoints):
    return Space("base", ["one", "lora-one"], Merge(["linear", "ties"]), checkpoints)


def size_of(folder):
    return (folder / "model.safetensors").stat().st_size


def test_sizes_are_those_of_the_checkpoints(space, checkpoints, tmp_path):
    found = needs(space, tmp_path / "not" / "there")
    weights = sum(info.nbytes for info in space.checkpoints["base"].tensors.values())
    assert found.model == found.export == weights
    adapter = sum(path.stat().st_size for path in (checkpoints / "lora-one").iterdir())
    assert found.mapped == size_of(checkpoints / "base") + size_of(checkpoints / "one") + adapter
    assert found.unpacked == 0
    assert found.merges["linear"].prepared == 0
    assert found.merges["ties"].prepared > 0
    assert found.memory == weights + found.merges["ties"].prepared
    # linear reads both sources and the base under the adapter is counted as the adapter's own tensor
    assert found.merges["linear"].moved == 3 * weights
    assert found.shortages == []
    assert found.remarks == ()


def test_what_is_measured_is_there(space, tmp_path):
    found = needs(space, tmp_path)
    assert found.copy_bandwidth > 1e6
    assert found.available > 1e6
    assert found.free > 1e6
    for merge in found.merges.values():
        assert 0 < merge.seconds <= merge.first_seconds < 60


def test_what_cannot_be_merged_is_no_reason_to_refuse(checkpoints, tmp_path):
    found = needs(Space("base", ["one"], Merge(["linear", "ties"], weight=0.0), checkpoints), tmp_path)
    assert found.merges["linear"].seconds is None
    assert found.model > 0


def test_too_little_is_told(space, tmp_path):
    found = needs(space, tmp_path)
    assert replace(found, available=found.memory - 1).shortages == ["memory"]
    assert replace(found, available=None, free=found.export - 1).shortages == ["disk"]


def test_a_system_that_does_not_tell_its_memory_is_asked_in_another_way(monkeypatch):
    monkeypatch.setattr(preflight.Path, "read_text", lambda *_, **__: "MemTotal: 3 kB\n")
    assert preflight.available_memory() > 1e6


def test_float8_that_is_kept_unpacked_is_counted_and_told(tmp_path):
    write_tiny(tmp_path / "base")
    write_tiny(tmp_path / "one", seed=1, change=0.3)
    tensors = load_file(tmp_path / "one" / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    tensors[name] = tensors[name].to(torch.float8_e4m3fn)
    save_file(tensors, tmp_path / "one" / "model.safetensors", metadata={"format": "pt"})
    found = needs(Space("base", ["one"], Merge("linear"), tmp_path), tmp_path)
    assert found.unpacked == tensors[name].numel() * 2
    assert found.remarks == ("one has float8 weights, rounded to two or three bits before they are merged",)


def test_mixed_dtypes_and_output_embeddings_are_told(tmp_path):
    write_tiny(tmp_path / "base", dtype=torch.bfloat16)
    write_tiny(tmp_path / "one", seed=1, change=0.3, dtype=torch.float16)
    tied = tiny_model("llama", tie_word_embeddings=True)
    tied.to(torch.bfloat16).save_pretrained(tmp_path / "two")
    tiny_tokenizer().save_pretrained(tmp_path / "two")
    found = needs(Space("base", ["one", "two"], Merge("linear"), tmp_path), tmp_path)
    dtypes, embeddings = found.remarks
    assert dtypes == (
        "stored are the base in bfloat16, one in float16, two in bfloat16; merged in float32 and written in bfloat16"
    )
    assert embeddings.startswith("two takes the input's embedding for output, the base and one not: merged with")
