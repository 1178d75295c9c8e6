"""Labels that `suggest` saves against random picks, with an annotator who knows all topics.

Begins with a few random labels a topic, and then labels what each way picks, a batch at a time, and
learns again. Ways are compared on parts of the training documents; `--final` measures on the test
documents.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils.extmath import randomized_svd

from processes import table
from sets import arguments, load
from slugline import TopicClassifier
from slugline.corpus.splits import hold_out, rank_within_topics
from slugline.experiment.suggest import suggest
from slugline.model.fitted import Fitted
from slugline.text.blocks import Block
from slugline.text.features import Features

#: The sets, each with the labels a topic to begin with.
SETS = {"ag_news": 3, "stackoverflow": 3, "banking77": 2, "trec": 3, "ohsumed": 3}
# The first three are those of the target.
N_JUDGED = 3
BATCH, N_BATCHES, N_SEEDS = 50, 24, 3
HEAD = """\
## What to label next

Simulated annotator: {n_batches} batches of {batch} labels after 2 or 3 random ones a topic,
{n_seeds} beginnings; accuracy on {where}. Labels saved: how many
fewer of all labels a way needs for the accuracy that random picks reach after all batches and, in
brackets, on average from a quarter of the batches on.
"""

Picked = Sequence[int]
Pick = Callable[[Fitted, Sequence[str], int, int], Picked]


def at_random(fitted: Fitted, texts: Sequence[str], n: int, seed: int) -> Picked:  # noqa: ARG001
    """Pick without looking."""
    return np.random.default_rng(seed).choice(len(texts), n, replace=False).tolist()


def least_confident(fitted: Fitted, texts: Sequence[str], n: int, seed: int) -> Picked:  # noqa: ARG001
    """Pick those with the least probable best guess (Lewis and Gale 1994)."""
    return np.argsort(fitted.predict_proba(texts).max(axis=1), kind="stable")[:n].tolist()


def smallest_margin(fitted: Fitted, texts: Sequence[str], n: int, seed: int) -> Picked:  # noqa: ARG001
    """Pick those with the smallest lead of the best guess (Scheffer et al. 2001)."""
    second, first = np.partition(fitted.predict_proba(texts), -2, axis=1)[:, -2:].T
    return np.argsort(first - second, kind="stable")[:n].tolist()


def badge(fitted: Fitted, texts: Sequence[str], n: int, seed: int) -> Picked:
    """Pick by k-means++ among gradients of the guesses (Ash et al. 2020).

    A gradient is the outer product of a row and the guess's error, whose inner products are those
    of the rows times those of the errors: they are never made.
    """
    rng = np.random.default_rng(seed)
    rows = _unit(fitted.features.transform(texts))
    errors = fitted.predict_proba(texts).astype(float)
    errors[np.arange(len(errors)), errors.argmax(axis=1)] -= 1
    lengths = (errors**2).sum(axis=1)
    picked = [int(lengths.argmax())]
    distances = np.full(len(texts), np.inf)
    while len(picked) < n:
        last = picked[-1]
        products = (rows @ rows[[last]].toarray().ravel()) * (errors @ errors[last])
        distances = np.minimum(distances, np.maximum(lengths + lengths[last] - 2 * products, 0))
        distances[picked] = 0
        picked.append(int(rng.choice(len(texts), p=distances / distances.sum())))
    return picked


def typical(fitted: Fitted, texts: Sequence[str], n: int, seed: int) -> Picked:  # noqa: ARG001
    """Pick the most typical of each cluster, the largest first (Hacohen et al. 2022, TypiClust).

    The model is not asked, and clusters with labels are not left out: it can't know them.
    """
    rows = Features([Block("words")]).fit_transform(texts)
    left, lengths, _ = randomized_svd(rows, 64, random_state=seed)
    places = left * lengths
    places /= np.maximum(np.linalg.norm(places, axis=1, keepdims=True), 1e-9)
    means = MiniBatchKMeans(n, n_init=1, random_state=seed).fit(places)
    picked = []
    for cluster in np.argsort(-np.bincount(means.labels_, minlength=n), kind="stable"):
        members = np.flatnonzero(means.labels_ == cluster)
        if len(members):
            likeness = places[members] @ places[members].T
            picked.append(int(members[np.sort(likeness, axis=1)[:, -20:].mean(axis=1).argmax()]))
    return picked


def suggested(fitted: Fitted, texts: Sequence[str], n: int, seed: int) -> Picked:
    """Pick what the library suggests."""
    return [each.row for each in suggest(fitted, texts, n, seed=seed)]


def _unit(rows: sp.csr_array) -> sp.csr_array:
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    return sp.csr_array(sp.diags_array(1 / np.maximum(lengths, 1e-9)) @ rows)


WAYS: dict[str, Pick] = {
    "random": at_random,
    "least confidence": least_confident,
    "margin": smallest_margin,
    "BADGE": badge,
    "TypiClust": typical,
    "slugline suggest": suggested,
}


def report(
    sets: Sequence[str] = tuple(SETS),
    ways: Sequence[str] = tuple(WAYS),
    *,
    final: bool = True,
    n_batches: int = N_BATCHES,
    n_seeds: int = N_SEEDS,
) -> str:
    """Simulate, a process for each core, and return a Markdown section."""
    jobs = [(name, way, seed) for name in sets for way in ways for seed in range(n_seeds)]
    simulate = partial(_simulate, final=final, n_batches=n_batches)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        found = dict(zip(jobs, pool.map(simulate, *zip(*jobs, strict=True)), strict=True))
    curves = {
        (name, way): np.mean([found[name, way, seed] for seed in range(n_seeds)], axis=0)
        for name in sets
        for way in ways
    }
    where = "test documents" if final else "a quarter of the training documents"
    head = HEAD.format(n_batches=n_batches, batch=BATCH, n_seeds=n_seeds, where=where)
    parts = [head, _saved(curves, sets, ways), "\n### Accuracy by labels\n"]
    parts += [_accuracies(curves, name, ways) + "\n" for name in sets]
    return "\n".join(parts)


def _simulate(name: str, way: str, seed: int, *, final: bool, n_batches: int) -> np.ndarray:
    """Return labels and accuracies after each batch, shape (2, n_batches + 1)."""
    train, test = load(name)
    texts, topics = np.array(train.texts, dtype=object), np.array(train.topics, dtype=object)
    if not final:
        held = hold_out(train.topics, 0.25, seed)
        test = (texts[held].tolist(), topics[held].tolist())
        texts, topics = texts[~held], topics[~held]
    else:
        test = (test.texts, test.topics)
    labelled = rank_within_topics(topics.tolist(), seed) < SETS.get(name, 3)
    points: list[tuple[int, float]] = []
    while True:
        classifier = TopicClassifier().fit(texts[labelled].tolist(), topics[labelled].tolist())
        points.append((int(labelled.sum()), classifier.score(*test)))
        free = np.flatnonzero(~labelled)
        if len(points) > n_batches or len(free) < BATCH:
            # Where there is nothing left to label, nothing changes any more.
            points += [points[-1]] * (n_batches + 1 - len(points))
            return np.array(points).T
        chosen = WAYS[way](
            classifier.fitted_, texts[free].tolist(), BATCH, 1000 * seed + len(points)
        )
        labelled[free[list(chosen)]] = True


def _saved(curves: dict[Any, np.ndarray], sets: Sequence[str], ways: Sequence[str]) -> str:
    rows = [["labels saved, %", *sets, f"mean of the first {N_JUDGED}", "mean"]]
    for way in ways:
        if way == "random" or "random" not in ways:
            continue
        saved = [_share_saved(curves[name, way], curves[name, "random"]) for name in sets]
        means = [np.mean(saved[:N_JUDGED], axis=0), np.mean(saved, axis=0)]
        cells = [f"{100 * last:.0f} ({100 * mean:.0f})" for last, mean in [*saved, *means]]
        rows.append([way, *cells])
    return table(rows)


def _share_saved(curve: np.ndarray, random: np.ndarray) -> tuple[float, float]:
    """Return the share of labels saved at the last accuracy, and the mean over the later ones."""
    (labels, accuracy), (random_labels, target) = curve, np.maximum.accumulate(random, axis=1)
    accuracy = np.maximum.accumulate(accuracy)
    # What is never reached saves nothing.
    needed = np.interp(target, accuracy, labels, right=np.inf)
    shares = 1 - np.where(np.isinf(needed), random_labels, needed) / random_labels
    return float(shares[-1]), float(shares[len(shares) // 4 :].mean())


def _accuracies(curves: dict[Any, np.ndarray], name: str, ways: Sequence[str]) -> str:
    labels = curves[name, ways[0]][0]
    shown = np.unique(np.linspace(0, len(labels) - 1, 7).astype(int))
    rows = [[f"{name}, labels", *(f"{labels[place]:,.0f}" for place in shown)]]
    rows += [[way, *(f"{curves[name, way][1][place]:.3f}" for place in shown)] for way in ways]
    return table(rows)


def main() -> None:
    """Run from the command line."""
    parser = arguments(__doc__, WAYS)
    parser.set_defaults(sets=list(SETS))
    parser.add_argument("--final", action="store_true", help="measure on the test documents")
    parser.add_argument("--batches", type=int, default=N_BATCHES, metavar="N")
    parser.add_argument("--seeds", type=int, default=N_SEEDS, metavar="N")
    chosen = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(
        report(
            chosen.sets,
            chosen.contenders,
            final=chosen.final,
            n_batches=chosen.batches,
            n_seeds=chosen.seeds,
        )
    )


if __name__ == "__main__":
    main()
