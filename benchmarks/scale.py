"""Time, memory, file and accuracy from 10,000 to 1,000,000 texts and from 10 to 5,000 topics."""

from __future__ import annotations

import json
import pickle
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from accuracy import FastText, stochastic, tfidf_of_words
from data import synthetic_texts
from measure import (
    FOLDER,
    ChildTimeout,
    child_processor_seconds,
    peak_mb,
    progress,
    run_child,
    seconds,
    table,
)
from slugline import TopicClassifier, load
from slugline.base.chart import Axis, Chart, Key, svg_file
from slugline.base.files import write_result

LABELS = {
    "slugline": "Slugline, from a list",
    "file": "Slugline, `train` from a file",
    "a": "(a) TfidfVectorizer + LinearSVC",
    "sgd": "TfidfVectorizer + SGDClassifier",
    "fasttext": "fastText, 5 epochs",
}
# Colours and markers in charts.
STYLES: dict[str, tuple[str, Literal["line", "dashes"]]] = {
    "slugline": ("validation", "line"),
    "file": ("validation", "dashes"),
    "a": ("best", "line"),
    "sgd": ("best", "dashes"),
    "fasttext": ("training", "line"),
}
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "slugline": TopicClassifier,
    "a": tfidf_of_words,
    "sgd": stochastic,
    "fasttext": lambda: FastText(epoch=5),
}
N_TEST, SEED = 5000, 7
# scikit-learn needs memory for tests, too: they are predicted by the thousand.
_PREDICTED_AT_ONCE = 1000


class Case(NamedTuple):
    """Numbers of texts and topics, and of the texts of each topic if that is fixed."""

    n_texts: int
    n_topics: int
    n_balanced: int | None = None

    def __str__(self) -> str:
        return f"{self.n_texts:,} texts, {self.n_topics:,} topics"


BY_TEXTS = (Case(10_000, 100), Case(100_000, 100), Case(1_000_000, 100))
BY_TOPICS = (Case(100_000, 10), Case(100_000, 100), Case(100_000, 1000))
CASES = (
    "10000x100",
    "100000x100",
    "1000000x100",
    "100000x10",
    "100000x1000",
    "16000x2000x8",
    "40000x5000x8",
)

Results = dict[tuple[Case, str], dict[str, float]]


def fit_sizes(
    cases: Sequence[str] = CASES,
    classifiers: Sequence[str] = tuple(LABELS),
    timeout: float = 1800.0,
    chart: str = str(FOLDER / "scale.svg"),
) -> str:
    """Time, memory, file and accuracy by numbers of texts and topics, drawn in scale.svg.

    A case such as 10000x100 is that many texts and topics; 16000x2000x8 gives each topic 8 texts. A
    process that takes longer than `timeout` seconds is ended, and shows as a dash.
    """
    results: Results = {}
    parsed = [Case(*map(int, case.split("x"))) for case in cases]
    for case in parsed:
        with tempfile.TemporaryDirectory() as folder:
            train, test = _write(case, Path(folder))
            for classifier in classifiers:
                run = partial(run_child, timeout=timeout, OMP_NUM_THREADS="1")
                try:
                    results[case, classifier] = run(
                        "scale", "fit_and_test", classifier, str(train), str(test)
                    )
                except (ChildTimeout, SystemExit) as error:
                    progress(f"{case}, {classifier}: {error}")
    if chart:
        _draw(results, Path(chart))
    parts = [
        "Synthetic texts of 8 to 39 words by Zipf's law, of which 15 % are one of 400 words of the "
        f"topic; tested on {N_TEST:,} others. Each in a fresh process with default settings, that "
        "is on one thread, or by Slugline on one for each core; time and memory are those of "
        "fitting, with the texts in memory except where `train` reads the file. No value: over "
        f"{timeout / 60:.0f} minutes, or no result.\n"
    ]
    for case in parsed:
        parts += [f"#### {case}\n", _table(results, case, classifiers), ""]
    return "\n".join([*parts, "#### Growth\n", _growth_table(results)])


def _write(case: Case, folder: Path) -> tuple[Path, Path]:
    """Write the training and the test texts; return their paths."""
    paths = folder / "train.jsonl", folder / "test.jsonl"
    rows = synthetic_texts(case.n_texts + N_TEST, case.n_topics, SEED, case.n_balanced)
    with paths[0].open("w") as train, paths[1].open("w") as test:
        for number, (text, topic) in enumerate(rows):
            line = json.dumps({"text": text, "topic": topic})
            print(line, file=train if number < case.n_texts else test)
    return paths


def _table(results: Results, case: Case, classifiers: Sequence[str]) -> str:
    rows = []
    for classifier in classifiers:
        metrics = results.get((case, classifier))
        cells = ["-"] * 5
        if metrics is not None:
            cells = [f"{metrics['seconds']:,.1f}", f"{metrics['cpu_seconds']:,.1f}"]
            cells += [f"{metrics['fit_mb']:,.0f}", f"{metrics['file_mb']:,.1f}"]
            cells.append(f"{metrics['accuracy']:.3f}")
        rows.append([LABELS[classifier], *cells])
    return table(["", "seconds", "CPU seconds", "peak memory, MB", "file, MB", "accuracy"], rows)


def _growth_table(results: Results) -> str:
    """Return how much longer ten times as many texts take."""
    rows = []
    for classifier, label in LABELS.items():
        times = [results.get((case, classifier), {}).get("seconds") for case in BY_TEXTS]
        pairs = list(zip(times[1:], times, strict=False))
        cells = [f"{more / less:.1f}" if more and less else "-" for more, less in pairs]
        if any(times):
            rows.append([label, *cells])
    header = ["ten times the texts", "times the seconds, from 10,000", "from 100,000"]
    return table(header, rows)


def _draw(results: Results, path: Path) -> None:
    """Draw seconds and memory by texts and by topics; one line a classifier."""
    charts = []
    for label, metric in (("CPU seconds", "cpu_seconds"), ("Peak memory, MB", "fit_mb")):
        values = [
            metrics[metric]
            for (case, _), metrics in results.items()
            if case in {*BY_TEXTS, *BY_TOPICS}
        ]
        if not values:
            return
        for x_label, cases in (
            ("Texts, of 100 topics", [(case, case.n_texts) for case in BY_TEXTS]),
            ("Topics of 100,000 texts", [(case, case.n_topics) for case in BY_TOPICS]),
        ):
            x = Axis.logarithms(x_label, [n for _, n in cases])
            y = Axis.logarithms(label, values)
            charts.append(_draw_panel(results, x, y, cases, metric))
    write_result(path, svg_file(charts, n_columns=2), "chart")


def _draw_panel(
    results: Results, x: Axis, y: Axis, cases: Sequence[tuple[Case, int]], metric: str
) -> str:
    chart = Chart(
        x,
        y,
        [
            Key(label.replace("`", ""), *STYLES[classifier])
            for classifier, label in LABELS.items()
            if any((case, classifier) in results for case, _ in cases)
        ],
    )
    for classifier in LABELS:
        points = [
            (n, results[case, classifier][metric])
            for case, n in cases
            if (case, classifier) in results
        ]
        colour, marker = STYLES[classifier]
        chart.line(points, colour, dashed=marker == "dashes")
        for point in points:
            chart.dot(point, colour)
    return chart.svg(f"{y.label} by {x.label.lower()}")


# In a process of its own --------------------------------------------------------------------------


def fit_and_test(classifier: str, train: str, test: str) -> dict[str, float]:
    """Return the metrics of one classifier on a file of texts.

    Reading the file isn't counted, except for the command line, which reads it itself.
    """
    return _fit_from_file(train, test) if classifier == "file" else _fit(classifier, train, test)


def _fit_from_file(train: str, test: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder, "model.slug")
        command = [sys.executable, "-m", "slugline", "train", train, "-o", str(model), "--quiet"]
        command += ["--test-fraction", "0"]
        run = partial(subprocess.run, check=True, stdout=subprocess.DEVNULL)
        return {
            "seconds": seconds(run, command),
            "cpu_seconds": child_processor_seconds(),
            "fit_mb": peak_mb(resource.RUSAGE_CHILDREN),
            "file_mb": model.stat().st_size / 1e6,
            "accuracy": _accuracy(load(model), test),
        }


def _fit(classifier_name: str, train: str, test: str) -> dict[str, float]:
    texts, topics = _read(train)
    classifier = CLASSIFIERS[classifier_name]()
    cpu = time.process_time()
    return {
        "seconds": seconds(classifier.fit, texts, topics),
        "cpu_seconds": time.process_time() - cpu,
        "fit_mb": peak_mb(),
        "file_mb": _file_mb(classifier),
        "accuracy": _accuracy(classifier, test),
    }


def _read(path: str) -> tuple[list[str], list[str]]:
    """Return the texts and topics of a JSONL file."""
    texts, topics = list[str](), list[str]()
    with Path(path).open(encoding="utf-8") as file:
        for line in file:  # one at a time, as the whole file would count as memory
            row = json.loads(line)
            texts.append(row["text"])
            topics.append(sys.intern(row["topic"]))
    return texts, topics


def _accuracy(classifier: Any, path: str) -> float:
    """Return the fraction of a file's texts that get their topic."""
    texts, topics = _read(path)
    answers: list[str] = []
    for start in range(0, len(texts), _PREDICTED_AT_ONCE):
        answers += list(classifier.predict(texts[start : start + _PREDICTED_AT_ONCE]))
    return float(np.mean(np.array(answers) == np.array(topics)))


def _file_mb(classifier: Any) -> float:
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


BENCHMARKS = {"fit": fit_sizes}
QUICK = {"fit": {"cases": ("1000x10",), "chart": ""}}
