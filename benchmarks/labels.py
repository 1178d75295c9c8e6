"""How far few labels go, and how many `suggest` saves."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import scipy.sparse as sp
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils.extmath import randomized_svd

from accuracy import CLASSIFIERS, LABELS
from data import LANGUAGES, LISTS, MORE_LANGUAGES, expand, load, select
from measure import map_processes, progress, table
from slugline import Corpus, TopicClassifier, load_corpus
from slugline.corpus.splits import hold_out, rank_draw
from slugline.evaluation.intervals import Interval
from slugline.evaluation.probabilities import calibration_error, chance_error, reliability_curve
from slugline.experiment.curve import learning_curves
from slugline.experiment.suggest import suggest
from slugline.model.fitted import Fitted
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features

# Accuracy by labels per topic ---------------------------------------------------------------------

LABELS_PER_TOPIC = (5, 10, 20, 50)
#: Classifiers of `accuracy`, or names of encoders: use, e5, or "use,e5" for both; with a plus at
#: the end, such as use+, they also learn from `N_UNLABELLED` of the other training documents.
COMPARED = ("a", "b", "words", "default", "use")
# On long texts (b) would take an hour for more; all classifiers are tested on the same ones.
N_DRAWS, N_TESTED = 5, 1000
N_UNLABELLED = 2000
UNLABELLED_SETS = (
    "trec",
    "banking77",
    "stackoverflow",
    "ag_news",
    "custrev",
    "sib200-en",
    "sib200-de",
    "sib200-zh",
)
#: Sets whose means are compared, as far as they are measured.
GROUPS = {
    "short English texts": (
        "trec",
        "banking77",
        "stackoverflow",
        "ag_news",
        "hint3-powerplay11",
        "sib200-en",
        "trec50",
        "subj",
        "custrev",
    ),
    "SIB-200": tuple(f"sib200-{language}" for language in (*LANGUAGES, *MORE_LANGUAGES)),
    "languages that use doesn't know": tuple(
        f"sib200-{language}" for language in ("hi", *MORE_LANGUAGES)
    ),
}


class Mean(NamedTuple):
    """Means over draws; without probabilities, all but the first are NaN.

    Attributes
    ----------
    accuracy : float
    probability : float
        Of the answers.
    calibration, chance : float
        The calibration error of a draw's answers, and the one that chance alone would make.
    pooled : float
        The calibration error of the answers of all draws together.
    """

    accuracy: float
    probability: float = math.nan
    calibration: float = math.nan
    chance: float = math.nan
    pooled: float = math.nan


#: By set, classifier and labels per topic.
Means = dict[tuple[str, str, int], Mean]


def few(
    sets: Sequence[str] = tuple(LISTS),
    classifiers: Sequence[str] = COMPARED,
    labels: Sequence[int] = LABELS_PER_TOPIC,
    draws: int = N_DRAWS,
) -> str:
    """Accuracy on test documents with 5 to 50 labels per topic, beside scikit-learn."""
    sets = expand(sets)
    jobs = [(name, classifier) for name in sets for classifier in classifiers]
    measure = partial(_mean_over_draws, labels=labels, n_draws=draws)
    rows = map_processes(measure, *zip(*jobs, strict=True))
    means: Means = {
        (name, classifier, n): mean
        for (name, classifier), row in zip(jobs, rows, strict=True)
        for n, mean in zip(labels, row, strict=True)
    }
    parts = [
        f"Accuracy on at most {N_TESTED:,} test documents, mean of {draws} draws of so many labels "
        "a topic from the training documents; a topic with fewer documents gives all. The mean "
        "probability of the answers should be the accuracy.\n",
        _mean_table(means, sets, classifiers, labels, "the sets"),
    ]
    for group, names in GROUPS.items():
        measured = [name for name in names if name in sets]
        if measured and len(measured) < len(sets):
            parts += ["", _mean_table(means, measured, classifiers, labels, group)]
    for n in labels:
        parts += [f"\n#### {n} labels per topic\n", _set_table(means, sets, classifiers, n)]
    return "\n".join(parts)


def encoders(
    sets: Sequence[str] = tuple(dict.fromkeys(itertools.chain(*GROUPS.values()))),
    classifiers: Sequence[str] = ("words", "default", "use", "e5", "use,e5"),
    labels: Sequence[int] = (10, 200),
    draws: int = 3,
) -> str:
    """Accuracy on test documents by each encoder, with 10 and 200 labels per topic."""
    return few(sets, classifiers, labels, draws)


def unlabelled(
    sets: Sequence[str] = UNLABELLED_SETS,
    classifiers: Sequence[str] = ("use", "use+"),
    labels: Sequence[int] = (5, 10, 20),
    draws: int = 3,
) -> str:
    """Accuracy on test documents by an encoder, with texts without labels and without them."""
    return few(sets, classifiers, labels, draws)


def draw(topics: Sequence[str], n: int, seed: int) -> np.ndarray:
    """Return the rows of a draw of `n` documents of each topic, or all where there are fewer."""
    return np.flatnonzero(rank_draw(topics, 0, 1, seed) < n)


def _make(name: str) -> Any:
    if name in CLASSIFIERS:
        return CLASSIFIERS[name]()
    return TopicClassifier(encoder=cast("Any", name.removesuffix("+")), n_jobs=1)


def _label(name: str) -> str:
    more = f" and {N_UNLABELLED:,} texts without labels" if name.endswith("+") else ""
    return LABELS.get(name, f"Slugline, {name.removesuffix('+')}{more}")


def _mean_over_draws(
    name: str, classifier_name: str, *, labels: Sequence[int], n_draws: int
) -> list[Mean]:
    train, test = load(name)
    tested = np.random.default_rng(0).permutation(len(test))[:N_TESTED]
    texts = [test.texts[i] for i in tested]
    topics = np.array([test.topics[i] for i in tested])
    means = []
    for n in labels:
        rights, probabilities = [], []
        for seed in range(n_draws):
            rows = draw(train.topics, n, seed)
            classifier, options = _make(classifier_name), {}
            if classifier_name.endswith("+"):
                others = np.setdiff1d(np.arange(len(train)), rows)
                chosen = np.random.default_rng(seed).permutation(others)[:N_UNLABELLED]
                options["X_unlabelled"] = [train.texts[i] for i in chosen]
            classifier.fit(
                [train.texts[i] for i in rows], [train.topics[i] for i in rows], **options
            )
            rights.append(np.array(classifier.predict(texts)) == topics)
            if hasattr(classifier, "predict_proba"):
                probabilities.append(classifier.predict_proba(texts).max(axis=1))
        means.append(_mean(rights, probabilities))
    return means


def _mean(rights: Sequence[np.ndarray], probabilities: Sequence[np.ndarray]) -> Mean:
    accuracy = float(np.mean(rights))
    if not probabilities:
        return Mean(accuracy)
    draws = list(zip(probabilities, rights, strict=True))
    return Mean(
        accuracy,
        float(np.mean(probabilities)),
        float(np.mean([calibration_error(*pair) for pair in draws])),
        float(np.mean([chance_error(reliability_curve(*pair)) for pair in draws])),
        calibration_error(np.concatenate(probabilities), np.concatenate(rights)),
    )


def _mean_table(
    means: Means, sets: Sequence[str], classifiers: Sequence[str], labels: Sequence[int], group: str
) -> str:
    """Return the means over sets, the leads over (b) and words alone, and calibration errors."""

    def mean(classifier: str, n: int, what: str = "accuracy") -> float:
        return sum(getattr(means[name, classifier, n], what) for name in sets) / len(sets)

    ours = [name for name in classifiers if name not in ("a", "b")]
    rows = [[_label(name), *(f"{mean(name, n):.3f}" for n in labels)] for name in classifiers]
    for base in ("b", "words"):
        over = "(b)" if base == "b" else "words alone"
        rows += [
            [f"{_label(name)}, over {over}, points"]
            + [f"{100 * (mean(name, n) - mean(base, n)):+.1f}" for n in labels]
            for name in ours
            if base in classifiers and name != base
        ]
    for title, what in (
        ("mean probability", "probability"),
        ("calibration error of a draw", "calibration"),
        ("calibration error of a draw by chance", "chance"),
        ("calibration error of all draws together", "pooled"),
    ):
        rows += [
            [f"{_label(name)}, {title}", *(f"{mean(name, n, what):.3f}" for n in labels)]
            for name in ours
        ]
    return table([f"mean of {group} ({len(sets)}), labels per topic", *map(str, labels)], rows)


def _set_table(means: Means, sets: Sequence[str], classifiers: Sequence[str], n: int) -> str:
    """Return a row for each set; the last column is the default over the best of (a) and (b)."""
    others = [name for name in classifiers if name in ("a", "b")]
    is_compared = bool(others) and "default" in classifiers
    header = ["", *map(_label, classifiers), *(["default over best"] * is_compared)]
    rows = []
    for name in sets:
        row = [f"{means[name, classifier, n].accuracy:.3f}" for classifier in classifiers]
        if is_compared:
            best = max(means[name, other, n].accuracy for other in others)
            row.append(f"{100 * (means[name, 'default', n].accuracy - best):+.1f}")
        rows.append([name, *row])
    return table(header, rows)


# Descriptions, and labels beside them -------------------------------------------------------------

#: What topics are about, in the words of the tutorial for tickets, and in English for SIB-200.
DESCRIPTIONS = {
    "tickets": {
        "billing": "Invoices, payments, prices, discounts and money to be paid back",
        "delivery": "Where a parcel is, when it arrives, couriers, shipping addresses",
        "account": "Signing in, passwords, personal data and the customer's profile",
        "returns": "Sending goods back, exchanges, broken or wrong items, warranty",
        "technical": "Devices, the app or the website don't work; error messages, setup",
    },
    "sib200": {
        "science/technology": "Science, research, technology: space, physics, biology, computers",
        "travel": "Travel and tourism: trips, flights, hotels, sights and advice to visitors",
        "politics": "Politics: governments, elections, laws, wars, international relations",
        "sports": "Sports: matches, teams, athletes, competitions and results",
        "health": "Health: diseases, doctors, hospitals, medicine and outbreaks",
        "entertainment": "Entertainment: music, films, television, celebrities and festivals",
        "geography": "Geography: countries, cities, rivers, islands, mountains and climate",
    },
}
DESCRIBED_SETS = (
    "tickets",
    *(f"sib200-{language}" for language in ("en", "de", "es", "ru", "ar", "ja", "zh")),
)
N_ERRORS = 2


class DescribedDraw(NamedTuple):
    """Which test documents a draw's model answers rightly, and their mean log loss."""

    is_right: np.ndarray
    log_loss: float


def described(
    sets: Sequence[str] = DESCRIBED_SETS,
    encoders: Sequence[str] = ("use",),
    labels: Sequence[int] = (5, 10, 40),
    picks: Sequence[str] = ("random", "suggest"),
    draws: int = N_DRAWS,
) -> str:
    """Accuracy of described topics without labels and with a few, drawn or suggested."""
    jobs = [(name, encoder, pick) for encoder in encoders for pick in picks for name in sets]
    measure = partial(_described_draws, labels=labels, n_draws=draws)
    results = dict(zip(jobs, map_processes(measure, *zip(*jobs, strict=True)), strict=True))
    numbers = (0, *labels)
    parts = [
        "Accuracy on test documents of models of descriptions and so many labels in all, mean of "
        f"{draws} draws from all training documents, so that some topics may have none; log loss "
        "in brackets. `suggest` picks by the model without labels, in each draw from another half "
        f"of the training documents. A step down is marked by * if it exceeds {N_ERRORS} standard "
        "errors of the difference, from draws and test documents.\n"
    ]
    n_down = 0
    for encoder, pick in itertools.product(encoders, picks):
        rows = []
        for name in sets:
            by_number = results[name, encoder, pick]
            cells = [_described_cell(by_number[0])]
            for before, after in itertools.pairwise(by_number):
                is_down = _is_step_down(before, after)
                n_down += is_down
                cells.append(_described_cell(after) + "*" * is_down)
            rows.append([name, *cells])
        parts += ["", table([f"`{encoder}`, {pick}, labels", *map(str, numbers)], rows)]
    n_steps = len(jobs) * len(labels)
    return "\n".join([*parts, f"\nSteps down by more than noise: {n_down} of {n_steps}."])


def _described_draws(
    name: str, encoder: Any, pick: str, *, labels: Sequence[int], n_draws: int
) -> list[list[DescribedDraw]]:
    """Return the draws of each number of labels, first of none."""
    is_ours = name == "tickets"
    train, test = load_corpus(name).split(0.4, random_state=0) if is_ours else load(name)
    descriptions = DESCRIPTIONS[name.partition("-")[0]]
    topics = np.array(test.topics)

    def measure(rows: np.ndarray) -> tuple[TopicClassifier, DescribedDraw]:
        classifier = TopicClassifier(encoder=encoder, descriptions=descriptions, n_jobs=1)
        classifier.fit([train.texts[i] for i in rows], [train.topics[i] for i in rows])
        proba = classifier.predict_proba(test.texts)
        of_truth = proba[np.arange(len(topics)), np.searchsorted(classifier.classes_, topics)]
        is_right = classifier.classes_[proba.argmax(axis=1)] == topics
        return classifier, DescribedDraw(is_right, float(-np.log(of_truth).mean()))

    first, alone = measure(np.zeros(0, dtype=int))
    draws = [[alone] * n_draws]
    for n in labels:
        draws.append([])
        for seed in range(n_draws):
            order = np.random.default_rng(seed).permutation(len(train))
            if pick == "suggest":
                half = order[: len(order) // 2]
                order = half[
                    list(pick_suggested(first.fitted_, [train.texts[i] for i in half], n, seed))
                ]
            draws[-1].append(measure(order[:n])[1])
    return draws


def _described_cell(draws: Sequence[DescribedDraw]) -> str:
    accuracy = np.mean([draw.is_right.mean() for draw in draws])
    return f"{accuracy:.3f} ({np.mean([draw.log_loss for draw in draws]):.2f})"


def _is_step_down(before: Sequence[DescribedDraw], after: Sequence[DescribedDraw]) -> bool:
    """Whether fewer are right after a step, by more than noise of draws and test documents."""
    pairs = zip(before, after, strict=True)
    gains = np.array([b.is_right.astype(float) - a.is_right for a, b in pairs])
    variance = gains.mean(axis=0).var() / gains.shape[1]
    if len(gains) > 1:
        variance += gains.mean(axis=1).var(ddof=1) / len(gains)
    return bool(gains.mean() < -N_ERRORS * np.sqrt(variance))


# What to label next -------------------------------------------------------------------------------

#: The sets, each with the labels per topic to begin with.
SUGGEST_SETS = {"ag_news": 3, "stackoverflow": 3, "banking77": 2, "trec": 3, "ohsumed": 3}
# A mean of its own is of the first three.
N_FIRST = 3
BATCH, N_BATCHES, N_SEEDS = 50, 24, 3

Rows = Sequence[int]
Pick = Callable[[Fitted, Sequence[str], int, int], Rows]


def pick_random(fitted: Fitted, texts: Sequence[str], n: int, seed: int) -> Rows:  # noqa: ARG001
    """Pick at random."""
    return np.random.default_rng(seed).choice(len(texts), n, replace=False).tolist()


def pick_least_confident(fitted: Fitted, texts: Sequence[str], n: int, seed: int) -> Rows:  # noqa: ARG001
    """Pick those with the least probable best guess (Lewis and Gale 1994)."""
    return np.argsort(fitted.predict_proba(texts).max(axis=1), kind="stable")[:n].tolist()


def pick_smallest_margin(fitted: Fitted, texts: Sequence[str], n: int, seed: int) -> Rows:  # noqa: ARG001
    """Pick those with the smallest lead of the best guess (Scheffer et al. 2001)."""
    second, first = np.partition(fitted.predict_proba(texts), -2, axis=1)[:, -2:].T
    return np.argsort(first - second, kind="stable")[:n].tolist()


def pick_badge(fitted: Fitted, texts: Sequence[str], n: int, seed: int) -> Rows:
    """Pick by k-means++ among gradients of the guesses (Ash et al. 2020).

    A gradient is the outer product of a row and the guess's error. Inner products of gradients are
    those of the rows times those of the errors, so that gradients are never computed.
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


def pick_typical(fitted: Fitted, texts: Sequence[str], n: int, seed: int) -> Rows:  # noqa: ARG001
    """Pick the most typical of each cluster, the largest first (Hacohen et al. 2022, TypiClust).

    It does not use the model, and cannot leave out clusters with labels, which it doesn't know.
    """
    rows = Features([FeatureGroup("words")]).fit_transform(texts)
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


def pick_suggested(fitted: Fitted, texts: Sequence[str], n: int, seed: int) -> Rows:
    """Pick what `slugline suggest` does."""
    return [suggestion.row for suggestion in suggest(fitted, texts, n, random_state=seed)]


def _unit(rows: sp.csr_array) -> sp.csr_array:
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    return sp.csr_array(sp.diags_array(1 / np.maximum(lengths, 1e-9)) @ rows)


STRATEGIES: dict[str, Pick] = {
    "random": pick_random,
    "least confidence": pick_least_confident,
    "margin": pick_smallest_margin,
    "BADGE": pick_badge,
    "TypiClust": pick_typical,
    "slugline suggest": pick_suggested,
}


def suggestions(
    sets: Sequence[str] = tuple(SUGGEST_SETS),
    strategies: Sequence[str] = tuple(STRATEGIES),
    training: bool = False,
    batches: int = N_BATCHES,
    seeds: int = N_SEEDS,
) -> str:
    """Labels that `suggest` and other strategies save, with an annotator who knows all topics.

    An annotator labels a few random documents of each topic, and then what a strategy picks, a
    batch at a time. With `training`, a quarter of the training documents stands for the test.
    """
    jobs = [
        (name, strategy, seed) for name in sets for strategy in strategies for seed in range(seeds)
    ]
    simulate = partial(_simulate, on_test=not training, n_batches=batches)
    results = dict(zip(jobs, map_processes(simulate, *zip(*jobs, strict=True)), strict=True))
    curves = {
        (name, strategy): np.mean([results[name, strategy, seed] for seed in range(seeds)], axis=0)
        for name in sets
        for strategy in strategies
    }
    where = "a quarter of the training documents" if training else "test documents"
    parts = [
        f"Simulated annotator: {batches} batches of {BATCH} labels after 2 or 3 random ones a "
        f"topic, {seeds} starts; accuracy on {where}. Labels saved: how many fewer labels a "
        "strategy needs for the accuracy that random picks reach after all batches and, in "
        "brackets, on average from a quarter of the batches on.\n",
        _saved_table(curves, sets, strategies),
        "\n#### Accuracy by labels\n",
    ]
    parts += [_accuracy_table(curves, name, strategies) + "\n" for name in sets]
    return "\n".join(parts)


def _simulate(name: str, strategy: str, seed: int, *, on_test: bool, n_batches: int) -> np.ndarray:
    """Return labels and accuracies after each batch, shape (2, n_batches + 1)."""
    train, test = load(name)
    texts, topics = np.array(train.texts, dtype=object), np.array(train.topics, dtype=object)
    if not on_test:
        is_heldout = hold_out(train.topics, 0.25, seed)
        test = select(train, np.flatnonzero(is_heldout))
        texts, topics = texts[~is_heldout], topics[~is_heldout]
    labelled = rank_draw(topics.tolist(), 0, 1, seed) < SUGGEST_SETS.get(name, 3)
    points: list[tuple[int, float]] = []
    while True:
        classifier = TopicClassifier().fit(texts[labelled].tolist(), topics[labelled].tolist())
        points.append((int(labelled.sum()), classifier.score(test.texts, test.topics)))
        free = np.flatnonzero(~labelled)
        if len(points) > n_batches or len(free) < BATCH:
            # Where there is nothing left to label, nothing changes any more.
            points += [points[-1]] * (n_batches + 1 - len(points))
            return np.array(points).T
        picked = STRATEGIES[strategy](
            classifier.fitted_, texts[free].tolist(), BATCH, 1000 * seed + len(points)
        )
        labelled[free[list(picked)]] = True


def _saved_table(
    curves: dict[Any, np.ndarray], sets: Sequence[str], strategies: Sequence[str]
) -> str:
    header = ["labels saved, %", *sets, f"mean of the first {N_FIRST}", "mean"]
    rows = []
    for strategy in strategies:
        if strategy == "random" or "random" not in strategies:
            continue
        saved = [_share_saved(curves[name, strategy], curves[name, "random"]) for name in sets]
        means = [np.mean(saved[:N_FIRST], axis=0), np.mean(saved, axis=0)]
        cells = [f"{100 * last:.0f} ({100 * mean:.0f})" for last, mean in [*saved, *means]]
        rows.append([strategy, *cells])
    return table(header, rows)


def _share_saved(curve: np.ndarray, random: np.ndarray) -> tuple[float, float]:
    """Return the fraction of labels saved at the last accuracy, and the mean over later ones."""
    (labels, accuracy), (random_labels, target) = curve, np.maximum.accumulate(random, axis=1)
    accuracy = np.maximum.accumulate(accuracy)
    # What is never reached saves nothing.
    needed = np.interp(target, accuracy, labels, right=np.inf)
    fractions = 1 - np.where(np.isinf(needed), random_labels, needed) / random_labels
    return float(fractions[-1]), float(fractions[len(fractions) // 4 :].mean())


def _accuracy_table(curves: dict[Any, np.ndarray], name: str, strategies: Sequence[str]) -> str:
    labels = curves[name, strategies[0]][0]
    shown = np.unique(np.linspace(0, len(labels) - 1, 7).astype(int))
    header = [f"{name}, labels", *(f"{labels[place]:,.0f}" for place in shown)]
    rows = [
        [strategy, *(f"{curves[name, strategy][1][place]:.3f}" for place in shown)]
        for strategy in strategies
    ]
    return table(header, rows)


# Learning curves' intervals -----------------------------------------------------------------------

#: Sets from which studies are drawn, and the number of documents of a study.
STUDIES = {"trec": 500, "ag_news": 500, "subj": 400, "stackoverflow": 600}
# Other documents, on which each model's expected score is measured.
_N_OTHERS = 800


class _Observed:
    """A classifier that notes its accuracy on other documents of the same kind."""

    def __init__(self, others: Corpus, accuracies: list[float]) -> None:
        self.others, self.accuracies = others, accuracies

    def fit(self, X: list[str], y: list[str]) -> None:
        """Learn from texts and topics."""
        self.classifier = TopicClassifier(n_jobs=1).fit(X, y)

    def predict(self, X: list[str]) -> Any:
        """Return the topic of each text."""
        answers = self.classifier.predict([*X, *self.others.texts])
        others = answers[len(X) :] == np.array(self.others.topics, dtype=object)
        self.accuracies.append(float(others.mean()))
        return answers[: len(X)]


def _study(train: Corpus, size: int, seed: int, n_draws: int) -> list[tuple[str, Interval, float]]:
    """Return the points of one study: labels per topic, interval and accuracy on others."""
    order = np.random.default_rng([seed, 99]).permutation(len(train.texts))
    accuracies: list[float] = []
    others = select(train, order[size : size + _N_OTHERS])
    curves = learning_curves(
        select(train, order[:size]),
        contenders={"observed": lambda: _Observed(others, accuracies)},
        n_draws=n_draws,
        random_state=seed,
    )
    points = curves.curves[0].points
    # The first draw of each size, then all labels, then the others.
    means = [[first] for first in accuracies[: len(points)]]
    for number, accuracy in enumerate(accuracies[len(points) :]):
        means[number % (len(points) - 1)].append(accuracy)
    return [
        (str(point.n_labels or "all"), point.interval, float(np.mean(mean)))
        for point, mean in zip(points, means, strict=True)
        if point.interval is not None
    ]


def curve_intervals(
    *, sets: Sequence[str] = tuple(STUDIES), n_studies: int = 25, draws: int = 5
) -> str:
    """Count how often the 95 % intervals of `curve` hold the expected accuracy.

    A study is a few hundred training documents of a set, of which the curve takes a fifth for its
    test. The expected accuracy with a number of labels is the mean over all studies and draws, each
    measured on 800 other training documents.
    """
    rows = []
    held: dict[str, list[bool]] = {}
    for name in sets:
        train, _ = load(name)
        found: dict[str, list[tuple[Interval, float]]] = {}
        for seed in range(n_studies):
            progress(f"{name}, study {seed + 1}")
            for labels, interval, accuracy in _study(train, STUDIES[name], seed, draws):
                found.setdefault(labels, []).append((interval, accuracy))
        for labels, points in found.items():
            if len(points) < 0.8 * n_studies:  # not each study has so many labels
                continue
            expected = float(np.mean([accuracy for _, accuracy in points]))
            holds = [low <= expected <= high for (low, high), _ in points]
            width = np.mean([high - low for (low, high), _ in points])
            held.setdefault("all labels" if labels == "all" else "fewer labels", []).extend(holds)
            rows.append([name, labels, f"{expected:.3f}", f"{width:.3f}", f"{np.mean(holds):.2f}"])
    rows += [[f"**{key}**", "", "", "", f"**{np.mean(each):.3f}**"] for key, each in held.items()]
    header = ("set", "labels per topic", "expected accuracy", "width", "intervals that hold it")
    return table(header, rows)


BENCHMARKS = {
    "few": few,
    "encoders": encoders,
    "unlabelled": unlabelled,
    "described": described,
    "suggest": suggestions,
    "curve-intervals": curve_intervals,
}
QUICK = {
    "few": {"sets": ("trec",), "classifiers": ("a", "b", "default"), "labels": (5,), "draws": 1},
    "encoders": {"sets": ("sib200-en",), "classifiers": ("default", "use"), "draws": 1},
    "unlabelled": {"sets": ("sib200-en",), "labels": (5,), "draws": 1},
    "described": {"sets": ("tickets",), "labels": (5,), "picks": ("random",), "draws": 2},
    "suggest": {
        "sets": ("trec",),
        "strategies": ("random", "slugline suggest"),
        "batches": 2,
        "seeds": 1,
    },
    "curve-intervals": {"sets": ("subj",), "n_studies": 1, "draws": 3},
}
