"""Model files made to harm: each ends in an error or a finite answer, soon and in little memory."""

from __future__ import annotations

import math
import os
import random
import struct
import subprocess
import sys
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from model_entries import (
    CARD,
    VOCABULARY,
    WEIGHTS,
    Arrays,
    Entries,
    change_arrays,
    change_info,
    unzip,
)
from slugline.classifier import TopicClassifier, load
from slugline.errors import DataError, ModelFileError, OptionError
from slugline.learning.learner import Learner
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.learner import NeuralLearner
from slugline.text.feature_groups import FeatureGroup

TEXTS = ["wheat and corn rose", "net profit fell", "zinc and tin fell"] * 5
TOPICS = ["grain", "earn", "zinc"] * 5
NET = NeuralLearner((4, 4), epochs=2)

# Name, method, CRC, claimed size and packed bytes of an entry.
Packed = tuple[str, int, int, int, bytes]


# Making them ------------------------------------------------------------------------------------


def entries_of(folder: Path, learner: Any = "linear", **options: Any) -> Entries:
    """Return the entries of a small model."""
    path = folder / "good.slug"
    TopicClassifier(learner=learner, **options).fit(TEXTS, TOPICS).save(path)
    return unzip(path.read_bytes())


def deflated(name: str, data: bytes) -> Packed:
    packer = zlib.compressobj(wbits=-15)
    return name, 8, zlib.crc32(data), len(data), packer.compress(data) + packer.flush()


def stored(name: str, data: bytes) -> Packed:
    return name, 0, zlib.crc32(data), len(data), data


def as_zip(packed: list[Packed]) -> bytes:
    """Give an archive whose headers say what they are told to say."""
    files, directory, place = [], [], 0
    for name, method, crc, size, data in packed:
        common = struct.pack(
            "<HHHHHLLLHH", 20, 0, method, 0, 33, crc, len(data), size, len(name), 0
        )
        directory += [b"PK\1\2", struct.pack("<H", 20), common]
        directory += [struct.pack("<HHHLL", 0, 0, 0, 0, place), name.encode()]
        files += [b"PK\3\4" + common, name.encode(), data]
        place += sum(map(len, files[-3:]))
    n, n_bytes = min(len(packed), 0xFFFF), sum(map(len, directory))
    end = struct.pack("<HHHHLLH", 0, 0, n, n, n_bytes, place, 0)
    return b"".join([*files, *directory, b"PK\5\6", end])


def as_file(entries: Entries, **changed: Packed) -> bytes:
    """Pack entries; those in `changed`, named without their ends, as they are told to be."""
    return as_zip([changed.get(n.partition(".")[0], stored(n, d)) for n, d in entries.items()])


def refusal(data: bytes, folder: Path) -> str:
    """Load bytes that must be refused; give the message without its path."""
    path = folder / "bad.slug"
    path.write_bytes(data)
    with pytest.raises(ModelFileError) as caught:
        load(path)
    return str(caught.value).removeprefix(f"{path}: ")


# Time and memory --------------------------------------------------------------------------------


def bomb(folder: Path) -> bytes:
    """Claim a thousand spaces and unpack to 1.5 GB of them."""
    piece = zlib.compressobj(wbits=-15)
    spaces = piece.compress(b" " * (1 << 20)) + piece.flush(zlib.Z_FULL_FLUSH)
    claimed = b" " * 1000
    entry = CARD, 8, zlib.crc32(claimed), len(claimed), spaces * 1500 + piece.flush()
    return as_file(entries_of(folder), card=entry)


def many_lines(folder: Path) -> bytes:
    """Name 30 million empty terms, which with some noise deflate no more than words may."""
    noise = random.Random(0).randbytes(2_000_000).hex().encode()
    words = b"\n" * 30_000_000 + noise + b"\n"
    entries = change_info(
        entries_of(folder, feature_groups=[FeatureGroup("words")]),
        lambda info: info.update(n_terms=[30_000_001]),
    )
    return as_file(entries, vocabulary=deflated(VOCABULARY, words))


def many_learners(folder: Path) -> bytes:
    entries = change_info(
        entries_of(
            folder, Mixture([LinearLearner()]), feature_groups=[FeatureGroup("words", "counts")]
        ),
        lambda info: info["learner"].update(
            learners=info["learner"]["learners"] * 8000, weights=[1.0] * 8000
        ),
    )
    return as_file(
        change_arrays(
            entries,
            lambda a: {
                name.replace(".0.", f".{number}."): array
                for number in range(8000)
                for name, array in a.items()
            },
        )
    )


def many_arrays(folder: Path) -> bytes:
    """List half a million arrays of nothing."""
    names = (f'"{number}":' for number in range(500_000))
    header = "{" + ",".join(n + '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' for n in names)
    data = f"{header}}}".encode()
    weights = struct.pack("<Q", len(data)) + data
    return as_file(entries_of(folder), weights=stored(WEIGHTS, weights))


def many_layers(folder: Path) -> bytes:
    return as_file(
        change_info(
            entries_of(folder, NET), lambda info: info["learner"].update(hidden=[1] * 2**21)
        )
    )


def many_blocks(folder: Path) -> bytes:
    block = entries_of(folder)
    none = {"weighting": "counts", "kind": "words", "weight": 1.0}
    none |= {"max_terms": None, "min_count": 1}

    def change(info: Any) -> None:
        info["feature_groups"].extend([none] * 60_000)
        info["n_terms"].extend([0] * 60_000)

    return as_file(change_info(block, change))


def with_topics(entries: Entries, names: list[str]) -> Entries:
    """Name other topics, with a bias each."""
    return change_arrays(
        change_info(entries, lambda info: info.update(topics=names, class_weight=None)),
        lambda a: a | {"learner.biases": np.zeros(len(names), np.float32)},
    )


def many_topics(folder: Path) -> bytes:
    names = [f"t{number}" for number in range(600_000)]
    return as_file(
        with_topics(entries_of(folder, feature_groups=[FeatureGroup("words", "counts")]), names)
    )


def many_topics_and_columns(folder: Path) -> bytes:
    """Claim 2**24 columns and 60,000 topics: 4 TB if weights were dense, and 64 MB of counts."""
    entries = entries_of(folder, feature_groups=[FeatureGroup("words", "counts")])
    entries = with_topics(entries, [f"t{number}" for number in range(60_000)])

    def hash_terms(info: Any) -> None:
        info["feature_groups"][0].update(n_buckets=1 << 24)
        info["n_terms"] = [0]

    entries = change_info(entries, hash_terms)
    none = {"values": "f2", "topics": "u2"}
    entries = change_arrays(
        entries,
        lambda a: {
            **{f"learner.weights.{name}": np.zeros(0, kind) for name, kind in none.items()},
            "learner.weights.values.scale": np.ones(1, np.float32),
            "learner.weights.counts": np.zeros(1 << 24, np.uint32),
            "learner.biases": a["learner.biases"],
        },
    )
    return as_file(entries | {VOCABULARY: b""})


def many_weights_of_one_term(folder: Path) -> bytes:
    """Give one term four billion weights, by its count alone."""

    def change(a: Arrays) -> Arrays:
        counts = np.zeros_like(a["learner.weights.counts"])
        counts[:5] = [900_000_000] * 4 + [694_967_296]
        counts[0] += len(a["learner.weights.values"])
        return a | {"learner.weights.counts": counts}

    return as_file(change_arrays(entries_of(folder), change))


def many_seen_buckets(folder: Path) -> bytes:
    """Claim sixty blocks of 2**24 hash buckets, of which one has been seen: 4 GB of them."""

    def change(info: Any) -> None:
        group = info["feature_groups"][0] | {"n_buckets": 1 << 24}
        info["feature_groups"].extend([group] * 60)
        info["n_terms"].extend([1] * 60)

    entries = change_info(entries_of(folder), change)
    return as_file(entries | {VOCABULARY: entries[VOCABULARY] + b"wheat\n" * 60})


def long_names(folder: Path) -> bytes:
    """Name a topic with all the characters that the settings may have, and arrays with more."""
    entries = change_info(
        entries_of(folder), lambda info: info["topics"].__setitem__(0, "a" * 8_000_000)
    )
    return as_file(change_arrays(entries, lambda a: a | {"a" * 10_000_000: a["idf.0"]}))


def one_long_topic_of_many(folder: Path) -> bytes:
    """Name 20,000 topics, one of them with a million characters: 20 GB if all were as wide."""
    names = ["a" * 1_000_000, *(f"t{number}" for number in range(20_000))]
    return as_file(
        with_topics(entries_of(folder, feature_groups=[FeatureGroup("words", "counts")]), names)
    )


HOSTILE = (
    *(bomb, many_lines, many_learners, many_arrays, many_layers, many_blocks, many_topics),
    *(long_names, one_long_topic_of_many, many_topics_and_columns, many_weights_of_one_term),
    many_seen_buckets,
)

# A process for each file, so that it has a peak of its own; what all import is imported once.
ASK = """
import os, re, sys, time
from pathlib import Path
import numpy as np
from slugline.classifier import load
from slugline.errors import ModelFileError
def ask(path):
    start = time.process_time()
    try:
        proba = load(path).predict_proba(["wheat rose", ""] * 500)
        end = "finite" if np.isfinite(proba).all() else "not finite"
    except ModelFileError as error:
        end = "refused" if len(str(error)) < 1000 else "at length"
    peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
    print(Path(path).stem, time.process_time() - start, int(peak[1]) / 1000, end, flush=True)

for path in sys.argv[1:]:
    if os.fork() == 0:
        ask(path)
        os._exit(0)
    assert os.wait()[1] == 0
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux' /proc")
def test_load_of_hostile_files_is_bounded_in_time_and_memory(tmp_path: Path) -> None:
    paths = [tmp_path / f"{make.__name__}.slug" for make in HOSTILE]
    for make, path in zip(HOSTILE, paths, strict=True):
        path.write_bytes(make(tmp_path))
    command = [sys.executable, "-c", ASK, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    lines = [line.split(maxsplit=3) for line in done.stdout.splitlines()]
    assert [name for name, *_ in lines] == [path.stem for path in paths]
    for name, seconds, megabytes, end in lines:
        assert end in {"finite", "refused"}, name
        assert float(seconds) < 20, name  # of the processor; most take less than one
        assert float(megabytes) < 1000, name


# The archive ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Entries:
    """Give the entries of a linear model."""
    return entries_of(tmp_path_factory.mktemp("good"))


def test_load_reads_an_archive_written_by_hand(good: Entries, tmp_path: Path) -> None:
    (tmp_path / "a.slug").write_bytes(as_file(good, card=deflated(CARD, good[CARD])))
    assert load(tmp_path / "a.slug").card_ == good[CARD].decode()


def test_load_refuses_too_many_entries_before_reading_them(tmp_path: Path) -> None:
    data = as_zip([stored("a", b"")] * 100_000)
    tracemalloc.start()
    try:
        message = refusal(data, tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert message == "a zip archive with too many entries for a Slugline model; check the path."
    assert peak < 2 << 20


def test_load_refuses_overlapping_entries(good: Entries, tmp_path: Path) -> None:
    data = bytearray(as_file(good | {CARD: b"-" * 8000}))
    # All but the card are claimed to be as long as the whole file and a little.
    place = data.index(b"PK\1\2")
    for _ in range(3):
        struct.pack_into("<L", data, place + 20, len(data))
        place = data.index(b"PK\1\2", place + 1)
    assert refusal(bytes(data), tmp_path) in {
        "contains overlapping entries; get an unmodified copy.",
        # Later releases of zipfile see it themselves.
        "not a Slugline model, or truncated; make one with `slugline train DATA -o model.slug`, "
        "or get an intact copy.",
    }


def test_load_refuses_an_entry_shorter_than_it_claims(good: Entries, tmp_path: Path) -> None:
    name, method, crc, size, data = deflated(CARD, good[CARD])
    assert refusal(as_file(good, card=(name, method, crc, size + 10, data)), tmp_path) == (
        f"card.md claims {size + 10} bytes but has {size}; get an intact copy."
    )


def test_load_ignores_local_headers(good: Entries, tmp_path: Path) -> None:
    data = bytearray(as_file(good))
    struct.pack_into("<LL", data, 18, 1, 1 << 30)  # sizes of the first entry
    (tmp_path / "a.slug").write_bytes(data)
    assert load(tmp_path / "a.slug").predict(["zinc"]).tolist() == ["zinc"]


# Numbers ----------------------------------------------------------------------------------------

LEARNERS = {"linear": LinearLearner(), "network": NET, "mixture": Mixture([LinearLearner(), NET])}
GROUPS = [FeatureGroup("words", "counts"), FeatureGroup("bigrams")]
LONG = ["wheat " * 200_000 + "corn rose", "", "zinc"]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("value", [9e8, 1e12, 3e38])
@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
@pytest.mark.filterwarnings("error")
def test_load_of_huge_weights_refuses_or_predicts_finite_values(
    learner: Learner, value: float, sign: int, tmp_path: Path
) -> None:
    def change(arrays: Arrays) -> Arrays:
        large = np.array([value, sign * value], np.float32)
        return {
            name: array
            if name.startswith(("idf", "heldout", "encoder_sums", "text_profile"))
            or name.endswith((".topics", ".counts"))
            else np.resize(large, array.shape)
            for name, array in arrays.items()
            if not name.endswith(".scale")
        }

    entries = change_arrays(entries_of(tmp_path, learner, feature_groups=GROUPS), change)
    if value > 1e9:
        message = refusal(as_file(entries), tmp_path)
        assert message.endswith(
            f"holds {np.float32(value):.3g}, and weights over 1e+09 "
            "are useless; train the model again, in smaller steps."
        )
        return
    (tmp_path / "a.slug").write_bytes(as_file(entries))
    classifier = load(tmp_path / "a.slug")
    assert np.isfinite(classifier.predict_proba(LONG)).all()
    assert np.isfinite(classifier.decision_function(LONG)).all()


def test_deep_network_of_huge_weights_predicts_finite_values(tmp_path: Path) -> None:
    deep = entries_of(tmp_path, NeuralLearner((4,) * 20, epochs=1), feature_groups=GROUPS)
    entries = change_arrays(
        deep,
        lambda a: {
            n: v if n.startswith(("idf", "text_profile")) else np.full_like(v, 1e9)
            for n, v in a.items()
        },
    )
    (tmp_path / "a.slug").write_bytes(as_file(entries))
    proba = load(tmp_path / "a.slug").predict_proba(LONG)
    np.testing.assert_allclose(proba, 1 / 3, rtol=1e-6)


@pytest.mark.parametrize("value", [0, -1, 1e-30, 0.5, 4.0, 3e38])
def test_load_refuses_impossible_idf(value: float, good: Entries, tmp_path: Path) -> None:
    entries = change_arrays(good, lambda a: a | {"idf.0": np.full_like(a["idf.0"], value)})
    message = refusal(as_file(entries), tmp_path)
    assert message.startswith(
        "array 'idf.0' holds 3e+38" if value > 1e9 else f"damaged (idf runs from {value:.3g} to"
    )


def test_load_reads_idf_counted_in_batches(tmp_path: Path) -> None:
    classifier = TopicClassifier()
    for _ in range(20):
        classifier.partial_fit(TEXTS, TOPICS, classes=["grain", "earn", "zinc"])
    classifier.save(tmp_path / "a.slug")
    again = load(tmp_path / "a.slug").partial_fit(TEXTS, TOPICS)
    assert np.isfinite(again.predict_proba(TEXTS)).all()


@pytest.mark.parametrize("n_documents", [0, 2**62])
def test_load_takes_any_positive_n_documents_whatever_idf_counts(
    n_documents: int, good: Entries, tmp_path: Path
) -> None:
    path = tmp_path / "a.slug"
    path.write_bytes(as_file(change_info(good, lambda info: info.update(n_documents=n_documents))))
    if n_documents:
        assert np.isfinite(load(path).predict_proba(LONG)).all()
    else:
        assert refusal(path.read_bytes(), tmp_path).startswith("damaged (")


@pytest.mark.parametrize("weights", [[1e299, 1e299], [5e-324, 1]])
def test_mixture_with_weights_of_any_size_predicts_finite_values(
    weights: list[float], tmp_path: Path
) -> None:
    entries = change_info(
        entries_of(tmp_path, Mixture([LinearLearner(), LinearLearner()])),
        lambda info: info["learner"].update(weights=weights, inverse_temperature=999_999),
    )
    (tmp_path / "a.slug").write_bytes(as_file(entries))
    assert np.isfinite(load(tmp_path / "a.slug").predict_proba(LONG)).all()


def test_save_refuses_weights_that_load_would_refuse(tmp_path: Path) -> None:
    classifier = TopicClassifier().fit(TEXTS, TOPICS)
    learner = classifier.fitted_.learner
    assert isinstance(learner, LinearLearner)
    learner.weights.data[0] = 2e9
    with pytest.raises(ModelFileError, match=r"'learner.weights.values' holds 2e\+09"):
        classifier.save(tmp_path / "a.slug")
    with pytest.raises(OptionError, match=r"^`metrics\['f'\]` is nan"):
        TopicClassifier().fit(TEXTS, TOPICS).save(tmp_path / "a.slug", metrics={"f": math.nan})
    assert list(tmp_path.iterdir()) == []


# Foreign exceptions -----------------------------------------------------------------------------


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 1, 1), (0,), (0, 3), (3, 0)], ids=str)
def test_load_refuses_arrays_of_any_other_shape(
    shape: tuple[int, ...], learner: Learner, tmp_path: Path
) -> None:
    entries = entries_of(tmp_path, learner)
    arrays = load_arrays(entries[WEIGHTS])
    for name, array in arrays.items():
        odd = arrays | {name: np.zeros(shape, np.float32)}
        if array.shape == shape and array.dtype == np.float32:
            continue  # so few documents that none was held out
        refusal(as_file(entries | {WEIGHTS: save_arrays(odd)}), tmp_path)
    # All at once may fit one another, in ways that no learner has.
    odd = {name: np.zeros(shape, np.float32) for name in arrays}
    refusal(as_file(entries | {WEIGHTS: save_arrays(odd)}), tmp_path)


def test_load_refuses_weights_and_biases_of_too_few_dimensions(tmp_path: Path) -> None:
    entries = change_arrays(
        entries_of(tmp_path, feature_groups=[FeatureGroup("words", "counts")]),
        lambda a: {
            "learner.weights.values": np.float32(1).reshape(()),
            "learner.weights.topics": np.uint16(0).reshape(()),
            "learner.weights.counts": np.uint32(1).reshape(()),
            "learner.biases": a["learner.biases"],
        },
    )
    assert refusal(as_file(entries), tmp_path) == (
        "damaged (values, topics and counts of weights of different lengths); get an intact copy."
    )
    entries = change_arrays(entries, lambda a: a | {"learner.biases": np.float32(0).reshape(())})
    assert refusal(as_file(entries), tmp_path) == (
        "damaged (biases of shape ()); get an intact copy."
    )


def test_load_tells_too_little_memory_from_damage(
    good: Entries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("slugline.model.file.content.HashedColumns.from_names", fail)
    assert refusal(as_file(good), tmp_path) == "there is not enough memory to read it; free some."


# Topics -----------------------------------------------------------------------------------------

ODD_TOPICS: dict[str, tuple[list[Any], str]] = {
    "NUL at the end": (["a\0", "b", "c"], "topic 'a\\x00' is blank, or contains a NUL"),
    "half a character": (["\ud800", "b", "c"], "JSON is malformed: unexpected end of hex escape"),
    "blank": (["", "b", "c"], "topic '' is blank"),
    "spaces": ([" \n", "b", "c"], "topic ' \\n' is blank"),
    "64 bits with and without sign": ([-1, 2**63, 5], "topic 9223372036854775808 does not fit"),
    "over 64 bits": ([1, 2, 2**70], "topic 1180591620717411303424 does not fit"),
    "twice": (["a", "b", "a"], "duplicate topic"),
    "yes and no": ([True, False, 2], "topics mix strings and numbers"),
    "one that is 1 and 1.0": ([1, 1.0, 2], "Expected `bool | int | str`, got `float`"),
    "words and numbers": (["1", 1, 2], "topics mix strings and numbers"),
    "a long one": (["a" * 1001, "b", "c"], "topic 'aaaaaaaaaa"),
}


@pytest.mark.parametrize(("topics", "message"), ODD_TOPICS.values(), ids=ODD_TOPICS)
def test_load_refuses_invalid_topics(
    topics: list[Any], message: str, good: Entries, tmp_path: Path
) -> None:
    entries = change_info(good, lambda info: info.update(topics=topics))
    assert refusal(as_file(entries), tmp_path).startswith(f"damaged ({message}")


def test_fit_rejects_a_topic_that_is_too_long() -> None:
    with pytest.raises(DataError) as caught:
        TopicClassifier().fit(TEXTS, ["a" * 1001, *TOPICS[1:]])
    assert str(caught.value) == (
        f"topic '{'a' * 40}'... has 1,001 characters; the maximum is 1,000; check which column "
        "contains the topics."
    )


# Mixtures ---------------------------------------------------------------------------------------


def test_load_reads_mixtures_within_their_limits(tmp_path: Path) -> None:
    learner: Learner = LinearLearner()
    for _ in range(15):
        learner = Mixture([learner])
    classifier = TopicClassifier(learner=Mixture([LinearLearner() for _ in range(99)]))
    for one in (TopicClassifier(learner=learner), classifier):
        one.fit(TEXTS, TOPICS).save(tmp_path / "a.slug")
        again = load(tmp_path / "a.slug")
        assert np.array_equal(again.predict_proba(TEXTS), one.predict_proba(TEXTS))


def test_save_refuses_mixtures_nested_too_deeply(tmp_path: Path) -> None:
    learner: Learner = LinearLearner()
    for _ in range(16):
        learner = Mixture([learner])
    with pytest.raises(ModelFileError, match="mixtures nested over 16 deep"):
        TopicClassifier(learner=learner).fit(TEXTS, TOPICS).save(tmp_path / "a.slug")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["learner.00.biases", "learner.1.biases", "learner.x.biases"])
def test_load_refuses_arrays_of_learners_that_a_mixture_lacks(name: str, tmp_path: Path) -> None:
    entries = change_arrays(
        entries_of(tmp_path, Mixture([LinearLearner()])),
        lambda a: a | {name: a["learner.0.biases"]},
    )
    assert refusal(as_file(entries), tmp_path).startswith("damaged (arrays ['0.biases', ")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_load_does_not_wait_for_pipes_and_devices(tmp_path: Path) -> None:
    pipe, link, device = (tmp_path / f"{name}.slug" for name in ("pipe", "link", "device"))
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    device.symlink_to("/dev/zero")
    code = (
        "import slugline, sys; from slugline.errors import ModelFileError\n"
        "for path in sys.argv[1:]:\n"
        "    try: slugline.load(path)\n"
        "    except ModelFileError as error: print(error)"
    )
    command = [sys.executable, "-c", code, *map(str, (pipe, link, device))]
    said = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout
    assert said.splitlines() == [
        f"{path}: can't be read (it is a device or pipe); check the path and its permissions."
        for path in (pipe, link, device)
    ]
