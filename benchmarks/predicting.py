"""Speed of prediction: in a process that runs, of whole commands, and of many files."""

from __future__ import annotations

import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from accuracy import CLASSIFIERS, LABELS
from clusters import local_cluster
from data import NAMES, expand, load, select, synthetic_texts
from measure import child_processor_seconds, progress, run_in_turn, seconds, table, timed
from slugline import TopicClassifier
from slugline.corpus.splits import rank_draw
from slugline.model.fitted import Fitted
from slugline.prediction.job import predict_files
from slugline.prediction.rows import PredictOptions

# In a process -------------------------------------------------------------------------------------

N_ALONE, N_TOGETHER = 500, 2200
Predict = Callable[[Sequence[str]], Any]


def in_process(rounds: int = 5) -> str:
    """Texts a second, one by one and in hundreds, beside scikit-learn."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    import slugline
    from slugline import reuters
    from slugline.model.decider import Decider

    wires = reuters.load_wires("corrected")
    fitted = slugline.load("reuters46").fitted_
    pipeline = make_pipeline(TfidfVectorizer(), LinearSVC())
    pipeline.fit(list(wires.train.texts), list(wires.train.topics))
    functions: dict[str, Predict] = {
        "TfidfVectorizer + LinearSVC, `predict`": pipeline.predict,
        "Slugline, `predict_proba`": fitted.predict_proba,
        "Slugline, `Decider.decide`": Decider.from_fitted(fitted).decide,
    }
    texts = list(wires.test.texts)
    settings = [(texts[:N_ALONE], 1, 1), (texts[:N_TOGETHER], 100, 1), (texts[:N_TOGETHER], 100, 2)]
    speeds = [
        run_in_turn(
            {
                name: partial(_texts_per_second, function, *setting)
                for name, function in functions.items()
            },
            rounds,
        )
        for setting in settings
    ]
    rows = [
        [name, *(f"{statistics.median(by_name[name]):,.0f}" for by_name in speeds)]
        for name in functions
    ]
    n_characters = statistics.mean(map(len, texts))
    header = ["", "one by one", "in hundreds", "in hundreds, two threads"]
    return (
        f"Texts a second; medians of {rounds} rounds in turn. Test wires of Reuters, "
        f"{n_characters:,.0f} characters in the mean; Slugline's model is `reuters46`, and the "
        f"pipeline was fitted on the corrected wires.\n\n{table(header, rows)}"
    )


def on_sets(sets: Sequence[str] = NAMES, rounds: int = 401) -> str:
    """Texts a second of each set, in hundreds on one thread, beside scikit-learn.

    Before each round, a model without caches predicts training texts, so that it knows words as a
    service does that has answered for a while, but none of the test texts.
    """
    speeds = {}
    for name in expand(sets):
        train, test = load(name)
        texts, seen = test.texts[:N_TOGETHER], train.texts[:N_TOGETHER]
        pipeline = CLASSIFIERS["a"]().fit(train.texts, train.topics)
        functions = {"a": partial(_texts_per_second, pipeline.predict, texts, 100, 1)}
        for classifier in ("default", "words"):
            fitted = CLASSIFIERS[classifier]().fit(train.texts, train.topics).fitted_
            functions[classifier] = partial(_new_texts_per_second, fitted, seen, texts)
        n_rounds = max(3, rounds * 100 // len(texts))
        in_turn = run_in_turn(functions, n_rounds)
        speeds[name] = [statistics.median(in_turn[classifier]) for classifier in functions]
        progress(name, *speeds[name])
    factors = {name: [ours / theirs for ours in rest] for name, (theirs, *rest) in speeds.items()}
    rows = [
        [name, *map("{:,.0f}".format, speeds[name]), *map("{:.1f}".format, factors[name])]
        for name in speeds
    ]
    columns = list(zip(*factors.values(), strict=True))
    for label, summarize in (("median", statistics.median), ("lowest", min)):
        rows.append([label, "", "", "", *(f"{summarize(column):.1f}" for column in columns)])
    labels = [LABELS[classifier] for classifier in ("a", "default", "words")]
    return (
        f"Test texts a second, in hundreds on one thread, by a model that has predicted up to "
        f"{N_TOGETHER:,} training texts before; medians of rounds in turn.\n\n"
        f"{table(['', *labels, 'factor', 'factor, words alone'], rows)}"
    )


def _new_texts_per_second(fitted: Fitted, seen: Sequence[str], texts: Sequence[str]) -> float:
    """Predict texts with a model that has only seen others."""
    predict = replace(fitted).predict  # a copy without what `fitted` has cached
    _texts_per_second(predict, seen, 100, 1)
    return _texts_per_second(predict, texts, 100, 1)


def _texts_per_second(function: Predict, texts: Sequence[str], size: int, n_threads: int) -> float:
    """Predict requests of `size` texts, one at a time on each thread."""
    requests = [texts[first : first + size] for first in range(0, len(texts), size)]
    if n_threads == 1:
        return len(texts) / seconds(lambda: [function(request) for request in requests])
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(function, requests[:n_threads]))  # starts the threads
        return len(texts) / seconds(lambda: list(pool.map(function, requests)))


# Whole processes ----------------------------------------------------------------------------------

TEXT = b"Wheat exports rose as drought cut the harvest\n"
STATEMENTS = (
    "pass",
    "import slugline",
    "from slugline import load",
    "from slugline import Network",
)
EMPTY = [sys.executable, "-c", "pass"]


def imports(runs: int = 11) -> str:
    """Time of imports, less that of an empty interpreter."""
    times = run_in_turn(
        {text: partial(_run, [sys.executable, "-c", text]) for text in STATEMENTS}, runs
    )
    medians = {text: statistics.median(values) for text, values in times.items()}
    base = medians.pop("pass")
    rows = [[f"`{text}`", f"{median - base:.3f} s"] for text, median in medians.items()]
    note = f"Medians of {runs} fresh processes."
    return f"{note}\n\n{table(['statement', 'more than an empty interpreter'], rows)}"


def command(runs: int = 21) -> str:
    """Time of `echo text | slugline predict` with the shipped model, beside NumPy's import."""
    numpy_import = "`python -c 'import numpy'`"
    commands = {
        "an empty interpreter": EMPTY,
        numpy_import: [sys.executable, "-c", "import numpy"],
        "`echo text \\| slugline predict`": [
            str(Path(sys.executable).with_name("slugline")),
            "predict",
        ],
    }
    times = run_in_turn({name: partial(_run, words) for name, words in commands.items()}, runs)
    medians = {name: statistics.median(values) for name, values in times.items()}
    rows = [
        [
            name,
            f"{median:.3f} s",
            f"{min(times[name]):.3f} s",
            f"{median / medians[numpy_import]:.2f}",
        ]
        for name, median in medians.items()
    ]
    header = ["command", "median", "minimum", "median beside NumPy's import"]
    return f"{runs} runs each, in turn.\n\n{table(header, rows)}"


def _run(words: list[str]) -> float:
    return seconds(partial(subprocess.run, input=TEXT, capture_output=True, check=True), words)


# Many files ---------------------------------------------------------------------------------------

_N_TOPICS = 100


def files(
    texts: int = 1_000_000,
    files: int = 16,
    rounds: int = 3,
    formats: Sequence[str] = ("jsonl", "parquet"),
    train_texts: int = 50_000,
    cluster: bool = False,
) -> str:
    """Time of many files on one worker and on two: processes and, with `cluster`, Dask.

    Rounds take turns, so that other work on the machine slows down both. On such a machine, see
    the processor's seconds too: two workers that need no more of it than one does take half the
    time where two cores are free.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_files(folder, texts, files, train_texts)
        rows = []
        for form in formats:
            if form != "jsonl":  # made by the function that is measured
                source, out = folder / "jsonl/*", folder / form
                predict_files(
                    folder / "model.slug", [source], out, PredictOptions(to=cast("Any", form))
                )
                shutil.rmtree(out / "_slugline")
            places = {"processes": _predict_by_processes}
            if cluster:
                places["cluster"] = _predict_by_cluster
            for place, predict in places.items():
                workers = {n: partial(predict, folder, form, n) for n in (1, 2)}
                times = run_in_turn(workers, rounds)
                rows.append([f"{form}, {place}", *_worker_cells(times)])
                progress(*rows[-1])
        header = ["", "1 worker, s", "2 workers, s", "ratio", "processor, s", "of 2 workers, s"]
        note = f"{texts:,} texts in {files} files; medians of {rounds} rounds in turn."
        return f"{note}\n\n{table(header, rows)}"


def _write_files(folder: Path, n_texts: int, n_files: int, n_train: int) -> None:
    """Write a model, and files of texts."""
    train = list(synthetic_texts(n_train, _N_TOPICS, seed=1))
    texts, topics = zip(*train, strict=True)
    TopicClassifier().fit(list(texts), list(topics)).save(folder / "model.slug")
    (folder / "jsonl").mkdir()
    source = synthetic_texts(n_texts, _N_TOPICS, seed=0)
    size = -(-n_texts // n_files)
    for number in range(n_files):
        with (folder / f"jsonl/{number:03d}.jsonl").open("w") as file:
            for _, (text, topic) in zip(range(size), source, strict=False):
                file.write(json.dumps({"text": text, "true_topic": topic}) + "\n")


def _predict_by_processes(folder: Path, form: str, n_workers: int) -> tuple[float, float]:
    """Return the seconds that the command reports, and those of processors."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    words = [
        sys.executable,
        "-m",
        "slugline",
        "predict",
        str(folder / "model.slug"),
        f"{folder}/{form}/*",
        "-o",
        f"{out}/",
        "--workers",
        str(n_workers),
    ]
    before = child_processor_seconds()
    messages = subprocess.run(words, check=True, capture_output=True, text=True).stderr
    reported = messages.rpartition("rows in ")[2].split()[0]
    return float(reported.replace(",", "")), child_processor_seconds() - before


def _predict_by_cluster(folder: Path, form: str, n_workers: int) -> tuple[float, float]:
    """Return the seconds of a cluster without its start; of processors with its start."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    before = child_processor_seconds()
    with local_cluster(n_workers) as client:
        result = predict_files(folder / "model.slug", [f"{folder}/{form}/*"], out, client=client)
    return result.seconds, child_processor_seconds() - before


def _worker_cells(times: dict[int, list[tuple[float, float]]]) -> list[str]:
    (one, processor_one), (two, processor_two) = (
        (statistics.median(values) for values in zip(*times[n], strict=True)) for n in (1, 2)
    )
    cells = f"{one:.1f}", f"{two:.1f}", f"{one / two:.2f}"
    return [*cells, f"{processor_one:.1f}", f"{processor_two:.1f}"]


# With an encoder ----------------------------------------------------------------------------------


def cascade(
    encoders: tuple[str, ...] = ("use", "e5"),
    sets: tuple[str, ...] = ("banking77", "trec", "stackoverflow", "sib200-de", "sib200-sw"),
    labels: tuple[int, ...] = (10, 0),
    train_texts: int = 3000,
    test_texts: int = 500,
) -> str:
    """Test accuracy and texts a second of an encoder that reads all texts, or those in doubt.

    `labels` are numbers of labels per topic, 0 for all; of `train_texts` documents at most.
    """
    rows = []
    for encoder, name, n in itertools.product(encoders, sets, labels):
        train, test = (
            select(part, np.random.default_rng(0).permutation(len(part))[:most])
            for part, most in zip(load(name), (train_texts, test_texts), strict=True)
        )
        if n:
            train = select(train, np.flatnonzero(rank_draw(train.topics, 0, 1, 0) < n))
        fitted = (
            TopicClassifier(encoder=cast("Any", encoder), n_jobs=1)
            .fit(train.texts, train.topics)
            .fitted_
        )
        if fitted.dense is None:
            continue
        fitted.predict(test.texts[:1])  # loads the encoder
        dense = replace(fitted.dense, cache_rows=False)  # cached rows would hide the time
        cells = []
        for head in (replace(dense, cascade=None), dense):
            model = replace(fitted, dense=head)
            proba, taken = timed(model.predict_proba, test.texts)
            is_right = model.classes[proba.argmax(axis=1)] == np.array(test.topics, dtype=object)
            cells.append((len(test) / taken, is_right.mean(), _calibration_error(proba, is_right)))
        fraction = "all" if dense.cascade is None else f"{dense.cascade.encoded_fraction:.2f}"
        digits = (0, 3, 3)
        both = [
            f"{before:,.{d}f} → {after:,.{d}f}"
            for d, before, after in zip(digits, *cells, strict=True)
        ]
        factor = f"{cells[1][0] / cells[0][0]:.1f}"
        rows.append(
            [encoder, name, str(n or "all"), str(len(train)), fraction, both[0], factor, *both[1:]]
        )
        progress(*rows[-1])
    header = [
        "encoder",
        "set",
        "labels per topic",
        "documents",
        "fraction encoded, held-out",
        "texts a second",
        "factor",
        "accuracy",
        "calibration error",
    ]
    return (
        f"An encoder that reads every text → one that reads only texts that words alone leave in "
        f"doubt, one thread, without cached rows; up to {test_texts} test texts.\n\n"
        f"{table(header, rows)}"
    )


def _calibration_error(proba: np.ndarray, is_right: np.ndarray, n_bins: int = 10) -> float:
    """Return the mean distance of sureness and accuracy over bins of as many texts."""
    sureness = proba.max(axis=1)
    bins = np.array_split(np.argsort(sureness, kind="stable"), n_bins)
    return sum(len(b) * abs(sureness[b].mean() - is_right[b].mean()) for b in bins) / len(proba)


BENCHMARKS = {
    "in-process": in_process,
    "on-sets": on_sets,
    "imports": imports,
    "command": command,
    "files": files,
    "cascade": cascade,
}
QUICK = {
    "cascade": {"encoders": ("use",), "sets": ("trec", "sib200-de")},
    "in-process": {"rounds": 1},
    "on-sets": {"sets": ("trec", "sib200-de"), "rounds": 1},
    "imports": {"runs": 3},
    "command": {"runs": 3},
    "files": {
        "texts": 4000,
        "files": 4,
        "rounds": 1,
        "formats": ("jsonl",),
        "train_texts": 2000,
        "cluster": True,
    },
}
