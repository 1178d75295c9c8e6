"""What a person does on the label page in a browser: for its tests, and for a tutorial."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["opened", "press", "shown", "wait_for_text_after", "wait_until_saved"]


@contextlib.contextmanager
def opened(browser: Browser, address: str, *, expected: str = "", **options: Any) -> Iterator[Page]:
    """Open the page; whatever the browser complains about fails the test, unless expected."""
    context = browser.new_context(**options)
    context.set_default_timeout(60_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda sent: _check_ours(sent.url, address, complaints))
    page.goto(address)
    page.locator("#card[data-assignment]").wait_for()
    page.locator("#recent[aria-busy='false']").wait_for(state="attached")
    try:
        yield page
        assert [each for each in complaints if not expected or expected not in each] == []
    finally:
        context.close()


def _check_ours(url: str, address: str, complaints: list[str]) -> None:
    if not url.startswith((f"{address}/", "data:")):
        complaints.append(f"asked elsewhere: {url}")


def shown(page: Page) -> str:
    """Return the assignment of the text on the screen."""
    return str(page.locator("#card").get_attribute("data-assignment"))


def press(page: Page, *keys: str) -> None:
    """Press keys, and wait for the next text after each."""
    for key in keys:
        before = shown(page)
        page.keyboard.press(key)
        wait_for_text_after(page, before)


def wait_for_text_after(page: Page, assignment: str) -> None:
    """Wait until the text on the screen is another one than that of an assignment."""
    page.locator(f"#card[data-assignment]:not([data-assignment='{assignment}'])").wait_for()


def wait_until_saved(page: Page) -> None:
    """Wait until all decisions are on the server's disk."""
    page.wait_for_function("() => !outbox.entries.length")
