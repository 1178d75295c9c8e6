"""How many texts a process answers in a second: one by one, in hundreds, and on two threads."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

import slugline
from processes import table
from slugline import reuters
from slugline.model.routing import Router

N_ROUNDS = 5
N_ALONE, N_TOGETHER = 500, 2200
Answer = Callable[[Sequence[str]], Any]


def requests(texts: Sequence[str], size: int) -> list[Sequence[str]]:
    """Return the texts, so many in each request."""
    return [texts[first : first + size] for first in range(0, len(texts), size)]


def texts_a_second(answer: Answer, texts: Sequence[str], size: int, n_threads: int) -> float:
    """Answer requests of some texts each, as many at a time as there are threads."""
    asked = requests(texts, size)
    if n_threads == 1:
        started = time.perf_counter()
        for request in asked:
            answer(request)
        return len(texts) / (time.perf_counter() - started)
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(answer, asked[:n_threads]))  # threads are there
        started = time.perf_counter()
        list(pool.map(answer, asked))
        return len(texts) / (time.perf_counter() - started)


def report() -> str:
    """Ask all of them in turn, and return a Markdown section."""
    wires = reuters.load_wires("corrected")
    fitted = slugline.load("reuters46").fitted_
    pipeline = make_pipeline(TfidfVectorizer(), LinearSVC())
    pipeline.fit(list(wires.train.texts), list(wires.train.topics))
    answers: dict[str, Answer] = {
        "TfidfVectorizer + LinearSVC, `predict`": pipeline.predict,
        "Slugline, `predict_proba`": fitted.predict_proba,
        "Slugline, `Router.route`": Router.from_fitted(fitted).route,
    }
    texts = list(wires.test.texts)
    ways = [(texts[:N_ALONE], 1, 1), (texts[:N_TOGETHER], 100, 1), (texts[:N_TOGETHER], 100, 2)]
    speeds: dict[str, list[list[float]]] = {name: [[] for _ in ways] for name in answers}
    for _ in range(N_ROUNDS):
        for number, way in enumerate(ways):
            for name, answer in answers.items():
                speeds[name][number].append(texts_a_second(answer, *way))
    rows = [["", "one by one", "in hundreds", "in hundreds, two threads"]]
    rows += [
        [name, *(f"{statistics.median(each):,.0f}" for each in by_way)]
        for name, by_way in speeds.items()
    ]
    n_characters = statistics.mean(map(len, texts))
    return (
        "## Answering\n\nTexts a second, in a process that has answered before; medians of "
        f"{N_ROUNDS} rounds, in each of which all were asked in turn. Test wires of Reuters, of "
        f"{n_characters:,.0f} characters in the mean; Slugline's model is `reuters46`, and the "
        f"pipeline was fitted on the corrected wires.\n\n{table(rows)}\n"
    )


if __name__ == "__main__":
    print(report())
