"""Reasons why counts may be wrong, as sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from slugline.base.arrays import F64, I64
from slugline.base.checks import short_repr
from slugline.base.wording import counted, have, join_words, percent
from slugline.counting.drift import Drift
from slugline.counting.estimation import ShareEstimate
from slugline.counting.labelled import MIN_LABELLED, LabelledSample, MatchedLabels
from slugline.counting.results import GroupCount
from slugline.counting.shares import HeldoutSample
from slugline.text.features import UnknownWordRate, WordCounts

#: Minimum number of held-out documents to correct a topic's share reliably.
MIN_HELDOUT = 10
# Maximum number of topics or groups listed in a warning.
_MAX_NAMED = 5
# Texts may be in another language if this fraction of them, and at least this many, have more
# unknown words than 99 % of the training documents.
_MOST_UNUSUAL, _MIN_UNUSUAL = 0.4, 5


class TextTotals(NamedTuple):
    """Sums over texts in addition to probabilities.

    Attributes
    ----------
    n_texts, n_words, n_unknown : int
        Number of texts, of their words, and of words unknown to the model.
    n_unusual : int
        Number of texts with unusually many unknown words.
    """

    n_texts: int = 0
    n_words: int = 0
    n_unknown: int = 0
    n_unusual: int = 0

    @classmethod
    def from_words(cls, words: WordCounts, usual: UnknownWordRate | None) -> TextTotals:
        """Return the sums of a batch of texts."""
        return cls(
            n_texts=len(words.n_words),
            n_words=int(words.n_words.sum()),
            n_unknown=int(words.n_unknown.sum()),
            n_unusual=0 if usual is None else int(usual.are_unusual(words).sum()),
        )

    def add(self, other: TextTotals) -> TextTotals:
        """Return the combined sums."""
        return TextTotals(*(a + b for a, b in zip(self, other, strict=True)))


def are_unknown(sums: TextTotals) -> bool:
    """Return True if the texts may be in another language, which makes counts meaningless."""
    return (
        sums.n_unusual >= _MIN_UNUSUAL
        and sums.n_unusual >= _MOST_UNUSUAL * sums.n_texts
        and sums.n_words > 0
    )


def word_concern(
    totals: Sequence[TextTotals], usual: UnknownWordRate, groups: Sequence[str] = ()
) -> str:
    """Return the warning that texts, or the named groups of them, have many unknown words."""
    fraction = sum(each.n_unknown for each in totals) / sum(each.n_words for each in totals)
    counts = f"the counts of {join_words(groups, _MAX_NAMED)}" if groups else "these counts"
    untested = " Changes from or to these were not tested." if groups else ""
    return (
        f"Don't trust {counts}: {percent(fraction, 0)} of the words are unknown to the model, "
        f"against {percent(usual.rate, 0)} in training. The texts may be in another language or "
        f"about something else; train on texts like these.{untested}"
    )


def drift_concern(drift: Drift, groups: Sequence[str] = ()) -> str:
    """Return the warning that texts, or the named groups of them, differ from training texts.

    With groups, `drift` is the most significant drift among them.
    """
    texts = f"the texts of {join_words(groups, _MAX_NAMED)}" if groups else "the texts"
    return (
        f"Not only the topic shares have changed since training: {texts} differ from "
        f"the training texts of the same topics{_describe_words(drift)}. There may be new topics, "
        "or the texts may come from another source. Label a random sample of them and count "
        "with these labels."
    )


def _describe_words(drift: Drift) -> str:
    """Return a phrase about the significant words, or an empty string."""
    if not drift.words:
        return ""
    first = drift.words[0]
    names = [short_repr(each.word) for each in drift.words]
    numbers = f"{percent(first.fraction, 0)} of them, expected {percent(first.expected, 0)}"
    if len(names) == 1:
        return f" ({names[0]} is in {numbers})"
    return f" ({names[0]} is in {numbers}; likewise {join_words(names[1:])})"


def heldout_concerns(
    samples: Sequence[HeldoutSample], topics: Sequence[str], shown: Sequence[str] = ()
) -> Iterator[str]:
    """Yield warnings about topics with too few held-out documents.

    `shown` limits them to some topics; by default, all are checked.
    """
    sizes = np.concatenate([sample.topic_sizes[: sample.n_model_topics] for sample in samples])
    shown_sizes = [
        (topic, n) for topic, n in zip(topics, sizes, strict=True) if not shown or topic in shown
    ]
    for few, what in (
        ([topic for topic, n in shown_sizes if n == 0], "no held-out document"),
        (
            [topic for topic, n in shown_sizes if 0 < n < MIN_HELDOUT],
            f"fewer than {MIN_HELDOUT} held-out documents",
        ),
    ):
        if few:
            yield (
                f"{counted(len(few), 'topic')} ({join_words(few, _MAX_NAMED)}) had {what} in "
                "training, too few to estimate the model's errors. Label more texts of "
                f"{'this topic' if len(few) == 1 else 'these topics'} before you rely on "
                f"{'its' if len(few) == 1 else 'their'} counts."
            )


class CountedTexts(NamedTuple):
    """Data for counting a group of texts.

    Attributes
    ----------
    sums : float64 array, shape (n_topics,)
        Sums of probabilities.
    n_answers : int64 array, shape (n_topics,)
        Number of texts that the model assigns to each topic.
    totals : TextTotals
    estimates : sequence of ShareEstimate
        One, or one per topic of a multi-label model; empty if the model has no held-out documents.
    drift : Drift or None
        Result of the comparison with training documents; None if not compared.
    """

    sums: F64
    n_answers: I64
    totals: TextTotals
    estimates: Sequence[ShareEstimate] = ()
    drift: Drift | None = None

    @property
    def n_texts(self) -> int:
        """Number of texts."""
        return self.totals.n_texts


def model_concerns(
    usual: UnknownWordRate | None, total: CountedTexts | None, groups: Mapping[str, CountedTexts]
) -> Iterator[str]:
    """Yield warnings about texts that the model can't count, one per cause.

    Parameters
    ----------
    usual : UnknownWordRate or None
    total : CountedTexts or None
        All texts; None if counted from labels.
    groups : mapping of str to CountedTexts
        Groups that aren't counted from labels.
    """
    unknown = find_unknown(groups)
    if not unknown and total is not None and are_unknown(total.totals):
        if usual is not None:
            yield word_concern([total.totals], usual)
        total = None
    if unknown and usual is not None:
        yield word_concern([*unknown.values()], usual, [*unknown])
    drifts = {
        name: each.drift
        for name, each in groups.items()
        if name not in unknown and each.drift is not None
    }
    found = {name: each for name, each in drifts.items() if each.is_significant(len(drifts))}
    if found:
        yield drift_concern(min(found.values(), key=lambda each: each.p_value), [*found])
    elif total is not None and not unknown and total.drift and total.drift.is_significant():
        yield drift_concern(total.drift)


def find_unknown(groups: Mapping[str, CountedTexts]) -> dict[str, TextTotals]:
    """Return the groups whose texts may be in another language."""
    return {name: each.totals for name, each in groups.items() if are_unknown(each.totals)}


# Labels -------------------------------------------------------------------------------------------


def labelled_concerns(
    sample: LabelledSample,
    labels: MatchedLabels,
    mean_proba: F64,
    topics: Sequence[str],
    shown: Sequence[str] = (),
) -> Iterator[str]:
    """Yield warnings about labelled texts.

    Parameters
    ----------
    sample : LabelledSample
    labels : MatchedLabels
        Labels of the counted texts.
    mean_proba : float64 array, shape (n_topics,)
        Mean probabilities of all texts.
    topics : sequence of str
        Topics of the model.
    shown : sequence of str, optional
        Topics to warn about; by default, all.
    """
    n_found = len(labels)
    if n_found >= MIN_LABELLED:
        concern = sample_concern(labels, mean_proba, topics)
        if concern is not None:
            yield concern
    yield from sample.concerns
    n_missing = len(sample) - n_found
    if n_missing:
        are, were = ("is", "was") if n_missing == 1 else ("are", "were")
        yield (
            f"{n_missing:,} of {counted(len(sample), 'labelled text')} {are} not among the "
            f"texts to count and {were} ignored."
        )
    if n_found < MIN_LABELLED:
        yield (
            f"{counted(n_found, 'labelled text')} {'is' if n_found == 1 else 'are'} too few to "
            f"use, so the model alone was used. Label at least {MIN_LABELLED}."
        )
        return
    new = [topic for topic in labels.new_topics(topics) if not shown or topic in shown]
    if new:
        yield from capitals_concerns(new, topics)
        their, them = ("Its", "it") if len(new) == 1 else ("Their", "them")
        yield (
            f"The labels contain {counted(len(new), 'topic')} unknown to the model: "
            f"{join_words(new, _MAX_NAMED)}. {their} counts come from labels alone; to count "
            f"without labels, train a model on {them}."
        )


def capitals_concerns(new: Sequence[str], topics: Sequence[str]) -> Iterator[str]:
    """Yield a warning for each label topic that differs from the model's only in case.

    Parameters
    ----------
    new : sequence of str
        Topics of labels that are unknown to the model.
    topics : sequence of str
        Topics of the model.
    """
    known = {topic.casefold(): topic for topic in topics}
    for topic in new:
        if topic.casefold() in known:
            yield (
                f"{short_repr(topic)} in the labels differs from the model's "
                f"{short_repr(known[topic.casefold()])} only in case and is counted separately; "
                "use the same spelling."
            )


def few_label_concerns(groups: Sequence[GroupCount], period: str | None) -> Iterator[str]:
    """Yield warnings about groups with too few labels to count from.

    Parameters
    ----------
    groups : sequence of GroupCount
    period : str or None
        Unit of the periods, such as "month"; None if the groups aren't periods.
    """
    longer = "another column" if period is None else "a longer period"
    remedy = f"label more texts, or count by {longer}."
    n_groups = counted(len(groups), period or "group")
    n_by_model = sum(group.is_by_model for group in groups)
    if n_by_model:
        yield (
            f"{n_by_model:,} of {n_groups} {have(n_by_model)} fewer than {MIN_LABELLED} labels "
            f"and {'is' if n_by_model == 1 else 'are'} counted by the model: {remedy}"
        )
    n_blank = sum(not group.is_estimated for group in groups)
    if n_blank:
        yield (
            f"{n_blank:,} of {n_groups} {have(n_blank)} fewer than {MIN_LABELLED} labels, and the "
            "model can't count them because it has no held-out predictions, so "
            f"{'its' if n_blank == 1 else 'their'} counts are blank: {remedy}"
        )


def sample_concern(rows: MatchedLabels, mean_proba: F64, topics: Sequence[str]) -> str | None:
    """Return a warning if the labelled texts don't look like a random sample, or None."""
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
        "Don't trust these counts: the labelled texts don't look like a random sample. The model "
        f"finds {topics[worst]} in {100 * means[worst]:.0f} % of them, but in "
        f"{100 * mean_proba[worst]:.0f} % of all "
        "texts. Intervals hold only for labels of randomly drawn texts."
    )
