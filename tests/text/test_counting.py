"""TermCounts by the compiled kernel and by NumPy: the same bits, whatever comes in."""

from __future__ import annotations

import itertools
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from distinct_characters import distinct_characters
from slugline.text import counting, sparse
from slugline.text.characters import (
    TRANSLATION,
    character_classes,
    character_table,
    normalize_nfc,
    normalize_text,
)
from slugline.text.columns import Buckets, HashedColumns, TermColumns, Vocabulary
from slugline.text.counting import TermCounts, count_in_arrays, count_in_kernel
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features
from slugline.text.terms import KINDS
from slugline.text.tokens import ChunkSizes, JoinedTexts, find_words

needs_kernel = pytest.mark.skipif(
    counting.kernel is None, reason="the kernel is not built: there was no compiler"
)

# Words meet, scripts touch, cases and accents are in any form, and some are no words at all.
PIECES = st.sampled_from(
    [
        *("oil", "OIL", "a", "the the the", "don’t", "don't", "naïve", "nai\u0308ve"),
        *("ΣΑΣ", "İ", "नमस्ते", "مرحبا", "🙂", "👩‍👩‍👧", "\u0301", "\u0301\u0302e", "\u200b"),
        *("x" * 99, "x" * 100, "é" * 101, "n" * 3000, "12345678", "123456789", "1" * 16),
        *("手机", "石油石油", "ราคาน้ำมัน", "コーヒー", "iPhone手机", "元" * 40),
        *("𠀀𠀁a", "\U0003ffff", "\U0010ffff", "\ufeff", "\x80", "\u07ff", "\u0800", "\uffff"),
        *("\ud800", "\udfff\ud83d", "\0", "\x7f", "ー", "々", "\u0e4f", "・"),
        *(" ", "\t\n", "\u3000", "\u2003", "\u2028", "-", "—", "。", "「」", "…!?"),
    ]
)
TEXT = st.lists(PIECES | st.text(max_size=4), max_size=30).map("".join)
TEXTS = st.lists(TEXT, max_size=6)
TERMS = {
    "words": ["oil", "a", "元元", "手机", "don't", "\ud800"],
    "lead": ["oil", "the", "x" * 99],
    "bigrams": ["oil a", "the the", "iphone 手机"],
    "characters": [" oil", "手", "手机", "nnnn", "元元元元", " a "],
    "characters-2": [" o", "nn", "a ", "手机"],
    "characters-3": [" oi", "nnn", " a ", "手机石"],
    "characters-5": [" oil ", "nnnnn", "don't", "石油石油元"],
}


Count: TypeAlias = Callable[..., TermCounts]


def fresh() -> list[tuple[str, TermColumns]]:
    """Return columns of all sorts for each kind of term, and its name."""
    return [
        (kind, columns)
        for kind in KINDS
        for columns in (
            HashedColumns(1 << 16, kind),
            HashedColumns(8, kind),
            Buckets(1 << 24, kind),
            Buckets(1, kind),
            Vocabulary(TERMS[kind], kind),
        )
    ]


def counted(
    count: Count, chunks: Sequence[Sequence[str]], columns: list[tuple[str, TermColumns]]
) -> list[TermCounts]:
    """Count chunks, in a first round learning from each; return the counts of both rounds."""
    kinds, vocabularies = zip(*columns, strict=True)
    return [
        count(chunk, kinds, vocabularies, learn=learn)
        for learn in (True, False)
        for chunk in chunks
    ]


def arrays_of(counts: TermCounts) -> list[np.ndarray]:
    """Return all that counts consist of."""
    return [*counts.entries, counts.n_terms, counts.n_words]


def bits(counts: Sequence[TermCounts]) -> list[Any]:
    """Return the same as plain values: equal for equal bits alone."""
    return [[(array.dtype, array.tolist()) for array in arrays_of(each)] for each in counts]


# The same as NumPy ------------------------------------------------------------------------------


@pytest.mark.slow
@needs_kernel
@given(chunks=st.lists(TEXTS, max_size=3))
@example(chunks=[[]])
@example(chunks=[["", "", ""], ["", " ", "."]])
@example(chunks=[["oil"] * 50 + ["a" * 70 + " 手" * 200]])
def test_kernel_counts_as_numpy_does(chunks: list[list[str]]) -> None:
    by_kernel, by_numpy = fresh(), fresh()
    theirs = counted(count_in_arrays, chunks, by_numpy)
    ours = counted(count_in_kernel, chunks, by_kernel)
    for some, others in zip(ours, theirs, strict=True):
        assert [a.tolist() for a in arrays_of(some)] == [a.tolist() for a in arrays_of(others)]
        for values, columns, _ in (some.entries, others.entries):
            assert (values.dtype.name, columns.dtype.name) == ("float32", "int32")
    for (_, one), (_, other) in zip(by_kernel, by_numpy, strict=True):
        assert one.n_columns == other.n_columns
        assert list(one.terms) == list(other.terms)


@pytest.mark.slow
@needs_kernel
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("QUJD" * 500_000, id="base64"),
        pytest.param("oil " * 200_000, id="a word again and again"),
        pytest.param(" .," * 200_000, id="separators"),
        pytest.param("石油" * 50_000, id="no spaces"),
        pytest.param("a手" * 50_000, id="scripts that change at every character"),
        pytest.param(" ".join(map(str, range(50_000))), id="many words"),
    ],
)
def test_kernel_counts_long_documents_as_numpy_does(text: str) -> None:
    def columns() -> list[tuple[str, TermColumns]]:
        return [(kind, HashedColumns(1 << 20, kind)) for kind in KINDS]

    ours, theirs = (
        counted(count, [[text, "oil", ""]], columns())
        for count in (count_in_kernel, count_in_arrays)
    )
    for some, others in zip(ours, theirs, strict=True):
        pairs = zip(arrays_of(some), arrays_of(others), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)


def words_of(count: Count, texts: Sequence[str]) -> list[Any]:
    """Return which words each text has, as their places among 2^24, and how many of each."""
    counts = count(texts, ["words"], [Buckets(1 << 24, "words")])
    return [array.tolist() for array in arrays_of(counts)]


@pytest.mark.slow
@needs_kernel
@pytest.mark.parametrize("other", ["", "\U0001f642"], ids=["one plane", "two planes"])
def test_kernel_reads_each_character_as_numpy_does(other: str) -> None:
    texts = [character + other for character in distinct_characters()]
    assert words_of(count_in_kernel, texts) == words_of(count_in_arrays, texts)


# Characters that form C makes of others, with their parts; and marks that change places.
COMPOSED = [
    chr(point)
    for point in itertools.chain(
        range(0x80, 0xAC00), range(0xAC00, 0xD7A4, 97), range(0xF900, 0x20000)
    )
    if not unicodedata.is_normalized("NFD", chr(point))
]
PARTS = sorted({part for character in COMPOSED for part in unicodedata.normalize("NFD", character)})
MARKS = [c for c in map(chr, range(0x20000)) if unicodedata.combining(c)]


@pytest.mark.slow
@needs_kernel
@pytest.mark.parametrize("n", [254, 255, 256, 257, 509, 510, 511, 766])
def test_kernel_counts_a_frequent_word_as_numpy_does(n: int) -> None:
    texts = ["oil " * n, " ".join(["oil gas"] * n + [*map(str, range(20))]), "oil"]
    assert words_of(count_in_kernel, texts) == words_of(count_in_arrays, texts)


def words_in_buckets(most: int, n_words: int) -> str:
    """Return a text of different words whose buckets have low bits of at most a number."""
    words = find_words([" ".join(f"w{number}" for number in range(200 * n_words))])
    chosen = np.flatnonzero((words.hashes & np.uint64(4095)) <= most)
    return " ".join(words.word(number) for number in chosen[:n_words].tolist())


@needs_kernel
@pytest.mark.parametrize("n_buckets", [4096, 1 << 14, 1 << 20])
@pytest.mark.parametrize(("most", "n_words"), [(4095, 9000), (15, 600)], ids=["many", "in one run"])
def test_kernel_learns_many_words_as_numpy_does(n_buckets: int, most: int, n_words: int) -> None:
    """A table grows with its columns, and if their buckets are next to each other."""
    text = words_in_buckets(most, n_words)
    results = []
    for count in (count_in_kernel, count_in_arrays):
        vocabulary = HashedColumns(n_buckets)
        counts = counted(count, [[text, text[: len(text) // 2]], [text]], [("words", vocabulary)])
        results.append([*map(arrays_of, counts), list(vocabulary.terms)])
    by_kernel, by_numpy = results
    np.testing.assert_equal(by_kernel, by_numpy)


@needs_kernel
@pytest.mark.parametrize("separator", [" ", "  .", "手", "é"])
def test_kernel_reads_words_around_64_characters_as_numpy_does(separator: str) -> None:
    starts = [("ab " * 43)[:n] for n in range(60, 70)] + [n * " " + "x" for n in (63, 64, 65, 128)]
    texts = [start + separator + end for start in starts for end in ("", "y", " y" * 64)]
    assert words_of(count_in_kernel, texts) == words_of(count_in_arrays, texts)


@needs_kernel
def test_kernel_reads_combining_pairs_as_numpy_does() -> None:
    normal = [unicodedata.normalize("NFD", character) for character in COMPOSED]
    cut = [unicodedata.normalize("NFC", text[:-1]) + text[-1] for text in normal]
    texts = [*COMPOSED, *normal, *cut, *(text.upper() for text in normal)]
    assert words_of(count_in_kernel, texts) == words_of(count_in_arrays, texts)


@needs_kernel
@given(st.lists(st.text(st.sampled_from([*PARTS, *COMPOSED, *MARKS, *"aΣİΑ.'"])), max_size=9))
def test_kernel_reads_normal_forms_as_numpy_does(texts: list[str]) -> None:
    assert words_of(count_in_kernel, texts) == words_of(count_in_arrays, texts)


@needs_kernel
def test_kernel_asks_python_only_for_hard_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def normalize(text: str) -> str:
        read.append(text)
        return normalize_nfc(text)

    monkeypatch.setattr("slugline.text.tokens.normalize_nfc", normalize)
    plain = [
        "Öl",
        "ОЛИЯ",
        "हिन्दी में सड\u093cक",
        "கொள்கை",
        "ราคาน้ำมัน",
        "مَرْحَبًا",
        "ガス",
        "한국어",
        "🙂",
        "oil",
    ]
    hard = ["ΟΔΟΣ", "İznik", "nai\u0308ve", "\u0958", "x\u0301\u0316", "\u1112\u1161", "𠀀"]
    words_of(count_in_kernel, [*plain, *hard, *plain])
    assert read == hard


@needs_kernel
def test_kernel_raises_an_error_of_normalize(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slugline.text.tokens.normalize_nfc", lambda text: text[99])
    columns = HashedColumns(1 << 16)
    for n_texts in (2, 9999):  # with the interpreter's lock, and without it
        with pytest.raises(IndexError):
            counted(count_in_kernel, [["wheat oil"] * n_texts + ["İznik"]], [("words", columns)])
    assert columns.n_columns == 0
    np.testing.assert_array_equal(columns.table.columns, -1)


TOPICS = ["Crude oil, 石油!", "", "Ölpreis rose", "crude CRUDE ราคาน้ำมัน don’t", "\ud800 oil"] * 40


@needs_kernel
@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("hashed", [True, False], ids=["buckets", "vocabulary"])
def test_features_give_the_same_rows_without_the_kernel(
    hashed: bool, n_jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline.text.tokens.CHUNK_SIZES", ChunkSizes(50, texts_per_step=16))
    rows = []
    for setting in ("0", "1"):
        monkeypatch.setenv("SLUGLINE_KERNEL", setting)
        assert sparse.has_kernel() is (setting == "1")
        blocks = [
            replace(block, n_buckets=1 << 20 if hashed else None)
            for block in (
                FeatureGroup("words", "log-tf-idf", 1.25),
                FeatureGroup("bigrams", "tf-idf", 0.3),
                FeatureGroup("characters", "log-tf-idf", 1.0),
                FeatureGroup("lead", "multi-hot", 0.1),
            )
        ]
        features = Features(blocks, n_jobs=n_jobs)
        made = [features.fit_transform(TOPICS), features.transform([*TOPICS, "new oil"])]
        if hashed:
            made += [features.partial_fit_transform(["new oil 石"], len(TOPICS))[0]]
            made += [features.transform([*TOPICS, "new oil 石"])]
        rows.append(made)
    for one, other in zip(*rows, strict=True):
        assert one.indptr.tolist() == other.indptr.tolist()
        assert one.indices.tolist() == other.indices.tolist()
        np.testing.assert_allclose(one.data, other.data, rtol=1e-5)


@needs_kernel
def test_kernel_counts_on_several_threads() -> None:
    columns = fresh()
    counted(count_in_kernel, [TOPICS], columns)
    kinds, vocabularies = zip(*columns, strict=True)

    def count(_: int) -> Any:
        return bits([count_in_kernel(TOPICS, kinds, vocabularies)])

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(count, range(16)))
    assert answers == [answers[0]] * 16


@pytest.mark.slow
def test_character_table_agrees_with_normalize_text() -> None:
    table = character_classes()
    for point in range(0x80, 0x40000):
        if chr(point).lower() != chr(point) or not unicodedata.is_normalized("NFC", chr(point)):
            continue  # these are not there any more when the table is asked
        side = table[point] if point < 0x10000 else table[0x10000 + (point >> 16)]
        text = chr(point)
        assert normalize_text(text) == {0: text, 1: f" {text} ", 2: " ", 3: "'"}[side]


# What doesn't fit -------------------------------------------------------------------------------


@needs_kernel
@given(st.binary(max_size=200), st.data())
def test_kernel_accepts_any_bytes(text: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    lengths = np.array([cut, len(text) - cut - 1] if cut < len(text) else [cut])
    blocks = tuple(
        (kind, *columns.table, columns.n_columns if isinstance(columns, HashedColumns) else -1, 0)
        for kind, columns in fresh()
    )
    letters = bytes(range(128))
    _, values, *n_each, _, _, _ = counting.kernel.count(
        text, lengths, letters, character_table(1), bytes, blocks
    )
    n_entries, n_terms, n_words = (np.frombuffer(n, dtype=np.int64) for n in n_each)
    assert n_entries.sum() == len(values) // 4
    assert n_terms.sum() == np.frombuffer(values, dtype=np.float32).sum()
    assert len(n_words) == len(lengths)


@needs_kernel
@given(st.binary(max_size=200), st.integers(0, 1 << 32), st.integers(0, 9))
def test_kernel_looks_up_no_column_in_an_empty_table(
    text: bytes, seed: int, n_columns: int
) -> None:
    groups = np.random.default_rng(seed).integers(0, 1 << 63, (16, 2), dtype=np.uint64)
    groups[::2, 1] %= 12
    columns = np.arange(n_columns, dtype=np.int32)
    blocks = (("words", 1024, columns, None, 0, groups, -1, 0),)
    found, *_ = counting.kernel.count(text, np.array([len(text)]), bytes(128), None, bytes, blocks)
    assert set(np.frombuffer(found, dtype=np.int32)) <= set(columns)


@needs_kernel
@pytest.mark.parametrize(
    ("n_columns", "first", "column"),
    [(-1, 2**31 - 1, 1), (-1, 5, 2**31 - 1), (2**31 - 1, 0, -1), (-1, -1, 0), (-2, 0, 0)],
    ids=["first", "listed", "learned", "negative first", "negative number"],
)
def test_kernel_rejects_columns_over_32_bits(n_columns: int, first: int, column: int) -> None:
    table = np.full(64, column, dtype=np.int32)
    blocks = (("words", 64, table, None, 0, None, n_columns, first),)
    letters = bytes(range(128))
    with pytest.raises(ValueError, match="more columns than 32 bits can count"):
        counting.kernel.count(b"a b", np.array([3]), letters, None, bytes, blocks)
    assert (table == column).all()


@needs_kernel
def test_kernel_rejects_columns_over_32_bits_beside_a_negative_one() -> None:
    words = b"one two three four five six seven"
    groups = np.zeros((16, 2), dtype=np.uint64)
    groups[:, 0] = 2**64 - 1  # each bucket has a column, of which two are listed
    groups[:, 1] = np.arange(16)
    columns = np.full(1024, 2**31 - 1, dtype=np.int32)
    columns[::2] = -5
    blocks = (("words", 1024, columns, None, 0, groups, -1, 7),)
    letters = bytes(range(128))
    with pytest.raises(ValueError, match="more columns than 32 bits can count"):
        counting.kernel.count(words, np.array([len(words)]), letters, None, bytes, blocks)


@needs_kernel
def test_kernel_copies_lengths() -> None:
    texts = ["e\u0301\u0316 " * 9, "one two three"]  # only Python brings the first into normal form
    encoded = [text.encode() for text in texts]
    lengths = np.array([len(each) for each in encoded])

    def normalize(document: int) -> bytes:
        lengths[1] = 0
        return normalize_nfc(texts[document]).encode()

    table = np.zeros(64, dtype=np.int32)
    blocks = (("words", 64, table, None, 0, None, -1, 0),)
    arguments = (b" ".join(encoded), lengths, TRANSLATION, character_table(1))
    *_, n_words, _, _, _ = counting.kernel.count(*arguments, normalize, blocks)
    assert lengths[1] == 0
    assert np.frombuffer(n_words, dtype=np.int64)[1] == 3


@needs_kernel
@pytest.mark.parametrize("last", [40, 3000, 1 << 20, (1 << 24) - 1, 1 << 24, (1 << 31) - 1])
def test_kernel_sorts_large_columns(last: int) -> None:
    rng = np.random.default_rng(last)
    table = rng.integers(0, last, 64, dtype=np.int32, endpoint=True)
    table[:2] = last, max(last - 1, 0)
    documents = [rng.integers(1, 400, size).tolist() for size in (0, 1, 16, 17, 900, 5)]
    texts = [" ".join(map(str, numbers)) for numbers in documents]
    read = JoinedTexts.join(texts)
    columns, values, lengths, *_ = counting.kernel.count(
        read.data,
        read.lengths,
        TRANSLATION,
        None,
        bytes,
        (("words", 64, table, None, 0, None, -1, 0),),
    )
    hashes = [find_words([text]).hashes % np.uint64(64) for text in texts]
    expected = [np.unique(table[buckets], return_counts=True) for buckets in hashes]
    np.testing.assert_array_equal(
        np.frombuffer(columns, dtype=np.int32), np.concatenate([c for c, _ in expected])
    )
    np.testing.assert_array_equal(
        np.frombuffer(values, dtype=np.float32), np.concatenate([n for _, n in expected])
    )
    assert np.frombuffer(lengths, dtype=np.int64).tolist() == [len(c) for c, _ in expected]


SLOTS = np.full(4, -1, dtype=np.int32)
KEYS = np.zeros(4, dtype=np.uint64)


@needs_kernel
@pytest.mark.parametrize(
    ("block", "message"),
    [
        (("syllables", 4, SLOTS, None, 0, None, -1, 0), "a group is of no kind that there is"),
        (
            ("words", 3, None, None, 0, None, -1, 0),
            "the number of slots is not a power of two up to 2^30",
        ),
        (
            ("words", 0, None, None, 0, None, -1, 0),
            "the number of slots is not a power of two up to 2^30",
        ),
        (("words", 8, SLOTS, None, 0, None, -1, 0), "a table is not of the size that it has to be"),
        (
            ("words", 4, SLOTS, KEYS[:2], 1, None, -1, 0),
            "a table is not of the size that it has to be",
        ),
        (("words", 4, None, KEYS, 1, None, -1, 0), "a group's tables do not fit together"),
        (("words", 4, None, None, 0, None, 1, 0), "a group's tables do not fit together"),
        (("words", 4, None, KEYS, 1, None, 0, 0), "a group's tables do not fit together"),
        (("words", 4, SLOTS, KEYS, 1, None, 0, 0), "a group's tables do not fit together"),
        (
            ("words", 64, SLOTS, None, 0, KEYS[:1], -1, 0),
            "a table is not of the size that it has to be",
        ),
        (
            ("words", 128, SLOTS, None, 0, KEYS[:2], -1, 0),
            "a table is not of the size that it has to be",
        ),
        (("words", 64, None, None, 0, KEYS[:2], -1, 0), "a group's tables do not fit together"),
        (("words", 64, SLOTS, None, 0, KEYS[:2], 0, 0), "a group's tables do not fit together"),
        (("words", 4, SLOTS, KEYS, 1, KEYS[:2], -1, 0), "a group's tables do not fit together"),
        ("words", "a group is not a tuple"),
    ],
)
def test_kernel_rejects_tables_that_do_not_fit(block: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is compared)
        counting.kernel.count(b"oil", np.array([3]), bytes(128), None, bytes, (block,))
    assert str(caught.value) == message


@needs_kernel
@pytest.mark.parametrize("lengths", [[4], [-1], [1, 2], [3, 0], [2, -1]])
def test_kernel_rejects_lengths_beyond_the_text(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match=r"^the documents are longer than the text$"):
        counting.kernel.count(b"oil", np.array(lengths), bytes(128), None, bytes, ())


@needs_kernel
def test_kernel_rejects_short_tables_of_characters() -> None:
    for letters, table in ((bytes(127), None), (bytes(128), character_table(1)[:-1])):
        with pytest.raises(ValueError, match=r"^a table of characters is too short$"):
            counting.kernel.count(b"oil", np.array([3]), letters, table, bytes, ())


@needs_kernel
def test_kernel_rejects_a_read_only_table_to_learn_in() -> None:
    fixed = SLOTS.copy()
    fixed.setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        counting.kernel.count(
            *(b"oil", np.array([3]), bytes(128), None, bytes),
            (("words", 4, fixed, None, 0, None, 0, 0),),
        )


# Without a kernel -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [
        pytest.param("import os; os.environ['SLUGLINE_KERNEL'] = '0'", id="turned off"),
        pytest.param("import sys; sys.modules['slugline.text._kernel'] = None", id="not built"),
    ],
)
def test_counting_falls_back_to_numpy(first: str) -> None:
    code = (
        f"{first}\n"
        "from slugline import TopicClassifier\n"
        "from slugline.text.sparse import has_kernel\n"
        "classifier = TopicClassifier().fit(['wheat rose', 'oil fell'] * 9, ['a', 'b'] * 9)\n"
        "print(has_kernel(), classifier.predict(['oil', '小麦 wheat']).tolist())"
    )
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert answer == "False ['b', 'a']\n"
