"""Documents that a classifier got wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from slugline.classifier import load
from slugline.corpus.corpus import Corpus
from slugline.corpus.loading import load_corpus
from slugline.errors import SluglineError
from slugline.evaluation.multilabel import MultilabelEvaluation
from slugline.experiment.evidence import find_mistakes, write_mistakes


def test_find_mistakes_numbers_documents_without_places(news_slug: Path) -> None:
    corpus = Corpus(["wheat", "goal", "loan"], ["grain", "bank", "bank"], "news")

    [mistake] = find_mistakes(load(news_slug).fitted_, corpus)

    assert mistake[:4] == (2, "goal", "bank", "sport")
    assert 0.5 < mistake.probability <= 1


def test_split_keeps_the_lines_of_the_file(news_csv: Path) -> None:
    corpus = load_corpus(news_csv)
    lines = news_csv.read_text().splitlines()

    for part in corpus.split(0.2, 0):
        assert part.unit == "line"
        assert [lines[int(line) - 1] for line in part.places] == [
            f"{text},{topic}" for text, topic in zip(part.texts, part.topics, strict=True)
        ]


def test_split_keeps_numbers_without_places(topics: list[str]) -> None:
    corpus = Corpus([f"text {n}" for n in range(1, 91)], topics, "news")

    _, part = corpus.split(0.2, 0)

    assert part.texts == [f"text {n}" for n in part.numbered_places()]


def test_write_mistakes_that_fails_leaves_the_earlier_file(
    news_slug: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.csv"
    path.write_text("earlier")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)

    with pytest.raises(SluglineError) as error:
        write_mistakes(path, load(news_slug).fitted_, Corpus(["goal"], ["bank"], "news"))

    assert str(error.value) == (
        f"{path}: the mistakes can't be written (No space left on device). Free some space, or "
        "choose another place."
    )
    assert path.read_text() == "earlier"


def test_find_mistakes_of_several_topics_lists_missed_and_added(
    monkeypatch: pytest.MonkeyPatch, news_slug: Path
) -> None:
    sets = [("grain",), ("bank", "grain"), ()]
    proba = np.array([[0.1, 0.6], [0.6, 0.1], [0.3, 0.95]], dtype=np.float32)
    evaluation = MultilabelEvaluation.from_probabilities(
        ["bank", "grain"], sets, proba, np.array([0.5, 0.5], dtype=np.float32)
    )
    monkeypatch.setattr("slugline.experiment.evidence.evaluate_fitted", lambda *_: evaluation)
    corpus = Corpus(["a", "b", "c"], sets, "news", places=[2, 3, 5], unit="line")
    mistakes = find_mistakes(load(news_slug).fitted_, corpus)
    assert [(m.place, m.topic, m.predicted) for m in mistakes] == [
        (5, "", "grain"),
        (3, "grain", ""),
    ]
