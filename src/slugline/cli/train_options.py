"""The options of `slugline train`, and which of them can be combined."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

import click

from slugline.base.checks import check_fraction
from slugline.classifier import TopicClassifier
from slugline.cli import options
from slugline.cli.options import COUNT, option
from slugline.cli.output import flags_of
from slugline.corpus.layout import USER_OPTIONS, ReadOptions
from slugline.corrections.doubts import Approval
from slugline.errors import OptionError
from slugline.learning.learner import LearnerName
from slugline.model.multilabel_rule import Average
from slugline.model.settings import FitSettings

#: The fraction of the documents to test on.
TEST_FRACTION = 0.2


@dataclass(frozen=True)
class TrainRequest:
    """The values of all options."""

    data: Sequence[str] = ()
    output: Path = Path("model.slug")
    report: Path | None = None
    check: str | None = None
    reading: ReadOptions = field(default_factory=ReadOptions)
    columns: Sequence[str] = ()
    topic_path: str | None = None
    test: str | None = None
    test_fraction: float | None = None
    learner: LearnerName = "linear"
    encoder: str | None = None
    unlabelled: Sequence[str] = ()
    topics: Path | None = None
    tune: bool = False
    min_precision: float | None = None
    optimize: Average | None = None
    balanced: bool = False
    curve: bool = False
    quantize: Literal["float16", "int8"] | None = None
    seed: int = 0
    threads: int | None = None
    mistakes: Path | None = None
    as_json: bool = False
    corrections: Path | None = None
    corrections_of: Sequence[str] = ()
    approve: Approval | None = None
    force: bool = False
    stream: bool = False
    workers: int | None = None
    scheduler: str | None = None
    checkpoint: Path | None = None

    def has(self, option: str) -> bool:
        """Whether an option was given a value other than its default."""
        if option in USER_OPTIONS:
            return bool(getattr(self.reading, option) != ReadOptions._field_defaults[option])
        return bool(getattr(self, option) != _DEFAULTS[option])

    def settings(self, descriptions: Mapping[str, str] | None = None) -> FitSettings:
        """Return the settings of the fit, with descriptions of topics."""
        return TopicClassifier(
            learner=self.learner,
            encoder=self.encoder,
            descriptions=descriptions or None,
            class_weight="balanced" if self.balanced else None,
            tune=self.tune,
            n_jobs=self.threads,
            random_state=self.seed,
            min_precision=self.min_precision,
            optimize=self.optimize or "micro",
            columns=self.columns or None,
            topic_path=self.topic_path,
        ).to_settings()

    @property
    def is_stream(self) -> bool:
        """Whether to learn in passes over files."""
        return any(map(self.has, STREAM_ENGINES))

    @property
    def has_settings(self) -> bool:
        """Whether an option says how to learn or to store the model."""
        return any(map(self.has, SETTINGS))


_DEFAULTS = {option.name: option.default for option in fields(TrainRequest)}


# The options --------------------------------------------------------------------------------------


_learning = functools.partial(option, panel="Learning")
_testing = functools.partial(option, panel="Testing")
_file = functools.partial(option, panel="The model's file")
_corrections = functools.partial(option, panel="With --corrections")
_stream = functools.partial(option, panel="Larger than memory")


_OPTIONS = (
    options.optional_data,
    option("--output -o MODEL", "Where to save the model.", type=Path, default=TrainRequest.output),
    option("--report HTML", "Where to write the report.", type=Path, show_default="beside MODEL"),
    click.option("--check", hidden=True),
    options.reading_options,
    options.column_option,
    options.topic_path_option,
    options.test_option,
    _testing(
        "--test-fraction SHARE",
        "Share of DATA to test on without --test; 0 learns from all of it, untested.",
        type=float,
        show_default=str(TEST_FRACTION),
    ),
    _learning(
        "--learner NAME",
        "linear, or network, as in the newswire lesson.",
        default=TrainRequest.learner,
        values=("linear", "network"),
    ),
    options.encoder_option,
    _learning(
        "--unlabelled FILE",
        "Unlabelled texts to learn from, too; needs --encoder.",
        multiple=True,
        parameters=("X_unlabelled",),
    ),
    _learning(
        "--topics FILE",
        "What topics are about, for the encoder: a CSV or TSV file with the columns name and "
        "description. With it, topics need no documents, and DATA may be left out.",
        type=Path,
        parameters=("descriptions",),
    ),
    option(
        "--tune",
        "First look for better terms and learners by cross-validation, which takes some "
        "fifty times as long; Ctrl-C ends the search and uses the best so far.",
    ),
    option(
        "--min-precision SHARE",
        "Choose thresholds so that answers are right at least this often (e.g. 0.95), on texts "
        "like the training documents; `predict` reports the other texts as unsure.",
        type=float,
    ),
    _learning(
        "--optimize AVERAGE",
        "Where texts have several topics, the F1 that thresholds are chosen for: over all "
        "decisions, of each topic, or of each text.",
        values=("micro", "macro", "samples"),
        show_default="micro",
    ),
    _learning(
        "--balanced", "Give every topic the same total weight.", parameters=("class_weight",)
    ),
    _testing(
        "--curve",
        "Also learn from fewer labels, and add to the report what more would bring; with an "
        "encoder, also without.",
    ),
    _file(
        "--quantize PRECISION",
        "Store weights as float16 or int8, and print what that costs.",
        show_default="float32",
        values=("float16", "int8"),
    ),
    options.seed(panel="Learning"),
    options.threads(panel="Learning"),
    options.mistakes(panel="Testing"),
    options.output_options,
    _corrections(
        "--corrections FILE",
        "Learn from corrected answers as well, which `slugline serve` has kept, and print "
        "what they changed. Learns as MODEL did, if there is one and no settings are given.",
        type=Path,
    ),
    _corrections(
        "--corrections-of NAME",
        "Only those of the model with this name, as it was served; may be repeated.",
        multiple=True,
        show_default="the only one",
    ),
    _corrections(
        "--approve WHICH",
        "Corrections that wait for `slugline corrections --approve`: all, doubtful or none.",
        type=click.Choice(get_args(Approval)),
        show_default="doubtful",
    ),
    _corrections("--force", "Write the model even if a topic got clearly worse."),
    _stream(
        "--stream",
        "Learn in passes over DATA, which may be files of any size and patterns such as "
        "'tickets/*.parquet'. There is no separate test and no report; accuracy is estimated on "
        "texts held out at the start.",
    ),
    _stream("--workers N", "Like --stream, with N worker processes (extra scale).", type=COUNT),
    _stream(
        "--scheduler ADDRESS",
        "Like --stream, on a Dask cluster such as tcp://10.0.0.1:8786, whose machines must see "
        "DATA by the same paths (extra scale).",
    ),
    _stream(
        "--checkpoint FOLDER",
        "Save progress in FOLDER until MODEL is written; rerun the command to resume.",
        type=Path,
    ),
)


def train_options(function: Callable[[TrainRequest], None]) -> Callable[..., None]:
    """Add all options; the function gets their values as a `TrainRequest`."""

    @functools.wraps(function)
    def wrapper(**values: Any) -> None:
        beside = {name: values[name] for name in ("columns", "topic_path")}
        values["reading"] = values["reading"]._replace(**beside)
        function(TrainRequest(**values))

    return options.add_options(wrapper, _OPTIONS)


_FLAGS = flags_of(options.add_options(lambda: None, _OPTIONS).__click_params__)  # type: ignore[attr-defined]

# Which options can be combined --------------------------------------------------------------------

#: Options that choose where to learn in passes over files.
STREAM_ENGINES = ("stream", "workers", "scheduler")
#: Options that say how to learn or to store a model; without any, a model is trained as before.
SETTINGS = (
    *("learner", "encoder", "unlabelled", "topics", "tune"),
    *("min_precision", "optimize", "balanced", "quantize", "seed"),
)
_STREAMABLE = (
    *("data", "output", "text", "topic", "columns", "format", "skip_bad_rows", "encoding"),
    *("topic_separator", "topic_columns", "min_precision", "optimize"),
    *("balanced", "seed", "threads", "as_json", "checkpoint", *STREAM_ENGINES),
)
_AFTERWARDS = ("test", "test_fraction", "mistakes", "report")
_IN_MEMORY = (
    *(
        name
        for name in (*_DEFAULTS, *USER_OPTIONS)
        if name not in (*_STREAMABLE, *_AFTERWARDS, "reading")
    ),
)


@dataclass(frozen=True)
class Rule:
    """Options that need one of some others, or exclude all of them."""

    # Names of fields of `TrainRequest`.
    options: Sequence[str]
    # The usage error, in which {option} and {other} are flags, {value} and {other_value}
    # values
    message: str
    # Options of which one must be given as well, or none may be.
    needs: Sequence[str] = ()
    excludes: Sequence[str] = ()

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
    *(
        Rule(**rule)
        for rule in json.loads(Path(__file__).with_name("train_rules.json").read_text("utf-8"))
    ),
)


def flag(option: str) -> str:
    """Return the flag of an option, as it is typed.

    >>> flag("topic_map"), flag("min_precision"), flag("stream")
    ('--map-topics', '--min-precision', '--stream')
    """
    return "DATA" if option == "data" else _FLAGS[option]


def check_request(request: TrainRequest) -> None:
    """Check that options can be combined; OptionError if not."""
    if request.check is not None:
        raise OptionError(
            f"train --check is a command of its own: slugline check {request.check} "
            f"{' '.join(request.data)}."
        )
    if not request.data and request.is_stream:
        raise OptionError("Missing argument 'DATA': name files to learn from.")
    if not request.data and request.topics is None:
        raise OptionError(
            "Missing argument 'DATA': name documents to learn from, or describe topics with "
            "--topics and name an --encoder."
        )
    for rule in RULES:
        message = rule.violation(request)
        if message is not None:
            raise OptionError(message)
    if request.min_precision is not None:
        check_fraction("min_precision", request.min_precision)
