"""What `train` and `evaluate` say of the answers that the model gives alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from slugline.cli.output import print_table, warn

if TYPE_CHECKING:
    from slugline.corpus.corpus import Corpus
    from slugline.experiment.routed import Routed
    from slugline.fitted import Fitted
    from slugline.routing import Router

__all__ = ["MinPrecision", "Routing", "as_entry", "print_routing", "routing_of"]


def _checked(share: float | None) -> float | None:
    if share is not None:
        from slugline.checks import check_share

        check_share("min_precision", share)
    return share


MinPrecision = Annotated[
    float | None,
    typer.Option(
        "--min-precision",
        metavar="SHARE",
        callback=_checked,
        help="Choose thresholds, so that answers given alone are right this often, such as 0.95; "
        "of other texts, `predict` says that it is unsure.",
        show_default=False,
    ),
]


class Routing(NamedTuple):
    """A model's thresholds, and how they do on a test, if there is one."""

    router: Router
    tested: Routed | None

    @property
    def threshold(self) -> float | None:
        """The one threshold of all topics that are ever answered; None if there are several."""
        finite = {value for value in self.router.thresholds.tolist() if value < math.inf}
        return finite.pop() if len(finite) == 1 else None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON; a topic never answered has no threshold."""
        names, thresholds = self.router.fitted.topics.names, self.router.thresholds.tolist()
        return {
            "min_precision": self.router.precision,
            "thresholds": {
                str(name): None if threshold == math.inf else threshold
                for name, threshold in zip(names, thresholds, strict=True)
            },
            "left_out": self.router.reach._asdict(),
            "test": self.tested.to_dict() if self.tested else None,
        }


def print_routing(routing: Routing | None) -> None:
    """Print what was asked for, from which probability on, and what that brings."""
    if routing is None:
        return
    rows = routing.router.summary()
    if routing.tested:
        rows.append(("on test texts", routing.tested.summary()))
    print_table(rows, left=(0, 1))


def as_entry(routing: Routing | None) -> dict[str, Any]:
    """Return an entry for JSON, or none."""
    return {"routing": routing.to_dict()} if routing else {}


def routing_of(fitted: Fitted, test: Corpus | None) -> Routing | None:
    """Return what there is to say; None if no precision was asked for, or it is out of reach."""
    from slugline.errors import OptionError
    from slugline.experiment.routed import route_test
    from slugline.routing import Router

    if fitted.left_out is None:
        return None
    try:
        router = Router.of(fitted)
    except OptionError as error:  # the model is as good as without
        warn([str(error)])
        return None
    return Routing(router, route_test(router, test) if test else None)
