import math

import pytest
import torch
from heterosis.core import registry
from heterosis.core.contracts import Measured
from heterosis.core.costs import Costs
from heterosis.core.errors import ConfigurationError
from heterosis.core.estimate import Estimate
from heterosis.plugins.export.lossless import packed

COSTS = Costs(bytes=1000, parameters=500, bits=3.25, memory=1500)


def _measure(name, **estimates):
    return registry.load("objectives", name)().measure(Measured(None, COSTS, estimates))


def test_costs_are_exact():
    assert _measure("bytes") == Estimate(1000.0, 0.0, 1)
    assert _measure("parameters") == Estimate(500.0, 0.0, 1)
    assert _measure("bits") == Estimate(3.25, 0.0, 1)
    assert _measure("memory") == Estimate(1500.0, 0.0, 1)


def test_accuracy_is_the_mean_over_tasks_however_many_items_each_has():
    found = _measure("accuracy", small=Estimate(0.5, 0.3, 4), large=Estimate(1.0, 0.4, 400))
    assert found.mean == 0.75
    assert found.standard_error == pytest.approx(0.25)
    assert found.items == 404


def test_perplexity_is_the_mean_over_texts():
    found = _measure("perplexity", one=Estimate(10.0, 3.0, 9), two=Estimate(20.0, 4.0, 9))
    assert found.mean == 15.0
    assert found.standard_error == pytest.approx(2.5)


def test_one_item_has_no_known_error():
    assert math.isnan(_measure("accuracy", task=Estimate(1.0, math.nan, 1)).standard_error)


@pytest.mark.parametrize(("name", "mean"), [("accuracy", 7.5), ("accuracy", -0.2), ("kappa", 1.5), ("perplexity", 0.5)])
def test_a_task_of_the_wrong_kind_is_named(name, mean):
    with pytest.raises(ConfigurationError, match="task 'odd' gives"):
        _measure(name, odd=Estimate(mean, 0.1, 9))


def test_kappa_is_the_mean_over_tasks_and_may_be_negative():
    found = _measure("kappa", one=Estimate(-0.5, 0.3, 9), two=Estimate(0.25, 0.4, 9))
    assert found.mean == -0.125
    assert found.standard_error == pytest.approx(0.25)


@pytest.mark.parametrize("name", ["accuracy", "kappa", "perplexity"])
def test_an_objective_of_tasks_needs_one(name):
    assert registry.load("objectives", name).uses_tasks
    with pytest.raises(ConfigurationError, match="needs a task"):
        _measure(name)


@pytest.mark.parametrize(
    ("name", "figure", "unit"),
    [
        ("decode_speed", "decode_speed", "tokens/s"),
        ("prefill_time", "prefill_ms", "ms"),
        ("engine_memory", "memory", "bytes"),
    ],
)
def test_engine_figures_are_given_as_measured(name, figure, unit):
    objective = registry.load("objectives", name)()
    assert objective.uses_engine
    assert objective.unit == unit
    found = Estimate(31.5, 0.5, 5)
    assert objective.measure(Measured(None, COSTS, {}, {figure: found})) == found
    with pytest.raises(ConfigurationError, match=f"{name} needs '{figure}', which was not measured"):
        _measure(name)


def test_lossless_bytes_are_those_of_the_parts_that_would_be_stored():
    tensors = [torch.randn(64, 48).bfloat16(), torch.zeros(0, 4).bfloat16(), torch.randn(5, 7), torch.arange(9).half()]
    stored = sum(part.nbytes for tensor in tensors[:2] for part in packed(tensor).values())
    measured = Measured(None, COSTS, {}, tensors=lambda: iter(tensors))
    found = registry.load("objectives", "lossless_bytes")().measure(measured)
    assert found == Estimate(stored + 5 * 7 * 4 + 9 * 2, 0.0, 1)
    assert stored < 64 * 48 * 2
