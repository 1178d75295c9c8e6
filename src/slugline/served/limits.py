"""What may be asked at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slugline.displays import counted
from slugline.errors import DataError

__all__ = ["LimitError", "Limits"]


class LimitError(DataError):
    """More than may be asked at a time.

    Attributes
    ----------
    index : int or None
        Which of the texts it is, counted from 0; None if there are too many of them, or none.
    """

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What may be asked at a time.

    Attributes
    ----------
    texts : int, default 10,000
        Texts of a request.
    characters : int, default 100,000
        Characters of a text.
    explained : int, default 100
        Texts of a request that asks for reasons, which take longer.
    """

    texts: int = 10_000
    characters: int = 100_000
    explained: int = 100

    def check(self, texts: Sequence[str], *, explain: bool = False) -> None:
        """Raise a LimitError if these are too many texts, none, or one of them is too long."""
        most = min(self.explained, self.texts) if explain else self.texts
        if not texts:
            raise LimitError("there are no texts; give one at least.")
        if len(texts) > most:
            why = " with reasons" if explain else ""
            raise LimitError(
                f"there are {counted(len(texts), 'text')}, and a request{why} may have {most:,}; "
                "ask in several requests."
            )
        longest = max(map(len, texts))
        if longest > self.characters:
            index = next(i for i, text in enumerate(texts) if len(text) > self.characters)
            raise LimitError(
                f"text {index} has {counted(len(texts[index]), 'character')}, and a text may have "
                f"{self.characters:,}; shorten it.",
                index,
            )
