"""Searching with methods that need statistics: what a space asks for, gathers, and writes into its recipes."""

import pytest
from heterosis.core.errors import ConfigurationError
from heterosis.core.genome import Genome
from heterosis.core.merge_space import Merge
from heterosis.core.plan import plan
from heterosis.core.recipe import Recipe
from heterosis.core.space import Space

SOURCES = {"math": "one", "words": "two"}


@pytest.fixture
def folder(tmp_path, checkpoints, monkeypatch):
    monkeypatch.setenv("HETEROSIS_CACHE", str(tmp_path / "cache"))
    for name in ("base", "one", "two"):
        (tmp_path / name).symlink_to(checkpoints / name)
    (tmp_path / "math.txt").write_text("one two three four\n", encoding="utf-8")
    (tmp_path / "words.txt").write_text("the quick brown fox\n", encoding="utf-8")
    return tmp_path


def space(merge, folder=None):
    return Space.from_dict({"base": "base", "sources": SOURCES, "merge": merge}, folder)


def files_in(recipe, folder):
    cache = folder / "cache" / "statistics"
    return sorted(path.name.split("-")[0] for path in cache.iterdir()) if cache.exists() else []


def test_statistics_are_gathered_when_the_checkpoints_are_opened_and_not_to_look_at_genes(folder):
    searched = space({"method": "regmean", "statistics": {"math": "math.txt", "words": "words.txt"}}, folder)
    assert [gene.name for gene in searched.genes.genes] == ["weight/math", "weight/words", "alpha"]
    recipe = searched.decode(Genome({"weight/math": 0.3, "weight/words": 0.6, "alpha": 0.5}))
    assert not (folder / "cache").exists()
    planned = plan(recipe, searched.checkpoints)
    assert files_in(recipe, folder) == ["gram", "gram"]
    assert recipe.statistics == {"one": "math.txt", "two": "words.txt"}
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    assert sum(bool(tensor.steps[0].statistics) for tensor in planned.tensors) == 22


def test_several_methods_each_get_what_they_need(folder):
    searched = space({"method": ["linear", "regmean", "fisher"], "statistics": "words.txt"}, folder)
    recipes = {}
    for gene in searched.genes.genes[0].choices:
        genes = {"method": gene, "weight/math": 0.3, "weight/words": 0.6}
        recipes[gene] = searched.decode(Genome({**genes, **({"alpha": 0.9} if gene == "regmean" else {})}))
    counts = {
        name: sum(bool(tensor.steps[0].statistics) for tensor in plan(recipe, searched.checkpoints).tensors)
        for name, recipe in recipes.items()
    }
    assert counts == {"linear": 0, "regmean": 22, "fisher": 30}
    assert recipes["linear"].statistics is None
    assert files_in(recipes, folder) == ["fisher", "fisher", "gram", "gram"]


def test_what_a_space_says_is_read_back():
    for statistics in ("words.txt", {"math": "math.txt", "words": "math.safetensors"}):
        said = space({"method": ["regmean"], "statistics": statistics, "alpha": 0.9}).to_dict()
        assert Space.from_dict(said).to_dict() == said
        assert said["merge"]["statistics"] == statistics
    assert "statistics" not in Merge("linear").to_dict()


@pytest.mark.parametrize(
    ("merge", "message"),
    [
        ({"method": "regmean"}, r"regmean needs `statistics` of math: give .*`statistics: \{math: texts.jsonl\}`"),
        ({"method": "fisher", "statistics": {"math": "x.txt"}}, "fisher needs `statistics` of words"),
        ({"method": "fisher", "statistics": {"maths": "x.txt"}}, "unknown source 'maths'. Did you mean 'math'"),
        ({"method": "linear", "statistics": "x.txt"}, "no method needs `statistics`"),
        ({"method": "regmean", "statistics": ["x.txt"]}, "must be a file of texts"),
    ],
)
def test_what_is_refused_before_anything_is_opened(merge, message):
    with pytest.raises(ConfigurationError, match=message):
        space(merge)


def test_texts_that_are_missing_are_told_before_a_search_begins(folder):
    searched = space({"method": "regmean", "statistics": "none.txt"}, folder)
    with pytest.raises(ConfigurationError, match=r"none\.txt cannot be read"):
        _ = searched.checkpoints
