"""A LoRA adapter reads as the dense model that PEFT merges it into; what is not plain LoRA is refused."""

import json

import pytest
import torch
from heterosis.core.checkpoints import open_checkpoint
from heterosis.core.errors import CheckpointError
from heterosis.testing.checkpoints import write_tiny, write_tiny_adapter
from safetensors.torch import load_file, save_file

QUERY = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture
def adapter(checkpoints, tmp_path):
    """Writes an adapter of the shared base, with changes to its config, and returns its folder."""

    def write(dtype=torch.float32, **changes):
        folder = write_tiny_adapter(tmp_path / "adapter", checkpoints / "base", seed=5)
        rewrite(folder, lambda tensors: {name: tensor.to(dtype) for name, tensor in tensors.items()})
        config = json.loads((folder / "adapter_config.json").read_text())
        config.update(target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"])
        (folder / "adapter_config.json").write_text(json.dumps({**config, **changes}))
        return folder

    return write


def rewrite(folder, change):
    path = folder / "adapter_model.safetensors"
    tensors = change({name: tensor.clone() for name, tensor in load_file(path).items()})
    save_file(tensors, path)


def opened(folder, checkpoints):
    return open_checkpoint(str(folder), base=open_checkpoint("base", checkpoints))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("changes", "scale"),
    [
        ({}, 4.0 / 2),
        ({"lora_alpha": 3}, 3 / 2),
        ({"use_rslora": True}, 4.0 / 2**0.5),
        ({"alpha_pattern": {"q_proj": 10}}, 10 / 2),
        ({"alpha_pattern": {"layers.0.self_attn.q_proj": 10, "proj": 3}, "use_rslora": True}, 10 / 2**0.5),
        ({"alpha_pattern": {"k_proj": 10}}, 4.0 / 2),
        ({"alpha_pattern": {r"model\.layers\.0\..*": 10}}, 10 / 2),
        ({"alpha_pattern": {"^model.layers.0.self_attn.(q|k)_proj": 10}}, 10 / 2),
        ({"rank_pattern": {"q_proj": 2}, "r": 7}, 4.0 / 2),
    ],
)
def test_a_change_is_scale_times_b_times_a(adapter, checkpoints, dtype, changes, scale):
    folder = adapter(dtype, **changes)
    stored = {name: tensor.double() for name, tensor in load_file(folder / "adapter_model.safetensors").items()}
    stem = "base_model.model." + QUERY.removesuffix("weight")
    down, up = stored[stem + "lora_A.weight"], stored[stem + "lora_B.weight"]
    checkpoint = opened(folder, checkpoints)
    expected = checkpoint.base.read(QUERY).double() + scale * up @ down
    assert checkpoint.tensors[QUERY].dtype == checkpoint.read(QUERY).dtype == torch.float32
    assert torch.allclose(checkpoint.read(QUERY).double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_rslora": True, "alpha_pattern": {"q_proj": 10, r"layers\.1\.mlp\..*": 7, "^model.layers.2.*": 1}},
    ],
)
def test_every_tensor_is_what_peft_merges(adapter, checkpoints, changes):
    peft = pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    folder = adapter(task_type="CAUSAL_LM", **changes)
    model = AutoModelForCausalLM.from_pretrained(checkpoints / "base", dtype=torch.float32)
    merged = peft.PeftModel.from_pretrained(model, folder).merge_and_unload().state_dict()
    checkpoint = opened(folder, checkpoints)
    assert set(checkpoint.tensors) == set(merged)
    for name, tensor in merged.items():
        assert torch.allclose(checkpoint.read(name), tensor, rtol=0, atol=1e-6), name


def test_an_untouched_tensor_is_the_bases_own(checkpoints):
    checkpoint = opened(checkpoints / "lora-one", checkpoints)
    assert torch.equal(checkpoint.read("model.norm.weight"), checkpoint.base.read("model.norm.weight"))
    assert checkpoint.config == checkpoint.base.config
    assert checkpoint.fingerprint != checkpoint.base.fingerprint


def test_a_change_below_the_bases_rounding_is_kept(adapter, checkpoints, tmp_path):
    folder = adapter()
    rewrite(folder, lambda tensors: {n: t * (1e-4 if "lora_A" in n else 1.0) for n, t in tensors.items()})
    base = open_checkpoint(str(write_tiny(tmp_path / "half", dtype=torch.bfloat16)))
    checkpoint = open_checkpoint(str(folder), base=base)
    rounded_away = checkpoint.read(QUERY).bfloat16() == base.read(QUERY)
    kept = checkpoint.read(QUERY) != base.read(QUERY).float()
    assert rounded_away.float().mean() > 0.95
    assert kept.float().mean() > 0.95


def test_the_scale_belongs_to_the_fingerprint(adapter, checkpoints):
    folder = adapter()
    before = opened(folder, checkpoints).fingerprint
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 5}))
    assert opened(folder, checkpoints).fingerprint != before


def test_an_adapter_needs_a_base(checkpoints):
    with pytest.raises(CheckpointError, match="lora-one is a LoRA adapter; name the base"):
        open_checkpoint("lora-one", checkpoints)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "an adapter of type 'IA3'; only LORA is read"),
        ({"use_dora": True}, "uses use_dora, which is not read; merge it into its base with PEFT"),
        ({"modules_to_save": ["lm_head"]}, "uses modules_to_save"),
        ({"fan_in_fan_out": True}, "uses fan_in_fan_out"),
        ({"bias": "all"}, "uses bias"),
        ({"lora_alpha": None}, "`lora_alpha` must be a number, not None"),
        ({"lora_alpha": "much"}, "`lora_alpha` must be a number, not 'much'"),
        ({"alpha_pattern": {"q_proj": None}}, "`alpha_pattern` of `q_proj` must be a number, not None"),
        ({"alpha_pattern": ["q_proj"]}, "`alpha_pattern` must give numbers by module"),
        ({"alpha_pattern": {"(q_proj": 3}}, "`alpha_pattern` is no regular expression"),
    ],
)
def test_what_is_not_plain_lora_is_refused_when_opened(adapter, checkpoints, changes, message):
    with pytest.raises(CheckpointError, match=message):
        opened(adapter(**changes), checkpoints)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {n: x[:, :5] if "lora_A" in n and "layers.0.self_attn.q" in n else x for n, x in t.items()}, QUERY),
        (lambda t: {n: x[:1] if "lora_A" in n and "layers.0.self_attn.q" in n else x for n, x in t.items()}, QUERY),
        (lambda t: {n: x[0] if "layers.0.self_attn.q" in n else x for n, x in t.items()}, QUERY),
        (lambda t: {n.replace("layers.2", "layers.9"): x for n, x in t.items()}, r"layers\.9.* is not in the base"),
        (lambda t: dict(list(t.items())[1:]), "changes more than LoRA matrices: base_model"),
        (
            lambda t: {**t, "base_model.model.lm_head.weight": torch.ones(2)},
            r"more than LoRA matrices: .*lm_head\.weight",
        ),
    ],
)
def test_an_adapter_of_another_base_is_refused_tensor_by_tensor(adapter, checkpoints, change, message):
    folder = adapter()
    rewrite(folder, lambda tensors: {name: tensor.contiguous() for name, tensor in change(tensors).items()})
    with pytest.raises(CheckpointError, match=message):
        opened(folder, checkpoints)


def test_pickled_adapter_weights_are_refused(adapter, checkpoints):
    folder = adapter()
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(CheckpointError, match=r"adapter_model\.bin can run code when read and is refused"):
        opened(folder, checkpoints)
