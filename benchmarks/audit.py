"""How well `slugline audit` finds wrong topics, beside cleanlab."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.metrics import average_precision_score

from data import LANGUAGES, load
from measure import child_processor_seconds, run_child, table

WRONG_SHARE = 0.08
SETS = (
    "reuters",
    "banking77",
    "trec",
    "stackoverflow",
    "ag_news",
    "ohsumed",
    "webkb",
    "hint3-powerplay11",
    "bbc",
    *(f"sib200-{language}" for language in LANGUAGES if language != "tr"),
)
#: cleanlab's scores.
METHODS = ("self_confidence", "normalized_margin")


class Labelled(NamedTuple):
    """Documents with their topics, and which of these are wrong."""

    texts: list[str]
    topics: list[str]
    is_wrong: np.ndarray


def wrong_topics(sets: Sequence[str] = SETS, seed: int = 0) -> str:
    """Average precision of the ranking of wrong topics, beside cleanlab.

    Each side is a process of its own that reads a file, on one thread: `slugline audit`, and
    cleanlab with the probabilities of TF-IDF and logistic regression over five folds.
    """
    sides = ("cleanlab, self-confidence", "cleanlab, margin", "**audit**")
    header = ["", "documents", "wrong", *(f"AP: {side}" for side in sides)]
    header += [*(f"first: {side}" for side in sides), "processor time: audit / cleanlab"]
    return (
        "Average precision (AP), and the fraction of wrong topics among the first documents, as "
        "many as there are wrong ones. Of the newswires, 975 have another wire's text; of the "
        f"training documents of other sets, {WRONG_SHARE:.0%} got another topic at random. One "
        "thread.\n\n"
        f"{table(header, [_measure(name, seed) for name in sets])}"
    )


def _measure(name: str, seed: int) -> list[str]:
    """Return the row of a set."""
    data = _labelled(name, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "documents.jsonl")
        with path.open("w", encoding="utf-8") as file:
            for text, topic in zip(data.texts, data.topics, strict=True):
                file.write(json.dumps({"text": text, "topic": topic}) + "\n")
        start = child_processor_seconds()
        ranking = _rank_with_slugline(path)
        middle = child_processor_seconds()
        metrics = run_child("audit", "score_with_cleanlab", str(path), OMP_NUM_THREADS="1")
        ratio = (middle - start) / (child_processor_seconds() - middle)
    suspicions = [*(np.array(metrics[method]) for method in METHODS), ranking]
    cells = [name, f"{len(data.texts):,}", f"{int(data.is_wrong.sum()):,}"]
    cells += [f"{average_precision_score(data.is_wrong, s):.3f}" for s in suspicions]
    cells += [f"{_precision_of_first(data.is_wrong, s):.3f}" for s in suspicions]
    return [*cells, f"{ratio:.2f}"]


def _labelled(name: str, seed: int) -> Labelled:
    """Return the newswires as Keras has them, or training documents with topics made wrong."""
    if name == "reuters":
        from slugline.reuters.wires import load_wires

        wires = load_wires("keras")
        both = [*wires.train, *wires.test]
        misplaced = np.array([wire.misplaced for wire in both])
        return Labelled([w.text for w in both], [w.topic for w in both], misplaced)
    train, _ = load(name)
    names, rng = sorted(set(train.topics)), np.random.default_rng(seed)
    topics, is_wrong = list(train.topics), np.zeros(len(train), dtype=bool)
    for row in rng.choice(len(train), round(WRONG_SHARE * len(train)), replace=False).tolist():
        others = [name for name in names if name != topics[row]]
        topics[row] = others[int(rng.integers(len(others)))]
        is_wrong[row] = True
    return Labelled(train.texts, topics, is_wrong)


def _rank_with_slugline(path: Path) -> np.ndarray:
    """Return how early each document comes among the suspects of the command."""
    command = [sys.executable, "-m", "slugline", "audit", str(path), "--json", "-n", "1000000"]
    done = subprocess.run([*command, "--threads", "1", "-q"], check=True, stdout=subprocess.PIPE)
    order = [suspect["at"] - 1 for suspect in json.loads(done.stdout)["suspects"]]
    suspicion = np.zeros(len(order))
    suspicion[order] = np.arange(len(order), 0, -1)
    return suspicion


def score_with_cleanlab(path: str) -> dict[str, list[float]]:
    """Return the suspicion of each document of a file by each of cleanlab's scores."""
    from cleanlab.rank import get_label_quality_scores
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    documents = [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]
    names = sorted({document["topic"] for document in documents})
    y = np.array([names.index(document["topic"]) for document in documents])
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    texts = [document["text"] for document in documents]
    proba = cross_val_predict(pipeline, texts, y, cv=folds, method="predict_proba")
    return {
        method: (-get_label_quality_scores(y, proba, method=method)).tolist() for method in METHODS
    }


def _precision_of_first(is_wrong: np.ndarray, suspicion: np.ndarray) -> float:
    """Return the fraction of wrong ones among as many of the first as there are wrong ones."""
    first = np.argsort(-suspicion, kind="stable")[: int(is_wrong.sum())]
    return float(is_wrong[first].mean())


BENCHMARKS = {"wrong-topics": wrong_topics}
QUICK = {"wrong-topics": {"sets": ("sib200-de",)}}
