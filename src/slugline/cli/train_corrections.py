"""`slugline train --corrections`: what it asks, makes sure of, and prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from slugline.cli.options import ReadOptions
from slugline.cli.output import print_json, print_table, show, warn
from slugline.cli.targets import check_not_read
from slugline.errors import OptionError, SluglineError

if TYPE_CHECKING:
    from slugline.classifier import TopicClassifier
    from slugline.corpus.corpus import Corpus
    from slugline.corrections.learning import RetrainingResult
    from slugline.model.fitted import Fitted

__all__ = [
    "CorrectionWeight",
    "Corrections",
    "CorrectionsOf",
    "Force",
    "Teaching",
    "learn_corrections",
    "make_way",
    "print_outcome",
    "read_teaching",
]

_PANEL = "With --corrections"
# Rows of the table of topics; --json has all of them.
_MOST_ROWS = 20

Corrections = Annotated[
    Path | None,
    typer.Option(
        "--corrections",
        metavar="FILE",
        help="Learn from corrected answers as well, which `slugline serve` has kept, and print "
        "what they changed. Learns as MODEL did, if there is one and no settings are given.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
CorrectionWeight = Annotated[
    float | None,
    typer.Option(
        "--correction-weight",
        metavar="W",
        help="How many documents a correction counts as.",
        show_default="1",
        rich_help_panel=_PANEL,
    ),
]
CorrectionsOf = Annotated[
    list[str] | None,
    typer.Option(
        "--corrections-of",
        metavar="NAME",
        help="Only those of the model with this name, as it was served; may be repeated.",
        show_default="the only one",
        rich_help_panel=_PANEL,
    ),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force",
        metavar="",
        help="Write the model even if a topic got clearly worse.",
        rich_help_panel=_PANEL,
    ),
]


class Before(NamedTuple):
    """How the model that is there was learned and stored."""

    classifier: TopicClassifier
    min_precision: float | None
    quantize: str | None
    max_bytes: int | None
    test_fraction: float | None


class Teaching(NamedTuple):
    """Corrections, and how to learn from them."""

    corrections: Corpus
    weight: float
    before: Before | None
    test_fraction: float | None


def read_teaching(
    path: Path | None,
    models: Sequence[str] | None,
    weight: float | None,
    force: bool,
    output: Path,
    settings: Sequence[object],
    test: str | None,
    test_fraction: float | None,
    n_threads: int | None,
) -> Teaching | None:
    """Return the corrections and how to learn from them; None if there are none to learn from.

    Parameters
    ----------
    path, models, weight, force, output, test, test_fraction, n_threads
        What the user gave.
    settings : sequence of object
        All options that say how to learn. If none of them is given, the model that is at `output`
        says how, if there is one.

    Raises
    ------
    OptionError : if the options don't go together.
    StoreError : if there is no such file of corrections, or it is none of ours, or can't be read.
    DataError : if no corrections are in it.
    ModelFileError : if the file that is at `output` is no model.
    EncoderError : if it needs an encoder that is missing.
    """
    from slugline.base.checks import check_number
    from slugline.corrections.learning import DEFAULT_WEIGHT, to_corpus
    from slugline.corrections.store import CorrectionStore

    if path is None:
        flags = {
            "--correction-weight": weight is not None,
            "--corrections-of": bool(models),
            "--force": force,
        }
        for flag, is_given in flags.items():
            if is_given:
                raise OptionError(f"{flag} goes with --corrections FILE; give both.")
        return None
    check_not_read("--output", output, [path])
    weight = DEFAULT_WEIGHT if weight is None else weight
    check_number("correction_weight", weight, over=0)
    if test_fraction == 0 and test is None:
        raise OptionError(
            "--test-fraction 0 leaves nothing to test on, and so nothing to tell whether "
            "--corrections make a topic worse; leave it out, or give a --test file."
        )
    with CorrectionStore(path, create=False) as store:
        corrections = to_corpus(store.rows(), str(path), models or None)
    before = _before(output, n_threads) if output.exists() else None
    if any(value not in (None, False, 0, "linear") for value in settings):
        before = None
    if before is not None and test_fraction is None:
        test_fraction = before.test_fraction
    return Teaching(corrections, weight, before, test_fraction)


def _before(output: Path, n_threads: int | None) -> Before:
    """Return how the model that is there was learned."""
    from slugline.classifier import TopicClassifier
    from slugline.model.file.content import load_model

    fitted, file = load_model(output)
    precision, left_out = file.info.precision, fitted.left_out
    classifier = TopicClassifier.from_fitted(fitted, n_jobs=n_threads)
    # Of files, all topics are words, even those that are numbers in the model.
    classifier.descriptions = _by_word(classifier.descriptions)
    if isinstance(classifier.class_weight, Mapping):
        classifier.class_weight = _by_word(classifier.class_weight)
    return Before(
        classifier,
        None if left_out is None else left_out.precision,
        None if precision == "float32" else precision,
        file.info.max_bytes or None,
        file.info.test_fraction,
    )


def _by_word(by_topic: Mapping[Any, Any] | None) -> dict[str, Any] | None:
    return {str(topic): value for topic, value in by_topic.items()} if by_topic else None


def learn_corrections(
    classifier: TopicClassifier,
    parts: Mapping[str, Corpus],
    teaching: Teaching,
    reading: ReadOptions,
    how: Mapping[str, Any],
) -> RetrainingResult:
    """Train with documents and corrections; see `train_with_corrections`."""
    from slugline.corpus.topics import fold_topics, read_topic_map
    from slugline.corrections.learning import train_with_corrections

    train, corrections = parts["train"], teaching.corrections
    if reading.map_topics is not None:
        names = read_topic_map(reading.map_topics, reading.encoding, reading.format_)
        renamed = [names.get(topic, topic) for topic in corrections.topics]
        corrections = replace(corrections, topics=renamed)
    if reading.fold_topics:
        corrections = fold_topics(corrections, train.topics)
    return train_with_corrections(
        classifier,
        train,
        corrections,
        parts.get("validation"),
        parts.get("test"),
        weight=teaching.weight,
        **how,
    )


def make_way(outcome: RetrainingResult, output: Path, force: bool, as_json: bool) -> Fitted:
    """Keep the model that is there, if the new one may take its place; return the latter.

    Raises
    ------
    SluglineError : if a topic got clearly worse, and --force wasn't given.
    ModelFileError : if the model that is there can't be kept.
    """
    from slugline.corrections.learning import restore_integer_topics
    from slugline.model.file import container
    from slugline.model.file.generations import keep_before

    if not outcome.passes and not force:
        if as_json:
            print_json({"corrections": outcome.to_dict(), "model": None, "report": None})
        else:
            print_outcome(outcome)
        raise SluglineError(
            f"{output} is not written: {outcome.why_not()}. Look at the corrections of these "
            "topics, or write it all the same with --force."
        )
    if not outcome.passes:
        warn([outcome.why_not()])
    fitted = outcome.experiment.fitted
    if output.exists():
        fitted = restore_integer_topics(fitted, container.read(output).info.topics)
        keep_before(output)
    return fitted


def print_outcome(outcome: RetrainingResult | None, output: Path | None = None) -> None:
    """Print what corrections changed, and how to go back if a model has been replaced."""
    if outcome is None:
        return
    from slugline.model.file.generations import kept_before
    from slugline.reports.training_text import TOPIC_HEAD, said_of, topic_rows

    show(f"\nwhat {outcome.merged.corrections.name} changed")
    print_table(said_of(outcome), left=(0, 1))
    rows = topic_rows(outcome)
    if rows:
        show()
        print_table([TOPIC_HEAD, *rows[:_MOST_ROWS]], left=(0, 7))
    if len(rows) > _MOST_ROWS:
        show(f"and {len(rows) - _MOST_ROWS} more, which --json has")
    if output is not None and (kept := kept_before(output)):
        show(f"before  {kept[0]}, to which `slugline rollback {output}` goes back")
