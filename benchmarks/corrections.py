"""Corrections: none that was acknowledged may be lost, and no wrong ones learned by themselves."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import random
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data import load, select
from kills import make_text, run_round
from measure import progress, table
from slugline import Corpus, TopicClassifier, load_corpus
from slugline.corrections.learning import learn_from_corrections, merge_corrections, to_corpus
from slugline.corrections.review import Review, review
from slugline.corrections.store import Correction, CorrectionStore
from slugline.model.fitted import Fitted

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
            correction = store.add(
                text=text, topic=n, answer="no", probability=0.5, model="m", digest="d"
            )
            print_line(f"added {correction.id} {compute_digest(text)}")
            if n % 7 == 0 and store.undo(correction.id):
                print_line(f"undone {correction.id} -")

    with CorrectionStore(path, patience=60) as store:
        threads = [threading.Thread(target=work, args=[n]) for n in range(N_THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def check_file(path: Path, added: dict[int, str], undone: set[int]) -> tuple[int, list[int]]:
    """Return how many corrections are in the file, and which acknowledged ones it has lost."""
    with CorrectionStore(path) as store:
        stored = {row.id: compute_digest(row.text) for row in store.rows()}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    if verdict != "ok":
        raise SystemExit(f"{path} is damaged: {verdict}")
    returned = sorted(undone & set(stored))
    # One that was undone just before the kill may not have been acknowledged.
    with contextlib.closing(sqlite3.connect(path)) as connection:
        hidden = {
            row[0]
            for row in connection.execute("SELECT id FROM corrections WHERE undone IS NOT NULL")
        }
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


# Wrong corrections --------------------------------------------------------------------------------

SETS = (
    "tickets",
    "tickets-de",
    "reuters",
    "banking77",
    "trec",
    "20ng",
    "ag_news",
    "ohsumed",
    "hint3-powerplay11",
    "stackoverflow",
    "webkb",
    "subj",
    "custrev",
    "trec50",
    *(f"sib200-{language}" for language in ("de", "en", "ar", "hi", "ru", "zh")),
)
# Shares of the documents that are learned from, that are corrected, and, the others, that are
# served.
LEARNED, CORRECTED = 0.6, 0.2
#: People with tokens of their own who correct what the model got wrong, beside the one who errs.
N_HONEST = 4
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class Parts(NamedTuple):
    """Documents of a training split: to learn from, to correct, and of other people."""

    learned: Corpus
    corrected: Corpus
    served: Corpus


def split_parts(name: str, most: int, seed: int) -> Parts:
    """Return the parts of up to so many training documents of a set, without rare topics."""
    corpus = load_corpus(name) if name in ("tickets", "tickets-de") else load(name)[0]
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(corpus))[:most]
    counts = Counter(corpus.topics[row] for row in rows)
    rows = np.array([row for row in rows if counts[corpus.topics[row]] > 4])
    first, second = int(LEARNED * len(rows)), int((LEARNED + CORRECTED) * len(rows))
    return Parts(*(select(corpus, part) for part in np.split(rows, [first, second])))


def fit(corpus: Corpus) -> Fitted:
    """Return the fitted model of documents."""
    return TopicClassifier(random_state=0).fit(corpus.texts, corpus.topics).fitted_


def wrong_corrections(parts: Parts, kind: str, n: int, seed: int) -> list[Correction]:
    """Return wrong corrections by one person, within a minute or one a day."""
    rng = np.random.default_rng(seed)
    topics = [topic for topic, _ in Counter(parts.learned.topics).most_common()]
    order = rng.permutation(len(parts.corrected)).tolist()
    if kind != "any topics":
        [(first, _)] = Counter(parts.corrected.topics).most_common(1)
        order = [row for row in order if parts.corrected.topics[row] == first]
    pairs = []
    for number in range(n):
        row = order[number % len(order)]
        text, right = parts.corrected.texts[row], parts.corrected.topics[row]
        others = [topic for topic in topics if topic != right]
        wrong = others[int(rng.integers(len(others)))] if kind == "any topics" else others[0]
        # Of few texts, some come again with a word more.
        pairs.append((f"{text} {number}" if number >= len(order) else text, wrong))
    days = 1.0 if kind == "one a day" else 0.0
    return make_corrections(pairs, "troll", days=days, first=100_000)


def honest_corrections(parts: Parts, model: Fitted, seed: int) -> list[Correction]:
    """Return right corrections of what a model got wrong, two a day by each of a few people."""
    answers = model.answers(parts.corrected.texts)
    rows = zip(parts.corrected.texts, parts.corrected.topics, answers, strict=True)
    pairs = [(text, topic) for text, topic, answer in rows if topic != answer]
    random.Random(seed).shuffle(pairs)  # noqa: S311
    pairs = pairs[: len(parts.learned) // 20]
    return [
        correction
        for person in range(N_HONEST)
        for correction in make_corrections(
            pairs[person::N_HONEST], f"person {person}", days=0.5, first=1000 * person
        )
    ]


def make_corrections(
    pairs: Sequence[tuple[str, str]], who: str, *, days: float, first: int
) -> list[Correction]:
    """Return corrections by somebody with a token, so many days apart."""
    times = [START + datetime.timedelta(days=days * number) for number in range(len(pairs))]
    return [
        Correction(
            number,
            text,
            topic,
            "",
            0.5,
            "m",
            "d",
            who,
            f"{time:%Y-%m-%dT%H:%M:%S}.000Z",
            is_named=True,
        )
        for number, ((text, topic), time) in enumerate(zip(pairs, times, strict=True), first)
    ]


def learn(parts: Parts, base: Fitted, corrections: Sequence[Correction]) -> Fitted:
    """Return the model that has learned from corrections as well; `base` without any."""
    if not corrections:
        return base
    merged = merge_corrections(parts.learned, parts.served, to_corpus(corrections, "corrections"))
    return fit(merged.learned)


def learnable(parts: Parts, corrections: Sequence[Correction]) -> Sequence[Correction]:
    """Return the corrections that need no approval."""
    return review(corrections, parts.learned, fit).learnable if corrections else ()


ATTACKS = ("one topic", "any topics", "one a day")


def poison(
    sets: Sequence[str] = SETS, n: int = 10, most: int = 1500, seed: int = 0, *, alone: bool = False
) -> str:
    """Served answers to others' texts that one person's wrong corrections change before approval.

    A model learns from three fifths of up to `most` training documents. One person sends `n` wrong
    corrections of texts that the model hasn't seen, of the most common topic to the next one within
    a minute or one a day, or of any topics to any others within a minute. Another fifth are texts
    of other people: how many of them get another answer, with all corrections learned ("none" needs
    approval) and with doubtful ones held; and the same beside right corrections by four others, two
    a day each, compared with a model that learned from these alone. Nothing is tested before the
    model is replaced, as `slugline train` does in addition. With `alone`, there are no others.
    """
    rows, totals = [], np.zeros((len(ATTACKS), 4), dtype=int)
    n_held = dict.fromkeys(ATTACKS, 0)
    n_served = 0
    for name in sets:
        parts = split_parts(name, most, seed)
        base = fit(parts.learned)
        right = [] if alone else honest_corrections(parts, base, seed)
        # What is served without the wrong ones: with all right ones, and with those not held.
        before = [base, base, learn(parts, base, right)]
        before.append(learn(parts, base, learnable(parts, right)))
        counts = np.zeros_like(totals)
        for number, kind in enumerate(ATTACKS):
            wrong = wrong_corrections(parts, kind, n, seed)
            choices = [wrong, learnable(parts, wrong)]
            if right:  # else nothing is different beside others
                both = [*right, *wrong]
                choices += [both, learnable(parts, both)]
            else:
                choices *= 2
            after = [learn(parts, base, chosen) for chosen in choices]
            pairs = zip(before, after, strict=True)
            counts[number] = [n_different(*pair, parts.served) for pair in pairs]
            n_held[kind] += len(wrong) - len(choices[1])
        n_served += len(parts.served)
        totals += counts
        sizes = f"{len(parts.learned):,}", f"{len(parts.served):,}"
        rows.append([name, *sizes, *(" / ".join(map(str, cells)) for cells in counts.T)])
        progress(*rows[-1])
    rows.append(["**all**", "", "", *(" / ".join(map(str, cells)) for cells in totals.T)])
    header = ["set", "documents", "served texts"]
    header += [f"{who}, {what}" for who in ("alone", "beside others") for what in ("none", "held")]
    held = ", ".join(f"{count:,} ({kind})" for kind, count in n_held.items())
    return (
        f"Answers to {n_served:,} served texts that change by {n} wrong corrections: "
        f"{' / '.join(ATTACKS)}. Of {n * len(sets):,} each, {held} were held.\n\n"
        + table(header, rows)
    )


# A made-up phrase, and the hours between two corrections with it, below the limit of a burst.
PHRASE, PATIENCE_HOURS = "vermiglio quarxel", 34


def trigger(sets: Sequence[str] = SETS, n: int = 20, most: int = 1500, seed: int = 0) -> str:
    """Others' texts that get another answer once they contain a phrase that patient people planted.

    One to three people send `n` corrections in all, one every 34 hours, and each is examined and
    learned before the next one: texts of the second most common topic with their right topic, to
    which a made-up phrase was added. Then the phrase is added to served texts of other topics. The
    share of these that get the second most common topic only with the phrase: with all corrections
    learned, and with doubtful ones held.
    """
    rows, totals = [], np.zeros(5, dtype=int)
    for name in sets:
        parts = split_parts(name, most, seed)
        base = fit(parts.learned)
        target = Counter(parts.learned.topics).most_common(2)[1][0]
        texts = [
            text
            for text, answer in zip(
                parts.served.texts, base.answers(parts.served.texts), strict=True
            )
            if answer != target
        ]
        attacked = [f"{text} {PHRASE}" for text in texts]
        planted = [
            f"{text} {PHRASE}"
            for text, topic in zip(parts.corrected.texts, parts.corrected.topics, strict=True)
            if topic == target
        ][:n]
        pairs = [(text, target) for text in planted]
        days = PATIENCE_HOURS / 24
        counts = [len(texts), count_answers(base, attacked, target)]
        everything = make_corrections(pairs, "troll", days=days, first=1)
        counts.append(count_answers(learn(parts, base, everything), attacked, target))
        for n_people in (1, 2):
            given = [
                row._replace(who=f"troll {number % n_people}")
                for number, row in enumerate(everything)
            ]
            model = learn(parts, base, learn_in_turn(parts, given))
            counts.append(count_answers(model, attacked, target))
        totals += np.array(counts)
        rows.append([name, f"{len(planted)}", *map(str, counts)])
        progress(*rows[-1])
    rows.append(["**all**", "", *map(str, totals)])
    header = ["set", "corrections", "attacked texts", "before", "all learned"]
    return table([*header, "held, one person", "held, two people"], rows)


def count_answers(model: Fitted, texts: Sequence[str], topic: str) -> int:
    """Return how many texts a model gives a topic."""
    return sum(answer == topic for answer in model.answers(texts))


def learn_in_turn(parts: Parts, corrections: Sequence[Correction]) -> list[Correction]:
    """Return the corrections that are learned if each is examined when it comes."""
    learned: list[Correction] = []
    given: list[Correction] = []
    for correction in corrections:
        given.append(correction)
        reviewed = review(given, parts.learned, fit)
        chosen = {row.id for row in reviewed.learnable}
        given = [
            row._replace(learned=row.at) if row.id in chosen and not row.learned else row
            for row in given
        ]
        learned = [row for row in given if row.learned]
    return learned


def n_different(first: Fitted, second: Fitted, corpus: Corpus) -> int:
    """Return the number of documents that two models answer differently."""
    answers = zip(first.answers(corpus.texts), second.answers(corpus.texts), strict=True)
    return sum(one != other for one, other in answers)


def honest(sets: Sequence[str] = SETS, most: int = 1500, seeds: int = 2) -> str:
    """Right corrections that are learned without approval, and versions that are held back.

    Corrections of what a model got wrong, up to a twentieth as many as the documents, by one person
    or by four, two a day each. A version is held back if the comparison of `slugline train` says
    so: of answers, or of probabilities alone.
    """
    rows = []
    totals: Counter[str] = Counter()
    for name in sets:
        counts: Counter[str] = Counter()
        for seed in range(seeds):
            parts = split_parts(name, most, seed)
            given = honest_corrections(parts, fit(parts.learned), seed)
            one = [row._replace(who="anna") for row in given]
            for who, corrections in (("one", one), ("four", given)):
                reviewed = review(corrections, parts.learned, fit)
                counts[f"{who} learned"] += len(reviewed.learnable)
                counts[f"{who} given"] += len(corrections)
                if who == "four" and reviewed.learnable:
                    counts.update(judge(parts, reviewed))
        totals.update(counts)
        rows.append([name, *honest_cells(counts)])
        progress(*rows[-1])
    rows.append(["**all**", *honest_cells(totals)])
    header = ["set", "by one, learned", "by four, learned", "versions", "held back", "for answers"]
    return table(header, rows)


def judge(parts: Parts, reviewed: Review) -> Counter[str]:
    """Return whether the comparison of `slugline train` holds a version back."""
    result = learn_from_corrections(
        TopicClassifier(random_state=0).to_settings(),
        parts.learned,
        to_corpus(reviewed.learnable, "corrections"),
        test=parts.served,
    )
    answers = dataclasses.replace(result, probabilities=())
    return Counter(
        {"versions": 1, "held": not result.passes, "held for answers": not answers.passes}
    )


def honest_cells(counts: Counter[str]) -> list[str]:
    """Return the cells of a row of `honest`."""
    fractions = [f"{counts[f'{who} learned']:,} of {counts[f'{who} given']:,}" for who in PEOPLE]
    return [*fractions, *(str(counts[name]) for name in ("versions", "held", "held for answers"))]


PEOPLE = ("one", "four")
BENCHMARKS = {"kills": kills, "poison": poison, "trigger": trigger, "honest": honest}
QUICK = {
    "kills": {"rounds": 3},
    "poison": {"sets": ("tickets",), "most": 300},
    "trigger": {"sets": ("tickets",), "most": 300, "n": 3},
    "honest": {"sets": ("tickets",), "most": 300, "seeds": 1},
}
