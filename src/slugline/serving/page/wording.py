"""Words error messages for the page."""

from __future__ import annotations

from slugline.corpus.readers import LEAVE_ENCODING_OUT, OR_NAME_THE_FORMAT
from slugline.errors import Message, SluglineError
from slugline.serving.service_errors import IS_NEW, LimitError

# Parameters that the page has other words for; it has no field for the format.
_WORDS = {
    IS_NEW: "tick the box below",
    LEAVE_ENCODING_OUT: "choose them as found",
    OR_NAME_THE_FORMAT: "",
}


def word_error(error: SluglineError) -> str:
    """Return the message of an error with the page's words for its parameters."""
    if isinstance(error, LimitError) and error.index is not None:
        return error.describe("the text ")  # the page sends one at a time
    return Message(*error.parts).render(lambda each: _WORDS.get(each, str(each)))
