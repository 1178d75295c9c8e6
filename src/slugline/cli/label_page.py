"""Options of commands that open the label page, and its server."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from slugline.cli.options import add_options, option, requiring_extra, setting_option
from slugline.cli.output import log_to_standard_error, say
from slugline.errors import OptionError
from slugline.labels.label_setup import login_name
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.server.addresses import Address, find_address
from slugline.serving.tokens import Token, read_tokens

if TYPE_CHECKING:
    from slugline.serving.labelling.service import LabelService

# Heading of these options in the help.
_PANEL = "The page"
# Maximum request size in bytes: a note, or a topic description with examples.
_MAX_BODY = 1 << 20
_NAMES = ("coder", "host", "port", "token_file", "allowed_hosts", "insecure")


@dataclass(frozen=True, kw_only=True)
class PageOptions:
    """Address and users of the label page."""

    coder: str | None
    host: str
    port: int
    token_file: Path | None
    allowed_hosts: tuple[str, ...]
    insecure: bool

    def coder_name(self) -> str:
        """Return the name for a coder without a token; by default, the login name."""
        return self.coder or login_name()

    def settings(self) -> ServeSettings:
        """Return the settings of the server.

        Raises
        ------
        OptionError : if other machines could use the page without a token, or a token has no name.
        """
        settings = ServeSettings(
            host=self.host,
            port=self.port,
            tokens=() if self.token_file is None else _read_named_tokens(self.token_file),
            allowed_hosts=self.allowed_hosts,
            max_body=_MAX_BODY,
        )
        if not self.insecure:
            settings.check_is_guarded("read and label the texts")
        return settings

    def address(self) -> Address:
        """Return the address to listen on; ServerError if unavailable."""
        return find_address(self.host, self.port)


def _read_named_tokens(path: Path) -> tuple[str, ...]:
    """Return the lines of a file of tokens; OptionError if one has no name."""
    lines = read_tokens(path)
    tokens = [Token.parse(line) for line in lines]
    for number, token in enumerate(tokens, 1):
        if token.name is None:
            raise OptionError(
                f"--token-file {path}: token {number} has no name to store with labels; write "
                "a line such as `anna TOKEN`."
            )
    return lines


def page_options() -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that adds options, passed to the function as `page`."""
    added = (
        option(
            "--coder NAME",
            "Your name, stored with each label.",
            show_default="login name",
            panel=_PANEL,
        ),
        setting_option(ServeSettings, "host", "SLUGLINE", _PANEL),
        setting_option(ServeSettings, "port", "SLUGLINE", _PANEL),
        option(
            "--token-file FILE",
            "Require one of the tokens in FILE, which contains a name and a token per line.",
            type=Path,
            envvar="SLUGLINE_TOKEN_FILE",
            show_envvar=True,
            panel=_PANEL,
        ),
        setting_option(ServeSettings, "allowed_hosts", "SLUGLINE", _PANEL),
        option("--insecure", "Let other machines use the page without a token.", panel=_PANEL),
    )

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def wrapper(**values: object) -> None:
            found = {name: values.pop(name) for name in _NAMES}
            function(page=PageOptions(**found), **values)  # type: ignore[arg-type]

        return add_options(wrapper, added)

    return decorate


def check_only_with_page() -> None:
    """Raise OptionError if an option of the page was given without --page."""
    context = click.get_current_context()
    for parameter in context.command.params:
        if parameter.name not in _NAMES:
            continue
        if context.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE:
            raise OptionError(
                f"{parameter.opts[0]} requires --page; add it, or omit {parameter.opts[0]}."
            )


def check_can_open() -> None:
    """Raise ServerError if the packages of the server are missing."""
    with requiring_extra("serve", "labelling needs"):
        importlib.import_module("slugline.serving.labelling.app")


def serve_page(
    settings: ServeSettings, service: LabelService, address: Address, content: str
) -> None:
    """Print the address and content of the page; answer requests until Ctrl-C."""
    from slugline.serving.labelling.app import serve_labels

    log_to_standard_error(("asyncio",))
    say(f"{content}; Ctrl-C ends")
    address.call_when_open(lambda: say(f"listening at {address.url}"))
    serve_labels(settings, service, address)
