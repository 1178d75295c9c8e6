"""Few documents give the same model in any order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from slugline import TopicClassifier
from slugline.corpus.documents import RowText

WORDS = {
    "Lieferung": ["Paket", "Sendung", "Zustellung", "Adresse", "verspätet"],
    "Rechnung": ["Betrag", "Überweisung", "Mahnung", "Steuer", "Konto"],
    "Technik": ["Absturz", "Fehler", "Anmeldung", "Kennwort", "langsam"],
}
N_DOCUMENTS = 120
RNG = np.random.default_rng(0)


def make_text(topic: str) -> str:
    others = [word for words in WORDS.values() for word in words]
    return " ".join([*RNG.choice(WORDS[topic], 2), *RNG.choice(others, 3)])


TOPICS = RNG.choice([*WORDS], N_DOCUMENTS).tolist()
TEXTS = [make_text(topic) for topic in TOPICS]
# Copies of texts, some with other topics.
TEXTS[:20], TOPICS[5:15] = TEXTS[20:40], ["Technik"] * 10
SETS = [tuple(sorted({topic, TOPICS[row * 7 % 50]})) for row, topic in enumerate(TOPICS)]
ROWS = [
    RowText(text, {"channel": ["phone", "mail"][row % 2], "amount": row})
    for row, text in enumerate(TEXTS)
]
WEIGHTS = RNG.uniform(0, 2, N_DOCUMENTS)
NEW = [make_text(topic) for topic in WORDS for _ in range(20)]
CASES: dict[str, tuple[dict[str, Any], Any, Any, Any]] = {
    "default": ({}, TEXTS, TOPICS, None),
    "words alone": ({"encoder": None}, TEXTS, TOPICS, None),
    "min_precision": ({"min_precision": 0.8}, TEXTS, TOPICS, None),
    "tune": ({"tune": 0.1, "encoder": None}, TEXTS, TOPICS, None),
    "weights": ({}, TEXTS, TOPICS, WEIGHTS),
    "whole weights": ({}, TEXTS, TOPICS, np.round(WEIGHTS)),
    "multilabel": ({}, TEXTS, SETS, None),
    "columns": ({"columns": ["channel"]}, ROWS, TOPICS, None),
    "descriptions": (
        {"descriptions": {"Storno": "eine Bestellung stornieren"}},
        TEXTS,
        TOPICS,
        None,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_shuffled_documents_give_the_same_model_and_held_out_predictions(case: str) -> None:
    options, texts, topics, weights = CASES[case]
    probabilities, heldout = [], []
    for order in (np.arange(N_DOCUMENTS), np.random.default_rng(1).permutation(N_DOCUMENTS)):
        classifier = TopicClassifier(n_jobs=1, **options).fit(
            [texts[row] for row in order],
            [topics[row] for row in order],
            sample_weight=None if weights is None else weights[order],
        )
        probabilities.append(classifier.predict_proba(NEW))
        predictions = classifier.fitted_.heldout_predictions
        assert predictions is not None
        if case == "whole weights":
            order = order.repeat(np.round(weights[order]).astype(int))
        proba = predictions.dense_proba().tolist()
        described = [
            (texts[row], str(topics[row]), *values)
            for row, values in zip(order[predictions.rows], proba, strict=True)
        ]
        heldout.append(sorted(described))
    in_order, shuffled = probabilities
    assert np.array_equal(in_order, shuffled)
    assert heldout[0] == heldout[1]
    assert len(heldout[0]) > 30
