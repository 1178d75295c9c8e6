"""The encoder that a model file names, for those who load it."""

from __future__ import annotations

import os

import msgspec

from slugline.encoders.checked import NAMES, CheckedEncoder, Encoder, get_encoder
from slugline.errors import EncoderError
from slugline.saving.schema import EncoderInfo

__all__ = ["find_encoder"]


def find_encoder(
    path: str | os.PathLike[str],
    needed: EncoderInfo | msgspec.UnsetType,
    given: str | Encoder | None,
) -> CheckedEncoder | None:
    """Return the encoder that a model needs, or None if it needs none.

    The built-in one does not load its weights for that.

    Parameters
    ----------
    path : path of the model, for messages
    needed : EncoderInfo or UNSET
        What the file says.
    given : "use" or an object with `encode`, or None
        What the user has passed; without it, one that is known by name is taken. A model that
        needs none ignores it.

    Raises
    ------
    EncoderError : if it can't be had, has to be passed, or is another one than the model was made
        with.
    """
    if needed is msgspec.UNSET:
        return None
    if given is None and needed.name not in NAMES:
        raise EncoderError(
            f"{path} was made with the encoder {needed.name}, which Slugline doesn't have; in "
            "Python, pass it: slugline.load(path, encoder=...)."
        )
    encoder = get_encoder(needed.name if given is None else given)
    if encoder.digest != needed.digest:
        raise EncoderError(
            f"{path} was made with the encoder {needed.name}, and {encoder.name} is another one or "
            f"has other weights (digest {encoder.digest[:12]}..., not {needed.digest[:12]}...); "
            "use the one that it was made with, or train it again."
        )
    encoder.check_width(needed.width)
    return encoder
