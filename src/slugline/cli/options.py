"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import contextlib
import datetime
import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from slugline.base.addresses import check_is_no_output_address
from slugline.base.lazy import install_command
from slugline.cli.output import QUIET
from slugline.corpus.layout import USER_OPTIONS, ReadOptions
from slugline.corpus.readers import names_documents
from slugline.errors import DataError, OptionError, ServerError
from slugline.model.file.shipped import SHIPPED

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

# Help ---------------------------------------------------------------------------------------------


_NO_BREAK_HYPHEN = "\N{NON-BREAKING HYPHEN}"
#: The panel of the options that matter most, which the short help lists; the others it names.
MAIN = "Options"
_SHOW_ALL = "slugline.cli.options.show_all"


class Argument(click.Argument):
    """An argument with a line in the help."""

    help: str | None

    def __init__(self, *names: Any, help: str, **settings: Any) -> None:  # noqa: A002
        super().__init__(*names, **settings)
        self.help = help


class Option(click.Option):
    """An option that the help lists under a heading of its own.

    `values` are the completions that a shell proposes; files are proposed if its type is `Path`.
    `parameters` are the names that it has in Python, besides its own.
    """

    def __init__(
        self,
        *names: Any,
        panel: str = MAIN,
        values: Sequence[str] = (),
        parameters: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        super().__init__(*names, **settings)
        self.panel = panel
        self.values = values
        self.parameters = parameters

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the completions of an incomplete value."""
        if isinstance(self.type, click.types.FuncParamType) and self.type.func is Path:
            return _files(incomplete)
        if self.values:
            return _beginning(self.values, incomplete)
        return super().shell_complete(ctx, incomplete)


_COMPARE = "`slugline compare DATA --models default,ngrams-svc` compares models."
_FEATURE_GROUPS = (
    'in Python, `TopicClassifier(feature_groups=[FeatureGroup("words", ...)])` sets it.'
)
_NEURAL_LEARNER = "in Python, `TopicClassifier(learner=NeuralLearner(...))` sets it."
#: What to do in place of options that somebody may look for, by command.
_ADVICE = {
    "audit": {
        "--ranking": "`slugline audit DATA --json -n 1000000` lists all documents, the most "
        "suspect first."
    },
    "curve": {"--baseline": _COMPARE},
    "explain": {
        "--split-encoder": "`explain` attributes what an encoder adds to sentences or words anyway."
    },
    "train": {
        "--baseline": _COMPARE,
        "--batch-size": _NEURAL_LEARNER,
        "--checkpoint": "leave it out; an interrupted job starts again, and ten million texts "
        "take about ten minutes.",
        "--correction-weight": "a correction counts as one document; to give it more weight, add "
        "its text to DATA several times.",
        "--distil": "use --encoder use alone: it reads only texts that words leave in doubt.",
        "--dropout": _NEURAL_LEARNER,
        "--epochs": _NEURAL_LEARNER,
        "--hidden": _NEURAL_LEARNER,
        "--l2": _NEURAL_LEARNER,
        "--learning-rate": _NEURAL_LEARNER,
        "--max-size": "--quantize int8 makes the file smaller.",
        "--num-words": _FEATURE_GROUPS,
        "--optimizer": _NEURAL_LEARNER,
        "--patience": _NEURAL_LEARNER,
        "--validation": "in Python, `TopicClassifier.fit(..., validation_data=...)` takes "
        "documents to find the best epoch on.",
        "--validation-fraction": _NEURAL_LEARNER,
        "--weighting": _FEATURE_GROUPS,
    },
}


class _HelpFormatter(click.HelpFormatter):
    """Breaks no line after a hyphen, which may be part of an option or a name."""

    def write_text(self, text: str) -> None:
        super().write_text(text.replace("-", _NO_BREAK_HYPHEN))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        super().write_dl(
            [(a, b.replace("-", _NO_BREAK_HYPHEN)) for a, b in rows], col_max, col_spacing
        )

    def getvalue(self) -> str:
        return super().getvalue().replace(_NO_BREAK_HYPHEN, "-")


class _Context(click.Context):
    formatter_class = _HelpFormatter


class OutputFile(click.ParamType[Path]):
    """A file to write; a name that ends in a slash is that of a folder."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, _: click.Context | None) -> Path:
        """Return the path; OptionError for a folder or an address."""
        check_is_no_output_address(value)
        if str(value).endswith(("/", os.sep)):
            flag = "" if param is None else max(param.opts, key=len)
            raise OptionError(f"{flag} {value}: is a folder; name a file in it.")
        return Path(value)

    def shell_complete(
        self, _: click.Context, __: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the completions of an incomplete value."""
        return _files(incomplete)


#: The type of options that name a file to write.
OUTPUT_FILE = OutputFile()


class Command(click.Command):
    """A command whose help has a section for arguments, and one for each panel of options.

    The short help names the options of all panels but the first; --help-all lists them. Indented
    paragraphs of its text, such as examples, keep their lines.
    """

    context_class = _Context

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        if {getattr(param, "panel", MAIN) for param in self.params} != {MAIN}:
            self.params.append(
                click.Option(
                    ["--help-all"],
                    is_flag=True,
                    is_eager=True,
                    expose_value=False,
                    callback=_print_all_help,
                    help="Show this message with all options, and exit.",
                )
            )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; for some options that don't exist, say what to use instead."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            advice = _ADVICE.get(self.name or "", {}).get(error.option_name)
            if advice is None:
                raise
            raise click.UsageError(f"No such option: {error.option_name}; {advice}", ctx) from None

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write usage, text and sections."""
        self.format_usage(ctx, formatter)
        formatter.write_paragraph()
        text = inspect.cleandoc(self.help or "").replace("\n\n  ", "\n\n\b\n  ")
        with formatter.indentation():
            formatter.write_text(text)
        sections: dict[str, list[tuple[str, str]]] = {}
        more: dict[str, list[str]] = {}
        for param in self.get_params(ctx):
            panel, line = getattr(param, "panel", MAIN), param.get_help_record(ctx)
            if isinstance(param, Argument):
                name = param.human_readable_name.strip("[].")
                panel, line = "Arguments", (name, param.help or "")
            if line is None:
                continue
            if panel in ("Arguments", MAIN) or ctx.meta.get(_SHOW_ALL):
                sections.setdefault(panel, []).append(line)
            else:
                more.setdefault(panel, []).append(max(param.opts, key=len))
        if more:
            rows = [(panel, " ".join(flags)) for panel, flags in more.items()]
            sections["More options, which --help-all explains"] = rows
        for title, lines in sections.items():
            with formatter.section(title):
                formatter.write_dl(lines, col_max=3 * formatter.width // 8)


def _print_all_help(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        ctx.meta[_SHOW_ALL] = True
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


def _files(incomplete: str) -> list[CompletionItem]:
    """Return what makes the shell complete the name of a file."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def _beginning(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _complete_model(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return model files and folders that complete a value, and the included models."""
    folder, start = os.path.split(incomplete)
    before = incomplete.removesuffix(start)
    with contextlib.suppress(OSError):
        entries = sorted(os.scandir(folder or "."), key=lambda entry: entry.name)
        paths = [
            f"{before}{entry.name}{'/' if entry.is_dir() else ''}"
            for entry in entries
            if entry.is_dir() or entry.name.endswith(".slug")
        ]
        return _beginning([*SHIPPED, *paths], incomplete)
    return []


def _complete_data(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return files, and the data sets that are known by name."""
    from slugline.corpus.loading import NAMED_CORPORA

    return [*_files(incomplete), *_beginning(NAMED_CORPORA, incomplete)]


command = functools.partial(click.command, cls=Command)
#: A type of options: whole numbers from 1 on.
COUNT = click.IntRange(min=1)


def argument(name: str, help: str, **settings: Any) -> Callable[[Decorated], Decorated]:  # noqa: A002
    """Return a decorator that adds an argument with a line in the help."""
    return click.argument(name, cls=Argument, help=help, **settings)


def option(words: str, help: str, **settings: Any) -> Callable[[Decorated], Decorated]:  # noqa: A002
    """Return a decorator that adds an option.

    `words` are its flags and its metavar, such as "--output -o FILE"; without a word in capitals,
    it is a boolean flag. A last word in lower case names the parameter.
    """
    names = words.split()
    if names[-1].isupper():
        settings["metavar"] = names.pop()
    else:
        settings["is_flag"] = True  # an explicit False would read `--l2 -1` as two options
    return click.option(*names, cls=Option, help=help, **settings)


# Options ------------------------------------------------------------------------------------------

_data = functools.partial(
    argument,
    "data",
    "CSV, TSV, JSONL, JSON, Parquet, Excel or fastText file (also .gz), a folder with a "
    "sub-folder of *.txt per topic, `-`, several of these, or one of: tickets, tickets-de, bbc, "
    "reuters, reuters-corrected, reuters-modapte.",
    nargs=-1,
    shell_complete=_complete_data,
)
data_argument = _data(required=True)
optional_data = _data()
models_argument = functools.partial(argument, shell_complete=_complete_model)
model_argument = models_argument(
    "model", "A saved model (.slug), or reuters46, which comes with Slugline."
)
_reading = functools.partial(option, panel="Reading the data")
text_option = option(
    "--text COLUMN",
    "Column that holds the text, or several, such as subject,body.",
    show_default="guessed",
)
column_option = option(
    "--column columns NAME",
    "Extra column to learn from, such as product; repeatable.",
    multiple=True,
)
format_option = _reading(
    "--format FORMAT",
    "csv, tsv, jsonl, json, parquet, xlsx, txt or folder.",
    show_default="taken from the name",
    values=("csv", "tsv", "jsonl", "json", "parquet", "xlsx", "txt", "folder"),
)
encoding_option = _reading(
    "--encoding NAME", "Such as cp1252.", show_default="UTF-8, else detected"
)
separator_option = _reading(
    "--separator TEXT",
    "Separator between the cells of a table, such as ; or tab.",
    show_default="found in the first lines",
)
header_row_option = _reading(
    "--header-row N",
    "Row of the table that contains the column names.",
    type=COUNT,
    show_default="found below any titles",
)
id_option = option(
    "--id COLUMN",
    "Column of ids, such as Ticket-Nr.",
    show_default="one with a usual name, such as id",
)
topic_path_option = _reading(
    "--topic-path TEXT",
    "Separator in hierarchical topics, such as / in sport/football; parents are counted as well.",
)
test_option = option("--test FILE", "Labelled texts to test on.", show_default="a part of DATA")
mistakes = functools.partial(
    option,
    "--mistakes CSV",
    "Write the test documents that got a wrong topic, the most certain mistakes first.",
    type=OUTPUT_FILE,
)
#: The largest seed that scikit-learn takes.
MAX_SEED = 4294967295
seed = functools.partial(
    option,
    "--seed N",
    "Seed for every random choice.",
    type=click.IntRange(0, MAX_SEED),
    default=0,
    parameters=("random_state", "first_seed"),
)
threads = functools.partial(
    option,
    "--threads N",
    "Number of threads, by default one for each core; does not change results.",
    type=COUNT,
    parameters=("n_jobs", "n_threads"),
)
precision_option = option(
    "--min-precision FRACTION",
    "Answer only where answers are right this often, such as 0.95; 0 answers all.",
    type=float,
    show_default="what MODEL was trained for",
)
quiet_option = option(
    "--quiet -q",
    "Print only warnings to standard error.",
    expose_value=False,
    callback=lambda context, _, value: context.meta.update({QUIET: value}),
)
json_option = option("--json as_json", "Print the results as JSON.")

_READING_OPTIONS = (
    text_option,
    option("--topic COLUMN", "Column that holds the topic.", show_default="guessed"),
    format_option,
    encoding_option,
    separator_option,
    header_row_option,
    _reading(
        "--topic-separator TEXT", "Separator between topics in a cell, such as ; in grain;wheat."
    ),
    _reading(
        "--topic-columns COLUMNS",
        "Read several topics from columns of 0 and 1, such as grain,wheat.",
    ),
    _reading("--skip-bad-rows", "Leave out rows that can't be used."),
    _reading(
        "--fold-topics",
        "Merge topics that differ only in case or spaces; the most common spelling wins.",
    ),
    _reading(
        "--map-topics topic_map FILE",
        "Rename topics: a CSV or TSV file with the columns from and to.",
        type=Path,
    ),
)


def add_options(
    function: Callable[..., None], options: Sequence[Callable[..., Any]]
) -> Callable[..., None]:
    """Return a function with options, in the order in which the help lists them."""
    return functools.reduce(lambda result, option: option(result), reversed(options), function)


def output_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add --quiet and --json."""
    return add_options(function, (quiet_option, json_option))


def reading_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options for labelled texts; the function gets them as `reading`, a `ReadOptions`."""

    @functools.wraps(function)
    def wrapper(**values: Any) -> None:
        reading = ReadOptions(**{name: values.pop(name) for name in USER_OPTIONS})
        function(reading=reading, **values)

    return add_options(wrapper, _READING_OPTIONS)


# Models -------------------------------------------------------------------------------------------


def check_model_first(command: str, model: str, file: str) -> None:
    """Check that MODEL and the file after it were not given in the other order.

    Raises
    ------
    DataError : if the second is a model, and the first is none.
    """
    if is_model(file) and not is_model(model):
        import shlex

        raise DataError(
            f"{model} is not a model, but {file} is one; the model comes first: "
            f"slugline {command} {shlex.join([file, model])}"
        )


def read_day(since: str) -> datetime.date:
    """Return a day in ISO 8601: of 03/04/2026, nobody knows which is the month."""
    try:
        return datetime.date.fromisoformat(since)
    except ValueError:
        raise OptionError(f"--since {since!r} is not a day; give one such as 2026-03-01.") from None


def is_model(name: str) -> bool:
    """Whether this names an included model, or a file that looks like a model."""
    if name in SHIPPED or name.endswith(".slug"):
        return True
    # A pipe's first bytes would be lost to the next reader; an Excel file is a zip archive, too.
    if names_documents(name) or not Path(name).is_file():
        return False
    try:
        with Path(name).open("rb") as file:
            return file.read(2) == b"PK"
    except OSError:
        return False  # reading it as texts will say what is wrong


# Extras -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def requiring_extra(extra: str, need: str) -> Iterator[None]:
    """Convert the error of an import that lacks a package of an extra to a ServerError."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "slugline":
            raise
        raise ServerError(
            f"{need} {package}, which is not installed; type: {install_command(extra)}"
        ) from None
