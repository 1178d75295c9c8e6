"""Find encoders by name, check their output, and join several into one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from slugline.base.arrays import F32, Floats, Integers, Mask
from slugline.base.checks import option_error
from slugline.base.wording import counted
from slugline.errors import EncoderError, Message, Parameter
from slugline.learning.encoder import registry
from slugline.learning.encoder.identity import MAX_NAME, MAX_WIDTH, EncoderIdentity
from slugline.learning.encoder.registry import Encoder
from slugline.learning.encoder.vectors import WordVectorEncoder

# Default share of word vectors in a row's squared length next to a sentence encoder, if not fitted.
# By cross-validation on training splits: on documents of one to three short texts, an equal share
# lowers micro-F1 by up to three points compared to none, while this share is as good or better. In
# 16 sets, 54.9 % of texts are nearest to their topic's description, compared to 54.6 % with an
# equal share and 50.8 % without word vectors.
_VECTOR_WEIGHT = 0.2
# Texts per call of an encoder without `batch_texts`.
_BATCH_TEXTS = 64
# An encoder without a digest is identified by its rows of `SENTENCES`, rounded to this many digits.
# Machines differ in the seventh digit. Two digits distinguish encoders and are rarely affected.
_PROBE_DIGITS = 2


def get_encoder(encoder: str | Encoder) -> CheckedEncoder:
    """Return an encoder by its name, or wrap an object with `encode`.

    Comma-separated names select an encoder with the columns of all of them, in the order of
    `registry.ENCODERS`: "e5,use" is the same as "use,e5".

    Raises
    ------
    OptionError : if it is neither a name nor such an object.
    EncoderError : if a package is missing or has another version than the checked one.
    """
    if isinstance(encoder, CheckedEncoder):
        return encoder
    names = registry.split_names(encoder) if isinstance(encoder, str) else None
    if names is not None:
        return make_encoder(registry.sort_names(names))
    # A class also has `encode`, but only instances have weights.
    if isinstance(encoder, str | type) or not callable(getattr(encoder, "encode", None)):
        wanted = (
            f"{', '.join(registry.ENCODERS)}, several with commas between them, an object whose "
            f"`encode` turns a list of texts into an array, or, for a fit, {registry.AUTO!r}"
        )
        raise option_error("encoder", encoder, wanted)
    return CheckedEncoder(encoder)


def get_fit_encoder(encoder: str | Encoder) -> CheckedEncoder:
    """Return the encoder of a fit: word vectors are added to encoders given by name.

    For example, "use" means "vectors,use". Vectors improve the answers and, together with words,
    form the fast stage of a cascade. An object is used as is.

    Raises
    ------
    OptionError, EncoderError : see `get_encoder`.
    """
    names = registry.split_names(encoder) if isinstance(encoder, str) else None
    if names is None:
        return get_encoder(encoder)
    return make_encoder(registry.sort_names((*names, *registry.built_in_names())))


def default_encoder() -> CheckedEncoder:
    """Return the default encoder of a fit."""
    return get_encoder(registry.DEFAULT_ENCODER)


def make_encoder(names: Sequence[str]) -> CheckedEncoder:
    """Return the encoder with this name, or one that joins several named encoders in order.

    Raises
    ------
    EncoderError : if a package is missing or has another version than the checked one.
    """
    parts, problems = [], []
    for name in names:
        try:
            parts.append(CheckedEncoder(registry.ENCODERS[name].make()))
        except EncoderError as error:
            problems.append(str(error))
    if problems:
        raise EncoderError("; ".join(problems))
    return parts[0] if len(parts) == 1 else CheckedEncoder(JoinedEncoder(parts))


class CheckedEncoder:
    """Wraps an encoder so that its rows have unit length and a constant width.

    Rows have half precision, unless the encoder is fast.

    Attributes
    ----------
    name : str
        The encoder's name, else the name of its type, for messages and model files.
    version : str or None
        The version of its weights, if known.
    is_thread_safe : bool
        True if several threads may call it concurrently.
    is_fast : bool
        True if it is as fast as counting words. Its rows are then neither cached nor rounded to
        half precision, and it reads every text.
    is_built_in : bool
        True if nothing has to be installed.
    has_unknown_texts : bool
        True if a row of zeros marks an unknown text, which is left to words alone.
    batch_texts : int
        Number of texts per call.
    width : int or None
        Number of columns; None before the first text.
    summing_encoder : WordVectorEncoder or None
        The encoder if its rows are sums of word vectors.
    parts : tuple of CheckedEncoder
        The encoders that it joins; empty for a single encoder.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.summing_encoder = encoder if isinstance(encoder, WordVectorEncoder) else None
        kind = type(encoder)
        self.name = _words(encoder, "name") or f"{kind.__module__}.{kind.__qualname__}"[:MAX_NAME]
        self.version = _words(encoder, "version")
        self.is_thread_safe = getattr(encoder, "is_thread_safe", False) is True
        self.is_fast = getattr(encoder, "is_fast", False) is True
        self.is_built_in = self.summing_encoder is not None and self.name == registry.BUILT_IN
        self.has_unknown_texts = getattr(encoder, "has_unknown_texts", False) is True
        size = getattr(encoder, "batch_texts", None)
        self.batch_texts = size if isinstance(size, int) and size > 0 else _BATCH_TEXTS
        self.width: int | None = None
        self.parts = encoder.parts if isinstance(encoder, JoinedEncoder) else ()
        self._digest = _words(encoder, "digest")
        self._lock = threading.Lock()
        self._turn = contextlib.nullcontext() if self.is_thread_safe else threading.Lock()

    def __reduce__(self) -> tuple[type[CheckedEncoder], tuple[Encoder]]:
        return CheckedEncoder, (self._encoder,)

    def __deepcopy__(self, memo: dict[int, Any]) -> CheckedEncoder:
        """Return the encoder itself, since weights are large and never change."""
        return self

    def __repr__(self) -> str:
        return f"CheckedEncoder({self.name})"

    @property
    def digest(self) -> str:
        """64 hexadecimal digits that differ between encoders with different weights.

        Computed from the encoder's `digest`, else from its type and its rows of a few fixed texts.
        """
        if self._digest is None:
            self._digest = self._probe()
        return _text_sha256(f"{self.name}\n{self._digest}")

    def identity(self, width: int) -> EncoderIdentity:
        """Return its identity in a model file, given its number of columns."""
        return EncoderIdentity(self.name, self.version, self.digest, width)

    @property
    def part_widths(self) -> list[int]:
        """The number of columns of each part, known after the first text."""
        return [part.width or 0 for part in self.parts]

    @property
    def fast_part(self) -> CheckedEncoder | None:
        """The built-in encoder among its parts, or None."""
        return next((part for part in self.parts if part.is_built_in), None)

    @property
    def column_factors(self) -> F32:
        """Factors on columns that give word vectors less weight than sentence encoders.

        The shape is (width,), or (1,) unless the encoder joins both.
        """
        if self.fast_part is None:
            return np.ones(1, dtype=np.float32)
        n = len(self.parts)
        weights = [
            _VECTOR_WEIGHT if part.is_built_in else (1 - _VECTOR_WEIGHT) / (n - 1)
            for part in self.parts
        ]
        return np.repeat(np.sqrt(n * np.array(weights)), self.part_widths).astype(np.float32)

    def omission_warning(self, used: CheckedEncoder | None) -> str:
        """Return a warning that a model uses only part of this encoder, or none of it."""
        parts = self.parts or (self,)
        names = ",".join(part.name for part in parts if used is None or not part.is_built_in)
        return Message(
            "the ",
            Parameter("encoder"),
            f" {names} is left out: on held-out documents, it did not improve the answers. The "
            f"model uses words {'only' if used is None else 'and word vectors'}.",
        )

    def check_table(self) -> None:
        """Raise EncoderError if the table of word vectors was changed on disk.

        Reads all of it once per process; see `VectorTable.check_digest`.
        """
        for encoder in self.parts or (self,):
            if encoder.summing_encoder is not None:
                encoder.summing_encoder.table.check_digest()

    def knows_language(self, texts: Sequence[str]) -> bool:
        """Return False if the built-in encoder doesn't know the language of the documents.

        Other encoders return True: they are judged by held-out documents.
        """
        summing = self.summing_encoder
        return summing is None or not self.is_built_in or summing.knows_language(texts)

    def find_known(self, rows: Floats) -> Mask:
        """Return a mask of known texts, given their rows."""
        if not self.has_unknown_texts:
            return np.ones(len(rows), dtype=bool)
        return np.asarray(rows.any(axis=1))

    def encode(self, texts: list[str]) -> Floats:
        """Return rows of unit length, shape (n_texts, width); rows of zeros stay zeros.

        Half precision changes no topic and halves the cache. Raises EncoderError if the encoder
        fails, or doesn't return one row of finite numbers per text, all of the same width.
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
        if self.summing_encoder is None:
            return self.unit_rows(output, len(texts))
        rows: F32 = output
        self.check_width(rows.shape[1])
        return rows

    def unit_rows(self, output: Any, n_texts: int) -> Floats:
        """Return the encoder's output, scaled to unit length; raise EncoderError if invalid."""
        rows = self._checked(output, n_texts)
        # In double precision: squares may be too large or too small for float32.
        squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
        squares += self._n_unknown_parts(rows)
        lengths = np.sqrt(squares)
        lengths[lengths == 0] = 1
        unit = (rows / lengths[:, None]).astype(np.float32)
        return unit if self.is_fast else unit.astype(np.float16)

    def _n_unknown_parts(self, rows: F32) -> Integers | int:
        """Return, for each text, the number of joined encoders that don't know it.

        Each counts as if its columns had length 1, so that the weights of others don't change.
        """
        if not self.parts or not self.has_unknown_texts:
            return 0
        ends = np.cumsum([part.width for part in self.parts])
        parts = zip(self.parts, np.split(rows, ends[:-1], axis=1), strict=True)
        n_unknown = np.sum([~part.find_known(part_rows) for part, part_rows in parts], axis=0)
        return np.where(rows.any(axis=1), n_unknown, 0)

    def _checked(self, output: Any, n_texts: int) -> F32:
        """Return the encoder's output as float32; raise EncoderError if invalid."""
        try:
            rows = np.asarray(output)
        except Exception as error:
            raise self._wrong(
                f"a {type(output).__name__} that can't be converted to an array: {error}"
            ) from error
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
        """Raise EncoderError unless rows have the same width as before."""
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
            "finite numbers for each text, all of the same width."
        )

    def _probe(self) -> str:
        """Return a SHA-256 of the encoder's rounded rows of a few fixed texts."""
        from slugline.learning.encoder.e5 import SENTENCES

        try:
            rows = self.encode(list(SENTENCES)).astype(np.float64)
        except EncoderError as error:
            raise EncoderError(
                f"{error} The texts are not yours, but {len(SENTENCES)} sentences by which "
                "Slugline identifies an encoder."
            ) from error
        signs = np.where(np.arange(rows.shape[1]) % 3 == 0, -1.0, 1.0)
        seen = np.concatenate([(rows @ rows.T).ravel(), rows @ signs])
        # Adding 0 turns -0 into 0.
        return _text_sha256(f"{rows.shape[1]} {(seen.round(_PROBE_DIGITS) + 0.0).tolist()}")


class JoinedEncoder:
    """Several encoders as one: their rows of equal length are concatenated."""

    def __init__(self, parts: Sequence[CheckedEncoder]) -> None:
        self.parts = tuple(parts)
        self.name = ",".join(part.name for part in parts)[:MAX_NAME]
        self.is_thread_safe = all(part.is_thread_safe for part in parts)
        self.is_fast = all(part.is_fast for part in parts)
        self.has_unknown_texts = any(part.has_unknown_texts for part in parts)
        self.version = " ".join(part.version for part in parts if part.version)

    @property
    def digest(self) -> str:
        """The digests of all encoders."""
        return " ".join(part.digest for part in self.parts)

    def encode(self, texts: list[str]) -> Floats:
        """Return one row per text, with the columns of all encoders."""
        return np.hstack([part.encode(texts) for part in self.parts])


def _words(encoder: Encoder, attribute: str) -> str | None:
    """Return an attribute of an encoder if it is one short line of text, else None."""
    value = getattr(encoder, attribute, None)
    is_line = isinstance(value, str) and value.isprintable() and 0 < len(value) <= MAX_NAME
    return value if is_line else None


def _text_sha256(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()
