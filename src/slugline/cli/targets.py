"""Files that commands write."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from slugline.cli.output import print_table, warn
from slugline.errors import OptionError, os_errors_as

if TYPE_CHECKING:
    from slugline.corpus.corpus import Corpus
    from slugline.experiment.run import MultilabelRoutingResult, RoutingResult
    from slugline.model.fitted import Fitted
    from slugline.model.routing import Router


def check_not_read(option: str, path: Path, sources: Iterable[str | Path | None]) -> None:
    """Check that a file to write is not one of those to read; OptionError if it is."""
    # Not `Path.resolve`, which raises another error if links go in a circle.
    if os.path.realpath(path) in {os.path.realpath(source) for source in sources if source}:
        raise OptionError(f"{option} {path}: would overwrite an input file; name another one.")


def check_target(option: str, path: Path, sources: Iterable[str | Path | None] = ()) -> None:
    """Check, before the work, that a file can be written, and overwrites no source.

    Raises
    ------
    OptionError : if `path` is not a file, none can be created in its folder, or it is a source.
    """
    if str(path) == "-":
        raise OptionError(
            f"{option} -: this is written to a file, not standard output; name a file."
        )
    advice = "create the folder, fix its permissions, or name another place."
    with os_errors_as(OptionError, f"{option} {path}: can't write a file there", advice):
        if path.exists() and not path.is_file():
            kind = "a folder" if path.is_dir() else "a device or pipe"
            raise OptionError(f"{option} {path}: is {kind}; name a file.")
        tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent).close()
    check_not_read(option, path, sources)


def check_folder(
    option: str, folder: Path, names: Iterable[str], sources: Iterable[str | Path | None] = ()
) -> None:
    """Check, before the work, that files can be written into a folder, which may be missing.

    Raises
    ------
    OptionError : if the folder can't be created, or see `check_target`.
    """
    if folder.is_dir():
        for name in names:
            check_target(option, folder / name, sources)
        return
    nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    failure = f"{option} {folder}: the folder can't be created"
    with os_errors_as(OptionError, failure, "choose another one."):
        tempfile.TemporaryFile(dir=nearest).close()


# Results of routing -------------------------------------------------------------------------------


class TestedRouter(NamedTuple):
    """A model's thresholds, and how they do on a test, if there is one."""

    router: Router
    tested: RoutingResult | MultilabelRoutingResult | None

    @property
    def threshold(self) -> float | None:
        """The one threshold of all topics that are ever answered; None if there are several."""
        finite = {value for value in self.router.thresholds.tolist() if value < math.inf}
        return finite.pop() if len(finite) == 1 else None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON; a topic never answered has no threshold."""
        names, thresholds = self.router.fitted.topics.names, self.router.thresholds.tolist()
        heldout = self.router.fitted.held_out_predictions
        alternative = None if heldout is None else heldout.alternative
        return {
            "min_precision": self.router.precision,
            "alternative": alternative._asdict() if alternative else None,
            "thresholds": {
                str(name): None if threshold == math.inf else threshold
                for name, threshold in zip(names, thresholds, strict=True)
            },
            "left_out": self.router.achieved._asdict(),
            "test": self.tested.to_dict() if self.tested else None,
        }


def print_routing(routing: TestedRouter | None) -> None:
    """Print what was asked for, from which probability on, and what that brings."""
    if routing is None:
        return
    rows = routing.router.summary()
    if routing.tested:
        rows.append(("on test texts", routing.tested.summary()))
    print_table(rows, left_aligned=(0, 1))


def routing_entry(routing: TestedRouter | None) -> dict[str, Any]:
    """Return an entry for JSON, or none."""
    return {"routing": routing.to_dict()} if routing else {}


def tested_router(fitted: Fitted, test: Corpus | None) -> TestedRouter | None:
    """Return what there is to say; None if no precision was asked for."""
    from slugline.experiment.run import route_test
    from slugline.model.routing import Router

    router = Router.from_fitted(fitted)
    if router.precision is None:
        return None
    if router.note:
        warn([f"the model is {router.note}"])
    return TestedRouter(router, route_test(router, test) if test else None)


# Files of answers ---------------------------------------------------------------------------------


def check_answer_file(path: Path, sources: Iterable[str]) -> None:
    """Check, before the work, that answers can be written to `path`; OptionError if not."""
    from slugline.prediction.files import check_ending

    check_ending(path)
    check_target("--output", path, sources)
