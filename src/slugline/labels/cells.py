"""Check new documents and labels, and convert them to cells of a label database."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from slugline.base.checks import has_surrogates, short_repr
from slugline.base.databases import MAX_ID, to_cell
from slugline.corpus.documents import check_topic_names
from slugline.corpus.label_database.records import SELECTION_REASONS, Selection, SkipReason
from slugline.corpus.label_database.tables import MAX_TEXT_BYTES
from slugline.errors import DataError, OptionError, Parameter

#: Maximum number of characters of names and keys, and of a note or description.
MAX_NAME, MAX_NOTE = 1000, 100_000
#: Maximum number of examples of a topic.
MAX_EXAMPLES = 100


class NewDocument(NamedTuple):
    """A document to store.

    Attributes
    ----------
    key : str
        See `document_keys`.
    text : str
    columns : mapping of str to object
        Its other columns, JSON-compatible.
    """

    key: str
    text: str
    columns: Mapping[str, Any] = MappingProxyType({})


class ImportedLabel(NamedTuple):
    """A label, or a skipped document, from another tool or model.

    Attributes
    ----------
    document : int
        Number of the document.
    topics : tuple of str, or None
        None for a skipped document.
    at : str or None
        Time of the label, in the format of `slugline.base.databases.utc_now`, if known.
    note : str or None
    reason : {"unclear", "none of these", "not for me"}
        Reason for skipping it.
    """

    document: int
    topics: tuple[str, ...] | None
    at: str | None = None
    note: str | None = None
    reason: SkipReason = "unclear"


class KeyBuilder:
    """Builds keys of a file's documents that don't depend on their position.

    The key is the document's id if unique. Otherwise it consists of the id, if any, the digest of
    the text and a number for equal texts. Texts are not kept.
    """

    def __init__(self) -> None:
        self._documents: list[tuple[str, str]] = []  # digest and id

    def add(self, text: str, id_: str = "") -> None:
        """Add the next document of the file, with an empty `id_` if it has none."""
        self._documents.append((hashlib.sha256(to_cell(text)).hexdigest(), id_))

    def keys(self) -> list[str]:
        """Return the key of each document, in order."""
        n_with_id = Counter(id_ for _, id_ in self._documents)
        n_equal, keys = Counter[str](), []
        for digest, id_ in self._documents:
            if id_ and n_with_id[id_] == 1:
                keys.append(f"id {id_}")
                continue
            key = f"id {id_} text {digest}" if id_ else f"text {digest}"
            n_equal[key] += 1
            keys.append(f"{key} {n_equal[key]}")
        return keys


def document_keys(texts: Sequence[str], ids: Sequence[object] | None = None) -> list[str]:
    """Return the key of each document of a file; see `KeyBuilder`.

    >>> document_keys(["a", "b", "a"], [7, 8, None])[:2]
    ['id 7', 'id 8']
    >>> first, _, third = document_keys(["a", "b", "a"])
    >>> first[:13], first[-2:] == " 1", third == first[:-1] + "2"
    ('text ca978112', True, True)
    """
    if ids is not None and len(ids) != len(texts):
        raise DataError(
            f"there are {len(texts):,} texts and {len(ids):,} ids; give one id for each text."
        )
    builder = KeyBuilder()
    for text, id_ in zip(texts, ids or itertools.repeat(None), strict=False):
        builder.add(text, "" if id_ is None else str(id_))
    return builder.keys()


# Cells --------------------------------------------------------------------------------------------


class DocumentCells(NamedTuple):
    """A document as cells of the table of documents."""

    key: bytes
    digest: bytes
    columns: bytes
    text: bytes


def document_cells(document: NewDocument) -> DocumentCells:
    """Return the cells of a document; DataError if it can't be stored."""
    text = document.text
    if not isinstance(text, str):
        raise DataError(Parameter("text"), f" is {short_repr(text)}; give a string.")
    data = to_cell(text) if len(text) <= MAX_TEXT_BYTES else b""
    if len(text) > MAX_TEXT_BYTES or len(data) > MAX_TEXT_BYTES:
        raise DataError(
            Parameter("text"),
            f" has {len(text):,} characters; the maximum is {MAX_TEXT_BYTES:,} bytes. Shorten it.",
        )
    try:
        columns = msgspec.json.encode(dict(document.columns), enc_hook=str)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(
            Parameter("columns"), f" can't be stored as JSON ({error}); remove some."
        ) from error
    if len(columns) > MAX_TEXT_BYTES:
        raise DataError(
            Parameter("columns"),
            f" has {len(columns):,} bytes in JSON; the maximum is {MAX_TEXT_BYTES:,}. Remove some.",
        )
    key = name_cell("key", document.key)
    return DocumentCells(key, hashlib.sha256(data).digest(), columns, data)


def selection_cells(selection: Selection) -> dict[str, Any]:
    """Return the cells of a selection by column."""
    if selection.reason not in SELECTION_REASONS:
        raise OptionError(
            Parameter("reason"),
            f" is {short_repr(selection.reason)}; choose one of {', '.join(SELECTION_REASONS)}.",
        )
    probability = selection.probability
    if probability is not None and not _is_positive_probability(probability):
        raise DataError(
            Parameter("probability"),
            f" is {short_repr(probability)}; give a probability: above 0 and at most 1.",
        )
    if selection.is_random and probability is None:
        raise DataError(Parameter("probability"), " is missing, but random draws require it.")
    if selection.is_random and selection.is_guess_shown:
        raise DataError(
            Parameter("is_guess_shown"), " must be False for a random draw: guesses bias coders."
        )
    n_candidates = selection.n_candidates
    if n_candidates is not None and not 0 < n_candidates <= MAX_ID:
        raise DataError(
            Parameter("n_candidates"),
            f" is {short_repr(n_candidates)}; give a count of at least 1.",
        )
    if selection.original is not None:
        check_number(selection.original, "assignment")
    guess = selection.guess
    if guess is not None:
        check_topic_names(guess.topics)
        if guess.probability != 0 and not _is_positive_probability(guess.probability):
            raise DataError(
                Parameter("guess"),
                f" has the probability {short_repr(guess.probability)}; give one from 0 to 1.",
            )
    return {
        "reason": selection.reason,
        "probability": None if probability is None else float(probability),
        "n_candidates": None if n_candidates is None else int(n_candidates),
        "guess": None if guess is None else msgspec.json.encode(guess),
        "is_guess_shown": int(selection.is_guess_shown),
        "original": selection.original,
    }


def _is_positive_probability(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(value) and 0 < value <= 1
    except TypeError:
        return False


def name_cell(parameter: str, value: Any) -> bytes:
    """Return the cell of a name or key; DataError if it is too long, or not a string."""
    return _text_cell(parameter, value, MAX_NAME)


def note_cell(parameter: str, value: Any) -> bytes:
    """Return the cell of a note or description; DataError if it is too long, or not a string."""
    return _text_cell(parameter, value, MAX_NOTE)


def examples_cell(examples: Sequence[str]) -> bytes:
    """Return the cell of examples of a topic; DataError if there are too many."""
    if isinstance(examples, str) or len(examples) > MAX_EXAMPLES:
        raise DataError(
            Parameter("examples"),
            f" is {short_repr(examples)}; give a list of at most {MAX_EXAMPLES} texts.",
        )
    for example in examples:
        note_cell("examples", example)
        if has_surrogates(example):
            raise DataError(
                Parameter("examples"),
                f" has {short_repr(example)}, with an unpaired surrogate; remove it.",
            )
    cell = msgspec.json.encode([*examples])
    if len(cell) > MAX_TEXT_BYTES:
        raise DataError(
            Parameter("examples"),
            f" have {len(cell):,} bytes in JSON; the maximum is {MAX_TEXT_BYTES:,}. Remove some.",
        )
    return cell


def _text_cell(parameter: str, value: Any, max_length: int) -> bytes:
    if not isinstance(value, str) or len(value) > max_length:
        raise DataError(
            Parameter(parameter),
            f" is {short_repr(value)}; give a string of at most {max_length:,} characters.",
        )
    return to_cell(value)


def check_number(number: Any, noun: str) -> None:
    """Raise DataError for a number that is not a valid row number."""
    if not isinstance(number, int) or not 0 < number <= MAX_ID:
        raise missing_row(noun, number)


def missing_row(noun: str, number: object) -> DataError:
    """Return the error for a number that refers to no row."""
    return DataError(
        f"there is no {noun} {short_repr(number)}; reload the page, or check the number."
    )
