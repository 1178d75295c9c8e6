"""A model of the user's, found by `module:name`.

Its code runs: only the process of the model imports it.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from slugline.errors import OptionError

__all__ = ["describe_own", "find_own", "reason_of"]

_LONGEST = 300  # characters of an error's message


def find_own(reference: str, seed: int) -> Callable[[], Any]:
    """Return what makes a new, unfitted model, each time it is called.

    Parameters
    ----------
    reference : str
        "module:name". The module is looked for in the current folder first. The name is that of an
        estimator, which is cloned; or of a class or function that returns one without being given
        anything.
    seed : int
        For each `random_state` of the estimator that is None.

    Raises
    ------
    OptionError : if there is no such module or name, or it is no classifier.
    """
    module_name, _, name = reference.partition(":")
    found = _find_name(_import(module_name), name)
    has_methods = _is_classifier(found)
    if isinstance(found, type) or (callable(found) and not has_methods):
        make = found
    elif has_methods:
        make = _cloner(found)
    else:
        raise OptionError(
            f"{name} is {_kind(found)}; name a classifier of texts, with `fit` and `predict`, or a "
            "function that returns one."
        )

    def make_seeded() -> Any:
        return _seeded(make(), seed)

    return make_seeded


def describe_own(reference: str, seed: int) -> str:
    """Return what tells one state of a user's model from another: its settings and its source.

    Raises
    ------
    OptionError : if it can't be found, or isn't a classifier.
    """
    make = find_own(reference, seed)
    try:
        model = make()
    except Exception as error:
        raise OptionError(f"making one raises {reason_of(error)}.") from error
    if not _is_classifier(model):
        raise OptionError(
            f"it makes {_kind(model)}; it must make a classifier of texts, with `fit` and "
            "`predict`."
        )
    source = getattr(sys.modules[reference.partition(":")[0]], "__file__", None)
    content = Path(source).read_bytes() if source else b""
    # Without parameters, a `repr` says where in memory the model is.
    settings = repr(model) if hasattr(model, "get_params") else type(model).__qualname__
    return f"{hashlib.sha256(content).hexdigest()} {settings}"


def reason_of(error: BaseException) -> str:
    """Return what an error says on one line, and where in the user's folder it arose."""
    words = " ".join(str(error).split())
    said = f"{type(error).__name__}: {words}" if words else type(error).__name__
    said = said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"
    here = Path.cwd()
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).parent == here:
            return f"{said} ({Path(frame.filename).name}, line {frame.lineno})"
    return said


def _import(name: str) -> ModuleType:
    sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not f"{name}.".startswith(f"{missing}."):
            raise OptionError(
                f"module {name} imports {missing}, which is not installed; install it."
            ) from error
        hint = f"leave .py away: {name[:-3]}" if name.endswith(".py") else "check its name"
        raise OptionError(
            f"there is no module {missing} in {Path.cwd()}, nor among the installed packages; "
            f"{hint}."
        ) from error
    except Exception as error:
        raise OptionError(f"importing {name} raises {reason_of(error)}; mend it.") from error


def _find_name(module: ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            names = [n for n in dir(found) if not n.startswith("_")]
            near = difflib.get_close_matches(part, names, n=1)
            hint = f"did you mean {near[0]}?" if near else "check its name."
            raise OptionError(f"module {module.__name__} has no {name}; {hint}")
        found = getattr(found, part)
    return found


def _is_classifier(value: Any) -> bool:
    return all(callable(getattr(value, method, None)) for method in ("fit", "predict"))


def _kind(value: Any) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def _cloner(model: Any) -> Callable[[], Any]:
    from sklearn.base import clone

    def make() -> Any:
        # What is no estimator of scikit-learn's is copied.
        return clone(model, safe=False)

    return make


def _seeded(model: Any, seed: int) -> Any:
    if not hasattr(model, "get_params") or not hasattr(model, "set_params"):
        return model
    names = [
        name
        for name, value in model.get_params().items()
        if name.split("__")[-1] == "random_state" and value is None
    ]
    return model.set_params(**dict.fromkeys(names, seed)) if names else model
