"""Counting by month: widths of intervals, and changes that are found, on made-up tickets.

Tickets are drawn by the grammar of the tutorials. A model of 400 labels counts six months of 250.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

import slugline
from measure import map_processes, table
from slugline import TopicClassifier

sys.path.insert(0, str(Path(__file__).parent.parent / "docs" / "simulation"))

from made_up_tickets import GRAMMAR, Composer

N_MONTHS = 6
#: The fraction of tickets that say what they are about.
CLEAR = 0.96
KINDS = ("constant", "tripled")


class Measurement(NamedTuple):
    """Intervals of months that hold and half their widths in texts, and changes that were found."""

    holds: list[bool]
    widths: list[float]
    is_found: bool
    n_changes: int


def measure_months(kind: str, seed: int, labels: int, texts: int) -> Measurement:
    """Count months of tickets; with the kind "tripled", one topic is from the fourth on."""
    rng = random.Random(seed)  # noqa: S311 (no secrets)
    composer = Composer(rng)
    shares = {name: topic["frequency"] for name, topic in GRAMMAR["topics"].items()}
    # Each seed has another topic, of the rarer half, where three times as many have room.
    rarer = sorted(shares, key=lambda name: shares[name])[: len(shares) // 2]
    changed = rarer[seed % len(rarer)]

    def draw(n: int, factor: float) -> list[tuple[str, str]]:
        weights = [share * (factor if name == changed else 1) for name, share in shares.items()]
        topics = rng.choices([*shares], weights, k=n)
        return [(composer.compose(t, is_clear=rng.random() < CLEAR), t) for t in topics]

    learned = draw(labels, 1)
    model = TopicClassifier(n_jobs=1).fit([text for text, _ in learned], [t for _, t in learned])
    months = {
        f"2026-{number + 1:02}": draw(
            texts, 3 if kind == "tripled" and number >= N_MONTHS / 2 else 1
        )
        for number in range(N_MONTHS)
    }
    rows = [(text, f"{month}-01") for month, tickets in months.items() for text, _ in tickets]
    frame = pd.DataFrame(rows, columns=["text", "day"])
    counts = slugline.count(model, frame, text="text", by="month").counts
    holds, widths = [], []
    for group in counts.groups:
        true = Counter(topic for _, topic in months[group.name])
        for topic in group.topics:
            holds.append(topic.n_low <= true[topic.topic] <= topic.n_high)
            widths.append(group.n_texts * (topic.interval.high - topic.interval.low) / 2)
    found = counts.significant_changes
    is_found = any(change.topic == changed and change.difference > 0 for change in found)
    return Measurement(holds, widths, is_found, len(found))


def months(seeds: int = 40, labels: int = 400, texts: int = 250) -> str:
    """Half the width of intervals by month, how many hold, and changes that are found."""
    jobs = [(kind, seed) for kind in KINDS for seed in range(seeds)]
    fixed = [[value] * len(jobs) for value in (labels, texts)]
    measured = map_processes(measure_months, *map(list, zip(*jobs, strict=True)), *fixed)
    rows = []
    for kind in KINDS:
        of_kind = [m for (each, _), m in zip(jobs, measured, strict=True) if each == kind]
        rows.append(
            [
                kind,
                f"{np.mean(np.concatenate([m.widths for m in of_kind])):.1f}",
                f"{np.mean(np.concatenate([m.holds for m in of_kind])):.3f}",
                f"{sum(m.is_found for m in of_kind)}",
                f"{sum(m.n_changes > 0 for m in of_kind)}",
            ]
        )
    return (
        f"{seeds} files of {N_MONTHS} months with {texts} tickets each, models of {labels} labels. "
        "Tripled: a topic's frequency from the fourth month on.\n\n"
        + table(["shares", "half width, texts", "hold", "tripled topic found", "any change"], rows)
    )


BENCHMARKS = {"months": months}
QUICK = {"months": {"seeds": 1}}
