"""Topics for a stream of rows: in order, whatever the batches, with no row lost."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from slugline import prediction
from slugline.answers import Prediction
from slugline.classifier import TopicClassifier, load
from slugline.corpus.readers import Rows
from slugline.corpus.rows import BadRow, Row
from slugline.corpus.streams import Stream
from slugline.errors import DataError
from slugline.prediction import predict_rows


@pytest.fixture
def model(news_slug: Path) -> TopicClassifier:
    return load(news_slug)


def answers_to(model: TopicClassifier, rows: Rows, **options: Any) -> Generator[Any, None, None]:
    """Return the answers one by one, whatever the batches."""
    for batch in predict_rows(model.fitted_, rows, **options):
        yield from batch


def rows_of(*items: Row | BadRow, kind: str = "jsonl") -> Rows:
    return Rows("t.jsonl", kind, iter(items))


class Endless:
    """Rows with one text and no end, which counts those that were taken."""

    def __init__(self, text: str) -> None:
        self.taken = 0
        self._text = text

    def __iter__(self) -> Iterator[Row | BadRow]:
        while True:
            self.taken += 1
            yield Row(self.taken, {"text": self._text})


def texts_of(*texts: Any) -> list[Row]:
    return [Row(at, {"text": text}) for at, text in enumerate(texts, 1)]


def test_rows_keep_their_order_and_bad_ones_their_place(model: TopicClassifier) -> None:
    broken = BadRow(2, "no valid JSON")
    rows = rows_of(Row(1, {"text": "wheat"}), broken, Row(3, {"text": "goal"}))

    first, second, third = answers_to(model, rows)

    assert (first.at, first.topics[0][0]) == (1, "grain")
    assert second == broken
    assert (third.at, third.topics[0][0]) == (3, "sport")


@pytest.mark.parametrize("batch_rows", [1, 2, 7, 1000])
def test_batches_equal_rows_one_by_one(model: TopicClassifier, batch_rows: int) -> None:
    rows: list[Row | BadRow] = [*texts_of(*["wheat and goal", "loan", "the"] * 50)]
    rows[70] = BadRow(71, "damaged")

    got = list(answers_to(model, rows_of(*rows), top=3, batch_rows=batch_rows))

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

    _, item = answers_to(model, rows)

    assert item == BadRow(2, "no text in column 'text'")


def test_a_blank_line_of_text_is_a_bad_row_without_talk_of_columns(model: TopicClassifier) -> None:
    [item] = answers_to(model, rows_of(*texts_of(" "), kind="txt"))
    assert item == BadRow(1, "no text")


def test_a_row_that_lacks_the_column_is_a_bad_row(model: TopicClassifier) -> None:
    rows = rows_of(Row(1, {"text": "wheat"}), Row(2, {"other": "goal"}))

    _, item = answers_to(model, rows)

    assert item == BadRow(2, "no text in column 'text'")


@pytest.mark.parametrize("identity", [7, "a7", None, [1], {"a": 1}])
def test_an_id_is_passed_through_as_it_is(model: TopicClassifier, identity: object) -> None:
    [item] = answers_to(model, rows_of(Row(1, {"id": identity, "text": "wheat"})))

    assert isinstance(item, Prediction)
    assert item.id == identity


def test_as_many_topics_are_given_as_asked_for_the_likeliest_first(model: TopicClassifier) -> None:
    for top in (1, 2, 3, 9):
        [item] = answers_to(model, rows_of(*texts_of("wheat goal wheat")), top=top)
        assert isinstance(item, Prediction)
        assert len(item.topics) == min(top, 3)
        values = [p for _, p in item.topics]
        assert values == sorted(values, reverse=True)


def test_the_column_is_told_from_the_names_unless_named(model: TopicClassifier) -> None:
    rows = [Row(1, {"id": 1, "body": "wheat", "more": "goal"})]

    [told] = answers_to(model, rows_of(*rows))
    [named] = answers_to(model, rows_of(*rows), text="more")

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
        list(answers_to(model, rows, text=text))

    assert str(error.value) == message


def test_no_rows_make_no_predictions(model: TopicClassifier) -> None:
    assert list(answers_to(model, rows_of())) == []


def test_bad_rows_alone_come_back(model: TopicClassifier) -> None:
    bad = [BadRow(1, "damaged"), BadRow(2, "damaged")]
    assert list(answers_to(model, rows_of(*bad))) == bad


def test_no_more_rows_are_taken_than_the_batch_needs(model: TopicClassifier) -> None:
    endless = Endless("wheat")

    answers = answers_to(model, Rows("t", "jsonl", iter(endless)), batch_rows=3)

    for n in range(1, 10):
        next(answers)
        assert endless.taken <= n + 2


# Batches, threads and pauses ---------------------------------------------------------------------


def test_batches_are_answered_at_once_and_given_in_order(model: TopicClassifier) -> None:
    second_is_done = threading.Event()
    predict_proba = model.predict_proba

    def first_one_waits(texts: list[str]) -> Any:
        if texts[:1] == ["wheat"]:
            assert second_is_done.wait(60)
        else:
            second_is_done.set()
        return predict_proba(texts)

    model.predict_proba = first_one_waits  # type: ignore[assignment, method-assign]

    rows = rows_of(*texts_of("wheat", "goal"))
    answers = answers_to(model, rows, batch_rows=1, n_threads=2)

    assert [answer.topics[0][0] for answer in answers] == ["grain", "sport"]


@pytest.mark.parametrize("n_threads", [2, 3])
def test_the_number_of_threads_changes_no_answer(model: TopicClassifier, n_threads: int) -> None:
    rows: list[Row | BadRow] = [*texts_of(*["wheat and goal", "loan", "the"] * 50)]
    rows[70] = BadRow(71, "damaged")

    one, several = (
        list(predict_rows(model.fitted_, rows_of(*rows), top=3, batch_rows=8, n_threads=n))
        for n in (1, n_threads)
    )

    assert one == several
    assert [len(batch) for batch in one] == [8] * 18 + [6]


def test_one_thread_needs_no_pool(model: TopicClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "ThreadPoolExecutor", lambda _: pytest.fail("made a pool"))
    assert len(list(answers_to(model, rows_of(*texts_of("wheat"))))) == 1


def test_threads_read_a_few_batches_ahead_and_no_more(model: TopicClassifier) -> None:
    endless = Endless("wheat")

    answers = answers_to(model, Rows("t", "jsonl", iter(endless)), batch_rows=10, n_threads=2)

    for n in range(1, 100):
        next(answers)
        assert endless.taken <= n + 10 * 5
    answers.close()


class PausingStream(Stream):
    """One behind which the writer makes a pause after some of the rows."""

    def __init__(self, items: Iterator[Row | BadRow], pauses: set[int]) -> None:
        self.n_taken = 0
        self._items = items
        self._pauses = pauses

    def __iter__(self) -> Iterator[Row | BadRow]:
        for item in self._items:
            self.n_taken += 1
            yield item

    def must_wait(self) -> bool:
        return self.n_taken in self._pauses


@pytest.mark.parametrize("n_threads", [1, 2])
def test_all_that_came_is_answered_before_more_is_waited_for(
    model: TopicClassifier, n_threads: int
) -> None:
    stream = PausingStream(iter(texts_of(*["wheat"] * 12)), pauses={2, 3, 9})
    rows = Rows("t", "txt", iter(stream), stream)

    taken, n_answers = [], 0
    for batch in predict_rows(model.fitted_, rows, batch_rows=4, n_threads=n_threads):
        n_answers += len(batch)
        taken.append((stream.n_taken, n_answers))

    # Whatever else was answered meanwhile: at each pause nothing was left to answer.
    assert {(2, 2), (3, 3), (9, 9), (12, 12)} <= set(taken)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_rows_before_an_error_of_their_source_are_answered(
    model: TopicClassifier, n_threads: int
) -> None:
    def cut_off() -> Iterator[Row | BadRow]:
        yield from texts_of(*["wheat"] * 205)
        raise DataError("t is not a whole file.")

    answers = answers_to(model, Rows("t", "txt", cut_off()), batch_rows=100, n_threads=n_threads)

    assert len([next(answers) for _ in range(205)]) == 205
    with pytest.raises(DataError, match=r"^t is not a whole file\.$"):
        next(answers)


def test_long_texts_are_classified_before_many_of_them_gather(model: TopicClassifier) -> None:
    endless = Endless("wheat " * 10_000)  # a hundred of them are more than a batch holds

    answers = answers_to(model, Rows("t", "txt", iter(endless)))

    next(answers)
    assert endless.taken < 150  # the hundred that columns are looked for in, and no more than a few


@pytest.mark.parametrize("n_good", [1, 50, 99, 150])
def test_what_was_read_before_an_error_is_answered(model: TopicClassifier, n_good: int) -> None:
    def items() -> Iterator[Row]:
        yield from texts_of(*["wheat"] * n_good)
        raise DataError("t.jsonl: cut off.")

    answers = answers_to(model, Rows("t.jsonl", "jsonl", items()))

    assert [next(answers).topics[0][0] for _ in range(n_good)] == ["grain"] * n_good
    with pytest.raises(DataError) as caught:
        next(answers)
    assert str(caught.value) == "t.jsonl: cut off."


def sizes_of_batches(model: TopicClassifier, rows: list[Row | BadRow], **options: Any) -> list[int]:
    return [len(batch) for batch in predict_rows(model.fitted_, rows_of(*rows), **options)]


def test_a_batch_ends_with_the_row_that_brings_it_to_its_number_of_characters(
    model: TopicClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "_BATCH_CHARACTERS", 100)
    long, short = "wheat " * 8 + "no", "wheat"  # 50 characters and 5

    # Columns are looked for in the first hundred.
    assert sizes_of_batches(model, [*texts_of(*[long] * 107)]) == [100, 2, 2, 2, 1]
    assert sizes_of_batches(model, [*texts_of(*[short] * 145)], batch_rows=10) == [10] * 14 + [5]
    assert sizes_of_batches(model, [*texts_of(*[short] * 145)]) == [100, 20, 20, 5]


def test_all_columns_of_a_row_count_but_numbers_and_bad_rows_do_not(
    model: TopicClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "_BATCH_CHARACTERS", 100)
    row = Row(1, {"text": "wheat", "note": "x" * 45, "id": 10**60})
    rows: list[Row | BadRow] = [row] * 100
    rows += [row, BadRow(2, "x" * 200), row, row]
    assert sizes_of_batches(model, rows) == [100, 3, 1]


@pytest.mark.parametrize(("n_rows", "sizes"), [(6, [3, 3]), (7, [3, 3, 1])])
def test_no_batch_is_empty_and_none_has_more_rows_than_it_may(
    model: TopicClassifier, n_rows: int, sizes: list[int]
) -> None:
    found = sizes_of_batches(model, [*texts_of(*["wheat"] * n_rows)], batch_rows=3)
    assert [size for size in found if size] == sizes


def test_the_column_that_was_guessed_is_announced_once(model: TopicClassifier) -> None:
    said: list[str] = []
    rows = [Row(at, {"id": at, "body": "wheat"}) for at in range(5)]
    list(answers_to(model, rows_of(*rows), announce=said.append))
    list(answers_to(model, rows_of(*rows), announce=said.append, text="body"))
    list(answers_to(model, rows_of(*rows, kind="txt"), announce=said.append))
    assert len(said) == 1
    assert said[0].startswith("read column 'body' as text; ")
