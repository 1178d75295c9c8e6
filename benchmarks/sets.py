"""The six data sets of the classifier benchmark, with their official or fixed splits."""

from __future__ import annotations

import os
from pathlib import Path

from slugline import Corpus, load_corpus
from slugline.corpus.loading import load_splits

NAMES = ("reuters", "reuters-corrected", "banking77", "trec", "20ng", "bbc")


def load(name: str) -> tuple[Corpus, Corpus]:
    """Return the documents to learn from and those to test on."""
    if name.startswith("reuters"):
        parts = load_splits(name)
        return parts["train"], parts["test"]
    if name == "bbc":
        return load_corpus("bbc").split(0.2, seed=0)
    folder = Path(os.environ["SLUGLINE_DATA"], name)
    return load_corpus(folder / "train.jsonl.gz"), load_corpus(folder / "test.jsonl.gz")
