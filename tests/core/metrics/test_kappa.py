import math
import warnings

import pytest
import torch
from heterosis.core.errors import ConfigurationError
from heterosis.core.metrics import jackknifed_kappa, quadratic_weighted_kappa
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

grades = st.integers(1, 5)
graded = st.lists(st.tuples(grades, grades), min_size=1, max_size=12)


def _sklearn(answers, references):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return cohen_kappa_score(answers, references, weights="quadratic", labels=range(1, 6))


@example([(3, 3), (3, 3)])
@example([(1, 5), (5, 1)])
@given(graded)
def test_it_is_scikit_learns(pairs):
    answers, references = zip(*pairs, strict=True)
    found = quadratic_weighted_kappa(torch.tensor(answers), torch.tensor(references)).item()
    assert found == pytest.approx(_sklearn(answers, references), rel=1e-9, abs=1e-12, nan_ok=True)


@given(st.lists(st.tuples(grades, grades), min_size=2, max_size=8))
def test_the_jackknife_leaves_out_one_item_after_another(pairs):
    answers, references = torch.tensor(pairs).T
    places = [[j for j in range(len(pairs)) if j != i] for i in range(len(pairs))]
    expected = [quadratic_weighted_kappa(answers[rest], references[rest]).item() for rest in places]
    assert jackknifed_kappa(answers, references).tolist() == pytest.approx(expected, rel=1e-12, nan_ok=True)


def test_several_candidates_are_graded_at_once():
    references = torch.tensor([1, 2, 3, 4])
    answers = torch.tensor([[1, 2, 3, 4], [4, 3, 2, 1], [2, 2, 2, 2]])
    assert quadratic_weighted_kappa(answers, references).tolist() == pytest.approx([1.0, -1.0, 0.0])
    assert jackknifed_kappa(answers, references).shape == (3, 4)


def test_one_grade_alone_says_nothing():
    assert math.isnan(quadratic_weighted_kappa(torch.tensor([3, 3]), torch.tensor([3, 3])))


@pytest.mark.parametrize("wrong", [torch.tensor([1.5]), torch.tensor([], dtype=torch.int64), torch.tensor([True])])
def test_grades_are_whole_numbers(wrong):
    with pytest.raises(ConfigurationError, match="grades are whole numbers"):
        quadratic_weighted_kappa(wrong, wrong)


def test_there_must_be_as_many_answers_as_references():
    with pytest.raises(ConfigurationError, match="2 answers cannot be held to 1 references"):
        quadratic_weighted_kappa(torch.tensor([1, 2]), torch.tensor([1]))


def test_one_item_cannot_be_left_out():
    with pytest.raises(ConfigurationError, match="needs two items"):
        jackknifed_kappa(torch.tensor([1]), torch.tensor([1]))
