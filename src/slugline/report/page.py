"""Fill a template to make a page, and write it completely or not at all."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slugline._version import __version__
from slugline.displays import counted
from slugline.errors import SluglineError
from slugline.files import write_whole
from slugline.marks import STYLE, highlighted
from slugline.report import words

if TYPE_CHECKING:
    from markupsafe import Markup

    from slugline.experiment.quotes import Quote

__all__ = ["render", "write_page"]

#: Words with more characters may be too long for a narrow column.
LONG_WORD = 12


def render(template: str, **values: Any) -> str:
    """Return a template of this package, filled in.

    Parameters
    ----------
    template : str
        A file name in `templates`.
    values : what the template refers to; text is escaped unless the template says `safe`.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("slugline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in words.__all__:
        environment.filters[name] = getattr(words, name)
    environment.filters |= {
        "breakable": _breakable,
        "counted": counted,
        "marked": _marked,
        "prose": _prose,
    }
    return environment.get_template(template).render(version=__version__, marks=STYLE, **values)


def _prose(text: str) -> Markup:
    """Return a sentence as HTML: text in backticks is code, and numbers keep their units."""
    from markupsafe import Markup

    code = Markup("<code>{}</code>")
    parts = re.split(r"`([^`]+)`", text)  # every second one was in backticks
    return Markup("").join(
        code.format(part) if i % 2 else words.typeset(part) for i, part in enumerate(parts)
    )


def _marked(quote: Quote) -> Markup:
    """Return a passage as HTML whose words are marked."""
    return highlighted(*quote)


def _breakable(name: str) -> Markup:
    """Return a name in which lines may break after each underscore of a long word."""
    from markupsafe import Markup

    return Markup(" ").join(
        Markup("_<wbr>").join(word.split("_")) if len(word) > LONG_WORD else word
        for word in name.split(" ")
    )


def write_page(page: str, path: str | os.PathLike[str]) -> Path:
    """Write a page beside its target and rename it into place; create folders as needed.

    Raises
    ------
    SluglineError : if that fails; an earlier file stays as it was.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, page.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise SluglineError(
            f"{target}: the report can't be written ({error.strerror or error}); "
            "free some space or choose another folder."
        ) from error
    return target
