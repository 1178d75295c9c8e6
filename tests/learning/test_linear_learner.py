"""The linear learner: accuracy, doubtful documents, honest probabilities, settings."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from sklearn.svm import LinearSVC

from rows_by_topic import N_TOPICS, make_up, plant_wrong_topics
from slugline.errors import DataError
from slugline.learning.calibration import Calibration
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear import learner as linear_learner
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.linear.steps import term_rates, topic_rarity

TYPICAL = Calibration(5.5, 0.01, 0.06)


def fit(
    X: sp.csr_array,
    y: np.ndarray,
    *,
    clean: bool = True,
    passes: int | None = None,
    n_topics: int = N_TOPICS,
    **context: Any,
) -> LinearLearner:
    learner = LinearLearner(passes, clean)
    learner.fit(X, Labels.from_topics(y), FitContext(n_topics, **context))
    return learner


def assert_same(one: LinearLearner, other: LinearLearner) -> None:
    assert np.array_equal(one.weights.toarray(), other.weights.toarray())
    assert np.array_equal(one.biases, other.biases)
    assert (one.calibration, one.n_suspect_labels) == (other.calibration, other.n_suspect_labels)


# Weights ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_topics", [2, 3, N_TOPICS])
@pytest.mark.parametrize("n_rows", [300, 2500])
def test_linear_learner_is_as_accurate_as_linear_svc(n_rows: int, n_topics: int) -> None:
    X, y = make_up(n_rows)
    y = plant_wrong_topics(y, 0.2)[0] % n_topics
    X_new, y_new = make_up(1000, seed=2)
    ours = fit(X, y, n_topics=n_topics, clean=False).decision_function(X_new).argmax(axis=1)
    theirs = LinearSVC(random_state=0).fit(X, y).predict(X_new)
    accuracy = {"ours": (ours == y_new % n_topics).mean(), "theirs": (theirs == y_new % n_topics)}
    # Rates by relevance, which help with texts, fit the wrong topics of few rows a little more.
    margin = 0.01 if n_rows == 300 else 0.005
    assert accuracy["ours"] >= max(0.97, accuracy["theirs"].mean() - margin)


def test_decision_function_sums_the_weights() -> None:
    X, y = make_up(300)
    learner = fit(X, y)
    assert learner.weights.dtype == learner.biases.dtype == np.float32
    assert 0 < learner.weights.nnz < np.prod(learner.weights.shape)
    np.testing.assert_allclose(
        learner.decision_function(X), (X @ learner.weights).toarray() + learner.biases, rtol=1e-4
    )


def test_decision_function_is_the_same_with_sparse_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = make_up(300)
    learner = fit(X, y)
    dense = learner.decision_function(X)
    monkeypatch.setattr(linear_learner, "_MAX_DENSE", 100)
    again = LinearLearner.restore(learner.settings(), learner.arrays())
    assert not isinstance(again._table, np.ndarray)
    np.testing.assert_allclose(again.decision_function(X), dense, rtol=1e-4, atol=1e-6)
    assert again.decision_function(X).dtype == np.float32


def test_passes_fit_the_rows_more_closely() -> None:
    X, y = make_up(200)
    own = [
        fit(X, y, passes=passes, clean=False).decision_function(X)[range(200), y].mean()
        for passes in (1, 3, 10)
    ]
    assert own[0] < own[1] < own[2]


def test_rare_topics_count_more_unless_class_weight_is_given() -> None:
    def hard(n_rows: int, seed: int) -> tuple[sp.csr_array, np.ndarray]:
        X, y = make_up(n_rows, seed)
        X.data *= np.random.default_rng(seed).random(X.nnz) < 0.3  # most terms are missing
        return X, y

    X, y = hard(1000, seed=0)
    rare = np.flatnonzero((y != 0) | (np.arange(1000) < 150))  # most rows of topic 0 are missing
    X_new, y_new = hard(2000, seed=2)
    found = {
        said: fit(X[rare], y[rare], weighted_topics=said).decision_function(X_new).argmax(axis=1)
        for said in (False, True)
    }
    recall = {said: (found[said][y_new == 0] == 0).mean() for said in found}
    assert recall[False] > recall[True] + 0.04


@pytest.mark.parametrize("n_rows", [100, 2500])
def test_topic_without_rows_is_never_predicted(n_rows: int) -> None:
    X, y = make_up(n_rows)
    learner = fit(X, np.where(y > 4, 6, y), n_topics=9)
    assert set(learner.decision_function(X).argmax(axis=1)) == {0, 1, 2, 3, 4, 6}
    assert (learner.predict_proba(X)[:, [5, 7, 8]] < 0.02).all()


# Doubtful documents -----------------------------------------------------------------------------


def test_clean_leaves_out_wrong_topics_and_hardly_others() -> None:
    X, y = make_up(1500)
    noisy, wrong = plant_wrong_topics(y, 0.08)

    learner = fit(X, noisy)

    assert 0.75 * wrong.sum() <= learner.n_suspect_labels <= wrong.sum()
    # Those left out are the wrong ones: scores come nearer to what the rest alone teaches.
    X_new, _ = make_up(500, seed=2)
    rest = fit(X[~wrong], y[~wrong], clean=False).decision_function(X_new)
    off = np.abs(learner.decision_function(X_new) - rest).mean()
    with_them = fit(X, noisy, clean=False).decision_function(X_new)
    assert off < 0.7 * np.abs(with_them - rest).mean()


def test_clean_improves_the_loss_on_new_rows() -> None:
    X, y = make_up(600)
    noisy, _ = plant_wrong_topics(y, 0.2)
    X_new, y_new = make_up(600, seed=2)
    log_loss = {
        clean: -np.log(fit(X, noisy, clean=clean).predict_proba(X_new)[range(600), y_new]).mean()
        for clean in (True, False)
    }
    assert log_loss[True] < log_loss[False]


def test_clean_leaves_out_nothing_of_few_rows_per_topic() -> None:
    X, y = make_up(10 * N_TOPICS - 1)
    assert fit(X, plant_wrong_topics(y, 0.3)[0]).n_suspect_labels == 0


def test_clean_keeps_a_topic_of_which_most_rows_are_doubtful() -> None:
    X, y = make_up(800)
    noisy, _ = plant_wrong_topics(y, 0.1)
    noisy[np.flatnonzero(y == 3)[:2]] = 8  # a ninth topic of two rows that look like the fourth's

    learner = fit(X, noisy, n_topics=9)

    assert learner.n_suspect_labels > 0
    assert learner.biases[8] > -5  # it is -10 without a row


def test_clean_ignores_rows_of_weight_zero() -> None:
    X, y = make_up(800)
    noisy, _ = plant_wrong_topics(y, 0.1)
    noisy[np.flatnonzero(y == 3)[:2]] = 8  # a ninth topic of two rows that count, and ten others
    weight = np.ones(800, dtype=np.float32)
    idle = np.flatnonzero(y == 4)[:10]
    noisy[idle], weight[idle] = 8, 0

    learner = fit(X, noisy, n_topics=9, sample_weight=weight)

    assert learner.n_suspect_labels > 0
    assert learner.biases[8] > -5  # it is -10 without a row


# Probabilities ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [400, 2500])
@pytest.mark.parametrize("share", [0.0, 0.08, 0.5])
def test_predict_proba_sums_to_1_and_agrees_with_scores(share: float, n_rows: int) -> None:
    X, y = make_up(n_rows)
    learner = fit(X, plant_wrong_topics(y, share)[0])
    proba = learner.predict_proba(X)
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    assert np.array_equal(proba.argmax(axis=1), learner.decision_function(X).argmax(axis=1))


# Up to 2000 rows calibrate by cross-validation, and more by what each has put in.
@pytest.mark.parametrize("n_rows", [400, 1500, 3000])
@pytest.mark.parametrize("share", [0.05, 0.15, 0.4])
def test_predict_proba_is_calibrated_on_new_rows(n_rows: int, share: float) -> None:
    X, y = make_up(n_rows)
    learner = fit(X, plant_wrong_topics(y, share)[0], clean=False)
    X_new, y_new = make_up(2000, seed=2)
    y_new = plant_wrong_topics(y_new, share)[0]
    scores = learner.decision_function(X_new)

    def loss(calibration: Calibration) -> float:
        return float(-np.log(calibration.proba(scores)[np.arange(2000), y_new]).mean())

    found = learner.calibration
    assert isinstance(found, Calibration)
    others = [
        Calibration(found.inverse_temperature * factor, doubt)
        for factor in np.geomspace(0.25, 4, 15)
        for doubt in np.linspace(0.01, 0.5, 25)
    ]
    assert loss(found) < min(map(loss, others)) + 0.02
    likeliest = learner.predict_proba(X_new).max(axis=1).mean()
    right = (scores.argmax(axis=1) == y_new).mean()
    assert likeliest == pytest.approx(right, abs=0.05)


# Weights of rows --------------------------------------------------------------------------------


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("n_rows", [300, 2500])
def test_linear_learner_ignores_rows_of_weight_zero(n_rows: int, clean: bool) -> None:
    X, y = make_up(n_rows)
    noisy, wrong = plant_wrong_topics(y, 0.1)
    weight = (~wrong).astype(np.float32)
    one = fit(X, noisy, clean=clean, sample_weight=weight)
    # Whatever such rows are.
    other = fit(X * (~wrong)[:, np.newaxis], y, clean=clean, sample_weight=weight)
    assert_same(one, other)
    assert one.n_suspect_labels == 0
    assert weight.tolist() == (~wrong).tolist()


@pytest.mark.parametrize("heavier", [0, 1])
def test_linear_learner_believes_the_heavier_of_two_contradicting_rows(heavier: int) -> None:
    X, y = make_up(200)
    topics = y, (y + 1) % N_TOPICS
    twice = sp.csr_array(sp.vstack([X, X])), np.concatenate(topics)
    weight = np.repeat(np.array([3, 1] if heavier == 0 else [1, 3], dtype=np.float32), 200)
    found = fit(*twice, clean=False, sample_weight=weight).decision_function(X).argmax(axis=1)
    assert (found == topics[heavier]).mean() > 0.95


@pytest.mark.parametrize("weightless", [0, 3, N_TOPICS - 1], ids=["first", "middle", "last"])
@pytest.mark.parametrize("clean", [True, False])
def test_topic_of_weight_zero_is_never_predicted(weightless: int, clean: bool) -> None:
    X, y = make_up(200)
    learner = fit(X, y, clean=clean, sample_weight=(y != weightless).astype(np.float32))
    found = learner.decision_function(X).argmax(axis=1)
    assert set(found) == set(range(N_TOPICS)) - {weightless}
    assert np.isfinite(learner.predict_proba(X)).all()


# Threads and seeds ------------------------------------------------------------------------------


def test_fits_in_several_threads_at_once_equal_single_ones() -> None:
    X, y = make_up(1000)

    def weights(seed: int) -> bytes:
        return bytes(fit(X, y, seed=seed, n_jobs=2).weights.toarray())

    alone = [weights(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as threads:
        at_once = list(threads.map(weights, range(4)))
    assert len(set(alone)) == 4
    assert at_once == alone


@pytest.mark.parametrize("n_rows", [501, 2500])
def test_seed_decides_the_order_of_rows(n_rows: int) -> None:
    X, y = make_up(n_rows)
    one, same, other = (fit(X, y, seed=seed) for seed in (0, 0, 1))
    assert_same(one, same)
    assert not np.array_equal(one.weights.toarray(), other.weights.toarray())


# The minimum for few rows -------------------------------------------------------------------------


def few_rows() -> tuple[sp.csr_array, np.ndarray]:
    X, y = make_up(150)
    return X, plant_wrong_topics(y, 0.1)[0]


def test_fit_of_few_rows_does_not_depend_on_seed_order_or_threads() -> None:
    X, y = few_rows()
    one = fit(X, y, clean=False)
    for other in (fit(X, y, clean=False, seed=1), fit(X, y, clean=False, n_jobs=3)):
        assert np.array_equal(other.weights.toarray(), one.weights.toarray())
        assert np.array_equal(other.biases, one.biases)
    order = np.random.default_rng(1).permutation(len(y))
    other = fit(X[order], y[order], clean=False)
    np.testing.assert_allclose(other.weights.toarray(), one.weights.toarray(), atol=2e-3)
    np.testing.assert_allclose(other.biases, one.biases, atol=1e-4)


@pytest.mark.parametrize("weighted_topics", [False, True])
@pytest.mark.parametrize("has_weights", [False, True])
def test_fit_of_few_rows_reaches_the_minimum(weighted_topics: bool, has_weights: bool) -> None:
    X, y = few_rows()
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 4, len(y)).astype(np.float32) if has_weights else None
    context: dict[str, Any] = {"weighted_topics": weighted_topics, "sample_weight": weight}
    ours = fit(X, y, clean=False, **context)

    every = np.arange(len(y))
    rates = term_rates(X, Labels.from_topics(y), every, 4)[:-1].astype(np.float64)
    costs = np.ones(len(y)) if weight is None else weight.astype(np.float64)
    totals = np.bincount(y, costs, minlength=N_TOPICS)
    rarity = np.ones(N_TOPICS) if weighted_topics else topic_rarity(totals).astype(np.float64)
    dense = X.toarray().astype(np.float64)
    for topic in range(N_TOPICS):
        sign = np.where(y == topic, 1.0, -1.0)
        c = costs * np.where(y == topic, rarity[topic], 1.0)

        def function(w: np.ndarray, sign: Any = sign, c: Any = c) -> tuple[float, np.ndarray]:
            errors = np.maximum(0, 1 - sign * (dense @ w[:-1] + w[-1]))
            value = (w[:-1] ** 2 / (2 * rates)).sum() + (w[-1] + 1) ** 2 / 2 + c @ errors**2
            slope = -2 * c * sign * errors
            return value, np.append(w[:-1] / rates + slope @ dense, w[-1] + 1 + slope.sum())

        start = np.append(np.zeros(X.shape[1]), -1.0)
        options = {"maxiter": 10_000, "ftol": 1e-15, "gtol": 1e-9}
        lowest = minimize(function, start, jac=True, method="L-BFGS-B", options=options)
        found = np.append(ours.weights.toarray()[:, topic], ours.biases[topic])
        # Weights are rounded to 11 binary digits, and those that hardly count are dropped.
        np.testing.assert_allclose(found, lowest.x, atol=2e-3)
        assert function(found.astype(np.float64))[0] <= lowest.fun * (1 + 1e-5)


def test_seed_may_exceed_that_of_scikit_learn() -> None:
    X, y = make_up(100)
    assert fit(X, y, seed=1 << 32).predict_proba(X).argmax(axis=1).tolist() == y.tolist()


def test_order_of_rows_changes_predictions_little() -> None:
    X, y = make_up(600)
    order = np.random.default_rng(1).permutation(600)
    one, other = fit(X, y), fit(X[order], y[order])
    X_new, _ = make_up(600, seed=2)
    assert np.array_equal(
        one.predict_proba(X_new).argmax(axis=1), other.predict_proba(X_new).argmax(axis=1)
    )
    np.testing.assert_allclose(one.predict_proba(X_new), other.predict_proba(X_new), atol=0.05)


# Small and odd data -----------------------------------------------------------------------------


def test_linear_learner_takes_two_documents_of_two_topics() -> None:
    X = sp.csr_array(np.eye(2, dtype=np.float32))
    learner = fit(X, np.array([0, 1]), n_topics=2)
    assert learner.predict_proba(X).argmax(axis=1).tolist() == [0, 1]
    assert learner.n_suspect_labels == 0
    assert learner.calibration == TYPICAL


def test_linear_learner_takes_one_row_per_topic_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        learner = fit(sp.csr_array(np.eye(40, dtype=np.float32)), np.arange(40), n_topics=40)
        assert warnings.filters == before
    assert learner.predict_proba(np.eye(40)).argmax(axis=1).tolist() == list(range(40))


def test_linear_learner_takes_rows_without_entries() -> None:
    X, y = make_up(60)
    X = sp.csr_array(sp.vstack([X, sp.csr_array((40, X.shape[1]), dtype=np.float32)]))
    learner = fit(X, np.concatenate([y, np.full(40, 5)]))
    assert learner.decision_function(X[60:]).argmax(axis=1).tolist() == [5] * 40


def test_clean_leaves_rows_of_random_topics_to_learn_from() -> None:
    rng = np.random.default_rng(0)
    for n_rows in range(2, 12):
        for _ in range(10):
            X = sp.csr_array(np.eye(4, dtype=np.float32)[rng.integers(4, size=n_rows)])
            learner = fit(X, np.arange(n_rows) % 3, n_topics=3)
            assert learner.n_suspect_labels < n_rows
            assert np.isfinite(learner.predict_proba(X)).all()


def test_linear_learner_bears_contradicting_rows_at_high_weights() -> None:
    X, y = make_up(50)
    twice = sp.csr_array(sp.vstack([X, X])), np.concatenate([y, (y + 1) % N_TOPICS])
    learner = fit(*twice, passes=50, sample_weight=np.full(100, 1e3, dtype=np.float32))
    assert np.isfinite(learner.predict_proba(X)).all()
    assert np.abs(learner.weights.data).max() < 100


# Settings ---------------------------------------------------------------------------------------


def test_decision_function_rejects_rows_of_another_width() -> None:
    learner = fit(*make_up(40))
    with pytest.raises(DataError, match="`X` has 3 columns, but the model expects 360;"):
        learner.decision_function(np.ones((1, 3)))


@pytest.mark.parametrize("passes", [None, 3])
def test_restore_returns_the_same_linear_learner(passes: int | None) -> None:
    X, y = make_up(100)
    learner = fit(X, y, passes=passes, clean=False)
    again = LinearLearner.restore(learner.settings(), learner.arrays())
    assert (again.settings(), repr(again)) == (learner.settings(), repr(learner))
    assert np.array_equal(again.predict_proba(X), learner.predict_proba(X))


def test_restore_rejects_biases_of_two_dimensions() -> None:
    learner = fit(*make_up(40))
    arrays = learner.arrays() | {"biases": learner.biases.reshape(2, 4)}
    with pytest.raises(DataError, match=r"^biases of shape \(2, 4\)$"):
        LinearLearner.restore(learner.settings(), arrays)
