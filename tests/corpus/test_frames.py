"""Corpora from data frames."""

from __future__ import annotations

from typing import Any

import pytest

from slugline.corpus.loading import load_corpus
from slugline.errors import DataError

GUESSED = "read column 'body' as text and 'queue' as topic; choose others with `text` and `topic`"
TABLE: dict[str, list[Any]] = {
    "id": [1, 2, 3],
    "body": ["No heat", "It leaks", "Late"],
    "queue": ["boiler", " roof ", "post"],
}


@pytest.fixture(params=["pandas", "polars"])
def frames(request: pytest.FixtureRequest) -> Any:
    return pytest.importorskip(request.param)


def test_load_corpus_reads_a_data_frame(frames: Any) -> None:
    corpus = load_corpus(frames.DataFrame(TABLE))

    assert (corpus.texts, corpus.topics) == (TABLE["body"], ["boiler", "roof", "post"])
    assert (corpus.name, corpus.notes) == ("the DataFrame", (GUESSED,))


@pytest.mark.parametrize(
    ("topics", "expected"),
    [
        ([1, 2, 3], ["1", "2", "3"]),
        ([1.0, 2.0, 3.0], ["1", "2", "3"]),
        ([True, False, True], ["true", "false", "true"]),
    ],
    ids=["integers", "floats", "truth values"],
)
def test_load_corpus_reads_topics_of_a_data_frame_as_of_a_file(
    frames: Any, topics: list[Any], expected: list[str]
) -> None:
    assert load_corpus(frames.DataFrame(TABLE | {"queue": topics})).topics == expected


def test_frame_rows_number_rows_with_missing_values(frames: Any) -> None:
    table = {
        "body": ["a", None, "c", *["text"] * 20],
        "queue": [1.0, 2.0, float("nan"), *[1.0] * 20],
    }

    corpus = load_corpus(frames.DataFrame(table), "body", "queue")
    assert "skipped 1 of 23 rows without a text in column 'body' (row 1)" in corpus.notes
    assert (corpus.n_skipped, corpus.n_unlabelled) == (1, 1)


def test_frame_rows_have_the_index_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"body": ["a", pandas.NA], "queue": ["x", "y"]}, index=["first", "second"]
    )

    assert load_corpus(frame).notes[-1] == (
        "skipped 1 of 2 rows without a text in column 'body' (row second)"
    )


def test_frame_rows_read_categories_and_strings_of_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"body": pandas.array(["a", "b"], dtype="string"), "queue": pandas.Categorical(["x", "y"])}
    )

    assert load_corpus(frame).topics == ["x", "y"]


def test_load_corpus_rejects_lists_as_texts(frames: Any) -> None:
    frame = frames.DataFrame({"body": [["a"], ["b"]], "queue": ["x", "y"]})

    with pytest.raises(
        DataError,
        match=r"2 of 2 rows can't be used: a list for a text in column 'body' \(rows 0, 1\)",
    ):
        load_corpus(frame)


def test_frame_rows_reject_two_columns_of_one_name() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([["a", "b"]], columns=["body", "body"])

    with pytest.raises(DataError) as error:
        load_corpus(frame)

    assert str(error.value) == "the DataFrame has two columns named 'body'; rename one."


def test_load_corpus_joins_data_frames_and_files(frames: Any, tmp_path: Any) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,topic\nlast,roof\n")

    assert load_corpus([frames.DataFrame(TABLE), path]).texts == [*TABLE["body"], "last"]
