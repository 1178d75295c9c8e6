"""The minimum that whole passes find: the right function, its slopes, and no trace of the order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.svm import LinearSVC

from slugline.learning.linear import newton
from slugline.learning.linear.newton import (
    TOLERANCE,
    Iterate,
    NewtonDescent,
    Preconditioner,
    minimize,
)
from slugline.learning.linear.sums import (
    LocalBlock,
    OneVsRestTargets,
    RowBlock,
    column_squares,
    hessian_product,
    loss_gradient,
    topic_counts,
)
from slugline.stream import topic_parallel
from slugline.stream.engine import DescentStart, TreeSum
from slugline.stream.local import LocalEngine

N_TOPICS, N_COLUMNS = 4, 30


def block_of(seed: int, n_rows: int) -> RowBlock:
    rng = np.random.default_rng(seed)
    X = sp.random_array((n_rows, N_COLUMNS), density=0.2, rng=rng, dtype=np.float32).tocsr()
    y = rng.integers(0, N_TOPICS, n_rows).astype(np.int32)
    X += sp.csr_array((np.ones(n_rows), (np.arange(n_rows), y)), shape=X.shape, dtype=np.float32)
    keys = rng.integers(0, 1 << 64, n_rows, dtype=np.uint64)
    return RowBlock.from_csr(X, y, keys)


def aim_of(cost: float = 1.0, own: float = 1.0, min_key: int = 0) -> OneVsRestTargets:
    costs = np.full(N_TOPICS, cost, dtype=np.float32)
    return OneVsRestTargets(
        np.arange(N_TOPICS, dtype=np.int32), costs, costs * np.float32(own), min_key
    )


def engine_of(blocks: list[RowBlock], n_threads: int = 1) -> LocalEngine:
    engine = LocalEngine(n_threads)
    for block in blocks:
        engine.append(block)
    return engine


def scales_of(blocks: list[RowBlock]) -> Preconditioner:
    squares = sum(column_squares(b)[0] for b in blocks)
    return Preconditioner.from_columns(
        np.ones(N_COLUMNS), np.asarray(squares), sum(len(b.y) for b in blocks)
    )


def last(
    blocks: list[RowBlock], aim: OneVsRestTargets, n_threads: int = 1, **how: Any
) -> NewtonDescent:
    start = how.pop("start", Iterate.initial(N_COLUMNS, len(aim.topics)))
    scales = scales_of(blocks)
    return list(minimize(engine_of(blocks, n_threads), NewtonDescent(aim, scales, start, **how)))[
        -1
    ]


def loss(block: RowBlock, weights: Any, biases: Any, aim: OneVsRestTargets) -> float:
    """Return the function without its penalty, slowly and in float64."""
    scores = block.to_csc().toarray().astype(np.float64) @ weights + biases
    total = 0.0
    for row, topic in enumerate(block.y):
        if int(block.keys[row]) < aim.min_key:
            continue
        for other in range(N_TOPICS):
            sign, costs = (1, aim.positive_costs) if other == topic else (-1, aim.negative_costs)
            total += costs[topic] * max(0.0, 1 - sign * scores[row, other]) ** 2
    return total


@pytest.mark.parametrize("min_key", [0, 1 << 62], ids=["all", "some held out"])
def test_loss_gradient_is_that_of_finite_differences(min_key: int) -> None:
    block, aim = block_of(0, 20), aim_of(0.7, 3.0, min_key)
    rng = np.random.default_rng(1)
    weights, biases = rng.normal(size=(N_COLUMNS, N_TOPICS)), rng.normal(size=N_TOPICS)
    (gradient, common), _ = loss_gradient(block, weights.astype(np.float32), biases, aim)
    step = 1e-5
    for column, topic in [(0, 0), (3, 1), (17, 3), (29, 2)]:
        moved = np.zeros_like(weights)
        moved[column, topic] = step
        up, down = (loss(block, weights + sign * moved, biases, aim) for sign in (1, -1))
        assert gradient[column, topic] == pytest.approx((up - down) / (2 * step), abs=1e-3)
    moved = np.array([0, step, 0, 0])
    up, down = (loss(block, weights, biases + sign * moved, aim) for sign in (1, -1))
    assert common[1] == pytest.approx((up - down) / (2 * step), abs=1e-3)


def test_hessian_products_are_changes_of_the_gradient() -> None:
    block, aim = block_of(2, 50), aim_of(1.0, 2.0)
    rng = np.random.default_rng(3)
    weights, way = (rng.normal(size=(N_COLUMNS, N_TOPICS)).astype(np.float32) for _ in range(2))
    biases, bias_way = rng.normal(size=(2, N_TOPICS))
    (before, common), inside = loss_gradient(block, weights, biases, aim)
    small = 1e-3
    after, more = loss_gradient(
        block, weights + np.float32(small) * way, biases + small * bias_way, aim
    )[0]
    bent, bias = hessian_product(block, inside, way, bias_way, aim, np.arange(N_TOPICS))
    np.testing.assert_allclose((after - before) / small, bent, atol=0.2)
    np.testing.assert_allclose((more - common) / small, bias, atol=0.2)
    some = np.array([1, 3])
    part, _ = hessian_product(block, inside, way[:, some], bias_way[some], aim.take(some), some)
    np.testing.assert_allclose(part, bent[:, some], rtol=1e-5, atol=1e-5)


def test_minimum_with_equal_costs_is_that_of_liblinear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newton, "INITIAL_BIAS", 0.0)  # liblinear draws the bias to 0
    blocks = [block_of(4, 80), block_of(5, 70)]
    reached = last(blocks, aim_of(0.5), tolerance=1e-6)
    X = sp.vstack([block.to_csc() for block in blocks]).toarray()
    y = np.concatenate([block.y for block in blocks])
    svc = LinearSVC(C=0.5, loss="squared_hinge", dual=False, tol=1e-8, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(reached.iterate.weights, svc.coef_.T, atol=2e-4)
    np.testing.assert_allclose(reached.iterate.biases, svc.intercept_, atol=2e-4)


def test_minimum_does_not_depend_on_the_start() -> None:
    blocks, aim = [block_of(6, 60)], aim_of(1.0, 2.0)
    first = last(blocks, aim, tolerance=1e-6)
    rng = np.random.default_rng(7)
    far = Iterate(rng.normal(size=(N_COLUMNS, N_TOPICS)).astype(np.float32), np.full(N_TOPICS, 5.0))
    other = last(blocks, aim, start=far, tolerance=1e-6)
    np.testing.assert_allclose(first.iterate.weights, other.iterate.weights, atol=1e-3)


def test_gradient_at_the_minimum_is_within_the_tolerance() -> None:
    blocks, aim = [block_of(8, 200)], aim_of()
    start = NewtonDescent(aim, scales_of(blocks), Iterate.initial(N_COLUMNS, 4))
    descent = minimize(engine_of(blocks), start)
    norms, n_passes = zip(*((step.relative_norm, step.n_passes) for step in descent), strict=True)
    assert (norms[0], n_passes[0]) == (1, 1)
    assert norms[-1] <= newton.TOLERANCE
    assert list(n_passes) == sorted(set(n_passes))


def test_cost_of_two_equals_a_repeated_row() -> None:
    block, aim = block_of(0, 40), aim_of(0.7, 1.5)
    costs = np.where(np.arange(40) < 10, 2, 1).astype(np.float32)
    order = np.r_[np.arange(40), np.arange(10)]
    keys = np.zeros(50, dtype=np.uint64)
    repeated = RowBlock.from_csr(block.to_csc().tocsr()[order], block.y[order], keys)
    scales = scales_of([repeated])
    one, other = (
        list(minimize(LocalBlock(b), NewtonDescent(aim, scales, Iterate.initial(N_COLUMNS, 4))))[-1]
        for b in (block._replace(costs=costs), repeated)
    )
    np.testing.assert_allclose(one.iterate.weights, other.iterate.weights, atol=1e-5)
    np.testing.assert_allclose(one.iterate.biases, other.iterate.biases, atol=1e-5)


@pytest.mark.parametrize("n_threads", [2, 8])
def test_minimise_does_not_depend_on_threads(n_threads: int) -> None:
    blocks = [block_of(seed, 30) for seed in range(7)]
    one, several = (last(blocks, aim_of(), n) for n in (1, n_threads))
    assert one.iterate.weights.tobytes() == several.iterate.weights.tobytes()
    assert one.iterate.biases.tobytes() == several.iterate.biases.tobytes()


def test_minimise_hardly_depends_on_the_order_of_blocks() -> None:
    blocks = [block_of(seed, 30) for seed in range(7)]
    one, other = last(blocks, aim_of()), last(blocks[::-1], aim_of())
    np.testing.assert_allclose(one.iterate.weights, other.iterate.weights, atol=1e-4)


def test_minimise_ignores_heldout_rows() -> None:
    block, min_key = block_of(9, 100), 1 << 63
    kept = np.flatnonzero(block.keys >= np.uint64(min_key))
    rest = RowBlock.from_csr(block.to_csc().tocsr()[kept], block.y[kept], block.keys[kept])
    scales = scales_of([rest])
    aim = aim_of(min_key=min_key)
    ends = [
        list(minimize(engine_of([rows]), NewtonDescent(aim, scales, Iterate.initial(30, 4))))
        for rows in (block, rest)
    ]
    np.testing.assert_allclose(ends[0][-1].iterate.weights, ends[1][-1].iterate.weights, atol=1e-5)


def test_topic_counts_count_rows_of_each_column() -> None:
    block = block_of(10, 40)
    (counts,) = topic_counts(block, slice(1, 3), 0)
    has = block.to_csc().toarray() != 0
    np.testing.assert_array_equal(counts[:, 0], has[block.y == 1].sum(axis=0))
    np.testing.assert_array_equal(counts[:, 1], has[block.y == 2].sum(axis=0))


@pytest.mark.parametrize("n", [4, 8, 12, 28, 30])
def test_tree_sum_can_add_partial_sums(n: int) -> None:
    parts = np.random.default_rng(n).normal(size=(n, 50)).astype(np.float32)
    firsts = range(0, n, 4)
    by_runs = TreeSum(len(firsts))
    for number, first in enumerate(firsts):
        by_runs.add(number, total(parts[first : first + 4]).result())
    assert by_runs.result()[0].tobytes() == total(parts).result()[0].tobytes()


def total(parts: Any) -> TreeSum:
    found = TreeSum(len(parts))
    for number, part in enumerate(parts):
        found.add(number, (part.copy(),))
    return found


@pytest.mark.slow
def test_descent_resumes_from_each_step_exactly() -> None:
    # Topics end one after another, as errors of each cost more than of the one before.
    blocks = [block_of(seed, 30) for seed in range(3)]
    costs = np.array([0.01, 0.1, 5, 50], dtype=np.float32)
    aim = OneVsRestTargets(np.arange(N_TOPICS, dtype=np.int32), costs, costs[::-1].copy())
    scales, engine = scales_of(blocks), engine_of(blocks)
    how: Any = {"tolerance": 1e-4}
    begun = NewtonDescent(aim, scales, Iterate.initial(N_COLUMNS, N_TOPICS), **how)
    steps = [
        (Iterate(descent.iterate.weights.copy(), descent.iterate.biases.copy()), descent.state)
        for descent in minimize(engine, begun)
    ]
    assert {len(rest.chosen) for _, rest in steps} > {N_TOPICS}
    end, rest_at_end = steps[-1]
    for where, rest in steps:
        start = Iterate(where.weights.copy(), where.biases.copy())
        *_, last_one = minimize(engine, NewtonDescent(aim, scales, start, state=rest, **how))
        assert last_one.iterate.weights.tobytes() == end.weights.tobytes()
        assert last_one.iterate.biases.tobytes() == end.biases.tobytes()
        assert last_one.n_passes == rest_at_end.counts[1]


class Swapping(LocalEngine):
    """Returns other arrays than it is given, and doesn't give those back."""

    def __init__(self) -> None:
        super().__init__(1)
        self.given: list[Any] = []

    def _take(self, into: Any) -> None:
        for array in into or ():
            assert all(array is not other for other in self.given)
            self.given.append(array)
            array.fill(np.nan)

    def sum_blocks(self, *what: Any, into: Any = None, **how: Any) -> Any:
        self._take(into)
        return super().sum_blocks(*what, **how)

    def sum_blocks_storing(self, *what: Any, into: Any = None, **how: Any) -> Any:
        self._take(into)
        return super().sum_blocks_storing(*what, **how)


def test_minimise_passes_arrays_to_an_engine_once() -> None:
    blocks = [block_of(seed, 30) for seed in range(3)]
    wanted = last(blocks, aim_of(), tolerance=1e-4)
    engine = Swapping()
    for block in blocks:
        engine.append(block)
    start = NewtonDescent(
        aim_of(), scales_of(blocks), Iterate.initial(N_COLUMNS, N_TOPICS), tolerance=1e-4
    )
    *_, found = minimize(engine, start)
    assert len(engine.given) > 10
    assert found.iterate.weights.tobytes() == wanted.iterate.weights.tobytes()


class Breaking(LocalEngine):
    """Is broken off at the n-th slope."""

    n = 0

    def sum_blocks_storing(self, *what: Any, **how: Any) -> Any:
        self.n -= 1
        if not self.n:
            raise KeyboardInterrupt
        return super().sum_blocks_storing(*what, **how)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_advance_that_fails_restores_the_descent(n: int) -> None:
    blocks = [block_of(seed, 30) for seed in range(2)]
    engine = Breaking(1)
    for block in blocks:
        engine.append(block)
    engine.n = n
    descent = NewtonDescent(aim_of(), scales_of(blocks), Iterate.initial(N_COLUMNS, N_TOPICS))
    seen = [Iterate.initial(N_COLUMNS, N_TOPICS)]

    def go() -> None:
        seen.extend(
            Iterate(found.iterate.weights.copy(), found.iterate.biases.copy())
            for found in minimize(engine, descent)
        )

    with pytest.raises(KeyboardInterrupt):
        go()
    np.testing.assert_allclose(descent.iterate.weights, seen[-1].weights, atol=1e-6)
    np.testing.assert_allclose(descent.iterate.biases, seen[-1].biases)


def test_copy_of_a_descent_advances_independently() -> None:
    engine = engine_of([block_of(0, 40)])
    descent = NewtonDescent(
        aim_of(), scales_of([block_of(0, 40)]), Iterate.initial(N_COLUMNS, N_TOPICS)
    )
    for _ in range(2):
        descent.advance(engine)
    before = descent.iterate.weights.copy(), descent.norms.copy(), descent.n_passes
    ends = []
    for _ in range(2):  # the second one has no arrays to work on from the first
        after = descent.copy()
        after.advance(engine)
        ends.append(after.iterate.weights.tobytes())
    assert ends[0] == ends[1] != before[0].tobytes()
    assert descent.iterate.weights.tobytes() == before[0].tobytes()
    assert descent.norms.tobytes() == before[1].tobytes()
    assert descent.n_passes == before[2]


def test_worker_leaves_the_previous_state_unchanged() -> None:
    block = block_of(0, 40)
    rows = [block], [slice(0, 1)]
    start = DescentStart(aim_of(), scales_of([block]), None, None, TOLERANCE, None)
    before = topic_parallel._begin(rows, start)
    after = topic_parallel._advance(before, rows)
    assert before[0].n_passes == 1
    assert not before[0].iterate.weights.any()
    assert after[0].n_passes > 1
    assert after[0].iterate.weights.any()
