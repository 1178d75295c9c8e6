"""Weights at the minimum by steps in the space of rows, compiled and by NumPy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import scipy.sparse as sp

from slugline.learning.linear import dual
from slugline.learning.linear.dual import (
    DualProblem,
    Minimum,
    RowsByColumn,
    find_coefficients,
    fit_all_rows,
    gram_matrix,
)

needs_kernel = pytest.mark.skipif(dual.kernel is None, reason="there is no compiler")
N_TOPICS = 5


class FewRows(NamedTuple):
    """Rows with topics and costs, the costs of topics, and the rates of columns."""

    X: sp.csr_array
    y: np.ndarray
    costs: np.ndarray
    positive_costs: np.ndarray
    rates: np.ndarray

    @property
    def by_column(self) -> RowsByColumn:
        return RowsByColumn.from_csr(self.X)

    @property
    def signs(self) -> np.ndarray:
        return dual._signs(self.y, N_TOPICS)

    def minimum(self) -> Minimum:
        return DualProblem.from_rows(*self).minimum(slice(0, N_TOPICS))


def few_rows(n_rows: int, density: float = 0.1, n_columns: int = 120, seed: int = 0) -> FewRows:
    rng = np.random.default_rng((seed, n_rows))
    X = sp.random_array((n_rows, n_columns), density=density, rng=rng, dtype=np.float32)
    common = np.full((n_rows, 1), 0.3, dtype=np.float32)
    return FewRows(
        X=sp.csr_array(sp.hstack([common, X], format="csr")),
        y=rng.integers(0, N_TOPICS, n_rows),
        costs=rng.uniform(0.2, 2, n_rows).astype(np.float32),
        positive_costs=np.linspace(1, 3, N_TOPICS, dtype=np.float32),
        rates=rng.uniform(0.1, 3, n_columns + 1).astype(np.float32),
    )


def test_gram_matrix_has_the_products_of_scaled_rows_and_of_a_bias() -> None:
    rows = few_rows(40)
    scaled = rows.X.toarray() * np.sqrt(rows.rates)
    gram = gram_matrix(rows.by_column, rows.rates)
    np.testing.assert_allclose(gram, scaled @ scaled.T + 1, rtol=1e-5)


@pytest.mark.parametrize("n_rows", [1, 7, 60, 200])
def test_gradient_at_the_minimum_is_0(n_rows: int) -> None:
    rows = few_rows(n_rows)
    found, X = rows.minimum(), rows.X.toarray().astype(np.float64)
    signs, factors = rows.signs.T, rows.positive_costs
    costs = rows.costs[:, np.newaxis] * np.where(signs > 0, factors, 1)
    errors = np.maximum(0, 1 - signs * (X @ found.weights + found.biases))
    slopes = -2 * costs * signs * errors
    gradient = found.weights / rows.rates[:, np.newaxis] + X.T @ slopes
    np.testing.assert_allclose(gradient, 0, atol=3e-3)
    np.testing.assert_allclose(found.biases + 1 + slopes.sum(axis=0), 0, atol=3e-3)


@needs_kernel
@pytest.mark.parametrize("density", [0.0, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("n_rows", [1, 2, 8, 9, 63, 200])
def test_minimum_is_the_same_with_and_without_the_kernel(
    n_rows: int, density: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for has in (True, False):
        monkeypatch.setenv("SLUGLINE_KERNEL", str(int(has)))
        found.append(few_rows(n_rows, density).minimum())
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_minimum_hardly_depends_on_the_order_of_rows() -> None:
    rows, order = few_rows(150), np.random.default_rng(1).permutation(150)
    shuffled = rows._replace(X=rows.X[order], y=rows.y[order], costs=rows.costs[order])
    np.testing.assert_allclose(rows.minimum().weights, shuffled.minimum().weights, atol=1e-3)


def test_coefficients_that_fit_all_rows_solve_their_equations() -> None:
    rows = few_rows(70)
    gram = gram_matrix(rows.by_column, rows.rates)
    coefficients = fit_all_rows(gram, rows.signs, rows.costs)
    scores = gram.astype(np.float64) @ coefficients.T - 1
    errors = coefficients / rows.costs
    np.testing.assert_allclose(scores.T + errors, rows.signs, atol=1e-4)


def test_minimum_does_not_depend_on_where_steps_start() -> None:
    rows = few_rows(60)
    usual = DualProblem.from_rows(*rows)
    start = np.random.default_rng(2).normal(size=(N_TOPICS, 60)).astype(np.float32)
    other = replace(usual, coefficients=start)
    one, two = (found.minimum(slice(0, N_TOPICS)) for found in (usual, other))
    np.testing.assert_allclose(one.weights, two.weights, atol=1e-3)
    np.testing.assert_allclose(usual.coefficients, other.coefficients, atol=1e-3)


# Sums of rows by column ---------------------------------------------------------------------------


def test_column_sums_are_products_with_dense_rows() -> None:
    rows = few_rows(300, density=0.02)
    factors = np.random.default_rng(0).standard_normal((300, 9)).astype(np.float32)
    wanted = rows.X.toarray().T @ factors
    found = rows.by_column.column_sums(factors)
    np.testing.assert_allclose(found, wanted[rows.by_column.columns], rtol=1e-3, atol=1e-4)


def test_column_sums_of_rows_without_entries_are_none() -> None:
    empty = RowsByColumn.from_csr(sp.csr_array((3, 7), dtype=np.float32))
    assert empty.column_sums(np.ones((3, 9), dtype=np.float32)).shape == (0, 9)


# Coefficients -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cost", [0, 1e-30, 1e6])
def test_find_coefficients_are_finite_at_any_cost(cost: float) -> None:
    rows = few_rows(30)
    gram, signs = gram_matrix(rows.by_column, rows.rates), rows.signs[:1]
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
@pytest.mark.parametrize("place", range(4))
def test_minimize_rejects_arrays_that_do_not_fit(place: int) -> None:
    arrays: list[Any] = [np.ones((2, 2), dtype=np.float32) for _ in range(4)]
    arrays[place] = np.ones((3, 1), dtype=np.float32)
    assert dual.kernel is not None
    with pytest.raises(ValueError, match="do not fit"):
        dual.kernel.minimize(*arrays, *[0.1] * 4, *[5] * 4)
