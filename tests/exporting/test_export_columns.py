"""An exported page counts columns beside the text as Python does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from browsers import chromium
from exported_pages import open_page
from slugline.classifier import TopicClassifier
from slugline.corpus.documents import RowText

pytestmark = pytest.mark.slow

TOPICS = ["a", "b", "c"]
ROWS = [
    RowText(
        f"it is {'slow' if number % 2 else 'lost'} again",
        {
            "product": TOPICS[number % 3],
            "amount": number % 3 * 100 + number / 7,
            "sent": f"2026-0{1 + number % 3 * 2}-1{number % 10}T{8 + number % 3:02}:30",
            "noise": number % 11 // 6,
        },
    )
    for number in range(300)
]
CELLS = [
    ("b", "101.5", "2026-03-02T09:30"),
    ("  b ", "-1e3", "2026-03-02"),
    ("", "lots", ""),
    ("never seen", "1000", "2026-05-31T00:00"),
    ("a", "0x10", "2026-01-04T10:00"),
    ("ö" * 300, ".5", "yesterday"),
]


def test_exported_page_counts_columns_like_python(tmp_path: Path) -> None:
    topics = [TOPICS[number % 3] for number in range(300)]
    names = ["product", "amount", "sent", "noise"]
    classifier = TopicClassifier(encoder=None, columns=names).fit(ROWS, topics)
    kinds = [column.kind for column in classifier.fitted_.features.table_columns]
    assert kinds == ["words", "number", "date", "unused"]
    classifier.save(tmp_path / "model.slug")
    with chromium() as browser:
        opened = open_page(browser, tmp_path / "model.slug", tmp_path)
        expected = opened.parts.fitted.predict_proba(
            [RowText("it is slow", dict(zip(names, cells, strict=False))) for cells in CELLS]
        )
        code = "(cells) => [...classify(page.model, 'it is slow', cells).probabilities]"
        said = [opened.page.evaluate(code, list(cells)) for cells in CELLS]
        assert np.abs(np.array(said) - expected).max() < 1e-5
        assert len({*expected.argmax(axis=1).tolist()}) > 1
        fields = opened.page.locator(".cells input")
        assert fields.count() == 3
        opened.page.fill("#text", "it is slow")
        opened.page.locator("#answer .topic").filter(has_text="a").wait_for()
        for place, cell in enumerate(("c", "210", "2026-05-12T10:30")):
            fields.nth(place).fill(cell)
        opened.page.wait_for_function("() => document.querySelector('#answer').innerText[0] == 'c'")
