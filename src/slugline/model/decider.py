"""Decisions from probabilities and thresholds, including "unsure"."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from slugline.base.arrays import F32, Mask
from slugline.base.checks import check_fraction, check_whole
from slugline.base.wording import counted, format_lines, percent
from slugline.corpus.documents import check_texts
from slugline.corpus.topic_sets import split_rows
from slugline.errors import Message, OptionError, Parameter
from slugline.learning.learner import is_linear
from slugline.model.decision import N_GUESSES, Decision, Unsure, most_likely
from slugline.model.fitted import Fitted
from slugline.model.heldout import MIN_PER_TOPIC_OF_SEVERAL, HeldOutPredictions
from slugline.model.thresholds import CONFIDENCE, AchievablePrecision
from slugline.text.features import UnknownWordRate, WordCounts

if TYPE_CHECKING:
    from slugline.model.multilabel_rule import MultilabelRule
    from slugline.model.promise import AnswerCounts, PromiseCheck


@dataclass(frozen=True, eq=False, repr=False)
class Decider(ABC):
    """Predicts the topics of texts, unless it is unsure of reaching a required precision.

    `Decider.from_fitted` returns a `SingleLabelDecider` or a `MultilabelDecider`.

    Attributes
    ----------
    fitted : Fitted
    precision : float or None
        The fraction of the given predictions that must be right; None if all are given.
    thresholds : float32 array, shape (n_topics,)
        Minimum probability at which each topic is given.
    unknown_words : UnknownWordRate or None
        The limit on unknown words in a text; None for no limit.
    """

    fitted: Fitted
    precision: float | None
    thresholds: F32
    unknown_words: UnknownWordRate | None = None

    #: Noun for held-out predictions, and participle for the sufficiently sure ones.
    _unit: ClassVar[str]
    _given: ClassVar[str]
    #: Verb phrase for the model's behaviour without a required precision.
    _without_precision: ClassVar[str]

    @staticmethod
    def from_fitted(
        fitted: Fitted, min_precision: float | None = None, *, per_topic: bool = False
    ) -> Decider:
        """Choose thresholds from the held-out predictions.

        Parameters
        ----------
        fitted : Fitted
        min_precision : float from 0 to under 1, optional
            Required fraction of correct predictions, with 90 % confidence; by default, the
            precision that the model was fitted with. With 0, only blank texts get no prediction.
        per_topic : bool, default False
            Guarantee the precision for each frequently predicted topic, not just overall. On texts
            newer than the training documents, individual topics are the first to fall below it.
            Multilabel models always guarantee it per topic.

        Raises
        ------
        OptionError : if there are no held-out predictions, or no threshold reaches `min_precision`.
            If no threshold reaches the model's own precision, there is no error: the model is
            unsure of every text.
        """
        if min_precision is not None:
            check_fraction("min_precision", min_precision, may_be_0=True)
        precision = min_precision
        if precision is None and fitted.heldout_predictions is not None:
            precision = fitted.heldout_predictions.precision
        thresholds = np.zeros(len(fitted.topics), dtype=np.float32)
        unknown_words = None
        kind = MultilabelDecider if fitted.multilabel else SingleLabelDecider
        if precision:
            heldout, n_topics = _require_heldout(fitted), len(fitted.topics)
            unknown_words = heldout.words
            if fitted.multilabel_rule is None:
                thresholds = heldout.thresholds(precision, n_topics, per_topic=per_topic)
            else:
                thresholds = heldout.thresholds(
                    precision, n_topics, per_topic=True, min_per_topic=MIN_PER_TOPIC_OF_SEVERAL
                )
                thresholds = fitted.multilabel_rule.raise_to_parents(thresholds)
            if min_precision is not None and np.isinf(thresholds).all():
                best = _describe_best(fitted, heldout, kind._unit)
                raise OptionError(
                    Parameter("min_precision"),
                    f" is {precision:g}, but no threshold reaches it on "
                    f"{_describe_heldout(heldout)}. {best}",
                )
        return kind(fitted, precision or None, thresholds, unknown_words)

    def __repr__(self) -> str:
        return format_lines("Decider", self.summary())

    def decide(self, X: Iterable[str], top: int = N_GUESSES) -> list[Decision]:
        """Return a decision for each text: a prediction or the reason for none, and guesses."""
        check_whole("top", top, 1)
        texts = check_texts(X)
        proba, counts = self.fitted.predict_with_words(texts)
        return self.decide_from_proba(texts, proba, counts, top)

    @abstractmethod
    def decide_from_proba(
        self, texts: Sequence[str], proba: F32, counts: WordCounts, top: int = N_GUESSES
    ) -> list[Decision]:
        """Return decisions from texts and the results of `Fitted.predict_with_words`."""

    def _find_reasons(
        self, texts: Sequence[str], proba: F32, counts: WordCounts, is_low: Mask
    ) -> list[Unsure | None]:
        """Return the reason why the model is unsure of each text, or None if it is sure.

        Parameters
        ----------
        texts, proba, counts
            See `decide_from_proba`.
        is_low : bool array, shape (n_texts,)
            Mask of texts whose probability is too low.
        """
        best = proba.argmax(axis=1)
        highest, thresholds = proba[np.arange(len(best)), best], self.thresholds[best]
        is_odd = (
            np.zeros_like(is_low)
            if self.unknown_words is None
            else self.unknown_words.are_unusual(counts)
        )
        reasons: list[Unsure | None] = [None] * len(texts)
        for row in np.flatnonzero(is_odd | is_low | (counts.n_words == 0)).tolist():
            n_words, n_unknown = int(counts.n_words[row]), int(counts.n_unknown[row])
            if not texts[row].strip():
                reasons[row] = Unsure("no_text")
            elif n_words == 0:
                reasons[row] = Unsure("no_words")
            elif is_odd[row]:
                reasons[row] = Unsure("unknown_words", n_unknown, n_words)
            else:
                reasons[row] = Unsure.from_threshold(float(highest[row]), float(thresholds[row]))
        return reasons

    @property
    def decision_thresholds(self) -> F32 | None:
        """Lowest probability at which each topic is given, with or without a required precision.

        None if each text gets its most likely path regardless of probability.
        """
        return self.thresholds

    @property
    def may_be_unsure(self) -> bool:
        """True if some texts may get a reason and guesses instead of a topic."""
        return self.precision is not None

    @property
    def promise(self) -> float:
        """Promised precision; 0 if none was requested or reached."""
        return (self.precision or 0.0) if np.isfinite(self.thresholds).any() else 0.0

    @property
    def note(self) -> str:
        """Explanation after "The model is" if the model is unsure of every text, else empty."""
        if self.precision is None or self.promise:
            return ""
        return Message(
            f"unsure of every text: no threshold reaches the precision of {self.precision:g} that "
            "it was trained for. ",
            self._obstacle or "",
        )

    @property
    def _obstacle(self) -> str | None:
        """Best achievable precision if the model's own is out of reach, else None."""
        if self.precision is None or self.promise:
            return None
        heldout = _require_heldout(self.fitted)
        return Message(
            f"{_describe_best(self.fitted, heldout, self._unit)} Measured on "
            f"{_describe_heldout(heldout)}. With a ",
            Parameter("min_precision"),
            f" of 0, the model {self._without_precision}.",
        )

    def check_promise(self, tested: AnswerCounts | None = None) -> PromiseCheck | None:
        """Check the precision on held-out and test predictions; None if none was requested."""
        if self.precision is None:
            return None
        from slugline.model.promise import check_promise

        return check_promise(self.fitted, self.precision, self._obstacle, tested)

    @property
    def achieved(self) -> AchievablePrecision:
        """Precision and coverage of held-out predictions above the thresholds."""
        return _require_heldout(self.fitted).precision_at(self.thresholds)

    def summary(self) -> list[tuple[str, str]]:
        """Return the precision and thresholds as (name, text) pairs; none without a precision."""
        if self.precision is None:
            return []
        precision = f"{self.precision:g}, with {CONFIDENCE * 100:g} % confidence"
        return [("min precision", precision), *self._summarize_thresholds()]

    def _summarize_thresholds(self) -> list[tuple[str, str]]:
        finite = self.thresholds[np.isfinite(self.thresholds)]
        if not len(finite):
            heldout = _require_heldout(self.fitted)
            best, coverage = heldout.best_precision()
            promise = (
                f"{best:g}, for {percent(coverage, 0)} of the {self._unit}"
                if best
                else "no precision"
            )
            return [("from probability", "none reaches it"), ("can be promised", promise)]
        precision, coverage = self.achieved
        low, high = finite.min(), finite.max()
        from_on = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}, by topic"
        return [
            ("from probability", from_on),
            (
                f"on held-out {self._unit}",
                f"{percent(coverage)} {self._given} by probability alone, "
                f"{percent(precision)} of them right",
            ),
        ]


# One topic and several ----------------------------------------------------------------------------


class SingleLabelDecider(Decider):
    """Gives each text its most likely topic, unless the model is unsure."""

    _unit, _given, _without_precision = "texts", "answered", "answers every text"

    def decide_from_proba(
        self, texts: Sequence[str], proba: F32, counts: WordCounts, top: int = N_GUESSES
    ) -> list[Decision]:
        """Return decisions, each with its most likely topics as guesses."""
        if self.precision is None:
            reasons = [None if text.strip() else Unsure("no_text") for text in texts]
        else:
            best = proba.argmax(axis=1)
            is_low = proba[np.arange(len(best)), best] < self.thresholds[best]
            reasons = self._find_reasons(texts, proba, counts, is_low)
        guesses = most_likely(proba, top, self.fitted.topics.names)
        return [
            Decision(
                topic=None if reason else best[0][0],
                probability=best[0][1],
                reason=reason,
                top=best,
            )
            for best, reason in zip(guesses, reasons, strict=True)
        ]


class MultilabelDecider(Decider):
    """Gives each text the topics chosen by the model's rule, unless the model is unsure."""

    _unit, _given, _without_precision = "likely topics", "given", "gives topics without a promise"

    def decide_from_proba(
        self, texts: Sequence[str], proba: F32, counts: WordCounts, top: int = N_GUESSES
    ) -> list[Decision]:
        """Return decisions, whose guesses include at least all topics given."""
        is_given, reasons = self._choose_topics(texts, proba, counts)
        lowest = np.where(is_given, proba, np.float32(np.inf)).min(axis=1, keepdims=True)
        n_guesses_each = np.maximum(top, (proba >= lowest).sum(axis=1)).tolist()
        names = self.fitted.topics.names
        guesses = most_likely(proba, max(n_guesses_each, default=top), names)
        rows = zip(
            guesses, n_guesses_each, reasons, split_rows(is_given, names, proba), strict=True
        )
        return [
            Decision(
                topic=topics[0] if topics else None,
                probability=best[0][1],
                reason=reason,
                top=best[:n_guesses],
                topics=topics,
            )
            for best, n_guesses, reason, topics in rows
        ]

    def _choose_topics(
        self, texts: Sequence[str], proba: F32, counts: WordCounts
    ) -> tuple[Mask, list[Unsure | None]]:
        """Return a mask of each text's topics, and the reasons for giving none."""
        reasons: list[Unsure | None] = [None] * len(texts)
        if self.precision is None:
            is_given = self._rule.decide(proba)
        else:
            is_given = self._rule.decide_by(self.thresholds, proba)
            is_none = self._rule.is_surely_none(proba, self.precision)
            is_low = ~is_given.any(axis=1) & ~is_none
            reasons = self._find_reasons(texts, proba, counts, is_low)
        for row, n_given in enumerate(is_given.sum(axis=1).tolist()):
            if not texts[row].strip():
                reasons[row] = Unsure("no_text")
            elif n_given > self._rule.max_given:
                reasons[row] = Unsure("many_topics")
        is_given[[reason is not None for reason in reasons]] = False
        return self._rule.deepest(is_given), reasons

    @property
    def _rule(self) -> MultilabelRule:
        if self.fitted.multilabel_rule is None:
            raise TypeError("the model is single-label")
        return self.fitted.multilabel_rule

    @property
    def decision_thresholds(self) -> F32 | None:
        """The rule's thresholds, or the thresholds that reach the required precision."""
        return self._rule.usual_thresholds if self.precision is None else self.thresholds

    @property
    def may_be_unsure(self) -> bool:
        """True: a text may be blank, or have too many likely topics."""
        return True


# Choosing from held-out predictions ---------------------------------------------------------------


def _require_heldout(fitted: Fitted) -> HeldOutPredictions:
    """Return the held-out predictions; OptionError if there are none."""
    if fitted.heldout_predictions is not None:
        return fitted.heldout_predictions
    if fitted.n_batches:
        why = "it was last trained on a batch, and only a fit makes them; train it"
    elif not is_linear(fitted.learner):
        why = "its learner makes them only on request, because they take more fits; train it"
    else:
        why = "it was trained without them; train it"
    raise OptionError(
        Parameter("min_precision"),
        f" requires held-out predictions, which this model lacks: {why} with ",
        Parameter("min_precision"),
        ".",
    )


def _describe_heldout(heldout: HeldOutPredictions) -> str:
    """Return the number of held-out predictions, in words."""
    n = heldout.n_candidates
    if heldout.labels.multilabel:
        return f"{counted(n, 'likely topic')} of held-out training documents"
    return counted(n, "held-out training document")


def _describe_best(fitted: Fitted, heldout: HeldOutPredictions, unit: str) -> str:
    """Describe the best achievable precision, and how to raise it."""
    from slugline.model.promise import describe_label_doubts

    best, coverage = heldout.best_precision()
    doubts = describe_label_doubts(fitted)
    cure = "correct the labels that `slugline audit` finds" if doubts else "give more documents"
    if not best:
        return (
            f"{doubts}{' ' if doubts else ''}Not even half of the answers can be promised to be "
            f"right: documents are too few, or their topics can't be told apart; {cure}."
        )
    promised = f"{best:g}, for {percent(coverage, 0)} of the {unit}"
    if doubts:
        return f"{doubts} First {cure}; as they are, the best that can be promised is {promised}."
    return f"The best that can be promised is {promised}; ask for that or less, or {cure}."
