"""How a server is run."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from slugline.corrections.retraining_loop import RetrainingLoop
from slugline.corrections.store import CorrectionStore
from slugline.errors import OptionError
from slugline.serving.http.batches import Batches, Metrics
from slugline.serving.model import Limits, Models

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = [
    "Settings",
    "State",
    "is_loopback",
    "state_of",
]


# Characters of a token: fewer could be guessed.
_SHORTEST_TOKEN = 16
_MOST_TOKEN_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a server is run.

    Attributes
    ----------
    host : str, default "127.0.0.1"
    port : int, default 8080
        0 for any that is free.
    tokens : tuple of str
        One of them has to come with each request; none is asked for if there are none.
    allowed_hosts : tuple of str
        Names by which the server may be called, besides "localhost" and numeric addresses.
    workers : int, default 1
        Processes that answer.
    threads : int, default 2
        Threads of each process that make answers.
    max_body : int, default 2^24
        Bytes of a request.
    limits : Limits
    max_waiting : int, default 512
        Requests that a process works on or that wait.
    timeout : float, default 30
        Seconds for a request to arrive, and for its answer to be made.
    max_file : int, default 2^26
        Bytes of a table that is dropped on the page.
    corrections : Path or None
        Where corrections are kept; None if none are taken.
    learn_every : int or None
        New corrections after which the first model is learned again, beside the server.
    learn_from : tuple of str
        What it learned from, as `slugline train` takes it.
    train_options : tuple of str
        More options of `slugline train`.
    log_requests, log_texts : bool, default False
        Log a line for each request; and the texts.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    tokens: tuple[str, ...] = field(default=(), repr=False)
    allowed_hosts: tuple[str, ...] = ()
    workers: int = 1
    threads: int = 2
    max_body: int = 1 << 24
    limits: Limits = field(default_factory=Limits)
    max_waiting: int = 512
    timeout: float = 30.0
    max_file: int = 1 << 26
    corrections: Path | None = None
    learn_every: int | None = None
    learn_from: tuple[str, ...] = ()
    train_options: tuple[str, ...] = ()
    log_requests: bool = False
    log_texts: bool = False

    @property
    def max_held(self) -> int:
        """Bytes of all requests that a process holds at a time."""
        return 4 * max(self.max_body, self.max_file)

    def check_learning(self) -> None:
        """Raise an OptionError if something is missing to learn from corrections."""
        if self.learn_every is None:
            return
        for name, given in (
            ("--corrections FILE", self.corrections),
            ("--learn-from DATA", self.learn_from),
        ):
            if not given:
                raise OptionError(
                    f"--learn-every needs {name} as well: corrections, and the documents that the "
                    "model learned from."
                )

    def check_is_guarded(self) -> None:
        """Raise an OptionError if others could reach the server, and no token is asked for."""
        if not self.tokens and not is_loopback(self.host):
            raise OptionError(
                f"--host {self.host} can be reached from other machines, and anybody there could "
                "use the models and send corrections; give a --token-file, or --insecure if that "
                "is meant."
            )


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches an address.

    >>> is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def read_tokens(path: Path) -> tuple[str, ...]:
    """Return the tokens of a file, one a line; blank lines and those that begin with # are none.

    Raises
    ------
    OptionError : if the file can't be read, has no token, or one that is too easily guessed.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_TOKEN_BYTES + 1)
    except OSError as error:
        raise OptionError(f"--token-file {path}: {error.strerror}; check the path.") from error
    if len(content) > _MOST_TOKEN_BYTES:
        raise OptionError(f"--token-file {path} is too large for a file of tokens.")
    try:
        lines = content.decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise OptionError(
            f"--token-file {path} holds other than ASCII characters; tokens can't."
        ) from None
    tokens = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return _checked(tokens, path)


def _checked(tokens: Sequence[str], path: Path) -> tuple[str, ...]:
    if not tokens:
        raise OptionError(f"--token-file {path} holds no token; write one a line.")
    for number, token in enumerate(tokens, 1):
        if len(token) < _SHORTEST_TOKEN or any(character.isspace() for character in token):
            raise OptionError(  # without the token itself
                f"--token-file {path}: token {number} has {len(token)} characters or a space in "
                f"it; a token has at least {_SHORTEST_TOKEN}, such as `openssl rand -hex 16` gives."
            )
    return tuple(tokens)


# What the handlers of a process share -------------------------------------------------------------

_T = TypeVar("_T")


@dataclass(eq=False)
class State:
    """What the handlers of a process share.

    Attributes
    ----------
    settings : Settings
    models : Models
    metrics : Metrics
    batches : Batches
    store : CorrectionStore or None
        None if no corrections are taken.
    learner : Learner or None
        What learns from corrections beside the server, if anything does.
    """

    settings: Settings
    models: Models
    metrics: Metrics
    store: CorrectionStore | None = None
    learner: RetrainingLoop | None = None
    batches: Batches = field(init=False)

    def __post_init__(self) -> None:
        self.batches = Batches(self.settings.threads, self.metrics)
        self._errands = ThreadPoolExecutor(self.settings.threads, "slugline-errands")
        # Whoever waits for the disk, or for another process, keeps nobody else from an answer.
        self._keeping = ThreadPoolExecutor(1, "slugline-store")

    async def run(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Run what takes its time off the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._errands, function, *arguments)

    async def ask_store(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """Run what reads or writes the corrections off the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._keeping, function, *arguments)

    def close(self) -> None:
        """End the threads, and close the file of corrections."""
        self.batches.close()
        for pool in (self._errands, self._keeping):
            pool.shutdown(wait=False, cancel_futures=True)
        if self.store is not None:
            self.store.close()


def state_of(request: Request) -> State:
    """Return what the handlers share."""
    state: State = request.scope["app"]
    return state
