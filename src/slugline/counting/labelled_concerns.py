"""Reasons why counts with labels may be wrong, as sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from slugline.base.arrays import F64
from slugline.base.checks import short_repr
from slugline.base.wording import counted, have, join_words
from slugline.counting.labelled import MIN_LABELLED, FoundText, LabelledSample, MatchedLabels
from slugline.counting.results import GroupCount

# Topics that a sentence names.
_MAX_NAMED = 5


def labelled_concerns(
    sample: LabelledSample,
    labels: MatchedLabels,
    found: Mapping[str, FoundText],
    mean_proba: F64,
    topics: Sequence[str],
    shown: Sequence[str] = (),
) -> Iterator[str]:
    """Yield sentences on labelled texts.

    Parameters
    ----------
    sample : LabelledSample
    labels : MatchedLabels
        The labels of texts that are counted.
    found : mapping of str to FoundText
        The labelled texts among them.
    mean_proba : float64 array, shape (n_topics,)
        The mean probabilities of all texts.
    topics : sequence of str
        The topics of the model.
    shown : sequence of str, optional
        The topics to warn of; by default, all.
    """
    n_found = len(labels)
    if n_found >= MIN_LABELLED:
        concern = sample_concern(labels, mean_proba, topics)
        if concern is not None:
            yield concern
    yield from sample.concerns
    n_used = sum(
        min(len(sample.labels[key]), text.n_by_group.total()) for key, text in found.items()
    )
    n_missing = len(sample) - n_used
    if n_missing:
        are, were = ("is", "was") if n_missing == 1 else ("are", "were")
        yield (
            f"{n_missing:,} of {counted(len(sample), 'labelled text')} {are} not among the "
            f"texts to count, and {were} left out."
        )
    if n_found < MIN_LABELLED:
        yield (
            f"{counted(n_found, 'labelled text')} {'is' if n_found == 1 else 'are'} too few to "
            f"count by; these counts are the model's. Label at least {MIN_LABELLED}."
        )
        return
    new = [topic for topic in labels.new_topics(topics) if not shown or topic in shown]
    if new:
        yield from capitals_concerns(new, topics)
        their, them = ("Its", "it") if len(new) == 1 else ("Their", "them")
        yield (
            f"The labels have {counted(len(new), 'topic')} that the model doesn't know: "
            f"{join_words(new, _MAX_NAMED)}. {their} counts are by labels alone; train a model "
            f"that knows {them} to count without labels."
        )


def capitals_concerns(new: Sequence[str], topics: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each topic of labels that differs only in capitals from the model's.

    Parameters
    ----------
    new : sequence of str
        Topics of labels that the model doesn't know.
    topics : sequence of str
        The topics of the model.
    """
    known = {topic.casefold(): topic for topic in topics}
    for topic in new:
        if topic.casefold() in known:
            yield (
                f"{short_repr(topic)} in the labels differs only in capitals from the model's "
                f"{short_repr(known[topic.casefold()])}, and is counted as another topic: write it "
                "as the model does."
            )


def few_label_concerns(groups: Sequence[GroupCount], period: str | None) -> Iterator[str]:
    """Yield sentences on groups with too few labels to be counted by them.

    Parameters
    ----------
    groups : sequence of GroupCount
    period : str or None
        The period that each group is; None if groups are not of dates.
    """
    longer = "another column" if period is None else "a longer period"
    remedy = f"label more texts, or count by {longer}."
    n_groups = counted(len(groups), period or "group")
    n_by_model = sum(group.is_by_model for group in groups)
    if n_by_model:
        yield (
            f"{n_by_model:,} of {n_groups} {have(n_by_model)} fewer than {MIN_LABELLED} labels, "
            f"and {'is' if n_by_model == 1 else 'are'} counted by the model: {remedy}"
        )
    n_blank = sum(not group.is_estimated for group in groups)
    if n_blank:
        yield (
            f"{n_blank:,} of {n_groups} {have(n_blank)} fewer than {MIN_LABELLED} labels, and the "
            "model has no held-out answers to count without, so "
            f"{'its' if n_blank == 1 else 'their'} counts are blank: {remedy}"
        )


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
        "Don't believe these counts: the labelled texts don't look like a random sample. The model "
        f"finds {topics[worst]} in {100 * means[worst]:.0f} % of them, and in "
        f"{100 * mean_proba[worst]:.0f} % of all "
        "texts. Intervals hold only for texts that were drawn at random."
    )
