"""Every installed objective keeps its contract, and the check that says so catches those that do not."""

import random

import pytest
from heterosis.core import registry
from heterosis.core.contracts import Objective
from heterosis.core.errors import ConfigurationError
from heterosis.core.estimate import Estimate
from heterosis.testing.objectives import check_objective

SCORES = {"perplexity": (3.0, 12.0)}


def measuring(measure, **attributes):
    methods = {"measure": lambda self, measured: measure(measured)}
    return type("Broken", (Objective,), {"name": "broken", **methods, **attributes})


def mean_of_tasks(measured):
    if not measured.estimates:
        raise ConfigurationError("no task")
    return Estimate.mean_of(list(measured.estimates.values()))


def changes_the_recipe(measured):
    measured.recipe.parameters.clear()
    return Estimate(0.5, 0.0, 1)


BROKEN = {
    "a number": (lambda m: 1.0, {}, "measure gave a float, not an Estimate"),
    "not finite": (lambda m: Estimate(float("nan"), 0.0, 1), {}, "the value nan is not finite"),
    "negative error": (lambda m: Estimate(1.0, -0.1, 1), {}, "the standard error -0.1 is negative"),
    "infinite error": (lambda m: Estimate(1.0, float("inf"), 1), {}, "the standard error is infinite"),
    "no items": (lambda m: Estimate(1.0, 0.0, 0), {}, "counts 0 items"),
    "no share": (lambda m: Estimate(1.5, 0.1, 9), {"share": True}, "the value 1.5 is no share; set `share` to false"),
    "random": (lambda m: Estimate(random.random(), 0.0, 1), {}, "was measured as"),
    "raises": (lambda m: 1 / 0, {}, "raised ZeroDivisionError"),
    "changes the recipe": (changes_the_recipe, {}, "the recipe was changed"),
    "changes the estimates": (lambda m: m.estimates.clear(), {}, "raised AttributeError"),
    "uses tasks unsaid": (mean_of_tasks, {}, r"raised ConfigurationError\('no task'\)"),
    "counts tasks unsaid": (
        lambda m: Estimate(len(m.estimates), 0.0, 1),
        {},
        "`uses_tasks` is false, yet tasks changed",
    ),
    "ignores tasks": (lambda m: Estimate(1.0, 0.0, 1), {"uses_tasks": True}, "yet two scores of a task gave 1.0 both"),
    "first task only": (lambda m: next(iter(m.estimates.values())), {"uses_tasks": True}, "the order of the tasks"),
    "no task, no word": (
        lambda m: Estimate(sum(estimate.mean for estimate in m.estimates.values()), 0.0, 1),
        {"uses_tasks": True},
        "yet it gave a value without a task",
    ),
    "no task, wrong word": (
        lambda m: Estimate(max(estimate.mean for estimate in m.estimates.values()), 0.0, 1),
        {"uses_tasks": True},
        r"without a task it raised ValueError",
    ),
    "no name": (lambda m: Estimate(1.0, 0.0, 1), {"name": ""}, "has an empty name"),
    "no unit": (lambda m: Estimate(1.0, 0.0, 1), {"unit": None}, "the unit None is no text"),
    "perhaps tasks": (lambda m: Estimate(1.0, 0.0, 1), {"uses_tasks": "some"}, "neither true nor false"),
}


@pytest.mark.parametrize("name", registry.names("objectives"))
def test_every_installed_objective_keeps_its_contract(name):
    check_objective(name, SCORES.get(name, (0.25, 0.75)))


@pytest.mark.parametrize("kind", BROKEN)
def test_what_breaks_the_contract_is_told(kind):
    measure, attributes, message = BROKEN[kind]
    with pytest.raises(AssertionError, match=message):
        check_objective(measuring(measure, **attributes))


def test_what_keeps_the_contract_passes_as_a_class_too():
    check_objective(measuring(mean_of_tasks, uses_tasks=True))
    check_objective(measuring(lambda measured: Estimate(measured.costs.bytes, 0.0, 1)))


def test_what_is_no_objective_is_told():
    with pytest.raises(AssertionError, match="is not a subclass of Objective"):
        check_objective(int)
    with pytest.raises(AssertionError, match="lacks measure"):
        check_objective(type("Unfinished", (Objective,), {"name": "unfinished"}))
