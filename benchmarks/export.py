"""The page of the shipped model: its size, how fast it answers in Chromium, how near Python it is.

Needs Playwright, a Chromium, and SLUGLINE_DATA.
"""

from __future__ import annotations

import base64
import json
import shutil
import statistics
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from sets import LANGUAGES, load
from slugline import Corpus, TopicClassifier
from slugline.export.page import page_of
from slugline.export.parts import ModelParts, model_parts
from slugline.model.file.content import load_model
from slugline.model.fitted import Fitted

MODEL, LARGE = "reuters46", "20ng"
N_TEXTS, N_EACH, N_ROUNDS = 10_000, 1000, 9
# A text of so many characters is timed on its own.
N_CHARACTERS = 1000

# Texts go as JSON in ASCII: half characters would not survive the way.
ANSWER = """(texts) => {
  const width = page.model.topics.length, list = JSON.parse(texts);
  const table = new Float32Array(list.length * width);
  const started = performance.now();
  list.forEach((text, i) => table.set(classify(page.model, text).probabilities, i * width));
  const milliseconds = performance.now() - started, bytes = new Uint8Array(table.buffer);
  let letters = "";
  for (let i = 0; i < bytes.length; i += 8192) {
    letters += String.fromCharCode(...bytes.subarray(i, i + 8192));
  }
  return [btoa(letters), milliseconds / 1000];
}"""


def texts() -> list[str]:
    """Return sentences in ten languages and, as most, newswires."""
    sentences = [text for code in LANGUAGES for text in load(f"sib200-{code}")[1].texts]
    wires = [text for part in load("reuters-corrected") for text in part.texts]
    return [*sentences, *wires][:N_TEXTS]


def ask(page: Page, asked: list[str]) -> tuple[np.ndarray, float]:
    """Return the page's probabilities, and how many seconds it took for them."""
    data, seconds = page.evaluate(ANSWER, json.dumps(asked))
    return np.frombuffer(base64.b64decode(data), dtype=np.float32).reshape(len(asked), -1), seconds


def print_nearness(page: Page, parts: ModelParts, asked: list[str]) -> None:
    """Compare probabilities and topics of all texts."""
    ours, _ = ask(page, asked)
    theirs = parts.fitted.predict_proba(asked)
    n_other = np.count_nonzero(ours.argmax(axis=1) != theirs.argmax(axis=1))
    print(f"{len(asked):,} texts: {n_other} with another topic than in Python, ", end="")
    print(f"probabilities differ by {np.abs(ours - theirs).max():.1e} at most")


def print_speed(page: Page, parts: ModelParts, asked: list[str]) -> None:
    """Take turns with Python, which answers one text at a time as well."""
    long = " ".join(asked)[:N_CHARACTERS]
    rounds: dict[str, list[float]] = {name: [] for name in ("page", "python", "long", "ratio")}
    for _ in range(N_ROUNDS):
        rounds["page"].append(len(asked) / ask(page, asked)[1])
        started = time.perf_counter()
        for text in asked:
            parts.fitted.predict_proba([text])
        rounds["python"].append(len(asked) / (time.perf_counter() - started))
        rounds["long"].append(1000 * ask(page, [long] * 100)[1] / 100)
        rounds["ratio"].append(rounds["page"][-1] / rounds["python"][-1])
    middle = {name: statistics.median(values) for name, values in rounds.items()}
    print(
        f"newswires one by one: {middle['page']:,.0f} a second in Chromium, "
        f"{middle['python']:,.0f} in Python; ratio {middle['ratio']:.2f} (median of {N_ROUNDS})"
    )
    print(f"a text of {N_CHARACTERS:,} characters: {middle['long']:.2f} ms in Chromium")


def print_rounding(folder: Path) -> None:
    """Train on a set of long documents; print its page's size, and what rounding weights costs."""
    train, test = load(LARGE)
    path = folder / "large.slug"
    TopicClassifier().fit(train.texts, train.topics).save(path)
    parts = model_parts(path)
    size = len(page_of(parts, LARGE).encode())
    before, after = classes(load_model(path)[0], test), classes(parts.fitted, test)
    right = [np.mean(answers == np.array(test.topics)) for answers in (before, after)]
    print(
        f"page of {LARGE}: {size:,} bytes; of {len(test.texts):,} test documents, rounding gives "
        f"{np.count_nonzero(before != after)} another topic; accuracy {right[0]:.4f} before, "
        f"{right[1]:.4f} after"
    )


def classes(fitted: Fitted, test: Corpus) -> np.ndarray:
    """Return the answers to test documents."""
    return np.array(fitted.predict(test.texts).tolist())


def main() -> None:
    """Print all of it."""
    parts = model_parts(MODEL)
    data = page_of(parts, MODEL).encode()
    small = len(zlib.compress(data, 9, wbits=31))
    print(f"page of {MODEL}: {len(data):,} bytes, {small:,} as servers send it (gzip)")
    path: Any = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))))
    asked = texts()
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "page.html").write_bytes(data)
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page()
        started = time.perf_counter()
        page.goto((Path(folder) / "page.html").as_uri())
        page.wait_for_function("() => page.model && !byId('text').disabled")
        print(f"opened and ready after {time.perf_counter() - started:.2f} s, {browser.version}")
        print_nearness(page, parts, asked)
        print_speed(page, parts, asked[-N_EACH:])
        browser.close()
        print_rounding(Path(folder))


if __name__ == "__main__":
    main()
