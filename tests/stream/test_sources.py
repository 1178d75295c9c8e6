"""Sources cut into parts: all documents, in order, wherever a part is read."""

from __future__ import annotations

import gzip
import io
import json
import pickle
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from slugline.classifier import TopicClassifier
from slugline.corpus.collect import SchemaCheck
from slugline.corpus.documents import chain_digests, compute_digest
from slugline.corpus.labelled import RowsReport, SourceSchema
from slugline.corpus.layout import Layout, ReadOptions, TopicForm
from slugline.corpus.loading import load_corpus
from slugline.errors import DataError, OptionError
from slugline.model.parts import source as parts
from slugline.model.parts import source as sources
from slugline.model.parts.source import ROWS_PER_BLOCK, DocumentSource, FilePartition, Partition

Rows = list[tuple[Any, Any]]

ROWS: Rows = [(f"text {n} " + "x" * (n % 37), f"topic{n % 5}") for n in range(400)]


def write_lines(path: Path, rows: Rows = ROWS, more: Sequence[str] = ()) -> Path:
    lines = [json.dumps({"text": text, "topic": topic}) for text, topic in rows]
    path.write_text("\n".join([*lines, *more]) + "\n")
    return path


def write_csv(path: Path, rows: Rows = ROWS, head: str = "text,topic") -> Path:
    path.write_text("\n".join([head, *map(",".join, rows)]) + "\n")
    return path


def write_parquet(path: Path, rows: Rows = ROWS, group: int = 2048) -> Path:
    duckdb = pytest.importorskip("duckdb")
    lines = write_lines(path.with_suffix(".made"), rows)
    table = duckdb.read_json(
        str(lines), columns={"text": "VARCHAR", "topic": "VARCHAR"}, format="newline_delimited"
    )
    table.write_parquet(str(path), row_group_size=group)
    return path


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are large, and parts of them small."""
    monkeypatch.setattr(sources, "MAX_MERGED_BYTES", 2000)


def read(
    source: Any, *, rows_per_block: int = ROWS_PER_BLOCK, **options: Any
) -> tuple[list[Partition], Rows, DocumentSource]:
    """Return the partitions, their documents as another process reads them, and the source."""
    documents = DocumentSource(source, ReadOptions(**options), rows_per_block=rows_per_block)
    digests: list[str] = []
    found: list[Partition] = []
    rows: Rows = []
    for part in documents.partitions():
        found.append(part)
        read_from = part if part.is_local else pickle.loads(pickle.dumps(part))
        for batch in read_from.blocks():
            digest = compute_digest(batch.texts, batch.topics)
            documents.add(batch.reports, len(batch.texts), digest)
            digests += [digest] * bool(batch.texts)
            rows += zip(batch.texts, batch.topics, strict=True)
    assert documents.digest == reduce(chain_digests, digests or [compute_digest([], [])])
    return found, rows, documents


def test_columns_note_names_a_subject_column_that_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("subject,body,topic\nhello,wheat,grain\n", encoding="utf-8")
    assert read(path)[2].columns_note == (
        "read column 'body' as text and 'topic' as topic; choose others with `text` and `topic`; "
        "column 'subject' is left out; `text=\"subject,body\"` reads both"
    )


def test_partitions_have_one_for_a_small_file(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl")
    found, rows, documents = read(path)
    assert [type(part) for part in found] == [FilePartition]
    assert rows == ROWS
    assert documents.n_documents == len(ROWS)
    assert documents.columns_note == (
        "read column 'text' as text and 'topic' as topic; choose others with `text` and `topic`"
    )
    named = read(path, text="text", topic="topic", encoding="latin1", skip_bad_rows=True)[2]
    assert (named.columns_note, named.n_skipped) == ("", 0)
    assert named.layout == Layout(("text",), "topic", "iso8859-1", True)
    assert documents.layout == Layout(("text",), "topic")
    assert read([(["a"], ["x"])])[2].layout is None


def test_document_source_rejects_another_type() -> None:
    with pytest.raises(OptionError, match="`source` is of type int; give a path, a pattern such"):
        DocumentSource(5)
    with pytest.raises(OptionError, match="`source` is of type DataFrame; give a path, a pattern"):
        DocumentSource(pytest.importorskip("pandas").DataFrame({"text": []}))
    with pytest.raises(
        OptionError, match="`topic_columns` and `skip_bad_rows` apply only to files"
    ):
        DocumentSource([(["a"], ["x"])], ReadOptions(skip_bad_rows=True))


def test_partitions_merge_small_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        write_csv(tmp_path / f"{number}.csv", ROWS[number * 40 : number * 40 + 40])
    size = (tmp_path / "9.csv").stat().st_size
    monkeypatch.setattr(sources, "MAX_MERGED_BYTES", 4 * size)
    found, rows, _ = read(f"{tmp_path}/*.csv")
    assert [len(part.paths) for part in found] == [4, 4, 2]
    assert rows == ROWS
    for number in range(10):
        path = tmp_path / f"{number}.csv"
        (tmp_path / f"{number}.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    sizes = [(tmp_path / f"{number}.csv.gz").stat().st_size for number in range(10)]
    monkeypatch.setattr(sources, "MAX_MERGED_BYTES", 4 * max(sizes) * 5)
    assert [len(part.paths) for part in read(f"{tmp_path}/*.gz")[0]] == [5, 5]


def test_partitions_of_a_folder_are_local_and_keep_the_order(tmp_path: Path) -> None:
    paths = [write_csv(tmp_path / name, ROWS[:3]) for name in ("a.csv", "b.csv", "c.csv")]
    folder = tmp_path / "folder"
    (folder / "topic4").mkdir(parents=True)
    (folder / "topic4" / "1.txt").write_text("text")
    found, rows, _ = read([*paths[:2], folder, paths[2]])
    assert [(len(part.paths), part.is_local) for part in found] == [
        (2, False),
        (1, True),
        (1, False),
    ]
    assert rows == [*ROWS[:3] * 2, ("text", "topic4"), *ROWS[:3]]


@pytest.mark.usefixtures("small_parts")
def test_partitions_of_large_files_are_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_csv(tmp_path / "a.csv")
    assert [part.is_local for part in read(path)[0]] == [False]
    monkeypatch.setattr(sources, "MAX_SENT_BYTES", path.stat().st_size)
    assert [part.is_local for part in read(path)[0]] == [False]
    monkeypatch.setattr(sources, "MAX_SENT_BYTES", path.stat().st_size - 1)
    found, rows, _ = read(path)
    assert [part.is_local for part in found] == [True]
    assert rows == ROWS


@pytest.mark.usefixtures("small_parts")
def test_partitions_number_a_bad_line_in_its_file(tmp_path: Path) -> None:
    lines = [json.dumps({"text": text, "topic": topic}) for text, topic in ROWS]
    lines.insert(300, "{")
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"a\.jsonl: line 301 can't be used: not valid JSON") as one:
        read(path, rows_per_block=10)
    with pytest.raises(DataError) as whole:
        TopicClassifier(n_jobs=1).fit_stream(write_lines(tmp_path / "b.jsonl", ROWS[:1], lines))
    moved = str(whole.value).replace("b.jsonl: line 302", "a.jsonl: line 301")
    assert str(one.value) == moved
    _, rows, documents = read(path, rows_per_block=10, skip_bad_rows=True)
    assert rows == ROWS
    assert documents.n_skipped == 1


@pytest.mark.usefixtures("small_parts")
def test_partitions_count_bad_rows_over_the_whole_file(tmp_path: Path) -> None:
    few = write_lines(tmp_path / "few.jsonl", more=["{"] * 44)  # more than a tenth of the last part
    assert read(few, rows_per_block=10, skip_bad_rows=True)[2].n_skipped == 44
    many = write_lines(tmp_path / "many.jsonl", more=["{"] * 45)
    with pytest.raises(DataError) as caught:
        read(many, rows_per_block=10, skip_bad_rows=True)
    assert str(caught.value).startswith(
        f"{many}: 45 of 445 lines can't be used: not valid JSON (Input data was truncated) at line "
        "401; fix them. `skip_bad_rows` leaves out at most 10 % of the rows."
    )


@pytest.mark.slow
@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("write", [write_lines, write_parquet], ids=["jsonl", "parquet"])
def test_partitions_name_the_row_with_a_topic_of_another_type(
    tmp_path: Path, write: Callable[[Path, Rows], Path]
) -> None:
    suffix = "jsonl" if write is write_lines else "parquet"
    path = write(tmp_path / f"a.{suffix}", [*ROWS * 8, ("text", "17"), *ROWS])
    unit = "line" if write is write_lines else "row"
    with pytest.raises(DataError) as caught:
        read(path, rows_per_block=100)
    assert str(caught.value) == (
        f"{path}: {unit} 3201 can't be used: a number as topic, such as '17', unlike "
        f"most topics, such as 'topic0'; make all topics strings or all numbers, "
        "or continue without such rows with `skip_bad_rows`."
    )
    _, rows, documents = read(path, rows_per_block=100, skip_bad_rows=True)
    assert rows == [*ROWS * 8, *ROWS]
    assert documents.n_skipped == 1


def test_document_source_rejects_files_with_topics_of_two_types(tmp_path: Path) -> None:
    paths = [write_csv(tmp_path / "a.csv"), write_csv(tmp_path / "b.csv", [("text", "17")])]
    with pytest.raises(DataError) as caught:
        read(paths, skip_bad_rows=True)
    assert str(caught.value) == (
        f"topics mix strings and numbers: 'topic0' in {paths[0]}, '17' in {paths[1]}; make all "
        "topics strings or all numbers."
    )
    with pytest.raises(DataError) as whole:
        load_corpus(paths, skip_bad_rows=True)
    assert str(whole.value) == str(caught.value)


def test_document_source_skips_the_same_topics_as_load_corpus(tmp_path: Path) -> None:
    rows = [("text", "17"), *ROWS, ("text", "18")]
    path = write_csv(tmp_path / "a.csv", rows)
    corpus = load_corpus(path, skip_bad_rows=True)
    _, streamed, documents = read(path, skip_bad_rows=True)
    assert list(zip(corpus.texts, corpus.topics, strict=True)) == streamed == ROWS
    assert corpus.n_skipped == documents.n_skipped == 2
    assert corpus.notes[-1] == (
        f"skipped 2 of {len(rows)} rows: a number as topic, such as '17', unlike "
        f"most topics, such as 'topic0' (lines 2, {len(rows) + 1})"
    )


def test_document_source_rejects_files_with_other_columns(tmp_path: Path) -> None:
    paths = [write_csv(tmp_path / "a.csv"), write_csv(tmp_path / "b.csv", head="body,label")]
    with pytest.raises(
        DataError, match=r"b\.csv has texts and topics in columns 'body', 'label', but"
    ):
        read(paths)


@pytest.mark.parametrize("kind", ["file", "files", "standard input", "batches"])
def test_first_documents_are_read_again_by_partitions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    paths = [write_lines(tmp_path / f"{n}.jsonl", ROWS[100 * n : 100 * n + 100]) for n in range(3)]
    texts, topics = map(list, zip(*ROWS[:300], strict=True))
    data = b"".join(path.read_bytes() for path in paths)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    (tmp_path / "all.jsonl").write_bytes(data)
    sources: dict[str, Any] = {
        "file": tmp_path / "all.jsonl",
        "files": paths,
        "standard input": "-",
        "batches": ((texts[n : n + 100], topics[n : n + 100]) for n in (0, 100, 200)),
    }
    source = DocumentSource(sources[kind])
    for n_documents, n_first in ((120, 120), (0, 0), (1000, 300)):
        first = source.first_documents(n_documents)
        assert first == (texts[:n_first], topics[:n_first])
    batches = [batch for part in source.partitions() for batch in part.blocks()]
    assert [text for batch in batches for text in batch.texts] == texts


def test_document_source_detects_several_topics_by_the_first_file(tmp_path: Path) -> None:
    first = write_lines(tmp_path / "a.jsonl", [*ROWS, ("text", ["x"])])
    second = write_lines(tmp_path / "b.jsonl", [("text", ["x"])])
    for paths, at in (([first], f"{first}: line 401"), ([tmp_path / "c.jsonl", second], second)):
        write_lines(tmp_path / "c.jsonl")
        with pytest.raises(DataError) as caught:
            read(paths)
        assert str(caught.value).startswith(str(at))
        assert (
            "can't be used: several topics, but the first 100 rows have one each; "
            "put a document with several topics among the first 100 rows, or continue without such "
            "rows with "
            "`skip_bad_rows`."
        ) in str(caught.value)


def test_document_source_rejects_files_of_one_and_of_several_topics(tmp_path: Path) -> None:
    report = RowsReport("a", "line", SourceSchema(Layout(("text",), "topic"), "x"), True, 1, 0, ())
    layout = Layout(("text",), "topic", topic_form=TopicForm("array"))
    several = report._replace(name="b", schema=SourceSchema(layout, "x"))
    for order in ((report, several), (several, report)):
        check = SchemaCheck()
        check.add(order[0])
        with pytest.raises(DataError) as caught:
            check.add(order[1])
        assert str(caught.value) == (
            "the first 100 documents of a are single-label, but b is multi-label; put a "
            "document with several topics among the first 100 rows."
        )


def test_partitions_reject_an_empty_file(tmp_path: Path) -> None:
    paths = [write_csv(tmp_path / "a.csv"), write_csv(tmp_path / "b.csv", [])]
    with pytest.raises(DataError, match=r"b\.csv contains no documents, at most a header"):
        read(paths)


@pytest.mark.usefixtures("small_parts")
def test_partitions_reject_a_parquet_file_without_rows(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [])
    with pytest.raises(DataError, match=r"a\.parquet contains no documents, at most a header"):
        read(path)


@pytest.mark.parametrize("batch", [(["a"], ["x"], [1]), (["a"],), {"a": "x", "b": "y"}, "ab"])
def test_document_source_rejects_batches_that_are_no_pairs(batch: Any) -> None:
    message = f"batch 1 of `source`, counted from 0, is of type {type(batch).__name__}, not a pair"
    with pytest.raises(DataError, match=message):
        read([(["a"], ["x"]), batch])


@pytest.mark.parametrize("several", [True, False])
def test_document_source_rejects_batches_of_one_and_of_several_topics(several: bool) -> None:
    one, other = (["a"], [["x", "y"]]), (["b"], ["x"])
    source = DocumentSource([one, ([], []), other] if several else [other, ([], []), one])
    kinds = ("one topic for each text", "lists of topics")
    current, earlier = kinds if several else kinds[::-1]
    with pytest.raises(DataError) as caught:
        [batch for part in source.partitions() for batch in part.blocks()]
    assert str(caught.value) == (
        f"batch 2, counted from 0, has {current}, but earlier batches have {earlier}; give lists "
        "of topics in all batches, or in none."
    )


def test_document_source_rejects_a_single_text_as_a_batch() -> None:
    with pytest.raises(DataError, match="batch 1 of `source`, counted from 0, has a single text"):
        read([(["a"], ["x"]), ("text", "topic")])


def test_batch_pairs_rejects_a_text_longer_than_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MAX_CHARACTERS", 100)
    with pytest.raises(DataError) as caught:
        read([(["a"], ["x"]), (["b", "c" * 101], ["x", "x"])])
    assert str(caught.value) == (
        "text 1 of batch 1, both counted from 0, has 101 characters, and the limit is 100; split "
        "it, or leave it out."
    )


# Collections of Dask ----------------------------------------------------------------------------


def frames(rows: Rows = ROWS) -> Any:
    pandas, frame = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    return frame.from_pandas(pandas.DataFrame(rows, columns=["text", "topic"]), npartitions=3)


def test_dask_partitions_read_collections() -> None:
    found, rows, documents = read(frames())
    assert len(found) in (3, 4)
    assert rows == ROWS
    assert documents.n_documents == len(ROWS)


def test_dask_partitions_reject_rows_longer_than_in_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slugline.corpus.rows.MAX_RECORD", 20)
    rows: Rows = [("x" * 14, "topic0"), ("x" * 15, "topic0")]
    with pytest.raises(DataError, match="row 1 can't be used: more than 20 bytes; split them"):
        read(frames(rows * 20))


def test_dask_partitions_count_rows_without_a_text_or_topic() -> None:
    rows = [*ROWS, ("", "x"), ("text", "")]  # the last one is not labelled yet
    documents = read(frames(rows))[2]
    assert (documents.n_skipped, documents.n_unlabelled) == (1, 1)


def test_dask_partitions_reject_other_collections() -> None:
    message = "`source` is a Dask Series; give a Dask DataFrame"
    with pytest.raises(OptionError, match=message):
        read(frames().text)
    with pytest.raises(OptionError, match=r"`source` is a Dask Bag; .* Bag.to_dataframe\(\)"):
        read(pytest.importorskip("dask.bag").from_sequence(["text"]))


def test_dask_partitions_reject_options_of_files() -> None:
    with pytest.raises(
        OptionError, match="`format`, `encoding` and `separator` apply to files only"
    ):
        read(frames(), format="csv")
