"""A headless Chromium for tests of pages; tests skip, with the reason, where there is none."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

__all__ = ["chromium", "find_missing_browser", "find_violations", "opened_page", "run_chromium"]

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


# The tab of each browser that is used again: a new one takes half a second.
_tabs: WeakKeyDictionary[Browser, Page] = WeakKeyDictionary()


@contextmanager
def opened_page(
    browser: Browser, address: str, path: str = "/", *, expected: str = "", **options: Any
) -> Iterator[Page]:
    """Open a page; whatever the browser complains about fails the test, unless it is expected.

    A page with options, and one about which complaints are expected, has a browser context of its
    own. All others use one tab, in which nothing of an earlier page is left.
    """
    is_shared = not options and not expected
    page = _tabs.pop(browser, None) if is_shared else None
    if page is None:
        context = browser.new_context(**options)
        context.set_default_timeout(60_000)
        page = context.new_page()
    complaints: list[str] = []
    listeners: dict[Any, Any] = {
        "console": lambda said: complaints.append(said.text),
        "pageerror": lambda error: complaints.append(str(error)),
        "request": lambda sent: _check_ours(sent.url, address, complaints),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    try:
        page.goto(address + path)
        yield page
        assert [said for said in complaints if not expected or expected not in said] == []
        if is_shared:
            for event, listener in listeners.items():
                page.remove_listener(event, listener)
            _clear(page)
            _tabs[browser] = page
    finally:
        if _tabs.get(browser) is not page:
            page.context.close()


def _check_ours(url: str, address: str, complaints: list[str]) -> None:
    if not url.startswith((f"{address}/", "data:", "blob:")):
        complaints.append(f"asked elsewhere: {url}")


def _clear(page: Page) -> None:
    """Leave a page, and whatever it has stored."""

    def leave(dialog: Dialog) -> None:
        dialog.accept()

    for other in page.context.pages:
        if other is not page:
            other.close()
    page.unroute_all(behavior="ignoreErrors")
    page.evaluate("localStorage.clear()")
    page.context.clear_cookies()
    page.on("dialog", leave)  # it may ask, as a decision is not saved yet
    page.goto("about:blank")
    page.remove_listener("dialog", leave)
    page.set_viewport_size({"width": 1280, "height": 720})


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
