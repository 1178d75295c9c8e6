"""Compute the optimal linear weights for few rows by Newton steps in the space of rows.

For each topic `k`, with rows `x_i`, weights `w` and a bias `b`, training minimises::

    sum_j w_j^2 / (2 r_j) + (b + 1)^2 / 2 + sum_i c_ik max(0, 1 - t_ik (x_i w + b))^2

where `t_ik` is 1 if row `i` has the topic, else -1; `c_ik` is the cost of the error, higher for
rows of rare topics (`steps.topic_rarity`); and `r_j` is the learning rate of term `j`
(`steps.term_rates`). All were chosen by cross-validation on training splits.

At the minimum, the weights of a topic are a linear combination of the rows, and each coefficient is
the row's cost times its error. With fewer rows than terms, optimizing coefficients is much faster
than optimizing weights: a step needs only the Gram matrix of the rows, which is computed once for
all topics. Steps start from coefficients that fit all rows, computed with one factorization
for all topics. A compiled kernel,
`_dual.c`, solves each step approximately, by conjugate gradients; NumPy solves it exactly.

References
----------
Chapelle (2007), Training a support vector machine in the primal: Newton steps for coefficients of
rows. Keerthi and DeCoste (2005), A modified finite Newton method for fast solution of large scale
linear SVMs: each step solves for the rows that have an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, I32, I64, Index
from slugline.base.threads import limit_blas
from slugline.learning.linear.problem import INITIAL_BIAS
from slugline.text.sparse import has_kernel

try:
    from slugline.learning.linear import _dual as _kernel
except ImportError:  # built without a compiler
    _kernel = None  # type: ignore[assignment]

kernel = _kernel

# Steps end when every row's error is within this of the error implied by its coefficient. At 2^-13,
# more rounded weights depended on the order of rows. All fractions are powers of 2, which are exact
# in every precision.
_PRECISION = 2.0**-14
# Solve each step until the residual is this fraction of the initial one. With 0.03, some steps go
# uphill.
_FORCING = 2.0**-10
# A step is too long if the derivative at its end is uphill by this fraction of the initial one.
_UPHILL = 0.25
_MAX_STEPS, _MAX_PRODUCTS, _MAX_CUTS = 60, 100, 8
# Passes of coordinate descent before the first step. They remove the error of most rows that have
# none at the minimum, leaving fewer unknowns per step. Without them, steps take 2.4 times as long.
_N_SWEEPS = 2
# The inverse of the largest cost in the equations that fit all rows. With larger costs, equal rows
# would make the system nearly singular.
_LEAST_SQUARE = 2.0**-8
# Without the kernel, steps end when the loss decreases by less than this fraction.
_LEAST_GAIN = 1e-13


class Minimum(NamedTuple):
    """Weights of topics, shape (n_columns, n_topics), and biases, float64, shape (n_topics,)."""

    weights: F32
    biases: F64


class RowsByColumn(NamedTuple):
    """A small set of rows, stored column by column."""

    values: F32  # shape (n_entries,)
    rows: npt.NDArray[np.uint16]  # shape (n_entries,): in ascending order in each column
    columns: I32  # shape (n_nonempty,): columns that have entries, in ascending order
    ends: I64  # shape (n_nonempty,): end of the entries of each of these columns
    shape: tuple[int, int]

    @classmethod
    def from_csr(cls, X: sp.csr_array) -> RowsByColumn:
        """Convert a CSR array of at most 65,536 rows."""
        by_column = X.tocsc()
        columns = np.flatnonzero(np.diff(by_column.indptr)).astype(np.int32)
        ends = by_column.indptr[1:][columns].astype(np.int64)
        return cls(by_column.data, by_column.indices.astype(np.uint16), columns, ends, X.shape)

    def to_csc(self, values: F32 | None = None) -> sp.csc_array:
        """Return the rows as a CSC array without empty columns, with other values if given."""
        indptr = np.concatenate([[0], self.ends]).astype(np.int32)
        arrays = self.values if values is None else values, self.rows.astype(np.int32), indptr
        return sp.csc_array(arrays, shape=(self.shape[0], len(self.columns)))

    def column_sums(self, factors: F32) -> F32:
        """Return the transposed product with row factors, shape (n_nonempty, n_topics).

        Parameters
        ----------
        factors : float32 array, shape (n_rows, n_topics)
        """
        return np.asarray(self.to_csc().T @ factors)


@dataclass(frozen=True)
class DualProblem:
    """A small single-label problem: rows, topics, costs of errors, and rates of terms."""

    X: RowsByColumn
    y: Index  # shape (n_rows,): the topic of each row
    costs: F32  # shape (n_rows,): cost of an error in each row for other topics
    positive_costs: F32  # shape (n_topics,): factors on these costs for a row's own topic
    rates: F32  # shape (n_columns,): the inverse of each term's penalty
    gram: F32  # shape (n_rows, n_rows): from `gram_matrix`
    # shape (n_topics, n_rows): initial coefficients; after `minimum`, the optimal ones.
    coefficients: F32

    @classmethod
    def from_rows(
        cls, X: sp.csr_array, y: Index, costs: F32, positive_costs: F32, rates: F32
    ) -> DualProblem:
        """Return the problem with its Gram matrix, and coefficients that fit all rows."""
        rows = RowsByColumn.from_csr(X)
        gram = gram_matrix(rows, rates)
        coefficients = fit_all_rows(gram, _signs(y, len(positive_costs)), np.float32(2) * costs)
        return cls(rows, y, costs, positive_costs, rates, gram, coefficients)

    def minimum(self, topics: slice) -> Minimum:
        """Return the weights and biases of some topics at the minimum."""
        signs = _signs(self.y, len(self.positive_costs))[topics]
        costs = np.where(signs > 0, self.positive_costs[topics, np.newaxis], np.float32(1))
        costs *= 2 * self.costs
        coefficients = self.coefficients[topics]
        find_coefficients(self.gram, signs, costs, coefficients)
        weights = np.zeros((self.X.shape[1], len(coefficients)), dtype=np.float32)
        columns, rates = self.X.columns, self.rates[:, np.newaxis]
        sums = self.X.column_sums(np.ascontiguousarray(coefficients.T))
        weights[columns] = sums * rates[columns]
        return Minimum(weights, INITIAL_BIAS + coefficients.sum(axis=1, dtype=np.float64))


def _signs(y: Index, n_topics: int) -> F32:
    """Return 1 for rows of a topic and -1 for others, shape (n_topics, n_rows)."""
    signs = np.full((n_topics, len(y)), -1, dtype=np.float32)
    signs[y, np.arange(len(y))] = 1
    return signs


def gram_matrix(X: RowsByColumn, rates: F32) -> F32:
    """Return the Gram matrix of the rows, shape (n_rows, n_rows).

    Columns are scaled by the square roots of their rates; a column of ones is added for the bias.
    """
    values = X.values * np.sqrt(rates)[X.columns].repeat(np.diff(X.ends, prepend=0))
    if has_kernel():
        table = np.empty((X.shape[0], X.shape[0]), dtype=np.float32)
        kernel.gram(values, X.rows, X.ends, table)
    else:
        scaled = X.to_csc(values).tocsr()
        table = (scaled @ scaled.T).toarray()
    table += 1
    return table


def fit_all_rows(gram: F32, signs: F32, costs: F32) -> F32:
    """Return the coefficients that fit all rows, shape (n_topics, n_rows).

    All topics share one factorization.

    Parameters
    ----------
    gram : float32 array, shape (n_rows, n_rows)
    signs : float32 array, shape (n_topics, n_rows)
    costs : float32 array, shape (n_rows,)
        Twice the cost of an error, at least 0.
    """
    table, diagonal = gram.copy(), np.arange(len(gram))
    table[diagonal, diagonal] += 1 / costs.clip(_LEAST_SQUARE, 1 / _LEAST_SQUARE)
    sides = signs - np.float32(INITIAL_BIAS)
    with limit_blas():
        solution = np.linalg.solve(table.astype(np.float64), sides.T)
    return solution.T.astype(np.float32, order="C")


def find_coefficients(gram: F32, signs: F32, costs: F32, coefficients: F32) -> None:
    """Replace the coefficients of each topic by the optimal ones.

    Parameters
    ----------
    gram : float32 array, shape (n_rows, n_rows)
    signs : float32 array, shape (n_topics, n_rows)
        1 for rows of the topic, -1 for others.
    costs : float32 array, shape (n_topics, n_rows)
        Twice the cost of an error.
    coefficients : float32 array, shape (n_topics, n_rows)
        Initial coefficients; changed in place.
    """
    if not has_kernel():
        for topic in zip(signs, costs, coefficients, strict=True):
            _solve_newton(gram.astype(np.float64), *topic)
        return
    limits = _PRECISION, _FORCING, _UPHILL, _N_SWEEPS, _MAX_STEPS, _MAX_PRODUCTS, _MAX_CUTS
    kernel.minimize(gram, signs, costs, coefficients, INITIAL_BIAS, *limits)


def _solve_newton(gram: F64, signs: F32, costs: F32, coefficients: F32) -> None:
    """Optimize the coefficients of one topic by exact Newton steps."""
    goals, found = signs - INITIAL_BIAS, coefficients.astype(np.float64)

    def errors_and_loss(found: F64) -> tuple[F64, float]:
        scores = gram @ found
        errors = np.where(signs * (goals - scores) > 0, goals - scores, 0)
        return errors, float(found @ scores + costs @ errors**2)

    errors, loss = errors_and_loss(found)
    for _ in range(_MAX_STEPS):
        active = np.flatnonzero((costs > 0) & (errors != 0))
        step = -found
        equations = gram[np.ix_(active, active)] + np.diag(1 / costs[active].astype(np.float64))
        step[active] += np.linalg.solve(equations, goals[active])
        for _ in range(_MAX_CUTS):
            errors, next_loss = errors_and_loss(found + step)
            if next_loss <= loss:
                break
            step /= 2
        found += step
        if loss - next_loss <= _LEAST_GAIN * loss:
            break
        loss = next_loss
    coefficients[:] = found
