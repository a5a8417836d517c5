"""The mass keeps the contract of objectives, and adds weights up."""

import pytest
from heterosis.core.contracts import Measured
from heterosis.core.costs import Costs
from heterosis.core.recipe import Recipe
from heterosis.testing.objectives import check_objective
from heterosis_example_plugin.task_vector_mass import TaskVectorMass


def mass(text):
    return TaskVectorMass().measure(Measured(Recipe.from_yaml(text), Costs(0, 0), {})).mean


def test_it_keeps_its_contract():
    check_objective("task_vector_mass")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("merge_method: passthrough\nmodels: [one]\n", 1.0),
        ("merge_method: linear\nmodels: [one, two]\nparameters: {weight: 0.25}\n", 0.5),
        ("merge_method: ties\nbase_model: base\nmodels: [base, one]\nparameters: {weight: -0.5}\n", 0.5),
        (
            "merge_method: ties\nbase_model: base\nmodels:\n- {model: one, parameters: {weight: [0.5, 1.5]}}\n"
            "- {model: two, parameters: {weight: [{module: mlp, value: 0.5}, {value: -1}]}}\n- three\n"
            "parameters: {weight: 2}\n",
            1.0 + 0.75 + 2.0,
        ),
    ],
)
def test_it_adds_up_magnitudes(text, expected):
    assert mass(text) == pytest.approx(expected)
