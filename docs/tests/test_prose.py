"""README and pages name only what exists, and have the numbers of the code and the benchmarks."""

from __future__ import annotations

import csv
import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import click
import pytest

import slugline
from slugline.classifier import TopicClassifier
from slugline.cli.app import COMMANDS
from slugline.corrections.gate import ALPHA, MIN_CHANGED, clearly_worse
from slugline.experiment.evidence import N_OF_PAIR, N_PAIRS, N_SUREST
from slugline.learning.encoder import e5, universal
from slugline.learning.encoder.encoder import get_encoder
from slugline.learning.encoder.identity import MAX_WIDTH
from slugline.learning.encoder.registry import ENCODERS
from slugline.learning.linear.learner import LinearLearner
from slugline.model.file.generations import MAX_EARLIER
from slugline.model.heldout import MAX_PREDICTIONS
from slugline.model.parts import source
from slugline.model.thresholds import CONFIDENCE
from slugline.prediction.file_pairs import FORMATS
from slugline.serving.http.operations import OPERATIONS

ROOT = Path(slugline.__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "benchmarks" / "RESULTS.md",
    *sorted(path for path in ROOT.glob("docs/**/*.md") if "_build" not in path.parts),
]
#: Files in examples, and one inside a model file.
EXAMPLES = {"pipelines.py", "card.md"}


def has(dotted: str) -> bool:
    """Whether a dotted name is a module, or a name in one."""
    module, _, name = dotted.rpartition(".")
    try:
        importlib.import_module(dotted)
    except ImportError:
        return bool(module) and hasattr(importlib.import_module(module), name)
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_only_modules_and_files_that_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    names = set(
        re.findall(
            r"\bslugline(?:\.[a-z]\w*)*\.(?!(?:slug|toml|service|fish|htpasswd)\b)[A-Za-z]\w*", text
        )
    )
    assert [name for name in sorted(names) if not has(name)] == []
    for line in re.findall(r"^from slugline\S* import [^(\n]+$", text, re.MULTILINE):
        exec(line, {})  # noqa: S102 - our own pages
    if page.parent != ROOT:
        return  # the build of the site checks its links
    paths = set(re.findall(r"[\w./-]*\w\.(?:py|c|md)\b", re.sub(r"\w+://\S+", "", text)))
    folders = (ROOT, page.parent, ROOT / "src" / "slugline")
    gone = [path for path in sorted(paths) if not any((f / path).exists() for f in folders)]
    assert set(gone) <= EXAMPLES


def test_architecture_and_decisions_name_files_that_exist() -> None:
    pages = [page for page in PAGES if page.name == "architecture.md" or "decisions" in page.parts]
    package = ROOT / "src" / "slugline"
    places = (ROOT, package, package / "serving")
    gone = {
        (page.name, path)
        for page in pages
        for path in re.findall(r"`(\w[\w/]*/(?:[\w.]*\.(?:py|c|js|j2))?)`", page.read_text("utf-8"))
        if not any((place / path).exists() for place in places)
    }
    assert len(pages) > 20
    assert gone == set()


def read_words(page: str) -> str:
    """Return the text of a page on one line."""
    return " ".join((ROOT / "docs" / page).read_text("utf-8").split())


def test_numbers_on_pages_are_those_of_the_code() -> None:
    scale = read_words("explanation/scale.md")
    assert source.MAX_MERGED_BYTES == 32 << 20
    assert "up to 32 MB (compressed: 8 MB)" in scale
    assert source.MAX_SENT_BYTES == 64 << 20
    assert "files of up to 64 MB" in scale
    assert f"in blocks of {source.ROWS_PER_BLOCK:,};" in scale
    blocks = TopicClassifier()._settings(LinearLearner()).batch_feature_groups()
    n_buckets = sum(block.n_buckets or 0 for block in blocks)
    assert f"at most {n_buckets / 1e6:.1f} million by default" in scale

    corrections = read_words("explanation/corrections.md")
    assert (ALPHA, MIN_CHANGED, MAX_EARLIER) == (0.05, 5, 5)
    assert "The limit is 5 %" in corrections
    assert "At least five test documents must have become worse." in corrections
    assert "up to five." in corrections
    assert clearly_worse([(0, 7)]) == [True]
    assert clearly_worse([(4, 7)]) == [False]

    precision = read_words("explanation/precision.md")
    assert f"**with {CONFIDENCE:.0%} confidence**".replace("%", " %") in precision
    assert f"up to {MAX_PREDICTIONS:,} held-out answers" in precision

    n_passages = N_PAIRS * N_OF_PAIR + N_SUREST
    assert f"up to {n_passages} passages" in read_words("explanation/comparison.md")

    encoders = read_words("reference/encoders.md")
    assert f"A text is cut after {universal.MAX_TOKENS} tokens" in encoders
    assert f"The first {e5.MAX_TOKENS} tokens" in encoders
    assert f"1 to {MAX_WIDTH:,} columns" in encoders

    many = read_words("howto/many-files.md")
    (formats,) = re.findall(r"--to (\w+)` \(or (\w+), (\w+), (\w+), (\w+)\)", many)
    assert {*formats} == {*FORMATS}


def test_table_of_encoders_is_that_of_the_registry() -> None:
    page = (ROOT / "docs/reference/encoders.md").read_text("utf-8")
    cells = re.findall(r"^\| `([\w,]+)` \| (.*?) \| (.*?) \| (\d+) \|", page, re.M)
    expected = [
        (
            name,
            "none: it comes with Slugline" if entry.extra is None else f"`{entry.extra}`",
            entry.languages,
            str(get_encoder(name).encode(["a text"]).shape[1]),
        )
        for name, entry in ENCODERS.items()
    ]
    assert cells == expected


def test_tables_have_all_errors_variables_and_fields() -> None:
    explanation = slugline.explain("reuters46", "Wheat exports rose", against="acq").to_dict()
    reasons = (ROOT / "docs/explanation/reasons.md").read_text("utf-8")
    fields = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `[^|]*\|", reasons, re.M)))
    assert set(fields) == set(explanation)
    statuses = {status for operation in OPERATIONS for status in operation.all_errors}
    shown = re.findall(r"^\| (\d+) \|", (ROOT / "docs/reference/http.md").read_text("utf-8"), re.M)
    assert {*map(int, shown)} == statuses | {401, 403, 405, 421, 429, 431, 500, 503}
    settings = read_words("reference/settings.md")
    read = set()
    for file in ROOT.glob("src/**/*.py"):
        read |= set(re.findall(r"environ[^\n]*\"((?:SLUGLINE_|NO_)\w+)\"", file.read_text("utf-8")))
    assert read >= {"SLUGLINE_CACHE", "SLUGLINE_DATA", "SLUGLINE_KERNEL", "NO_COLOR"}
    assert [name for name in sorted(read) if f"`{name}`" not in settings] == []


def test_reference_has_every_command_and_operation() -> None:
    commands = (ROOT / "docs/reference/commands.md").read_text("utf-8")
    assert re.findall(r"^## (.+)$", commands, re.M) == [*COMMANDS]
    for name in COMMANDS:
        command = getattr(importlib.import_module(f"slugline.cli.{name}"), name)
        has_all = any("--help-all" in param.opts for param in command.params)
        names = [name]
        if isinstance(command, click.Group):
            names += [f"{name} {subcommand}" for subcommand in command.commands]
        for each in names:
            assert re.search(rf"\nslugline {each} --help(-all)?\n", commands), each
        assert not has_all or f"\nslugline {name} --help-all\n" in commands
    http = (ROOT / "docs/reference/http.md").read_text("utf-8")
    shown = re.findall(r"^```\{operation\} (\w+)$", http, re.M)
    assert sorted(shown) == sorted(operation.name for operation in OPERATIONS)


#: Options of dask, docker, curl, pytest and systemctl, and of tools/mutants.py.
OTHER_OPTIONS = {
    "--build-arg",
    "--data-binary",
    "--help",
    "--hypothesis-profile",
    "--memory-limit",
    "--now",
    "--nthreads",
    "--nworkers",
    "--only",
    "--part",
}


def test_pages_name_only_options_that_exist() -> None:
    groups = [getattr(importlib.import_module(f"slugline.cli.{name}"), name) for name in COMMANDS]
    commands = [
        command
        for group in groups
        for command in (group.commands.values() if isinstance(group, click.Group) else [group])
    ]
    options = {
        option
        for command in commands
        for param in command.params
        for option in [*param.opts, *param.secondary_opts]
    }
    unknown = {
        (page.name, option)
        for page in PAGES
        for line in page.read_text("utf-8").splitlines()
        if "benchmarks/run.py" not in line and page.name != "RESULTS.md"
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", line)
    }
    assert {each for each in unknown if each[1] not in options | OTHER_OPTIONS} == set()


# Benchmarks ---------------------------------------------------------------------------------------

COMMAND = re.compile(r"benchmarks/run\.py(?: (?!all)([a-z_]+)((?: [a-z][a-z0-9-]*)*))?(.*?)`")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module that runs benchmarks."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("run")


def test_commands_name_benchmarks_and_options_that_exist(run: ModuleType) -> None:
    texts = [page.read_text("utf-8") for page in PAGES]
    with (RESULTS / "tables.csv").open(encoding="utf-8", newline="") as file:
        texts += [f"`{row['command']}`" for row in csv.DictReader(file) if row["command"]]
    n_commands = 0
    for subject, names, options in COMMAND.findall("\n".join(texts)):
        if subject:
            registered = importlib.import_module(subject).BENCHMARKS
            functions = [registered[name] for name in names.split() or registered]
            run.make_parser("run.py", functions).parse_args(options.split())
            n_commands += 1
    assert n_commands > 90


class Cell(NamedTuple):
    """A cell of a recorded table."""

    table: str
    row: str
    column: str

    def read(self) -> str:
        """Return its content."""
        with (RESULTS / f"{self.table}.csv").open(encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        (row,) = (row for row in rows if row[0] == self.row)
        return row[header.index(self.column)]


def cells_of(table: str, cells: dict[str, list[str]]) -> list[Cell]:
    """Return cells by row and columns."""
    return [Cell(table, row, column) for row, columns in cells.items() for column in columns]


WORDS_AND_CHARACTERS = "(b) words 1-2, char_wb 2-5, sublinear + LinearSVC"
PEERS_OF_SCALE = ("(a) TfidfVectorizer + LinearSVC", "fastText, 5 epochs", "Slugline, from a list")
#: What rows of the README's table begin with, and the recorded numbers that they have, in order.
README_NUMBERS = {
    "accuracy, mean of 21 sets": cells_of(
        "accuracy-compare-accuracy-on-test-documents",
        {"mean": [WORDS_AND_CHARACTERS, "Slugline, default", "Slugline, with the encoder"]},
    ),
    "accuracy with ten labels": cells_of(
        "labels-few-mean-of-the-sets-39",
        {row: ["10"] for row in (WORDS_AND_CHARACTERS, "Slugline, default", "Slugline, use")},
    ),
    "several topics": cells_of(
        "multilabel-accuracy",
        {
            row: ["micro-F1", "macro-F1", "F1 per document"]
            for row in (
                "words, C = 5, a threshold per topic by four folds",
                "Slugline, `optimize` micro",
            )
        },
    ),
    "100,000 texts of 100 topics, fit": cells_of(
        "scale-fit-100000-texts-100-topics",
        {row: ["seconds", "peak memory, MB"] for row in PEERS_OF_SCALE},
    ),
    "1,000,000 texts of 100 topics, fit": cells_of(
        "scale-fit-1000000-texts-100-topics",
        {row: ["seconds", "peak memory, MB"] for row in PEERS_OF_SCALE[1:]},
    ),
    "the newswire lesson, fit": cells_of(
        "lesson-keras", {row: ["fit", "peak memory"] for row in ("Keras on TensorFlow", "Slugline")}
    ),
    "finding 975 newswires": cells_of(
        "audit-wrong-topics", {"reuters": ["AP: cleanlab, margin", "AP: audit"]}
    ),
    "95 % precision requested": cells_of(
        "decisions-precision",
        {
            "mean": [
                "temperature, same bound: precision",
                "temperature, same bound: coverage",
                "Slugline: precision",
                "Slugline: coverage",
            ]
        },
    ),
}


@pytest.mark.parametrize("beginning", README_NUMBERS)
def test_readme_has_the_recorded_numbers(beginning: str) -> None:
    (line,) = (line for line in README.splitlines() if line.startswith(f"| {beginning}"))
    _, _, *shown = line.split("|")
    numbers = re.findall(r"\d[\d,]*\.?\d*", " ".join(shown))
    assert [number.replace(",", "") for number in numbers] == [
        re.sub(r"[^\d.]", "", cell.read()) for cell in README_NUMBERS[beginning]
    ]


def test_readme_names_the_recorded_ratios_of_serving() -> None:
    (line,) = (line for line in README.splitlines() if line.startswith("| texts served per second"))
    rows = (
        "single texts a second, 32 connections",
        "documents a second, in requests of 100, 4 connections",
    )
    for row in rows:
        (ratio,) = re.findall(r"\((.+) times\)", Cell("serving-load", row, "Slugline").read())
        assert ratio in line


def test_readme_has_at_most_130_lines() -> None:
    assert len(README.splitlines()) <= 130
