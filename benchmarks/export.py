"""The exported page of the shipped model: its size, its speed in Chromium, its agreement."""

from __future__ import annotations

import base64
import json
import statistics
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data import LANGUAGES, load
from measure import chromium, seconds, table
from slugline import TopicClassifier
from slugline.exporting.page import render_page
from slugline.exporting.parts import ModelParts, model_parts
from slugline.model.file.content import load_model

MODEL = "reuters46"
#: Long and short documents, few and many topics.
SETS = ("20ng", "banking77", "ag_news", "trec", "webkb", "sib200-de")
N_TIMED, N_CHARACTERS = 1000, 1000

# Texts go as JSON in ASCII, as lone surrogates would not survive otherwise.
PREDICT = """(texts) => {
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


def page(texts: int = 10_000, rounds: int = 9) -> str:
    """Size of the page, topics and probabilities beside Python's, and speed."""
    parts = model_parts(MODEL)
    data = render_page(parts, MODEL).encode()
    compressed = len(zlib.compress(data, 9, wbits=31))
    rows = [[f"page of `{MODEL}`", f"{len(data):,} bytes (gzip {compressed:,})"]]
    sentences = [text for code in LANGUAGES for text in load(f"sib200-{code}")[1].texts]
    wires = [text for split in load("reuters-corrected") for text in split.texts]
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        path = Path(folder, "page.html")
        path.write_bytes(data)
        tab = browser.new_page()
        tab.goto(path.as_uri())
        tab.wait_for_function("() => page.model && !byId('text').disabled")
        rows += _compare_answers(tab, parts, [*sentences, *wires][:texts])
        rows += _compare_speed(tab, parts, wires[-min(texts, N_TIMED) :], rounds)
    return table(["", "result"], rows)


def _predict(tab: Any, texts: Sequence[str]) -> tuple[np.ndarray, float]:
    """Return the page's probabilities, and their seconds."""
    data, took = tab.evaluate(PREDICT, json.dumps(list(texts)))
    return np.frombuffer(base64.b64decode(data), dtype=np.float32).reshape(len(texts), -1), took


def _compare_answers(tab: Any, parts: ModelParts, texts: list[str]) -> list[list[str]]:
    page_proba, _ = _predict(tab, texts)
    proba = parts.fitted.predict_proba(texts)
    n_different = np.count_nonzero(page_proba.argmax(axis=1) != proba.argmax(axis=1))
    return [
        [
            f"of {len(texts):,} newswires and sentences in ten languages: another topic "
            "than in Python",
            str(n_different),
        ],
        ["largest difference of a probability there", f"{np.abs(page_proba - proba).max():.1e}"],
    ]


def _compare_speed(tab: Any, parts: ModelParts, texts: list[str], n_rounds: int) -> list[list[str]]:
    """Take turns with Python, which answers one text at a time as well."""
    long = " ".join(texts)[:N_CHARACTERS]

    def predict_in_python() -> None:
        for text in texts:
            parts.fitted.predict_proba([text])

    page_rates, python_rates, long_ms = [], [], []
    for _ in range(n_rounds):
        page_rates.append(len(texts) / _predict(tab, texts)[1])
        python_rates.append(len(texts) / seconds(predict_in_python))
        long_ms.append(1000 * _predict(tab, [long] * 100)[1] / 100)
    ratio = statistics.median(np.array(page_rates) / python_rates)
    return [
        [
            f"newswires one by one, Chromium against Python, median of {n_rounds}",
            f"{statistics.median(page_rates):,.0f} and {statistics.median(python_rates):,.0f} "
            f"a second, ratio {ratio:.2f}",
        ],
        [
            f"a text of {N_CHARACTERS:,} characters in Chromium",
            f"{statistics.median(long_ms):.2f} ms",
        ],
    ]


def rounding(sets: Sequence[str] = SETS, texts: int = 10_000) -> str:
    """Answers of pages in Chromium beside those of the models themselves, before any rounding."""
    rows = []
    for name in sets:
        train, test = load(name)
        chosen = [*test.texts[:texts], ""]
        with tempfile.TemporaryDirectory() as folder, chromium() as browser:
            model, path = Path(folder, "model.slug"), Path(folder, "page.html")
            TopicClassifier().fit(train.texts, train.topics).save(model)
            path.write_text(render_page(model_parts(model), name), "utf-8")
            size, fitted = path.stat().st_size, load_model(model)[0]
            tab = browser.new_page()
            tab.goto(path.as_uri())
            tab.wait_for_function("() => page.model && !byId('text').disabled")
            ours, theirs = fitted.predict_proba(chosen), _predict(tab, chosen)[0]
        topics = np.array([str(topic) for topic in fitted.topics.names])
        answers = [topics[proba[:-1].argmax(axis=1)] for proba in (ours, theirs)]
        right = [np.mean(answer == np.array(test.topics[:texts])) for answer in answers]
        away = np.abs(ours - theirs).max(axis=1)
        n_different = np.count_nonzero(answers[0] != answers[1])
        row = [name, f"{size:,}", f"{n_different} of {len(answers[0]):,}"]
        row += [f"{np.quantile(away[:-1], 0.99):.4f}", f"{away[:-1].max():.4f}"]
        rows.append([*row, f"{away[-1]:.0e}", *(f"{accuracy:.4f}" for accuracy in right)])
    header = ["", "page, bytes", "other topics than the model's", "probabilities, 99 % within"]
    header += ["furthest", "of the empty text", "accuracy of the model", "of the page"]
    return table(header, rows)


BENCHMARKS = {"page": page, "rounding": rounding}
QUICK = {"page": {"texts": 100, "rounds": 1}, "rounding": {"sets": ["sib200-de"]}}
