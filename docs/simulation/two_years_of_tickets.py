"""Two years of made-up tickets to the shop of made_up_tickets.py, some of them complaints.

In the first year, only the shares of topics change: what people write about a topic is drawn in
the same way each month. From July of the second year on, they also write about a new service.
"""

from __future__ import annotations

import calendar
import random
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from made_up_tickets import GRAMMAR, Composer

_GRAMMAR: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_USUAL: dict[str, dict[str, Any]] = GRAMMAR["topics"]
_TOPICS: dict[str, dict[str, Any]] = _USUAL | _GRAMMAR["topics"]
# The seed; that of each year is its number more.
_SEED = 1
# These say little, and come from people who complain and from others.
_UNCLEAR: list[str] = GRAMMAR["vague"] + _GRAMMAR["complaints"]["impatient"]
# Fractions of complaints and of other tickets that are unclear, and of these with two sentences.
_UNCLEAR_COMPLAINTS, _UNCLEAR_OTHERS, _UNCLEAR_TWICE = 0.3, 0.12, 0.6
# The fraction of clear complaints about another topic's matter, and of the others, the fraction
# that ends angrily.
_ABOUT_TROUBLE, _ANGRY = 0.2, 0.3
# The fraction of other clear tickets that begin with something else.
_TURNED = 0.1


class DatedTicket(NamedTuple):
    """A made-up ticket with its topic."""

    date: str
    text: str
    topic: str


class Month(NamedTuple):
    """How many tickets come in a month, and the fractions of some topics."""

    name: str
    n_tickets: int
    complaint_share: float
    hire_share: float = 0.0


def make_labelled_tickets(n_tickets: int = 1500) -> list[DatedTicket]:
    """Return the tickets of the last month before the two years."""
    return _Writer(_SEED).write_month(Month("2023-12", n_tickets, complaint_share=0.2))


def make_year(year: int) -> list[DatedTicket]:
    """Return the tickets of 2024 or 2025, the earliest first."""
    months = [Month(*month) for month in _GRAMMAR["months"]]
    writer = _Writer(_SEED + year)
    return [
        ticket
        for month in months
        if month.name.startswith(f"{year}-")
        for ticket in writer.write_month(month)
    ]


class _Writer:
    """Writes tickets by draws."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._composer = Composer(self._rng)
        self._texts: set[str] = set()

    def write_month(self, month: Month) -> list[DatedTicket]:
        """Return the tickets of a month, the earliest first."""
        year, number = map(int, month.name.split("-"))
        n_days = calendar.monthrange(year, number)[1]
        shares = {
            name: topic["frequency"] * _GRAMMAR["seasons"].get(name, [1] * 12)[number - 1]
            for name, topic in _USUAL.items()
        }
        usual = (1 - month.complaint_share - month.hire_share) / sum(shares.values())
        shares = {name: share * usual for name, share in shares.items()}
        shares |= {"complaint": month.complaint_share, "hire": month.hire_share}
        topics = self._rng.choices([*shares], [*shares.values()], k=month.n_tickets)
        days = sorted(self._rng.randint(1, n_days) for _ in topics)
        return [
            DatedTicket(f"{month.name}-{day:02}", self._write(topic), topic)
            for day, topic in zip(days, topics, strict=True)
        ]

    def _write(self, topic: str) -> str:
        """Return a text that is not among those so far."""
        while (text := self._compose(topic)) in self._texts:
            pass
        self._texts.add(text)
        return text

    def _compose(self, topic: str) -> str:
        return self._composer.frame(
            self._complaint if topic == "complaint" else lambda: self._message(topic)
        )

    def _complaint(self) -> str:
        rng, phrases = self._rng, _GRAMMAR["complaints"]
        if rng.random() < _UNCLEAR_COMPLAINTS:
            return self._unclear()
        is_trouble = rng.random() < _ABOUT_TROUBLE
        about = rng.choice(phrases["troubles"]) if is_trouble else "complaint"
        wording = self._wording(about)
        is_angry = is_trouble or rng.random() < _ANGRY
        return f"{wording} {rng.choice(phrases['angry'])}" if is_angry else wording

    def _message(self, topic: str) -> str:
        """Return what isn't a complaint."""
        rng = self._rng
        if rng.random() < _UNCLEAR_OTHERS:
            return self._unclear()
        if rng.random() >= _TURNED:
            return self._wording(topic)
        other = rng.choice([name for name in _USUAL if name != topic])
        return f"{self._wording(other)} {rng.choice(GRAMMAR['turns'])} {self._wording(topic)}"

    def _unclear(self) -> str:
        n_sentences = 2 if self._rng.random() < _UNCLEAR_TWICE else 1
        return " ".join(self._rng.sample(_UNCLEAR, n_sentences))

    def _wording(self, topic: str) -> str:
        wordings: list[str] = _TOPICS[topic]["wordings"]
        return self._rng.choice(wordings)
