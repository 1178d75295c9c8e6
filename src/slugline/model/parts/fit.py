"""Training in parts, on a source of any size or on very many documents in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, I64
from slugline.base.checks import count_threads, option_error
from slugline.base.memory import release_memory
from slugline.base.progress import Progress, check_progress
from slugline.base.threads import map_in_order
from slugline.base.wording import counted
from slugline.corpus.documents import Topic, Topics, compute_digest
from slugline.corpus.labelled import RowsReport
from slugline.corpus.layout import LabelledFileOptions, ReadOptions, convert_options
from slugline.corpus.sample_weights import to_plain_class_weight, topic_weight_of_rows
from slugline.errors import DataError, OptionError, Parameter
from slugline.learning.encoder.encoder import CheckedEncoder
from slugline.learning.learner import FitContext, LinearModel, is_linear
from slugline.learning.linear.problem import default_passes
from slugline.model.documents import TrainingDocuments
from slugline.model.f1_thresholds import choose_rule
from slugline.model.fitted import Fitted, StreamRecord
from slugline.model.heldout import MAX_PREDICTIONS, HeldOutPredictions
from slugline.model.multilabel_rule import MultilabelRule, check_own_thresholds, with_own_thresholds
from slugline.model.parts.counting import (
    BlockStatistics,
    CountedBlock,
    TermStatistics,
    Weighting,
    count_terms,
)
from slugline.model.parts.engines import DaskEngine, LocalEngine
from slugline.model.parts.files import PartFiles, PartReader
from slugline.model.parts.heldout import PartsResult
from slugline.model.parts.source import ROWS_PER_BLOCK, DocumentBlock, DocumentSource
from slugline.model.parts.training import RowCosts, finishing, fit_parts, fit_rows
from slugline.model.parts.vectors import StreamHead, VectorStatistics, fit_head
from slugline.model.settings import FitSettings
from slugline.text.feature_groups import N_EXAMINED, FeatureGroup
from slugline.text.features import Features

if TYPE_CHECKING:
    from distributed import Client


# Minimum number of topics, and upper limit of documents per topic, for a note that the column may
# not contain topics.
_MANY_TOPICS, _FEW_DOCUMENTS = 1000, 10
# Maximum number of row entries, up to 400 MB, for fitting a small number of documents at once.
_MAX_ENTRIES = 1 << 27
# Number of texts in memory counted together by each thread.
_BLOCK_SIZE = 25_000
# Number of documents whose words are kept to measure the normal rate of unknown words.
_SAMPLE_SIZE = 10_000
_NO_WORDS = "no document contains a word; check which column contains the text."
_NONE_HELD_OUT = (
    "too few distinct documents to hold any out: probabilities are not calibrated, and accuracy is "
    "unknown"
)


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
    """Train on a source of any size, in bounded memory, here or on a cluster.

    Texts are read, tokenized and hashed once. Their rows are written to temporary files,
    partitioned by text hash. The result depends on the seed, but not on the number of threads,
    block size or document order. No document is excluded as mislabelled.

    Up to 50,000 documents are fitted at once on this machine, as by `fit`. Larger sources are
    fitted part by part in a single pass. Smaller sources with over 134 million terms are also
    fitted part by part, with as many passes over each part as `fit` makes. Parts with the lowest
    hashes (a fifth of the documents, or the number needed for calibration) come last: their scores
    calibrate the probabilities before the parts are used for training too.

    Parameters
    ----------
    source : path, pattern such as `tickets/*.parquet`, list of these, iterable of batches, or \
Dask data frame
        A batch is a pair of texts and topics, of any size; batches are iterated over once. Without
        a client, partitions of data frames are computed on this machine.
    settings : FitSettings
        Requires a linear learner; its `passes` and `clean` are ignored. Does not support `tune` or
        encoders other than "vectors", which is ignored for multilabel data.
    options : StreamOptions, optional
    client : distributed.Client or str, optional
        A Dask cluster, or the address of its scheduler. Workers read the files, under the same
        names as here, and send their rows to this process. Results are bit-identical if workers
        have the same processors and libraries. Workers may leave at any time.
    progress : Progress, optional

    Raises
    ------
    ClusterError : if a cluster can't do the work.
    DataError : for bad rows, documents without words, files with different columns, or no
        documents.
    OptionError : if a setting requires all documents at once.
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
    n_threads = count_threads(settings.n_jobs)
    chosen_engine = LocalEngine(n_threads) if client is None else DaskEngine(client)
    with closing(check_progress(progress)) as progress, chosen_engine as engine:
        if engine.dashboard:
            progress.note(f"dashboard: {engine.dashboard}")
        n_examined = ROWS_PER_BLOCK if settings.columns else N_EXAMINED
        texts, topics = documents.first_documents(n_examined)
        if not texts:  # an error is raised when documents are read
            settings = replace(settings, columns=())
        feature_groups = settings.batch_feature_groups(texts, topics)
        with closing(PartFiles(len(feature_groups))) as files:
            counts = _read_documents(engine, documents, files, feature_groups, settings, progress)
            release_memory()  # of texts and of terms by block
            check_own_thresholds(
                counts.topics, settings.thresholds, multilabel=counts.terms.multilabel
            )
            features, reader = _weigh(files, counts.terms, counts.topics, settings.n_jobs)
            result = _learn(reader, counts, settings, progress)
        if not len(result.heldout.rows):
            progress.note(_NONE_HELD_OUT)
        with finishing(progress, interrupted=result.interrupted):
            return _to_fitted(learner, features, counts, documents, result, settings)


def _check_settings(settings: FitSettings) -> LinearModel:
    """Return the learner; raise OptionError if a setting requires all documents at once."""
    if not is_linear(settings.learner):
        raise OptionError(
            Parameter("learner"),
            f" is a {type(settings.learner).__name__}, but fit_stream requires the "
            "linear one; use fit, or leave it at its default.",
        )
    whole = {
        "tune": bool(settings.tune),
        "encoder": settings.needs_encoder,
        "topic_path": settings.topic_path is not None,
    }
    for name, is_given in whole.items():
        if is_given:
            raise OptionError(
                Parameter(name), " requires all documents at once; use fit, or leave it out."
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


def _read_documents(
    engine: LocalEngine | DaskEngine,
    documents: DocumentSource,
    files: PartFiles,
    feature_groups: Sequence[FeatureGroup],
    settings: FitSettings,
    progress: Progress,
) -> _DocumentCounts:
    """Read the documents into files, and return their term and topic counts."""
    terms, encoder, vectors = TermStatistics(feature_groups), settings.encoder, None
    if not isinstance(encoder, CheckedEncoder) or not encoder.is_built_in:
        encoder = None  # streams only support word vectors
    else:
        encoder.check_table()
        vectors = VectorStatistics(encoder)
    counts: Counter[Topic] = Counter()
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
        progress.update("reading", None, f"{documents.n_documents:,} documents")
    if not counts:
        raise DataError("there are no training documents; pass at least two.")
    if not terms.n_columns:
        raise DataError(_NO_WORDS)
    _note_rows(documents, counts, progress)
    names = Topics.fit(counts)
    topic_counts = np.array([counts[name] for name in names.names])
    return _DocumentCounts(terms, None if terms.multilabel else vectors, names, topic_counts)


def _note_rows(documents: DocumentSource, counts: Counter[Topic], progress: Progress) -> None:
    """Print notes on skipped rows and on suspiciously many topics."""
    if documents.n_skipped:
        progress.note(f"{documents.n_skipped:,} rows skipped")
    if documents.n_unlabelled:
        progress.note(f"{counted(documents.n_unlabelled, 'row')} not labelled yet, left out")
    if len(counts) >= _MANY_TOPICS and counts.total() < _FEW_DOCUMENTS * len(counts):
        progress.note(
            f"{len(counts):,} topics of {counts.total() / len(counts):.1f} documents each: "
            "check which column contains the topics; if they are right, training will take long"
        )


def _weigh(
    files: PartFiles, terms: TermStatistics, topics: Topics, n_jobs: int | None
) -> tuple[Features, PartReader]:
    """Return the features of all documents, and a reader of their weighted rows."""
    features = terms.features(files.n_rows, n_jobs)
    weighting = Weighting.from_features(features, topics.names)
    return features, PartReader(files, weighting, multilabel=terms.multilabel)


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
    if n_passes > 1 and reader.n_entries <= _MAX_ENTRIES:
        # Hold out documents in folds: a fit to the other folds is nearly as good as a full fit.
        n_enough = MAX_PREDICTIONS if settings.min_precision is None else None
        context = replace(context, cross_validate=True, n_enough=n_enough)
        return fit_rows(reader.read(), row_costs, context)
    totals = counts.topic_counts.astype(np.float64)
    return fit_parts(reader, totals, row_costs, context, n_passes)


# The fitted model --------------------------------------------------------------------------------


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
    stream_head = None
    if counts.vectors is not None and len(result.heldout.rows):
        stream_head = fit_head(
            counts.vectors,
            result.heldout,
            result.calibration,
            counts.topics,
            documents.n_documents,
            _class_weights(counts.topic_counts, settings, counts.topics),
        )
    n_right, predictions, rule = _evaluate_heldout(result, stream_head, counts, settings)
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
        heldout_predictions=None if result.interrupted else predictions,
        stream=StreamRecord(
            n_skipped=documents.n_skipped, n_evaluated=len(result.heldout.rows), n_right=n_right
        ),
        multilabel_rule=rule,
        layout=documents.layout,
    )


def _evaluate_heldout(
    result: PartsResult,
    stream_head: StreamHead | None,
    counts: _DocumentCounts,
    settings: FitSettings,
) -> tuple[int, HeldOutPredictions, MultilabelRule | None]:
    """Return the number of right held-out predictions, the predictions, and the rule or None."""
    rows, labels, scores, _ = result.heldout
    proba: F32 = result.calibration.proba(scores)
    if stream_head is not None:
        scores, proba = stream_head.scores, stream_head.proba
    precision = settings.min_precision
    if counts.terms.topic_set_sizes is None:
        y = labels.topics
        n_right = int((scores.argmax(axis=1) == y).sum()) if len(y) else 0
        predictions = HeldOutPredictions.from_proba(proba, labels, rows, precision=precision)
        return n_right, predictions, None
    y_indicator = labels.indicator(proba.shape[1])
    sizes = np.array(counts.terms.topic_set_sizes)
    rule = choose_rule(proba, y_indicator, sizes, settings.optimize)
    rule = with_own_thresholds(rule, counts.topics, settings.thresholds)
    n_right = int((rule.decide(proba) == y_indicator).all(axis=1).sum())
    predictions = HeldOutPredictions.from_decisions(proba, labels, rows, precision=precision)
    return n_right, predictions, rule


# Documents in memory ------------------------------------------------------------------------------


def fit_documents(
    documents: TrainingDocuments, feature_groups: Sequence[FeatureGroup], context: FitContext
) -> tuple[Features, PartsResult]:
    """Return the features of documents in memory, and the result of training on them in parts.

    Raises
    ------
    DataError : if no document has a word.
    """
    terms, task = TermStatistics(feature_groups), documents.task
    with closing(context.progress), closing(PartFiles(len(feature_groups))) as files:
        for block, statistics in _count(documents, feature_groups, context):
            files.append(block)
            terms.add(statistics)
            context.progress.update("reading", files.n_rows / len(documents))
        if not terms.n_columns:
            raise DataError(_NO_WORDS)
        release_memory()  # of terms by block
        features, reader = _weigh(files, terms, task.topics, context.n_jobs)
        features.sample_training_words(reader.sample_counts(_SAMPLE_SIZE))
        weight = context.sample_weight
        ones = np.ones(len(task.labels), dtype=np.float32)
        totals = task.labels.totals(context.n_topics, ones if weight is None else weight)
        return features, fit_parts(reader, totals, RowCosts(sample_weight=weight), context)


def _count(
    documents: TrainingDocuments, feature_groups: Sequence[FeatureGroup], context: FitContext
) -> Iterator[tuple[CountedBlock, BlockStatistics]]:
    """Yield the counted terms and the statistics of each block of documents."""

    def count(first: int) -> tuple[CountedBlock, BlockStatistics]:
        rows = slice(first, first + _BLOCK_SIZE)
        return count_terms(documents.texts[rows], documents.names[rows], feature_groups)

    return map_in_order(count, range(0, len(documents), _BLOCK_SIZE), context.n_jobs)
