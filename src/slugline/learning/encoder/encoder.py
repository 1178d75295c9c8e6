"""Sentence encoders: found by name, their output checked, several of them as one."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from slugline.base.arrays import F16, F32
from slugline.base.checks import option_error
from slugline.base.wording import counted
from slugline.errors import EncoderError, Message, Parameter
from slugline.learning.encoder import registry
from slugline.learning.encoder.e5 import SENTENCES
from slugline.learning.encoder.registry import Encoder

#: Columns that an encoder may have; the widest known have 4,096.
MAX_WIDTH = 4096
#: Characters that a name or a digest of an encoder may have.
MAX_NAME = 200
# Texts that an encoder gets at once unless it says otherwise.
_BATCH_TEXTS = 64
# An encoder without a digest is identified by its rows of `SENTENCES`, to so many digits.
# A machine with other arithmetic differs in the seventh digit. Two are enough to tell encoders
# apart, and seldom lie at an edge of rounding.
_PROBE_DIGITS = 2


def get_encoder(encoder: str | Encoder) -> CheckedEncoder:
    """Return an encoder by its name, or wrap an object with `encode`.

    Several names, with commas between them, stand for an encoder with the columns of all, in the
    order of the registry: "e5,use" is "use,e5". See `slugline.learning.encoder.registry`.

    Raises
    ------
    OptionError : if it is neither.
    EncoderError : if the package of a name is missing, or isn't the one that was checked.
    """
    if isinstance(encoder, CheckedEncoder):
        return encoder
    names = registry.split_names(encoder) if isinstance(encoder, str) else None
    if names is not None:
        return make_encoder(registry.sort_names(names))
    # A class has `encode` as well, but no weights.
    if isinstance(encoder, str | type) or not callable(getattr(encoder, "encode", None)):
        wanted = (
            f"{', '.join(registry.ENCODERS)}, several of them with commas, an object whose "
            f"`encode` turns a list of texts into an array, or, for a fit, {registry.AUTO!r}"
        )
        raise option_error("encoder", encoder, wanted)
    return CheckedEncoder(encoder)


def make_encoder(names: Sequence[str]) -> CheckedEncoder:
    """Return the encoder of a registered name, or one with the columns of several, in order.

    Raises
    ------
    EncoderError : if packages are missing, or aren't those that were checked.
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
    """An encoder whose rows have unit length, half precision, and a constant width.

    Attributes
    ----------
    name : str
        The encoder's name, or that of its type, for messages and model files.
    is_thread_safe : bool
        Whether several threads may call it at once.
    batch_texts : int
        Number of texts that it gets at once.
    width : int or None
        Number of columns; None before the first text.
    parts : tuple of CheckedEncoder
        The encoders that it joins, if it does.
    """

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        kind = type(encoder)
        self.name = _words(encoder, "name") or f"{kind.__module__}.{kind.__qualname__}"[:MAX_NAME]
        self.is_thread_safe = getattr(encoder, "is_thread_safe", False) is True
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
        return Message(
            "the ",
            Parameter("encoder"),
            f" {self.name} is left out: on documents that were not learned from, it made the "
            "answers no better. The model is one of words alone.",
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
        return self.unit_rows(output, len(texts))

    def unit_rows(self, output: Any, n_texts: int) -> F16:
        """Return the encoder's output as `encode` does, or raise EncoderError."""
        rows = self._checked(output, n_texts)
        # In double precision, since squares of float32 may be too large or too small for float32.
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
        lengths[lengths == 0] = 1
        return (rows / lengths[:, None]).astype(np.float32).astype(np.float16)

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
            rows = self.encode(list(SENTENCES)).astype(np.float64)
        except EncoderError as error:
            raise EncoderError(
                f"{error} The texts were not yours, but {len(SENTENCES)} sentences by which "
                "Slugline knows an encoder again."
            ) from error
        signs = np.where(np.arange(rows.shape[1]) % 3 == 0, -1.0, 1.0)
        seen = np.concatenate([(rows @ rows.T).ravel(), rows @ signs])
        # Adding 0 makes -0 a 0.
        return _text_sha256(f"{rows.shape[1]} {(seen.round(_PROBE_DIGITS) + 0.0).tolist()}")


class JoinedEncoder:
    """Several encoders as one, whose rows stand side by side and count alike."""

    def __init__(self, parts: Sequence[CheckedEncoder]) -> None:
        self.parts = tuple(parts)
        self.name = ",".join(part.name for part in parts)
        self.is_thread_safe = all(part.is_thread_safe for part in parts)

    @property
    def digest(self) -> str:
        """The digests of all."""
        return " ".join(part.digest for part in self.parts)

    def encode(self, texts: list[str]) -> F16:
        """Return one row per text, with the columns of all."""
        return np.hstack([part.encode(texts) for part in self.parts])


def _words(encoder: Encoder, attribute: str) -> str | None:
    """Return an attribute of an encoder, if it is a string that fits in a line."""
    value = getattr(encoder, attribute, None)
    is_line = isinstance(value, str) and value.isprintable() and 0 < len(value) <= MAX_NAME
    return value if is_line else None


def _text_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
