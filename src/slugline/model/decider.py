"""Which predictions to give, and for which texts to say "unsure" instead, and why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, Protocol

import numpy as np

from slugline.base.arrays import F32, Index, Mask
from slugline.base.checks import check_fraction, check_whole
from slugline.base.wording import counted, format_lines, percent
from slugline.corpus.documents import Topic, check_texts
from slugline.corpus.topic_sets import split_rows
from slugline.errors import Message, OptionError, Parameter
from slugline.learning.learner import is_linear
from slugline.model.conformal import highest_score, set_scores
from slugline.model.fitted import Fitted
from slugline.model.heldout import MIN_PER_TOPIC, MIN_PER_TOPIC_OF_SEVERAL, HeldOutPredictions
from slugline.model.multilabel_rule import MultilabelRule
from slugline.model.promise import AnswerCounts, PromiseCheck, check_promise, describe_label_doubts
from slugline.model.thresholds import CONFIDENCE, AchievablePrecision
from slugline.text.features import UnknownWordRate, WordCounts

#: The number of guesses for a text that the model is unsure of.
N_GUESSES = 3


#: Why a text is not answered: it is blank; it has no words; too many of its words are unknown; the
#: probability is below the topic's threshold; the topic has no threshold, so it is never given; or
#: more than twice as many topics are likely as any training document had.
UnsureKind = Literal[
    "no_text", "no_words", "unknown_words", "low_probability", "no_threshold", "many_topics"
]


class Unsure(NamedTuple):
    """Why the model is unsure of a text; `str` gives the reason in a few words.

    Attributes
    ----------
    kind : UnsureKind
    n_unknown, n_words : int
        Number of unknown words, and of all words; for "unknown_words".
    probability, threshold : float
        Of the most likely topic; for "low_probability" and, without the threshold, "no_threshold".

    Examples
    --------
    >>> str(Unsure("unknown_words", n_unknown=5, n_words=6))
    'unknown words: 5 of 6'
    """

    kind: UnsureKind
    n_unknown: int = 0
    n_words: int = 0
    probability: float = 0.0
    threshold: float = 0.0

    def __str__(self) -> str:
        if self.kind == "unknown_words":
            return f"unknown words: {self.n_unknown} of {self.n_words}"
        if self.kind == "no_threshold":
            return f"probability {self.probability:.2f}; no answer of this topic is sure enough"
        if self.kind == "low_probability":
            return format_under(self.probability, self.threshold)
        if self.kind == "many_topics":
            return "too many topics are likely"
        return self.kind.replace("_", " ")


def format_under(probability: float, threshold: float) -> str:
    """Return "probability ... is under ...", with as many digits as show the difference."""
    gap = np.float32(threshold) - np.float32(probability)
    digits = next((n for n in range(2, 7) if round(gap, n) > 0), 7)
    return f"probability {probability:.{digits}f} is under {threshold:.{digits}f}"


class Decision(NamedTuple):
    """The prediction for one text.

    Attributes
    ----------
    topic : str, int or None
        The topic given, or the most likely one if several are given; None if none is given.
    probability : float
        Of the most likely topic, even if the model is unsure.
    reason : Unsure or None
    top : list of (topic, probability)
        The best guesses, the most likely first; they go on at least to the last topic given.
    topics : list of topics, or None
        For a multilabel model, the topics given, or only the deepest ones if topics are paths. For
        other models, the conformal set, with the most likely topic first; None without `coverage`.
    """

    topic: Topic | None
    probability: float
    reason: Unsure | None
    top: list[tuple[Topic, float]]
    topics: list[Topic] | None = None

    @property
    def probabilities(self) -> list[float]:
        """The probabilities of `topics`, in the same order; for a multilabel model."""
        return [probability for topic, probability in self.top if topic in (self.topics or ())]


def describe_unsure(decision: Decision) -> str:
    """Return a phrase that says why a model is unsure of a text, with its best guesses.

    >>> describe_unsure(Decision(None, 0.5, Unsure("no_words"), [("a", 0.5), ("b", 0.25)]))
    'unsure (no words); best guesses: a 50 %, b 25 %'
    """
    guesses = ", ".join(f"{topic} {percent(probability, 0)}" for topic, probability in decision.top)
    return f"unsure ({decision.reason}); best guesses: {guesses}"


class Decisions(NamedTuple):
    """Why each text is unsure, if it is, and its set of topics.

    Attributes
    ----------
    reasons : list of Unsure or None, one for each text
    sets : list of list of topics, or None
        One set for each text. For a multilabel model, the topics given, none if it is unsure; for
        other models, the conformal set, or None without `coverage`.
    """

    reasons: list[Unsure | None]
    sets: list[list[Topic]] | None


@dataclass(frozen=True, eq=False, repr=False)
class Decider:
    """Gives those predictions that reach a required precision, and is unsure of the other texts.

    Attributes
    ----------
    fitted : Fitted
    precision : float or None
        The fraction of the given predictions that must be right; None if all are given.
    thresholds : float32 array, shape (n_topics,)
        The lowest probability at which a prediction of each topic is given.
    unknown_words : UnknownWordRate or None
        The limit on unknown words in a text; None for no limit.
    coverage, highest_score : float or None
        The probability that a set contains the right topic, and the score threshold of sets; see
        `slugline.model.conformal`.
    """

    fitted: Fitted
    precision: float | None
    thresholds: F32
    unknown_words: UnknownWordRate | None = None
    coverage: float | None = None
    highest_score: float | None = None

    @classmethod
    def from_fitted(
        cls,
        fitted: Fitted,
        min_precision: float | None = None,
        *,
        per_topic: bool = False,
        coverage: float | None = None,
    ) -> Decider:
        """Choose thresholds by the held-out predictions.

        Parameters
        ----------
        fitted : Fitted
        min_precision : float from 0 to under 1, optional
            The fraction of the given predictions that must be right, with 90 % confidence; by
            default, the precision that the model was fitted with. With 0, all predictions are given
            except for blank texts.
        per_topic : bool, default False
            Keep the precision for each topic that was predicted often, not only for all topics
            together. On texts later than the training documents, single topics are the first to
            fall below it. Multilabel models always keep it for each topic.
        coverage : float, over 0 and under 1, optional
            The probability with which the set of topics of a text must contain the right one.

        Raises
        ------
        OptionError : if there are no held-out predictions, or no threshold reaches `min_precision`.
            If no threshold reaches the model's own precision, there is no error: the model is
            unsure of every text.
        """
        if min_precision is not None:
            check_fraction("min_precision", min_precision, may_be_0=True)
        if coverage is not None:
            check_fraction("coverage", coverage)
        if coverage is not None and fitted.multilabel:
            raise OptionError(
                Parameter("coverage"),
                " is for models that give one topic to a text, and this one gives "
                "several; leave it out.",
            )
        n_topics, heldout = len(fitted.topics), fitted.heldout_predictions
        precision = min_precision
        if precision is None and heldout is not None:
            precision = heldout.precision
        thresholds, words = np.zeros(n_topics, dtype=np.float32), None
        if precision:
            heldout = _require_heldout(fitted, "min_precision")
            form = choose_form(fitted)
            per_topic |= form.is_always_per_topic
            thresholds = heldout.thresholds(precision, n_topics, per_topic, form.min_per_topic)
            thresholds = form.raise_to_parents(thresholds)
            words = heldout.words
            if min_precision is not None and np.isinf(thresholds).all():
                raise OptionError(
                    Parameter("min_precision"),
                    f" is {precision:g}, and no threshold reaches it by "
                    f"{form.describe_heldout(heldout)}. {_describe_best(fitted, heldout)}",
                )
        highest = None
        if coverage is not None:
            scores = _require_heldout(fitted, "coverage").scores
            highest = None if scores is None else highest_score(scores, coverage)
        return cls(fitted, precision or None, thresholds, words, coverage, highest)

    def __repr__(self) -> str:
        return format_lines("Decider", self.summary())

    @property
    def decision_thresholds(self) -> F32 | None:
        """The lowest probability at which each topic is given, with or without a precision.

        None if each text gets its most likely path, whatever its probability.
        """
        if self.precision is None:
            return self._form.usual_thresholds(self.thresholds)
        return self.thresholds

    @cached_property
    def _form(self) -> DecisionForm:
        return choose_form(self.fitted)

    @property
    def may_be_unsure(self) -> bool:
        """Whether some texts may get no topic, but a reason and guesses instead."""
        return self.precision is not None or self.fitted.multilabel

    @property
    def promise(self) -> float:
        """The precision that it promises; 0 if none was asked for, or none is reached."""
        return (self.precision or 0.0) if np.isfinite(self.thresholds).any() else 0.0

    @property
    def note(self) -> str:
        """Continues "The model is": that it is unsure of every text, and why. Empty if it isn't."""
        if self.precision is None or self.promise:
            return ""
        return Message(
            f"unsure of every text: no threshold reaches the precision of {self.precision:g} that "
            "it was trained for. ",
            self._obstacle or "",
        )

    @property
    def _obstacle(self) -> str | None:
        """Which precision can be promised, if the model's own one is out of reach; else None."""
        if self.precision is None or self.promise:
            return None
        heldout = _require_heldout(self.fitted, "min_precision")
        return Message(
            f"{_describe_best(self.fitted, heldout)} That is by "
            f"{self._form.describe_heldout(heldout)}. With a ",
            Parameter("min_precision"),
            f" of 0, the model {self._form.without_precision}.",
        )

    def check_promise(self, tested: AnswerCounts | None = None) -> PromiseCheck | None:
        """Check the precision on held-out predictions and on a test; None if none was asked for."""
        if self.precision is None:
            return None
        return check_promise(self.fitted, self.precision, self._obstacle, tested)

    @property
    def achieved(self) -> AchievablePrecision:
        """The precision and the coverage of the held-out predictions above the thresholds."""
        return _require_heldout(self.fitted, "min_precision").precision_at(self.thresholds)

    def summary(self) -> list[tuple[str, str]]:
        """Return the precision, thresholds and coverage as pairs of a name and a text."""
        rows = []
        if self.precision is not None:
            rows.append(
                ("min precision", f"{self.precision:g}, with {CONFIDENCE * 100:g} % confidence")
            )
            rows += self._summarize_thresholds()
        if self.coverage is not None:
            rows.append(("coverage of sets", f"{self.coverage:g}"))
        return rows

    def _summarize_thresholds(self) -> list[tuple[str, str]]:
        finite = self.thresholds[np.isfinite(self.thresholds)]
        if not len(finite):
            heldout = _require_heldout(self.fitted, "min_precision")
            best, coverage = heldout.best_precision()
            share = f"{percent(coverage, 0)} of the {self._form.unit}"
            promise = f"{best:g}, for {share}" if best else "no precision"
            return [("from probability", "none reaches it"), ("can be promised", promise)]
        precision, coverage = self.achieved
        low, high = finite.min(), finite.max()
        from_on = f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}, by topic"
        return [
            ("from probability", from_on),
            (
                f"on left-out {self._form.unit}",
                f"{percent(coverage)} {self._form.given} by probability alone, "
                f"{percent(precision)} of them right",
            ),
        ]

    def decide(self, X: Iterable[str], top: int = N_GUESSES) -> list[Decision]:
        """Return a decision for each text: a prediction or why the model is unsure, and guesses."""
        check_whole("top", top, 1)
        texts = check_texts(X)
        proba, counts = self.fitted.predict_with_words(texts)
        reasons, sets = self.judge(texts, proba, counts)
        n_guesses_each = self._form.count_guesses(self.fitted, proba, sets, top)
        guesses = most_likely(proba, max(n_guesses_each, default=top), self.fitted.topics.names)
        topics_of_texts: Sequence[list[Topic] | None] = sets or [None] * len(texts)
        decisions = []
        for reason, best, topics, end in zip(
            reasons, guesses, topics_of_texts, n_guesses_each, strict=True
        ):
            topic = None if reason else self._form.first_topic(best, topics)
            decisions.append(Decision(topic, best[0][1], reason, best[:end], topics))
        return decisions

    def judge(self, texts: Sequence[str], proba: F32, counts: WordCounts) -> Decisions:
        """Return decisions, given the texts and the results of `Fitted.predict_with_words`."""
        return self._form.judge(self, texts, proba, counts)

    def reasons(
        self, texts: Sequence[str], proba: F32, counts: WordCounts, is_low: Mask | None = None
    ) -> list[Unsure | None]:
        """Return the reason why each prediction is not sure enough; None if it is.

        Parameters
        ----------
        texts, proba, counts
            See `judge`.
        is_low : bool array, shape (n_texts,), optional
            Which texts have too low probabilities; by default, the most likely topic is compared
            with its threshold.
        """
        best = proba.argmax(axis=1)
        highest, thresholds = proba[np.arange(len(best)), best], self.thresholds[best]
        if is_low is None:
            is_low = highest < thresholds
        is_odd = (
            np.zeros_like(is_low)
            if self.unknown_words is None
            else self.unknown_words.are_unusual(counts)
        )
        reasons: list[Unsure | None] = [None] * len(texts)
        doubtful = np.flatnonzero(is_odd | is_low | (counts.n_words == 0))
        n_each = counts.n_words[doubtful].tolist(), counts.n_unknown[doubtful].tolist()
        for number, n_words, n_unknown in zip(doubtful.tolist(), *n_each, strict=True):
            if not texts[number].strip():
                reasons[number] = Unsure("no_text")
            elif n_words == 0:
                reasons[number] = Unsure("no_words")
            elif is_odd[number]:
                reasons[number] = Unsure("unknown_words", n_unknown, n_words)
            else:
                probability, threshold = float(highest[number]), float(thresholds[number])
                reasons[number] = _too_low(probability, threshold)
        return reasons

    def conformal_sets(self, proba: F32) -> list[list[Topic]] | None:
        """Return the conformal set of topics of each text; None without `coverage`."""
        if self.highest_score is None:
            return None
        is_in = set_scores(proba) <= self.highest_score
        names, order = self.fitted.topics.names, np.argsort(-proba, axis=1, kind="stable")
        return [
            [names[i] for i in best if chosen[i]]
            for best, chosen in zip(order.tolist(), is_in, strict=True)
        ]


# One topic and several ----------------------------------------------------------------------------


class DecisionForm(Protocol):
    """The steps that differ between one topic a text and several; see `choose_form`."""

    #: Nouns for held-out predictions, and the participle for those that are sure enough.
    unit: str
    given: str
    #: The verb phrase for what the model does if no precision is asked for.
    without_precision: str
    #: The number of predictions of a topic that it needs for a threshold of its own.
    min_per_topic: int
    #: Whether a precision always holds for each topic, rather than for all together.
    is_always_per_topic: bool

    def describe_heldout(self, heldout: HeldOutPredictions) -> str:
        """Return the number of held-out predictions, in words."""

    def raise_to_parents(self, thresholds: F32) -> F32:
        """Return thresholds of which no topic's is under that of its parent."""

    def usual_thresholds(self, thresholds: F32) -> F32 | None:
        """Return the thresholds that apply without a precision, given those of a `Decider`."""

    def judge(
        self, decider: Decider, texts: Sequence[str], proba: F32, counts: WordCounts
    ) -> Decisions:
        """Return whether to give predictions; see `Decider.judge`."""

    def first_topic(
        self, guesses: list[tuple[Topic, float]], topics: list[Topic] | None
    ) -> Topic | None:
        """Return the topic of a decision, given its best guesses and its set of topics."""

    def count_guesses(
        self, fitted: Fitted, proba: F32, sets: list[list[Topic]] | None, n_guesses: int
    ) -> list[int]:
        """Return the number of guesses for each text, at least `n_guesses`."""


class SingleLabelForm:
    """Each text is given its most likely topic."""

    unit, given, without_precision = "texts", "answered", "answers every text"
    min_per_topic, is_always_per_topic = MIN_PER_TOPIC, False

    def describe_heldout(self, heldout: HeldOutPredictions) -> str:
        """Return the number of held-out predictions, in words."""
        n = heldout.n_candidates
        return f"the answers to {counted(n, 'training document')} left out of the fit"

    def raise_to_parents(self, thresholds: F32) -> F32:
        """Return the thresholds as they are: topics have no parents."""
        return thresholds

    def usual_thresholds(self, thresholds: F32) -> F32:
        """Return the thresholds, which are 0."""
        return thresholds

    def judge(
        self, decider: Decider, texts: Sequence[str], proba: F32, counts: WordCounts
    ) -> Decisions:
        """Return which answers are sure enough, and conformal sets of topics."""
        reasons: list[Unsure | None]
        if decider.precision is not None and texts:
            reasons = decider.reasons(texts, proba, counts)
        else:
            is_blank = (not text or text.isspace() for text in texts)
            reasons = [Unsure("no_text") if blank else None for blank in is_blank]
        return Decisions(reasons, decider.conformal_sets(proba))

    def first_topic(
        self,
        guesses: list[tuple[Topic, float]],
        topics: list[Topic] | None,  # noqa: ARG002
    ) -> Topic | None:
        """Return the most likely topic."""
        return guesses[0][0]

    def count_guesses(
        self,
        fitted: Fitted,  # noqa: ARG002
        proba: F32,
        sets: list[list[Topic]] | None,  # noqa: ARG002
        n_guesses: int,
    ) -> list[int]:
        """Return the same number for each text."""
        return [n_guesses] * len(proba)


@dataclass(frozen=True)
class MultilabelForm:
    """Each text is given the topics that a rule chooses."""

    rule: MultilabelRule

    unit, given, without_precision = "likely topics", "given", "gives topics without a promise"
    min_per_topic, is_always_per_topic = MIN_PER_TOPIC_OF_SEVERAL, True

    def describe_heldout(self, heldout: HeldOutPredictions) -> str:
        """Return the number of held-out predictions, in words."""
        n = heldout.n_candidates
        return f"{counted(n, 'likely topic')} of training documents left out of the fit"

    def raise_to_parents(self, thresholds: F32) -> F32:
        """Return thresholds of which no topic's is under that of its parent."""
        return self.rule.raise_to_parents(thresholds)

    def usual_thresholds(self, thresholds: F32) -> F32 | None:  # noqa: ARG002
        """Return the thresholds of the rule; None if texts get their most likely path."""
        return self.rule.usual_thresholds

    def judge(
        self, decider: Decider, texts: Sequence[str], proba: F32, counts: WordCounts
    ) -> Decisions:
        """Return the topics to give to each text, or why there are none."""
        reasons: list[Unsure | None] = [None] * len(texts)
        if decider.precision is None:
            given = self.rule.decide(proba)
        else:
            given = self.rule.decide_by(decider.thresholds, proba)
            if texts:
                is_none = self.rule.is_surely_none(proba, decider.precision)
                is_low: Mask = (given.sum(axis=1) == 0) & ~is_none
                reasons = decider.reasons(texts, proba, counts, is_low)
        for number, n_given in enumerate(given.sum(axis=1).tolist()):
            if not texts[number].strip():
                reasons[number] = Unsure("no_text")
            elif n_given > self.rule.most_given:
                reasons[number] = Unsure("many_topics")
        given[[reason is not None for reason in reasons]] = False
        names = decider.fitted.topics.names
        return Decisions(reasons, split_rows(self.rule.deepest(given), names, proba))

    def first_topic(
        self,
        guesses: list[tuple[Topic, float]],  # noqa: ARG002
        topics: list[Topic] | None,
    ) -> Topic | None:
        """Return the most likely of the topics that are given, if there are any."""
        return next(iter(topics or []), None)

    def count_guesses(
        self, fitted: Fitted, proba: F32, sets: list[list[Topic]] | None, n_guesses: int
    ) -> list[int]:
        """Return the rank of each text's last given topic, if that is more than `n_guesses`."""
        sets = sets or []
        rows = [row for row, topics in enumerate(sets) if topics]
        last = fitted.topics.encode(sets[row][-1] for row in rows)
        lowest = np.full((len(proba), 1), np.inf, dtype=np.float32)
        lowest[rows, 0] = proba[rows, last]
        n_guesses_each: list[int] = np.maximum(n_guesses, (proba >= lowest).sum(axis=1)).tolist()
        return n_guesses_each


_SINGLE_LABEL = SingleLabelForm()


def choose_form(fitted: Fitted) -> DecisionForm:
    """Return the form of a model's decisions."""
    rule = fitted.multilabel_rule
    return _SINGLE_LABEL if rule is None else MultilabelForm(rule)


# Guesses ------------------------------------------------------------------------------------------


def most_likely(
    proba: F32, n_guesses: int, names: Sequence[Topic]
) -> list[list[tuple[Topic, float]]]:
    """Return the `n_guesses` most likely topics of each text with their probabilities, in order."""
    best = _best(proba, n_guesses)
    highest = proba[np.arange(len(proba))[:, np.newaxis], best]
    topics = [names[number] for number in best.ravel().tolist()]
    guesses = list(zip(topics, highest.ravel().tolist(), strict=True))
    n_each = best.shape[1]
    return [guesses[first : first + n_each] for first in range(0, len(guesses), n_each)]


def _best(proba: F32, n_guesses: int) -> Index:
    """Return the columns of the most likely topics of each row, the first of equal ones first."""
    if n_guesses > N_GUESSES:
        return np.argsort(-proba, axis=1, kind="stable")[:, :n_guesses]
    best, remaining, rows = [], proba.copy(), np.arange(len(proba))
    for _ in range(min(n_guesses, proba.shape[1])):  # no full sort for a few
        best.append(remaining.argmax(axis=1))
        remaining[rows, best[-1]] = -1
    return np.array(best).T


def _too_low(probability: float, threshold: float) -> Unsure:
    if math.isinf(threshold):
        return Unsure("no_threshold", probability=probability)
    return Unsure("low_probability", probability=probability, threshold=threshold)


def _require_heldout(fitted: Fitted, option: str) -> HeldOutPredictions:
    """Return the held-out predictions; OptionError if there are none."""
    if fitted.heldout_predictions is not None:
        return fitted.heldout_predictions
    if fitted.n_batches:
        why = "it has learned from batches since, and only a fit gives such answers; train it"
    elif not is_linear(fitted.learner):
        why = "its learner gives them on request only, as that takes further fits; train it"
    else:
        why = "it was trained without; train it"
    raise OptionError(
        Parameter(option),
        " needs answers to training documents that were left out, which this model "
        f"doesn't have: {why} with ",
        Parameter("min_precision"),
        f"{'; any will do, such as 0.95' if option == 'coverage' else ''}.",
    )


def _describe_best(fitted: Fitted, heldout: HeldOutPredictions) -> str:
    """Return sentences about which precision can be promised, and what to do for a higher one."""
    best, coverage = heldout.best_precision()
    doubts = describe_label_doubts(fitted)
    cure = "correct the labels that `slugline audit` finds" if doubts else "give more documents"
    if not best:
        return (
            f"{doubts}{' ' if doubts else ''}Not even half of the answers can be promised to be "
            f"right: documents are too few, or their topics can't be told apart; {cure}."
        )
    promised = f"{best:g}, for {percent(coverage, 0)} of the {choose_form(fitted).unit}"
    if doubts:
        return f"{doubts} First {cure}; as they are, the best that can be promised is {promised}."
    return f"The best that can be promised is {promised}; ask for that or less, or {cure}."
