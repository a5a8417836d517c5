"""Which genes a search over merges has, and which recipe a genome of it stands for."""

import pytest
from heterosis.core import registry
from heterosis.core.contracts import ParameterSpec
from heterosis.core.errors import ConfigurationError, PluginError
from heterosis.core.gene_space import GeneSpace
from heterosis.core.genome import Genome
from heterosis.core.layout import place_of
from heterosis.core.merge_space import Merge
from heterosis.core.settings import Rule, value_for

SOURCES = {"math": "experts/math", "it": "experts/it"}


def gene_names(merge, layers=5):
    return [gene.name for gene in merge.genes(list(SOURCES), layers)]


def recipe_of(merge, values, sources=SOURCES, layers=5):
    genome = Genome(values)
    GeneSpace(merge.genes(list(sources), layers)).check(genome)
    return merge.recipe(genome, "base", sources, layers, "bfloat16", 7)


def test_one_gene_per_searched_parameter_and_source():
    assert gene_names(Merge("ties")) == ["weight/math", "weight/it", "density/math", "density/it"]


def test_ranges_are_the_users_else_the_methods():
    genes = {gene.name: gene for gene in Merge("ties", weight=(-0.5, 0.5)).genes(["it"], 5)}
    assert (genes["weight/it"].low, genes["weight/it"].high) == (-0.5, 0.5)
    assert (genes["density/it"].low, genes["density/it"].high) == (0.1, 1.0)


def test_a_fixed_parameter_has_no_gene_and_stands_in_the_recipe():
    merge = Merge("ties", density=0.3, normalize=False)
    assert gene_names(merge) == ["weight/math", "weight/it"]
    recipe = recipe_of(merge, {"weight/math": 0.5, "weight/it": 1.0})
    assert [entry.parameters["density"] for entry in recipe.models] == [(Rule(0.3),)] * 2
    assert recipe.parameters == {"normalize": (Rule(False),)}


def test_a_shared_parameter_has_one_gene_for_all_sources():
    merge = Merge("task_arithmetic", **{"lambda": (0.5, 2.0)})
    assert gene_names(merge) == ["weight/math", "weight/it", "lambda"]
    recipe = recipe_of(merge, {"weight/math": 0.5, "weight/it": 1.0, "lambda": 1.5})
    assert recipe.parameters == {"lambda": (Rule(1.5),)}


def test_groups_of_layers_have_genes_of_their_own_and_the_rest_shares_one():
    merge = Merge("linear", groups="layers:2")
    suffixes = ["/layers 0-1", "/layers 2-3", "/layers 4-4", ""]
    assert gene_names(merge) == [f"weight/{label}{suffix}" for label in SOURCES for suffix in suffixes]
    values = {name: number / 10 for number, name in enumerate(gene_names(merge))}
    recipe = recipe_of(merge, values)
    names = [f"model.layers.{layer}.mlp.up_proj.weight" for layer in range(5)] + ["model.embed_tokens.weight"]
    found = [value_for(recipe.models[1].parameters["weight"], name, place_of(name), 5) for name in names]
    assert found == [0.4, 0.4, 0.5, 0.5, 0.6, 0.7]


def test_modules_have_genes_of_their_own_and_embeddings_and_norms_share_one():
    merge = Merge("slerp", groups="layers:3", by_module=True)
    names = [f"t/layers {span}/{module}" for span in ("0-2", "3-4") for module in ("attention", "mlp")] + ["t/other"]
    assert gene_names(merge) == names
    recipe = recipe_of(merge, {name: number / 10 for number, name in enumerate(names)})
    tensors = {
        "model.layers.2.self_attn.q_proj.weight": 0.0,
        "model.layers.2.mlp.up_proj.weight": 0.1,
        "model.layers.3.self_attn.q_proj.weight": 0.2,
        "model.layers.4.mlp.up_proj.weight": 0.3,
        "model.layers.4.input_layernorm.weight": 0.4,
        "model.norm.weight": 0.4,
    }
    found = {name: value_for(recipe.parameters["t"], name, place_of(name), 5) for name in tensors}
    assert found == tensors


def test_the_method_is_a_gene_and_parameters_count_only_where_a_method_has_them():
    merge = Merge(["ties", "task_arithmetic", "slerp"])
    space = GeneSpace(merge.genes(["math", "it"], 5))
    assert space["method"].choices == ("ties", "task_arithmetic", "slerp")
    low, high = space.bounds()
    middle = (low + high) / 2
    active = {}
    for number, method in enumerate(merge.methods):
        middle[0] = number + 0.5
        active[method] = set(space.decode(middle)) - {"method"}
    assert active == {
        "ties": {"weight/math", "weight/it", "density/math", "density/it"},
        "task_arithmetic": {"weight/math", "weight/it"},
        "slerp": {"t"},
    }


def test_a_method_keeps_only_its_own_fixed_parameters():
    merge = Merge(["ties", "task_arithmetic"], density=0.4)
    recipe = recipe_of(merge, {"method": "task_arithmetic", "weight/math": 0.5, "weight/it": 1.0})
    assert recipe.merge_method == "task_arithmetic"
    assert [set(entry.parameters) for entry in recipe.models] == [{"weight"}, {"weight"}]


def test_methods_that_share_a_parameter_by_name_only_have_a_gene_each(monkeypatch):
    class Shared(registry.load("merge_methods", "task_arithmetic")):
        name = "shared"
        parameters = (ParameterSpec("weight", "shared", search=(0.0, 1.0)),)

    load = registry.load
    monkeypatch.setattr(registry, "load", lambda kind, name: Shared if name == "shared" else load(kind, name))
    for methods in (["shared", "task_arithmetic"], ["task_arithmetic", "shared"]):
        merge = Merge(methods)
        assert set(gene_names(merge)) == {"method", "weight", "weight/math", "weight/it"}
        assert recipe_of(merge, {"method": "shared", "weight": 0.5}).parameters == {"weight": (Rule(0.5),)}
        own = recipe_of(merge, {"method": "task_arithmetic", "weight/math": 0.5, "weight/it": 0.6})
        assert [entry.parameters for entry in own.models] == [{"weight": (Rule(0.5),)}, {"weight": (Rule(0.6),)}]


@pytest.mark.parametrize("methods", [["task_arithmetic", "searching"], ["searching", "task_arithmetic"]])
def test_a_parameter_is_searched_if_one_of_the_methods_does_whatever_their_order(methods, monkeypatch):
    class Searching(registry.load("merge_methods", "task_arithmetic")):
        name = "searching"
        parameters = (
            ParameterSpec("weight", "source"),
            ParameterSpec("lambda", "shared", default=1.0, search=(0.5, 2)),
        )

    load = registry.load
    monkeypatch.setattr(registry, "load", lambda kind, name: Searching if name == "searching" else load(kind, name))
    assert sorted(gene_names(Merge(methods))) == ["lambda", "method", "weight/it", "weight/math"]


@pytest.mark.parametrize(("method", "base"), [("nuslerp", "base"), ("ties", "base"), ("linear", None)])
def test_what_can_take_task_vectors_from_the_base_does(method, base):
    merge = Merge(method)
    genome = {gene.name: (gene.low + gene.high) / 2 for gene in merge.genes(list(SOURCES), 5)}
    assert recipe_of(merge, genome).base_model == base


def test_a_recipe_names_base_sources_seed_and_dtypes():
    recipe = recipe_of(Merge("ties", density=1.0), {"weight/math": 0.5, "weight/it": 1.0})
    assert recipe.base_model == "base"
    assert [entry.model for entry in recipe.models] == ["experts/math", "experts/it"]
    assert (recipe.dtype, recipe.out_dtype, recipe.seed) == ("float32", "bfloat16", 7)
    assert recipe_of(Merge("linear"), {"weight/math": 0.5, "weight/it": 1.0}).base_model is None


def test_slerp_goes_from_the_base_to_one_source_or_between_two():
    assert recipe_of(Merge("slerp"), {"t": 0.5}).base_model == "experts/math"
    assert recipe_of(Merge("slerp"), {"t": 0.5}, {"it": "experts/it"}).base_model == "base"


@pytest.mark.parametrize(("method", "count"), [("slerp", 3), ("passthrough", 2), (["ties", "slerp"], 3), ("ties", 0)])
def test_a_method_that_cannot_merge_so_many_is_named(method, count):
    with pytest.raises(ConfigurationError, match=rf"cannot merge {count} source\(s\); leave it out or give it"):
        Merge(method).check_sources(count)


@pytest.mark.parametrize(("method", "counts"), [("slerp", (1, 2)), ("ties", (1, 2, 9)), ("passthrough", (1,))])
def test_a_method_that_can_is_let_pass(method, counts):
    for count in counts:
        Merge(method).check_sources(count)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": []}, "names no merge method"),
        ({"method": 5}, "`method` must be a name or a list of names"),
        ({"method": ["ties", 5]}, "`method` must be a name or a list of names"),
        ({"method": ["ties", "ties"]}, "`method` names 'ties' twice"),
        ({"method": "ties", "wieght": 0.5}, "ties: no parameter 'wieght'. Did you mean 'weight'"),
        ({"method": ["linear", "slerp"], "density": 0.5}, "linear / slerp: no parameter 'density'"),
        (
            {"method": "ties", "weight": (1.5, 0.0)},
            r"weight: the range \[1.5, 0.0\] is upside down; write \[0.0, 1.5\]",
        ),
        ({"method": "ties", "weight": (0.0,)}, "weight: a range is two numbers"),
        ({"method": "ties", "weight": (0.0, "much")}, "weight: expected a number"),
        ({"method": "ties", "weight": (False, True)}, "weight: a range is two numbers"),
        ({"method": "ties", "weight": (0.0, float("inf"))}, "weight: the value must be finite, not inf"),
        ({"method": "ties", "weight": "much"}, "weight: expected a number, true or false, not 'much'"),
        ({"method": "ties", "weight": None}, "weight: expected a number, true or false, not None"),
        ({"method": "ties", "weight": {"it": 0.5}}, "weight: expected a number, true or false"),
        ({"method": "ties", "weight": float("nan")}, "weight: the value must be finite, not nan"),
        ({"method": "ties", "density": (0.1, 1.1)}, r"density = 1.1 is outside \[0.0, 1.0\]"),
        ({"method": "ties", "density": -0.1}, r"density = -0.1 is outside \[0.0, 1.0\]"),
        ({"method": "ties", "normalize": (0.0, 1.0)}, "normalize is true or false"),
        ({"method": "ties", "normalize": 0.3}, "normalize is true or false"),
        ({"method": "ties", "groups": "layers"}, "`groups` must be `model` or `layers:k`"),
        ({"method": "ties", "groups": "layers:0"}, "`groups` must be `model` or `layers:k`"),
        ({"method": "ties", "groups": "modules:2"}, "`groups` must be `model` or `layers:k`"),
        ({"method": "ties", "groups": 5}, "`groups` must be `model` or `layers:k`"),
        ({"method": "ties", "by_module": "maybe"}, "`by_module` must be true or false"),
    ],
)
def test_what_cannot_be_searched_is_refused(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        Merge(**arguments)


def test_an_unknown_method_is_answered_with_the_nearest():
    with pytest.raises(PluginError, match=r"no merge method 'tise'. Did you mean 'ties'"):
        Merge("tise")


@pytest.mark.parametrize(
    "merge",
    [
        Merge("ties"),
        Merge(["ties", "slerp"], groups="layers:3", by_module=True, weight=(0.2, 1.0), normalize=False, density=0.5),
    ],
)
def test_a_dictionary_gives_the_same_space_again(merge):
    again = Merge(**merge.to_dict())
    assert again.to_dict() == merge.to_dict()
    assert again.genes(["a", "b"], 7) == merge.genes(["a", "b"], 7)
