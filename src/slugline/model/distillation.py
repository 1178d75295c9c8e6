"""Replaces the encoder of a fit by word vectors that were distilled from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from slugline.base.arrays import Index
from slugline.base.wording import counted, percent
from slugline.errors import Message, Parameter
from slugline.learning.encoder.encoder import CheckedEncoder, get_encoder
from slugline.learning.encoder.registry import BUILT_IN
from slugline.learning.label_types import label_type
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.model.dense import EncoderFit

if TYPE_CHECKING:
    from slugline.learning.encoder.distilled import DistillationRecord


def distil(
    teacher: EncoderFit,
    fit_with: Callable[[CheckedEncoder], EncoderFit],
    texts: Sequence[str],
    unlabelled: Sequence[str],
    labels: Labels,
    context: FitContext,
) -> EncoderFit:
    """Return the fit with word vectors that were distilled from the encoder of `teacher`.

    It is the one with the vectors that come with Slugline if that has a lower log loss on held-out
    documents. `teacher` is returned if its encoder was left out, or is as fast as words.

    Parameters
    ----------
    teacher : EncoderFit
    fit_with : callable
        Fits the head of another encoder to the same documents.
    texts, unlabelled : sequence of str
        The documents, and the unlabelled texts that heads learn from.
    labels : Labels
        Of the documents.
    context : FitContext
    """
    from slugline.learning.encoder.distil import distil_encoder
    from slugline.learning.encoder.distilled import DistilledEncoder

    if teacher.head is None or teacher.head.encoder.is_fast:
        return teacher
    n_jobs, progress = context.n_jobs, context.progress
    encoder = distil_encoder(
        teacher.head.encoder, texts, unlabelled, n_jobs=n_jobs, progress=progress
    )
    student = fit_with(CheckedEncoder(encoder))
    built_in = fit_with(get_encoder(BUILT_IN))
    rows = _common_rows([teacher, student, built_in])
    by_teacher, by_student, by_built_in = (
        _measure(fit, rows, labels) for fit in (teacher, student, built_in)
    )
    if built_in.head is not None and by_built_in.log_loss < by_student.log_loss:
        progress.note(
            f"distilled from {encoder.record.teacher}: on {counted(len(rows), 'held-out document')}"
            f", {percent(by_student.accuracy)} right, and {percent(by_built_in.accuracy)} with the "
            f"encoder {BUILT_IN}, whose log loss is lower"
        )
        return built_in
    if student.head is None:
        return student
    record = encoder.record._replace(
        n_heldout=len(rows), accuracy=by_student.accuracy, teacher_accuracy=by_teacher.accuracy
    )
    progress.note(_describe(record))
    checked = CheckedEncoder(DistilledEncoder(encoder.data, record))
    return replace(student, head=student.head.with_encoder(checked))


def _describe(record: DistillationRecord) -> str:
    """Return a note on a distillation, and on what it lacked."""
    if record.n_unlabelled:
        return str(record)
    return Message(
        f"{record}; from texts without labels, it would learn more words: give them with ",
        Parameter("X_unlabelled"),
    )


def _common_rows(fits: Sequence[EncoderFit]) -> Index:
    """Return the documents for which all have held-out probabilities."""
    heldout = [fit.heldout[0] for fit in fits if fit.heldout is not None]
    if len(heldout) < len(fits):
        return np.zeros(0, dtype=np.intp)
    common = heldout[0]
    for rows in heldout[1:]:
        common = np.intersect1d(common, rows)
    return common


class _HeldOutMetrics(NamedTuple):
    """Accuracy and log loss on held-out documents; both are 0 without any."""

    accuracy: float
    log_loss: float


def _measure(fit: EncoderFit, rows: Index, labels: Labels) -> _HeldOutMetrics:
    if fit.heldout is None or not len(rows):
        return _HeldOutMetrics(0.0, 0.0)
    all_rows, all_proba = fit.heldout
    order = np.argsort(all_rows)
    proba = all_proba[order[np.searchsorted(all_rows, rows, sorter=order)]]
    true, kind = labels.take(rows), label_type(multilabel=labels.multilabel)
    losses = kind.log_losses(kind.to_scores(proba), true)
    return _HeldOutMetrics(float(kind.are_right(proba, true).mean()), float(losses.mean()))
