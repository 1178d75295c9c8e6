"""README and docs name only what is there, and numbers that are those of the code."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import slugline
from slugline.classifier import TopicClassifier
from slugline.cli.app import COMMANDS
from slugline.corrections.gate import ALPHA, FEWEST, clearly_worse
from slugline.corrections.learning import DEFAULT_WEIGHT
from slugline.experiment.evidence import N_OF_PAIR, N_PAIRS, N_SUREST
from slugline.learning.encoder import e5, universal
from slugline.learning.encoder.encoder import MAX_WIDTH
from slugline.learning.linear.learner import LinearLearner
from slugline.model.file.generations import MAX_EARLIER
from slugline.model.thresholds import CONFIDENCE, MAX_PREDICTIONS
from slugline.prediction.record import FORMATS
from slugline.prediction.task import ModelCopy
from slugline.serving.http.operations import OPERATIONS
from slugline.stream import source
from slugline.stream.checkpoint import MAX_TIME_SHARE
from slugline.stream.local import MAX_IN_MEMORY

ROOT = Path(slugline.__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
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
def test_no_page_names_what_is_gone(page: Path) -> None:
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


def words_of(page: str) -> str:
    """Return the text of a page on one line."""
    return " ".join((ROOT / "docs" / page).read_text("utf-8").split())


def test_numbers_on_pages_are_those_of_the_code() -> None:
    scale = words_of("explanation/scale.md")
    assert source.MAX_MERGED_BYTES == 32 << 20
    assert "up to 32 MB (compressed: 8 MB)" in scale
    assert source.MAX_UNSPLIT_BYTES == 64 << 20
    assert "up to 64 MB by a worker" in scale
    assert f"in blocks of {source.ROWS_PER_BLOCK:,};" in scale
    assert MAX_IN_MEMORY == 512 << 20
    assert "Rows over 512 MB" in scale
    assert pytest.approx(1 / 20) == MAX_TIME_SHARE
    assert "at most a twentieth" in scale
    blocks = TopicClassifier()._settings(LinearLearner()).batch_feature_groups()
    n_buckets = sum(block.n_buckets or 0 for block in blocks)
    assert f"at most {n_buckets / 1e6:.1f} million by default" in scale

    corrections = words_of("explanation/corrections.md")
    assert (ALPHA, FEWEST, MAX_EARLIER) == (0.05, 5, 5)
    assert "The limit is 5 %" in corrections
    assert "At least five test documents must have become worse." in corrections
    assert "up to five." in corrections
    assert clearly_worse([(0, 7)]) == [True]
    assert clearly_worse([(4, 7)]) == [False]
    assert pytest.approx(1) == DEFAULT_WEIGHT

    precision = words_of("explanation/precision.md")
    assert f"**with {CONFIDENCE:.0%} confidence**".replace("%", " %") in precision
    assert f"up to {MAX_PREDICTIONS:,} held-out answers" in precision

    n_passages = N_PAIRS * N_OF_PAIR + N_SUREST
    assert f"up to {n_passages} passages" in words_of("explanation/comparison.md")

    encoder = words_of("explanation/encoder.md")
    assert f"Only the first {universal.MAX_TOKENS} tokens" in encoder
    assert f"The first {e5.MAX_TOKENS} tokens" in encoder
    assert f"1 to {MAX_WIDTH:,} columns" in encoder

    many = words_of("howto/many-files.md")
    (formats,) = re.findall(r"--to (\w+)` \(or (\w+), (\w+), (\w+), (\w+)\)", many)
    assert {*formats} == {*FORMATS}


def test_errors_variables_and_fields_are_in_their_tables() -> None:
    explanation = slugline.explain("reuters46", "Wheat exports rose", against="acq").to_dict()
    reasons = (ROOT / "docs/explanation/reasons.md").read_text("utf-8")
    fields = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `[^|]*\|", reasons, re.M)))
    assert set(fields) == set(explanation)
    statuses = {status for operation in OPERATIONS for status in operation.all_errors}
    shown = re.findall(r"^\| (\d+) \|", (ROOT / "docs/reference/http.md").read_text("utf-8"), re.M)
    assert {*map(int, shown)} == statuses | {401, 403, 405, 421, 429, 431, 500, 503}
    settings = words_of("reference/settings.md")
    read = set()
    for file in ROOT.glob("src/**/*.py"):
        read |= set(re.findall(r"environ[^\n]*\"((?:SLUGLINE_|NO_)\w+)\"", file.read_text("utf-8")))
    assert read >= {"SLUGLINE_CACHE", "SLUGLINE_DATA", "SLUGLINE_KERNEL", "NO_COLOR"}
    assert [name for name in sorted(read) if f"`{name}`" not in settings] == []


def test_every_command_and_every_operation_is_on_its_page() -> None:
    commands = (ROOT / "docs/reference/commands.md").read_text("utf-8")
    assert re.findall(r"^## (.+)$", commands, re.M) == [*COMMANDS]
    for name in COMMANDS:
        command = getattr(importlib.import_module(f"slugline.cli.{name}"), name)
        has_all = any("--help-all" in param.opts for param in command.params)
        assert f"\nslugline {name} {'--help-all' if has_all else '--help'}\n" in commands
    http = (ROOT / "docs/reference/http.md").read_text("utf-8")
    shown = re.findall(r"^```\{operation\} (\w+)$", http, re.M)
    assert sorted(shown) == sorted(operation.name for operation in OPERATIONS)


@pytest.mark.parametrize("name", ["spark_predict.py", "ray_predict.py"])
def test_examples_for_other_engines_call_methods_that_are_there(name: str) -> None:
    methods = re.findall(r"ModelCopy\.(\w+)\(", (ROOT / "examples" / name).read_text("utf-8"))
    assert methods
    assert all(hasattr(ModelCopy, method) for method in methods)
