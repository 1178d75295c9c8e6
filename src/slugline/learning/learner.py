"""Learners turn CSR rows into scores and probabilities, one column per topic.

A learner holds only what predicting needs; it imports what fitting needs when `fit` is called.
`Learner` is the interface that all of them share, and that `slugline.classifier` relies on.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    Protocol,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

import msgspec
import numpy as np

from slugline.base.arrays import F32, I64, Index
from slugline.base.progress import SILENT, Progress
from slugline.errors import OptionError

if TYPE_CHECKING:
    from slugline.learning.net.training import History

__all__ = [
    "BatchLearner",
    "FitContext",
    "Learner",
    "Options",
    "option_hints",
    "settings_struct",
    "wanted",
]


@runtime_checkable
class Learner(Protocol):
    """Learns from rows, then returns scores and probabilities of topics for other rows."""

    #: The weighting of terms that it learns best from.
    wants: str
    #: Whether it looks for its best epoch, on held-out documents unless the user passes some.
    has_epochs: bool

    def fit(self, X: Any, y: I64, context: FitContext) -> History | None:
        """Learn from rows and their topics; return the history of epochs, if there are any."""
        ...

    def decision_function(self, X: Any) -> F32:
        """Return scores, shape (n_rows, n_topics); the largest marks the topic."""
        ...

    def predict_proba(self, X: Any) -> F32:
        """Return probabilities, shape (n_rows, n_topics); every row sums to 1."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return plain data from which `slugline.learning.named.restore` rebuilds it."""
        ...

    def arrays(self) -> dict[str, F32]:
        """Return what it has learned."""
        ...


@runtime_checkable
class BatchLearner(Learner, Protocol):
    """A learner that can also learn from one batch of rows after another."""

    #: Whether rows of a later batch may have columns that earlier ones didn't have.
    grows: bool

    def partial_fit(self, X: Any, y: I64, context: FitContext) -> None:
        """Learn from one more batch; start from nothing if it is the first one."""
        ...


# The options of learners: each is declared once, with its range and its meaning -------------------


@dataclasses.dataclass(eq=False, repr=False)
class Options:
    """Base class for the options of a learner, all of which have defaults.

    Raises
    ------
    OptionError : if an option is out of its range.
    """

    def __post_init__(self) -> None:
        for name, hint in option_hints(type(self)).items():
            value = _plain(getattr(self, name))
            setattr(self, name, value)
            try:
                msgspec.convert(_as_json(value), hint)
            except msgspec.ValidationError:
                raise OptionError(f"`{name}` is {value!r}; give {wanted(hint)}.") from None

    def options(self) -> dict[str, Any]:
        """Return the options by name."""
        return {name: getattr(self, name) for name in option_hints(type(self))}

    @classmethod
    def options_in(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options among a learner's settings, without what it has learned."""
        return {name: settings[name] for name in option_hints(cls) if name in settings}

    def __repr__(self) -> str:
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        changed = [f"{n}={v!r}" for n, v in self.options().items() if v != defaults[n]]
        return f"{type(self).__name__}({', '.join(changed)})"


def option_hints(options: Any) -> dict[str, Any]:
    """Return the type hint of each option in a class of options, with its `msgspec.Meta`."""
    names = [field.name for field in dataclasses.fields(options)]
    # Only from the class that declares them: a learner has more hints, some for type checking only.
    declared = next(c for c in options.__mro__ if "__dataclass_fields__" in vars(c))
    hints = get_type_hints(declared, include_extras=True)
    return {name: hints[name] for name in names}


def settings_struct(
    kind: str, options: type[Options], learned: Mapping[str, Any]
) -> type[msgspec.Struct]:
    """Return the type of a learner's entry in a model file: kind, options and what it learned.

    Parameters
    ----------
    kind : str
    options : subclass of Options
    learned : mapping of str to type
        Further values in the entry, all of them required.
    """
    fields = [*option_hints(options).items(), *learned.items()]
    return msgspec.defstruct(
        f"{kind}_settings", fields, tag_field="kind", tag=kind, forbid_unknown_fields=True
    )


def wanted(hint: Any) -> str:
    """Return the values that a type hint allows, in words.

    >>> from typing import Annotated
    >>> wanted(Annotated[float, msgspec.Meta(ge=0, lt=1)])
    'a number of at least 0 and under 1'
    """
    kinds = [arg for arg in get_args(hint) if arg is not type(None)]
    if type(None) in get_args(hint):
        return f"{wanted(kinds[0])}, or None"
    if get_origin(hint) is Literal:
        return f"one of {', '.join(kinds)}"
    metas = [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, msgspec.Meta)]
    if metas:
        return _of_range(kinds[0], metas[0])
    if kinds:
        return f"a sequence whose items are each {wanted(kinds[0])}"
    return "True or False" if hint is bool else "a number"


def _of_range(kind: Any, meta: msgspec.Meta) -> str:
    if kind not in (int, float):
        return wanted(kind)
    what = "a whole number" if kind is int else "a number"
    if meta.lt is not None:
        least = f"of at least {meta.ge}" if meta.ge is not None else f"over {meta.gt}"
        return f"{what} {least} and under {meta.lt}"
    return f"{what} over {meta.gt}" if meta.gt is not None else f"{what} of at least {meta.ge}"


def _plain(value: Any) -> Any:
    """Return plain numbers instead of NumPy's, which JSON can't hold."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value


def _as_json(value: Any) -> Any:
    """Return a value in the form that it has in JSON, which has no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


# What fitting needs besides rows and topics -------------------------------------------------------


@dataclass(frozen=True)
class FitContext:
    """What every learner receives for fitting, besides rows and topics.

    Attributes
    ----------
    n_topics : int
    sample_weight : float32 array, shape (n_rows,), or None if all are 1
    weighted_topics : bool
        Whether `sample_weight` includes weights of topics that the user has set. If not, a learner
        may choose its own.
    validation_data : (X, y) or None
        Rows that the user keeps for validation; nothing is learned from them.
    seed : int
        Determines every random choice.
    first : bool
        Only for `partial_fit`: whether to start from nothing, not from what was learned before.
    n_jobs : int
        Threads; what is learned is the same for any number.
    cross_validate : bool
        Whether scores of all rows by weights that were learned from others, and from nearly as many
        as there are, are worth the time of several fits. If not, a linear learner has scores of
        some rows, by weights learned from few: good enough for calibration, but lower.
    moved : int array, shape (n_columns_before,), or None if no column has moved
        Only for `partial_fit`: where each column of the rows before is now, among new ones.
    progress : Progress, optional
        Receives reports on progress.
    """

    n_topics: int
    sample_weight: F32 | None = None
    weighted_topics: bool = False
    validation_data: tuple[Any, I64] | None = None
    seed: int = 0
    first: bool = False
    n_jobs: int = 1
    cross_validate: bool = False
    moved: Index | None = None
    progress: Progress = SILENT
