"""Model cards as HTML."""

from __future__ import annotations

import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slugline.base.html import render_markdown


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("# One", "<h2>One</h2>"),
        ("###### Six", "<h6>Six</h6>"),
        ("one\ntwo\n\nthree", "<p>one\ntwo</p>\n<p>three</p>"),
        ("a\n- b\n  c\n- d", "<p>a</p>\n<ul>\n<li>b\nc</li>\n<li>d</li>\n</ul>"),
        ("```\n# <b>\n```\nend", "<pre><code># &lt;b&gt;\n</code></pre>\n<p>end</p>"),
        ("```\nnever ended", "<pre><code>never ended</code></pre>"),
        ("**a** and `**b**`", "<p><strong>a</strong> and <code>**b**</code></p>"),
        ("<b>&amp;", "<p>&lt;b&gt;&amp;amp;</p>"),
        (
            "[a](https://b.org/?c&d)",
            '<p><a href="https://b.org/?c&amp;d" rel="noreferrer">a</a></p>',
        ),
        ("[a](javascript:alert(1))", "<p>[a](javascript:alert(1))</p>"),
        (
            "![a](https://b.org/c.png)",
            '<p>!<a href="https://b.org/c.png" rel="noreferrer">a</a></p>',
        ),
        ('[a](https://b"onload=x)', '<p><a href="https://b%22onload=x" rel="noreferrer">a</a></p>'),
    ],
)
def test_render_markdown_gives_known_tags(text: str, html: str) -> None:
    assert render_markdown(text, level=2).strip() == html


_INLINE = ("pre", "code", "strong", "em", "a")


class Tags(HTMLParser):
    """Collects what a browser would find, and whether all that is opened is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: set[str] = set()
        self.found: set[str] = set()
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.found.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@given(
    st.lists(st.sampled_from([*"ab \n#-*`[]()<>&\"'/:", "https://a", "```", "**", "](", "- ", "_"]))
)
def test_render_markdown_escapes_all_but_known_tags(parts: list[str]) -> None:
    tags = Tags(str(render_markdown("".join(parts))))
    assert tags.open == []
    assert tags.found <= {*(f"h{n}" for n in range(1, 7)), "p", "ul", "ol", "li", *_INLINE}
    assert tags.attributes <= {"href", "rel", "class"}


@pytest.mark.parametrize(
    "part", ["[", "![", "[a](", "**a ", "*_", "`a", "```\n", "- ", "    - a\n"]
)
def test_render_markdown_is_fast_on_a_megabyte(part: str) -> None:
    text = (part * (1 << 20))[: 1 << 20]
    started = time.thread_time()
    render_markdown(text)
    assert time.thread_time() - started < 5


def test_render_markdown_shortens_a_long_card() -> None:
    html = render_markdown("a line of a card\n" * 100_000)
    assert len(html) < 70_000
    assert html.endswith("<p>(Truncated.)</p>")
