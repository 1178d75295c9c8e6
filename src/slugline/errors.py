"""Exceptions and warnings raised by Slugline.

All exceptions derive from `SluglineError`. Messages state what is wrong, what was found, and what
to do. Parameters in messages stay objects, so that the command line can show them as flags, and a
web page as fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

__all__ = [
    "ClusterError",
    "ColumnWarning",
    "DataError",
    "DownloadError",
    "EncoderError",
    "EncoderWarning",
    "ModelFileError",
    "NotFittedError",
    "OptionError",
    "OutputError",
    "ServerError",
    "SluglineError",
    "StoreError",
    "TrainingError",
]


# Messages -----------------------------------------------------------------------------------------


class Parameter(NamedTuple):
    """A parameter in a message.

    Parameters
    ----------
    name : str
        The Python name, such as "n_jobs".
    value : object, optional
        A value to pass.
    phrase : str, default "{}"
        The words around it, which a front end may omit or replace.

    Examples
    --------
    >>> print(Parameter("text"), Parameter("tune", True), Parameter("is_new", phrase="say so ({})"))
    `text` `tune=True` say so (`is_new`)
    """

    name: str
    value: object = None
    phrase: str = "{}"

    def __str__(self) -> str:
        if self.value is None:
            return self.phrase.format(f"`{self.name}`")
        value = repr(self.value)
        if isinstance(self.value, str):
            import json

            value = json.dumps(self.value, ensure_ascii=False)
        return self.phrase.format(f"`{self.name}={value}`")


class Message(str):
    """A text that keeps its parameters as objects.

    Parameters
    ----------
    *parts : str or Parameter
        In reading order.

    Examples
    --------
    >>> message = Message(Parameter("text"), " names no column.")
    >>> print(message)
    `text` names no column.
    >>> message.render(lambda parameter: f"--{parameter.name}")
    '--text names no column.'
    """

    __slots__ = ("parts",)

    parts: tuple[str | Parameter, ...]

    def __new__(cls, *parts: str | Parameter) -> Message:
        flat: list[str | Parameter] = []
        for part in parts:
            flat += part.parts if isinstance(part, Message) else [part]
        message = super().__new__(cls, "".join(map(str, flat)))
        message.parts = tuple(flat)
        return message

    def __add__(self, other: str) -> Message:
        return Message(self, other)

    def __radd__(self, other: str) -> Message:
        return Message(other, self)

    def __reduce__(self) -> tuple[Any, ...]:
        return Message, self.parts

    def render(self, word: Callable[[Parameter], str]) -> str:
        """Return the text with `word(parameter)` for each parameter."""
        return "".join(word(part) if isinstance(part, Parameter) else part for part in self.parts)


def join_messages(separator: str, messages: Iterable[str]) -> Message:
    """Join messages with a separator."""
    parts = [part for message in messages for part in (separator, message)]
    return Message(*parts[1:])


# Errors -------------------------------------------------------------------------------------------


class SluglineError(Exception):
    """Base class of all errors raised by Slugline.

    Parameters
    ----------
    *parts : str or Parameter
        The message.

    Examples
    --------
    >>> import slugline
    >>> try:
    ...     slugline.load("nosuch.slug")
    ... except slugline.SluglineError as error:
    ...     print(error)
    nosuch.slug: there is no such file; check the path.
    """

    def __init__(self, *parts: str | Parameter) -> None:
        super().__init__(Message(*parts))

    @property
    def parts(self) -> tuple[str | Parameter, ...]:
        """The parts of the message."""
        return Message(*self.args).parts


class ClusterError(SluglineError, RuntimeError):
    """A cluster that is unreachable, lacks a package, or loses its workers."""


class DataError(SluglineError, ValueError):
    """Unusable documents, topics or features."""


class OptionError(SluglineError, ValueError):
    """An invalid argument or setting."""


class DownloadError(SluglineError, OSError):
    """A data set that was not found or can't be downloaded."""


class EncoderError(SluglineError, RuntimeError):
    """A sentence encoder that is missing, has changed, fails, or returns invalid values."""


class EncoderWarning(UserWarning):
    """A requested sentence encoder that is missing, or skipped because it doesn't help."""


class ColumnWarning(UserWarning):
    """Additional columns that are missing or have a different type than in training."""


class ModelFileError(SluglineError, ValueError):
    """A model file that is damaged, or from another program or version."""


class OutputError(SluglineError, OSError):
    """A file that can't be written, for example because the disk is full."""


class ServerError(SluglineError, OSError):
    """A server that can't start, for example because its port is taken."""


class StoreError(SluglineError, OSError):
    """A database of corrections or labels that can't be opened, read or written."""


class TrainingError(SluglineError, ArithmeticError):
    """Training that can't continue, for example because the loss is no longer finite."""


@contextmanager
def os_errors_as(kind: type[SluglineError], failure: str, advice: str) -> Iterator[None]:
    """Convert an OSError to an error that states the failure, its cause and a remedy."""
    try:
        yield
    except OSError as error:
        if isinstance(error, SluglineError):  # some of these are OSErrors
            raise
        reason = error.strerror or str(error).partition("\n")[0]
        raise kind(f"{failure} ({reason}); ", advice) from error


if TYPE_CHECKING:

    class NotFittedError(SluglineError, ValueError, AttributeError):
        """A model used for predictions before `fit`."""


def __getattr__(name: str) -> Any:
    # Importing scikit-learn takes half a second, so this subclass of its error is created on first
    # use.
    if name != "NotFittedError":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sklearn.exceptions import NotFittedError as SklearnNotFittedError

    cls = type(
        "NotFittedError",
        (SluglineError, SklearnNotFittedError),
        {"__doc__": "A model used for predictions before `fit`.", "__module__": __name__},
    )
    globals()[name] = cls
    return cls
