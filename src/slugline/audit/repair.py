"""Decisions of a reviewer, and the documents as they are after them."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from slugline.audit.evidence import assign_folds
from slugline.audit.findings import DECISIONS, text_digest
from slugline.base.arrays import Index
from slugline.base.progress import Progress, check_progress
from slugline.corpus.columns import find_both_columns, format_list, peek
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import Topics, check_topic_names
from slugline.corpus.loading import NAMED_CORPORA
from slugline.corpus.readers import RowReader, read_rows
from slugline.corpus.rows import BadRow, SourceRow, join_advice, translate_os_errors
from slugline.errors import DataError
from slugline.learning.linear.learner import LinearLearner
from slugline.model.fit import fit
from slugline.model.settings import FitSettings

__all__ = [
    "Decision",
    "Gain",
    "Repair",
    "apply_decisions",
    "measure_gain",
    "read_decisions",
    "to_csv",
    "to_json_lines",
    "whole_rows",
]


_NEEDED = ("decision", "new_topic", "at", "digest")
_PARTS = ("train", "test")
# Bytes of a file to look at, at a time.
_PIECE = 1 << 20


class Decision(NamedTuple):
    """What to do with one document.

    Attributes
    ----------
    place : str
        Where the decision stands in its file, such as "line 2".
    what : str
        "keep", "relabel" or "drop".
    new_topic : str
        The topic to give it, for "relabel".
    part : str
        "train" or "test".
    at : str
        Where the document stands in its source.
    digest : str
        See `slugline.audit.findings.text_digest`.
    """

    place: str
    what: str
    new_topic: str
    part: str
    at: str
    digest: str


@dataclass(frozen=True)
class Repair:
    """Documents after decisions.

    Attributes
    ----------
    corpus : Corpus
    topics : list of str or None
        The topic of each document that there was; None for those that were dropped.
    new_topics : list of str
        Topics that no document had before.
    n_relabelled, n_dropped, n_kept : int
        How many documents each decision was about.
    """

    corpus: Corpus
    topics: list[str | None]
    new_topics: list[str]
    n_relabelled: int
    n_dropped: int
    n_kept: int


def read_decisions(path: str | Path, encoding: str | None = None) -> list[Decision]:
    """Read a reviewed table, of which rows without a decision are left out.

    Parameters
    ----------
    path : str or Path
        CSV with commas, semicolons or tabs, or an Excel file.
    encoding : str, optional
        Any text encoding of Python. It plays no part if the table is UTF-8, as it was written.

    Raises
    ------
    DataError : if it can't be read, lacks a column, or has a decision that is none of the three;
        the message names the line.
    OptionError : if there is no such encoding.
    """
    kind = "xlsx" if Path(path).suffix.lower() == ".xlsx" else "csv"
    rows = read_rows(path, format=kind, encoding=_encoding_of(Path(path), encoding))
    read = (_decision(rows, row) for row in _good(rows))
    return [decision for decision in read if decision is not None]


def _encoding_of(path: Path, named: str | None) -> str | None:
    """Return the named encoding, or None if the file holds UTF-8 that is more than ASCII."""
    if named is None or not path.is_file():
        return named
    decoder, is_ascii = codecs.getincrementaldecoder("utf-8")(), True
    with translate_os_errors(str(path)), path.open("rb") as file:
        try:
            for piece in iter(partial(file.read, _PIECE), b""):
                decoder.decode(piece)
                is_ascii = is_ascii and piece.isascii()
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return named
    return named if is_ascii else None


def _good(rows: RowReader) -> list[SourceRow]:
    """Return the rows of a table, if it has the columns of one to review, and no bad row."""
    items = list(rows)
    good = [item for item in items if isinstance(item, SourceRow)]
    bad = [item for item in items if isinstance(item, BadRow)]
    missing = [column for column in _NEEDED if good and column not in good[0].values]
    if missing:
        raise DataError(
            f"{rows.name} has no column {missing[0]!r}, but {format_list([*good[0].values])}; it "
            "must have the columns of the table that the audit wrote to review."
        )
    if bad:
        # The more samples of its bytes there are, the better an encoding can be guessed.
        advice = join_advice([row for row in bad if row.problem == bad[0].problem])
        raise DataError(f"{rows.name}, {rows.unit} {bad[0].at}: {bad[0].problem}; {advice}.")
    if not good:
        raise DataError(f"{rows.name} holds no rows; give the table that was reviewed.")
    return good


def _decision(rows: RowReader, row: SourceRow) -> Decision | None:
    values, place = row.values, f"{rows.unit} {row.at}"
    where = f"{rows.name}, {place}"
    what = _cell(values, "decision").casefold()
    if not what:
        return None
    if what not in DECISIONS:
        raise DataError(
            f"{where}: the decision is {what[:40]!r}; write keep, relabel or drop, or leave it "
            "empty."
        )
    new_topic = _cell(values, "new_topic")
    if what == "relabel":
        if not new_topic:
            raise DataError(
                f"{where}: relabel needs a topic in the column new_topic, which is empty; write "
                "one, or decide otherwise."
            )
        check_topic_names([new_topic])
    part = _cell(values, "part") or _PARTS[0]
    if part not in _PARTS:
        raise DataError(
            f"{where}: the part is {part[:40]!r}; it must be train or test, as in the table that "
            "the audit wrote."
        )
    return Decision(place, what, new_topic, part, _cell(values, "at"), _cell(values, "digest"))


def _cell(values: Mapping[str, Any], column: str) -> str:
    """Return what stands in a cell; Excel keeps 3 as 3.0."""
    value = values.get(column)
    if value is None or value != value:
        return ""
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip()


def apply_decisions(
    corpus: Corpus, decisions: Sequence[Decision], name: str, part: str = "train"
) -> Repair:
    """Return the documents with decisions carried out.

    Parameters
    ----------
    corpus : Corpus
    decisions : sequence of Decision
        Those of other parts are left out.
    name : str
        The file that they were read from, for messages.
    part : str, default "train"
        Which part the corpus is.

    Raises
    ------
    DataError : if a decision is about a document that isn't there, or was changed since, or if
        there are two about one; the message names the line. Or if no document would be left.
    """
    rows = _rows(corpus)
    topics = list(corpus.topics)
    kept = [True] * len(corpus)
    seen: dict[int, str] = {}
    chosen = [decision for decision in decisions if decision.part == part]
    for decision in chosen:
        row = _row(corpus, rows, decision, name)
        if row in seen:
            raise DataError(
                f"{name}, {decision.place}: {corpus.unit} {decision.at} has a decision in "
                f"{seen[row]} already; leave one of them."
            )
        seen[row] = decision.place
        if decision.what == "relabel":
            topics[row] = decision.new_topic
        kept[row] = decision.what != "drop"
    if not any(kept):
        raise DataError(f"{name} drops every document of {corpus.name}; keep some.")
    counts = Counter(decision.what for decision in chosen)
    left = replace(
        corpus,
        texts=list(itertools.compress(corpus.texts, kept)),
        topics=list(itertools.compress(topics, kept)),
        places=list(itertools.compress(corpus.numbered_places(), kept)),
    )
    after = [topic if keep else None for topic, keep in zip(topics, kept, strict=True)]
    new = sorted(set(left.topics) - set(corpus.topics))
    return Repair(left, after, new, counts["relabel"], counts["drop"], counts["keep"])


def _rows(corpus: Corpus) -> dict[str, list[int]]:
    """Return the documents at each place; several files may have a line 2."""
    rows: dict[str, list[int]] = {}
    for row, place in enumerate(corpus.numbered_places()):
        rows.setdefault(str(place), []).append(row)
    return rows


def _row(corpus: Corpus, rows: Mapping[str, list[int]], decision: Decision, name: str) -> int:
    where = f"{name}, {decision.place}"
    if decision.at not in rows:
        raise DataError(
            f"{where}: there is no {corpus.unit} {decision.at[:40]} in {corpus.name}; give the "
            "documents that were reviewed, or leave the line out."
        )
    for row in rows[decision.at]:
        if text_digest(corpus.texts[row], corpus.topics[row]) == decision.digest:
            return row
    raise DataError(
        f"{where}: {corpus.unit} {decision.at} of {corpus.name} was changed since it was reviewed, "
        "or is read in another way; give the options of the audit, such as `text`, `topic`, "
        "`fold_topics` and `topic_map`, audit the documents again, or leave the line out."
    )


# Repaired documents with all columns of the files that they were read from ------------------------

Values = dict[str, Any]


def whole_rows(
    sources: Sequence[str],
    corpus: Corpus,
    topics: Sequence[str | None],
    text: str | None = None,
    topic: str | None = None,
    *,
    format: str | None = None,  # noqa: A002 (as in load_corpus)
    encoding: str | None = None,
) -> list[Values] | None:
    """Return the rows of documents as they stand in their files, under other topics.

    Parameters
    ----------
    sources : sequence of str
        What the corpus was read from.
    corpus : Corpus
    topics : sequence of str or None
        The topic of each document; None for those to leave out.
    text, topic, format, encoding : see `slugline.corpus.loading.load_corpus`

    Returns
    -------
    list of dict, or None if a source is no file or folder and can't be read a second time.

    Raises
    ------
    DataError : if a file can't be read, or was changed since the corpus was read.
    """
    if any(each in NAMED_CORPORA or not _is_lasting(Path(each)) for each in sources):
        return None
    kept: list[Values] = []
    row_number, places = 0, corpus.numbered_places()
    for source in sources:
        rows = read_rows(source, format=format, encoding=encoding)
        head = peek(rows)
        column = find_both_columns(rows.name, head, text, topic)[1]
        for row in itertools.chain(head, rows):
            place = row.at if len(sources) == 1 else f"{rows.name}, {rows.unit} {row.at}"
            if row_number == len(places) or place != places[row_number]:
                continue  # it was skipped
            new = topics[row_number]
            row_number += 1
            if new is not None and isinstance(row, SourceRow):
                kept.append(_relabelled(row.values, column, new))
    if row_number < len(places):
        raise DataError(f"{corpus.name} was changed while it was read; try again.")
    return kept


def _is_lasting(path: Path) -> bool:
    return path.is_file() or path.is_dir()


def _relabelled(values: Mapping[str, Any], column: str, topic: str) -> Values:
    same = str(values.get(column)).strip() == topic
    return dict(values) if same else {**values, column: topic}


def to_csv(rows: Sequence[Values]) -> bytes:
    """Return rows as CSV with every column that one of them has."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_csv_cell(row.get(name)) for name in columns] for row in rows)
    return table.getvalue().encode("utf-8", "backslashreplace")


def to_json_lines(rows: Iterable[Values]) -> bytes:
    """Return rows as JSON Lines; lists and objects as they were, on one line."""
    encode = msgspec.json.Encoder(enc_hook=str).encode
    return b"".join(
        encode({name: _compact(value) for name, value in row.items()}) + b"\n" for row in rows
    )


def _compact(value: Any) -> Any:
    is_raw = isinstance(value, msgspec.Raw)
    return msgspec.Raw(msgspec.json.format(value, indent=-1)) if is_raw else value


def _csv_cell(value: Any) -> Any:
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    return str(value).lower() if isinstance(value, bool) else value


# What repaired documents are worth: how much better a classifier gets that learns from them -------

# Standard errors from the mean to the ends of a 95 % interval.
_95_PERCENT = 1.96


@dataclass(frozen=True)
class Gain:
    """How many held-out documents are right, learned from the documents before and after repair.

    Attributes
    ----------
    n_tested : int
        Documents tested on: those that were kept, under their repaired topics.
    n_before, n_after : int
        How many of them are right.
    n_better, n_worse : int
        How many are right only after the repair, and only before it.
    """

    n_tested: int
    n_before: int
    n_after: int
    n_better: int
    n_worse: int

    @property
    def points(self) -> float:
        """Percentage points of accuracy that the repair brings."""
        return 100 * (self.n_after - self.n_before) / self.n_tested

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the points, by the documents on which the two differ."""
        differ = self.n_better + self.n_worse
        variance = differ - (self.n_better - self.n_worse) ** 2 / self.n_tested
        margin = 100 * _95_PERCENT * math.sqrt(max(variance, 0)) / self.n_tested
        return self.points - margin, self.points + margin

    def to_dict(self) -> dict[str, object]:
        """Return plain data."""
        return {
            "tested": self.n_tested,
            "accuracy_before": self.n_before / self.n_tested,
            "accuracy_after": self.n_after / self.n_tested,
            "points": self.points,
            "points_interval": list(self.interval),
        }


def measure_gain(
    texts: Sequence[str],
    before: Sequence[str],
    after: Sequence[str | None],
    groups: Index,
    *,
    seed: int = 0,
    n_jobs: int | None = None,
    progress: Progress | None = None,
) -> Gain:
    """Cross-validate the default classifier on documents before and after repair, in equal folds.

    Both are tested on the repaired documents, as nothing else tells which topics are right. Where
    the decisions are only those of an audit, that flatters both of them, but not the difference
    much.

    Parameters
    ----------
    texts, before : sequence of str
        The documents and their topics before.
    after : sequence of str or None
        Their topics after; None for a document that was dropped.
    groups : int array, shape (n_documents,)
        Copies have one group, and are never learned from and tested on at once.
    seed, n_jobs, progress : see `slugline.audit.audit.audit_corpus`

    Raises
    ------
    DataError : if documents are too few to be learned from.
    """
    kept = np.array([topic is not None for topic in after])
    targets = np.array([topic or "" for topic in after], dtype=object)
    sources = np.array(before, dtype=object)
    names = Topics.fit([*before, *(topic for topic in after if topic)])
    folds = assign_folds(names.encode(sources), groups, seed)
    n_folds = int(folds.max()) + 1
    if n_folds < 2 or not kept.any():
        raise DataError("the documents are too few to be tested on; add some.")
    right = np.zeros((2, len(texts)), dtype=bool)
    with closing(check_progress(progress)) as progress:
        for fold in range(n_folds):
            held = np.flatnonzero((folds == fold) & kept)
            for number, (topics, told) in enumerate(((sources, folds != fold), (targets, kept))):
                learn = np.flatnonzero((folds != fold) & told)
                progress.update("measuring the gain", (2 * fold + number) / (2 * n_folds))
                found = _answers(texts, topics, learn, held, seed, n_jobs)
                right[number, held] = found == targets[held]
    first, then = right[:, kept]
    return Gain(
        n_tested=int(kept.sum()),
        n_before=int(first.sum()),
        n_after=int(then.sum()),
        n_better=int((then & ~first).sum()),
        n_worse=int((first & ~then).sum()),
    )


def _answers(
    texts: Sequence[str],
    topics: npt.NDArray[np.object_],
    learn: Index,
    held: Index,
    seed: int,
    n_jobs: int | None,
) -> npt.NDArray[np.object_]:
    """Return the topics of the held-out documents, by the default classifier."""
    if not len(held):
        return np.zeros(0, dtype=object)
    settings = FitSettings(
        learner=LinearLearner(),
        blocks=None,
        class_weight=None,
        tune=False,
        n_jobs=n_jobs,
        random_state=seed,
    )
    fitted = fit([texts[row] for row in learn], topics[learn].tolist(), settings)
    proba = fitted.predict_proba([texts[row] for row in held])
    return np.array([fitted.topics.names[best] for best in proba.argmax(axis=1)], dtype=object)
