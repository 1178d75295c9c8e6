"""The data sets of the benchmarks with their official or fixed splits, and synthetic texts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from slugline import Corpus, load_corpus
from slugline.corpus.loading import load_splits

LANGUAGES = ("ar", "de", "en", "es", "hi", "ja", "ru", "th", "tr", "zh")
NAMES = (
    "reuters",
    "reuters-corrected",
    "banking77",
    "trec",
    "20ng",
    "bbc",
    "ag_news",
    "hint3-powerplay11",
    "ohsumed",
    "stackoverflow",
    "webkb",
    *(f"sib200-{language}" for language in LANGUAGES),
)
#: Sets of two topics, of fifty, and in languages that `use` was not trained on.
MORE_LANGUAGES = ("hu", "ka", "sw", "ta", "ti", "ur")
MORE_NAMES = ("subj", "custrev", "trec50", *(f"sib200-{language}" for language in MORE_LANGUAGES))
#: Two topics of a larger set, for `load`.
PAIRS = (
    "trec:ENTY+DESC",
    "trec:HUM+LOC",
    "trec:DESC+NUM",
    "20ng:alt.atheism+talk.religion.misc",
    "20ng:sci.med+sci.space",
    "ag_news:1+2",
    "ag_news:3+4",
    "ohsumed:C04+C14",
    "ohsumed:C10+C23",
)

#: Lists of sets by a name, for options.
LISTS = {"known": NAMES, "more": MORE_NAMES, "pairs": PAIRS}


def expand(names: Sequence[str]) -> list[str]:
    """Return names of sets, where the name of a list stands for all of its sets."""
    return [member for name in names for member in LISTS.get(name, (name,))]


def data_folder(name: str) -> Path:
    """Return the folder of a set; SystemExit, with what to do, if there is none."""
    if "SLUGLINE_DATA" not in os.environ:
        raise SystemExit(
            f"There is no data set {name}: SLUGLINE_DATA is not set; set it to the folder of sets."
        )
    folder = Path(os.environ["SLUGLINE_DATA"], name)
    if not folder.is_dir():
        raise SystemExit(
            f"There is no data set {name}: SLUGLINE_DATA names a folder without {name}/; put it "
            "there."
        )
    return folder


def load(name: str) -> tuple[Corpus, Corpus]:
    """Return the training and the test documents of a set, or of the topics after a colon."""
    name, _, wanted = name.partition(":")
    if wanted:
        topics = wanted.split("+")
        train, test = (
            select(corpus, np.flatnonzero(np.isin(corpus.topics, topics))) for corpus in load(name)
        )
        return train, test
    if name.startswith("reuters"):
        splits = load_splits(name)
        return splits["train"], splits["test"]
    if name == "bbc":
        return load_corpus("bbc").split(0.2, random_state=0)
    folder = data_folder(name)
    # A few of webkb's pages are blank.
    train, test = (
        load_corpus(folder / f"{split}.jsonl.gz", skip_bad_rows=True) for split in ("train", "test")
    )
    return train, test


def select(corpus: Corpus, rows: np.ndarray) -> Corpus:
    """Return the documents with these row numbers."""
    numbers = rows.tolist()
    return Corpus([corpus.texts[i] for i in numbers], [corpus.topics[i] for i in numbers], "rows")


# Synthetic texts ----------------------------------------------------------------------------------

# Distinct words, and the exponent of Zipf's law.
N_WORDS, EXPONENT = 300_000, 1.05
# Words of a text, and the fraction of these that are drawn from the topic's own words.
SHORTEST, LONGEST, TOPIC_SHARE = 8, 39, 0.15
# Words of a topic, and the rank of the commonest one that may be one of them.
N_TOPIC_WORDS, FIRST_TOPIC_WORD = 400, 500
_CHUNK, _TEXTS_PER_FILE = 10_000, 250_000


def synthetic_texts(
    n: int, n_topics: int, seed: int, n_balanced: int | None = None
) -> Iterator[tuple[str, str]]:
    """Yield texts with their topics, the same for the same arguments.

    Parameters
    ----------
    n, n_topics, seed : int
    n_balanced : int, optional
        How many of the first texts each topic gets in turn; topics are drawn at random by default.
    """
    rng = np.random.default_rng(seed)
    words = _random_words(rng)
    weights = 1 / np.arange(1, N_WORDS + 1) ** EXPONENT
    cumulative = np.cumsum(weights / weights.sum())
    topic_words = rng.integers(FIRST_TOPIC_WORD, N_WORDS, (n_topics, N_TOPIC_WORDS))
    for start in range(0, n, _CHUNK):
        size = min(_CHUNK, n - start)
        topics = rng.integers(0, n_topics, size)
        if n_balanced is not None:
            number = np.arange(start, start + size)
            topics = np.where(number < n_balanced * n_topics, number % n_topics, topics)
        lengths = rng.integers(SHORTEST, LONGEST + 1, size)
        rows = np.repeat(np.arange(size), lengths)
        drawn = np.minimum(np.searchsorted(cumulative, rng.random(len(rows))), N_WORDS - 1)
        is_topical = rng.random(len(rows)) < TOPIC_SHARE
        drawn[is_topical] = topic_words[
            topics[rows[is_topical]], rng.integers(0, N_TOPIC_WORDS, is_topical.sum())
        ]
        ends = np.cumsum(lengths)
        for end, length, topic in zip(ends, lengths, topics, strict=True):
            yield " ".join(words[drawn[end - length : end]]), f"t{topic:04d}"


def _random_words(rng: np.random.Generator) -> np.ndarray:
    """Return random words of 3 to 13 letters, the common ones shorter."""
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    ranks = np.arange(N_WORDS)
    lengths = 3 + (1.6 * np.log10(ranks + 10)).astype(int) + rng.integers(0, 3, N_WORDS)
    drawn = letters[rng.integers(0, 26, lengths.sum())]
    ends = np.cumsum(lengths)
    return np.array(
        ["".join(drawn[e - k : e]) for e, k in zip(ends, lengths, strict=True)], dtype=object
    )


def synthetic_files(folder: Path, n: int, n_topics: int) -> list[str]:
    """Write synthetic texts to JSONL files, unless the files exist; return their paths.

    The first files of many texts are those of fewer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {
        first: folder / f"{n_topics}-{first}-{min(n - first, _TEXTS_PER_FILE)}.jsonl"
        for first in range(0, n, _TEXTS_PER_FILE)
    }
    if not all(path.exists() for path in paths.values()):
        source = synthetic_texts(n, n_topics, seed=0)
        for first, path in paths.items():
            unfinished = path.with_suffix(".part")
            with unfinished.open("w", encoding="utf-8") as file:
                for _ in range(min(n - first, _TEXTS_PER_FILE)):
                    text, topic = next(source)
                    file.write(json.dumps({"text": text, "topic": topic}) + "\n")
            unfinished.replace(path)
    return [str(path) for path in paths.values()]
