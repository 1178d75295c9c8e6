"""Tables and charts of what benchmarks have recorded in benchmarks/results.

    ```{results} multilabel-accuracy
    :columns: 0 1 2
    ```

shows a table, with all of its columns and rows unless some are named by number. `{results-chart}`
draws a row for each row of the table, with a dot for each of its columns of numbers.
"""

from __future__ import annotations

import csv
import html
import re
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = Path(__file__).parents[2] / "benchmarks" / "results"
_SLUGLINE_COLOUR, _OTHER_COLOURS, _GRID_COLOUR = "#2f81c8", ("#8a94a0", "#b98a5a"), "#8a94a0"
_LARGE_NUMBER = re.compile(r"[-+]?\d{4,}(?:\.\d+)?")


def read_table(name: str) -> list[list[str]]:
    """Return the rows of a recorded table, the header first."""
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def format_cell(cell: str) -> str:
    """Return a cell for Markdown, with commas in large numbers."""
    if _LARGE_NUMBER.fullmatch(cell):
        cell = f"{float(cell):,.{len(cell.partition('.')[2])}f}"
    return cell.replace("|", "\\|")


def parse_numbers(argument: str) -> list[int]:
    """Return the numbers of columns or rows."""
    return [int(word) for word in argument.split()]


class _Results(SphinxDirective):
    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"columns": parse_numbers, "rows": parse_numbers}

    def read_cells(self) -> list[list[str]]:
        """Return the named columns and rows of the table, the header first."""
        path = FOLDER / f"{self.arguments[0]}.csv"
        if not path.is_file():
            raise self.error(f"benchmarks/results has no table {self.arguments[0]}")
        self.env.note_dependency(str(path))
        header, *rows = read_table(self.arguments[0])
        columns = self.options.get("columns", range(len(header)))
        rows = [rows[number] for number in self.options.get("rows", range(len(rows)))]
        return [[row[column] for column in columns] for row in (header, *rows)]


class ResultsTable(_Results):
    """A recorded table."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        header, *rows = [[*map(format_cell, row)] for row in self.read_cells()]
        lines = [header, ["---"] * len(header), *rows]
        return self.parse_text_to_nodes("\n".join(f"| {' | '.join(line)} |" for line in lines))


class ResultsChart(_Results):
    """A recorded table as a chart; the content is its title."""

    option_spec: ClassVar[dict[str, Any]] = {
        **_Results.option_spec,
        "names": directives.unchanged_required,
    }
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the chart."""
        rows = {row[0]: [float(cell) for cell in row[1:]] for row in self.read_cells()[1:]}
        names = [name.strip() for name in self.options["names"].split(",")]
        chart = draw_chart(rows, names, " ".join(self.content))
        return [nodes.raw("", chart, format="html")]


def draw_chart(rows: dict[str, list[float]], names: list[str], title: str) -> str:
    """Return an SVG with a dot for each number; the last name is Slugline's."""
    low = int(min(map(min, rows.values())) * 10) / 10
    left, width, step = 150, 430, 20
    height = step * len(rows) + 60

    def position(value: float) -> float:
        return left + width * (value - low) / (1 - low)

    colours = [*_OTHER_COLOURS, _SLUGLINE_COLOUR][-len(names) :]
    parts, x = [], left
    for name, colour in zip(names, colours, strict=True):
        parts += [_dot(x, 12, colour), _text(x + 10, 16, name)]
        x += 8 * len(name) + 40
    for tick in range(round(low * 10), 11):
        at = position(tick / 10)
        parts.append(_line(at, at, 30, height - 25))
        parts.append(_text(at, height - 8, f"{tick / 10:.1f}", "middle"))
    for number, (name, values) in enumerate(rows.items()):
        y = 44 + step * number
        parts.append(_text(left - 10, y + 4, name, "end"))
        parts.append(_line(position(min(values)), position(max(values)), y, y))
        parts += [_dot(position(v), y, c) for v, c in zip(values, colours, strict=True)]
    return (
        f'<svg class="chart" viewBox="0 0 600 {height}" role="img" '
        f'aria-label="{html.escape(title)}">{"".join(parts)}</svg>'
    )


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _line(x1: float, x2: float, y1: float, y2: float) -> str:
    return f'<path d="M{x1:.1f},{y1}L{x2:.1f},{y2}" stroke="{_GRID_COLOUR}" stroke-opacity="0.4"/>'


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_directive("results", ResultsTable)
    app.add_directive("results-chart", ResultsChart)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
