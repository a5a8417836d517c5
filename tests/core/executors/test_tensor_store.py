"""The tensor store gives back what was computed, bit for bit, or nothing, whatever happens to its folder."""

import errno
import os
import subprocess
import sys
import threading
import time

import pytest
import torch
from heterosis.core.checkpoints import SourceSet
from heterosis.core.errors import ConfigurationError
from heterosis.core.executors import LiveExecutor, resident_model, tensor_store
from heterosis.core.executors.compute import compute
from heterosis.core.executors.operands import Operands
from heterosis.core.executors.tensor_store import TensorStore
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe

RECIPE = """
merge_method: linear
models: [{{model: one, parameters: {{weight: {weight}}}}}, {{model: two, parameters: {{weight: 0.5}}}}]
quantize: {{levels: {{qkv: "{level}"}}}}
"""
CPU = torch.device("cpu")
KEY = "ab" + "0" * 62


@pytest.fixture
def quantized(planned):
    return lambda level="int4-g16", weight=0.5: planned(RECIPE.format(level=level, weight=weight))


@pytest.fixture
def store(tmp_path, monkeypatch):
    """One that keeps everything, however fast it was computed."""
    monkeypatch.setattr(tensor_store, "_WORTH", 0.0)
    return lambda limit=1 << 30: TensorStore(tmp_path / "store", limit)


def state(executor):
    return {name: tensor.clone() for name, tensor in executor.model.state_dict().items()}


def files(tmp_path):
    return sorted(path for path in (tmp_path / "store").rglob("*") if path.is_file())


def first_of(planned):
    return next(tensor for tensor in planned.tensors if tensor.quantize is not None)


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_with_and_without_the_models_are_the_same_bit_for_bit(sources, quantized, store, tmp_path):
    plans = [quantized(), quantized("int3-g16"), quantized(weight=0.25), quantized()]
    plain = LiveExecutor(resident_model(sources["base"], torch.float32))
    filling = store()
    for kept in (filling, store(), None):
        executor = LiveExecutor(resident_model(sources["base"], torch.float32), kept)
        for one in plans:
            plain.materialise(one)
            executor.materialise(one)
            assert equal(state(plain), state(executor))
    quantized_each = sum(tensor.quantize is not None for tensor in plans[0].tensors)
    assert filling.kept == len(files(tmp_path)) == 3 * quantized_each


def test_another_process_computes_nothing_that_is_there(sources, quantized, store, monkeypatch):
    LiveExecutor(resident_model(sources["base"], torch.float32), store()).materialise(quantized())
    monkeypatch.setattr("heterosis.core.executors.stored.quantize_into", lambda tensor, *_: tensor.quantize and 1 / 0)
    second = store()
    LiveExecutor(resident_model(sources["base"], torch.float32), second).materialise(quantized())
    assert second.found > 0
    assert second.missed == 0


def test_everything_that_a_tensor_follows_from_is_in_its_key(sources, quantized, store, checkpoints):
    kept = store()
    recipes = [quantized(), quantized("int3-g16"), quantized("int4-g8"), quantized(weight=0.25)]
    keys = [kept.key(first_of(one), one.sources, CPU) for one in recipes]
    assert len(set(keys)) == len(keys)
    other_names = SourceSet(str(checkpoints / "base"), [str(checkpoints / name) for name in ("one", "two")])
    text = RECIPE.format(level="int4-g16", weight=0.5)
    for name in ("one", "two"):
        text = text.replace(f"model: {name}", f"model: {checkpoints / name}")
    elsewhere = plan(Recipe.from_yaml(text), other_names)
    assert kept.key(first_of(elsewhere), other_names, CPU) == keys[0]


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-5]),
        lambda path: path.write_bytes(path.read_bytes()[:-5] + b"\x01\x02\x03\x04\x05"),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(os.urandom(64)),
        lambda path: path.unlink(),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["truncated", "flipped", "empty", "noise", "gone", "a folder"],
)
def test_a_damaged_or_vanished_file_is_computed_again(harm, quantized, store, tmp_path):
    one = quantized()
    operands = Operands(one.sources, store=store())
    expected = compute(first_of(one), operands)
    (path,) = files(tmp_path)
    harm(path)
    assert torch.equal(compute(first_of(one), operands), expected)
    again = Operands(one.sources, store=store())
    assert torch.equal(compute(first_of(one), again), expected)
    assert again.store.found == path.is_file()


def test_a_tensor_of_another_shape_or_dtype_is_not_taken(store):
    store().keep(KEY, torch.randn(4, 6), 1.0)
    for target in (torch.zeros(6, 4), torch.zeros(4, 6, dtype=torch.bfloat16)):
        store().keep(KEY, torch.randn(4, 6), 1.0)
        assert not store().read(KEY, target)
        assert not target.any()


def test_a_full_disk_stops_the_filling_and_nothing_else(sources, quantized, store, tmp_path, monkeypatch, caplog):
    def full(tensors, path, metadata):
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tensor_store, "save_file", full)
    plain = LiveExecutor(resident_model(sources["base"], torch.float32))
    executor = LiveExecutor(resident_model(sources["base"], torch.float32), store())
    plain.materialise(quantized())
    executor.materialise(quantized())
    assert equal(state(plain), state(executor))
    assert files(tmp_path) == []
    assert "no longer filled" in caplog.text


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path, store):
    (tmp_path / "store").write_text("a file is here already")
    store().keep(KEY, torch.ones(3), 1.0)
    assert not store().read(KEY, torch.zeros(3))


def test_what_was_used_longest_ago_goes_first_and_the_limit_is_kept(store, tmp_path):
    kept, now = store(limit=20_000), time.time()
    keys = [f"{number:02d}{'0' * 62}" for number in range(12)]
    for number, key in enumerate(keys):
        kept.keep(key, torch.full((1000,), float(number)), 1.0)
        if kept._folder.path(key).exists():
            os.utime(kept._folder.path(key), (now - 1000 + number,) * 2)
        kept.read(keys[0], torch.empty(1000))
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 21_000
    there = [kept.read(key, torch.empty(1000)) for key in keys]
    assert there[0]
    assert there[-1]
    assert not any(there[1:7])
    kept.keep("ff" + "0" * 62, torch.zeros(100_000), 1.0)
    assert sum(path.stat().st_size for path in files(tmp_path)) <= 21_000


def test_only_what_took_clearly_longer_than_reading_is_kept(tmp_path):
    kept = TensorStore(tmp_path / "store")
    kept.keep(KEY, torch.zeros(1000), 1e-4)
    assert files(tmp_path) == []
    kept.keep(KEY, torch.zeros(1000), 1.0)
    assert len(files(tmp_path)) == 1


def test_a_writer_that_is_killed_leaves_nothing_that_is_read_and_its_rest_goes(store, tmp_path):
    script = (
        "import os, signal, sys, torch; from pathlib import Path\n"
        "from heterosis.core.executors import tensor_store\n"
        "def die(tensors, path, metadata): path.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "tensor_store.save_file = die\n"
        f"tensor_store.TensorStore(Path(sys.argv[1])).keep({KEY!r}, torch.ones(1000), 1.0)\n"
    )
    died = subprocess.run([sys.executable, "-c", script, str(tmp_path / "store")], check=False)
    assert died.returncode == -9
    (rest,) = files(tmp_path)
    assert not store().read(KEY, torch.zeros(1000))
    store().keep(KEY, torch.ones(1000), 1.0)
    assert rest.exists(), "it may be another's, who is still writing"
    os.utime(rest, (1, 1))
    store().keep(KEY, torch.ones(1000), 1.0)
    assert not rest.exists()
    assert store().read(KEY, torch.zeros(1000))


def test_many_who_write_and_remove_at_once_read_only_what_is_right(store):
    keys = [f"{number:02d}{'0' * 62}" for number in range(6)]
    wrong, right = [], []

    def work():
        own = store(limit=16_000)
        for step in range(40):
            number = step % len(keys)
            own.keep(keys[number], torch.full((1000,), float(number)), 1.0)
            target = torch.full((1000,), -1.0)
            if own.read(keys[(step * 5) % len(keys)], target):
                (right if (target == (step * 5) % len(keys)).all() else wrong).append(step)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert right


@pytest.mark.parametrize(
    ("said", "place", "limit"),
    [
        ("", "cache/tensors", 4 << 30),
        ("10GiB", "cache/tensors", 10 << 30),
        ("other", "other", 4 << 30),
        ("other,500MB", "other", 500_000_000),
    ],
)
def test_the_environment_says_where_and_how_large(said, place, limit, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HETEROSIS_CACHE", "cache")
    monkeypatch.setenv("HETEROSIS_TENSOR_STORE", said)
    folder = TensorStore.from_environment()._folder
    assert (str(folder.folder), folder.limit) == (place, limit)


def test_it_can_be_switched_off_and_a_wrong_size_is_refused(monkeypatch):
    monkeypatch.setenv("HETEROSIS_TENSOR_STORE", "off")
    assert TensorStore.from_environment() is None
    monkeypatch.setenv("HETEROSIS_TENSOR_STORE", "/somewhere,large")
    with pytest.raises(ConfigurationError, match="'/somewhere,large'; give `off`, a size"):
        TensorStore.from_environment()
