"""Models with the word vectors that come with Slugline: fits, answers, files and explanations."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import scipy.sparse as sp

from slugline.classifier import TopicClassifier, load
from slugline.corpus.corpus import Corpus
from slugline.errors import EncoderError, OptionError
from slugline.experiment.reproducibility import check_reproducible
from slugline.experiment.suggest import suggest
from slugline.explanation.explain import explain
from slugline.learning.encoder.head import DenseHead
from slugline.learning.encoder.vectors import WordVectorEncoder
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear.learner import LinearLearner
from slugline.model import fit as model_fit
from slugline.prediction.model_copy import ModelCopy
from slugline.serving.served_models import ServedModel
from slugline.text import vector_table
from slugline.text.vector_table import map_table, open_table

Run = Callable[..., Any]

TOPICS = ("grain", "bank", "sport")
# Each stands in one text, so that words alone know nothing of other texts.
SEEN = {
    "grain": "wheat corn barley harvest cereal crop farmer flour field bread rice seeds millet "
    "grain tractor fertilizer agriculture sowing soybean maize",
    "bank": "loan credit interest debt savings account banker deposit finance currency bond "
    "investor payment money dividend inflation cash shares fund capital",
    "sport": "goal match striker referee player team stadium championship athlete coach league "
    "cup tennis football basketball race winner medal olympic swimming",
}
NEW = ["crops farming", "mortgage lender", "hockey tournament"]
UNKNOWN = "qqxzv zzqkw"


def documents() -> tuple[list[str], list[str]]:
    """Return texts of one word each, and their topics."""
    pairs = [(word, topic) for topic, words in SEEN.items() for word in words.split()]
    texts, topics = zip(*pairs, strict=True)
    return list(texts), list(topics)


def fit(**options: Any) -> TopicClassifier:
    return TopicClassifier(**{"encoder": "vectors"} | options).fit(*documents())


def head_of(classifier: TopicClassifier) -> DenseHead:
    assert classifier.fitted_.dense is not None
    return classifier.fitted_.dense


def test_vectors_know_words_that_no_document_has() -> None:
    classifier = fit()
    assert classifier.predict(NEW).tolist() == [*TOPICS]
    assert head_of(classifier).cascade is None


_FIT = """
import sys
from pathlib import Path
from slugline import TopicClassifier, load_corpus

tickets = load_corpus(Path(sys.argv[1]) / "tickets.csv")
TopicClassifier().fit(tickets.texts, tickets.topics).save(sys.argv[2])
"""


@pytest.mark.slow
def test_fit_gives_the_same_bytes_with_another_blas_kernel(tmp_path: Path) -> None:
    examples = Path(__file__).parents[2] / "examples"
    models = []
    for kernel in ("", "Prescott"):  # this processor's, and an old one
        path = tmp_path / f"{kernel}.slug"
        subprocess.run(
            [sys.executable, "-c", _FIT, str(examples), str(path)],
            env=os.environ | {"OPENBLAS_CORETYPE": kernel},
            check=True,
        )
        assert load(path).fitted_.dense is not None
        models.append(path.read_bytes())
    assert len({*models}) == 1


@pytest.mark.parametrize(("n_per_topic", "expected"), [(2, True), (3, False)])
def test_fit_scores_all_documents_unless_they_are_many(
    monkeypatch: pytest.MonkeyPatch, n_per_topic: int, expected: bool
) -> None:
    contexts: list[FitContext] = []

    class RecordingLearner(LinearLearner):
        def fit(self, X: sp.csr_array, labels: Labels, context: FitContext) -> None:
            contexts.append(context)
            super().fit(X, labels, context)

    monkeypatch.setattr(model_fit, "_MAX_IN_FOLDS", 2 * len(TOPICS))
    texts = [word for words in SEEN.values() for word in words.split()[:n_per_topic]]
    topics = np.repeat(TOPICS, n_per_topic).tolist()
    TopicClassifier(learner=RecordingLearner(), encoder="vectors").fit(texts, topics)
    assert contexts[0].cross_validate is expected


def test_words_alone_answer_texts_of_unknown_words() -> None:
    classifier = fit()
    fitted = classifier.fitted_
    words = fitted.learner.predict_proba(fitted.features.transform([UNKNOWN]))
    np.testing.assert_array_equal(classifier.predict_proba([UNKNOWN]), words)


def test_vectors_that_know_no_document_are_left_out_without_a_warning() -> None:
    texts, topics = documents()
    texts = ["".join("qxzvk"[ord(c) % 5] + c for c in text) for text in texts]
    with warnings.catch_warnings(action="error"):
        with_vectors = TopicClassifier(encoder="vectors").fit(texts, topics)
    assert with_vectors.fitted_.dense is None
    expected = TopicClassifier(encoder=None).fit(texts, topics).predict_proba(texts)
    np.testing.assert_array_equal(with_vectors.predict_proba(texts), expected)


def test_some_unknown_documents_are_answered_and_measured_by_words_alone() -> None:
    texts, topics = documents()
    texts[:12] = [f"{topic[::-1]}qx zzqkw" for topic in topics[:12]]
    classifier = TopicClassifier(encoder="vectors").fit(texts, topics)
    assert classifier.predict(NEW).tolist() == [*TOPICS]
    heldout = classifier.fitted_.heldout_predictions
    assert heldout is not None
    assert {*range(12)} <= {*np.asarray(heldout.rows).tolist()}


def test_vectors_learn_several_topics() -> None:
    texts, topics = documents()
    sets: list[tuple[str, ...]] = [(topic,) for topic in topics]
    sets[0] = ("bank", "grain")
    classifier = TopicClassifier(encoder="vectors").fit(texts, sets)
    assert [*classifier.classes_[classifier.predict_proba(NEW).argmax(axis=1)]] == [*TOPICS]
    assert explain(classifier.fitted_, NEW[0], "grain").reasons


def test_sample_weight_counts_in_the_head() -> None:
    texts, topics = documents()
    weight = np.where(np.array(topics) == "bank", 5.0, 1.0)
    plain = TopicClassifier(encoder="vectors").fit(texts, topics)
    weighted = TopicClassifier(encoder="vectors").fit(texts, topics, sample_weight=weight)
    assert (head_of(plain).weights != head_of(weighted).weights).any()


def test_number_of_threads_makes_no_difference() -> None:
    texts = [f"{text} {row}" for row, text in enumerate(documents()[0] * 50)]
    one, three = fit(n_jobs=1), fit(n_jobs=3)
    np.testing.assert_array_equal(one.predict_proba(texts), three.predict_proba(texts))


# Where vectors can't be learned -------------------------------------------------------------------


@pytest.fixture
def altered_table(tmp_path: Path) -> Path:
    """A copy of the package's table with one other byte."""
    path = open_table().path
    data = bytearray(path.read_bytes())
    data[5_000_000] ^= 1
    altered = tmp_path / path.name
    altered.write_bytes(data)
    return altered


@pytest.fixture
def altered_encoder(altered_table: Path) -> WordVectorEncoder:
    """Word vectors from the altered table."""
    return WordVectorEncoder(map_table(altered_table))


def test_fit_rejects_an_altered_table(altered_encoder: WordVectorEncoder) -> None:
    classifier = TopicClassifier(encoder=altered_encoder)
    with pytest.raises(EncoderError, match="checksum mismatch"):
        classifier.fit(*documents())
    with pytest.raises(EncoderError, match="checksum mismatch"):
        classifier.partial_fit(*documents(), classes=TOPICS)


def test_fit_stream_rejects_an_altered_table(altered_encoder: WordVectorEncoder) -> None:
    classifier = TopicClassifier(encoder=altered_encoder)
    with pytest.raises(EncoderError, match="checksum mismatch"):
        classifier.fit_stream([documents()])


def test_fit_of_a_net_does_not_open_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_table, "FOLDER", tmp_path)
    assert TopicClassifier(learner="network").fit(*documents()).fitted_.dense is None
    with pytest.raises(EncoderError, match="can't read the word vectors"):
        TopicClassifier().fit(*documents())


def test_net_learns_words_alone() -> None:
    assert fit(learner="network").fitted_.dense is None


def test_tuned_learner_is_joined_by_vectors() -> None:
    fitted = fit(tune=1.0).fitted_
    assert fitted.tuning is not None
    assert fitted.dense is not None


def test_descriptions_need_a_learner_that_takes_vectors() -> None:
    with pytest.raises(OptionError, match=r"^`descriptions` require word vectors and thus"):
        fit(learner="network", descriptions={"grain": "wheat"})
    with pytest.raises(OptionError, match="require all documents at once"):
        TopicClassifier(descriptions={"grain": "wheat"}).partial_fit(*documents(), classes=TOPICS)


# Files and copies ---------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> Path:
    fit().save(tmp_path / "a.slug")
    return tmp_path / "a.slug"


def with_encoder_entry(path: Path, **entries: Any) -> Path:
    """Return a copy of a model file with other entries on its encoder."""
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    info = msgspec.json.decode(parts["model.json"])
    info["encoder"] |= entries
    parts["model.json"] = msgspec.json.encode(info)
    copy = path.with_name("copy.slug")
    with zipfile.ZipFile(copy, "w") as file:
        for name, data in parts.items():
            file.writestr(name, data)
    return copy


def test_file_names_the_table_and_predicts_the_same(model: Path) -> None:
    loaded = load(model)
    info = loaded.info_
    assert info is not None
    assert info.encoder is not None
    assert (info.encoder.name, info.encoder.version) == ("vectors", "1")
    np.testing.assert_array_equal(loaded.predict_proba(NEW), fit().predict_proba(NEW))


def test_check_reproducible_rejects_an_altered_table(
    model: Path, altered_table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vector_table, "FOLDER", altered_table.parent)
    load(model).predict(NEW)  # reads only a part of the table
    with pytest.raises(EncoderError, match="checksum mismatch"):
        check_reproducible(model, Corpus.from_documents(*documents()))


def test_server_and_info_reject_an_altered_table(
    model: Path, altered_table: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("info", str(model)).code == 0
    monkeypatch.setattr(vector_table, "FOLDER", altered_table.parent)
    with pytest.raises(EncoderError, match="checksum mismatch"):
        ServedModel.load(str(model))
    result = run("info", str(model))
    assert (result.code, result.out) == (1, "")
    assert f"{altered_table}: checksum mismatch; install slugline" in result.err


def test_load_names_the_version_of_a_missing_table(model: Path) -> None:
    path = with_encoder_entry(model, version="7", digest="0" * 64)
    with pytest.raises(EncoderError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path} was made with version 7 of the encoder vectors, but this Slugline has version 1; "
        "install the Slugline release that saved it, or train the model again."
    )


def test_copies_predict_the_same(model: Path) -> None:
    classifier = fit()
    expected = classifier.predict_proba(NEW)
    assert len(pickle.dumps(classifier.fitted_.encoder)) < 1000  # without the table
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(NEW), expected)
    copy = ModelCopy.from_model(classifier)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(copy)).models()[""].predict_proba(NEW), expected
    )


# Explanations and suggestions ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", [*NEW, "l'hôtel près d'une gare, 手机和石油", "ราคาน้ำมัน wheat", "Straße", "a" * 300]
)
def test_attributions_of_words_add_up_exactly(text: str) -> None:
    found = explain(fit().fitted_, text)
    total = found.bias + sum(reason.attribution for reason in found.reasons)
    assert total == pytest.approx(found.score, abs=1e-9)
    assert all(reason.start is not None for reason in found.reasons)


def test_words_have_attributions_even_without_dividing_the_encoder() -> None:
    found = explain(fit().fitted_, "and mortgage", "bank", split_encoder=False)
    places = {reason.word: (reason.start, reason.end) for reason in found.reasons}
    assert places == {"and": (0, 3), "mortgage": (4, 12)}


def test_suggest_compares_texts_by_their_vectors() -> None:
    texts = [*documents()[0], *NEW]
    assert len(suggest(fit(), texts, 5)) == 5
