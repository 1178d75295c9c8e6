"""Learners, which turn CSR rows into scores and probabilities of topics: interface and names.

A learner imports what fitting needs only when `fit` is called.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib
import math
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeGuard, runtime_checkable

import msgspec
import numpy as np

from slugline.base.arrays import F32, F64, Index, Integers, Mask
from slugline.base.checks import check_choice, option_error
from slugline.base.progress import SILENT, Progress
from slugline.base.wording import format_call
from slugline.errors import DataError, OptionError, Parameter

if TYPE_CHECKING:
    import scipy.sparse as sp

    from slugline.learning.calibration import AnyCalibration
    from slugline.learning.heldout import HeldOutScores, RecentScores
    from slugline.learning.labels import Labels
    from slugline.learning.net.layers import DenseStack
    from slugline.learning.net.training import History


@dataclass(frozen=True)
class Capabilities:
    """What a learner can do beyond learning from all rows at once and predicting.

    A learner of your own declares what applies: `capabilities = Capabilities(multilabel=True)`.

    Attributes
    ----------
    multilabel : bool
        Whether it learns from rows of several topics.
    has_epochs : bool
        Whether it looks for its best epoch, on held-out documents unless the user passes some.
    in_batches : bool
        Whether it is a `BatchLearner`, which `partial_fit` needs.
    is_linear : bool
        Whether it is a `LinearModel`: scores are sums of the weights of terms. A sentence encoder,
        lists of the terms of each topic, exported pages and learning from a stream need that.
    is_network : bool
        Whether it is a `NetworkModel`, whose scores are explained by the gradients of its layers.
    """

    multilabel: bool = False
    has_epochs: bool = False
    in_batches: bool = False
    is_linear: bool = False
    is_network: bool = False


@runtime_checkable
class Learner(Protocol):
    """Learns from rows, then returns scores and probabilities of topics for other rows."""

    #: The weighting of terms that it learns best from.
    wants: str

    @property
    def capabilities(self) -> Capabilities:
        """What it can do besides."""

    @property
    def multilabel(self) -> bool:
        """Whether it has learned from rows that may have several topics."""

    def fit(self, X: sp.csr_array, labels: Labels, context: FitContext) -> History | None:
        """Learn from rows and their topics; return the history of epochs, if there are any."""

    def decision_function(self, X: sp.csr_array) -> F32:
        """Return scores, shape (n_rows, n_topics); the largest marks the topic."""

    def predict_proba(self, X: sp.csr_array) -> F32:
        """Return probabilities, shape (n_rows, n_topics); rows of one topic sum to 1."""

    def settings(self) -> dict[str, Any]:
        """Return plain data from which `restore` rebuilds it."""

    def arrays(self) -> dict[str, F32]:
        """Return the learned arrays by name."""


class BatchLearner(Learner, Protocol):
    """A learner that can also learn from one batch of rows after another."""

    #: Whether rows of a later batch may have columns that earlier ones didn't have.
    grows: bool
    calibration: AnyCalibration
    #: Scores of the latest rows before they were learned from; None if there are none.
    recent_: RecentScores | None

    def partial_fit(self, X: sp.csr_array, labels: Labels, context: FitContext) -> None:
        """Learn from one more batch; start from nothing if it is the first one."""


class LinearModel(BatchLearner, Protocol):
    """A learner whose scores are sums of the weights of terms, and of a bias."""

    biases: F32  # shape (n_topics,)
    #: Some rows that were learned from, and their scores by weights learned from others.
    heldout_scores_: HeldOutScores | None

    @property
    def weights(self) -> sp.csr_array:
        """Weights that matter, shape (n_columns, n_topics)."""

    def weights_of(self, columns: Integers) -> F64:
        """Return the weights of some columns, shape (n_chosen, n_topics)."""

    def unused_columns(self) -> Mask:
        """Return which columns have no weight that matters, shape (n_columns,)."""

    def of_columns(self, columns: Integers) -> LinearModel:
        """Return a copy for rows of only these columns."""

    def fit_parts(self, parts: Iterable[tuple[sp.csr_array, Labels, FitContext]]) -> int:
        """Learn from more rows than there is memory for; return the number of rows."""

    def learned(
        self, weights: sp.csr_array, biases: F32, calibration: AnyCalibration
    ) -> LinearModel:
        """Return a learner with the same options that has learned these weights."""


class NetworkModel(Learner, Protocol):
    """A learner whose scores are those of a network."""

    @property
    def network(self) -> DenseStack:
        """The layers and their weights."""


def is_linear(learner: Learner) -> TypeGuard[LinearModel]:
    """Whether scores are sums of the weights of terms; see `Capabilities`."""
    return learner.capabilities.is_linear


def is_network(learner: Learner) -> TypeGuard[NetworkModel]:
    """Whether scores are those of a network; see `Capabilities`."""
    return learner.capabilities.is_network


def learns_in_batches(learner: Learner) -> TypeGuard[BatchLearner]:
    """Whether the learner has `partial_fit`; see `Capabilities`."""
    return learner.capabilities.in_batches


# Options ------------------------------------------------------------------------------------------


@dataclasses.dataclass(eq=False, repr=False)
class Options:
    """Base class for the options of a learner, all of which have defaults.

    Raises OptionError if an option is out of its range.
    """

    def __post_init__(self) -> None:
        for name, hint in option_hints(type(self)).items():
            value = _to_builtin(getattr(self, name))
            setattr(self, name, value)
            try:
                msgspec.convert(_to_json_value(value), hint)
            except msgspec.ValidationError:
                raise OptionError(
                    Parameter(name), f" is {value!r}; give {describe_range(hint)}."
                ) from None

    def options(self) -> dict[str, Any]:
        """Return the options by name."""
        return {name: getattr(self, name) for name in option_hints(type(self))}

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Return the options by name, as scikit-learn asks for them."""
        return self.options()

    def set_params(self, **params: Any) -> Self:
        """Change some of the options; OptionError for an unknown one, or one out of range."""
        unknown = sorted(params.keys() - option_hints(type(self)).keys())
        if unknown:
            raise OptionError(
                f"{type(self).__name__} has no option {unknown[0]!r}; choose one of "
                f"{', '.join(option_hints(type(self)))}."
            )
        vars(self).update(type(self)(**{**self.options(), **params}).options())
        return self

    def __sklearn_clone__(self) -> Self:
        """Return a learner with the same options that has learned nothing."""
        return type(self)(**self.options())

    @classmethod
    def options_in(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options among a learner's settings."""
        return {name: settings[name] for name in option_hints(cls) if name in settings}

    def __repr__(self) -> str:
        return format_call(self)


def option_hints(options: Any) -> dict[str, Any]:
    """Return the type hint of each option in a class of options, with its `msgspec.Meta`."""
    names = [field.name for field in dataclasses.fields(options)]
    # Only from the class that declares them: a learner has more hints, some for type checking only.
    declared = next(c for c in options.__mro__ if "__dataclass_fields__" in vars(c))
    hints = typing.get_type_hints(declared, include_extras=True)
    return {name: hints[name] for name in names}


def settings_struct(
    kind: str, options: type[Options], learned: Mapping[str, Any]
) -> type[msgspec.Struct]:
    """Return the type of a learner's entry in a model file: kind, options and learned values."""
    fields = [*option_hints(options).items(), *learned.items()]
    return msgspec.defstruct(
        f"{kind}_settings", fields, tag_field="kind", tag=kind, forbid_unknown_fields=True
    )


def describe_range(hint: Any) -> str:
    """Return the values that a type hint allows, in words.

    >>> from typing import Annotated
    >>> describe_range(Annotated[float, msgspec.Meta(ge=0, lt=1)])
    'a number of at least 0 and under 1'
    """
    kinds = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    if type(None) in typing.get_args(hint):
        return f"{describe_range(kinds[0])}, or None"
    if typing.get_origin(hint) is Literal:
        return f"one of {', '.join(kinds)}"
    metas = [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, msgspec.Meta)]
    if metas:
        return _describe_number(kinds[0], metas[0])
    if kinds:
        return f"a sequence whose items are each {describe_range(kinds[0])}"
    return "True or False" if hint is bool else "a number"


def _describe_number(kind: Any, meta: msgspec.Meta) -> str:
    if kind not in (int, float):
        return describe_range(kind)
    noun = "a whole number" if kind is int else "a number"
    if meta.lt is not None:
        least = f"of at least {meta.ge}" if meta.ge is not None else f"over {meta.gt}"
        return f"{noun} {least} and under {meta.lt}"
    return f"{noun} over {meta.gt}" if meta.gt is not None else f"{noun} of at least {meta.ge}"


def _to_builtin(value: Any) -> Any:
    """Return Python numbers instead of NumPy's, which JSON can't hold."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return type(value)(map(_to_builtin, value)) if type(value) in (list, tuple) else value


def _to_json_value(value: Any) -> Any:
    """Return a value as JSON holds it, which has no infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


# Context of a fit ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class FitContext:
    """What a learner sees of a fit besides rows and topics.

    It is derived from the settings and the documents of the fit, once for each fit of a learner.

    Attributes
    ----------
    n_topics : int
    sample_weight : float32 array, shape (n_rows,), or None if all are 1
    weighted_topics : bool
        Whether `sample_weight` includes topic weights set by the user. If not, a learner may choose
        its own.
    validation_data : (X, labels) or None
        Rows to validate on, which are not learned from.
    seed : int
        Determines every random choice.
    first : bool
        For `partial_fit`: whether to start from nothing.
    n_jobs : int
        Threads; the result is the same for any number.
    cross_validate : bool
        Whether cross-validated scores of all rows are worth several fits. If not, a linear learner
        has scores of some rows, by weights learned from few others: good enough for calibration,
        but lower.
    moved : int array, shape (n_columns_before,), or None if no column has moved
        For `partial_fit`: the new place of each earlier column.
    progress : Progress
    """

    n_topics: int
    sample_weight: F32 | None = None
    weighted_topics: bool = False
    validation_data: tuple[sp.csr_array, Labels] | None = None
    seed: int = 0
    first: bool = False
    n_jobs: int = 1
    cross_validate: bool = False
    moved: Index | None = None
    progress: Progress = SILENT


# Learners by name ---------------------------------------------------------------------------------

#: Learners that can be chosen by name.
LearnerName = Literal["linear", "network"]
LEARNERS: tuple[LearnerName, ...] = typing.get_args(LearnerName)


def choose_learner(learner: str | Learner) -> Learner:
    """Return a learner by name, or an unfitted copy of a learner; else raise OptionError."""
    if isinstance(learner, str):
        check_choice("learner", learner, LEARNERS)
        return _learner_class(learner)()
    if isinstance(learner, type) or not isinstance(learner, Learner):
        raise option_error("learner", learner, f"one of {', '.join(LEARNERS)}, or a learner object")
    clone = getattr(learner, "__sklearn_clone__", None)
    return copy.deepcopy(learner) if clone is None else clone()


# Learners in model files --------------------------------------------------------------------------

# The module and class of each kind; only those of the kinds in a file are imported.
_KINDS = {
    "linear": ("slugline.learning.linear.learner", "LinearLearner"),
    "network": ("slugline.learning.net.learner", "NeuralLearner"),
    "mixture": ("slugline.learning.mixture", "Mixture"),
}

# Limits for files. Real mixtures have a handful of learners, nested at most twice.
_MAX_LEARNERS = 1000
_MAX_DEPTH = 16


class _Kind(msgspec.Struct):
    """What settings say about all others: files are not trusted."""

    kind: Literal["linear", "network", "mixture"]


def _learner_class(kind: str) -> Any:
    module, name = _KINDS[kind]
    return getattr(importlib.import_module(module), name)


def restore(settings: Mapping[str, Any], arrays: Mapping[str, F32]) -> Learner:
    """Return the learner that gave these `settings` and `arrays`.

    Raises
    ------
    DataError : if settings or arrays are unknown, missing, odd or too many.
    """
    check_settings(settings)
    try:
        learner = restore_part(settings, arrays)
    except KeyError as error:
        raise DataError(f"the learner has no array {error.args[0]!r}") from error
    if set(learner.arrays()) != set(arrays):
        raise DataError(f"arrays {sorted(arrays)} where the learner has {sorted(learner.arrays())}")
    return learner


def check_settings(settings: Mapping[str, Any]) -> None:
    """Raise DataError unless a learner in a model file may have these settings."""
    level = [settings]
    n_learners = depth = 0
    while level:
        n_learners, depth = n_learners + len(level), depth + 1
        if n_learners > _MAX_LEARNERS or depth > _MAX_DEPTH:
            raise DataError(
                f"a mixture of over {_MAX_LEARNERS:,} learners, or mixtures in one another over "
                f"{_MAX_DEPTH} deep"
            )
        level = [part for one in level for part in _check_one(one)]


def _check_one(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Check the settings of one learner; return those of the learners within, unchecked."""
    try:
        kind = msgspec.convert(settings, _Kind).kind
        checked = msgspec.convert(settings, _learner_class(kind).settings_type)
    except msgspec.ValidationError as error:
        raise DataError(f"settings of the learner: {error}") from error
    parts: list[dict[str, Any]] = checked.learners if kind == "mixture" else []
    return parts


def restore_part(settings: Mapping[str, Any], arrays: Mapping[str, F32]) -> Learner:
    """Return what `restore` does, of settings that have been checked; KeyError for no array."""
    learner: Learner = _learner_class(settings["kind"]).restore(settings, arrays)
    return learner
