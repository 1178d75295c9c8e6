"""Count documents and labels incrementally."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from slugline.corpus.label_database.records import DocumentLabels, Status


class LabelCounts(NamedTuple):
    """Numbers of documents and decisions.

    Attributes
    ----------
    by_status : dict of str to int
        Documents by `DocumentLabels.status`.
    by_topic : dict of str to int
        Answers with each topic in use, in the order of the codebook.
    by_coder : dict of str to int
        Current labels of each coder.
    by_reason : dict of str to int
        Current labels by the reason of the selection.
    n_unlisted : int
        Number of labelled or skipped documents that are not in the user's file.
    """

    by_status: dict[str, int]
    by_topic: dict[str, int]
    by_coder: dict[str, int]
    by_reason: dict[str, int]
    n_unlisted: int = 0


class _DocumentCounts(NamedTuple):
    """Contribution of a document to the counts; equal for many documents."""

    status: Status
    answer: tuple[str, ...]
    #: The coder of each label, and the reason of selection.
    labels: tuple[tuple[str, str], ...]
    is_listed: bool


class LabelCounter:
    """Counts documents by their latest labels.

    Parameters
    ----------
    is_listed : callable
        Returns True if a document with this key is in the user's file; by default, all are.
    """

    def __init__(self, is_listed: Callable[[str], bool] = lambda _: True) -> None:
        self._is_listed = is_listed
        self._by_document: dict[int, _DocumentCounts] = {}
        # Number of documents by contribution; few contributions are distinct.
        self._n_documents = Counter[_DocumentCounts]()
        self._shared: dict[_DocumentCounts, _DocumentCounts] = {}

    def count(self, labels: DocumentLabels) -> None:
        """Count a document, in place of its earlier labels if counted before."""
        counts = _DocumentCounts(
            labels.status,
            labels.answer or (),
            tuple(
                (each.assignment.coder.name, each.assignment.selection.reason)
                for each in labels.decisions
                if each.kind == "label" and not labels.is_replaced
            ),
            self._is_listed(labels.document.key),
        )
        counts = self._shared.setdefault(counts, counts)
        earlier = self._by_document.get(labels.document.id)
        if earlier is not None:
            self._n_documents[earlier] -= 1
        self._by_document[labels.document.id] = counts
        self._n_documents[counts] += 1

    def counts(self, topics: Sequence[str]) -> LabelCounts:
        """Return the counts.

        Parameters
        ----------
        topics : sequence of str
            The topics in use.
        """
        by_status, by_topic = Counter[str](), Counter[str]()
        by_coder, by_reason = Counter[str](), Counter[str]()
        n_unlisted = 0
        for each, n in self._n_documents.items():
            if not n:
                continue
            by_status[each.status] += n
            if not each.is_listed and each.status not in ("unlabelled", "replaced"):
                n_unlisted += n
            for topic in each.answer:
                by_topic[topic] += n
            for coder, reason in each.labels:
                by_coder[coder] += n
                by_reason[reason] += n
        return LabelCounts(
            dict(by_status),
            {topic: by_topic[topic] for topic in topics},
            dict(by_coder),
            dict(by_reason),
            n_unlisted,
        )
