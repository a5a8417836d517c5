"""bitsandbytes: transformers and bitsandbytes load what was simulated; sizes are those foretold."""

import json

import pytest
import torch
from heterosis.core import registry
from heterosis.core.checkpoints import SourceSet
from heterosis.core.checkpoints.base import TensorInfo
from heterosis.core.errors import ConfigurationError, EvaluationError
from heterosis.core.quantization.groups import Group
from heterosis.core.quantization.level import Level
from heterosis.core.quantization.projection import plan_for
from heterosis.core.quantize_space import Quantize
from heterosis.core.quiet import no_progress_bars
from heterosis.core.recipe import Recipe
from heterosis.fitness.engine_figures import weight_bytes
from heterosis.fitness.verification import export_verified
from heterosis.plugins.formats.llm_int8 import LlmInt8Format
from heterosis.testing.tiny import tiny_model, tiny_tokenizer
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

KINDS = ("qkv", "o_proj", "gate_up", "down_proj")
INT8 = "llm_int8:llm-int8"
MIXES = [
    ["nf4", "nf4", "nf4-b32", "nf4-b32"],
    ["nf4-dq", "nf4-b32", "none", "nf4-b32-dq"],
    ["fp4", "fp4-b32", "fp4", "fp4-b32-dq"],
    ["none", ["nf4", "none", "nf4-dq"], "none", "none"],
    [INT8, INT8, INT8, INT8],
    ["none", INT8, [INT8, "none", INT8], "none"],
]


def planned_from(folder, levels, target):
    content = {"merge_method": "passthrough", "models": [folder.name]}
    recipe = Recipe.from_dict({**content, "quantize": {"target": "none", "levels": levels}})
    return plan_for(recipe, SourceSet(recipe.base_model, recipe.references, folder.parent), target)[0]


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
        ("llm-int8", "qkv", "and not llm-int8"),
        (INT8, "experts", "leave it as it is"),
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


@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_activations_are_rounded_as_they_were_simulated_also_where_there_are_outliers(
    exporter, simulated_logits, logits, tmp_path, family, dtype
):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    with no_progress_bars():
        model = tiny_model(family, hidden_size=64, intermediate_size=96).to(dtype)
        for layer in model.model.layers:
            layer.post_attention_layernorm.weight.data[5] = 9.0
        model.save_pretrained(tmp_path / "source")
    tiny_tokenizer().save_pretrained(tmp_path / "source")
    plan = planned_from(tmp_path / "source", dict.fromkeys(KINDS, INT8), exporter.name)
    exporter.write(plan, tmp_path / "model")
    loaded = exporter.load(tmp_path / "model")
    layer = loaded.model.layers[1].mlp.up_proj
    assert type(layer) is bitsandbytes.nn.Linear8bitLt
    found = logits(loaded)
    assert layer.state.idx.numel()
    assert torch.equal(found, simulated_logits(plan))


def test_files_are_those_of_transformers(exporter, planned, wide, tmp_path):
    """Same names, dtypes, shapes and bytes as its own quantisation of the same model."""
    pytest.importorskip("bitsandbytes")
    plan = planned(dict.fromkeys(KINDS, INT8), target=exporter.name)
    exporter.write(plan, tmp_path / "ours")
    settings = BitsAndBytesConfig(load_in_8bit=True)
    with no_progress_bars():
        model = AutoModelForCausalLM.from_pretrained(wide(), dtype="auto", quantization_config=settings)
        model.save_pretrained(tmp_path / "theirs")
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("ours", "theirs"))
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype
        assert torch.equal(ours[name], tensor), name
    config, reference = (
        json.loads((tmp_path / name / "config.json").read_text())["quantization_config"] for name in ("ours", "theirs")
    )
    assert config.pop("llm_int8_skip_modules") == ["lm_head"]
    assert config.items() <= reference.items()


def test_a_wrong_byte_is_found(exporter, planned, tmp_path, monkeypatch):
    pytest.importorskip("bitsandbytes")
    plan = planned(dict.fromkeys(KINDS, INT8), target=exporter.name)
    right = LlmInt8Format.stored
    monkeypatch.setattr(
        LlmInt8Format, "stored", lambda *given: {**(found := right(*given)), "weight": -found["weight"]}
    )
    with pytest.raises(EvaluationError, match=r"logits differ .* though no weight does that is not in codes"):
        export_verified(exporter, plan, tmp_path / "model", measure=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("levels", "named"),
    [
        ({"qkv": "nf4", "o_proj": "fp4"}, "fp4 and nf4"),
        ({"qkv": [INT8, "none", "nf4-dq"]}, r"llm-int8 and nf4 \(llm_int8:llm-int8 and nf4-dq\)"),
    ],
)
def test_one_mode_in_a_model(exporter, planned, levels, named):
    with pytest.raises(ConfigurationError, match=f"holds levels of one mode in a model, not of {named}"):
        planned(levels, target=exporter.name)


@pytest.mark.parametrize("fixed", [{}, {"down_proj": INT8}])
def test_spaces_in_which_genes_would_mix_modes_are_refused_at_once(fixed):
    with pytest.raises(ConfigurationError, match="one mode in a model, not of llm-int8 and nf4"):
        Quantize(levels=["nf4", "none", *([] if fixed else [INT8])], fixed=fixed, target="bitsandbytes")
    assert Quantize(levels=["nf4", INT8]).labels == ("nf4", INT8)
    assert Quantize(levels=["nf4", "nf4-dq", "none"], target="bitsandbytes").labels == ("nf4", "nf4-dq", "none")


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        ({"qkv": "int8-g32", "gate_up": "int8-g32", "o_proj": "int4-g32"}, {INT8}),
        ({"qkv": "int8-g32", "gate_up": "int4-g32", "o_proj": "none"}, {"nf4", "nf4-b32"}),
        ({"qkv": "nf4", "gate_up": INT8}, {INT8}),
    ],
)
def test_levels_of_other_targets_become_those_of_the_commonest_mode(exporter, wide, levels, expected):
    plan = planned_from(wide(), levels, exporter.name)
    assert {tensor.level.label for tensor in plan.tensors if tensor.level} == expected
    assert exporter.nbytes(plan) > 0
