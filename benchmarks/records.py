"""Results of benchmarks as data: a CSV file for each table, and one that lists them.

A benchmark returns Markdown. `record_results` writes each of its tables to `results/TABLE.csv`, and
a row with the command, the date, the versions and the default encoder to `results/tables.csv`.
README.md, RESULTS.md and the site take their numbers from there.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

FOLDER = Path(__file__).parent / "results"
INDEX = "tables"

_NUMBER_WITH_COMMAS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")


@dataclass(frozen=True)
class TableRecord:
    """A row of `tables.csv`."""

    table: str  # the name of the file, without .csv
    benchmark: str  # such as "labels few"; empty if none prints the table
    title: str
    command: str
    note: str  # what was measured, and how
    date: str  # YYYY-MM-DD
    versions: str
    default_encoder: str  # the encoder of models for which a benchmark names none; "none" for words


@dataclass(frozen=True)
class Table:
    """A table of a benchmark's output, with its title and the text before it."""

    title: str
    note: str
    header: list[str]
    rows: list[list[str]]


def parse_tables(text: str) -> list[Table]:
    """Return the tables of Markdown.

    A title is the heading above the table, if there is one; of several tables below it, with the
    first cell. A text after the last table belongs to its note.
    """
    found: list[tuple[str, list[list[str]]]] = []
    notes = [""]
    heading = ""
    for part in re.split(r"\n\s*\n", re.sub(r"^#.*$", r"\n\g<0>\n", text, flags=re.M).strip()):
        lines = [line.strip() for line in part.splitlines()]
        if lines[0].startswith("|"):
            found.append((heading, [*map(_split_row, lines)]))
            notes.append("")
        elif lines[0].startswith("#"):
            heading = lines[0].lstrip("# ")
        else:
            notes[-1] = " ".join([notes[-1], *lines]).strip()
    last = notes.pop()
    if found:
        notes[-1] = f"{notes[-1]} {last}".strip()
    n_below = Counter(heading for heading, _ in found)
    tables = []
    for (heading, (header, _, *rows)), note in zip(found, notes, strict=True):
        cell = header[0].rpartition(",")[0] or header[0]
        title = heading if n_below[heading] == 1 else f"{heading} {cell}".strip()
        tables.append(Table(title, note, header, rows))
    return tables


def _split_row(line: str) -> list[str]:
    cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
    return [_parse_cell(cell) for cell in cells]


def _parse_cell(cell: str) -> str:
    """Return a cell without bold type; a number without its commas, and nothing for a dash."""
    cell = cell.strip().replace("**", "").replace("\\|", "|")
    if _NUMBER_WITH_COMMAS.fullmatch(cell):
        return cell.replace(",", "")
    return "" if cell == "-" else cell


def record_results(
    benchmark: str,
    command: str,
    text: str,
    date: str,
    versions: str,
    default_encoder: str,
    folder: Path = FOLDER,
) -> list[str]:
    """Write the tables of a benchmark's output in place of its earlier ones; return their names.

    A single table has the name of the benchmark; those of several end in their titles. For the
    other parameters, see `TableRecord`.
    """
    tables = parse_tables(text)
    if not tables:
        raise SystemExit(f"{benchmark} prints no table, so that there is nothing to record.")
    records = read_index(folder)
    for record in records:
        if record.benchmark == benchmark:
            (folder / f"{record.table}.csv").unlink(missing_ok=True)
    records = [record for record in records if record.benchmark != benchmark]
    names: list[str] = []
    for table in tables:
        name = _slug(f"{benchmark} {table.title}" if len(tables) > 1 else benchmark)
        if name in names:
            name += f"-{len(names) + 1}"
        names.append(name)
        write_rows(folder / f"{name}.csv", [table.header, *table.rows])
        records.append(
            TableRecord(
                table=name,
                benchmark=benchmark,
                title=table.title or benchmark,
                command=command,
                note=table.note,
                date=date,
                versions=versions,
                default_encoder=default_encoder,
            )
        )
    write_index(folder, records)
    return names


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower().replace(",", "").replace("'", "")).strip("-")


def read_index(folder: Path = FOLDER) -> list[TableRecord]:
    """Return the rows of `tables.csv`."""
    path = folder / f"{INDEX}.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [TableRecord(**row) for row in csv.DictReader(file)]


def write_index(folder: Path, records: Sequence[TableRecord]) -> None:
    """Write `tables.csv`, sorted by name."""
    header = [field.name for field in fields(TableRecord)]
    rows = [[*asdict(record).values()] for record in sorted(records, key=lambda r: r.table)]
    write_rows(folder / f"{INDEX}.csv", [header, *rows])


def read_rows(path: Path) -> list[list[str]]:
    """Return the rows of a CSV file, the header first."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def write_rows(path: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write a CSV file."""
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
