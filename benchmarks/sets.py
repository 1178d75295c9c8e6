"""The data sets of the benchmarks, with their official or fixed splits."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from slugline import Corpus, load_corpus
from slugline.corpus.loading import load_splits

#: The sets of the first releases; slow contenders are measured on these alone.
FIRST = ("reuters", "reuters-corrected", "banking77", "trec", "20ng", "bbc")
LANGUAGES = ("ar", "de", "en", "es", "hi", "ja", "ru", "th", "tr", "zh")
NAMES = (
    *FIRST,
    *("ag_news", "hint3-powerplay11", "ohsumed", "stackoverflow", "webkb"),
    *(f"sib200-{language}" for language in LANGUAGES),
)


def load(name: str) -> tuple[Corpus, Corpus]:
    """Return the documents to learn from and those to test on."""
    if name.startswith("reuters"):
        parts = load_splits(name)
        return parts["train"], parts["test"]
    if name == "bbc":
        return load_corpus("bbc").split(0.2, seed=0)
    folder = Path(os.environ["SLUGLINE_DATA"], name)
    # A few of webkb's pages are blank.
    train, test = (
        load_corpus(folder / f"{part}.jsonl.gz", skip_bad_rows=True) for part in ("train", "test")
    )
    return train, test


def arguments(about: str | None, contenders: Iterable[str] = ()) -> argparse.ArgumentParser:
    """Return a parser that knows --sets and, if there are any, --contenders; all by default."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--sets", nargs="+", choices=NAMES, default=list(NAMES), metavar="SET")
    names = list(contenders)
    if names:
        parser.add_argument("--contenders", nargs="+", choices=names, default=names, metavar="WHO")
    return parser
