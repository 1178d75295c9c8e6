"""How settings were chosen: by cross-validation on training documents alone."""

from __future__ import annotations

import contextlib
import runpy
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import KFold, StratifiedKFold

from data import LANGUAGES, NAMES, load, select
from labels import draw
from measure import map_processes, progress, seconds, table
from slugline import Corpus, TopicClassifier
from slugline import load as load_model
from slugline.base.wording import counted
from slugline.corpus.splits import make_folds
from slugline.corrections.learning import merge_corrections
from slugline.evaluation.probabilities import calibration_error
from slugline.learning.linear.learner import LinearLearner
from slugline.model.file.container import pack
from slugline.model.file.content import from_model_file, to_model_file
from slugline.text.feature_groups import (
    DEFAULT_GROUPS,
    FeatureGroup,
    bits_per_character,
    default_feature_groups,
)

# Parts of the default -----------------------------------------------------------------------------

N_BUCKETS = 2**18


def _hashed(groups: tuple[FeatureGroup, ...]) -> list[FeatureGroup]:
    return [replace(group, min_count=1, n_buckets=N_BUCKETS) for group in groups]


# What differs from the default, given the default's feature groups. None has an encoder, as terms
# were chosen without one.
VARIANTS: dict[str, Callable[[tuple[FeatureGroup, ...]], dict[str, Any]]] = {
    "default": lambda _: {},
    "words, without pairs and characters": lambda _: {"feature_groups": [FeatureGroup("words")]},
    "no document left out": lambda _: {"learner": LinearLearner(clean=False)},
    "no extra weight for rare topics": lambda _: {"class_weight": {}},
    "2^18 hash buckets for each group": lambda groups: {"feature_groups": _hashed(groups)},
}


def parts(sets: Sequence[str] = ("reuters", "reuters-corrected", "banking77", "trec")) -> str:
    """What each part of the default contributes, of words alone."""
    columns = [_score_variants(name) for name in sets]
    rows = [[variant, *(column[variant] for column in columns)] for variant in columns[0]]
    note = "Accuracy and macro-F1 over three folds of the training documents."
    return f"{note}\n\n{table(['', *sets], rows)}"


def _score_variants(name: str) -> dict[str, str]:
    train, _ = load(name)
    texts, topics = np.array(train.texts, dtype=object), np.array(train.topics)
    predicted = {variant: np.empty_like(topics) for variant in [*VARIANTS, "int8 weights"]}
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    groups = default_feature_groups("log-tf-idf")
    for train_rows, test_rows in folds.split(texts, topics):
        for variant, options in VARIANTS.items():
            classifier = TopicClassifier(encoder=None, **options(groups))
            classifier.fit(texts[train_rows], topics[train_rows])
            predicted[variant][test_rows] = classifier.predict(texts[test_rows])
            if variant == "default":
                quantized = from_model_file(to_model_file(classifier.fitted_, weight_type="int8"))
                predicted["int8 weights"][test_rows] = quantized.predict(texts[test_rows])
    return {
        variant: f"{accuracy_score(topics, answers):.3f}, "
        f"{f1_score(topics, answers, average='macro'):.3f}"
        for variant, answers in predicted.items()
    }


# Bits of a character ------------------------------------------------------------------------------

BITS_SETS = ("sib200-en", "sib200-hi", "sib200-ti")
# Texts whose characters the recipe counts.
N_COUNTED = 500


def bits(sets: Sequence[str] = BITS_SETS) -> str:
    """How many bits a character of a language has, which decides the lengths of n-grams."""
    texts = [load(name)[0].texts[:N_COUNTED] for name in sets]
    rows = [
        [name, f"{bits_per_character(part):.1f}"] for name, part in zip(sets, texts, strict=True)
    ]
    note = f"Entropy of the characters of words in {N_COUNTED} training documents."
    return f"{note}\n\n{table(['set', 'bits a character'], rows)}"


# Recipes on half of the sets ----------------------------------------------------------------------

N_FOLDS, N_HALVES, N_LABELS = 3, 20, 10
# Training documents of a set that are used, and documents that a draw is tested on.
MAX_USED, MAX_TESTED = 6000, 2000

RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "words": {"feature_groups": [FeatureGroup("words")]},
    "words and characters": {"feature_groups": [FeatureGroup("words"), FeatureGroup("characters")]},
    "words, pairs and characters": {
        "feature_groups": [
            FeatureGroup("words"),
            FeatureGroup("bigrams"),
            FeatureGroup("characters"),
        ]
    },
    "fewer passes": {"learner": LinearLearner(passes=2)},
}


def halves(sets: Sequence[str] = NAMES) -> str:
    """Whether the best recipe on half of the sets is the best for the other half.

    The gap to the recipe that is best on the other half is what a user with unseen documents loses.
    """
    scores = np.array(map_processes(_score_recipes, sets))  # sets x recipes x (all, few)
    header = ["", *(f"{name}, {what}" for name in RECIPES for what in ("all", f"{N_LABELS}"))]
    rows = [
        [name, *(f"{value:.3f}" for value in row.ravel())]
        for name, row in zip(sets, scores, strict=True)
    ]
    rows.append(["mean", *(f"{value:.3f}" for value in scores.mean(axis=0).ravel())])
    return (
        f"Accuracy over {N_FOLDS} folds of the training documents, and with {N_LABELS} labels a "
        f"topic; at most {MAX_USED:,} documents a set.\n\n{table(header, rows)}\n\n"
        f"{_gap_table(scores.mean(axis=2))}"
    )


def _gap_table(scores: np.ndarray) -> str:
    """Return the gap over random halves, and how often each recipe was chosen."""
    if len(scores) < 2:
        return "One set has no halves."
    rng, gaps, names = np.random.default_rng(0), [], list(RECIPES)
    n_chosen = dict.fromkeys(names, 0)
    for _ in range(N_HALVES):
        order = rng.permutation(len(scores))
        half, other = order[: len(order) // 2], order[len(order) // 2 :]
        best = int(scores[half].mean(axis=0).argmax())
        n_chosen[names[best]] += 1
        means = scores[other].mean(axis=0)
        gaps.append(100 * (means.max() - means[best]))
    default = 100 * (scores.mean(axis=0).max() - scores[:, 0].mean())
    rows = [
        ["mean gap to the best recipe for the other half", f"{np.mean(gaps):.2f}"],
        ["largest gap", f"{max(gaps):.2f}"],
        [f"{names[0]} below the best recipe for all sets", f"{default:.2f}"],
    ]
    counts = ", ".join(f"{name} ({counted(n, 'time')})" for name, n in n_chosen.items() if n)
    return f"{table(['over random halves', 'points'], rows)}\n\nChosen: {counts}."


def _score_recipes(name: str) -> list[list[float]]:
    """Return each recipe's accuracy on all labels, and on few."""
    train, _ = load(name)
    train = select(train, np.random.default_rng(0).permutation(len(train))[:MAX_USED])
    folds = list(KFold(N_FOLDS, shuffle=True, random_state=0).split(train.texts))
    few = draw(train.topics, N_LABELS, seed=0)
    others = np.setdiff1d(np.arange(len(train)), few)[:MAX_TESTED]
    # A set may have no more labels than that.
    tested = others if len(others) else few
    return [
        [
            float(np.mean([_accuracy(options, train, *fold) for fold in folds])),
            _accuracy(options, train, few, tested),
        ]
        for options in RECIPES.values()
    ]


def _accuracy(
    options: dict[str, Any], corpus: Corpus, train_rows: np.ndarray, test_rows: np.ndarray
) -> float:
    train, test = select(corpus, train_rows), select(corpus, test_rows)
    classifier = TopicClassifier(encoder=None, **options).fit(train.texts, train.topics)
    return classifier.score(test.texts, test.topics)


# The shipped model --------------------------------------------------------------------------------

# What `tools/train_reuters46.py` takes, and what the default lacks.
HEADLINES = tuple(DEFAULT_GROUPS[kind] for kind in ("words", "lead", "bigrams", "characters"))
SHIPPED_RECIPES = {"the default": default_feature_groups("log-tf-idf"), "with headlines": HEADLINES}
TOOL = Path(__file__).parents[1] / "tools" / "train_reuters46.py"
N_WEIGHTS = (None, 300_000, 110_000, 60_000, 30_000)
SHIPPED = ("with headlines", 110_000)


def shipped_model(folds: int = 5) -> str:
    """How large the shipped model, which knows words alone, has to be."""
    train, _ = load("reuters-corrected")
    rows = []
    for name, groups in SHIPPED_RECIPES.items():
        for n, cells in zip(N_WEIGHTS, _score_weights_kept(train, groups, folds), strict=True):
            rows.append([name, "all" if n is None else f"{n:,}", *cells])
    metrics = load_model("reuters46").info_.metrics
    header = ["feature groups", "weights", "accuracy", "macro-F1", "bytes"]
    return (
        f"{folds} folds of the corrected training wires, int8 weights; bytes are those of a model "
        f"of one fold's training wires. The shipped model has {SHIPPED[1]:,} weights, "
        f"{SHIPPED[0]}; "
        f"its card says {metrics['test_accuracy']:.4f} and {metrics['test_macro_f1']:.4f} on the "
        "test wires.\n\n"
        f"{table(header, rows)}"
    )


def _score_weights_kept(
    train: Corpus, groups: Sequence[FeatureGroup], n_folds: int
) -> list[list[str]]:
    """Return accuracy, macro-F1 and bytes with each number of weights."""
    keep_largest_weights = runpy.run_path(str(TOOL))["keep_largest_weights"]
    topics: list[str] = []
    predicted: list[list[str]] = [[] for _ in N_WEIGHTS]
    n_bytes: list[list[int]] = [[] for _ in N_WEIGHTS]
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
    for train_rows, test_rows in folds.split(train.texts, train.topics):
        fold_train, fold_test = select(train, train_rows), select(train, test_rows)
        classifier = TopicClassifier(encoder=None, feature_groups=groups)
        classifier.fit(fold_train.texts, fold_train.topics)
        topics += fold_test.topics
        for number, n_weights in enumerate(N_WEIGHTS):
            fitted = classifier.fitted_
            if n_weights is not None:
                fitted = keep_largest_weights(fitted, n_weights)
            file = to_model_file(fitted, weight_type="int8")
            predicted[number] += from_model_file(file).predict(fold_test.texts).tolist()
            n_bytes[number].append(len(pack(file)))
    return [
        [
            f"{accuracy_score(topics, answers):.4f}",
            f"{f1_score(topics, answers, average='macro'):.4f}",
            f"{statistics.median(sizes):,.0f}",
        ]
        for answers, sizes in zip(predicted, n_bytes, strict=True)
    ]


# The weight of a correction -----------------------------------------------------------------------

WEIGHTS = (1.0, 2.0, 3.0, 5.0, 8.0)
WEIGHT_SETS = (
    "reuters",
    "banking77",
    "trec",
    "ag_news",
    "stackoverflow",
    "webkb",
    "hint3-powerplay11",
    *(f"sib200-{language}" for language in ("de", "en", "hi", "zh")),
)
# The fraction of the documents that is corrected, at most.
CORRECTED_SHARE = 0.05


class Case(NamedTuple):
    """Training documents, corrections, and test documents."""

    train: Corpus
    corrections: Corpus
    test: Corpus


def new_texts(train: Corpus, test: Corpus, rng: np.random.Generator) -> Case:
    """Correct the answers to documents that a model hasn't seen."""
    order = rng.permutation(len(train))
    n_answered = len(order) // 4
    data, answered = select(train, order[n_answered:]), select(train, order[:n_answered])
    answers = TopicClassifier(n_jobs=1).fit(data.texts, data.topics).predict(answered.texts)
    wrong = np.flatnonzero(answers != np.array(answered.topics, dtype=object))
    return Case(data, select(answered, wrong[: int(CORRECTED_SHARE * len(data))]), test)


def wrong_labels(train: Corpus, test: Corpus, rng: np.random.Generator) -> Case:
    """Correct half of the documents that got another topic."""
    names, topics = sorted(set(train.topics)), list(train.topics)
    wrong = rng.choice(len(train), int(2 * CORRECTED_SHARE * len(train)), replace=False)
    for row in wrong.tolist():
        others = [name for name in names if name != topics[row]]
        topics[row] = others[int(rng.integers(len(others)))]
    return Case(Corpus(train.texts, topics, "rows"), select(train, wrong[::2]), test)


SCENARIOS = {
    "#### New texts\n\nA model learns from three quarters of the documents and answers the others; "
    "its wrong answers are corrected, up to 5 % of the training documents.": new_texts,
    "#### Wrong labels\n\nEvery tenth document has another topic at random, and half of these are "
    "corrected.": wrong_labels,
}


def correction_weight(sets: Sequence[str] = WEIGHT_SETS, folds: int = 5) -> str:
    """How many documents a correction should count as."""
    score = partial(_score_weights, n_folds=folds)
    fractions = {}
    for name in sets:
        fractions[name] = score(name)
        progress(name, fractions[name])
    parts = [
        f"{folds} folds of up to {MAX_USED:,} training documents of each set; accuracy on the "
        "fold held out, in %, by the number of documents that a correction counts as.\n"
    ]
    for number, note in enumerate(SCENARIOS):
        accuracies = {name: fraction[number][:, 0] for name, fraction in fractions.items()}
        rows = [
            [name, *(f"{100 * value:.1f}" for value in values)]
            for name, values in accuracies.items()
        ]
        means = np.mean([fraction[number] for fraction in fractions.values()], axis=0)
        for label, mean in zip(("mean", "corrected texts now right, mean"), means.T, strict=True):
            rows.append([f"**{label}**", *(f"{100 * value:.2f}" for value in mean)])
        header = ["set", "without", *(f"{weight:g}" for weight in WEIGHTS)]
        parts.append(f"{note}\n\n{table(header, rows)}\n")
    return "\n".join(parts)


def _score_weights(name: str, n_folds: int) -> list[np.ndarray]:
    """Return means over folds for each scenario: weights x (accuracy, corrections now right)."""
    rng = np.random.default_rng(0)
    train, _ = load(name)
    train = select(train, np.sort(rng.permutation(len(train))[:MAX_USED]))
    folds = make_folds(train.topics, n_folds, seed=0)
    means = []
    for scenario in SCENARIOS.values():
        fractions = []
        for fold in range(n_folds):
            is_test = folds == fold
            fold_train, fold_test = (
                select(train, np.flatnonzero(rows)) for rows in (~is_test, is_test)
            )
            case = scenario(fold_train, fold_test, rng)
            fractions.append([_score_weight(case, weight) for weight in (None, *WEIGHTS)])
        means.append(np.nanmean(fractions, axis=0))
    return means


def _score_weight(case: Case, weight: float | None) -> tuple[float, float]:
    """Return the accuracy on tests and on corrections; a weight of None is without corrections."""
    classifier = TopicClassifier(n_jobs=1)
    if weight is None or not len(case.corrections):
        classifier.fit(case.train.texts, case.train.topics)
    else:
        learned = merge_corrections(case.train, case.test, case.corrections).learned
        weights = np.ones(len(learned))
        weights[len(learned) - len(case.corrections) :] = weight
        classifier.fit(learned.texts, learned.topics, weights)
    return _share_right(classifier, case.test), _share_right(classifier, case.corrections)


def _share_right(classifier: TopicClassifier, corpus: Corpus) -> float:
    """Return the fraction of documents that get their topic; NaN of none."""
    if not len(corpus):
        return float("nan")
    is_right = classifier.predict(corpus.texts) == np.array(corpus.topics, dtype=object)
    return float(is_right.mean())


# Held-out scores beside word vectors --------------------------------------------------------------

#: Sets whose texts the word vectors know.
KNOWN_SETS = (
    *("trec", "banking77", "stackoverflow", "ag_news", "subj", "custrev", "hint3-powerplay11"),
    *("trec50", "webkb", *(f"sib200-{language}" for language in LANGUAGES if language != "hi")),
)


def standard_errors(
    sets: Sequence[str] = KNOWN_SETS, labels: Sequence[int] = (5, 10, 20), draws: int = 4
) -> str:
    """Whether factors of words and vectors stay near those of one of them."""
    constant = "slugline.learning.encoder.fusion.MAX_ERRORS_IF_SAFE"
    variants = {"within one standard error": 1.0, "lowest log loss": 0.0}
    return f"{_draws_note(draws)}\n\n{_score_values(sets, labels, draws, constant, variants)}"


def spread(
    sets: Sequence[str] = (*KNOWN_SETS, "sib200-hu", "sib200-sw"),
    labels: Sequence[int] = (5, 10, 20),
    draws: int = 4,
) -> str:
    """How much calibrated scores usually say, if only a few documents show it."""
    constant = "slugline.learning.calibration._PRIOR_PART"
    variants = {"any": 1e6} | {f"{value:g}": value for value in (0.6, 0.4, 0.3)}
    return f"{_draws_note(draws)}\n\n{_score_values(sets, labels, draws, constant, variants)}"


def factor_penalty(
    sets: Sequence[str] = KNOWN_SETS, labels: Sequence[int] = (5, 10, 20), draws: int = 4
) -> str:
    """How large the penalty on factors of words and vectors should be."""
    constant = "slugline.learning.encoder.fusion._FACTOR_PENALTY"
    variants = {f"{value:g}": value for value in (1e-9, 1e-6, 1e-4, 1e-3, 1e-2)}
    return f"{_draws_note(draws)}\n\n{_score_values(sets, labels, draws, constant, variants)}"


def _draws_note(n_draws: int) -> str:
    return (
        f"Accuracy with word vectors on at most {MAX_TESTED:,} training documents, mean of "
        f"{n_draws} draws of labels from the others; log loss; calibration error of the answer; "
        "median seconds of a fit."
    )


def _score_values(
    sets: Sequence[str],
    labels: Sequence[int],
    n_draws: int,
    constant: str,
    variants: Mapping[str, float],
) -> str:
    """Return a table of the means over draws with each value of a constant."""
    jobs = [(name, n) for name in sets for n in labels]
    measure = partial(_score_draws, n_draws=n_draws, constant=constant, values=[*variants.values()])
    found = dict(zip(jobs, map_processes(measure, *zip(*jobs, strict=True)), strict=True))
    rows = [[name, f"{n}", *map(_cell, means)] for (name, n), means in found.items()]
    for n in labels:
        of_labels = [means for (_, n_labels), means in found.items() if n_labels == n]
        means = np.mean(of_labels, axis=0)
        rows.append(["mean", f"{n}", *(_cell(DrawMeans(*mean)) for mean in means)])
    return table(["set", "labels a topic", *variants], rows)


class DrawMeans(NamedTuple):
    """Means over draws, and the median time of a fit."""

    accuracy: float
    log_loss: float
    calibration_error: float
    seconds: float


def _cell(means: DrawMeans) -> str:
    numbers = means.accuracy, means.log_loss, means.calibration_error
    return ", ".join([*(f"{number:.3f}" for number in numbers), f"{means.seconds:.2f} s"])


def _score_draws(
    name: str, n: int, n_draws: int, constant: str, values: Sequence[float]
) -> list[DrawMeans]:
    """Return the means of models that are fitted with each value of a constant."""
    train, _ = load(name)
    scores: dict[float, list[DrawMeans]] = {value: [] for value in values}
    for seed in range(n_draws):
        order = np.random.default_rng(seed).permutation(len(train))
        n_tested = min(MAX_TESTED, len(train) * 2 // 5)
        test, rest = select(train, order[:n_tested]), select(train, order[n_tested:])
        drawn = select(rest, draw(rest.topics, n, seed))
        test = select(test, np.flatnonzero(np.isin(test.topics, drawn.topics)))
        for value, of_value in scores.items():
            with patch(constant, value):
                classifier = TopicClassifier(encoder="vectors", n_jobs=1)
                taken = seconds(classifier.fit, drawn.texts, drawn.topics)
            proba = classifier.predict_proba(test.texts)
            is_right = classifier.classes_[proba.argmax(axis=1)] == np.array(test.topics)
            of_value.append(
                DrawMeans(
                    accuracy=float(is_right.mean()),
                    log_loss=log_loss(test.topics, proba, labels=classifier.classes_),
                    calibration_error=calibration_error(proba.max(axis=1), is_right),
                    seconds=taken,
                )
            )
    return [
        DrawMeans(*np.mean(draws, axis=0))._replace(
            seconds=statistics.median(each.seconds for each in draws)
        )
        for draws in scores.values()
    ]


# Word vectors batch by batch ----------------------------------------------------------------------

BATCHES_SETS = ("ag_news", "stackoverflow", "trec", "subj", "sib200-en", "sib200-hu")
# Documents of each topic in the first batch, sizes of the following ones, and numbers of documents
# after which models are tested.
N_FIRST, BATCH_SIZE, TESTED_AT = 10, 50, (200, 500, 1000, 2000)


def batches(sets: Sequence[str] = BATCHES_SETS, draws: int = 2) -> str:
    """How much word vectors help in `partial_fit`, with several penalties and recent rows."""
    module = "slugline.learning.encoder.batches"
    variants: dict[str, tuple[str | None, Mapping[str, float]]] = {
        "words alone": (None, {}),
        "default": ("vectors", {}),
        "penalty 1": ("vectors", {f"{module}._PENALTY": 1.0}),
        "500 recent rows": ("vectors", {f"{module}._MAX_RECENT": 500}),
        "within a standard error": ("vectors", {f"{module}._MAX_ERRORS": 1.0}),
    }
    score = partial(_score_batches, n_draws=draws, variants=[*variants.values()])
    rows = []
    for name, cells in zip(sets, map_processes(score, sets), strict=True):
        rows += [[name, *row] for row in cells]
    note = (
        f"Accuracy and log loss on at most {MAX_TESTED:,} training documents, mean of "
        f"{counted(draws, 'draw')}; the first batch has {N_FIRST} documents of each topic."
    )
    return f"{note}\n\n{table(['set', 'documents', *variants], rows)}"


def _score_batches(
    name: str, n_draws: int, variants: Sequence[tuple[str | None, Mapping[str, float]]]
) -> list[list[str]]:
    """Return a row of the table for each number of documents."""
    train, _ = load(name)
    scores: dict[str, list[list[tuple[float, float]]]] = {}
    for seed in range(n_draws):
        order = np.random.default_rng(seed).permutation(len(train))
        n_tested = min(MAX_TESTED, len(train) // 4)
        test, others = select(train, order[:n_tested]), select(train, order[n_tested:])
        first = np.array(draw(others.topics, N_FIRST, seed))
        later = np.setdiff1d(np.arange(len(others)), first)
        later = np.random.default_rng(seed).permutation(later)
        ends = [n for n in TESTED_AT if len(first) < n <= len(others)]
        parts = [first, *np.split(later, np.array(ends) - len(first))[: len(ends)]]
        labels = ["first", *(f"{end:,}" for end in ends)]
        for number, (encoder, constants) in enumerate(variants):
            classifier = TopicClassifier(encoder=encoder, n_jobs=1)
            for label, part in zip(labels, parts, strict=True):
                with contextlib.ExitStack() as patches:
                    for constant, value in constants.items():
                        patches.enter_context(patch(constant, value))
                    _learn_batches(classifier, select(others, part), sorted({*train.topics}))
                of_variants = scores.setdefault(label, [[] for _ in variants])
                of_variants[number].append(_score(classifier, test))
    return [
        [label, *("{:.3f}, {:.3f}".format(*np.mean(pairs, axis=0)) for pairs in of_variants)]
        for label, of_variants in scores.items()
    ]


def _learn_batches(classifier: TopicClassifier, corpus: Corpus, topics: Sequence[Any]) -> None:
    is_first = not classifier.__sklearn_is_fitted__()
    size = len(corpus) if is_first else BATCH_SIZE
    for start in range(0, len(corpus), size):
        batch = slice(start, start + size)
        classifier.partial_fit(corpus.texts[batch], corpus.topics[batch], topics)


def _score(classifier: TopicClassifier, test: Corpus) -> tuple[float, float]:
    """Return the accuracy and the log loss."""
    proba, y = classifier.predict_proba(test.texts), classifier.fitted_.topics.encode(test.topics)
    of_topics = np.maximum(proba[np.arange(len(y)), y], 1e-9)
    return float((proba.argmax(axis=1) == y).mean()), -float(np.log(of_topics).mean())


BENCHMARKS = {
    "parts": parts,
    "standard-errors": standard_errors,
    "spread": spread,
    "factor-penalty": factor_penalty,
    "batches": batches,
    "bits": bits,
    "halves": halves,
    "shipped-model": shipped_model,
    "correction-weight": correction_weight,
}
QUICK = {
    "parts": {"sets": ("trec",)},
    "standard-errors": {"sets": ("sib200-de",), "labels": (10,), "draws": 1},
    "spread": {"sets": ("sib200-de",), "labels": (10,), "draws": 1},
    "factor-penalty": {"sets": ("sib200-de",), "labels": (10,), "draws": 1},
    "halves": {"sets": ("sib200-de", "sib200-en")},
    "shipped-model": {"folds": 2},
    "correction-weight": {"sets": ("sib200-de",), "folds": 2},
}
