"""`fit_stream`: a source of any size in, a `Fitted` out."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy

from slugline import _version
from slugline.base.checks import check_number, check_whole, count_threads
from slugline.base.progress import Progress, check_progress
from slugline.base.words import counted
from slugline.corpus.documents import Topic, Topics
from slugline.corpus.sample_weights import to_plain_class_weight, topic_weights
from slugline.errors import DataError, OptionError
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.linear.newton import TOLERANCE
from slugline.learning.linear.sums import RowBlock
from slugline.learning.linear.weights import to_arrays
from slugline.model.fitted import Fitted, StreamRecord
from slugline.model.settings import FitSettings
from slugline.model.thresholds import HeldOutPredictions
from slugline.stream.checkpoint import Checkpoint, open_checkpoint
from slugline.stream.counting import TermStatistics, Weighting, count_batch, weight_block
from slugline.stream.descents import RowBlocks, StreamResult, hold_out_rows, learn
from slugline.stream.engine import group_blocks
from slugline.stream.local import MAX_IN_MEMORY, LocalEngine
from slugline.stream.source import DocumentSource
from slugline.text.features import Features

if TYPE_CHECKING:
    from distributed import Client

__all__ = [
    "fit_stream",
    "tie_to_documents",
    "tie_to_settings",
]


# What a checkpoint is tied to: all that the last bit of what is learned depends on ----------------

# Digits of digests.
_DIGITS = 16


def tie_to_settings(kept: Checkpoint | None, settings: FitSettings, tolerance: float) -> None:
    """Tie a checkpoint, if there is one, to what is known before documents are read.

    Threads, memory and the seed play no part in what is learned, and `min_precision` comes after.

    Raises
    ------
    CheckpointError : if it is of another job.
    """
    if kept is None:
        return
    weights = to_plain_class_weight(settings.class_weight) or "equal"
    kept.tie(
        {
            "versions of Slugline": _version.__version__,
            "versions of NumPy": np.__version__,
            "versions of SciPy": scipy.__version__,
            "terms": repr(settings.batch_blocks()),
            "weights of topics": json.dumps(weights, sort_keys=True, default=str),
            "tolerances": repr(float(tolerance)),
        }
    )


def tie_to_documents(
    kept: Checkpoint | None, rows: RowBlocks, n_documents: int, digest: str
) -> None:
    """Tie a checkpoint, if there is one, to documents, and how they are cut into blocks.

    Raises
    ------
    CheckpointError : if it is of another job.
    """
    if kept is None:
        return
    blocks = rows.engine.each(n_rows)
    both = hashlib.sha256(f"{digest} {blocks}".encode()).hexdigest()[:_DIGITS]
    known = f"{n_documents:,} in {counted(len(blocks), 'block')}, digest {both}"
    kept.tie({"documents": known})


def n_rows(block: RowBlock) -> int:
    """Return how many rows a block has."""
    return len(block.y)


# `fit_stream`: a source of any size in, a `Fitted` out --------------------------------------------

# So many topics with fewer documents each are noted: they may be no topics.
_MANY_TOPICS, _FEW_TEXTS = 1000, 10


def fit_stream(
    source: Any,
    settings: FitSettings,
    *,
    client: Client | str | None = None,
    checkpoint: str | Path | None = None,
    tolerance: float = TOLERANCE,
    most_in_memory: int = MAX_IN_MEMORY,
    progress: Progress | None = None,
    **reading: Any,
) -> Fitted:
    """Learn from a source of any size, in bounded memory, on this machine or on a cluster.

    Texts are read, tokenised and hashed once. What is kept of them are rows, in memory as long as
    these are few, then in temporary files. Weights are the minimum of a strictly convex function:
    squared hinge and a penalty on large weights, which `slugline.learning.linear.sums` states. It
    is found by passes over all rows, 30 to 100 on the sets measured, as `whole_passes` says with
    its references, in two descents: the first without some texts, which a hash chooses (a fifth, or
    as many as calibration needs), so that these tell how sure probabilities may be, and the second
    from there, from all. The order of the documents, how they are cut into blocks, and the number
    of threads play no part but for the last bits of sums (and not even that, for threads). No
    document is left out as wrong.

    Topics are learned as many at a time as 50 million weights allow: 25 of 100 where terms are 1.7
    million, for which a pass over 1,000,000 short texts takes about two seconds on one core. So
    what is learned of thousands of topics takes long. `fit`, which goes through the rows once or a
    few times, is the faster one by far where documents fit into memory.

    Parameters
    ----------
    source : path, pattern such as "tickets/*.parquet", list of these, iterable of batches, or \
Dask collection
        A batch is a pair of texts and their topics; batches may have any size. It is gone through
        once. Dask's data frames have columns as files do, its bags pairs or mappings; their
        partitions are computed on this machine where there is no client.
    settings : FitSettings
        With a linear learner, whose `passes` and `clean` play no part; no encoder, and no `tune`.
    client : distributed.Client or str, optional
        A cluster of Dask, or the address of its scheduler: workers then read the files, which they
        must find under the same names, hold the rows, and do the passes. What is learned is the
        same, bit for bit, as long as they have the same processors and libraries. Workers may end
        at any time.
    checkpoint : path of a folder, optional
        Where to keep how far learning has come, after a step at a time but for at most a twentieth
        of the time. If the process dies, the same call goes on from there, to the same bits: it
        reads the documents again, and does no pass twice but those of one step. When all is
        learned, the checkpoint stays, and the same call returns what it holds; remove the folder
        when the model is saved.
    tolerance : float, default TOLERANCE
        The share of its first size that each topic's gradient has at the end.
    most_in_memory : int, default MOST_IN_MEMORY
        Bytes of rows in memory; weights take one to two gigabytes
        besides where terms are a million. Workers of a cluster have limits of their own.
    progress : Progress, optional
        Told of each step.
    **reading
        See `slugline.stream.source.DocumentSource`: text, topic, format, encoding, skip_bad_rows,
        rows_per_block.

    Raises
    ------
    ClusterError : if a cluster can't do the work.
    DataError : if there are no documents, no words in them, bad rows, or files of different
        columns.
    CheckpointError : if the checkpoint is of another job, damaged, in use, or can't be written.
    OptionError : if a setting needs all documents at once.
    """
    learner = _checked(settings)
    check_number("tolerance", tolerance, over=0, under=1)
    check_whole("most_in_memory", most_in_memory, 0)
    documents = DocumentSource(source, **reading)
    with (
        closing(check_progress(progress)) as progress,
        open_checkpoint(checkpoint) as kept,
        _engine(client, settings, most_in_memory) as engine,
    ):
        tie_to_settings(kept, settings, tolerance)
        if kept is not None and kept.note:
            progress.note(kept.note)
        if client is not None and engine.sight:
            progress.note(f"dashboard: {engine.sight}")
        terms, counts, sizes = _read(engine, documents, settings, progress)
        if documents.n_skipped:
            progress.note(f"{documents.n_skipped:,} rows skipped")
        if len(counts) >= _MANY_TOPICS and counts.total() < _FEW_TEXTS * len(counts):
            progress.note(
                f"{len(counts):,} topics of {counts.total() / len(counts):.1f} documents each: "
                "check which column holds the topics; if they are right, learning will take long"
            )
        topics = Topics.fit(counts)
        features = terms.features(documents.n_documents, settings.n_jobs)
        plan = Weighting(
            terms.families,
            terms.columns(),
            [columns.n_columns for columns in features.vocabularies_],
            features.idf_,
            {name: number for number, name in enumerate(topics.names)},
        )
        engine.group(group_blocks(sizes, terms.n_columns))
        engine.change(weight_block, plan)
        n_all = np.array([counts[name] for name in topics.names])
        rows = hold_out_rows(engine, terms.n_columns, n_all)
        rows = _weighted(rows, settings, topics)
        tie_to_documents(kept, rows, documents.n_documents, documents.digest)

        def report(n_passes: int, some: slice, share: float, done: float) -> None:
            progress.update(
                "learning",
                done,
                f"pass {n_passes}: topics {some.start + 1:,} to {some.stop:,} of {len(topics):,}, "
                f"gradient at {share:.2%}",
            )

        learned = learn(rows, report, tolerance, kept)
    fitted = _fitted(settings, learner, topics, features, learned, documents)
    return replace(fitted, stream=_record(learned, documents, rows))


def _engine(client: Any, settings: FitSettings, most_in_memory: int) -> Any:
    if client is None:
        return LocalEngine(count_threads(settings.n_jobs), most_in_memory)
    from slugline.stream.cluster import DaskEngine

    return DaskEngine(client)


def _checked(settings: FitSettings) -> LinearLearner:
    """Return the learner, if nothing is asked for that needs all documents at once."""
    if not isinstance(settings.learner, LinearLearner):
        raise OptionError(
            f"`learner` is a {type(settings.learner).__name__}, and fit_stream learns a linear "
            "one; use fit, or leave it at its default."
        )
    asked = {"tune": settings.tune, "encoder": settings.encoder is not None}
    for name, is_asked in asked.items():
        if is_asked:
            raise OptionError(f"`{name}` needs all documents at once; use fit, or leave it out.")
    return settings.learner


def _read(
    engine: Any, documents: DocumentSource, settings: FitSettings, progress: Progress
) -> tuple[TermStatistics, Counter[Topic], list[int]]:
    """Count all terms; return these, how many documents each topic has, and blocks' entries."""
    families = settings.batch_blocks()
    terms = TermStatistics(families)
    counts: Counter[Topic] = Counter()
    sizes = []
    said = ""
    for found, *about in engine.read(count_batch, documents.parts(), families):
        documents.add(*about)
        if not said and (said := documents.columns_note):
            progress.note(said)
        if found is None:
            continue
        terms.add(found)
        counts.update(found.topics)
        sizes.append(found.n_entries)
        progress.update("reading", None, f"{documents.n_documents:,} documents")
    if not counts:
        raise DataError("there are no documents to learn from; give at least two.")
    if not terms.n_columns:
        raise DataError("no document has a word in it; check which column holds the text.")
    return terms, counts, sizes


def _weighted(rows: RowBlocks, settings: FitSettings, topics: Topics) -> RowBlocks:
    """Return the rows with what their topics count, if the user says so."""
    if isinstance(settings.class_weight, str):  # "balanced"
        return replace(rows, weights=rows.n_all.sum() / (rows.n_topics * rows.n_all))
    weights = topic_weights(settings.class_weight, topics, np.arange(len(topics)))
    return rows if weights is None else replace(rows, weights=weights.astype(np.float64))


def _fitted(
    settings: FitSettings,
    learner: LinearLearner,
    topics: Topics,
    features: Features,
    learned: StreamResult,
    documents: DocumentSource,
) -> Fitted:
    """Return what was learned as any other fit does."""
    state = {**learner.options(), **learned.calibration.settings(), "n_left_out": 0}
    arrays = {**to_arrays(learned.weights), "biases": learned.biases}
    learner = type(learner).restore(state, arrays)
    features, columns = features.without(learner.unused_columns())
    left_out = None
    if settings.min_precision is not None and not learned.interrupted:
        y, scores = learned.left_out
        proba = learned.calibration.proba(scores)
        left_out = HeldOutPredictions.from_proba(proba, y, None, settings.min_precision)
    return Fitted(
        topics=topics,
        features=features,
        learner=learner.of_columns(columns),
        seed=int(settings.random_state),
        class_weight=to_plain_class_weight(settings.class_weight),
        data_digest=documents.digest,
        n_documents=documents.n_documents,
        n_held_out=learned.n_held_out,
        interrupted=learned.interrupted,
        held_out_predictions=left_out,
    )


def _record(learned: StreamResult, documents: DocumentSource, rows: RowBlocks) -> StreamRecord:
    y, scores = learned.left_out
    n_right = int((scores.argmax(axis=1) == y).sum()) if len(y) else 0
    counts = tuple(rows.n_all.tolist())
    return StreamRecord(learned.n_passes, documents.n_skipped, counts, len(y), n_right)
