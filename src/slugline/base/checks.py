"""Checks of options and arguments, and the number of cores."""

from __future__ import annotations

import math
import numbers
import os
import re
import reprlib
from collections.abc import Sequence
from typing import Any

from slugline.errors import OptionError, Parameter

_SURROGATE = re.compile("[\ud800-\udfff]")
#: Largest weight of a topic or a document: the float32 maximum, rounded down.
MAX_WEIGHT = 3e38
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60

# Abstract number types, which include NumPy's. NumPy isn't imported here so that `--help` and
# `--version` stay fast.
_WHOLE, _NUMBER = numbers.Integral, numbers.Real


def check_whole(name: str, value: Any, minimum: int, maximum: int | None = None) -> None:
    """Raise OptionError unless a value is a whole number from `minimum` to `maximum`."""
    is_whole = isinstance(value, _WHOLE) and not isinstance(value, bool)
    if is_whole and minimum <= value and (maximum is None or value <= maximum):
        return
    bounds = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
    raise option_error(name, value, f"a whole number {bounds}")


def check_number(
    name: str,
    value: Any,
    *,
    over: float | None = None,
    least: float | None = None,
    under: float | None = None,
) -> None:
    """Raise OptionError unless a value is a finite number within bounds.

    `over` and `under` are exclusive bounds, `least` is inclusive.
    """
    if (
        is_number(value)
        and (over is None or value > over)
        and (least is None or value >= least)
        and (under is None or value < under)
    ):
        return
    bounds = (("over", over), ("of at least", least), ("under", under))
    wanted = " and ".join(f"{word} {bound}" for word, bound in bounds if bound is not None)
    raise option_error(name, value, f"a number {wanted}")


def check_fraction(name: str, value: Any, *, may_be_0: bool = False) -> None:
    """Raise OptionError unless 0 < `value` < 1; for 95, suggest 0.95."""
    bounds = {"least" if may_be_0 else "over": 0}
    try:
        check_number(name, value, **bounds, under=1)
    except OptionError as error:
        if not (is_number(value) and 1 < value < 100):
            raise
        raise OptionError(*error.parts, f" Did you mean {value / 100:g}?") from None


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Raise OptionError unless a value is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        one_of = "one of " if len(choices) > 1 else ""
        raise option_error(name, value, one_of + ", ".join(choices))


def is_number(value: Any) -> bool:
    """Return True for a finite Python or NumPy number other than a boolean."""
    return not isinstance(value, bool) and isinstance(value, _NUMBER) and math.isfinite(value)


def has_surrogates(text: str) -> bool:
    """Return True if a text contains a lone surrogate, which UTF-8 can't encode."""
    return _SURROGATE.search(text) is not None


def replace_surrogates(value: Any) -> Any:
    """Replace lone surrogates in the strings of a JSON value by the replacement character."""
    if isinstance(value, str):
        return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, list | tuple):
        return list(map(replace_surrogates, value))
    if isinstance(value, dict):
        return {replace_surrogates(key): replace_surrogates(item) for key, item in value.items()}
    return value


def option_error(name: str, value: Any, wanted: str) -> OptionError:
    """Return the error for an invalid value of a parameter; `wanted` describes valid ones."""
    return OptionError(Parameter(name), f" is {short_repr(value)}; give {wanted}.")


def short_repr(value: Any) -> str:
    """Return the repr of a value, shortened if it is long."""
    return " ".join(_short.repr(value).split())


# Cores and memory --------------------------------------------------------------------------------


def count_threads(n_jobs: int | None) -> int:
    """Return the number of threads; None or -1 means one per core, as in scikit-learn.

    Raises OptionError for other numbers below 1.
    """
    if n_jobs is None or n_jobs == -1:
        # Cores available to this process, where the system reports them.
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1
    check_whole("n_jobs", n_jobs, 1)
    return int(n_jobs)
