"""Kill processes that keep corrections, at random moments, and look for what was acknowledged.

    python benchmarks/kills.py [--rounds 200] [--seed 0] [--json results.json]

In each round, two processes add corrections to one file, in four threads each, take some of them
back, and print what was acknowledged. Both are killed with SIGKILL at moments drawn at random, in
every tenth round while they may still be making the file. Then the file must open, be whole by
SQLite's own check, and hold all that was acknowledged, with the texts that were given; else this
ends with status 1.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from slugline.corrections.store import CorrectionStore

N_THREADS, N_PROCESSES = 4, 2
#: A new file is begun every so many rounds.
N_ROUNDS_OF_A_FILE = 10


def text_of(seed: int, n: int) -> str:
    """Return a text of 10 to 30,000 characters."""
    rng = random.Random(f"{seed} {n}")  # noqa: S311 - nothing secret
    return f"{rng.random()} " * int(10 ** rng.uniform(0, 3.2))


def digest_of(text: str) -> str:
    """Return a few digits that tell a text from others."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def add_until_killed(path: str, seed: int) -> None:
    """Add corrections in threads, and print each number once it is acknowledged."""
    printing = threading.Lock()

    def say(line: str) -> None:
        with printing:
            print(line, flush=True)

    def work(thread: int) -> None:
        for n in range(thread, sys.maxsize, N_THREADS):
            text = text_of(seed, n)
            kept = store.add(
                text=text, topic=n, answer="no", probability=0.5, model="m", digest="d"
            )
            say(f"kept {kept.id} {digest_of(text)}")
            if n % 7 == 0 and store.undo(kept.id):
                say(f"undone {kept.id} -")

    with CorrectionStore(path, patience=60) as store:
        threads = [threading.Thread(target=work, args=[n]) for n in range(N_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def killed_round(path: Path, seed: int, rng: random.Random, *, at_once: bool) -> list[list[str]]:
    """Run processes, kill each at a moment of its own; return what they said was done."""
    command = [sys.executable, __file__, "--child", str(path), "--seed"]
    running = [
        subprocess.Popen([*command, f"{seed}{n}"], stdout=subprocess.PIPE, text=True)
        for n in range(N_PROCESSES)
    ]
    said: list[list[str]] = []

    def listen(process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        first = None if at_once else process.stdout.readline()
        timer = threading.Timer(rng.uniform(0, 0.6 if at_once else 0.3), process.kill)
        timer.start()
        lines = [*([] if first is None else [first]), *process.stdout]
        said.extend(line.split() for line in lines if line.endswith("\n"))
        timer.join()

    listeners = [threading.Thread(target=listen, args=[process]) for process in running]
    for listener in listeners:
        listener.start()
    for listener in listeners:
        listener.join()
    for process in running:
        if process.wait() != -9:
            raise SystemExit(f"a process ended by itself, with {process.returncode}")
        assert process.stdout is not None
        process.stdout.close()
    return said


def look(path: Path, kept: dict[int, str], undone: set[int]) -> tuple[int, list[int]]:
    """Return how many corrections are in the file, and which acknowledged ones it has lost."""
    with CorrectionStore(path) as store:
        found = {row.id: digest_of(row.text) for row in store.rows()}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (sound,) = connection.execute("PRAGMA integrity_check").fetchone()
    if sound != "ok":
        raise SystemExit(f"{path} is damaged: {sound}")
    back = sorted(undone & set(found))
    # One that was taken back just before the kill may be so without having been told.
    with contextlib.closing(sqlite3.connect(path)) as connection:
        hidden = {
            row[0]
            for row in connection.execute("SELECT id FROM corrections WHERE undone IS NOT NULL")
        }
    lost = [n for n, digest in kept.items() if n not in hidden and found.get(n) != digest]
    return len(found) + len(hidden), lost + back


def kill_all(n_rounds: int, seed: int, folder: Path) -> dict[str, float]:
    """Run all rounds; SystemExit if anything acknowledged is lost."""
    rng = random.Random(seed)  # noqa: S311
    n_kept = n_found = 0
    started = time.monotonic()
    path, kept, undone = folder / "none.db", dict[int, str](), set[int]()
    for number in range(n_rounds):
        is_new = number % N_ROUNDS_OF_A_FILE == 0
        if is_new:
            path, kept, undone = folder / f"{number}.db", {}, set()
        for done, n, digest in killed_round(path, seed + number, rng, at_once=is_new):
            if done == "kept":
                kept[int(n)] = digest
                n_kept += 1
            else:
                undone.add(int(n))
        n_found, lost = look(path, kept, undone)
        if lost:
            raise SystemExit(f"round {number}: corrections {lost} were acknowledged and are lost")
    return {
        "rounds": n_rounds,
        "killed": n_rounds * N_PROCESSES,
        "acknowledged": n_kept,
        "lost": 0,
        "in the last file": n_found,
        "seconds": round(time.monotonic() - started, 1),
    }


def main() -> None:
    """Run all rounds, and print how many corrections were acknowledged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        add_until_killed(given.child, given.seed)
        return
    with tempfile.TemporaryDirectory() as folder:
        found = kill_all(given.rounds, given.seed, Path(folder))
    print(*(f"{name}: {value:,}" for name, value in found.items()), sep="\n")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
