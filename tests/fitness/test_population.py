"""Candidates asked together get the figures that they get alone, and nobody fails for another's sake."""

import functools
from dataclasses import replace

import numpy as np
import pytest
from heterosis.core.executors import LiveExecutor, resident_model
from heterosis.core.executors.compute import compute
from heterosis.core.executors.operands import Operands
from heterosis.core.genome import Genome
from heterosis.core.merge_space import Merge
from heterosis.core.plan import plan
from heterosis.core.recipe import torch_dtype
from heterosis.core.space import Space
from heterosis.core.study_spec import ObjectiveSpec, StudySpec, TaskSpec
from heterosis.fitness.evaluator import Evaluator
from heterosis.fitness.low_rank import coefficients
from heterosis.fitness.low_rank_rows import LowRankRows
from heterosis.fitness.population_model import PopulationModel
from heterosis.fitness.transformers_model import TransformersModel
from heterosis.plugins.tasks.multiple_choice import MultipleChoice
from heterosis.testing.checkpoints import write_tiny, write_tiny_adapter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CHOICES = [
    ("the quick brown", (" fox", " fox jumps", " dog", " dog sleeps")),
    ("one two three", (" four", " five six")),
    ("question answer", (" question answer what",)),
]
TEXTS = ["every good boy deserves fudge", "nobody knows where summer went", "a"]
LAYERED = Merge("task_arithmetic", groups="layers:1", by_module=True, weight=(-1.0, 1.5))


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """A folder with a `base` of a family and its adapters `lora-one` (rank 2) and `lora-two` (rank 3)."""

    @functools.cache
    def make(family):
        folder = tmp_path_factory.mktemp(family)
        base = write_tiny(folder / "base", family)
        write_tiny(folder / "dense", family, seed=1, change=0.3)
        write_tiny_adapter(folder / "lora-one", base, seed=1, alpha=10.0)
        write_tiny_adapter(folder / "lora-two", base, seed=2, rank=3, alpha=16.0)
        return folder

    return make


def space_of(folder, merge=LAYERED, sources=("lora-one", "lora-two")):
    return Space(str(folder / "base"), [str(folder / name) for name in sources], merge)


def drawn(space, count, seed=0, low=-1.0, high=1.5):
    """Recipes of random genomes."""
    random = np.random.default_rng(seed)
    return [
        space.decode(Genome({gene.name: float(random.uniform(low, high)) for gene in space.genes}))
        for _ in range(count)
    ]


def both(space, recipes, tokenizer, batch_tokens=64):
    """A model to be made each candidate in turn, and one that answers for all."""
    checkpoints = space.checkpoints
    base = plan(space.references()["base"], checkpoints)
    live = LiveExecutor(resident_model(checkpoints[space.base], torch_dtype(space.out_dtype)))
    adapters = {reference: checkpoints[reference] for reference in space.labelled.values()}
    rows = LowRankRows(live.model, adapters)
    assert rows.complete
    rows.set([coefficients(plan(recipe, checkpoints), base) for recipe in recipes])
    together = PopulationModel(live.model, tokenizer, rows, batch_tokens)
    together.ask(list(range(len(recipes))))
    alone = TransformersModel(live.model, tokenizer, batch_tokens)

    def turn(candidate):
        live.materialise(base if candidate is None else plan(recipes[candidate], checkpoints))

    return alone, together, turn


QUESTIONS = {
    "choices": lambda model: np.concatenate(model.choice_log_likelihoods(CHOICES)),
    "texts": lambda model: np.array(model.text_log_likelihoods(TEXTS)),
    "one text": lambda model: np.array(model.text_log_likelihoods(TEXTS[:1])),
}


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma3", "gpt_neox", "phi3"])
def test_figures_are_those_of_one_at_a_time(family, folder_of, tokenizer):
    space = space_of(folder_of(family))
    recipes = drawn(space, 3)
    alone, together, turn = both(space, recipes, tokenizer)
    turn(None)
    found = {}
    for candidate in range(len(recipes)):
        together.candidate = candidate
        found[candidate] = {name: ask(together) for name, ask in QUESTIONS.items()}
        found[candidate]["generated"] = together.generate([prompt for prompt, _ in CHOICES], 8, ["\n"])
    for candidate in range(len(recipes)):
        turn(candidate)
        for name, ask in QUESTIONS.items():
            np.testing.assert_allclose(found[candidate][name], ask(alone), atol=1e-4, err_msg=name)
        assert found[candidate]["generated"] == alone.generate([prompt for prompt, _ in CHOICES], 8, ["\n"])
    apart = [found[candidate]["choices"] for candidate in range(len(recipes))]
    assert min(np.abs(apart[0] - apart[1]).max(), np.abs(apart[1] - apart[2]).max()) > 0.01, "candidates are told apart"


def test_outside_its_answers_the_model_is_the_base(folder_of, tokenizer):
    space = space_of(folder_of("llama"))
    alone, together, turn = both(space, drawn(space, 2), tokenizer)
    turn(None)
    before = alone.choice_log_likelihoods(CHOICES)
    together.choice_log_likelihoods(CHOICES)
    assert alone.choice_log_likelihoods(CHOICES) == before


def test_later_candidates_that_ask_something_else_are_answered(folder_of, tokenizer):
    space = space_of(folder_of("llama"))
    alone, together, turn = both(space, drawn(space, 3), tokenizer)
    turn(None)
    together.choice_log_likelihoods(CHOICES[:1])
    together.candidate = 2
    found = together.choice_log_likelihoods(CHOICES[1:])
    turn(2)
    np.testing.assert_allclose(
        np.concatenate(found), np.concatenate(alone.choice_log_likelihoods(CHOICES[1:])), atol=1e-4
    )


def test_what_is_foreseen_is_answered_as_if_it_had_not_been(folder_of, tokenizer, monkeypatch):
    space = space_of(folder_of("llama"))
    alone, together, turn = both(space, drawn(space, 2), tokenizer)
    turn(None)
    others = tuple((prompt, choices[:1]) for prompt, choices in reversed(CHOICES))
    together.foresee([tuple(CHOICES), others, (("empty", ()),)])
    monkeypatch.setattr(type(alone), "_figures", None)
    monkeypatch.setattr(type(together), "_figures", None)
    found = []
    for together.candidate in range(2):
        found.append([together.choice_log_likelihoods(asked) for asked in (CHOICES, others)])
    monkeypatch.undo()
    for candidate in range(2):
        turn(candidate)
        for asked, figures in zip((CHOICES, others), found[candidate], strict=True):
            expected = alone.choice_log_likelihoods(asked)
            np.testing.assert_allclose(np.concatenate(figures), np.concatenate(expected), atol=1e-4)


def test_long_items_are_left_to_be_evaluated_alone(evaluator_of, monkeypatch):
    evaluator = evaluator_of()
    recipes = drawn(evaluator.spec.space, 2)
    monkeypatch.setattr("heterosis.fitness.population._TOKENS", 100)
    assert evaluator.evaluate_together(recipes, "search") == [None, None]


MERGES = [
    Merge("task_arithmetic", groups="layers:2", weight=(-1.0, 1.5), normalize=True, **{"lambda": 0.7}),
    Merge("task_arithmetic", by_module=True, weight=(0.1, 1.5)),
    Merge("linear", weight=(0.1, 1.0)),
    Merge("linear", groups="layers:1", weight=(0.1, 1.0)),
]


@pytest.mark.parametrize("merge", MERGES)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000))
def test_coefficients_give_the_tensors_of_the_plan(merge, seed, folder_of):
    space = space_of(folder_of("llama"), merge)
    checkpoints = space.checkpoints
    (recipe,) = drawn(space, 1, seed, 0.1, 1.0)
    planned, base = plan(recipe, checkpoints), plan(space.references()["base"], checkpoints)
    found = coefficients(planned, base)
    assert found is not None
    operands = Operands(checkpoints)
    for tensor in planned.tensors:
        expected = checkpoints[space.base].read(tensor.name).clone()
        for reference, factor in found.get(tensor.name, {}).items():
            change = checkpoints[reference].low_rank_change(tensor.name)
            expected += factor * change.scale * change.up @ change.down
        np.testing.assert_allclose(compute(tensor, operands).numpy(), expected.numpy(), atol=1e-5, err_msg=tensor.name)


@pytest.mark.parametrize("label", ["base", "lora-one", "uniform average"])
def test_references_are_sums_of_changes_too(label, folder_of):
    space = space_of(folder_of("llama"))
    base = plan(space.references()["base"], space.checkpoints)
    found = coefficients(plan(space.references()[label], space.checkpoints), base)
    factors = {factor for of_adapters in found.values() for factor in of_adapters.values()}
    assert factors == {"base": set(), "lora-one": {1.0}, "uniform average": {0.5}}[label]


@pytest.mark.parametrize(
    ("merge", "sources", "changed"),
    [
        (Merge("ties", weight=(0.1, 1.0)), ("lora-one", "lora-two"), {}),
        (Merge("dare_linear", weight=(0.1, 1.0)), ("lora-one", "lora-two"), {}),
        (Merge("linear", weight=(0.1, 0.4), normalize=False), ("lora-one", "lora-two"), {}),
        (Merge("task_arithmetic", weight=(0.1, 1.0)), ("lora-one", "dense"), {}),
        (Merge("task_arithmetic", weight=(0.1, 1.0)), ("lora-one", "lora-two"), {"dtype": "bfloat16"}),
        (Merge("task_arithmetic", weight=(0.1, 1.0)), ("lora-one", "lora-two"), {"out_dtype": "bfloat16"}),
    ],
)
def test_what_is_no_such_sum_is_left_to_be_evaluated_alone(merge, sources, changed, folder_of):
    space = space_of(folder_of("llama"), merge, sources)
    (recipe,) = drawn(space, 1, 0, 0.1, 0.4)
    base = plan(space.references()["base"], space.checkpoints)
    assert coefficients(plan(replace(recipe, **changed), space.checkpoints), base) is None


def test_weights_that_sum_to_nothing_are_left_to_fail_alone(folder_of):
    space = space_of(folder_of("llama"), Merge("linear", weight=(-1.0, 1.0)))
    recipe = space.decode(Genome({"weight/lora-one": 0.5, "weight/lora-two": -0.5}))
    base = plan(space.references()["base"], space.checkpoints)
    assert coefficients(plan(recipe, space.checkpoints), base) is None


@pytest.fixture
def evaluator_of(tmp_path, folder_of, choice_items, write_lines):
    """An evaluator of a study with all kinds of tasks."""
    write_lines(tmp_path / "words.jsonl", choice_items(12))
    write_lines(tmp_path / "texts.jsonl", [{"prompt": f"{text} and", "answer": "the"} for text in TEXTS])
    (tmp_path / "text.txt").write_text(" ".join(TEXTS * 20))
    tasks = {
        "words": TaskSpec("multiple_choice", files={"search": "words.jsonl"}),
        "perplexity": TaskSpec("perplexity", files={"search": "text.txt"}, options={"characters": 60}),
        "exact": TaskSpec("exact_match", files={"search": "texts.jsonl"}, options={"max_tokens": 4}),
    }
    objectives = (ObjectiveSpec("accuracy", "maximize", ("words",)), ObjectiveSpec("bytes", "minimize"))

    def make(merge=LAYERED, family="llama", tasks=tasks, **options):
        return Evaluator(
            StudySpec("tiny", space_of(folder_of(family), merge, **options), tasks, objectives, folder=tmp_path)
        )

    return make


def assert_alike(found, expected):
    assert found.scores.keys() == expected.scores.keys()
    for task in expected.scores:
        np.testing.assert_allclose(found.scores[task], expected.scores[task], atol=1e-4, err_msg=task)
    for label, figure in expected.measured.items():
        assert found.measured[label].mean == pytest.approx(figure.mean, rel=1e-4)
        assert found.measured[label].items == figure.items
    assert found.seconds.keys() == expected.seconds.keys()


def test_an_evaluation_is_that_of_one_at_a_time(evaluator_of):
    evaluator = evaluator_of()
    recipes = drawn(evaluator.spec.space, 5)
    for _ in range(2):
        for found, recipe in zip(evaluator.evaluate_together(recipes, "search"), recipes, strict=True):
            assert_alike(found, evaluator.evaluate(recipe, "search"))


def test_equal_company_gives_equal_bits_whatever_was_evaluated_before(evaluator_of):
    evaluator = evaluator_of()
    recipes = drawn(evaluator.spec.space, 4)
    first = evaluator.evaluate_together(recipes, "search")
    evaluator.evaluate(recipes[2], "search")
    evaluator.evaluate_together(recipes[:2], "search")
    again = evaluator.evaluate_together(recipes, "search")
    assert [found.scores for found in again] == [found.scores for found in first]
    assert [found.scores for found in evaluator_of().evaluate_together(recipes, "search")] == [
        found.scores for found in first
    ]


def test_another_kind_of_candidate_is_left_out_and_the_others_are_asked(evaluator_of):
    evaluator = evaluator_of(Merge(["task_arithmetic", "ties"], weight=(0.0, 1.5), density=(0.5, 0.9)))
    space = evaluator.spec.space
    weights = {"weight/lora-one": 0.5, "weight/lora-two": 0.7}
    density = {"density/lora-one": 0.5, "density/lora-two": 0.7}
    plain, ties = Genome({"method": "task_arithmetic", **weights}), Genome({"method": "ties", **weights, **density})
    other = Genome({"method": "task_arithmetic", **dict.fromkeys(weights, 1.0)})
    found = evaluator.evaluate_together([space.decode(genome) for genome in (plain, ties, other)], "search")
    assert [one is None for one in found] == [False, True, False]
    assert evaluator.evaluate_together([space.decode(plain), space.decode(ties)], "search") == [None, None], (
        "nobody to join"
    )


def test_a_candidate_whose_scores_are_not_finite_fails_alone(evaluator_of):
    evaluator = evaluator_of(Merge("task_arithmetic", weight=(-1e38, 1e38)))
    space = evaluator.spec.space
    fine = [{"weight/lora-one": 0.5, "weight/lora-two": weight} for weight in (0.2, 0.4, 0.9)]
    lost = {"weight/lora-one": 1e38, "weight/lora-two": 1e38}
    for place in range(4):
        genomes = [Genome(weights) for weights in (*fine[:place], lost, *fine[place:])]
        recipes = [space.decode(genome) for genome in genomes]
        found = evaluator.evaluate_together(recipes, "search")
        assert [number for number, one in enumerate(found) if one is None] == [place]
        for number, one in enumerate(found):
            if one is not None:
                assert_alike(one, evaluator.evaluate(recipes[number], "search"))


def test_a_task_that_breaks_for_one_breaks_for_that_one(evaluator_of, install_plugin):
    met = []

    class Moody(MultipleChoice):
        def score(self, model, items):
            met.append(model.choice_log_likelihoods([("one", (" two",))]))
            if met[1:] == [met[-1]]:
                raise ZeroDivisionError
            return super().score(model, items)

    install_plugin("tasks", "moody", Moody)
    evaluator = evaluator_of(tasks={"words": TaskSpec("moody", files={"search": "words.jsonl"})})
    recipes = drawn(evaluator.spec.space, 3)
    found = evaluator.evaluate_together(recipes, "search")
    assert [one is None for one in found] == [False, True, False]
    assert len({str(figures) for figures in met}) == 3
    met.extend(met)
    assert_alike(found[2], evaluator.evaluate(recipes[2], "search"))


def test_fine_tunes_are_not_even_loaded_for_it(evaluator_of):
    evaluator = evaluator_of(Merge("task_arithmetic", weight=(-1.0, 1.5)), sources=("dense",))
    assert evaluator.evaluate_together(drawn(evaluator.spec.space, 2), "search") == [None, None]
    assert "_live" not in vars(evaluator)
