"""Linear weights that are the minimum of a strictly convex function, found by whole passes.

`Descent` takes small steps, row after row, so that what it finds depends on the rows' order. Here,
each pass adds up what all blocks of rows say of the same weights: any order, any number of threads
and any number of machines walk the same path.

`slugline.training.hinge` states the function.

References
----------
Lin, Tsai, Lee and Lin (2014), Large-scale logistic regression and linear support vector machines
using Spark; Zhuang, Chin, Juan and Lin (2015), Distributed Newton methods for regularized logistic
regression: Newton steps by conjugate gradients, whose gradients and Hessian products are sums over
machines. Keerthi and DeCoste (2005), A modified finite Newton method for fast solution of large
scale linear SVMs: for the squared hinge. Agarwal, Chapelle, Dudik and Langford (2014), A reliable
effective terascale linear learning system: sums over a tree.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from slugline.base.arrays import F64, Index
from slugline.training.engine import Engine
from slugline.training.hinge import Aim
from slugline.training.newton_step import Work, newton_step
from slugline.training.point import Point, Scales, Slope
from slugline.training.rest import Rest
from slugline.training.row_block import Arrays

__all__ = ["TOLERANCE", "Descent", "minimise"]


#: The descent ends when each topic's gradient is this share of the first one. Of held-out answers,
#: 99.8 to 100 % were then those of the minimum itself, on 21 sets (99.97 in the mean); with 5e-3
#: 98.5 to 100 % are, for a tenth less time.
TOLERANCE = 2e-3
# Up to so many Newton steps, each shortened up to so often.
_MOST_STEPS, _MOST_CUTS = 60, 8
# A step is too long if the slope at its end is this share of the one at its start, and uphill.
_UPHILL = 0.6


class Descent:
    """Goes to the minimum for some topics, Newton step by Newton step.

    Each step takes three to eight passes, and a descent from nothing four to nine steps. Topics
    that are within the tolerance stay where they are.

    Parameters
    ----------
    aim : Aim
    scales : Scales
    start : Point
        Its arrays become the descent's own.
    first : float array, shape (n_topics,), optional
        The size of the gradients that the tolerance is a share of; by default, that at the start.
    tolerance : float, default TOLERANCE
    rest : Rest, optional
        To go on, to the same bits, from where an earlier descent has come, which is then the
        start: the `rest` that it had there.

    Attributes
    ----------
    gradients : float array, shape (n_topics,)
        The size of each topic's gradient.
    first : float array, shape (n_topics,)
    n_passes : int
        Passes over all blocks up to here.
    """

    def __init__(
        self,
        aim: Aim,
        scales: Scales,
        start: Point,
        first: F64 | None = None,
        tolerance: float = TOLERANCE,
        rest: Rest | None = None,
    ) -> None:
        n_topics = len(start.biases)
        chosen, sizes, self.first, counts = rest or Rest.at_start(n_topics, first)
        self.gradients, (self._n_steps, self.n_passes) = sizes.copy(), counts.tolist()
        self._aim, self._scales, self._tolerance = aim, scales, tolerance
        self._work: Work | None = None
        # Topics at work, where they are, and where the others ended.
        self._chosen, self._here = chosen, start
        self._ended: Point | None = None
        if len(chosen) < n_topics:
            self._aim, self._here, self._ended = aim.of(chosen), start.of(chosen), start
        self._slope: Slope | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_work": None}

    def copy(self) -> Descent:
        """Return a descent that goes on from here, with the arrays that this one has worked on."""
        other = copy.deepcopy(self)
        other._work, self._work = self._work, None
        return other

    @property
    def share(self) -> float:
        """The largest share of its first size that a topic's gradient has."""
        return float(self._shares().max(initial=0))

    @property
    def is_done(self) -> bool:
        """Whether all topics are within the tolerance, or no more steps are to be taken."""
        return (self._n_steps > 0 and not len(self._open())) or self._n_steps > _MOST_STEPS

    @property
    def point(self) -> Point:
        """Where all topics are; it is changed by the next step."""
        if self._ended is None:
            return self._here
        self._ended.put(self._chosen, self._here)
        return self._ended

    @property
    def rest(self) -> Rest:
        """What it takes to go on from `point`; the pass that tells the slope there is done anew."""
        counts = np.array([self._n_steps, self.n_passes])
        return Rest(self._chosen, self.gradients.copy(), self.first, counts)

    def advance(self, engine: Engine) -> None:
        """Look at the start, or take a step."""
        if self._slope is None:
            self._slope = Slope.at(engine, self._here, self._aim, self._scales)
        if not self._n_steps:
            self.gradients, self.n_passes = self._slope.sizes(self._scales), 1
            if not len(self.first):
                self.first = self.gradients.copy()
        else:
            self._leave_ended()
            self._step(engine, self._slope)
        self._n_steps += 1

    def _shares(self) -> F64:
        zeros = np.zeros_like(self.gradients)
        return np.divide(self.gradients, self.first, out=zeros, where=self.first > 0)

    def _open(self) -> Index:
        """Return which of the topics at work have to go on."""
        return np.flatnonzero(self._shares()[self._chosen] > self._tolerance)

    def _leave_ended(self) -> None:
        """Work no longer on those that have ended, once half of them have."""
        still = self._open()
        if not 0 < 2 * len(still) <= len(self._chosen) or self._slope is None:
            return
        self._ended = self.point
        self._chosen, self._aim = self._chosen[still], self._aim.of(still)
        self._here, self._slope = self._here.of(still), self._slope.of(still)
        self._work = None

    def _step(self, engine: Engine, slope: Slope) -> None:
        """Go to about where the gradient would be 0 if no error began or ceased to count.

        A topic goes less far if its slope at the end is steep and uphill.
        """
        is_open = np.zeros(len(self._chosen), dtype=bool)
        is_open[self._open()] = True
        self._work = self._work or Work.like(slope)
        down, n_products = newton_step(engine, self._aim, self._scales, slope, is_open, self._work)
        step = self._work.step
        self._here.move(step)
        self._slope = None
        for _ in range(_MOST_CUTS):
            slope = self._slope_after(engine, step, slope.sums)
            self.n_passes += 1
            end = slope.along(step)
            too_far = (end > -_UPHILL * down) & (down < 0)
            if not too_far.any():
                break
            # Where a straight line through both slopes would be level.
            cut = np.ones_like(down)
            cut[too_far] = np.clip(down[too_far] / (down - end)[too_far], 0.1, 0.9)
            self._here.move(step, cut - 1)
            step.shorten(cut)
            down *= cut
        self.n_passes += n_products
        self._slope = slope
        self.gradients[self._chosen] = slope.sizes(self._scales)

    def _slope_after(self, engine: Engine, step: Point, into: Arrays) -> Slope:
        """Return the slope here, or step back if that is broken off."""
        try:
            return Slope.at(engine, self._here, self._aim, self._scales, into)
        except BaseException:
            self._here.move(step, np.full_like(step.biases, -1))
            raise


def minimise(engine: Engine, descent: Descent) -> Iterator[Descent]:
    """Yield a descent where it begins, or goes on, and after each of its steps.

    Parameters
    ----------
    engine : Engine
        Whose blocks are `RowBlock`s.
    descent : Descent
    """
    if descent.n_passes:
        yield descent
    while not descent.is_done:
        descent.advance(engine)
        yield descent
