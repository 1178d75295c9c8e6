"""`slugline evaluate`: test a saved model on labelled texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from slugline.cli import options
from slugline.cli.documents import load_parts, say_notes
from slugline.cli.metrics import (
    decisions_entry,
    print_broken_promise,
    print_decisions,
    print_evaluation,
    print_paired,
    tested_decider,
)
from slugline.cli.options import command, option
from slugline.cli.output import print_json, warn
from slugline.cli.output_paths import check_target
from slugline.corpus.corpus import Corpus
from slugline.corpus.layout import ReadOptions
from slugline.corpus.topics import add_parents, name_warnings
from slugline.errors import Message
from slugline.experiment.concerns import known_document_warnings, model_warnings
from slugline.experiment.evaluate import (
    check_evaluable,
    compare_evaluations,
    decide_corpus,
    evaluate_fitted,
)
from slugline.experiment.evidence import write_mistakes
from slugline.model.file.content import load_model
from slugline.model.fitted import Fitted


@command()
@options.model_argument
@options.data_argument
@options.reading_options
@options.mistakes()
@option("--against MODEL2", "Model to compare with on the same texts.")
@options.seed()
@options.output_options
def evaluate(
    model: str,
    data: Sequence[str],
    reading: ReadOptions,
    mistakes: Path | None,
    against: str | None,
    seed: int,
    as_json: bool,
) -> None:
    """Test a model on labelled texts.

    For an included data set, uses its test split if it has one.

    For example:

      slugline evaluate tickets.slug labelled-later.csv
      slugline evaluate new.slug labelled-later.csv --against old.slug
    """
    options.check_model_first("evaluate", model, data[0])
    if mistakes is not None:
        check_target("--mistakes", mistakes, [model, *data, against])
    fitted, file = load_model(model)
    # Load both models first, so that errors appear early.
    second = load_model(against) if against is not None else None
    topics = [str(name) for name in fitted.topics.names]
    reading = replace(reading, layout=fitted.layout, topic_path=fitted.separator)
    parts = load_parts(data, reading, topics)
    corpus = add_parents(parts.get("test", parts["train"]), fitted.separator)
    if against is not None and second is not None:
        check_evaluable(second[0], corpus, against)
    say_notes(corpus, several=len(data) > 1)
    evaluation = evaluate_fitted(fitted, corpus, random_state=seed)
    warn(_warnings(fitted, corpus, file.info.test_fraction, model if against else None))
    if mistakes is not None:
        write_mistakes(mistakes, fitted, corpus)
    tested = tested_decider(fitted, decide_corpus(fitted, corpus))
    print_broken_promise(tested, as_json)
    results: dict[str, Any] = evaluation.to_dict() | decisions_entry(tested)
    if not as_json:
        print_evaluation(evaluation)
        print_decisions(tested)
    if against is not None and second is not None:
        other = evaluate_fitted(second[0], corpus, random_state=seed)
        warn(_warnings(second[0], corpus, second[1].info.test_fraction, against))
        paired = compare_evaluations(evaluation, other, corpus)
        results["against"] = {
            "model": against,
            "evaluation": other.to_dict(),
            "paired": paired.to_dict(),
        }
        if not as_json:
            print_paired(paired, model, against)
    if as_json:
        print_json(results)


def _warnings(
    fitted: Fitted, corpus: Corpus, test_fraction: float | None, name: str | None
) -> Iterator[str]:
    """Yield warnings about testing a model on a corpus, prefixed with `name` if there are two."""
    topics = [str(name) for name in fitted.topics.names]
    for warning in (
        *known_document_warnings(fitted, corpus, test_fraction),
        *name_warnings(corpus.all_topics(), topics),
        *model_warnings(fitted, corpus),
    ):
        yield warning if name is None else Message(f"{name}: ", warning)
