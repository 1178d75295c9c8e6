"""Models with word vectors that were distilled from an encoder: fits, files, answers, errors."""

from __future__ import annotations

import copy
import pickle
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from model_entries import JSON, Arrays, Entries, change_arrays, change_info, rezip, unzip
from slugline.base.progress import SilentProgress
from slugline.classifier import TopicClassifier, load
from slugline.errors import EncoderWarning, ModelFileError, OptionError
from slugline.explanation.explain import explain
from slugline.exporting.page import model_page
from slugline.learning.encoder.distilled import DistilledEncoder
from slugline.learning.encoder.limits import MAX_NAME
from slugline.model.settings import FitSettings
from stand_ins import Meanings

pytestmark = pytest.mark.usefixtures("empty_cache")

# Words that no table of word vectors knows. Each document has one of them.
N_WORDS = 30
TABLE = "distilled.table"
WORDS = {f"q{topic}x{i}zv": "ab".index(topic) for topic in "ab" for i in range(N_WORDS)}
NEW = ["qax29zv", "qbx29zv", "qax28zv qax27zv", "qbx28zv qbx27zv", "", "unheard"]


def documents() -> tuple[list[str], list[str]]:
    """Return a document for each of the first words of each topic, and the topics."""
    texts = [f"q{topic}x{i}zv" for i in range(12) for topic in "ab"]
    return texts, ["a", "b"] * 12


def unlabelled() -> list[str]:
    """Return texts of two words of the same meaning, in which all words occur."""
    return [
        f"q{topic}x{i}zv q{topic}x{(i + step) % N_WORDS}zv"
        for topic in "ab"
        for i in range(N_WORDS)
        for step in (1, 2)
    ]


def fit(texts_without_labels: list[str] | None = None, **options: Any) -> TopicClassifier:
    classifier = TopicClassifier(encoder=Meanings(WORDS), distil=True, **options)
    return classifier.fit(*documents(), X_unlabelled=texts_without_labels or unlabelled())


def encoder_of(classifier: TopicClassifier) -> DistilledEncoder:
    assert classifier.fitted_.encoder is not None
    encoder = classifier.fitted_.encoder.summing_encoder
    assert isinstance(encoder, DistilledEncoder)
    return encoder


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> TopicClassifier:
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("SLUGLINE_CACHE", str(tmp_path_factory.mktemp("cache")))
    try:
        return fit()
    finally:
        monkeypatch.undo()


@pytest.fixture(scope="module")
def file_bytes(fitted: TopicClassifier, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "distilled.slug"
    fitted.save(path)
    return path.read_bytes()


@pytest.fixture
def path(file_bytes: bytes, tmp_path: Path) -> Path:
    (tmp_path / "distilled.slug").write_bytes(file_bytes)
    return tmp_path / "distilled.slug"


@pytest.fixture
def entries(file_bytes: bytes) -> Entries:
    return unzip(file_bytes)


# Fits ---------------------------------------------------------------------------------------------


def test_distilled_vectors_know_words_of_unlabelled_texts(fitted: TopicClassifier) -> None:
    assert fitted.predict(NEW[:4]).tolist() == ["a", "b", "a", "b"]


def test_distilled_model_records_its_accuracy_beside_its_teacher(fitted: TopicClassifier) -> None:
    record = encoder_of(fitted).record
    assert record == ("meanings", 120, 24, 1.0, 1.0)
    assert str(record) == (
        "distilled from meanings: on 24 held-out documents, 100.0 % right, and 100.0 % with "
        "meanings itself"
    )


def test_fit_without_unlabelled_texts_distils_words_of_the_encoder_and_asks_for_some() -> None:
    class Notes(SilentProgress):
        def __init__(self) -> None:
            self.notes: list[str] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    steps = Notes()
    classifier = TopicClassifier(encoder=Meanings(WORDS), distil=True)
    classifier.fit(*documents(), progress=steps)
    assert steps.notes[-1].endswith(
        "; from texts without labels, it would learn more words: give them with `X_unlabelled`"
    )
    record = encoder_of(classifier).record
    assert (record.teacher, record.n_unlabelled, record.n_heldout) == ("meanings", 0, 24)


def test_distilled_model_doesnt_ask_its_teacher(fitted: TopicClassifier) -> None:
    teacher = fitted.encoder
    assert isinstance(teacher, Meanings)
    n_texts = teacher.n_texts
    fitted.predict_proba(NEW)
    assert teacher.n_texts == n_texts > 0


def test_fit_is_the_same_for_any_number_of_threads(fitted: TopicClassifier) -> None:
    again = fit(n_jobs=3)
    assert encoder_of(again).digest == encoder_of(fitted).digest
    np.testing.assert_array_equal(again.predict_proba(NEW), fitted.predict_proba(NEW))


def test_fit_warns_if_the_built_in_vectors_are_better() -> None:
    # The encoder knows only words that the built-in table doesn't know, and the topics depend on
    # others.
    pairs = [
        ("wheat corn", "grain"), ("barley harvest", "grain"), ("crop farmer", "grain"),
        ("rice seeds", "grain"), ("flour bread", "grain"), ("oats rye", "grain"),
        ("loan credit", "bank"), ("interest debt", "bank"), ("savings account", "bank"),
        ("deposit finance", "bank"), ("currency bond", "bank"), ("money payment", "bank"),
    ]  # fmt: skip
    texts, topics = map(list, zip(*pairs, strict=True))
    few = {"wheat": 0, "rice": 0, "crop": 0, "loan": 1, "debt": 1, "bond": 1, "money": 1}
    classifier = TopicClassifier(encoder=Meanings(few), distil=True)
    with pytest.warns(EncoderWarning) as caught:
        classifier.fit(texts, topics)
    assert str(caught[0].message) == (
        "the word vectors distilled from meanings helped less on held-out documents than those "
        "that come with Slugline, which the model uses in their place; with more texts in "
        "`X_unlabelled`, they may help more."
    )
    assert classifier.fitted_.encoder is not None
    assert classifier.fitted_.encoder.is_built_in


def test_clone_of_a_loaded_model_learns_with_its_vectors(path: Path) -> None:
    loaded = load(path)
    settings = FitSettings.from_fitted(loaded.fitted_)
    assert (settings.distil, settings.encoder) == (False, loaded.fitted_.encoder)
    again = TopicClassifier.from_settings(settings).fit(*documents())
    assert encoder_of(again).digest == encoder_of(loaded).digest


def test_distilled_model_keeps_its_vectors_in_partial_fit(path: Path) -> None:
    loaded = load(path)
    loaded.partial_fit(["qax3zv", "qbx3zv"], ["a", "b"])
    assert loaded.predict(NEW[:2]).tolist() == ["a", "b"]


def test_fit_distils_for_texts_of_several_topics() -> None:
    texts, topics = documents()
    sets = [(topic,) for topic in topics] + [("a", "b")] * 4
    both = [f"qax{i}zv qbx{i}zv" for i in range(4)]
    classifier = TopicClassifier(encoder=Meanings(WORDS), distil=True).fit([*texts, *both], sets)
    assert classifier.predict(["qax2zv qbx3zv"]).tolist() == [("a", "b")]
    assert encoder_of(classifier).record.teacher == "meanings"


# Files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantize", [None, "float16", "int8"], ids=str)
def test_loaded_model_needs_no_teacher(
    quantize: Any, fitted: TopicClassifier, tmp_path: Path
) -> None:
    path = tmp_path / "distilled.slug"
    fitted.save(path, quantize=quantize)
    loaded = load(path)
    tolerance = 0 if quantize is None else 0.05
    np.testing.assert_allclose(loaded.predict_proba(NEW), fitted.predict_proba(NEW), atol=tolerance)
    assert encoder_of(loaded).record == encoder_of(fitted).record
    loaded.save(tmp_path / "again.slug", quantize=quantize)
    assert (tmp_path / "again.slug").read_bytes() == path.read_bytes()


def test_card_names_teacher_licence_and_cost(fitted: TopicClassifier, path: Path) -> None:
    head = fitted.fitted_.dense
    assert head is not None
    card = load(path).card_
    assert (
        "It has vectors of words that were distilled from meanings, which it doesn't need, with "
        "120 texts without labels. From them, "
    ) in card
    assert (
        "When they were distilled, 100.0 % of 24 held-out documents were right, and 100.0 % with "
        "meanings itself."
    ) in card


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copy_of_a_distilled_model_answers_the_same(
    copied: Callable[[TopicClassifier], TopicClassifier], fitted: TopicClassifier
) -> None:
    again = copied(fitted)
    np.testing.assert_array_equal(again.predict_proba(NEW), fitted.predict_proba(NEW))
    assert encoder_of(again).record == encoder_of(fitted).record


def _change(function: Callable[[Any], Any]) -> Callable[[Arrays], Arrays]:
    """Return a function that replaces the word vectors of a file."""
    return lambda arrays: arrays | {TABLE: function(arrays[TABLE])}


def _alter(place: int) -> Callable[[Arrays], Arrays]:
    """Return a function that changes a byte of the word vectors."""

    def alter(data: Any) -> Any:
        data = data.copy()
        data[place] ^= 1
        return data

    return _change(alter)


@pytest.mark.parametrize(
    "change",
    [
        _change(lambda data: data[:-1]),
        _change(lambda data: data[:100]),
        _change(lambda data: data[:0]),
        _change(lambda data: data.astype(np.float32)),
        _change(lambda data: np.append(data, data[:64])),
        lambda arrays: {name: array for name, array in arrays.items() if name != TABLE},
        *map(_alter, (0, 8, 96, 200, -200)),
    ],
)
def test_load_rejects_damaged_vectors(
    change: Callable[[Arrays], Arrays], entries: Entries, tmp_path: Path
) -> None:
    path = tmp_path / "damaged.slug"
    path.write_bytes(rezip(change_arrays(entries, change)))
    with pytest.raises(ModelFileError, match=r"damaged.slug: damaged \("):
        load(path)


def test_load_rejects_vectors_that_overflow(entries: Entries, tmp_path: Path) -> None:
    def overflow(data: Any) -> Any:
        start = data[:52].tobytes() + struct.pack("<f", 1e35) + data[56:92].tobytes()
        start += struct.pack("<I", zlib.crc32(start))
        return np.concatenate([np.frombuffer(start, dtype=np.uint8), data[len(start) :]])

    path = tmp_path / "large.slug"
    path.write_bytes(rezip(change_arrays(entries, _change(overflow))))
    with pytest.raises(ModelFileError, match=r"large.slug: damaged \(.* of another version"):
        load(path)


def test_load_rejects_other_vectors(entries: Entries, tmp_path: Path) -> None:
    other = np.frombuffer(encoder_of(fit(unlabelled()[:100])).data, dtype=np.uint8)
    path = tmp_path / "altered.slug"
    path.write_bytes(rezip(change_arrays(entries, _change(lambda data: other))))
    with pytest.raises(ModelFileError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}: damaged (its word vectors aren't those that it was saved with); "
        "get an intact copy."
    )


@pytest.mark.parametrize(
    "changed",
    [{"accuracy": 2.0}, {"n_heldout": -1}, {"teacher": ""}, {"teacher": "other"}],
    ids=str,
)
def test_load_rejects_a_wrong_record(
    changed: Mapping[str, Any], entries: Entries, tmp_path: Path
) -> None:
    def change(info: dict[str, Any]) -> None:
        info["distillation"] |= changed

    path = tmp_path / "wrong.slug"
    path.write_bytes(rezip(change_info(entries, change)))
    with pytest.raises(ModelFileError):
        load(path)


def test_load_rejects_vectors_without_an_encoder(entries: Entries, tmp_path: Path) -> None:
    path = tmp_path / "wrong.slug"
    path.write_bytes(rezip(change_info(entries, lambda info: info.pop("encoder") and None)))
    with pytest.raises(ModelFileError):
        load(path)


# What models can do -------------------------------------------------------------------------------


def test_explain_attributes_words_of_distilled_vectors(fitted: TopicClassifier) -> None:
    explanation = explain(fitted.fitted_, NEW[0])
    assert explanation.topic == "a"


def test_exported_page_contains_distilled_vectors(path: Path) -> None:
    page = model_page(path)
    assert "distilled from meanings" in page


# Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", [None, "vectors"], ids=str)
def test_distil_needs_a_sentence_encoder(encoder: str | None) -> None:
    with pytest.raises(OptionError) as caught:
        TopicClassifier(encoder=encoder, distil=True).to_settings()
    assert str(caught.value) == (
        "`distil` needs a sentence encoder to distil, which reads texts slowly; give one as well: "
        '`encoder="use"`.'
    )


def test_distil_rejects_descriptions() -> None:
    descriptions = {"a": "words of a", "b": "words of b"}
    classifier = TopicClassifier(encoder=Meanings(WORDS), distil=True, descriptions=descriptions)
    with pytest.raises(OptionError, match="measures word vectors on documents"):
        classifier.to_settings()


def test_distil_rejects_other_values() -> None:
    with pytest.raises(OptionError, match="distil"):
        TopicClassifier(encoder=Meanings(WORDS), distil="yes").to_settings()  # type: ignore[arg-type]


def test_name_of_a_distilled_encoder_fits_into_a_file() -> None:
    teacher = Meanings(WORDS)
    teacher.name = "n" * MAX_NAME
    classifier = TopicClassifier(encoder=teacher, distil=True)
    name = classifier.fit(*documents(), X_unlabelled=unlabelled()).fitted_.encoder
    assert name is not None
    assert len(name.name) == MAX_NAME


def test_info_of_other_models_has_no_distillation(tmp_path: Path) -> None:
    path = tmp_path / "words.slug"
    TopicClassifier().fit(*documents()).save(path)
    assert load(path).info_.distillation is msgspec.UNSET
    assert b"distillation" not in unzip(path.read_bytes())[JSON]
