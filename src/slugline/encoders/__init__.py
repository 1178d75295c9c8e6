"""Sentence encoders: pretrained models that turn a text into a row of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slugline.lazy import lazy_names

if TYPE_CHECKING:
    from slugline.encoders.checked import CheckedEncoder, Encoder, get_encoder
    from slugline.encoders.encoding import encode

__all__ = ["CheckedEncoder", "Encoder", "encode", "get_encoder"]

# The rest is needed only with an encoder.
__getattr__ = lazy_names(
    __name__,
    {
        "CheckedEncoder": "slugline.encoders.checked",
        "Encoder": "slugline.encoders.checked",
        "encode": "slugline.encoders.encoding",
        "get_encoder": "slugline.encoders.checked",
    },
)
