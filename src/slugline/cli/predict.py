"""`slugline predict`: one JSON line per document."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from slugline.cli.options import Format, Model, Quiet, TextColumn
from slugline.cli.output import say

if TYPE_CHECKING:
    from slugline.prediction import Prediction

__all__ = ["predict"]


def predict(
    model: Model,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="Texts: a line each, or CSV, TSV, JSONL or Parquet (also .gz); `-` reads "
            "standard input.",
        ),
    ] = "-",
    text: TextColumn = None,
    format_: Format = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Give the K likeliest topics.")] = 1,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad row.")] = False,
    quiet: Quiet = False,
) -> None:
    """Classify texts: one JSON line per document, in their order.

    A row that can't be read becomes a line with "error", and the job goes on; exit status 1 then
    says that there were some. A column named "id" is passed through.

    Example:

      echo "Wheat exports rose" | slugline predict model.slug
    """
    import msgspec

    from slugline.classifier import load
    from slugline.errors import DataError
    from slugline.lines import BadRow
    from slugline.prediction import predict_rows
    from slugline.readers import read_rows

    classifier = load(model)
    rows = read_rows(file, format=format_, fallback="txt")
    # A person who types lines waits for each answer; a pipe is served faster in batches.
    batch: dict[str, Any] = {"batch_rows": 1} if file == "-" and sys.stdin.isatty() else {}
    encode = msgspec.json.Encoder().encode
    out = sys.stdout.buffer
    n_rows = n_bad = 0
    answers = predict_rows(
        classifier,
        rows,
        text=text,
        top=top,
        announce=lambda note: say(f"{rows.name}: {note}", quiet=quiet),
        **batch,
    )
    for item in answers:
        n_rows += 1
        if isinstance(item, BadRow):
            if strict:
                raise DataError(
                    f"{rows.name}, {rows.unit} {item.at}: {item.problem}; {item.advice}, "
                    "or go on past bad rows without --strict."
                )
            n_bad += 1
            out.write(encode({rows.unit: item.at, "error": item.problem}) + b"\n")
        else:
            out.write(encode(_line(item, top)) + b"\n")
        if batch:
            out.flush()
    out.flush()
    if not n_rows:
        say(f"{rows.name} holds no documents", quiet=quiet)
    if n_bad:
        found = f"{n_bad} of {n_rows} {rows.unit}s could not be classified"
        say(f'{rows.name}: {found}; the lines with "error" say why', quiet=quiet)
        raise typer.Exit(1)


def _line(prediction: Prediction, top: int) -> dict[str, Any]:
    topic, probability = prediction.topics[0]
    line: dict[str, Any] = {} if prediction.id is None else {"id": prediction.id}
    line |= {"topic": topic, "probability": round(probability, 4)}
    if top > 1:
        line["topics"] = [
            {"topic": topic, "probability": round(p, 4)} for topic, p in prediction.topics
        ]
    return line
