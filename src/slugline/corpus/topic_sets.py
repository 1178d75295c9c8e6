"""Multi-label topics, given as lists of topics or as an indicator array of 0 and 1."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from slugline.base.arrays import Index
from slugline.base.checks import short_repr
from slugline.base.wording import counted
from slugline.corpus.documents import (
    Topic,
    Topics,
    check_iterable,
    check_texts,
    check_topic_names,
    to_plain_topics,
)
from slugline.corpus.topic_cells import topic_flag
from slugline.errors import DataError, Parameter

#: Distinct topics of a document in the order given; may be empty.
TopicSet: TypeAlias = tuple[Topic, ...]
_COLLECTIONS = (list, tuple, set, frozenset, np.ndarray)


def is_indicator(y: Any) -> bool:
    """Return True if `y` is two-dimensional: one row per document and one column per topic."""
    return len(getattr(y, "shape", ())) == 2


def is_multilabel(topics: Sequence[Any]) -> bool:
    """Return True if validated topics are tuples rather than single topics."""
    return len(topics) > 0 and isinstance(topics[0], tuple)


def as_sets(topics: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
    """Return the topics of each document as a tuple, wrapping single topics."""
    return topics if is_multilabel(topics) else [(topic,) for topic in topics]


def is_same_answer(topics: Topic | TopicSet, others: Topic | TopicSet) -> bool:
    """Return True for the same topic, or for the same topics in any order."""
    if isinstance(topics, tuple) and isinstance(others, tuple):
        return {*topics} == {*others}
    return topics == others


def join_topics(topics: Topic | TopicSet) -> str:
    """Format one or more topics as text.

    >>> join_topics("grain"), join_topics(("grain", "corn")), join_topics(())
    ('grain', 'grain, corn', 'no topic')
    """
    return ", ".join(map(str, topics)) or "no topic" if isinstance(topics, tuple) else str(topics)


def are_topic_sets(y: Any) -> bool:
    """Return True if the first item of a sequence is a list of topics."""
    is_sequence = isinstance(y, Sequence) and not isinstance(y, str)
    return (is_sequence or hasattr(y, "__array__")) and any(
        isinstance(item, _COLLECTIONS) for item in list(y[:1])
    )


def read_indicator(y: Any, name: str = "y") -> list[TopicSet]:
    """Return the topics of each row of an indicator array.

    Topics are the column names of a data frame, or the column numbers of an array.

    Parameters
    ----------
    y : array, sparse array or data frame, shape (n_documents, n_topics)
        True or 1 for each topic of a document, False or 0 elsewhere.
    name : str
        The caller's parameter name for messages.

    Raises
    ------
    DataError : if there are other values or no columns.
    """
    if hasattr(y, "tocsr"):
        matrix = y.tocsr()
        matrix.sum_duplicates()
        values = matrix.data
    else:
        matrix = np.asarray(y)
        if matrix.dtype.kind not in "biuf":
            with contextlib.suppress(TypeError, ValueError):
                matrix = matrix.astype(np.float64)
        values = matrix.ravel()
    is_numeric = values.dtype.kind in "biuf"
    if not is_numeric or not np.isin(values, (0, 1)).all():
        others = values[~np.isin(values, (0, 1))] if is_numeric else values
        is_odd = (topic_flag(str(value).lower()) is None for value in others)
        other = np.asarray(next(itertools.compress(others, is_odd), others[0])).item()
        raise DataError(
            Parameter(name),
            f" has two dimensions and contains {short_repr(other)}; give 1 where a document has a "
            "topic and 0 elsewhere, or a list of topics for each document.",
        )
    topics = indicator_topics(y, name)
    rows, numbers = matrix.nonzero()
    ends = np.searchsorted(rows, np.arange(y.shape[0] + 1))
    names = [topics[number] for number in numbers.tolist()]
    return [tuple(names[i:j]) for i, j in itertools.pairwise(ends)]


def indicator_topics(y: Any, name: str = "y") -> list[Topic]:
    """Return the column topics of an indicator; raise DataError if one is invalid or missing."""
    n_topics = y.shape[1]
    if not n_topics:
        raise DataError(Parameter(name), " has no columns; pass one for each topic.")
    columns = getattr(y, "columns", None)
    topics: list[Topic] = (
        list(range(n_topics)) if columns is None else to_plain_topics(list(columns), name)
    )
    check_topic_names(topics)
    return topics


def check_topic_sets(y: Iterable[Any], name: str = "y") -> list[TopicSet]:
    """Return the distinct topics of each document, in order; topics given as a set are sorted.

    Raises
    ------
    DataError : if an item is not a list of topics, or a topic is invalid.
    """
    sets: list[TopicSet] = []
    n_repeated = 0
    for row, item in enumerate(y):
        if not isinstance(item, _COLLECTIONS) or getattr(item, "ndim", 1) != 1:
            raise DataError(
                Parameter(name),
                f" has {short_repr(item)} in row {row}, counted from 0, where others are "
                "lists of topics; give a list for each document, empty if it has none.",
            )
        topics = to_plain_topics(item, f"{name}[{row}]")
        if isinstance(item, set | frozenset):
            topics = sorted(topics, key=lambda topic: (isinstance(topic, str), topic))
        sets.append(tuple(dict.fromkeys(topics)))
        n_repeated += len(topics) - len(sets[-1])
    if n_repeated and {*itertools.chain(*sets)} <= {0, 1}:
        raise DataError(
            Parameter(name),
            " has lists of 0 and 1; if each row has a 0 or 1 for every topic, pass an array: "
            f"np.array({name}).",
        )
    check_topic_names([topic for topics in sets for topic in topics])
    return sets


def check_documents(
    X: Iterable[str], y: Any, names: tuple[str, str] = ("X", "y"), *, allow_empty: bool = False
) -> tuple[list[str], list[Any]]:
    """Validate texts and their topics or tuples of topics; return lists of equal length.

    Parameters
    ----------
    X : iterable of str
    y : iterable of str or int, or of lists of them, or an indicator (see `read_indicator`)
    names : (str, str)
        The caller's parameter names for messages.
    allow_empty : bool, default False
        Accept data without documents or without topics.

    Raises
    ------
    DataError : if there are no documents, lengths differ, or a topic name is invalid.
    """
    check_iterable(X, names[0])
    check_iterable(y, names[1])
    texts = check_texts(X)
    topics: list[Any]
    if is_indicator(y):
        topics = read_indicator(y, names[1])
    elif are_topic_sets(y := y.to_list() if hasattr(y, "to_list") else y):
        topics = check_topic_sets(y, names[1])
    else:
        topics = list(to_plain_topics(y, names[1]))
        check_topic_names(topics)
    if len(texts) != len(topics):
        raise DataError(
            f"{'there is' if len(texts) == 1 else 'there are'} {counted(len(texts), 'text')} and "
            f"{counted(len(topics), 'topic')}; give "
            f"{'topics' if is_multilabel(topics) else 'one topic'} for each text."
        )
    if not texts and not allow_empty:
        raise DataError("there are no training documents; pass at least two.")
    if is_multilabel(topics) and not any(topics) and not allow_empty:
        raise DataError(f"no document in `{names[1]}` has a topic; give some.")
    return texts, topics


def check_form(
    topics: Topics,
    names: Sequence[Any],
    first: str,
    other: str = "`y`",
    *,
    multilabel: bool,
    columns: Sequence[Topic] | None = None,
    separator: str | None = None,
) -> None:
    """Raise DataError unless topics have the same form as those of the training documents.

    Parameters
    ----------
    topics : Topics
        Topics of the model.
    names
        Topics of the other documents, as returned by `check_documents`.
    first, other : str
        Names of the training documents and of the other documents in messages.
    multilabel : bool
        True if the training documents are multi-label.
    columns : sequence of str or int, optional
        Column topics, if the other documents' topics were given as an indicator.
    separator : str, optional
        Separator in hierarchical topics.
    """
    if names and multilabel != is_multilabel(names):
        form = "a list of topics" if multilabel else "one topic"
        raise DataError(
            f"{first} have {form} for each text, but {other} does not; use the same form."
        )
    if not multilabel:
        return
    if columns is not None:
        with_ancestors = [*itertools.chain(*sets_with_parents([tuple(columns)], separator))]
        absent = [topic for topic in topics.names if topic not in with_ancestors]
        unknown = [column for column in columns if separator is None and column not in topics.names]
        if absent or unknown:
            difference = "no column" if absent else "a column"
            raise DataError(
                f"{other} has {difference} {[*absent, *unknown][0]!r}, which is "
                f"{'a' if absent else 'not a'} topic in {first}; pass a column for each topic, or "
                "lists of topics."
            )


def empty_part(topics: Iterable[Any], separator: str) -> str | None:
    """Return the first topic whose path has an empty part, such as "sport//football"."""
    paths = (topic for topic in topics if isinstance(topic, str))
    return next((p for p in paths if not all(map(str.strip, p.split(separator)))), None)


def with_parents(topics: Iterable[Topic], separator: str) -> TopicSet:
    """Return hierarchical topics, each preceded by all its ancestors.

    Raises DataError if a part of a path is empty.

    >>> with_parents(["sport/football", "arts"], "/")
    ('sport', 'sport/football', 'arts')
    """
    paths = list(topics)
    if (path := empty_part(paths, separator)) is not None:
        raise DataError(
            f"topic {short_repr(path)} is a path with an empty part; write a name on each side of "
            f"{separator!r}."
        )
    with_ancestors: list[Topic] = []
    for topic in paths:
        lineage = [topic]
        while parent := parent_of(lineage[0], separator):
            lineage.insert(0, parent)
        with_ancestors += lineage
    return tuple(dict.fromkeys(with_ancestors))


def sets_with_parents(topics: Sequence[Any], separator: str | None) -> list[Any]:
    """Return the topics of each document with all their ancestors; see `with_parents`."""
    return (
        list(topics) if separator is None else [with_parents(t, separator) for t in as_sets(topics)]
    )


def parent_of(topic: Topic, separator: str) -> str:
    """Return the parent of a hierarchical topic, or an empty string at the top level."""
    return topic.rpartition(separator)[0].strip() if isinstance(topic, str) else ""


def to_indicator(sets: Sequence[TopicSet], names: Sequence[Topic]) -> Any:
    """Convert topic sets to an int64 indicator array, shape (n_documents, n_topics)."""
    return Topics(names).encode_sets(sets, np.int64).toarray()


def split_rows(mask: Any, names: Sequence[Topic], order: Any) -> list[list[Topic]]:
    """Return the topics selected by `mask` in each row, in descending order of `order`.

    >>> split_rows(np.array([[True, True], [False, False]]), "ab", np.array([[0.5, 0.9], [0, 0]]))
    [['b', 'a'], []]
    """
    lists: list[list[Topic]] = [[] for _ in mask]
    rows, columns = np.nonzero(mask)
    sorting: Index = np.lexsort((columns, -order[rows, columns], rows))
    for row, column in zip(rows[sorting].tolist(), columns[sorting].tolist(), strict=True):
        lists[row].append(names[column])
    return lists
