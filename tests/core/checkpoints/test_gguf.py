"""GGUF files: converted once, without loss beyond bfloat16; what is no GGUF is refused."""

import json

import gguf
import numpy as np
import pytest
import torch
from heterosis.core.checkpoints import SourceSet, check_compatible, open_checkpoint
from heterosis.core.checkpoints import gguf as converter
from heterosis.core.errors import CheckpointError
from heterosis.core.executors import LiveExecutor, resident_model, write_model
from heterosis.core.merge_space import Merge
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe, RecipeModel
from heterosis.core.settings import Rule
from heterosis.core.space import Space
from heterosis.testing.tiny import tiny_model, tiny_tokenizer
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

WEIGHTS = {"weight": (Rule(1.0),)}

RENAMED = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "post_attention_layernorm": "ffn_norm",
    "input_layernorm": "attn_norm",
}


def write_gguf(path, model, quantization=None):
    """Writes a Llama as llama.cpp's converter does: in float32, or its matrices with widths for it quantised."""
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    add_tokenizer(writer)
    for name, tensor in model.state_dict().items():
        if config.tie_word_embeddings and name == "lm_head.weight":
            continue  # llama.cpp takes the input's where there is none
        weight = tensor.numpy().astype(np.float32)
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        for part, count in heads.items():
            if part in name:  # llama.cpp keeps the halves of rotary pairs side by side
                halves = weight.reshape(count, 2, weight.shape[0] // count // 2, weight.shape[1])
                weight = np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(weight.shape)
        for ours, theirs in RENAMED.items():
            name = name.replace(ours, theirs)
        if quantization is not None and weight.shape[-1] % 32 == 0:
            writer.add_tensor(name, gguf.quants.quantize(weight, quantization), raw_dtype=quantization)
        else:
            writer.add_tensor(name, weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer):
    backend = tiny_tokenizer().backend_tokenizer
    vocabulary = sorted(backend.get_vocab().items(), key=lambda entry: entry[1])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types(
        [gguf.TokenType.CONTROL if number < 3 else gguf.TokenType.NORMAL for _, number in vocabulary]
    )
    writer.add_token_merges([" ".join(pair) for pair in json.loads(backend.to_str())["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(path, tiny_model())
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HETEROSIS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "gguf"


def test_a_gguf_file_reads_as_the_model_it_was_written_from(file, cache, checkpoints):
    opened = open_checkpoint(str(file))
    expected = tiny_model().state_dict()
    assert set(opened.tensors) == set(expected)
    for name, tensor in expected.items():
        assert torch.equal(opened.read(name), tensor.bfloat16()), name
    check_compatible(open_checkpoint("base", checkpoints), [opened])
    assert not [path.name for path in cache.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("tied", [False, True])
def test_a_gguf_merges_with_safetensors_and_adapters(tied, cache, tmp_path, checkpoints):
    model = tiny_model(seed=1, tie_word_embeddings=tied)
    write_gguf(tmp_path / "other.gguf", model)
    other = str(tmp_path / "other.gguf")
    space = Space("base", {"one": "one", "lora": "lora-one", "gguf": other}, Merge("linear"), checkpoints)
    recipe = Recipe("linear", tuple(RecipeModel(name) for name in ("one", "lora-one", other)), parameters=WEIGHTS)
    planned = plan(recipe, space.checkpoints)
    write_model(planned, tmp_path / "out")
    parts = [open_checkpoint("base", checkpoints)]
    parts += [open_checkpoint(name, checkpoints, parts[0]) for name in ("one", "lora-one")]
    state = model.state_dict()
    for name, tensor in load_file(tmp_path / "out" / "model.safetensors").items():
        mean = (parts[1].read(name) + parts[2].read(name) + state[name].bfloat16().float()) / 3
        torch.testing.assert_close(tensor, mean, rtol=1e-5, atol=1e-6, msg=name)
    live = LiveExecutor(resident_model(space.checkpoints["base"], torch.float32))
    live.materialise(planned)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    tokens = torch.tensor([[1, 5, 40, 3, 77]])
    with torch.no_grad():
        assert torch.equal(live.model(tokens).logits, loaded(tokens).logits)


def test_a_quantised_gguf_is_unpacked(cache, tmp_path):
    model = tiny_model(hidden_size=64, intermediate_size=96)
    write_gguf(tmp_path / "q8.gguf", model, gguf.GGMLQuantizationType.Q8_0)
    opened = open_checkpoint(str(tmp_path / "q8.gguf"))
    for name, tensor in model.state_dict().items():
        read = opened.read(name)
        assert (read.shape, read.dtype) == (tensor.shape, torch.bfloat16)
        if tensor.ndim == 2:
            assert not torch.equal(read, tensor.bfloat16()), f"{name} was not quantised, so this shows nothing"
        step = tensor.abs().max() / 127
        assert (read.float() - tensor).abs().max() <= step, name


def test_its_tokenizer_comes_along(file, cache):
    from transformers import AutoTokenizer

    folder = open_checkpoint(str(file)).directory
    text = "the lazy dog knows"
    ours = tiny_tokenizer(add_bos=False).encode(text)
    assert AutoTokenizer.from_pretrained(folder).encode(text, add_special_tokens=False) == ours


def test_a_file_is_converted_once_and_again_when_it_changes(file, cache, tmp_path, monkeypatch):
    first = open_checkpoint(str(file)).directory
    conversions = []
    convert = converter._convert
    monkeypatch.setattr(converter, "_convert", lambda path, folder: (conversions.append(path), convert(path, folder)))
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(file.read_bytes())
    assert open_checkpoint(str(copy)).directory == first
    assert conversions == []
    write_gguf(copy, tiny_model(seed=1))
    assert open_checkpoint(str(copy)).directory != first
    assert conversions == [copy]


def test_progress_is_told(file, cache):
    told = []
    SourceSet(str(file), [], progress=lambda *event: told.append(event))
    size = file.stat().st_size
    assert told == [("reading tiny.gguf", 0, size), ("reading tiny.gguf", size, size)]


def test_a_conversion_draws_no_bars_of_its_own(file, cache, capfd):
    open_checkpoint(str(file))
    drawn = capfd.readouterr()
    assert drawn.out == drawn.err == ""


def test_an_interrupted_conversion_leaves_nothing(file, cache, monkeypatch):
    def interrupted(path, folder):
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(converter, "_convert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        open_checkpoint(str(file))
    assert list(cache.iterdir()) == []


def test_a_damaged_gguf_is_named_and_leaves_nothing(file, cache, tmp_path):
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match=r"transformers cannot read .*damaged\.gguf"):
        open_checkpoint(str(damaged))
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"GGU", b"PK\x03\x04 a zip file"])
def test_a_file_that_is_no_gguf_is_refused(cache, tmp_path, content):
    (tmp_path / "model.gguf").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.gguf is not a GGUF file"):
        open_checkpoint("model.gguf", tmp_path)
