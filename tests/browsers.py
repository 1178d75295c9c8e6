"""A headless Chromium for tests of pages; tests skip, with the reason, where there is none."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

__all__ = ["chromium", "find_missing_browser", "run_chromium"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)


def find_missing_browser() -> str | None:
    """Return what is missing for a browser, and how to install it; None if nothing is."""
    if importlib.util.find_spec("playwright") is None:
        return "Playwright is missing; pip install playwright"
    if not any(map(shutil.which, _NAMES)):
        return "Chromium is missing; on Debian, apt install chromium"
    return None


@contextmanager
def run_chromium() -> Iterator[Browser]:
    """Yield a browser, which must not be missing."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, _NAMES)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a browser; skip the test where Playwright or Chromium is missing."""
    import pytest  # the site, which is built without it, runs a browser as well

    if missing := find_missing_browser():
        pytest.skip(missing)
    with run_chromium() as browser:
        yield browser
