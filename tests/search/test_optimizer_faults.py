"""Wrong options, directions and turns are refused with a message that says what to do."""

import logging
import os
import warnings

import numpy as np
import optuna
import pytest
from heterosis.core import registry
from heterosis.core.contracts import Told
from heterosis.core.errors import ConfigurationError, OptimizerError
from heterosis.core.gene_space import GeneSpace
from heterosis.core.genes import CategoryGene, FloatGene
from heterosis.testing.optimizers import FLOATS, optimize

ALL = ["random", "ga", "de", "cmaes", "nsga2", "tpe", "optuna_cmaes", "gp"]


def new(name, space=FLOATS, directions=("maximize",), seed=1, **options):
    return registry.load("optimizers", name)(space, directions, seed, **options)


@pytest.mark.parametrize("name", ALL)
def test_a_misspelt_option_is_named_with_the_nearest_one(name):
    with pytest.raises(ConfigurationError, match="Did you mean 'first'"):
        new(name, frist=[])


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("ga", {"population": "many"}, "'population' must be a whole number at least 2, not 'many'"),
        ("ga", {"population": 7.5}, "whole number"),
        ("ga", {"population": True}, "whole number"),
        ("ga", {"popluation": 8}, "Did you mean 'population'"),
        ("cmaes", {"sigma": 3}, "'sigma' must be a number between 1e-06 and 1.0, not 3"),
        ("cmaes", {"sigma": float("nan")}, "sigma"),
        ("de", {"base": "bset"}, "Did you mean 'best'"),
        ("tpe", {"batch": 0}, "at least 1"),
        ("random", {"population": 8}, "has no option 'population'"),
    ],
)
def test_a_wrong_option_is_refused(name, options, said):
    with pytest.raises(ConfigurationError) as caught:
        new(name, **options)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ({"a": 1.0}, "must be a list"),
        ("middle", "must be a list"),
        (None, "must be a list"),
        (["center"], "neither a genome nor 'middle'"),
        ([{"a": 1.0}], "lacks a value for gene 'b'"),
        ([{"a": 9.0, "b": 0.0, "c": 0.0}], "outside gene"),
        ([{"a": 1.0, "b": 0.0, "c": 0.0, "d": 0.0}], "'d', which is not an active gene"),
    ],
)
@pytest.mark.parametrize("name", ["random", "ga", "tpe"])
def test_a_wrong_first_genome_is_refused(name, first, said):
    with pytest.raises(ConfigurationError) as caught:
        new(name, first=first)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["ga", "de", "cmaes", "optuna_cmaes"])
def test_several_objectives_are_refused_with_the_names_of_those_that_take_them(name):
    with pytest.raises(
        ConfigurationError, match=r"takes one objective, and there are 2.*gp, level_es, nsga2, random, tpe"
    ):
        new(name, directions=("maximize", "minimize"))


@pytest.mark.parametrize("seed", [-1, 1.5, None, "seven", True])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises(ConfigurationError, match="a seed is a whole number"):
        new("random", seed=seed)


def test_a_long_seed_is_fine():
    assert new("cmaes", seed=2**80).ask(1)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n", [0, -3])
def test_asking_for_nothing_is_refused(name, n):
    with pytest.raises(OptimizerError, match="ask for at least one"):
        new(name).ask(n)


@pytest.mark.parametrize("name", ALL)
def test_a_refused_tell_can_be_repeated_correctly(name):
    optimizer = new(name)
    proposals = optimizer.ask(3)
    with pytest.raises(OptimizerError, match="2 values told for 1 objectives"):
        optimizer.tell([Told(0, proposal.genome, (0.5, 0.5)) for proposal in proposals])
    optimizer.tell([Told(0, proposal.genome, (0.5,)) for proposal in proposals])
    assert optimizer.ask(1)


def test_categories_alone_are_nothing_for_the_cmaes_of_optuna():
    with pytest.raises(OptimizerError, match="only categories; use 'tpe' or 'ga'"):
        new("optuna_cmaes", GeneSpace([CategoryGene("method", ("ties", "slerp"))]))


def test_a_failed_candidate_is_never_better_than_one_that_comes_much_later():
    space = GeneSpace([FloatGene("a", 0.0, 1.0)])
    optimizer = new("ga", space, ("minimize",), population=4)
    optimize(optimizer, lambda genome: None, 4)
    optimize(optimizer, lambda genome: (1e9,), 4)  # far worse than any penalty that could have been set before
    assert [individual.get("failed") for individual in optimizer._running.pop] == [False] * 4


@pytest.mark.parametrize("name", ["tpe", "optuna_cmaes", "gp"])
def test_a_candidate_with_a_value_that_is_no_number_counts_as_failed(name):
    optimizer = new(name)
    optimize(optimizer, lambda genome: (float("nan"),), 3)
    assert {trial.state for trial in optimizer._study.trials} == {optuna.trial.TrialState.FAIL}


def test_optuna_keeps_quiet_and_its_settings_are_put_back(caplog, capfd):
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    try:
        with caplog.at_level(logging.INFO), warnings.catch_warnings():
            warnings.simplefilter("error")
            for name in ("tpe", "optuna_cmaes"):
                optimize(new(name), lambda genome: (1.0,), 15)
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.disable_propagation()
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_cmaes_goes_on_although_every_result_is_the_same(capfd):
    results = optimize(new("cmaes"), lambda genome: (0.5,), 300)
    assert len({told.genome for told in results}) > 250
    assert capfd.readouterr() == ("", "")


def test_cmaes_goes_on_once_it_has_converged():
    results = optimize(new("cmaes"), lambda genome: (-((genome["a"] - 1) ** 2),), 900, at_a_time=50)
    assert len(results) == 900


def test_cmaes_reads_no_options_from_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "cma_signals.in").write_text("{'timeout': 0, 'maxiter': 1, 'tolfun': 1e9}")
    elsewhere = [told.genome for told in optimize(new("cmaes"), lambda genome: (genome["a"],), 40)]
    monkeypatch.chdir(tmp_path)
    assert [told.genome for told in optimize(new("cmaes"), lambda genome: (genome["a"],), 40)] == elsewhere
    assert os.listdir(tmp_path) == ["cma_signals.in"]


def test_a_budget_of_one_is_fine():
    for name in ALL:
        assert len(optimize(new(name), lambda genome: (1.0,), 1)) == 1


def test_numpy_raises_no_floating_point_warning_on_huge_results():
    with warnings.catch_warnings(), np.errstate(all="warn"):
        warnings.simplefilter("error")
        for name in ("ga", "de", "cmaes", "nsga2"):
            optimize(new(name), lambda genome: (1e300 * genome["a"],), 40)
