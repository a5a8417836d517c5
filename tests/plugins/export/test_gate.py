"""The gate: nothing gets its name that does not load, has another size, or is not the model that was simulated."""

import os

import pytest
import torch
from heterosis.core import registry
from heterosis.core.errors import ConfigurationError, EvaluationError, StorageError
from heterosis.fitness.engine_figures import measure_engine, weight_bytes
from heterosis.fitness.verification import export_verified, write_export
from heterosis.plugins.export.compressed_tensors import CompressedTensorsExporter
from safetensors.torch import load_file

NAME = "model.layers.1.mlp.up_proj.weight"
LEVELS = {"qkv": "int4-g32-asym", "down_proj": ["int2-g32", "none", "mxfp4"]}


@pytest.fixture
def plan(planned):
    return planned(LEVELS, target="compressed-tensors")


class Spoiling(CompressedTensorsExporter):
    """Writes one weight wrong."""

    def write(self, plan, directory):
        super().write(plan, directory)
        self.spoil(directory / "model.safetensors")

    def spoil(self, file):
        content = file.read_bytes()
        place = content.index(load_file(file)[NAME].view(torch.uint8).numpy().tobytes())
        file.write_bytes(content[:place] + b"\x00\x40" * 64 + content[place + 128 :])


class Lengthening(Spoiling):
    def spoil(self, file):
        file.write_bytes(file.read_bytes() + b"\0")


class Losing(Spoiling):
    def spoil(self, file):
        file.write_bytes(file.read_bytes().replace(NAME.encode(), NAME.replace("weight", "weighs").encode()))


class LessExact(Spoiling):
    exact = False


@pytest.mark.parametrize(
    ("exporter", "reason"),
    [
        (
            Spoiling,
            r"logits differ by up to [\d.]+ when it is reloaded, model\.layers\.1\.mlp\.up_proj\.weight by [\d.]+%",
        ),
        (LessExact, r"its perplexity is [\d.]+ when reloaded, and was [\d.]+, model\.layers\.1\.mlp\.up_proj\.weight"),
        (Lengthening, r"weight files have [\d,]+ bytes, and [\d,]+ were foretold"),
        (Losing, r"but has missing keys: model\.layers\.1\.mlp\.up_proj\.weight"),
    ],
)
def test_what_differs_is_named_and_nothing_is_left(plan, tmp_path, exporter, reason):
    with pytest.raises(EvaluationError, match=reason):
        export_verified(exporter(), plan, tmp_path / "model", measure=False)
    assert list(tmp_path.iterdir()) == []


def test_what_agrees_is_measured_in_a_process_of_its_own(plan, tmp_path):
    exporter = CompressedTensorsExporter()
    figures = write_export(exporter, plan, tmp_path / "model")
    assert figures.bytes == weight_bytes(tmp_path / "model") == exporter.nbytes(plan)
    assert figures.prefill_ms > 0
    assert figures.decode_speed > 0
    assert figures.memory > figures.bytes
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert {"config.json", "recipe.yaml", "README.md", "tokenizer.json"} <= set(os.listdir(tmp_path / "model"))


def test_models_that_are_not_quantised_and_exports_unverified_are_only_written(planned, plan, tmp_path):
    exporter = CompressedTensorsExporter()
    assert write_export(exporter, planned({}), tmp_path / "plain") is None
    assert write_export(Spoiling(), plan, tmp_path / "unverified", verify=False) is None
    assert (tmp_path / "unverified" / "model.safetensors").exists()


def test_a_folder_in_use_is_left_alone(plan, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="exists already"):
        export_verified(CompressedTensorsExporter(), plan, tmp_path, measure=False)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
    (tmp_path / "empty").mkdir()
    export_verified(CompressedTensorsExporter(), plan, tmp_path / "empty", measure=False)
    assert (tmp_path / "empty" / "config.json").exists()


def test_a_disk_that_refuses_leaves_nothing(plan, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("heterosis.core.executors.safetensors_writer.SafetensorsWriter.write", full)
    with pytest.raises(StorageError, match="No space left"):
        export_verified(CompressedTensorsExporter(), plan, tmp_path / "model", measure=False)
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_dies_says_why(tmp_path):
    with pytest.raises(EvaluationError, match=r"does not run in a process of its own: .*cannot load"):
        measure_engine("compressed-tensors", tmp_path)


@pytest.mark.parametrize("levels", [{}, LEVELS, {"qkv": "nf4-b32", "o_proj": "fp8_e5m2"}])
def test_safetensors_hold_the_very_weights_that_were_simulated(planned, simulated_logits, logits, tmp_path, levels):
    from heterosis.plugins.export.reloading import reloaded

    plan = planned(levels)
    registry.load("exporters", "safetensors")().write(plan, tmp_path / "model")
    assert torch.equal(logits(reloaded(tmp_path / "model")), simulated_logits(plan))
