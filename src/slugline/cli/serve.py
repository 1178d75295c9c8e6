"""`slugline serve`: models behind HTTP, and a page for people."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from slugline.cli.options import Quiet
from slugline.cli.output import log_to_standard_error, say
from slugline.errors import OptionError
from slugline.serving.settings import ServeSettings, read_tokens


def _with_settings(verb: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each of the `ServeSettings` to a verb that takes further keywords."""
    signature = inspect.signature(verb, eval_str=True)
    models, *own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    options = list(_options())
    parameters = [models, *options, *own]
    verb.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    verb.__annotations__ |= {option.name: option.annotation for option in options}
    return verb


def _options() -> Iterator[inspect.Parameter]:
    """Yield a parameter for each setting that is an option, as Typer reads it."""
    hints = get_type_hints(ServeSettings, include_extras=True)
    for field in fields(ServeSettings):
        if get_origin(hints[field.name]) is not Annotated:
            continue
        kind, meta = get_args(hints[field.name])
        default: Any = None if field.default in (MISSING, ()) else field.default
        flag = meta.extra["flag"] or f"--{field.name.replace('_', '-')}"
        option = typer.Option(
            flag,
            min=meta.ge,
            max=meta.le,
            metavar=meta.extra["metavar"],
            help=meta.description,
            show_default=default is not None,
            envvar=f"SLUGLINE{flag.upper().replace('-', '_').removeprefix('_')}",
        )
        if kind == tuple[str, ...]:
            kind = list[str] | None
        yield inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[kind, option],
        )


@_with_settings
def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL ...]",
            help="Saved models (.slug), called by the names of their files; the first answers if a "
            "request names none. By default reuters46, which comes with Slugline.",
            show_default=False,
            envvar="SLUGLINE_MODELS",
        ),
    ] = None,
    *,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="Answer only those who send one of the tokens in FILE, one a line.",
            show_default=False,
        ),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", metavar="", help="Let other machines in without a token.")
    ] = False,
    quiet: Quiet = False,
    **settings: Any,
) -> None:
    """Put models behind HTTP, with a page for people at / and the API's description at /docs.

    Listens on this machine only, unless told otherwise. A changed model file
    takes the place of the version before without a failed request; SIGTERM
    finishes what is running.

    For example:

      slugline serve tickets.slug --corrections corrections.db

      slugline serve tickets.slug --host 0.0.0.0 --token-file tokens
    """
    try:
        from slugline.serving.http.run import serve as run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("slugline"):
            raise
        raise OptionError(
            f"serving needs {error.name}, which is not installed; "
            'install it with pip install "slugline[serve]".'
        ) from None
    for name in ("allowed_hosts", "learn_from"):
        settings[name] = tuple(settings[name] or ())
    tokens = () if token_file is None else read_tokens(token_file)
    chosen = ServeSettings(tokens=tokens, **settings)
    chosen.check_learning()
    if not insecure:
        chosen.check_is_guarded()
    log_to_standard_error(quiet, ("uvicorn", "uvicorn.error", "asyncio"))
    run(chosen, list(models or ()), lambda address: say(f"listening at {address}", quiet=quiet))
