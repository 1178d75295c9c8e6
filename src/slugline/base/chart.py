"""Charts as SVG elements, in the colours and typefaces of a page, and as SVG files.

Elements take their colours from CSS variables in colours.css, which differ in dark mode and print.
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from slugline.base.html import style_sheet

Point = tuple[float, float]

# In pixels: chart width, right and bottom edges, and height of the labels below. Extra rows move
# the bottom edge down.
_WIDTH, _RIGHT, _BOTTOM, _LABELS_HEIGHT = 420, 396, 254, 46
# Font size of the page in pixels, with room for the larger one on phones; see style.css.
_CHARACTER_WIDTH, _LINE_HEIGHT = 7.0, 16
# Steps of an axis, and labels of a logarithmic axis.
_MAX_STEPS, _MAX_POWERS = 9, 6
_SPACE = "\N{NO-BREAK SPACE}"
# Screen pixels per chart pixel in a file.
_ZOOM = 1.25
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Axis:
    """The ends of an axis, its label, and its ticks: values with their texts."""

    low: float
    high: float
    label: str
    ticks: Sequence[tuple[float, str]]
    is_log: bool = False

    @classmethod
    def fractions(
        cls, label: str, values: Iterable[float] = (0, 1), max_steps: int = _MAX_STEPS
    ) -> Axis:
        """Return an axis of percentages with room for all values."""
        low, high = _widen(values, 0, 1)
        step, positions = _round_positions(low, high, max_steps)
        digits = max(0, -math.floor(math.log10(100 * step) + 1e-9))
        ticks = [(each, f"{100 * each:.{digits}f}{_SPACE}%") for each in positions]
        return cls(low, high, label, ticks)

    @classmethod
    def numbers(cls, label: str, values: Iterable[float]) -> Axis:
        """Return an axis with room for all values, which must not be negative."""
        low, high = _widen(values, 0, math.inf)
        step, positions = _round_positions(low, high)
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return cls(low, high, label, [(each, f"{each:.{digits}f}") for each in positions])

    @classmethod
    def epochs(cls, n_epochs: int) -> Axis:
        """Return an axis of epochs, counted from 1; only whole epochs are marked."""
        _, positions = _round_positions(0.5, n_epochs + 0.5, min_step=1)
        return cls(0.5, n_epochs + 0.5, "Epoch", [(n, f"{n:.0f}") for n in positions])

    @classmethod
    def logarithms(cls, label: str, values: Iterable[float]) -> Axis:
        """Return a logarithmic axis with room for all values, which must be positive."""
        numbers = [*values]
        margin = max(1.15, (max(numbers) / min(numbers)) ** 0.08)
        low, high = min(numbers) / margin, max(numbers) * margin
        ticks = [(n, f"{n:,.0f}" if n >= 1 else f"{n:g}") for n in _powers(low, high)]
        return cls(low, high, label, ticks, is_log=True)

    @classmethod
    def names(cls, label: str, names: Sequence[str]) -> Axis:
        """Return an axis with a row for each name, from the top: row i is at -i."""
        return cls(0.6 - len(names), 0.6, label, [(-i, name) for i, name in enumerate(names)])

    def position(self, value: float) -> float:
        """Return the position of a value, from 0 (low end) to 1, clipped to the axis."""
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = (math.log(max(each, 1e-12)) for each in (low, high, value))
        return min(1.0, max(0.0, (value - low) / (high - low)))


class Key(NamedTuple):
    """An entry of a chart's legend."""

    label: str
    colour: str
    marker: Literal["line", "dashes", "dots"] = "line"


class Chart:
    """A chart. Later elements are drawn over earlier ones.

    Parameters
    ----------
    x, y : Axis
        The axes, which define the units of points.
    legend : sequence of Key
        Legend entries, drawn above the chart where no curve crosses them.
    title : str, optional
        Title above the legend, for charts in files, which have no heading.
    """

    def __init__(self, x: Axis, y: Axis, legend: Sequence[Key] = (), *, title: str = "") -> None:
        self._x, self._y = x, y
        self._elements: list[str] = []
        n_columns = max((_n_columns(text) for _, text in y.ticks), default=0)
        self._left = round(32 + _CHARACTER_WIDTH * n_columns)
        if title:
            self._write((self._left, _LINE_HEIGHT), title, "start", is_bold=True)
        n_lines = self._draw_legend(legend, n_lines=1 if title else 0)
        # The last line above the chart is reserved for the text of `rule`.
        self._top = _LINE_HEIGHT * (n_lines + 1) + 6
        self._bottom = max(_BOTTOM, self._top + _LINE_HEIGHT * len(y.ticks))
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
        """Draw a polyline; `colour` is a CSS variable of the page, such as "best"."""
        dashes = "; stroke-dasharray: 5 3" if dashed else ""
        stroke_opacity = f"; stroke-opacity: {opacity:g}" if opacity < 1 else ""
        style = (
            f"fill: none; stroke: var(--{colour}); stroke-width: {width:g}{stroke_opacity}{dashes}"
        )
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
        """Draw a dot with an optional error bar; hollow dots are expected values."""
        x, y = self._pixel(point)
        stroke = f"stroke: var(--{colour}); stroke-width: 1.25"
        if interval is not None:
            low, high = (self._pixel((point[0], end))[1] for end in interval)
            self._elements.append(f'<path d="M{x:g} {low:g}V{high:g}" style="{stroke}"/>')
        fill = f"fill: var(--paper); {stroke}" if hollow else f"fill: var(--{colour})"
        fill += f"; fill-opacity: {opacity:g}" if opacity < 1 else ""
        self._elements.append(f'<circle cx="{x:g}" cy="{y:g}" r="3" style="{fill}"/>')

    def rule(self, x: float, text: str, colour: str) -> None:
        """Draw a dotted vertical line at `x` with a text above it."""
        x_pixel, _ = self._pixel((x, self._y.low))
        style = f"stroke: var(--{colour}); stroke-width: 1; stroke-dasharray: 1 3"
        path = f"M{x_pixel:g} {self._top}V{self._bottom}"
        self._elements.append(f'<path d="{path}" style="{style}"/>')
        is_right = x_pixel > (self._left + _RIGHT) / 2
        x_text, anchor = (x_pixel + 3, "end") if is_right else (x_pixel - 3, "start")
        self._write((x_text, self._top - 5), text, anchor, colour)

    def svg(self, label: str) -> str:
        """Return the chart as an SVG element; `label` is the text for screen readers."""
        size = f"{_WIDTH} {self._bottom + _LABELS_HEIGHT}"
        head = f'<svg role="img" aria-label="{html.escape(label)}" viewBox="0 0 {size}">'
        return "\n".join([head, *self._elements, "</svg>"])

    def _draw_legend(self, legend: Sequence[Key], n_lines: int) -> int:
        """Draw the legend below `n_lines` lines; return the total number of lines."""
        x, n_lines = self._left, n_lines + min(1, len(legend))
        for label, colour, marker in legend:
            width = 44 + _CHARACTER_WIDTH * len(label)
            if x + width > _WIDTH + 14 and x > self._left:
                x, n_lines = self._left, n_lines + 1
            y = _LINE_HEIGHT * n_lines
            if marker == "dots":
                dots = "".join(f'<circle cx="{x + dx}" cy="{y - 4}" r="2.5"/>' for dx in (5, 17))
                self._elements.append(f'<g style="fill: var(--{colour})">{dots}</g>')
            else:
                width_style = "1.75" if marker == "line" else "1"
                style = f"stroke: var(--{colour}); stroke-width: {width_style}"
                dashes = "; stroke-dasharray: 5 3" if marker == "dashes" else ""
                self._elements.append(f'<path d="M{x} {y - 4}h22" style="{style}{dashes}"/>')
            self._write((x + 28, y), label, "start")
            x += round(width)
        return n_lines

    def _draw_axes(self) -> None:
        left, top, bottom = self._left, self._top, self._bottom
        style = "fill: none; stroke: var(--rule); stroke-width:"
        last_label_end = -math.inf
        for value, text in self._x.ticks:
            x, _ = self._pixel((value, self._y.low))
            half_width = _CHARACTER_WIDTH * _n_columns(text) / 2
            if x - half_width < last_label_end:
                continue  # no room for the label, so omit its line too
            self._elements.append(f'<path d="M{x:g} {top}V{bottom}" style="{style} 0.5"/>')
            self._write((x, bottom + 17), text, "middle")
            last_label_end = x + half_width
        for value, text in self._y.ticks:
            _, y = self._pixel((self._x.low, value))
            self._elements.append(f'<path d="M{left} {y:g}H{_RIGHT}" style="{style} 0.5"/>')
            self._write((left - 6, y + 4), text, "end")
        self._elements.append(f'<path d="M{left} {top}V{bottom}H{_RIGHT}" style="{style} 1"/>')
        self._write(((left + _RIGHT) / 2, bottom + _LABELS_HEIGHT - 8), self._x.label, "middle")
        self._write(((top + bottom) / 2, 12), self._y.label, "middle", is_vertical=True)

    def _write(
        self,
        point: Point,
        text: str,
        anchor: str,
        colour: str = "ink",
        *,
        is_vertical: bool = False,
        is_bold: bool = False,
    ) -> None:
        x, y = point
        position = f'transform="rotate(-90)" x="{-x:g}"' if is_vertical else f'x="{x:g}"'
        style = f"fill: var(--{colour}); text-anchor: {anchor}"
        style += "; font-weight: bold" if is_bold else ""
        self._elements.append(
            f'<text {position} y="{y:g}" style="{style}">{html.escape(text)}</text>'
        )

    def _pixels(self, points: Iterable[Point]) -> str:
        return " ".join(f"{x:g},{y:g}" for x, y in map(self._pixel, points))

    def _pixel(self, point: Point) -> Point:
        x, y = self._x.position(point[0]), self._y.position(point[1])
        return (
            round(self._left + x * (_RIGHT - self._left), 1),
            round(self._bottom - y * (self._bottom - self._top), 1),
        )


def svg_file(charts: Sequence[str], n_columns: int = 1) -> str:
    """Return the content of a standalone SVG file with charts in rows, in light-mode colours.

    Colours are inlined because many SVG viewers don't support CSS variables.

    Parameters
    ----------
    charts : sequence of str
        SVG elements, one or more.
    n_columns : int, default 1
        Charts per row.
    """
    rows = [charts[first : first + n_columns] for first in range(0, len(charts), n_columns)]
    elements, width, y = [], 0.0, 0.0
    for row in rows:
        sizes = [_size(chart) for chart in row]
        x, height = 0.0, max(height for _, height in sizes)
        for chart, (chart_width, chart_height) in zip(row, sizes, strict=True):
            place = f'<svg x="{x:g}" y="{y:g}" width="{chart_width:g}" height="{chart_height:g}"'
            elements.append(chart.replace("<svg", place, 1))
            x += chart_width
        width, y = max(width, x), y + height
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {y:g}" '
        f'width="{_ZOOM * width:g}" height="{_ZOOM * y:g}" '
        'style="max-width: 100%; height: auto; font: 12px sans-serif">'
    )
    paper = '<rect width="100%" height="100%" style="fill: var(--paper)"/>'
    content = "\n".join([head, paper, *elements, "</svg>\n"])
    light_mode, _, _ = style_sheet("colours.css").partition("@media")
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", light_mode))

    def write_out(style: re.Match[str]) -> str:
        return re.sub(r"var\(--(\w+)\)", lambda name: colours[name[1]], style[0])

    content = re.sub('(?<=style=")[^"]*', write_out, content)
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", content)


def _size(chart: str) -> Point:
    """Return the width and the height of an SVG element."""
    numbers = chart.partition('viewBox="0 0 ')[2].partition('"')[0].split()
    return float(numbers[0]), float(numbers[1])


def _n_columns(text: str) -> int:
    """Return the width of a text in columns; wide East Asian characters count twice."""
    return len(text) + sum(unicodedata.east_asian_width(character) in "WF" for character in text)


def _widen(values: Iterable[float], minimum: float, maximum: float) -> Point:
    """Return the range of the values with a margin, clipped to the limits."""
    numbers = [*values]
    low, high = min(numbers), max(numbers)
    margin = max(0.04 * (high - low), 0.0005) if high > low else 0.02
    return max(minimum, low - margin), min(maximum, high + margin)


def _round_positions(
    low: float, high: float, max_steps: int = _MAX_STEPS, min_step: float = 0
) -> tuple[float, list[float]]:
    """Return a step (1, 2 or 5 times a power of ten) and its multiples between both ends."""
    min_step = max(min_step, (high - low) / max_steps)
    power = 10.0 ** math.floor(math.log10(min_step))
    step = next(n * power for n in (1, 2, 5, 10) if n * power >= min_step * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return step, [round(n * step, 12) for n in range(first, last + 1)]


# Ticks of a logarithmic axis: multiples of a power of ten, and the interval between powers that
# have ticks. The densest choice comes first.
_TICK_PATTERNS = (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 4))


def _powers(low: float, high: float) -> list[float]:
    """Return the ticks that fit on a logarithmic axis."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors, step in _TICK_PATTERNS:
        values = [n * 10.0**k for k in range(first, last + 1, step) for n in factors]
        ticks = [value for value in values if low <= value <= high]
        if len(ticks) <= _MAX_POWERS:
            return ticks if len(ticks) > 1 else _round_positions(low, high, _MAX_POWERS)[1]
    return []
