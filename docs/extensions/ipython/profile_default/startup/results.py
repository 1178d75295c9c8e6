"""Tables and charts of benchmarks/RESULTS.md, for the page on measurements."""

import os
import re
from pathlib import Path

RESULTS = Path(os.environ["SLUGLINE_RESULTS"])
_OURS, _OTHERS, _GRID = "#2f81c8", ("#8a94a0", "#b98a5a"), "#8a94a0"


class Table:
    """The first table below a heading of the results; `columns` chooses some, by number."""

    def __init__(self, heading, columns=None, rows=None):
        text = RESULTS.read_text("utf-8")
        below = re.split(rf"^#+ {re.escape(heading)}$", text, flags=re.MULTILINE)[1]
        lines = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)[0].splitlines()
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        head, body = cells[0], [row for row in cells[2:] if rows is None or row[0] in rows]
        columns = range(len(head)) if columns is None else columns
        self.head = [head[i].replace("**", "") for i in columns]
        self.rows = [[row[i].replace("**", "") for i in columns] for row in body]

    def _repr_markdown_(self):
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _dot(x, y, colour):
    return f'<circle cx="{x:.1f}" cy="{y}" r="5" fill="{colour}"/>'


def _text(x, y, text, anchor="start"):
    return f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _line(x1, x2, y1, y2):
    return f'<path d="M{x1:.1f},{y1}L{x2:.1f},{y2}" stroke="{_GRID}" stroke-opacity="0.4"/>'


class Dots:
    """A row for each row of a table, with a dot for each column of numbers, as SVG."""

    def __init__(self, table, names, title):
        self.table, self.names, self.title = table, names, title

    def _repr_html_(self):
        rows = [(row[0], [float(cell) for cell in row[1:]]) for row in self.table.rows]
        values = [value for _, numbers in rows for value in numbers]
        low, high = int(min(values) * 10) / 10, 1.0
        left, width, step = 150, 430, 20
        height = step * len(rows) + 60

        def x(value):
            return left + width * (value - low) / (high - low)

        colours = [*_OTHERS, _OURS][-len(self.names) :]
        parts, at = [], left
        for name, colour in zip(self.names, colours, strict=True):
            parts += [_dot(at, 12, colour), _text(at + 10, 16, name)]
            at += 8 * len(name) + 40
        for tick in range(round(low * 10), 11):
            at = x(tick / 10)
            parts += [
                _line(at, at, 30, height - 25),
                _text(at, height - 8, f"{tick / 10:.1f}", "middle"),
            ]
        for number, (name, numbers) in enumerate(rows):
            y = 44 + step * number
            parts += [
                _text(left - 10, y + 4, name, "end"),
                _line(x(min(numbers)), x(max(numbers)), y, y),
            ]
            parts += [_dot(x(n), y, colour) for n, colour in zip(numbers, colours, strict=True)]
        return (
            f'<svg class="chart" viewBox="0 0 600 {height}" role="img" aria-label="{self.title}">'
            + "".join(parts)
            + "</svg>"
        )
