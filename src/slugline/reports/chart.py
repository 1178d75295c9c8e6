"""Charts as SVG elements, in the colours and typefaces of a page.

Colours are variables of colours.css, which have other values in dark mode and in print.
"""

from __future__ import annotations

import html
import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Point = tuple[float, float]

# Pixels; more rows than fit above the bottom move it down.
_WIDTH, _RIGHT, _BOTTOM, _BELOW = 420, 396, 254, 46
# Of the page's typeface, with room for the larger one on phones; style.css sets the sizes.
_CHARACTER_WIDTH, _LINE_HEIGHT = 7.0, 16
# Steps of an axis; labels of a logarithmic one.
_MOST_STEPS, _MOST_POWERS = 9, 6
_SPACE = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Axis:
    """The ends of an axis, its label, and the values that are marked, each with its text."""

    low: float
    high: float
    label: str
    marks: Sequence[tuple[float, str]]
    is_log: bool = False

    @classmethod
    def shares(cls, label: str, values: Iterable[float] = (0, 1), most: int = _MOST_STEPS) -> Axis:
        """Return an axis of percentages with room for all values, cut into at most `most` steps."""
        low, high = _widen(values, 0, 1)
        step, places = _round_marks(low, high, most)
        digits = max(0, -math.floor(math.log10(100 * step) + 1e-9))
        marks = [(place, f"{100 * place:.{digits}f}{_SPACE}%") for place in places]
        return cls(low, high, label, marks)

    @classmethod
    def numbers(cls, label: str, values: Iterable[float]) -> Axis:
        """Return an axis with room for all values, which are at least 0."""
        low, high = _widen(values, 0, math.inf)
        step, places = _round_marks(low, high)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return cls(low, high, label, [(place, f"{place:.{digits}f}") for place in places])

    @classmethod
    def epochs(cls, n_epochs: int) -> Axis:
        """Return an axis of epochs, counted from 1; only whole epochs are marked."""
        _, places = _round_marks(0.5, n_epochs + 0.5, least_step=1)
        return cls(0.5, n_epochs + 0.5, "Epoch", [(n, f"{n:.0f}") for n in places])

    @classmethod
    def logarithms(cls, label: str, values: Iterable[float]) -> Axis:
        """Return a logarithmic axis with room for all values, which are over 0."""
        numbers = [*values]
        margin = max(1.15, (max(numbers) / min(numbers)) ** 0.08)
        low, high = min(numbers) / margin, max(numbers) * margin
        marks = [(n, f"{n:,.0f}" if n >= 1 else f"{n:g}") for n in _powers(low, high)]
        return cls(low, high, label, marks, is_log=True)

    @classmethod
    def names(cls, label: str, names: Sequence[str]) -> Axis:
        """Return an axis with one row for each name, from the top: row i is at -i."""
        return cls(0.6 - len(names), 0.6, label, [(-i, name) for i, name in enumerate(names)])

    def position(self, value: float) -> float:
        """Return where a value is, from 0 at the low end to 1; outside values are at an end."""
        low, high, value = (
            (math.log(max(n, 1e-12)) if self.is_log else n) for n in (self.low, self.high, value)
        )
        return min(1.0, max(0.0, (value - low) / (high - low)))


class Key(NamedTuple):
    """An entry of a chart's legend."""

    label: str
    colour: str
    sign: Literal["line", "dashes", "dots"] = "line"


class Chart:
    """A chart: later elements are drawn over earlier ones.

    Parameters
    ----------
    x, y : Axis
        Points are given in their units.
    legend : sequence of Key
        Drawn above the chart, where no curve crosses it.
    """

    def __init__(self, x: Axis, y: Axis, legend: Sequence[Key] = ()) -> None:
        self._x, self._y = x, y
        self._elements: list[str] = []
        widest = max((_n_columns(text) for _, text in y.marks), default=0)
        self._left = round(32 + _CHARACTER_WIDTH * widest)
        # The last line above the chart is for the text of `rule`.
        self._top = _LINE_HEIGHT * (self._draw_legend(legend) + 1) + 6
        self._bottom = max(_BOTTOM, self._top + _LINE_HEIGHT * len(y.marks))
        self._draw_axes()

    def line(
        self,
        points: Iterable[Point],
        colour: str,
        *,
        width: float = 1.75,
        opacity: float = 1,
        dashed: bool = False,
    ) -> None:
        """Draw a line from point to point; `colour` is a variable of the page, such as "best"."""
        dashes = "; stroke-dasharray: 5 3" if dashed else ""
        faint = f"; stroke-opacity: {opacity:g}" if opacity < 1 else ""
        style = f"fill: none; stroke: var(--{colour}); stroke-width: {width:g}{faint}{dashes}"
        self._elements.append(f'<polyline points="{self._pixels(points)}" style="{style}"/>')

    def band(self, x: Sequence[float], intervals: Sequence[Point], colour: str) -> None:
        """Fill the area between the lower and the upper ends of intervals."""
        lower = [(at, low) for at, (low, _) in zip(x, intervals, strict=True)]
        upper = [(at, high) for at, (_, high) in zip(x, intervals, strict=True)]
        outline = self._pixels([*lower, *reversed(upper)])
        style = f"fill: var(--{colour}); fill-opacity: 0.15"
        self._elements.append(f'<polygon points="{outline}" style="{style}"/>')

    def dot(
        self,
        point: Point,
        colour: str,
        interval: Point | None = None,
        *,
        opacity: float = 1,
        hollow: bool = False,
    ) -> None:
        """Draw a dot with its error bar, if there is one; hollow dots are expected values."""
        x, y = self._pixel(point)
        stroke = f"stroke: var(--{colour}); stroke-width: 1.25"
        if interval is not None:
            low, high = (self._pixel((point[0], end))[1] for end in interval)
            self._elements.append(f'<path d="M{x:g} {low:g}V{high:g}" style="{stroke}"/>')
        fill = f"fill: var(--paper); {stroke}" if hollow else f"fill: var(--{colour})"
        faint = f"; fill-opacity: {opacity:g}" if opacity < 1 else ""
        self._elements.append(f'<circle cx="{x:g}" cy="{y:g}" r="3" style="{fill}{faint}"/>')

    def rule(self, x: float, text: str, colour: str) -> None:
        """Draw a dotted line upwards at `x`, and write a text above it, where no curve is."""
        at, _ = self._pixel((x, self._y.low))
        style = f"stroke: var(--{colour}); stroke-width: 1; stroke-dasharray: 1 3"
        self._elements.append(f'<path d="M{at:g} {self._top}V{self._bottom}" style="{style}"/>')
        is_late = at > (self._left + _RIGHT) / 2
        x, anchor = (at + 3, "end") if is_late else (at - 3, "start")
        self._write((x, self._top - 5), text, anchor, colour)

    def svg(self, label: str) -> str:
        """Return the chart as an SVG element; `label` is its text for screen readers."""
        size = f"{_WIDTH} {self._bottom + _BELOW}"
        head = f'<svg role="img" aria-label="{html.escape(label)}" viewBox="0 0 {size}">'
        return "\n".join([head, *self._elements, "</svg>"])

    def _draw_legend(self, legend: Sequence[Key]) -> int:
        """Draw the legend; return its number of lines."""
        x, n_lines = self._left, min(1, len(legend))
        for label, colour, sign in legend:
            width = 44 + _CHARACTER_WIDTH * len(label)
            if x + width > _WIDTH + 14 and x > self._left:
                x, n_lines = self._left, n_lines + 1
            y = _LINE_HEIGHT * n_lines
            if sign == "dots":
                dots = "".join(f'<circle cx="{x + dx}" cy="{y - 4}" r="2.5"/>' for dx in (5, 17))
                self._elements.append(f'<g style="fill: var(--{colour})">{dots}</g>')
            else:
                style = f"stroke: var(--{colour}); stroke-width: {1.75 if sign == 'line' else 1}"
                dashes = "; stroke-dasharray: 5 3" if sign == "dashes" else ""
                self._elements.append(f'<path d="M{x} {y - 4}h22" style="{style}{dashes}"/>')
            self._write((x + 28, y), label, "start")
            x += round(width)
        return n_lines

    def _draw_axes(self) -> None:
        left, top, bottom = self._left, self._top, self._bottom
        style = "fill: none; stroke: var(--rule); stroke-width:"
        free_from = -math.inf
        for value, text in self._x.marks:
            x, _ = self._pixel((value, self._y.low))
            half = _CHARACTER_WIDTH * _n_columns(text) / 2
            # A label without room is left out, with its line.
            if x - half >= free_from:
                self._elements.append(f'<path d="M{x:g} {top}V{bottom}" style="{style} 0.5"/>')
                self._write((x, bottom + 17), text, "middle")
                free_from = x + half
        for value, text in self._y.marks:
            _, y = self._pixel((self._x.low, value))
            self._elements.append(f'<path d="M{left} {y:g}H{_RIGHT}" style="{style} 0.5"/>')
            self._write((left - 6, y + 4), text, "end")
        self._elements.append(f'<path d="M{left} {top}V{bottom}H{_RIGHT}" style="{style} 1"/>')
        self._write(((left + _RIGHT) / 2, bottom + _BELOW - 8), self._x.label, "middle")
        self._write(((top + bottom) / 2, 12), self._y.label, "middle", turned=True)

    def _write(
        self, point: Point, text: str, anchor: str, colour: str = "ink", *, turned: bool = False
    ) -> None:
        x, y = point
        place = f'transform="rotate(-90)" x="{-x:g}"' if turned else f'x="{x:g}"'
        style = f"fill: var(--{colour}); text-anchor: {anchor}"
        self._elements.append(f'<text {place} y="{y:g}" style="{style}">{html.escape(text)}</text>')

    def _pixels(self, points: Iterable[Point]) -> str:
        return " ".join(f"{x:g},{y:g}" for x, y in map(self._pixel, points))

    def _pixel(self, point: Point) -> Point:
        across, up = self._x.position(point[0]), self._y.position(point[1])
        return (
            round(self._left + across * (_RIGHT - self._left), 1),
            round(self._bottom - up * (self._bottom - self._top), 1),
        )


def _n_columns(text: str) -> int:
    """Return how many characters wide a text is; those of East Asia count twice."""
    return len(text) + sum(unicodedata.east_asian_width(character) in "WF" for character in text)


def _widen(values: Iterable[float], least: float, most: float) -> Point:
    """Return the ends of an axis: the values' with a margin, within `least` and `most`."""
    numbers = [*values]
    low, high = min(numbers), max(numbers)
    margin = max(0.04 * (high - low), 0.0005) if high > low else 0.02
    return max(least, low - margin), min(most, high + margin)


def _round_marks(
    low: float, high: float, most: int = _MOST_STEPS, least_step: float = 0
) -> tuple[float, list[float]]:
    """Return a step of 1, 2 or 5 times a power of ten, and its multiples between both ends."""
    least = max(least_step, (high - low) / most)
    power = 10.0 ** math.floor(math.log10(least))
    step = next(n * power for n in (1, 2, 5, 10) if n * power >= least * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return step, [round(n * step, 12) for n in range(first, last + 1)]


def _powers(low: float, high: float) -> list[float]:
    """Return marks of a logarithmic axis: as many as have room."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors, every in (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 4)):
        values = [n * 10.0**k for k in range(first, last + 1, every) for n in factors]
        marks = [value for value in values if low <= value <= high]
        if len(marks) <= _MOST_POWERS:
            return marks if len(marks) > 1 else _round_marks(low, high, _MOST_POWERS)[1]
    return []
