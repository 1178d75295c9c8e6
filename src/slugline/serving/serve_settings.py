"""Settings of a server, from which the options of `slugline serve` are made."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Annotated, Literal

from slugline.base.settings import Setting
from slugline.corrections.doubts import Approval
from slugline.errors import OptionError
from slugline.serving.limits import LONGEST_TEXT, MAX_TEXTS, Limits
from slugline.serving.tokens import Token
from slugline.serving.watch.text_sample import KEEP_DAYS, MAX_KEEP_DAYS, MAX_KEPT

_GIGABYTE = 1 << 30
# Bytes of a form without its text, and of an encoded character in a form.
_FORM_BYTES, _CHARACTER_BYTES = 1 << 16, 12
# Values of a request for each of its texts: cells of columns, and their names.
_VALUES_PER_TEXT = 50
# The number of texts whose values a request may have, however few texts are allowed.
_MIN_TEXTS = 1000
# Bytes a second at which a file must arrive, beyond the timeout of all requests.
_MIN_FILE_RATE = 250_000


_limit = partial(Setting, panel="Limits")
_log = partial(Setting, panel="Log")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Settings of a server. Each field with a `Setting` is an option of `slugline serve`.

    `tokens` are those of `--token-file`: if there are any, a request needs one of them.

    Examples
    --------
    >>> from slugline import ServeSettings
    >>> ServeSettings(port=8000).port
    8000
    """

    host: Annotated[str, Setting("Address.", "ADDRESS")] = "127.0.0.1"
    port: Annotated[int, Setting("Port; 0 for any that is free.", "N", ge=0, le=65535)] = 8080
    tokens: tuple[str, ...] = field(default=(), repr=False)
    allowed_hosts: Annotated[
        tuple[str, ...],
        Setting(
            "A host name of the server, such as topics.example.org; may be repeated. Numeric "
            "addresses and localhost are always allowed.",
            "NAME",
            flag="--allowed-host",
        ),
    ] = ()
    proxies: Annotated[
        tuple[str, ...],
        Setting(
            "Address or network of a proxy whose X-Forwarded-For and X-Forwarded-Proto headers are "
            "trusted, such as 127.0.0.1 or 10.0.0.0/8; may be repeated.",
            "ADDRESS",
            flag="--proxy",
        ),
    ] = ()
    workers: Annotated[int, Setting("Processes.", "N", ge=1, le=256)] = 1
    threads: Annotated[
        int, Setting("Threads with which each process classifies texts.", "N", ge=1, le=256)
    ] = 2
    min_precision: Annotated[
        float | None,
        Setting(
            "Answer only if this fraction of the answers is right, such as 0.95; 0 answers every "
            "text. By default, the precision that each model was trained for.",
            "FRACTION",
        ),
    ] = None
    corrections: Annotated[
        Path | None, Setting("Keep corrections in FILE, a SQLite database.", "FILE")
    ] = None
    watch: Annotated[
        Path | None,
        Setting(
            "Keep sums over the answers of each day in FILE, a SQLite database; the page shows how "
            "topics change. No texts are kept without --keep-texts.",
            "FILE",
        ),
    ] = None
    keep_texts: Annotated[
        int,
        Setting(
            "Keep the words of N texts a day, drawn at random, in the file of --watch, so that "
            "people can label them. They may be personal data.",
            "N",
            ge=0,
            le=MAX_KEPT,
        ),
    ] = 0
    keep_days: Annotated[
        int, Setting("Delete kept texts after DAYS.", "DAYS", ge=1, le=MAX_KEEP_DAYS)
    ] = KEEP_DAYS
    learn_every: Annotated[
        int | None,
        Setting(
            "Retrain the first model after N new corrections, from DATA and all corrections, and "
            "replace it unless a topic got clearly worse.",
            "N",
            ge=1,
        ),
    ] = None
    learn_from: Annotated[
        tuple[str, ...], Setting("Training data of the first model; may be repeated.", "DATA")
    ] = ()
    approve: Annotated[
        Approval,
        Setting(
            "Which corrections must be approved before the model learns from them: all, doubtful "
            "ones, or none."
        ),
    ] = "doubtful"
    text: Annotated[
        str | None,
        Setting("Column or columns of DATA with the text, such as subject,body.", "COLUMN"),
    ] = None
    topic: Annotated[str | None, Setting("Column of DATA with the topic.", "COLUMN")] = None
    max_body: Annotated[int, _limit("Bytes of a request.", "BYTES", ge=1024, le=_GIGABYTE)] = (
        1 << 24
    )
    max_file: Annotated[
        int, _limit("Bytes of a table sent to the page.", "BYTES", ge=1024, le=_GIGABYTE)
    ] = 1 << 26
    max_texts: Annotated[int, _limit("Texts of a request.", "N", ge=1, le=MAX_TEXTS)] = Limits.texts
    max_characters: Annotated[int, _limit("Characters of a text.", "N", ge=1, le=LONGEST_TEXT)] = (
        Limits.characters
    )
    max_waiting: Annotated[
        int,
        _limit(
            "Requests in progress or waiting, per process; others get 503.", "N", ge=1, le=100_000
        ),
    ] = 512
    max_connections: Annotated[
        int, _limit("Connections of a process; others wait.", "N", ge=1, le=1_000_000)
    ] = 1000
    timeout: Annotated[
        float,
        _limit("Time for a request to arrive, and for its answer.", "SECONDS", ge=0.1, le=3600),
    ] = 30.0
    grace: Annotated[
        float,
        _limit("Time for running requests to finish after SIGTERM.", "SECONDS", ge=0, le=3600),
    ] = 30.0
    log_requests: Annotated[bool, _log("Log a line for each request, without texts.")] = False
    log_format: Annotated[
        Literal["text", "json"], _log("Format of the log: lines of text or of JSON.")
    ] = "text"
    log_texts: Annotated[bool, _log("Log the texts as well: they may be personal data.")] = False

    @property
    def limits(self) -> Limits:
        """Limits of a request."""
        return Limits(texts=self.max_texts, characters=self.max_characters)

    @property
    def max_form(self) -> int:
        """Maximum bytes of a form with a text."""
        return min(self.max_body, _FORM_BYTES + _CHARACTER_BYTES * self.max_characters)

    @property
    def max_values(self) -> int:
        """Maximum number of values in a request's JSON."""
        return _VALUES_PER_TEXT * max(self.max_texts, _MIN_TEXTS)

    def file_timeout(self, n_bytes: int | None = None) -> float:
        """Return the seconds that a file, by default of `max_file` bytes, may take to arrive."""
        n_bytes = self.max_file if n_bytes is None else min(n_bytes, self.max_file)
        return self.timeout + n_bytes / _MIN_FILE_RATE

    @cached_property
    def accepted_tokens(self) -> tuple[Token, ...]:
        """The tokens with their names."""
        return tuple(map(Token.parse, self.tokens))

    @property
    def lets_anybody_approve(self) -> bool:
        """Whether anybody may approve corrections, as only users of this machine reach the server.

        If there are tokens, only people whose token has a name may approve.
        """
        return not self.tokens and not self.proxies and is_loopback(self.host)

    @cached_property
    def proxy_networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The networks of `proxies`; see `check_proxies`."""
        networks = []
        for proxy in self.proxies:
            try:
                networks.append(ipaddress.ip_network(proxy.strip("[]"), strict=False))
            except ValueError:
                raise OptionError(
                    f"--proxy {proxy[:200]!r} is not an address; give one such as 127.0.0.1, or a "
                    "network such as 10.0.0.0/8."
                ) from None
        return tuple(networks)

    def check_proxies(self) -> None:
        """Raise an OptionError unless each of the `proxies` is an address or a network."""
        _ = self.proxy_networks

    def is_proxy(self, address: str) -> bool:
        """Whether a connection comes from one of the `proxies`."""
        if not self.proxy_networks:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        # A dual-stack socket shows IPv4 addresses as IPv6.
        plain = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(plain in network for network in self.proxy_networks)

    def check_learning(self) -> None:
        """Raise an OptionError if something is missing to learn from corrections."""
        if self.learn_every is not None and not (self.corrections and self.learn_from):
            raise OptionError(
                "--learn-every needs --corrections FILE, where corrections are kept, and "
                "--learn-from DATA, the documents that the model learned from; give both."
            )
        if self.learn_every is None and self.approve != "doubtful":
            raise OptionError(
                "--approve has no effect without --learn-every N; give both, or give --approve to "
                "`slugline train --corrections`."
            )
        if self.learn_from and self.learn_every is None:
            raise OptionError(
                "--learn-from needs --learn-every N, the number of new corrections after which the "
                "model learns again; give it, or leave --learn-from out."
            )

    def check_texts(self) -> None:
        """Raise an OptionError if texts should be kept, and there is no file for them."""
        if self.keep_texts and self.watch is None:
            raise OptionError(
                "--keep-texts needs --watch FILE, where texts are kept; give both, or leave "
                "--keep-texts out."
            )

    def check_is_guarded(self, danger: str = "use the models and send corrections") -> None:
        """Raise an OptionError if other machines could reach the server without a token.

        `danger` is what anybody could do then.
        """
        if not self.tokens and not is_loopback(self.host):
            raise OptionError(
                f"--host {self.host} can be reached from other machines, where anybody could "
                f"{danger}; give a --token-file, or --insecure to allow that."
            )


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine only.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
