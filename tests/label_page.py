"""What a person does on the label page in a browser: for its tests, and for a tutorial."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from browsers import opened_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["opened", "press", "shown", "wait_for_text_after", "wait_until_saved"]


@contextlib.contextmanager
def opened(browser: Browser, address: str, *, expected: str = "", **options: Any) -> Iterator[Page]:
    """Open the page, and wait for its first text; see `opened_page`."""
    with opened_page(browser, address, expected=expected, **options) as page:
        page.locator("#card[data-assignment]").wait_for()
        page.locator("#recent[aria-busy='false']").wait_for(state="attached")
        yield page


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
