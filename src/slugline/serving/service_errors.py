"""Errors of the service, with their parts as attributes.

Each front end words them for its users: HTTP names fields and adds a status (`web/problems.py`);
the page refers to its own elements. `str(error)` is the API's wording.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    """Too many pending requests; retrying in a second may succeed."""

    def __init__(self) -> None:
        super().__init__("too many pending requests; try again.")


class LimitError(DataError):
    """A request over a limit.

    Attributes
    ----------
    found, remedy : str
        Phrases for the problem and its fix.
    index : int or None
        Index of the text, from 0; None if the number of texts is the problem.
    """

    def __init__(self, found: str, remedy: str, index: int | None = None) -> None:
        self.found, self.remedy, self.index = found, remedy, index
        super().__init__(self.describe("" if index is None else f"text {index} "))

    def describe(self, subject: str) -> str:
        """Return the message about the text called `subject`."""
        return f"{subject}{self.found}; {self.remedy}."


class UnknownModelError(DataError):
    """A request for an unknown model.

    Attributes
    ----------
    name : str
    known_names : list of str
    """

    def __init__(self, name: str, known_names: list[str]) -> None:
        self.name, self.known_names = name, known_names
        super().__init__(f"there is no model {name[:100]!r}; there are: {', '.join(known_names)}.")


class NoCorrectionsError(SluglineError):
    """A correction sent to a service that doesn't accept any."""

    def __init__(self) -> None:
        super().__init__(
            "this server doesn't accept corrections; start it with --corrections FILE."
        )


class UnknownCorrectionError(SluglineError):
    """A correction that doesn't exist or has been undone.

    Attributes
    ----------
    correction_id : int
    """

    def __init__(self, correction_id: int, remedy: str) -> None:
        self.correction_id = correction_id
        super().__init__(f"there is no correction {correction_id}, or {remedy}.")


#: How to confirm that a topic is new; front ends may word it differently.
IS_NEW = Parameter("is_new", phrase="set {}")


class MisspeltTopicError(DataError):
    """A new topic whose name resembles a known one.

    Attributes
    ----------
    topic, similar_topic : str
        The new topic, and the one probably meant.
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
    """An approval by a person without permission to approve.

    Attributes
    ----------
    person : str or None
        The name of the caller's token.
    """

    def __init__(self, person: str | None) -> None:
        self.person = person
        super().__init__(
            "only people whose tokens have a name can approve corrections"
            if person is None
            else f"{person} may not approve corrections; the server's --approver names who may."
        )


class WrongCoderError(SluglineError):
    """A decision about a text assigned to another coder."""

    def __init__(self, owner: str, coder: str) -> None:
        super().__init__(f"this text is assigned to {owner}, not to {coder}; reload the page.")


class SettlementError(SluglineError):
    """A settlement or withdrawal by a coder without permission to settle disagreements."""

    def __init__(self, settlers: Sequence[str]) -> None:
        super().__init__(
            f"only {join_words(settlers)} can settle disagreements and withdraw labels; ask them."
        )
