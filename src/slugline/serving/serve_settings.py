"""Server settings, from which the options of `slugline serve` are generated."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Literal

from slugline.base.settings import Setting
from slugline.errors import OptionError
from slugline.serving.requests import LONGEST_TEXT, MAX_TEXTS, Limits
from slugline.serving.tokens import Token

# Default and maximum number of days to keep texts, and the maximum number of texts per day.
_KEEP_DAYS, _MAX_KEEP_DAYS, _MAX_KEPT = 90, 3660, 10_000
_GIGABYTE = 1 << 30
# Size of a form without its text, and of an encoded character in a form.
_FORM_BYTES, _CHARACTER_BYTES = 1 << 16, 12
# Maximum number of JSON values per text: cells of columns and their names.
_VALUES_PER_TEXT = 50
# Minimum number of texts to allow values for, even if --max-texts is lower.
_MIN_TEXTS = 1000
# Upload rate in bytes per second that sets a file's time limit in addition to --timeout.
_MIN_FILE_RATE = 250_000


_limit = partial(Setting, panel="Limits")
_log = partial(Setting, panel="Log")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Settings of a server. Each field with a `Setting` is an option of `slugline serve`.

    `tokens` are the lines of `--token-file`. If there are any, every request requires a token.

    Examples
    --------
    >>> from slugline import ServeSettings
    >>> ServeSettings(port=8000).port
    8000
    """

    host: Annotated[str, Setting("Address.", "ADDRESS")] = "127.0.0.1"
    port: Annotated[int, Setting("Port; 0 for any free one.", "N", ge=0, le=65535)] = 8080
    tokens: tuple[str, ...] = field(default=(), repr=False)
    allowed_hosts: Annotated[
        tuple[str, ...],
        Setting(
            "Host name of the server, such as topics.example.org. Numeric addresses and localhost "
            "are always allowed. Repeatable.",
            "NAME",
            flag="--allowed-host",
        ),
    ] = ()
    workers: Annotated[int, Setting("Number of processes.", "N", ge=1, le=256)] = 1
    threads: Annotated[
        int, Setting("Number of classification threads per process.", "N", ge=1, le=256)
    ] = 2
    min_precision: Annotated[
        float | None,
        Setting(
            "Answer only if this fraction of the answers is right, such as 0.95; 0 answers every "
            "text. Defaults to each model's own precision.",
            "FRACTION",
        ),
    ] = None
    corrections: Annotated[
        Path | None, Setting("Store corrections in FILE, a SQLite database.", "FILE")
    ] = None
    watch: Annotated[
        Path | None,
        Setting(
            "Store daily totals of the answers in FILE, a SQLite database; the page shows how "
            "topics change. Texts are stored only with --keep-texts.",
            "FILE",
        ),
    ] = None
    keep_texts: Annotated[
        int,
        Setting(
            "Store N random texts per day in the --watch file, so that people can label them. "
            "They may contain personal data.",
            "N",
            ge=0,
            le=_MAX_KEPT,
        ),
    ] = 0
    keep_days: Annotated[
        int, Setting("Delete stored texts after DAYS.", "DAYS", ge=1, le=_MAX_KEEP_DAYS)
    ] = _KEEP_DAYS
    learn_every: Annotated[
        int | None,
        Setting(
            "Retrain the first model after every N new corrections, on DATA and all corrections, "
            "and replace it unless a topic gets clearly worse.",
            "N",
            ge=1,
        ),
    ] = None
    learn_from: Annotated[
        tuple[str, ...], Setting("Training data of the first model. Repeatable.", "DATA")
    ] = ()
    approvers: Annotated[
        tuple[str, ...],
        Setting(
            "Name in the token file. This person's corrections count immediately, and they may "
            "approve other people's. Repeatable; defaults to all names.",
            "NAME",
            flag="--approver",
        ),
    ] = ()
    text: Annotated[
        str | None, Setting("Text column or columns of DATA, such as subject,body.", "COLUMN")
    ] = None
    topic: Annotated[str | None, Setting("Topic column of DATA.", "COLUMN")] = None
    max_body: Annotated[int, _limit("Maximum request size.", "BYTES", ge=1024, le=_GIGABYTE)] = (
        1 << 24
    )
    max_file: Annotated[
        int, _limit("Maximum size of an uploaded table.", "BYTES", ge=1024, le=_GIGABYTE)
    ] = 1 << 26
    max_texts: Annotated[int, _limit("Texts per request.", "N", ge=1, le=MAX_TEXTS)] = Limits.texts
    max_characters: Annotated[int, _limit("Characters per text.", "N", ge=1, le=LONGEST_TEXT)] = (
        Limits.characters
    )
    max_waiting: Annotated[
        int,
        _limit(
            "Requests in progress or queued, per process; others get 503.", "N", ge=1, le=100_000
        ),
    ] = 512
    max_connections: Annotated[
        int, _limit("Connections per process; others wait.", "N", ge=1, le=1_000_000)
    ] = 1000
    timeout: Annotated[
        float,
        _limit(
            "Time limit for receiving a request, and for answering it.", "SECONDS", ge=0.1, le=3600
        ),
    ] = 30.0
    grace: Annotated[
        float,
        _limit("Time for running requests to finish after SIGTERM.", "SECONDS", ge=0, le=3600),
    ] = 30.0
    log_requests: Annotated[bool, _log("Log a line for each request, without texts.")] = False
    log_format: Annotated[Literal["text", "json"], _log("Log format: lines of text or JSON.")] = (
        "text"
    )
    log_texts: Annotated[bool, _log("Also log texts, which may contain personal data.")] = False

    @property
    def limits(self) -> Limits:
        """Limits on a request."""
        return Limits(texts=self.max_texts, characters=self.max_characters)

    @property
    def max_form(self) -> int:
        """Maximum size of a form with a text, in bytes."""
        return min(self.max_body, _FORM_BYTES + _CHARACTER_BYTES * self.max_characters)

    @property
    def max_values(self) -> int:
        """Maximum number of JSON values in a request."""
        return _VALUES_PER_TEXT * max(self.max_texts, _MIN_TEXTS)

    def file_timeout(self, n_bytes: int | None = None) -> float:
        """Return the upload time limit in seconds for `n_bytes`, by default `max_file`."""
        n_bytes = self.max_file if n_bytes is None else min(n_bytes, self.max_file)
        return self.timeout + n_bytes / _MIN_FILE_RATE

    @cached_property
    def accepted_tokens(self) -> tuple[Token, ...]:
        """The parsed tokens."""
        return tuple(map(Token.parse, self.tokens))

    @property
    def lets_anybody_approve(self) -> bool:
        """True if anybody may approve corrections, because only local users reach the server.

        If there are tokens, approval requires a token with a name.
        """
        return not self.tokens and is_loopback(self.host)

    def check(self) -> None:
        """Raise an OptionError if options are inconsistent or an approver has no token."""
        if self.learn_every is not None and not (self.corrections and self.learn_from):
            raise OptionError(
                "--learn-every requires --corrections FILE, the store of corrections, and "
                "--learn-from DATA, the training data of the model."
            )
        if self.learn_from and self.learn_every is None:
            raise OptionError(
                "--learn-from requires --learn-every N, the number of new corrections before each "
                "training; add it, or remove --learn-from."
            )

        names = {token.name for token in self.accepted_tokens}
        unknown = next((name for name in self.approvers if name not in names), None)
        if unknown is not None:
            raise OptionError(
                f"--approver {unknown[:200]}: no token has this name; add a line such as "
                f"`{unknown[:200]} TOKEN` to the --token-file."
            )

        if self.keep_texts and self.watch is None:
            raise OptionError(
                "--keep-texts requires --watch FILE to store the texts; add it, or remove "
                "--keep-texts."
            )

    def check_is_guarded(self, danger: str = "use the models and send corrections") -> None:
        """Raise an OptionError if other machines can reach the server without a token.

        `danger` describes what anybody could do.
        """
        if not self.tokens and not is_loopback(self.host):
            raise OptionError(
                f"--host {self.host} can be reached from other machines, where anybody could "
                f"{danger}; add --token-file FILE, or --insecure to allow this."
            )


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach the address.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
