"""Compares tables of word vectors on held-out training documents, as the choices were made."""

from __future__ import annotations

import functools
import runpy
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data import load, select
from labels import draw
from measure import progress, table
from slugline import Corpus, TopicClassifier
from slugline.learning.encoder.vectors import WordVectorEncoder
from slugline.text.vector_table import map_table

TOOL = Path(__file__).parents[1] / "tools" / "make_word_vectors.py"
#: What differs from the table that comes with Slugline, by the fields of the tool's `Choices`.
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "as chosen": {},
    "no pieces of words": {"has_pieces": False},
    "no words that are known with a capital only": {"has_names": False},
    "pieces of three letters and more": {"shortest_piece": 3},
    "the hidden layer alone": {"output_weight": 0.0},
    "the output alone": {"hidden_weight": 0.0},
    "vectors of equal lengths": {"length_power": 0.0},
    "lengths of the hidden layer": {"length_power": 1.0},
    "components of words that count the same": {"component_power": 0.0},
    "64 columns": {"n_columns": 64},
    "128 columns": {"n_columns": 128},
}
SETS = (
    *("trec", "banking77", "stackoverflow", "ag_news", "subj"),
    *(f"sib200-{language}" for language in ("en", "de", "ru", "ar", "tr", "ja", "zh", "hi", "sw")),
)
#: Models are tested on this fraction of the training documents, but on at most so many.
TEST_FRACTION, MAX_TEST = 0.4, 1000


def variants(
    sets: Sequence[str] = SETS,
    labels: Sequence[int] = (10, 50),
    variants: Sequence[str] = tuple(VARIANTS),
    draws: int = 2,
) -> str:
    """Accuracy with tables that differ from ours in one choice, on held-out training documents."""
    with tempfile.TemporaryDirectory() as folder:
        encoders: dict[str, WordVectorEncoder | None] = {"words alone": None}
        encoders |= _make_encoders(Path(folder), variants)
        accuracies = {name: _measure_set(name, encoders, labels, draws) for name in sets}
    parts = [
        "Accuracy by the number of labels per topic, on other training documents; mean of "
        f"{draws} draws.\n"
    ]
    for i, n in enumerate(labels):
        rows = [
            [
                variant,
                *(f"{accuracies[name][variant][i]:.3f}" for name in sets),
                f"{np.mean([accuracies[name][variant][i] for name in sets]):.3f}",
            ]
            for variant in encoders
        ]
        parts.append(table([f"{n} labels", *sets, "mean"], rows) + "\n")
    return "\n".join(parts)


def _make_encoders(folder: Path, names: Sequence[str]) -> dict[str, WordVectorEncoder | None]:
    """Return encoders with the tables of variants; pieces are encoded once for all of them."""
    sys.path.append(str(TOOL.parent))  # of the modules that it imports
    tool = runpy.run_path(str(TOOL))
    encoder = tool["load_encoder"]()
    progress("encoding the pieces of the vocabulary")
    vectors = tool["encode_pieces"](encoder)
    encoders: dict[str, WordVectorEncoder | None] = {}
    for i, name in enumerate(names):
        path = folder / f"{i}.slugvec"
        tool["make_table"](path, tool["Choices"](**VARIANTS[name]), encoder, vectors)
        encoders[name] = WordVectorEncoder(map_table(path))
    return encoders


class _Split(NamedTuple):
    """Training documents that models may learn from, and others that they are tested on."""

    train: Corpus
    test: Corpus


@functools.cache
def _split(name: str, seed: int) -> _Split:
    documents, _ = load(name)
    train, test = documents.split(TEST_FRACTION, random_state=seed)
    rows = np.random.default_rng(seed).permutation(len(test))[:MAX_TEST]
    return _Split(train, select(test, rows))


def _measure_set(
    name: str, encoders: Mapping[str, WordVectorEncoder | None], labels: Sequence[int], n_draws: int
) -> dict[str, list[float]]:
    """Return the accuracies with each number of labels, by the name of the variant."""
    accuracies = {}
    for variant, encoder in encoders.items():
        progress(f"{name}, {variant}")
        accuracies[variant] = [
            float(np.mean([_measure_draw(name, encoder, n, seed) for seed in range(n_draws)]))
            for n in labels
        ]
    return accuracies


def _measure_draw(name: str, encoder: WordVectorEncoder | None, n: int, seed: int) -> float:
    """Return the accuracy of a model that has learned from `n` documents of each topic."""
    train, test = _split(name, seed)
    rows = draw(train.topics, n, seed).tolist()
    classifier = TopicClassifier(encoder=encoder, n_jobs=1)
    classifier.fit([train.texts[i] for i in rows], [train.topics[i] for i in rows])
    return float(np.mean(classifier.predict(test.texts) == np.array(test.topics)))


BENCHMARKS = {"variants": variants}
QUICK = {
    "variants": {
        "sets": ("sib200-de",),
        "labels": (10,),
        "variants": ("as chosen", "64 columns"),
        "draws": 1,
    }
}
