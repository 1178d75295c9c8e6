"""The documents of a label database that have an answer, as rows to learn from."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from slugline.base.databases import Database
from slugline.base.wording import counted, join_words
from slugline.corpus.label_database.reader import LabelReader
from slugline.corpus.label_database.records import Status
from slugline.corpus.label_database.tables import FORMAT, MULTILABEL, REVIEWED, TOPIC_COLUMN
from slugline.corpus.rows import RowIterator, make_row
from slugline.errors import DataError, StoreError

# If fewer labels, as a number or as a fraction, are of texts that a model doubted, accuracies on
# labels are nearly those on all texts.
_MIN_DOUBTED, _MIN_DOUBTED_FRACTION = 5, 0.1
# The documents that are left out, by their status.
_LEFT_OUT: dict[Status, Callable[[int], str]] = {
    "open": lambda n: f"{counted(n, 'document')} on which coders disagree",
    "skipped": lambda n: counted(n, "skipped document"),
    "unlabelled": lambda n: f"{counted(n, 'document')} without a label",
    "replaced": lambda n: f"{counted(n, 'document')} whose text has changed since",
}


class LabelledDatabase(NamedTuple):
    """The documents of a label database that have an answer.

    Attributes
    ----------
    rows : iterator of SourceRow
        Their columns, in the order in which they were stored; each place is a document's number.
        The cell of the topic is a list if documents may have several.
    text : tuple of str
        The columns of the text.
    topic : str
        The column of the topic.
    note : str
        How many documents are left out, and why; and whether many were chosen because a model
        doubted them, which lowers accuracies measured on them. Empty if there is nothing to say.
    has_selection_bias : bool
        True if many were chosen because a model doubted them.
    """

    rows: RowIterator
    text: tuple[str, ...]
    topic: str
    note: str
    has_selection_bias: bool


def read_label_database(path: Path, *, needs_answers: bool = True) -> LabelledDatabase:
    """Return the documents of a label database that have an answer; see `DocumentLabels.answer`.

    Parameters
    ----------
    path : Path
    needs_answers : bool, default True
        If False, the others are included, without a topic, unless their text has changed since.

    Raises
    ------
    DataError : if the file is damaged, of another program or version, or lacks needed answers.
    """
    try:
        with contextlib.ExitStack() as stack:
            database = stack.enter_context(Database(path, FORMAT, is_read_only=True))
            # The rows are read at the same moment as the counts.
            reader = LabelReader(database, stack.enter_context(database.reading()))
            reviewed = reader.setting(REVIEWED)
            if reviewed is not None:
                raise DataError(
                    f"{path} has decisions about suspect documents of {reviewed}, not all of its "
                    f"labels; carry them out: slugline audit {reviewed} --decisions {path} "
                    "-o repaired.csv"
                )
            text, topic = reader.text_columns(), reader.setting(TOPIC_COLUMN) or "topic"
            counts, n_doubted, n_imported = Counter[Status](), 0, 0
            for each in reader.documents(has_texts=False):
                counts[each.status] += 1
                reasons = {one.assignment.selection.reason for one in each.decisions}
                n_doubted += each.answer is not None and "suggested" in reasons
                n_imported += "imported" in [one.assignment.coder.kind for one in each.decisions]
            n_answers = counts["settled"] + counts["agreed"]
            if needs_answers and not n_answers:
                raise _no_answers(path, counts, n_imported)
            left_out = _left_out(counts, needs_answers=needs_answers)
            notes = [left_out and f"left out: {left_out}"]
            min_doubted = max(_MIN_DOUBTED, _MIN_DOUBTED_FRACTION * n_answers)
            has_selection_bias = needs_answers and n_doubted >= min_doubted
            if has_selection_bias:
                notes.append(
                    f"{n_doubted:,} of {counted(n_answers, 'label')} are of texts that a model "
                    "doubted, so accuracies measured on these labels are usually lower than on all "
                    "texts"
                )
            note = "; ".join(filter(None, notes))
            rows = _label_rows(
                stack.pop_all(), database, reader, text, topic, needs_answers=needs_answers
            )
    except StoreError as error:
        raise DataError(*error.parts) from error
    return LabelledDatabase(rows, text, topic, note, has_selection_bias)


def _no_answers(path: Path, counts: Counter[Status], n_imported: int) -> DataError:
    """Return the error that no document has an answer of a person."""
    if n_imported and not counts["open"]:
        return DataError(
            f"{path} has labels of imported coders alone, for {counted(n_imported, 'document')}, "
            "and these don't count as answers: label some documents; or import the labels' FILE as "
            f"answers: slugline label TEXTS -o {path} --import FILE"
        )
    left_out = _left_out(counts, needs_answers=True)
    found = f" ({left_out})" if left_out else ""
    return DataError(f"{path} has no document with an answer yet{found}; label some.")


def _left_out(counts: Counter[Status], *, needs_answers: bool) -> str:
    """Return which documents are left out, or ""."""
    left_out = [
        word(counts[status])
        for status, word in _LEFT_OUT.items()
        if counts[status] and (needs_answers or status == "replaced")
    ]
    return join_words(left_out) if left_out else ""


def _label_rows(
    opened: contextlib.ExitStack,
    database: Database,
    reader: LabelReader,
    text: tuple[str, ...],
    topic: str,
    *,
    needs_answers: bool,
) -> RowIterator:
    """Yield the row of each document; close what is opened at the end."""
    try:
        with opened:
            is_multilabel = reader.setting(MULTILABEL) == "yes"
            for each in reader.documents():
                if each.status == "replaced" or (needs_answers and each.answer is None):
                    continue
                values = dict(each.document.columns)
                if len(text) == 1:
                    values[text[0]] = each.document.text
                answer = each.answer
                if answer is not None and not is_multilabel and len(answer) != 1:
                    raise database.damaged_row(
                        f"the label of document {each.document.id}",
                        f"it has {len(answer)} topics, and should have one",
                    )
                if answer is not None:
                    values[topic] = list(answer) if is_multilabel else answer[0]
                else:
                    values[topic] = None
                yield make_row(each.document.id, values, n_bytes=len(each.document.text))
    except StoreError as error:
        raise DataError(*error.parts) from error
