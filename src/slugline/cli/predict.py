"""`slugline predict`: a JSON line for each document, or a row of a file."""

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
import msgspec

from slugline.base.names import is_pattern
from slugline.base.wording import printable, printable_json
from slugline.cli.options import (
    COUNT,
    argument,
    check_model_first,
    command,
    encoding_option,
    format_option,
    is_model,
    models_argument,
    option,
    precision_option,
    quiet_option,
    separator_option,
    text_option,
)
from slugline.cli.output import say, show_progress, warn
from slugline.corpus.columns import format_list
from slugline.corpus.readers import RowReader, read_rows
from slugline.corpus.rows import BadRow, join_advice
from slugline.errors import DataError, OptionError
from slugline.model.decider import Decider
from slugline.model.file.content import DEFAULT, SHIPPED, load_model
from slugline.model.fitted import Fitted
from slugline.prediction.files import check_ending, compact, open_answer_file
from slugline.prediction.rows import (
    Prediction,
    PredictOptions,
    make_decider,
    predict_rows,
    strict_error,
)

# Words and phrases for and against that a line names.
_N_REASONS = 10
# Rows that are not UTF-8, from which their encoding is guessed.
_N_SAMPLED = 100
# Seconds. A shorter job needs no bar.
_DELAY = 1.0

_folder_option = functools.partial(option, panel="With a folder for --output")


@command()
@models_argument(
    "model",
    "A saved model (.slug), or reuters46, which comes with Slugline and answers if none is named.",
    required=False,
)
@argument(
    "files",
    "Texts: a line each, or CSV, TSV, JSONL, JSON or Parquet (also .gz); `-` reads standard "
    "input, as does leaving it out. With a folder for --output, also several, and patterns such "
    "as 'in/*.parquet'.",
    metavar="[FILE]...",
    nargs=-1,
)
@text_option
@option("--id COLUMN", "Column to pass through.", show_default="id, in any case")
@format_option
@encoding_option
@separator_option
@option("--top K", "Print the K most likely topics.", type=COUNT, default=1)
@precision_option
@option(
    "--per-topic",
    "Apply --min-precision to each frequent topic separately; on texts later than the training "
    "documents, single topics are the first to fall short of it.",
)
@option(
    "--coverage SHARE",
    "Also print the few topics among which the right one is this often.",
    type=float,
)
@option(
    "--explain", "Add the words that count most for or against the topic, and where they stand."
)
@option(
    "--output -o FILE",
    "Write a .csv, .tsv, .jsonl, .parquet or .xlsx file: all columns of FILE, then the answers. Or "
    "a folder, such as out/: one file of answers for each FILE.",
    show_default="JSON lines to standard output",
)
@option("--strict", "Stop at the first bad row.")
@option("--threads n_threads N", "Number of threads; changes no result.", type=COUNT, default=1)
@_folder_option(
    "--to FORMAT",
    "Format of the answers: csv, tsv, jsonl, parquet or xlsx.",
    show_default="that of each FILE",
)
@_folder_option(
    "--workers N",
    "Processes that answer files side by side.",
    type=COUNT,
    show_default="one for each core",
)
@_folder_option(
    "--scheduler ADDRESS",
    "Let a Dask cluster answer them, such as tcp://10.0.0.1:8786; its machines must see FILE "
    "and the folder by the same paths.",
    show_default="this machine",
)
@_folder_option("--overwrite", "Replace answers of another model or of other options.")
@quiet_option
def predict(
    model: str | None,
    files: Sequence[str],
    output: str | None,
    explain: bool,
    workers: int | None,
    scheduler: str | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Classify texts: one JSON line per document, in their order.

    A row that can't be read becomes a line with "error", and the job goes
    on; the exit status is then 1. A column named "id" is passed through.
    Whenever standard input pauses, all texts so far are answered.

    A model trained with --min-precision may be unsure of a text: its topic then
    is null, "reason" tells why, and "topics" are the best guesses.

    With --output, the answers are columns beside those of FILE: the topic, called
    as in MODEL's data or, if FILE has that column or it is unknown, topic; then
    probability (with --top, also topic_2, probability_2 and so on), and error;
    with --min-precision, also reason and guess, the most likely topic.
    If FILE has a column of that name, the answer's is, say, predicted_topic.

    If MODEL gives several topics to a text, these are "topics" with their
    "probabilities", and "guesses" the most likely ones, given or not. Files have
    them in the form in which MODEL's data had them: lists, cells such as
    grain;wheat, or columns of 0 and 1; then reason, guess and guess_probability.

    With a folder for --output, files are answered side by side, each whole or
    not at all. A job that is run again answers only those without answers, and
    those that have changed since; what is done is noted in _slugline.jsonl.

    For example:

      echo "Wheat exports rose" | slugline predict
      slugline predict model.slug new.csv
      slugline predict model.slug new.csv -o answers.csv
      slugline predict model.slug 'in/*.parquet' -o out/
    """
    if output is not None and explain:
        raise OptionError(
            "--explain is for JSON lines on standard output, and --output writes a file; leave one "
            "of them out."
        )
    predict_options = PredictOptions(**options)
    if output is not None and (output.endswith(("/", os.sep)) or Path(output).is_dir()):
        from slugline.cli.predict_folder import predict_folder

        predict_folder(
            *(*_model_and_files(model, files), Path(output), predict_options),
            workers=workers,
            scheduler=scheduler,
            overwrite=overwrite,
        )
        return
    _check_no_folder(
        files,
        {
            "--to": predict_options.to,
            "--workers": workers,
            "--scheduler": scheduler,
            "--overwrite": overwrite or None,
        },
    )
    model, files = _model_and_files(model, files)
    path = None if output is None else Path(output)
    _predict_file(model, files[0], path, predict_options, explain)


def _check_no_folder(files: Sequence[str], options: Mapping[str, object]) -> None:
    """Check that no option was given that needs a folder of answers; OptionError if one was."""
    for flag, value in options.items():
        if value is not None:
            raise OptionError(
                f"{flag} is about a folder of answers; name one, such as --output out/."
            )
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
    """Return MODEL and FILE, either of which may be left out.

    Raises
    ------
    DataError : if the first is neither a model nor a file, or they are in another order.
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
        f"using the shipped model {DEFAULT} ({SHIPPED[DEFAULT]}); "
        "name your own with slugline predict MODEL FILE"
    )
    return DEFAULT, [first or "-"]


def _predict_file(
    model: str, file: str, output: Path | None, options: PredictOptions, explain: bool
) -> None:
    if output is not None:
        from slugline.cli.output_paths import check_target

        check_ending(output, file)
        check_target("--output", output, [model, file])
    fitted, _ = load_model(model)
    decider = make_decider(fitted, options)
    if _is_typed(file):  # before the first line is read to find the format
        say("reading a text from each line that you type; Ctrl-D ends it")
    rows = read_rows(
        file,
        format=options.format,
        fallback="txt",
        encoding=options.encoding,
        separator=options.separator,
        layout=fitted.layout,
    )
    if decider.note:  # not before an error that has nothing to do with it
        warn([f"{model} is {decider.note}"])
    if rows.note:
        say(f"{rows.name}: {rows.note}")
    batches = predict_rows(
        decider, rows, options, announce=lambda note: say(f"{rows.name}: {note}")
    )
    n_rows, n_bad, began = 0, 0, time.monotonic()
    undecoded: list[BadRow] = []
    lines = _Lines(rows.unit, options.top, fitted if explain else None)
    with (
        _writer(output, rows, decider, lines) as write,
        show_progress(hidden=_is_typed(file), bar_only=output is None, delay=_DELAY) as progress,
    ):
        for batch in batches:
            bad = [row for row in batch if isinstance(row, BadRow)]
            if options.strict and bad:
                write(batch[: batch.index(bad[0])])
                raise strict_error(rows, bad[0])
            write(batch)
            n_rows += len(batch)
            n_bad += len(bad)
            undecoded += [row for row in bad if row.sample][: _N_SAMPLED - len(undecoded)]
            speed = n_rows / max(time.monotonic() - began, 1e-3)
            detail = f"{n_rows:,} {rows.unit}s  {speed:,.0f} a second"
            progress.update("predicting", rows.fraction_read(), detail)
    if not n_rows:
        say(f"{rows.name} holds no documents")
    if n_bad:
        summary = f"{n_bad} of {n_rows} {rows.unit}s could not be classified"
        if undecoded:
            summary += f" ({undecoded[0].problem}: {join_advice(undecoded)})"
        places = "lines with" if output is None else f"cells of {output} under"
        say(f'{rows.name}: {summary}; the {places} "error" say why')
        raise click.exceptions.Exit(1)


@contextmanager
def _writer(
    output: Path | None, rows: RowReader, decider: Decider, lines: _Lines
) -> Iterator[Callable[[Sequence[Prediction | BadRow]], None]]:
    """Return a function that writes batches of answers to standard output or a file."""
    if output is None:
        yield lines.write
        return
    with open_answer_file(output, rows, decider, lines.top) as file:
        yield file.write
    if file.dropped_columns:
        columns = format_list(file.dropped_columns)
        warn([f"{output} lacks {columns}, which the first rows of {rows.name} don't have"])


class _Lines(NamedTuple):
    """Writes answers as JSON lines to standard output; with reasons, if there is an `explainer`."""

    unit: str
    top: int
    explainer: Fitted | None

    def write(self, answers: Sequence[Prediction | BadRow]) -> None:
        encode = msgspec.json.Encoder(enc_hook=str).encode
        out = sys.stdout.buffer
        for answer in answers:
            line = _line(answer, self.unit, self.top)
            if self.explainer is not None and not isinstance(answer, BadRow):
                line["reasons"] = _reasons(self.explainer, answer)
            out.write(printable_json(encode(line).decode()).encode() + b"\n")
        # The writer of the next rows may be waiting for these answers.
        out.flush()


def _reasons(fitted: Fitted, answer: Prediction) -> list[dict[str, Any]]:
    """Return the strongest words for and against the topic of an answer."""
    from slugline.explanation.explain import explain

    columns = [column.label for column in fitted.columns]
    likeliest = answer.topics[0][0]
    explained = ((answer.set or None) if fitted.multilabel else None) or [likeliest]
    return [
        {
            **({"topic": topic} if fitted.multilabel else {}),
            **reason._asdict(),
            # Halves of characters, which JSON may have in escapes, can't be written.
            "word": printable(reason.word),
            "share": round(reason.share, 6),
        }
        for topic in explained
        for reason in explain(fitted, answer.text, topic, most=_N_REASONS).reasons
        if reason.start is not None or reason.word.partition("=")[0] in columns
    ]


def _is_typed(file: str) -> bool:
    return file == "-" and sys.stdin.isatty()


def _line(answer: Prediction | BadRow, unit: str, top: int) -> dict[str, Any]:
    if isinstance(answer, BadRow):
        identity = {} if answer.id in (None, "") else {"id": compact(answer.id)}
        return {unit: answer.at, **identity, "error": answer.problem}
    topic, probability = answer.topics[0]
    line: dict[str, Any] = {}
    if answer.id is not None:
        line["id"] = compact(answer.id)
    if answer.probabilities is None:
        line |= {"topic": None if answer.reason else topic, "probability": round(probability, 4)}
    else:  # of several topics
        line["topics"] = None if answer.reason else answer.set
        line["probabilities"] = [round(p, 4) for p in answer.probabilities]
    if answer.reason:
        line["reason"] = str(answer.reason)
    if top > 1 or answer.reason:
        guesses = answer.topics if answer.reason else answer.topics[:top]
        name = "topics" if answer.probabilities is None else "guesses"
        line[name] = [{"topic": guess, "probability": round(p, 4)} for guess, p in guesses]
    if answer.set is not None and answer.probabilities is None:
        line["set"] = answer.set
    return line
