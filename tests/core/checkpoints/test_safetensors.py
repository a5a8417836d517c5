"""Safetensors folders: one file or shards; what is damaged, missing, unsafe or malformed is named and refused."""

import json
import pickle
import struct

import pytest
import torch
from heterosis.core.checkpoints import TensorInfo, open_checkpoint
from heterosis.core.errors import CheckpointError
from safetensors.torch import load_file, save_file

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.bfloat16), "c": torch.tensor([7])}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    return tmp_path


@pytest.fixture
def sharded(folder):
    """Two shards with an index."""
    save_file({"a": TENSORS["a"]}, folder / "model-1.safetensors")
    save_file({"b": TENSORS["b"], "c": TENSORS["c"]}, folder / "model-2.safetensors")
    write_index(folder, {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-2.safetensors"})
    return folder


def write_index(folder, weight_map):
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def write_raw(folder, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)


def check_holds_the_tensors(checkpoint):
    assert dict(checkpoint.tensors) == {name: TensorInfo(tuple(t.shape), t.dtype) for name, t in TENSORS.items()}
    for name, tensor in TENSORS.items():
        read = checkpoint.read(name)
        assert read.dtype == tensor.dtype
        assert torch.equal(read, tensor)


def test_one_file(folder):
    save_file(TENSORS, folder / "model.safetensors")
    checkpoint = open_checkpoint(str(folder))
    check_holds_the_tensors(checkpoint)
    assert checkpoint.weight_files() == (folder / "model.safetensors",)
    assert checkpoint.config == {"architectures": ["LlamaForCausalLM"]}


def test_shards(sharded):
    checkpoint = open_checkpoint(str(sharded))
    check_holds_the_tensors(checkpoint)
    assert [path.name for path in checkpoint.weight_files()] == ["model-1.safetensors", "model-2.safetensors"]


def test_a_whole_file_comes_before_shards(sharded):
    save_file({"a": TENSORS["a"]}, sharded / "model.safetensors")
    assert set(open_checkpoint(str(sharded)).tensors) == {"a"}


def test_a_tiny_model_reads_as_safetensors_reads_it(checkpoints):
    checkpoint = open_checkpoint("one", checkpoints)
    expected = load_file(checkpoints / "one" / "model.safetensors")
    assert set(checkpoint.tensors) == set(expected)
    assert all(torch.equal(checkpoint.read(name), tensor) for name, tensor in expected.items())


def test_the_fingerprint_follows_weights_and_config(folder):
    def fingerprint():
        return open_checkpoint(str(folder)).fingerprint

    save_file(TENSORS, folder / "model.safetensors")
    before = fingerprint()
    assert fingerprint() == before
    (folder / "tokenizer.json").write_text("{}")
    assert fingerprint() == before
    save_file({**TENSORS, "a": TENSORS["a"] + 1}, folder / "model.safetensors")
    changed = fingerprint()
    assert changed != before
    (folder / "config.json").write_text("{}")
    assert fingerprint() not in (before, changed)


def test_a_tensor_that_is_not_there_is_named(folder):
    save_file(TENSORS, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="has no tensor 'z'"):
        open_checkpoint(str(folder)).read("z")


@pytest.mark.parametrize("kept", [0, 4, 8, 60, -1])
def test_a_truncated_file_is_refused_when_opened(folder, kept):
    save_file(TENSORS, folder / "model.safetensors")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[:kept])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is truncated or damaged"):
        open_checkpoint(str(folder))


FLOATS = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "data", "length"),
    [
        pytest.param({"a": FLOATS}, b"0" * 8, 2**63, id="header length huge"),
        pytest.param({"a": FLOATS}, b"0" * 8, 10**6, id="header length beyond the file"),
        pytest.param(b"{" * 40, b"", None, id="header is no JSON"),
        pytest.param(b"[]", b"", None, id="header is no mapping"),
        pytest.param({"a": FLOATS, "b": {**FLOATS, "data_offsets": [4, 12]}}, b"0" * 12, None, id="overlap"),
        pytest.param({"a": FLOATS, "b": {**FLOATS, "data_offsets": [16, 24]}}, b"0" * 24, None, id="hole"),
        pytest.param({"a": {**FLOATS, "data_offsets": [8, 0]}}, b"0" * 8, None, id="offsets upside down"),
        pytest.param({"a": {**FLOATS, "data_offsets": [0, 4]}}, b"0" * 4, None, id="too few bytes for the shape"),
        pytest.param({"a": {**FLOATS, "dtype": "F33"}}, b"0" * 8, None, id="dtype unknown"),
        pytest.param({"a": {**FLOATS, "shape": [-2]}}, b"0" * 8, None, id="shape negative"),
        pytest.param({"a": {**FLOATS, "shape": [2**62, 2**62]}}, b"0" * 8, None, id="shape overflows"),
        pytest.param({"a": {"dtype": "F32"}}, b"0" * 8, None, id="no shape"),
    ],
)
def test_a_malformed_header_is_refused_when_opened(folder, header, data, length):
    write_raw(folder, header, data, length)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is truncated or damaged"):
        open_checkpoint(str(folder))


def test_a_dtype_that_is_not_supported_is_named(folder):
    write_raw(folder, {"a": {"dtype": "U64", "shape": [1], "data_offsets": [0, 8]}}, b"0" * 8)
    with pytest.raises(CheckpointError, match="a has dtype U64, which is not supported"):
        open_checkpoint(str(folder))


def test_a_missing_shard_is_named(sharded):
    (sharded / "model-2.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks 1 of its 2 shards, first 'model-2\.safetensors'"):
        open_checkpoint(str(sharded))


@pytest.mark.parametrize("outside", [".", "../model-1.safetensors", "/etc/passwd", "sub/model-1.safetensors"])
def test_an_index_that_points_outside_its_folder_is_refused(sharded, outside):
    write_index(sharded, {"a": outside})
    with pytest.raises(CheckpointError, match="points outside its folder"):
        open_checkpoint(str(sharded))


@pytest.mark.parametrize("shard", ["..", ""])
def test_an_index_that_points_to_a_folder_lacks_its_shard(sharded, shard):
    write_index(sharded, {"a": shard})
    with pytest.raises(CheckpointError, match="lacks 1 of its 1 shards"):
        open_checkpoint(str(sharded))


@pytest.mark.parametrize("weight_map", [{"a": "model-2.safetensors"}, {"z": "model-1.safetensors"}])
def test_an_index_that_is_wrong_about_its_shards_is_refused(sharded, weight_map):
    write_index(sharded, weight_map)
    with pytest.raises(CheckpointError, match=r"says that model-.\.safetensors holds '.', but it does not"):
        open_checkpoint(str(sharded))


@pytest.mark.parametrize("text", ["{}", '{"weight_map": []}', '{"weight_map": {"a": 3}}', '{"weight_map": {}}'])
def test_an_index_without_a_weight_map_is_refused(folder, text):
    (folder / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError, match="names no shards"):
        open_checkpoint(str(folder))


@pytest.mark.parametrize("text", ["[]", "{", "\xff"])
def test_an_index_that_is_no_json_object_is_refused(folder, text):
    (folder / "model.safetensors.index.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"index\.json (cannot be read|holds no JSON object)"):
        open_checkpoint(str(folder))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.pt", "model.ckpt", "model.pkl"])
def test_pickled_weights_are_refused_unread(folder, name):
    class Trap:
        def __reduce__(self):
            return (open, (str(folder / "sprung"), "w"))

    (folder / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CheckpointError, match=f"holds its weights as '{name}': such files can run code when read"):
        open_checkpoint(str(folder))
    assert not (folder / "sprung").exists()


def test_a_folder_without_weights_is_refused(folder):
    with pytest.raises(CheckpointError, match=r"has neither model\.safetensors nor"):
        open_checkpoint(str(folder))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=f"there is no checkpoint at {tmp_path / 'nowhere'}"):
        open_checkpoint("nowhere", tmp_path)


def test_a_missing_config_is_named(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        _ = open_checkpoint(str(tmp_path)).config


def test_alternatives_are_tried_in_order_and_all_failures_told(checkpoints, tmp_path):
    found = open_checkpoint(f"nowhere | {checkpoints / 'one'} | {checkpoints / 'two'}", tmp_path)
    assert found.directory == checkpoints / "one"
    with pytest.raises(CheckpointError, match=r"(?s)nowhere: there is no .*elsewhere: there is no"):
        open_checkpoint("nowhere | elsewhere", tmp_path)
