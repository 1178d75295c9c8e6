"""Rows that were left out, as if they were new."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from slugline.learning.calibration import DEFAULT_CALIBRATION
from slugline.learning.heldout import HeldOutScores
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear import fit as linear_fit
from slugline.learning.linear.fit import (
    LinearProblem,
    group_equal_rows,
    renormalize_rows,
    scale_heldout_scores,
    score_heldout_rows,
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
    found = score_heldout_rows(problem, rows, rows, None)
    monkeypatch.setattr(linear_fit, "group_equal_rows", lambda X: np.arange(X.shape[0]))
    apart = score_heldout_rows(problem, rows, rows, None)
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
