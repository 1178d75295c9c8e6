"""Topics for a stream of rows: in order, whatever the batches, with no row lost."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from slugline.classifier import TopicClassifier, load
from slugline.corpus.line_stream import LineStream
from slugline.corpus.readers import RowReader, read_rows
from slugline.corpus.rows import BadRow, SourceRow
from slugline.errors import DataError, OptionError
from slugline.model.decider import Decider
from slugline.prediction.rows import BatchLimits, Prediction, PredictOptions, predict_rows


@pytest.fixture
def model(news_slug: Path) -> TopicClassifier:
    return load(news_slug)


def predict(
    model: TopicClassifier,
    rows: RowReader,
    *,
    limits: BatchLimits | None = None,
    announce: Callable[[str], object] | None = None,
    **options: Any,
) -> Iterator[list[Prediction | BadRow]]:
    decider = Decider.from_fitted(model.fitted_, 0)
    return predict_rows(
        {"": decider}, rows, PredictOptions(**options), limits=limits, announce=announce
    )


def answers_to(
    model: TopicClassifier, rows: RowReader, **options: Any
) -> Generator[Any, None, None]:
    """Return the answers one by one, whatever the batches."""
    for batch in predict(model, rows, **options):
        yield from batch


def rows_of(*items: SourceRow | BadRow, kind: str = "jsonl") -> RowReader:
    return RowReader("t.jsonl", kind, iter(items))


class Endless:
    """Rows with one text and no end, which counts those that were taken."""

    def __init__(self, text: str) -> None:
        self.taken = 0
        self._text = text

    def __iter__(self) -> Iterator[SourceRow | BadRow]:
        while True:
            self.taken += 1
            yield SourceRow(self.taken, {"text": self._text}, n_bytes=len(self._text))


def texts_of(*texts: Any) -> list[SourceRow]:
    return [SourceRow(at, {"text": text}) for at, text in enumerate(texts, 1)]


def test_predict_rows_keeps_the_order_with_bad_rows(model: TopicClassifier) -> None:
    broken = BadRow(2, "not valid JSON")
    rows = rows_of(SourceRow(1, {"text": "wheat"}), broken, SourceRow(3, {"text": "goal"}))

    first, second, third = answers_to(model, rows)

    assert (first.at, first.decision.topic) == (1, "grain")
    assert second == broken
    assert (third.at, third.decision.topic) == (3, "sport")


@pytest.mark.parametrize("batch_rows", [1, 2, 7, 1000])
def test_predict_rows_equals_single_rows(model: TopicClassifier, batch_rows: int) -> None:
    rows: list[SourceRow | BadRow] = [*texts_of(*["wheat and goal", "loan", "the"] * 50)]
    rows[70] = BadRow(71, "damaged")

    got = list(answers_to(model, rows_of(*rows), top=3, limits=BatchLimits(rows=batch_rows)))

    assert len(got) == 150
    for row, item in zip(rows, got, strict=True):
        if isinstance(row, BadRow):
            assert item == row
        else:
            assert isinstance(item, Prediction)
            proba = model.predict_proba([row.values["text"]])[0].tolist()
            best = sorted(zip(model.fitted_.topics.names, proba, strict=True), key=lambda t: -t[1])
            assert [topic for topic, _ in item.decision.top] == [topic for topic, _ in best]
            assert [p for _, p in item.decision.top] == pytest.approx(
                [p for _, p in best], abs=1e-6
            )


@pytest.mark.parametrize(
    "text", [None, "", "  \t", 5, ["wheat"]], ids=["null", "empty", "blank", "number", "list"]
)
def test_predict_rows_returns_a_bad_row_without_text(model: TopicClassifier, text: object) -> None:
    rows = rows_of(*texts_of("wheat", text))

    _, item = answers_to(model, rows)

    assert item == BadRow(2, "no text in column 'text'", values={"text": text})


def test_predict_rows_returns_a_bad_row_without_the_column(model: TopicClassifier) -> None:
    rows = rows_of(SourceRow(1, {"text": "wheat"}), SourceRow(2, {"other": "goal"}))

    _, item = answers_to(model, rows)

    assert item == BadRow(2, "no text in column 'text'", values={"other": "goal"})


@pytest.mark.parametrize("identity", [7, "a7", None, [1], {"a": 1}])
def test_predict_rows_passes_the_id_through(model: TopicClassifier, identity: object) -> None:
    [item] = answers_to(model, rows_of(SourceRow(1, {"id": identity, "text": "wheat"})))

    assert isinstance(item, Prediction)
    assert item.id == identity


def test_predict_rows_gives_top_topics_in_order(model: TopicClassifier) -> None:
    for top in (1, 2, 3, 9):
        [item] = answers_to(model, rows_of(*texts_of("wheat goal wheat")), top=top)
        assert isinstance(item, Prediction)
        assert len(item.decision.top) == min(top, 3)
        values = [p for _, p in item.decision.top]
        assert values == sorted(values, reverse=True)


def test_predict_rows_guesses_the_text_column(model: TopicClassifier) -> None:
    rows = [SourceRow(1, {"id": 1, "body": "wheat", "more": "goal"})]

    [told] = answers_to(model, rows_of(*rows))
    [named] = answers_to(model, rows_of(*rows), text="more")

    assert isinstance(told, Prediction)
    assert isinstance(named, Prediction)
    assert (told.decision.topic, named.decision.topic) == ("grain", "sport")


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (
            None,
            DataError,
            "t.jsonl: cannot tell which of 'a', 'b', 'c' contains the text; choose columns with "
            "`text`, or add a header if these are not column names.",
        ),
        ("bb", OptionError, "t.jsonl has no column 'bb'; found 'a', 'b', 'c'; did you mean 'b'?"),
    ],
    ids=["not told", "not there"],
)
def test_predict_rows_rejects_a_missing_text_column(
    model: TopicClassifier, text: str | None, kind: type[Exception], message: str
) -> None:
    rows = rows_of(SourceRow(1, {"a": "wheat", "b": "goal", "c": "loan"}))

    with pytest.raises(kind) as error:
        list(answers_to(model, rows, text=text))

    assert str(error.value) == message


@pytest.mark.parametrize(
    ("values", "wanted", "identity", "said"),
    [
        ({"id": 1, "ID": 2}, None, 1, []),
        ({"ID": 2}, None, 2, ["read column 'ID' as id; choose another with `id`"]),
        ({"Id": 3}, None, 3, ["read column 'Id' as id; choose another with `id`"]),
        ({"ticket_id": 4}, None, 4, ["read column 'ticket_id' as id; choose another with `id`"]),
        ({"reader": 4}, None, None, []),
        ({"id": 1, "ticket_id": 4}, "ticket_id", 4, []),
    ],
    ids=["id before ID", "ID", "Id", "a usual name", "an unknown name", "named"],
)
def test_predict_rows_finds_the_id_column_in_any_case(
    model: TopicClassifier,
    values: dict[str, object],
    wanted: str | None,
    identity: object,
    said: list[str],
) -> None:
    told: list[str] = []
    rows = rows_of(SourceRow(1, {**values, "text": "wheat"}))

    [item] = answers_to(model, rows, text="text", id=wanted, announce=told.append)

    assert (item.id, told) == (identity, said)


def test_predict_rows_rejects_a_missing_id_column(model: TopicClassifier) -> None:
    rows = rows_of(SourceRow(1, {"text": "wheat", "ticket_id": 4}))

    with pytest.raises(OptionError) as error:
        list(answers_to(model, rows, id="ticketid"))

    assert str(error.value) == (
        "t.jsonl has no column 'ticketid'; found 'text', 'ticket_id'; did you mean 'ticket_id'?"
    )


def test_predict_rows_reads_no_further_than_a_batch(model: TopicClassifier) -> None:
    endless = Endless("wheat")

    answers = answers_to(model, RowReader("t", "jsonl", iter(endless)), limits=BatchLimits(rows=3))

    for n in range(1, 10):
        next(answers)
        assert endless.taken <= n + 2


# Batches, threads and pauses ---------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [2, 3])
def test_predict_rows_gives_the_same_answers_with_any_number_of_threads(
    model: TopicClassifier, n_threads: int
) -> None:
    rows: list[SourceRow | BadRow] = [*texts_of(*["wheat and goal", "loan", "the"] * 50)]
    rows[70] = BadRow(71, "damaged")

    one, several = (
        list(predict(model, rows_of(*rows), top=3, limits=BatchLimits(rows=8), n_threads=n))
        for n in (1, n_threads)
    )

    assert one == several
    assert [len(batch) for batch in one] == [8] * 18 + [6]


def test_predict_rows_reads_a_few_batches_ahead(model: TopicClassifier) -> None:
    endless = Endless("wheat")

    answers = answers_to(
        model, RowReader("t", "jsonl", iter(endless)), limits=BatchLimits(rows=10), n_threads=2
    )

    for n in range(1, 100):
        next(answers)
        assert endless.taken <= n + 10 * 5
    answers.close()


class PausingStream(LineStream):
    """One behind which the writer makes a pause after some of the rows."""

    def __init__(self, items: Iterator[SourceRow | BadRow], pauses: set[int]) -> None:
        self.n_taken = 0
        self._items = items
        self._pauses = pauses

    def __iter__(self) -> Iterator[SourceRow | BadRow]:
        for item in self._items:
            self.n_taken += 1
            yield item

    def must_wait(self) -> bool:
        return self.n_taken in self._pauses


@pytest.mark.parametrize("n_threads", [1, 2])
def test_predict_rows_answers_all_rows_before_it_waits(
    model: TopicClassifier, n_threads: int
) -> None:
    stream = PausingStream(iter(texts_of(*["wheat"] * 12)), pauses={2, 3, 9})
    rows = RowReader("t", "txt", iter(stream), stream)

    taken, n_answers = [], 0
    for batch in predict(model, rows, limits=BatchLimits(rows=4), n_threads=n_threads):
        n_answers += len(batch)
        taken.append((stream.n_taken, n_answers))

    # Whatever else was answered meanwhile: at each pause nothing was left to answer.
    assert {(2, 2), (3, 3), (9, 9), (12, 12)} <= set(taken)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_predict_rows_answers_rows_before_an_error_of_the_source(
    model: TopicClassifier, n_threads: int
) -> None:
    def cut_off() -> Iterator[SourceRow | BadRow]:
        yield from texts_of(*["wheat"] * 205)
        raise DataError("t is not a whole file.")

    answers = answers_to(
        model, RowReader("t", "txt", cut_off()), limits=BatchLimits(rows=100), n_threads=n_threads
    )

    assert len([next(answers) for _ in range(205)]) == 205
    with pytest.raises(DataError, match=r"^t is not a whole file\.$"):
        next(answers)


def test_predict_rows_ends_a_batch_of_long_texts_early(model: TopicClassifier) -> None:
    endless = Endless("wheat " * 10_000)  # a hundred of them are more than a batch holds

    answers = answers_to(model, RowReader("t", "txt", iter(endless)))

    next(answers)
    assert endless.taken == 70


@pytest.mark.parametrize("n_good", [1, 50, 99, 150])
def test_predict_rows_answers_the_first_rows_before_an_error(
    model: TopicClassifier, n_good: int
) -> None:
    def items() -> Iterator[SourceRow]:
        yield from texts_of(*["wheat"] * n_good)
        raise DataError("t.jsonl: cut off.")

    answers = answers_to(model, RowReader("t.jsonl", "jsonl", items()))

    assert [next(answers).decision.topic for _ in range(n_good)] == ["grain"] * n_good
    with pytest.raises(DataError) as caught:
        next(answers)
    assert str(caught.value) == "t.jsonl: cut off."


# Memory -----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(
    "line",
    [
        json.dumps({"text": "wheat", "vector": [n / 7 for n in range(40_000)]}),
        json.dumps({"text": "wheat", "words": {f"w{n}": 1 for n in range(60_000)}}),
        json.dumps({"text": "wheat" + " " * 900_000}),
    ],
    ids=["numbers", "object", "text"],
)
def test_predict_rows_uses_bounded_memory_for_large_rows(
    model: TopicClassifier, tmp_path: Path, line: str, n_threads: int
) -> None:
    path = tmp_path / "large.jsonl"
    path.write_text(f"{line}\n" * 120)
    batches = predict(model, read_rows(path), n_threads=n_threads)

    tracemalloc.start()
    n_answers = sum(map(len, batches))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert n_answers == 120
    assert path.stat().st_size > 80e6
    assert peak < 76e6


def test_predict_rows_bounds_pending_batches_by_bytes(model: TopicClassifier) -> None:
    endless = Endless("wheat " * 10)

    answers = answers_to(
        model,
        RowReader("t", "txt", iter(endless)),
        limits=BatchLimits(rows=1, pending_bytes=100),
        n_threads=8,
    )

    for n in range(1, 10):
        next(answers)
        assert endless.taken <= n + 1
    answers.close()


def sizes_of_batches(
    model: TopicClassifier, rows: list[SourceRow | BadRow], **options: Any
) -> list[int]:
    return [len(batch) for batch in predict(model, rows_of(*rows), **options)]


def rows_of_bytes(*sizes: int) -> list[SourceRow | BadRow]:
    return [SourceRow(at, {"text": "wheat"}, n_bytes=size) for at, size in enumerate(sizes, 1)]


def test_batches_end_at_their_number_of_bytes(model: TopicClassifier) -> None:
    def sizes(*n_bytes: int, rows: int = 1024) -> list[int]:
        # Besides, a row takes some memory of its own.
        limits = BatchLimits(rows=rows, n_bytes=100_000)
        given = rows_of_bytes(*(1000 * n for n in n_bytes))
        return sizes_of_batches(model, given, limits=limits)

    assert sizes(*[50] * 7) == [2, 2, 2, 1]
    assert sizes(99, 1, 99, 200, 1) == [2, 2, 1]
    assert sizes(*[5] * 45) == [20, 20, 5]
    assert sizes(*[5] * 45, rows=10) == [10] * 4 + [5]


@pytest.mark.parametrize(("n_rows", "sizes"), [(6, [3, 3]), (7, [3, 3, 1])])
def test_batches_are_neither_empty_nor_too_large(
    model: TopicClassifier, n_rows: int, sizes: list[int]
) -> None:
    found = sizes_of_batches(model, [*texts_of(*["wheat"] * n_rows)], limits=BatchLimits(rows=3))
    assert [size for size in found if size] == sizes


def test_predict_rows_announces_guessed_columns_once(model: TopicClassifier) -> None:
    rows = [SourceRow(at, {"ID": at, "body": "wheat"}) for at in range(5)]

    def told(kind: str = "jsonl", **options: Any) -> list[str]:
        said: list[str] = []
        list(answers_to(model, rows_of(*rows, kind=kind), announce=said.append, **options))
        return said

    of_text, of_id = told()
    assert of_text == "read column 'body' as text; choose another with `text`"
    assert of_id == "read column 'ID' as id; choose another with `id`"
    assert told(text="body") == [of_id]
    assert told(id="ID") == [of_text]
    assert told(kind="txt") == []
