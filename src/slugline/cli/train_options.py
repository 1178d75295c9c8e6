"""The options of `slugline train` and their valid combinations."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import click
from click.core import ParameterSource

from slugline.base.checks import check_fraction, option_error, short_repr
from slugline.classifier import TopicClassifier
from slugline.cli import options
from slugline.cli.options import COUNT, OUTPUT_FILE, option
from slugline.cli.output import flags_of
from slugline.corpus.columns import format_list
from slugline.corpus.layout import ReadOptions
from slugline.corpus.topics import read_descriptions
from slugline.errors import OptionError
from slugline.learning.encoder.encoder import get_encoder
from slugline.learning.encoder.registry import (
    AUTO,
    BUILT_IN,
    DEFAULT_ENCODER,
    combinations,
    describe_choices,
    split_names,
)
from slugline.model.file.container import check_weight_type
from slugline.model.settings import FitSettings

#: Default fraction of documents to test on.
TEST_FRACTION = 0.2
# Value of --encoder that disables it.
_NO_ENCODER = "none"


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """Training settings, and the values of the other options under their names."""

    settings: FitSettings
    # Training and test documents, and how to read them.
    data: Sequence[str]
    reading: ReadOptions
    # Topic columns if there are several, each of which is a question.
    questions: Sequence[str]
    # Minimum precision by question; the key "" stands for all other questions.
    min_precision: Mapping[str, float]
    test: str | None
    test_fraction: float
    unlabelled: Sequence[str]
    # The file of topic descriptions; the settings contain the descriptions.
    topics: Path | None
    # Files to write, and what to measure for them.
    output: Path
    report: Path | None
    mistakes: Path | None
    quantize: Literal["float16", "int8"] | None
    curve: bool
    as_json: bool
    # Corrections to train on, and the names under which their models were served; by default, the
    # name of the output.
    corrections: Path | None
    corrections_of: Sequence[str]
    # True to write the model even if corrections made a topic clearly worse.
    force: bool
    # Number of worker processes, or address of a Dask cluster.
    workers: int | None
    scheduler: str | None
    # Names of the options and arguments given explicitly.
    given: frozenset[str]

    @property
    def has_settings(self) -> bool:
        """True if an option sets how to train or store the model."""
        return not self.given.isdisjoint(SETTINGS)

    @property
    def is_streamed(self) -> bool:
        """True to train on files larger than memory."""
        return not self.given.isdisjoint(STREAM_ENGINES)


# The options --------------------------------------------------------------------------------------


encoder_option = option(
    "--encoder NAME",
    f"Pretrained word vectors or sentence encoder: {describe_choices()}; {_NO_ENCODER} disables "
    f"it. Sentence encoders are added to {BUILT_IN}.",
    values=(*combinations(), AUTO, _NO_ENCODER),
    default=DEFAULT_ENCODER,
)


def parse_encoder(name: str) -> str | None:
    """Return the `encoder` of `TopicClassifier`, after checking that it can be used.

    Raises
    ------
    OptionError : if the encoder is unknown.
    EncoderError : if its package is missing.
    """
    if name == _NO_ENCODER:
        return None
    if name != AUTO:
        if split_names(name) is None:
            raise option_error("encoder", name, f"{describe_choices()}, or {_NO_ENCODER}")
        get_encoder(name)
    return name


_learning = functools.partial(option, panel="Learning")
_testing = functools.partial(option, panel="Testing")
_file = functools.partial(option, panel="The model's file")
_corrections = functools.partial(option, panel="With --corrections")
_stream = functools.partial(option, panel="Larger than memory")


def _read_precisions(_: object, __: object, values: tuple[str, ...]) -> dict[str, float]:
    """Return the minimum precision by question; the key "" stands for all other questions."""
    precisions: dict[str, float] = {}
    for value in values:
        question, _, number = value.rpartition("=")
        if question in precisions:
            name = f" for {short_repr(question)}" if question else ""
            raise OptionError(f"--min-precision is given twice{name}; leave one out.")
        try:
            precisions[question] = float(number)
        except ValueError:
            raise OptionError(
                f"--min-precision is {short_repr(value)}; give a fraction such as 0.95, or "
                "QUESTION=0.95 for one of several questions."
            ) from None
    return precisions


_OPTIONS = (
    options.optional_data,
    option(
        "--output -o MODEL", "Model file to write.", type=OUTPUT_FILE, default=Path("model.slug")
    ),
    option("--report HTML", "Report to write.", type=OUTPUT_FILE, show_default="next to MODEL"),
    options.reading_options_with_questions,
    options.column_option,
    options.topic_path_option,
    options.test_option,
    _testing(
        "--test-fraction FRACTION",
        "Fraction of DATA to test on without --test; 0 trains on all of it, without a test.",
        type=float,
        default=TEST_FRACTION,
    ),
    _learning(
        "--learner NAME",
        "Kind of classifier: linear, or network as in the newswire lesson.",
        default="linear",
        values=("linear", "network"),
    ),
    encoder_option,
    _learning(
        "--unlabelled FILE",
        "Unlabelled texts to adapt the encoder to. Repeatable.",
        multiple=True,
        parameters=("X_unlabelled",),
    ),
    _learning(
        "--topics FILE",
        "Topic descriptions for the encoder: a CSV or TSV file with the columns name and "
        "description. Described topics need no documents, and DATA becomes optional.",
        type=Path,
        parameters=("descriptions",),
    ),
    option(
        "--tune",
        "Tune terms and passes by cross-validation first; takes about twenty times as long. Ctrl-C "
        "ends the search and keeps the best settings so far.",
    ),
    option(
        "--min-precision FRACTION",
        "Minimum fraction of right answers on texts like the training documents, such as 0.95. "
        "`slugline predict` reports the other texts as unsure. For one of several questions: "
        "QUESTION=0.95. Repeatable.",
        multiple=True,
        callback=_read_precisions,
    ),
    _learning(
        "--optimize AVERAGE",
        "F1 average that thresholds maximize on multi-label data: micro (over decisions), macro "
        "(over topics) or samples (over texts).",
        values=("micro", "macro", "samples"),
        default="micro",
    ),
    _learning("--balanced", "Weight all topics equally.", parameters=("class_weight",)),
    _testing(
        "--curve",
        "Report a learning curve and the expected gain from more labels; with a non-default "
        "encoder, curves for both.",
    ),
    _file(
        "--quantize PRECISION",
        "Store weights as float16 or int8, and print the cost in accuracy.",
        show_default="float32",
        values=("float16", "int8"),
    ),
    options.seed(panel="Learning"),
    options.threads(panel="Learning"),
    options.mistakes(panel="Testing"),
    options.output_options,
    _corrections(
        "--corrections FILE",
        "Also train on corrections stored by `slugline serve`, and print their effect. An existing "
        "MODEL is retrained with its settings unless some are given.",
        type=Path,
    ),
    _corrections(
        "--corrections-of NAME",
        "Use only corrections of the model served under this name. Repeatable.",
        multiple=True,
        show_default="name of --output",
    ),
    _corrections("--force", "Write the model even if a topic becomes clearly worse."),
    _stream(
        "--stream",
        "Train on files of any size, and on patterns such as 'tickets/*.parquet', in bounded "
        "memory. Writes no report; accuracy is estimated on held-out texts.",
    ),
    _stream(
        "--workers N",
        "Like --stream, with N worker processes. Requires the extra scale.",
        type=COUNT,
        parameters=("n_workers",),
    ),
    _stream(
        "--scheduler ADDRESS",
        "Like --stream, on a Dask cluster such as tcp://10.0.0.1:8786. Its machines must share the "
        "paths of DATA. Requires the extra scale.",
    ),
)


def train_options(function: Callable[[TrainRequest], None]) -> Callable[..., None]:
    """Add all options; they are passed to the function as a `TrainRequest`."""

    @functools.wraps(function)
    def wrapper(reading: ReadOptions, **values: Any) -> None:
        columns, topic_path = values["columns"], values["topic_path"]
        reading = replace(reading, columns=columns, topic_path=topic_path)
        source_of = click.get_current_context().get_parameter_source
        given = frozenset(name for name in _NAMES if source_of(name) is not ParameterSource.DEFAULT)
        check_questions(values["questions"], given)
        check_precisions(values["min_precision"], values["questions"])
        function(to_request(reading, values, given))

    return options.add_options(wrapper, _OPTIONS)


_PARAMETERS: list[click.Parameter] = options.add_options(lambda: None, _OPTIONS).__click_params__  # type: ignore[attr-defined]
_FLAGS = flags_of(_PARAMETERS)
_NAMES = [str(param.name) for param in _PARAMETERS if param.expose_value]


def to_request(
    reading: ReadOptions, values: Mapping[str, Any], given: frozenset[str]
) -> TrainRequest:
    """Convert option values to a request.

    Raises
    ------
    OptionError : if options can't be combined, or the fit settings are invalid.
    EncoderError : if the encoder's package is missing.
    DataError : if topic descriptions can't be read.
    """
    check_options(given)
    values = {**values, "encoder": parse_encoder(values["encoder"])}
    check_fraction("test_fraction", values["test_fraction"], may_be_0=True)
    if values["quantize"] is not None:
        check_weight_type(values["quantize"])
    names = {field.name for field in fields(TrainRequest)} & {*values}
    return TrainRequest(
        settings=_to_settings(reading, values),
        reading=reading,
        given=given,
        **{name: values[name] for name in names},
    )


def _to_settings(reading: ReadOptions, values: Mapping[str, Any]) -> FitSettings:
    """Return the fit settings."""
    descriptions: dict[str, str] = {}
    if values["topics"] is not None:
        descriptions |= read_descriptions(values["topics"], reading.encoding, reading.format)
    return TopicClassifier(
        learner=values["learner"],
        encoder=values["encoder"],
        descriptions=descriptions or None,
        class_weight="balanced" if values["balanced"] else None,
        tune=values["tune"],
        n_jobs=values["threads"],
        random_state=values["seed"],
        min_precision=values["min_precision"].get(""),
        optimize=values["optimize"],
        columns=reading.columns or None,
        topic_path=reading.topic_path,
    ).to_settings()


# Which options can be combined --------------------------------------------------------------------

#: Options that enable streaming training and choose where it runs.
STREAM_ENGINES = ("stream", "workers", "scheduler")
#: Options for training or storing a model; without any, a model is retrained as before.
SETTINGS = (
    *("learner", "encoder", "unlabelled", "topics", "tune"),
    *("min_precision", "optimize", "balanced", "quantize", "seed"),
)
_STREAMABLE = (
    *("data", "output", "text", "topic", "columns", "format", "skip_bad_rows", "encoding"),
    *("topic_separator", "topic_columns", "min_precision", "optimize"),
    *("balanced", "seed", "threads", "as_json", *STREAM_ENGINES),
)
_AFTERWARDS = ("test", "test_fraction", "mistakes", "report")
_IN_MEMORY = tuple(name for name in _NAMES if name not in (*_STREAMABLE, *_AFTERWARDS))


@dataclass(frozen=True)
class Rule:
    """Options that require one of a set of other options, or exclude all of them."""

    # Names of parameters of the command.
    options: Sequence[str]
    # The usage error, in which {option} and {other} are flags.
    message: str
    # Options of which at least one is required, or none is allowed.
    needs: Sequence[str] = ()
    excludes: Sequence[str] = ()

    def violation(self, given: Collection[str]) -> str | None:
        """Return the error for the given options, or None if they are compatible."""
        option = next((name for name in self.options if name in given), None)
        other = next((name for name in self.needs or self.excludes if name in given), None)
        if option is None or (other is None) != bool(self.needs):
            return None
        return self.message.format(option=flag(option), other=other and flag(other))


#: All rules, in order of checking.
RULES = (
    Rule(
        _IN_MEMORY,
        "{option} can't be used with {other}; leave one out. Without {other}, the data must fit "
        "into memory.",
        excludes=STREAM_ENGINES,
    ),
    *(
        Rule(**rule)
        for rule in json.loads(Path(__file__).with_name("train_rules.json").read_text("utf-8"))
    ),
)


def flag(option: str) -> str:
    """Return the command-line flag of an option.

    >>> flag("topic_map"), flag("min_precision"), flag("stream")
    ('--map-topics', '--min-precision', '--stream')
    """
    return "DATA" if option == "data" else _FLAGS[option]


#: Options that can't be used with several topic columns, since they concern a single question.
_ONE_QUESTION = (
    *("topics", "topic_columns", "topic_path", "corrections", "mistakes", "quantize", "curve"),
    *STREAM_ENGINES,
)


def check_questions(questions: Sequence[str], given: Collection[str]) -> None:
    """Raise OptionError if topic columns repeat, or an option requires a single one."""
    if len({*questions}) < len(questions):
        repeated = next(name for name in questions if questions.count(name) > 1)
        raise OptionError(f"--topic {repeated} is given twice; leave one out.")
    option = next((name for name in _ONE_QUESTION if questions and name in given), None)
    if option is not None:
        raise OptionError(
            f"{flag(option)} can't be used with several --topic; leave it out, or train a model "
            "for each."
        )


def check_precisions(precisions: Mapping[str, float], questions: Sequence[str]) -> None:
    """Raise OptionError for a precision out of range, or of a question that isn't learned."""
    for question, precision in precisions.items():
        check_fraction("min_precision", precision)
        if question and not questions:
            raise OptionError(
                f"--min-precision names the question {short_repr(question)}, but the model answers "
                "a single one; leave the name out."
            )
        if question and question not in questions:
            raise OptionError(
                f"--min-precision names the question {short_repr(question)}, which no --topic "
                f"names; choose one of {format_list(questions)}."
            )


def check_options(given: Collection[str]) -> None:
    """Check that the given options can be combined; OptionError if not."""
    if "data" not in given and any(name in given for name in STREAM_ENGINES):
        raise OptionError("Missing argument 'DATA': name training files.")
    if "data" not in given and "topics" not in given:
        raise OptionError(
            "Missing argument 'DATA': name training files, or describe topics with --topics."
        )
    for rule in RULES:
        message = rule.violation(given)
        if message is not None:
            raise OptionError(message)
