"""What rows say of weights: the errors of one topic against all others, and their slopes.

The function, for each topic `k` against all others, with rows `x_i`, weights `w` and a bias `b`::

    sum_j w_j^2 / (2 r_j) + (b + 1)^2 / 2 + C sum_i c_ik max(0, 1 - t_ik (x_i w + b))^2

where `t_ik` is 1 if row `i` has the topic, else -1, `c_ik` is what the error costs (more for rows
of rare topics, as in `Descent` of `training.linear`), `r_j` is how freely term `j` moves
(`term_rates`), and `C = (10,000 / n)^(1/4)` for `n` rows. All were chosen by cross-validation on
training splits. Here is the sum over rows; `training.whole_passes` has the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, F64, U8, Index
from slugline.training.row_block import Arrays, RowBlock

__all__ = ["Aim", "cost_of", "products", "slopes"]


# C for so many rows, and the power with which it falls.
_ROWS_OF_COST_1, _COST_POWER = 10_000, 0.25


def cost_of(n_rows: int) -> float:
    """Return what an error costs where there are so many rows: C."""
    return float((_ROWS_OF_COST_1 / max(1, n_rows)) ** _COST_POWER)


@dataclass(frozen=True)
class Aim:
    """What some neighbouring topics are to learn.

    Attributes
    ----------
    topics : int array, shape (n_topics,)
    others, own : float32 array, shape (n_topics_of_all,)
        By a row's topic: what its errors cost where it is another's, and its own topic's. Times C.
    least_key : int
        Rows with a lower key are held out.
    """

    topics: npt.NDArray[np.int32]
    others: F32
    own: F32
    least_key: int = 0

    def of(self, chosen: Index) -> Aim:
        """Return what some of the topics are to learn."""
        return replace(self, topics=self.topics[chosen])


def slopes(
    block: RowBlock, weights: F32, biases: F64, aim: Aim, into: Arrays | None = None
) -> tuple[Arrays, U8]:
    """Return the gradient of a block's errors, and which of them count.

    Parameters
    ----------
    into : (float32 array, shape (n_columns, n_topics), float64 array, shape (n_topics,)), optional
        The gradient of other blocks, which this is added to, in place.

    Returns
    -------
    (as `into`, bits)
        By the weights and by the biases; and a bit for each row and topic.
    """
    here = _own(block, aim)
    slope = _scores(block, weights, biases)
    own = 1 - slope[here]
    slope += 1
    is_inside = slope >= 0  # 0 as well: at the start, all are there, and the first step is better
    is_inside[here] = own >= 0
    np.maximum(slope, 0, out=slope)
    slope[here] = -np.maximum(own, 0)
    held = block.keys < np.uint64(aim.least_key)
    slope[held], is_inside[held] = 0, False
    slope *= _costs(block, here, aim)
    return _summed(block, slope, into), np.packbits(is_inside, axis=1)


def products(
    block: RowBlock,
    inside: U8,
    direction: F32,
    bias_way: F64,
    aim: Aim,
    chosen: Index,
    into: Arrays | None = None,
) -> Arrays:
    """Return the products of a block's part of the Hessian with a direction, as `slopes` does.

    Parameters
    ----------
    inside : bits
        From `slopes`, of more topics.
    chosen : int array, shape (n_topics,)
        Which of those these are.
    """
    bent = _scores(block, direction, bias_way)
    bent *= _costs(block, _own(block, aim), aim)
    bent *= np.unpackbits(inside, axis=1)[:, chosen]
    return _summed(block, bent, into)


def _summed(block: RowBlock, slope: F32, into: Arrays | None) -> Arrays:
    """Return what slopes of rows, shape (n_rows, n_topics), make of columns and biases."""
    common = slope.sum(axis=0, dtype=np.float64)
    if into is None:
        return block.sums(slope), common
    weights, biases = into
    biases += common
    return block.sums(slope, weights), biases


def _scores(block: RowBlock, weights: F32, biases: F64) -> F32:
    scores = block.scores(weights)
    scores += biases.astype(np.float32)
    return scores


def _own(block: RowBlock, aim: Aim) -> tuple[Index, Index]:
    return block.own(aim.topics, len(aim.own))


def _costs(block: RowBlock, here: tuple[Any, Any], aim: Aim) -> F32:
    """Return twice what errors cost, shape (n_rows, n_topics)."""
    costs = np.repeat(aim.others[block.y][:, np.newaxis], len(aim.topics), axis=1)
    costs[here] = aim.own[block.y[here[0]]]
    costs *= np.float32(2)
    return costs
