"""The encoders that are known by name, and all that identifies them to people.

To add one, write a class with `encode` (see `Encoder`) and add one entry to `ENCODERS`, in order
of the time that they take: choices, help, completion, `auto` and messages follow from it. An
encoder whose vectors come with Slugline, such as a table of word vectors that it sums for each
text, has no `extra`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from slugline.base.lazy import install_command

#: In place of names: whichever of them, or none, does best on held-out documents.
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
    """An encoder that is known by name.

    Attributes
    ----------
    title : str
        Its full name, such as "multilingual E5 small".
    languages : str
        Which it knows, such as "16 languages", and whether it is slow.
    licence : str
        Of its weights.
    extra : str or None
        Slugline's extra that installs what it needs; None if it is part of Slugline.
    make : callable
        Imports what is needed and returns the encoder, without loading its weights; raises
        EncoderError if it can't be used here.
    """

    title: str
    languages: str
    licence: str
    extra: str | None
    make: Callable[[], Encoder]

    @property
    def install_command(self) -> str:
        """The command that installs what it needs; empty if that is nothing."""
        return "" if self.extra is None else install_command(self.extra)


def _make_use() -> Encoder:
    from slugline.learning.encoder.universal import UniversalEncoder

    return UniversalEncoder()


def _make_e5() -> Encoder:
    from slugline.learning.encoder.e5 import E5Encoder

    return E5Encoder()


#: By name, in the order of the time that they take.
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
#: The one that is recommended where documents are few.
RECOMMENDED = "use"


def split_names(encoders: str) -> tuple[str, ...] | None:
    """Return the names in a list with commas; None if one is unknown or repeated.

    >>> split_names("e5, use"), split_names("use,use"), split_names("bert")
    (('e5', 'use'), None, None)
    """
    names = tuple(name.strip() for name in encoders.split(","))
    return names if len({*names}) == len(names) and ENCODERS.keys() >= {*names} else None


def sort_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names in the order of the registry, so that any order gives the same model."""
    return tuple(name for name in ENCODERS if name in names)


def combinations() -> tuple[str, ...]:
    """Return each encoder and each combination of several, as lists with commas.

    >>> combinations()
    ('use', 'e5', 'use,e5')
    """
    sizes = range(1, len(ENCODERS) + 1)
    groups = itertools.chain.from_iterable(itertools.combinations(ENCODERS, n) for n in sizes)
    return tuple(map(",".join, groups))


def describe_choices() -> str:
    """Return the valid names and what languages they know, as part of a sentence."""
    names = ", ".join(f"{name} ({entry.languages})" for name, entry in ENCODERS.items())
    return f"{names}, several of them with commas, or {AUTO}"
