"""Texts without labels that an encoder learns from as well: which count, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import slugline
from slugline.base.progress import SilentProgress
from slugline.classifier import TopicClassifier, load
from slugline.errors import DataError, OptionError
from slugline.model import dense
from slugline.model.heldout import to_arrays
from stand_ins import Meanings

pytestmark = pytest.mark.usefixtures("empty_cache")

# Each topic has four meanings, and each meaning 16 made-up words, of which none occurs twice in the
# labelled texts. Each of these has two meanings of its topic.
rng = np.random.default_rng(0)
WORDS = ["".join(letters) for letters in rng.choice(list("abcdefghijklmnopqrstuvwxyz"), (128, 6))]
MEANINGS = {word: number // 16 for number, word in enumerate(WORDS)}
PAIRS = ((0, 1), (0, 2), (1, 2), (2, 3))
LABELLED = [
    (f"{WORDS[16 * (first + a) + number]} {WORDS[16 * (first + b) + number]}", topic)
    for first, topic in ((0, "grain"), (4, "bank"))
    for number, (a, b) in enumerate(PAIRS * 3)
]
TEXTS, TOPICS = zip(*LABELLED, strict=True)
UNLABELLED = [f"more {WORDS[16 * row + number]} now" for row in range(8) for number in (13, 14, 15)]


def fit(X: Any, **options: Any) -> TopicClassifier:
    classifier = TopicClassifier(encoder=Meanings(MEANINGS, 8), **options)
    return classifier.fit(TEXTS, TOPICS, X_unlabelled=X)


def n_used(classifier: TopicClassifier) -> int:
    head = classifier.fitted_.dense
    assert head is not None
    return head.n_unlabelled


def test_unlabelled_texts_leave_out_blank_labelled_and_repeated_ones(tmp_path: Path) -> None:
    classifier = fit(UNLABELLED)
    same = fit(["", "  ", *TEXTS, *UNLABELLED, *UNLABELLED])
    assert n_used(classifier) == n_used(same) == len(UNLABELLED)
    paths = [tmp_path / "a.slug", tmp_path / "b.slug"]
    for fitted, path in zip((classifier, same), paths, strict=True):
        fitted.save(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    loaded = load(paths[0], encoder=Meanings(MEANINGS, 8))
    assert n_used(loaded) == len(UNLABELLED)
    assert "It learned from 24 texts without labels as well." in loaded.card_
    assert ("learned from", "24 documents, 24 texts without labels, seed 0") in (
        loaded.fitted_.summary()
    )
    np.testing.assert_array_equal(
        classifier.predict_proba(UNLABELLED), loaded.predict_proba(UNLABELLED)
    )


def test_unlabelled_texts_do_not_change_heldout_predictions() -> None:
    without, with_them = fit(None).fitted_, fit(UNLABELLED).fitted_
    assert without.dense is not None
    assert with_them.dense is not None
    assert not np.array_equal(without.dense.weights, with_them.dense.weights)
    assert with_them.dense.calibration == without.dense.calibration
    assert without.heldout_predictions is not None
    assert with_them.heldout_predictions is not None
    for name, array in to_arrays(without.heldout_predictions).items():
        np.testing.assert_array_equal(to_arrays(with_them.heldout_predictions)[name], array)


def test_unlabelled_texts_are_sampled_evenly_if_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "MAX_UNLABELLED", 5)
    notes: list[str] = []
    monkeypatch.setattr(SilentProgress, "note", lambda _, message: notes.append(message))
    classifier = fit(UNLABELLED)
    assert "of 24 unlabelled texts, 5 are used" in notes
    assert n_used(classifier) == 5
    sample = [UNLABELLED[row] for row in (0, 5, 11, 17, 23)]
    np.testing.assert_array_equal(
        classifier.predict_proba(UNLABELLED), fit(sample).predict_proba(UNLABELLED)
    )


@pytest.mark.parametrize(
    ("X", "y", "unlabelled", "options", "error", "message"),
    [
        (
            *(TEXTS, TOPICS, UNLABELLED, {"encoder": None}, OptionError),
            "`X_unlabelled` needs an encoder: unlabelled texts can make a model of words alone "
            'worse; pass `encoder="vectors"`, or leave `X_unlabelled` out.',
        ),
        (
            *(TEXTS, [[topic] for topic in TOPICS], UNLABELLED, {}, OptionError),
            "`X_unlabelled` requires single-label texts, and these are multi-label; leave it out.",
        ),
        (
            *(TEXTS, TOPICS, UNLABELLED, {"descriptions": {"sport": "goal"}}, OptionError),
            "`X_unlabelled` needs documents of each topic, and some topics are only described; "
            "label a few texts of them, or leave it out.",
        ),
        (
            *(TEXTS, TOPICS, ["", TEXTS[0]], {}, DataError),
            "`X_unlabelled` adds nothing: each of its texts is empty, or is also a training or "
            "test document; leave it out.",
        ),
        (
            *(TEXTS[11:13], TOPICS[11:13], UNLABELLED, {}, DataError),
            "too few labels for training on unlabelled texts: none are left to check predicted "
            "topics; label at least two texts of each topic, or leave out `X_unlabelled`.",
        ),
        (
            *(TEXTS, TOPICS, "a text", {}, DataError),
            "`X_unlabelled`: the texts are a single string, not a sequence of strings; put "
            "brackets around it: [text].",
        ),
        (
            *(TEXTS, TOPICS, 5, {}, DataError),
            "`X_unlabelled` is 5; give a list with one item per document.",
        ),
        (
            *(TEXTS, TOPICS, [*UNLABELLED, 5], {}, DataError),
            "`X_unlabelled`: document 24 is of type int, not a str; pass a sequence with one "
            "string per document.",
        ),
        (
            *(TEXTS, TOPICS, {"a": [1, 2], "text": ["b"]}, {"text": "text"}, DataError),
            "`X_unlabelled` has columns of different lengths: {'a': 2, 'text': 1}.",
        ),
    ],
    ids=[
        *("no encoder", "several topics", "described", "nothing new", "too few labels"),
        *("a string", "a number", "numbers", "columns"),
    ],
)
def test_unlabelled_texts_reject_invalid_input(
    X: Any, y: Any, unlabelled: Any, options: Any, error: type[Exception], message: str
) -> None:
    classifier = TopicClassifier(**{"encoder": Meanings(MEANINGS, 8), **options})
    with pytest.raises(error) as raised:
        classifier.fit(X, y, X_unlabelled=unlabelled)
    assert str(raised.value) == message


def train(unlabelled: Any) -> int:
    data = pd.DataFrame({"words": TEXTS, "about": TOPICS})
    classifier = TopicClassifier(encoder=Meanings(MEANINGS, 8))
    options: Any = {"text": "words", "topic": "about", "test_fraction": None}
    slugline.train(data, classifier=classifier, unlabelled=unlabelled, **options)
    return n_used(classifier)


def test_train_reads_unlabelled_texts_from_files_and_frames(tmp_path: Path) -> None:
    frame = pd.DataFrame({"title": "x", "words": UNLABELLED})
    path = tmp_path / "more.csv"
    frame.to_csv(path, index=False)
    corpus = slugline.Corpus(UNLABELLED, ["x"] * len(UNLABELLED))
    for unlabelled in (UNLABELLED, iter(UNLABELLED), corpus, frame, path, str(path)):
        assert train(unlabelled) == len(UNLABELLED)
    path.write_text("a,b\n1,rye\n")
    with pytest.raises(
        DataError, match=r"more\.csv has no column 'words', a text column of the DataFrame"
    ):
        train(path)
    with pytest.raises(DataError, match=r"^rye doesn't exist; check the path\.$"):
        train("rye")


@pytest.mark.parametrize("unlabelled", [5, {"a": 1}, [{"text": "a"}]], ids=["5", "dict", "rows"])
def test_train_names_its_own_unlabelled_parameter(unlabelled: Any) -> None:
    with pytest.raises(DataError, match=r"^`unlabelled`"):
        train(unlabelled)
