"""The page of `slugline serve` in Chromium: how soon it is seen, and a table dropped on it."""

from __future__ import annotations

import shutil
import statistics
import threading
import time
from pathlib import Path

import httpx
from playwright.sync_api import Browser, sync_playwright

N_VIEWS = 7
NAMES = ("chromium", "chromium-browser", "google-chrome")


def measured(url: str, table: Path) -> list[list[str]]:
    """Return rows of a Markdown table.

    Parameters
    ----------
    url : str
        Of a server.
    table : Path
        The table to drop on the page.
    """
    path = next(filter(None, map(shutil.which, NAMES)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        views = [_view(browser, url) for _ in range(N_VIEWS)]
        dropped = [_drop(browser, url, table) for _ in range(3)]
        browser.close()
    paint, n_bytes = (statistics.median(values) for values in zip(*views, strict=True))
    seconds = statistics.median(each for each, _ in dropped)
    slowest = max(each for _, each in dropped)
    return [
        ["the page: first paint in Chromium, ms", f"{paint:.0f}", "-"],
        ["the page with all that it loads, kB", f"{n_bytes / 1000:.0f}", "-"],
        [
            "a CSV of 10,000 wires dropped on the page: until all are shown, s",
            f"{seconds:.1f}",
            "-",
        ],
        ["the slowest single text meanwhile, s", f"{slowest:.2f}", "-"],
    ]


def _view(browser: Browser, url: str) -> tuple[float, int]:
    """Look at the page in a browser that has not seen it; return milliseconds and bytes."""
    context = browser.new_context()
    page = context.new_page()
    sizes: list[int] = []
    page.on("response", lambda answer: sizes.append(len(answer.body())))
    page.goto(url)
    page.wait_for_load_state("networkidle")
    paint = page.evaluate("performance.getEntriesByName('first-paint')[0].startTime")
    context.close()
    return float(paint), sum(sizes)


def _drop(browser: Browser, url: str, table: Path) -> tuple[float, float]:
    """Drop a table; return seconds until it is done, and the slowest answer meanwhile."""
    page = browser.new_page()
    page.goto(f"{url}/table")
    is_over = threading.Event()
    times: list[float] = []

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            while not is_over.wait(0.05):
                started = time.perf_counter()
                client.post("/v1/classify", json={"text": "Wheat exports rose"}).raise_for_status()
                times.append(time.perf_counter() - started)

    asking = threading.Thread(target=ask)
    asking.start()
    started = time.perf_counter()
    page.set_input_files("#file", table)
    page.wait_for_selector("#download:not([disabled])", timeout=60_000)
    seconds = time.perf_counter() - started
    is_over.set()
    asking.join()
    counts = page.text_content("#counts") or ""
    assert "10,000" in counts, counts
    page.close()
    return seconds, max(times)
