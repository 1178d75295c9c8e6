"""`slugline train --check`: what came of training a model again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from slugline.cli.output import print_json, print_table, say, show

if TYPE_CHECKING:
    from slugline.corpus.corpus import Corpus
    from slugline.experiment.retraining import Reproduction

__all__ = ["check_model"]


def check_model(
    model: str, parts: dict[str, Corpus], threads: int, quiet: bool, as_json: bool
) -> None:
    """Train again, print whether the result is identical, and end with 1 if it is not."""
    from slugline.experiment.retraining import reproduce
    from slugline.progress import progress_on

    found = reproduce(
        model,
        parts["train"],
        parts.get("validation"),
        parts.get("test"),
        n_threads=threads,
        progress=None if quiet else progress_on(),
    )
    if found.not_measured:
        names = ", ".join(found.not_measured)
        say(f"{model}: not measured again: {names}; for that, give the --test file", quiet=quiet)
    if as_json:
        print_json(found.to_dict())
    else:
        _print(found)
    if not found.is_identical:
        say(f"{model}: {_likely_cause(found)}", quiet=quiet)
        raise typer.Exit(1)


def _print(found: Reproduction) -> None:
    if found.is_identical:
        show(
            f"{found.model}: identical; {found.n_documents:,} documents give the same "
            f"{found.n_bytes:,} bytes again"
        )
        return
    show(f"{found.model}: not identical")
    rows = [(what, _shown(then), _shown(now)) for what, then, now in found.differences]
    print_table([("", "in the file", "now"), *rows])


def _shown(value: Any) -> str:
    return "-" if value is None else f"{value:.9g}" if isinstance(value, float) else str(value)


def _likely_cause(found: Reproduction) -> str:
    if found.differences[0].what.startswith("versions."):
        return "made by other versions; install those to have the same bytes"
    if all(difference.what.startswith("metrics.") for difference in found.differences):
        return "the same model, tested on other documents"
    return "made by the same versions; the file was changed, or another processor rounded otherwise"
