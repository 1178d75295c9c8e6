"""All that a fit makes, as one frozen value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32
from slugline.base.checks import short_repr
from slugline.base.words import counted, format_html_table, format_lines
from slugline.corpus.documents import Topic, Topics, check_texts
from slugline.learning.encoder.encoder import CheckedEncoder
from slugline.learning.encoder.head import DenseHead
from slugline.learning.learner import Learner
from slugline.learning.linear.learner import LinearLearner
from slugline.model.settings import ClassWeight
from slugline.model.thresholds import LeftOutAnswers
from slugline.text.features import Features, WordCounts

if TYPE_CHECKING:
    from slugline.learning.net.training import History
    from slugline.learning.tuning import Tuning

__all__ = [
    "Fitted",
    "StreamRecord",
]


@dataclass(frozen=True, kw_only=True, repr=False)
class Fitted:
    """What a fit has made: everything that answers, explains, saves or serves.

    The value from `fit` or from a model file never changes. Values that `fit_batch` returns share
    their weights with the values that it goes on from, since copying them would take longer than
    learning from a batch.

    Attributes
    ----------
    topics : Topics
    features : Features
    learner : Learner
    seed : int
    class_weight : {None, "balanced"} or mapping of topic to float
    data_digest : str
        SHA-256 over the documents that were learned from; see
        `slugline.corpus.documents.compute_digest`.
    n_documents : int
        How many documents there were to learn from.
    n_held_out : int
        How many of them were not learned from, because training was interrupted: they only served
        to find the best epoch, or their turn had not come.
    validation_digest : str or None
        SHA-256 over the user's own documents on which the best epoch was found.
    interrupted : bool
        Whether a person stopped the training early.
    n_batches : int
        How many batches it learned from; 0 if from all documents at once.
    history : History or None
        The search for the best epoch; None without epochs, in a loaded model, or after batches.
    tuning : Tuning or None
        What was tried; None without tuning, in a loaded model, or after batches.
    dense : DenseHead or None
        What a sentence encoder adds to the learner's scores; None without one, or if what it said
        of the documents was of no use.
    descriptions : mapping of topic to str
        Those of topics that were described, if there is a `dense` head.
    left_out : LeftOutAnswers or None
        Answers to choose thresholds by; None if no precision was asked for, or after batches.
    stream : StreamRecord or None
        How it was learned from a stream; None if it was not.
    """

    topics: Topics
    features: Features
    learner: Learner
    seed: int
    class_weight: ClassWeight
    data_digest: str
    n_documents: int
    n_held_out: int = 0
    validation_digest: str | None = None
    interrupted: bool = False
    n_batches: int = 0
    history: History | None = None
    tuning: Tuning | None = None
    dense: DenseHead | None = None
    descriptions: Mapping[Topic, str] = field(default_factory=dict)
    left_out: LeftOutAnswers | None = None
    stream: StreamRecord | None = None

    def __repr__(self) -> str:
        return format_lines("Fitted", self.summary())

    def _repr_html_(self) -> str:
        return format_html_table("Fitted", self.summary())

    def summary(self) -> list[tuple[str, str]]:
        """Return what was learned, from what and how, as pairs of a name and words."""
        columns = zip(self.features.blocks, self.features.vocabularies_, strict=True)
        ended = ", interrupted" if self.interrupted else ""
        learned_from = counted(self.n_learned, "document")
        if self.descriptions:
            learned_from += f", {counted(len(self.descriptions), 'description')}"
        return [
            ("topics", f"{len(self.topics):,}: {short_repr(self.topics.names)}"),
            ("terms", ", ".join(f"{terms.n_columns:,} {block.kind}" for block, terms in columns)),
            ("learner", repr(self.learner)),
            *([] if self.dense is None else [("encoder", self.dense.summary())]),
            *(
                ("min precision", f"{kept.precision:g} of answers given alone")
                for kept in [self.left_out]
                if kept is not None and kept.precision is not None
            ),
            ("learned from", f"{learned_from}, seed {self.seed}{ended}"),
        ]

    @cached_property
    def classes(self) -> npt.NDArray[Any]:
        """The topics in the order of the columns, shape (n_topics,): objects or int64."""
        names = self.topics.names
        # NumPy's own strings are all as wide as the longest one.
        return np.array(names, dtype=object if isinstance(names[0], str) else np.int64)

    @property
    def n_learned(self) -> int:
        """Number of documents it learned from."""
        return self.n_documents - self.n_held_out

    @property
    def encoder(self) -> CheckedEncoder | None:
        """The sentence encoder that it needs, if it needs one."""
        return None if self.dense is None else self.dense.encoder

    def predict(self, X: Iterable[str]) -> npt.NDArray[Any]:
        """Return the most likely topic of each text, shape (n_documents,)."""
        return self.classes[self.decision_function(X).argmax(axis=1)]

    def decision_function(self, X: Iterable[str]) -> F32:
        """Return scores, shape (n_documents, n_topics); the topic has the largest."""
        return self._scores(X)[0]

    def predict_proba(self, X: Iterable[str]) -> F32:
        """Return probabilities, shape (n_documents, n_topics); every row sums to 1."""
        return self.predict_with_words(X)[0]

    def predict_with_words(self, X: Iterable[str]) -> tuple[F32, WordCounts]:
        """Return the probabilities of texts, and how many words they have: they are read once."""
        if self.dense is None:
            return self._answer(self.learner.predict_proba, X)
        scores, words = self._scores(X)
        return self.dense.predict_proba(scores), words

    def _scores(self, X: Iterable[str]) -> tuple[F32, WordCounts]:
        if self.dense is None:
            return self._answer(self.learner.decision_function, X)
        texts = check_texts(X)  # they are read twice
        sparse, words = self._answer(self.learner.decision_function, texts)
        return self.dense.decision_function(sparse, texts, self.features.n_jobs), words

    def _answer(self, function: Callable[[Any], F32], X: Iterable[str]) -> tuple[F32, WordCounts]:
        """Return what the learner's function says of texts, and how many words they have."""
        if not isinstance(self.learner, LinearLearner):
            rows, words = self.features.read(X)
            return function(rows), words
        # To which rows are nothing to each other.
        parts = [(function(rows), words) for rows, words in self.features.read_parts(X)]
        if len(parts) == 1:
            return parts[0]
        answers, counts = zip(*parts, strict=True)
        return np.concatenate(answers), WordCounts.concatenate(counts)


# What there is to say of learning from a stream, besides what was learned -------------------------


class StreamRecord(NamedTuple):
    """How documents of a stream were learned from.

    Attributes
    ----------
    n_passes : int
        Passes over all documents, for a few topics each.
    n_skipped : int
        Rows of files that could not be used.
    topic_counts : tuple of int, one for each topic
        How many documents they have.
    n_judged, n_right : int
        How many documents were held out at first and judged by what was learned from the others,
        and how many of those got their topic. Without those of topics that the others don't have.
    """

    n_passes: int
    n_skipped: int
    topic_counts: tuple[int, ...]
    n_judged: int
    n_right: int

    @property
    def accuracy(self) -> float:
        """The share of those that got their topic; NaN if there are none."""
        return self.n_right / self.n_judged if self.n_judged else math.nan
