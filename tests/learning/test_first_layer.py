"""The first layer of a net: the kernel and SciPy give the same results except for rounding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from slugline.learning.net import first_layer
from slugline.learning.net.first_layer import InputRows
from slugline.learning.net.layers import Dense
from slugline.learning.net.network import Network
from slugline.learning.net.optimizers import RMSprop

needs_kernel = pytest.mark.skipif(
    first_layer.kernel is None, reason="the kernel is not built: there was no compiler"
)

N_ROWS, N_COLUMNS = 60, 40
#: Fewer units than a register has, as many, and more than go through together.
WIDTHS = [1, 7, 8, 46, 64, 70, 130]
ROWS = np.random.default_rng(1).integers(0, N_ROWS, 25).astype(np.int32)


def some_rows(seed: int = 0) -> sp.csr_array:
    """Return rows of which some are empty, and some have columns twice or in any order."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 12, N_ROWS)
    columns = rng.zipf(1.5, lengths.sum()) % N_COLUMNS
    values = rng.normal(size=len(columns)).astype(np.float32)
    indptr = np.concatenate([[0], lengths.cumsum()])
    return sp.csr_array((values, columns, indptr), shape=(N_ROWS, N_COLUMNS))


def random_floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).normal(size=shape).astype(np.float32)


# Outputs ----------------------------------------------------------------------------------------


@needs_kernel
@pytest.mark.parametrize("n_units", WIDTHS)
def test_batch_product_is_that_of_scipy(n_units: int) -> None:
    X, weights = some_rows(), random_floats(N_COLUMNS, n_units)
    product = InputRows(X).take(ROWS) @ weights
    np.testing.assert_array_equal(product, X[ROWS] @ weights)


def test_batch_product_of_no_rows_is_empty() -> None:
    batch = InputRows(some_rows()).take(slice(0, 0))
    assert (batch @ random_floats(N_COLUMNS, 3)).shape == (0, 3)


def test_take_returns_the_rows_of_a_slice() -> None:
    X = some_rows()
    batch = InputRows(X).take(slice(55, 80))
    np.testing.assert_array_equal(batch.csr().toarray(), X.toarray()[55:])


# Steps ------------------------------------------------------------------------------------------


def descend(
    monkeypatch: pytest.MonkeyPatch,
    kernel: str,
    n_units: int,
    n_parts: int = 1,
    *,
    is_sorted: bool = False,
) -> tuple[np.ndarray, RMSprop]:
    """Take some steps of RMSprop, each with some of the rows."""
    monkeypatch.setenv("SLUGLINE_KERNEL", kernel)
    optimizer, weights = RMSprop(0.01, rho=0.8), random_floats(N_COLUMNS, n_units)
    rng, X = np.random.default_rng(3), some_rows()
    if is_sorted:
        X.sort_indices()
    with PartedRows(X, n_parts) as inputs:
        assert X.has_sorted_indices == is_sorted
        for _ in range(6):
            batch = inputs.take(rng.permutation(N_ROWS)[:8])
            optimizer.begin_step()
            optimizer.update_first_layer(0, weights, batch, random_floats(8, n_units))
    return weights, optimizer


class PartedRows(InputRows):
    """Rows of which even small batches are divided among all threads."""

    def count_parts(self, n_rows: int, n_units: int) -> int:
        del n_rows, n_units
        return self.n_threads


@needs_kernel
@pytest.mark.parametrize("is_sorted", [False, True])
@pytest.mark.parametrize("n_parts", [1, 2, 5])
@pytest.mark.parametrize("n_units", WIDTHS)
def test_rmsprop_moves_the_first_layer_as_numpy_does(
    monkeypatch: pytest.MonkeyPatch, n_units: int, n_parts: int, is_sorted: bool
) -> None:
    weights, optimizer = descend(monkeypatch, "1", n_units, n_parts, is_sorted=is_sorted)
    expected, by_numpy = descend(monkeypatch, "0", n_units, is_sorted=is_sorted)
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-5)
    n_missed = optimizer._step - optimizer._last_step[0]
    caught_up = optimizer._mean_square[0] * 0.8 ** n_missed[:, np.newaxis]
    np.testing.assert_allclose(caught_up, by_numpy._mean_square[0], rtol=1e-5, atol=1e-5)
    assert (weights != random_floats(N_COLUMNS, n_units)).any()


@needs_kernel
def test_network_learns_the_same_with_and_without_the_kernel_and_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Batches are large enough for two threads.
    X = sp.random_array((600, 900), density=0.05, format="csr", dtype=np.float32, rng=0)
    y = np.arange(600) % 3
    fits = []
    for kernel, n_jobs in (("0", 1), ("1", 1), ("1", 2)):
        monkeypatch.setenv("SLUGLINE_KERNEL", kernel)
        network = Network([Dense(64, "relu"), Dense(3, "softmax")])
        history = network.fit(X, y, epochs=2, batch_size=512, n_jobs=n_jobs, validation_data=(X, y))
        fits.append((history.history, [weights.tolist() for weights in network.weights]))
    assert InputRows(X, 2).count_parts(512, 64) == 2
    assert fits[1] == fits[2]
    for ours, theirs in zip(fits[0][1], fits[1][1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_column_bounds_divide_the_work() -> None:
    columns = [0] * 60 + [1, 2, 3] * 20
    X = sp.csr_array((np.ones(120, dtype=np.float32), columns, np.arange(0, 121, 2)), shape=(60, 9))
    inputs = InputRows(X, 2)
    assert inputs.column_bounds(1, 60) == [0, 9]
    # Of 60 rows, the first column has 60 entries and an update that counts as 16; others 20 and 16.
    assert inputs.column_bounds(2, 60) == [0, 1, 9]
    assert inputs.column_bounds(3, 60) == [0, 0, 2, 9]


# What the kernel refuses ------------------------------------------------------------------------


def arguments(**changes: Any) -> list[Any]:
    """Return the arguments of `kernel.descend`, some of them changed."""
    X = InputRows(some_rows())
    names = {
        "values": X.arrays[0],
        "columns": X.arrays[1],
        "starts": X.arrays[2],
        "rows": ROWS,
        "delta": random_floats(len(ROWS), 3),
        "weights": random_floats(N_COLUMNS, 3),
        "mean_squares": np.zeros((N_COLUMNS, 3), dtype=np.float32),
        "last_steps": np.zeros(N_COLUMNS, dtype=np.int32),
        "decays": np.ones(3, dtype=np.float32),
        "n_units": 3,
        "step": 2,
        "rate": 0.1,
        "complement": 0.1,
        "epsilon": 0.1,
        "is_sorted": False,
        "first": 0,
        "stop": N_COLUMNS,
    }
    return list((names | changes).values())


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


COLUMNS, STARTS = (InputRows(some_rows()).arrays[number] for number in (1, 2))


@needs_kernel
@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"values": random_floats(4)}, "do not fit together"),
        ({"starts": STARTS[:0]}, "do not fit together"),
        ({"delta": random_floats(3, 3)}, "do not fit together"),
        ({"weights": random_floats(N_COLUMNS + 1, 3)}, "do not fit together"),
        ({"mean_squares": random_floats(3, 3)}, "do not fit together"),
        ({"last_steps": np.zeros(3, dtype=np.int32)}, "do not fit together"),
        ({"n_units": 0}, "do not fit together"),
        ({"n_units": 7}, "do not fit together"),
        ({"first": N_COLUMNS + 1}, "do not fit together"),
        ({"first": -1}, "do not fit together"),
        ({"first": 3, "stop": 2}, "do not fit together"),
        ({"stop": N_COLUMNS + 1}, "do not fit together"),
        ({"rows": np.full(len(ROWS), N_ROWS, dtype=np.int32)}, "a row that there is not"),
        ({"rows": np.full(len(ROWS), -1, dtype=np.int32)}, "a row that there is not"),
        ({"starts": STARTS[::-1].copy()}, "a row that there is not"),
        ({"starts": STARTS * 2}, "a row that there is not"),
        ({"starts": STARTS - 10_000}, "a row that there is not"),
        ({"columns": COLUMNS + N_COLUMNS}, "a column that there is not"),
        ({"columns": COLUMNS - N_COLUMNS}, "a column that there is not"),
        ({"step": 3}, "a step that there is not"),
        ({"step": -1}, "a step that there is not"),
        ({"rows": ROWS.astype(np.int64)}, "an array of another type"),
        ({"weights": read_only(random_floats(N_COLUMNS, 3))}, "read-only|not writable"),
    ],
)
def test_kernel_rejects_what_does_not_fit(wrong: dict[str, Any], words: str) -> None:
    first_layer.kernel.descend(*arguments())
    with pytest.raises(ValueError, match=words):
        first_layer.kernel.descend(*arguments(**wrong))


@needs_kernel
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({4: random_floats(3, 3)}, "a column that there is not"),
        ({5: random_floats(3, 3)}, "do not fit together"),
        ({3: ROWS + np.int32(N_ROWS)}, "a row that there is not"),
    ],
)
def test_kernel_rejects_products_that_do_not_fit(changes: dict[int, Any], words: str) -> None:
    X = InputRows(some_rows())
    own: list[Any] = [*X.arrays, ROWS, random_floats(N_COLUMNS, 3), random_floats(len(ROWS), 3), 3]
    first_layer.kernel.multiply(*own)
    for place, value in changes.items():
        own[place] = value
    with pytest.raises(ValueError, match=words):
        first_layer.kernel.multiply(*own)


@needs_kernel
def test_run_parts_raises_the_error_of_any_thread() -> None:
    def work(part: int) -> None:
        if part == 1:
            raise MemoryError

    with InputRows(some_rows(), 2) as inputs, pytest.raises(MemoryError):
        inputs.run_parts(work, 2)
