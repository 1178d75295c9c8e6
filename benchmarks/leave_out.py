"""Whether recipes that are chosen on half of the sets are right for the other half.

Each recipe is cross-validated on training documents: on all of them, and on a draw of a few labels
a topic, tested on the rest. The recipe that is best on a random half of the sets is compared with
the one that is best on the other half: the gap is what a user with unseen documents loses.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
from sklearn.model_selection import KFold

from few import draw
from processes import table
from sets import NAMES, arguments, load
from slugline import TopicClassifier
from slugline.learning.linear.learner import LinearLearner
from slugline.text.blocks import Block

N_FOLDS, N_HALVES, N_LABELS = 3, 20, 10
# Training documents of a set that are used, and documents that a draw is tested on.
N_USED, N_TESTED = 6000, 2000

# Edit this list: what each candidate passes to TopicClassifier, given the training texts.
RECIPES: dict[str, Callable[[Sequence[str]], dict[str, Any]]] = {
    "default": lambda _: {},
    "words": lambda _: {"blocks": [Block("words")]},
    "words and characters": lambda _: {"blocks": [Block("words"), Block("characters")]},
    "words, pairs and characters": lambda _: {
        "blocks": [Block("words"), Block("bigrams"), Block("characters")]
    },
    "fewer passes": lambda _: {"learner": LinearLearner(passes=2)},
}


def report(sets: Sequence[str] = NAMES) -> str:
    """Cross-validate, a process for each core, and return a Markdown section."""
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        scores = np.array(list(pool.map(_scores, sets)))  # sets x recipes x (all, few)
    mean = scores.mean(axis=2)
    names = list(RECIPES)
    rows = [["", *(f"{name}, {what}" for name in names for what in ("all", f"{N_LABELS}"))]]
    rows += [
        [name, *(f"{value:.3f}" for value in row.ravel())]
        for name, row in zip(sets, scores, strict=True)
    ]
    rows.append(["mean", *(f"{value:.3f}" for value in scores.mean(axis=0).ravel())])
    return (
        "## Choosing on half of the sets\n\n"
        f"Accuracy over {N_FOLDS} folds of the training documents, and with {N_LABELS} labels a "
        f"topic; at most {N_USED:,} documents a set.\n\n{table(rows)}\n\n{_halves(mean, names)}\n"
    )


def _halves(scores: np.ndarray, names: Sequence[str]) -> str:
    """Return the gap over random halves, and how often each recipe was chosen."""
    if len(scores) < 2:
        return "One set has no halves."
    rng, gaps = np.random.default_rng(0), []
    chosen = dict.fromkeys(names, 0)
    for _ in range(N_HALVES):
        order = rng.permutation(len(scores))
        half, other = order[: len(order) // 2], order[len(order) // 2 :]
        best = int(scores[half].mean(axis=0).argmax())
        chosen[names[best]] += 1
        means = scores[other].mean(axis=0)
        gaps.append(100 * (means.max() - means[best]))
    rows = [["over random halves", "points"]]
    rows += [["mean gap to the best recipe for the other half", f"{np.mean(gaps):.2f}"]]
    rows += [["largest gap", f"{max(gaps):.2f}"]]
    default = 100 * (scores.mean(axis=0).max() - scores[:, 0].mean())
    rows += [[f"{names[0]} below the best recipe for all sets", f"{default:.2f}"]]
    often = ", ".join(f"{name} {n} times" for name, n in chosen.items() if n)
    return f"{table(rows)}\n\nChosen: {often}."


def _scores(name: str) -> list[list[float]]:
    """Return each recipe's accuracy on all labels, and on few, from training documents alone."""
    train, _ = load(name)
    used = np.random.default_rng(0).permutation(len(train))[:N_USED]
    texts = np.array(train.texts, dtype=object)[used]
    topics = np.array(train.topics, dtype=object)[used]
    folds = list(KFold(N_FOLDS, shuffle=True, random_state=0).split(texts))
    few = draw(topics, N_LABELS, seed=0)
    rest = np.setdiff1d(np.arange(len(texts)), few)[:N_TESTED]
    return [
        [
            float(np.mean([_accuracy(recipe, texts, topics, *fold) for fold in folds])),
            # A set may have no more labels than that.
            _accuracy(recipe, texts, topics, few, rest if len(rest) else few),
        ]
        for recipe in RECIPES.values()
    ]


def _accuracy(recipe: Any, texts: Any, topics: Any, learn: Any, held: Any) -> float:
    options = recipe(texts[learn].tolist())
    classifier = TopicClassifier(**options).fit(texts[learn].tolist(), topics[learn].tolist())
    return classifier.score(texts[held].tolist(), topics[held].tolist())


def main() -> None:
    """Run from the command line."""
    chosen = arguments(__doc__).parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(report(chosen.sets))


if __name__ == "__main__":
    main()
