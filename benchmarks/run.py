"""Runs benchmarks and prints their tables in Markdown.

    python benchmarks/run.py                       list all benchmarks
    python benchmarks/run.py SUBJECT [NAME ...]    run those of a subject, or the named ones
    python benchmarks/run.py SUBJECT NAME --help   show their options
    python benchmarks/run.py all --record          run all but the longest, and write results/

Models have the default encoder where a benchmark names none; results/tables.csv says which one it
was. A subject is a module with a dictionary BENCHMARKS of functions that return Markdown; their
keyword arguments become options of the command line. The module's dictionary QUICK has the
arguments of a run that takes seconds (--quick), to check that a benchmark works.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import inspect
import os
import platform
import sys
from collections.abc import Callable, Iterable
from typing import Any

from measure import progress, timed
from records import record_results
from slugline.errors import DownloadError
from slugline.learning.encoder.registry import DEFAULT_ENCODER

SUBJECTS = (
    "accuracy",
    "labels",
    "choices",
    "lesson",
    "predicting",
    "first_use",
    "scale",
    "audit",
    "decisions",
    "evaluation",
    "serving",
    "corrections",
    "label_store",
    "labelling",
    "counting",
    "counting_drift",
    "counting_months",
    "watch",
    "export",
    "streams",
    "reproducibility",
    "install",
    "columns",
    "multilabel",
    "tables",
    "exports",
    "word_vectors",
)
#: Left out by `all`, as they take hours or have no table in results/.
NOT_IN_ALL = {
    "choices batches",
    "choices bits",
    "choices correction-weight",
    "choices spread",
    "choices standard-errors",
    "evaluation f1-intervals",
    "evaluation terms",
    "labels encoders",
    "labels curve-intervals",
    "predicting files",
    "predicting cascade",
    "streams",
    "reproducibility",
    "export",
    "install",
    "word_vectors",
}
PACKAGES = (
    "slugline",
    "numpy",
    "scipy",
    "scikit-learn",
    "keras",
    "tensorflow-cpu",
    "jax",
    "fasttext",
    "cleanlab",
    "quapy",
)

Benchmark = Callable[..., str]


def main() -> None:
    """List benchmarks, or run those that are named."""
    # Users have the bytecode that an installation writes.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if len(sys.argv) == 1:
        print_list()
        return
    subject = sys.argv[1]
    if subject == "all":
        run_all()
    elif subject in SUBJECTS:
        run_subject(subject, sys.argv[2:])
    else:
        raise SystemExit(f"There is no subject {subject}; choose {', '.join(SUBJECTS)} or all.")


def print_list() -> None:
    """Print each benchmark with the first line of its description."""
    print(__doc__)
    for subject in SUBJECTS:
        for name, function in importlib.import_module(subject).BENCHMARKS.items():
            first = (inspect.getdoc(function) or "").partition("\n")[0]
            print(f"{f'{subject} {name}':<34} {first}")


def run_all() -> None:
    """Run all benchmarks but the longest."""
    options = argparse.ArgumentParser(prog="run.py all")
    options.add_argument(
        "--record", action="store_true", help="write the tables to benchmarks/results"
    )
    is_recorded = options.parse_args(sys.argv[2:]).record
    print(describe_versions())
    for subject in SUBJECTS:
        for name, function in importlib.import_module(subject).BENCHMARKS.items():
            if not {subject, f"{subject} {name}"} & NOT_IN_ALL:
                try:
                    run_one(subject, name, function, {}, "", is_recorded=is_recorded)
                except SystemExit as error:  # something that it needs is missing
                    progress(f"left out {error}")


def describe_versions() -> str:
    """Return the number of cores, and the versions of what is measured."""
    installed = {dist.name for dist in importlib.metadata.distributions()}
    versions = [
        f"{name} {importlib.metadata.version(name)}" for name in PACKAGES if name in installed
    ]
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {', '.join(versions)}"


def run_subject(subject: str, words: list[str]) -> None:
    """Run a subject's benchmarks with the options of the command line."""
    module = importlib.import_module(subject)
    benchmarks: dict[str, Benchmark] = module.BENCHMARKS
    n_names = next((n for n, word in enumerate(words) if word.startswith("-")), len(words))
    names = words[:n_names] or list(benchmarks)
    unknown = [name for name in names if name not in benchmarks]
    if unknown:
        raise SystemExit(
            f"{subject} has no benchmark {', '.join(unknown)}; choose from {', '.join(benchmarks)}."
        )
    parser = make_parser(f"run.py {subject} {' '.join(names)}", [benchmarks[n] for n in names])
    given = vars(parser.parse_args(words[n_names:]))
    is_quick, is_recorded = given.pop("quick"), given.pop("record")
    if is_quick and is_recorded:
        parser.error("--quick and --record exclude each other; leave one out")
    typed = " ".join(words[n_names:]).replace("--record", "").strip()
    for name in names:
        function = benchmarks[name]
        known = {key: given[key] for key in inspect.signature(function).parameters if key in given}
        options = module.QUICK.get(name, {}) | known if is_quick else known
        run_one(subject, name, function, options, typed, is_recorded=is_recorded)


def make_parser(program: str, functions: Iterable[Benchmark]) -> argparse.ArgumentParser:
    """Return a parser of the functions' keyword arguments, with types from their defaults."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("--quick", action="store_true", help="run the smallest form")
    parser.add_argument(
        "--record", action="store_true", help="write the tables to benchmarks/results"
    )
    parameters = {
        name: parameter.default
        for function in functions
        for name, parameter in inspect.signature(function).parameters.items()
    }
    for name, default in parameters.items():
        settings: dict[str, Any] = {"type": str if default is None else type(default)}
        if isinstance(default, bool):
            settings = {"action": "store_true"}
        elif isinstance(default, tuple):
            settings = {"nargs": "+", "type": type(default[0]) if default else str}
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, default=argparse.SUPPRESS, help=f"default: {default}", **settings)
    return parser


def run_one(
    subject: str,
    name: str,
    function: Benchmark,
    options: dict[str, Any],
    typed: str,
    *,
    is_recorded: bool,
) -> None:
    """Run a benchmark; print its command and its tables, and record them if asked to."""
    command = " ".join(filter(None, ("python benchmarks/run.py", subject, name, typed)))
    try:
        text, seconds = timed(lambda: function(**options))
    except (SystemExit, DownloadError) as error:
        raise SystemExit(f"{subject} {name}: {error}") from None
    print(f"`{command}`\n\n{text.strip()}\n", flush=True)
    progress(f"{subject} {name}: {seconds:.0f} s")
    if is_recorded:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        record_results(
            f"{subject} {name}", command, text, today, describe_versions(), DEFAULT_ENCODER
        )


if __name__ == "__main__":
    main()
