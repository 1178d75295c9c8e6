"""Options shared by several commands, and the parsing of their values."""

from __future__ import annotations

import contextlib
import datetime
import functools
import inspect
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import click

from slugline.base.lazy import install_command
from slugline.base.names import check_is_no_output_address
from slugline.base.settings import Setting
from slugline.cli.output import COMMAND, QUIET
from slugline.corpus.layout import ReadOptions
from slugline.errors import DataError, OptionError, ServerError
from slugline.model.file.shipped import SHIPPED, is_model

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from click.types import OptionHelpExtra

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

# Help ---------------------------------------------------------------------------------------------


_NO_BREAK_HYPHEN = "\N{NON-BREAKING HYPHEN}"
#: The panel of the main options. The short help describes these and only names the others.
MAIN = "Options"
_SHOW_ALL = "slugline.cli.options.show_all"


class Argument(click.Argument):
    """An argument with a help line."""

    help: str | None

    def __init__(self, *names: Any, help: str, **settings: Any) -> None:  # noqa: A002
        super().__init__(*names, **settings)
        self.help = help


class Option(click.Option):
    """An option listed in a panel of the help.

    `values` are shell completions; options of type `Path` complete files. `parameters` are
    additional names of the option in Python.
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

    def get_help_extra(self, ctx: click.Context) -> OptionHelpExtra:
        """Return the default and environment variable; only error messages contain ranges."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        return extra

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return completions for an incomplete value."""
        if isinstance(self.type, click.types.FuncParamType) and self.type.func is Path:
            return _files(incomplete)
        if self.values:
            return _beginning(self.values, incomplete)
        return super().shell_complete(ctx, incomplete)


class _HelpFormatter(click.HelpFormatter):
    """Never breaks lines after a hyphen, which may be part of an option or a name."""

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
    """A file to write; names that end in a slash are rejected as folders."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, _: click.Context | None) -> Path:
        """Return the path; OptionError for a folder or a URL."""
        check_is_no_output_address(value)
        if str(value).endswith(("/", os.sep)):
            flag = "" if param is None else max(param.opts, key=len)
            raise OptionError(f"{flag} {value}: is a folder; name a file.")
        return Path(value)

    def shell_complete(
        self, _: click.Context, __: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return completions for an incomplete value."""
        return _files(incomplete)


#: Option type for a file to write.
OUTPUT_FILE = OutputFile()


def _write_text(text: str, formatter: click.HelpFormatter) -> None:
    """Write a help text; indented paragraphs keep their line breaks."""
    with formatter.indentation():
        formatter.write_text(inspect.cleandoc(text).replace("\n\n  ", "\n\n\b\n  "))


class Command(click.Command):
    """A command whose help has a section for arguments and one per panel of options.

    The short help only names the options outside the first panel; --help-all describes them.
    Indented paragraphs, such as examples, keep their line breaks.
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
                    help="Show all options and exit.",
                )
            )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments, and note the command for messages about its options."""
        ctx.meta[COMMAND] = self
        return super().parse_args(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the usage line, text and sections."""
        self.format_usage(ctx, formatter)
        formatter.write_paragraph()
        _write_text(self.help or "", formatter)
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
            sections["More options (see --help-all)"] = rows
        for title, lines in sections.items():
            with formatter.section(title):
                formatter.write_dl(lines, col_max=3 * formatter.width // 8)


class Group(click.Group):
    """A command with subcommands, whose help is laid out like the help of commands."""

    context_class = _Context

    def format_help_text(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the text with its examples."""
        formatter.write_paragraph()
        _write_text(self.help or "", formatter)


def _print_all_help(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        ctx.meta[_SHOW_ALL] = True
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


def _files(incomplete: str) -> list[CompletionItem]:
    """Return an item that makes the shell complete file names."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def _beginning(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def _complete_model(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return files and matching included models."""
    return [*_files(incomplete), *_beginning(SHIPPED, incomplete)]


def _complete_data(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return matching files and built-in data sets."""
    from slugline.corpus.loading import NAMED_CORPORA

    return [*_files(incomplete), *_beginning(NAMED_CORPORA, incomplete)]


command = functools.partial(click.command, cls=Command)
#: Option type for integers from 1.
COUNT = click.IntRange(min=1)


def argument(name: str, help: str, **settings: Any) -> Callable[[Decorated], Decorated]:  # noqa: A002
    """Return a decorator that adds an argument with a help line."""
    return click.argument(name, cls=Argument, help=help, **settings)


def option(words: str, help: str, **settings: Any) -> Callable[[Decorated], Decorated]:  # noqa: A002
    """Return a decorator that adds an option.

    `words` are its flags and metavar, such as "--output -o FILE"; without a word in capitals, it
    is a boolean flag. A lower-case word names the parameter.
    """
    names = words.split()
    if names[-1].isupper():
        settings["metavar"] = names.pop()
    else:
        settings["is_flag"] = True  # an explicit False would read `--l2 -1` as two options
    return click.option(*names, cls=Option, help=help, **settings)


class QuotedWords(click.types.StringParamType):
    """Values from an environment variable, quoted if they contain spaces, or a single path."""

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        """Return the values; OptionError if quotation marks don't match."""
        try:
            return [rv] if Path(rv).exists() else shlex.split(rv)
        except ValueError as error:
            raise OptionError(
                f"{rv[:200]!r} in an environment variable can't be split into words ({error}); "
                "check its quotation marks and backslashes."
            ) from None


@functools.cache
def _type_hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _option_type(hint: Any, setting: Setting) -> Any:
    """Return the option type for a field."""
    if get_origin(hint) is Literal:
        return click.Choice(get_args(hint))
    if _is_repeatable(hint):
        return QuotedWords()
    # The value type: `str` for both `str | None` and `str`.
    kind = get_args(hint)[0] if get_args(hint) else hint
    if setting.ge is None and setting.le is None:
        return kind
    number_range: Any = click.IntRange if kind is int else click.FloatRange
    return number_range(setting.ge, setting.le)


def _is_repeatable(hint: Any) -> bool:
    """True if a field takes several values, each with its own option."""
    return get_origin(hint) in (tuple, Sequence)


def setting_option(
    kind: type, name: str, envvar_prefix: str = "", panel: str = ""
) -> Callable[[Decorated], Decorated]:
    """Return a decorator that adds the option for a field of a settings type.

    The field's type is annotated with a `Setting`. With a prefix, the option can also be set by an
    environment variable, which the help shows. `panel` overrides the setting's panel.
    """
    field = kind.__dataclass_fields__[name]  # type: ignore[attr-defined]
    hint, setting = get_args(_type_hints(kind)[name])
    flag = setting.flag or f"--{name.replace('_', '-')}"
    more: dict[str, Any] = {"show_default": setting.default} if setting.default else {}
    if envvar_prefix:
        envvar = f"{envvar_prefix}{flag.upper().replace('-', '_').removeprefix('_')}"
        more |= {"envvar": envvar, "show_envvar": True}
    return click.option(
        flag,
        name,
        type=_option_type(hint, setting),
        default=field.default,
        # Not False, which would read `--port -1` as two options.
        is_flag=True if hint is bool else None,
        multiple=_is_repeatable(hint),
        metavar=setting.metavar or None,
        help=setting.help,
        cls=Option,
        panel=panel or setting.panel,
        values=setting.values,
        **more,
    )


def settings_options(
    kind: type, envvar_prefix: str = ""
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds an option for each field annotated with a `Setting`."""
    names = [name for name, hint in _type_hints(kind).items() if get_origin(hint) is Annotated]
    return lambda function: add_options(
        function, [setting_option(kind, name, envvar_prefix) for name in names]
    )


# Options ------------------------------------------------------------------------------------------

_data = functools.partial(
    argument,
    "data",
    "Labelled texts: CSV, TSV, JSONL, JSON, Parquet, Excel or fastText files (also .gz), folders "
    "with a subfolder of *.txt files per topic, - for standard input, or an included data set: "
    "tickets, tickets-de, bbc, reuters, reuters-corrected or reuters-modapte.",
    nargs=-1,
    shell_complete=_complete_data,
)
data_argument = _data(required=True)
optional_data = _data()
models_argument = functools.partial(argument, shell_complete=_complete_model)
model_argument = models_argument("model", "A model file (.slug), or the included model reuters46.")
_reading = functools.partial(setting_option, ReadOptions)
column_option = _reading("columns")
id_option = _reading("id")
topic_path_option = _reading("topic_path")
test_option = option("--test FILE", "Labelled texts to test on.", show_default="part of DATA")
mistakes = functools.partial(
    option,
    "--mistakes CSV",
    "Write the misclassified test documents, most confident mistakes first.",
    type=OUTPUT_FILE,
)
#: The largest seed that scikit-learn accepts.
MAX_SEED = 4294967295
seed = functools.partial(
    option,
    "--seed N",
    "Random seed.",
    type=click.IntRange(0, MAX_SEED),
    default=0,
    parameters=("random_state", "first_seed"),
)
threads = functools.partial(
    option,
    "--threads N",
    "Number of threads; doesn't affect results.",
    show_default="one per core",
    type=COUNT,
    parameters=("n_jobs", "n_threads"),
)
precision_option = option(
    "--min-precision FRACTION",
    "Minimum fraction of right answers, such as 0.95; unsure texts are left unassigned. 0 answers "
    "all texts.",
    type=float,
    show_default="MODEL's own",
)
quiet_option = option(
    "--quiet -q",
    "Print only warnings to standard error.",
    expose_value=False,
    callback=lambda context, _, value: context.meta.update({QUIET: value}),
)
json_option = option("--json as_json", "Print the results as JSON.")

#: The fields of `FileOptions`.
FILE_OPTIONS = ("text", "format", "encoding", "separator", "header_row")
# In help order.
_READING_OPTIONS = (
    *("text", "topic", "format", "encoding", "separator", "header_row", "topic_separator"),
    *("topic_columns", "skip_bad_rows", "fold_topics", "topic_map"),
)


def add_options(
    function: Callable[..., None], options: Sequence[Callable[..., Any]]
) -> Callable[..., None]:
    """Add options to a function, in help order."""
    return functools.reduce(lambda result, option: option(result), reversed(options), function)


def output_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add --quiet and --json."""
    return add_options(function, (quiet_option, json_option))


def _add_reading(function: Callable[..., None], names: Sequence[str]) -> Callable[..., None]:
    """Add options for fields of `ReadOptions`, passed to the function as `reading`."""

    @functools.wraps(function)
    def wrapper(**values: Any) -> None:
        reading = ReadOptions(**{name: values.pop(name) for name in names})
        function(reading=reading, **values)

    return add_options(wrapper, [_reading(name) for name in names])


def file_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options for texts, passed to the function as `reading`, a `ReadOptions`."""
    return _add_reading(function, FILE_OPTIONS)


def reading_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add options for labelled texts, passed to the function as `reading`, a `ReadOptions`."""
    return _add_reading(function, _READING_OPTIONS)


def reading_options_with_questions(function: Callable[..., None]) -> Callable[..., None]:
    """Add options for labelled texts whose --topic is repeatable.

    With several topic columns, `reading.topic` is None and `questions` names them; otherwise
    `questions` is empty.
    """

    @functools.wraps(function)
    def wrapper(topic: Sequence[str], **values: Any) -> None:
        reading = ReadOptions(**{name: values.pop(name) for name in others})
        if len(topic) == 1:
            reading = replace(reading, topic=topic[0])
        function(reading=reading, questions=topic if len(topic) > 1 else (), **values)

    others = [name for name in _READING_OPTIONS if name != "topic"]
    topics = option(
        "--topic COLUMN",
        "Topic column. Repeat it to answer several questions about each text.",
        multiple=True,
        show_default="guessed",
    )
    text, *more = map(_reading, others)
    return add_options(wrapper, [text, topics, *more])


# Models -------------------------------------------------------------------------------------------


def check_model_first(command: str, model: str, file: str) -> None:
    """Check that MODEL and the file after it were not swapped.

    Raises
    ------
    DataError : if the second is a model and the first isn't.
    """
    if is_model(file) and not is_model(model):
        raise DataError(
            f"{model} is not a model, but {file} is. Swap them: "
            f"slugline {command} {shlex.join([file, model])}"
        )


def read_day(since: str) -> datetime.date:
    """Parse an ISO 8601 date; other formats, such as 03/04/2026, are ambiguous."""
    try:
        return datetime.date.fromisoformat(since)
    except ValueError:
        raise OptionError(f"--since {since!r} is not a date; write it as 2026-03-01.") from None


# Extras -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def requiring_extra(extra: str, need: str) -> Iterator[None]:
    """Convert an ImportError for a package of an extra to a ServerError."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "slugline":
            raise
        raise ServerError(
            f"{need} {package}, which is not installed; run: {install_command(extra)}"
        ) from None
