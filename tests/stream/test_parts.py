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
from slugline.model.parts import fit as stream_fit
from slugline.model.parts import training
from slugline.model.parts.counting import TermStatistics, Weighting, count_terms
from slugline.model.parts.files import ALL_KEYS, PartFiles, PartReader, PartRows, divide_keys
from slugline.model.parts.fit import StreamOptions
from slugline.model.parts.heldout import N_KEYS, PartsResult
from slugline.model.settings import FitSettings
from stream_jobs import News, learned_bytes, pairs

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_fit, "default_passes", lambda n: 1)
    monkeypatch.setattr(training, "_PART_SIZE", 15)


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


@pytest.mark.parametrize("how", [{"n_jobs": 2}, {"rows_per_block": 7}])
def test_parts_are_the_same_with_other_threads_and_blocks(many: News, how: dict[str, Any]) -> None:
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
    monkeypatch.setattr(training, "_PART_SIZE", 60)


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
    monkeypatch.setattr(training, "_PART_SIZE", 1000)  # more than one minibatch
    one, other = (
        learned_bytes(TopicClassifier(random_state=seed, n_jobs=1).fit_stream(pairs(many)))
        for seed in (0, 1)
    )
    assert one != other


def test_fit_stream_learns_many_copies_of_a_text(many: News) -> None:
    copies = [("the same wheat text", "grain")] * 200
    one, other = (learned(news, rows_per_block=10) for news in (many + copies, copies + many))
    assert one.predict(["the same wheat text"]).tolist() == ["grain"]
    assert learned_bytes(one) == learned_bytes(other)


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
        return float(classifier.fitted_.learner.biases[1])  # type: ignore[attr-defined]

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
    wanted, finish = learned_bytes(learned(many)), training._PartTraining.result

    def interrupted(of_parts: Any) -> PartsResult:
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        return finish(of_parts)

    monkeypatch.setattr(training._PartTraining, "result", interrupted)
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

    monkeypatch.setattr(PartReader, "read", interrupt)
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

    def vanish(files: PartFiles, keys: Any) -> Any:
        for number in files._written:
            files._path(number).unlink()
        return read(files, keys)

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
    assert any(note.startswith("too few distinct documents") for note in notes.notes)


def test_fit_stream_names_a_full_disk(
    many: News, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OutputError, match=r"can't be written \(No space left on device\)"):
        learned(many)
    assert list(temporary.iterdir()) == []


class Divided(NamedTuple):
    """Rows in files, and what they should be."""

    reader: PartReader
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
    terms = TermStatistics(groups)
    with closing(PartFiles(len(groups))) as files:
        for first in range(0, len(texts), 30):
            rows = slice(first, first + 30)
            block, statistics = count_terms(texts[rows], names[rows], groups)
            terms.add(statistics)
            files.append(block)
        features = terms.features(len(texts), 1)
        weighting = Weighting.from_features(features, topics)
        reader = PartReader(files, weighting, multilabel=request.param)
        yield Divided(reader, features.transform(texts).toarray(), numbers)


def test_parts_have_all_rows_once_in_the_order_of_keys(divided: Divided) -> None:
    n_rows = len(divided.topics)
    learned_from, heldout = divide_keys(N_KEYS // 4 + 12345, n_rows, 40)
    numbers = [divided.check(divided.reader.read(keys)) for keys in [*heldout, *learned_from]]
    assert len(learned_from) > 1
    assert all(numbers)
    in_order = np.concatenate(numbers).tolist()
    assert sorted(in_order) == list(range(n_rows))
    assert divided.check(divided.reader.read(ALL_KEYS)) == in_order
