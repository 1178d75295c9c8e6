"""`slugline train` of documents that are more than memory holds, in passes over them."""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

import typer

from slugline.cli.output import print_json, print_table, say, show, show_progress, warn
from slugline.cli.targets import (
    check_not_read,
    check_target,
    print_routing,
    routing_entry,
    tested_router,
)
from slugline.errors import OptionError

if TYPE_CHECKING:
    from slugline.cli.targets import TestedRouter
    from slugline.model.fitted import Fitted, StreamRecord

__all__ = ["or_stream"]

_PANEL = "For DATA that is larger than memory"

Stream = Annotated[
    bool,
    typer.Option(
        "--stream",
        metavar="",
        help="Learn in passes over DATA, which may be files of any size and patterns such as "
        "'tickets/*.parquet'. There is no test and no report; texts that are held out at first "
        "tell the accuracy.",
        rich_help_panel=_PANEL,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        metavar="N",
        help="The same, with so many processes on this machine (extra scale).",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="The same, on a Dask cluster such as tcp://10.0.0.1:8786, whose machines must see "
        "DATA by the same paths (extra scale).",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
CheckpointFolder = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        metavar="FOLDER",
        help="Keep there how far learning has come, until MODEL is saved. If it ends before that, "
        "the same command goes on from there.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
# Each with its default.
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "stream": (Stream, False),
    "workers": (Workers, None),
    "scheduler": (Scheduler, None),
    "checkpoint": (CheckpointFolder, None),
}
# Those that say where to learn from a stream.
_PLACES = ("stream", "workers", "scheduler")
# Parameters of `train` that it takes.
_TAKEN = frozenset(
    (
        *_OPTIONS,
        *("data", "output", "text", "topic", "format_", "skip_bad_rows", "encoding"),
        *("min_precision", "balanced", "seed", "threads", "quiet", "as_json"),
    )
)
# What to do instead of the others, where there is something.
_INSTEAD = {
    "test": "test the model afterwards, with `slugline evaluate`",
    "test_fraction": "test the model afterwards, with `slugline evaluate`",
    "report": "there is none; leave it out",
    "mistakes": "`slugline evaluate --mistakes` finds them afterwards",
}


class _Options(NamedTuple):
    """What the user gave, as `train` has it."""

    data: list[str]
    output: Path
    reading: dict[str, Any]
    min_precision: float | None
    balanced: bool
    seed: int
    threads: int | None
    quiet: bool
    as_json: bool
    workers: int | None
    scheduler: str | None
    checkpoint: Path | None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> _Options:
        reading = {name: given[name] for name in ("text", "topic", "encoding", "skip_bad_rows")}
        reading["format"] = given["format_"]
        own = {name: given[name] for name in cls._fields if name not in ("reading", "data")}
        return cls(data=list(given["data"] or ()), reading=reading, **own)


def or_stream(verb: Callable[..., None]) -> Callable[..., None]:
    """Add the options of streams to a verb, and do without it if one of them is given."""

    @functools.wraps(verb)
    def either(context: typer.Context, **given: Any) -> None:
        if _is_stream(context):
            _train_stream(context)
        else:
            verb(**{name: value for name, value in given.items() if name not in _OPTIONS})

    signature = inspect.signature(verb, eval_str=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    more = [
        inspect.Parameter("context", keyword, annotation=typer.Context),
        *(
            inspect.Parameter(name, keyword, default=default, annotation=hint)
            for name, (hint, default) in _OPTIONS.items()
        ),
    ]
    parameters = [*signature.parameters.values(), *more]
    either.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    either.__annotations__ = {own.name: own.annotation for own in parameters}
    return either


def _is_stream(context: typer.Context) -> bool:
    """Whether the user wants to learn from a stream; OptionError if parts of that are missing."""
    given = context.params
    if any(map(_is_given, map(given.get, _PLACES))):
        return True
    if given["checkpoint"] is not None:
        raise OptionError(
            "--checkpoint keeps how far learning in passes has come; add --stream, or one of "
            "--workers and --scheduler."
        )
    return False


def _is_given(value: object) -> bool:
    # An empty address is one that is wrong.
    return value is not None and value is not False


def _train_stream(context: typer.Context) -> None:
    """Learn from files of any size, save the model, and say how good it is."""
    _check_taken(context)
    options = _Options.of(context.params)
    _check(options, is_here=bool(context.params["stream"]))
    fitted, seconds = _learn(options)
    if fitted.interrupted:
        warn([_on_interrupted(options)])
    warnings = _warnings(fitted)
    warn(warnings)
    _save(fitted, options)
    routing = tested_router(fitted, None)
    if options.as_json:
        print_json(_as_json(fitted, options, seconds, warnings) | routing_entry(routing))
    else:
        _print(fitted, options, seconds, routing)


def _check_taken(context: typer.Context) -> None:
    """Check that no option is given that only documents in memory can have."""
    place = next(f"--{name}" for name in _PLACES if _is_given(context.params[name]))
    for parameter in context.command.params:
        name = str(parameter.name)
        source = getattr(context.get_parameter_source(name), "name", "")
        is_given = source == "COMMANDLINE" and context.params[name] != parameter.default
        if name in _TAKEN or not is_given:
            continue
        flag = max(parameter.opts, key=len)
        instead = _INSTEAD.get(
            name, f"leave it out, or learn without {place}, as long as memory is enough"
        )
        raise OptionError(f"{flag} can't be had with {place}; {instead}.")


def _check(options: _Options, is_here: bool) -> None:
    """Check that options go together, and files can be written."""
    from slugline.corpus.loading import NAMED_CORPORA

    if not options.data:
        raise OptionError("Missing argument 'DATA': name files to learn from.")
    named = next((name for name in options.data if name in NAMED_CORPORA), None)
    if named is not None and not Path(named).exists():
        raise OptionError(
            f"{named} comes with its own reader, and is small; learn from it without --stream, "
            "--workers and --scheduler, or name files."
        )
    chosen = {
        "--stream": is_here,
        "--workers": options.workers is not None,
        "--scheduler": options.scheduler is not None,
    }
    flags = [flag for flag, is_given in chosen.items() if is_given]
    if len(flags) > 1:
        raise OptionError(f"{flags[0]} and {flags[1]} are two places to work at; give one of them.")
    check_target("--output", options.output)
    if options.checkpoint is not None:
        folder = os.path.realpath(options.checkpoint)
        if os.path.realpath(options.output.parent) == folder:
            raise OptionError(
                f"--output {options.output}: the model would be written into the folder of "
                "--checkpoint, which goes when the model is saved; name another place."
            )


def _learn(options: _Options) -> tuple[Fitted, float]:
    """Return what was learned, and how many seconds that took."""
    from slugline.classifier import TopicClassifier
    from slugline.stream.source import files_of

    files = files_of(options.data)
    for file in files:
        check_not_read("--output", options.output, [file])
    if options.scheduler is not None or options.workers is not None:
        # Workers may be at home in other folders.
        files = [file if file == "-" else os.path.abspath(file) for file in files]  # noqa: PTH100
    classifier = TopicClassifier(
        class_weight="balanced" if options.balanced else None,
        n_jobs=options.threads,
        random_state=options.seed,
    )
    how: dict[str, Any] = {"checkpoint": options.checkpoint, **options.reading}
    if options.min_precision is not None:
        how["min_precision"] = options.min_precision
    began = time.monotonic()
    with (
        _tidy_when_ended(),
        _told_on_interrupt(options.checkpoint),
        show_progress(options.quiet) as progress,
        _cluster(options) as place,
    ):
        fitted = classifier.fit_stream(files, progress=progress, **how, **place).fitted_
    return fitted, time.monotonic() - began


@contextmanager
def _cluster(options: _Options) -> Iterator[dict[str, Any]]:
    """Start the processes that the user wants, and yield what `fit_stream` is to be told."""
    if options.scheduler is None and options.workers is None:
        yield {}
        return
    from slugline.base.clusters import unlogged

    with unlogged():
        if options.workers is None:
            yield {"client": options.scheduler}
            return
        from slugline.base.clusters import local_cluster

        with local_cluster(options.workers) as client:
            yield {"client": client}


@contextmanager
def _tidy_when_ended() -> Iterator[None]:
    """Have SIGTERM leave no temporary files, and workers end."""

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _told_on_interrupt(checkpoint: Path | None) -> Iterator[None]:
    """Say after Ctrl-C, where there is no model yet, what becomes of what was done."""
    try:
        yield
    except KeyboardInterrupt:
        again = _goes_on(checkpoint)
        say(f"interrupted before all topics were begun: no model is written. {again}".rstrip())
        raise


def _on_interrupted(options: _Options) -> str:
    again = _goes_on(options.checkpoint) or "Learn to the end for a better one."
    if options.output.exists():
        again += f" `slugline rollback {options.output}` goes back to the one before."
    return f"training was interrupted: the model is that of the last pass. {again}"


def _goes_on(checkpoint: Path | None) -> str:
    """Return what to do to go on, if that can be done."""
    from slugline.stream.checkpoint import has_checkpoint

    if checkpoint is None or not has_checkpoint(checkpoint):
        return ""
    return f"The same command goes on from what {checkpoint} holds."


def _save(fitted: Fitted, options: _Options) -> None:
    """Save the model; a checkpoint is then of no more use, unless learning is to go on."""
    from slugline.model.file.container import write
    from slugline.model.file.content import as_model_file
    from slugline.model.file.generations import keep_before, kept_before
    from slugline.stream.checkpoint import remove_checkpoint

    # So that `rollback` leads to what was there last, or to what was learned to the end.
    if kept_before(options.output) or (fitted.interrupted and options.output.exists()):
        keep_before(options.output)
    write(options.output, as_model_file(fitted))
    if options.checkpoint is not None and not fitted.interrupted:
        remove_checkpoint(options.checkpoint)


def _warnings(fitted: Fitted) -> list[str]:
    from slugline.experiment.concerns import topic_warnings

    counts = cast("StreamRecord", fitted.stream).topic_counts
    named = zip(map(str, fitted.topics.names), counts, strict=True)
    return topic_warnings(dict(sorted(named, key=lambda item: (-item[1], item[0]))))


def _print(fitted: Fitted, options: _Options, seconds: float, routing: TestedRouter | None) -> None:
    from slugline.base.words import counted
    from slugline.evaluation.intervals import wilson

    record = cast("StreamRecord", fitted.stream)
    name = " ".join(options.data)
    show(
        f"{name}: learned {counted(len(fitted.topics), 'topic')} from "
        f"{counted(fitted.n_learned, 'document')} in {seconds:.1f} s, "
        f"{record.n_passes:,} passes"
    )
    rows = []
    if record.n_judged:
        interval = wilson(record.n_right, record.n_judged)
        ends = f"95 % interval {interval.low:.3f} to {interval.high:.3f}"
        judged = f"on {counted(record.n_judged, 'text')} held out at first"
        rows.append(("accuracy", f"{record.accuracy:.3f}", f"{ends}, {judged}"))
    if record.n_skipped:
        rows.append(("skipped", f"{record.n_skipped:,}", "rows that can't be used"))
    if rows:
        print_table(rows, left=(0, 2))
    print_routing(routing)
    show(f"model   {options.output}")


def _as_json(
    fitted: Fitted, options: _Options, seconds: float, warnings: Sequence[str]
) -> dict[str, Any]:
    """Return what was found, in the form that `train` without a test has."""
    from slugline.evaluation.intervals import wilson

    record = cast("StreamRecord", fitted.stream)
    n_judged = record.n_judged
    held_out = {
        "n_documents": n_judged,
        "accuracy": record.accuracy,
        "interval": list(wilson(record.n_right, n_judged)) if n_judged else None,
    }
    return {
        "data": {
            "name": " ".join(options.data),
            "n_train": fitted.n_documents,
            "n_validation": 0,
            "n_test": 0,
            "n_skipped": record.n_skipped,
            "n_topics": len(fitted.topics),
            "notes": [],
        },
        "evaluation": None,
        "held_out": held_out if n_judged else None,
        "n_passes": record.n_passes,
        "interrupted": fitted.interrupted,
        "warnings": list(warnings),
        "seconds": seconds,
        "model": str(options.output),
    }
