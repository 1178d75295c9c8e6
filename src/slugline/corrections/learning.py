"""Learning from documents and corrections, and what the corrections changed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from slugline.base.arrays import F64
from slugline.classifier import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.corrections.gate import TopicChange, topic_changes
from slugline.corrections.merging import DEFAULT_WEIGHT, Merged, merge
from slugline.displays import counted
from slugline.evaluation import Paired, compare_paired
from slugline.experiment.run import Experiment, check_two_documents, run_experiment, timed_fit
from slugline.fitted import Fitted
from slugline.labels import Topic, Topics
from slugline.splits import make_folds

if TYPE_CHECKING:
    from slugline.progress import Progress

__all__ = ["NowRight", "Outcome", "learn", "with_numbers"]

# Corrections are answered by models that have learned from the others: three, each of which leaves
# out a third; or one, if documents are so many that learning again takes long.
_N_FOLDS, _MANY = 3, 20_000
# A number as Python writes it, of 64 bits at most.
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}", re.ASCII)


class NowRight(NamedTuple):
    """How many of the corrected texts get the right topic from models that didn't learn from them.

    Attributes
    ----------
    n_asked : int
        Corrected texts that were asked about.
    n_before : int
        How many of them are right without any corrections.
    n_after : int
        How many are right by what was learned from the other corrections.
    """

    n_asked: int
    n_before: int
    n_after: int


@dataclass(frozen=True)
class Outcome:
    """What was learned from documents and corrections, beside what the documents alone teach.

    Attributes
    ----------
    experiment : Experiment
        With the corrections.
    merged : Merged
    weight : float
        How many documents a correction counts as.
    paired : Paired
        The model with the corrections (first) and the one without (second) on the test documents.
    topics : tuple of TopicChange
        The commonest first.
    is_worse : bool
        Whether all topics together got clearly worse.
    now_right : NowRight
    """

    experiment: Experiment
    merged: Merged
    weight: float
    paired: Paired
    topics: tuple[TopicChange, ...]
    is_worse: bool
    now_right: NowRight

    @property
    def worse_topics(self) -> list[TopicChange]:
        """The topics that got clearly worse."""
        return [change for change in self.topics if change.is_worse]

    @property
    def passes(self) -> bool:
        """Whether nothing got clearly worse."""
        return not self.is_worse and not self.worse_topics

    def why_not(self) -> str:
        """Return in words what got clearly worse; empty if nothing did."""
        reasons = [_how_worse(change) for change in self.worse_topics[:3]]
        n_more = len(self.worse_topics) - len(reasons)
        if n_more:
            reasons.append(f"{counted(n_more, 'more topic')} got clearly worse")
        if self.is_worse:
            reasons.append(
                f"of all {counted(self.paired.n_documents, 'test document')}, "
                f"{self.paired.n_second:,} are right only without the corrections, and "
                f"{self.paired.n_first:,} only with them"
            )
        return "; ".join(reasons)

    def card_notes(self) -> str:
        """Return a line for the model's card, in Markdown."""
        found = self.merged.corrections
        return (
            f"Learned from {counted(len(found), 'corrected text')} as well, each of which counted "
            f"as {_as_documents(self.weight)} (SHA-256 {found.digest()})."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the experiment as plain data for JSON."""
        merged = self.merged
        return {
            "source": merged.corrections.name,
            "notes": list(merged.corrections.notes),
            "n_texts": len(merged.corrections),
            "n_replaced": merged.n_replaced,
            "n_from_test": merged.n_from_test,
            "new_topics": merged.new_topics,
            "weight": self.weight,
            "now_right": self.now_right._asdict(),
            "paired": self.paired.to_dict(),
            "topics": [change.to_dict() for change in self.topics],
            "passes": self.passes,
            "why_not": self.why_not(),
        }


def learn(
    classifier: TopicClassifier,
    train: Corpus,
    corrections: Corpus,
    validation: Corpus | None = None,
    test: Corpus | None = None,
    *,
    weight: float = DEFAULT_WEIGHT,
    test_fraction: float = 0.2,
    **how: Any,
) -> Outcome:
    """Learn from documents and corrections, and again without the corrections to compare.

    Both are tested on the same documents, which neither has learned from, and of which none has the
    text of a correction.

    Parameters
    ----------
    classifier : TopicClassifier
        Its settings and its `random_state` count; it is fitted in place.
    train : Corpus
    corrections : Corpus
        See `slugline.corrections.merging.as_corpus`.
    validation, test : Corpus, optional
        See `slugline.experiment.run.run_experiment`.
    weight : float, default 1
        How many documents a correction counts as.
    test_fraction : float, default 0.2
        The share of `train` to set aside without a `test`: the same documents as without
        corrections.
    **how
        `min_precision` and `progress`; see `slugline.experiment.run.run_experiment`.

    Raises
    ------
    DataError : if nothing can be set aside, or nothing is left to test on.
    OptionError : if the weight is out of its range.
    """
    notes, n_skipped, is_split = train.notes, train.n_skipped, test is None
    if test is None:
        check_two_documents(train, "test on", "test")
        train, test = train.split(test_fraction, classifier.random_state)
    merged = merge(train, test, corrections, weight)
    experiment = run_experiment(
        classifier,
        merged.learned,
        validation,
        merged.test,
        sample_weight=merged.weights,
        **how,
    )
    experiment = replace(
        experiment,
        test_fraction=test_fraction if is_split else None,
        notes=(*notes, _note(merged, weight)),
        n_skipped=n_skipped,
    )
    fitted, progress = experiment.fitted, how.get("progress")
    before = _refit(fitted, merged.base, None, validation, progress)
    right, names = merged.test.topics, merged.test.texts
    old, new = (_answers(each, names) for each in (before, fitted))
    topics, is_worse = topic_changes(right, old, new, corrections.topics)
    known = [{str(name) for name in each.topics.names} for each in (fitted, before)]
    return Outcome(
        experiment=experiment,
        merged=merged,
        weight=weight,
        paired=compare_paired(right, new, old, known=(known[0], known[1]), seed=fitted.seed),
        topics=tuple(topics),
        is_worse=is_worse,
        now_right=_now_right(before, fitted, merged, validation, progress),
    )


def with_numbers(fitted: Fitted, before: Iterable[Topic]) -> Fitted:
    """Return the same with topics that are numbers, as they were before; files have words alone.

    Nothing changes if some of the topics before, or now, are no numbers.

    Parameters
    ----------
    fitted : Fitted
    before : iterable of str or int
        The topics of the model that it is to replace.
    """
    names = [str(name) for name in fitted.topics.names]
    is_numbered = all(isinstance(name, int) for name in before)
    if not is_numbered or not all(_NUMBER.fullmatch(name) for name in names):
        return fitted
    return replace(fitted, topics=Topics([int(name) for name in names]))


def _note(merged: Merged, weight: float) -> str:
    found = merged.corrections
    note = f"learned from {counted(len(found), 'corrected text')} of {found.name} as well, each of "
    note += f"which counts as {_as_documents(weight)}"
    if merged.n_replaced:
        note += f"; {counted(merged.n_replaced, 'document')} with such a text gave way"
    return note


def _as_documents(weight: float) -> str:
    return "a document" if weight == 1 else f"{weight:g} documents"


def _refit(
    fitted: Fitted,
    corpus: Corpus,
    weights: F64 | None,
    validation: Corpus | None,
    progress: Progress | None,
) -> Fitted:
    """Learn with the same settings, as found by tuning if there was any, from other documents."""
    again = TopicClassifier.from_fitted(fitted, n_jobs=fitted.features.n_jobs)
    known = set(corpus.topics)
    if validation is not None:  # some may have a topic that only corrections have
        pairs = zip(validation.texts, validation.topics, strict=True)
        some = [pair for pair in pairs if pair[1] in known]
        validation = Corpus([text for text, _ in some], [topic for _, topic in some], "validation")
    timed_fit(again, corpus, validation, progress, sample_weight=weights)
    return again.fitted_


def _answers(fitted: Fitted, texts: Sequence[str]) -> list[str]:
    return [str(topic) for topic in fitted.predict(texts)] if texts else []


def _now_right(
    before: Fitted,
    after: Fitted,
    merged: Merged,
    validation: Corpus | None,
    progress: Progress | None,
) -> NowRight:
    """Ask about corrected texts whose corrections, and documents, were not learned from."""
    found = merged.corrections
    n_asked = n_before = n_after = 0
    for rows in _folds(found.topics, len(merged.learned), after.seed):
        corpus, weights = merged.without(rows)
        if not len(corpus):
            continue
        texts = [found.texts[row] for row in rows]
        right = [found.topics[row] for row in rows]
        other = _refit(after, corpus, weights, validation, progress)
        n_asked += len(rows)
        n_before += _n_equal(right, _answers(before, texts))
        n_after += _n_equal(right, _answers(other, texts))
    return NowRight(n_asked, n_before, n_after)


def _folds(topics: Sequence[str], n_learned: int, seed: int) -> Iterator[list[int]]:
    """Return the numbers of the corrections to leave out at a time."""
    n_folds = min(_N_FOLDS, len(topics))
    folds = make_folds(topics, n_folds, seed) if n_folds > 1 else np.zeros(1, dtype=np.int64)
    for fold in range(1 if n_learned > _MANY else n_folds):
        yield np.flatnonzero(folds == fold).tolist()


def _n_equal(right: Iterable[str], found: Iterable[str]) -> int:
    return sum(one == other for one, other in zip(right, found, strict=True))


def _how_worse(change: TopicChange) -> str:
    """Return how much worse a topic got, in words."""
    taken = f", most others now get {change.taken_by!r}" if change.taken_by is not None else ""
    return (
        f"topic {change.topic!r} got clearly worse: of its "
        f"{counted(change.n_documents, 'test document')}, {change.n_found_after:,} are found and "
        f"{change.n_found_before:,} were before{taken}; of all others, "
        f"{change.n_given_after - change.n_found_after:,} get it and "
        f"{change.n_given_before - change.n_found_before:,} did before"
    )
