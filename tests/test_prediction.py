"""Topics for a stream of rows: in order, whatever the batches, with no row lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slugline.classifier import TopicClassifier, load
from slugline.errors import DataError
from slugline.lines import BadRow
from slugline.prediction import Prediction, predict_rows
from slugline.readers import Row, Rows


@pytest.fixture
def model(news_slug: Path) -> TopicClassifier:
    return load(news_slug)


def rows_of(*items: Row | BadRow, kind: str = "jsonl") -> Rows:
    return Rows("t.jsonl", kind, iter(items))


def texts_of(*texts: Any) -> list[Row]:
    return [Row(at, {"text": text}) for at, text in enumerate(texts, 1)]


def test_rows_keep_their_order_and_bad_ones_their_place(model: TopicClassifier) -> None:
    broken = BadRow(2, "no valid JSON")
    rows = rows_of(Row(1, {"text": "wheat"}), broken, Row(3, {"text": "goal"}))

    first, second, third = predict_rows(model, rows)

    assert (first.at, first.topics[0][0]) == (1, "grain")
    assert second == broken
    assert (third.at, third.topics[0][0]) == (3, "sport")


@pytest.mark.parametrize("batch_rows", [1, 2, 7, 1000])
def test_batches_equal_rows_one_by_one(model: TopicClassifier, batch_rows: int) -> None:
    rows: list[Row | BadRow] = [*texts_of(*["wheat and goal", "loan", "the"] * 50)]
    rows[70] = BadRow(71, "damaged")

    got = list(predict_rows(model, rows_of(*rows), top=3, batch_rows=batch_rows))

    assert len(got) == 150
    for row, item in zip(rows, got, strict=True):
        if isinstance(row, BadRow):
            assert item == row
        else:
            assert isinstance(item, Prediction)
            proba = model.predict_proba([row.values["text"]])[0].tolist()
            best = sorted(zip(model.topics_.names, proba, strict=True), key=lambda t: -t[1])
            assert [topic for topic, _ in item.topics] == [topic for topic, _ in best]
            assert [p for _, p in item.topics] == pytest.approx([p for _, p in best], abs=1e-6)


@pytest.mark.parametrize(
    "text", [None, "", "  \t", 5, ["wheat"]], ids=["null", "empty", "blank", "number", "list"]
)
def test_a_row_without_a_text_is_a_bad_row(model: TopicClassifier, text: object) -> None:
    rows = rows_of(*texts_of("wheat", text))

    _, item = predict_rows(model, rows)

    assert item == BadRow(2, "no text in column 'text'")


def test_a_blank_line_of_text_is_a_bad_row_without_talk_of_columns(model: TopicClassifier) -> None:
    [item] = predict_rows(model, rows_of(*texts_of(" "), kind="txt"))
    assert item == BadRow(1, "no text")


def test_a_row_that_lacks_the_column_is_a_bad_row(model: TopicClassifier) -> None:
    rows = rows_of(Row(1, {"text": "wheat"}), Row(2, {"other": "goal"}))

    _, item = predict_rows(model, rows)

    assert item == BadRow(2, "no text in column 'text'")


@pytest.mark.parametrize("identity", [7, "a7", None, [1], {"a": 1}])
def test_an_id_is_passed_through_as_it_is(model: TopicClassifier, identity: object) -> None:
    [item] = predict_rows(model, rows_of(Row(1, {"id": identity, "text": "wheat"})))

    assert isinstance(item, Prediction)
    assert item.id == identity


def test_as_many_topics_are_given_as_asked_for_the_likeliest_first(model: TopicClassifier) -> None:
    for top in (1, 2, 3, 9):
        [item] = predict_rows(model, rows_of(*texts_of("wheat goal wheat")), top=top)
        assert isinstance(item, Prediction)
        assert len(item.topics) == min(top, 3)
        values = [p for _, p in item.topics]
        assert values == sorted(values, reverse=True)


def test_the_column_is_told_from_the_names_unless_named(model: TopicClassifier) -> None:
    rows = [Row(1, {"id": 1, "body": "wheat", "more": "goal"})]

    [told] = predict_rows(model, rows_of(*rows))
    [named] = predict_rows(model, rows_of(*rows), text="more")

    assert isinstance(told, Prediction)
    assert isinstance(named, Prediction)
    assert (told.topics[0][0], named.topics[0][0]) == ("grain", "sport")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            None,
            "t.jsonl has the columns a, b, c, none of them known as text; name one with --text.",
        ),
        (
            "bb",
            "t.jsonl has no column 'bb'; there are 'a', 'b', 'c'; did you mean 'b'?",
        ),
    ],
    ids=["not told", "not there"],
)
def test_a_column_that_cannot_be_found_is_an_error(
    model: TopicClassifier, text: str | None, message: str
) -> None:
    rows = rows_of(Row(1, {"a": "wheat", "b": "goal", "c": "loan"}))

    with pytest.raises(DataError) as error:
        list(predict_rows(model, rows, text=text))

    assert str(error.value) == message


def test_no_rows_make_no_predictions(model: TopicClassifier) -> None:
    assert list(predict_rows(model, rows_of())) == []


def test_bad_rows_alone_come_back(model: TopicClassifier) -> None:
    bad = [BadRow(1, "damaged"), BadRow(2, "damaged")]
    assert list(predict_rows(model, rows_of(*bad))) == bad


def test_no_more_rows_are_taken_than_the_batch_needs(model: TopicClassifier) -> None:
    taken = 0

    def endless() -> Iterator[Row | BadRow]:
        nonlocal taken
        while True:
            taken += 1
            yield Row(taken, {"text": "wheat"})

    answers = predict_rows(model, Rows("t", "jsonl", endless()), batch_rows=3)

    for n in range(1, 10):
        next(answers)
        assert taken <= n + 2


def test_long_texts_are_classified_before_many_of_them_gather(model: TopicClassifier) -> None:
    taken = 0

    def endless() -> Iterator[Row | BadRow]:
        nonlocal taken
        while True:
            taken += 1
            yield Row(taken, {"text": "wheat " * 200_000})

    answers = predict_rows(model, Rows("t", "txt", endless()))

    next(answers)
    assert taken < 150  # the hundred that columns are looked for in, and no more than a few
