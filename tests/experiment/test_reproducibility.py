"""A model trained again from its own file: identical, or what differs."""

from __future__ import annotations

import signal
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from conftest import WORDS
from model_entries import rezip, unzip
from slugline.base.progress import SilentProgress
from slugline.classifier import TopicClassifier, load
from slugline.corpus.corpus import Corpus
from slugline.errors import DataError, ModelFileError
from slugline.experiment.experiment import run_experiment
from slugline.experiment.quantization import save_quantized
from slugline.experiment.reproducibility import ModelDifference, check_reproducible
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.learner import NeuralLearner
from slugline.model.file import container
from slugline.model.file.content import library_versions
from slugline.model.file.schema import ModelFile
from slugline.text import tokens
from slugline.text.feature_groups import FeatureGroup

pytestmark = pytest.mark.slow

NET = NeuralLearner((5, 4), epochs=3, dropout=0.1, learning_rate=0.01)


@pytest.fixture(scope="session")
def corpus(news: list[tuple[str, str]]) -> Corpus:
    texts, topics = zip(*news, strict=True)
    return Corpus(list(texts), list(topics), "news.csv")


def train(
    path: Path, corpus: Corpus, classifier: TopicClassifier, test: Corpus | None = None
) -> Path:
    """Do what `slugline train` does."""
    experiment = run_experiment(classifier.to_settings(), corpus, test)
    test_fraction = None if test else 0.2
    trained = TopicClassifier.from_fitted(experiment.fitted)
    trained.save(path, metrics=experiment.metrics, test_fraction=test_fraction)
    return path


def fit_and_save(path: Path, corpus: Corpus, *, validation: Corpus) -> None:
    """Save a net whose best epoch was found on other documents."""
    classifier = TopicClassifier(learner="network")
    pair = (validation.texts, validation.topics)
    classifier.fit(corpus.texts, corpus.topics, validation_data=pair).save(path)


@pytest.fixture(scope="module")
def _trained(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("trained") / "a.slug"
    classifier = TopicClassifier(learner="linear", random_state=3)
    return train(path, corpus, classifier).read_bytes()


@pytest.fixture
def slug(tmp_path: Path, _trained: bytes) -> Path:
    path = tmp_path / "a.slug"
    path.write_bytes(_trained)
    return path


def edit(path: Path, *, arrays: Any = None, vocabulary: bytes = b"", **info: Any) -> None:
    """Change some of what a model file says."""
    file = container.read(path)
    changed = ModelFile(
        msgspec.structs.replace(file.info, **info),
        dict(file.arrays) | (arrays or {}),
        vocabulary or file.vocabulary,
        file.card,
    )
    container.write(path, changed)


# Identical --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"learner": "network"},
        {"learner": "linear"},
        {"learner": "network", "class_weight": "balanced", "random_state": 7},
        {"learner": "linear", "class_weight": {"grain": 2.0, "bank": 0.5}},
        {
            "learner": LinearLearner(passes=2, clean=False),
            "feature_groups": [FeatureGroup("words", "counts")],
        },
        {"learner": Mixture([NET, LinearLearner()]), "random_state": 2},
    ],
    ids=["network", "linear", "balanced", "weights", "feature_groups", "mixture"],
)
def test_check_reproducible_gives_the_same_bytes(
    tmp_path: Path, corpus: Corpus, options: dict[str, Any]
) -> None:
    path = train(tmp_path / "a.slug", corpus, TopicClassifier(**options))
    before = path.read_bytes()

    found = check_reproducible(path, corpus)

    assert found.is_identical
    assert found.to_dict() == {
        "model": str(path),
        "identical": True,
        "same_model": True,
        "n_documents": 72,
        "n_bytes": len(before),
        "differences": [],
        "not_measured": [],
    }
    assert path.read_bytes() == before


@pytest.mark.parametrize("test_given", [False, True], ids=["part", "file"])
def test_check_reproducible_gives_the_same_int8_weights(
    tmp_path: Path, corpus: Corpus, test_given: bool
) -> None:
    path = tmp_path / "a.slug"
    learned, test = corpus.split(0.2, random_state=1) if test_given else (corpus, None)
    done = save_quantized(
        run_experiment(TopicClassifier(random_state=3).to_settings(), learned, test=test),
        path,
        "int8",
        card_notes="Of silos.",
    )
    assert done.bytes_after < done.bytes_before

    assert check_reproducible(path, learned, test=test).is_identical
    if test_given:
        assert check_reproducible(path, learned).is_identical


@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("n_characters", [1, 300, 1 << 18])
def test_check_reproducible_does_not_depend_on_threads_or_chunks(
    slug: Path, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, n_jobs: int, n_characters: int
) -> None:
    monkeypatch.setattr(tokens, "CHUNK_SIZES", tokens.ChunkSizes(n_characters))
    assert check_reproducible(slug, corpus, n_jobs=n_jobs).is_identical


def test_check_reproducible_without_the_test_trusts_its_metrics(
    tmp_path: Path, corpus: Corpus
) -> None:
    learned, test = corpus.split(0.2, random_state=1)
    path = train(tmp_path / "a.slug", learned, TopicClassifier(learner="linear"), test=test)

    found = check_reproducible(path, learned)

    assert found.is_identical
    assert found.not_measured == (
        "test_accuracy",
        "test_macro_f1",
        "test_log_loss",
        "test_documents",
        "majority_baseline",
    )


def test_check_reproducible_adds_no_metrics(tmp_path: Path, corpus: Corpus) -> None:
    learned, test = corpus.split(0.2, random_state=1)
    path = tmp_path / "a.slug"
    TopicClassifier(learner="linear").fit(learned.texts, learned.topics).save(path)

    for given in (None, test):
        found = check_reproducible(path, learned, test=given)
        assert (found.is_identical, found.not_measured) == (True, ())


def test_check_reproducible_trusts_metrics_of_the_user(tmp_path: Path, corpus: Corpus) -> None:
    path = tmp_path / "a.slug"
    learned, _ = corpus.split(0.2, random_state=0)
    classifier = TopicClassifier(learner="linear").fit(learned.texts, learned.topics)
    classifier.save(path, metrics={"by_hand": 0.5}, test_fraction=0.2)

    found = check_reproducible(path, corpus)

    assert (found.is_identical, found.not_measured) == (True, ("by_hand",))


def test_check_reproducible_finds_integer_topics_by_their_names(
    tmp_path: Path, corpus: Corpus
) -> None:
    numbers = {"bank": 10, "grain": 9, "sport": -1}
    path = tmp_path / "a.slug"
    topics = [numbers[topic] for topic in corpus.topics]
    TopicClassifier(learner="linear").fit(corpus.texts, topics).save(path)

    assert check_reproducible(path, Corpus(corpus.texts, list(map(str, topics)), "n")).is_identical


def test_check_reproducible_accepts_a_model_saved_again(slug: Path, corpus: Corpus) -> None:
    again = load(slug)
    again.save(slug, metrics=again.info_.metrics, test_fraction=again.info_.test_fraction)
    assert check_reproducible(slug, corpus).is_identical


# Not identical ----------------------------------------------------------------------------------


def test_check_reproducible_names_other_versions(slug: Path, corpus: Corpus) -> None:
    versions = library_versions()
    edit(slug, versions=versions | {"numpy": "1.0", "lapack": "3"})

    found = check_reproducible(slug, corpus)

    assert not found.is_identical
    assert found.differences == (
        ModelDifference("versions.numpy", "1.0", versions["numpy"]),
        ModelDifference("versions.lapack", "3", None),
    )


def test_check_reproducible_lists_versions_first(slug: Path, corpus: Corpus) -> None:
    versions = library_versions()
    metrics = load(slug).info_.metrics
    edit(
        slug,
        class_weight="balanced",
        metrics=metrics | {"test_accuracy": 0.5},
        versions=versions | {"scipy": "0.1"},
    )

    found = check_reproducible(slug, corpus)

    assert [difference.what for difference in found.differences[:1]] == ["versions.scipy"]
    assert ("metrics.test_accuracy", 0.5, 1.0) in found.differences


def test_check_reproducible_shows_the_largest_difference_of_weights(
    slug: Path, corpus: Corpus
) -> None:
    name = "learner.weights.values"
    values = container.read(slug).arrays[name]
    changed = values.copy()
    changed[3] += 0.25
    changed[4] -= 0.5
    edit(slug, arrays={name: changed})

    found = check_reproducible(slug, corpus)

    assert found.differences == (ModelDifference(name, float(changed[4]), float(values[4])),)


def test_check_reproducible_finds_another_seed(tmp_path: Path, corpus: Corpus) -> None:
    learned, test = corpus.split(0.2, random_state=1)
    path = train(tmp_path / "a.slug", learned, TopicClassifier(learner=NET), test=test)
    edit(path, seed=1)

    found = check_reproducible(path, learned, test=test)

    assert {"learner.0", "learner.1", "learner.5"} <= {each.what for each in found.differences}


def test_check_reproducible_shows_shapes_that_differ(tmp_path: Path, corpus: Corpus) -> None:
    feature_groups = [FeatureGroup("words", max_terms=10)]
    path = tmp_path / "a.slug"
    classifier = TopicClassifier(learner="linear", feature_groups=feature_groups)
    classifier.fit(corpus.texts, corpus.topics).save(path)
    info = load(path).info_.feature_groups
    edit(path, feature_groups=[replace(info[0], max_terms=9)])

    found = check_reproducible(path, corpus)

    assert {
        ModelDifference("n_terms.0", 10, 9),
        ModelDifference("vocabulary", "1 of its own", "0 of its own"),
        ModelDifference("shape of idf.0", (10,), (9,)),
        ModelDifference("shape of learner.weights.counts", (10,), (9,)),
    } <= set(found.differences)


def test_check_reproducible_finds_another_vocabulary(slug: Path, corpus: Corpus) -> None:
    lines = container.read(slug).vocabulary
    edit(slug, vocabulary=b"zebra\n" + lines[lines.index(b"\n") + 1 :])

    assert check_reproducible(slug, corpus).differences == (
        ModelDifference("vocabulary", "1 of its own", "1 of its own"),
    )


def test_check_reproducible_finds_another_packing(slug: Path, corpus: Corpus) -> None:
    n_bytes = slug.stat().st_size
    slug.write_bytes(rezip(unzip(slug.read_bytes()), zipfile.ZIP_STORED))

    assert check_reproducible(slug, corpus).differences == (
        ModelDifference("packing", f"{slug.stat().st_size:,} bytes", f"{n_bytes:,} bytes"),
    )


# What can't be checked --------------------------------------------------------------------------


def without_first_row(corpus: Corpus) -> Corpus:
    return Corpus(corpus.texts[1:], corpus.topics[1:], corpus.name)


def with_changed_row(corpus: Corpus) -> Corpus:
    return Corpus([*corpus.texts[:-1], corpus.texts[-1] + "s"], corpus.topics, corpus.name)


def with_changed_topic(corpus: Corpus) -> Corpus:
    return Corpus(corpus.texts, ["grain", *corpus.topics[1:]], corpus.name)


def turned_round(corpus: Corpus) -> Corpus:
    return Corpus(corpus.texts[::-1], corpus.topics[::-1], corpus.name)


@pytest.mark.parametrize(
    ("change", "n"),
    [(without_first_row, 71), (with_changed_row, 72), (with_changed_topic, 72), (turned_round, 72)],
)
def test_check_reproducible_rejects_other_documents(
    slug: Path, corpus: Corpus, change: Callable[[Corpus], Corpus], n: int
) -> None:
    other = change(corpus)
    digest = other.split(0.2, random_state=3)[0].digest()

    with pytest.raises(DataError) as error:
        check_reproducible(slug, other)

    assert str(error.value) == (
        f"news.csv: the {n} training documents differ from the 72 of {slug} "
        f"(SHA-256 {digest[:12]}..., not {load(slug).fitted_.data_digest[:12]}...); check the "
        "version of the data, the columns, and whether a separate `test` was used."
    )


def test_check_reproducible_rejects_a_test_where_a_part_was_set_aside(
    slug: Path, corpus: Corpus
) -> None:
    with pytest.raises(DataError, match=r"^news.csv: the 90 training documents differ from the 72"):
        check_reproducible(slug, corpus, test=corpus)


def test_check_reproducible_rejects_a_model_with_validation_documents(
    tmp_path: Path, corpus: Corpus
) -> None:
    learned, rest = corpus.split(0.2, random_state=1)
    path = tmp_path / "a.slug"
    fit_and_save(path, learned, validation=rest)

    with pytest.raises(ModelFileError) as error:
        check_reproducible(path, learned)

    assert str(error.value) == (
        f"{path}: it was trained with separate validation documents; train it again with the same "
        "files and options, and compare the bytes of both files."
    )


class Impatient(SilentProgress):
    """Interrupts training after its second epoch."""

    is_over = False

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        if step.startswith("epoch 2/") and not self.is_over:
            self.is_over = True
            signal.raise_signal(signal.SIGINT)


def test_check_reproducible_rejects_interrupted_training(tmp_path: Path, corpus: Corpus) -> None:
    path = tmp_path / "a.slug"
    classifier = TopicClassifier(learner="network")
    classifier.fit(corpus.texts, corpus.topics, progress=Impatient())
    classifier.save(path)
    load(path).save(path)

    with pytest.raises(ModelFileError) as error:
        check_reproducible(path, corpus)

    assert str(error.value) == (
        f"{path}: its training was interrupted, which can't be repeated; train a new model."
    )


def test_check_reproducible_rejects_a_model_of_batches(tmp_path: Path, corpus: Corpus) -> None:
    path = tmp_path / "a.slug"
    classifier = TopicClassifier().fit(corpus.texts, corpus.topics)
    classifier.partial_fit(corpus.texts[:9], corpus.topics[:9]).save(path)
    load(path).save(path)

    with pytest.raises(ModelFileError) as error:
        check_reproducible(path, corpus)

    assert str(error.value) == (
        f"{path}: it was trained in batches, which the file doesn't record; it can't be checked."
    )


def test_check_reproducible_compares_weights_bit_by_bit(slug: Path, corpus: Corpus) -> None:
    biases = container.read(slug).arrays["learner.biases"]
    edit(slug, arrays={"learner.biases": np.nextafter(biases, np.float32(9))})

    assert [each.what for each in check_reproducible(slug, corpus).differences] == [
        "learner.biases"
    ]


def several_documents(n: int = 200) -> Corpus:
    rng = np.random.default_rng(0)
    sets = [tuple(topic for topic in WORDS if rng.random() < 0.4) for _ in range(n)]
    texts = [
        " ".join(["the", *(word for topic in topics for word in rng.choice(WORDS[topic], 2))])
        for topics in sets
    ]
    return Corpus(texts, sets, "several.jsonl")


@pytest.mark.parametrize("average", ["micro", "macro"])
def test_check_reproducible_takes_several_topics(average: Any, tmp_path: Path) -> None:
    corpus = several_documents()
    classifier = TopicClassifier(optimize=average, min_precision=0.8)
    path = train(tmp_path / "several.slug", corpus, classifier)
    retraining = check_reproducible(path, corpus)
    assert retraining.differences == ()
    assert retraining.not_measured == ()
    other = several_documents(199)
    with pytest.raises(DataError, match="differ from the 161 of"):
        check_reproducible(path, other)


def test_check_reproducible_takes_a_model_of_an_indicator(tmp_path: Path) -> None:
    corpus = several_documents()
    numbers = {topic: str(number) for number, topic in enumerate(WORDS)}
    indicator = np.array([[topic in topics for topic in WORDS] for topics in corpus.topics])
    TopicClassifier().fit(corpus.texts, indicator).save(tmp_path / "several.slug")
    named = [tuple(numbers[topic] for topic in topics) for topics in corpus.topics]
    retraining = check_reproducible(tmp_path / "several.slug", Corpus(corpus.texts, named))
    assert retraining.differences == ()


def test_card_says_how_several_topics_are_given(tmp_path: Path) -> None:
    model = TopicClassifier().fit(several_documents().texts, several_documents().topics)
    model.save(tmp_path / "several.slug")
    card = container.read(tmp_path / "several.slug").card
    thresholds = model.fitted_.multilabel_rule.thresholds  # type: ignore[union-attr]
    assert (
        "It gives each text none, one or several topics. Its thresholds, from "
        f"{thresholds.min():.2f} to {thresholds.max():.2f} by topic, are chosen for the micro "
        "average of F1."
    ) in card
    assert "always names one" not in card
