"""Made-up tickets to a bicycle shop.

Each is put together from wordings of its topic and from parts that all topics share. Some begin
with what belongs to another topic, some don't say what they are about, many have typing errors,
and a form on the shop's page sends some that are nearly the same.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

#: Wordings, by topic and shared, and words for their gaps.
GRAMMAR: dict[str, Any] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
_TOPICS: dict[str, dict[str, Any]] = GRAMMAR["topics"]

#: What a codebook says of each topic.
DESCRIPTIONS: dict[str, str] = {name: topic["description"] for name, topic in _TOPICS.items()}

_FIRST_DAY, _N_DAYS = date(2026, 3, 2), 90


class Ticket(NamedTuple):
    """A made-up ticket, and its topic."""

    id: int
    date: str
    text: str
    topic: str
    #: Whether the text says what it is about.
    is_clear: bool


def make_tickets(n_tickets: int = 1500, seed: int = 0) -> list[Ticket]:
    """Return tickets without equal texts, the earliest first."""
    rng = random.Random(seed)
    composer = Composer(rng)
    composed: dict[str, tuple[str, bool]] = {}
    for name, topic in _TOPICS.items():
        for _ in range(topic.get("n_of_form", 0)):
            composed[composer.fill(topic["form"])] = name, True
    while len(composed) < n_tickets:
        [name] = rng.choices([*_TOPICS], [topic["frequency"] for topic in _TOPICS.values()])
        is_clear = rng.random() > 0.04
        composed.setdefault(composer.compose(name, is_clear=is_clear), (name, is_clear))
    rows = rng.sample([*composed.items()], n_tickets)
    days = [str(_FIRST_DAY + timedelta(days=_N_DAYS * n // n_tickets)) for n in range(n_tickets)]
    return [
        Ticket(40_001 + 3 * n, days[n], text, topic, is_clear)
        for n, (text, (topic, is_clear)) in enumerate(rows)
    ]


class Composer:
    """Puts texts together by draws."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def compose(self, topic: str, *, is_clear: bool) -> str:
        """Return a text about a topic, or one that doesn't say what it is about."""
        return self.frame(lambda: self._body(topic, is_clear=is_clear))

    def frame(self, draw_body: Callable[[], str]) -> str:
        """Return a text with what a function returns in the middle."""
        rng = self._rng
        opening = rng.choice(GRAMMAR["openings"]) if rng.random() < 0.5 else ""
        body = draw_body()
        closing = rng.choice(GRAMMAR["closings"]) if rng.random() < 0.45 else ""
        return self.write(f"{opening} {body} {closing}")

    def _body(self, topic: str, *, is_clear: bool) -> str:
        rng = self._rng
        parts = []
        if is_clear and rng.random() < 0.1:  # something else comes first
            other = rng.choice([each for each in _TOPICS if each != topic])
            parts += [rng.choice(_TOPICS[other]["wordings"]), rng.choice(GRAMMAR["turns"])]
        parts.append(rng.choice(_TOPICS[topic]["wordings"] if is_clear else GRAMMAR["vague"]))
        return " ".join(parts)

    def write(self, wording: str) -> str:
        """Return a wording filled, and typed as people type."""
        text = re.sub(r"\s+", " ", self.fill(wording)).strip()
        return self._mistype(text.lower() if self._rng.random() < 0.12 else text)

    def fill(self, wording: str) -> str:
        """Return a wording with one of each alternative, and with words in its gaps."""
        text = re.sub(r"\{([^{}]*)\}", lambda found: self._rng.choice(found[1].split("|")), wording)
        return re.sub(r"<(\w+)>", lambda found: self._word(found[1]), text)

    def _word(self, gap: str) -> str:
        if gap == "number":
            return str(self._rng.randint(10_000, 99_999))
        if gap == "amount":
            return f"{self._rng.randint(4, 250)}.{self._rng.choice(['00', '50', '90', '95'])}"
        words: list[str] = GRAMMAR["gaps"][gap]
        return self._rng.choice(words)

    def _mistype(self, text: str) -> str:
        """Return a text in which letters are missing or swapped, if it was typed in a hurry."""
        fraction = self._rng.choice([0, 0, 0.02, 0.08])  # of words

        def mistype(word: re.Match[str]) -> str:
            letters = word[0]
            if self._rng.random() >= fraction:
                return letters
            at = self._rng.randrange(1, len(letters) - 1)
            swapped = letters[at + 1] + (letters[at] if self._rng.random() < 0.5 else "")
            return letters[:at] + swapped + letters[at + 2 :]

        return re.sub(r"[A-Za-z]{4,}", mistype, text)
