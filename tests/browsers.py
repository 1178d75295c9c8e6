"""A headless Chromium for tests of pages; tests skip, with the reason, where there is none."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["chromium", "find_missing_browser", "find_violations", "run_chromium"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)
# Rules of axe that depend on colours; all others hold in the dark as in the light.
_COLOUR_RULES = ["color-contrast", "link-in-text-block"]


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


def find_violations(page: Page) -> list[tuple[str, str, str, str]]:
    """Return what axe finds wrong with a page in light and in dark colours.

    Each is the colour scheme, the rule, an element, and what is wrong with it.
    """
    import pytest

    package = pytest.importorskip("axe_playwright_python")
    source = Path(package.__path__[0], "axe.min.js").read_text("utf-8")
    # Not as an element, which the policy of an exported page keeps out.
    page.evaluate(f"() => {{ if (!window.axe) {{ {source} }} }}")
    found: list[tuple[str, str, str, str]] = []
    schemes: tuple[tuple[Literal["light", "dark"], dict[str, list[str]]], ...] = (
        ("light", {}),
        ("dark", {"runOnly": _COLOUR_RULES}),
    )
    for scheme, rules in schemes:
        page.emulate_media(color_scheme=scheme)
        options = {"resultTypes": ["violations"]} | rules
        result = page.evaluate("(options) => axe.run(options)", options)
        found += [
            (scheme, each["id"], node["html"], node["failureSummary"])
            for each in result["violations"]
            for node in each["nodes"]
        ]
    page.emulate_media(color_scheme="light")
    return found
