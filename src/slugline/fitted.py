"""All that a fit makes, as one frozen value, and the fits that make it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slugline.documents import (
    chain_digests,
    check_documents,
    check_names,
    digest_of,
    plain_topics,
)
from slugline.errors import DataError, OptionError
from slugline.features import Block, Features
from slugline.labels import Topic, Topics
from slugline.learners import BatchLearner, FitContext, Learner
from slugline.recipe import default_blocks, hashed_blocks
from slugline.weights import row_weights, topic_weights

if TYPE_CHECKING:
    from slugline.training.history import History
    from slugline.training.progress import Progress
    from slugline.tuning import Tuning

__all__ = ["FitSettings", "Fitted", "fit", "fit_batch"]

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
ClassWeight = str | Mapping[Any, float] | None


@dataclass(frozen=True, kw_only=True)
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
        SHA-256 over the documents that were learned from; see `slugline.documents.digest_of`.
    n_documents : int
    validation_digest : str or None
        SHA-256 over the user's own documents on which the best epoch was found.
    interrupted : bool
        Whether a person stopped the training early.
    n_batches : int
        In how many batches it learned; 0 if from all documents at once.
    history : History or None
        The search for the best epoch; None without epochs, in a loaded model, or after batches.
    tuning : Tuning or None
        What was tried; None without tuning, in a loaded model, or after batches.
    """

    topics: Topics
    features: Features
    learner: Learner
    seed: int
    class_weight: ClassWeight
    data_digest: str
    n_documents: int
    validation_digest: str | None = None
    interrupted: bool = False
    n_batches: int = 0
    history: History | None = None
    tuning: Tuning | None = None

    @cached_property
    def classes(self) -> npt.NDArray[Any]:
        """The topics in the order of the columns, shape (n_topics,): objects or int64."""
        names = self.topics.names
        # NumPy's own strings are all as wide as the longest one.
        return np.array(names, dtype=object if isinstance(names[0], str) else np.int64)

    def predict(self, X: Iterable[str]) -> npt.NDArray[Any]:
        """Return the likeliest topic of each text, shape (n_documents,)."""
        return self.classes[self.decision_function(X).argmax(axis=1)]

    def decision_function(self, X: Iterable[str]) -> Floats:
        """Scores, shape (n_documents, n_topics): the largest marks the topic."""
        return self.learner.decision_function(self.features.transform(X))

    def predict_proba(self, X: Iterable[str]) -> Floats:
        """Probabilities, shape (n_documents, n_topics); every row sums to 1."""
        return self.learner.predict_proba(self.features.transform(X))


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How to learn; see `TopicClassifier` for what each setting means.

    Raises
    ------
    OptionError : if one of them is out of its range.
    """

    learner: Learner
    blocks: Sequence[Block] | None
    class_weight: ClassWeight
    tune: bool | float
    n_jobs: int
    random_state: int

    def __post_init__(self) -> None:
        for name, least in (("n_jobs", 1), ("random_state", 0)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < least:
                raise OptionError(f"{name} is {value!r}; give a whole number of at least {least}.")
        if not isinstance(self.tune, int | float) or not 0 <= self.tune < math.inf:
            raise OptionError(f"tune is {self.tune!r}; give True, False or a budget over 0.")

    def blocks_for(self, texts: Sequence[str]) -> tuple[Block, ...]:
        """Return the families of terms to learn from all documents."""
        if self.blocks is not None:
            return tuple(self.blocks)
        return default_blocks(texts, self.learner.wants)

    def hashed_blocks_for(self, texts: Sequence[str]) -> tuple[Block, ...]:
        """Return the families of terms to learn batch by batch, of which `texts` is the first."""
        if self.blocks is None:
            return hashed_blocks(texts, self.learner.wants)
        odd = next((block for block in self.blocks if block.n_buckets is None), None)
        if odd is not None:
            raise OptionError(
                f"the block of {odd.kind} has a vocabulary, which can't grow from batch to batch; "
                "give it n_buckets, or call fit first."
            )
        return tuple(self.blocks)


def fit(
    X: Iterable[str],
    y: Iterable[Topic],
    settings: FitSettings,
    *,
    sample_weight: npt.ArrayLike | None = None,
    validation_data: tuple[Iterable[str], Iterable[Topic]] | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Learn from all documents at once; see `TopicClassifier.fit`."""
    texts, names = check_documents(X, y)
    topics = Topics.fit(names)
    labels = topics.encode(names)
    learner = settings.learner
    if validation_data is not None and not learner.has_epochs:
        raise OptionError(
            "validation_data is to find the best epoch on, and this learner has no epochs; "
            "leave it out."
        )
    context = _context(settings, topics, labels, sample_weight, progress=progress)
    blocks, tuning = settings.blocks_for(texts), None
    if settings.tune:
        tuning = _tune(texts, labels, blocks, context, settings)
        blocks, learner = tuning.best.way.blocks, tuning.best.learner()
    features = Features(blocks, settings.n_jobs)
    rows = features.fit_transform(texts)
    validation_digest = None
    if validation_data is not None:
        held_texts, held_names = check_documents(*validation_data)
        validation_digest = digest_of(held_texts, held_names)
        held = features.transform(held_texts), topics.encode(held_names)
        context = replace(context, validation_data=held)
    history = learner.fit(rows, labels, context)
    return Fitted(
        topics=topics,
        features=features,
        learner=learner,
        seed=int(settings.random_state),
        class_weight=settings.class_weight,
        data_digest=digest_of(texts, names),
        n_documents=len(texts),
        validation_digest=validation_digest,
        interrupted=history is not None and history.stopped_by == "interrupt",
        history=history,
        tuning=tuning,
    )


def fit_batch(
    X: Iterable[str],
    y: Iterable[Topic],
    settings: FitSettings,
    before: Fitted | None = None,
    *,
    classes: Iterable[Topic] | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> Fitted:
    """Learn on from one more batch; see `TopicClassifier.partial_fit`.

    Parameters
    ----------
    before : Fitted, optional
        What was learned before; nothing by default. If learning fails, it answers as it did.
    """
    texts, names = check_documents(X, y)
    if before is None:
        before = _untaught(texts, settings, classes)
    elif classes is not None and Topics.fit(plain_topics(classes)).names != before.topics.names:
        raise DataError("classes differ from those of the first call; leave them out.")
    labels = before.topics.encode(names)
    context = _batch_context(settings, before, labels, sample_weight)
    learner, features = _batch_learner(copy.copy(before.learner)), copy.copy(before.features)
    rows = features.partial_fit_transform(texts, before.n_documents)
    learner.partial_fit(rows, labels, context)
    digest = digest_of(texts, names)
    return replace(
        before,
        features=features,
        learner=learner,
        seed=int(settings.random_state),
        class_weight=settings.class_weight,
        data_digest=digest if context.first else chain_digests(before.data_digest, digest),
        n_documents=before.n_documents + len(texts),
        n_batches=before.n_batches + 1,
        history=None,
        tuning=None,
    )


def _untaught(
    texts: Sequence[str], settings: FitSettings, classes: Iterable[Topic] | None
) -> Fitted:
    """Return what there is before the first batch."""
    if settings.tune:
        raise OptionError("tune needs all documents at once; leave it out, or call fit first.")
    names = [] if classes is None else plain_topics(classes)
    if not names:
        raise OptionError(
            "the first call of partial_fit needs classes: all topics that there will be."
        )
    check_names(names)
    learner = _batch_learner(settings.learner)
    return Fitted(
        topics=Topics.fit(names),
        features=Features(settings.hashed_blocks_for(texts), settings.n_jobs),
        learner=learner,
        seed=int(settings.random_state),
        class_weight=settings.class_weight,
        data_digest="",
        n_documents=0,
    )


def _batch_learner(learner: Learner) -> BatchLearner:
    """Return the learner itself, if it can learn from batches."""
    if not isinstance(learner, BatchLearner):
        raise OptionError(
            f"a {type(learner).__name__} can't learn from batches; use one of "
            "LinearLearner, NeuralLearner."
        )
    return learner


def _batch_context(
    settings: FitSettings, before: Fitted, labels: Labels, sample_weight: npt.ArrayLike | None
) -> FitContext:
    if settings.class_weight == "balanced":
        raise OptionError(
            "class_weight 'balanced' needs all documents at once; give a mapping of topic to "
            "weight."
        )
    first = before.n_documents == 0
    return _context(settings, before.topics, labels, sample_weight, first=first)


def _context(
    settings: FitSettings,
    topics: Topics,
    labels: Labels,
    sample_weight: npt.ArrayLike | None,
    *,
    first: bool = False,
    progress: Progress | None = None,
) -> FitContext:
    weights = topic_weights(settings.class_weight, topics, labels)
    return FitContext(
        n_topics=len(topics),
        sample_weight=row_weights(len(labels), sample_weight, weights),
        weighted_topics=settings.class_weight is not None,
        seed=settings.random_state,
        first=first,
        progress=progress,
    )


def _tune(
    texts: Sequence[str],
    labels: Labels,
    blocks: tuple[Block, ...],
    context: FitContext,
    settings: FitSettings,
) -> Tuning:
    from slugline.tuning import BUDGET, tune

    budget = BUDGET if settings.tune is True else settings.tune
    return tune(texts, labels, blocks, context, budget=budget, n_jobs=settings.n_jobs)
