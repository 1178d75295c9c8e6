"""How often the answers that a classifier gives alone are right on a test."""

from __future__ import annotations

from typing import Any, NamedTuple

from slugline.corpus.corpus import Corpus
from slugline.routing import Router

__all__ = ["Routed", "route_test"]


class Routed(NamedTuple):
    """What became of the documents of a test.

    Attributes
    ----------
    n_documents, n_answered, n_right : int
    """

    n_documents: int
    n_answered: int
    n_right: int

    @property
    def coverage(self) -> float:
        """Share of the documents that were answered."""
        return self.n_answered / self.n_documents

    @property
    def precision(self) -> float | None:
        """Share of the answers that were right; None if there are none."""
        return self.n_right / self.n_answered if self.n_answered else None

    def summary(self) -> str:
        """Return both in words."""
        if self.precision is None:
            return "none answered"
        return f"{self.coverage:.1%} answered, {self.precision:.1%} of them right"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        return {**self._asdict(), "coverage": self.coverage, "precision": self.precision}


def route_test(router: Router, corpus: Corpus) -> Routed:
    """Return how a router does on labelled texts; where it doesn't know the topic, it is wrong."""
    topics = [route.topic for route in router.route(corpus.texts)]
    answered = [
        str(found) == topic
        for found, topic in zip(topics, corpus.topics, strict=True)
        if found is not None
    ]
    return Routed(len(topics), len(answered), sum(answered))
