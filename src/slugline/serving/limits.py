"""Limits on a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slugline.base.wording import counted
from slugline.serving.service_errors import LimitError

#: Upper bounds for the settings: texts per request and characters per text.
MAX_TEXTS, LONGEST_TEXT = 1_000_000, 100_000_000


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of a request.

    Attributes
    ----------
    texts : int
    characters : int
        Per text.
    explained : int
        Maximum number of texts with reasons, which are slow to compute.
    rows : int
        Maximum number of rows in a table: the page holds all of them in memory, and a compressed
        file may contain billions.
    """

    texts: int = 10_000
    characters: int = 100_000
    explained: int = 100
    rows: int = 1_000_000

    @property
    def guesses(self) -> int:
        """Maximum number of topics over all texts of a request."""
        return 5 * self.texts

    def check(self, texts: Sequence[str], *, explain: bool = False, top: int = 1) -> None:
        """Raise a LimitError if there are no texts, too many texts, or one that is too long.

        Each text gets `top` topics.
        """
        max_texts = min(self.explained, self.texts) if explain else self.texts
        if not texts:
            raise LimitError("there are no texts", "give at least one")
        n_texts = counted(len(texts), "text")
        if len(texts) > max_texts:
            kind = "a request with reasons" if explain else "a request"
            raise LimitError(
                f"there are {n_texts}, and {kind} may have {max_texts:,}", "ask in several requests"
            )
        if len(texts) * top > self.guesses:
            raise LimitError(
                f"there are {n_texts} with {top:,} topics each, and a request may ask for "
                f"{self.guesses:,} topics in all",
                "ask in several requests",
            )
        if max(map(len, texts)) > self.characters:
            index = next(i for i, text in enumerate(texts) if len(text) > self.characters)
            raise LimitError(
                f"has {counted(len(texts[index]), 'character')}, and a text may have "
                f"{self.characters:,}",
                "shorten it",
                index,
            )
