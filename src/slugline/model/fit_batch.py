"""Training a model on another batch of documents."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slugline.corpus import documents
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import Topic, Topics
from slugline.corpus.sample_weights import to_plain_class_weight
from slugline.corpus.topic_sets import check_form, is_multilabel
from slugline.errors import DataError, OptionError, Parameter
from slugline.learning.encoder.encoder import CheckedEncoder
from slugline.learning.labels import Labels
from slugline.learning.learner import BatchLearner, Learner, is_linear, learns_in_batches
from slugline.model.dense import encode_names
from slugline.model.documents import TrainingDocuments, counted_documents
from slugline.model.fitted import Fitted
from slugline.model.settings import FitSettings
from slugline.model.task import choose_task
from slugline.text.features import Features

if TYPE_CHECKING:
    from slugline.learning.encoder.head import DenseHead
    from slugline.learning.encoder.head_state import HeadState


def fit_batch(
    corpus: Corpus,
    settings: FitSettings,
    before: Fitted | None = None,
    *,
    classes: Iterable[Topic] | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> Fitted:
    """Return `before` updated with another batch; see `TopicClassifier.partial_fit`."""
    texts, names, weights = counted_documents(corpus, sample_weight)
    columns, multilabel = corpus.indicator_topics, is_multilabel(names)
    _check_batch(texts, settings)
    if before is None:
        classes = columns if classes is None else classes
        before = _before_first_batch(settings, classes, texts, names)
        check_form(before.topics, names, "`classes`", multilabel=multilabel, columns=columns)
    elif classes is not None and set(documents.to_plain_topics(classes, "classes")) != set(
        before.topics.names
    ):
        raise DataError(
            Parameter("classes"), " differ from those of the first call; leave them out."
        )
    else:
        check_form(
            before.topics, names, "earlier batches", multilabel=before.multilabel, columns=columns
        )
    task = choose_task(
        names, settings, multilabel=multilabel, topics=before.topics, columns=columns
    )
    training = TrainingDocuments(texts, names, weights, task, np.arange(len(texts)))
    is_first = before.n_documents == 0
    context = training.context(settings, first=is_first)
    learner, features = _batch_learner(copy.copy(before.learner)), copy.copy(before.features)
    rows, moved = features.partial_fit_transform(texts, before.n_documents, grow=learner.grows)
    learner.partial_fit(rows, task.labels, replace(context, moved=moved))
    head_state, dense = _learn_head(before, training, learner, settings)
    digest = training.digest
    return replace(
        before,
        features=features,
        learner=learner,
        dense=dense,
        head_state=head_state,
        seed=settings.random_state,
        class_weight=to_plain_class_weight(settings.class_weight),
        data_digest=digest if is_first else documents.chain_digests(before.data_digest, digest),
        n_documents=before.n_documents + len(texts),
        topic_counts=before.topic_counts + task.topic_counts,
        n_batches=before.n_batches + 1,
        history=None,
        tuning=None,
        text_profile=None,
        multilabel_rule=task.next_rule(before, learner),
        heldout_predictions=None,  # made with other weights
        stream=None,
        layout=corpus.layout or before.layout,
    )


# The encoder --------------------------------------------------------------------------------------


def _learn_head(
    before: Fitted, training: TrainingDocuments, learner: BatchLearner, settings: FitSettings
) -> tuple[HeadState | None, DenseHead | None]:
    """Update the state of the encoder's head, and return the state and the head."""
    labels, state = training.task.labels, before.head_state
    if before.n_documents == 0:
        state = _empty_head_state(before.topics, labels, settings)
    if state is None or not is_linear(learner) or learner.heldout_scores_ is None:
        return state, before.dense
    from slugline.learning.encoder.batches import learn_batch, make_head
    from slugline.learning.encoder.rows import encode

    state.encoder.check_table()
    rows = encode(training.texts, state.encoder, n_jobs=settings.n_jobs)
    weight = training.context(settings).sample_weight
    is_learned = state.encoder.find_known(rows)
    is_learned &= state.encoder.knows_language(training.texts)
    if weight is not None:
        is_learned &= weight > 0
        weight = weight[is_learned]
    n_documents = before.n_documents + len(training)
    names = encode_names(before.topics, state.encoder, n_documents)
    heldout = learner.heldout_scores_.of_rows(is_learned)
    y = labels.topics[is_learned]
    state = learn_batch(state, rows[is_learned], y, weight, heldout, names)
    return state, make_head(state, names, n_documents)


def _empty_head_state(topics: Topics, labels: Labels, settings: FitSettings) -> HeadState | None:
    """Return the initial state, or None if word vectors can't be used."""
    encoder = settings.encoder
    if not isinstance(encoder, CheckedEncoder) or encoder.summing_encoder is None:
        return None
    if labels.multilabel or len(topics) == 1 or not is_linear(settings.learner):
        return None
    from slugline.learning.encoder.head_state import HeadState

    n_columns = encoder.summing_encoder.table.header.n_columns
    return HeadState.empty(encoder, len(topics), n_columns)


def _check_batch(texts: Sequence[str], settings: FitSettings) -> None:
    """Raise an error for an empty batch, or for settings that require all documents at once."""
    if not texts:
        raise DataError("there are no training documents; pass at least one.")
    if settings.needs_encoder:
        raise OptionError(
            "descriptions or a sentence ",
            Parameter("encoder"),
            " such as use require all documents at once; call fit, or leave them out for word "
            "vectors.",
        )
    if settings.class_weight == "balanced":
        raise OptionError(
            Parameter("class_weight"),
            " 'balanced' requires all documents at once; give a mapping of topic to weight.",
        )


def _before_first_batch(
    settings: FitSettings,
    classes: Iterable[Topic] | None,
    texts: Sequence[str],
    names: Sequence[Any],
) -> Fitted:
    """Return an untrained model for all `classes`, given the first batch."""
    if settings.tune:
        raise OptionError(
            Parameter("tune"), " requires all documents at once; leave it out, or call fit first."
        )
    if settings.min_precision is not None:
        raise OptionError(
            "thresholds for ",
            Parameter("min_precision"),
            " are chosen from all documents at once, not batch by "
            "batch; leave it out, or call fit.",
        )
    all_topics = [] if classes is None else documents.to_plain_topics(classes, "classes")
    if not all_topics:
        raise OptionError(
            "the first call of partial_fit needs ",
            Parameter("classes"),
            "; give a list of all topics that batches may have.",
        )
    documents.check_topic_names(all_topics)
    learner, topics = _batch_learner(settings.learner), Topics.fit(all_topics)
    feature_groups = settings.batch_feature_groups(texts, names, are_all=False)
    return Fitted(
        topics=topics,
        topic_counts=np.zeros(len(topics), dtype=np.int64),
        features=Features(feature_groups, settings.n_jobs),
        learner=learner,
        seed=settings.random_state,
        class_weight=to_plain_class_weight(settings.class_weight),
        data_digest="",
        n_documents=0,
    )


def _batch_learner(learner: Learner) -> BatchLearner:
    """Return the learner; OptionError if it can't learn from batches."""
    if not learns_in_batches(learner):
        raise OptionError(
            Parameter("learner"),
            f" is a {type(learner).__name__}, which can't learn from batches; use one of "
            "LinearLearner, NeuralLearner.",
        )
    return learner
