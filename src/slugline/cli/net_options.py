"""Options of the net's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from slugline.errors import OptionError

if TYPE_CHECKING:
    from slugline.learners import Learner

__all__ = ["make_learner", "net_option", "widths"]

#: Of a hidden layer. Wider ones are slips of the finger.
MAX_WIDTH = 100_000


def net_option(name: str, help_: str, default: str, **settings: Any) -> Any:
    """Declare an option of the net: None unless given, as other learners must do without it."""
    return typer.Option(
        name, help=help_, show_default=default, rich_help_panel="Of --learner network", **settings
    )


def widths(value: str) -> list[int]:
    """Read "64,32" as the widths of two hidden layers."""
    try:
        widths = [int(part) for part in value.split(",")]
    except ValueError:
        raise OptionError(
            f"--hidden {value!r} is no list of widths; write one like 64 or 128,64."
        ) from None
    if not all(1 <= width <= MAX_WIDTH for width in widths):
        raise OptionError(
            f"--hidden {value!r} holds a width outside 1 to {MAX_WIDTH:,}; "
            "write one like 64 or 128,64."
        )
    return widths


def make_learner(name: str, validation: str | None, options: Mapping[str, Any]) -> Learner:
    """Make a learner of the net's options, None where one was not given; others take none."""
    from slugline.learners.choosing import choose_learner
    from slugline.learners.neural import NeuralLearner

    given = {option: value for option, value in options.items() if value is not None}
    if name == "network":
        net = NeuralLearner(**given)
        net.check_options()
        return net
    learner = choose_learner(name)
    unused = [*given, *(["validation"] if validation else [])]
    if unused:
        raise OptionError(
            f"--{unused[0].replace('_', '-')} says how a net learns, and the {name} learner makes "
            "none; leave it out, or add --learner network."
        )
    return learner
