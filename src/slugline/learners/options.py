"""The options of learners: each is declared once, with its range and its meaning.

The declaration checks the constructor's arguments, reads model files, and makes the command line's
options. It is a dataclass whose type hints carry `msgspec.Meta`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
import numpy as np

from slugline.errors import OptionError

__all__ = ["Options", "option_hints", "settings_struct", "wanted"]


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
