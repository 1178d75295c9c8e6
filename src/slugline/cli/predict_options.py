"""The options of `slugline predict`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple

from slugline.cli.options import (
    COUNT,
    FILE_OPTIONS,
    add_options,
    argument,
    id_option,
    models_argument,
    option,
    precision_option,
    quiet_option,
    setting_option,
)
from slugline.prediction.rows import PredictOptions


class FolderOptions(NamedTuple):
    """Settings for answering files in parallel into a folder."""

    # Number of worker processes.
    workers: int | None
    # Address of a Dask cluster.
    scheduler: str | None
    # Whether to replace answers made by a different model or with other options.
    overwrite: bool


_folder_option = functools.partial(option, panel="With a folder for --output")

_OPTIONS = (
    models_argument(
        "model",
        "A saved model (.slug), or reuters46, which comes with Slugline and answers if none is "
        "named.",
        required=False,
    ),
    argument(
        "files",
        "Texts: one per line, or CSV, TSV, JSONL, JSON or Parquet (also .gz); omit it or use - for "
        "standard input. With a folder for --output, also several files, and patterns such as "
        "'in/*.parquet'.",
        metavar="[FILE]...",
        nargs=-1,
    ),
    *(setting_option(PredictOptions, name) for name in FILE_OPTIONS),
    id_option,
    option("--top K", "Print the K most likely topics.", type=COUNT, default=1),
    precision_option,
    option(
        "--per-topic",
        "Apply --min-precision to each frequent topic separately, so that no topic falls short "
        "while all together reach it.",
    ),
    option(
        "--coverage FRACTION",
        "Also print a set of topics that contains the right one this often (e.g. 0.95).",
        type=float,
    ),
    option(
        "--explain", "Add the words that count most for or against the topic, and their positions."
    ),
    option(
        "--output -o FILE",
        "Write a .csv, .tsv, .jsonl, .parquet or .xlsx file: all columns of FILE, then the "
        "answers; or a folder, such as out/, with a file of answers for each FILE.",
        show_default="JSON lines to standard output",
    ),
    option("--strict", "Stop at the first bad row."),
    option(
        "--threads n_threads N",
        "Number of threads; does not change results.",
        type=COUNT,
        default=1,
        parameters=("n_jobs",),
    ),
    _folder_option(
        "--to FORMAT",
        "Format of the answers: csv, tsv, jsonl, parquet or xlsx.",
        show_default="same as each FILE",
    ),
    _folder_option(
        "--workers N",
        "Processes that answer files in parallel.",
        type=COUNT,
        show_default="one for each core",
        parameters=("n_workers",),
    ),
    _folder_option(
        "--scheduler ADDRESS",
        "Use a Dask cluster, such as tcp://10.0.0.1:8786; its machines must find FILE and the "
        "folder under the same paths.",
        show_default="this machine",
    ),
    _folder_option(
        "--overwrite", "Overwrite answers made by a different model or with different options."
    ),
    quiet_option,
)


def predict_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add all options; most are passed as `PredictOptions` and `FolderOptions`."""
    answer_names = [field.name for field in fields(PredictOptions)]

    @functools.wraps(function)
    def wrapper(**values: Any) -> None:
        options = PredictOptions(**{name: values.pop(name) for name in answer_names})
        folder_options = FolderOptions(
            workers=values.pop("workers"),
            scheduler=values.pop("scheduler"),
            overwrite=values.pop("overwrite"),
        )
        function(options=options, folder_options=folder_options, **values)

    return add_options(wrapper, _OPTIONS)
