"""Identity of an encoder in model files, and limits on its name and width."""

from __future__ import annotations

from typing import Annotated

import msgspec

#: Maximum number of columns; the widest known encoders have 4,096.
MAX_WIDTH = 4096
#: Maximum length of an encoder's name or digest.
MAX_NAME = 200
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME)]


class EncoderIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The encoder that a model needs.

    Attributes
    ----------
    name : str
    version : str or None
        Version of its weights, if known.
    digest : str
        64 hexadecimal digits that change with the encoder or its weights.
    width : int
        Number of columns.
    """

    name: _Name
    version: _Name | None
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    width: Annotated[int, msgspec.Meta(ge=1, le=MAX_WIDTH)]
