"""`slugline serve`: serve models over HTTP, with a web page."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slugline.cli.options import (
    QuotedWords,
    command,
    models_argument,
    option,
    quiet_option,
    requiring_extra,
    settings_options,
)
from slugline.cli.output import is_quiet, log_to_standard_error, say
from slugline.cli.output_paths import check_target
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.tokens import read_tokens


@command(context_settings={"auto_envvar_prefix": "SLUGLINE"})
@models_argument(
    "models",
    "Model files (.slug), served under their file names; the first one is the default. Without "
    "MODEL, serves the included model reuters46.  [env var: SLUGLINE_MODELS]",
    metavar="[MODEL]...",
    envvar="SLUGLINE_MODELS",
    type=QuotedWords(),
    nargs=-1,
)
@settings_options(ServeSettings, envvar_prefix="SLUGLINE")
@option(
    "--token-file FILE",
    "Require one of the tokens in FILE, one per line.",
    type=Path,
    show_envvar=True,
)
@option("--insecure", "Allow requests from other machines without a token.", show_envvar=True)
@quiet_option
def serve(models: Sequence[str], token_file: Path | None, insecure: bool, **settings: Any) -> None:
    """Serve models over HTTP, with a web page at / and API docs at /docs.

    By default, accepts requests only from this machine. Changed model files are
    reloaded without interruption. SIGTERM finishes running requests first.

    For example:

      slugline serve tickets.slug --corrections corrections.db
      slugline serve tickets.slug --host 0.0.0.0 --token-file tokens
    """
    with requiring_extra("serve", "serving needs"):
        from slugline.serving.server.serve import JsonFormatter
        from slugline.serving.server.serve import serve as run
    tokens = () if token_file is None else read_tokens(token_file)
    serve_settings = ServeSettings(tokens=tokens, **settings)
    serve_settings.check()
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
