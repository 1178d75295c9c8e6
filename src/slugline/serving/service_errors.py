"""Errors of the service, which carry their parts.

Each front end words an error for its users: HTTP names fields and gives a status
(`web/problems.py`), the page speaks of what it shows. `str(error)` is the wording of the API.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from slugline.base.wording import join_words
from slugline.errors import DataError, Parameter, SluglineError

__all__ = [
    "IS_NEW",
    "ApprovalError",
    "BusyError",
    "LimitError",
    "MisspeltTopicError",
    "NoCorrectionsError",
    "SettlementError",
    "UnknownCorrectionError",
    "UnknownModelError",
    "WrongCoderError",
]


class BusyError(SluglineError):
    """Too many requests wait already; the same request may succeed in a second."""

    def __init__(self) -> None:
        super().__init__("too many requests wait already; ask again.")


class LimitError(DataError):
    """A request that exceeds its limits.

    Attributes
    ----------
    found, remedy : str
        A phrase that says what was found, and what to do about it.
    index : int or None
        The number of the text, counted from 0; None if there are too many texts, or none.
    """

    def __init__(self, found: str, remedy: str, index: int | None = None) -> None:
        self.found, self.remedy, self.index = found, remedy, index
        super().__init__(self.describe("" if index is None else f"text {index} "))

    def describe(self, subject: str) -> str:
        """Return the message about the text that is called `subject`."""
        return f"{subject}{self.found}; {self.remedy}."


class UnknownModelError(DataError):
    """A request for a model that the service doesn't have.

    Attributes
    ----------
    name : str
    known_names : list of str
    """

    def __init__(self, name: str, known_names: list[str]) -> None:
        self.name, self.known_names = name, known_names
        super().__init__(f"there is no model {name[:100]!r}; there are: {', '.join(known_names)}.")


class NoCorrectionsError(SluglineError):
    """A correction sent to a service that takes none."""

    def __init__(self) -> None:
        super().__init__(
            "this server takes no corrections; start it with --corrections FILE for that."
        )


class UnknownCorrectionError(SluglineError):
    """A correction that does not exist, or no longer does.

    Attributes
    ----------
    correction_id : int
    """

    def __init__(self, correction_id: int, remedy: str) -> None:
        self.correction_id = correction_id
        super().__init__(f"there is no correction {correction_id}, or {remedy}.")


#: What to do about a misspelt topic that is new; a front end may have other words for it.
IS_NEW = Parameter("is_new", phrase="say so ({})")


class MisspeltTopicError(DataError):
    """A new topic whose name is much like that of a known topic.

    Attributes
    ----------
    topic, similar_topic : str
        The new topic, and the one that was probably meant.
    """

    def __init__(self, topic: str, model_name: str, similar_topic: str) -> None:
        self.topic, self.similar_topic = topic, similar_topic
        super().__init__(
            f"there is no topic {topic[:100]!r} in {model_name}; did you mean {similar_topic!r}? "
            "If it is new, ",
            IS_NEW,
            ".",
        )


class ApprovalError(SluglineError):
    """A correction that this person may not approve.

    Attributes
    ----------
    reason : {"no name", "own"}
        The name of the person is not known, or the correction is their own.
    correction_id : int or None
        The correction that is their own.
    """

    def __init__(self, reason: Literal["no name", "own"], correction_id: int | None = None) -> None:
        self.reason, self.correction_id = reason, correction_id
        super().__init__(
            "corrections are approved by people whose tokens have a name"
            if correction_id is None
            else f"correction {correction_id} is your own; somebody else has to approve it."
        )


class WrongCoderError(SluglineError):
    """A decision about a text that was given to another coder."""

    def __init__(self, owner: str, coder: str) -> None:
        super().__init__(f"this text was given to {owner}, not to {coder}; load the page again.")


class SettlementError(SluglineError):
    """A settlement or withdrawal by a coder who may not settle disagreements."""

    def __init__(self, settlers: Sequence[str]) -> None:
        super().__init__(
            f"disagreements are settled, and labels withdrawn, by {join_words(settlers)}; tell "
            "them about it."
        )
