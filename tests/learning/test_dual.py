"""Weights at the minimum by steps in the space of rows, compiled and by NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from slugline.learning.linear import dual, sums
from slugline.learning.linear.dual import DualProblem, find_coefficients, fit_all_rows, gram_matrix
from slugline.learning.linear.newton import Iterate, NewtonDescent, Preconditioner, minimize
from slugline.learning.linear.sums import LocalBlock, OneVsRestTargets, RowBlock

needs_kernel = pytest.mark.skipif(dual.kernel is None, reason="there is no compiler")
N_TOPICS = 5


def problem(
    n_rows: int, density: float = 0.1, n_columns: int = 120, seed: int = 0
) -> tuple[RowBlock, np.ndarray, OneVsRestTargets]:
    """Return a block of rows with costs, the rates of its columns, and the costs of topics."""
    rng = np.random.default_rng((seed, n_rows))
    X = sp.random_array((n_rows, n_columns), density=density, rng=rng, dtype=np.float32)
    common = np.full((n_rows, 1), 0.3, dtype=np.float32)
    y = rng.integers(0, N_TOPICS, n_rows).astype(np.int32)
    rows = sp.csr_array(sp.hstack([common, X], format="csr"))
    block = RowBlock.from_csr(rows, y, np.zeros(n_rows, dtype=np.uint64))
    block = block._replace(costs=rng.uniform(0.2, 2, n_rows).astype(np.float32))
    rates = rng.uniform(0.1, 3, n_columns + 1).astype(np.float32)
    targets = OneVsRestTargets(
        np.arange(N_TOPICS, dtype=np.int32),
        np.ones(N_TOPICS, dtype=np.float32),
        np.linspace(1, 3, N_TOPICS, dtype=np.float32),
    )
    return block, rates, targets


def minimum(n_rows: int, **options: Any) -> Iterate:
    block, rates, targets = problem(n_rows, **options)
    return DualProblem.from_rows(block, targets, rates).minimum(slice(0, N_TOPICS))


def test_gram_matrix_has_the_products_of_scaled_rows_and_of_a_bias() -> None:
    block, rates, _ = problem(40)
    scaled = block.to_csc().toarray() * np.sqrt(rates)
    np.testing.assert_allclose(gram_matrix(block, rates), scaled @ scaled.T + 1, rtol=1e-5)


@pytest.mark.parametrize("n_rows", [1, 7, 60, 200])
def test_minimum_is_that_of_newton_steps_in_the_space_of_weights(n_rows: int) -> None:
    block, rates, targets = problem(n_rows)
    squares = sums.column_squares(block)[0]
    preconditioner = Preconditioner.from_columns(rates.astype(np.float64), squares, n_rows)
    start = Iterate.initial(block.n_columns, N_TOPICS)
    descent = NewtonDescent(targets, preconditioner, start, tolerance=1e-5)
    for _ in minimize(LocalBlock(block), descent):
        pass
    found = minimum(n_rows)
    np.testing.assert_allclose(found.weights, descent.iterate.weights, rtol=1e-2, atol=3e-3)
    np.testing.assert_allclose(found.biases, descent.iterate.biases, rtol=1e-2, atol=3e-3)


@needs_kernel
@pytest.mark.parametrize("density", [0.0, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("n_rows", [1, 2, 8, 9, 63, 200])
def test_minimum_is_the_same_with_and_without_the_kernel(
    n_rows: int, density: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for has in (True, False):
        monkeypatch.setattr(dual, "_has_kernel", lambda has=has: has)
        found.append([array.tobytes() for array in minimum(n_rows, density=density)])
    assert found[0] == found[1]


def test_minimum_hardly_depends_on_the_order_of_rows() -> None:
    block, rates, targets = problem(150)
    order = np.random.default_rng(1).permutation(150)
    X = block.to_csc().tocsr()[order]
    shuffled = RowBlock.from_csr(X, block.y[order], block.keys)
    assert block.costs is not None
    shuffled = shuffled._replace(costs=block.costs[order])
    one, other = (
        DualProblem.from_rows(rows, targets, rates).minimum(slice(0, N_TOPICS))
        for rows in (block, shuffled)
    )
    np.testing.assert_allclose(one.weights, other.weights, atol=1e-3)


def test_coefficients_that_fit_all_rows_solve_their_equations() -> None:
    block, rates, targets = problem(70)
    assert block.costs is not None
    gram, signs = gram_matrix(block, rates), dual._signs(block, targets)
    coefficients = fit_all_rows(gram, signs, block.costs)
    scores = gram.astype(np.float64) @ coefficients.T - 1
    errors = coefficients / block.costs
    np.testing.assert_allclose(scores.T + errors, signs, atol=1e-4)


def test_minimum_does_not_depend_on_where_steps_start() -> None:
    block, rates, targets = problem(60)
    usual = DualProblem.from_rows(block, targets, rates)
    start = np.random.default_rng(2).normal(size=(N_TOPICS, 60)).astype(np.float32)
    other = DualProblem.from_rows(block, targets, rates, start)
    one, two = (found.minimum(slice(0, N_TOPICS)) for found in (usual, other))
    np.testing.assert_allclose(one.weights, two.weights, atol=1e-3)
    np.testing.assert_allclose(usual.coefficients, other.coefficients, atol=1e-3)
    again = DualProblem.from_rows(block, targets, rates, usual.coefficients)
    again.minimum(slice(1, 3))
    np.testing.assert_allclose(again.coefficients, usual.coefficients, atol=1e-3)


@pytest.mark.parametrize("cost", [0, 1e-30, 1e6])
def test_find_coefficients_are_finite_at_any_cost(cost: float) -> None:
    block, rates, _ = problem(30)
    gram = gram_matrix(block, rates)
    signs = np.where(block.y == 0, 1, -1).astype(np.float32)[np.newaxis]
    costs = np.ones((1, 30), dtype=np.float32)
    costs[0, ::3] = cost
    coefficients = fit_all_rows(gram, signs, costs[0])
    assert np.isfinite(coefficients).all()
    find_coefficients(gram, signs, costs, coefficients)
    assert np.isfinite(coefficients).all()
    assert (coefficients * signs >= -1e-3).all()
    if cost < 1:
        assert np.abs(coefficients[0, ::3]).max() <= 3 * cost


@needs_kernel
@pytest.mark.parametrize(
    "changes",
    [
        {"rows": np.array([0, 2], dtype=np.uint16)},
        {"rows": np.array([1, 0], dtype=np.uint16)},
        {"rows": np.array([0], dtype=np.uint16)},
        {"ends": np.array([1], dtype=np.int64)},
        {"ends": np.array([-1, 2], dtype=np.int64)},
        {"ends": np.array([3], dtype=np.int64)},
        {"table": np.zeros((1, 2), dtype=np.float32)},
        {"table": np.zeros((0, 0), dtype=np.float32)},
    ],
    ids=str,
)
def test_gram_rejects_arrays_that_do_not_fit(changes: dict[str, np.ndarray]) -> None:
    arrays: dict[str, Any] = {
        "values": np.ones(2, dtype=np.float32),
        "rows": np.array([0, 1], dtype=np.uint16),
        "ends": np.array([2], dtype=np.int64),
        "table": np.zeros((2, 2), dtype=np.float32),
    }
    assert dual.kernel is not None
    dual.kernel.gram(*arrays.values())
    assert arrays["table"].tolist() == [[1, 1], [1, 1]]
    with pytest.raises(ValueError, match="do not fit"):
        dual.kernel.gram(*(arrays | changes).values())


@needs_kernel
def test_factorize_and_solve_reject_arrays_that_do_not_fit() -> None:
    assert dual.kernel is not None
    for shape in ((0, 0), (1, 2)):
        with pytest.raises(ValueError, match="not square"):
            dual.kernel.factorize(np.ones(shape, dtype=np.float32), 0.1)
    square = np.ones((2, 2), dtype=np.float32)
    for factor, side in ((square, square[0, :1]), (square[:1].copy(), square)):
        with pytest.raises(ValueError, match="do not fit"):
            dual.kernel.solve(factor, side.copy())


@needs_kernel
@pytest.mark.parametrize("place", range(4))
def test_minimize_rejects_arrays_that_do_not_fit(place: int) -> None:
    arrays: list[Any] = [np.ones((2, 2), dtype=np.float32) for _ in range(4)]
    arrays[place] = np.ones((3, 1), dtype=np.float32)
    assert dual.kernel is not None
    with pytest.raises(ValueError, match="do not fit"):
        dual.kernel.minimize(*arrays, *[0.1] * 4, *[5] * 4)
