"""`slugline predict`: write a JSON line or a table row per document."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click

# Before msgspec, which imports typing_extensions if installed and so slows down NumPy's import.
import numpy  # noqa: F401

import msgspec  # isort: skip

from slugline.base.names import check_is_no_address, is_pattern
from slugline.base.wording import one_line, printable, printable_json
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
from slugline.cli.output import is_quiet, say, show_progress, warn
from slugline.corpus.columns import format_list
from slugline.corpus.readers import RowReader, names_documents, read_rows
from slugline.corpus.rows import BadRow, compact, join_advice
from slugline.errors import DataError, Message, OptionError
from slugline.model.decider import Decider
from slugline.model.file.content import load_model
from slugline.model.file.shipped import DEFAULT_MODEL, SHIPPED, is_model
from slugline.model.fitted import Fitted
from slugline.prediction.rows import (
    Prediction,
    PredictOptions,
    RowCounts,
    make_decider,
    predict_rows,
    write_predictions,
)

# Number of words and phrases for and against in each line.
_N_REASONS = 10
# Maximum length of a text in a message.
_MAX_TEXT = 60


_file_options = functools.partial(
    add_options, options=[setting_option(PredictOptions, name) for name in FILE_OPTIONS]
)
_folder_option = functools.partial(option, panel="With a folder for --output")


@command()
@models_argument(
    "model",
    "A saved model (.slug), or reuters46, which comes with Slugline and answers if none is named.",
    required=False,
)
@argument(
    "files",
    "Texts: one per line, or CSV, TSV, JSONL, JSON or Parquet (also .gz); omit it or use - for "
    "standard input. With a folder for --output, also several files, and patterns such as "
    "'in/*.parquet'.",
    metavar="[FILE]...",
    nargs=-1,
)
@_file_options
@id_option
@option("--top K", "Print the K most likely topics.", type=COUNT, default=1)
@precision_option
@option(
    "--per-topic",
    "Apply --min-precision to each frequent topic separately, so that no topic falls short "
    "while all together reach it.",
)
@option("--explain", "Add the words that count most for or against the topic, and their positions.")
@option(
    "--output -o FILE",
    "Write a .csv, .tsv, .jsonl, .parquet or .xlsx file: all columns of FILE, then the "
    "answers; or a folder, such as out/, with a file of answers for each FILE.",
    show_default="JSON lines to standard output",
)
@option("--strict", "Stop at the first bad row.")
@option(
    "--threads n_threads N",
    "Number of threads; does not change results.",
    type=COUNT,
    default=1,
    parameters=("n_jobs",),
)
@_folder_option(
    "--to FORMAT",
    "Format of the answers: csv, tsv, jsonl, parquet or xlsx.",
    show_default="same as each FILE",
)
@_folder_option(
    "--workers N",
    "Processes that answer files in parallel.",
    type=COUNT,
    show_default="one for each core",
    parameters=("n_workers",),
)
@_folder_option(
    "--scheduler ADDRESS",
    "Use a Dask cluster, such as tcp://10.0.0.1:8786; its machines must find FILE and the "
    "folder under the same paths.",
    show_default="this machine",
)
@_folder_option(
    "--overwrite", "Overwrite answers made by a different model or with different options."
)
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
    """Classify texts: one JSON line per document, in their order.

    A row that can't be read becomes a line with "error", and the job
    continues; the exit status is then 1. A column named "id" is passed through.
    Whenever standard input pauses, all texts so far are answered.

    A model trained with --min-precision may be unsure of a text: its topic is
    then null, "reason" says why, and "topics" are the best guesses.

    With --output, the answers are columns after those of FILE: the topic, under
    the name in MODEL's data, or "topic" if that is unknown or FILE has such a
    column; then probability (with --top, also topic_2, probability_2 and so on),
    and error; with --min-precision, also reason and guess, the most likely topic.
    If FILE has a column of the same name, the answer's is predicted_topic.

    If MODEL gives several topics to a text, they are "topics" with their
    "probabilities", and "guesses" are the most likely ones, given or not. Files
    have them in the form of MODEL's data: lists, cells such as grain;wheat, or
    columns of 0 and 1; then reason, guess and guess_probability.

    With a folder for --output, files are answered in parallel, and each file of
    answers appears when it is complete. A rerun answers only files without
    answers and files that have changed; the folder _slugline records how each
    file was answered.

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
            "--explain is for JSON lines on standard output, and --output writes a file; leave one "
            "of them out."
        )
    if output is not None and (output.endswith(("/", os.sep)) or Path(output).is_dir()):
        from slugline.cli.predict_folder import predict_folder

        model, files = _model_and_files(model, files)
        predict_folder(
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
        raise OptionError(f"{given[0]} needs a folder of answers; name one, such as --output out/.")
    if len(files) == 2 and not (Path(files[1]).exists() or is_pattern(files[1])):
        raise OptionError(f"{files[1]} doesn't exist; did you mean -o {files[1]}?")
    if len(files) > 1 or any(map(is_pattern, files)):
        description = (
            f"{len(files)} files" if len(files) > 1 else f"{files[0]} is a pattern for files"
        )
        raise OptionError(
            f"{description}, whose answers go into a folder; name one, such as --output out/."
        )


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
            f"{first} is neither a model nor a file of texts: there is no such file; check the "
            f"path, or name a model: {', '.join(SHIPPED)}, or a file that ends in .slug."
        )
    say(
        f"using the included model {DEFAULT_MODEL} ({SHIPPED[DEFAULT_MODEL]}); "
        "name your own with slugline predict MODEL FILE"
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
        f"{text} is not a file; if it is a text, pipe it: echo {text} | slugline predict {model}. "
        f"To see which words decide: slugline explain {model} {text}."
    )


def _predict_one(
    model: str, file: str, output: Path | None, options: PredictOptions, *, explain: bool
) -> None:
    if output is not None:
        from slugline.cli.output_paths import check_target
        from slugline.prediction.files import check_ending

        check_ending(output)
        check_target("--output", output, [model, file])
    fitted, _ = load_model(model)
    decider = make_decider(fitted, options)
    is_typed = file == "-" and sys.stdin.isatty()
    if is_typed:  # before reading the first line to detect the format
        say("type a text on each line; Ctrl-D ends the input")
    rows = read_rows(file, options.reading(fitted.layout), fallback="txt")
    if decider.note:  # after any error in the arguments
        warn([Message(f"{model} is ", decider.note)])
    if rows.note:
        say(Message(f"{rows.name}: ", rows.note))
    batches = predict_rows(
        decider, rows, options, announce=lambda note: say(Message(f"{rows.name}: ", note))
    )
    start = time.monotonic()
    lines = _LineWriter(rows.unit, options.top, fitted if explain else None)
    with (
        _writer(output, rows, decider, lines) as write,
        show_progress(hidden=is_typed, bar_only=output is None, is_late=True) as progress,
    ):

        def show_rows(n_rows: int) -> None:
            speed = n_rows / max(time.monotonic() - start, 1e-3)
            detail = f"{n_rows:,} {rows.unit}s  {speed:,.0f} a second"
            progress.update("predicting", rows.fraction_read(), detail)

        counts = write_predictions(
            batches, rows, write, strict=options.strict, on_progress=show_rows
        )
    _finish(counts, rows, output)


def _finish(counts: RowCounts, rows: RowReader, output: Path | None) -> None:
    """Print the number of failed rows, and exit with 1 if there are any."""
    if not counts.n_rows:
        say(f"{rows.name} holds no documents")
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
def _writer(
    output: Path | None, rows: RowReader, decider: Decider, lines: _LineWriter
) -> Iterator[Callable[[Sequence[Prediction | BadRow]], None]]:
    """Yield a function that writes batches of answers to standard output or a file."""
    if output is None:
        yield lines.write
        return
    from slugline.prediction.files import open_answer_file

    with open_answer_file(output, rows, decider, lines.top) as file:
        yield file.write
    if file.dropped_columns:
        columns = format_list(file.dropped_columns)
        warn([f"{output} lacks {columns}, which the first rows of {rows.name} don't have"])


class _LineWriter(NamedTuple):
    """Writes answers as JSON lines to standard output, with reasons if `explained` is given."""

    unit: str
    top: int
    explained: Fitted | None

    def write(self, answers: Sequence[Prediction | BadRow]) -> None:
        encode = msgspec.json.Encoder(enc_hook=str).encode
        out = sys.stdout.buffer
        for answer in answers:
            if isinstance(answer, BadRow):
                fields = _error_fields(answer, self.unit)
            else:
                fields = _answer_fields(answer, self.top)
                if self.explained is not None:
                    fields["reasons"] = _reasons(self.explained, answer)
            out.write(printable_json(encode(fields).decode()).encode() + b"\n")
        # The process that supplies the next rows may be waiting for these answers.
        out.flush()


def _reasons(fitted: Fitted, answer: Prediction) -> list[dict[str, Any]]:
    """Return the strongest words for and against the topic of an answer."""
    from slugline.explanation.explain import explain

    columns = [column.label for column in fitted.columns]
    topics = answer.decision.topics or [answer.decision.top[0][0]]
    return [
        {
            **({"topic": topic} if fitted.multilabel else {}),
            **reason._asdict(),
            "word": printable(reason.word),  # JSON input may have escaped lone surrogates
            "attribution": round(reason.attribution, 6),
        }
        for topic in topics
        for reason in explain(
            fitted, answer.text, topic, max_reasons=_N_REASONS, split_encoder=False
        ).reasons
        if reason.start is not None or reason.word.partition("=")[0] in columns
    ]


def _error_fields(row: BadRow, unit: str) -> dict[str, Any]:
    """Return the fields for an unreadable row."""
    row_id = {} if row.id in (None, "") else {"id": compact(row.id)}
    return {unit: row.at, **row_id, "error": row.problem}


def _answer_fields(answer: Prediction, top: int) -> dict[str, Any]:
    """Return the fields of an answer, with `top` guesses if above 1 or if it is unsure."""
    decision = answer.decision
    row_id = {} if answer.id is None else {"id": compact(answer.id)}
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
    return {**row_id, **fields, **present}
