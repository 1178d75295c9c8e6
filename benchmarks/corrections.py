"""Corrections: none that was acknowledged may be lost."""

from __future__ import annotations

import contextlib
import hashlib
import random
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path

from kills import make_text, run_round
from measure import table
from slugline.labels.store import LabelStore

N_THREADS, N_PROCESSES = 4, 2
# Rounds with one file; then a new one is made.
ROUNDS_PER_FILE = 10


def compute_digest(text: str) -> str:
    """Return a short digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def add_until_killed(path: str, seed: str) -> None:
    """Add corrections in threads, and print each number once it is acknowledged."""
    printing = threading.Lock()

    def print_line(line: str) -> None:
        with printing:
            print(line, flush=True)

    def work(thread: int) -> None:
        for n in range(thread, sys.maxsize, N_THREADS):
            text = make_text(seed, n)
            correction = store.add_correction(
                text=text, topic=f"{n}", answer="no", probability=0.5, model="m", digest="d"
            )
            print_line(f"added {correction.id} {compute_digest(text)}")
            if n % 7 == 0 and store.undo_correction(correction.id):
                print_line(f"undone {correction.id} -")

    with LabelStore(path, patience=60) as store:
        threads = [threading.Thread(target=work, args=[n]) for n in range(N_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def check_file(path: Path, added: dict[int, str], undone: set[int]) -> tuple[int, list[int]]:
    """Return how many corrections are in the file, and which acknowledged ones it has lost."""
    with LabelStore(path) as store:
        stored = {row.id: compute_digest(row.text) for row in store.corrections()}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        raise SystemExit(f"{path} is damaged: {verdict}")
    returned = sorted(undone & set(stored))
    # One that was undone just before the kill may not have been acknowledged.
    with contextlib.closing(sqlite3.connect(path)) as connection:
        hidden = {row[0] for row in connection.execute("SELECT correction FROM undone")}
    lost = [n for n, digest in added.items() if n not in hidden and stored.get(n) != digest]
    return len(stored) + len(hidden), lost + returned


def kill_rounds(n_rounds: int, seed: int, folder: Path) -> dict[str, float]:
    """Run all rounds; SystemExit if anything acknowledged is lost."""
    rng = random.Random(seed)  # noqa: S311
    n_added = n_stored = 0
    started = time.monotonic()
    path, added, undone = folder / "none.db", dict[int, str](), set[int]()
    for number in range(n_rounds):
        is_new = number % ROUNDS_PER_FILE == 0
        if is_new:
            path, added, undone = folder / f"{number}.db", {}, set()
        arguments = [(str(path), f"{seed + number}{n}") for n in range(N_PROCESSES)]
        lines = run_round("corrections", "add_until_killed", arguments, rng, at_once=is_new)
        for action, n, digest in lines:
            if action == "added":
                added[int(n)] = digest
                n_added += 1
            else:
                undone.add(int(n))
        n_stored, lost = check_file(path, added, undone)
        if lost:
            raise SystemExit(f"round {number}: corrections {lost} were acknowledged and are lost")
    return {
        "rounds": n_rounds,
        "killed": n_rounds * N_PROCESSES,
        "acknowledged": n_added,
        "lost": 0,
        "in the last file": n_stored,
        "seconds": round(time.monotonic() - started, 1),
    }


def kills(rounds: int = 200, seed: int = 0) -> str:
    """Corrections lost when processes are killed while they add some; exits if there are any.

    In each round, two processes add corrections to one file, in four threads each, undo some of
    them, and print what was acknowledged. Both are killed with SIGKILL at random moments, in every
    tenth round while they may still be making the file. Then the file must open, pass SQLite's own
    check, and hold all that was acknowledged, with the same texts.
    """
    with tempfile.TemporaryDirectory() as folder:
        counts = kill_rounds(rounds, seed, Path(folder))
    return table(list(counts), [[f"{count:,}" for count in counts.values()]])


BENCHMARKS = {"kills": kills}
QUICK = {"kills": {"rounds": 3}}
