"""The documents that were learned from and spoke most for an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from slugline.base.arrays import F64
from slugline.documents import check_documents
from slugline.explain.explanation import Example
from slugline.fitted import Fitted
from slugline.labels import Topic

__all__ = ["nearest"]


def nearest(
    fitted: Fitted,
    texts: Iterable[str],
    topics: Iterable[Topic],
    topic: Topic,
    shares: F64,
    most: int,
    place: Callable[[int], str],
) -> tuple[Example, ...]:
    """Return the documents of a topic that have most of what spoke for it in a text.

    A document's measure is the sum of its terms' weights in its row, of length 1, times what the
    same terms count in the text: the inner product of both rows in which a term counts the more the
    more the model relies on it. It tells which documents are alike in the model's eyes; it is no
    proof that the model would have said otherwise without them. An encoder's part is left out.

    Parameters
    ----------
    fitted : Fitted
    texts, topics : iterables, a topic for each text
        The documents that it learned from.
    topic : str or int
        Only documents of this topic are looked at.
    shares : float64 array, shape (n_columns,)
        What each column counts in the text.
    most : int
        How many to return.
    place : callable
        Says where a document stands, by its row.

    Raises
    ------
    DataError : if there is not one topic for each text, or no document at all.
    """
    documents, given = check_documents(texts, topics, ("corpus", "corpus"))
    own = [row for row, name in enumerate(given) if str(name) == str(topic)]
    found = [np.zeros(0)]
    for X in fitted.features.transform_parts([documents[row] for row in own]):
        lengths = np.sqrt(np.asarray(X.multiply(X).sum(axis=1), dtype=np.float64)).ravel()
        found.append((X @ shares) / np.where(lengths > 0, lengths, 1))
    measures = np.concatenate(found)
    best = np.argsort(-measures, kind="stable")[:most]
    return tuple(
        Example(own[i], documents[own[i]], topic, float(measures[i]), place(own[i]))
        for i in best.tolist()
        if measures[i] > 0
    )
