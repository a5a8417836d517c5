import numpy as np
import pytest
from heterosis.fitness.estimators.ridge import PENALTIES, Ridge, fitted
from heterosis.testing.estimators import some_answers, some_references
from hypothesis import given, settings
from hypothesis import strategies as st


def _solved(values, targets, shares, penalty):
    """Weighted ridge regression with an intercept that is not penalised, from the normal equations."""
    design = np.column_stack([np.ones(len(values)), values])
    penalised = penalty * np.diag(np.r_[0.0, np.ones(values.shape[1])])
    return np.linalg.solve(design.T @ (shares[:, None] * design) + penalised, design.T @ (shares * targets))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([3, 20]))
def test_the_error_is_that_of_leaving_each_model_out(seed, items):
    rng = np.random.default_rng(seed)
    values, targets = rng.random((12, items)), rng.random(12)
    shares = rng.dirichlet(np.full(12, 5.0))
    sizes = np.linalg.svd(np.sqrt(shares)[:, None] * (values - shares @ values), compute_uv=False)
    errors = []
    for penalty in PENALTIES * np.square(sizes).mean():
        off = []
        for out in range(12):
            kept = np.arange(12) != out
            line = _solved(values[kept], targets[kept], shares[kept], penalty)
            off.append(targets[out] - line[0] - values[out] @ line[1:])
        errors.append(np.sqrt(shares @ np.square(off)))
    found = fitted(values, targets[:, None], np.ones(1), shares)
    assert found.error == pytest.approx(min(errors), rel=1e-6)
    best = _solved(values, targets, shares, PENALTIES[int(np.argmin(errors))] * np.square(sizes).mean())
    assert found.at(values)[:, 0] == pytest.approx(best[0] + values @ best[1:], abs=1e-8)


def test_candidates_that_were_asked_other_items_have_other_regressions():
    references, answers = some_references(40, 30), some_answers(2, 30, np.random.default_rng(1))
    seen = answers.copy()
    seen[0, :15], seen[1, 15:] = np.nan, np.nan
    estimator = Ridge()
    estimator.fit_uncalibrated(references)
    together = estimator.estimate(seen).mean
    assert together == pytest.approx([estimator.estimate(seen[:1]).mean[0], estimator.estimate(seen[1:]).mean[0]])
    assert np.abs(together - answers @ references.weights).max() < 0.2


def test_the_score_is_the_weighted_sum_of_what_is_predicted_before_anything_is_asked():
    references = some_references(40, 30)
    estimator = Ridge()
    estimator.fit_uncalibrated(references)
    nothing = np.full((1, 30), np.nan)
    assert estimator.estimate(nothing).mean == pytest.approx(estimator.predict(nothing) @ references.weights)
    assert estimator.estimate(nothing).mean[0] == pytest.approx(references.scores.mean())
