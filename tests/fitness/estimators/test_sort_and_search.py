import numpy as np
import pytest
from heterosis.core.contracts.estimator import References
from heterosis.fitness.estimators.sort_and_search import SortAndSearch, easy_to_hard

ITEMS = 40


@pytest.fixture
def estimator():
    thresholds = np.arange(2, 40, 2)[:, None]
    fitted = SortAndSearch()
    fitted.fit_uncalibrated(References((np.arange(ITEMS) < thresholds).astype(float)))
    return fitted


def _asked(estimator, answers, count):
    seen = np.full_like(answers, np.nan)
    items = estimator.next_items(seen, count)[0]
    seen[:, items] = answers[:, items]
    return seen


def test_a_candidate_that_follows_the_order_is_found_to_the_next_item_asked(estimator):
    answers = (np.arange(ITEMS) < np.array([[7], [20], [33]])).astype(float)
    scores = estimator.estimate(_asked(estimator, answers, 20))
    assert scores.mean == pytest.approx([7 / 40, 20 / 40, 33 / 40], abs=2.5 / 40)


def test_nothing_right_is_a_score_of_nothing_and_all_right_of_all(estimator):
    answers = np.vstack([np.zeros(ITEMS), np.ones(ITEMS)])
    scores = estimator.estimate(_asked(estimator, answers, 8))
    assert scores.mean.tolist() == [0.0, 1.0]
    assert np.all(scores.standard_error > 0)


def test_the_place_is_where_right_less_wrong_is_most(estimator):
    seen = np.full((1, ITEMS), np.nan)
    seen[0, estimator.line[[2, 10, 18, 26, 34]]] = [1, 0, 1, 1, 0]
    predicted = estimator.predict(seen)[0, estimator.line]
    assert predicted[[0, 12, 26]].tolist() == [1, 1, 1]
    assert predicted[[10, 34, 39]].tolist() == [0, 0, 0]


def test_real_scores_count_by_how_far_they_are_above_a_half(estimator):
    seen = np.full((2, ITEMS), np.nan)
    seen[:, estimator.line[[5, 15, 25]]] = [[0.9, 0.4, 0.7], [0.9, 0.2, 0.7]]
    mean = estimator.estimate(seen).mean
    assert mean[0] > 0.6  # 0.8 - 0.2 + 0.4 is more than 0.8
    assert mean[1] < 0.3  # 0.8 - 0.6 + 0.4 is less


def test_items_of_equal_sums_are_sorted_by_the_models_whose_place_is_among_them():
    responses = np.array(
        [
            [1, 1, 1, 1, 1, 0],
            [1, 1, 0, 1, 0, 0],
            [1, 0, 1, 0, 1, 0],
            [1, 1, 0, 0, 0, 1],
        ],
        float,
    )
    sums = responses.sum(axis=0)
    line = easy_to_hard(responses, np.ones(4))
    assert sorted(line) == list(range(6))
    assert np.all(np.diff(sums[line]) <= 0)
    assert line[:2].tolist() == [0, 1]


def test_ties_are_broken_by_those_who_are_undecided_there():
    # items 1 and 2 have equal sums; only the second model's place is between them
    responses = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [0, 1, 0, 0], [1, 1, 1, 1]], float)
    assert responses[:, 1].sum() == responses[:, 2].sum()
    line = easy_to_hard(responses, np.ones(4))
    assert line.tolist().index(2) < line.tolist().index(1)


def test_references_that_are_all_alike_leave_the_order():
    assert easy_to_hard(np.ones((3, 5)), np.ones(3)).tolist() == [0, 1, 2, 3, 4]
