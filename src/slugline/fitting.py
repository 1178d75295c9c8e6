"""The fits that make a `Fitted`: of all documents at once, or of one batch after another."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import F32, I64, Index
from slugline.calibration import Calibration
from slugline.checks import illegal
from slugline.document_parts import are_many, rows_in_parts
from slugline.documents import (
    chain_digests,
    check_documents,
    check_names,
    digest_of,
    plain_topics,
)
from slugline.encoders.checked import CheckedEncoder
from slugline.errors import DataError, OptionError
from slugline.fit_settings import FitSettings
from slugline.fitted import Fitted
from slugline.judging import judged
from slugline.labels import Topic, Topics
from slugline.learners import BatchLearner, Learner
from slugline.learners.dense_head import DenseHead
from slugline.learners.linear import LinearLearner
from slugline.sample_weights import plain_class_weight, row_weights, topic_weights
from slugline.term_weights import as_arrays
from slugline.text.block import Block
from slugline.text.features import Features
from slugline.text.vocabulary import Vocabulary
from slugline.threads import count_threads

if TYPE_CHECKING:
    from slugline.progress import Progress
    from slugline.training.context import FitContext
    from slugline.training.history import History
    from slugline.tuning import Tuning

__all__ = ["fit", "fit_batch"]


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
    described = settings.descriptions
    texts, names = check_documents(X, y, may_be_none=bool(described))
    topics = Topics.fit([*names, *described])
    labels = topics.encode(names)
    learner = settings.learner
    if validation_data is not None and not learner.has_epochs:
        raise OptionError(
            "`validation_data` is to find the best epoch on, and this learner has no epochs; "
            "leave it out."
        )
    _check_progress(progress)
    if not texts and settings.min_precision is not None:
        raise OptionError(
            "`min_precision` needs documents to choose thresholds by, and there are only "
            "descriptions; leave it out."
        )
    if not texts and settings.encoder is not None:
        return _described(settings.encoder, topics, settings, progress)
    held = None if validation_data is None else _held_out(validation_data, topics)
    context = _context(settings, topics, labels, sample_weight, progress=progress)
    blocks, tuning = settings.chosen_blocks(), None
    if settings.tune:
        tuning = _tune(texts, labels, blocks, context, settings)
        blocks, learner = tuning.best.way.blocks, tuning.best.learner()
    features = Features(blocks, settings.n_jobs)
    validation_digest = history = None
    n_unread = 0
    if isinstance(learner, LinearLearner) and are_many(texts, blocks, settings):
        n_unread = len(texts) - learner.fit_parts(rows_in_parts(texts, labels, features, context))
    else:
        rows = features.fit_transform(texts)
        if held is not None:
            held_texts, held_labels, validation_digest = held
            held_rows = features.transform(held_texts)
            context = replace(context, validation_data=(held_rows, held_labels))
        needs_true_scores = settings.encoder is not None or settings.min_precision is not None
        history = learner.fit(rows, labels, replace(context, cross_validate=needs_true_scores))
    dense = _dense_head(texts, labels, topics, learner, context, settings)
    if isinstance(learner, LinearLearner):
        features, columns = features.without(learner.unused_columns())
        learner = learner.of_columns(columns)
    interrupted = n_unread > 0 or (history is not None and history.stopped_by == "interrupt")
    fitted = Fitted(
        topics=topics,
        features=features,
        learner=learner,
        seed=int(settings.random_state),
        class_weight=plain_class_weight(settings.class_weight),
        data_digest=digest_of(texts, names),
        n_documents=len(texts),
        n_held_out=n_unread or (_n_held_out(context, len(texts), history) if interrupted else 0),
        validation_digest=validation_digest,
        interrupted=interrupted,
        history=history,
        tuning=tuning,
        dense=dense,
        descriptions={} if dense is None else dict(described),
    )
    if settings.min_precision is None or interrupted:
        return fitted
    return _with_left_out(fitted, (texts, names), labels, settings, sample_weight)


def _with_left_out(
    fitted: Fitted,
    documents: tuple[Sequence[str], Sequence[Topic]],
    labels: I64,
    settings: FitSettings,
    sample_weight: npt.ArrayLike | None,
) -> Fitted:
    """Return the same with answers to documents that were left out."""
    texts, names = documents
    weight = None if sample_weight is None else np.asarray(sample_weight)

    def refit(how: FitSettings, rows: Index) -> Fitted:
        some = rows.tolist()
        chosen = [texts[i] for i in some], [names[i] for i in some]
        return fit(*chosen, how, sample_weight=None if weight is None else weight[rows])

    return judged(fitted, texts, labels, settings, refit)


def _dense_head(
    texts: Sequence[str],
    labels: I64,
    topics: Topics,
    learner: Learner,
    context: FitContext,
    settings: FitSettings,
) -> DenseHead | None:
    """Return what an encoder adds to the linear learner, which has learned from the texts."""
    if settings.encoder is None or not isinstance(learner, LinearLearner):
        return None
    from slugline.training.encoder_head import fit_encoder_head

    rows, y = _encoded(settings.encoder, texts, labels, topics, settings, context.progress)
    weight = context.sample_weight
    if weight is not None:  # a description counts like a document of weight 1
        more = np.ones(len(settings.descriptions), dtype=np.float32)
        context = replace(context, sample_weight=np.concatenate([weight, more]))
    head = fit_encoder_head(rows, y, len(texts), context, learner.left_out_)
    return None if head is None else DenseHead(settings.encoder, *head)


def _encoded(
    encoder: CheckedEncoder,
    texts: Sequence[str],
    labels: I64,
    topics: Topics,
    settings: FitSettings,
    progress: Progress | None,
) -> tuple[F32, I64]:
    """Return the encoder's rows of documents, then of descriptions, and their topics' numbers."""
    from slugline.encoders.encoding import encode

    described = settings.descriptions
    everything = [*texts, *described.values()]
    rows = encode(everything, encoder, n_jobs=settings.n_jobs, progress=progress)
    return rows, np.concatenate([labels, topics.encode(described)])


def _described(
    encoder: CheckedEncoder, topics: Topics, settings: FitSettings, progress: Progress | None
) -> Fitted:
    """Return what descriptions say without any document: nothing of words."""
    from slugline.training.encoder_head import nearest_means

    labels = np.zeros(0, dtype=np.int64)
    context = _context(settings, topics, labels, None)
    rows, y = _encoded(encoder, [], labels, topics, settings, progress)
    # A vocabulary without words, and a learner without weights, whose scores are all 0.
    features = Features.restore([Block("words", "multi-hot")], [Vocabulary([], "words")], [None])
    options = {**Calibration(1.0)._asdict(), "n_left_out": 0}
    no_weights = sp.csr_array((0, len(topics)), dtype=np.float32)
    arrays = {**as_arrays(no_weights), "biases": np.zeros(len(topics), dtype=np.float32)}
    return Fitted(
        topics=topics,
        features=features,
        learner=LinearLearner.restore(options, arrays),
        seed=int(settings.random_state),
        class_weight=plain_class_weight(settings.class_weight),
        data_digest=digest_of([], []),
        n_documents=0,
        dense=DenseHead(encoder, *nearest_means(rows, y, context)),
        descriptions=dict(settings.descriptions),
    )


def _held_out(
    validation_data: tuple[Iterable[str], Iterable[Topic]], topics: Topics
) -> tuple[list[str], I64, str]:
    """Return the texts to find the best epoch on, the numbers of their topics, and a digest."""
    is_pair = isinstance(validation_data, Sequence) and not isinstance(validation_data, str)
    if not is_pair or len(validation_data) != 2:
        raise illegal("validation_data", validation_data, "a pair of texts and their topics")
    names = ("validation_data[0]", "validation_data[1]")
    texts, found = check_documents(*validation_data, names)
    try:
        return texts, topics.encode(found), digest_of(texts, found)
    except DataError as error:
        raise DataError(f"`validation_data` has an {error}") from None


def _n_held_out(context: FitContext, n_documents: int, history: History | None) -> int:
    """Return how many documents an interrupted search has held out and not learned from."""
    if history is None or context.validation_data is not None:
        return 0
    weight = context.sample_weight
    return (n_documents if weight is None else int(np.count_nonzero(weight))) - history.n_rows


def _check_progress(progress: Any) -> None:
    if progress is not None and not hasattr(progress, "begin"):
        raise illegal("progress", progress, "None, or an object like those of `slugline.progress`")


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
    if settings.encoder is not None:
        raise OptionError(
            "what an `encoder` says is learned from all documents at once, not batch by batch; "
            "call fit, or leave the encoder out."
        )
    if before is None:
        before = _untaught(settings, classes)
    elif classes is not None and set(plain_topics(classes, "classes")) != set(before.topics.names):
        raise DataError("`classes` differ from those of the first call; leave them out.")
    labels = before.topics.encode(names)
    context = _batch_context(settings, before, labels, sample_weight)
    learner, features = _batch_learner(copy.copy(before.learner)), copy.copy(before.features)
    rows, moved = features.partial_fit_transform(texts, before.n_documents, grow=learner.grows)
    learner.partial_fit(rows, labels, replace(context, moved=moved))
    digest = digest_of(texts, names)
    return replace(
        before,
        features=features,
        learner=learner,
        seed=int(settings.random_state),
        class_weight=plain_class_weight(settings.class_weight),
        data_digest=digest if context.first else chain_digests(before.data_digest, digest),
        n_documents=before.n_documents + len(texts),
        n_batches=before.n_batches + 1,
        history=None,
        tuning=None,
        left_out=None,  # they were answered by other weights
        stream=None,
    )


def _untaught(settings: FitSettings, classes: Iterable[Topic] | None) -> Fitted:
    """Return what there is before the first batch."""
    if settings.tune:
        raise OptionError("`tune` needs all documents at once; leave it out, or call fit first.")
    if settings.min_precision is not None:
        raise OptionError(
            "thresholds for `min_precision` are chosen from all documents at once, not batch by "
            "batch; leave it out, or call fit."
        )
    names = [] if classes is None else plain_topics(classes, "classes")
    if not names:
        raise OptionError(
            "the first call of partial_fit needs `classes`: all topics that there will be."
        )
    check_names(names)
    learner = _batch_learner(settings.learner)
    return Fitted(
        topics=Topics.fit(names),
        features=Features(settings.batch_blocks(), settings.n_jobs),
        learner=learner,
        seed=int(settings.random_state),
        class_weight=plain_class_weight(settings.class_weight),
        data_digest="",
        n_documents=0,
    )


def _batch_learner(learner: Learner) -> BatchLearner:
    """Return the learner itself, if it can learn from batches."""
    if not isinstance(learner, BatchLearner):
        raise OptionError(
            f"`learner` is a {type(learner).__name__}, which can't learn from batches; use one of "
            "LinearLearner, NeuralLearner."
        )
    return learner


def _batch_context(
    settings: FitSettings, before: Fitted, labels: I64, sample_weight: npt.ArrayLike | None
) -> FitContext:
    if settings.class_weight == "balanced":
        raise OptionError(
            "`class_weight` 'balanced' needs all documents at once; give a mapping of topic to "
            "weight."
        )
    first = before.n_documents == 0
    return _context(settings, before.topics, labels, sample_weight, first=first)


def _context(
    settings: FitSettings,
    topics: Topics,
    labels: I64,
    sample_weight: npt.ArrayLike | None,
    *,
    first: bool = False,
    progress: Progress | None = None,
) -> FitContext:
    from slugline.training.context import FitContext

    weights = topic_weights(settings.class_weight, topics, labels)
    return FitContext(
        n_topics=len(topics),
        sample_weight=row_weights(len(labels), sample_weight, weights),
        weighted_topics=settings.class_weight is not None,
        seed=int(settings.random_state),
        first=first,
        n_jobs=count_threads(settings.n_jobs),
        progress=progress,
    )


def _tune(
    texts: Sequence[str],
    labels: I64,
    blocks: tuple[Block, ...],
    context: FitContext,
    settings: FitSettings,
) -> Tuning:
    from slugline.tuning import BUDGET, tune

    budget = BUDGET if settings.tune is True else settings.tune
    return tune(texts, labels, blocks, context, budget=budget, n_jobs=settings.n_jobs)
