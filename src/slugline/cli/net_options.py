"""The command line's options for the net, made from those that `NeuralLearner` declares."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import msgspec
import typer

from slugline.errors import OptionError
from slugline.learners.neural import MAX_WIDTH, NeuralLearner, NeuralOptions
from slugline.learners.options import option_hints

if TYPE_CHECKING:
    from slugline.learners import Learner

__all__ = ["NET_PANEL", "make_learner", "with_net_options"]

#: The heading of the net's options in the help.
NET_PANEL = "Of --learner network"

# The default in words, where the value alone doesn't explain it.
_SHOWN = {"hidden": "64, or as many as topics", "learning_rate": "the optimizer's own"}


def with_net_options(verb: Callable[..., None]) -> Callable[..., None]:
    """Add the net's options to a verb that takes further keywords; None if not given."""
    signature = inspect.signature(verb, eval_str=True)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    hints = _net_hints()
    net = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
        for name, hint in hints.items()
    ]
    verb.__signature__ = signature.replace(parameters=[*own, *net])  # type: ignore[attr-defined]
    verb.__annotations__ |= hints
    return verb


def _net_hints() -> dict[str, Any]:
    """Return how typer reads each option."""
    return {name: _typer_hint(name, hint) for name, hint in option_hints(NeuralOptions).items()}


def _typer_hint(name: str, hint: Any) -> Any:
    kind, metas = _parts(hint)
    default = getattr(NeuralOptions, name, None)
    settings: dict[str, Any] = {
        "help": next(meta.description for meta in metas if meta.description),
        "show_default": _SHOWN.get(name, str(default)),
        "rich_help_panel": NET_PANEL,
    }
    if kind is int:
        settings["min"] = next(meta.ge for meta in metas if meta.ge is not None)
    if kind not in (int, float):
        kind = str
    metavars = {int: "N", float: "NUMBER", str: "NAME"}
    settings["metavar"] = "WIDTHS" if name == "hidden" else metavars[kind]
    return Annotated[kind | None, typer.Option(_flag(name), **settings)]


def _parts(hint: Any) -> tuple[Any, list[msgspec.Meta]]:
    """Return the plain type of a hint, and its descriptions."""
    if get_origin(hint) is Annotated:
        kind, metas = _parts(get_args(hint)[0])
        return kind, [*metas, *(m for m in hint.__metadata__ if isinstance(m, msgspec.Meta))]
    if type(None) in get_args(hint):
        return _parts(next(arg for arg in get_args(hint) if arg is not type(None)))
    return hint, []


def widths(value: str) -> list[int]:
    """Return the widths of hidden layers: those of two for "64,32"."""
    try:
        found = [int(part) for part in value.split(",")]
    except ValueError:
        raise OptionError(
            f"--hidden {value!r} is not a list of widths; write one like 64 or 128,64."
        ) from None
    if not all(1 <= width <= MAX_WIDTH for width in found):
        raise OptionError(
            f"--hidden {value!r} holds a width outside 1 to {MAX_WIDTH:,}; "
            "write one like 64 or 128,64."
        )
    return found


def make_learner(name: str, validation: str | None, options: Mapping[str, Any]) -> Learner:
    """Return a learner with the net's options, None if one was not given; others take none."""
    from slugline.learners.choosing import choose_learner

    given = {option: value for option, value in options.items() if value is not None}
    if "hidden" in given:
        given["hidden"] = widths(given["hidden"])
    if name == "network":
        return NeuralLearner(**given)
    learner = choose_learner(name)
    unused = [*given, *(["validation"] if validation else [])]
    if unused:
        raise OptionError(
            f"{_flag(unused[0])} says how a net learns, but the {name} learner has "
            "no net; leave it out, or add --learner network."
        )
    return learner


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
