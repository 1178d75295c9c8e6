"""Rewords error messages for the page."""

from __future__ import annotations

from slugline.corpus.readers import LEAVE_ENCODING_OUT, OR_NAME_THE_FORMAT
from slugline.errors import Message, Parameter, SluglineError
from slugline.serving.service_errors import IS_NEW, LimitError

# The page's words for parameters; it has no field for the format.
_WORDS = {
    IS_NEW: "tick the box below",
    LEAVE_ENCODING_OUT: "choose “as found”",
    OR_NAME_THE_FORMAT: "",
}
# Form fields, and items of the field `topics`.
_FIELDS = {
    "text": "the text",
    "topic": "the topic",
    "topics": "the list of topics",
    "topics[": "a topic",
    "who": "the name",
}


def word_error(error: SluglineError) -> str:
    """Return an error message with the page's words for parameters."""
    if isinstance(error, LimitError) and error.index is not None:
        return error.describe("the text ")  # the page sends one at a time
    return Message(*error.parts).render(_word)


def _word(parameter: Parameter) -> str:
    if parameter in _WORDS:
        return _WORDS[parameter]
    name, bracket, _ = parameter.name.partition("[")
    return _FIELDS.get(name + bracket, str(parameter))
