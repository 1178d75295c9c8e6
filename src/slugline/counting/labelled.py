"""Shares from labels of some of the texts, alone or with the model's probabilities of all texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F32, F64, Mask
from slugline.base.wording import counted
from slugline.corpus.label_database import DocumentLabels, Selection
from slugline.corpus.layout import ReadOptions
from slugline.corpus.loading import read_corpus
from slugline.corpus.readers import is_database
from slugline.corpus.topics import add_parents, apply_topic_rules, topic_rules
from slugline.counting.results import LabelPlan, Method
from slugline.counting.shares import HeldoutSample
from slugline.errors import DataError, StoreError
from slugline.evaluation.intervals import Z_95, Interval, wilson
from slugline.experiment.concerns import known_document_warnings
from slugline.labels.store import LabelStore
from slugline.model.fitted import Fitted

#: With fewer labelled texts, counts are by the model.
MIN_LABELLED = 15
# The model's probabilities are used if they explain this much of the variance of labels on held-out
# documents: below it, they would hardly make intervals narrower.
_MIN_EXPLAINED = 0.1
# The number of labels that the slope of the probabilities, and the number, half of them of the
# topic, that the variance counts as well: of few labels, none may be of a topic.
_N_SLOPE, _N_PRIOR = 10.0, 4.0
_MAX_SLOPE = 1.5
# With fewer labels with the topic, or without it, the slope is too uncertain: with 4 of 200, only
# 87 % of simulated intervals held.
_MIN_EACH = 10
# Reasons of selections whose probability is known, as in `slugline.labels.labelled_texts`.
_DRAWS = ("random", "double-coded", "spread", "suggested")


@dataclass(frozen=True, eq=False)
class LabelledSample:
    """Texts that people labelled.

    Attributes
    ----------
    name : str
        The file.
    topics : mapping of str to tuple of str
        The topics of each text.
    weights : mapping of str to float
        The inverse of the probability with which each text was selected, up to a factor.
    concerns : tuple of str
        Sentences that say why the labels may mislead.
    is_known : bool
        Whether the model learned from these texts, so that its probabilities of them are too good.
    """

    name: str
    topics: Mapping[str, tuple[str, ...]]
    weights: Mapping[str, float]
    concerns: tuple[str, ...] = ()
    is_known: bool = False


def read_labelled_sample(path: Path, fitted: Fitted) -> LabelledSample:
    """Return the texts of a file, or of a label database, with their labels.

    Raises
    ------
    DataError : if it can't be read, or no text of a label database was selected with a known
        probability.
    """
    options = ReadOptions(layout=fitted.layout, topic_path=fitted.separator)
    if is_database(path):
        options = options._replace(layout=None)
    corpus = read_corpus(str(path), options)
    known_topics = [str(name) for name in fitted.topics.names]
    corpus = apply_topic_rules(corpus, topic_rules(options), known_topics)
    corpus = add_parents(corpus, fitted.separator)
    topics = {
        text.strip(): (tuple(map(str, topic)) if isinstance(topic, tuple) else (str(topic),))
        for text, topic in zip(corpus.texts, corpus.topics, strict=True)
    }
    is_known = bool(known_document_warnings(fitted, corpus))
    concerns: list[str] = []
    if is_known:
        concerns.append(
            f"The model learned from {path}, so these labels are counted without it: use labels "
            "that it has not seen for narrower intervals."
        )
    if not is_database(path):
        return LabelledSample(
            str(path), topics, dict.fromkeys(topics, 1.0), tuple(concerns), is_known
        )
    weights = _selection_weights(path)
    drawn = {text: topics[text] for text in topics if text in weights}
    n_left_out = len(topics) - len(drawn)
    if not drawn:
        raise DataError(
            f"no text of {path} was selected at random or with a known probability: its labels "
            "are of texts that somebody chose, and say nothing about the others. Label texts that "
            "`slugline label` draws."
        )
    if n_left_out:
        concerns.append(
            f"{counted(n_left_out, 'label')} in {path} {'is' if n_left_out == 1 else 'are'} left "
            "out: the texts were chosen actively without a known probability, or labelled with a "
            "guess in view."
        )
    return LabelledSample(
        str(path), drawn, {text: weights[text] for text in drawn}, tuple(concerns), is_known
    )


def _selection_weights(path: Path) -> dict[str, float]:
    """Return the weight of each text that was drawn with a known probability."""
    try:
        with LabelStore(path, is_read_only=True) as store:
            draws = store.first_assignments()
            return {
                each.document.text.strip(): 1 / probability
                for each in store.labels()
                if each.document.id in draws
                and not _is_guess_shown(each)
                and (probability := _relative_probability(draws[each.document.id].selection))
            }
    except StoreError as error:
        raise DataError(*error.parts) from error


def _is_guess_shown(each: DocumentLabels) -> bool:
    return any(decision.is_guess_shown for decision in each.decisions)


def _relative_probability(selection: Selection) -> float | None:
    """Return the probability of a selection relative to that of a random one; None if unknown."""
    if selection.reason not in _DRAWS or not selection.probability or not selection.n_candidates:
        return None
    if selection.reason == "double-coded":  # drawn from random draws, each as likely
        return 1.0
    return selection.probability * selection.n_candidates


# Estimates ----------------------------------------------------------------------------------------


class MatchedLabels(NamedTuple):
    """Labelled texts among those that are counted.

    Attributes
    ----------
    proba : float array, shape (n_texts, n_topics)
    topics : list of tuple of str
    weights : float64 array, shape (n_texts,)
    """

    proba: F32
    topics: list[tuple[str, ...]]
    weights: F64

    def __len__(self) -> int:
        return len(self.topics)

    def take(self, mask: Mask) -> MatchedLabels:
        """Return the texts of a mask."""
        topics = [topic for topic, chosen in zip(self.topics, mask, strict=True) if chosen]
        return MatchedLabels(self.proba[mask], topics, self.weights[mask])

    def has_topic(self, topic: str) -> F64:
        """Return 1 for each text with a topic, shape (n_texts,)."""
        return np.array([topic in topics for topics in self.topics], dtype=np.float64)


class LabelledEstimate(NamedTuple):
    """A share with its interval, and what it was estimated from."""

    share: float
    interval: Interval
    method: Method


def estimate_labelled_share(
    has_topic: F64,
    weights: F64,
    n_texts: int,
    *,
    proba: F64 | None = None,
    mean_proba: float = 0.0,
    explained: float = 0.0,
) -> LabelledEstimate:
    """Return the share of a topic from labels, with the model's probabilities if they help.

    The share among labelled texts is corrected by how much the probabilities of all texts differ
    from those of labelled texts, times a slope that makes the variance smallest. The interval is
    Wilson's, for as many labels as would be as precise alone.

    Parameters
    ----------
    has_topic : float64 array, shape (n_labels,)
        1 for texts with the topic, and 0 for others.
    weights : float64 array, shape (n_labels,)
        The inverse of each text's selection probability, up to a factor.
    n_texts : int
        Number of all texts.
    proba : float64 array, shape (n_labels,), optional
        Probabilities of the topic. By default, or with fewer than ten labels of either kind, only
        labels count.
    mean_proba : float
        Their mean over all texts.
    explained : float
        The fraction of the variance of labels that they explain on held-out documents.

    References
    ----------
    Angelopoulos, Duchi and Zrnic (2023), PPI++: Efficient prediction-powered inference.
    """
    fractions = weights / weights.sum()
    n = float(1 / (fractions**2).sum())
    share = float(fractions @ has_topic)
    smoothed = (n * share + _N_PRIOR / 2) / (n + _N_PRIOR)
    # Labels of all texts would have no error.
    remaining = max(1 - len(has_topic) / max(n_texts, 1), 1e-3)
    if proba is None or n * min(share, 1 - share) < _MIN_EACH:
        return LabelledEstimate(share, wilson(share * n / remaining, n / remaining), "labels")
    slope = _slope(has_topic, proba, fractions, n)
    share += slope * (mean_proba - float(fractions @ proba))
    share = min(max(share, 0.0), 1.0)
    residuals = has_topic - slope * proba
    observed = float(fractions @ (residuals - fractions @ residuals) ** 2) * n / max(n - 1, 1)
    usual = smoothed * (1 - smoothed)
    variance = (n * observed + _N_PRIOR * usual * (1 - explained)) / (n + _N_PRIOR)
    n_alone = n * usual / max(variance, 1e-9) / remaining
    return LabelledEstimate(share, wilson(share * n_alone, n_alone), "labels and model")


def _slope(has_topic: F64, proba: F64, fractions: F64, n: float) -> float:
    deviations = proba - fractions @ proba
    variance = float(fractions @ deviations**2)
    if variance < 1e-9:
        return 0.0
    slope = float(fractions @ (deviations * has_topic)) / variance
    return min(max(slope, 0.0), _MAX_SLOPE) * n / (n + _N_SLOPE)


def explained_variance(sample: HeldoutSample, shares: F64) -> F64:
    """Return how much of the variance of each topic its probabilities explain, shape (n_topics,).

    Measured on held-out documents, weighted to the shares of the texts; 0 for topics without such
    documents.
    """
    weights = (shares / np.maximum(sample.topic_sizes, 1))[sample.topics]
    weights = weights / weights.sum()
    is_topic = sample.is_topic - weights @ sample.is_topic
    proba = sample.proba - weights @ sample.proba
    covariances = weights @ (is_topic * proba)
    variances = (weights @ is_topic**2) * (weights @ proba**2)
    explained: F64 = covariances * np.abs(covariances) / np.maximum(variances, 1e-12)
    return np.clip(explained, 0, 0.99)


def uses_model(explained: float) -> bool:
    """Whether the model's probabilities are used for a topic, decided before any label is seen."""
    return explained >= _MIN_EXPLAINED


def sample_concern(rows: MatchedLabels, mean_proba: F64, topics: Sequence[str]) -> str | None:
    """Return a sentence if labelled texts don't look like a random sample of all; else None."""
    fractions = rows.weights / rows.weights.sum()
    n = 1 / (fractions**2).sum()
    means = fractions @ rows.proba
    deviations = np.sqrt(fractions @ (rows.proba - means) ** 2 / n)
    z = np.abs(means - mean_proba) / np.maximum(deviations, 1e-3)
    worst = int(z.argmax())
    p_value = math.erfc(float(z[worst]) / math.sqrt(2)) * len(topics)
    if p_value >= 0.01:
        return None
    return (
        f"The labelled texts don't look like a random sample: the model finds {topics[worst]} in "
        f"{100 * means[worst]:.0f} % of them, and in {100 * mean_proba[worst]:.0f} % of all "
        "texts. Intervals hold only for texts that were drawn at random."
    )


# Plans --------------------------------------------------------------------------------------------


def plan_labels(
    shares: F64, explained: F64, topics: Sequence[str], n_texts: int, margin: float
) -> LabelPlan:
    """Return how many random texts to label, so that no interval is wider than twice a margin."""
    variances = shares * (1 - shares)
    left = np.where([uses_model(each) for each in explained.tolist()], 1 - explained, 1.0)
    with_model, alone = (
        np.ceil(_sample_sizes(values, margin, n_texts)) for values in (variances * left, variances)
    )
    worst = int(with_model.argmax())
    return LabelPlan(margin, int(with_model[worst]), topics[worst], int(alone.max()))


def _sample_sizes(variances: F64, margin: float, n_texts: int) -> F64:
    n = variances * (Z_95 / margin) ** 2
    sizes: F64 = n / (1 + n / n_texts)
    return np.clip(sizes, min(MIN_LABELLED, n_texts), n_texts)
