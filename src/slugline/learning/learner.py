"""Interfaces of learners, which turn CSR rows into scores and probabilities of topics.

A learner imports its fitting modules only when `fit` is called.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import importlib
import math
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    NamedTuple,
    Protocol,
    Self,
    TypeGuard,
    runtime_checkable,
)

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
    from slugline.learning.net.network import Network
    from slugline.learning.net.training import History
    from slugline.text.scoring import TermWeights


class Capabilities(NamedTuple):
    """The optional capabilities of a learner.

    A custom learner declares its own: `capabilities = Capabilities(multilabel=True)`.

    Attributes
    ----------
    multilabel : bool
        True if it accepts multilabel rows.
    has_epochs : bool
        True if it searches for its best epoch, on held-out rows unless validation data are passed.
    in_batches : bool
        True for a `BatchLearner`; required by `partial_fit`.
    is_linear : bool
        True for a `LinearModel`, whose scores are sums of term weights. Required by encoders, lists
        of each topic's terms, exported pages and training on streams.
    is_network : bool
        True for a `NetworkModel`, whose scores are explained by gradients.
    """

    multilabel: bool = False
    has_epochs: bool = False
    in_batches: bool = False
    is_linear: bool = False
    is_network: bool = False


@runtime_checkable
class Learner(Protocol):
    """A classifier of rows, with scores and probabilities of topics."""

    #: The term weighting that suits it best.
    weighting: str

    @property
    def capabilities(self) -> Capabilities:
        """Its optional capabilities."""

    @property
    def multilabel(self) -> bool:
        """True if trained on multilabel rows."""

    def fit(self, X: sp.csr_array, labels: Labels, context: FitContext) -> History | None:
        """Fit to rows and their topics; return the history of epochs, if any."""

    def decision_function(self, X: sp.csr_array) -> F32:
        """Return scores, shape (n_rows, n_topics); the predicted topic has the largest one."""

    def predict_proba(self, X: sp.csr_array) -> F32:
        """Return probabilities, shape (n_rows, n_topics); single-label rows sum to 1."""

    def settings(self) -> dict[str, Any]:
        """Return plain data for `restore`."""

    def arrays(self) -> dict[str, F32]:
        """Return the fitted arrays by name."""


class BatchLearner(Learner, Protocol):
    """A learner that can also be trained batch by batch."""

    #: True if later batches may have additional columns.
    grows: bool
    calibration: AnyCalibration
    #: Scores of the latest rows before training on them, or None.
    recent_: RecentScores | None

    def partial_fit(self, X: sp.csr_array, labels: Labels, context: FitContext) -> None:
        """Train on another batch; the first one starts from scratch."""


class LinearModel(BatchLearner, Protocol):
    """A learner whose scores are a bias plus the sum of the weights of terms."""

    biases: F32  # shape (n_topics,)
    #: Number of training documents excluded because their topics look wrong.
    n_suspect_labels: int
    #: Scores of some training rows from weights trained on other rows.
    heldout_scores_: HeldOutScores | None

    @property
    def weights(self) -> sp.csr_array:
        """The weights, without negligible ones, shape (n_columns, n_topics)."""

    def term_weights(self) -> TermWeights | None:
        """Return the weights in the kernel's format; None if they may still change."""

    def weights_of(self, columns: Integers) -> F64:
        """Return the weights of some columns, shape (n_chosen, n_topics)."""

    def unused_columns(self) -> Mask:
        """Return a mask of the columns without weights, shape (n_columns,)."""

    def of_columns(self, columns: Integers) -> LinearModel:
        """Return a copy for rows with only these columns."""

    def learned(
        self,
        weights: sp.csr_array,
        biases: F32,
        calibration: AnyCalibration,
        heldout: HeldOutScores | None = None,
    ) -> LinearModel:
        """Return a fitted learner with the same options, these weights and held-out scores."""


class NetworkModel(Learner, Protocol):
    """A learner whose scores are the output of a network."""

    @property
    def network(self) -> Network:
        """The network's layers and their weights."""


def is_linear(learner: Learner) -> TypeGuard[LinearModel]:
    """Return True if scores are sums of term weights; see `Capabilities`."""
    return learner.capabilities.is_linear


def is_network(learner: Learner) -> TypeGuard[NetworkModel]:
    """Return True if scores are the output of a network; see `Capabilities`."""
    return learner.capabilities.is_network


def learns_in_batches(learner: Learner) -> TypeGuard[BatchLearner]:
    """Return True if the learner has `partial_fit`; see `Capabilities`."""
    return learner.capabilities.in_batches


# Options ------------------------------------------------------------------------------------------


class ParamsMixin:
    """Base class for `set_params`, as scikit-learn requires it."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor arguments by name."""
        raise NotImplementedError

    def set_params(self, **params: Any) -> Self:
        """Change constructor arguments; raise OptionError if one is unknown or out of range."""
        known = self.get_params()
        if unknown := sorted(params.keys() - known.keys()):
            raise OptionError(
                f"{type(self).__name__} has no option {unknown[0]!r}; choose one of "
                f"{', '.join(known)}."
            )
        vars(self).update(vars(type(self)(**{**known, **params})))
        return self


@dataclasses.dataclass(eq=False, repr=False)
class Options(ParamsMixin):
    """Base class for the options of a learner, which all have default values.

    Raises OptionError if an option is out of range.
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
        """Return the options by name."""
        return self.options()

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted learner with the same options."""
        return type(self)(**self.options())

    @classmethod
    def options_in(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options among the settings of a learner."""
        return {name: settings[name] for name in option_hints(cls) if name in settings}

    def __repr__(self) -> str:
        return format_call(self)


def option_hints(options: Any) -> dict[str, Any]:
    """Return the type hint of each option, including its `msgspec.Meta`."""
    names = [field.name for field in dataclasses.fields(options)]
    # Read hints from the options class: the learner has others, some only for type checking.
    declared = next(c for c in options.__mro__ if "__dataclass_fields__" in vars(c))
    hints = _type_hints(declared)
    return {name: hints[name] for name in names}


@functools.cache
def _type_hints(declared: Any) -> dict[str, Any]:
    # Cached, since they take noticeable time in a fit to few texts.
    return typing.get_type_hints(declared, include_extras=True)


def settings_struct(
    kind: str, options: type[Options], learned: Mapping[str, Any]
) -> type[msgspec.Struct]:
    """Return the type of a learner's entry in a model file: kind, options and fitted values."""
    fields = [*option_hints(options).items(), *learned.items()]
    return msgspec.defstruct(
        f"{kind}_settings", fields, tag_field="kind", tag=kind, forbid_unknown_fields=True
    )


def describe_range(hint: Any) -> str:
    """Return a phrase for the values allowed by a type hint.

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
    """Convert NumPy numbers, which JSON can't represent, to Python numbers."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return type(value)(map(_to_builtin, value)) if type(value) in (list, tuple) else value


def _to_json_value(value: Any) -> Any:
    """Return a value for JSON, which can't represent infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


# Context of a fit ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class FitContext:
    """Settings of a fit besides rows and topics, derived from user settings and documents.

    Attributes
    ----------
    n_topics : int
    sample_weight : float32 array, shape (n_rows,), or None if all are 1
    weighted_topics : bool
        True if `sample_weight` includes topic weights from the user. If not, a learner may choose
        topic weights.
    validation_data : (X, labels) or None
        Rows to validate on, excluded from training.
    seed : int
        Determines every random choice.
    first : bool
        For `partial_fit`: True to start from scratch.
    n_jobs : int
        Number of threads; the result doesn't depend on it.
    cross_validate : bool
        True to cross-validate the scores of all rows with several fits. If not, a linear learner
        scores some rows with weights trained on a few others: good enough for calibration, but
        lower.
    n_enough : int, optional
        Stop cross-validation after this many scores, unless rows are few; by default, score all
        rows.
    moved : int array, shape (n_columns_before,), or None if no column has moved
        For `partial_fit`: the new position of each earlier column.
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
    n_enough: int | None = None
    moved: Index | None = None
    progress: Progress = SILENT


# Learners by name ---------------------------------------------------------------------------------

#: Names of learners.
LearnerName = Literal["linear", "network"]
LEARNERS: tuple[LearnerName, ...] = typing.get_args(LearnerName)


def choose_learner(learner: str | Learner) -> Learner:
    """Return a learner by name, or an unfitted copy of a learner."""
    if isinstance(learner, str):
        check_choice("learner", learner, LEARNERS)
        return _learner_class(learner)()
    if isinstance(learner, type) or not isinstance(learner, Learner):
        raise option_error("learner", learner, f"one of {', '.join(LEARNERS)}, or a learner object")
    clone = getattr(learner, "__sklearn_clone__", None)
    return copy.deepcopy(learner) if clone is None else clone()


# Learners in model files --------------------------------------------------------------------------

# Module and class of each kind; only modules needed by a file are imported.
_KINDS = {
    "linear": ("slugline.learning.linear.learner", "LinearLearner"),
    "network": ("slugline.learning.net.learner", "NeuralLearner"),
    "mixture": ("slugline.learning.mixture", "Mixture"),
}

# Limits for untrusted files; real mixtures have a few learners, nested at most twice.
_MAX_LEARNERS = 1000
_MAX_DEPTH = 16


class _Kind(msgspec.Struct):
    """The entry that determines which other settings are valid."""

    kind: Literal["linear", "network", "mixture"]


def _learner_class(kind: str) -> Any:
    module, name = _KINDS[kind]
    return getattr(importlib.import_module(module), name)


def restore(settings: Mapping[str, Any], arrays: Mapping[str, F32]) -> Learner:
    """Rebuild the learner that returned these `settings` and `arrays`.

    Raises
    ------
    DataError : if settings or arrays are unknown, missing, invalid or too many.
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
    """Raise DataError unless these settings are valid for a learner in a model file."""
    level = [settings]
    n_learners = depth = 0
    while level:
        n_learners, depth = n_learners + len(level), depth + 1
        if n_learners > _MAX_LEARNERS or depth > _MAX_DEPTH:
            raise DataError(
                f"a mixture of over {_MAX_LEARNERS:,} learners, or mixtures nested over "
                f"{_MAX_DEPTH} deep"
            )
        level = [part for one in level for part in _check_one(one)]


def _check_one(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Check one learner's settings; return the unchecked settings of its parts."""
    try:
        kind = msgspec.convert(settings, _Kind).kind
        checked = msgspec.convert(settings, _learner_class(kind).settings_type)
    except msgspec.ValidationError as error:
        raise DataError(f"settings of the learner: {error}") from error
    parts: list[dict[str, Any]] = checked.learners if kind == "mixture" else []
    return parts


def restore_part(settings: Mapping[str, Any], arrays: Mapping[str, F32]) -> Learner:
    """Rebuild a learner from checked settings; raise KeyError if an array is missing."""
    learner: Learner = _learner_class(settings["kind"]).restore(settings, arrays)
    return learner
