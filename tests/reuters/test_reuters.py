"""The Reuters newswires: Keras' sequences, the texts, the corrected edition."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import string
import tarfile
import threading
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slugline import reuters
from slugline.errors import DataError, DownloadError, OptionError
from slugline.reuters import downloads, sequences
from slugline.reuters import downloads as sources
from slugline.reuters import wires as wires_module
from slugline.reuters.wires import Wire, WireList, Wires


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# What keras.datasets.reuters.load_data (Keras 3.15) gives, as `digest` writes it.
KERAS = {
    "defaults": ({}, "acd1ff1e7f7a148660de5311703faa9eff5bfbf515808368ab755a6d67f17a61"),
    "cut words dropped": (
        {"num_words": 1000, "skip_top": 20, "oov_char": None},
        "78e41e7b93d0cffe7c7d47c78f72e8fa836a0ba2ebda47a4c32a7e15e19daad2",
    ),
    "no start mark": (
        {"start_char": None, "num_words": 5000},
        "495fa28459594fc7429da2c8669b1f2dc5fdee9636cdc6228f0243778cc67489",
    ),
    "nothing reserved, cut words dropped": (
        {"start_char": None, "index_from": 0, "oov_char": None, "num_words": 300},
        "420cdb02c34d50ef01a287799a9648c477a2f8bc36f3b12391acb54f23cc9fb6",
    ),
    "other reserved numbers": (
        {"start_char": 7, "oov_char": 9, "index_from": 10, "num_words": 2000},
        "4fa3d4dd69c224d332419c5c6415eaeecdd6da1a165567a603360360da33cc1a",
    ),
    "short wires": (
        {"maxlen": 50},
        "1a85c6f6421dd27598685d7c90141ee9799ec44b929fcc630d2f32e006fd1c05",
    ),
    "another seed": (
        {"seed": 7, "num_words": 10000},
        "8044d6eb98adc4b8bee1855c39d7c9c4a96d9125cfe1fd09a5ac9fe75bf1edb1",
    ),
    "half for testing": (
        {"test_split": 0.5, "seed": 0},
        "7da5259742852410642a9ae29e255df76b38bbcd1bee6459b02a48e687c2d63b",
    ),
    "all for testing": (
        {"test_split": 1.0, "num_words": 100},
        "823002a9c598375c572443a7bd4579fdcd1f4b0c2ebc67f23c5c0c5f2e637d31",
    ),
    "none for testing": (
        {"test_split": 0.0, "num_words": 100},
        "bf19cac5e3bdd69fa566e87252812ad45bef31a868c366324e3515868e2ca159",
    ),
    "every word cut": (
        {"num_words": 1, "oov_char": None},
        "f6b22c0da55427a5f05095393fe51250f960c425eb420847816f98d300f473e9",
    ),
    "no wire short enough": (
        {"maxlen": 1, "num_words": 10000},
        "3d4c37a0be214014605b068266694456f0eb2f51a38ad6efe4f51f0f08a616e9",
    ),
}
keras_cases = pytest.mark.parametrize(("options", "expected"), KERAS.values(), ids=KERAS.keys())


def plain(parts: Any) -> list[Any]:
    """Give lists of int alone; JSON knows no integers of NumPy, so that none can hide in them."""
    return [[x.tolist(), y.tolist()] for x, y in parts]


def digest(parts: Any) -> str:
    return hashlib.sha256(json.dumps(plain(parts)).encode()).hexdigest()


# Sequences


@pytest.mark.slow
@pytest.mark.reuters
@keras_cases
def test_load_data_returns_what_keras_returns(
    options: dict[str, Any], expected: str, reuters_data: Path
) -> None:
    assert digest(reuters.load_data(reuters_data, **options)) == expected


@pytest.mark.bench
@pytest.mark.reuters
@keras_cases
def test_keras_matches_the_digests(
    options: dict[str, Any], expected: str, reuters_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warnings.catch_warnings(action="ignore"):
        pytest.importorskip("keras")
        from keras.src.datasets import reuters as of_keras
    file = reuters_data / "reuters.npz"
    monkeypatch.setattr(of_keras, "get_file", lambda **_: str(file))
    theirs = of_keras.load_data(**options)
    ours = reuters.load_data(file, **options)
    assert digest(theirs) == expected
    assert plain(ours) == plain(theirs)
    assert [x.shape for x, _ in ours] == [x.shape for x, _ in theirs]
    assert [x.dtype for x, _ in ours] == [x.dtype for x, _ in theirs]


@pytest.mark.reuters
def test_load_data_returns_lists_of_int_and_int64_labels(reuters_data: Path) -> None:
    (x_train, y_train), (x_test, y_test) = reuters.load_data(reuters_data, num_words=10_000)
    assert (x_train.shape, y_train.shape) == ((8982,), (8982,))
    assert (x_test.shape, y_test.shape) == ((2246,), (2246,))
    assert x_train.dtype == object
    assert y_train.dtype == y_test.dtype == np.int64
    assert {type(row) for row in x_train} == {list}
    assert {type(number) for row in x_test for number in row} == {int}
    assert max(max(row) for row in x_train) == 9999


def keras_load_data(
    rows: list[list[int]], labels: list[int], num_words: int | None, skip_top: int,
    maxlen: int | None, test_split: float, seed: int, start_char: int | None,
    oov_char: int | None, index_from: int,
) -> list[Any]:  # fmt: skip
    """Do what Keras does, in its order, one number at a time."""
    order = np.arange(len(rows))
    np.random.RandomState(seed).shuffle(order)
    rows, labels = [rows[i] for i in order], [labels[i] for i in order]
    mark = [] if start_char is None else [start_char]
    rows = [mark + [n + index_from for n in row] for row in rows]
    if maxlen:
        kept = [i for i, row in enumerate(rows) if len(row) < maxlen]
        rows, labels = [rows[i] for i in kept], [labels[i] for i in kept]
    if not num_words:
        num_words = max(max(row) for row in rows)
    if oov_char is None:
        rows = [[n for n in row if skip_top <= n < num_words] for row in rows]
    else:
        rows = [[n if skip_top <= n < num_words else oov_char for n in row] for row in rows]
    n_train = int(len(rows) * (1 - test_split))
    return [[rows[:n_train], labels[:n_train]], [rows[n_train:], labels[n_train:]]]


def save_npz(path: Path, rows: list[list[int]], labels: list[int]) -> Path:
    x = np.empty(len(rows), dtype=object)
    x[:] = rows
    np.savez(path, x=x, y=np.array(labels, dtype=np.int64))
    return path


def load_unchecked(path: Path, **options: Any) -> Any:
    """Load a file other than the original."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequences, "read_checked", downloads.read_bounded)
        return reuters.load_data(path, **options)


maybe = st.none() | st.integers(0, 12)


@pytest.mark.slow
@settings(max_examples=200)
@given(
    rows=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=6), min_size=1, max_size=8),
    num_words=maybe,
    skip_top=st.integers(0, 9),
    maxlen=st.none() | st.integers(0, 9),
    test_split=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
    start_char=maybe,
    oov_char=maybe,
    index_from=st.integers(0, 5),
)
def test_load_data_options_mean_what_they_mean_in_keras(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[int]], **options: Any
) -> None:
    labels = list(range(len(rows)))
    path = save_npz(tmp_path_factory.mktemp("any") / "reuters.npz", rows, labels)
    try:
        expected = keras_load_data(rows, labels, **options)
    except ValueError:  # no wire is short enough
        with pytest.raises(OptionError):
            load_unchecked(path, **options)
    else:
        assert plain(load_unchecked(path, **options)) == expected


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return a file of eight wires."""
    return save_npz(tmp_path / "reuters.npz", [[n, n + 1] for n in range(1, 9)], [*range(8)])


def test_load_data_leaves_the_random_state_of_numpy(small: Path) -> None:
    np.random.seed(3)
    expected = np.random.random()
    np.random.seed(3)
    load_unchecked(small, seed=5)
    assert np.random.random() == expected


def test_load_data_seed_decides_the_order(small: Path) -> None:
    def order(seed: int | None) -> list[int]:
        return load_unchecked(small, seed=seed, test_split=0)[0][1].tolist()

    assert order(1) == order(1) != order(2)
    assert len({tuple(order(None)) for _ in range(5)}) > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_words": "10"}, "`num_words` is '10'; give a whole number or None."),
        ({"maxlen": 5.5}, "`maxlen` is 5.5; give a whole number or None."),
        ({"start_char": "<"}, "`start_char` is '<'; give a whole number or None."),
        ({"oov_char": 2.0}, "`oov_char` is 2.0; give a whole number or None."),
        ({"skip_top": None}, "`skip_top` is None; give a whole number."),
        ({"index_from": None}, "`index_from` is None; give a whole number."),
        ({"test_split": 1.5}, "`test_split` is 1.5; give a number from 0 to 1."),
        ({"test_split": float("nan")}, "`test_split` is nan; give a number from 0 to 1."),
        ({"test_split": None}, "`test_split` is None; give a number from 0 to 1."),
        ({"seed": -1}, "`seed` is -1; give a whole number from 0 to 4294967295, or None."),
        ({"seed": "x"}, "`seed` is 'x'; give a whole number from 0 to 4294967295, or None."),
        ({"maxlen": 2}, "`maxlen` is 2, but no wire is shorter; give a larger number or None."),
    ],
    ids=lambda value: "" if isinstance(value, str) else "=".join(map(str, *value.items())),
)
def test_load_data_rejects_an_option_out_of_range(
    options: dict[str, Any], message: str, small: Path
) -> None:
    with pytest.raises(OptionError) as caught:
        load_unchecked(small, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["reuters.npz", "reuters_word_index.json", "reuters21578.tar.gz"])
@pytest.mark.parametrize(
    ("content", "found"),
    [
        (
            b"",
            {
                "reuters.npz": "checksum mismatch",
                "reuters_word_index.json": "Input data was truncated",
                "reuters21578.tar.gz": "empty file",
            },
        ),
        (
            b"<html>",
            {
                "reuters.npz": "checksum mismatch",
                "reuters_word_index.json": "JSON is malformed: invalid character (byte 0)",
                "reuters21578.tar.gz": "Not a gzipped file (b'<h')",
            },
        ),
        (
            bytes(5_000_000),
            {
                "reuters.npz": "it has more than 4,000,000 bytes",
                "reuters_word_index.json": "it has more than 1,000,000 bytes",
                "reuters21578.tar.gz": "Not a gzipped file (b'\\x00\\x00')",
            },
        ),
    ],
    ids=["empty", "a web page", "large"],
)
def test_readers_reject_a_file_of_other_content(
    content: bytes, found: dict[str, str], name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    readers: dict[str, tuple[Any, str]] = {
        "reuters.npz": (reuters.load_data, "sequences"),
        "reuters_word_index.json": (reuters.get_word_index, "word index"),
        "reuters21578.tar.gz": (reuters.load_wires, "archive"),
    }
    read, key = readers[name]
    with pytest.raises(DataError) as caught:
        read(path=tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / name} is damaged or not the original ({found[name]}); "
        f"replace it with {name} from {sources.FILES[key].urls[0]}."
    )


@pytest.mark.reuters
@pytest.mark.parametrize("size", [1000, 1_000_000, 2_110_847], ids=["start", "half", "all but one"])
def test_load_data_rejects_a_truncated_file(size: int, reuters_data: Path, tmp_path: Path) -> None:
    (tmp_path / "reuters.npz").write_bytes((reuters_data / "reuters.npz").read_bytes()[:size])
    with pytest.raises(DataError, match=r"^\S+reuters.npz is damaged or not the original \(\w"):
        reuters.load_data(tmp_path)


def test_readers_raise_one_download_error_for_missing_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUGLINE_CACHE", str(tmp_path))
    monkeypatch.delenv("SLUGLINE_DATA", raising=False)
    monkeypatch.setattr(downloads, "PAUSE", 0)
    for name, remote in sources.FILES.items():
        local = downloads.RemoteFile(remote.name, ("http://127.0.0.1:9/",), remote.sha256, 1)
        monkeypatch.setitem(sources.FILES, name, local)
    for read in (reuters.load_data, reuters.get_word_index, reuters.load_wires):
        with pytest.raises(DownloadError):
            read()
    with pytest.raises(DownloadError):
        reuters.decode([1])


# Words and topics


@pytest.mark.reuters
def test_get_word_index_returns_that_of_the_file(reuters_data: Path) -> None:
    index = reuters.get_word_index(reuters_data)
    assert index == json.loads((reuters_data / "reuters_word_index.json").read_bytes())
    assert (len(index), index["the"]) == (30_979, 1)


@pytest.mark.reuters
def test_decode_returns_the_example_of_the_lesson(reuters_data: Path) -> None:
    (x_train, _), _ = reuters.load_data(reuters_data, num_words=10_000)
    decoded = reuters.decode(x_train[0], path=reuters_data)
    # Only digests of Reuters' texts are kept here.
    assert sha256(decoded) == "53b44d6d84f3c2182b4c15fed44462eb17752155de10451cd1347cb051a6967f"


@pytest.fixture
def word_index(tmp_path: Path) -> Path:
    """Return a word index of three words."""
    path = tmp_path / "words.json"
    path.write_text('{"the": 1, "of": 2, "être": 3}')
    return path


@pytest.mark.parametrize(
    ("sequence", "index_from", "expected"),
    [
        ([1, 4, 5, 6, 2, 0, 3, 7], 3, "? the of être ? ? ? ?"),
        ([0, 1, 2, 3], 0, "? the of être"),
        (np.array([11, 12]), 10, "the of"),
        ([], 3, ""),
        ([-2], 3, "?"),
    ],
    ids=["reserved and unknown numbers", "nothing reserved", "an array", "empty", "negative"],
)
def test_decode_knows_offset_and_reserved_numbers(
    sequence: Any, index_from: int, expected: str, word_index: Path
) -> None:
    assert reuters.decode(sequence, index_from=index_from, path=word_index) == expected


@pytest.mark.parametrize(
    "content", ['["the"]', '{"the": "one"}', '{"the": 1.5}', '{"the": 1'], ids=str
)
def test_get_word_index_rejects_another_shape(content: str, tmp_path: Path) -> None:
    path = tmp_path / "words.json"
    path.write_text(content)
    with pytest.raises(DataError):
        reuters.get_word_index(path)


def test_topic_names_returns_a_fresh_list_in_label_order() -> None:
    names = reuters.topic_names()
    assert (len(names), names[0], names[3], names[45]) == (46, "cocoa", "earn", "lead")
    names.clear()
    assert len(reuters.topic_names()) == 46


# Texts

SEPARATORS = str.maketrans(dict.fromkeys(string.punctuation.replace("'", "") + "\t\n", " "))


def tokens(text: str) -> list[str]:
    return text.lower().translate(SEPARATORS).split(" ")


@pytest.fixture(scope="module")
def as_in_keras(reuters_data: Path) -> Wires:
    return reuters.load_wires("keras", reuters_data)


@pytest.fixture(scope="module")
def corrected(reuters_data: Path) -> Wires:
    return reuters.load_wires("corrected", reuters_data)


def both(wires: Wires) -> list[Wire]:
    return [*wires.train, *wires.test]


@pytest.mark.slow
@pytest.mark.reuters
def test_load_wires_keeps_the_order_and_split_of_the_sequences(
    as_in_keras: Wires, corrected: Wires, reuters_data: Path
) -> None:
    (_, y_train), (_, y_test) = reuters.load_data(reuters_data)
    names = reuters.topic_names()
    for wires in (as_in_keras, corrected):
        assert [wire.label for wire in wires.train] == y_train.tolist()
        assert [wire.label for wire in wires.test] == y_test.tolist()
        assert wires.train.topics == [names[label] for label in y_train]
        assert wires.test.topics == [names[label] for label in y_test]


@pytest.mark.slow
@pytest.mark.reuters
def test_load_wires_keras_has_the_words_of_the_sequences(
    as_in_keras: Wires, reuters_data: Path
) -> None:
    (x, _), _ = reuters.load_data(
        reuters_data, num_words=40_000, test_split=0, start_char=None, index_from=0
    )
    words = {rank: word for word, rank in reuters.get_word_index(reuters_data).items()}
    differences = {}
    for wire, sequence in zip(both(as_in_keras), x, strict=True):
        ours = [word for word in tokens(wire.text) if word]
        theirs = [words[rank] for rank in sequence]
        if ours != theirs:
            differences[wire.newid] = [
                pair for pair in zip(ours, theirs, strict=True) if pair[0] != pair[1]
            ]
    assert differences == {17980: [("ü", "?")]}


@pytest.mark.reuters
def test_load_wires_keras_gives_a_wire_without_body_the_word_of_keras(as_in_keras: Wires) -> None:
    (wire,) = (wire for wire in both(as_in_keras) if wire.newid == 7000)
    assert (wire.text, wire.misplaced) == ("rn", True)


@pytest.mark.reuters
def test_load_wires_marks_the_975_misplaced_texts(as_in_keras: Wires, corrected: Wires) -> None:
    assert [wire.misplaced for wire in both(as_in_keras)] == [
        wire.misplaced for wire in both(corrected)
    ]
    assert sum(wire.misplaced for wire in both(as_in_keras)) == 975
    assert sum(wire.misplaced for wire in as_in_keras.test) == 207
    by_topic = Counter(wire.topic for wire in both(as_in_keras) if wire.misplaced)
    assert by_topic.most_common(6) == [
        ("acq", 237),
        ("earn", 211),
        ("money-fx", 108),
        ("interest", 76),
        ("money-supply", 64),
        ("crude", 60),
    ]


@pytest.mark.reuters
def test_load_wires_editions_differ_in_markup_headline_and_misplaced_texts(
    as_in_keras: Wires, corrected: Wires
) -> None:
    for wrong, right in zip(both(as_in_keras), both(corrected), strict=True):
        body = re.sub(r"&#\d+;", " ", wrong.text).replace("&lt;", "<").replace("&amp;", "&").strip()
        assert (right.text == f"{right.headline}\n{body}") is not right.misplaced


@pytest.mark.reuters
def test_topic_names_follow_from_the_collection(reuters_data: Path) -> None:
    with tarfile.open(reuters_data / "reuters21578.tar.gz") as archive:
        names = sorted(name for name in archive.getnames() if name.endswith(".sgm"))
        files = filter(None, map(archive.extractfile, names))
        sgml = "".join(file.read().decode("latin-1") for file in files)
    firsts = [
        field.removeprefix("<D>").partition("</D>")[0]
        for field in (part.partition("</TOPICS>")[0] for part in sgml.split("<TOPICS>")[1:])
        if field
    ]
    counts = Counter(firsts)
    assert reuters.topic_names() == [t for t in dict.fromkeys(firsts) if counts[t] >= 15]
    assert sum(counts[topic] for topic in reuters.topic_names()) == 11_228


@pytest.mark.reuters
def test_load_wires_corrected_has_texts_topics_and_dates(corrected: Wires) -> None:
    wires = both(corrected)
    assert (len(corrected.train), len(corrected.test)) == (8982, 2246)
    assert len({wire.newid for wire in wires}) == 11_228
    assert sum(len(wire.topics) > 1 for wire in wires) == 1821
    assert all(wire.topic == wire.topics[0] for wire in wires)
    assert sum(wire.headline == "" for wire in wires) == 61
    assert all(wire.text.startswith(wire.headline) and wire.text for wire in wires)
    assert min(wire.date for wire in wires) == datetime(1987, 2, 26, 15, 1, 1, 790_000)
    assert max(wire.date for wire in wires) == datetime(1987, 10, 20, 19, 17, 19, 350_000)
    characters = set().union(*corrected.train.texts, *corrected.test.texts)
    assert characters - set(string.printable) == {"ü"}
    assert not any("Blah blah blah" in wire.text for wire in wires)
    assert not any(mark in wire.text for wire in wires for mark in ("&lt;", "&amp;", "&#", "</"))


@pytest.mark.reuters
@pytest.mark.parametrize(
    ("newid", "headline", "text"),
    [
        (2560, "680e8741641d8042", "e67608a92525f00e"),
        (18644, "1c468d0a219eba6b", "1c468d0a219eba6b"),
        (16626, "e3b0c44298fc1c14", "9b98fd8efdd82f5e"),
        (7000, "70cf96c5dd886866", "70cf96c5dd886866"),
    ],
    ids=["with a body", "brief", "unprocessed", "last of its file"],
)
def test_load_wires_gives_each_kind_of_wire_its_own_text(
    newid: int, headline: str, text: str, corrected: Wires
) -> None:
    (wire,) = (wire for wire in both(corrected) if wire.newid == newid)
    assert (sha256(wire.headline)[:16], sha256(wire.text)[:16]) == (headline, text)


# Texts from an archive of our own making, where the real one isn't at hand

SMALL_SGML = """<!DOCTYPE lewis SYSTEM "lewis.dtd">
<REUTERS TOPICS="YES" LEWISSPLIT="TRAIN" OLDID="1" NEWID="1">
<DATE>26-FEB-1987 15:01:01.79</DATE>
<TOPICS><D>grain</D><D>rye</D></TOPICS>
<TEXT TYPE="BRIEF">&#2;
******<TITLE>WHEAT
 RISES</TITLE>Blah blah blah.
&#3;
</TEXT>
</REUTERS>
<REUTERS TOPICS="YES" LEWISSPLIT="NOT-USED" OLDID="2" NEWID="2">
<DATE> 3-MAR-1987  09:15:05.40 &#5;C</DATE>
<TOPICS></TOPICS>
<TEXT>&#2;
<TITLE>NO TOPIC</TITLE>
<BODY>Tate &amp; Lyle&#127;&lt;TATL>.
&#3;</BODY></TEXT>
</REUTERS>
<REUTERS TOPICS="YES" LEWISSPLIT="TEST" OLDID="3" NEWID="3">
<DATE> 3-MAR-1987 09:15:05.40</DATE>
<TOPICS><D>rye</D></TOPICS>
<TEXT><TITLE>RARE TOPIC</TITLE><BODY>Rye.</BODY></TEXT>
</REUTERS>
<REUTERS TOPICS="YES" LEWISSPLIT="TRAIN" OLDID="4" NEWID="4">
<DATE> 3-MAR-1987 09:15:05.4</DATE>
<TOPICS><D>tin</D></TOPICS>
<PLACES><D>uk</D><D>malaysia</D></PLACES>
<TEXT TYPE="UNPROC">&#2;
TIN AT 5 &lt;dlrs>
&#3;</TEXT>
</REUTERS>
"""


def pack(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def small_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an archive with one file of four wires, of which two have one of the 46 topics."""
    content = SMALL_SGML.encode("latin-1")
    digests = {"reut2-000.sgm": hashlib.sha256(content).hexdigest()}
    monkeypatch.setattr(wires_module, "SGML_SHA256", digests)
    return pack(tmp_path / "small.tar.gz", {"README.txt": b"-", "./reut2-000.sgm": content})


def test_load_wires_reads_a_small_collection_in_both_editions(small_archive: Path) -> None:
    grain = Wire(
        text="WHEAT RISES",
        headline="WHEAT RISES",
        topic="grain",
        topics=("grain", "rye"),
        date=datetime(1987, 2, 26, 15, 1, 1, 790_000),
        newid=1,
        label=1,
        misplaced=True,
        fields={"author": ()},
    )
    tin = Wire(
        text="TIN AT 5 <dlrs>",
        headline="",
        topic="tin",
        topics=("tin",),
        date=datetime(1987, 3, 3, 9, 15, 5, 400_000),
        newid=4,
        label=26,
        misplaced=True,
        fields={"places": ("uk", "malaysia"), "author": ()},
    )
    corrected = reuters.load_wires(path=small_archive)
    assert sorted(both(corrected), key=lambda wire: wire.newid) == [grain, tin]
    texts = {wire.newid: wire.text for wire in both(reuters.load_wires("keras", small_archive))}
    assert texts == {1: "Tate &amp; Lyle&#127;&lt;TATL>.\n&#3;", 4: "rn"}


def test_load_wires_modapte_has_the_topics_of_both_parts(small_archive: Path) -> None:
    wires = reuters.load_wires("modapte", small_archive)

    assert [(wire.newid, wire.text, wire.topics) for wire in wires.train] == [
        (1, "WHEAT RISES", ("rye",))
    ]
    assert [(wire.newid, wire.topics, wire.topic, wire.label) for wire in wires.test] == [
        (3, ("rye",), "rye", -1)
    ]


def test_load_wires_modapte_leaves_out_unindexed_wires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unindexed = SMALL_SGML.replace(
        'TOPICS="YES" LEWISSPLIT="TEST"', 'TOPICS="NO" LEWISSPLIT="TEST"'
    )
    content = unindexed.encode("latin-1")
    digests = {"reut2-000.sgm": hashlib.sha256(content).hexdigest()}
    monkeypatch.setattr(wires_module, "SGML_SHA256", digests)
    archive = pack(tmp_path / "small.tar.gz", {"reut2-000.sgm": content})

    assert both(reuters.load_wires("modapte", archive)) == []


@pytest.mark.slow
@pytest.mark.reuters
def test_load_wires_modapte_has_the_numbers_of_the_literature(
    reuters_data: Path, corrected: Wires
) -> None:
    wires = reuters.load_wires("modapte", reuters_data)
    topics = [
        {topic for wire in part for topic in wire.topics} for part in (wires.train, wires.test)
    ]

    assert (len(wires.train), len(wires.test)) == (7_770, 3_019)
    assert topics[0] == topics[1]
    assert len(topics[0]) == 90
    assert all(len(set(wire.topics)) == len(wire.topics) for wire in both(wires))
    # Documents of a topic, as in Joachims (1998) and Yang and Liu (1999).
    counts = Counter(topic for wire in wires.train for topic in wire.topics)
    assert counts.most_common(5) == [
        ("earn", 2877), ("acq", 1650), ("money-fx", 538), ("grain", 433), ("crude", 389)
    ]  # fmt: skip
    texts = {wire.newid: wire.text for wire in both(corrected)}
    shared = [wire for wire in both(wires) if wire.newid in texts]
    assert len(shared) > 10_000
    assert all(wire.text == texts[wire.newid] for wire in shared)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve the temporary folder at this address, and start with an empty cache."""
    monkeypatch.setenv("SLUGLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SLUGLINE_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def archive_from(monkeypatch: pytest.MonkeyPatch, *urls: str) -> None:
    """Have the archive looked for at these addresses."""
    monkeypatch.setitem(sources.FILES, "archive", replace(sources.FILES["archive"], urls=urls))


def test_load_wires_checks_and_keeps_a_downloaded_archive(
    small_archive: Path, here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").write_bytes(b"<html>")
    archive_from(monkeypatch, f"{here}/other", f"{here}/missing")
    with pytest.raises(DownloadError) as caught:
        reuters.load_wires()
    assert str(caught.value) == (
        "reuters21578.tar.gz can't be found or downloaded: SLUGLINE_DATA is not set, there is no "
        f"good copy in {tmp_path / 'cache' / 'reuters'}, and {here}/other failed (it sent the "
        f"wrong file: Not a gzipped file (b'<h')), {here}/missing failed (HTTP status 404); "
        "put reuters21578.tar.gz into a folder and set SLUGLINE_DATA to that folder."
    )
    archive_from(monkeypatch, f"{here}/other", f"{here}/{small_archive.name}")
    downloaded = reuters.load_wires()
    archive_from(monkeypatch)
    assert downloaded == reuters.load_wires() == reuters.load_wires(path=small_archive)
    assert (tmp_path / "cache" / "reuters" / "reuters21578.tar.gz").is_file()


def test_load_wires_takes_the_archive_within_another(
    small_archive: Path, here: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.writestr("README.txt", "-")
        outer.write(small_archive, "reuters21578.tar.gz")
    archive_from(monkeypatch, f"{here}/outer.zip")
    assert reuters.load_wires() == reuters.load_wires(path=small_archive)
    kept = tmp_path / "cache" / "reuters" / "reuters21578.tar.gz"
    assert kept.read_bytes() == small_archive.read_bytes()


def test_archive_has_three_addresses() -> None:
    assert sources.FILES["archive"].urls == (
        "https://archive.ics.uci.edu/static/public/137/"
        "reuters+21578+text+categorization+collection.zip",
        "https://kdd.ics.uci.edu/databases/reuters21578/reuters21578.tar.gz",
        "https://archive.ics.uci.edu/ml/machine-learning-databases/reuters21578-mld/"
        "reuters21578.tar.gz",
    )


def test_wire_list_has_texts_and_topics_in_order(small_archive: Path) -> None:
    wires = reuters.load_wires(path=small_archive)
    everything = WireList(both(wires))
    assert sorted(everything.texts) == ["TIN AT 5 <dlrs>", "WHEAT RISES"]
    assert dict(zip(everything.topics, everything.texts, strict=True))["grain"] == "WHEAT RISES"


def test_load_wires_rejects_an_unknown_edition() -> None:
    with pytest.raises(OptionError) as caught:
        reuters.load_wires("original")  # type: ignore[arg-type]
    assert str(caught.value) == ("`edition` is 'original'; give one of keras, corrected, modapte.")


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (
            lambda path: path.write_bytes(path.read_bytes()[:-200]),
            "Compressed file ended before the end-of-stream marker was reached",
        ),
        (lambda path: path.write_bytes(gzip.compress(b"no tar" * 200)), "invalid header"),
        (lambda path: pack(path, {"README.txt": b"-"}), "there is no reut2-000.sgm in it"),
        (
            lambda path: pack(path, {"reut2-000.sgm": SMALL_SGML.encode()[:-1]}),
            "its reut2-000.sgm differs from the original",
        ),
        (
            lambda path: path.write_bytes(gzip.compress(bytes(64_000_001))),
            "it unpacks to more than 64,000,000 bytes",
        ),
    ],
    ids=["cut off", "no archive", "a file missing", "a file changed", "bomb"],
)
def test_load_wires_names_what_is_wrong_with_an_archive(
    damage: Any, found: str, small_archive: Path
) -> None:
    damage(small_archive)
    with pytest.raises(DataError) as caught:
        reuters.load_wires(path=small_archive)
    message = str(caught.value)
    assert message.startswith(f"{small_archive} is damaged or not the original ({found}")
    source = sources.FILES["archive"].urls[0]
    assert message.endswith(f"; replace it with reuters21578.tar.gz from {source}.")
    assert "\n" not in message
