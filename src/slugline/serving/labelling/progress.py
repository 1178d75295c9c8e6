"""Counts of labels, and the estimated accuracy of a model trained on them."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence

from slugline.labels.accuracy import MIN_EFFECTIVE
from slugline.labels.label_counts import LabelCounter, LabelCounts
from slugline.labels.label_report import LabelReport
from slugline.labels.learning_selector import MIN_LABELS
from slugline.serving.labelling.context import LabelContext
from slugline.serving.labelling.replies import (
    AccuracyReply,
    ForecastReply,
    ProgressReply,
    TopicAccuracyReply,
)

# Maximum number of changed documents to recount; with more, count all again, page by page.
_MAX_RECOUNTED = 1000
# A forecast takes longer than the accuracy, and is skipped while labels arrive quickly. It is shown
# until the number of labels has grown by this factor.
_MAX_GROWTH = 1.2


class ProgressService:
    """Counts labels; reads only documents whose labels have changed since the last call.

    Parameters
    ----------
    context : LabelContext
    shows_guesses : bool
        Coders see guesses before they decide, so only random draws are measured.
    """

    def __init__(self, context: LabelContext, *, shows_guesses: bool) -> None:
        self._context, self._shows_guesses = context, shows_guesses
        self._counter, self._last_change = LabelCounter(context.table.has_key), tuple[int, ...]()
        self._lock = threading.Lock()

    def progress(self, coder: str) -> ProgressReply:
        """Return the counts of labels, in total and of a coder, and the accuracy."""
        codebook, selector = self._context.store.codebook(), self._context.selector
        counts = self._read_counts(codebook.names())
        report = selector.report
        current = self._current_report()
        forecast = None if current is None else current.doubling
        reasons, statuses = counts.by_reason, counts.by_status
        return ProgressReply(
            n_texts=len(self._context.table) + counts.n_unlisted,
            n_labelled=sum(statuses.get(status, 0) for status in ("agreed", "settled", "open")),
            n_skipped=statuses.get("skipped", 0),
            n_mine=counts.by_coder.get(coder, 0),
            has_other_coders=any(n for name, n in counts.by_coder.items() if name != coder),
            by_topic=counts.by_topic,
            codebook_version=codebook.version,
            n_random=reasons.get("random", 0) + reasons.get("double-coded", 0),
            n_near_copies=reasons.get("near copy", 0),
            accuracy=AccuracyReply.from_estimate(selector.estimate),
            n_needed=self._count_needed(counts),
            topics=[
                TopicAccuracyReply.from_accuracy(each)
                for each in (() if report is None else report.topics)
            ],
            forecast=None
            if forecast is None or forecast.hardly_pays
            else ForecastReply(gain=forecast.gain, low=forecast.low, high=forecast.high),
            advice="" if current is None else current.advice,
            problem=selector.problem,
        )

    def _current_report(self) -> LabelReport | None:
        """Return the report, or None if missing or out of date."""
        report, estimate = self._context.selector.report, self._context.selector.estimate
        if report is None or estimate is None:
            return None
        is_old = estimate.n_labels > _MAX_GROWTH * report.estimate.n_labels
        return None if is_old else report

    def _count_needed(self, counts: LabelCounts) -> int:
        """Return roughly how many more labels are needed to estimate the accuracy."""
        estimate = self._context.selector.estimate
        if estimate is not None:
            return max(math.ceil(MIN_EFFECTIVE - estimate.n_effective), 0)
        n_labels = sum(counts.by_reason.values())
        # A double-coded text counts once, as its first draw.
        n_measured = counts.by_reason.get("random", 0) if self._shows_guesses else n_labels
        n_needed = max(MIN_LABELS - n_labels, MIN_EFFECTIVE - n_measured, 0)
        n_topics = sum(n > 0 for n in counts.by_topic.values())
        return n_needed if n_topics > 1 else max(n_needed, 1)

    def _read_counts(self, topics: Sequence[str]) -> LabelCounts:
        """Return the current counts."""
        store = self._context.store
        with self._lock:
            last = store.last_change()
            changed = store.changed_documents(self._last_change) if self._last_change else None
            if changed is None or len(changed) > _MAX_RECOUNTED:
                for each in store.labels(has_texts=False):
                    self._counter.count(each)
            else:
                for number in changed:
                    self._counter.count(store.document_labels(number, has_texts=False))
            self._last_change = last
            return self._counter.counts(topics)
