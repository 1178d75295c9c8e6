"""Trains a model on a source of any size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, I64
from slugline.base.checks import count_threads, option_error, release_memory
from slugline.base.progress import Progress, check_progress
from slugline.base.wording import counted
from slugline.corpus.documents import Topic, Topics, compute_digest
from slugline.corpus.labelled import RowsReport
from slugline.corpus.layout import LabelledFileOptions, ReadOptions, convert_options
from slugline.corpus.sample_weights import to_plain_class_weight, topic_weight_of_rows
from slugline.errors import DataError, OptionError, Parameter
from slugline.learning.encoder.encoder import CheckedEncoder
from slugline.learning.learner import FitContext, LinearModel, is_linear
from slugline.learning.linear.problem import default_passes
from slugline.model.f1_thresholds import choose_rule
from slugline.model.fitted import Fitted, StreamRecord
from slugline.model.heldout import MAX_PREDICTIONS, HeldOutPredictions
from slugline.model.multilabel_rule import MultilabelRule
from slugline.model.own_thresholds import check_own_thresholds, with_own_thresholds
from slugline.model.parts.counting import (
    BlockStatistics,
    CountedBlock,
    TermStatistics,
    Weighting,
    count_terms,
)
from slugline.model.parts.files import PartFiles, PartReader
from slugline.model.parts.heldout import PartsResult
from slugline.model.parts.training import RowCosts, finishing, fit_parts, fit_rows
from slugline.model.parts.vectors import StreamHead, VectorStatistics, fit_head
from slugline.model.settings import FitSettings
from slugline.stream.engine import Engine, LocalEngine
from slugline.stream.source import ROWS_PER_BLOCK, DocumentBlock, DocumentSource
from slugline.text.feature_groups import N_EXAMINED, FeatureGroup
from slugline.text.features import Features

if TYPE_CHECKING:
    from distributed import Client


# From this number of topics, a note is printed if they have fewer documents than this on average:
# the column may not contain topics.
_MANY_TOPICS, _FEW_DOCUMENTS = 1000, 10
# Maximum number of row entries, up to 400 MB, for fitting a small number of documents at once.
_MAX_ENTRIES = 1 << 27
_NONE_HELD_OUT = (
    "no document was held out, as too few are different: probabilities are not calibrated, and "
    "accuracy is not known"
)


def _word_vectors(settings: FitSettings) -> CheckedEncoder | None:
    """Return the encoder if it is the word vector encoder, the only one for streams; else None."""
    encoder = settings.encoder
    return encoder if isinstance(encoder, CheckedEncoder) and encoder.is_built_in else None


@dataclass(frozen=True, kw_only=True)
class StreamOptions(LabelledFileOptions):
    """Options for training on a source of any size.

    Attributes
    ----------
    text, topic, format, encoding, separator, header_row, skip_bad_rows, topic_separator, \
topic_columns
        For files and Dask data frames; see `load_corpus`.
    rows_per_block : int
        Number of rows read and counted together.

    Examples
    --------
    >>> from slugline import StreamOptions, TopicClassifier
    >>> batches = [(["wheat and corn", "net profit rose"] * 10, ["grain", "earn"] * 10)]
    >>> classifier = TopicClassifier().fit_stream(batches, StreamOptions(rows_per_block=1000))
    >>> classifier.predict(["corn exports"]).tolist()
    ['grain']
    """

    rows_per_block: int = ROWS_PER_BLOCK


def fit_stream(
    source: Any,
    settings: FitSettings,
    options: StreamOptions | None = None,
    *,
    client: Client | str | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Return a model trained on a source of any size, in bounded memory, here or on a cluster.

    Texts are read, tokenized and hashed once. Their rows are written to temporary files,
    partitioned by text hash. The result depends on the seed, but not on the number of threads,
    block size or document order. No document is excluded as mislabelled.

    Up to 50,000 documents are fitted at once on this machine, as by `fit`. Larger sources are
    fitted part by part in a single pass. Smaller sources with over 134 million terms in total are
    also fitted part by part, with the number of passes of `fit` over each part. Parts with the
    lowest hashes (a fifth of the documents, or the number needed for calibration) come last: they
    are scored, the scores are used to calibrate probabilities, and then the parts are used for
    training too.

    Parameters
    ----------
    source : path, pattern such as `tickets/*.parquet`, list of these, iterable of batches, or \
Dask collection
        A batch is a pair of texts and topics, of any size; batches are iterated over once. Dask
        data frames have columns, like files; bags contain pairs or mappings. Without a client,
        their partitions are computed on this machine.
    settings : FitSettings
        Requires a linear learner; its `passes` and `clean` are ignored. Does not support `tune` or
        encoders other than "vectors", which is ignored for multilabel data.
    options : StreamOptions, optional
    client : distributed.Client or str, optional
        A Dask cluster, or the address of its scheduler. Workers read the files, under the same
        names as here, and send their rows to this process. Results are bit-identical if workers
        have the same processors and libraries. Workers may end at any time.
    progress : Progress, optional

    Raises
    ------
    ClusterError : if a cluster can't do the work.
    DataError : if there are no documents, no words in them, bad rows, or files with different
        columns.
    OptionError : if a setting needs all documents at once.
    """
    learner = _check_settings(settings)
    options = StreamOptions() if options is None else options
    if not isinstance(options, StreamOptions):
        raise option_error("options", options, "StreamOptions")
    documents = DocumentSource(
        source,
        convert_options(options, ReadOptions, columns=settings.columns),
        rows_per_block=options.rows_per_block,
    )
    with closing(check_progress(progress)) as progress, _make_engine(client, settings) as engine:
        if engine.dashboard:
            progress.note(f"dashboard: {engine.dashboard}")
        feature_groups = _choose_feature_groups(documents, settings)
        with closing(PartFiles(len(feature_groups))) as files:
            counts = _read_documents(engine, documents, files, feature_groups, settings, progress)
            release_memory()  # of texts and of terms by block
            check_own_thresholds(
                counts.topics, settings.thresholds, multilabel=counts.terms.multilabel
            )
            features = counts.terms.features(documents.n_documents, settings.n_jobs)
            weighting = Weighting.from_features(features, counts.topics.names)
            reader = PartReader(files, weighting, multilabel=counts.terms.multilabel)
            result = _learn(reader, counts, settings, progress)
        if not len(result.heldout.rows):
            progress.note(_NONE_HELD_OUT)
        with finishing(progress, interrupted=result.interrupted):
            return _to_fitted(learner, features, counts, documents, result, settings)


def _make_engine(client: Client | str | None, settings: FitSettings) -> Engine:
    if client is None:
        return LocalEngine(count_threads(settings.n_jobs))
    from slugline.stream.cluster import DaskEngine

    return DaskEngine(client)


def _check_settings(settings: FitSettings) -> LinearModel:
    """Return the learner; raise OptionError if a setting needs all documents at once."""
    if not is_linear(settings.learner):
        raise OptionError(
            Parameter("learner"),
            f" is a {type(settings.learner).__name__}, and fit_stream learns a linear "
            "one; use fit, or leave it at its default.",
        )
    whole = {
        "tune": bool(settings.tune),
        "encoder": settings.needs_encoder,
        "topic_path": settings.topic_path is not None,
    }
    for name, is_given in whole.items():
        if is_given:
            raise OptionError(
                Parameter(name), " needs all documents at once; use fit, or leave it out."
            )
    return settings.learner


# Reading -----------------------------------------------------------------------------------------


class BlockSummary(NamedTuple):
    """Summary of a block of documents; its statistics are None if it is empty."""

    statistics: BlockStatistics | None
    reports: tuple[RowsReport, ...]
    n_documents: int
    digest: str


def count_block(
    documents: DocumentBlock,
    feature_groups: Sequence[FeatureGroup],
    encoder: CheckedEncoder | None = None,
) -> tuple[CountedBlock | None, BlockSummary]:
    """Return the counted terms of a block, or None for an empty block, and its summary.

    Word vectors, if the encoder uses them, are summed in the same pass.
    """
    texts, topics, reports = documents
    digest = compute_digest(texts, topics)
    if not texts:
        return None, BlockSummary(None, reports, 0, digest)
    block, statistics = count_terms(texts, topics, feature_groups, encoder)
    return block, BlockSummary(statistics, reports, len(texts), digest)


@dataclass(frozen=True)
class _DocumentCounts:
    """Counts of terms and topics from reading documents."""

    terms: TermStatistics
    vectors: VectorStatistics | None  # None without word vectors, and for multilabel data
    topics: Topics
    topic_counts: I64  # shape (n_topics,): documents of each topic
    n_entries: int  # Pairs of a document and one of its terms


def _choose_feature_groups(
    documents: DocumentSource, settings: FitSettings
) -> tuple[FeatureGroup, ...]:
    """Choose the feature groups from the first documents."""
    texts, topics = documents.first_documents(ROWS_PER_BLOCK if settings.columns else N_EXAMINED)
    if not texts:  # raises an error when read
        settings = replace(settings, columns=())
    return settings.batch_feature_groups(texts, topics)


def _read_documents(
    engine: Engine,
    documents: DocumentSource,
    files: PartFiles,
    feature_groups: Sequence[FeatureGroup],
    settings: FitSettings,
    progress: Progress,
) -> _DocumentCounts:
    """Read the documents into files, and return their term and topic counts."""
    terms, encoder = TermStatistics(feature_groups), _word_vectors(settings)
    if encoder is not None:
        encoder.check_table()
    vectors = None if encoder is None else VectorStatistics(encoder)
    counts: Counter[Topic] = Counter()
    n_entries = 0
    note = ""
    progress.update("reading")  # the first block takes seconds
    partitions = documents.partitions()
    for block, summary in engine.map_blocks(count_block, partitions, feature_groups, encoder):
        documents.add(summary.reports, summary.n_documents, summary.digest)
        if not note and (note := documents.columns_note):
            progress.note(note)
        if block is None:
            continue
        files.append(block)
        terms.add(summary.statistics)
        if vectors is not None and summary.statistics.vectors is not None:
            vectors.add(summary.statistics.vectors, summary.n_documents)
        counts.update(summary.statistics.topics)
        n_entries += summary.statistics.n_entries
        progress.update("reading", None, f"{documents.n_documents:,} documents")
    if not counts:
        raise DataError("there are no documents to learn from; give at least two.")
    if not terms.n_columns:
        raise DataError("no document contains a word; check which column holds the text.")
    _note_rows(documents, counts, progress)
    names = Topics.fit(counts)
    topic_counts = np.array([counts[name] for name in names.names])
    if terms.multilabel:
        vectors = None
    return _DocumentCounts(terms, vectors, names, topic_counts, n_entries)


def _note_rows(documents: DocumentSource, counts: Counter[Topic], progress: Progress) -> None:
    """Print notes on skipped rows and on suspiciously many topics."""
    if documents.n_skipped:
        progress.note(f"{documents.n_skipped:,} rows skipped")
    if documents.n_unlabelled:
        progress.note(f"{counted(documents.n_unlabelled, 'row')} not labelled yet, left out")
    if len(counts) >= _MANY_TOPICS and counts.total() < _FEW_DOCUMENTS * len(counts):
        progress.note(
            f"{len(counts):,} topics of {counts.total() / len(counts):.1f} documents each: "
            "check which column holds the topics; if they are right, learning will take long"
        )


# Learning ----------------------------------------------------------------------------------------


def _class_weights(topic_counts: I64, settings: FitSettings, topics: Topics) -> F64 | None:
    """Return the user's weight of each topic, or None without weights."""
    if isinstance(settings.class_weight, str):  # "balanced"
        return topic_counts.sum() / (len(topic_counts) * topic_counts)
    weights = topic_weight_of_rows(settings.class_weight, topics, np.arange(len(topics)))
    return None if weights is None else weights.astype(np.float64)


def _learn(
    reader: PartReader, counts: _DocumentCounts, settings: FitSettings, progress: Progress
) -> PartsResult:
    """Train on all rows at once, or part by part if there are many."""
    weights = _class_weights(counts.topic_counts, settings, counts.topics)
    context = FitContext(
        n_topics=len(counts.topics),
        weighted_topics=weights is not None,
        seed=settings.random_state,
        n_jobs=count_threads(settings.n_jobs),
        progress=progress,
    )
    row_costs = RowCosts(topic_weights=weights)
    n_passes = default_passes(reader.n_rows)
    if n_passes > 1 and counts.n_entries <= _MAX_ENTRIES:
        # Hold out documents in folds: a fit to the other folds is nearly as good as a full fit.
        n_enough = MAX_PREDICTIONS if settings.min_precision is None else None
        context = replace(context, cross_validate=True, n_enough=n_enough)
        return fit_rows(reader.read(), row_costs, context)
    totals = counts.topic_counts.astype(np.float64)
    return fit_parts(reader, counts.n_entries, totals, row_costs, context, n_passes)


# The fitted model --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _HeldoutEvaluation:
    """Results on the held-out rows of a training run."""

    n_right: int
    predictions: HeldOutPredictions
    multilabel_rule: MultilabelRule | None  # None for single-label data


def _to_fitted(
    learner: LinearModel,
    features: Features,
    counts: _DocumentCounts,
    documents: DocumentSource,
    result: PartsResult,
    settings: FitSettings,
) -> Fitted:
    learner = learner.learned(result.weights, result.biases, result.calibration)
    features, columns = features.without(learner.unused_columns())
    stream_head = _fit_head(result, counts, documents, settings)
    evaluation = _evaluate_heldout(result, stream_head, counts, settings)
    return Fitted(
        topics=counts.topics,
        features=features,
        learner=learner.of_columns(columns),
        seed=settings.random_state,
        class_weight=to_plain_class_weight(settings.class_weight),
        data_digest=documents.digest,
        n_documents=documents.n_documents,
        topic_counts=counts.topic_counts,
        n_unlearned=result.n_unlearned,
        interrupted=result.interrupted,
        dense=None if stream_head is None else stream_head.head,
        head_state=None if stream_head is None else stream_head.state,
        heldout_predictions=None if result.interrupted else evaluation.predictions,
        stream=StreamRecord(
            n_skipped=documents.n_skipped,
            n_evaluated=len(result.heldout.rows),
            n_right=evaluation.n_right,
        ),
        multilabel_rule=evaluation.multilabel_rule,
        layout=documents.layout,
    )


def _fit_head(
    result: PartsResult, counts: _DocumentCounts, documents: DocumentSource, settings: FitSettings
) -> StreamHead | None:
    """Return the head of word vectors, or None without documents to evaluate it on."""
    if counts.vectors is None or not len(result.heldout.rows):
        return None
    return fit_head(
        counts.vectors,
        result.heldout,
        result.calibration,
        counts.topics,
        documents.n_documents,
        _class_weights(counts.topic_counts, settings, counts.topics),
    )


def _evaluate_heldout(
    result: PartsResult,
    stream_head: StreamHead | None,
    counts: _DocumentCounts,
    settings: FitSettings,
) -> _HeldoutEvaluation:
    """Evaluate the scores of held-out rows; for multilabel data, choose thresholds."""
    rows, labels, scores, _ = result.heldout
    proba: F32 = result.calibration.proba(scores)
    if stream_head is not None:
        scores, proba = stream_head.scores, stream_head.proba
    precision = settings.min_precision
    if counts.terms.topic_set_sizes is None:
        y = labels.topics
        n_right = int((scores.argmax(axis=1) == y).sum()) if len(y) else 0
        predictions = HeldOutPredictions.from_proba(proba, labels, rows, precision=precision)
        return _HeldoutEvaluation(n_right, predictions, multilabel_rule=None)
    y_indicator = labels.indicator(proba.shape[1])
    sizes = np.array(counts.terms.topic_set_sizes)
    rule = choose_rule(proba, y_indicator, sizes, settings.optimize)
    rule = with_own_thresholds(rule, counts.topics, settings.thresholds)
    n_right = int((rule.decide(proba) == y_indicator).all(axis=1).sum())
    predictions = HeldOutPredictions.from_decisions(proba, labels, rows, precision=precision)
    return _HeldoutEvaluation(n_right, predictions, rule)
