"""`slugline evaluate`: test a saved model on labelled texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

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
from slugline.cli.output import print_json, show, warn
from slugline.cli.output_paths import check_target
from slugline.corpus.corpus import Corpus
from slugline.corpus.layout import ReadOptions
from slugline.corpus.topics import add_parents, name_warnings
from slugline.errors import Message, OptionError
from slugline.experiment.concerns import known_document_warnings, model_warnings
from slugline.experiment.evaluate import (
    check_evaluable,
    compare_evaluations,
    decide_corpus,
    evaluate_fitted,
)
from slugline.experiment.evidence import write_mistakes
from slugline.model.file.content import load_model, load_questions
from slugline.model.file.schema import ModelFile
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
      slugline evaluate desk.slug:queue labelled-later.csv
    """
    options.check_model_first("evaluate", model, data[0])
    if mistakes is not None:
        check_target("--mistakes", mistakes, [model, *data, against])
    models = load_questions(model)
    if len(models) > 1:
        _check_one_question(model, models, reading, mistakes, against)
    # Load both models first, so that errors appear early.
    second = None if against is None else _Evaluated(against, *load_model(against))
    results: dict[str, Any] = {}
    are_several = len(models) > 1 or second is not None
    for number, (question, (fitted, file)) in enumerate(models.items()):
        name = f"{model}:{question}" if question else model
        if question and not as_json:
            show(*[""] * (number > 0), question)
        results[question] = _evaluate(
            _Evaluated(name, fitted, file),
            data,
            reading,
            second=second,
            mistakes=mistakes,
            are_several=are_several,
            seed=seed,
            as_json=as_json,
        )
    if as_json:
        print_json({"questions": results} if len(models) > 1 else results[""])


def _check_one_question(
    model: str,
    questions: Iterable[str],
    reading: ReadOptions,
    mistakes: Path | None,
    against: str | None,
) -> None:
    """Raise OptionError if an option requires a model with a single question."""
    given = {"--topic": reading.topic, "--mistakes": mistakes, "--against": against}
    option = next((flag for flag, value in given.items() if value is not None), None)
    if option is not None:
        raise OptionError(
            f"{option} requires a single question; name it, such as "
            f"{model}:{next(iter(questions))}."
        )


class _Evaluated(NamedTuple):
    """A model to evaluate, under the name that the user gave."""

    name: str
    fitted: Fitted
    file: ModelFile


def _evaluate(
    first: _Evaluated,
    data: Sequence[str],
    reading: ReadOptions,
    *,
    second: _Evaluated | None,
    mistakes: Path | None,
    are_several: bool,
    seed: int,
    as_json: bool,
) -> dict[str, Any]:
    """Test a model on labelled texts, also against a second one; return the results for JSON.

    Warnings name the model if there are several.
    """
    fitted = first.fitted
    topics = [str(name) for name in fitted.topics.names]
    reading = replace(reading, layout=fitted.layout, topic_path=fitted.separator)
    parts = load_parts(data, reading, topics)
    corpus = add_parents(parts.get("test", parts["train"]), fitted.separator)
    if second is not None:
        check_evaluable(second.fitted, corpus, second.name)
    say_notes(corpus, several=len(data) > 1)
    evaluation = evaluate_fitted(fitted, corpus, random_state=seed)
    warn(_warnings(first, corpus, first.name if are_several else None))
    if mistakes is not None:
        write_mistakes(mistakes, fitted, corpus)
    tested = tested_decider(fitted, decide_corpus(fitted, corpus))
    print_broken_promise(tested, as_json)
    results: dict[str, Any] = evaluation.to_dict() | decisions_entry(tested)
    if not as_json:
        print_evaluation(evaluation)
        print_decisions(tested)
    if second is not None:
        other = evaluate_fitted(second.fitted, corpus, random_state=seed)
        warn(_warnings(second, corpus, second.name))
        paired = compare_evaluations(evaluation, other, corpus)
        results["against"] = {
            "model": second.name,
            "evaluation": other.to_dict(),
            "paired": paired.to_dict(),
        }
        if not as_json:
            print_paired(paired, first.name, second.name)
    return results


def _warnings(model: _Evaluated, corpus: Corpus, name: str | None) -> Iterator[str]:
    """Yield warnings about testing a model on a corpus, prefixed with `name` if given."""
    fitted, test_fraction = model.fitted, model.file.info.test_fraction
    topics = [str(name) for name in fitted.topics.names]
    for warning in (
        *known_document_warnings(fitted, corpus, test_fraction),
        *name_warnings(corpus.all_topics(), topics),
        *model_warnings(fitted, corpus),
    ):
        yield warning if name is None else Message(f"{name}: ", warning)
