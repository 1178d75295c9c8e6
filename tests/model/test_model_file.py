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
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from slugline.classifier import TopicClassifier, load
from slugline.errors import DataError, ModelFileError, OptionError
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.learner import NeuralLearner
from slugline.model.file import container
from slugline.model.file import content as classifier_file
from slugline.model.file.schema import FORMAT
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


def test_a_family_of_which_no_document_has_a_term_is_read_back(tmp_path: Path) -> None:
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
    ids=["network", "linear", "mixture", "integer topics", "blocks", "hashed", "one topic"],
)
def test_a_round_trip_is_exact(classifier: TopicClassifier, tmp_path: Path) -> None:
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


def test_the_same_model_gives_the_same_bytes_for_any_number_of_threads(tmp_path: Path) -> None:
    one = bytes_of(fit("network"), tmp_path)
    assert bytes_of(fit("network", n_jobs=3), tmp_path) == one
    assert bytes_of(fit("network", random_state=1), tmp_path) != one


def test_numpy_numbers_as_options_can_be_saved(tmp_path: Path) -> None:
    odd: Any = {"hidden": [np.int64(4)], "epochs": np.int64(2), "l2": np.float32(0.5)}
    fit(NeuralLearner(**odd), random_state=np.int64(3)).save(tmp_path / "a.slug")
    again = load(tmp_path / "a.slug")
    assert again.random_state == 3
    plain = fit(NeuralLearner([4], epochs=2, l2=0.5), random_state=3)
    assert again.learner_.settings() == plain.learner_.settings()


def test_hash_buckets_are_named_by_first_terms_and_have_a_line_on_the_card(tmp_path: Path) -> None:
    fit("linear", feature_groups=HASHED).save(tmp_path / "a.slug")
    with zipfile.ZipFile(tmp_path / "a.slug") as archive:
        n_terms = archive.read("vocabulary.txt").count(b"\n")
    again = load(tmp_path / "a.slug")
    assert again.features_.feature_groups == tuple(HASHED)
    # Terms that share a bucket have one name.
    assert [block.n_terms for block in again.info_.feature_groups] == [39, 13, 12]
    assert n_terms == 64
    assert (
        "- terms: 39 characters (log-tf-idf), 13 words (log-tf-idf), 12 lead (counts)\n"
    ) in again.card_


def test_the_archive_has_four_plain_entries_and_a_readable_card(tmp_path: Path) -> None:
    fit("linear").save(tmp_path / "a.slug", metrics={"test_accuracy": 0.8125})
    with zipfile.ZipFile(tmp_path / "a.slug") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    assert list(entries) == ["model.json", "weights.safetensors", "vocabulary.txt", "card.md"]
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
def test_a_quantized_model_says_nearly_the_same_and_is_stable_when_saved_again(
    learner: Any, precision: Any, tmp_path: Path
) -> None:
    classifier = fit(learner)
    classifier.save(tmp_path / "a.slug", quantize=precision)

    again = load(tmp_path / "a.slug")
    again.save(tmp_path / "b.slug", quantize=precision)

    assert again.info_.precision == precision
    assert f"\n- weights: rounded to {precision}\n" in again.card_
    assert np.abs(again.predict_proba(NEW) - classifier.predict_proba(NEW)).max() < 0.02
    assert (tmp_path / "b.slug").read_bytes() == (tmp_path / "a.slug").read_bytes()
    stored = load_arrays(unzip((tmp_path / "a.slug").read_bytes())[WEIGHTS])
    kinds = {name: array.dtype.name for name, array in stored.items()}
    rounded = {n for n, a in stored.items() if a.ndim == 2 or n.endswith(".values")}
    assert {kinds.pop(name) for name in rounded} == {precision}
    assert {kind for name, kind in kinds.items() if name.endswith(".topics")} <= {"uint16"}
    assert {kind for name, kind in kinds.items() if name.endswith(".counts")} <= {"uint32"}
    rest = {kind for name, kind in kinds.items() if not name.endswith((".topics", ".counts"))}
    assert rest == {"float32"}


def test_an_unknown_precision_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(OptionError) as caught:
        fit().save(tmp_path / "a.slug", quantize="int4")
    assert str(caught.value) == "`quantize` is 'int4'; give one of float16, int8."
    assert list(tmp_path.iterdir()) == []


def test_what_only_the_maker_knows_stands_in_the_card(tmp_path: Path) -> None:
    fit().save(tmp_path / "a.slug", card_notes="## Licence\n\nPublic domain.\n")
    assert "\n\n## Licence\n\nPublic domain.\n\n## Figures\n" in load(tmp_path / "a.slug").card_


# Writing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_earlier_file(
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


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
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
def test_a_file_that_is_cut_off_is_refused(sixteenths: int, good: bytes, tmp_path: Path) -> None:
    assert refusal(good[: len(good) * sixteenths // 16], tmp_path) == NOT_A_MODEL


def test_a_path_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError) as caught:
        load(tmp_path / "none.slug")
    assert str(caught.value) == f"{tmp_path}/none.slug: there is no such file; check the path."
    (tmp_path / "nine.slug").touch()
    with pytest.raises(ModelFileError, match=r"did you mean .*/nine\.slug\?"):
        load(tmp_path / "nine.slg")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError) as caught:
        load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: can't be read (Is a directory); check the path and its permissions."
    )


def damaged(reason: str) -> str:
    return f"damaged ({reason}); get an intact copy."


Entries = dict[str, bytes]
JSON, WEIGHTS, WORDS, CARD = "model.json", "weights.safetensors", "vocabulary.txt", "card.md"


def unzip(data: bytes) -> Entries:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rezip(entries: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")
        for name, content in entries:
            archive.writestr(name, content)
    return buffer.getvalue()


def swap(entries: Entries, one: str, other: str) -> Entries:
    return entries | {one: entries[other], other: entries[one]}


ENTRY_DAMAGE: dict[str, tuple[Callable[[Entries], Any], str]] = {
    "another zip": (
        lambda e: {"mimetype": b"application/epub+zip"},
        "a zip archive without model.json, so not a Slugline model; check the path, or export a "
        "spreadsheet as CSV.",
    ),
    "an empty zip": (
        lambda e: {},
        "a zip archive without model.json, so not a Slugline model; check the path, or export a "
        "spreadsheet as CSV.",
    ),
    "an entry missing": (
        lambda e: {n: e[n] for n in (JSON, WEIGHTS, WORDS)},
        (
            "holds 3 entries where a model has just model.json, weights.safetensors, "
            "vocabulary.txt, card.md; get an unmodified copy."
        ),
    ),
    "an entry too many": (
        lambda e: e | {"code.py": b""},
        (
            "holds 5 entries where a model has just model.json, weights.safetensors, "
            "vocabulary.txt, card.md; get an unmodified copy."
        ),
    ),
    "an entry twice": (
        lambda e: [*e.items(), (WORDS, e[WORDS])],
        (
            "holds 5 entries where a model has just model.json, weights.safetensors, "
            "vocabulary.txt, card.md; get an unmodified copy."
        ),
    ),
    "weights and words swapped": (
        lambda e: swap(e, WEIGHTS, WORDS),
        (
            "vocabulary.txt holds 0 terms but model.json says 65; both must come from one "
            "training run."
        ),
    ),
    "words and card swapped": (
        lambda e: swap(e, WORDS, CARD),
        (
            "vocabulary.txt holds 29 terms but model.json says 65; both must come from one "
            "training run."
        ),
    ),
    "settings and card swapped": (
        lambda e: swap(e, JSON, CARD),
        damaged("JSON is malformed: invalid character (byte 0)"),
    ),
    "empty settings": (lambda e: e | {JSON: b""}, damaged("Input data was truncated")),
    "empty weights": (lambda e: e | {WEIGHTS: b""}, damaged("Error while deserializing")),
    "a term too few": (
        lambda e: e | {WORDS: e[WORDS].split(b"\n", 1)[1]},
        (
            "vocabulary.txt holds 64 terms but model.json says 65; both must come from one "
            "training run."
        ),
    ),
    "a term too many": (
        lambda e: e | {WORDS: e[WORDS] + b"zebra\n"},
        (
            "vocabulary.txt holds 66 terms but model.json says 65; both must come from one "
            "training run."
        ),
    ),
    "a term twice": (
        lambda e: e | {WORDS: e[WORDS].replace(b"rose\n", b"zinc\n", 1)},
        damaged("two terms of the kind 'words' are in one bucket"),
    ),
    "a pair that is none": (
        lambda e: e | {WORDS: e[WORDS].replace(b"wheat and\n", b"wheat\n", 1)},
        damaged("a term is not of the kind 'bigrams'"),
    ),
    "terms that are no UTF-8": (
        lambda e: e | {WORDS: e[WORDS].replace(b"rose", b"\xff", 1)},
        damaged("'utf-8' codec can't decode byte 0xff in position 15: invalid start byte"),
    ),
    "deep JSON": (lambda e: e | {JSON: b"[" * 100_000}, damaged("Expected `object`, got `array`")),
    "deep JSON in the settings": (
        lambda e: e | {JSON: e[JSON].replace(b'"linear"', b"[" * 100_000 + b"]" * 100_000, 1)},
        damaged("nested too deeply"),
    ),
    "7 MB of brackets": (
        lambda e: e | {JSON: b'{"format":2,"x":[' + b"[]," * 2_333_333 + b"[]]}"},
        damaged("Object missing required field `topics`"),
    ),
    "9 MB of JSON": (
        lambda e: e | {JSON: e[JSON] + b" " * (9 << 20)},
        "model.json claims to unpack to N bytes, which no N-byte model does.",
    ),
    "weights that claim terabytes": (
        lambda e: e | {WEIGHTS: claim([10**6, 10**6])},
        damaged("Error while deserializing"),
    ),
    "weights that claim more than 64 bits": (
        lambda e: e | {WEIGHTS: claim([2**40, 2**40])},
        damaged("Error while deserializing"),
    ),
    "a header that claims exabytes": (
        lambda e: e | {WEIGHTS: struct.pack("<Q", 2**62)},
        "weights.safetensors claims a list of arrays of N bytes, more than a model has; get "
        "an unmodified copy.",
    ),
}


def claim(shape: list[int]) -> bytes:
    """Return a safetensors file whose header says more than it holds."""
    end = 4 * int(np.prod(np.array(shape, dtype=object)))
    header = {"learner.weights": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}
    data = json.dumps(header).encode()
    return struct.pack("<Q", len(data)) + data + b"\0" * 64


@pytest.mark.parametrize(("damage", "message"), ENTRY_DAMAGE.values(), ids=ENTRY_DAMAGE)
def test_damaged_entries_are_refused(
    damage: Callable[[Entries], Any], message: str, good: bytes, tmp_path: Path
) -> None:
    damaged = damage(unzip(good))
    entries = list(damaged.items()) if isinstance(damaged, dict) else damaged
    # Sizes depend on the versions that model.json names.
    found = re.sub(r"\d{1,3}(,\d{3})+", "N", refusal(rezip(entries), tmp_path))
    # What follows is safetensors' own, and differs from version to version.
    found = re.sub(r"(?<=Error while deserializing): .*(?=\);)", "", found)
    assert found == message


def set_to(*path: str | int, value: Any) -> Callable[[Any], None]:
    """Return a function that sets a value deep in the settings."""

    def change(info: Any) -> None:
        for key in path[:-1]:
            info = info[key]
        info[path[-1]] = value

    return change


SETTINGS_DAMAGE: dict[str, tuple[Callable[[Any], object], str]] = {
    "a later format": (
        set_to("format", value=FORMAT + 1),
        "written in format 3 by a later Slugline, and this one reads format 2; "
        "upgrade Slugline: in its clone, git pull, then pip install .",
    ),
    "an earlier format": (
        set_to("format", value=1),
        "written in format 1, before the first release of Slugline, and this one reads format 2; "
        "train the model again.",
    ),
    "the reserved field": (
        set_to("apart", value=True),
        damaged("Invalid enum value True - at `$.apart`"),
    ),
    "format of another type": (
        set_to("format", value="1"),
        damaged("Expected `int`, got `str` - at `$.format`"),
    ),
    "another kind of file": (
        set_to("kind", value="embedding"),
        damaged("Invalid enum value 'embedding' - at `$.kind`"),
    ),
    "a setting missing": (
        lambda info: info.pop("seed"),
        damaged("Object missing required field `seed`"),
    ),
    "a setting of another type": (
        set_to("seed", value="0"),
        damaged("Expected `int`, got `str` - at `$.seed`"),
    ),
    "no topics": (
        set_to("topics", value=[]),
        damaged("Expected `array` of length >= 1 - at `$.topics`"),
    ),
    "a topic twice": (
        set_to("topics", value=["a", "b", "c", "a"]),
        damaged("a topic is named twice; each name needs one column."),
    ),
    "a topic too few": (lambda info: info["topics"].pop(), damaged("4 scores for 3 topics")),
    "topics of two kinds": (set_to("topics", 0, value=3), damaged("topics are words and numbers")),
    "a topic that is no name": (
        set_to("topics", 0, value=None),
        damaged("Expected `bool | int | str`, got `null` - at `$.topics[0]`"),
    ),
    "no blocks": (
        set_to("blocks", value=[]),
        (
            "vocabulary.txt holds 65 terms but model.json says 0; both must come from one "
            "training run."
        ),
    ),
    "an `kind` is of block": (
        set_to("blocks", 0, "kind", value="sentences"),
        damaged(
            "`kind` is 'sentences'; give one of words, lead, bigrams, characters, characters-2, "
            "characters-3, characters-5."
        ),
    ),
    "an unknown weighting": (
        set_to("blocks", 0, "weighting", value="bm25"),
        damaged("`weighting` is 'bm25'; give one of multi-hot, counts, tf-idf, log-tf-idf."),
    ),
    "a block of another weighting": (
        set_to("blocks", 0, "weighting", value="counts"),
        damaged("the words need 0 idf weights, and have 13"),
    ),
    "a block of no weight": (
        set_to("blocks", 0, "weight", value=0),
        damaged("`weight` is 0.0; give a number over 0 and under 1000000."),
    ),
    "a negative number of terms": (
        set_to("blocks", 0, "n_terms", value=-1),
        damaged("Expected `int` >= 0 - at `$.blocks[0].n_terms`"),
    ),
    "fewer buckets than terms": (
        set_to("blocks", 2, "n_buckets", value=32),
        damaged("two terms of the kind 'characters' are in one bucket"),
    ),
    "buckets that are no power of two": (
        set_to("blocks", 0, "n_buckets", value=100),
        damaged(
            "`n_buckets` is 100; give a power of two up to 16777216, or None to learn a vocabulary."
        ),
    ),
    "buckets for which there are no weights": (
        lambda info: info["blocks"].append(
            info["blocks"][0] | {"weighting": "counts", "n_terms": 0, "n_buckets": 1 << 24}
        ),
        damaged(
            "`X` has 16777281 columns, but the model expects 65; use the vocabulary that the "
            "model was trained with."
        ),
    ),
    "terms in the wrong block": (
        lambda info: (
            info["blocks"][0].update(n_terms=info["blocks"][0]["n_terms"] - 1),
            info["blocks"][2].update(n_terms=info["blocks"][2]["n_terms"] + 1),
        ),
        damaged("a term is not of the kind 'bigrams'"),
    ),
    "an unknown learner": (
        set_to("learner", "kind", value="forest"),
        damaged("settings of the learner: Invalid enum value 'forest' - at `$.kind`"),
    ),
    "a learner of no kind": (
        lambda info: info["learner"].pop("kind"),
        damaged("settings of the learner: Object missing required field `kind`"),
    ),
    "a learner of another kind": (
        set_to("learner", value={"kind": "mixture", "learners": []}),
        damaged("settings of the learner: Expected `array` of length >= 1 - at `$.learners`"),
    ),
    "a learner's setting missing": (
        lambda info: info["learner"].pop("sharpness"),
        damaged("settings of the learner: Object missing required field `sharpness`"),
    ),
    "a learner's setting too many": (
        set_to("learner", "gamma", value=1),
        damaged("settings of the learner: Object contains unknown field `gamma`"),
    ),
    "a learner's setting of another type": (
        set_to("learner", "sharpness", value="5"),
        damaged("settings of the learner: Expected `float`, got `str` - at `$.sharpness`"),
    ),
    "a sharpness of 0": (
        set_to("learner", "sharpness", value=0),
        damaged("settings of the learner: Expected `float` > 0.0 - at `$.sharpness`"),
    ),
}


@pytest.mark.parametrize(("damage", "message"), SETTINGS_DAMAGE.values(), ids=SETTINGS_DAMAGE)
def test_damaged_settings_are_refused(
    damage: Callable[[Any], object], message: str, good: bytes, tmp_path: Path
) -> None:
    entries = unzip(good)
    info = json.loads(entries[JSON])
    damage(info)
    assert (
        refusal(rezip([*(entries | {JSON: json.dumps(info).encode()}).items()]), tmp_path)
        == message
    )


@pytest.mark.parametrize("n_terms", [0, 1], ids=["no terms", "a term each"])
def test_claimed_buckets_take_no_memory(n_terms: int, good: bytes, tmp_path: Path) -> None:
    entries = unzip(good)
    info = json.loads(entries[JSON])
    hostile = info["blocks"][0] | {"weighting": "counts", "n_terms": n_terms}
    info["blocks"] += [hostile | {"n_buckets": 1 << 24}] * 50
    entries |= {JSON: json.dumps(info).encode(), WORDS: entries[WORDS] + b"zebra\n" * 50 * n_terms}
    tracemalloc.start()
    try:
        refusal(rezip([*entries.items()]), tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Each of the model's own three blocks of 2**20 buckets takes 4 MiB.
    assert peak < 16 << 20


Arrays = dict[str, Any]
V, T, C = (f"learner.weights.{name}" for name in ("values", "topics", "counts"))
OF_WEIGHTS = "'weights.counts', 'weights.topics', 'weights.values']"
OF_LEARNER = f"['biases', {OF_WEIGHTS}"
NOT_THERE = damaged("weights of topics or terms that there are not")
NOT_ASCENDING = damaged("weights of a term whose topics are not in ascending order")


def overflowing(counts: np.ndarray) -> np.ndarray:
    """Return counts with the same sum in 32 bits."""
    counts, n_values = counts.copy(), counts.sum()
    counts[:5] += np.array([900_000_000] * 4 + [694_967_296], dtype=np.uint32)
    assert counts.sum() == n_values + 2**32
    return counts


def reversed_weights(arrays: Arrays) -> Arrays:
    """Return the weights of each term from the last topic to the first."""
    rows = np.repeat(np.arange(len(arrays[C])), arrays[C])
    order = np.lexsort([-np.arange(len(rows)), rows])
    return {V: arrays[V][order], T: arrays[T][order]}


ARRAY_DAMAGE: dict[str, tuple[Callable[[Arrays], Arrays], str]] = {
    "NaN": (
        lambda a: a | {V: a[V] * np.float16("nan")},
        f"array {V!r} holds NaN or infinity; train the model again.",
    ),
    "infinity": (
        lambda a: a | {"idf.0": a["idf.0"] / np.float32(1e-45)},
        "array 'idf.0' holds NaN or infinity; train the model again.",
    ),
    "float64": (
        lambda a: a | {"learner.biases": a["learner.biases"].astype("f8")},
        damaged("array 'learner.biases' is of type float64, not float32"),
    ),
    "integers": (
        lambda a: a | {"idf.0": a["idf.0"].astype("i4")},
        damaged("array 'idf.0' is of type int32, not float32"),
    ),
    "a dense table": (
        lambda a: a | {V: np.ones((65, 4), np.float32)},
        damaged("weights whose values, topics and counts are not lists that match"),
    ),
    "values of no dimension": (
        lambda a: a | {V: np.float32(1).reshape(())},
        damaged("weights whose values, topics and counts are not lists that match"),
    ),
    "a value too few": (
        lambda a: a | {V: a[V][1:]},
        damaged(f"array {V!r} doesn't have one uint16 topic for each value"),
    ),
    "a value and its topic too few": (lambda a: a | {V: a[V][1:], T: a[T][1:]}, NOT_THERE),
    "topics of another type": (
        lambda a: a | {T: a[T].astype("u4")},
        damaged(f"array {V!r} doesn't have one uint16 topic for each value"),
    ),
    "counts of another type": (
        lambda a: a | {C: a[C].astype("i8")},
        damaged("topics of weights are uint16 and counts int64"),
    ),
    "counts as a table": (
        lambda a: a | {C: a[C].reshape(13, 5)},
        damaged("weights whose values, topics and counts are not lists that match"),
    ),
    "counts whose sum overflows": (lambda a: a | {C: overflowing(a[C])}, NOT_THERE),
    "a term too few": (
        lambda a: a | {C: a[C][:-1]} | {name: a[name][: -int(a[C][-1])] for name in (V, T)},
        damaged(
            "`X` has 65 columns, but the model expects 64; use the vocabulary that the "
            "model was trained with."
        ),
    ),
    "a term too many": (
        lambda a: a | {C: np.append(a[C], np.uint32(0))},
        damaged(
            "`X` has 65 columns, but the model expects 66; use the vocabulary that the "
            "model was trained with."
        ),
    ),
    "topics in descending order": (lambda a: a | reversed_weights(a), NOT_ASCENDING),
    "one topic all over": (lambda a: a | {T: np.full_like(a[T], 3)}, NOT_ASCENDING),
    "a topic beyond the scales": (
        lambda a: a | {T: np.append(a[T][:-1], np.uint16(65535))},
        damaged(f"array {V!r} doesn't have one float32 scale for each column"),
    ),
    "a topic beyond the biases": (
        lambda a: a | {T: np.append(a[T][:-1], np.uint16(4)), f"{V}.scale": np.ones(5, np.float32)},
        NOT_THERE,
    ),
    "one bias for all": (lambda a: a | {"learner.biases": a["learner.biases"][:1]}, NOT_THERE),
    "a bias too many": (
        lambda a: a | {"learner.biases": np.append(a["learner.biases"], np.float32(0))},
        damaged("5 scores for 4 topics"),
    ),
    "biases as a table": (
        lambda a: a | {"learner.biases": a["learner.biases"].reshape(2, 2)},
        damaged("biases of shape (2, 2)"),
    ),
    "an idf too few": (
        lambda a: a | {"idf.0": a["idf.0"][1:]},
        damaged("the words need 13 idf weights, and have 12"),
    ),
    "an array missing": (
        lambda a: {n: v for n, v in a.items() if n != "learner.biases"},
        damaged("the learner has no array 'biases'"),
    ),
    "an idf missing": (
        lambda a: {n: v for n, v in a.items() if n != "idf.1"},
        damaged("the bigrams need 10 idf weights, and have 0"),
    ),
    "an array of the learner too many": (
        lambda a: a | {"learner.more": a["idf.0"]},
        damaged(f"arrays ['biases', 'more', {OF_WEIGHTS} where the learner has {OF_LEARNER}"),
    ),
    "an array of nothing": (
        lambda a: a | {"more": a["idf.0"]},
        damaged(
            f"some arrays are unknown, of ['idf.0', 'idf.1', 'idf.2', 'learner.biases', {C!r}, "
            f"{T!r}, {V!r}, 'left_out.probabilities', [...]"
        ),
    ),
    "no arrays": (lambda a: {}, damaged("the learner has no array 'biases'")),
}


@pytest.mark.parametrize(("damage", "message"), ARRAY_DAMAGE.values(), ids=ARRAY_DAMAGE)
def test_damaged_arrays_are_refused(
    damage: Callable[[Arrays], Arrays], message: str, good: bytes, tmp_path: Path
) -> None:
    entries = unzip(good)
    with np.errstate(over="ignore"):
        arrays = damage(load_arrays(entries[WEIGHTS]))
    arrays = {name: np.array(array, order="C") for name, array in arrays.items()}
    found = refusal(rezip([*(entries | {WEIGHTS: save_arrays(arrays)}).items()]), tmp_path)
    assert found == message


QUANTIZED_DAMAGE: dict[str, tuple[Callable[[Arrays], Arrays], str]] = {
    "weights of another precision": (
        lambda a: a | {V: a[V].astype("f2")},
        damaged(f"array {V!r} is of type float16, not int8"),
    ),
    "scales missing": (
        lambda a: {n: v for n, v in a.items() if not n.endswith(".scale")},
        damaged(f"array {V!r} doesn't have one float32 scale for each column"),
    ),
    "a scale too many": (
        lambda a: a | {f"{V}.scale": np.ones(5, np.float32)},
        damaged(f"array {V!r} doesn't have one float32 scale for each column"),
    ),
    "NaN as scale": (
        lambda a: a | {f"{V}.scale": np.full(4, np.nan, np.float32)},
        damaged(f"array {V!r} has a scale that is not a finite number over 0"),
    ),
    "scales so large that weights overflow": (
        lambda a: a | {f"{V}.scale": np.full(4, 3e38, np.float32)},
        f"array {V!r} holds NaN or infinity; train the model again.",
    ),
    "scales without their array": (
        lambda a: a | {"learner.biases.scale": a[f"{V}.scale"]},
        damaged(
            f"arrays ['biases', 'biases.scale', {OF_WEIGHTS} where the learner has {OF_LEARNER}"
        ),
    ),
    "biases in fewer bits": (
        lambda a: a | {"learner.biases": a["learner.biases"].astype("i1")},
        damaged("array 'learner.biases' is of type int8, not float32"),
    ),
}


@pytest.mark.parametrize(("damage", "message"), QUANTIZED_DAMAGE.values(), ids=QUANTIZED_DAMAGE)
def test_damaged_arrays_of_fewer_bits_are_refused(
    damage: Callable[[Arrays], Arrays], message: str, tmp_path: Path
) -> None:
    fit().save(tmp_path / "a.slug", quantize="int8")
    entries = unzip((tmp_path / "a.slug").read_bytes())
    changed = {WEIGHTS: save_arrays(damage(load_arrays(entries[WEIGHTS])))}
    assert refusal(rezip([*(entries | changed).items()]), tmp_path) == message


@pytest.mark.parametrize("told", ["float32", "float16", "int4"])
def test_a_precision_that_is_not_that_of_the_weights_is_refused(told: str, tmp_path: Path) -> None:
    fit().save(tmp_path / "a.slug", quantize="int8")
    entries = unzip((tmp_path / "a.slug").read_bytes())
    entries[JSON] = entries[JSON].replace(b'"int8"', f'"{told}"'.encode())
    assert (
        refusal(rezip([*entries.items()]), tmp_path)
        == {
            "float32": damaged(
                "arrays ['biases', 'weights.counts', 'weights.topics', 'weights.values', "
                f"'weights.values.scale'] where the learner has {OF_LEARNER}"
            ),
            "float16": damaged(f"array {V!r} is of type int8, not float16"),
            "int4": damaged("Invalid enum value 'int4' - at `$.precision`"),
        }[told]
    )


def test_weights_that_would_grow_past_their_limit_are_refused_before_they_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit().save(tmp_path / "a.slug", quantize="int8")
    data = (tmp_path / "a.slug").read_bytes()
    n_bytes = len(unzip(data)[WEIGHTS])
    monkeypatch.setitem(container._LIMITS, WEIGHTS, 2 * n_bytes)
    assert refusal(data, tmp_path) == (
        f"weights.safetensors claims to hold {4 * n_bytes:,} bytes of weights, more than a model "
        "has; get an unmodified copy."
    )


def test_layers_that_do_not_fit_one_another_are_refused(good_net: bytes, tmp_path: Path) -> None:
    entries = unzip(good_net)
    info = json.loads(entries[JSON])
    info["learner"]["hidden"] = [4, 5]
    assert refusal(
        rezip([*(entries | {JSON: json.dumps(info).encode()}).items()]), tmp_path
    ) == damaged(
        "layers have shapes [(13, 5), (5,), (5, 4), (4,), (4, 4), (4,)], but the settings require "
        "[(13, 4), (4,), (4, 5), (5,), (5, 4), (4,)]"
    )


@pytest.mark.parametrize("depth", [100, 3000])
def test_mixtures_of_mixtures_without_end_are_refused(
    depth: int, good: bytes, tmp_path: Path
) -> None:
    entries = unzip(good)
    text = entries[JSON].decode()
    first, last = text.index('"learner": {') + 11, text.index('"seed"')
    inner = text[first:last].rstrip().rstrip(",")
    nested = '{"kind":"mixture","learners":[' * depth + inner + "]}" * depth
    arrays = {
        name.replace("learner.", "learner." + "0." * depth): array
        for name, array in load_arrays(entries[WEIGHTS]).items()
    }
    changed = {JSON: (text[:first] + nested + "," + text[last:]).encode()}
    changed[WEIGHTS] = save_arrays(arrays)
    message = refusal(rezip([*(entries | changed).items()]), tmp_path)
    too_many = "a mixture of over 1,000 learners, or mixtures in one another over 16 deep"
    # How deep JSON may be nested depends on the version of Python.
    reasons = (too_many,) if depth == 100 else (too_many, "nested too deeply")
    assert message in map(damaged, reasons)


def test_weights_whose_sums_overflow_are_refused(good_net: bytes, tmp_path: Path) -> None:
    entries = unzip(good_net)
    arrays = load_arrays(entries[WEIGHTS])
    huge = arrays | {"learner.0": np.full_like(arrays["learner.0"], 3e38)}
    assert refusal(rezip([*(entries | {WEIGHTS: save_arrays(huge)}).items()]), tmp_path) == (
        "array 'learner.0' holds 3e+38, and weights over 1e+09 are useless; train the model again, "
        "in smaller steps."
    )


@pytest.mark.parametrize("name", [JSON, WEIGHTS, WORDS, CARD])
def test_bombs_are_refused_before_they_are_unpacked(
    name: str, good: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = unzip(good)
    size = 8 << 20 if name != CARD else 1 << 20
    bomb = rezip([*(entries | {name: b" " * size}).items()], zipfile.ZIP_DEFLATED)
    real_open = zipfile.ZipFile.open

    def open_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Any:
        assert entry.filename != name, "unpacked"
        return real_open(archive, entry)

    monkeypatch.setattr(zipfile.ZipFile, "open", open_entry)
    assert refusal(bomb, tmp_path) == (
        f"{name} claims to unpack to {size:,} bytes, which no {len(bomb):,}-byte model does."
    )


def test_an_entry_that_hides_its_size_is_refused(good: bytes, tmp_path: Path) -> None:
    entries = unzip(good) | {WORDS: b" " * (30 << 20)}
    bomb = rezip([*entries.items()], zipfile.ZIP_DEFLATED)
    hidden = bomb.replace(struct.pack("<I", 30 << 20), struct.pack("<I", 100))
    assert hidden.count(struct.pack("<I", 100)) == 2
    assert refusal(hidden, tmp_path) == NOT_A_MODEL


@pytest.mark.parametrize(
    ("offset", "value"), [(8, 1), (10, 12), (10, 99)], ids=["encrypted", "bzip2", "unknown"]
)
def test_entries_packed_in_other_ways_are_refused(
    offset: int, value: int, good: bytes, tmp_path: Path
) -> None:
    data = bytearray(good)
    first = data.index(b"PK\x01\x02")
    assert data[first + 46 :].startswith(JSON.encode())
    data[first + offset] = value
    assert refusal(bytes(data), tmp_path) == "model.json is encrypted or packed in an unknown way."


def test_an_entry_with_a_wrong_checksum_is_refused(good: bytes, tmp_path: Path) -> None:
    data = rezip([*unzip(good).items()]).replace(b"wheat", b"wheet", 1)
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
def test_files_damaged_at_random_are_refused_or_work(
    fuzzer: dict[str, Any], tmp_path: Path
) -> None:
    counts, slowest = fuzzer["fuzz"](400, 0, tmp_path)
    assert sum(counts.values()) == 400
    ends = {
        name: sum(n for key, n in counts.items() if name in key) for name in ("refused", "loaded")
    }
    assert ends["refused"] > 260
    assert ends["loaded"] > 15
    assert slowest < 5


@pytest.mark.parametrize(
    ("texts", "method"),
    [
        ([f"word{n} other{n}" for n in range(400)], zipfile.ZIP_DEFLATED),
        (["x" * 500_000, "oil", "gas", "tin"], zipfile.ZIP_STORED),
    ],
    ids=["many words", "a word that would be taken for a bomb"],
)
def test_an_entry_is_deflated_unless_reading_would_refuse_it(
    texts: list[str], method: int, tmp_path: Path
) -> None:
    classifier = TopicClassifier(feature_groups=[FeatureGroup("words")])
    classifier.fit(texts, ["a", "b"] * (len(texts) // 2)).save(tmp_path / "a.slug")
    with zipfile.ZipFile(tmp_path / "a.slug") as archive:
        assert archive.getinfo("vocabulary.txt").compress_type == method
    again = load(tmp_path / "a.slug")
    assert np.array_equal(again.predict_proba(texts), classifier.predict_proba(texts))


def test_entries_bear_no_time_and_may_be_read_by_everybody(good: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        for entry in archive.infolist():
            assert entry.date_time == (1980, 1, 1, 0, 0, 0)
            assert entry.external_attr >> 16 == 0o644


def test_weights_are_saved_right_however_they_lie_in_memory(tmp_path: Path) -> None:
    classifier = fit(NET)
    expected = classifier.predict_proba(NEW)
    net = classifier.learner_.network
    net.weights = [np.asfortranarray(weights) for weights in net.weights]
    classifier.save(tmp_path / "a.slug")
    assert np.array_equal(load(tmp_path / "a.slug").predict_proba(NEW), expected)


def test_a_model_that_could_not_be_read_again_for_its_size_is_not_written(
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


def test_a_model_of_more_buckets_than_a_file_may_have_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(classifier_file, "_MOST_BUCKETS", 300)
    with pytest.raises(DataError) as caught:
        fit("linear", feature_groups=HASHED).save(tmp_path / "a.slug")
    assert str(caught.value) == (
        "the feature groups have 320 hash buckets, and in a model file they may have 300; give "
        "them fewer `n_buckets`."
    )
    assert list(tmp_path.iterdir()) == []


def test_documents_in_place_of_a_model_are_said_to_be_documents(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_bytes(b"text,topic\nwheat,grain\n")
    with pytest.raises(ModelFileError) as caught:
        load(tmp_path / "a.csv.gz")
    assert str(caught.value).startswith(f"{tmp_path}/a.csv.gz: documents, not a model; make one ")


def test_a_card_has_no_number_that_only_the_model_needs(good: bytes) -> None:
    card = unzip(good)[CARD].decode()
    assert "- kind: linear\n" in card
    for name in ("sharpness", "doubt", "ambiguity", "clean", "n left out"):
        assert f"- {name}: " not in card
