"""`slugline check`: retrain a model and compare the files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from slugline.base.wording import counted
from slugline.cli import options
from slugline.cli.documents import read_parts
from slugline.cli.options import command
from slugline.cli.output import print_json, print_table, say, show, show_progress
from slugline.corpus.layout import ReadOptions
from slugline.experiment.reproducibility import ReproducibilityCheck, check_reproducible
from slugline.model.file.content import load_model


@command()
@options.model_argument
@options.data_argument
@options.reading_options
@options.test_option
@options.threads()
@options.output_options
def check(
    model: str,
    data: Sequence[str],
    reading: ReadOptions,
    test: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Retrain a model and compare the two files byte for byte.

    DATA is MODEL's training data. Writes no file. Exits with status 1 if the
    models differ, and 0 if only the recorded versions of Python or NumPy do.
    """
    options.check_model_first("check", model, data[0])
    fitted, _ = load_model(model)
    reading = replace(reading, layout=fitted.layout, topic_path=fitted.separator)
    parts = read_parts(data, test, reading)
    with show_progress() as progress:
        result = check_reproducible(
            model, parts["train"], test=parts.get("test"), n_jobs=threads, progress=progress
        )
    if result.not_measured:
        names = ", ".join(result.not_measured)
        say(
            f"{model}: not measured again: {names}; to measure them, pass the test file with --test"
        )
    if as_json:
        print_json(result.to_dict())
    else:
        _print(result)
    if not result.is_same_model:
        say(f"{model}: {_likely_cause(result)}")
        raise click.exceptions.Exit(1)


def _print(result: ReproducibilityCheck) -> None:
    if result.is_identical:
        n_documents = result.n_documents
        give = "gives" if n_documents == 1 else "give"
        show(
            f"{result.model}: identical; {counted(n_documents, 'document')} {give} the same "
            f"{result.n_bytes:,} bytes again"
        )
        return
    if result.is_same_model:
        has_versions = any(d.what.startswith("versions.") for d in result.differences)
        difference = "other versions" if has_versions else "packed differently"
        show(f"{result.model}: the same model, {difference}; its weights are the same bytes")
    else:
        show(f"{result.model}: not identical")
    rows = [
        (name, _format_value(then), _format_value(now)) for name, then, now in result.differences
    ]
    print_table([("", "in the file", "now"), *rows])


def _format_value(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _likely_cause(result: ReproducibilityCheck) -> str:
    kernels = next((d for d in result.differences if d.what == "versions.kernels"), None)
    if kernels is not None and kernels.then is None:
        return "trained with compiled kernels; they are missing or disabled here"
    if kernels is not None:
        return "trained without compiled kernels; set SLUGLINE_KERNEL=0 to get the same bytes"
    if result.differences[0].what.startswith("versions."):
        return "made with other versions; install those to get the same bytes"
    if all(difference.what.startswith("metrics.") for difference in result.differences):
        return "the same model, tested on other documents"
    return "made by the same versions; the file was changed, or a different CPU rounded differently"
