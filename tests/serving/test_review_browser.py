"""The page of `slugline audit --page` in a browser: keys, evidence, and for all eyes."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from labelled_texts import labelled
from server import running
from slugline.labels.store import LabelStore

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a table of documents, some with a wrong topic."""
    path = tmp_path / "news.csv"
    texts, topics, _ = labelled(150, 12)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["body", "queue", "a column with a long name"])
        pairs = zip(texts, topics, strict=True)
        writer.writerows([text, topic, "x" * 60] for text, topic in pairs)
    return path


@contextlib.contextmanager
def reviewing(browser: Browser, data: Path, **options: Any) -> Iterator[Page]:
    """Open the page on the suspects; whatever the browser complains about fails the test."""
    words = (data, "--text", "body", "--topic", "queue", "--page", "--coder", "Kim")
    with running(*words, "-o", data.with_name("r.db"), command="audit") as address:
        context = browser.new_context(**options)
        context.set_default_timeout(60_000)
        page = context.new_page()
        complaints: list[str] = []
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        page.locator("#card[data-assignment]").wait_for()
        try:
            yield page
            assert complaints == []
        finally:
            context.close()


def press(page: Page, *keys: str) -> None:
    """Press keys, and wait for the next suspect after each."""
    for key in keys:
        before = page.locator("#card").get_attribute("data-assignment")
        page.keyboard.press(key)
        page.locator(f"#card[data-assignment]:not([data-assignment='{before}'])").wait_for()


def names(page: Page) -> list[str]:
    """Return the present topic and the proposal of the suspect on the screen."""
    return page.locator("#review p b").all_inner_texts()


def test_keys_keep_change_choose_remove_and_undo(browser: Browser, data: Path) -> None:
    with reviewing(browser, data) as page:
        first, second = names(page), []
        press(page, "k")
        second = names(page)
        press(page, "c", "1", ".", ",")
        page.wait_for_function("() => !outbox.entries.length")
        latest = page.locator("#recent b").all_inner_texts()
        press(page, "u")
    topics = page_topics(data)
    assert latest == ["skipped, unclear", "removed", topics[0], second[1], first[0]]
    with LabelStore(data.with_name("r.db")) as store:
        stored = [(each.kind, each.topics, each.reason) for each in store.decisions()]
    assert stored == [
        ("label", (first[0],), None),
        ("label", (second[1],), None),
        ("label", (topics[0],), None),
        ("skip", (), "none of these"),
        ("skip", (), "unclear"),
        ("undo", (), None),
    ]


def page_topics(data: Path) -> list[str]:
    with LabelStore(data.with_name("r.db")) as store:
        return store.codebook().names()


def test_evidence_is_announced_with_its_text(browser: Browser, data: Path) -> None:
    with reviewing(browser, data) as page:
        topic, proposal = names(page)
        said = page.locator("#announcements").inner_text()
        assert said.endswith(f"Its topic is {topic}; the other documents say {proposal}.")
        assert page.locator("#review li").count() >= 2
        assert page.locator("#codebook-box").is_hidden()
        assert page.locator("h1").text_content() == "Review suspects"


def test_tab_and_enter_suffice(browser: Browser, data: Path) -> None:
    with reviewing(browser, data) as page:
        topic = names(page)[0]
        page.locator("#card").focus()
        for _ in range(10):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.dataset.review") == "k":
                break
        press(page, "Enter")
        page.wait_for_function("() => !outbox.entries.length")
        assert page.locator("#recent b").first.inner_text() == topic


def test_page_says_that_all_suspects_are_decided(browser: Browser, data: Path) -> None:
    with reviewing(browser, data) as page:
        n_suspects = page.evaluate("state.progress.n_texts")
        assert n_suspects > 1
        press(page, *"k" * (n_suspects - 1))
        page.keyboard.press("k")
        page.locator("#text", has_text="All suspects are decided, or others have them.").wait_for()
        page.locator("#progress-summary", has_text=f"{n_suspects} of {n_suspects}").wait_for()
        assert page.locator("#review").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violations(browser: Browser, data: Path, scheme: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    with reviewing(browser, data, color_scheme=scheme) as page:
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        press(page, "c")
        page.wait_for_function("() => !outbox.entries.length")
        page.locator("#recent button").first.click()
        page.get_by_text("Take it back").wait_for()
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_page_fits_into_a_narrow_window(browser: Browser, data: Path) -> None:
    with reviewing(browser, data, viewport={"width": 320, "height": 640}) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
