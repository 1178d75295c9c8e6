"""The fits that make a `Fitted`: from all documents at once, or batch by batch."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import F32, F64, I64, Index
from slugline.base.checks import count_threads, short_repr
from slugline.base.progress import SILENT, Progress, announce, check_progress
from slugline.corpus import documents, topic_sets
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import Topic, Topics
from slugline.corpus.sample_weights import (
    counted_rows,
    row_weights,
    to_plain_class_weight,
    topic_weights,
)
from slugline.corpus.splits import make_folds
from slugline.corpus.topic_sets import check_form, is_multilabel
from slugline.errors import DataError, Message, OptionError, Parameter
from slugline.learning.calibration import (
    LEAST_LOG_ODDS,
    LOG_ODDS_CURVE,
    Calibration,
    fit_topic_calibration,
    log_odds,
    sigmoid,
)
from slugline.learning.encoder.encoder import CheckedEncoder
from slugline.learning.encoder.head import DenseHead
from slugline.learning.labels import Labels
from slugline.learning.learner import (
    BatchLearner,
    FitContext,
    Learner,
    choose_learner,
    is_linear,
    learns_in_batches,
)
from slugline.learning.linear.learner import LinearLearner, to_arrays
from slugline.model.dense import (
    HeldOutProba,
    UnlabelledScores,
    add_encoder,
    check_unlabelled,
    described_sets,
    encode_all,
    with_chosen_encoder,
)
from slugline.model.fitted import Fitted
from slugline.model.heldout import MAX_PREDICTIONS, HeldOutPredictions
from slugline.model.multilabel_rule import (
    USUAL_THRESHOLD,
    MultilabelRule,
    Parents,
    check_own_thresholds,
    find_ends,
    find_parents,
    with_own_thresholds,
)
from slugline.model.settings import FitSettings
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features, UnknownWordRate
from slugline.text.sparse import SparseRows
from slugline.text.vocabulary import Vocabulary

if TYPE_CHECKING:
    from slugline.learning.heldout import RecentScores
    from slugline.learning.net.training import History
    from slugline.learning.tuning import Metric, Tuning


# Rows in parts ------------------------------------------------------------------------------------

# Rows of more documents than this would take gigabytes.
_MANY_DOCUMENTS, _PART_SIZE = 200_000, 50_000


def is_learned_in_parts(
    texts: Sequence[str], feature_groups: Sequence[FeatureGroup], settings: FitSettings
) -> bool:
    """Whether texts are so many that they are learned in parts, without vocabulary or encoder."""
    is_simple = settings.encoder is None and all(group.n_buckets for group in feature_groups)
    return len(texts) > _MANY_DOCUMENTS and is_simple


def rows_in_parts(
    texts: Sequence[str], labels: Labels, features: Features, context: FitContext
) -> Iterator[tuple[sp.csr_array, Labels, FitContext]]:
    """Yield rows of the documents in random order, as `LinearLearner.fit_parts` takes them.

    The features are always those of the parts that were learned from.

    Raises
    ------
    DataError : if the first part has no words.
    """
    order = np.random.default_rng(context.seed).permutation(len(texts))
    starts = range(0, len(texts), _PART_SIZE)
    weight = context.sample_weight
    with closing(context.progress):
        for first in starts:
            part = order[first : first + _PART_SIZE]
            ahead = copy.copy(features)
            rows, moved = ahead.partial_fit_transform([texts[i] for i in part], first)
            if not ahead.n_columns:
                raise DataError("no document has a word in it; check which column holds the text.")
            costs = None if weight is None else weight[part]
            yield rows, labels.take(part), replace(context, sample_weight=costs, moved=moved)
            vars(features).update(vars(ahead))
            n_done = min(first + _PART_SIZE, len(texts))
            context.progress.update(f"learning from {len(texts):,} documents", n_done / len(texts))


# Held-out predictions -----------------------------------------------------------------------------

# Learners that don't predict held-out documents as they learn are fitted again without a third of
# them, three times; or once, without a few, if documents are so many that this takes long.
_N_FOLDS, _MANY = 3, 20_000


def _with_heldout_predictions(
    fitted: Fitted,
    heldout: HeldOutProba | None,
    labels: Labels,
    words: UnknownWordRate | None,
    precision: float | None,
) -> Fitted:
    """Return `fitted` with held-out predictions if there are any."""
    if heldout is None:
        return fitted
    rows, proba = heldout
    # An encoder may know what words don't, even in other languages.
    words = words if fitted.dense is None else None
    predictions = HeldOutPredictions.from_proba(
        proba, labels.take(rows), rows, words=words, precision=precision
    )
    return replace(fitted, heldout_predictions=predictions)


def _cross_validate(
    fitted: Fitted,
    texts: Sequence[str],
    names: Sequence[Topic],
    settings: FitSettings,
    sample_weight: npt.ArrayLike | None,
    progress: Progress,
) -> HeldOutProba:
    """Return the probabilities of models that learn anew, with the same settings."""
    settings_of_parts = replace(
        settings,
        learner=choose_learner(fitted.learner),
        feature_groups=fitted.features.feature_groups,
        tune=False,
        min_precision=None,
        thresholds={},
        cross_validate=False,
    )
    labels = Labels.encode(fitted.topics, names, multilabel=is_multilabel(names))
    weight = None if sample_weight is None else np.asarray(sample_weight)
    rows, parts = [np.zeros(0, np.intp)], [np.zeros((0, len(fitted.topics)), np.float32)]
    copies = np.unique(np.array(texts, dtype=object), return_inverse=True)[1]
    with closing(progress):
        for number, fold in enumerate(_folds(labels, copies, settings.random_state)):
            progress.update("predicting documents left out", number / _N_FOLDS)
            training = np.flatnonzero(~np.isin(copies, copies[fold]))
            learned = [names[i] for i in training.tolist()]
            if not labels.multilabel:  # others' topics can't be told
                fold = fold[np.isin(labels.topics[fold], labels.topics[training])]
            if not len(fold):
                continue
            try:
                other = fit(
                    Corpus([texts[i] for i in training.tolist()], learned),
                    settings_of_parts,
                    sample_weight=None if weight is None else weight[training],
                )
            except DataError:  # no topic, word or weight is left to learn from
                continue
            rows.append(fold)
            # Topics that the other fit doesn't have get 0.
            proba = np.zeros((len(fold), len(fitted.topics)), dtype=np.float32)
            columns = fitted.topics.encode(other.topics.names)
            proba[:, columns] = other.predict_proba([texts[i] for i in fold.tolist()])
            parts.append(proba)
    return np.concatenate(rows), np.concatenate(parts)


def _recalibrate(
    learner: Any, heldout: HeldOutProba, labels: Labels, weight: F32 | None
) -> HeldOutProba:
    """Calibrate a learner of several topics by probabilities of it; return these calibrated."""
    rows, proba = heldout
    # Topics that a part of the documents does not have got 0, and others are at all likely.
    scores = np.where(proba > 0, np.maximum(log_odds(proba), LEAST_LOG_ODDS), log_odds(proba))
    learner.calibration = fit_topic_calibration(
        scores,
        labels.take(rows).indicator(scores.shape[1]),
        None if weight is None else weight[rows],
        LOG_ODDS_CURVE,
    )
    return rows, learner.calibration.proba(scores)


def _folds(labels: Labels, copies: Index, seed: int) -> list[Index]:
    """Return the rows of each fold, with copies of a text in one fold."""
    n_documents = len(copies)
    if len(np.unique(copies)) < _N_FOLDS:
        return []
    if n_documents > _MANY:
        order = np.random.default_rng(seed).permutation(n_documents)
        return [np.sort(order[:MAX_PREDICTIONS])]
    folds = make_folds(labels.to_topics(), _N_FOLDS, seed, copies)
    return [np.flatnonzero(folds == fold) for fold in range(_N_FOLDS)]


# Fits ---------------------------------------------------------------------------------------------

# Up to so many, documents of whole weights are repeated, so that weights count in all that is
# learned: how rare terms are, probabilities, thresholds. Linear weights are exact up to as many.
_MOST_REPEATED = 500


def fit(
    corpus: Corpus,
    settings: FitSettings,
    *,
    validation: Corpus | None = None,
    unlabelled: Iterable[str] | None = None,
    sample_weight: npt.ArrayLike | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Return a model that has learned from all documents at once; see `TopicClassifier.fit`.

    Parameters
    ----------
    corpus : Corpus
        Its texts and topics are trusted: `load_corpus` and `Corpus.from_documents` check them.
    settings : FitSettings
    validation : Corpus, optional
        Documents to find the best epoch on.
    unlabelled : iterable of str, optional
        Texts without labels to learn from as well.
    sample_weight : float array, shape (len(corpus),), optional
    progress : Progress, optional
    """
    described = settings.descriptions
    _check_not_empty(corpus, settings)
    texts, names, sample_weight = _counted_documents(corpus, sample_weight, _MOST_REPEATED)
    names = topic_sets.sets_with_parents(names, settings.topic_path)
    indicator_topics = corpus.indicator_topics if settings.topic_path is None else None
    learner = settings.learner
    multilabel = is_multilabel(names)
    topics, labels = _encode(names, indicator_topics, settings)
    check_own_thresholds(topics, settings.thresholds, multilabel=multilabel)
    progress = check_progress(progress)
    _check_needs(settings, has_texts=bool(texts), has_validation=validation is not None)
    more = check_unlabelled(unlabelled, texts, labels, len(topics), settings, progress)
    if not texts and isinstance(settings.encoder, CheckedEncoder):
        return _fit_descriptions(settings.encoder, topics, settings, progress)
    validation_data = (
        None
        if validation is None
        else _validation_rows(validation, topics, multilabel, settings.topic_path)
    )
    context = _context(settings, topics, labels, sample_weight, progress=progress)
    feature_groups, tuning = settings.chosen_feature_groups(texts, names), None
    if settings.tune:
        from slugline.learning.tuning import ACCURACY

        metric = _f1_metric(labels, topics, settings) if multilabel else ACCURACY
        tuning = _tune(texts, labels, feature_groups, context, settings, metric)
        feature_groups, learner = tuning.best.candidate.feature_groups, tuning.best.learner()
    features = Features(feature_groups, settings.n_jobs)
    rows: Any = None  # learned in parts
    validation_digest = history = None
    n_unread = 0
    in_parts = is_learned_in_parts(texts, feature_groups, settings)
    if in_parts and is_linear(learner):
        n_unread = len(texts) - learner.fit_parts(rows_in_parts(texts, labels, features, context))
    else:
        rows = features.fit_transform(texts, progress)
        if validation_data is not None:
            validation_texts, validation_labels, validation_digest = validation_data
            validation_rows = features.transform(validation_texts)
            context = replace(context, validation_data=(validation_rows, validation_labels))
        needs_true_scores = settings.encoder is not None or settings.min_precision is not None
        history = learner.fit(rows, labels, replace(context, cross_validate=needs_true_scores))
    settings, choice = with_chosen_encoder(texts, labels, learner, context, settings)
    scores = UnlabelledScores.from_learner(more, features, learner)
    dense, heldout = add_encoder(texts, rows, labels, topics, learner, context, settings, scores)
    all_features, columns = features, np.arange(features.n_columns)
    if is_linear(learner):
        features, columns = features.without(learner.unused_columns())
        learner = learner.of_columns(columns)
    words = all_features.unknown_word_rate(columns)
    interrupted = n_unread > 0 or (history is not None and history.stopped_by == "interrupt")
    fitted = Fitted(
        topics=topics,
        features=features,
        learner=learner,
        seed=settings.random_state,
        class_weight=to_plain_class_weight(settings.class_weight),
        data_digest=documents.compute_digest(texts, names),
        n_documents=len(texts),
        topic_counts=_count_topics(labels, topics),
        n_unlearned=n_unread or (_n_heldout(context, len(texts), history) if interrupted else 0),
        validation_digest=validation_digest,
        interrupted=interrupted,
        history=history,
        tuning=tuning,
        dense=dense,
        encoder_choice=choice,
        descriptions={} if dense is None else dict(described),
        layout=corpus.layout,
    )
    if multilabel:
        as_indicator = indicator_topics is not None
        has_none = heldout is None and _recent_scores(learner) is None
        if has_none and settings.cross_validate and not interrupted:
            heldout = _cross_validate(fitted, texts, names, settings, sample_weight, progress)
            heldout = _recalibrate(learner, heldout, labels, context.sample_weight)
        return _with_decision(fitted, heldout, labels, words, settings, as_indicator=as_indicator)
    if interrupted:
        return fitted
    if heldout is None and settings.min_precision is not None:
        heldout = _cross_validate(fitted, texts, names, settings, sample_weight, progress)
    return _with_heldout_predictions(fitted, heldout, labels, words, settings.min_precision)


def _check_not_empty(corpus: Corpus, settings: FitSettings) -> None:
    """Raise DataError if there is no document or no topic, and no description either."""
    if settings.descriptions:
        return
    if not corpus.texts:
        raise DataError("there are no documents to learn from; give at least two.")
    if corpus.multilabel and not any(corpus.topics):
        raise DataError("no document has a topic; give some.")


def _count_topics(labels: Labels, topics: Topics) -> I64:
    """Return the number of documents of each topic, shape (n_topics,)."""
    return labels.totals(len(topics)).astype(np.int64)


def _counted_documents(
    corpus: Corpus, sample_weight: npt.ArrayLike | None, most: int = 0
) -> tuple[list[str], list[Any], F64 | None]:
    """Return texts, topics and weights of documents; see `counted_rows`."""
    rows, weights = counted_rows(len(corpus), sample_weight, most)
    counted = rows.tolist()
    texts = [corpus.texts[row] for row in counted]
    return texts, [corpus.topics[row] for row in counted], weights


def _check_needs(settings: FitSettings, *, has_texts: bool, has_validation: bool) -> None:
    """Raise OptionError for documents or options that others need."""
    if has_validation and not settings.learner.capabilities.has_epochs:
        raise OptionError(
            Parameter("validation_data"),
            " is to find the best epoch on, and this learner has no epochs; leave it out.",
        )
    if not has_texts and settings.min_precision is not None:
        raise OptionError(
            Parameter("min_precision"),
            " needs documents to choose thresholds by, and there are only "
            "descriptions; leave it out.",
        )


def _check_multilabel(settings: FitSettings) -> None:
    """Raise OptionError for a learner of one topic a text."""
    if not settings.learner.capabilities.multilabel:
        raise OptionError(
            Parameter("learner"),
            f" is a {type(settings.learner).__name__}, which learns one topic for each "
            "text, and these texts have several; leave it at its default.",
        )


def _encode(
    names: Sequence[Any], columns: Sequence[Topic] | None, settings: FitSettings
) -> tuple[Topics, Labels]:
    """Return all topics, and the labels of documents.

    `columns` are the topics of an indicator.
    """
    if not is_multilabel(names):
        topics = Topics.fit([*names, *settings.descriptions])
        return topics, Labels.encode(topics, names, multilabel=False)
    _check_multilabel(settings)
    described = described_sets(settings)
    if columns is not None:
        topics = Topics(columns)
        if absent := settings.descriptions.keys() - topics.names:
            raise DataError(
                Parameter("descriptions"),
                f" has the topic {short_repr(min(absent))}, and ",
                Parameter("y"),
                " has no column for it; give one, of zeros if no document has the topic.",
            )
    else:
        topics = Topics.fit(itertools.chain.from_iterable([*names, *described]))
    return topics, Labels.encode(topics, names, multilabel=True)


def _with_decision(
    fitted: Fitted,
    heldout: HeldOutProba | None,
    labels: Labels,
    words: UnknownWordRate | None,
    settings: FitSettings,
    *,
    as_indicator: bool,
) -> Fitted:
    """Return `fitted` with a rule that gives several topics, and held-out predictions."""
    if heldout is None:
        proba, truth = _recent_proba(fitted.learner, len(fitted.topics))
        rows, heldout_labels = None, Labels.from_indicator(sp.csr_array(truth))
    else:
        rows, proba = heldout
        heldout_labels = labels.take(rows)
        truth = heldout_labels.indicator(len(fitted.topics))
    # An encoder may know what words don't, even in other languages.
    words = words if fitted.dense is None else None
    sizes, tree = labels.n_each, _find_tree(labels, fitted.topics, settings)
    # No document shows how to decide about topics that are only described.
    has_documents = labels.totals(len(fitted.topics)) > 0
    learned_proba = np.where(has_documents, proba, 0)
    decision = MultilabelRule.from_proba(learned_proba, truth, sizes, settings.optimize, *tree)
    thresholds = np.where(has_documents, decision.thresholds, np.float32(USUAL_THRESHOLD))
    decision = decision.with_thresholds(decision.raised(thresholds))
    decision = with_own_thresholds(decision, fitted.topics, settings.thresholds)
    proba = decision.consistent(proba)
    return replace(
        fitted,
        multilabel_rule=replace(decision, as_indicator=as_indicator, separator=settings.topic_path),
        heldout_predictions=HeldOutPredictions.from_decisions(
            proba,
            heldout_labels,
            rows,
            may_be_given=decision.likeliest_siblings(proba),
            words=words,
            precision=settings.min_precision,
        ),
    )


def _find_tree(
    labels: Labels, topics: Topics, settings: FitSettings
) -> tuple[Parents, tuple[int, ...]]:
    """Return `MultilabelRule.parents` and `ends` of documents and descriptions."""
    parents = find_parents(topics.names, settings.topic_path)
    described = Labels.encode(topics, described_sets(settings), multilabel=True)
    everything = Labels.concatenate(labels, described)
    return parents, find_ends(everything, len(topics), parents)


def _recent_scores(learner: Learner) -> RecentScores | None:
    """Return the scores of rows before they were learned from in parts or batches, if any."""
    return learner.recent_ if learns_in_batches(learner) else None


def _recent_proba(learner: Learner, n_topics: int) -> tuple[F32, F32]:
    """Return the latest held-out probabilities after parts or batches, and the topics of rows."""
    if not learns_in_batches(learner) or learner.recent_ is None:
        empty = np.zeros((0, n_topics), dtype=np.float32)
        return empty, empty
    recent = learner.recent_
    return learner.calibration.proba(recent.scores), recent.labels.indicator(n_topics)


def _next_decision(
    before: Fitted,
    learner: BatchLearner,
    labels: Labels,
    settings: FitSettings,
    *,
    as_indicator: bool,
) -> MultilabelRule:
    """Return the rule after one more batch: if recent scores are few, near the one before."""
    rule, sizes = before.multilabel_rule, labels.n_each
    share = 0.0 if learner.recent_ is None else learner.recent_.weight
    heldout = _recent_proba(learner, len(before.topics))
    if rule is not None:
        sizes = np.append(sizes, [rule.at_least_one * rule.most, rule.most])
        if learner.calibration is getattr(
            before.learner, "calibration", None
        ):  # too few scores are new
            share, heldout = 0.0, (heldout[0][:0], heldout[1][:0])
    decision = MultilabelRule.from_proba(*heldout, sizes, settings.optimize)
    if rule is None:
        decision = replace(decision, as_indicator=as_indicator)
    else:
        moved = np.float32(share) * (decision.thresholds - rule.thresholds)
        decision = decision.with_thresholds(rule.thresholds + moved)
        always = decision.at_least_one if share == 1 else rule.at_least_one
        decision = replace(decision, at_least_one=always, as_indicator=rule.as_indicator)
    return with_own_thresholds(decision, before.topics, settings.thresholds)


def _fit_descriptions(
    encoder: CheckedEncoder, topics: Topics, settings: FitSettings, progress: Progress
) -> Fitted:
    """Return the model of descriptions alone, without documents and words."""
    from slugline.learning.encoder.fit import fit_nearest_means

    labels = Labels.empty(multilabel=False)
    context = _context(settings, topics, labels, None)
    rows, labels = encode_all(encoder, [], labels, topics, settings, progress)
    # A vocabulary without words, and a learner without weights, whose scores are all 0.
    features = Features.restore(
        [FeatureGroup("words", "multi-hot")], [Vocabulary([], "words")], [None]
    )
    options = {**Calibration(1.0).settings(), "n_suspect_labels": 0}
    no_weights = sp.csr_array((0, len(topics)), dtype=np.float32)
    arrays = {
        **to_arrays(SparseRows.from_csr(no_weights)),
        "biases": np.zeros(len(topics), dtype=np.float32),
    }
    return Fitted(
        topics=topics,
        features=features,
        learner=LinearLearner.restore(options, arrays),
        seed=settings.random_state,
        class_weight=to_plain_class_weight(settings.class_weight),
        data_digest=documents.compute_digest([], []),
        n_documents=0,
        topic_counts=_count_topics(labels, topics),
        dense=DenseHead(encoder, *fit_nearest_means(rows, labels, context)),
        descriptions=dict(settings.descriptions),
    )


def _validation_rows(
    validation: Corpus, topics: Topics, multilabel: bool, separator: str | None
) -> tuple[list[str], Labels, str]:
    """Return the validation texts, their topics, and a digest."""
    names = topic_sets.sets_with_parents(validation.topics, separator)
    check_form(
        topics,
        names,
        "training documents",
        "`validation_data[1]`",
        multilabel=multilabel,
        columns=validation.indicator_topics,
        separator=separator,
    )
    try:
        labels = Labels.encode(topics, names, multilabel=multilabel)
        return validation.texts, labels, documents.compute_digest(validation.texts, names)
    except DataError as error:
        raise DataError(Parameter("validation_data"), f" has an {error}") from None


def _n_heldout(context: FitContext, n_documents: int, history: History | None) -> int:
    """Return how many documents an interrupted search held out and did not learn from."""
    if history is None or context.validation_data is not None:
        return 0
    weight = context.sample_weight
    return (n_documents if weight is None else int(np.count_nonzero(weight))) - history.n_rows


def fit_batch(
    corpus: Corpus,
    settings: FitSettings,
    before: Fitted | None = None,
    *,
    classes: Iterable[Topic] | None = None,
    sample_weight: npt.ArrayLike | None = None,
) -> Fitted:
    """Return `before` after one more batch of documents; see `TopicClassifier.partial_fit`."""
    texts, names, sample_weight = _counted_documents(corpus, sample_weight)
    columns = corpus.indicator_topics
    multilabel = is_multilabel(names)
    if not texts:
        raise DataError("there are no documents to learn from; give at least one.")
    if settings.encoder is not None:
        raise OptionError(
            "what an ",
            Parameter("encoder"),
            " says is learned from all documents at once, not batch by batch; "
            "call fit, or leave the encoder out.",
        )
    if multilabel:
        _check_multilabel(settings)
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
    check_own_thresholds(before.topics, settings.thresholds, multilabel=multilabel)
    labels = Labels.encode(before.topics, names, multilabel=multilabel)
    if settings.class_weight == "balanced":
        raise OptionError(
            Parameter("class_weight"),
            " 'balanced' needs all documents at once; give a mapping of topic to weight.",
        )
    is_first = before.n_documents == 0
    context = _context(settings, before.topics, labels, sample_weight, first=is_first)
    learner, features = _batch_learner(copy.copy(before.learner)), copy.copy(before.features)
    rows, moved = features.partial_fit_transform(texts, before.n_documents, grow=learner.grows)
    learner.partial_fit(rows, labels, replace(context, moved=moved))
    digest, decision = documents.compute_digest(texts, names), None
    if multilabel:
        as_indicator = columns is not None
        decision = _next_decision(before, learner, labels, settings, as_indicator=as_indicator)
    return replace(
        before,
        features=features,
        learner=learner,
        seed=settings.random_state,
        class_weight=to_plain_class_weight(settings.class_weight),
        data_digest=digest if is_first else documents.chain_digests(before.data_digest, digest),
        n_documents=before.n_documents + len(texts),
        topic_counts=before.topic_counts + _count_topics(labels, before.topics),
        n_batches=before.n_batches + 1,
        history=None,
        tuning=None,
        multilabel_rule=decision,
        heldout_predictions=None,  # they were answered by other weights
        stream=None,
        layout=corpus.layout or before.layout,
    )


def _before_first_batch(
    settings: FitSettings, classes: Iterable[Topic] | None, *first: Sequence[Any]
) -> Fitted:
    """Return the model before the first batch."""
    if settings.tune:
        raise OptionError(
            Parameter("tune"), " needs all documents at once; leave it out, or call fit first."
        )
    if settings.min_precision is not None:
        raise OptionError(
            "thresholds for ",
            Parameter("min_precision"),
            " are chosen from all documents at once, not batch by "
            "batch; leave it out, or call fit.",
        )
    names = [] if classes is None else documents.to_plain_topics(classes, "classes")
    if not names:
        raise OptionError(
            "the first call of partial_fit needs ",
            Parameter("classes"),
            ": all topics that there will be.",
        )
    documents.check_topic_names(names)
    learner, topics = _batch_learner(settings.learner), Topics.fit(names)
    return Fitted(
        topics=topics,
        features=Features(settings.batch_feature_groups(*first, are_all=False), settings.n_jobs),
        learner=learner,
        seed=settings.random_state,
        class_weight=to_plain_class_weight(settings.class_weight),
        data_digest="",
        n_documents=0,
        topic_counts=np.zeros(len(topics), dtype=np.int64),
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


def _context(
    settings: FitSettings,
    topics: Topics,
    labels: Labels,
    sample_weight: npt.ArrayLike | None,
    *,
    first: bool = False,
    progress: Progress = SILENT,
) -> FitContext:
    weights = topic_weights(settings.class_weight, topics, labels.topics)
    if weights is not None:
        weights = labels.row_means(weights)
    return FitContext(
        n_topics=len(topics),
        sample_weight=row_weights(len(labels), sample_weight, weights),
        weighted_topics=settings.class_weight is not None,
        seed=settings.random_state,
        first=first,
        n_jobs=count_threads(settings.n_jobs),
        progress=progress,
    )


def _tune(
    texts: Sequence[str],
    labels: Labels,
    feature_groups: tuple[FeatureGroup, ...],
    context: FitContext,
    settings: FitSettings,
    metric: Metric,
) -> Tuning:
    from slugline.learning.tuning import BUDGET, estimate_seconds, tune

    if context.progress is not SILENT:
        seconds = estimate_seconds(texts, labels, feature_groups, context)
        work = Message(
            Parameter("tune"), f" tries up to 18 ways to learn from {len(texts):,} texts"
        )
        announce(context.progress, work, seconds, "; Ctrl-C takes the best until then")
    budget = BUDGET if settings.tune is True else settings.tune
    n_jobs = settings.n_jobs
    return tune(texts, labels, feature_groups, context, budget=budget, n_jobs=n_jobs, metric=metric)


def _f1_metric(labels: Labels, topics: Topics, settings: FitSettings) -> Metric:
    """Return the F1 to tune for: of the best common threshold."""
    from slugline.learning.tuning import Metric

    none = np.zeros((0, len(topics)), dtype=np.float32)
    tree = _find_tree(labels, topics, settings)
    rule = MultilabelRule.from_proba(none, none, labels.n_each, settings.optimize, *tree)

    def f1(scores: F32, labels: Labels, weights: F32) -> float:
        counts = weights > 0
        proba, y = sigmoid(scores[counts]), labels.take(counts).indicator(len(topics)) > 0
        return rule.best_common_threshold(rule.consistent(proba), y)[0]

    return Metric(f"{settings.optimize}-F1", f1)
