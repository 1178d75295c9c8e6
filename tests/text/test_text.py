"""The tokeniser: words by the data set's own definition, whatever the text and the chunks."""

from __future__ import annotations

import itertools
import string
import sys
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reference_terms import reference_words
from slugline.errors import DataError
from slugline.text.tokens import ChunkSizes, Words, find_words, map_chunks, tokenize

# Any character at all, and often one that has its own way of being lower-cased, split or encoded.
CHARACTERS = st.characters() | st.sampled_from("aAZ9'’-_.\t\n\x1c\x1f\x85\xa0\u2028\u3000İßΣσςK\0")
DOCUMENTS = st.text(CHARACTERS | st.sampled_from(["\u0301", "\ud800", "\U0001f600"]))

# Chunks of one text each.
ONE_BY_ONE = ChunkSizes(1, 1)


def words_of(words: Words) -> list[str]:
    return [words.word(i) for i in range(len(words))]


@given(DOCUMENTS)
@example("")
@example("don't stop")
@example("ΑΣ ΑΣΑ Σ")
@example("İstanbul STRASSE straße")
@example("a\0b \0 \ud800\udfff")
@example("e\u0301 E\u0301 É")
@example("“Öl”—don’t… ¿qué?")
@example("iPhone手机，很好。ราคา น้ำมัน1")
@example("seventy seventee eighteens " + "sixteen-sixteens" * 3 + "x" * 300)
def test_tokenize_follows_its_definition(document: str) -> None:
    assert tokenize(document) == reference_words(document)


def test_tokenize_splits_at_all_separators() -> None:
    spaces = [c for c in map(chr, range(sys.maxunicode + 1)) if c.isspace()]
    separators = [*spaces, *(set(string.punctuation) - {"'"})]
    assert tokenize("x".join(separators)) == ["x"] * (len(separators) - 1)


@given(st.lists(DOCUMENTS))
@example([])
@example([""])
@example(["", "a", "", ""])
def test_find_words_gives_the_same_words_one_by_one(documents: list[str]) -> None:
    batch, rows = find_words(documents), [find_words([document]) for document in documents]
    assert words_of(batch) == list(itertools.chain.from_iterable(map(words_of, rows)))
    assert batch.hashes.tolist() == [h for row in rows for h in row.hashes]
    assert np.diff(batch.indptr).tolist() == [len(row) for row in rows]
    assert batch.indptr[0] == 0


@pytest.mark.parametrize("n_threads", [1, 2, 4])
@pytest.mark.parametrize("chunk_characters", [1, 7, 100, 1 << 18])
@pytest.mark.parametrize("book_characters", [10, 1 << 22])
def test_map_chunks_does_not_change_words(
    book_characters: int, chunk_characters: int, n_threads: int
) -> None:
    documents = ["Grain ships", "", "crude-oil, ÖL; straße", "x" * 50, "the end"] * 20
    whole = find_words(documents)
    sizes = ChunkSizes(chunk_characters, max_step_characters=book_characters)
    parts = list(map_chunks(find_words, documents, n_threads, sizes))
    assert [word for part in parts for word in words_of(part)] == words_of(whole)
    assert np.concatenate([part.hashes for part in parts]).tolist() == whole.hashes.tolist()
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    assert lengths.tolist() == np.diff(whole.indptr).tolist()


def test_map_chunks_takes_long_texts_one_by_one() -> None:
    documents = ["oil", *["x" * 3_000_000] * 4, "gas"]
    assert [len(chunk) for chunk in map_chunks(list, documents)] == [1] * 6


def test_map_chunks_limits_the_number_of_texts() -> None:
    sizes = ChunkSizes(texts_per_step=4, max_texts=8)
    assert [len(chunk) for chunk in map_chunks(list, [""] * 19, sizes=sizes)] == [8, 8, 3]


@given(DOCUMENTS.map(reference_words), DOCUMENTS.map(reference_words))
@example(["\0" * 7 + "\x08"], ["\0" * 8])
@example(["a", "a\0"], ["a" * 8, "a" * 9, "a" * 9 + "\0", "a" * 16, "a" * 17])
@example(["abcdef", "abcdef\0\x0e"], ["abcdefg", "abcdefg\x0f"])
@example(["abcdefgay"], ["abcdefgby\0"])
def test_find_words_hashes_only_equal_words_alike(a: list[str], b: list[str]) -> None:
    words = a + b + a
    hashes = find_words([" ".join(words)]).hashes.tolist()
    assert len(hashes) == len(words)
    assert len(set(zip(words, hashes, strict=True))) == len(set(words)) == len(set(hashes))
    assert 0 not in hashes


@pytest.mark.parametrize(
    ("document", "kind"), [(None, "NoneType"), (b"oil", "bytes"), (7, "int")], ids=str
)
def test_find_words_names_the_place_of_what_is_no_text(document: object, kind: str) -> None:
    with pytest.raises(DataError) as caught:
        find_words(["crude", "oil", document])  # type: ignore[list-item]
    assert str(caught.value) == (
        f"document 2 is of type {kind}, not a str; pass a sequence with one string per document."
    )


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("document", [None, b"oil"], ids=str)
def test_map_chunks_numbers_documents_across_chunks(document: object, n_threads: int) -> None:
    documents = ["crude", "oil", document, "prices"]
    with pytest.raises(DataError) as caught:
        list(map_chunks(find_words, documents, n_threads, ONE_BY_ONE))  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"document 2 is of type {type(document).__name__}, not a str; "
        "pass a sequence with one string per document."
    )


@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_map_chunks_keeps_order_and_reads_lazily(n_threads: int) -> None:
    pulled: list[int] = []

    def endless() -> Iterator[str]:
        for i in itertools.count():
            pulled.append(i)
            yield str(i)

    firsts = map_chunks(lambda chunk: chunk[0], endless(), n_threads, ONE_BY_ONE)
    results = list(itertools.islice(firsts, 50))
    assert results == [str(i) for i in range(50)]
    assert len(pulled) <= 50 + 3 * n_threads


@pytest.mark.parametrize("n_threads", [1, 2, 4])
def test_map_chunks_raises_an_exception_of_a_thread(n_threads: int) -> None:
    chunks = map_chunks(
        lambda chunk: 6 // int(chunk[0]), ["3", "2", "0", "1"], n_threads, ONE_BY_ONE
    )
    results: list[int] = []
    with pytest.raises(ZeroDivisionError):
        results.extend(chunks)
    assert results == [2, 3]


@pytest.mark.parametrize("n_threads", [2, 4])
def test_map_chunks_uses_all_threads(n_threads: int) -> None:
    all_at_work = threading.Barrier(n_threads, timeout=600)

    def work(chunk: Sequence[str]) -> int:
        all_at_work.wait()
        return len(chunk)

    found = map_chunks(work, ["oil"] * (2 * n_threads), n_threads, ONE_BY_ONE)
    assert list(found) == [1] * (2 * n_threads)
