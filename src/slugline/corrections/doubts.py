"""Why a correction is held until somebody approves it."""

from __future__ import annotations

import datetime
import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from slugline.base.checks import short_repr
from slugline.base.wording import counted

#: What needs a person's approval before a model learns from it: every correction, those with a
#: `Doubt`, or none.
Approval: TypeAlias = Literal["all", "doubtful", "none"]
#: The corrections of one person within `BURST_HOURS`, a week, that need no approval for their
#: number: who sends one a day could else move a topic in ten days.
MAX_UNAPPROVED = 5
BURST_HOURS = 7 * 24
#: The corrections that a new topic needs.
FEWEST_OF_TOPIC = 3

Kind: TypeAlias = Literal[
    "unapproved", "burst", "conflict", "known text", "contradicted", "changes answers", "thin topic"
]
_Words = msgspec.Meta(max_length=1000)


class Doubt(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reason to hold a correction.

    Attributes
    ----------
    kind : str
        - "unapproved": every correction needs approval.
        - "burst": it is one of `n` that one person made in a row, more than `MAX_UNAPPROVED` of
          them within a week, and no other person's support it, if `is_asked`.
        - "conflict": somebody else says that the same text is `topic`.
        - "known text": the training documents have the same text with `topic`.
        - "contradicted": a model that learned from everybody else is sure of `topic`.
        - "changes answers": with it, `n` training texts, which have `topic`, get another answer.
        - "thin topic": its topic is new, and `n` corrections have it.
    n : int
    topic : str
        Several with commas between them.
    probability : float
        Of `topic`, by the model that contradicts.
    person : str
        Who made a burst; "" for all who have no token of their own.
    is_asked : bool
        Of a burst: whether training has looked for other people's corrections that support it.
    """

    kind: Kind
    n: int = 0
    topic: str = ""
    probability: float = 0.0
    person: str = ""
    is_asked: bool = False

    def __str__(self) -> str:
        if self.kind == "burst":
            return self._burst()
        return _SENTENCES[self.kind].format(
            n=self.n,
            topic=short_repr(self.topic) if self.topic else "no topic",
            probability=f"{self.probability:.0%}".replace("100%", "over 99%").replace("%", " %"),
            texts=counted(self.n, "training text"),
            corrections=counted(self.n, "correction"),
            have="have" if self.n != 1 else "has",
            fewest=FEWEST_OF_TOPIC,
        )

    def _burst(self) -> str:
        if self.person:
            begin = f"one of {self.n:,} by {self.person} within a week, more than the "
            begin += f"{MAX_UNAPPROVED} that need no approval"
        else:
            begin = f"{self.n:,} corrections within a week come from people who are not signed in; "
            begin += f"more than {MAX_UNAPPROVED} need approval"
        if self.is_asked:
            supported = "it" if self.person else "this one"
            return f"{begin}, and no other person's corrections support {supported}"
        return f"{begin}; the next training checks whether other people's corrections agree"


_KINDS: dict[Kind, str] = {
    "unapproved": "every correction needs approval here",
    "burst": f"more than {MAX_UNAPPROVED} by one person within a week, or by people who are not "
    "signed in, which no other person's support",
    "conflict": "other people say that the same text has another topic",
    "known text": "the training documents have the same text with another topic",
    "contradicted": "a model that learned from everybody else is sure of another topic",
    "changes answers": "training texts would get a wrong topic",
    "thin topic": f"the topic is new and has fewer than {FEWEST_OF_TOPIC} corrections",
}
_SENTENCES: dict[Kind, str] = {
    "unapproved": "every correction needs approval here",
    "conflict": "somebody else says that the same text is {topic}",
    "known text": "the training documents have the same text as {topic}",
    "contradicted": "a model that learned from everybody else is {probability} sure of {topic}",
    "changes answers": "with it, {texts} of {topic} would get another topic",
    "thin topic": "its topic is new, and only {corrections} {have} it; it needs {fewest}",
}


class CorrectionHead(NamedTuple):
    """Who made a correction, when, and of which model: what a burst is found by."""

    id: int
    at: str
    model: str
    who: str | None
    is_named: bool
    # When it was approved, as `at`; None if it wasn't.
    approved: str | None = None
    # Whether a model that was written has learned from it.
    is_learned: bool = False

    @property
    def person(self) -> str:
        """Who made it, as far as that is known.

        Names that are typed are no evidence: all who have no token of their own are one person, "".
        """
        return self.who or "" if self.is_named else ""

    def is_approved_before(self, at: str) -> bool:
        """Return whether it was approved by this time."""
        return self.approved is not None and self.approved <= at


def find_bursts(heads: Iterable[CorrectionHead]) -> dict[int, Doubt]:
    """Return a doubt for each correction that is one of too many by a person within a week.

    What somebody has approved doesn't count for later corrections. It does for those made before:
    who approved some of a burst may have left out the others on purpose. What a model learned from
    unapproved counts, and gets no doubt: else a few at a time would slip through, again and again.
    """
    by_person: defaultdict[tuple[str, str], list[CorrectionHead]] = defaultdict(list)
    for head in heads:
        by_person[head.model, head.person].append(head)
    bursts = [burst for group in by_person.values() for burst in _bursts_of_person(group)]
    return {
        head.id: Doubt("burst", n, person=head.person)
        for burst, n in bursts
        for head in burst
        if head.approved is None and not head.is_learned
    }


def _bursts_of_person(group: list[CorrectionHead]) -> list[tuple[list[CorrectionHead], int]]:
    """Return the bursts among corrections by one person, and how many count in each."""
    group = sorted(group, key=lambda head: head.at)
    times = [datetime.datetime.fromisoformat(head.at) for head in group]
    window = datetime.timedelta(hours=BURST_HOURS)
    bursts: list[list[CorrectionHead]] = []
    # The approvals to come, and which corrections were approved before the time in question.
    approvals: list[tuple[str, int]] = []
    is_approved = [False] * len(group)
    first = n_seen = n_approved = 0
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
        if first >= n_seen:  # not of the burst before
            bursts.append([])
        bursts[-1] += group[max(first, n_seen) : last + 1]
        n_seen = last + 1
    return [
        (burst, sum(not head.is_approved_before(burst[-1].at) for head in burst))
        for burst in bursts
    ]


def held_dicts(held: Iterable[tuple[int, Sequence[Doubt]]]) -> list[dict[str, Any]]:
    """Return corrections that wait for approval as plain data for JSON."""
    return [
        {
            "id": number,
            "doubts": [msgspec.to_builtins(doubt) for doubt in doubts],
            "reasons": [str(doubt) for doubt in doubts],
        }
        for number, doubts in held
    ]


def held_lines(held: Iterable[tuple[int, Sequence[Doubt]]]) -> list[str]:
    """Return how many corrections wait for approval, and a line for each kind of reason."""
    held = list(held)
    counts = Counter(kind for _, doubts in held for kind in {doubt.kind for doubt in doubts})
    lines = [
        f"{counted(len(held), 'correction')} {'wait' if len(held) != 1 else 'waits'} for approval"
    ]
    return lines + [f"  {n:,}: {_KINDS[kind]}" for kind, n in counts.most_common()]
