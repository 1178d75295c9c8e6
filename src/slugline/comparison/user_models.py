"""User-defined models, imported by name: "module:name"."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from slugline.base.wording import nearest, one_line
from slugline.errors import OptionError

_LONGEST = 300  # maximum length of an error message


def find_user_model(reference: str, seed: int) -> Callable[[], Any]:
    """Return a factory of unfitted models.

    Parameters
    ----------
    reference : str
        "module:name", searched in the current folder first: an estimator, which is cloned, or a
        class or function that returns one.
    seed : int
        Replaces each `random_state` of the estimator that is None.

    Raises
    ------
    OptionError : if there is no such module or name, or it is not a classifier.
    """
    module_name, _, name = reference.partition(":")
    model = _find_name(_import(module_name), name)
    has_methods = _is_classifier(model)
    if isinstance(model, type) or (callable(model) and not has_methods):
        make = model
    elif has_methods:
        from sklearn.base import clone

        # Copy objects that are not scikit-learn estimators.
        make = partial(clone, model, safe=False)
    else:
        raise OptionError(
            f"{name} is {_kind(model)}; name a classifier of texts, with `fit` and `predict`, or a "
            "function that returns one."
        )
    return lambda: set_seed(make(), seed)


def check_user_model(reference: str, seed: int) -> None:
    """Raise OptionError if a user's model can't be found or made, or isn't a classifier."""
    make = find_user_model(reference, seed)
    try:
        model = make()
    except Exception as error:
        raise OptionError(f"making one raises {describe_error(error)}.") from error
    if not _is_classifier(model):
        raise OptionError(
            f"it makes {_kind(model)}; it must make a classifier of texts, with `fit` and "
            "`predict`."
        )


def describe_error(error: BaseException) -> str:
    """Return an error's message on one line, with its place in the user's folder."""
    name, message = type(error).__name__, str(error)
    line = one_line(f"{name}: {message}" if message.strip() else name, _LONGEST)
    folder = Path.cwd()
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if Path(frame.filename).parent == folder:
            return f"{line} ({Path(frame.filename).name}, line {frame.lineno})"
    return line


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
        hint = f"leave out .py: {name[:-3]}" if name.endswith(".py") else "check its name"
        raise OptionError(
            f"there is no module {missing} in {Path.cwd()}, nor among the installed packages; "
            f"{hint}."
        ) from error
    except Exception as error:
        raise OptionError(f"importing {name} raises {describe_error(error)}; fix it.") from error


def _find_name(module: ModuleType, name: str) -> Any:
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            names = [n for n in dir(value) if not n.startswith("_")]
            near = nearest(part, names)
            hint = f"did you mean {near}?" if near else "check its name."
            raise OptionError(f"module {module.__name__} has no {name}; {hint}")
        value = getattr(value, part)
    return value


def _is_classifier(value: Any) -> bool:
    return all(callable(getattr(value, method, None)) for method in ("fit", "predict"))


def _kind(value: Any) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def set_seed(model: Any, seed: int) -> Any:
    """Return a model with the seed for each `random_state` that is None."""
    if not hasattr(model, "get_params") or not hasattr(model, "set_params"):
        return model
    unset = [name for name, value in model.get_params().items() if value is None]
    names = [name for name in unset if name.split("__")[-1] == "random_state"]
    return model.set_params(**dict.fromkeys(names, seed)) if names else model
