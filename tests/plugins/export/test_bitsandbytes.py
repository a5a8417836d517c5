"""bitsandbytes: transformers and bitsandbytes load what was simulated; sizes are those foretold."""

import pytest
import torch
from heterosis.core import registry
from heterosis.core.checkpoints.base import TensorInfo
from heterosis.core.errors import ConfigurationError
from heterosis.core.quantization.groups import Group
from heterosis.core.quantization.level import Level
from heterosis.fitness.engine_figures import weight_bytes
from heterosis.fitness.verification import export_verified

KINDS = ("qkv", "o_proj", "gate_up", "down_proj")
MIXES = [
    ["nf4", "nf4", "nf4-b32", "nf4-b32"],
    ["nf4-dq", "nf4-b32", "none", "nf4-b32-dq"],
    ["fp4", "fp4-b32", "fp4", "fp4-b32-dq"],
    ["none", ["nf4", "none", "nf4-dq"], "none", "none"],
]


@pytest.fixture
def exporter():
    return registry.load("exporters", "bitsandbytes")()


@pytest.mark.parametrize("labels", MIXES, ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_reloaded_model_computes_what_was_simulated(
    exporter, planned, simulated_logits, logits, tmp_path, labels, dtype
):
    pytest.importorskip("bitsandbytes")
    plan = planned(dict(zip(KINDS, labels, strict=True)), dtype=dtype, target=exporter.name)
    export_verified(exporter, plan, tmp_path / "model", measure=False)
    assert torch.equal(logits(exporter.load(tmp_path / "model")), simulated_logits(plan))
    size = weight_bytes(tmp_path / "model")
    most = exporter.fixed_bytes(plan)
    most += sum(exporter.most_bytes(tensor.name, tensor.info, tensor.level) for tensor in plan.tensors)
    assert size == exporter.nbytes(plan) <= most <= size + 64 * (5 + len(plan.tensors)) * 2


@pytest.mark.parametrize(
    ("label", "kind", "reason"),
    [
        ("int4-g32", "qkv", "and not int4-g32"),
        ("nf4", "head", "leave it as it is"),
        ("nf4", "experts", "leave it as it is"),
        ("nf4-b128", "qkv", "128"),
    ],
)
def test_what_cannot_be_held_is_refused_with_the_reason(exporter, label, kind, reason):
    assert reason in exporter.refuses(Level.parse(label), Group(0, kind), TensorInfo((96, 64), torch.bfloat16))


def test_all_its_formats_are_legal(exporter):
    for label in exporter.formats:
        assert exporter.refuses(Level.parse(label), Group(0, "o_proj"), TensorInfo((64, 256), torch.bfloat16)) is None


def test_one_kind_in_a_model(exporter, planned, tmp_path):
    plan = planned({"qkv": "nf4", "o_proj": "fp4"}, target=exporter.name)
    with pytest.raises(ConfigurationError, match="one kind of 4 bits in a model, not fp4 and nf4"):
        exporter.write(plan, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
