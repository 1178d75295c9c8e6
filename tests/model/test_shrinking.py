"""Models made small enough for a file of a given size: what is kept, and what can't be done."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from model.test_hostile_files import as_file, with_info
from slugline.classifier import TopicClassifier, load
from slugline.errors import ModelFileError, OptionError
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.learner import NeuralLearner
from slugline.model.file.container import pack
from slugline.model.file.content import from_model_file, to_model_file
from slugline.model.file.shrinking import shrink
from slugline.model.fitted import Fitted
from slugline.text.feature_groups import FeatureGroup
from stand_ins import Meanings

NET = NeuralLearner((4, 4), epochs=2)


def size(fitted: Fitted) -> int:
    """Return 100 bytes, and some for each weight and column."""
    learner: Any = fitted.learner
    return int(100 + 3 * learner.weights.nnz + 10 * fitted.features.n_columns)


def sizes_below(fitted: Fitted) -> list[int]:
    """Return sizes that are ever smaller than that of a model."""
    return [int(size(fitted) * share) for share in (0.9, 0.6, 0.3, 0.1)]


def info_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        info: dict[str, Any] = json.loads(archive.read("model.json"))
    return info


@pytest.fixture(scope="module")
def classifier(news: list[tuple[str, str]]) -> TopicClassifier:
    texts, topics = zip(*news, strict=True)
    return TopicClassifier().fit(texts, topics)


@pytest.fixture(scope="module")
def fitted(classifier: TopicClassifier) -> Fitted:
    return classifier.fitted_


# What is kept -----------------------------------------------------------------------------------


def weights_by_term(fitted: Fitted) -> dict[tuple[int, str | None, int], float]:
    """Return each weight by the block and the name of its term, and the column of its topic."""
    learner, first, found = fitted.learner, 0, {}
    assert isinstance(learner, LinearLearner)
    weights = learner.weights.tocoo()
    for number, vocabulary in enumerate(fitted.features.vocabularies_):
        last = first + vocabulary.n_columns
        for row, topic, weight in zip(weights.row, weights.col, weights.data, strict=True):
            if first <= row < last:
                found[number, vocabulary.term(row - first), int(topic)] = float(weight)
        first = last
    return found


def test_nothing_is_dropped_if_it_fits(fitted: Fitted) -> None:
    assert shrink(fitted, size(fitted), size) is fitted


@pytest.mark.parametrize("precision", [None, 0.9], ids=str)
def test_answers_to_heldout_documents_are_dropped_first_unless_a_precision_needs_them(
    fitted: Fitted, precision: float | None
) -> None:
    def with_answers(fitted: Fitted) -> int:
        return size(fitted) + 50 * (fitted.heldout_predictions is not None)

    assert fitted.heldout_predictions is not None
    answers = replace(fitted.heldout_predictions, precision=precision)
    small = shrink(replace(fitted, heldout_predictions=answers), size(fitted), with_answers)
    assert (small.heldout_predictions is None) == (precision is None)
    assert (weights_by_term(small) == weights_by_term(fitted)) == (precision is None)


def test_only_weights_nearest_to_0_are_dropped(fitted: Fitted) -> None:
    before = weights_by_term(fitted)
    for most in sizes_below(fitted):
        kept = weights_by_term(shrink(fitted, most, size))
        dropped = [abs(weight) for term, weight in before.items() if term not in kept]
        assert kept.items() < before.items()
        assert max(dropped) < min(map(abs, kept.values()))
    assert weights_by_term(fitted) == before


def test_terms_without_a_weight_are_dropped_and_the_others_stay_in_order(fitted: Fitted) -> None:
    for most in sizes_below(fitted):
        small = shrink(fitted, most, size)
        learner: Any = small.learner
        ends = np.cumsum([v.n_columns for v in small.features.vocabularies_])
        for unused in np.split(learner.unused_columns(), ends[:-1]):
            assert not unused.any() or len(unused) == 1  # a family of which nothing matters
        assert learner.weights.shape == (small.features.n_columns, len(fitted.topics))
        for now, then in zip(
            small.features.vocabularies_, fitted.features.vocabularies_, strict=True
        ):
            kept = set(now.terms)
            assert list(now.terms) == [term for term in then.terms if term in kept]


def test_sizes_fall_and_come_close_to_what_is_allowed(fitted: Fitted) -> None:
    found = [size(shrink(fitted, most, size)) for most in sizes_below(fitted)]
    assert all(0.8 * most < n <= most for n, most in zip(found, sizes_below(fitted), strict=True))
    assert sorted(found, reverse=True) == found


def test_all_else_stays_as_it_was(fitted: Fitted) -> None:
    small = shrink(fitted, size(fitted) // 2, size)
    learner, before = small.learner, fitted.learner
    assert isinstance(learner, LinearLearner)
    assert isinstance(before, LinearLearner)
    assert learner.biases is before.biases
    assert learner.settings() == before.settings()
    assert (small.topics, small.data_digest) == (fitted.topics, fitted.data_digest)


def test_without_any_weight_the_biases_answer(fitted: Fitted) -> None:
    def at_most(fitted: Fitted) -> int:
        learner: Any = fitted.learner
        return int(learner.weights.nnz)

    small = shrink(fitted, 0, at_most)
    learner: Any = small.learner
    assert learner.weights.nnz == 0
    # A block keeps a column, as in a model file none would mean all buckets.
    assert small.features.n_columns == len(small.features.feature_groups)
    np.testing.assert_array_equal(small.decision_function(["the wheat"]), [learner.biases])


def test_a_vocabulary_keeps_its_terms(news: list[tuple[str, str]]) -> None:
    texts, topics = zip(*news, strict=True)
    fitted = TopicClassifier(feature_groups=[FeatureGroup("words")]).fit(texts, topics).fitted_
    learner: Any = fitted.learner
    small = shrink(fitted, size(fitted) - learner.weights.nnz, size)
    assert small.features.n_columns == fitted.features.n_columns
    assert 0 < len(weights_by_term(small)) < len(weights_by_term(fitted))


# In files ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("quantize", [None, "float16", "int8"], ids=str)
@pytest.mark.parametrize("metrics", [{}, {"accuracy": 1 / 3, "log_loss": 1e-300 / 7}], ids=len)
def test_a_file_has_at_most_the_bytes_allowed_and_keeps_the_limit(
    classifier: TopicClassifier, tmp_path: Path, quantize: Any, metrics: dict[str, float]
) -> None:
    path = tmp_path / "a.slug"
    classifier.save(path, quantize=quantize, metrics=metrics)
    full = path.stat().st_size
    for most in (full - 100, full - 300, full * 4 // 5):
        classifier.save(path, quantize=quantize, metrics=metrics, max_size=most)
        assert 0.85 * most < path.stat().st_size <= most
        assert info_of(path)["max_bytes"] == most
        assert load(path).info_.metrics == metrics


def test_without_a_limit_the_file_says_nothing_of_one(
    classifier: TopicClassifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path / "a.slug")
    assert "max_bytes" not in info_of(tmp_path / "a.slug")


@pytest.mark.parametrize("quantize", [None, "int8"], ids=str)
def test_a_small_model_saved_again_is_the_same_file(
    classifier: TopicClassifier, tmp_path: Path, quantize: Any
) -> None:
    first, again = tmp_path / "a.slug", tmp_path / "b.slug"
    classifier.save(first, quantize=quantize, max_size=2500)
    load(first).save(again, quantize=quantize, max_size=2500)
    assert again.read_bytes() == first.read_bytes()


def test_which_weights_are_dropped_depends_on_no_value_of_a_metric(fitted: Fitted) -> None:
    files = [
        to_model_file(fitted, metrics={"accuracy": value}, max_size=2500)
        for value in (1, 0.9234567890123456)
    ]
    first, second = (weights_by_term(from_model_file(file)) for file in files)
    assert first == second
    assert len(first) < len(weights_by_term(fitted))
    assert all(len(pack(file)) <= 2500 for file in files)


@pytest.mark.parametrize("saved", [False, True], ids=["stream", "loaded"])
def test_what_was_learned_in_batches_is_shrunk_and_learns_on(
    news: list[tuple[str, str]], tmp_path: Path, saved: bool
) -> None:
    texts, topics = zip(*news, strict=True)
    path = tmp_path / "a.slug"
    classifier = TopicClassifier().partial_fit(texts[:60], topics[:60], sorted(set(topics)))
    if saved:
        classifier.save(path)
        classifier = load(path)
    before = classifier.predict_proba(texts)
    classifier.save(path, max_size=2500)
    assert path.stat().st_size <= 2500
    np.testing.assert_array_equal(classifier.predict_proba(texts), before)
    small = load(path)
    assert small.score(texts, topics) > 0.9
    assert small.partial_fit(texts[60:], topics[60:]).n_batches_ == 2


@pytest.mark.parametrize("learner", [NET, Mixture([NET, LinearLearner()])], ids=["net", "mixture"])
def test_a_learner_that_is_not_linear_is_saved_if_it_fits(
    learner: Any, news: list[tuple[str, str]], tmp_path: Path
) -> None:
    path = tmp_path / "a.slug"
    classifier = TopicClassifier(learner=learner).fit(*zip(*news, strict=True))
    classifier.save(path, max_size=10**6)
    n_bytes = path.stat().st_size
    assert info_of(path)["max_bytes"] == 10**6

    with pytest.raises(OptionError) as caught:
        classifier.save(path, max_size=1000)
    assert re.sub("[0-9]+,[0-9]{3};", "N;", str(caught.value)) == (
        "`max_size` is 1,000 bytes, and the file would have N; only a linear learner has weights "
        "to drop. Give a larger one, or store weights in fewer bits with `quantize`."
    )
    assert path.stat().st_size == n_bytes


def test_too_small_a_size_is_refused_and_tells_the_least(
    classifier: TopicClassifier, tmp_path: Path
) -> None:
    path = tmp_path / "a.slug"
    with pytest.raises(OptionError) as caught:
        classifier.save(path, max_size=1000)
    found = re.fullmatch(
        "`max_size` is 1,000 bytes, and without the weight of any term the file would still have "
        "([0-9,]+); give a larger one.",
        str(caught.value),
    )
    assert found
    assert not path.exists()
    # The number in the file compresses a little differently.
    enough = int(found[1].replace(",", "")) + 10
    classifier.save(path, max_size=enough)
    assert enough - 40 < path.stat().st_size <= enough


@pytest.mark.usefixtures("empty_cache")
def test_what_an_encoder_adds_stays(news: list[tuple[str, str]], tmp_path: Path) -> None:
    path = tmp_path / "a.slug"
    texts, topics = zip(*news, strict=True)
    columns = {"bank": 0, "grain": 1, "sport": 2}
    encoder = Meanings({text.split()[1]: columns[topic] for text, topic in news})
    classifier = TopicClassifier(encoder=encoder).fit(texts, topics)
    dense = classifier.fitted_.dense
    assert dense is not None

    classifier.save(path, max_size=3000)
    small = load(path, encoder).fitted_
    assert small.dense is not None
    np.testing.assert_array_equal(small.dense.weights, dense.weights)
    assert len(weights_by_term(small)) < len(weights_by_term(classifier.fitted_))
    assert (small.predict(texts) == np.array(topics)).mean() > 0.9

    with pytest.raises(OptionError) as caught:
        classifier.save(path, max_size=1000)
    assert re.sub("have [0-9,]+,", "have N,", str(caught.value)) == (
        "`max_size` is 1,000 bytes, and without the weight of any term the file would still have "
        "N, as the 12 weights of the encoder's columns all stay; give a larger one."
    )


# Limits that are none ---------------------------------------------------------------------------


def with_limit(classifier: TopicClassifier, most: Any, folder: Path) -> Path:
    """Save a classifier in a file that claims a limit."""
    path = folder / "a.slug"
    classifier.save(path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    path.write_bytes(as_file(with_info(entries, lambda info: info.update(max_bytes=most))))
    return path


@pytest.mark.parametrize("most", [0, -1, 1.5, "5", True, None, 1 << 63, [5]], ids=str)
def test_a_file_with_a_limit_that_is_none_is_refused(
    most: Any, classifier: TopicClassifier, tmp_path: Path
) -> None:
    path = with_limit(classifier, most, tmp_path)
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: damaged (")
    assert "$.max_bytes" in str(caught.value)


@pytest.mark.parametrize("most", [1, (1 << 63) - 1])
def test_the_least_and_the_largest_limit_are_read(
    most: int, classifier: TopicClassifier, tmp_path: Path
) -> None:
    path = with_limit(classifier, most, tmp_path)
    assert load(path).info_.max_bytes == most


def test_numbers_of_numpy_are_as_good_as_python_s(fitted: Fitted) -> None:
    file = to_model_file(fitted, max_size=np.int64(2500))  # type: ignore[arg-type]
    assert msgspec.json.decode(msgspec.json.encode(file.info))["max_bytes"] == 2500
