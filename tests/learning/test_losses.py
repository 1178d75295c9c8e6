"""Crossentropy: one value and one derivative, whichever way the topics are given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss

from slugline.errors import DataError, OptionError
from slugline.learning.calibration import log_softmax, softmax
from slugline.learning.net.optimizers import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    get_loss,
)

N_ROWS, N_TOPICS = 6, 4
RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(N_ROWS, N_TOPICS)).astype(np.float32) * 5
TOPICS = np.array([0, 3, 3, 1, 2, 0])
ONE_HOT = np.eye(N_TOPICS, dtype=np.float32)[TOPICS]
SOFT = RNG.dirichlet(np.ones(N_TOPICS), N_ROWS).astype(np.float32)

CASES = [
    pytest.param(SparseCategoricalCrossentropy(), TOPICS, id="integers"),
    pytest.param(CategoricalCrossentropy(), ONE_HOT, id="one-hot"),
    pytest.param(CategoricalCrossentropy(), SOFT, id="distributions"),
]


def crossentropy(scores: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Compute each row's loss from its definition, in float64."""
    proba = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    targets = np.eye(N_TOPICS)[y] if y.ndim == 1 else y
    return -(targets * np.log(proba)).sum(axis=1)


@pytest.mark.parametrize(("loss", "y"), CASES)
def test_loss_values_are_those_of_the_definition(
    loss: CategoricalCrossentropy, y: np.ndarray
) -> None:
    values = loss.values(log_softmax(SCORES), y)
    np.testing.assert_allclose(values, crossentropy(SCORES.astype(np.float64), y), rtol=1e-5)
    assert values.dtype == np.float32


def test_loss_values_average_to_the_log_loss_of_scikit_learn() -> None:
    proba = softmax(SCORES.astype(np.float64))
    mean = SparseCategoricalCrossentropy().values(log_softmax(SCORES), TOPICS).mean()
    assert mean == pytest.approx(log_loss(TOPICS, proba, labels=range(N_TOPICS)), rel=1e-5)


@pytest.mark.parametrize(("loss", "y"), CASES)
def test_loss_gradients_are_those_of_finite_differences(
    loss: CategoricalCrossentropy, y: np.ndarray
) -> None:
    scores, eps = SCORES.astype(np.float64), 1e-6
    expected = np.empty_like(scores)
    for topic in range(N_TOPICS):
        shift = eps * np.eye(N_TOPICS)[topic]
        rise = crossentropy(scores + shift, y) - crossentropy(scores - shift, y)
        expected[:, topic] = rise / (2 * eps)
    gradient = loss.gradient(softmax(SCORES), y)
    np.testing.assert_allclose(gradient, expected, atol=1e-6)
    assert gradient.dtype == np.float32


@pytest.mark.parametrize(("loss", "y"), CASES)
def test_loss_of_extreme_scores_is_finite(loss: CategoricalCrossentropy, y: np.ndarray) -> None:
    scores = np.full((N_ROWS, N_TOPICS), -1e4, dtype=np.float32)
    scores[:, 1] = 1e4
    assert np.isfinite(loss.values(log_softmax(scores), y)).all()
    assert np.isfinite(loss.gradient(softmax(scores), y)).all()


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        pytest.param("sparse_categorical_crossentropy", [2, 0, 3], id="list of integers"),
        pytest.param(
            "sparse_categorical_crossentropy", np.array([2, 0, 3], dtype=np.uint8), id="uint8"
        ),
        pytest.param("categorical_crossentropy", SOFT[:3].tolist(), id="lists"),
        pytest.param("categorical_crossentropy", SOFT[:3].astype(np.float64), id="float64"),
    ],
)
def test_check_targets_takes_any_container(loss: str, y: Any) -> None:
    targets = get_loss(loss).check_targets(y, 3, 4)
    np.testing.assert_allclose(targets, y, rtol=1e-6)


def test_categorical_crossentropy_takes_one_hot_rows_as_topics() -> None:
    loss, one_hot = CategoricalCrossentropy(), np.eye(N_TOPICS)[TOPICS]
    y = loss.check_targets(one_hot, N_ROWS, N_TOPICS)
    assert y.tolist() == TOPICS.tolist()
    log_proba, rows = loss.log_proba(SCORES), one_hot.astype(np.float32)
    assert loss.values(log_proba, y).tobytes() == loss.values(log_proba, rows).tobytes()
    assert loss.hits(log_proba, y).tolist() == loss.hits(log_proba, rows).tolist()
    found, expected = (loss.gradient(np.exp(log_proba), targets) for targets in (y, rows))
    assert found.tobytes() == expected.tobytes()


ONE_HOT_SHAPE = (
    "`y` has shape {}, but categorical_crossentropy needs one-hot rows of shape (3, 4); use "
    "one_hot(y, 4), or sparse_categorical_crossentropy for integer topics."
)
NO_DISTRIBUTION = (
    "a row of `y` is not a probability distribution; its values must be at least 0 and sum to 1."
)
INTEGERS = (
    "`y` has shape {} and type {}, but sparse_categorical_crossentropy needs integer topics of "
    "shape (3,); use categorical_crossentropy for one-hot rows."
)
RANGE = (
    "`y` runs from {} to {}, but topics run from 0 to 3; give the last layer one unit for each "
    "topic."
)


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        ("categorical", [0, 1, 2], ONE_HOT_SHAPE.format("(3,)")),
        ("categorical", np.eye(5)[:3], ONE_HOT_SHAPE.format("(3, 5)")),
        ("categorical", np.zeros((3, 4)), NO_DISTRIBUTION),
        ("categorical", [[2, -1, 0, 0]] * 3, NO_DISTRIBUTION),
        ("categorical", np.full((3, 4), np.nan), NO_DISTRIBUTION),
        ("sparse_categorical", np.eye(4)[:3], INTEGERS.format("(3, 4)", "float64")),
        ("sparse_categorical", [0, 1], INTEGERS.format("(2,)", "int64")),
        ("sparse_categorical", [0.0, 1.0, 2.0], INTEGERS.format("(3,)", "float64")),
        ("sparse_categorical", ["earn", "acq", "tin"], INTEGERS.format("(3,)", "<U4")),
        ("sparse_categorical", [0, 4, 1], RANGE.format(0, 4)),
        ("sparse_categorical", [0, -1, 1], RANGE.format(-1, 1)),
    ],
    ids=[
        "integers for one-hot",
        "too many topics",
        "no mass",
        "negative mass",
        "NaN",
        "one-hot for integers",
        "too few",
        "floats",
        "names",
        "too large",
        "negative",
    ],
)
def test_check_targets_rejects_another_form(loss: str, y: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        get_loss(f"{loss}_crossentropy").check_targets(y, 3, 4)
    assert str(caught.value) == message


def test_get_loss_rejects_an_unknown_loss() -> None:
    with pytest.raises(OptionError) as caught:
        get_loss("mse")
    assert str(caught.value) == (
        "`loss` is 'mse'; give one of binary_crossentropy, categorical_crossentropy, "
        "sparse_categorical_crossentropy."
    )


# Several topics for a row -------------------------------------------------------------------------

SEVERAL = (RNG.random((N_ROWS, N_TOPICS)) < 0.4).astype(int)


def test_binary_crossentropy_sums_the_losses_of_topics() -> None:
    loss = BinaryCrossentropy()
    y = loss.check_targets(SEVERAL, N_ROWS, N_TOPICS)
    scores = SCORES.astype(np.float64)
    proba = 1 / (1 + np.exp(-scores))
    expected = -np.where(SEVERAL, np.log(proba), np.log(1 - proba)).sum(axis=1)
    values = loss.values(loss.log_proba(SCORES), y)
    np.testing.assert_allclose(values, expected, rtol=1e-3)
    assert values.dtype == np.float32
    gradient = loss.gradient(np.exp(loss.log_proba(SCORES)), y)
    np.testing.assert_allclose(gradient, proba - SEVERAL, atol=1e-6)
    smooth = loss.check_targets(SEVERAL * 0.8 + 0.1, N_ROWS, N_TOPICS)
    expected = -(np.log(proba) * smooth + np.log(1 - proba) * (1 - smooth)).sum(axis=1)
    np.testing.assert_allclose(loss.values(loss.log_proba(SCORES), smooth), expected, rtol=1e-3)
    gradient = loss.gradient(np.exp(loss.log_proba(SCORES)), smooth)
    np.testing.assert_allclose(gradient, proba - smooth, atol=1e-6)
    right = ((scores > 0) == SEVERAL).all(axis=1)
    for labels in (y, smooth):
        assert loss.hits(loss.log_proba(SCORES), labels).tolist() == right.tolist()


def test_binary_crossentropy_of_infinitely_wrong_scores_is_finite() -> None:
    loss = BinaryCrossentropy()
    log_proba = loss.log_proba(np.array([[1e30]], dtype=np.float32))
    assert 10 < loss.values(log_proba, np.array([[False]]))[0] < 20
