"""Processor time and memory of the first steps in Python, beside scikit-learn.

This module imports nothing but what it measures with, since that counts as time and memory.
"""

from __future__ import annotations

import gzip
import json
import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from measure import medians, peak_mb, run_child, run_in_turn, table

SET = "sib200-de"
SIDES = {"slugline": "**Slugline**", "sklearn": "TfidfVectorizer + LinearSVC"}
# For later fits, also scikit-learn with terms like Slugline's.
LATER_SIDES = {**SIDES, "terms": "words 1-2, char_wb 2-5, LinearSVC"}
# Fits of each side in one process.
N_LATER = 9
STEPS = ("import", "first fit", "second fit", "load", "first prediction")


def steps(runs: int = 7, set_name: str = SET) -> str:
    """Processor time of import, first fit and load, and the peak memory after each."""
    with tempfile.TemporaryDirectory() as folder:
        children = {
            f"{part}_{side}": partial(_run, f"{part}_{side}", set_name, f"{folder}/{side}")
            for part in ("fit", "load")
            for side in SIDES
        }
        results = {name: medians(each) for name, each in run_in_turn(children, runs).items()}
    rows = []
    for step in STEPS:
        part = "load" if step in ("load", "first prediction") else "fit"
        values = [results[f"{part}_{side}"] for side in SIDES]
        times = [f"{value[f'{step} s']:.3f}" for value in values]
        rows.append([step, *times, *(f"{value[f'{step} MB']:,.0f}" for value in values)])
    header = ["", *(f"{label}, s" for label in SIDES.values())]
    header += [f"{label}, MB" for label in SIDES.values()]
    return (
        f"Processor seconds of each step, and the peak memory of the process after it; {set_name}, "
        f"one thread, medians of {runs} fresh processes each, in turn. Load and first prediction "
        f"are in a process of their own.\n\n{table(header, rows)}"
    )


def small(runs: int = 3, sets: Sequence[str] = (), most: int = 1000) -> str:
    """Processor time of fits to each set of fewer than `most` training documents."""
    rows, ratios, first_ratios, term_ratios = [], [], [], []
    for name in sets or _find_sets(most):
        texts, topics = _read(name)
        functions = "later_fits", *(f"fit_{side}" for side in SIDES)
        with tempfile.TemporaryDirectory() as folder:
            model = f"{folder}/model"
            children = {function: partial(_run, function, name, model) for function in functions}
            found = {key: medians(each) for key, each in run_in_turn(children, runs).items()}
        later = [found["later_fits"][f"{side} s"] for side in LATER_SIDES]
        first = [found[f"fit_{side}"] for side in SIDES]
        totals = [each["import s"] + each["first fit s"] for each in first]
        ratios.append(later[0] / later[1])
        term_ratios.append(later[0] / later[2])
        first_ratios.append(totals[0] / totals[1])
        cells = [name, f"{len(texts)}", f"{len({*topics})}", *(f"{1000 * t:.0f}" for t in later)]
        cells += [f"{ratios[-1]:.2f}", f"{term_ratios[-1]:.2f}"]
        rows.append([*cells, *(f"{total:.2f}" for total in totals), f"{first_ratios[-1]:.2f}"])
    middle = (f"{statistics.median(each):.2f}" for each in (ratios, term_ratios, first_ratios))
    rows.append(["median", *[""] * 5, next(middle), next(middle), "", "", next(middle)])
    header = ["set", "documents", "topics", *(f"{label}, ms" for label in LATER_SIDES.values())]
    header += ["ratio to words", "ratio to words 1-2, char_wb 2-5"]
    header += [f"{label}, import and first fit, s" for label in SIDES.values()]
    return (
        f"Processor time of a fit; one thread, medians of {runs} fresh processes. Later fits are "
        f"the median of {N_LATER} of all sides in turn in one process, after one of each.\n\n"
        f"{table([*header, 'ratio of these'], rows)}"
    )


def _find_sets(most: int) -> list[str]:
    """Return the names of the sets with fewer training documents."""
    paths = sorted(Path(os.environ["SLUGLINE_DATA"]).glob("*/train.jsonl.gz"))
    return [path.parent.name for path in paths if len(_read(path.parent.name)[0]) < most]


def _run(function: str, set_name: str, model: str) -> dict[str, Any]:
    return run_child("first_use", function, set_name, model, OMP_NUM_THREADS="1")


class _Clock:
    """The processor time of steps, each since the one before, and peak memory after each."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self._start = time.process_time()

    def end(self, step: str) -> None:
        """Note the end of a step."""
        self.metrics[f"{step} s"] = time.process_time() - self._start
        self.metrics[f"{step} MB"] = peak_mb()
        self._start = time.process_time()


def _read(set_name: str) -> tuple[list[str], list[str]]:
    """Return the texts and topics of a training split."""
    path = Path(os.environ["SLUGLINE_DATA"], set_name, "train.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [row["text"] for row in rows], [row["topic"] for row in rows]


def fit_slugline(set_name: str, model: str) -> dict[str, float]:
    """Import Slugline, fit twice and save."""
    texts, topics = _read(set_name)
    clock = _Clock()
    from slugline import TopicClassifier

    clock.end("import")
    classifier = TopicClassifier(n_jobs=1).fit(texts, topics)
    clock.end("first fit")
    TopicClassifier(n_jobs=1).fit(texts, topics)
    clock.end("second fit")
    classifier.save(model)
    return clock.metrics


def later_fits(set_name: str, _model: str) -> dict[str, float]:
    """Fit all sides in turn, several times in one process."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    from slugline import TopicClassifier

    def make_terms() -> Any:
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
        return make_pipeline(make_union(words, characters), LinearSVC())

    texts, topics = _read(set_name)
    makers: dict[str, Callable[[], Any]] = {
        "slugline": lambda: TopicClassifier(n_jobs=1),
        "sklearn": lambda: make_pipeline(TfidfVectorizer(), LinearSVC()),
        "terms": make_terms,
    }
    times: dict[str, list[float]] = {side: [] for side in makers}
    for _ in range(1 + N_LATER):
        for side, make in makers.items():
            start = time.process_time()
            make().fit(texts, topics)
            times[side].append(time.process_time() - start)
    return {f"{side} s": statistics.median(of_side[1:]) for side, of_side in times.items()}


def load_slugline(set_name: str, model: str) -> dict[str, float]:
    """Load a model, and predict one text."""
    text = _read(set_name)[0][0]
    clock = _Clock()
    from slugline import load

    classifier = load(model)
    clock.end("load")
    classifier.predict([text])
    clock.end("first prediction")
    return clock.metrics


def fit_sklearn(set_name: str, model: str) -> dict[str, float]:
    """Import scikit-learn, fit a pipeline twice and pickle it."""
    texts, topics = _read(set_name)
    clock = _Clock()
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    clock.end("import")
    pipeline = make_pipeline(TfidfVectorizer(), LinearSVC()).fit(texts, topics)
    clock.end("first fit")
    make_pipeline(TfidfVectorizer(), LinearSVC()).fit(texts, topics)
    clock.end("second fit")
    Path(model).write_bytes(pickle.dumps(pipeline))
    return clock.metrics


def load_sklearn(set_name: str, model: str) -> dict[str, float]:
    """Unpickle a pipeline, and predict one text."""
    text = _read(set_name)[0][0]
    clock = _Clock()
    pipeline = pickle.loads(Path(model).read_bytes())  # noqa: S301  written above
    clock.end("load")
    pipeline.predict([text])
    clock.end("first prediction")
    return clock.metrics


BENCHMARKS = {"steps": steps, "small": small}
QUICK = {"steps": {"runs": 1}, "small": {"runs": 1, "sets": ("sib200-de",)}}
