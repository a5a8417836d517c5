"""compressed-tensors: what is reloaded is the candidate that was simulated, to the bit; sizes are those foretold."""

import json

import pytest
import torch
from heterosis.core import registry
from heterosis.core.checkpoints.base import TensorInfo
from heterosis.core.errors import ConfigurationError
from heterosis.core.executors.disk import write_model
from heterosis.core.plan import Plan, QuantizeStep, TensorPlan
from heterosis.core.quantization.groups import Group
from heterosis.core.quantization.level import Level
from hypothesis import given, settings
from hypothesis import strategies as st

KINDS = ("qkv", "o_proj", "gate_up", "down_proj")
BFLOAT16 = torch.bfloat16


@pytest.fixture
def exporter():
    return registry.load("exporters", "compressed-tensors")()


def weight_bytes(folder):
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


MIXES = [
    *(([f"int{bits}-g32"] * 4, BFLOAT16) for bits in range(2, 9)),
    *(([f"int{bits}-g16-asym"] * 4, BFLOAT16) for bits in range(2, 9)),
    (["int2-g8-asym", "int3-g16", "int5-channel", "int7-tensor"], BFLOAT16),
    (["int8-channel-asym", "int6-tensor-asym", "fp8_e4m3", "fp8_e4m3-tensor"], BFLOAT16),
    (["int4-g32", "fp8_e4m3", "int3-g16-asym", "none"], torch.float32),
    (["int4-g32", "fp8_e4m3", "int3-g16-asym", "none"], torch.float16),
    (["mxfp4", "mxfp8", "nvfp4", "mxfp4_ocp"], BFLOAT16),
    (["nvfp4", "int4-g32", "fp8_e4m3", "none"], BFLOAT16),
]


@pytest.mark.parametrize(("labels", "dtype"), MIXES, ids=lambda value: "+".join(value) if type(value) is list else None)
def test_a_reloaded_model_computes_what_was_simulated(
    exporter, planned, simulated_logits, logits, tmp_path, labels, dtype
):
    plan = planned(dict(zip(KINDS, labels, strict=True)), dtype=dtype, target=exporter.name)
    exporter.write(plan, tmp_path / "model")
    assert torch.equal(logits(exporter.load(tmp_path / "model")), simulated_logits(plan))
    assert weight_bytes(tmp_path / "model") == exporter.nbytes(plan)


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "gemma3"])
def test_other_families(exporter, planned, simulated_logits, logits, tmp_path, family):
    levels = dict(zip(KINDS, ["int4-g16-asym", "mxfp4", "mxfp8", "int3"], strict=True)) | {"down_proj": "int3-g32"}
    plan = planned(levels, family, target=exporter.name)
    exporter.write(plan, tmp_path / "model")
    assert torch.equal(logits(exporter.load(tmp_path / "model")), simulated_logits(plan))


def test_layers_of_one_model_may_differ(exporter, planned, simulated_logits, logits, tmp_path):
    plan = planned({"qkv": ["int2-g32", "none", "int8-g32"], "down_proj": "int4-g32"}, target=exporter.name)
    exporter.write(plan, tmp_path / "model")
    assert torch.equal(logits(exporter.load(tmp_path / "model")), simulated_logits(plan))
    config = json.loads((tmp_path / "model" / "config.json").read_text())["quantization_config"]
    assert config["format"] == "pack-quantized"
    assert "model.layers.1.self_attn.q_proj" in config["ignore"]
    assert "lm_head" in config["ignore"]
    targets = [target for group in config["config_groups"].values() for target in group["targets"]]
    assert len(targets) == len(set(targets)) == 6 + 3


@pytest.mark.parametrize("label", ["int4-g32", "int3-g16-asym", "fp8_e4m3", "mxfp4", "mxfp8", "nvfp4"])
def test_an_output_layer_of_its_own_may_be_quantised(exporter, planned, simulated_logits, logits, tmp_path, label):
    plan = planned({"head": label, "qkv": "int8-g32"}, target=exporter.name)
    exporter.write(plan, tmp_path / "model")
    assert torch.equal(logits(exporter.load(tmp_path / "model")), simulated_logits(plan))
    assert weight_bytes(tmp_path / "model") == exporter.nbytes(plan) < exporter.nbytes(planned({"qkv": "int8-g32"}))
    config = json.loads((tmp_path / "model" / "config.json").read_text())["quantization_config"]
    assert "lm_head" not in config["ignore"]
    assert any("lm_head" in group["targets"] for group in config["config_groups"].values())


EXPERTS = [
    {"experts": "int4-g32"},
    {"experts": "int3-channel"},
    {"experts": "int8-tensor", "qkv": "int4-g32-asym", "head": "int5-g32"},
    {"experts": "fp8_e4m3", "qkv": "int4-g32"},
    {"experts": "fp8_e4m3-tensor", "qkv": "fp8_e4m3"},
    {"experts": "mxfp4", "o_proj": "nvfp4"},
    {"qkv": "int4-g32"},
    {"qkv": "mxfp8", "o_proj": "nvfp4"},
]


@pytest.mark.parametrize("levels", EXPERTS, ids=str)
def test_experts_are_reloaded_as_they_were_simulated_quantised_or_not(
    exporter, planned, simulated_logits, logits, tmp_path, capfd, levels
):
    plan = planned(levels, "mixtral", target=exporter.name)
    assert any("experts" in tensor.name and tensor.level is not None for tensor in plan.tensors) == (
        "experts" in levels
    )
    exporter.write(plan, tmp_path / "model")
    capfd.readouterr()
    assert torch.equal(logits(exporter.load(tmp_path / "model")), simulated_logits(plan))
    assert weight_bytes(tmp_path / "model") == exporter.nbytes(plan)
    assert "could not match" not in capfd.readouterr().err.lower()


def test_experts_of_several_levels_are_refused_before_anything_is_written(exporter, planned):
    levels = {"experts": ["int4-g32", "int8-g32", "int4-g32"]}
    with pytest.raises(ConfigurationError, match="experts of one level in all layers, not of int4-g32, int8-g32"):
        planned(levels, "mixtral", target=exporter.name)


def test_shards_hold_the_same(exporter, planned, tmp_path):
    from heterosis.core.executors.shards import file_bytes
    from heterosis.plugins.export.compressed_tensors import _Compressed

    plan = planned({"qkv": "int4-g32-asym"}, target=exporter.name)
    write_model(plan, tmp_path / "one", encoding=_Compressed())
    write_model(plan, tmp_path / "many", shard_bytes=30_000, encoding=_Compressed())
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 2
    assert weight_bytes(tmp_path / "many") == file_bytes(plan, _Compressed(), 30_000)
    one, many = exporter.load(tmp_path / "one").state_dict(), exporter.load(tmp_path / "many").state_dict()
    assert one.keys() == many.keys()
    assert all(torch.equal(one[name], many[name]) for name in one)


LABELS = ["none", "int2-g8", "int3-channel-asym", "int4-g16-asym", "int8-tensor-asym", "int5-tensor", "fp8_e4m3"]
LABELS += ["mxfp4", "mxfp8", "nvfp4"]


@st.composite
def plans(draw):
    layers, hidden, ffn = draw(st.integers(1, 12)), 32 * draw(st.integers(1, 40)), 32 * draw(st.integers(1, 90))
    shapes = {"self_attn.q_proj": (hidden, hidden), "mlp.down_proj": (hidden, ffn), "mlp.up_proj": (ffn, hidden)}
    tensors = [TensorPlan("model.embed_tokens.weight", TensorInfo((draw(st.integers(1, 99)), hidden), BFLOAT16), ())]
    for layer in range(layers):
        for module, shape in shapes.items():
            level = Level.parse(draw(st.sampled_from(LABELS)))
            step = QuantizeStep(level, {}) if level else None
            tensors.append(TensorPlan(f"model.layers.{layer}.{module}.weight", TensorInfo(shape, BFLOAT16), (), step))
    return Plan(None, tuple(tensors), None, {}, {})


@settings(max_examples=40, deadline=None)
@given(plans())
def test_costs_by_tensor_never_fall_short_of_the_file_nor_go_far_beyond(plan):
    exporter = registry.load("exporters", "compressed-tensors")()
    most = exporter.fixed_bytes(plan)
    most += sum(exporter.most_bytes(tensor.name, tensor.info, tensor.level) for tensor in plan.tensors)
    exact = exporter.nbytes(plan)
    assert exact <= most <= exact + 64 * (3 + len(plan.tensors))


@pytest.mark.parametrize(
    ("label", "group", "dtype", "reason"),
    [
        ("int4-g32", Group(None, "embedding"), BFLOAT16, "choose the target gguf"),
        ("int4-g32-asym", Group(1, "experts"), BFLOAT16, "leaves out zero points"),
        ("mxfp8", Group(1, "experts"), BFLOAT16, "leaves out zero points, MXFP8's exponents"),
        ("nvfp4", Group(1, "experts"), BFLOAT16, "NVFP4's second scale"),
        ("int4-g48", Group(1, "qkv"), BFLOAT16, "groups of 48 do not divide its 64 columns"),
        ("int4-g32-float", Group(1, "qkv"), BFLOAT16, "no real zero points"),
        ("nf4", Group(1, "qkv"), BFLOAT16, "no codebook formats"),
        ("fp8_e5m2", Group(1, "qkv"), BFLOAT16, "fp8_e4m3"),
        ("mxfp4", Group(1, "qkv"), torch.float32, "set dtype: bfloat16"),
        ("nvfp4", Group(1, "qkv"), torch.float16, "set dtype: bfloat16"),
    ],
)
def test_what_cannot_be_held_is_refused_with_the_reason(exporter, label, group, dtype, reason):
    found = exporter.refuses(Level.parse(label), group, TensorInfo((96, 64), dtype))
    assert found is not None
    assert reason in found


def test_all_its_formats_are_legal(exporter):
    info = TensorInfo((128, 256), BFLOAT16)
    for label in exporter.formats:
        assert exporter.refuses(Level.parse(label), Group(0, "o_proj"), info) is None, label


def test_a_plan_with_an_illegal_level_is_refused_before_anything_is_written(exporter, planned):
    with pytest.raises(ConfigurationError, match=r"k_proj.*compressed-tensors.*no codebook formats"):
        planned({"qkv": "nf4-b32"}, target=exporter.name)


def test_models_that_are_no_language_models_are_refused(exporter):
    assert exporter.refuses_source({"model_type": "llama"}) is None
    assert "encoder" in exporter.refuses_source({"model_type": "t5", "is_encoder_decoder": True})
    assert "no language model 'vit'" in exporter.refuses_source({"model_type": "vit"})


def test_loading_draws_nothing_and_leaves_the_library_as_it_was(exporter, planned, tmp_path, capfd):
    from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor

    exporter.write(planned({"qkv": "int4-g32-asym"}, target=exporter.name), tmp_path / "model")
    before = vars(PackedQuantizationCompressor)["compress"]
    exporter.load(tmp_path / "model")
    assert vars(PackedQuantizationCompressor)["compress"] is before
    drawn = capfd.readouterr()
    assert drawn.out == drawn.err == ""
