"""The option --encoder."""

from __future__ import annotations

from slugline.base.checks import option_error
from slugline.cli.options import option
from slugline.learning.encoder.encoder import get_encoder
from slugline.learning.encoder.registry import (
    AUTO,
    BUILT_IN,
    DEFAULT_ENCODER,
    combinations,
    describe_choices,
    split_names,
)

#: Value of --encoder that disables it.
NO_ENCODER = "none"
encoder_option = option(
    "--encoder NAME",
    f"Pretrained word vectors or sentence encoder: {describe_choices()}; {NO_ENCODER} disables it. "
    f"Sentence encoders are added to {BUILT_IN}.",
    values=(*combinations(), AUTO, NO_ENCODER),
    default=DEFAULT_ENCODER,
)


def parse_encoder(name: str) -> str | None:
    """Return the `encoder` of `TopicClassifier`, after checking that it can be used.

    Raises
    ------
    OptionError : if there is no encoder of that name.
    EncoderError : if its package is missing.
    """
    if name == NO_ENCODER:
        return None
    if name != AUTO:
        if split_names(name) is None:
            raise option_error("encoder", name, f"{describe_choices()}, or {NO_ENCODER}")
        get_encoder(name)
    return name
