"""GGUF: transformers and llama.cpp load what was simulated; sizes are those foretold; what cannot be is refused."""

import gguf
import pytest
import torch
from heterosis.core import registry
from heterosis.core.checkpoints import SourceSet
from heterosis.core.checkpoints.base import TensorInfo
from heterosis.core.errors import ConfigurationError
from heterosis.core.plan import plan
from heterosis.core.quantization.groups import Group
from heterosis.core.quantization.level import Level
from heterosis.core.quiet import no_progress_bars
from heterosis.core.recipe import Recipe
from heterosis.testing.tiny import tiny_model, tiny_tokenizer
from transformers import AutoTokenizer

KINDS = ("qkv", "o_proj", "gate_up", "down_proj", "embedding", "head")
TEXTS = ["the quick brown fox", "  two  spaces,\n\nlines; it's 1234 °C — naïve 日本 🙂"]


@pytest.fixture
def exporter():
    return registry.load("exporters", "gguf")()


@pytest.fixture(scope="module")
def superblocks(tmp_path_factory):
    """A plan of a llama model that 256 divides."""
    folder = tmp_path_factory.mktemp("superblocks") / "model"
    with no_progress_bars():
        tiny_model(hidden_size=256, intermediate_size=512).to(torch.bfloat16).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)

    def make(levels):
        content = {"merge_method": "passthrough", "models": ["model"], "quantize": {"target": "gguf", "levels": levels}}
        recipe = Recipe.from_dict(content)
        return plan(recipe, SourceSet(recipe.base_model, recipe.references, folder.parent))

    return make


def file_bytes(folder):
    return (folder / "model.gguf").stat().st_size


def compare(exporter, planned, simulated_logits, logits, folder):
    exporter.write(planned, folder)
    assert torch.equal(logits(exporter.load(folder)), simulated_logits(planned))
    assert file_bytes(folder) == exporter.nbytes(planned)
    least = exporter.fixed_bytes(planned)
    assert exporter.nbytes(planned) <= least + sum(
        exporter.most_bytes(tensor.name, tensor.info, tensor.level) for tensor in planned.tensors
    )


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_transformers_computes_what_was_merged(exporter, planned, simulated_logits, logits, tmp_path, family, dtype):
    compare(exporter, planned({}, family, dtype), simulated_logits, logits, tmp_path / "model")


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_transformers_computes_what_was_simulated(exporter, planned, simulated_logits, logits, tmp_path, family):
    levels = {"qkv": ["q4_0", "q5_1", "none"], "gate_up": "mxfp4_ocp", "down_proj": "q5_0", "embedding": "q8_0"}
    if family != "mistral":  # whose heads are 12 wide
        levels["o_proj"] = "q4_1"
    compare(exporter, planned(levels, family, target="gguf"), simulated_logits, logits, tmp_path / "model")


@pytest.mark.parametrize("label", ["q2_k", "q3_k", "q4_k", "q5_k", "q6_k"])
def test_superblocks(exporter, superblocks, simulated_logits, logits, tmp_path, label):
    compare(exporter, superblocks(dict.fromkeys(KINDS, label)), simulated_logits, logits, tmp_path / "model")


def test_every_tensor_has_its_own_type(exporter, planned, tmp_path):
    levels = {"qkv": ["q4_0", "q8_0", "none"], "embedding": "q8_0"}
    exporter.write(planned(levels, target="gguf"), tmp_path / "model")
    types = {t.name: t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "model" / "model.gguf").tensors}
    assert [types[f"blk.{layer}.attn_k.weight"] for layer in range(3)] == ["Q4_0", "Q8_0", "BF16"]
    assert types["token_embd.weight"] == "Q8_0"
    assert types["blk.0.attn_norm.weight"] == types["output_norm.weight"] == "F32"


def test_the_tokenizer_in_the_file_is_the_model_s(exporter, planned, wide, tmp_path):
    exporter.write(planned({}), tmp_path / "model")
    read = AutoTokenizer.from_pretrained(tmp_path / "model", gguf_file="model.gguf")
    own = AutoTokenizer.from_pretrained(wide())
    for text in TEXTS:
        assert read(text).input_ids == own(text).input_ids


def test_all_its_formats_are_legal(exporter):
    info = TensorInfo((8, 512), torch.bfloat16)
    for label in exporter.formats:
        assert exporter.refuses(Level.parse(label), Group(0, "qkv"), info) is None
    assert exporter.refuses(None, Group(0, "qkv"), info) is None


def test_formats_of_others_are_refused(exporter):
    info = TensorInfo((8, 512), torch.bfloat16)
    assert "no type for int4" in exporter.refuses(Level.parse("int4"), Group(0, "qkv"), info)
    assert "no type for mxfp4;" in exporter.refuses(Level.parse("mxfp4"), Group(0, "qkv"), info)
    assert "256" in exporter.refuses(Level.parse("q4_k"), Group(0, "qkv"), TensorInfo((8, 576), torch.bfloat16))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model_type": "gpt_neox"}, "gpt_neox"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"rope_scaling": {"rope_type": "llama3"}}, "llama3"),
        ({"attention_bias": True}, "attention_bias"),
        ({"use_sliding_window": True, "sliding_window": 64}, "sliding"),
    ],
)
def test_models_that_engines_would_compute_otherwise_are_refused(exporter, planned, change, reason):
    config = dict(planned({}).config)
    assert exporter.refuses_source(config) is None
    config.pop("rope_parameters", None)
    assert reason in exporter.refuses_source(config | change)


def test_a_refused_model_leaves_nothing(exporter, planned, tmp_path):
    with pytest.raises(ConfigurationError, match="gemma3_text"):
        exporter.write(planned({}, "gemma3"), tmp_path / "model")
    with pytest.raises(ConfigurationError, match=r"gguf has no type for .*int4-g32"):
        exporter.write(planned({"qkv": "int4-g32"}), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
