"""`slugline compare`: several models on the same folds, with what each of them takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from slugline.base.files import write_result
from slugline.base.words import counted
from slugline.cli import options
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
from slugline.cli.targets import check_target
from slugline.corpus.rows import ReadOptions
from slugline.errors import OptionError, SluglineError, os_errors_as

if TYPE_CHECKING:
    from slugline.comparison.results import Comparison


_PAGE, _JSON, _PICTURE = "comparison.html", "comparison.json", "comparison.png"


@command()
@options.data_argument
@options.reading_options
@option(
    "--models A,B,...",
    "majority, naive-bayes, tfidf-svc, tfidf-logistic, default, network, ngrams-svc, encoder, "
    "tuned, all of these, or module:name for a scikit-learn pipeline of yours.",
    default="all",
)
@option("--folds N", "Number of folds.", type=int, default=5)
@option("--output -o DIR", f"Folder for {_PAGE}, {_JSON} and {_PICTURE}.", type=Path)
@option(
    "--resume FILE", "Keep results in this file, and measure only what it doesn't have.", type=Path
)
@option("--timeout S", "Seconds that a model may take for a fold.", type=float, default=3600.0)
@option("--jobs N", "Models to measure at the same time.", type=int, default=1)
@options.seed_option
@options.threads_option
@options.output_options
def compare(
    data: Sequence[str],
    reading: ReadOptions,
    models: str,
    folds: int,
    output: Path | None,
    resume: Path | None,
    timeout: float,
    jobs: int,
    seed: int,
    threads: int | None,
    as_json: bool,
) -> None:
    """Measure several models on the same folds: how good they are, and what they take.

    Each model runs in a process of its own. If one fails or takes too long,
    the reason is reported and the others continue. Ctrl-C stops and reports
    the models measured so far; --resume continues later.

    For example:

      slugline compare tickets.csv -o comparison
      slugline compare tickets.csv --models default,tfidf-svc,pipelines:mine
    """
    from slugline.comparison.models import choose_models
    from slugline.comparison.run import CompareSettings, compare_models
    from slugline.reports.comparison import format_model

    settings = CompareSettings(folds, seed, jobs, threads, timeout)
    names = models.split(",")
    choose_models(names)  # what is unknown is said before anything is read
    sources = [*data, reading.topic_map]
    if resume is not None:
        check_target("--resume", resume, sources)
    with _folder_for(output, sources), show_progress() as progress:
        corpus = options.read_parts(data, None, None, reading)["train"]
        chosen = choose_models(names, multilabel=corpus.multilabel)
        width = max(len(model.name) for model in chosen.models)
        comparison = compare_models(
            corpus,
            chosen,
            settings,
            resume=resume,
            progress=progress,
            on_result=lambda model: progress.note(format_model(model, width)),
        )
        if output is not None:
            _write(comparison, output)
    for note in comparison.notes:
        say(f"{comparison.name}: {note}")
    if comparison.interrupted:
        warn(["interrupted: these are the models measured so far"])
    if as_json:
        print_json(comparison.to_dict() | ({"output": str(output)} if output else {}))
    else:
        _print(comparison)
        if output is not None:
            show(f"page    {output / _PAGE}")
    exit_if_interrupted(comparison)
    if comparison.best is None:
        raise SluglineError("no model could be measured; see the reasons above.")


@contextmanager
def _folder_for(folder: Path | None, sources: list[str | Path | None]) -> Iterator[None]:
    """Make sure, before the work, that the files can be written; leave no empty folder behind."""
    if folder is None:
        yield
        return
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        _check_folder(folder, sources)
        yield
    finally:
        for path in missing:
            with suppress(OSError):  # what has files in it stays
                path.rmdir()


def _check_folder(folder: Path, sources: list[str | Path | None]) -> None:
    failure = f"--output {folder}: is no folder and can't become one"
    with os_errors_as(OptionError, failure, "name another place."):
        folder.mkdir(parents=True, exist_ok=True)
    for name in (_PAGE, _JSON, _PICTURE):
        check_target("--output", folder / name, sources)


def _write(comparison: Comparison, folder: Path) -> None:
    from slugline.base.plots import draw_png
    from slugline.reports.comparison import comparison_page

    text = json.dumps(comparison.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    page = comparison_page(comparison)
    write_result(folder / _PAGE, page.encode("utf-8", "backslashreplace"), "page")
    write_result(folder / _JSON, text.encode("utf-8", "backslashreplace"), "results")
    try:
        write_result(folder / _PICTURE, draw_png(comparison.plot), "picture")
    except OptionError as error:  # matplotlib is missing
        warn([f"{folder / _PICTURE} is left out: {error}"])


def _print(comparison: Comparison) -> None:
    from slugline.reports.comparison import comparison_rows, failures, table_notes, verdict

    show(
        f"{comparison.name}: {counted(comparison.n_documents, 'document')}, "
        f"{counted(comparison.n_topics, 'topic')}, {counted(comparison.n_folds, 'fold')}"
    )
    print_table(comparison_rows(comparison))
    for reason in failures(comparison):
        show(reason)
    show(verdict(comparison))
    if comparison.best is None:
        return
    for sentence in (*table_notes(comparison).quality, *table_notes(comparison).costs):
        show(sentence)
