"""An exported page in a browser, and what it says of texts."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from slugline.explanation.explain import explain
from slugline.exporting.page import render_page, why_unsure
from slugline.exporting.parts import ModelParts, model_parts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

__all__ = [
    "Answers",
    "OpenPage",
    "check_answers",
    "check_fractions",
    "open_page",
    "without_numbers",
]

# Half characters would not survive the way to the browser: they go as JSON in ASCII.
_ANSWERS = """(texts) => {
  const answers = JSON.parse(texts).map((text) => classify(page.model, text));
  const bytes = new Uint8Array(4 * answers.length * page.model.topics.length);
  const table = new Float32Array(bytes.buffer);
  answers.forEach((answer, i) => table.set(answer.probabilities, i * page.model.topics.length));
  let letters = "";
  for (let i = 0; i < bytes.length; i += 8192) {
    letters += String.fromCharCode(...bytes.subarray(i, i + 8192));
  }
  const best = answers.map((answer) => answer.order[0]);
  const given = answers.map((answer) => answer.given);
  return [best, answers.map(({ unsure }) => unsure && whyUnsure(unsure)), btoa(letters), given];
}"""
_SPANS = """([texts, topics]) => JSON.parse(texts).map((text, i) => {
  const { row } = classify(page.model, text);
  const spans = placesOf(page.model, row.reading, attributionsOf(page.model, row, topics[i]));
  return spans.map(({ start, end, attribution }) => [start, end, attribution]);
})"""


class Answers(NamedTuple):
    """What a page says of texts.

    Attributes
    ----------
    best : list of int
        The number of the most likely topic.
    reasons : list of str or None
    proba : float32 array, shape (n_texts, n_topics)
    given : list of list of int
        The numbers of the topics given, the most likely first.
    """

    best: list[int]
    reasons: list[str | None]
    proba: npt.NDArray[np.float32]
    given: list[list[int]]


class OpenPage(NamedTuple):
    """A page that has loaded its model, and the parts of it."""

    page: Page
    parts: ModelParts

    def answers(self, texts: Sequence[str]) -> Answers:
        """Return what it says of texts."""
        best, reasons, data, given = self.page.evaluate(_ANSWERS, json.dumps(texts))
        proba = np.frombuffer(base64.b64decode(data), dtype=np.float32)
        return Answers(best, reasons, proba.reshape(len(texts), -1), given)

    def spans(
        self, texts: Sequence[str], topics: Sequence[int]
    ) -> list[list[tuple[int, int, float]]]:
        """Return where words stand in each text, and what they count for a topic."""
        found: list[Any] = self.page.evaluate(_SPANS, [json.dumps(texts), list(topics)])
        return [[(start, end, attribution) for start, end, attribution in spans] for spans in found]


def open_page(
    browser: Browser | BrowserContext | Page,
    model: str | Path,
    folder: Path,
    min_precision: float | None = None,
) -> OpenPage:
    """Write the page of a model to a folder and open it; errors in it fail the test.

    Instead of a browser, a page may be given: one that was open before, which takes less time.
    """
    from playwright.sync_api import Page  # which is missing where there is no browser

    parts = model_parts(model, min_precision=min_precision)
    path = folder / "model.html"
    path.write_text(render_page(parts, str(model)), "utf-8")
    page = browser if isinstance(browser, Page) else browser.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text))
    page.goto(path.as_uri())
    page.wait_for_function("() => page.model || !byId('trouble').hidden")
    assert page.inner_text("#trouble") == ""
    assert errors == []
    return OpenPage(page, parts)


# Answers like those of Python ---------------------------------------------------------------------


def check_answers(opened: OpenPage, texts: list[str]) -> None:
    """Hold what the page says of texts against Python."""
    fitted, decider = opened.parts.fitted, opened.parts.decider
    said = opened.answers(texts)
    proba, counts = fitted.predict_with_words(texts)
    assert said.best == proba.argmax(axis=1).tolist()
    assert np.abs(said.proba - proba).max() < 1e-5
    decisions = decider.decide_from_proba(texts, proba, counts)
    names = fitted.topics.names
    assert [[names[i] for i in given] for given in said.given] == [
        decision.topics if fitted.multilabel else [decision.topic] * (decision.reason is None)
        for decision in decisions
    ]
    expected = [None if each.reason is None else why_unsure(each.reason) for each in decisions]
    assert [without_numbers(reason) for reason in said.reasons] == [
        without_numbers(reason) for reason in expected
    ]
    for ours, theirs in zip(said.reasons, expected, strict=True):
        assert _numbers(ours) == pytest.approx(_numbers(theirs), abs=2e-5)


_NUMBER = r"\d+(?:\.\d+)?"


def without_numbers(reason: str | None) -> str | None:
    """Return a reason with a sign in place of each number."""
    return None if reason is None else re.sub(_NUMBER, "#", reason)


def _numbers(reason: str | None) -> list[float]:
    # Another processor may round the last of the two digits to the other side.
    return [round(float(number) / 100, 1) for number in re.findall(_NUMBER, reason or "")]


def check_fractions(opened: OpenPage, texts: list[str], topics: list[int]) -> None:
    """Hold the shares of words in texts against those of `explain`."""
    fitted = opened.parts.fitted
    for text, topic, spans in zip(texts, topics, opened.spans(texts, topics), strict=True):
        explained = explain(fitted, text, fitted.topics.names[topic], max_reasons=1_000_000)
        reasons = [(start, end, share) for _, start, end, share in explained.reasons]
        assert _by_place(spans) == pytest.approx(_by_place(reasons), abs=1e-5)


def _by_place(spans: Iterable[tuple[Any, Any, float]]) -> dict[tuple[Any, Any], float]:
    found: dict[tuple[Any, Any], float] = {}
    for start, end, share in spans:
        found[start, end] = found.get((start, end), 0) + share
    # Shares that cancel leave nothing, or what rounding makes of it.
    return {place: share for place, share in found.items() if abs(share) > 1e-7}
