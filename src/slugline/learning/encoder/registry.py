"""The registry of encoders, which are known by name.

To add an encoder, write a class with `encode` (see `Encoder`) and add an entry to `ENCODERS`, which
is sorted from fast to slow: choices, help, completion, `auto` and messages follow from it. An
encoder that comes with Slugline, such as one that sums word vectors from a table, has no `extra`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from slugline.base.lazy import install_command

#: The value that stands for the encoder, or none, that does best on held-out documents.
AUTO: Final = "auto"


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into rows of numbers; only `encode` is required.

    Optional attributes: `name` for messages; `digest`, a string that changes with the weights;
    `is_thread_safe`, whether several threads may call it at once; `batch_texts`, the number of
    texts in a call.
    """

    def encode(self, texts: list[str], /) -> Any:
        """Return an array, shape (n_texts, n_columns)."""


@dataclass(frozen=True)
class RegisteredEncoder:
    """An entry of the registry.

    Attributes
    ----------
    title : str
        The full name, such as "multilingual E5 small".
    languages : str
        The languages that it knows, such as "16 languages", with a note if it is slow.
    licence : str
        The licence of its weights.
    extra : str or None
        The extra of Slugline that installs it; None if it is part of Slugline.
    make : callable
        Returns the encoder, without loading its weights; raises EncoderError if it can't be used
        here.
    """

    title: str
    languages: str
    licence: str
    extra: str | None
    make: Callable[[], Encoder]

    @property
    def install_command(self) -> str:
        """The command that installs it; empty if it is part of Slugline."""
        return "" if self.extra is None else install_command(self.extra)


def _make_use() -> Encoder:
    from slugline.learning.encoder.universal import UniversalEncoder

    return UniversalEncoder()


def _make_e5() -> Encoder:
    from slugline.learning.encoder.e5 import E5Encoder

    return E5Encoder()


#: All encoders by name, the fastest first.
ENCODERS: dict[str, RegisteredEncoder] = {
    "use": RegisteredEncoder(
        title="Universal Sentence Encoder",
        languages="16 languages",
        licence="Apache 2.0",
        extra="encoder",
        make=_make_use,
    ),
    "e5": RegisteredEncoder(
        title="multilingual E5 small",
        languages="a hundred languages, slow",
        licence="MIT",
        extra="e5",
        make=_make_e5,
    ),
}
#: The encoder that is recommended if there are few documents.
RECOMMENDED = "use"


def split_names(encoders: str) -> tuple[str, ...] | None:
    """Return the names in a comma-separated list; None if one is unknown or repeated.

    >>> split_names("e5, use"), split_names("use,use"), split_names("bert")
    (('e5', 'use'), None, None)
    """
    names = tuple(name.strip() for name in encoders.split(","))
    return names if len({*names}) == len(names) and ENCODERS.keys() >= {*names} else None


def sort_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names in the order of the registry, so that models don't depend on the order given."""
    return tuple(name for name in ENCODERS if name in names)


def combinations() -> tuple[str, ...]:
    """Return all encoders and combinations of encoders, as comma-separated lists.

    >>> combinations()
    ('use', 'e5', 'use,e5')
    """
    sizes = range(1, len(ENCODERS) + 1)
    groups = itertools.chain.from_iterable(itertools.combinations(ENCODERS, n) for n in sizes)
    return tuple(map(",".join, groups))


def describe_choices() -> str:
    """Return a phrase with the valid names and the languages that they know."""
    names = ", ".join(f"{name} ({entry.languages})" for name, entry in ENCODERS.items())
    return f"{names}, several with commas between them, or {AUTO}"
