"""Labelled documents, single-label or multi-label."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slugline.base.wording import counted, join_words, one_line
from slugline.corpus.documents import Topic, compute_digest
from slugline.corpus.layout import Layout
from slugline.corpus.splits import hold_out
from slugline.corpus.topic_sets import check_documents, indicator_topics, is_indicator
from slugline.errors import DataError

# Maximum number of topics in the repr, and maximum lengths of a name and of a text.
_N_TOPICS, _N_NAME, _N_TEXT = 8, 40, 70


@dataclass(frozen=True, repr=False)
class Corpus:
    """Labelled documents, single-label or multi-label, in the order of their source.

    Attributes
    ----------
    texts : list of str
    topics : list of str, or list of tuples of str
        Topic of each document. For multi-label data, tuples of distinct topics; empty for a
        document without a topic.
    name : str, default "the corpus"
        Name in reports.
    notes : tuple of str, default ()
        Notes on how the source was read, such as which columns were guessed.
    n_skipped : int, default 0
        Number of unusable rows left out.
    places : sequence of int or str, default ()
        Place of each document in its source, such as its line; empty if unknown.
    unit : str, default "document"
        Unit of `places`: "line", "row", "item", "file", "place" (in one of several files), or
        "document" where places are unknown.
    layout : Layout or None
        Columns and encoding of the files; None if columns are unnamed or differ between files.
    n_unlabelled : int, default 0
        Number of unlabelled rows left out.
    has_selection_bias : bool, default False
        True if many documents were selected for labelling because a model was uncertain about
        them; accuracy measured on them is then too low.
    indicator_topics : tuple of str or int, or None
        Topics of the columns of the indicator array from which topics were read, if any; see
        `slugline.corpus.topic_sets.read_indicator`.

    Raises
    ------
    DataError : if the numbers of texts and topics differ.

    Examples
    --------
    >>> from slugline import Corpus
    >>> corpus = Corpus(["wheat rose", "net profit"], ["grain", "earn"], "wires")
    >>> len(corpus), corpus.topic_counts()
    (2, {'earn': 1, 'grain': 1})
    >>> Corpus(["wheat and maize", "net profit"], [("grain", "corn"), ()]).topic_counts()
    {'corn': 1, 'grain': 1}
    """

    texts: list[str]
    topics: list[Any]
    name: str = "the corpus"
    notes: tuple[str, ...] = ()
    n_skipped: int = 0
    places: Sequence[int | str] = field(default=(), compare=False, repr=False)
    unit: str = field(default="document", compare=False, repr=False)
    layout: Layout | None = field(default=None, compare=False, repr=False)
    n_unlabelled: int = 0
    has_selection_bias: bool = field(default=False, compare=False, repr=False)
    indicator_topics: tuple[Topic, ...] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def from_documents(
        cls,
        X: Iterable[str],
        y: Any,
        names: tuple[str, str] = ("X", "y"),
        *,
        allow_empty: bool = False,
    ) -> Corpus:
        """Return a corpus of texts and topics; see `slugline.corpus.topic_sets.check_documents`.

        Topics may be words or numbers. If `y` is an indicator, its column topics are kept.
        """
        texts, topics = check_documents(X, y, names, allow_empty=allow_empty)
        columns = tuple(indicator_topics(y, names[1])) if is_indicator(y) else None
        return cls(texts, topics, indicator_topics=columns)

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.topics):
            raise DataError(
                f"{self.name} has {counted(len(self.texts), 'text')} and "
                f"{counted(len(self.topics), 'topic')}; "
                "give one topic for each text."
            )

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        topics = [f"{one_line(topic, _N_NAME)} ({n:,})" for topic, n in self.topic_counts().items()]
        return (
            f"<Corpus {one_line(self.name, _N_NAME)}: {counted(len(self), 'document')}, "
            f"{counted(len(topics), 'topic')}\n"
            f"  topics: {join_words(topics, _N_TOPICS, last=None)}\n"
            f"  first text: {self._first_text()!r}>"
        )

    def _repr_html_(self) -> str:
        """Return a table of the most common topics for a notebook."""
        from html import escape

        counts = list(self.topic_counts().items())
        rows = [
            f"<tr><td>{escape(one_line(topic, _N_NAME))}</td><td>{n:,}</td></tr>"
            for topic, n in counts[:_N_TOPICS]
        ]
        n_more = sum(n for _, n in counts[_N_TOPICS:])
        if n_more:
            rows.append(f"<tr><td>{len(counts) - _N_TOPICS:,} more</td><td>{n_more:,}</td></tr>")
        return (
            f"<p><b>{escape(one_line(self.name, _N_NAME))}</b>: {counted(len(self), 'document')}, "
            f"{counted(len(counts), 'topic')}. The first text: {escape(self._first_text())}</p>"
            f"<table><tr><th>topic</th><th>documents</th></tr>{''.join(rows)}</table>"
        )

    def _first_text(self) -> str:
        return one_line(self.texts[0], _N_TEXT) if self.texts else ""

    def numbered_places(self) -> Sequence[int | str]:
        """Return the place of each document; numbers from 1 if places are unknown."""
        return self.places or range(1, len(self) + 1)

    def place(self, row: int) -> str:
        """Return the place of the document at index `row`, such as "line 13"."""
        at = self.numbered_places()[row]
        # Places in several files already include names and units.
        return str(at) if self.unit == "place" else f"{self.unit} {at}"

    @property
    def multilabel(self) -> bool:
        """True for multi-label data, where `topics` are tuples."""
        return bool(self.topics) and isinstance(self.topics[0], tuple)

    def all_topics(self) -> Iterator[str]:
        """Iterate over the topics of all documents."""
        return itertools.chain.from_iterable(self.topics) if self.multilabel else iter(self.topics)

    def topic_counts(self) -> dict[str, int]:
        """Return the number of documents of each topic, most frequent first, ties by name.

        >>> Corpus(["a", "b", "c"], ["sport", "arts", "sport"], "example").topic_counts()
        {'sport': 2, 'arts': 1}
        """
        counts = Counter(self.all_topics())
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def split(self, fraction: float, random_state: int) -> tuple[Corpus, Corpus]:
        """Split into a training and a held-out part, stratified by topic, in corpus order.

        `random_state` is the random seed. See `slugline.corpus.splits.hold_out` for `fraction` and
        errors.
        """
        is_test = hold_out(self.topics, fraction, random_state)
        return self.take(~is_test), self.take(is_test)

    def digest(self) -> str:
        """Return the SHA-256 hex digest of the texts and topics in order."""
        return compute_digest(self.texts, self.topics)

    def take(self, mask: Sequence[bool] | NDArray[np.bool_]) -> Corpus:
        """Return a corpus of the documents selected by a mask, without notes."""
        texts = list(itertools.compress(self.texts, mask))
        topics = list(itertools.compress(self.topics, mask))
        places = list(itertools.compress(self.numbered_places(), mask))
        return replace(
            self, texts=texts, topics=topics, notes=(), n_skipped=0, places=places, n_unlabelled=0
        )


def require_one_topic(corpus: Corpus, user: str) -> Corpus:
    """Return the corpus; raise DataError if it is multi-label, which `user` doesn't support."""
    if corpus.multilabel:
        raise DataError(
            f"{corpus.name} is multi-label, but {user} requires one topic per document; keep one, "
            "such as the first."
        )
    return corpus
