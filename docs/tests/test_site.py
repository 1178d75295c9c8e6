"""The built site: its links, metadata, accessibility and search. `make docs` builds it before."""

from __future__ import annotations

import functools
import importlib
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import slugline
import slugline.errors
from browsers import chromium
from site_questions import QUESTIONS
from slugline.serving.http.operations import openapi

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DOCS = Path(__file__).parents[1]
SOURCES = {
    path.relative_to(DOCS).with_suffix("").as_posix(): path
    for path in sorted([*DOCS.rglob("*.md"), *DOCS.rglob("*.ipynb")])
    if not {"_build", "tests"} & {*path.relative_to(DOCS).parts}
}
PAGES = [*SOURCES]
#: Bytes that a visitor of the first page may have to load.
MAX_WEIGHT = 300_000
#: Of twenty questions in each form, those of which no answer may be among the first three hits.
MAX_MISSED = {"asked": 0, "short": 1, "german": 4}


# Pages --------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a page loads, links to and can be linked to, and its metadata."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors = {""}
        self.metadata: dict[str, str] = {}
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record a tag."""
        attributes = {name: value or "" for name, value in attrs}
        self.anchors.add(attributes.get("id", ""))
        if tag == "a":
            self.links.append(attributes.get("href", ""))
        elif tag == "meta":
            self.metadata[attributes.get("name", "")] = attributes.get("content", "")
        elif tag != "link" or attributes.get("rel") in ("stylesheet", "preload", "icon"):
            self.loads += [attributes[name] for name in ("src", "href") if name in attributes]


@functools.cache
def load_page(site: Path, name: str) -> Page:
    """Return a page of the site, which is read once."""
    return Page(site / f"{name}.html")


@pytest.fixture
def site() -> Path:
    """Return the folder of the site."""
    folder = DOCS / "_build" / "html"
    if not (folder / "index.html").is_file():
        pytest.fail("there is no site in docs/_build/html; `make docs` builds it")
    return folder


def test_site_has_every_page(site: Path) -> None:
    assert [name for name in PAGES if not (site / f"{name}.html").is_file()] == []


def test_pages_show_only_code_that_is_executed() -> None:
    languages = "python|py|sh|bash|shell|console|pycon"
    fence = re.compile(rf" *(?:```|~~~|:::) *(?:\{{code(?:-block)?\}} *)?(?:{languages})\b")
    found = [
        (page, number)
        for page, path in SOURCES.items()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if fence.match(line)
    ]
    assert found == []


def test_pages_load_nothing_from_other_sites(site: Path) -> None:
    loads = {
        (page, link)
        for page in [*PAGES, "search", "genindex"]
        for link in load_page(site, page).loads
        if re.match(r"([a-z]+:)?//", link)
    }
    assert loads == set()


def test_links_have_targets(site: Path) -> None:
    pages = {name: load_page(site, name) for name in [*PAGES, "search", "genindex"]}
    gone, n_links = [], 0
    for name, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            path, _, anchor = link.partition("#")
            target = page.path.parent / urllib.parse.unquote(path) if path else page.path
            n_links += 1
            known = target.resolve().relative_to(site.resolve()).with_suffix("").as_posix()
            if known in pages:
                if urllib.parse.unquote(anchor) not in pages[known].anchors:
                    gone.append((name, link))
            elif not target.is_file():
                gone.append((name, link))
    assert gone == []
    assert n_links > 1000


def test_pages_have_a_description_and_keywords(site: Path) -> None:
    without = [
        (page, name)
        for page in PAGES
        for name in ("description", "keywords")
        if not load_page(site, page).metadata.get(name)
    ]
    assert without == []


def test_search_index_has_keywords_as_single_words(site: Path) -> None:
    text = (site / "searchindex.js").read_text("utf-8")
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    assert [term for term in index["terms"] if not re.fullmatch(r"\w+", term)] == []
    assert index["docnames"][index["terms"]["imbalanc"]] == "howto/skewed-topics"


def test_reference_has_every_public_name(site: Path) -> None:
    inventory = importlib.import_module("sphinx.util.inventory").InventoryFile
    with (site / "objects.inv").open("rb") as file:
        objects = inventory.load(file, "", lambda *parts: "".join(parts))
    entries = {
        name
        for kind in ("py:function", "py:class", "py:exception", "py:module", "py:data")
        for name in objects.get(kind, {})
    }
    assert [name for name in slugline.__all__ if f"slugline.{name}" not in entries] == []
    names = (f"slugline.errors.{name}" for name in slugline.errors.__all__)
    errors = [name for name in names if name != "slugline.errors.SluglineError"]
    assert [name for name in errors if name not in entries] == []


def test_reference_has_fields_of_requests_and_parts_of_docstrings(site: Path) -> None:
    http = (site / "reference" / "http.html").read_text("utf-8")
    schemas = openapi()["components"]["schemas"]
    fields = {field for schema in schemas.values() for field in schema.get("properties", ())}
    fields -= {*schemas["ProblemDetails"]["properties"]}
    assert len(fields) > 20
    assert [name for name in sorted(fields) if f'<span class="pre">{name}</span>' not in http] == []

    functions = (site / "reference" / "python" / "functions.html").read_text("utf-8")
    assert "<strong>DataError</strong></a> – if the data can’t be read" in functions
    classifier = (site / "reference" / "python" / "classifier.html").read_text("utf-8")
    assert "<strong>classes_</strong>" in classifier


def test_first_page_weighs_at_most_300_kb(site: Path) -> None:
    page = load_page(site, "index")
    loads = {page.path.parent / re.sub(r"[?#].*", "", link) for link in page.loads}
    weight = sum(file.stat().st_size for file in {page.path, *loads})
    assert weight <= MAX_WEIGHT


# In a browser -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def open_page(browser: Browser, **options: Any) -> Any:
    """Return a page of its own context, which has the time that a busy machine takes."""
    context = browser.new_context(**options)
    context.set_default_timeout(600_000)
    return context.new_page()


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    """Yield the address of the site."""

    class Handler(SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # a connection serves several requests

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

        def end_headers(self) -> None:
            """Let the browser keep what pages share."""
            self.send_header("Cache-Control", "max-age=3600")
            super().end_headers()

    handler = functools.partial(Handler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible_by_axe(browser: Browser, address: str, scheme: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found = []
    page = open_page(browser, color_scheme=scheme)
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if scheme == "dark":
        options["runOnly"] = ["color-contrast"]  # only colours are others
    for name in ("index", "howto/serve", "reference/http", "reference/python/classifier", "search"):
        page.goto(f"{address}/{name}.html")
        found += [
            (name, violation["id"], node["target"], node["failureSummary"])
            for violation in Axe().run(page, options=options).response["violations"]
            for node in violation["nodes"]
        ]
    page.context.close()
    assert found == []


def test_pages_fit_the_width_of_a_phone(browser: Browser, address: str) -> None:
    page = open_page(browser, viewport={"width": 400, "height": 800})
    wide = []
    for name in PAGES:
        page.goto(f"{address}/{name}.html")
        width = page.evaluate("document.documentElement.scrollWidth")
        wide += [(name, width)] if width > 400 else []
    page.context.close()
    assert wide == []


def find(page: Any, address: str, question: str) -> list[str]:
    """Return the first three pages that the search finds."""
    page.goto(f"{address}/search.html?q={urllib.parse.quote_plus(question)}")
    page.wait_for_function(
        "/finished|not match/.test(document.querySelector('.search-summary')?.textContent)"
    )
    hits = page.eval_on_selector_all(
        "ul.search > li > a", "links => links.map(link => new URL(link.href).pathname)"
    )
    return [hit.strip("/").removesuffix(".html") for hit in hits[:3]]


@pytest.mark.parametrize("form", MAX_MISSED)
def test_search_finds_pages_that_answer_questions(
    browser: Browser, address: str, form: str
) -> None:
    page = open_page(browser)
    missed = {}
    for question in QUESTIONS:
        asked = getattr(question, form)
        hits = find(page, address, asked)
        if not {*question.pages.split()} & {*hits}:
            missed[asked] = hits
    page.context.close()
    assert len(missed) <= MAX_MISSED[form], missed


def test_search_ranks_titles_first(browser: Browser, address: str) -> None:
    page = open_page(browser)
    asked = {
        "privacy": "howto/privacy",
        "Datenschutz": "howto/privacy",
        "no labels at all": "howto/no-labels",
        "which texts should I label next": "howto/label-next",
        "why did it give this topic": "howto/why",
        "Die Modelldatei soll klein sein": "howto/small-file",
        "the model file": "reference/model-file",
        "in five minutes": "start/five-minutes",
    }
    found = {question: find(page, address, question)[0] for question in asked}
    page.context.close()
    assert found == asked
