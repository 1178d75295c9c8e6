"""Encoders that stand in for real ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from slugline.learning.encoder import registry


class Letters:
    """Encodes a text by how often each of a few letters stands in it; counts what it is asked."""

    name = "letters"
    digest = "1"

    def __init__(self, letters: str = "aeio") -> None:
        self.letters = letters
        self.calls: list[int] = []

    def encode(self, texts: list[str]) -> Any:
        self.calls.append(len(texts))
        return np.array([[text.count(letter) for letter in self.letters] for text in texts], "f4")


class Meanings:
    """Encodes a text by how many words it has of each meaning; counts what it is asked.

    A word has one meaning or none. `has_unknown_texts` is whether texts without a meaning are left
    to words alone.
    """

    name = "meanings"
    digest = "1"
    is_thread_safe = True

    has_unknown_texts = False

    def __init__(self, meanings: Mapping[str, int], width: int = 4) -> None:
        self.meanings, self.width = meanings, width
        self.n_texts = 0

    def encode(self, texts: list[str]) -> Any:
        self.n_texts += len(texts)
        rows = np.zeros((len(texts), self.width), "f4")
        for row, text in zip(rows, texts, strict=True):
            for word in text.split():
                if word in self.meanings:
                    row[self.meanings[word]] += 1
        return rows


class Use(Meanings):
    """Stands in for the built-in encoder of that name."""

    name = "use"


class Nameless:
    """Encodes a text by its digest; says nothing of itself."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def encode(self, texts: list[str]) -> Any:
        digests = [hashlib.sha256(f"{self.seed}{text}".encode()).digest() for text in texts]
        return np.array([list(digest) for digest in digests], dtype="f8") - 128


class Returning:
    """Returns the same whatever it is asked, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def encode(self, texts: list[str]) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def register(monkeypatch: pytest.MonkeyPatch, name: str, make: Callable[[], Any]) -> None:
    """Let `make` return the encoder of a name, which may be a new one, until the test is over."""
    entry = registry.ENCODERS.get(name) or registry.ENCODERS["use"]
    monkeypatch.setitem(registry.ENCODERS, name, entry._replace(make=make))


def register_only(monkeypatch: pytest.MonkeyPatch, makers: Mapping[str, Callable[[], Any]]) -> None:
    """Let the registry have no other encoders than these, until the test is over."""
    entry = registry.ENCODERS["use"]
    # From the last to the first, as they are put back in the opposite order.
    for name in reversed([*registry.ENCODERS]):
        monkeypatch.delitem(registry.ENCODERS, name)
    for name, make in makers.items():
        monkeypatch.setitem(registry.ENCODERS, name, entry._replace(make=make))
