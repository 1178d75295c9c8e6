"""How well wrong topics are found, beside cleanlab.

The newswires of Keras' edition, of which 975 have another wire's text; and training documents of
which 8 % get another topic at random. Each side is a process of its own that reads a file, on one
thread: `slugline audit`, and cleanlab with the probabilities of TF-IDF and logistic regression over
five folds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score

from processes import table
from sets import load

SHARE = 0.08
SETS = (
    *("reuters", "banking77", "trec", "stackoverflow", "ag_news", "ohsumed", "webkb"),
    *("hint3-powerplay11", "bbc"),
    *(f"sib200-{language}" for language in ("ar", "de", "en", "es", "hi", "ja", "ru", "th", "zh")),
)
METHODS = ("self_confidence", "normalized_margin")


class Labelled(NamedTuple):
    """Documents with their topics, and which of these are wrong."""

    texts: list[str]
    topics: list[str]
    wrong: np.ndarray


def labelled(name: str, seed: int) -> Labelled:
    """Return the newswires as Keras has them, or training documents with topics made wrong."""
    if name == "reuters":
        from slugline.reuters.wires import load_wires

        wires = load_wires("keras")
        every = [*wires.train, *wires.test]
        misplaced = np.array([wire.misplaced for wire in every])
        return Labelled([w.text for w in every], [w.topic for w in every], misplaced)
    train, _ = load(name)
    names, rng = sorted(set(train.topics)), np.random.default_rng(seed)
    topics, wrong = list(train.topics), np.zeros(len(train), dtype=bool)
    for row in rng.choice(len(train), round(SHARE * len(train)), replace=False).tolist():
        others = [each for each in names if each != topics[row]]
        topics[row] = others[int(rng.integers(len(others)))]
        wrong[row] = True
    return Labelled(train.texts, topics, wrong)


def ranked_by_slugline(path: Path, ranking: Path) -> np.ndarray:
    """Return how early each document comes in the ranking that the command writes."""
    command = [sys.executable, "-m", "slugline", "audit", str(path), "--ranking", str(ranking)]
    subprocess.run([*command, "--threads", "1", "-q"], check=True, stdout=subprocess.DEVNULL)
    order = [json.loads(line)["at"] - 1 for line in ranking.read_text("utf-8").splitlines()]
    scores = np.zeros(len(order))
    scores[order] = np.arange(len(order), 0, -1)
    return scores


def ranked_by_cleanlab(path: Path, scores: Path) -> dict[str, np.ndarray]:
    """Return the suspicion of each document by each of cleanlab's scores."""
    command = [sys.executable, __file__, "--cleanlab", str(path), str(scores)]
    subprocess.run(command, check=True)
    return dict(zip(METHODS, np.load(scores), strict=True))


def run_cleanlab(path: Path, scores: Path) -> None:
    """Score the documents of a file, as its users do."""
    from cleanlab.rank import get_label_quality_scores
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    documents = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    names = sorted({each["topic"] for each in documents})
    y = np.array([names.index(each["topic"]) for each in documents])
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    texts = [each["text"] for each in documents]
    proba = cross_val_predict(pipeline, texts, y, cv=folds, method="predict_proba")
    np.save(scores, [-get_label_quality_scores(y, proba, method=method) for method in METHODS])


def measure(name: str, seed: int = 0) -> list[str]:
    """Return the row of one set."""
    data = labelled(name, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "documents.jsonl")
        with path.open("w", encoding="utf-8") as file:
            for text, topic in zip(data.texts, data.topics, strict=True):
                file.write(json.dumps({"text": text, "topic": topic}) + "\n")
        began = _seconds()
        ours = ranked_by_slugline(path, Path(folder, "ranking.jsonl"))
        between = _seconds()
        theirs = ranked_by_cleanlab(path, Path(folder, "scores.npy"))
        ratio = (between - began) / (_seconds() - between)
    n_wrong = int(data.wrong.sum())
    cells = [name, f"{len(data.texts):,}", f"{n_wrong:,}"]
    cells += [f"{average_precision_score(data.wrong, s):.3f}" for s in (*theirs.values(), ours)]
    cells += [f"{precision_first(data.wrong, s):.3f}" for s in (*theirs.values(), ours)]
    return [*cells, f"{ratio:.2f}"]


def _seconds() -> float:
    """Return the processor time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def precision_first(wrong: np.ndarray, scores: np.ndarray) -> float:
    """Return the share of wrong ones among as many of the first as there are wrong ones."""
    first = np.argsort(-scores, kind="stable")[: int(wrong.sum())]
    return float(wrong[first].mean())


def report(sets: Sequence[str] = SETS, seed: int = 0) -> str:
    """Return a Markdown section."""
    sides = ("cleanlab, self-confidence", "cleanlab, margin", "**audit**")
    rows = [["", "documents", "wrong"]]
    rows[0] += [f"AP: {side}" for side in sides] + [f"first: {side}" for side in sides]
    rows[0].append("processor time: audit / cleanlab")
    rows += [measure(name, seed) for name in sets]
    return (
        "## Finding wrong topics\n\n"
        "Average precision (AP), and the share of wrong topics among the first documents, as many "
        "as there are wrong ones. Of the newswires, 975 have another wire's text; of the training "
        f"documents of other sets, {SHARE:.0%} got another topic at random. One thread.\n\n"
        f"{table(rows)}\n"
    )


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cleanlab", nargs=2, type=Path, metavar="FILE", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if chosen.cleanlab:
        run_cleanlab(*chosen.cleanlab)
    else:
        print(report(chosen.sets, chosen.seed))


if __name__ == "__main__":
    main()
