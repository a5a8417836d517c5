"""Where the tensors of each family sit: every matrix of a layer is attention or MLP, however modules are called."""

import pytest
from heterosis.core.checkpoints import open_checkpoint
from heterosis.core.layout import Place, layer_count, place_of
from heterosis.testing.checkpoints import write_tiny
from heterosis.testing.tiny import FAMILIES

NAMES = {
    "gpt_neox.layers.1.attention.query_key_value.bias": Place(1, "attention"),
    "gpt_neox.layers.1.mlp.dense_h_to_4h.weight": Place(1, "mlp"),
    "model.layers.0.self_attn.q_norm.weight": Place(0, "attention"),
    "model.layers.2.pre_feedforward_layernorm.weight": Place(2, "other"),
    "model.layers.11.block_sparse_moe.experts.7.w3.weight": Place(11, "mlp"),
    "model.layers.11.block_sparse_moe.gate.weight": Place(11, "mlp"),
    "model.layers.3.mlp.shared_expert.up_proj.weight": Place(3, "mlp"),
    "model.layers.3.linear_attn.in_proj_qkvz.weight": Place(3, "attention"),
    "model.decoder.layers.5.fc1.weight": Place(5, "mlp"),
    "transformer.h.4.attn.c_attn.weight": Place(4, "attention"),
    "transformer.blocks.4.ffn.up_proj.weight": Place(4, "mlp"),
    "model.embed_tokens.weight": Place(None, "other"),
    "embed_out.weight": Place(None, "other"),
    "model.norm.weight": Place(None, "other"),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_is_placed_by_its_name(name):
    assert place_of(name) == NAMES[name]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_has_its_matrices_placed(family, tmp_path):
    checkpoint = open_checkpoint(str(write_tiny(tmp_path / family, family)))
    assert layer_count(checkpoint.tensors) == 3
    modules = {(None, "other")}
    for name, info in checkpoint.tensors.items():
        place = place_of(name)
        modules.add((place.layer, place.module))
        if place.layer is not None and len(info.shape) > 1:
            assert place.module in ("attention", "mlp"), name
        if "norm" in name.split(".")[-2] and "attn" not in name.split(".")[-3]:
            assert place.module == "other", name
    assert modules == {(None, "other")} | {
        (layer, module) for layer in range(3) for module in ("attention", "mlp", "other")
    }
