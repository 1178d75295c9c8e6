"""`slugline serve`: models behind HTTP, and a page for people."""

from __future__ import annotations

import functools
import logging
import shlex
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import click

from slugline.cli.options import (
    Option,
    command,
    models_argument,
    option,
    quiet_option,
    requiring_extra,
)
from slugline.cli.output import is_quiet, log_to_standard_error, say
from slugline.cli.output_paths import check_target
from slugline.errors import OptionError
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.tokens import read_tokens


def _settings_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each of the `ServeSettings`."""
    hints = get_type_hints(ServeSettings, include_extras=True)
    for field in reversed(fields(ServeSettings)):
        if get_origin(hints[field.name]) is not Annotated:
            continue
        hint, meta = get_args(hints[field.name])
        flag = meta.extra["flag"] or f"--{field.name.replace('_', '-')}"
        function = click.option(
            flag,
            field.name,
            type=_option_type(hint, meta),
            default=field.default,
            # As in `option`, not False, which would read `--port -1` as two options.
            is_flag=True if hint is bool else None,
            multiple=get_origin(hint) is tuple,
            metavar=meta.extra["metavar"] or None,
            help=meta.description,
            envvar=f"SLUGLINE{flag.upper().replace('-', '_').removeprefix('_')}",
            show_envvar=True,
            cls=Option,
            panel=meta.extra["panel"],
        )(function)
    return function


class _QuotedWords(click.types.StringParamType):
    """Values in an environment variable, quoted if they contain spaces; or a single path."""

    def split_envvar_value(self, rv: str) -> Sequence[str]:
        try:
            return [rv] if Path(rv).exists() else shlex.split(rv)
        except ValueError as error:
            raise OptionError(
                f"{rv[:200]!r} in an environment variable can't be split into words ({error}); "
                "check its quotation marks and backslashes."
            ) from None


def _option_type(hint: Any, meta: Any) -> Any:
    """Return the type of an option."""
    if get_origin(hint) is Literal:
        return click.Choice(get_args(hint))
    if hint == tuple[str, ...]:
        return _QuotedWords()
    # The type of values: `str` of `str | None` and of `str`.
    kind = get_args(hint)[0] if get_args(hint) else hint
    if meta.ge is None and meta.le is None:
        return kind
    return (click.IntRange if kind is int else click.FloatRange)(meta.ge, meta.le)


@command(context_settings={"auto_envvar_prefix": "SLUGLINE"})
@models_argument(
    "models",
    "Saved models (.slug), called by the names of their files; the first answers if a request "
    "names none. By default reuters46, which comes with Slugline.  [env var: SLUGLINE_MODELS]",
    metavar="[MODEL]...",
    envvar="SLUGLINE_MODELS",
    type=_QuotedWords(),
    nargs=-1,
)
@_settings_options
@option(
    "--token-file FILE",
    "Answer only requests with one of the tokens in FILE (one per line).",
    type=Path,
    show_envvar=True,
)
@option("--insecure", "Let other machines use the server without a token.", show_envvar=True)
@quiet_option
def serve(models: Sequence[str], token_file: Path | None, insecure: bool, **settings: Any) -> None:
    """Serve models over HTTP: a web page at /, API docs at /docs.

    Listens on this machine only, unless told otherwise. A changed model file replaces the version
    before without a failed request; after SIGTERM, running requests are finished.

    For example:

      slugline serve tickets.slug --corrections corrections.db
      slugline serve tickets.slug --host 0.0.0.0 --token-file tokens
    """
    with requiring_extra("serve", "serving needs"):
        from slugline.serving.server.json_log import JsonFormatter
        from slugline.serving.server.serve import serve as run
    tokens = () if token_file is None else read_tokens(token_file)
    serve_settings = ServeSettings(tokens=tokens, **settings)
    serve_settings.check_learning()
    serve_settings.check_texts()
    serve_settings.check_proxies()
    for flag, file in (
        ("--corrections", serve_settings.corrections),
        ("--watch", serve_settings.watch),
    ):
        if file is not None:
            check_target(flag, file, models)
    if not insecure:
        serve_settings.check_is_guarded()
    is_json = serve_settings.log_format == "json"
    start_log = functools.partial(
        log_to_standard_error,
        ("asyncio",),
        JsonFormatter() if is_json else None,
        only_warnings=is_quiet(),
    )
    announce = logging.getLogger("slugline").info if is_json else say
    run(
        serve_settings, list(models), start_log, lambda address: announce(f"listening at {address}")
    )
