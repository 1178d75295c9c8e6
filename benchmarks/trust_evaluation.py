"""The report on 150 topics: its size, and how long Chromium takes to open it.

With --intervals, how often 95 % intervals of F1 hold the F1 of all documents, too: a classifier
that learned from half of the training documents answers the other half, and small tests are drawn
from these answers. Test splits are not read.

With --terms, how well eight terms of each topic tell the topics of documents: of half of the
training documents again, by which topic's terms a document has most of.

Run with: python benchmarks/trust_evaluation.py [--keep report.html] [--intervals] [--terms]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import sets
import synthetic
from slugline import Corpus, TopicClassifier
from slugline.evaluation.evaluation import Evaluation
from slugline.evaluation.intervals import N_RESAMPLES
from slugline.experiment import evidence as strongest_terms
from slugline.experiment.curve import learning_curves
from slugline.experiment.evidence import gather_evidence
from slugline.experiment.run import evaluate, run_experiment
from slugline.model.fitted import Fitted
from slugline.reports.training import write_training_report

N_TOPICS, N_DOCUMENTS, N_LOADS = 150, 9_000, 7
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def write_report(path: Path) -> dict[str, float]:
    """Train on synthetic texts and write the report with all sections; return seconds of each."""
    texts, topics = zip(*synthetic.texts(N_DOCUMENTS, N_TOPICS, seed=0, n_each=10), strict=True)
    corpus = Corpus(list(texts), list(topics), "150 topics")
    classifier = TopicClassifier(random_state=0)
    started = time.perf_counter()
    experiment = run_experiment(classifier, corpus)
    trained = time.perf_counter()
    evidence = gather_evidence(experiment)
    gathered = time.perf_counter()
    curves = learning_curves(corpus, n_draws=1)
    drawn = time.perf_counter()
    write_training_report(experiment, path, curves, evidence=evidence, threshold=0.5)
    return {
        "training and test": trained - started,
        "evidence": gathered - trained,
        "page and pictures": time.perf_counter() - drawn,
    }


INTERVAL_SETS = ("reuters", "banking77", "trec", "20ng", "webkb", "sib200-de", "sib200-zh")
N_TESTS, SIZES = 100, (200, 1000)


def print_intervals() -> None:
    """Print how often intervals hold what they should, and how wide they are."""
    print("| set | documents | macro-F1 | plain percentiles | weighted F1 | width of macro-F1 |")
    print("|---|---:|---:|---:|---:|---:|")
    for name in INTERVAL_SETS:
        learn, rest = sets.load(name)[0].split(0.5, seed=0)
        fitted = TopicClassifier(random_state=0).fit(learn.texts, learn.topics).fitted_
        whole = evaluate(fitted, rest)
        for size in SIZES:
            print(f"| {name} | {size} | {' | '.join(held(whole, size))} |", flush=True)


def held(whole: Evaluation, size: int) -> list[str]:
    """Return the share of tests of a size whose intervals hold the F1 of the whole."""
    rng = np.random.default_rng(size)
    share = whole.confusion.ravel() / whole.n_documents
    macro, plain, weighted, width = 0, 0, 0, 0.0
    for seed in range(N_TESTS):
        confusion = rng.multinomial(size, share).reshape(whole.confusion.shape)
        test = Evaluation(whole.topics, confusion, 0.0, seed=seed)
        macro += inside(whole.macro_f1, test.macro_f1_interval)
        weighted += inside(whole.weighted_f1, test.weighted_f1_interval)
        plain += inside(whole.macro_f1, percentiles(test, rng))
        width += test.macro_f1_interval.high - test.macro_f1_interval.low
    shares = [f"{count / N_TESTS:.2f}" for count in (macro, plain, weighted)]
    return [*shares, f"{width / N_TESTS:.3f}"]


def percentiles(test: Evaluation, rng: np.random.Generator) -> tuple[float, float]:
    """Return the plain percentile interval of the macro-F1."""
    share = test.confusion.ravel() / test.n_documents
    drawn = rng.multinomial(test.n_documents, share, N_RESAMPLES // 4)
    scores = [
        Evaluation(test.topics, counts.reshape(test.confusion.shape), 0.0).macro_f1
        for counts in drawn
    ]
    low, high = np.quantile(scores, [0.025, 0.975])
    return float(low), float(high)


def inside(value: float, ends: tuple[float, float]) -> bool:
    """Whether a value is in an interval."""
    return ends[0] <= value <= ends[1]


TERM_SETS = (*INTERVAL_SETS, "stackoverflow", "sib200-ar", "sib200-ja")
POWERS = (0.0, 1 / 4, 1 / 3, 1 / 2)


def print_terms() -> None:
    """Print the share of documents whose topic is told by terms alone, for several powers."""
    print("| set | " + " | ".join(f"{power:.2f}" for power in POWERS) + " |")
    print("|---|" + "---:|" * len(POWERS))
    for name in TERM_SETS:
        learn, rest = sets.load(name)[0].split(0.5, seed=0)
        fitted = TopicClassifier(random_state=0).fit(learn.texts, learn.topics).fitted_
        found = [f"{told(fitted, rest, power):.3f}" for power in POWERS]
        print(f"| {name} | {' | '.join(found)} |", flush=True)


def told(fitted: Fitted, rest: Corpus, power: float) -> float:
    """Return the share of documents whose own topic has the most terms in them; ties are split."""
    with mock.patch.object(strongest_terms, "POWER", power):
        rows = strongest_terms.strongest_terms(fitted)
    columns: dict[str | None, list[int]] = {}
    for column in range(fitted.features.n_columns):
        columns.setdefault(fitted.features.term(column), []).append(column)
    is_term = np.zeros((fitted.features.n_columns, len(rows)), dtype=np.float32)
    for number, row in enumerate(rows):
        for term in row.terms:
            is_term[columns[term][0], number] = 1
    has = fitted.features.transform(rest.texts)
    has.data[:] = 1
    n_found = has @ is_term
    number = {row.topic: n for n, row in enumerate(rows)}
    own = n_found[np.arange(len(rest)), [number[topic] for topic in rest.topics]]
    most = n_found.max(axis=1)
    ties = (n_found == most[:, np.newaxis]).sum(axis=1)
    return float(np.mean(((own == most) & (most > 0)) / ties))


class Browser:
    """A Chromium without a window, told what to do through a pipe."""

    def __init__(self, program: str, folder: str) -> None:
        to_child, self._out = os.pipe()
        self._in, from_child = os.pipe()
        # The browser reads commands from descriptor 3 and writes answers to 4.
        command = (
            f"exec {program} --headless --no-sandbox --disable-gpu --no-first-run "
            f"--disable-background-networking --user-data-dir={folder} --window-size=1200,900 "
            f"--remote-debugging-pipe 3<&{to_child} 4>&{from_child}"
        )
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", command],
            pass_fds=(to_child, from_child),
            stderr=subprocess.DEVNULL,
        )
        os.close(to_child)
        os.close(from_child)
        self._buffer, self._n_sent = b"", 0

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Return the answer to a command of the DevTools protocol."""
        self._n_sent += 1
        message = {"id": self._n_sent, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._n_sent:
            pass
        return dict(answer["result"])

    def wait_for(self, event: str) -> None:
        """Read until an event comes."""
        while self._next().get("method") != event:
            pass

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            self._buffer += os.read(self._in, 1 << 16)
        message, self._buffer = self._buffer.split(b"\0", 1)
        return dict(json.loads(message))

    def close(self) -> None:
        """End the browser."""
        self.call("Browser.close")
        self._process.wait()


PAINTED = """new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  done([paint ? paint.startTime : null, performance.now(), document.body.scrollHeight]);
})))"""


def open_page(browser: Browser, path: Path) -> tuple[float, float]:
    """Return milliseconds until the first contents are painted, and until all is laid out."""
    target = browser.call("Target.createTarget", url="about:blank")["targetId"]
    session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
    browser.call("Page.enable", session)
    browser.call("Page.navigate", session, url=path.resolve().as_uri())
    browser.wait_for("Page.loadEventFired")
    said = browser.call(
        "Runtime.evaluate", session, expression=PAINTED, awaitPromise=True, returnByValue=True
    )
    browser.call("Target.closeTarget", targetId=target)
    first, whole, _ = said["result"]["value"]
    return float(first or whole), float(whole)


def print_report(keep: Path | None) -> None:
    """Print how large the report is, and how long it takes to make and to open."""
    with tempfile.TemporaryDirectory() as folder:
        path = keep or Path(folder, "report.html")
        seconds = write_report(path)
        print("| report on 150 topics | |\n|---|---:|")
        print(f"| size | {path.stat().st_size / 1e6:.2f} MB |")
        for name, took in seconds.items():
            print(f"| {name} | {took:.2f} s |")
        program = next(filter(None, map(shutil.which, BROWSERS)), None)
        if program is None:
            print("| Chromium | not installed |")
            return
        browser = Browser(program, folder)
        loads = [open_page(browser, path) for _ in range(N_LOADS)]
        browser.close()
        for name, times in zip(("first paint", "laid out"), zip(*loads, strict=True), strict=True):
            print(f"| Chromium, {name}, median of {N_LOADS} | {statistics.median(times):.0f} ms |")
            print(f"| Chromium, {name}, slowest | {max(times):.0f} ms |")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="where to leave the report")
    parser.add_argument("--intervals", action="store_true", help="measure intervals of F1 as well")
    parser.add_argument("--terms", action="store_true", help="measure the terms of topics as well")
    options = parser.parse_args()
    print_report(options.keep)
    if options.intervals:
        print()
        print_intervals()
    if options.terms:
        print()
        print_terms()


if __name__ == "__main__":
    main()
