"""Doubts: reasons to hold a correction until somebody approves it."""

from __future__ import annotations

import datetime
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from slugline.base.checks import short_repr
from slugline.base.wording import counted

#: Which corrections need a person's approval before a model learns from them: all, those with a
#: `Doubt`, or none.
Approval: TypeAlias = Literal["all", "doubtful", "none"]
#: The number of corrections by one person within `BURST_HOURS`, a week, above which they need
#: approval. With a shorter time, somebody who sends one correction a day could change the answers
#: for a topic within ten days.
MAX_UNAPPROVED = 5
BURST_HOURS = 7 * 24
#: The number of corrections that a new topic needs.
MIN_CORRECTIONS_OF_TOPIC = 3
#: Number of people who must use a word absent from the training texts before a model learns it.
MIN_PEOPLE_OF_WORD = 3

Kind: TypeAlias = Literal[
    "unapproved",
    "burst",
    "conflict",
    "known text",
    "unknown word",
    "contradicted",
    "changes answers",
    "thin topic",
]


class Doubt(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reason to hold a correction.

    Attributes
    ----------
    kind : str
        - "unapproved": every correction needs approval.
        - "burst": it is one of `n` consecutive ones by one person, of which more than
          `MAX_UNAPPROVED` came within a week.
        - "conflict": somebody else says that the same text is `topic`.
        - "known text": the training documents have the same text with `topic`.
        - "unknown word": `n` corrections to `topic`, by fewer than `MIN_PEOPLE_OF_WORD` people,
          share `word`, which occurs in no training text.
        - "contradicted": a model that learned from everybody else is sure of `topic`.
        - "changes answers": with it, `n` training texts, which have `topic`, get another answer.
        - "thin topic": its topic is new, and `n` corrections have it.
    n : int
    topic : str
        The topic that the kind refers to; several topics are separated by commas.
    probability : float
        The probability of `topic` according to the model that contradicts the correction.
    word : str
        The unknown word.
    person : str
        Author of a burst; "" stands for all people without their own token.
    """

    kind: Kind
    n: int = 0
    topic: str = ""
    word: str = ""
    probability: float = 0.0
    person: str = ""

    def __str__(self) -> str:
        if self.kind == "burst":
            return self._burst()
        return _SENTENCES[self.kind].format(
            n=self.n,
            topic=short_repr(self.topic) if self.topic else "no topic",
            word=short_repr(self.word),
            min_people=MIN_PEOPLE_OF_WORD,
            probability=f"{self.probability:.0%}".replace("100%", "over 99%").replace("%", " %"),
            texts=counted(self.n, "training text"),
            corrections=counted(self.n, "correction"),
            have="have" if self.n != 1 else "has",
            min_corrections=MIN_CORRECTIONS_OF_TOPIC,
        )

    def _burst(self) -> str:
        if self.person:
            return (
                f"one of {self.n:,} by {self.person} within a week, more than the "
                f"{MAX_UNAPPROVED} that need no approval"
            )
        return (
            f"{self.n:,} corrections within a week come from people who are not signed in; "
            f"more than {MAX_UNAPPROVED} need approval"
        )


_KINDS: dict[Kind, str] = {
    "unapproved": "every correction needs approval here",
    "burst": f"more than {MAX_UNAPPROVED} by one person within a week, or by people who are not "
    "signed in",
    "conflict": "other people say that the same text has another topic",
    "known text": "the training documents have the same text with another topic",
    "unknown word": f"fewer than {MIN_PEOPLE_OF_WORD} people use a word that no training text has",
    "contradicted": "a model that learned from everybody else is sure of another topic",
    "changes answers": "training texts would get a wrong topic",
    "thin topic": f"the topic is new and has fewer than {MIN_CORRECTIONS_OF_TOPIC} corrections",
}
_SENTENCES: dict[Kind, str] = {
    "unapproved": "every correction needs approval here",
    "conflict": "somebody else says that the same text is {topic}",
    "known text": "the training documents have the same text as {topic}",
    "unknown word": "{corrections} to {topic} by fewer than {min_people} people share the word "
    "{word}, which no training text has",
    "contradicted": "a model that learned from everybody else is {probability} sure of {topic}",
    "changes answers": "with it, {texts} of {topic} would get another topic",
    "thin topic": "its topic is new, and only {corrections} {have} it; it needs {min_corrections}",
}


class CorrectionHead(NamedTuple):
    """The fields of a correction that `find_bursts` needs."""

    id: int
    at: str
    model: str
    who: str | None
    is_named: bool
    # When it was approved, in the format of `at`; None if it wasn't.
    approved: str | None = None
    # True if a saved model was trained on it.
    is_learned: bool = False

    @property
    def person(self) -> str:
        """The person who made it, if a token proves it.

        Typed names prove nothing: all people without their own token count as one person, "".
        """
        return self.who or "" if self.is_named else ""

    def is_approved_before(self, at: str) -> bool:
        """Return whether it was approved by this time."""
        return self.approved is not None and self.approved <= at


def find_bursts(heads: Iterable[CorrectionHead]) -> dict[int, Doubt]:
    """Return a doubt for each correction that is one of too many by one person within a week.

    Corrections count until they are approved, because somebody who approves a part of a burst may
    leave out the rest on purpose. Corrections learned without approval also count; otherwise, a
    burst could slip through a few corrections at a time. They get no doubt themselves.
    """
    by_person: defaultdict[tuple[str, str], list[CorrectionHead]] = defaultdict(list)
    for head in heads:
        by_person[head.model, head.person].append(head)
    return {
        head.id: Doubt("burst", burst.n_unapproved, person=head.person)
        for group in by_person.values()
        for burst in _bursts_of_person(group)
        for head in burst.heads
        if head.approved is None and not head.is_learned
    }


class _Burst(NamedTuple):
    """A run of consecutive corrections by one person."""

    heads: list[CorrectionHead]
    n_unapproved: int


def _bursts_of_person(group: list[CorrectionHead]) -> list[_Burst]:
    """Return the bursts among corrections by one person."""
    group = sorted(group, key=lambda head: head.at)
    times = [datetime.datetime.fromisoformat(head.at) for head in group]
    window = datetime.timedelta(hours=BURST_HOURS)
    bursts: list[list[CorrectionHead]] = []
    # A window of one week slides over the corrections, from `first` to `last`. `approvals` is a
    # heap of the approvals after `last`; `n_approved` counts approved corrections in the window.
    approvals: list[tuple[str, int]] = []
    is_approved = [False] * len(group)
    first = burst_stop = n_approved = 0
    for last, head in enumerate(group):
        while times[last] - times[first] > window:
            n_approved -= is_approved[first]
            first += 1
        while approvals and approvals[0][0] <= head.at:
            _, number = heapq.heappop(approvals)
            is_approved[number] = True
            n_approved += number >= first
        if head.approved is not None:
            heapq.heappush(approvals, (head.approved, last))
        if last - first - n_approved < MAX_UNAPPROVED:
            continue
        if first >= burst_stop:  # the window doesn't overlap the previous burst
            bursts.append([])
        bursts[-1] += group[max(first, burst_stop) : last + 1]
        burst_stop = last + 1
    return [
        _Burst(burst, sum(not head.is_approved_before(burst[-1].at) for head in burst))
        for burst in bursts
    ]


def held_dicts(held: Iterable[tuple[int, Sequence[Doubt]]]) -> list[dict[str, Any]]:
    """Return the corrections that wait for approval as plain data for JSON."""
    return [
        {
            "id": number,
            "doubts": [msgspec.to_builtins(doubt) for doubt in doubts],
            "reasons": [str(doubt) for doubt in doubts],
        }
        for number, doubts in held
    ]


def held_lines(held: Iterable[tuple[int, Sequence[Doubt]]]) -> list[str]:
    """Return lines with the numbers of corrections that wait for approval: in total, by reason."""
    held = list(held)
    # Kinds with equal counts keep the order in which they were found.
    counts = Counter(
        kind for _, doubts in held for kind in dict.fromkeys(doubt.kind for doubt in doubts)
    )
    verb = "waits" if len(held) == 1 else "wait"
    return [
        f"{counted(len(held), 'correction')} {verb} for approval",
        *(f"  {n:,}: {_KINDS[kind]}" for kind, n in counts.most_common()),
    ]
