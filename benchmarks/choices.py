"""What each part of the default recipe contributes, by cross-validation on training documents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import StratifiedKFold

from processes import table
from sets import load
from slugline import TopicClassifier
from slugline.learning.linear.learner import LinearLearner
from slugline.model.file.content import from_model_file, to_model_file
from slugline.text.blocks import Block, default_blocks

SETS = ("reuters", "reuters-corrected", "banking77", "trec")
N_BUCKETS = 2**18


def _hashed(blocks: tuple[Block, ...]) -> list[Block]:
    return [replace(block, min_count=1, n_buckets=N_BUCKETS) for block in blocks]


# How each choice differs from the default, given the default's families of terms.
CHOICES: dict[str, Callable[[tuple[Block, ...]], dict[str, Any]]] = {
    "default": lambda _: {},
    "words alone": lambda _: {"blocks": [Block("words")]},
    "no document left out": lambda _: {"learner": LinearLearner(clean=False)},
    "no extra weight for rare topics": lambda _: {"class_weight": {}},
    "2^18 hash buckets for each family": lambda blocks: {"blocks": _hashed(blocks)},
}


def report() -> str:
    """Cross-validate each choice and return a Markdown section."""
    rows = [["", *SETS]]
    columns = [_accuracies(name) for name in SETS]
    rows += [[choice, *(column[choice] for column in columns)] for choice in columns[0]]
    return (
        "## What each part of the default contributes\n\n"
        "Accuracy and macro-F1 over three folds of the training documents.\n\n"
        f"{table(rows)}\n"
    )


def _accuracies(name: str) -> dict[str, str]:
    train, _ = load(name)
    texts, topics = np.array(train.texts, dtype=object), np.array(train.topics)
    predicted = {choice: np.empty_like(topics) for choice in [*CHOICES, "int8 weights"]}
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    for learn, held in folds.split(texts, topics):
        blocks = default_blocks("log-tf-idf")
        for choice, options in CHOICES.items():
            classifier = TopicClassifier(**options(blocks)).fit(texts[learn], topics[learn])
            predicted[choice][held] = classifier.predict(texts[held])
            if choice == "default":
                small = from_model_file(to_model_file(classifier.fitted_, precision="int8"))
                predicted["int8 weights"][held] = small.predict(texts[held])
    return {choice: _show(topics, found) for choice, found in predicted.items()}


def _show(true: np.ndarray, predicted: np.ndarray) -> str:
    macro_f1 = f1_score(true, predicted, average="macro")
    return f"{accuracy_score(true, predicted):.3f}, {macro_f1:.3f}"


if __name__ == "__main__":
    print(report())
