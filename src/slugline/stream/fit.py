"""Training from a source of any size: reading, descents, and a `Fitted` as the result."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from slugline import _version
from slugline.base.arrays import F64, I64
from slugline.base.checks import check_number, check_whole, count_threads
from slugline.base.progress import INTERRUPTED, Progress, check_progress
from slugline.base.wording import counted
from slugline.corpus.documents import Topic, Topics
from slugline.corpus.layout import Format
from slugline.corpus.sample_weights import to_plain_class_weight, topic_weights
from slugline.errors import DataError, OptionError
from slugline.learning.learner import LinearModel, is_linear
from slugline.learning.linear.newton import TOLERANCE
from slugline.learning.linear.sums import RowBlock
from slugline.model.fitted import Fitted, StreamRecord
from slugline.model.multilabel_rule import MultilabelRule, check_own_thresholds, with_own_thresholds
from slugline.model.settings import FitSettings
from slugline.model.thresholds import HeldOutPredictions
from slugline.stream.checkpoint import Checkpoint, open_checkpoint
from slugline.stream.counting import TermStatistics, Weighting, count_batch, weight_block
from slugline.stream.descents import StreamResult, StreamTraining, hold_out_rows
from slugline.stream.engine import Engine, group_blocks
from slugline.stream.local import MAX_IN_MEMORY, LocalEngine
from slugline.stream.source import ROWS_PER_BLOCK, DocumentSource
from slugline.text.feature_groups import N_EXAMINED

if TYPE_CHECKING:
    from distributed import Client


# Digits of digests.
_DIGITS = 16
# From so many topics on, a note is given if they have fewer documents each than this: the column
# may not hold topics.
_MANY_TOPICS, _FEW_TEXTS = 1000, 10
# The share of the work from which the number of passes can be estimated.
_MIN_SHARE = 0.05
_ACKNOWLEDGED = INTERRUPTED.format("keeping the last pass")


def tie_to_settings(checkpoint: Checkpoint, settings: FitSettings, tolerance: float) -> None:
    """Tie a checkpoint to what decides the result before documents are read.

    Threads, memory and the seed don't, and `min_precision` comes after training.

    Raises
    ------
    CheckpointError : if it is of another job.
    """
    weights = to_plain_class_weight(settings.class_weight) or "equal"
    checkpoint.tie(
        {
            "versions of Slugline": _version.__version__,
            "versions of NumPy": np.__version__,
            "versions of SciPy": scipy.__version__,
            "terms": repr(replace(settings, columns=()).batch_feature_groups()),
            "weights of topics": json.dumps(weights, sort_keys=True, default=str),
            "tolerances": repr(float(tolerance)),
            **({"columns": ", ".join(settings.columns)} if settings.columns else {}),
        }
    )


def tie_to_documents(checkpoint: Checkpoint, engine: Engine, n_documents: int, digest: str) -> None:
    """Tie a checkpoint to the documents, and how they are cut into blocks.

    Raises
    ------
    CheckpointError : if it is of another job.
    """
    blocks = engine.collect(n_rows)
    digest = hashlib.sha256(f"{digest} {blocks}".encode()).hexdigest()[:_DIGITS]
    fact = f"{n_documents:,} in {counted(len(blocks), 'block')}, digest {digest}"
    checkpoint.tie({"documents": fact})


def n_rows(block: RowBlock) -> int:
    """Return the number of rows of a block."""
    return len(block.y)


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """How to read a source of any size, and how to learn from it.

    Attributes
    ----------
    text, topic, format, encoding, separator, skip_bad_rows, topic_separator, topic_columns
        For files and Dask data frames; see `load_corpus`.
    rows_per_block : int
        Rows that are read, counted and learned from together.
    checkpoint : path of a folder, or None
        Where to save the state of training after each step, in at most a twentieth of the time. If
        the process dies, the same call resumes from there, to the same bits: it reads the documents
        again, and repeats the passes of one step at most. The checkpoint of a finished training
        stays, and the same call returns its result; remove the folder when the model is saved.
    tolerance : float
        Training ends when the norm of each topic's gradient is this fraction of its first.
    most_in_memory : int
        Bytes of rows in memory; weights take one to two gigabytes besides where terms are a
        million. Workers of a cluster have limits of their own.

    Raises
    ------
    OptionError : if a number is out of its range.
    """

    text: str | Sequence[str] | None = None
    topic: str | None = None
    format: Format | None = None
    encoding: str | None = None
    separator: str | None = None
    skip_bad_rows: bool = False
    topic_separator: str | None = None
    topic_columns: str | Sequence[str] | None = None
    rows_per_block: int = ROWS_PER_BLOCK
    checkpoint: str | Path | None = None
    tolerance: float = TOLERANCE
    most_in_memory: int = MAX_IN_MEMORY

    def __post_init__(self) -> None:
        check_number("tolerance", self.tolerance, over=0, under=1)
        check_whole("most_in_memory", self.most_in_memory, 0)


def fit_stream(
    source: Any,
    settings: FitSettings,
    options: StreamOptions | None = None,
    *,
    client: Client | str | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """Return a model of a source of any size, in bounded memory, here or on a cluster.

    Texts are read, tokenised and hashed once. Their rows stay in memory if they are few, else in
    temporary files. Weights minimise a strictly convex function, stated in
    `slugline.learning.linear.sums`, by passes over all rows: 30 to 100 on the sets measured, in two
    descents. The first leaves out some texts chosen by a hash (a fifth, or as many as calibration
    needs), on which probabilities are calibrated; the second goes on from there with all texts. The
    order of documents and the size of blocks change only the last bits of sums, and the number of
    threads not even those. No document is left out as wrong.

    Topics are learned in batches of 50 million weights: 25 of 100 topics where terms are 1.7
    million, for which a pass over 1,000,000 short texts takes about two seconds on one core; so
    thousands of topics take long. `fit`, which goes through the rows only a few times, is faster by
    far where documents fit into memory.

    Parameters
    ----------
    source : path, pattern such as `tickets/*.parquet`, list of these, iterable of batches, or \
Dask collection
        A batch is a pair of texts and their topics, of any size; batches are iterated once. Dask
        data frames have columns as files do; bags have pairs or mappings. Without a client, their
        partitions are computed on this machine.
    settings : FitSettings
        With a linear learner, whose `passes` and `clean` are ignored; no encoder, and no `tune`.
    options : StreamOptions, optional
    client : distributed.Client or str, optional
        A Dask cluster, or the address of its scheduler: workers read the files, under the same
        names as here, hold the rows, and do the passes. The result is the same, bit for bit, if
        workers have the same processors and libraries. Workers may end at any time.
    progress : Progress, optional

    Raises
    ------
    ClusterError : if a cluster can't do the work.
    DataError : if there are no documents, no words in them, bad rows, or files of different
        columns.
    CheckpointError : if the checkpoint is of another job, damaged, in use, or can't be written.
    OptionError : if a setting needs all documents at once.
    """
    learner = _check_settings(settings)
    options = options or StreamOptions()
    tolerance = options.tolerance
    documents = DocumentSource(
        source,
        options.text,
        options.topic,
        format=options.format,
        encoding=options.encoding,
        separator=options.separator,
        skip_bad_rows=options.skip_bad_rows,
        columns=settings.columns,
        rows_per_block=options.rows_per_block,
        topic_separator=options.topic_separator,
        topic_columns=options.topic_columns,
    )
    with (
        closing(check_progress(progress)) as progress,
        open_checkpoint(options.checkpoint) as saved,
        _make_engine(client, settings, options.most_in_memory) as engine,
    ):
        if saved is not None:
            tie_to_settings(saved, settings, tolerance)
            if saved.note:
                progress.note(saved.note)
        if engine.dashboard:
            progress.note(f"dashboard: {engine.dashboard}")
        terms, counts, sizes = _count_terms(engine, documents, settings, progress)
        if documents.n_skipped:
            progress.note(f"{documents.n_skipped:,} rows skipped")
        if documents.n_unlabelled:
            progress.note(f"{counted(documents.n_unlabelled, 'row')} not labelled yet, left out")
        if len(counts) >= _MANY_TOPICS and counts.total() < _FEW_TEXTS * len(counts):
            progress.note(
                f"{len(counts):,} topics of {counts.total() / len(counts):.1f} documents each: "
                "check which column holds the topics; if they are right, learning will take long"
            )
        topics = Topics.fit(counts)
        features = terms.features(documents.n_documents, settings.n_jobs)
        engine.set_groups(group_blocks(sizes, terms.n_columns))
        engine.map_blocks(weight_block, Weighting.from_features(features, topics.names))
        n_all = np.array([counts[name] for name in topics.names])
        n_rows, several = documents.n_documents, terms.sizes is not None
        check_own_thresholds(topics, settings.thresholds, multilabel=several)
        rows = hold_out_rows(engine, terms.n_columns, n_rows, n_all, multilabel=several)
        rows = replace(rows, weights=_topic_weights(n_all, settings, topics))
        if saved is not None:
            tie_to_documents(saved, engine, documents.n_documents, documents.digest)

        def report(n_passes: int, batch: slice, share: float) -> None:
            expected = f" of about {n_passes / share:.0f}" if share >= _MIN_SHARE else ""
            progress.update(
                "learning",
                share,
                f"pass {n_passes}{expected}: topics {batch.start + 1:,} to {batch.stop:,} of "
                f"{len(topics):,}",
            )

        training = StreamTraining(rows, report, tolerance, saved)
        result = training.run(on_interrupt=lambda: progress.note(_ACKNOWLEDGED))
    learner = learner.learned(result.weights, result.biases, result.calibration)
    features, columns = features.without(learner.unused_columns())
    decision, predictions, n_right = _judge(result, topics, settings, terms.sizes)
    return Fitted(
        topics=topics,
        features=features,
        learner=learner.of_columns(columns),
        seed=settings.random_state,
        class_weight=to_plain_class_weight(settings.class_weight),
        data_digest=documents.digest,
        n_documents=documents.n_documents,
        n_heldout=result.n_heldout,
        interrupted=result.interrupted,
        heldout_predictions=predictions,
        stream=StreamRecord(
            result.n_passes,
            documents.n_skipped,
            tuple(n_all.tolist()),
            len(result.heldout[0]),
            n_right,
        ),
        multilabel_rule=decision,
        layout=documents.layout,
    )


def _judge(
    result: StreamResult, topics: Topics, settings: FitSettings, sizes: tuple[int, int] | None
) -> tuple[MultilabelRule | None, HeldOutPredictions | None, int]:
    """Return how to give several topics, held-out predictions, and how many of them are right."""
    labels, scores = result.heldout
    proba = result.calibration.proba(scores)
    if sizes is None:
        y, precision = labels.topics, settings.min_precision
        predictions = HeldOutPredictions.from_proba(proba, y, None, precision)
        n_right = int((scores.argmax(axis=1) == y).sum()) if len(y) else 0
        return None, None if result.interrupted else predictions, n_right
    truth = labels.indicator(proba.shape[1])
    decision = MultilabelRule.from_proba(proba, truth, np.array(sizes), settings.optimize)
    decision = with_own_thresholds(decision, topics, settings.thresholds)
    predictions = HeldOutPredictions.from_decisions(proba, truth, None, settings.min_precision)
    n_right = int((decision.decide(proba) == truth).all(axis=1).sum())
    return decision, None if result.interrupted else predictions, n_right


def _make_engine(client: Any, settings: FitSettings, most_in_memory: int) -> Engine:
    if client is None:
        return LocalEngine(count_threads(settings.n_jobs), most_in_memory)
    from slugline.stream.cluster import DaskEngine

    return DaskEngine(client)


def _check_settings(settings: FitSettings) -> LinearModel:
    """Return the learner, if no setting needs all documents at once."""
    if not is_linear(settings.learner):
        raise OptionError(
            f"`learner` is a {type(settings.learner).__name__}, and fit_stream learns a linear "
            "one; use fit, or leave it at its default."
        )
    for name in ("tune", "encoder", "topic_path"):
        if getattr(settings, name):
            raise OptionError(f"`{name}` needs all documents at once; use fit, or leave it out.")
    return settings.learner


def _count_terms(
    engine: Engine, documents: DocumentSource, settings: FitSettings, progress: Progress
) -> tuple[TermStatistics, Counter[Topic], list[int]]:
    """Return the terms, the number of documents of each topic, and of entries of each block."""
    texts, topics = documents.first_documents(ROWS_PER_BLOCK if settings.columns else N_EXAMINED)
    # Without a document, an error says so later.
    families = (settings if texts else replace(settings, columns=())).batch_feature_groups(
        texts, topics
    )
    terms = TermStatistics(families)
    counts: Counter[Topic] = Counter()
    sizes = []
    note = ""
    for block, *summary in engine.read_blocks(count_batch, documents.partitions(), families):
        documents.add(*summary)
        if not note and (note := documents.columns_note):
            progress.note(note)
        if block is None:
            continue
        terms.add(block)
        counts.update(block.topics)
        sizes.append(block.n_entries)
        progress.update("reading", None, f"{documents.n_documents:,} documents")
    if not counts:
        raise DataError("there are no documents to learn from; give at least two.")
    if not terms.n_columns:
        raise DataError("no document has a word in it; check which column holds the text.")
    return terms, counts, sizes


def _topic_weights(n_all: I64, settings: FitSettings, topics: Topics) -> F64 | None:
    """Return the user's weight of each topic, if there are any."""
    if isinstance(settings.class_weight, str):  # "balanced"
        return n_all.sum() / (len(n_all) * n_all)
    weights = topic_weights(settings.class_weight, topics, np.arange(len(topics)))
    return None if weights is None else weights.astype(np.float64)
