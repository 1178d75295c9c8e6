"""One safe file in, one safe file out: exact round trips, and damage of every kind refused."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import runpy
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from model_entries import CARD, JSON, VOCABULARY, WEIGHTS, rezip, unzip
from slugline.classifier import TopicClassifier, load
from slugline.errors import DataError, ModelFileError, OptionError
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.learner import NeuralLearner
from slugline.model.file import container
from slugline.model.file import content as classifier_file
from slugline.text.feature_groups import FeatureGroup, default_feature_groups

TEXTS = [
    "wheat and corn rose",
    "net profit of straße",
    "zinc — 石油 fell",
    "İstanbul \ud800 rose",
] * 5
TOPICS = ["grain", "earn", "zinc", "Größe 石"] * 5
NEW = ["", "wheat straße rose", "\ud800 石油", "zebra"]

NET = NeuralLearner((5, 4), epochs=3, dropout=0.1, learning_rate=0.01)
GROUPS = [
    FeatureGroup("words", "counts"),
    FeatureGroup("bigrams", weight=0.5),
    FeatureGroup("characters", "tf-idf"),
]
HASHED = [
    FeatureGroup("characters", n_buckets=256),
    FeatureGroup("words"),
    FeatureGroup("lead", "counts", n_buckets=64),
]


def fit(learner: Any = "linear", topics: list[Any] = TOPICS, **options: Any) -> Any:
    return TopicClassifier(learner=learner, **options).fit(TEXTS, topics)


# Round trips ------------------------------------------------------------------------------------


def test_load_reads_a_feature_group_without_terms(tmp_path: Path) -> None:
    path = tmp_path / "words.slug"
    classifier = TopicClassifier().fit(["wheat", "loan"] * 3, ["grain", "bank"] * 3)
    classifier.save(path)
    assert (load(path).predict_proba(NEW) == classifier.predict_proba(NEW)).all()


@pytest.mark.parametrize(
    "classifier",
    [
        fit("network", random_state=3),
        fit("linear", class_weight="balanced"),
        fit(Mixture([LinearLearner(passes=2), Mixture([NET, LinearLearner(clean=False)])])),
        fit(NET, topics=[7, -1, 2**40, 0] * 5, class_weight={7: 2, 0: 0.5}),
        fit("linear", feature_groups=GROUPS),
        fit("network", feature_groups=HASHED),
        fit("linear", topics=[1] * 20),
    ],
    ids=["network", "linear", "mixture", "integer topics", "feature groups", "hashed", "one topic"],
)
def test_load_and_save_reproduce_the_file(classifier: TopicClassifier, tmp_path: Path) -> None:
    classifier.save(tmp_path / "a.slug", metrics={"accuracy": 0.75})

    again = load(tmp_path / "a.slug")
    again.save(tmp_path / "b.slug", metrics=again.info_.metrics)

    assert np.array_equal(again.predict_proba(NEW), classifier.predict_proba(NEW))
    assert again.classes_.tolist() == classifier.classes_.tolist()
    assert again.classes_.dtype == classifier.classes_.dtype
    assert again.class_weight == classifier.class_weight
    assert again.random_state == classifier.random_state
    assert again.info_.metrics == {"accuracy": 0.75}
    assert again.info_.n_documents == 20
    assert again.info_.data_digest == classifier.fitted_.data_digest
    assert (tmp_path / "b.slug").read_bytes() == (tmp_path / "a.slug").read_bytes()


def bytes_of(classifier: TopicClassifier, folder: Path) -> bytes:
    classifier.save(folder / "model.slug")
    return (folder / "model.slug").read_bytes()


def test_save_gives_the_same_bytes_for_any_number_of_threads(tmp_path: Path) -> None:
    one = bytes_of(fit("network"), tmp_path)
    assert bytes_of(fit("network", n_jobs=3), tmp_path) == one
    assert bytes_of(fit("network", random_state=1), tmp_path) != one


def test_save_takes_options_of_numpy_types(tmp_path: Path) -> None:
    odd: Any = {"hidden": [np.int64(4)], "epochs": np.int64(2), "l2": np.float32(0.5)}
    fit(NeuralLearner(**odd), random_state=np.int64(3)).save(tmp_path / "a.slug")
    again = load(tmp_path / "a.slug")
    assert again.random_state == 3
    plain = fit(NeuralLearner([4], epochs=2, l2=0.5), random_state=3)
    assert again.fitted_.learner.settings() == plain.fitted_.learner.settings()


def test_save_names_hash_buckets_by_their_first_terms(tmp_path: Path) -> None:
    fit("linear", feature_groups=HASHED).save(tmp_path / "a.slug")
    n_terms = unzip((tmp_path / "a.slug").read_bytes())[VOCABULARY].count(b"\n")
    again = load(tmp_path / "a.slug")
    assert again.fitted_.features.feature_groups == tuple(HASHED)
    # Terms that share a bucket have one name.
    assert again.info_.n_terms == (39, 13, 12)
    assert n_terms == 64
    assert (
        "- terms: 39 characters (log-tf-idf), 13 words (log-tf-idf), 12 lead (counts)\n"
    ) in again.card_


def test_save_writes_four_entries_and_a_readable_card(tmp_path: Path) -> None:
    fit("linear").save(tmp_path / "a.slug", metrics={"test_accuracy": 0.8125})
    entries = unzip((tmp_path / "a.slug").read_bytes())
    assert list(entries) == [JSON, WEIGHTS, VOCABULARY, CARD]
    assert json.loads(entries["model.json"])["topics"] == ["Größe 石", "earn", "grain", "zinc"]
    assert "straße\n".encode() in entries["vocabulary.txt"]
    card = entries["card.md"].decode()
    assert "- test accuracy: 0.8125" in card
    assert "- Größe 石" in card
    assert load(tmp_path / "a.slug").card_ == card


# Fewer bits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.parametrize(
    "learner",
    ["linear", NET, Mixture([LinearLearner(), Mixture([NET])])],
    ids=["linear", "network", "mixture"],
)
def test_quantize_predicts_nearly_the_same_and_is_stable(
    learner: Any, precision: Any, tmp_path: Path
) -> None:
    classifier = fit(learner)
    classifier.save(tmp_path / "a.slug", quantize=precision)

    again = load(tmp_path / "a.slug")
    again.save(tmp_path / "b.slug", quantize=precision)

    assert again.info_.weight_type == precision
    assert f"\n- weights: rounded to {precision}\n" in again.card_
    assert np.abs(again.predict_proba(NEW) - classifier.predict_proba(NEW)).max() < 0.02
    assert (tmp_path / "b.slug").read_bytes() == (tmp_path / "a.slug").read_bytes()
    stored = load_arrays(unzip((tmp_path / "a.slug").read_bytes())[WEIGHTS])
    kinds = {
        n: a.dtype.name
        for n, a in stored.items()
        if not n.startswith(("heldout.", "text_profile."))
    }
    rounded = {n for n in kinds if stored[n].ndim == 2 or n.endswith(".values")}
    assert {kinds.pop(name) for name in rounded} == {precision}
    assert {kind for name, kind in kinds.items() if name.endswith(".topics")} <= {"uint16"}
    assert {kind for name, kind in kinds.items() if name.endswith(".counts")} <= {"uint32"}
    rest = {kind for name, kind in kinds.items() if not name.endswith((".topics", ".counts"))}
    assert rest == {"float32"}


def test_quantize_rejects_an_unknown_precision(tmp_path: Path) -> None:
    with pytest.raises(OptionError) as caught:
        fit().save(tmp_path / "a.slug", quantize="int4")
    assert str(caught.value) == "`quantize` is 'int4'; give one of float16, int8."
    assert list(tmp_path.iterdir()) == []


def test_card_notes_are_on_the_card(tmp_path: Path) -> None:
    fit().save(tmp_path / "a.slug", card_notes="## Licence\n\nPublic domain.\n")
    assert "\n\n## Licence\n\nPublic domain.\n\n## Figures\n" in load(tmp_path / "a.slug").card_


# Writing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_save_to_a_full_disk_leaves_the_earlier_file(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    classifier = fit()
    before = bytes_of(classifier, tmp_path)
    owner: Any = {"fsync": os, "replace": Path}[step]
    monkeypatch.setattr(owner, step, fail)

    with pytest.raises(ModelFileError) as caught:
        classifier.save(tmp_path / "model.slug")

    assert str(caught.value) == (
        f"{tmp_path}/model.slug: the model could not be saved (No space left on device); an "
        "earlier file there is unchanged. Free some space, or save it elsewhere."
    )
    assert [path.name for path in tmp_path.iterdir()] == ["model.slug"]
    assert (tmp_path / "model.slug").read_bytes() == before


def test_save_names_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError) as caught:
        fit().save(tmp_path / "none" / "a.slug")
    assert str(caught.value) == (
        f"{tmp_path}/none/a.slug: the model could not be saved (No such file or directory); an "
        "earlier file there is unchanged. Create the folder, or save it elsewhere."
    )


# Damage -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the bytes of a linear model of words, bigrams and characters."""
    classifier = fit("linear", feature_groups=default_feature_groups("log-tf-idf"))
    return bytes_of(classifier, tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def good_net(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the bytes of a net."""
    return bytes_of(fit(NET), tmp_path_factory.mktemp("good"))


def refusal(data: bytes, folder: Path) -> str:
    """Load bytes that must be refused; give the message without its path."""
    path = folder / "bad.slug"
    path.write_bytes(data)
    with pytest.raises(ModelFileError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


NOT_A_MODEL = (
    "not a Slugline model, or truncated; "
    "make one with `slugline train DATA -o model.slug`, or get an intact copy."
)


@pytest.mark.parametrize("sixteenths", range(16))
def test_load_refuses_a_truncated_file(sixteenths: int, good: bytes, tmp_path: Path) -> None:
    assert refusal(good[: len(good) * sixteenths // 16], tmp_path) == NOT_A_MODEL


def test_load_refuses_a_path_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError) as caught:
        load(tmp_path / "none.slug")
    assert str(caught.value) == f"{tmp_path}/none.slug: there is no such file; check the path."
    (tmp_path / "nine.slug").touch()
    with pytest.raises(ModelFileError, match=r"did you mean .*/nine\.slug\?"):
        load(tmp_path / "nine.slg")


def test_load_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError) as caught:
        load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: can't be read (Is a directory); check the path and its permissions."
    )


def damaged(reason: str) -> str:
    return f"damaged ({reason}); get an intact copy."


@pytest.mark.parametrize("n_terms", [0, 1], ids=["no terms", "a term each"])
def test_load_allocates_no_memory_for_claimed_buckets(
    n_terms: int, good: bytes, tmp_path: Path
) -> None:
    entries = unzip(good)
    info = json.loads(entries[JSON])
    hostile = info["feature_groups"][0] | {"weighting": "counts", "n_buckets": 1 << 24}
    info["feature_groups"] += [hostile] * 50
    info["n_terms"] += [n_terms] * 50
    entries |= {
        JSON: json.dumps(info).encode(),
        VOCABULARY: entries[VOCABULARY] + b"zebra\n" * 50 * n_terms,
    }
    tracemalloc.start()
    try:
        refusal(rezip(entries), tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Each of the model's own three blocks of 2**20 buckets takes 4 MiB.
    assert peak < 16 << 20


def test_load_refuses_too_many_weights_before_unpacking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit().save(tmp_path / "a.slug", quantize="int8")
    data = (tmp_path / "a.slug").read_bytes()
    n_bytes = len(unzip(data)[WEIGHTS])
    monkeypatch.setitem(container._LIMITS, WEIGHTS, 2 * n_bytes)
    assert refusal(data, tmp_path) == (
        f"weights.safetensors claims {4 * n_bytes:,} bytes of weights, more than a model "
        "has; get an unmodified copy."
    )


@pytest.mark.parametrize("depth", [100, 3000])
def test_load_refuses_endlessly_nested_mixtures(depth: int, good: bytes, tmp_path: Path) -> None:
    entries = unzip(good)
    text = entries[JSON].decode()
    first, last = text.index('"learner": {') + 11, text.index('"seed"')
    inner = text[first:last].rstrip().rstrip(",")
    end = '],"weights":[1],"inverse_temperature":1}'
    nested = '{"kind":"mixture","learners":[' * depth + inner + end * depth
    arrays = {
        name.replace("learner.", "learner." + "0." * depth): array
        for name, array in load_arrays(entries[WEIGHTS]).items()
    }
    changed = {JSON: (text[:first] + nested + "," + text[last:]).encode()}
    changed[WEIGHTS] = save_arrays(arrays)
    message = refusal(rezip(entries | changed, zipfile.ZIP_STORED), tmp_path)
    too_many = "a mixture of over 1,000 learners, or mixtures nested over 16 deep"
    # How deep JSON may be nested depends on the version of Python.
    reasons = (too_many,) if depth == 100 else (too_many, "nested too deeply")
    assert message in map(damaged, reasons)


def test_load_refuses_weights_whose_sums_overflow(good_net: bytes, tmp_path: Path) -> None:
    entries = unzip(good_net)
    arrays = load_arrays(entries[WEIGHTS])
    huge = arrays | {"learner.0": np.full_like(arrays["learner.0"], 3e38)}
    assert refusal(rezip(entries | {WEIGHTS: save_arrays(huge)}), tmp_path) == (
        "array 'learner.0' holds 3e+38, and weights over 1e+09 are useless; train the model again, "
        "in smaller steps."
    )


@pytest.mark.parametrize("name", [JSON, WEIGHTS, VOCABULARY, CARD])
def test_load_refuses_zip_bombs_before_unpacking(
    name: str, good: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = unzip(good)
    size = 8 << 20 if name != CARD else 1 << 20
    bomb = rezip(entries | {name: b" " * size}, zipfile.ZIP_DEFLATED)
    real_open = zipfile.ZipFile.open

    def open_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Any:
        assert entry.filename != name, "unpacked"
        return real_open(archive, entry)

    monkeypatch.setattr(zipfile.ZipFile, "open", open_entry)
    assert refusal(bomb, tmp_path) == (
        f"{name} claims to unpack to {size:,} bytes, which no {len(bomb):,}-byte model does."
    )


def test_load_refuses_an_entry_that_hides_its_size(good: bytes, tmp_path: Path) -> None:
    entries = unzip(good) | {VOCABULARY: b" " * (30 << 20)}
    bomb = rezip(entries, zipfile.ZIP_DEFLATED)
    hidden = bomb.replace(struct.pack("<I", 30 << 20), struct.pack("<I", 100))
    assert hidden.count(struct.pack("<I", 100)) == 2
    assert refusal(hidden, tmp_path) == NOT_A_MODEL


@pytest.mark.parametrize(
    ("offset", "value"), [(8, 1), (10, 12), (10, 99)], ids=["encrypted", "bzip2", "unknown"]
)
def test_load_refuses_encrypted_entries_and_unknown_compression(
    offset: int, value: int, good: bytes, tmp_path: Path
) -> None:
    data = bytearray(good)
    first = data.index(b"PK\x01\x02")
    assert data[first + 46 :].startswith(JSON.encode())
    data[first + offset] = value
    assert (
        refusal(bytes(data), tmp_path) == "model.json is encrypted or compressed in an unknown way."
    )


def test_load_refuses_an_entry_with_a_wrong_checksum(good: bytes, tmp_path: Path) -> None:
    data = rezip(unzip(good), zipfile.ZIP_STORED).replace(b"wheat", b"wheet", 1)
    assert refusal(data, tmp_path) == NOT_A_MODEL


# Fuzz -------------------------------------------------------------------------------------------

FUZZER = Path(__file__).parents[2] / "tools" / "fuzz_model_file.py"


@pytest.fixture(scope="module")
def fuzzer() -> dict[str, Any]:
    """Return the names of the tool that damages files at random."""
    if not FUZZER.is_file():
        pytest.skip("no tools folder beside the tests")
    return runpy.run_path(str(FUZZER))


@pytest.mark.slow
def test_load_of_randomly_damaged_files_refuses_or_works(
    fuzzer: dict[str, Any], tmp_path: Path
) -> None:
    counts, slowest = fuzzer["fuzz"](150, 0, tmp_path)
    assert sum(counts.values()) == 150
    ends = {
        name: sum(n for key, n in counts.items() if name in key) for name in ("refused", "loaded")
    }
    assert ends["refused"] > 90
    assert ends["loaded"] > 5
    assert slowest < 5


@pytest.mark.parametrize(
    ("texts", "method"),
    [
        ([f"word{n} other{n}" for n in range(400)], zipfile.ZIP_DEFLATED),
        (["x" * 500_000, "oil", "gas", "tin"], zipfile.ZIP_STORED),
    ],
    ids=["many words", "a word that would be taken for a bomb"],
)
def test_save_deflates_an_entry_unless_load_would_refuse_it(
    texts: list[str], method: int, tmp_path: Path
) -> None:
    classifier = TopicClassifier(feature_groups=[FeatureGroup("words")])
    classifier.fit(texts, ["a", "b"] * (len(texts) // 2)).save(tmp_path / "a.slug")
    with zipfile.ZipFile(tmp_path / "a.slug") as archive:
        assert archive.getinfo("vocabulary.txt").compress_type == method
    again = load(tmp_path / "a.slug")
    assert np.array_equal(again.predict_proba(texts), classifier.predict_proba(texts))


def test_save_writes_no_times_and_world_readable_entries(good: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        for entry in archive.infolist():
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.external_attr >> 16 == 0o644


def test_save_writes_weights_of_any_memory_order(tmp_path: Path) -> None:
    classifier = fit(NET)
    expected = classifier.predict_proba(NEW)
    net = classifier.fitted_.learner.network
    net.weights = [np.asfortranarray(weights) for weights in net.weights]
    classifier.save(tmp_path / "a.slug")
    assert np.array_equal(load(tmp_path / "a.slug").predict_proba(NEW), expected)


def test_save_refuses_a_model_too_large_to_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(container._LIMITS, "vocabulary.txt", 10)
    with pytest.raises(ModelFileError) as caught:
        fit("linear").save(tmp_path / "a.slug")
    assert re.search(
        r"vocabulary\.txt would have \d+ bytes, but may have at most 10; "
        r"make the model smaller\.$",
        str(caught.value),
    )
    assert not (tmp_path / "a.slug").exists()


def test_save_refuses_more_buckets_than_a_file_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier_file, "_MAX_BUCKETS", 300)
    with pytest.raises(DataError) as caught:
        fit("linear", feature_groups=HASHED).save(tmp_path / "a.slug")
    assert str(caught.value) == (
        "the feature groups have 320 hash buckets, and in a model file they may have 300; give "
        "them fewer `n_buckets`."
    )
    assert list(tmp_path.iterdir()) == []


def test_load_recognizes_documents_in_place_of_a_model(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(b"text,topic\nwheat,grain\n")
    with pytest.raises(ModelFileError) as caught:
        load(tmp_path / "a.csv.gz")
    assert str(caught.value).startswith(f"{tmp_path}/a.csv.gz: documents, not a model; make one ")


def test_card_leaves_out_settings_that_only_the_model_needs(good: bytes) -> None:
    card = unzip(good)[CARD].decode()
    assert "- kind: linear\n" in card
    for name in ("inverse temperature", "uniform weight", "clean", "n suspect labels"):
        assert f"- {name}: " not in card
