"""What is stored for bitsandbytes is loaded by transformers, and stands there for the values that were measured."""

import json

import pytest
import torch
from heterosis.core.quantization.level import format_of
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM


@pytest.mark.parametrize("label", ["nf4", "nf4-dq", "fp4-b32"])
def test_transformers_loads_it(label, tmp_path):
    library = pytest.importorskip("bitsandbytes")
    form = format_of(label)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = LlamaConfig(**shape, num_hidden_layers=1, vocab_size=100, tie_word_embeddings=False)
    torch.manual_seed(0)
    stored, expected = {}, {}
    for name, weight in LlamaForCausalLM(config).bfloat16().state_dict().items():
        if ".layers." not in name or weight.ndim != 2:
            stored[name] = weight
            continue
        found = form.encode(form.fit(weight.float(), dtype=weight.dtype), weight.float())
        stored |= {name + suffix: part.contiguous() for suffix, part in form.stored(found, weight.dtype).items()}
        expected[name] = found.dequantize(torch.bfloat16)
    save_file(stored, tmp_path / "model.safetensors", {"format": "pt"})
    quantization = {
        "quant_method": "bitsandbytes",
        "load_in_4bit": True,
        "bnb_4bit_quant_type": form.kind,
        "bnb_4bit_use_double_quant": form.double,
        "bnb_4bit_compute_dtype": "bfloat16",
    }
    told = {**config.to_dict(), "architectures": ["LlamaForCausalLM"], "dtype": "bfloat16"}
    (tmp_path / "config.json").write_text(json.dumps({**told, "quantization_config": quantization}))
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert len(expected) == 7
    for name, values in expected.items():
        loaded = model.get_parameter(name)
        assert torch.equal(library.functional.dequantize_4bit(loaded.data, loaded.quant_state), values)
