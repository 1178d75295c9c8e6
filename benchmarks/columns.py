"""What columns beside the text bring: on newswires with their fields, and on made ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias
from unittest.mock import patch

import numpy as np
import pandas as pd

from data import load
from measure import progress, table
from slugline import TopicClassifier
from slugline.corpus.splits import make_folds
from slugline.evaluation.paired import compare_paired
from slugline.reuters.wires import WireList, load_wires
from slugline.text import feature_groups

FIELDS = ("places", "people", "orgs", "exchanges", "author")
MADE = ("trec", "sib200-de", "banking77")

# Tables -------------------------------------------------------------------------------------------

#: A `pandas.DataFrame`.
Frame: TypeAlias = Any
Maker = Callable[[Sequence[str], np.random.Generator], Mapping[str, Any]]


def wire_table(wires: WireList) -> Frame:
    """Return wires with what stands beside their text."""
    rows = [
        {
            "text": wire.text,
            **{name: list(wire.fields.get(name, ())) for name in FIELDS},
            "date": wire.date,
            "topic": wire.topic,
        }
        for wire in wires
    ]
    return pd.DataFrame(rows)


def noise(topics: Sequence[str], random: np.random.Generator) -> Mapping[str, Any]:
    """Return columns that tell nothing."""
    n = len(topics)
    return {
        "colour": random.choice(["red", "green", "blue"], n),
        "shop": random.integers(0, 30, n).astype(str),
        "amount": random.normal(size=n),
    }


def half(topics: Sequence[str], random: np.random.Generator) -> Mapping[str, Any]:
    """Return a product that decides half of the topics; that of the others is any."""
    names = sorted({*topics})
    numbers = np.array([names.index(topic) for topic in topics])
    n_products = len(names) // 2
    chance = random.integers(0, n_products, len(topics))
    product = np.where(numbers < n_products, numbers, chance)
    return {"product": [f"product {number}" for number in product]}


def weak(topics: Sequence[str], random: np.random.Generator) -> Mapping[str, Any]:
    """Return a group that is right half of the time, and a random priority."""
    names = sorted({*topics})
    n_groups = max(2, min(8, len(names) // 2))
    group = np.array([names.index(topic) % n_groups for topic in topics])
    is_right = random.random(len(topics)) < 0.5
    group = np.where(is_right, group, random.integers(0, n_groups, len(topics)))
    return {"group": group.astype(str), "priority": random.integers(1, 6, len(topics))}


def everything(topics: Sequence[str], random: np.random.Generator) -> Mapping[str, Any]:
    """Return all of these columns."""
    return {**noise(topics, random), **half(topics, random), **weak(topics, random)}


KINDS: dict[str, Maker] = {"noise": noise, "half": half, "weak": weak, "everything": everything}


def made_table(texts: Sequence[str], topics: Sequence[str], make: Maker, seed: int) -> Frame:
    """Return texts with columns that depend on their topics and chance."""
    columns = make(topics, np.random.default_rng(seed))
    return pd.DataFrame({"text": texts, **columns, "topic": topics})


def beside(frame: Frame) -> list[str]:
    """Return the columns beside the text."""
    return [name for name in frame.columns if name not in ("text", "topic")]


# Accuracy -----------------------------------------------------------------------------------------


def accuracy(*, sets: Sequence[str] = ("reuters", "reuters, 1,000", *MADE), draws: int = 3) -> str:
    """Compare text alone with text and columns; made columns are drawn `draws` times."""
    rows = []
    for name in sets:
        for kind, splits in _splits(name, draws).items():
            progress(f"{name} {kind}")
            alone, both, truth, used = [], [], [], []
            for train, test in splits:
                columns = beside(train)
                fit = TopicClassifier(text="text", columns=columns, n_jobs=1)
                both += fit.fit(train, train.topic).predict(test).tolist()
                used.append(len(fit.fitted_.columns))
                fit = TopicClassifier(n_jobs=1).fit(train.text, train.topic)
                alone += fit.predict(test.text).tolist()
                truth += test.topic.tolist()
            paired = compare_paired(truth, both, alone)
            low, high = (100 * bound for bound in paired.accuracy.interval)
            rows.append(
                [
                    f"{name}, {kind}",
                    f"{np.mean(used):.3g} of {len(columns)}",
                    *(f"{np.mean(np.array(each) == truth):.3f}" for each in (alone, both)),
                    f"{100 * paired.accuracy.difference:+.1f} ({low:+.1f} to {high:+.1f})",
                ]
            )
    return table(("set, columns", "used", "text", "and columns", "points"), rows)


def _splits(name: str, draws: int) -> dict[str, list[tuple[Frame, Frame]]]:
    """Return tables to learn from and to test on, by kind of columns."""
    if name.startswith("reuters"):
        wires = load_wires()
        train, test = wire_table(wires.train), wire_table(wires.test)
        return {"its fields": [(train[:1000] if "," in name else train, test)]}
    train, test = load(name)
    return {
        kind: [
            (
                made_table(train.texts, train.topics, make, 2 * draw),
                made_table(test.texts, test.topics, make, 2 * draw + 1),
            )
            for draw in range(draws)
        ]
        for kind, make in KINDS.items()
    }


# The weight ---------------------------------------------------------------------------------------


def weight(
    *,
    sets: Sequence[str] = MADE,
    weights: Sequence[float] = (0.1, 0.2, 0.35, 0.5, 0.65, 1.0),
    sizes: Sequence[int] = (400, 2000),
    folds: int = 3,
) -> str:
    """Cross-validate the weight of columns beside that of the text, on training documents."""
    by_kind: dict[str, list[list[float]]] = {}
    for name in (*sets, "reuters"):
        for kind, [(train, _)] in _splits(name, 1).items():
            for size in sizes:
                chosen = np.random.default_rng(0).permutation(len(train))[:size]
                frame = train.iloc[chosen].reset_index(drop=True)
                progress(f"{name} {kind} {len(frame)}")
                accuracies = [_cross_validate(frame, None, folds)]
                accuracies += [_cross_validate(frame, each, folds) for each in weights]
                by_kind.setdefault(kind, []).append(accuracies)
    rows = [
        [kind, *(f"{mean:.3f}" for mean in np.mean(accuracies, axis=0))]
        for kind, accuracies in by_kind.items()
    ]
    return table(("columns", "text alone", *(f"{each:g}" for each in weights)), rows)


def _cross_validate(frame: Frame, weight: float | None, n_folds: int) -> float:
    """Return the accuracy of a weight; of text alone for None."""
    columns = None if weight is None else beside(frame)
    folds = make_folds(frame.topic.tolist(), n_folds, 0)
    n_right = 0
    with patch.object(feature_groups, "COLUMN_WEIGHT", weight or 1.0):
        for fold in range(n_folds):
            train, test = frame[folds != fold], frame[folds == fold]
            classifier = TopicClassifier(text="text", columns=columns, n_jobs=1)
            n_right += int((classifier.fit(train, train.topic).predict(test) == test.topic).sum())
    return n_right / len(frame)


BENCHMARKS = {"accuracy": accuracy, "weight": weight}
QUICK = {
    "accuracy": {"sets": ("sib200-de",), "draws": 1},
    "weight": {"sets": ("sib200-de",), "weights": (0.5,), "sizes": (400,)},
}
