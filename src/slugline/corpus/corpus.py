"""Documents with one topic each."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from slugline.base.words import counted
from slugline.corpus.documents import compute_digest
from slugline.corpus.splits import hold_out
from slugline.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


__all__ = ["Corpus"]


#: How many topics of a corpus are shown, and how many characters of a name and of a text.
N_SHOWN, N_NAME, N_TEXT = 8, 40, 70


def _shortened(text: str, most: int = N_NAME) -> str:
    """Return a text on one line, cut to at most `most` characters."""
    # Words of megabytes are cut before they are looked at.
    line = " ".join(text[: 4 * most].split())
    return line if len(line) <= most and len(text) <= 4 * most else f"{line[: most - 1]}…"


@dataclass(frozen=True, repr=False)
class Corpus:
    """Documents and the topic of each, in the order of their source.

    Attributes
    ----------
    texts, topics : list of str, one topic for each text
    name : str
        Its name in reports.
    notes : tuple of str, default ()
        What was decided while reading, such as which columns were guessed, for the user to see.
    n_skipped : int, default 0
        Rows left out because they could not be used.
    places : sequence of int or str, default ()
        Where each document stands in its source, such as its line; unknown by default.
    unit : str, default "document"
        What `places` count: "line", "row", "item", "file" or, where they are unknown, "document".

    Raises
    ------
    DataError : if there are more texts than topics, or fewer.
    """

    texts: list[str]
    topics: list[str]
    name: str
    notes: tuple[str, ...] = ()
    n_skipped: int = 0
    places: Sequence[int | str] = field(default=(), compare=False, repr=False)
    unit: str = field(default="document", compare=False, repr=False)

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.topics):
            raise DataError(
                f"{self.name} has {len(self.texts)} texts and {len(self.topics)} topics; "
                "give one topic for each text."
            )

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        n_topics = len(set(self.topics))
        return (
            f"<Corpus {_shortened(self.name)}: {counted(len(self), 'document')}, "
            f"{counted(n_topics, 'topic')}\n"
            f"  topics: {self._commonest()}\n"
            f"  first text: {self._first_text()!r}>"
        )

    def _repr_html_(self) -> str:
        """Return the same for a notebook, as a table of the most common topics."""
        counts = list(self.topic_counts().items())
        rows = [
            f"<tr><td>{escape(_shortened(topic))}</td><td>{n:,}</td></tr>"
            for topic, n in counts[:N_SHOWN]
        ]
        rest = sum(n for _, n in counts[N_SHOWN:])
        if rest:
            rows.append(f"<tr><td>{len(counts) - N_SHOWN:,} more</td><td>{rest:,}</td></tr>")
        return (
            f"<p><b>{escape(_shortened(self.name))}</b>: {counted(len(self), 'document')}, "
            f"{counted(len(counts), 'topic')}. The first text: {escape(self._first_text())}</p>"
            f"<table><tr><th>topic</th><th>documents</th></tr>{''.join(rows)}</table>"
        )

    def _commonest(self) -> str:
        counts = list(self.topic_counts().items())
        shown = ", ".join(f"{_shortened(topic)} ({n:,})" for topic, n in counts[:N_SHOWN])
        n_more = len(counts) - N_SHOWN
        return f"{shown} and {n_more:,} more" if n_more > 0 else shown

    def _first_text(self) -> str:
        return _shortened(self.texts[0], N_TEXT) if self.texts else ""

    def numbered_places(self) -> Sequence[int | str]:
        """Return the place of each document: where it stands, or its number, counted from 1."""
        return self.places or range(1, len(self) + 1)

    def place(self, row: int) -> str:
        """Return where a document stands in words, such as "line 13"; rows are counted from 0."""
        at = self.numbered_places()[row]
        # Of several files, the places have their names and units.
        return str(at) if self.unit == "place" else f"{self.unit} {at}"

    def topic_counts(self) -> dict[str, int]:
        """Count the documents of each topic, the most frequent first, ties by name.

        >>> Corpus(["a", "b", "c"], ["sport", "arts", "sport"], "example").topic_counts()
        {'sport': 2, 'arts': 1}
        """
        counts = Counter(self.topics)
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def split(self, fraction: float, seed: int) -> tuple[Corpus, Corpus]:
        """Return two parts of the corpus, in each of which every topic has its share.

        Parameters
        ----------
        fraction : float, over 0 and under 1
            Share of the documents to hold out.
        seed : int
            Chooses the documents, and which topics get the ones left over.

        Returns
        -------
        The training part and the held-out part, both in the order of the corpus; see
        `slugline.corpus.splits.hold_out` for the shares and the errors.
        """
        held = hold_out(self.topics, fraction, seed)
        return self._take(~held), self._take(held)

    def digest(self) -> str:
        """Return the SHA-256, in hexadecimal, of texts and topics in order, without the name."""
        return compute_digest(self.texts, self.topics)

    def _take(self, mask: NDArray[np.bool_]) -> Corpus:
        texts = list(itertools.compress(self.texts, mask))
        topics = list(itertools.compress(self.topics, mask))
        places = list(itertools.compress(self.numbered_places(), mask))
        return Corpus(texts, topics, self.name, places=places, unit=self.unit)
