"""`slugline serve`: models behind HTTP, and a page for people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from slugline.cli.options import Quiet, TextColumn, TopicColumn
from slugline.cli.output import log_to_standard_error, say
from slugline.errors import OptionError

__all__ = ["serve"]

_GIGABYTE = 1 << 30


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
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="ADDRESS",
            help="Address.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            "--port",
            min=0,
            max=65535,
            metavar="N",
            help="Port; 0 for any that is free.",
        ),
    ] = 8080,
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
        bool,
        typer.Option(
            "--insecure",
            metavar="",
            help="Let other machines in without a token.",
        ),
    ] = False,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            "--allowed-host",
            metavar="NAME",
            help="A name by which the server is called, such as topics.example.org; may be "
            "repeated. Numeric addresses and localhost are known.",
            show_default=False,
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            min=1,
            max=256,
            metavar="N",
            help="Processes.",
        ),
    ] = 1,
    threads: Annotated[
        int,
        typer.Option(
            "--threads",
            min=1,
            max=256,
            metavar="N",
            help="Threads of each process that make answers.",
        ),
    ] = 2,
    corrections: Annotated[
        Path | None,
        typer.Option(
            "--corrections",
            metavar="FILE",
            help="Keep corrections in FILE, a SQLite database.",
            show_default=False,
        ),
    ] = None,
    learn_every: Annotated[
        int | None,
        typer.Option(
            "--learn-every",
            min=1,
            metavar="N",
            help="Learn again after N new corrections of the first model, from DATA and all "
            "corrections, and replace it if no topic got clearly worse.",
            show_default=False,
        ),
    ] = None,
    learn_from: Annotated[
        list[str] | None,
        typer.Option(
            "--learn-from",
            metavar="DATA",
            help="What the first model learned from; may be repeated.",
            show_default=False,
        ),
    ] = None,
    text: TextColumn = None,
    topic: TopicColumn = None,
    max_body: Annotated[
        int,
        typer.Option(
            "--max-body",
            min=1024,
            max=_GIGABYTE,
            metavar="BYTES",
            help="Bytes of a request.",
        ),
    ] = 1 << 24,
    max_file: Annotated[
        int,
        typer.Option(
            "--max-file",
            min=1024,
            max=_GIGABYTE,
            metavar="BYTES",
            help="Bytes of a table that is dropped on the page.",
        ),
    ] = 1 << 26,
    max_texts: Annotated[
        int,
        typer.Option(
            "--max-texts",
            min=1,
            max=1_000_000,
            metavar="N",
            help="Texts of a request.",
        ),
    ] = 10_000,
    max_characters: Annotated[
        int,
        typer.Option(
            "--max-characters",
            min=1,
            max=100_000_000,
            metavar="N",
            help="Characters of a text.",
        ),
    ] = 100_000,
    max_waiting: Annotated[
        int,
        typer.Option(
            "--max-waiting",
            min=1,
            max=100_000,
            metavar="N",
            help="Requests that a process works on or that wait; others get 503.",
        ),
    ] = 512,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            min=0.1,
            max=3600,
            metavar="SECONDS",
            help="For a request to arrive, and for its answer.",
        ),
    ] = 30.0,
    log_requests: Annotated[
        bool,
        typer.Option(
            "--log-requests",
            metavar="",
            help="Log a line for each request, without texts.",
        ),
    ] = False,
    log_texts: Annotated[
        bool,
        typer.Option(
            "--log-texts",
            metavar="",
            help="Log the texts, too: think of whose they are.",
        ),
    ] = False,
    quiet: Quiet = False,
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
        from slugline.serving.http.settings import Settings, read_tokens
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("slugline"):
            raise
        raise OptionError(
            f"serving needs {error.name}, which is not installed; "
            'install it with pip install "slugline[serve]".'
        ) from None
    from slugline.serving.model import Limits

    settings = Settings(
        host=host,
        port=port,
        tokens=() if token_file is None else read_tokens(token_file),
        allowed_hosts=tuple(allowed_host or ()),
        workers=workers,
        threads=threads,
        max_body=max_body,
        limits=Limits(texts=max_texts, characters=max_characters),
        max_waiting=max_waiting,
        timeout=timeout,
        max_file=max_file,
        corrections=corrections,
        learn_every=learn_every,
        learn_from=tuple(learn_from or ()),
        train_options=_given({"--text": text, "--topic": topic}),
        log_requests=log_requests or log_texts,
        log_texts=log_texts,
    )
    settings.check_learning()
    if not insecure:
        settings.check_is_guarded()
    log_to_standard_error(quiet, ("uvicorn", "uvicorn.error", "asyncio"))
    run(settings, list(models or ()), lambda address: say(f"listening at {address}", quiet=quiet))


def _given(options: Mapping[str, str | None]) -> tuple[str, ...]:
    """Return options with values as they are typed."""
    return tuple(f"{name}={value}" for name, value in options.items() if value is not None)
