"""Render HTML from templates and Markdown."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from slugline.errors import Message, Parameter

if TYPE_CHECKING:
    from jinja2 import Environment
    from markdown_it import MarkdownIt


@functools.cache
def template_environment(package: str, folder: str = "templates") -> Environment:
    """Return the Jinja environment of a package's templates, which compiles each template once.

    Values are escaped as HTML; an undefined name raises an error.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=PackageLoader(package, folder),
        autoescape=select_autoescape(["html.j2"]),
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render_sentence(
    environment: Environment, template: str, block: str, values: Mapping[str, Any]
) -> Message:
    """Return the plain text of a Jinja template block on one line.

    Calls of `parameter(name)` or `parameter(name, value)` in the block become `Parameter` objects.
    """
    parameters: list[Parameter] = []

    def parameter(name: str, value: object = None) -> str:
        parameters.append(Parameter(name, value))
        return str(parameters[-1])

    filled = environment.get_template(template)
    context = filled.new_context({**values, "parameter": parameter})
    text = " ".join(filter(None, "".join(filled.blocks[block](context)).split("\n")))
    message = Message()
    for each in parameters:
        before, _, text = text.partition(str(each))
        message = Message(message, before, each)
    return Message(message, text)


def style_sheet(*names: str) -> str:
    """Return the concatenated style sheets shared by several pages."""
    from importlib import resources

    folder = resources.files("slugline.base")
    return "\n".join(folder.joinpath(name).read_text("utf-8") for name in names)


# Markdown -----------------------------------------------------------------------------------------

_PARTS = ("heading", "list", "fence", "backticks", "emphasis", "link")
# Maximum number of characters to render: nested links, for example, take superlinear time.
_MAX_CHARACTERS = 1 << 16


def render_markdown(text: str, level: int = 1) -> Markup:
    r"""Return Markdown as HTML: headings, paragraphs, lists, code, links and emphasis.

    All other markup is escaped as text. Texts of over 64 kB are truncated.

    Parameters
    ----------
    text : str
    level : int, default 1
        The level of headings with one "#".

    >>> render_markdown("## A *b*")
    Markup('<h2>A <em>b</em></h2>')
    >>> render_markdown("- one\n- `<two>`")
    Markup('<ul>\n<li>one</li>\n<li><code>&lt;two&gt;</code></li>\n</ul>')
    """
    if len(text) > _MAX_CHARACTERS:
        text = text[:_MAX_CHARACTERS].rpartition("\n")[0] + "\n\n(Truncated.)"
    parser = _parser()
    tokens = parser.parse(text)
    for token in tokens:
        if token.type.startswith("heading_"):
            token.tag = f"h{min(level - 1 + int(token.tag[1]), 6)}"
        for part in token.children or ():
            if part.type == "link_open":
                part.attrSet("rel", "noreferrer")
    html = parser.renderer.render(tokens, parser.options, {})
    return Markup(html.rstrip("\n"))  # noqa: S704 - the parser escapes everything else


@functools.cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    class _Parser(MarkdownIt):
        def validateLink(self, url: str) -> bool:  # noqa: N802 - the library's name
            return url.startswith(("http://", "https://"))

    return _Parser("zero").enable(_PARTS)
