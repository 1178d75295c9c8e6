"""The registry of encoders by name.

To add an encoder, write a class with `encode` (see `Encoder`) and an entry in `ENCODERS`, which is
sorted from fast to slow: choices, help, completion, `auto` and messages are derived from it. A
built-in encoder has no `extra`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from slugline.base.lazy import install_command
from slugline.base.wording import join_words

#: Selects the encoders that do best on held-out documents, or none.
AUTO: Final = "auto"


class Encoder(Protocol):
    """Turns texts into rows of numbers; only `encode` is required.

    Optional attributes:

    - `name`, for messages
    - `version` of the weights
    - `digest`, a string that changes with the weights
    - `is_thread_safe`: True if several threads may call it concurrently
    - `is_fast`: True if as fast as counting words, so that rows are not cached and no text is left
      to words alone
    - `has_unknown_texts`: True if a row of zeros marks a text to be left to words alone
    - `batch_texts`, the number of texts per call
    """

    def encode(self, texts: list[str], /) -> Any:
        """Return an array, shape (n_texts, n_columns)."""


class RegisteredEncoder(NamedTuple):
    """An entry of the registry.

    Attributes
    ----------
    title : str
        Full name, such as "multilingual E5 small".
    languages : str
        Supported languages, such as "16 languages".
    speed : str
        A note on its speed, such as "slow", or empty.
    extra : str or None
        The extra of Slugline that installs it; None if built in.
    make : callable
        Returns the encoder without loading its weights. Raises EncoderError unless the checked
        version is installed.
    """

    title: str
    languages: str
    speed: str
    extra: str | None
    make: Callable[[], Encoder]

    @property
    def install_command(self) -> str:
        """The command that installs it; empty if built in."""
        return "" if self.extra is None else install_command(self.extra)


def _make(module: str, name: str) -> Encoder:
    """Return an encoder of a module in this package, imported on first use."""
    encoder: Encoder = getattr(
        importlib.import_module(f"slugline.learning.encoder.{module}"), name
    )()
    return encoder


#: All encoders by name, the fastest first.
ENCODERS: dict[str, RegisteredEncoder] = {
    "vectors": RegisteredEncoder(
        title="word vectors from the Universal Sentence Encoder",
        languages="16 languages",
        speed="as fast as words",
        extra=None,
        make=partial(_make, "vectors", "WordVectorEncoder"),
    ),
    "use": RegisteredEncoder(
        title="Universal Sentence Encoder",
        languages="16 languages",
        speed="",
        extra="encoder",
        make=partial(_make, "universal", "UniversalEncoder"),
    ),
    "e5": RegisteredEncoder(
        title="multilingual E5 small",
        languages="a hundred languages",
        speed="slow",
        extra="e5",
        make=partial(_make, "e5", "E5Encoder"),
    ),
}
#: The built-in encoder.
BUILT_IN: Final = "vectors"
#: The default encoder of a fit.
DEFAULT_ENCODER: Final = BUILT_IN
#: The encoder recommended in messages for few documents.
RECOMMENDED = "use"


def split_names(encoders: str) -> tuple[str, ...] | None:
    """Return the names in a comma-separated list; None if one is unknown or repeated.

    >>> split_names("e5, use"), split_names("use,use"), split_names("bert")
    (('e5', 'use'), None, None)
    """
    names = tuple(name.strip() for name in encoders.split(","))
    return names if len({*names}) == len(names) and ENCODERS.keys() >= {*names} else None


def sort_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names in registry order, so that models don't depend on the order given."""
    return tuple(name for name in ENCODERS if name in names)


def combinations() -> tuple[str, ...]:
    """Return the encoders and combinations to choose from, as comma-separated lists.

    They are sorted from fast to slow: first by the slowest encoder, then by the next one. Built-in
    encoders are listed alone, because a fit adds them to all others.

    >>> combinations()
    ('vectors', 'use', 'e5', 'use,e5')
    """
    groups: list[tuple[str, ...]] = [()]
    for name, entry in ENCODERS.items():
        if entry.extra is not None:
            groups += [(*group, name) for group in groups]
    return (*built_in_names(), *map(",".join, groups[1:]))


def built_in_names() -> tuple[str, ...]:
    """Return the names of built-in encoders.

    >>> built_in_names()
    ('vectors',)
    """
    return tuple(name for name, entry in ENCODERS.items() if entry.extra is None)


def describe_names(names: str) -> str:
    """Return a phrase for a comma-separated list of names.

    >>> describe_names("use,mine")
    'the sentence encoders use and mine'
    >>> describe_names("vectors")
    'word vectors from the Universal Sentence Encoder (16 languages)'
    """
    all_names = names.split(",")
    built_in = [name for name in all_names if name in ENCODERS and not ENCODERS[name].extra]
    others = [name for name in all_names if name not in built_in]
    phrases = [f"{ENCODERS[name].title} ({ENCODERS[name].languages})" for name in built_in]
    if others:
        noun = "encoder" if len(others) == 1 else "encoders"
        phrases.append(f"the sentence {noun} {' and '.join(others)}")
    return " and ".join(phrases)


def list_names(names: str) -> str:
    """Return the names of a comma-separated list in a phrase.

    >>> list_names("vectors,use,e5"), list_names("mine")
    ('word vectors, use and e5', 'mine')
    """
    listed = ["word vectors" if name == BUILT_IN else name for name in names.split(",")]
    return join_words(listed)


def describe_choices() -> str:
    """Return a phrase with the valid names and their languages and speed."""
    names = ", ".join(
        f"{name} ({', '.join(filter(None, (entry.languages, entry.speed)))})"
        for name, entry in ENCODERS.items()
    )
    return f"{names}, several with commas between them, or {AUTO}"
