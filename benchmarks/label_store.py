"""Label databases: no label that was acknowledged may be lost or doubled."""

from __future__ import annotations

import contextlib
import itertools
import random
import sqlite3
import tempfile
import time
from collections import Counter
from pathlib import Path

from kills import make_text, run_round
from measure import table
from slugline.corpus.label_database.records import Selection
from slugline.labels.cells import NewDocument
from slugline.labels.store import LabelStore

CODERS = ("Kim", "Lee")
TOPICS = tuple(f"topic {n}" for n in range(7))
# Documents whose decision a coder takes back, and requests that are repeated after a kill, as a
# page does when the server doesn't answer.
_EVERY_UNDONE, _N_REPEATED = 5, 3
# Rounds with one file; then a new one is made.
ROUNDS_PER_FILE = 10


def find_topic(coder: str, n: int) -> str:
    """Return the topic that a coder gives to document `n`."""
    return TOPICS[(n + len(coder) + CODERS.index(coder)) % len(TOPICS)]


def label_until_killed(path: str, coder: str, first: str) -> None:
    """Label documents from number `first` on, and print each label once it is acknowledged.

    Both coders label the same documents, and each request is sent twice, as by a double click.
    """
    with LabelStore(path, patience=60) as store:
        store.add_coder(coder)
        for topic in TOPICS:
            store.add_topic(topic, coder)
        for n in itertools.count(int(first)):
            [document] = store.add_documents([NewDocument(f"id {n}", make_text("text", n))])
            for _ in range(2):
                assignment = store.assign(
                    coder, document, Selection("random", 0.5), request=f"assign {coder} {n}"
                )
                assert assignment is not None
                decision = store.label(
                    assignment.id, [find_topic(coder, n)], request=f"label {coder} {n}"
                )
            print(f"label {coder} {n} {decision.id}", flush=True)
            if n % _EVERY_UNDONE == 0:
                store.undo(decision.id, request=f"undo {coder} {n}")
                print(f"undo {coder} {n} {decision.id}", flush=True)


def find_faults(path: Path, acknowledged: dict[tuple[str, str, int], int]) -> list[str]:
    """Return what is lost, doubled or changed in a file, given the decisions by request."""
    faults = []
    with LabelStore(path) as store:
        decisions = {decision.id: decision for decision in store.decisions()}
        documents = {each.document.id: each.document for each in store.labels()}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        faults.append(f"damaged: {verdict}")
    undone = {decision.supersedes for decision in decisions.values() if decision.kind == "undo"}
    for (kind, coder, n), number in acknowledged.items():
        decision = decisions.get(number)
        document = decision and documents.get(decision.assignment.document)
        is_right = (
            decision is not None
            and document is not None
            and decision.topics == (find_topic(coder, n),)
            and decision.assignment.coder.name == coder
            and (document.key, document.text) == (f"id {n}", make_text("text", n))
        )
        if not is_right or (kind == "undo" and number not in undone):
            faults.append(f"lost: {kind} of {coder}, document {n}")
    counts = Counter(
        (decision.kind, decision.assignment.coder.name, decision.assignment.document)
        for decision in decisions.values()
    )
    faults += [f"doubled: {change}" for change, count in counts.items() if count > 1]
    keys = Counter(document.key for document in documents.values())
    faults += [f"doubled: document {key}" for key, count in keys.items() if count > 1]
    return faults


def kill_rounds(n_rounds: int, seed: int, folder: Path) -> dict[str, float]:
    """Run all rounds; SystemExit if anything acknowledged is lost or doubled."""
    rng = random.Random(seed)  # noqa: S311 - nothing secret
    started = time.monotonic()
    path, acknowledged = folder / "none.db", dict[tuple[str, str, int], int]()
    n_acknowledged = 0
    for number in range(n_rounds):
        is_new = number % ROUNDS_PER_FILE == 0
        if is_new:
            path, acknowledged = folder / f"{number}.db", {}
        arguments = []
        for coder in CODERS:
            last = max((n for _, who, n in acknowledged if who == coder), default=0)
            arguments.append((str(path), coder, str(max(last - _N_REPEATED, 0))))
        lines = run_round("label_store", "label_until_killed", arguments, rng, at_once=is_new)
        for kind, coder, n, decision in lines:
            change = (kind, coder, int(n))
            n_acknowledged += change not in acknowledged
            if acknowledged.setdefault(change, int(decision)) != int(decision):
                raise SystemExit(f"round {number}: {change} was done twice")
        faults = find_faults(path, acknowledged) if path.exists() else []
        if faults:
            raise SystemExit(f"round {number}: {faults}")
    return {
        "rounds": n_rounds,
        "killed": n_rounds * len(CODERS),
        "acknowledged": n_acknowledged,
        "lost": 0,
        "doubled": 0,
        "seconds": round(time.monotonic() - started, 1),
    }


def kills(rounds: int = 50, seed: int = 0) -> str:
    """Labels lost or doubled when two coders' processes are killed; exits if there are any.

    In each round, a process of each coder adds documents to one file, labels them, takes some
    labels back, and prints what was acknowledged. Both label the same documents, and send each
    request twice. Both are killed with SIGKILL at random moments, in every tenth round while they
    may still be making the file; the next ones repeat the last requests first. Then the file must
    open, pass SQLite's own check, and hold all that was acknowledged once, with the same texts.
    """
    with tempfile.TemporaryDirectory() as folder:
        counts = kill_rounds(rounds, seed, Path(folder))
    return table(list(counts), [[f"{count:,}" for count in counts.values()]])


BENCHMARKS = {"kills": kills}
QUICK = {"kills": {"rounds": 3}}
