"""Level genes: fused groups, what is legal for a target, and clear errors before work starts."""

from types import MappingProxyType

import heterosis as ht
import pytest
import torch
from heterosis.core.checkpoints.base import TensorInfo
from heterosis.core.errors import ConfigurationError, HeterosisError
from heterosis.core.genome import Genome
from heterosis.core.plan import QuantizeStep, TensorPlan, plan
from heterosis.core.quantization.level import Level
from heterosis.core.quantization.projection import plan_for
from heterosis.core.quantize_space import Quantize
from heterosis.search.starts import starts
from heterosis.testing.checkpoints import write_tiny


@pytest.fixture
def space(tmp_path, checkpoints, monkeypatch):
    """Makes spaces of two fine-tunes whose matrices are 32 to 64 wide."""
    monkeypatch.setenv("HETEROSIS_CACHE", str(tmp_path / "cache"))

    def make(**options):
        sources = [str(checkpoints / name) for name in ("one", "two")]
        return ht.Space(str(checkpoints / "base"), sources, ht.Merge("linear"), tmp_path, Quantize(**options))

    return make


def genome_of(space):
    low, high = space.genes.bounds()
    return space.genes.decode((low + high) / 2)


def test_fused_weights_share_a_gene(space):
    levels = space(bits=[4, 8], group_size=16).levels
    assert {name.split("/")[1] for name in levels.members} == {"qkv", "o_proj", "gate_up", "down_proj"}
    assert len(levels.members) == 4 * levels.layers
    found = levels.gene_of
    assert len({found[f"model.layers.0.self_attn.{part}_proj.weight"] for part in "qkv"}) == 1
    assert "model.embed_tokens.weight" not in found
    assert len(space(bits=[4, 8], group_size=16, groups="model", by_kind=False).levels.members) == 1


def test_choices_go_from_the_smallest_to_the_largest(space):
    levels = space(levels=["none", "int8-g16", "int2-g16"]).levels
    assert levels.genes[0].choices == ("int2-g16", "int8-g16", "none")
    assert list(levels.costs.costs[levels.genes[0].name].values()) == sorted(
        levels.costs.costs[levels.genes[0].name].values()
    )


def test_what_is_decoded_is_what_is_planned(space):
    made = space(levels=["int2-g16", "int8-g16"], fixed={"embedding": "int8-channel"}, budget=4.5)
    genome = genome_of(made)
    planned = plan(made.decode(genome), made.checkpoints)
    for tensor in planned.tensors:
        gene = made.levels.gene_of.get(tensor.name)
        if gene is not None:
            assert tensor.level.label == genome[gene]
        elif tensor.name == "model.embed_tokens.weight":
            assert tensor.level.label == "int8-channel"
        else:
            assert tensor.level is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": [4], "group_size": 36}, r"no level is legal for .*int4-g36.*add levels that are"),
        ({"levels": ["int4-g36", "int4-g16"]}, r"'int4-g36' is legal nowhere.*leave it out"),
        ({"levels": ["q4_k"]}, r"no level is legal.*256"),
        ({"levels": ["int4-g16"], "fixed": {"embeding": "int4-g16"}}, r"are 'embeding'. Did you mean 'embedding'"),
        ({"levels": ["int4-g16"], "fixed": {"qkv": "int4-g36"}}, r"qkv cannot be 'int4-g36'"),
        ({"levels": ["int4-g16"], "budget": 3.0}, r"below\s+the smallest legal model.*raise it"),
        ({"levels": ["int4-g16"], "budget": "1kB"}, r"below\s+the smallest legal model.*`fixed: "),
        (
            {"levels": ["int4-g16"], "fixed": dict.fromkeys(("qkv", "o_proj", "gate_up", "down_proj"), "int4-g16")},
            r"is every kind `fixed`",
        ),
    ],
)  # fmt: skip
def test_what_this_model_cannot_have_is_refused_before_work_starts(space, options, message):
    with pytest.raises(ConfigurationError, match=message):
        _ = space(**options).genes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bits": [77]}, "int77"),
        ({"levels": ["gptk:int4"]}, "gptk"),
        ({"levels": ["gptq:int44"]}, "int44"),
        ({"target": "ggup"}, "gguf"),
        ({"target": "mergekit"}, "writes no quantised weights"),
        ({"budget": "60XB"}, "budget|bytes"),
        ({"groups": "layer:2"}, "layer"),
        ({"by_kind": "yes"}, "true or false"),
        ({"options": {"gptq": {"damp": 1}}}, "Did you mean 'damping'"),
        ({"options": {"gptq": {"damping": "much"}}}, "like 0.01"),
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once(options, message):
    with pytest.raises(HeterosisError, match=message):
        Quantize(**options)


def test_a_target_that_cannot_hold_a_level_says_so(space):
    with pytest.raises(ConfigurationError, match=r"in the target 'gguf'"):
        _ = space(levels=["int3-g16"], target="gguf").genes


def test_a_target_that_cannot_express_the_source_says_so(tmp_path):
    quantize = Quantize(levels=["q8_0"], target="gguf")

    class Strange:
        tensors = ()
        config = MappingProxyType({"model_type": "mamba", "architectures": ["MambaForCausalLM"]})

    with pytest.raises(ConfigurationError, match=r"the target 'gguf' cannot hold this model"):
        quantize.genes(Strange())


def test_calibration_that_is_missing_is_an_error_before_work_starts(space):
    made = space(levels=["gptq:int4-g16"], calibration="nowhere.txt")
    with pytest.raises(HeterosisError, match=r"nowhere\.txt"):
        _ = made.checkpoints


def test_a_quantiser_that_must_know_inputs_asks_for_calibration(space):
    made = space(levels=["gptq:int4-g16"])
    with pytest.raises(ConfigurationError, match=r"gptq must know the inputs.*give `calibration`"):
        plan(made.decode(genome_of(made)), made.checkpoints)


def test_calibration_of_no_source_is_an_error(space):
    with pytest.raises(ConfigurationError, match="unknown source 'three'"):
        space(levels=["gptq:int4-g16"], calibration={"three": "texts.txt", "one": "t", "two": "t"})


def test_statistics_of_another_model_are_refused(space, tmp_path, checkpoints):
    (tmp_path / "texts.txt").write_text("one two three four five six seven\n" * 3)
    write_tiny(tmp_path / "other", seed=9, change=0.5)
    _ = ht.Space(
        str(checkpoints / "base"), {"other": str(tmp_path / "other")}, ht.Merge("linear"), tmp_path,
        Quantize(levels=["gptq:int4-g16"], calibration="texts.txt"),
    ).checkpoints  # fmt: skip
    (file,) = (tmp_path / "cache" / "statistics").glob("*.safetensors")
    with pytest.raises(HeterosisError, match=r"of other weights than|another|other checkpoint"):
        _ = space(levels=["gptq:int4-g16"], calibration=str(file)).checkpoints


def quantize_hash(options):
    step = QuantizeStep(Level.parse("gptq:int3-g16"), options)
    return TensorPlan("model.layers.0.mlp.up_proj.weight", TensorInfo((32, 32), torch.bfloat16), (), step).hash


def test_recipes_name_what_quantisers_advise_so_that_those_without_keep_their_meaning():
    assert Level.parse("gptq:int3-g16").plugin.options["search"] == "minmax"
    quantize = Quantize(levels=["gptq:int3-g16", "int8-g16"], options={"gptq": {"damping": 0.1}})
    assert quantize.options == {"gptq": {"search": "mse", "damping": 0.1}}
    assert Quantize(**quantize.to_dict()).options == quantize.options
    assert Quantize(levels=["none"], fixed={"head": "gptq:int3-g16"}).options == {"gptq": {"search": "mse"}}
    told = {"gptq": {"search": "minmax"}}
    assert Quantize(levels=["gptq:int3-g16"], options=told).options == told
    assert Quantize(levels=["int8-g16"]).options == {}
    assert Quantize(levels=["gptq:int3-g16", "gptq:spqr-3b"]).options == {}, "this format has no such search"
    assert quantize_hash({"search": "mse"}) != quantize_hash({"search": "minmax"})


@pytest.fixture
def mixtral(tmp_path, monkeypatch):
    """Makes spaces of two fine-tunes with experts."""
    monkeypatch.setenv("HETEROSIS_CACHE", str(tmp_path / "cache"))
    for seed, name in enumerate(("base", "one", "two")):
        write_tiny(tmp_path / name, "mixtral", seed=seed, change=0.1 * seed)

    def make(**options):
        sources = [str(tmp_path / name) for name in ("one", "two")]
        return ht.Space(str(tmp_path / "base"), sources, ht.Merge("linear"), tmp_path, Quantize(**options))

    return make


@pytest.mark.parametrize(("target", "genes"), [("none", 3), ("compressed-tensors", 1)])
@pytest.mark.parametrize("by_kind", [True, False])
def test_experts_have_a_gene_for_all_layers_where_the_target_wants_them_alike(mixtral, target, genes, by_kind):
    made = mixtral(levels=["none", "int4-g16"], target=target, by_kind=by_kind)
    found = {gene for name, gene in made.levels.gene_of.items() if "experts" in name}
    assert len(found) == genes
    planned = plan(made.decode(genome_of(made)), made.checkpoints)
    others = {gene for name, gene in made.levels.gene_of.items() if "experts" not in name}
    assert len(others) == (6 if by_kind else 3)
    assert target == "none" or not found & others
    assert made.levels._quantize.legal.nbytes(planned) > 0


@pytest.mark.parametrize("target", ["none", "compressed-tensors"])
def test_moqe_is_a_start_of_models_with_experts(mixtral, target):
    made = mixtral(levels=["none", "int2-g16"], target=target)
    (genome,) = (one.genome for one in starts(made.levels, {}, None) if one.label.startswith("MoQE on int2-g16"))
    for name, gene in made.levels.gene_of.items():
        assert genome[gene] == ("int2-g16" if "experts" in name else "none")
    merge = {name: value for name, value in genome_of(made).items() if name not in genome}
    planned, replaced = plan_for(made.decode(Genome({**merge, **genome})), made.checkpoints, "safetensors")
    assert not replaced
    assert {tensor.level.label for tensor in planned.tensors if tensor.level} == {"int2-g16"}


def test_experts_that_a_target_wants_alike_get_the_smallest_level_of_theirs(mixtral):
    made = mixtral(levels=["int2-g16", "int4-g16", "int8-g16"])
    genome = genome_of(made)
    mixed = dict(genome)
    for layer, label in enumerate(("int8-g16", "int4-g16", "int8-g16")):
        mixed[f"level/experts/layer {layer}"] = label
    planned, replaced = plan_for(made.decode(Genome(mixed)), made.checkpoints, "compressed-tensors")
    assert {tensor.level.label for tensor in planned.tensors if "experts" in tensor.name} == {"int4-g16"}
    assert [(one.old, one.new, one.groups) for one in replaced] == [("int8-g16", "int4-g16", 2)]


@pytest.mark.parametrize("target", ["none", "compressed-tensors"])
def test_a_tied_output_layer_cannot_be_fixed_by_itself(tmp_path, target):
    write_tiny(tmp_path / "base", "qwen2")
    write_tiny(tmp_path / "one", "qwen2", seed=1, change=0.1)
    quantize = Quantize(levels=["int8-g16"], fixed={"head": "int8-g16"}, target=target)
    space = ht.Space(str(tmp_path / "base"), [str(tmp_path / "one")], ht.Merge("linear"), tmp_path, quantize)
    with pytest.raises(ConfigurationError, match="shares the weights of `embedding`"):
        _ = space.levels
