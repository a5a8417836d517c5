"""Whatever stops an export, nothing is left under the final name and nothing beside it."""

import errno
import os
import resource
import signal
import subprocess
import sys

import pytest
from heterosis.core.checkpoints.safetensors import SafetensorsCheckpoint
from heterosis.core.errors import CheckpointError, MaterialiseError, StorageError
from heterosis.core.executors import disk, write_model
from heterosis.core.executors.safetensors_writer import SafetensorsWriter

TIES = "merge_method: ties\nbase_model: base\nmodels: [one, two]\nparameters: {weight: 0.5}\n"
NAN = (
    "merge_method: linear\nmodels: [one, two]\nparameters: {weight: [{filter: 1.mlp.up_proj, value: 0}, {value: 1}]}\n"
)


@pytest.fixture
def folder(tmp_path):
    """Where nothing may be left."""
    yield tmp_path / "exports"
    assert not (tmp_path / "exports").exists() or list((tmp_path / "exports").iterdir()) == []


def fail_at(call, error):
    """A function that does what `call` does until the tenth time."""
    calls = []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == 10:
            raise error
        return call(*arguments)

    return failing


def test_a_full_disk_is_told_and_leaves_nothing(planned, folder, monkeypatch):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(SafetensorsWriter, "write", fail_at(SafetensorsWriter.write, full))
    with pytest.raises(StorageError, match=r"out failed \(No space left on device\) and nothing was kept; free some"):
        write_model(planned(TIES), folder / "out")


@pytest.mark.parametrize("name", ["model_config", "write_tokenizer", "model_card", "_sync"])
def test_a_disk_that_fills_up_late_is_told_too(planned, folder, monkeypatch, name):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk, name, full)
    with pytest.raises(StorageError, match="No space left on device"):
        write_model(planned(TIES), folder / "out")


@pytest.mark.parametrize("limit", [0, 1000, 100_000])
def test_a_real_limit_of_the_system_is_told_and_leaves_nothing(planned, folder, limit):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        with pytest.raises(StorageError, match=r"File too large\) and nothing was kept"):
            write_model(planned(TIES), folder / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    write_model(planned(TIES), folder / "out")
    (folder / "out").rename(folder.parent / "fine")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), CheckpointError("damaged"), MemoryError()])
def test_what_stops_a_read_half_way_leaves_nothing(planned, folder, monkeypatch, error):
    monkeypatch.setattr(SafetensorsCheckpoint, "read", fail_at(SafetensorsCheckpoint.read, error))
    with pytest.raises(type(error)):
        write_model(planned(TIES), folder / "out", shard_bytes=40_000)


def test_a_tensor_that_turns_nan_is_named_and_leaves_nothing(planned, folder):
    with pytest.raises(MaterialiseError, match=r"layers\.1\.mlp\.up_proj\.weight has values that are not finite"):
        write_model(planned(NAN), folder / "out")


def test_a_failure_in_progress_leaves_nothing(planned, folder):
    def closed(done, whole):
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_model(planned(TIES), folder / "out", progress=closed)


def test_a_parent_that_cannot_be_made_is_named(planned, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=f"cannot write in {tmp_path / 'file'}: (Not a directory|File exists)"):
        write_model(planned(TIES), tmp_path / "file" / "out")


def test_a_folder_that_appears_meanwhile_is_not_overwritten(planned, tmp_path):
    def somebody_else(done, whole):
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "theirs").write_text("mine")

    with pytest.raises(StorageError, match="Directory not empty"):
        write_model(planned(TIES), tmp_path / "out", progress=somebody_else)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["theirs"]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_file_system_that_is_really_full(checkpoints, tmp_path):
    (tmp_path / "small").mkdir()
    program = f"""
import os, subprocess, sys
from pathlib import Path
mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", {str(tmp_path / "small")!r}])
if mounted.returncode:
    sys.exit(77)
from heterosis.core.checkpoints import SourceSet
from heterosis.core.errors import StorageError
from heterosis.core.executors import write_model
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
sources = SourceSet("base", ["one", "two"], Path({str(checkpoints)!r}))
try:
    write_model(plan(Recipe.from_yaml({TIES!r}), sources), Path({str(tmp_path / "small" / "out")!r}))
except StorageError as error:
    print(error)
print(os.listdir({str(tmp_path / "small")!r}))
"""
    command = ["unshare", "--mount", sys.executable, "-c", program]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("this system has no unshare")
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("mounting is not allowed here")
    assert "failed (No space left on device) and nothing was kept" in done.stdout, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_a_run_killed_half_way_leaves_nothing_under_the_final_name(planned, checkpoints, folder, tmp_path):
    program = f"""
import os, signal
from pathlib import Path
from heterosis.core.checkpoints import SourceSet
from heterosis.core.executors import write_model
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe

def killed_half_way(done, whole):
    if 2 * done >= whole:
        os.kill(os.getpid(), signal.SIGKILL)

sources = SourceSet("base", ["one", "two"], Path({str(checkpoints)!r}))
out = Path({str(folder / "out")!r})
write_model(plan(Recipe.from_yaml({TIES!r}), sources), out, shard_bytes=40_000, progress=killed_half_way)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (folder / "out").exists()
    (partial,) = folder.iterdir()  # what nobody could tidy up: hidden, and under another name
    assert partial.name.startswith(".out-")
    assert list(partial.glob("*.safetensors"))
    assert not (partial / "config.json").exists()
    write_model(planned(TIES), folder / "out", shard_bytes=40_000)
    whole = SafetensorsCheckpoint(folder / "out")
    assert set(whole.tensors) == {tensor.name for tensor in planned(TIES).tensors}
    for left in folder.iterdir():
        left.rename(tmp_path / left.name.lstrip("."))
