"""`fit_stream` of many documents, which are learned from once, part by part."""

from __future__ import annotations

import errno
import json
import random
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from slugline.base.progress import Progress, SilentProgress
from slugline.classifier import TopicClassifier, load
from slugline.errors import OutputError
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.linear.problem import ABSENT_SCORE
from slugline.model import heldout
from slugline.model.settings import FitSettings
from slugline.stream import fit as stream_fit
from slugline.stream import part_files
from slugline.stream.counting import CountedBlock, TermStatistics, Weighting, count_terms
from slugline.stream.fit import StreamOptions
from slugline.stream.heldout import N_KEYS, StreamResult
from slugline.stream.part_files import PartFiles, PartRows, divide_block
from slugline.stream.part_training import PartTraining
from stream_jobs import News, learned_bytes, pairs

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_fit, "default_passes", lambda n: 1)
    monkeypatch.setattr(stream_fit, "_PART_SIZE", 15)


@pytest.fixture
def many(news: News) -> News:
    """The news, with a number that makes each text another."""
    return [(f"{text} {copy}", topic) for copy in range(2) for text, topic in news]


def learned(
    news: News, n_jobs: int = 1, progress: Progress | None = None, **options: Any
) -> TopicClassifier:
    stream_options = StreamOptions(**{"rows_per_block": 20, **options})
    return TopicClassifier(n_jobs=n_jobs).fit_stream(pairs(news), stream_options, progress=progress)


class StopAt(SilentProgress):
    """Raises an exception at a report of a part, and records the reports."""

    def __init__(self, n: int, how: type[BaseException] = RuntimeError) -> None:
        self.n, self.how, self.reports = n, how, list[str]()

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        if detail.startswith("part "):
            self.reports.append(detail)
            if len(self.reports) == self.n:
                raise self.how


def test_fit_stream_learns_many_documents_once(many: News, tmp_path: Path) -> None:
    reports = StopAt(-1)
    classifier = learned(many, progress=reports)
    texts, topics = zip(*many, strict=True)
    assert classifier.score(texts, topics) > 0.9
    assert [report.split()[1] for report in reports.reports] == [
        str(n + 1) for n in range(len(reports.reports))
    ]
    assert len(reports.reports) > 3
    record = classifier.fitted_.stream
    assert record is not None
    assert 0 < record.n_evaluated <= len(many) / 3
    classifier.save(tmp_path / "news.slug")
    card = load(tmp_path / "news.slug").card_
    assert "It learned from a stream, and left no document out as wrong." in card


@pytest.mark.parametrize("how", [{"n_jobs": 2}, {"rows_per_block": 7}, {"most_in_memory": 0}])
def test_parts_are_the_same_with_other_threads_blocks_and_memory(
    many: News, how: dict[str, Any]
) -> None:
    assert learned_bytes(learned(many, **how)) == learned_bytes(learned(many))


def test_parts_are_the_same_in_any_order_of_the_documents(
    many: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heldout, "MAX_PREDICTIONS", 50)
    wanted = learned_bytes(learned(many))
    by_topic = sorted(many, key=lambda item: item[1])
    mixed = random.Random(1).sample(many, len(many))
    for order in (by_topic, mixed):
        assert learned_bytes(learned(order)) == wanted


@pytest.fixture
def _wide_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts have room for all copies of some texts."""
    monkeypatch.setattr(stream_fit, "_PART_SIZE", 60)


@pytest.mark.usefixtures("_wide_parts")
def test_parts_order_copies_of_a_text_by_all_their_topics(many: News) -> None:
    topics = [("a", "c"), ("b",), ("a", "b", "c"), ()]
    copies = [(text, topics[n % 4]) for text, _ in many[:40] for n in range(6)]
    wanted = learned_bytes(learned(copies))
    assert learned_bytes(learned(copies[::-1])) == wanted


@pytest.mark.usefixtures("_wide_parts")
def test_parts_order_copies_of_a_text_by_their_columns(many: News) -> None:
    rows = [
        {"text": text, "product": product}
        for n, (text, _) in enumerate(many)
        for product in ("pen", "ink" if n % 2 else "nib")
    ]
    topics = [topic for _, topic in many for _ in range(2)]

    def fit(order: slice, folder: Path) -> dict[str, bytes]:
        path = folder / "rows.jsonl"
        both = zip(rows[order], topics[order], strict=True)
        path.write_text("".join(json.dumps({**row, "topic": topic}) + "\n" for row, topic in both))
        classifier = TopicClassifier(n_jobs=1, columns=["product"])
        return learned_bytes(classifier.fit_stream(path, StreamOptions(rows_per_block=20)))

    with tempfile.TemporaryDirectory() as folder:
        wanted = fit(slice(None), Path(folder))
        assert fit(slice(None, None, -1), Path(folder)) == wanted


def test_parts_depend_on_the_seed(many: News, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_fit, "_PART_SIZE", 1000)  # more than one minibatch
    one, other = (
        learned_bytes(TopicClassifier(random_state=seed, n_jobs=1).fit_stream(pairs(many)))
        for seed in (0, 1)
    )
    assert one != other


def test_parts_of_long_documents_have_fewer(many: News, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, divided = StopAt(-1), StopAt(-1)
    monkeypatch.setattr(stream_fit, "_PART_SIZE", 1000)
    learned(many, progress=whole)
    monkeypatch.setattr(stream_fit, "_PART_ENTRIES", 1000)
    learned(many, progress=divided)
    assert len(whole.reports) == 2  # one of training and one of held-out documents
    assert len(divided.reports) > 10


def test_copies_of_a_text_are_divided_among_files(many: News, monkeypatch: Any) -> None:
    read: list[int] = []
    read_part = PartFiles.read

    def count(files: PartFiles, part: Any) -> Any:
        rows = read_part(files, part)
        read.append(rows.X.shape[0])
        return rows

    monkeypatch.setattr(PartFiles, "read", count)
    copies = [("the same wheat text", "grain")] * 200
    classifier = learned(many + copies, rows_per_block=10)
    assert max(read) <= 2 * 15
    assert classifier.predict(["the same wheat text"]).tolist() == ["grain"]


def test_fit_stream_learns_several_topics_once(many: News) -> None:
    neighbours = zip(many, many[5:], strict=False)
    both: News = [(f"{a} {b}", (s,) if s == t else (s, t)) for (a, s), (b, t) in neighbours]
    both += [("nothing of all this", ())]
    one, other = learned(both), learned(both[::-1], n_jobs=2)
    assert learned_bytes(one) == learned_bytes(other)
    assert one.score([text for text, _ in both], [topics for _, topics in both]) > 0.5


def test_fit_stream_weights_topics_of_many_documents(many: News) -> None:
    def bias(class_weight: Any, documents: News) -> float:
        classifier = TopicClassifier(n_jobs=1, class_weight=class_weight)
        classifier.fit_stream(pairs(documents))
        assert list(classifier.classes_) == ["bank", "grain", "sport"]
        return float(classifier.learner_.biases[1])  # type: ignore[attr-defined]

    few_grain = [item for n, item in enumerate(many) if item[1] != "grain" or n % 4 == 0]
    assert bias("balanced", few_grain) != bias(None, few_grain)
    equal = bias({"grain": 1.0}, many)
    assert bias({"grain": 0.0}, many) == ABSENT_SCORE < equal < bias({"grain": 9}, many)


# Stopping and resuming ----------------------------------------------------------------------------


def test_fit_stream_keeps_parts_after_ctrl_c(many: News) -> None:
    counting = StopAt(-1)
    learned(many, progress=counting)
    n_parts = len(counting.reports)
    early, late = (
        learned(many, progress=StopAt(n, KeyboardInterrupt)) for n in (n_parts // 2, n_parts)
    )
    assert early.fitted_.interrupted
    assert 0 < early.fitted_.n_unlearned < len(many)
    assert early.fitted_.stream is not None
    assert early.fitted_.stream.n_evaluated > 0
    assert late.fitted_.n_unlearned == 0
    texts, topics = zip(*many, strict=True)
    assert early.score(texts, topics) > 0.6


@pytest.mark.parametrize("times", [1, 2])
def test_fit_stream_finishes_the_model_after_the_last_part_unless_ctrl_c_comes_twice(
    many: News, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    wanted, finish = learned_bytes(learned(many)), PartTraining.result

    def interrupted(training: PartTraining) -> StreamResult:
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        return finish(training)

    monkeypatch.setattr(PartTraining, "result", interrupted)
    if times == 1:
        found = learned(many)
        assert (learned_bytes(found), found.fitted_.interrupted) == (wanted, False)
    else:
        with pytest.raises(KeyboardInterrupt):
            learned(many)


def test_fit_stream_raises_ctrl_c_before_a_part_is_learned(
    many: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PartFiles, "read", interrupt)
    with pytest.raises(KeyboardInterrupt):
        learned(many)


# Files of parts -----------------------------------------------------------------------------------


def test_fit_stream_removes_the_files_of_parts(many: News, temporary: Path) -> None:
    seen: set[int] = set()

    class Watch(SilentProgress):
        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            seen.add(len([path for path in temporary.rglob("*") if path.is_file()]))

    learned(many, progress=Watch())
    assert max(seen) > 3
    with pytest.raises(RuntimeError):
        learned(many, progress=StopAt(2))
    assert list(temporary.iterdir()) == []


def test_fit_stream_names_a_file_that_has_vanished(
    many: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = PartFiles.read

    def vanish(files: PartFiles, part: Any) -> Any:
        part.path.unlink()
        return read(files, part)

    monkeypatch.setattr(PartFiles, "read", vanish)
    with pytest.raises(OutputError, match=r"can't be read \(No such file or directory\)"):
        learned(many)


def test_fit_stream_says_that_no_document_was_held_out() -> None:
    class Notes(SilentProgress):
        def __init__(self) -> None:
            self.notes = list[str]()

        def note(self, text: str) -> None:
            self.notes.append(text)

    notes = Notes()
    learned([("wheat", "grain"), ("oil", "crude")] * 20, progress=notes)
    assert any(note.startswith("no document was held out") for note in notes.notes)


def test_fit_stream_names_a_full_disk(
    many: News, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(part_files._Records, "write", full)
    with pytest.raises(OutputError, match=r"can't be written \(No space left on device\)"):
        learned(many)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("n_columns", [300, 1 << 16, 3_000_000, (1 << 31) - 1])
def test_records_return_what_was_written(n_columns: int, tmp_path: Path) -> None:
    rng, path, n_rows = np.random.default_rng(0), tmp_path / "records", 40
    written = []
    with path.open("wb") as file:
        for counts, kind in (([1, 1, 2, 255], "u1"), ([1, 1, 70_000], "u4"), ([7], "u2")):
            lengths = rng.integers(0, 3, 2 * n_rows, dtype=np.int32) * rng.integers(0, 9)
            of_rows = lengths.reshape(n_rows, 2).sum(axis=1).tolist()
            rows = [np.sort(rng.choice(n_columns, n, shuffle=False)) for n in of_rows]
            records = part_files._Records(
                numbers=np.arange(n_rows),
                keys=rng.integers(0, N_KEYS, n_rows, dtype=np.uint64, endpoint=False),
                lengths=lengths,
                n_labels=np.ones(n_rows, dtype=np.int32),
                y=rng.integers(0, 5, n_rows, dtype=np.int32),
                columns=np.concatenate(rows).astype(np.int32),
                counts=rng.choice(counts, sum(of_rows)).astype(kind),
            )
            records.write(file)
            written.append(records)
    found = part_files._Records.read(path)
    for array, arrays in zip(found, zip(*written, strict=True), strict=True):
        np.testing.assert_array_equal(array, np.concatenate(arrays))


class Divided(NamedTuple):
    """Rows in files, and what they should be."""

    files: PartFiles
    X: np.ndarray
    topics: list[Any]  # the numbers of each row's topics

    def check(self, rows: PartRows) -> list[int]:
        """Compare rows of the files; return their numbers."""
        numbers = rows.numbers.tolist()
        np.testing.assert_array_equal(rows.X[:].toarray(), self.X[numbers])
        assert rows.labels.to_topics() == [self.topics[row] for row in numbers]
        return numbers


@pytest.fixture(params=[False, True], ids=["one topic", "several topics"])
def divided(many: News, request: pytest.FixtureRequest) -> Iterator[Divided]:
    texts = [text for text, _ in many]
    names: list[Any] = [topic for _, topic in many]
    topics = sorted({*names})
    numbers: list[Any] = [topics.index(name) for name in names]
    if request.param:
        names = [(name, "news") if n % 5 else () for n, name in enumerate(names)]
        numbers = [(y, len(topics)) if n % 5 else () for n, y in enumerate(numbers)]
        topics.append("news")
    groups = FitSettings(learner=LinearLearner()).batch_feature_groups(texts, names)
    terms, blocks = TermStatistics(groups), list[CountedBlock]()
    for first in range(0, len(texts), 30):
        rows = slice(first, first + 30)
        block, statistics = count_terms(texts[rows], names[rows], groups)
        terms.add(statistics)
        blocks.append(block)
    features = terms.features(len(texts), 1)
    weighting = Weighting.from_features(features, topics)
    files = PartFiles(weighting, 1 << 62, len(texts), 40, multilabel=request.param)
    for block in blocks:
        files.append(divide_block(block, weighting, files.starts))
    with closing(files):
        yield Divided(files, features.transform(texts).toarray(), numbers)


def test_part_files_return_the_rows_of_each_part(divided: Divided) -> None:
    files, seen = divided.files, list[int]()
    for part in [*files.training_parts, *files.heldout_parts]:
        rows = files.read(part)
        assert part.n_rows == rows.X.shape[0]
        seen += divided.check(rows)
    assert sorted(seen) == list(range(len(divided.topics)))
    n_training = sum(part.n_rows for part in files.training_parts)
    assert 0 < n_training < len(divided.topics)
    assert (files.training_topic_counts > 0).all()


def test_part_files_return_all_rows_in_the_order_of_keys(divided: Divided) -> None:
    rows = divided.files.read_all()
    parts = [*divided.files.heldout_parts, *divided.files.training_parts]
    in_order = [divided.files.read(part).numbers for part in parts]
    assert divided.check(rows) == np.concatenate(in_order).tolist()
