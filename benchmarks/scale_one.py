"""Fits one classifier on a file of texts, and prints times, memory, size and accuracy.

Reading the file isn't counted, except for the command line, which reads it itself.
"""

from __future__ import annotations

import json
import os
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from contenders import FastText, stochastic, words
from slugline import TopicClassifier, load

CONTENDERS = {
    "slugline": TopicClassifier,
    "a": words,
    "sgd": stochastic,
    "fasttext": lambda: FastText(epoch=5),
}
# scikit-learn needs memory for its tests, too: they are predicted by the thousand.
_BLOCK = 1000


def read(path: str) -> tuple[list[str], list[str]]:
    """Return the texts and topics of a JSONL file."""
    found: tuple[list[str], list[str]] = [], []
    with Path(path).open(encoding="utf-8") as file:
        for line in file:  # one at a time: what is read on the way would count as memory
            row = json.loads(line)
            found[0].append(row["text"])
            found[1].append(sys.intern(row["topic"]))
    return found


def accuracy(classifier: Any, path: str) -> float:
    """Return the share of a file's texts that get their topic."""
    texts, topics = read(path)
    found: list[str] = []
    for start in range(0, len(texts), _BLOCK):
        found += list(classifier.predict(texts[start : start + _BLOCK]))
    return float(np.mean(np.array(found) == np.array(topics)))


def fit_from_file(train: str, test: str) -> dict[str, float]:
    """Let the command line read the file and learn from it."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model.slug")
        command = [sys.executable, "-m", "slugline", "train", train, "-o", str(model), "--quiet"]
        started = time.perf_counter()
        subprocess.run([*command, "--test-fraction", "0"], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "seconds": seconds,
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "fit_mb": used.ru_maxrss / 1024,
            "file_mb": model.stat().st_size / 1e6,
            "accuracy": accuracy(load(model), test),
        }


def fit(contender: str, train: str, test: str) -> dict[str, float]:
    """Learn from lists."""
    texts, topics = read(train)
    classifier = CONTENDERS[contender]()
    started, cpu = time.perf_counter(), time.process_time()
    classifier.fit(texts, topics)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "fit_mb": peak,
        "file_mb": size(classifier),
        "accuracy": accuracy(classifier, test),
    }


def size(classifier: Any) -> float:
    """Return the megabytes of the file that the classifier is saved in."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        if isinstance(classifier, TopicClassifier):
            classifier.save(path)
        elif isinstance(classifier, FastText):
            classifier.model.save_model(str(path))
        else:
            with path.open("wb") as file:
                pickle.dump(classifier, file)
        return path.stat().st_size / 1e6


def main() -> None:
    """Run from the command line."""
    contender, train, test = sys.argv[1:]
    found = fit_from_file(train, test) if contender == "file" else fit(contender, train, test)
    print(json.dumps(found))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
