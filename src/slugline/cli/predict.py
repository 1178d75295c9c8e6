"""`slugline predict`: write a JSON line or a table row per document."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

# Before msgspec, which imports typing_extensions if installed and so slows down NumPy's import.
import numpy  # noqa: F401

import msgspec  # isort: skip

from slugline.base.names import check_is_no_address, is_pattern
from slugline.base.wording import counted, one_line, printable, printable_json
from slugline.cli.options import (
    COUNT,
    FILE_OPTIONS,
    add_options,
    argument,
    check_model_first,
    command,
    id_option,
    models_argument,
    option,
    precision_option,
    quiet_option,
    setting_option,
)
from slugline.cli.output import explain_interrupt, is_quiet, say, show_progress, warn
from slugline.corpus.columns import format_list
from slugline.corpus.readers import RowReader, names_documents, read_rows
from slugline.corpus.rows import BadRow, compact, join_advice
from slugline.errors import DataError, Message, OptionError, SluglineError
from slugline.model.decision import Decision
from slugline.model.file.content import load_questions
from slugline.model.file.shipped import DEFAULT_MODEL, SHIPPED, is_model
from slugline.model.fitted import Fitted
from slugline.prediction.rows import (
    Deciders,
    Prediction,
    PredictOptions,
    RowCounts,
    decider_notes,
    make_deciders,
    predict_rows,
    write_predictions,
)

if TYPE_CHECKING:
    from slugline.prediction.job import JobResult

# Number of words and phrases for and against in each line.
_N_REASONS = 10
# Maximum length of a text in a message.
_MAX_TEXT = 60


_file_options = functools.partial(
    add_options, options=[setting_option(PredictOptions, name) for name in FILE_OPTIONS]
)
_folder_option = functools.partial(option, panel="With --output FOLDER")


@command()
@models_argument(
    "model",
    "A model file (.slug), or the included model reuters46, which is the default.",
    required=False,
)
@argument(
    "files",
    "Texts: one per line, or CSV, TSV, JSONL, JSON or Parquet (also .gz); standard input if "
    "omitted or -. With --output FOLDER, several files and patterns such as 'in/*.parquet'.",
    metavar="[FILE]...",
    nargs=-1,
)
@_file_options
@id_option
@option("--top K", "Print the K most likely topics.", type=COUNT, default=1)
@precision_option
@option(
    "--per-topic",
    "Apply --min-precision to each frequent topic separately instead of to all answers together.",
)
@option("--explain", "Also print the most important words and their positions.")
@option(
    "--output -o FILE",
    "Write a .csv, .tsv, .jsonl, .parquet or .xlsx file with all columns of FILE and the "
    "answers; or a folder, such as out/, with an output file for each FILE.",
    show_default="JSON lines to standard output",
)
@option("--strict", "Stop at the first unreadable row.")
@option(
    "--threads n_threads N",
    "Number of threads; doesn't affect results.",
    type=COUNT,
    default=1,
    parameters=("n_jobs",),
)
@_folder_option(
    "--to FORMAT", "Output format: csv, tsv, jsonl, parquet or xlsx.", show_default="same as FILE"
)
@_folder_option(
    "--workers N",
    "Number of processes.",
    type=COUNT,
    show_default="one per core",
    parameters=("n_workers",),
)
@_folder_option(
    "--scheduler ADDRESS",
    "Address of a Dask cluster, such as tcp://10.0.0.1:8786. Its machines must share the input "
    "and output paths.",
    show_default="this machine",
)
@_folder_option("--overwrite", "Replace output from a different model or different options.")
@quiet_option
def predict(
    model: str | None,
    files: Sequence[str],
    output: str | None,
    explain: bool,
    workers: int | None,
    scheduler: str | None,
    overwrite: bool,
    **answering: Any,
) -> None:
    """Classify texts, and print a JSON line per text, in input order.

    Unreadable rows get a line with "error", and the command continues, but exits
    with status 1. A column named "id" is copied to the output. Texts on standard
    input are answered whenever it pauses.

    A model trained with --min-precision may be unsure of a text. "topic" is then
    null, "reason" explains why, and "topics" lists the best guesses.

    With --output FILE, answers are added as columns: the topic, named as in the
    training data (or "topic" if that name is unknown or taken, or
    "predicted_topic" if both are taken), probability and error; with --top, also
    topic_2, probability_2 and so on; with --min-precision, also reason and guess,
    the most likely topic.

    Multi-label models print "topics" with their "probabilities"; "guesses" are
    the most likely topics, assigned or not. Files store topics as the training
    data do (lists, cells such as grain;wheat, or columns of 0 and 1), followed by
    reason, guess and guess_probability.

    With --output FOLDER, files are processed in parallel, and each output file
    appears when it is complete. Reruns process only new and changed files; the
    subfolder _slugline records how each file was processed.

    For example:

      echo "Wheat exports rose" | slugline predict
      slugline predict model.slug new.csv
      slugline predict model.slug new.csv -o answers.csv
      slugline predict model.slug 'in/*.parquet' -o out/
    """
    options = PredictOptions(**answering)
    for name in filter(None, (model, *files)):
        check_is_no_address(name)
    if files:
        _check_is_no_text(files[0], model or DEFAULT_MODEL)
    elif model is not None:
        _check_is_no_text(model, DEFAULT_MODEL)
    if output is not None and explain:
        raise OptionError(
            "--explain can't be used with --output; it is available only for JSON lines."
        )
    if output is not None and (output.endswith(("/", os.sep)) or Path(output).is_dir()):
        model, files = _model_and_files(model, files)
        _predict_folder(
            model,
            files,
            Path(output),
            options,
            n_workers=workers,
            scheduler=scheduler,
            overwrite=overwrite,
        )
        return
    folder_options = {
        "--to": options.to,
        "--workers": workers,
        "--scheduler": scheduler,
        "--overwrite": overwrite,
    }
    _check_no_folder(files, folder_options)
    model, files = _model_and_files(model, files)
    path = None if output is None else Path(output)
    _predict_one(model, files[0], path, options, explain=explain)


def _check_no_folder(files: Sequence[str], folder_options: Mapping[str, object]) -> None:
    """Raise OptionError if an option or the files require an output folder."""
    given = [flag for flag, value in folder_options.items() if value]
    if given:
        raise OptionError(f"{given[0]} requires an output folder, such as --output out/.")
    if len(files) == 2 and not (Path(files[1]).exists() or is_pattern(files[1])):
        raise OptionError(f"{files[1]} doesn't exist; did you mean -o {files[1]}?")
    if len(files) > 1:
        raise OptionError(f"{len(files)} files require an output folder, such as --output out/.")
    if any(map(is_pattern, files)):
        raise OptionError(f"pattern {files[0]} requires an output folder, such as --output out/.")


def _model_and_files(first: str | None, others: Sequence[str]) -> tuple[str, list[str]]:
    """Return MODEL and the FILEs, both optional.

    Raises
    ------
    DataError : if the first is neither a model nor a file, or the order is wrong.
    """
    if first is not None and others:
        check_model_first("predict", first, others[0])
        return first, [*others]
    if first is not None and is_model(first):
        return first, ["-"]
    if first not in (None, "-") and not (Path(first).exists() or is_pattern(first)):
        raise DataError(
            f"{first}: no such file. Check the path, or pass a model: "
            f"{', '.join(SHIPPED)} or a .slug file."
        )
    say(
        f"using the included model {DEFAULT_MODEL} ({SHIPPED[DEFAULT_MODEL]}); "
        "use your own with slugline predict MODEL FILE"
    )
    return DEFAULT_MODEL, [first or "-"]


def _check_is_no_text(name: str, model: str) -> None:
    """Raise DataError if `name` is not a file but probably a text to classify."""
    # Path.exists would raise OSError for a long text.
    if len(name.split()) < 2 or os.sep in name or names_documents(name) or os.path.exists(name):  # noqa: PTH110
        return
    import shlex

    text = shlex.quote(one_line(name, _MAX_TEXT))
    raise DataError(
        f"{text} is not a file. To classify it as a text: echo {text} | slugline predict {model}. "
        f"To see which words count: slugline explain {model} {text}."
    )


def _predict_one(
    model: str, file: str, output: Path | None, options: PredictOptions, *, explain: bool
) -> None:
    if output is not None:
        from slugline.cli.output_paths import check_target
        from slugline.prediction.files import check_ending

        check_ending(output)
        check_target("--output", output, [model, file])
    models = {question: fitted for question, (fitted, _) in load_questions(model).items()}
    deciders = make_deciders(models, options)
    is_typed = file == "-" and sys.stdin.isatty()
    if is_typed:  # before reading the first line to detect the format
        say("type one text per line; Ctrl-D ends the input")
    layout = next(iter(models.values())).layout
    rows = read_rows(file, options.reading(layout), fallback="txt")
    # After any error in the arguments.
    warn(Message(f"{name} is ", note) for name, note in decider_notes(model, deciders))
    if rows.note:
        say(Message(f"{rows.name}: ", rows.note))
    batches = predict_rows(
        deciders, rows, options, announce=lambda note: say(Message(f"{rows.name}: ", note))
    )
    start = time.monotonic()
    print_lines = functools.partial(
        _print_lines, unit=rows.unit, top=options.top, explained=models if explain else None
    )
    with (
        _file_writer(output, rows, deciders, options.top) as write,
        show_progress(hidden=is_typed, bar_only=output is None, is_late=True) as progress,
    ):

        def show_rows(n_rows: int) -> None:
            speed = n_rows / max(time.monotonic() - start, 1e-3)
            detail = f"{n_rows:,} {rows.unit}s  {speed:,.0f} a second"
            progress.update("predicting", rows.fraction_read(), detail)

        counts = write_predictions(
            batches, rows, write or print_lines, strict=options.strict, on_progress=show_rows
        )
    _finish(counts, rows, output)


def _finish(counts: RowCounts, rows: RowReader, output: Path | None) -> None:
    """Print the number of failed rows, and exit with 1 if there are any."""
    if not counts.n_rows:
        say(f"{rows.name} contains no texts")
    if counts.n_bad:
        summary = Message(f"{counts.n_bad} of {counts.n_rows} {rows.unit}s could not be classified")
        if counts.undecoded:
            problem, advice = counts.undecoded[0].problem, join_advice(counts.undecoded)
            summary += Message(f" ({problem}: ", advice, ")")
        place = "the lines" if output is None else str(output)
        message = Message(f"{rows.name}: ", summary, f'; see "error" in {place}')
        if is_quiet() and output is not None:  # without --output, the lines contain the errors
            warn([message])
        else:
            say(message)
        raise click.exceptions.Exit(1)


@contextmanager
def _file_writer(
    output: Path | None, rows: RowReader, deciders: Deciders, top: int
) -> Iterator[Callable[[Sequence[Prediction | BadRow]], None] | None]:
    """Yield a function that writes batches of answers to the output file, or None without one."""
    if output is None:
        yield None
        return
    from slugline.prediction.files import open_answer_file

    with open_answer_file(output, rows, deciders, top) as file:
        yield file.write
    if file.dropped_columns:
        columns = format_list(file.dropped_columns)
        warn([f"{output} omits {columns}, missing from the first rows of {rows.name}"])


def _print_lines(
    answers: Sequence[Prediction | BadRow],
    *,
    unit: str,
    top: int,
    explained: Mapping[str, Fitted] | None,
) -> None:
    """Print answers as JSON lines, with reasons if models to explain are given."""
    encode = msgspec.json.Encoder(enc_hook=str).encode
    out = sys.stdout.buffer
    for answer in answers:
        if isinstance(answer, BadRow):
            row_id = {} if answer.id in (None, "") else {"id": compact(answer.id)}
            fields = {unit: answer.at, **row_id, "error": answer.problem}
        else:
            fields = _answer_fields(answer, top, explained)
        out.write(printable_json(encode(fields).decode()).encode() + b"\n")
    # The process that supplies the next rows may be waiting for these answers.
    out.flush()


def _answer_fields(
    answer: Prediction, top: int, explained: Mapping[str, Fitted] | None
) -> dict[str, Any]:
    """Return the fields of an answer; those of several questions are under "answers"."""
    by_question = {name: _decision_fields(each, top) for name, each in answer.decisions.items()}
    for question, fitted in (explained or {}).items():
        reasons = _reasons(fitted, answer.text, answer.decisions[question])
        by_question[question]["reasons"] = reasons
    row_id = {} if answer.id is None else {"id": compact(answer.id)}
    [first, *others] = by_question.values()
    return row_id | ({"answers": by_question} if others else first)


def _reasons(fitted: Fitted, text: str, decision: Decision) -> list[dict[str, Any]]:
    """Return the strongest words for and against the topic of an answer."""
    from slugline.explanation.explain import explain

    columns = [column.label for column in fitted.columns]
    topics = decision.topics or [decision.top[0][0]]
    return [
        {
            **({"topic": topic} if fitted.multilabel else {}),
            **reason._asdict(),
            "word": printable(reason.word),  # JSON input may have escaped lone surrogates
            "attribution": round(reason.attribution, 6),
        }
        for topic in topics
        for reason in explain(
            fitted, text, topic, max_reasons=_N_REASONS, split_encoder=False
        ).reasons
        if reason.start is not None or reason.word.partition("=")[0] in columns
    ]


def _decision_fields(decision: Decision, top: int) -> dict[str, Any]:
    """Return the fields of an answer, with `top` guesses if above 1 or if it is unsure."""
    guesses = None
    if decision.reason or top > 1:
        n_guesses = len(decision.top) if decision.reason else top
        guesses = [
            {"topic": topic, "probability": round(probability, 4)}
            for topic, probability in decision.top[:n_guesses]
        ]
    reason = str(decision.reason) if decision.reason else None
    fields: dict[str, Any]
    optional: dict[str, Any]
    if decision.topics is None:
        fields = {"topic": decision.topic, "probability": round(decision.probability, 4)}
        optional = {"reason": reason, "topics": guesses}
    else:
        fields = {
            "topics": None if decision.reason else decision.topics,
            "probabilities": [round(probability, 4) for probability in decision.probabilities],
        }
        optional = {"reason": reason, "guesses": guesses}
    present = {name: value for name, value in optional.items() if value is not None}
    return fields | present


# Folders ------------------------------------------------------------------------------------------


def _predict_folder(
    model: str,
    files: Sequence[str],
    out: Path,
    options: PredictOptions,
    *,
    n_workers: int | None,
    scheduler: str | None,
    overwrite: bool,
) -> None:
    """Write an answer file for each input file; SluglineError if any file failed."""
    from slugline.base.clusters import unlogged
    from slugline.prediction.job import predict_files

    if scheduler is not None and n_workers is not None:
        raise OptionError(
            "--workers can't be used with --scheduler, which runs on a cluster; leave one out."
        )
    message = "interrupted: the same command resumes the job."
    with unlogged(), explain_interrupt(lambda: message), show_progress() as progress:
        result = predict_files(
            model,
            files,
            out,
            options,
            overwrite=overwrite,
            n_workers=n_workers,
            client=scheduler,
            progress=progress,
        )
    _finish_folder(result, out)


def _finish_folder(result: JobResult, out: Path) -> None:
    speed = result.n_rows / max(result.seconds, 1e-3)
    text = f"{out}: answered {counted(result.n_files, 'file')}"
    if result.n_files:
        text += f", {result.n_rows:,} rows in {result.seconds:,.1f} s, {speed:,.0f} a second"
    if result.n_up_to_date:
        text += f"; skipped {result.n_up_to_date:,} up to date"
    say(text)
    if result.failed:
        files = counted(result.n_files + len(result.failed), "file")
        raise SluglineError(
            f"{len(result.failed):,} of {files} failed. Fix them and rerun; finished files are "
            "skipped."
        )
    if result.n_bad:
        rows, files = counted(result.n_bad, "row"), counted(result.n_bad_files, "file")
        say(f'{rows} of {files} could not be classified; see "error" in the answers')
        raise click.exceptions.Exit(1)
