"""The linear learner: doubtful documents, sharpness, settings."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import log_softmax
from sklearn.svm import LinearSVC

from slugline.calibration import best_sharpness
from slugline.errors import DataError, OptionError
from slugline.learners.linear import LinearLearner
from slugline.training.context import FitContext
from slugline.training.linear import hinge_pulls, topic_rarity

N_TOPICS = 8


def make_up(n_rows: int, seed: int = 0) -> tuple[sp.csr_array, np.ndarray]:
    """Return rows of length 1, each with some of its topic's 20 columns and some of 200 others."""
    rng = np.random.default_rng(seed)
    y = rng.integers(N_TOPICS, size=n_rows)
    X = np.zeros((n_rows, 20 * N_TOPICS + 200), dtype=np.float32)
    for row, topic in enumerate(y):
        X[row, 20 * topic + rng.choice(20, 6, replace=False)] = 1
        X[row, 20 * N_TOPICS + rng.choice(200, 6, replace=False)] = 1
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return sp.csr_array(X), y


def plant_wrong_topics(y: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Return another topic to some rows; say which."""
    rng = np.random.default_rng(1)
    wrong = np.zeros(len(y), dtype=bool)
    wrong[rng.choice(len(y), round(share * len(y)), replace=False)] = True
    shift = rng.integers(1, N_TOPICS, size=len(y))
    return np.where(wrong, (y + shift) % N_TOPICS, y), wrong


def fit(X: sp.csr_array, y: np.ndarray, C: float = 1.0, clean: bool = True) -> LinearLearner:
    learner = LinearLearner(C, clean)
    learner.fit(X, y, FitContext(n_topics=N_TOPICS))
    return learner


# Weights ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_topics", [2, 3, N_TOPICS])
def test_scores_are_those_of_scikit_learns_one_vs_rest_svm(n_topics: int) -> None:
    X, y = make_up(300)
    y %= n_topics
    learner = LinearLearner(C=0.5, clean=False)
    learner.fit(X, y, FitContext(n_topics=n_topics))

    rarity = {k: max(1, 300 / n_topics / np.count_nonzero(y == k)) ** 0.75 for k in range(n_topics)}
    svc = LinearSVC(C=0.5, tol=0.05, class_weight=rarity, random_state=0)
    theirs = svc.fit(X, y).decision_function(X)

    if n_topics == 2:
        theirs = np.stack([-theirs, theirs], axis=1)
    np.testing.assert_allclose(learner.decision_function(X), theirs, atol=1e-5)
    assert learner.weights.dtype == learner.biases.dtype == np.float32


def test_a_rare_topic_counts_more_unless_the_user_says_what_topics_count() -> None:
    X, y = make_up(400)
    rare = np.flatnonzero((y != 0) | (np.arange(400) < 40))  # topic 0 has a tenth of its rows
    X, y = X[rare], y[rare]
    share = {}
    for said in (False, True):
        learner = LinearLearner(C=0.1, clean=False)
        learner.fit(X, y, FitContext(n_topics=N_TOPICS, weighted_topics=said))
        share[said] = learner.decision_function(X)[:, 0].mean()
    assert share[False] > share[True]


def test_a_topic_without_rows_is_never_the_likeliest() -> None:
    X, y = make_up(100)
    learner = LinearLearner()
    learner.fit(X, np.where(y > 4, 6, y), FitContext(n_topics=9))
    assert set(learner.decision_function(X).argmax(axis=1)) == {0, 1, 2, 3, 4, 6}


def test_scores_are_drawn_down_the_slope_of_the_squared_hinge_loss() -> None:
    scores = np.array([[0.5, -2.0, -0.5], [3.0, 1.5, 0.0]], dtype=np.float32)
    pulls = hinge_pulls(scores, np.array([0, 1]))
    assert pulls.tolist() == [[0.5, 0, -0.5], [-4, 0, -1]]


def test_a_topic_counts_more_the_rarer_it_is_than_the_mean_one_and_never_less_than_1() -> None:
    rarity = topic_rarity(np.array([10, 40, 0, 10]))  # the topics that occur have 20 rows each
    np.testing.assert_allclose(rarity, [2**0.75, 1, 1, 2**0.75])
    assert rarity.dtype == np.float32


# Doubtful documents -----------------------------------------------------------------------------


def test_wrong_topics_are_left_out_and_hardly_anything_else() -> None:
    X, y = make_up(1500)
    noisy, wrong = plant_wrong_topics(y, 0.08)

    learner = fit(X, noisy)

    assert 0.9 * wrong.sum() <= learner.n_left_out <= 1.1 * wrong.sum()
    # Those left out are the wrong ones: the rest alone teaches nearly the same weights.
    without = fit(X[~wrong], y[~wrong], clean=False)
    assert np.abs(learner.weights - without.weights).max() < 0.3
    with_them = fit(X, noisy, clean=False)
    assert np.abs(with_them.weights - without.weights).max() > 0.6


def test_cleaning_finds_more_right_topics_of_new_rows() -> None:
    X, y = make_up(600)
    noisy, _ = plant_wrong_topics(y, 0.2)
    X_new, y_new = make_up(600, seed=2)
    log_loss = {
        clean: -np.log(fit(X, noisy, 10.0, clean).predict_proba(X_new)[range(600), y_new]).mean()
        for clean in (True, False)
    }
    assert log_loss[True] < log_loss[False]


def test_nothing_is_left_out_where_topics_are_right() -> None:
    assert fit(*make_up(800)).n_left_out == 0


def test_nothing_is_left_out_without_cleaning() -> None:
    X, y = make_up(800)
    noisy, _ = plant_wrong_topics(y, 0.08)
    assert fit(X, noisy, clean=False).n_left_out == 0


# Probabilities ----------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.08, 0.5])
def test_probabilities_sum_to_1_and_sharpness_is_positive_and_finite(share: float) -> None:
    X, y = make_up(400)
    noisy, _ = plant_wrong_topics(y, share)

    learner = fit(X, noisy)
    proba = learner.predict_proba(X)

    assert 0 < learner.sharpness < np.inf
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
    assert np.array_equal(proba.argmax(axis=1), learner.decision_function(X).argmax(axis=1))


def test_sharpness_makes_probabilities_of_new_rows_as_good_as_any_other_would() -> None:
    X, y = make_up(1500)
    learner = fit(X, plant_wrong_topics(y, 0.15)[0], clean=False)
    X_new, y_new = make_up(1500, seed=2)
    y_new = plant_wrong_topics(y_new, 0.15)[0]

    def loss(factor: float) -> float:
        scores = factor * learner.sharpness * learner.decision_function(X_new).astype(np.float64)
        return float(-log_softmax(scores, axis=1)[np.arange(1500), y_new].mean())

    assert loss(1) < min(loss(0.5), loss(2))
    assert loss(1) == pytest.approx(min(map(loss, np.geomspace(0.5, 2, 41))), rel=0.06)


@pytest.mark.parametrize(
    ("n_topics", "C", "length"), [(N_TOPICS, 1.0, 1), (N_TOPICS, 3.0, 1), (2, 2.0, 1), (4, 0.3, 2)]
)
def test_sharpness_is_near_what_fitting_without_each_row_would_give(
    n_topics: int, C: float, length: int
) -> None:
    X, y = make_up(120)
    X *= np.float32(length)
    y = plant_wrong_topics(y, 0.1)[0] % n_topics
    context = FitContext(n_topics=n_topics)
    scores = np.empty((120, n_topics), dtype=np.float32)
    learner = LinearLearner(C, clean=False)
    for row in range(120):
        others = np.arange(120) != row
        learner.fit(X[others], y[others], context)
        scores[row] = learner.decision_function(X[[row]])[0]
    learner.fit(X, y, context)
    assert learner.sharpness == pytest.approx(best_sharpness(scores, y), rel=0.35)


def test_rows_that_count_half_at_twice_the_cost_make_the_same_classifier() -> None:
    X, y = make_up(800)
    y = plant_wrong_topics(y, 0.08)[0]
    one, other = LinearLearner(C=1.0), LinearLearner(C=2.0)
    one.fit(X, y, FitContext(n_topics=N_TOPICS))
    weight = np.full(800, 0.5, dtype=np.float32)
    other.fit(X, y, FitContext(n_topics=N_TOPICS, sample_weight=weight))
    assert one.n_left_out == other.n_left_out > 0
    assert one.sharpness == pytest.approx(other.sharpness, rel=1e-3)
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-4)


def test_noise_makes_probabilities_less_sharp() -> None:
    X, y = make_up(800)
    assert fit(X, plant_wrong_topics(y, 0.3)[0], clean=False).sharpness < fit(X, y).sharpness


# Threads and seeds ------------------------------------------------------------------------------


def test_fits_in_several_threads_at_once_are_the_same_as_alone() -> None:
    # liblinear takes random steps where there are more columns than rows.
    rng = np.random.default_rng(0)
    X = sp.random_array((2000, 4000), density=0.005, format="csr", rng=rng, dtype=np.float32)
    y = np.arange(2000) % 10

    def weights(seed: int) -> bytes:
        learner = LinearLearner(clean=False)
        learner.fit(X, y, FitContext(n_topics=10, seed=seed))
        return learner.weights.tobytes()

    alone = [weights(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as threads:
        at_once = list(threads.map(weights, range(4)))
    assert len(set(alone)) == 4
    assert at_once == alone


def test_a_seed_beyond_those_of_scikit_learn_will_do() -> None:
    X, y = make_up(100)
    LinearLearner().fit(X, y, FitContext(n_topics=N_TOPICS, seed=1 << 32))


# Small and odd data -----------------------------------------------------------------------------


def test_two_documents_of_two_topics_are_enough() -> None:
    X = sp.csr_array(np.eye(2, dtype=np.float32))
    learner = LinearLearner()
    learner.fit(X, np.array([0, 1]), FitContext(n_topics=2))
    proba = learner.predict_proba(X)
    assert proba.argmax(axis=1).tolist() == [0, 1]
    assert learner.n_left_out == 0
    assert learner.sharpness == 5.0


@pytest.mark.parametrize("weightless", [0, 3, N_TOPICS - 1], ids=["first", "middle", "last"])
@pytest.mark.parametrize("clean", [True, False])
def test_a_topic_of_which_all_rows_weigh_0_is_never_the_likeliest(
    weightless: int, clean: bool
) -> None:
    X, y = make_up(200)
    learner = LinearLearner(clean=clean)
    weight = (y != weightless).astype(np.float32)
    learner.fit(X, y, FitContext(n_topics=N_TOPICS, sample_weight=weight))
    found = learner.decision_function(X).argmax(axis=1)
    assert set(found) == set(range(N_TOPICS)) - {weightless}
    assert np.isfinite(learner.predict_proba(X)).all()


def test_topics_of_one_row_each_are_learned_without_a_warning() -> None:
    learner = LinearLearner()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        learner.fit(
            sp.csr_array(np.eye(40, dtype=np.float32)), np.arange(40), FitContext(n_topics=40)
        )
        assert warnings.filters == before
    assert learner.predict_proba(np.eye(40)).argmax(axis=1).tolist() == list(range(40))


def test_one_topic_is_certain() -> None:
    X, y = make_up(20)
    learner = LinearLearner()
    learner.fit(X, 0 * y, FitContext(n_topics=1))
    assert learner.predict_proba(X).tolist() == [[1]] * 20
    assert learner.sharpness == 5.0


def test_a_topic_of_which_most_rows_are_doubtful_keeps_them_all() -> None:
    X, y = make_up(800)
    noisy, _ = plant_wrong_topics(y, 0.1)
    hard = np.flatnonzero(y == 3)[:2]
    noisy[hard] = 8  # a ninth topic of two rows that look like the fourth one's

    learner = LinearLearner()
    learner.fit(X, noisy, FitContext(n_topics=9))

    assert learner.n_left_out > 0
    assert learner.biases[8] > -5  # it is -10 without a row


def test_rows_of_weight_0_do_not_outvote_the_doubtful_ones_of_their_topic() -> None:
    X, y = make_up(800)
    noisy, _ = plant_wrong_topics(y, 0.1)
    noisy[np.flatnonzero(y == 3)[:2]] = 8  # a ninth topic of two rows that count, and ten others
    weight = np.ones(800, dtype=np.float32)
    idle = np.flatnonzero(y == 4)[:10]
    noisy[idle], weight[idle] = 8, 0

    learner = LinearLearner()
    learner.fit(X, noisy, FitContext(n_topics=9, sample_weight=weight))

    assert learner.biases[8] > -5  # it is -10 without a row


def test_documents_of_random_topics_leave_something_to_learn_from() -> None:
    rng = np.random.default_rng(0)
    for n_rows in range(2, 12):
        for _ in range(10):
            X = sp.csr_array(np.eye(4, dtype=np.float32)[rng.integers(4, size=n_rows)])
            learner = LinearLearner()
            learner.fit(X, np.arange(n_rows) % 3, FitContext(n_topics=3))
            assert learner.n_left_out < n_rows
            assert np.isfinite(learner.predict_proba(X)).all()


@pytest.mark.parametrize("clean", [True, False])
def test_a_row_of_weight_0_might_as_well_not_be_there(clean: bool) -> None:
    X, y = make_up(300)
    noisy, wrong = plant_wrong_topics(y, 0.1)
    learner = LinearLearner(clean=clean)
    weight = (~wrong).astype(np.float32)

    learner.fit(X, noisy, FitContext(n_topics=N_TOPICS, sample_weight=weight))

    without = fit(X[~wrong], y[~wrong], clean=clean)
    assert np.array_equal(learner.weights, without.weights)
    assert np.array_equal(learner.biases, without.biases)
    assert learner.sharpness == without.sharpness
    assert learner.n_left_out == without.n_left_out
    assert weight.tolist() == (~wrong).tolist()


def test_a_row_of_weight_2_is_as_good_as_two() -> None:
    X, y = make_up(200)
    twice = y < 3
    weighted = LinearLearner(clean=False)
    weight = np.where(twice, np.float32(2), np.float32(1))
    weighted.fit(X, y, FitContext(n_topics=N_TOPICS, sample_weight=weight))
    doubled = sp.vstack([X, X[twice]], format="csr"), np.concatenate([y, y[twice]])
    # liblinear ends where its tolerance lets it.
    np.testing.assert_allclose(
        weighted.decision_function(X), fit(*doubled, clean=False).decision_function(X), atol=0.03
    )


# Settings ---------------------------------------------------------------------------------------


def test_the_seed_reaches_the_order_in_which_rows_are_learned_from() -> None:
    X, y = make_up(200)
    weights = []
    for seed in (0, 0, 1):
        learner = LinearLearner()
        learner.fit(X, y, FitContext(n_topics=N_TOPICS, seed=seed))
        weights.append(learner.weights)
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])


@pytest.mark.parametrize("C", [0, -1.0, float("nan"), float("inf")])
def test_a_cost_that_is_no_number_over_0_is_refused(C: float) -> None:
    with pytest.raises(OptionError) as caught:
        LinearLearner(C=C)
    assert str(caught.value) == f"`C` is {C}; give a number over 0."


def test_rows_of_another_width_are_refused() -> None:
    learner = fit(*make_up(40))
    with pytest.raises(DataError, match="`X` has 3 columns, but the model expects 360;"):
        learner.decision_function(np.ones((1, 3)))


def test_a_learner_restored_from_its_parts_is_the_same() -> None:
    X, y = make_up(100)
    learner = fit(X, y, C=0.5, clean=False)
    again = LinearLearner.restore(learner.settings(), learner.arrays())
    assert (again.settings(), repr(again)) == (learner.settings(), repr(learner))
    assert np.array_equal(again.predict_proba(X), learner.predict_proba(X))


def test_documents_that_contradict_each_other_bring_no_warning_at_high_costs() -> None:
    X, y = make_up(50)
    twice = sp.csr_array(sp.vstack([X, X])), np.concatenate([y, (y + 1) % N_TOPICS])
    assert np.isfinite(fit(*twice, C=1e3).weights).all()
