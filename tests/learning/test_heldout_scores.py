"""Rows that were left out, as if they were new."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from rows_by_topic import make_up
from slugline.learning.calibration import DEFAULT_CALIBRATION
from slugline.learning.heldout import HeldOutScores
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear import problem as linear_problem
from slugline.learning.linear.fit import fit_linear
from slugline.learning.linear.folds import HeldOutFit
from slugline.learning.linear.problem import (
    FitLimits,
    LinearProblem,
    group_equal_rows,
    renormalize_rows,
    scale_heldout_scores,
)
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features


def test_renormalize_rows_scales_rows_as_if_columns_were_unknown() -> None:
    learned, new = ["oil price rises", "wheat crop falls"], ["oil crop tin zinc", "tin"]
    features = Features([FeatureGroup("words", "log-tf-idf", n_buckets=1 << 10)])
    features.fit_transform(learned)
    expected = features.transform(new).toarray()

    wide = Features([FeatureGroup("words", "log-tf-idf", n_buckets=1 << 10)])
    n_known = wide.fit_transform([*learned, *new]).shape[1] - 2
    rows = wide.transform(new)
    known = np.arange(rows.shape[1]) < n_known  # in order of appearance: tin and zinc are last
    found = renormalize_rows(rows, known).toarray()[:, :n_known]

    assert np.linalg.norm(found[0]) == np.float32(1)
    assert np.array_equal(found[0] > 0, expected[0] > 0)
    assert found[1].tolist() == [0] * n_known  # nothing of it is known
    np.testing.assert_allclose(
        renormalize_rows(rows, known | True).toarray(), rows.toarray(), rtol=1e-6
    )


def test_renormalize_rows_leaves_unscaled_rows_unchanged() -> None:
    counts = sp.csr_array(np.array([[2, 1, 3], [0, 5, 0]], dtype=np.float32))
    assert np.array_equal(
        renormalize_rows(counts, np.array([True, False, True])).toarray(), counts.toarray()
    )


def test_scale_heldout_scores_spreads_scores_of_part_of_the_rows() -> None:
    scores = np.array([[1, -2], [0, 4]], dtype=np.float32)
    assert np.array_equal(scale_heldout_scores(scores, 1.0), scores)
    np.testing.assert_allclose(scale_heldout_scores(scores, 1 / 3), 3**0.1 * scores, rtol=1e-6)


def test_heldout_calibration_of_no_rows_is_the_usual_one() -> None:
    none = HeldOutScores(np.zeros(0, dtype=np.intp), np.zeros((0, 2), dtype=np.float32))
    labels, costs = Labels.from_topics(np.array([0, 1])), np.ones(2, dtype=np.float32)
    assert none.calibration(labels, costs) == DEFAULT_CALIBRATION


@pytest.mark.parametrize(("n_different", "together"), [(9, False), (11, True)])
def test_heldout_rows_include_all_copies_unless_nearly_all_are_copies(
    n_different: int, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = np.arange(100) % n_different
    X = sp.csr_array(np.eye(n_different, dtype=np.float32)[copies])
    y = copies % 2
    problem = LinearProblem.from_rows(X, Labels.from_topics(y), FitContext(2))
    rows = np.arange(100)
    found = HeldOutFit.from_rows(problem, rows, rows, None).score()
    monkeypatch.setattr(linear_problem, "group_equal_rows", lambda X: np.arange(X.shape[0]))
    apart = HeldOutFit.from_rows(problem, rows, rows, None).score()
    assert np.array_equal(found.scores, apart.scores) != together
    # A row whose copies are learned from is known.
    assert (apart.scores.argmax(axis=1) == y[apart.rows]).mean() == 1
    assert ((found.scores.argmax(axis=1) == y[found.rows]).mean() < 0.9) == together


def test_group_equal_rows_gives_equal_rows_one_number() -> None:
    some = sp.random_array((300, 50), density=0.1, format="csr", dtype=np.float32, rng=0)
    rows = np.random.default_rng(0).integers(0, 300, 9000)
    X = some[rows]
    expected = np.unique(X.toarray(), axis=0, return_inverse=True)[1].ravel()
    found = group_equal_rows(X)
    pairs = np.unique(np.stack([found, expected]), axis=1)
    assert pairs.shape[1] == len(set(found.tolist())) == len(set(expected.tolist()))


# Last rows of a single pass ---------------------------------------------------------------------

SINGLE_PASS: dict[str, Any] = {
    "passes": 1,
    "clean": False,
    "limits": FitLimits(few_rows=0, many_rows=100, max_scores=2000),
}
ROWS, TOPICS = make_up(1200, n_topics=8)
LABELS = Labels.from_topics(TOPICS)


def test_a_single_pass_holds_out_its_last_rows() -> None:
    heldout = fit_linear(ROWS, LABELS, FitContext(8), **SINGLE_PASS).heldout
    assert heldout.training is not None
    assert sorted([*heldout.rows, *heldout.training]) == [*range(1200)]
    assert len(heldout.rows) == 240  # at most a fifth
    assert (np.diff(heldout.rows) > 0).all()
    accuracy = (heldout.scores.argmax(axis=1) == TOPICS[heldout.rows]).mean()
    assert accuracy == pytest.approx(0.9, abs=0.1)


def test_last_rows_are_scored_by_the_weights_of_the_others() -> None:
    heldout = fit_linear(ROWS, LABELS, FitContext(8), **SINGLE_PASS).heldout
    others = fit_linear(ROWS, LABELS, FitContext(8, n_jobs=2), **SINGLE_PASS).heldout
    assert np.array_equal(others.scores, heldout.scores)
    # Rows that say the opposite when they are learned from don't change the scores before.
    changed = ROWS.copy()
    last = np.isin(np.arange(1200), heldout.rows).repeat(np.diff(changed.indptr))
    changed.data[last] *= -1
    scores = fit_linear(changed, LABELS, FitContext(8), **SINGLE_PASS).heldout
    assert np.array_equal(scores.rows, heldout.rows)
    biases = heldout.scores + scores.scores  # products change their sign
    np.testing.assert_allclose(biases, np.tile(biases[:1], (len(biases), 1)), atol=1e-5)


def test_last_rows_include_all_copies() -> None:
    twice, topics = sp.vstack([ROWS, ROWS], format="csr"), np.tile(TOPICS, 2)
    heldout = fit_linear(twice, Labels.from_topics(topics), FitContext(8), **SINGLE_PASS).heldout
    assert set(heldout.rows % 1200) == set(heldout.rows[: len(heldout.rows) // 2])


@pytest.mark.parametrize(
    ("passes", "cross_validate", "many_rows"),
    [(2, False, 100), (1, True, 100), (1, False, 1200)],
    ids=["several passes", "cross-validation", "few rows"],
)
def test_other_fits_hold_rows_out_of_another_fit(
    passes: int, cross_validate: bool, many_rows: int
) -> None:
    limits = FitLimits(few_rows=0, many_rows=many_rows)
    context = FitContext(8, cross_validate=cross_validate)
    training = fit_linear(ROWS, LABELS, context, passes=passes, limits=limits).heldout.training
    assert training is None if cross_validate else training is not None and len(training) == 400
