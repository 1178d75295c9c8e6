"""What `slugline train` makes sure of before it reads anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from slugline.cli.targets import check_apart, check_mistakes, check_target
from slugline.errors import OptionError

if TYPE_CHECKING:
    from slugline.learners import Learner
    from slugline.text.block import Block

__all__ = [
    "NUM_WORDS",
    "check_described",
    "check_files",
    "check_free",
    "check_test",
    "choose_blocks",
    "refuse_check",
]

#: Words that count if only words are used.
NUM_WORDS = 10_000


def choose_blocks(
    learner: Learner, weighting: str | None, num_words: int | None
) -> list[Block] | None:
    """Return a block of words if the user sets how they count; else None, for the best default."""
    from slugline.text.block import Block

    if weighting is None and num_words is None:
        return None
    return [Block("words", weighting or learner.wants, max_terms=num_words or NUM_WORDS)]


def check_free(learner: str, weighting: str | None, num_words: int | None) -> None:
    """Check that no option sets what --tune chooses; OptionError if one does."""
    given = {
        "learner": None if learner == "linear" else learner,
        "weighting": weighting,
        "num-words": num_words,
    }
    for option, value in given.items():
        if value is not None:
            raise OptionError(f"--{option} {value}: --tune chooses it; leave one of them out.")


def refuse_check(model: str | None, sources: Sequence[str]) -> None:
    """Say where `train --check` of earlier releases has gone; OptionError if it is given."""
    if model is not None:
        raise OptionError(
            f"train --check is a command of its own: slugline check {model} {' '.join(sources)}."
        )


def check_described(topics: Path | None, given: Mapping[str, object]) -> None:
    """Check that topics are described where there is no DATA, and nothing needs documents."""
    if topics is None:
        raise OptionError(
            "Missing argument 'DATA': name documents to learn from, or describe topics with "
            "--topics and name an --encoder."
        )
    needing = next(
        (flag for flag, value in given.items() if value is not None and value is not False), None
    )
    if needing is not None:
        raise OptionError(
            f"{needing} needs documents, and --topics has descriptions alone; leave it out, or "
            "name DATA."
        )


def check_files(
    output: Path, report: Path | None, mistakes: Path | None, sources: Sequence[str | Path | None]
) -> Path:
    """Check that files can be written, and none over another; return the path of the report."""
    check_target("--output", output)
    if output.suffix == ".html" and report is None:
        raise OptionError(
            f"--output {output}: the model is no web page; name it like {output.stem}.slug, and "
            f"the report goes to {output.stem}.html."
        )
    # A name such as v1.2 keeps its dots.
    report = report or output.with_name(output.name.removesuffix(".slug") + ".html")
    check_target("--report", report)
    check_apart(output, report, sources)
    check_mistakes(mistakes, [*sources, output, report])
    return report


def check_test(test_fraction: float, curve: bool, baseline: bool, corrections: Path | None) -> None:
    """Check what to test on, and what --curve is compared with; OptionError if it can't be."""
    if baseline and not curve:
        raise OptionError("--baseline is one of the curves of --curve; give both.")
    if curve and corrections is not None:
        raise OptionError("--curve learns from DATA alone; leave it or --corrections out.")
    if not 0 <= test_fraction < 1:
        raise OptionError(
            f"--test-fraction is {test_fraction}; give a number of at least 0 and under 1."
        )
