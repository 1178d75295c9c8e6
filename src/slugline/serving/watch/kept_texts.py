"""Kept texts and their labels."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from slugline.corpus.documents import RowText
from slugline.counting.dates import Period, name_period
from slugline.counting.labelled import FoundText, LabelledSample, MatchedLabels
from slugline.model.fitted import Fitted
from slugline.serving.requests import Cell
from slugline.serving.watch.store import WatchStore


class KeptText(NamedTuple):
    """A random text of a day.

    Attributes
    ----------
    day : date
    text : RowText
    weight : float
        Number of that day's texts that it represents: the inverse of its sampling probability.
    """

    day: datetime.date
    text: RowText
    weight: float


def _read_cells(cells: str) -> dict[str, Any]:
    """Parse the columns of a text; empty if they would be invalid in a request."""
    try:
        return msgspec.json.decode(cells, type=dict[str, Cell])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return {}


class KeptTexts(NamedTuple):
    """The kept texts of some days.

    Attributes
    ----------
    texts : list of KeptText
        In order of day.
    n_served : int
        Number of texts on these days.
    n_without : int
        Number of texts answered while the server kept none.
    """

    texts: list[KeptText]
    n_served: int
    n_without: int

    @classmethod
    def read(cls, store: WatchStore, digest: str, since: datetime.date) -> KeptTexts:
        """Read the kept texts of all versions of a model since a day."""
        days = {day: sums.n_texts for day, sums in store.iter_days(digest, since)}
        samples = store.samples(digest, since)
        texts = [
            KeptText(
                day, RowText(each.text, _read_cells(each.cells)), days[day] / len(sample.texts)
            )
            for day, sample in samples.items()
            if day in days
            for each in sample.texts
        ]
        n_served = sum(days.values())
        n_drawn_from = sum(
            min(sample.n_texts, days[day]) for day, sample in samples.items() if day in days
        )
        return cls(texts, n_served, n_served - n_drawn_from)


class KeptLabels(NamedTuple):
    """Labels of kept texts.

    Attributes
    ----------
    labels : MatchedLabels
        With days as groups, weighted to represent all texts of their day.
    found : mapping of str to FoundText
    """

    labels: MatchedLabels
    found: Mapping[str, FoundText]

    @classmethod
    def match(cls, sample: LabelledSample, kept: Sequence[KeptText], fitted: Fitted) -> KeptLabels:
        """Match labels to kept texts."""
        weights = {each.day.isoformat(): each.weight for each in kept}
        labelled = [each for each in kept if each.text.strip() in sample.labels]
        proba = fitted.predict_proba([each.text for each in labelled])
        found: dict[str, FoundText] = {}
        for each, row in zip(labelled, proba, strict=True):
            text = found.setdefault(each.text.strip(), FoundText(row))
            text.n_by_group[each.day.isoformat()] += 1
        labels = MatchedLabels.from_texts(sample, found, len(fitted.topics))
        by_day = np.array([weights[day] for day in labels.groups], dtype=np.float64)
        weighted = MatchedLabels(
            proba=labels.proba,
            topics=labels.topics,
            weights=labels.weights * by_day,
            groups=labels.groups,
        )
        return cls(weighted, found)

    def labels_by(self, period: Period | None) -> MatchedLabels:
        """Return the labels grouped by period, or in a single group for None."""
        names = [
            None if period is None else name_period(datetime.date.fromisoformat(day), period)
            for day in self.labels.groups
        ]
        return MatchedLabels(
            proba=self.labels.proba,
            topics=self.labels.topics,
            weights=self.labels.weights,
            groups=np.array(names, dtype=object),
        )
