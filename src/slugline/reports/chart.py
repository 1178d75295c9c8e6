"""A chart of shares as SVG, drawn by hand: importing matplotlib takes longer than many trainings.

Colours are variables of colours.css, which have other values in dark mode and in print.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = [
    "Axis",
    "Chart",
]

Point = tuple[float, float]

_WIDTH, _HEIGHT = 420, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 398, 12, 254
_FONT_SIZE = 12
# An axis is cut into at most so many steps.
_MOST_STEPS = 6


class Axis(NamedTuple):
    """The lowest and highest share of an axis, and what they are shares of."""

    low: float
    high: float
    label: str

    def marks(self) -> list[float]:
        """Return whole multiples of 1, 2, 5, 10, ... percent, or of a power of ten of these.

        >>> Axis(0.83, 1.0, "accuracy").marks()
        [0.85, 0.9, 0.95, 1.0]
        """
        least = (self.high - self.low) / _MOST_STEPS
        power = 10 ** math.floor(math.log10(least))
        step = next(n * power for n in (1, 2, 5, 10) if n * power >= least * (1 - 1e-9))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(n * step, 12) for n in range(first, last + 1)]


class Chart:
    """Collects what is drawn, in shares of both axes; later things lie over earlier ones.

    Parameters
    ----------
    x, y : Axis
        What lies outside of them is drawn on the edge.
    """

    def __init__(self, x: Axis, y: Axis) -> None:
        self._x, self._y = x, y
        self._parts: list[str] = []

    def line(self, points: Iterable[Point], colour: str, *, dashed: bool = False) -> None:
        """Draw a line from point to point; `colour` is a variable of the page, such as "best"."""
        dashes = "; stroke-dasharray: 5 3; stroke-width: 1" if dashed else ""
        style = f"fill: none; stroke: var(--{colour}); stroke-width: 1.75{dashes}"
        self._parts.append(f'<polyline points="{self._places(points)}" style="{style}"/>')

    def band(self, x: Sequence[float], ends: Sequence[Point], colour: str) -> None:
        """Fill what is between the lower and the upper end at each `x`."""
        lower = [(at, low) for at, (low, _) in zip(x, ends, strict=True)]
        upper = [(at, high) for at, (_, high) in zip(x, ends, strict=True)]
        outline = self._places([*lower, *reversed(upper)])
        style = f"fill: var(--{colour}); fill-opacity: 0.15"
        self._parts.append(f'<polygon points="{outline}" style="{style}"/>')

    def dot(self, at: Point, colour: str, ends: Point | None = None) -> None:
        """Draw a dot, and the interval that it may be in, if given."""
        x, y = self._place(at)
        if ends is not None:
            (_, low), (_, high) = (self._place((at[0], end)) for end in ends)
            style = f"stroke: var(--{colour}); stroke-width: 1.25"
            self._parts.append(f'<path d="M{x} {low}V{high}" style="{style}"/>')
        self._parts.append(f'<circle cx="{x}" cy="{y}" r="3" style="fill: var(--{colour})"/>')

    def note(self, at: Point, text: str, colour: str) -> None:
        """Write a few words beside a point of a curve that falls: where it leaves room for them."""
        x, y = self._place(at)
        near_end = x > (_LEFT + _RIGHT) / 2
        x, y = (x - 8, y + 16) if near_end else (x + 9, y + 2)
        self._write(x, y, text, "end" if near_end else "start", colour)

    def svg(self, label: str) -> str:
        """Return the chart as an SVG element; `label` is for those who don't see it."""
        drawn, self._parts = self._parts, []
        self._draw_axes()
        frame, self._parts = self._parts, drawn
        return (
            f'<svg role="img" aria-label="{html.escape(label)}" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
            f'style="font-size: {_FONT_SIZE}px">\n' + "\n".join([*frame, *drawn]) + "\n</svg>"
        )

    def _draw_axes(self) -> None:
        rule = "fill: none; stroke: var(--rule); stroke-width:"
        for share in self._x.marks():
            x, _ = self._place((share, self._y.low))
            self._parts.append(f'<path d="M{x} {_TOP}V{_BOTTOM}" style="{rule} 0.5"/>')
            self._write(x, _BOTTOM + 16, _percent(share), "middle")
        for share in self._y.marks():
            _, y = self._place((self._x.low, share))
            self._parts.append(f'<path d="M{_LEFT} {y}H{_RIGHT}" style="{rule} 0.5"/>')
            self._write(_LEFT - 6, y + 4, _percent(share), "end")
        corner = f"M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}"
        self._parts.append(f'<path d="{corner}" style="{rule} 1"/>')
        self._write((_LEFT + _RIGHT) / 2, _HEIGHT - 8, self._x.label, "middle")
        self._write((_TOP + _BOTTOM) / 2, 12, self._y.label, "middle", turned=True)

    def _write(
        self,
        x: float,
        y: float,
        text: str,
        anchor: str,
        colour: str = "ink",
        *,
        turned: bool = False,
    ) -> None:
        place = f'transform="rotate(-90)" x="{-x:g}"' if turned else f'x="{x:g}"'
        style = f"fill: var(--{colour}); text-anchor: {anchor}"
        self._parts.append(f'<text {place} y="{y:g}" style="{style}">{html.escape(text)}</text>')

    def _places(self, points: Iterable[Point]) -> str:
        return " ".join(f"{x:g},{y:g}" for x, y in map(self._place, points))

    def _place(self, point: Point) -> Point:
        across, up = (
            min(1.0, max(0.0, (share - axis.low) / (axis.high - axis.low)))
            for share, axis in zip(point, (self._x, self._y), strict=True)
        )
        return (
            round(_LEFT + across * (_RIGHT - _LEFT), 1),
            round(_BOTTOM - up * (_BOTTOM - _TOP), 1),
        )


def _percent(share: float) -> str:
    return f"{100 * share:.5g}\N{NO-BREAK SPACE}%"
