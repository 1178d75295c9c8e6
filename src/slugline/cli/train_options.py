"""The options of `slugline train`, and which of them can be combined."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import typer

from slugline.cli.encoder import Descriptions, EncoderName
from slugline.cli.options import (
    AsJson,
    Baseline,
    Encoding,
    FoldTopics,
    Format,
    MapTopics,
    Mistakes,
    OptionalData,
    Quiet,
    Seed,
    SkipBadRows,
    Test,
    TextColumn,
    Threads,
    TopicColumn,
    Validation,
)
from slugline.cli.targets import MinPrecision
from slugline.corpus.rows import ReadOptions
from slugline.errors import OptionError
from slugline.learning.learner import option_hints
from slugline.learning.net.learner import MAX_WIDTH, NeuralLearner, NeuralOptions

if TYPE_CHECKING:
    from slugline.learning.learner import Learner


#: The number of words that count if only words are used.
NUM_WORDS = 10_000
#: The share of the documents to test on.
TEST_FRACTION = 0.2

_NET = "Options for --learner network"
_CORRECTIONS = "With --corrections"
_STREAM = "For DATA that is larger than memory"


@dataclass(frozen=True)
class TrainRequest:
    """The values of all options, in the order in which the help lists them."""

    data: OptionalData = None
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MODEL", help="Where to save the model.")
    ] = Path("model.slug")
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="HTML",
            help="Where to write the report.",
            show_default="beside MODEL",
        ),
    ] = None
    check: Annotated[str | None, typer.Option("--check", hidden=True)] = None
    text: TextColumn = None
    topic: TopicColumn = None
    format_: Format = None
    test: Test = None
    test_fraction: Annotated[
        float | None,
        typer.Option(
            "--test-fraction",
            metavar="SHARE",
            help="Share of DATA to test on without --test; 0 learns from all of it, untested.",
            show_default=str(TEST_FRACTION),
        ),
    ] = None
    skip_bad_rows: SkipBadRows = False
    encoding: Encoding = None
    fold_topics: FoldTopics = False
    map_topics: MapTopics = None
    learner: Annotated[
        str,
        typer.Option(
            "--learner", metavar="NAME", help="linear, or network, as in the newswire lesson."
        ),
    ] = "linear"
    encoder: EncoderName = None
    topics: Descriptions = None
    weighting: Annotated[
        str | None,
        typer.Option(
            "--weighting",
            metavar="NAME",
            help="Use only words: multi-hot, counts, tf-idf or log-tf-idf.",
            show_default="what suits the learner",
        ),
    ] = None
    num_words: Annotated[
        int | None,
        typer.Option(
            "--num-words",
            metavar="N",
            min=1,
            help="Use only words: this many of the most frequent.",
            show_default=f"{NUM_WORDS:,}, if only words are used",
        ),
    ] = None
    validation: Validation = None
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            metavar="",
            help="First look for better terms and learners by cross-validation, which takes some "
            "fifty times as long; Ctrl-C ends the search and uses the best so far.",
        ),
    ] = False
    min_precision: MinPrecision = None
    balanced: Annotated[
        bool, typer.Option("--balanced", metavar="", help="Give every topic the same total weight.")
    ] = False
    curve: Annotated[
        bool,
        typer.Option(
            "--curve",
            metavar="",
            help="Also learn from fewer labels, and add to the report what more would bring; with "
            "an encoder, also without it.",
        ),
    ] = False
    baseline: Baseline = False
    quantize: Annotated[
        str | None,
        typer.Option(
            "--quantize",
            metavar="PRECISION",
            help="Store weights as float16 or int8, and print what that costs.",
            show_default="float32",
        ),
    ] = None
    max_size: Annotated[
        str | None,
        typer.Option(
            "--max-size",
            metavar="SIZE",
            help="Keep MODEL within 5MB or 500kB, say, by dropping the weights nearest to 0, and "
            "print what that costs.",
            show_default="no limit",
        ),
    ] = None
    seed: Seed = 0
    threads: Threads = None
    mistakes: Mistakes = None
    corrections: Annotated[
        Path | None,
        typer.Option(
            "--corrections",
            metavar="FILE",
            help="Learn from corrected answers as well, which `slugline serve` has kept, and print "
            "what they changed. Learns as MODEL did, if there is one and no settings are given.",
            show_default=False,
            rich_help_panel=_CORRECTIONS,
        ),
    ] = None
    corrections_of: Annotated[
        list[str] | None,
        typer.Option(
            "--corrections-of",
            metavar="NAME",
            help="Only those of the model with this name, as it was served; may be repeated.",
            show_default="the only one",
            rich_help_panel=_CORRECTIONS,
        ),
    ] = None
    correction_weight: Annotated[
        float | None,
        typer.Option(
            "--correction-weight",
            metavar="W",
            help="How many documents a correction counts as.",
            show_default="1",
            rich_help_panel=_CORRECTIONS,
        ),
    ] = None
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            metavar="",
            help="Write the model even if a topic got clearly worse.",
            rich_help_panel=_CORRECTIONS,
        ),
    ] = False
    quiet: Quiet = False
    as_json: AsJson = False
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            metavar="",
            help="Learn in passes over DATA, which may be files of any size and patterns such as "
            "'tickets/*.parquet'. There is no separate test and no report; accuracy is "
            "estimated on texts held out at the start.",
            rich_help_panel=_STREAM,
        ),
    ] = False
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            metavar="N",
            help="The same, with so many processes on this machine (extra scale).",
            show_default=False,
            rich_help_panel=_STREAM,
        ),
    ] = None
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler",
            metavar="ADDRESS",
            help="The same, on a Dask cluster such as tcp://10.0.0.1:8786, whose machines must see "
            "DATA by the same paths (extra scale).",
            show_default=False,
            rich_help_panel=_STREAM,
        ),
    ] = None
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            metavar="FOLDER",
            help="Keep there how far learning has come, until MODEL is saved. If it ends before "
            "that, the same command goes on from there.",
            show_default=False,
            rich_help_panel=_STREAM,
        ),
    ] = None
    #: The options of the net that were given.
    net_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sources(self) -> list[str]:
        """DATA; empty if there are only descriptions of topics."""
        return list(self.data or ())

    @property
    def read_options(self) -> ReadOptions:
        """How to read labelled texts."""
        return ReadOptions(
            *(self.text, self.topic, self.format_, self.skip_bad_rows),
            *(self.encoding, self.fold_topics, self.map_topics),
        )

    def has(self, option: str) -> bool:
        """Whether an option was given a value other than its default."""
        if option in _NET_HINTS:
            return option in self.net_options
        default = _DEFAULTS[option]
        return bool(getattr(self, option) != default) and getattr(self, option) != []

    @property
    def is_stream(self) -> bool:
        """Whether to learn in passes over files."""
        return any(map(self.has, STREAM_ENGINES))

    @property
    def has_settings(self) -> bool:
        """Whether an option says how to learn or to store the model."""
        return bool(self.net_options) or any(map(self.has, SETTINGS))


_DEFAULTS = {option.name: option.default for option in fields(TrainRequest)}


# Options of the net, which `NeuralOptions` declares -----------------------------------------------

# The default in words, where the value alone doesn't explain it.
_DEFAULT_WORDS = {"hidden": "64, or as many as topics", "learning_rate": "the optimizer's own"}


def _typer_hint(name: str, hint: Any) -> Any:
    """Return the annotation from which typer makes an option of the net."""
    kind, metas = _plain_type(hint)
    settings: dict[str, Any] = {
        "help": next(meta.description for meta in metas if meta.description),
        "show_default": _DEFAULT_WORDS.get(name, str(getattr(NeuralOptions, name, None))),
        "rich_help_panel": _NET,
    }
    if kind is int:
        settings["min"] = next(meta.ge for meta in metas if meta.ge is not None)
    if kind not in (int, float):
        kind = str
    metavars = {int: "N", float: "NUMBER", str: "NAME"}
    settings["metavar"] = "WIDTHS" if name == "hidden" else metavars[kind]
    return Annotated[kind | None, typer.Option("--" + name.replace("_", "-"), **settings)]


def _plain_type(hint: Any) -> tuple[Any, list[msgspec.Meta]]:
    """Return the type within a hint, and its descriptions."""
    if get_origin(hint) is Annotated:
        kind, metas = _plain_type(get_args(hint)[0])
        return kind, [*metas, *(m for m in hint.__metadata__ if isinstance(m, msgspec.Meta))]
    if type(None) in get_args(hint):
        return _plain_type(next(arg for arg in get_args(hint) if arg is not type(None)))
    return hint, []


_NET_HINTS = {name: _typer_hint(name, hint) for name, hint in option_hints(NeuralOptions).items()}


def make_learner(name: str, options: Mapping[str, Any]) -> Learner:
    """Return a learner with the options of the net."""
    from slugline.learning.learner import choose_learner

    return NeuralLearner(**options) if name == "network" else choose_learner(name)


def _widths(value: str) -> list[int]:
    """Return the widths of hidden layers: those of two for "64,32"."""
    try:
        widths = [int(part) for part in value.split(",")]
    except ValueError:
        raise OptionError(
            f"--hidden {value!r} is not a list of widths; write one like 64 or 128,64."
        ) from None
    if not all(1 <= width <= MAX_WIDTH for width in widths):
        raise OptionError(
            f"--hidden {value!r} holds a width outside 1 to {MAX_WIDTH:,}; "
            "write one like 64 or 128,64."
        )
    return widths


# From the fields to the command -------------------------------------------------------------------


def command(run: Callable[[TrainRequest], None]) -> Callable[..., None]:
    """Return a command for typer, with an option for each field and each option of the net."""
    hints = get_type_hints(TrainRequest, include_extras=True)
    options = {name: (hints[name], default) for name, default in _DEFAULTS.items()}
    del options["net_options"]
    options |= {name: (hint, None) for name, hint in _NET_HINTS.items()}

    @functools.wraps(run)
    def parse(**values: Any) -> None:
        net = {name: values.pop(name) for name in _NET_HINTS}
        net_options = {name: value for name, value in net.items() if value is not None}
        if "hidden" in net_options:
            net_options["hidden"] = _widths(net_options["hidden"])
        run(TrainRequest(**values, net_options=net_options))

    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
        for name, (hint, default) in options.items()
    ]
    parse.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    parse.__annotations__ = {name: hint for name, (hint, _) in options.items()}
    return parse


# Which options can be combined --------------------------------------------------------------------

#: Options that choose where to learn in passes over files.
STREAM_ENGINES = ("stream", "workers", "scheduler")
#: Options that say how to learn or to store a model; without any, a model is trained as before.
SETTINGS = (
    *("learner", "encoder", "topics", "weighting", "num_words", "validation", "tune"),
    *("min_precision", "balanced", "quantize", "max_size", "seed"),
)
_STREAMABLE = (
    *("data", "output", "text", "topic", "format_", "skip_bad_rows", "encoding", "min_precision"),
    *("balanced", "seed", "threads", "quiet", "as_json", "checkpoint", *STREAM_ENGINES),
)
_AFTERWARDS = ("test", "test_fraction", "mistakes", "report")
_IN_MEMORY = (
    *(name for name in _DEFAULTS if name not in (*_STREAMABLE, *_AFTERWARDS, "net_options")),
    *_NET_HINTS,
)


@dataclass(frozen=True)
class Rule:
    """Options that need one of some others, or exclude all of them."""

    # Names of fields of `TrainRequest`, or of options of the net.
    options: tuple[str, ...]
    # The usage error, in which {option} and {other} are flags, {value} and {other_value}
    # values
    message: str
    # Options of which one must be given as well, or none may be.
    needs: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()

    def violation(self, request: TrainRequest) -> str | None:
        """Return the error for the options that were given; None if they can be combined."""
        option = next(filter(request.has, self.options), None)
        other = next(filter(request.has, self.needs or self.excludes), None)
        if option is None or (other is None) != bool(self.needs):
            return None
        return self.message.format(
            option=flag(option),
            value=getattr(request, option, None),
            other=other and flag(other),
            other_value=other and getattr(request, other),
        )


#: All rules, in the order in which they are checked.
RULES = (
    Rule(
        _IN_MEMORY,
        "{option} can't be used with {other}; leave it out, or learn without {other}, as long as "
        "memory is enough.",
        excludes=STREAM_ENGINES,
    ),
    Rule(
        ("test", "test_fraction"),
        "{option} can't be used with {other}; test the model afterwards, with `slugline evaluate`.",
        excludes=STREAM_ENGINES,
    ),
    Rule(
        ("report",),
        "{option} can't be used with {other}; there is none; leave it out.",
        excludes=STREAM_ENGINES,
    ),
    Rule(
        ("mistakes",),
        "{option} can't be used with {other}; `slugline evaluate --mistakes` finds them "
        "afterwards.",
        excludes=STREAM_ENGINES,
    ),
    *(
        Rule(
            (engine,),
            "{option} and {other} are two places to work at; give one of them.",
            excludes=STREAM_ENGINES[number:],
        )
        for number, engine in enumerate(STREAM_ENGINES[:-1], start=1)
    ),
    Rule(
        ("checkpoint",),
        "{option} keeps how far learning in passes has come; add --stream, or one of --workers "
        "and --scheduler.",
        needs=STREAM_ENGINES,
    ),
    Rule(
        (
            *("text", "topic", "test", "test_fraction", "skip_bad_rows", "fold_topics"),
            *("validation", "map_topics", "balanced", "report", "mistakes", "quantize"),
            *("max_size", "curve", "weighting", "num_words", "min_precision", "corrections"),
        ),
        "{option} needs documents, and --topics has descriptions alone; leave it out, or name "
        "DATA.",
        needs=("data", *STREAM_ENGINES),
    ),
    Rule(
        ("correction_weight", "corrections_of", "force"),
        "{option} goes with --corrections FILE; give both.",
        needs=("corrections",),
    ),
    Rule(("baseline",), "{option} is one of the curves of --curve; give both.", needs=("curve",)),
    Rule(
        ("curve",),
        "{option} learns from DATA alone; leave it or {other} out.",
        excludes=("corrections",),
    ),
    Rule(
        ("encoder",),
        "{option} {value} goes with the linear learner only, and {other} is {other_value}; leave "
        "one of them out.",
        excludes=("learner",),
    ),
    Rule(
        (*_NET_HINTS, "validation"),
        "{option} says how a net learns, but the linear learner has no net; leave it out, or add "
        "--learner network.",
        needs=("learner",),
    ),
    Rule(
        ("learner", "weighting", "num_words"),
        "{option} {value}: {other} chooses it; leave one of them out.",
        excludes=("tune",),
    ),
)


def flag(option: str) -> str:
    """Return the flag of an option, as it is typed.

    >>> flag("format_"), flag("num_words"), flag("as_json")
    ('--format', '--num-words', '--json')
    """
    hint = _NET_HINTS.get(option) or get_type_hints(TrainRequest, include_extras=True)[option]
    info = hint.__metadata__[0]
    # Typer takes the first spelling for a default.
    spellings = [name for name in (info.default, *(info.param_decls or ())) if name is not ...]
    return str(max(spellings, key=len)) if spellings else "DATA"


def check_request(request: TrainRequest) -> None:
    """Check that options can be combined; OptionError if not."""
    if request.check is not None:
        raise OptionError(
            f"train --check is a command of its own: slugline check {request.check} "
            f"{' '.join(request.sources)}."
        )
    if not request.sources and request.is_stream:
        raise OptionError("Missing argument 'DATA': name files to learn from.")
    if not request.sources and request.topics is None:
        raise OptionError(
            "Missing argument 'DATA': name documents to learn from, or describe topics with "
            "--topics and name an --encoder."
        )
    for rule in RULES:
        message = rule.violation(request)
        if message is not None:
            raise OptionError(message)
