"""`slugline compare`: accuracy, time and memory of several models on the same folds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from slugline.base.chart import svg_file
from slugline.base.files import write_result
from slugline.base.wording import counted
from slugline.cli import options
from slugline.cli.documents import read_parts
from slugline.cli.options import command, option
from slugline.cli.output import (
    exit_if_interrupted,
    print_json,
    print_table,
    say,
    show,
    show_progress,
    warn,
)
from slugline.cli.output_paths import check_folder
from slugline.comparison.models import choose_models
from slugline.comparison.results import Comparison
from slugline.comparison.run import CompareSettings, compare_models
from slugline.corpus.layout import ReadOptions
from slugline.errors import Message, SluglineError
from slugline.reports import comparison as reporting
from slugline.reports.pictures import score_by_model

_PAGE, _JSON, _CHART = "comparison.html", "comparison.json", "comparison.svg"


@command()
@options.data_argument
@options.reading_options
@option(
    "--models A,B,...",
    "majority, naive-bayes, tfidf-svc, default, network, ngrams-svc, words, encoder, tuned, all "
    "(the preceding ones), tfidf-logistic, or module:name for your own scikit-learn pipeline.",
    default="all",
)
@option(
    "--baseline MODEL",
    "Model to compare the others with, chosen beforehand.",
    show_default="the best",
)
@option("--folds N", "Number of folds.", type=int, default=5, parameters=("n_folds",))
@option("--output -o DIR", f"Folder for {_PAGE}, {_JSON} and {_CHART}.", type=Path)
@option("--timeout S", "Time limit per model and fold, in seconds.", type=float, default=3600.0)
@options.seed()
@options.threads()
@options.output_options
def compare(
    data: Sequence[str],
    reading: ReadOptions,
    models: str,
    baseline: str | None,
    folds: int,
    output: Path | None,
    timeout: float,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Compare models by cross-validation: accuracy, time and memory.

    All models use the same folds, and each runs in a separate process. If one
    fails or takes too long, the reason is reported and the others continue.
    Ctrl-C stops and reports the models measured so far.

    For example:

      slugline compare tickets.csv -o comparison
      slugline compare tickets.csv --models default,tfidf-svc,pipelines:mine
    """
    settings = CompareSettings(n_folds=folds, random_state=seed, n_jobs=threads, timeout=timeout)
    names = models.split(",")
    choose_models(names, baseline=baseline)  # report unknown names before reading data
    if output is not None:
        check_folder("--output", output, (_PAGE, _JSON, _CHART), [*data, reading.topic_map])
    with show_progress() as progress:
        corpus = read_parts(data, None, reading)["train"]
        chosen = choose_models(names, baseline=baseline, multilabel=corpus.multilabel)
        width = max(len(model.name) for model in chosen.models)
        comparison = compare_models(
            corpus,
            chosen,
            settings,
            progress=progress,
            on_result=lambda model: progress.note(reporting.format_model(model, width)),
        )
        if output is not None:
            _write(comparison, output)
    for note in comparison.notes:
        say(Message(f"{comparison.name}: ", note))
    if comparison.interrupted:
        warn(["interrupted; showing the models measured so far"])
    if as_json:
        print_json(comparison.to_dict() | ({"output": str(output)} if output else {}))
    else:
        _print(comparison)
        if output is not None:
            show(f"page    {output / _PAGE}")
    exit_if_interrupted(comparison)
    if comparison.best is None:
        raise SluglineError("no model could be measured; see the reasons above.")


def _write(comparison: Comparison, folder: Path) -> None:
    text = json.dumps(comparison.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_result(folder / _PAGE, reporting.comparison_page(comparison), "page")
    write_result(folder / _JSON, text, "results")
    if comparison.measured:
        chart = score_by_model(comparison.marks(), comparison.score_name)
        write_result(folder / _CHART, svg_file([chart]), "chart")


def _print(comparison: Comparison) -> None:
    show(
        f"{comparison.name}: {counted(comparison.n_documents, 'document')}, "
        f"{counted(comparison.n_topics, 'topic')}, {counted(comparison.n_folds, 'fold')}"
    )
    print_table(reporting.comparison_rows(comparison))
    show(*reporting.failures(comparison), reporting.verdict(comparison))
    if comparison.best is not None:
        show(*filter(None, reporting.table_notes(comparison).values()))
