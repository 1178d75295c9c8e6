"""An encoder whose every answer is checked, and which can be told from other encoders."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from typing import Any, Protocol, runtime_checkable

import numpy as np

from slugline.base.arrays import F16, F32
from slugline.checks import illegal
from slugline.displays import counted
from slugline.errors import EncoderError

__all__ = ["MAX_NAME", "MAX_WIDTH", "NAMES", "CheckedEncoder", "Encoder", "get_encoder"]


#: The encoders that are known by name.
NAMES = ("use",)
#: Columns that an encoder may have; the widest known have 4,096.
MAX_WIDTH = 4096
#: Characters that a name or a digest of an encoder may have.
MAX_NAME = 200
# An encoder without a digest of its own is known again by what it makes of these.
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
    """What turns texts into rows of numbers: `encode` is all that is needed.

    It may say more of itself by attributes: `name` for messages, and `digest`, a string that
    differs when its weights do. `is_thread_safe` tells whether several threads may call it at once.
    """

    def encode(self, texts: list[str], /) -> Any:
        """Return an array, shape (n_texts, n_columns)."""
        ...


def get_encoder(encoder: str | Encoder) -> CheckedEncoder:
    """Return an encoder by its name, or wrap the given one.

    Parameters
    ----------
    encoder : "use" or an object with `encode(list of str) -> array (n_texts, n_columns)`
        "use" is the Universal Sentence Encoder for 16 languages, of the extra "encoder".

    Raises
    ------
    OptionError : if it is neither.
    EncoderError : if the package of "use" is missing, or isn't the one that was checked.
    """
    if isinstance(encoder, CheckedEncoder):
        return encoder
    if isinstance(encoder, str) and encoder == "use":
        from slugline.encoders.universal import UniversalEncoder

        return CheckedEncoder(UniversalEncoder())
    # A class has `encode` as well, but no weights.
    if isinstance(encoder, str | type) or not callable(getattr(encoder, "encode", None)):
        wanted = "'use', or an object whose `encode` turns a list of texts into an array"
        raise illegal("encoder", encoder, wanted)
    return CheckedEncoder(encoder)


class CheckedEncoder:
    """An encoder whose rows have unit length, half precision, and a width that stays.

    Parameters
    ----------
    encoder : Encoder

    Attributes
    ----------
    name : str
        Its own name, or that of its type, for messages and model files.
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

        They come from the encoder's own `digest` if it has one, otherwise from its type and from
        what it makes of a few fixed texts.
        """
        if self._digest is None:
            self._digest = self._probe()
        return _sha256(f"{self.name}\n{self._digest}")

    @property
    def left_out(self) -> str:
        """What is said if it is left out: a model was to have it, and goes without."""
        return (
            f"the `encoder` {self.name} is left out: on documents that were not learned from, it "
            "made the answers no better. The model is one of words alone."
        )

    def encode(self, texts: list[str]) -> F16:
        """Return float16 rows of unit length, shape (n_texts, width); a row of zeros stays.

        Half precision changes no topic, halves what must be kept, and is used always, so that
        kept rows are the same as fresh ones.

        Raises
        ------
        EncoderError : if the encoder fails, or returns anything but one row of finite numbers for
            each text, all of one width.
        """
        try:
            with self._turn:
                found = self._encoder.encode(texts)
        except EncoderError:
            raise
        except Exception as error:
            raise EncoderError(
                f"the encoder {self.name} failed on {counted(len(texts), 'text')} with "
                f"{type(error).__name__}: {error}"
            ) from error
        return _unit_rows(self._checked(found, len(texts))).astype(np.float16)

    def _checked(self, found: Any, n_texts: int) -> F32:
        """Return what the encoder has found as float32, if it is what was asked for."""
        try:
            rows = np.asarray(found)
        except Exception as error:
            raise self._wrong(f"a {type(found).__name__} that is no array: {error}") from error
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
        """Raise EncoderError unless rows of this width fit to those before."""
        if not 1 <= width <= MAX_WIDTH:
            raise self._wrong(f"{width} columns, not 1 to {MAX_WIDTH}")
        with self._lock:
            if self.width is None:
                self.width = width
        if width != self.width:
            raise self._wrong(f"{width} columns, and {self.width} before")

    def _wrong(self, what: str) -> EncoderError:
        return EncoderError(
            f"the encoder {self.name} returned {what}; its `encode` must return one row of finite "
            "numbers for each text, all of one width."
        )

    def _probe(self) -> str:
        """Return a digest of what the encoder makes of a few fixed texts."""
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
        return _sha256(f"{rows.shape[1]} {(seen.round(_PROBE_DIGITS) + 0.0).tolist()}")


def _words(encoder: Encoder, attribute: str) -> str | None:
    """Return what an encoder says of itself, if it is a string that fits in a line."""
    found = getattr(encoder, attribute, None)
    is_line = isinstance(found, str) and found.isprintable() and 0 < len(found) <= MAX_NAME
    return found if is_line else None


def _unit_rows(rows: F32) -> F32:
    # In double precision, since the squares of float32 may be too large or too small for float32.
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    lengths[lengths == 0] = 1
    return (rows / lengths[:, None]).astype(np.float32)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
