"""`slugline serve` beside FastAPI around a pipeline of scikit-learn; needs wrk and Chromium."""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import joblib
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

import kills
import served
import serving_page
import slugline
from processes import table
from slugline import reuters
from slugline.model.file.content import model_path

N_ROUNDS = 3
SECONDS, LONG_SECONDS = 8, 60
N_STARTS, N_SWAPS, N_KILLS = 7, 20, 200


def report(parts: Sequence[str] = ()) -> str:
    """Measure and return a Markdown section."""
    wires = reuters.load_wires("corrected")
    with tempfile.TemporaryDirectory() as folder:
        measured: dict[str, Callable[[], list[list[str]]]] = {
            "load": lambda: loads(wires, Path(folder)),
            "endurance": lambda: endurance(wires.test.texts),
            "swaps": lambda: swaps(wires.test.texts, Path(folder)),
            "start": starts,
            "page": lambda: page(wires, Path(folder)),
            "kills": lambda: killed(Path(folder)),
        }
        rows = [row for part in parts or measured for row in measured[part]()]
    head = (
        "## Serving\n\n"
        f"One process each; requests over loopback by wrk, on the same {os.cpu_count()} cores. "
        "The peer is FastAPI around TfidfVectorizer + LinearSVC, trained on the corrected wires; "
        "texts are the test wires. "
        f"Medians of {N_ROUNDS} rounds in turn.\n\n"
    )
    return f"{head}{table([['', 'Slugline', 'peer'], *rows])}\n"


def loads(wires: reuters.Wires, folder: Path) -> list[list[str]]:
    """Measure how many requests are answered, and how fast at half of that."""
    path = folder / "peer.joblib"
    fitted = make_pipeline(TfidfVectorizer(), LinearSVC()).fit(
        wires.train.texts, wires.train.topics
    )
    joblib.dump(fitted, path)
    texts = list(wires.test.texts)
    single, many = served.bodies(texts, 1), served.bodies(texts, 100)
    found: dict[str, list[tuple[float, ...]]] = {"ours": [], "theirs": []}
    for _ in range(N_ROUNDS):
        with served.slugline() as server:
            found["ours"].append(_load(server, "/v1/classify", single, many))
        with served.peer(path) as server:
            found["theirs"].append(_load(server, "/classify", single, many))
            frame = served.load(f"{server.url}/empty", single, connections=32, seconds=SECONDS).rate
    ours, theirs = (
        [statistics.median(values) for values in zip(*found[side], strict=True)]
        for side in ("ours", "theirs")
    )
    names = (
        "single texts a second, 32 connections",
        "documents a second, in requests of 100, 4 connections",
        "p99 at half of the own peak, ms",
        "memory after that, MB",
    )
    rows = [
        [name, f"{our:,.4g} ({_ratio(our, their)})", f"{their:,.4g}"]
        for name, our, their in zip(names, ours, theirs, strict=True)
    ]
    return [*rows, ["the same single texts, by FastAPI without a model", "-", f"{frame:,.4g}"]]


def _load(
    server: served.Server, path: str, single: Sequence[str], many: Sequence[str]
) -> tuple[float, ...]:
    url = server.url + path
    served.load(url, single, connections=8, seconds=1)  # to warm up
    peak = served.load(url, single, connections=32, seconds=SECONDS)
    hundreds = served.load(url, many, connections=4, seconds=SECONDS)
    half = _at(url, single, peak.rate / 2)
    assert not peak.n_errors + hundreds.n_errors + half.n_errors
    return peak.rate, 100 * hundreds.rate, half.p99, server.memory()


def _at(url: str, bodies: Sequence[str], rate: float) -> served.Load:
    """Ask at about a rate: pauses are set by what the first second comes to."""
    pause = 32 / rate * 1000
    for _ in range(3):
        tried = served.load(url, bodies, connections=32, seconds=2, pause=pause)
        pause = max(1.0, pause + 32 / rate * 1000 - 32 / tried.rate * 1000)
    return served.load(url, bodies, connections=32, seconds=SECONDS, pause=pause)


def _ratio(ours: float, theirs: float) -> str:
    return f"{ours / theirs:.2f} of theirs" if ours < theirs else f"{ours / theirs:.1f} times"


def endurance(texts: Sequence[str]) -> list[list[str]]:
    """Load for a minute on 64 connections, and see whether memory grows."""
    bodies = served.bodies(texts, 1)
    with served.slugline() as server:
        url = f"{server.url}/v1/classify"
        served.load(url, bodies, connections=64, seconds=SECONDS)
        before = server.memory()
        found = served.load(url, bodies, connections=64, seconds=LONG_SECONDS)
        growth = server.memory() / before - 1
    name = f"{LONG_SECONDS} s on 64 connections: errors, growth of memory"
    return [[name, f"{found.n_errors}, {growth:+.1%}", "-"]]


def swaps(texts: Sequence[str], folder: Path) -> list[list[str]]:
    """Put another model in place under load, and count requests that fail."""
    versions = [folder / "a.slug", folder / "b.slug"]
    shutil.copy(model_path("reuters46"), versions[0])
    slugline.load("reuters46").save(versions[1], quantize="int8")
    served_file = folder / "swapped.slug"
    shutil.copy(versions[0], served_file)
    with served.slugline(str(served_file)) as server:
        url = f"{server.url}/v1/classify"
        loads: list[served.Load] = []
        bodies = served.bodies(texts, 1)
        seconds = 2 * N_SWAPS + 4
        asking = threading.Thread(
            target=lambda: loads.append(served.load(url, bodies, connections=32, seconds=seconds))
        )
        asking.start()
        for number in range(1, N_SWAPS + 1):
            time.sleep(2)
            part = folder / "part"
            shutil.copy(versions[number % 2], part)
            part.replace(served_file)
        asking.join()
        n_swaps = served.metric(server.url, "slugline_model_swaps")
    name = f"model swapped {n_swaps:.0f} times under load: requests that failed"
    return [[name, f"{loads[0].n_errors} of {loads[0].rate * seconds:,.0f}", "-"]]


def starts() -> list[list[str]]:
    """Measure the time from the command to readiness, and memory then."""
    seconds, memory = [], []
    for _ in range(N_STARTS):
        with served.slugline() as server:
            seconds.append(server.seconds_to_ready)
            memory.append(server.memory())
    return [
        ["from the command to /ready, s", f"{statistics.median(seconds):.2f}", "-"],
        ["memory once ready, MB", f"{statistics.median(memory):.0f}", "-"],
    ]


def page(wires: reuters.Wires, folder: Path) -> list[list[str]]:
    """Measure the page in Chromium."""
    texts = [*wires.test.texts, *wires.train.texts][:10_000]
    path = folder / "wires.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text"])
        writer.writerows(enumerate(texts))
    with served.slugline() as server:
        return serving_page.measured(server.url, path)


def killed(folder: Path) -> list[list[str]]:
    """Kill processes that keep corrections."""
    found = kills.kill_all(N_KILLS, 0, folder)
    name = f"{found['rounds']:,} rounds of kills while corrections come in: lost"
    return [[name, f"{found['lost']} of {found['acknowledged']:,} acknowledged", "-"]]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = ("load", "endurance", "swaps", "start", "page", "kills")
    parser.add_argument("--parts", nargs="+", choices=parts, default=[], metavar="PART")
    print(report(parser.parse_args().parts))


if __name__ == "__main__":
    main()
