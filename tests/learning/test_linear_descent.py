"""How linear weights descend: minibatches, and steps against the formulas in float64."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from reference_descent import ReferenceDescent
from slugline.learning.labels import Labels
from slugline.learning.linear import steps
from slugline.learning.linear.steps import AdaGradDescent, Minibatches, SampleCosts

N_ROWS, N_COLUMNS, N_TOPICS, N_PASSES = 150, 40, 5, 3
RNG = np.random.default_rng(0)
X = sp.random_array((N_ROWS, N_COLUMNS), density=0.2, format="csr", dtype=np.float32, rng=1)
X.sort_indices()
Y = RNG.choice(N_TOPICS, N_ROWS, p=[0.4, 0.3, 0.15, 0.1, 0.05])
COSTS = SampleCosts(
    Labels.from_topics(Y),
    RNG.uniform(0.5, 2, N_ROWS).astype(np.float32),
    RNG.uniform(0.5, 4, N_ROWS).astype(np.float32),
)
ROWS = np.arange(N_ROWS)
START, RATES = 0.3, RNG.uniform(0.05, 0.5, N_COLUMNS + 1).astype(np.float32)


def batches_of(rows: np.ndarray = ROWS, seed: int = 0, n_passes: int = N_PASSES) -> Minibatches:
    return Minibatches(X, rows, np.random.default_rng(seed), n_passes)


def descent_of(topics: slice = slice(0, N_TOPICS)) -> AdaGradDescent:
    n_topics = topics.stop - topics.start
    return AdaGradDescent(
        topics,
        np.zeros((N_COLUMNS, n_topics), dtype=np.float32),
        np.full(n_topics, -1, dtype=np.float32),
        np.full(N_COLUMNS + 1, START, dtype=np.float32),
        COSTS,
        RATES,
    )


# Minibatches ------------------------------------------------------------------------------------


def test_passes_take_each_row_once() -> None:
    some = np.flatnonzero(RNG.random(N_ROWS) < 0.9)
    seen = Counter(
        (number, row) for number, rows in batches_of(some).passes(0, None) for row in rows.tolist()
    )
    assert seen == Counter((number, row) for number in range(N_PASSES) for row in some.tolist())


def test_passes_take_the_same_minibatches_in_an_order_set_by_the_seed() -> None:
    def order(seed: int) -> list[list[tuple[int, ...]]]:
        passes: list[list[tuple[int, ...]]] = [[] for _ in range(8)]
        for number, rows in batches_of(seed=seed, n_passes=8).passes(0, None):
            passes[number].append(tuple(rows.tolist()))
        return passes

    one = order(0)
    assert {frozenset(each) for each in one} == {frozenset(one[0])}
    assert len({tuple(each) for each in one}) > 1
    assert order(0) == one
    assert order(1)[0] != one[0]


# Steps ------------------------------------------------------------------------------------------

needs_kernel = pytest.mark.skipif(
    steps.kernel is None, reason="the kernel is not built: there was no compiler"
)
LEARNED = ("weights", "biases", "sums", "highest", "right")


@pytest.fixture(params=[pytest.param("1", marks=needs_kernel), "0"], ids=["kernel", "numpy"])
def by_either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUGLINE_KERNEL", request.param)


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("by_either")
def test_descent_follows_the_formulas() -> None:
    batches, descent = batches_of(), descent_of()
    reference = ReferenceDescent(
        np.zeros((N_COLUMNS, N_TOPICS)), np.full(N_TOPICS, -1), START, RATES
    )
    costs = np.repeat(COSTS.negative[:, np.newaxis], N_TOPICS, axis=1).astype(np.float64)
    costs[ROWS, Y] = COSTS.positive
    before = np.zeros((N_ROWS, N_TOPICS))
    for number, rows in batches.passes(0, None):
        dense = X[rows].toarray().astype(np.float64)
        if number == 0:
            before[rows] = reference.scores(dense)
        reference.step(dense, Y[rows], costs[rows])

    assert descent.run(batches) is descent

    assert_close(descent.weights, reference.weights[:-1])
    assert_close(descent.biases, reference.weights[-1])
    assert_close(descent.sums, reference.sums)
    assert_close(descent.highest, before.max(axis=1))
    assert_close(descent.right, before[ROWS, Y])
    for array in (descent.weights, descent.biases, descent.sums):
        assert array.dtype == np.float32


@pytest.mark.usefixtures("by_either")
def test_descent_tracks_scores_of_its_own_topics() -> None:
    batches = batches_of()
    descent, whole = descent_of(slice(1, 3)).run(batches), descent_of().run(batches)
    assert np.array_equal(descent.right > -np.inf, (Y == 1) | (Y == 2))
    assert (descent.highest >= descent.right).all()
    first = batches_of(n_passes=1)
    (_, rows) = next(iter(first.passes(0, None)))  # scored with the initial weights
    assert (descent.highest[rows] == -1).all()
    assert (whole.right[rows] == -1).all()


@pytest.mark.usefixtures("by_either")
def test_descent_can_pause_between_passes() -> None:
    batches = batches_of()
    at_once, paused = descent_of().run(batches), descent_of()
    for first, last in ((0, 1), (1, 2), (2, None)):
        paused.run(batches, first, last)
    for name in LEARNED:
        assert np.array_equal(getattr(paused, name), getattr(at_once, name))


@pytest.mark.usefixtures("by_either")
def test_descent_is_the_same_without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    cached = descent_of().run(batches_of())
    released = descent_of()
    batches = batches_of()
    released.run(batches, 0, 1)
    batches.release()
    released.run(batches, 1, None)
    monkeypatch.setattr(steps, "_MAX_GROUPED_ENTRIES", 0)
    by_call = descent_of().run(batches_of())
    for name in LEARNED:
        assert np.array_equal(getattr(released, name), getattr(cached, name))
        assert np.array_equal(getattr(by_call, name), getattr(cached, name))


@pytest.mark.usefixtures("by_either")
def test_descents_of_any_number_of_topics_share_minibatches() -> None:
    batches = batches_of()
    for n_topics in (8, 7, 9, 1):
        topics = slice(0, n_topics)
        shared, alone = descent_of(topics).run(batches), descent_of(topics).run(batches_of())
        for name in LEARNED:
            assert np.array_equal(getattr(shared, name), getattr(alone, name))


@needs_kernel
@pytest.mark.parametrize("n_topics", [1, 2, 7, 8, 9, 16, 25, 32, 41])
@pytest.mark.parametrize("n_rows", [1, 64, 500])
@pytest.mark.parametrize("several", [False, True])
def test_kernel_descends_as_numpy_does(
    n_topics: int, n_rows: int, several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(n_rows)
    X = sp.random_array((n_rows, 300), density=0.1, format="csr", dtype=np.float32, rng=rng)
    X.sort_indices()
    # Some are of no topic of the descent.
    labels = Labels.from_topics(rng.integers(0, n_topics + 4, n_rows))
    if several:
        labels = Labels.from_indicator(sp.csr_array(rng.random((n_rows, n_topics + 4)) < 0.3))
    costs = SampleCosts(
        labels,
        rng.uniform(0.5, 2, n_rows).astype(np.float32),
        rng.uniform(0.5, 2, len(labels.topics)).astype(np.float32),
    )
    learned = []
    for setting in ("1", "0"):
        monkeypatch.setenv("SLUGLINE_KERNEL", setting)
        descent = AdaGradDescent(
            slice(2, 2 + n_topics),
            np.zeros((300, n_topics), dtype=np.float32),
            np.full(n_topics, -1, dtype=np.float32),
            np.full(301, START, dtype=np.float32),
            costs,
            np.full(301, 0.3, dtype=np.float32),
        )
        descent.run(Minibatches(X, np.arange(n_rows), np.random.default_rng(0), N_PASSES))
        learned.append([getattr(descent, name) for name in LEARNED])
    for ours, theirs in zip(*learned, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


ROW_ARRAYS: dict[str, Any] = {
    "values": np.ones(3, dtype=np.float32),
    "columns": np.array([0, 2, 2], dtype=np.int32),
    "starts": np.array([0, 1, 3]),
    "rows": np.array([1, 0], dtype=np.int32),
    "sizes": np.array([2]),
}


def group(n_columns: int = 3, **other: Any) -> tuple[bytes, bytes, bytes, bytes]:
    values, columns, starts, rows, sizes = (ROW_ARRAYS | other).values()
    return steps.kernel.group_rows(values, columns, starts, rows, sizes, n_columns)


def arrays(**other: Any) -> list[Any]:
    grouped = dict(zip(("of_columns", "places", "named", "bounds"), group(), strict=True))
    of_rows = {
        **ROW_ARRAYS,
        "grouped": tuple((grouped | other)[name] for name in grouped),
        "numbers": np.array([0]),
        "y": np.array([0, 1]),
        "y_starts": np.array([0, 1, 2]),
        "others": np.ones(2, dtype=np.float32),
        "own": np.ones(2, dtype=np.float32),
        "rates": np.ones(4, dtype=np.float32),
        "weights": np.zeros((3, 8), dtype=np.float32),
        "biases": np.zeros(8, dtype=np.float32),
        "sums": np.ones(4, dtype=np.float32),
        "highest": None,
        "right": None,
        "first_topic": 0,
    }
    return [other.get(name, array) for name, array in of_rows.items()]


@needs_kernel
def test_rows_are_grouped_by_column() -> None:
    X = sp.csr_array(np.array([[1, 0, 2], [0, 3, 4], [5, 0, 0]], dtype=np.float32))
    values, places, columns, bounds = (
        np.frombuffer(part, dtype)
        for part, dtype in zip(
            steps.kernel.group_rows(
                X.data,
                X.indices.astype(np.int32),
                X.indptr.astype(np.int64),
                np.array([2, 1, 0], dtype=np.int32),
                np.array([1, 2]),
                3,
            ),
            (np.float32, np.uint8, np.int32, np.int64),
            strict=True,
        )
    )
    assert values.tolist() == [5, 1, 3, 4, 2]
    assert places.tolist() == [128, 128 + 1, 128, 0, 128 + 1]
    assert columns.tolist() == [0, 0, 1, 2]
    assert bounds.tolist() == [0, 0, 1, 1, 4, 5]


@needs_kernel
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"columns": np.array([0, 3, 2], dtype=np.int32)}, "a column that there is not"),
        ({"columns": np.array([0, -1, 2], dtype=np.int32)}, "a column that there is not"),
        ({"rows": np.array([1, 2], dtype=np.int32)}, "a row that there is not"),
        ({"rows": np.array([1, -1], dtype=np.int32)}, "a row that there is not"),
        ({"columns": np.array([0], dtype=np.int32)}, "do not fit together"),
        ({"starts": np.array([0, 1, 4])}, "do not fit together"),
        ({"starts": np.array([0, 4, 2])}, "do not fit together"),
        ({"starts": np.zeros(0, dtype=np.int64)}, "do not fit together"),
        ({"sizes": np.array([3])}, "do not fit together"),
        ({"sizes": np.array([0, 2])}, "do not fit together"),
        ({"n_columns": -1}, "do not fit together"),
    ],
)
def test_kernel_groups_no_arrays_that_do_not_fit(wrong: dict[str, Any], words: str) -> None:
    group()
    with pytest.raises(ValueError, match=words):
        group(**wrong)


@needs_kernel
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"columns": np.array([0, 3, 2], dtype=np.int32)}, "a column that there is not"),
        ({"columns": np.array([0, -1, 2], dtype=np.int32)}, "a column that there is not"),
        ({"named": np.array([3, 2], dtype=np.int32).tobytes()}, "a column that there is not"),
        ({"named": np.array([-1, 2], dtype=np.int32).tobytes()}, "a column that there is not"),
        ({"places": bytes([128, 0, 2])}, "a column that there is not"),
        ({"places": bytes([128, 2, 129])}, "a column that there is not"),
        ({"places": bytes([0, 0, 129])}, "a column that there is not"),
        ({"places": bytes([128, 129, 0])}, "a column that there is not"),
        ({"rows": np.array([1, 2], dtype=np.int32)}, "a row that there is not"),
        ({"places": bytes(2)}, "do not fit together"),
        ({"of_columns": bytes(8)}, "do not fit together"),
        ({"named": bytes(4)}, "do not fit together"),
        ({"named": bytes(7)}, "do not fit together"),
        ({"bounds": bytes(8)}, "do not fit together"),
        ({"bounds": np.array([0, 0, 2, 4]).tobytes()}, "do not fit together"),
        ({"bounds": np.array([0, 3, 2, 2]).tobytes()}, "do not fit together"),
        ({"bounds": np.array([0, -1, 2, 3]).tobytes()}, "do not fit together"),
        ({"numbers": np.array([1])}, "do not fit together"),
        ({"numbers": np.array([-1])}, "do not fit together"),
        ({"starts": np.array([0, 1, 4])}, "do not fit together"),
        ({"starts": np.array([0, 4, 2])}, "do not fit together"),
        ({"y_starts": np.array([0, 1, 3])}, "do not fit together"),
        ({"y_starts": np.array([0, 3, 2])}, "do not fit together"),
        ({"y_starts": np.array([0, 2])}, "do not fit together"),
        ({"sizes": np.array([3])}, "do not fit together"),
        ({"sizes": np.array([0, 2])}, "do not fit together"),
        ({"weights": np.zeros((2, 8), dtype=np.float32)}, "do not fit together"),
        ({"biases": np.zeros(0, dtype=np.float32)}, "do not fit together"),
        ({"grouped": (b"", b"")}, "do not fit together"),
        ({"grouped": np.zeros(4)}, "do not fit together"),
        ({"rates": np.ones(7, dtype=np.float32)}, "do not fit together"),
        ({"highest": np.zeros(2, dtype=np.float32)}, "do not fit together"),
        ({"own": np.ones(1, dtype=np.float32)}, "do not fit together"),
        ({"first_topic": -1}, "do not fit together"),
    ],
)
def test_kernel_rejects_arrays_that_do_not_fit(wrong: dict[str, Any], words: str) -> None:
    steps.kernel.descend(*arrays())
    with pytest.raises(ValueError, match=words):
        steps.kernel.descend(*arrays(**wrong))
