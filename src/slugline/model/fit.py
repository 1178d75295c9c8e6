"""Fitting a model to all documents at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import Index
from slugline.base.memory import release_memory
from slugline.base.progress import Progress, check_progress
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import compute_digest
from slugline.corpus.sample_weights import to_plain_class_weight
from slugline.corpus.topic_sets import check_form, sets_with_parents
from slugline.errors import DataError, OptionError, Parameter
from slugline.learning.calibration import Calibration
from slugline.learning.encoder.encoder import CheckedEncoder
from slugline.learning.encoder.head import DenseHead
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext, Learner, choose_learner, is_linear
from slugline.learning.linear.learner import LinearLearner
from slugline.model.cross_validation import cross_validate
from slugline.model.dense import (
    EncoderFit,
    UnlabelledScores,
    check_unlabelled,
    encode_documents,
    encode_with_descriptions,
    linear_heldout,
    resolve_encoder,
)
from slugline.model.documents import TrainingDocuments
from slugline.model.fitted import Fitted
from slugline.model.heldout import MAX_PREDICTIONS
from slugline.model.settings import FitSettings
from slugline.model.task import ClassificationTask
from slugline.model.text_profile import TextProfile
from slugline.text.columns import Vocabulary
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features

if TYPE_CHECKING:
    from slugline.learning.net.training import History
    from slugline.learning.tuning import Tuning

# With more columns, memory of rows and training is returned to the system before column names are
# copied. In smaller fits, reallocating it would take too long.
_MANY_COLUMNS = 1 << 18
# Rows for more documents than this would take gigabytes.
_MANY_DOCUMENTS = 200_000
# With more documents, the linear learner holds out scores by a single split: folds would be slow
# and hardly better. Models keep the same number of held-out predictions.
_MAX_IN_FOLDS = MAX_PREDICTIONS


def fit(
    corpus: Corpus,
    settings: FitSettings,
    *,
    validation: Corpus | None = None,
    unlabelled: Iterable[str] | None = None,
    sample_weight: npt.ArrayLike | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Fit a model to all documents at once; see `TopicClassifier.fit`.

    Parameters
    ----------
    corpus : Corpus
        Texts and topics, already checked by `load_corpus` or `Corpus.from_documents`.
    settings : FitSettings
    validation : Corpus, optional
        Documents for choosing the best epoch.
    unlabelled : iterable of str, optional
        Additional training texts without labels.
    sample_weight : float array, shape (len(corpus),), optional
    progress : Progress, optional
    """
    if not settings.descriptions:
        if not corpus.texts:
            raise DataError("there are no training documents; pass at least two.")
        if corpus.multilabel and not any(corpus.topics):
            raise DataError("no document has a topic; give documents with topics.")
    documents = TrainingDocuments.from_corpus(corpus, settings, sample_weight)
    task, progress = documents.task, check_progress(progress)
    if validation is not None and not settings.learner.capabilities.has_epochs:
        raise OptionError(
            Parameter("validation_data"),
            " selects the best epoch, but this learner has no epochs; leave it out.",
        )
    if not documents and settings.min_precision is not None:
        raise OptionError(
            Parameter("min_precision"),
            " requires documents to choose thresholds, but there are only descriptions; leave it "
            "out.",
        )
    unlabelled_texts = check_unlabelled(
        unlabelled, documents.texts, task.labels, task.topics, settings, progress
    )
    context = documents.context(settings, progress=progress)
    if not documents and isinstance(settings.encoder, CheckedEncoder):
        return _fit_descriptions(settings.encoder, task, context, settings)
    validation_set = _encode_validation(validation, documents, settings)
    candidate = _choose_candidate(documents, context, settings)
    words = _learn_words(documents, candidate, validation_set, context, settings)
    settings, choice = resolve_encoder(
        documents.texts, task.labels, words.learner, context, settings
    )
    encoder_fit = _add_encoder(documents, words, unlabelled_texts, context, settings)
    words = replace(words, rows=None)  # to free memory
    if words.features.n_columns > _MANY_COLUMNS:
        release_memory()
    dense, heldout = encoder_fit.head, encoder_fit.heldout
    features, learner, columns = words.without_unused_columns()
    fitted = Fitted(
        topics=task.topics,
        features=features,
        learner=learner,
        seed=settings.random_state,
        class_weight=to_plain_class_weight(settings.class_weight),
        data_digest=documents.digest,
        n_documents=len(documents),
        topic_counts=task.topic_counts,
        n_unlearned=words.n_unlearned,
        validation_digest=None if validation_set is None else validation_set.digest,
        interrupted=words.is_interrupted,
        history=words.history,
        tuning=candidate.tuning,
        dense=dense,
        head_state=encoder_fit.state,
        encoder_choice=choice,
        descriptions={} if dense is None else dict(settings.descriptions),
        layout=corpus.layout,
        text_profile=None
        if settings.learner.capabilities.has_epochs  # networks
        else TextProfile.from_documents(documents.texts, task.labels, len(task.topics)),
    )
    if heldout is None and task.needs_cross_validation(fitted):

        def fit_rows(rows: Index, settings: FitSettings) -> Fitted:
            part, weight = documents.take(rows)
            return fit(part, settings, sample_weight=weight)

        heldout = cross_validate(fitted, documents, settings, fit_rows, progress)
        heldout = task.recalibrate(learner, heldout, context.sample_weight)
    unknown_words = words.features.unknown_word_rate(columns)
    return task.complete(fitted, heldout, documents.given_rows, unknown_words)


# Validation documents -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _ValidationSet:
    """Documents for choosing the best epoch, and their digest."""

    texts: Sequence[str]
    labels: Labels
    digest: str


def _encode_validation(
    validation: Corpus | None, documents: TrainingDocuments, settings: FitSettings
) -> _ValidationSet | None:
    """Return the validation documents with their labels, if any."""
    if validation is None:
        return None
    task = documents.task
    names = sets_with_parents(validation.topics, settings.topic_path)
    check_form(
        task.topics,
        names,
        "training documents",
        "`validation_data[1]`",
        multilabel=task.labels.multilabel,
        columns=validation.indicator_topics,
        separator=settings.topic_path,
    )
    try:
        labels = task.encode(names)
    except DataError as error:
        raise DataError(Parameter("validation_data"), f" has an {error}") from None
    return _ValidationSet(validation.texts, labels, compute_digest(validation.texts, names))


# Words --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Candidate:
    """Feature groups and a learner, with the search that chose them, if any."""

    feature_groups: tuple[FeatureGroup, ...]
    learner: Learner
    tuning: Tuning | None = None


def _choose_candidate(
    documents: TrainingDocuments, context: FitContext, settings: FitSettings
) -> _Candidate:
    """Return the feature groups and learner from the settings, or the best ones of a search."""
    feature_groups = settings.choose_feature_groups(documents.texts, documents.names)
    if not settings.tune:
        return _Candidate(feature_groups, choose_learner(settings.learner))  # a copy
    from slugline.learning.tuning import BUDGET, tune

    texts, task = documents.texts, documents.task
    tuning = tune(
        texts,
        task.labels,
        feature_groups,
        context,
        budget=BUDGET if settings.tune is True else settings.tune,
        n_jobs=settings.n_jobs,
        metric=task.tuning_metric(),
    )
    best = tuning.best.candidate
    return _Candidate(best.feature_groups, best.learner(), tuning)


@dataclass(frozen=True)
class _LearnedWords:
    """Features and learner fitted to the words of documents.

    Attributes
    ----------
    features : Features
    learner : Learner
    rows : CSR array, shape (n_documents, n_columns), or None
        None if fitted in parts, or no longer needed.
    history : History or None
    n_unlearned : int
        Number of documents not used because training was interrupted.
    is_interrupted : bool
    """

    features: Features
    learner: Learner
    rows: sp.csr_array | None
    history: History | None
    n_unlearned: int
    is_interrupted: bool

    def without_unused_columns(self) -> tuple[Features, Learner, Index]:
        """Return features and learner without zero-weight terms, and the remaining columns."""
        if not is_linear(self.learner):
            return self.features, self.learner, np.arange(self.features.n_columns)
        features, columns = self.features.without(self.learner.unused_columns())
        return features, self.learner.of_columns(columns), columns


def _learn_words(
    documents: TrainingDocuments,
    candidate: _Candidate,
    validation: _ValidationSet | None,
    context: FitContext,
    settings: FitSettings,
) -> _LearnedWords:
    """Fit features to texts and the learner to their rows, in parts for very many texts."""
    learner, labels = candidate.learner, documents.task.labels
    are_hashed = all(group.n_buckets for group in candidate.feature_groups)
    in_parts = len(documents) > _MANY_DOCUMENTS and are_hashed and not settings.needs_encoder
    if is_linear(learner) and in_parts:
        from slugline.model.parts.fit import fit_documents

        features, result = fit_documents(documents, candidate.feature_groups, context)
        return _LearnedWords(
            features=features,
            learner=learner.learned(
                result.weights, result.biases, result.calibration, result.heldout.as_scores()
            ),
            rows=None,
            history=None,
            n_unlearned=result.n_unlearned,
            is_interrupted=result.interrupted,
        )
    features = Features(candidate.feature_groups, settings.n_jobs)
    rows = features.fit_transform(documents.texts, context.progress)
    # Folds take several fits, but a single split gives probabilities that are too low, worse
    # factors for words and vectors, and biased topic counts.
    needs_all_scores = settings.min_precision is not None or (
        settings.encoder is not None and not settings.has_fast_encoder
    )
    context = replace(context, cross_validate=needs_all_scores or len(labels) <= _MAX_IN_FOLDS)
    if validation is not None:
        validation_data = features.transform(validation.texts), validation.labels
        context = replace(context, validation_data=validation_data)
    history = learner.fit(rows, labels, context)
    is_interrupted = history is not None and history.stopped_by == "interrupt"
    n_unlearned = _count_heldout(context, len(documents), history) if is_interrupted else 0
    return _LearnedWords(
        features=features,
        learner=learner,
        rows=rows,
        history=history,
        n_unlearned=n_unlearned,
        is_interrupted=is_interrupted,
    )


def _count_heldout(context: FitContext, n_documents: int, history: History | None) -> int:
    """Return the number of documents held out by an interrupted search and never trained on."""
    if history is None or context.validation_data is not None:
        return 0
    weight = context.sample_weight
    return (n_documents if weight is None else int(np.count_nonzero(weight))) - history.n_rows


# The encoder --------------------------------------------------------------------------------------


def _add_encoder(
    documents: TrainingDocuments,
    words: _LearnedWords,
    unlabelled_texts: Sequence[str],
    context: FitContext,
    settings: FitSettings,
) -> EncoderFit:
    """Return the encoder's head and held-out probabilities."""
    if words.rows is None:
        return EncoderFit(None, linear_heldout(words.learner))
    task, unlabelled = documents.task, None
    if unlabelled_texts:
        rows = words.features.transform(unlabelled_texts)
        unlabelled = UnlabelledScores(unlabelled_texts, words.learner.decision_function(rows))
    encoded = encode_documents(
        documents.texts,
        words.rows,
        labels=task.labels,
        described=task.described_labels(),
        topics=task.topics,
        learner=words.learner,
        context=context,
        settings=settings,
        unlabelled=unlabelled,
    )
    if encoded is None:
        return EncoderFit(None, linear_heldout(words.learner))
    encoder_fit = task.add_encoder(encoded)
    return replace(encoder_fit, state=encoded.head_state(encoder_fit.head))


# Descriptions without documents -------------------------------------------------------------------


def _fit_descriptions(
    encoder: CheckedEncoder, task: ClassificationTask, context: FitContext, settings: FitSettings
) -> Fitted:
    """Fit a model to descriptions of topics only."""
    from slugline.learning.encoder.fit import fit_nearest_means

    topics = task.topics
    rows = encode_with_descriptions(encoder, [], settings, context.progress)
    labels, factors = task.described_labels(), encoder.column_factors
    head = fit_nearest_means(rows * factors, labels, context)
    head = head._replace(weights=head.weights * factors[:, np.newaxis])
    # A vocabulary without words, and a learner without weights, whose scores are all 0.
    features = Features.restore(
        [FeatureGroup("words", "multi-hot")], [Vocabulary([], "words")], [None]
    )
    no_weights = sp.csr_array((0, len(topics)), dtype=np.float32)
    no_biases = np.zeros(len(topics), dtype=np.float32)
    return Fitted(
        topics=topics,
        features=features,
        learner=LinearLearner().learned(no_weights, no_biases, Calibration(1.0)),
        seed=settings.random_state,
        class_weight=to_plain_class_weight(settings.class_weight),
        data_digest=compute_digest([], []),
        n_documents=0,
        topic_counts=task.topic_counts,
        dense=DenseHead.from_head(encoder, head),
        descriptions=dict(settings.descriptions),
    )
