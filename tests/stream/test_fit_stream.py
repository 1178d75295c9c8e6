"""`fit_stream`: any source, any blocks and threads, one model."""

from __future__ import annotations

import functools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_entries import CARD, JSON, rezip, unzip
from slugline.base.progress import SilentProgress
from slugline.classifier import TopicClassifier, load
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import chain_digests, compute_digest
from slugline.errors import DataError, ModelFileError, OptionError
from slugline.experiment.reproducibility import check_reproducible
from slugline.learning.linear.learner import LinearLearner
from slugline.model import heldout
from slugline.model.parts import fit as stream_fit
from slugline.model.parts import training
from slugline.model.parts.counting import _hash_text
from slugline.model.parts.fit import StreamOptions
from stream_jobs import News, learned_bytes, pairs

pytestmark = pytest.mark.slow


def learned(
    news: News, n_jobs: int = 1, progress: Any = None, rows_per_block: int = 20, **options: Any
) -> TopicClassifier:
    stream_options = StreamOptions(rows_per_block=rows_per_block, **options)
    return TopicClassifier(n_jobs=n_jobs).fit_stream(pairs(news), stream_options, progress=progress)


def write_csv(path: Path, news: News, head: str = "text,topic") -> Path:
    path.write_text("\n".join([head, *(f"{text},{topic}" for text, topic in news)]) + "\n")
    return path


def test_fit_stream_learns_the_topics(news: News) -> None:
    texts, topics = zip(*news, strict=True)
    classifier = learned(news)
    assert classifier.score(texts, topics) == 1
    assert classifier.fitted_.n_learned == len(news)
    assert list(classifier.classes_) == sorted(set(topics))
    assert learned(news, rows_per_block=1000).fitted_.data_digest == compute_digest(texts, topics)


def test_fit_stream_learns_several_topics_alike_from_batches_and_files(
    news: News, tmp_path: Path
) -> None:
    texts = [f"{one} {other}" for (one, _), (other, _) in zip(news, news[5:], strict=False)]
    topics = [sorted({a, b}) for (_, a), (_, b) in zip(news, news[5:], strict=False)]
    rows = [{"text": text, "topics": both} for text, both in zip(texts, topics, strict=True)]
    path = tmp_path / "news.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    from_file = TopicClassifier(n_jobs=1).fit_stream(path, StreamOptions(rows_per_block=20))
    other = TopicClassifier(n_jobs=2).fit_stream(
        [(texts, topics)], StreamOptions(rows_per_block=20)
    )
    assert learned_bytes(from_file) == learned_bytes(other)
    assert from_file.score(texts, topics) > 0.9
    record = from_file.fitted_.stream
    assert record is not None
    assert 0 < record.n_right <= record.n_evaluated == len(texts)
    from_file.save(tmp_path / "news.slug")
    assert f"{record.n_right} got exactly their topics." in load(tmp_path / "news.slug").card_
    assert [block.kind for block in from_file.fitted_.features.feature_groups] == [
        *("words", "lead", "bigrams", "characters")
    ]


def by_key(news: News) -> News:
    """Return documents in the order of hashes of their texts."""
    return sorted(news, key=lambda item: _hash_text(item[0]))


@pytest.mark.parametrize("n_copies", [1, 8], ids=["at the minimum", "in passes"])
@pytest.mark.parametrize("several", [False, True], ids=["one topic", "several topics"])
def test_fit_stream_learns_as_fit_does_from_documents_by_hash(
    news: News, n_copies: int, several: bool
) -> None:
    documents: News = [(f"{text} {n}", topic) for n in range(n_copies) for text, topic in news]
    if several:
        documents = [(text, (topic, "news")) for text, topic in documents]
    texts, topics = map(list, zip(*by_key(documents), strict=True))
    options: dict[str, Any] = {
        "n_jobs": 1,
        "encoder": None,
        "learner": LinearLearner(clean=False),
        "class_weight": {documents[0][1]: 2.0} if not several else None,
    }
    fitted = TopicClassifier(**options).fit(texts, topics)
    streamed = TopicClassifier(**options).fit_stream(pairs(documents))
    assert streamed.fitted_.features.feature_groups == fitted.fitted_.features.feature_groups
    # The order of columns, and so that of additions, differs, as may what is held out: `fit` sorts
    # few documents by hashes of texts and topics, and streams by those of texts alone.
    np.testing.assert_allclose(
        fitted.predict_proba(texts), streamed.predict_proba(texts), atol=3e-3
    )


@pytest.mark.parametrize("n_jobs", [2, 8])
def test_fit_stream_learns_the_same_bytes_with_any_number_of_threads(
    news: News, n_jobs: int
) -> None:
    assert learned_bytes(learned(news)) == learned_bytes(learned(news, n_jobs))


@pytest.mark.parametrize("rows_per_block", [1, 7, 1000])
def test_fit_stream_learns_the_same_bytes_from_blocks_of_any_size(
    news: News, rows_per_block: int
) -> None:
    one, other = learned(news), learned(news, rows_per_block=rows_per_block)
    assert learned_bytes(one) == learned_bytes(other)


def test_fit_stream_chains_the_digests_of_blocks(news: News) -> None:
    digests = [compute_digest(*batch) for batch in pairs(news, 20)]
    assert learned(news).fitted_.data_digest == functools.reduce(chain_digests, digests)


def test_fit_stream_learns_the_same_bytes_from_documents_in_any_order(
    news: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heldout, "MAX_PREDICTIONS", 50)
    wanted = learned_bytes(learned(news))
    by_topic = sorted(news, key=lambda item: item[1])
    mixed = random.Random(1).sample(news, len(news))
    for order in (by_topic, mixed):
        assert learned_bytes(learned(order)) == wanted


def test_fit_stream_removes_its_files(news: News, temporary: Path) -> None:
    seen: list[int] = []

    class Watch(SilentProgress):
        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            seen.append(len(list(temporary.rglob("*.npy"))))

    learned(news, progress=Watch())
    assert max(seen) > 0
    assert list(temporary.iterdir()) == []


def test_fit_stream_leaves_no_files_after_a_failure(news: News, temporary: Path) -> None:
    class Broken(SilentProgress):
        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            if detail:
                raise RuntimeError(detail)

    with pytest.raises(RuntimeError):
        learned(news, progress=Broken())
    assert list(temporary.iterdir()) == []


def test_fit_stream_learns_the_same_bytes_from_files_as_from_batches(
    news: News, tmp_path: Path
) -> None:
    for number, first in enumerate(range(0, len(news), 30)):
        write_csv(tmp_path / f"part-{number}.csv", news[first : first + 30])
    classifier = TopicClassifier(n_jobs=1).fit_stream(
        str(tmp_path / "part-*.csv"), StreamOptions(rows_per_block=20)
    )
    assert learned_bytes(classifier) == learned_bytes(learned(news))


def test_fit_stream_learns_a_topic_that_only_the_last_file_has(news: News, tmp_path: Path) -> None:
    more = [(f"zebra stripes and hooves number {n}", "animals") for n in range(12)]
    files = [write_csv(tmp_path / "a.csv", news), write_csv(tmp_path / "b.csv", more)]
    classifier = TopicClassifier(n_jobs=1).fit_stream(files, StreamOptions(rows_per_block=20))
    assert classifier.predict(["zebra hooves"]).tolist() == ["animals"]


def test_fit_stream_model_saves_explains_and_decides_like_others(
    news: News, tmp_path: Path
) -> None:
    texts, topics = zip(*(news * 3), strict=True)
    more = [(f"{text} {number}", topic) for number, (text, topic) in enumerate(news * 5)]
    classifier = TopicClassifier(n_jobs=1, min_precision=0.8)
    classifier.fit_stream(pairs(more), StreamOptions(rows_per_block=20)).save(
        tmp_path / "news.slug"
    )
    loaded = load(tmp_path / "news.slug")
    np.testing.assert_array_equal(classifier.predict_proba(texts), loaded.predict_proba(texts))
    assert classifier.explain(texts[0]).topic == topics[0]
    decisions = loaded.decide(texts)
    assert {decision.topic for decision in decisions if decision.topic is not None} <= set(topics)
    assert any(decision.topic is not None for decision in decisions)


def test_model_card_describes_the_stream_and_retrain_refuses_it(news: News, tmp_path: Path) -> None:
    path = tmp_path / "news.slug"
    classifier = learned(news)
    classifier.save(path)
    loaded = load(path)
    assert loaded.fitted_.stream == classifier.fitted_.stream
    card = unzip(path.read_bytes())[CARD].decode()
    assert "It learned from a stream, and left no document out as wrong." in card
    assert f"Of {len(news)} held-out documents, {len(news)} got their topic." in card
    loaded.save(tmp_path / "again.slug")
    assert (tmp_path / "again.slug").read_bytes() == path.read_bytes()
    texts, topics = map(list, zip(*news, strict=True))
    with pytest.raises(ModelFileError, match="it was trained on a stream; train it again with the"):
        check_reproducible(path, Corpus(texts, topics, name="news"))
    loaded.partial_fit(texts, topics)
    assert loaded.fitted_.stream is None


@pytest.mark.parametrize("changes", [{"n_right": 1000}, {"n_skipped": -1}])
def test_load_rejects_an_inconsistent_stream_record(
    changes: dict[str, Any], news: News, tmp_path: Path
) -> None:
    path = tmp_path / "news.slug"
    learned(news).save(path)
    entries = unzip(path.read_bytes())
    info = json.loads(entries[JSON])
    info["stream"] |= changes
    path.write_bytes(rezip(entries | {JSON: json.dumps(info).encode()}))
    with pytest.raises(ModelFileError, match="stream"):
        load(path)


@pytest.mark.parametrize("weight", ["balanced", {"grain": 3.0}], ids=["balanced", "mapping"])
def test_fit_stream_uses_class_weight(news: News, weight: Any) -> None:
    topic = news[0][1]
    weight = weight if isinstance(weight, str) else {topic: 3.0}
    uneven = [item for number, item in enumerate(news) if item[1] == topic or number % 3]
    classifier = TopicClassifier(n_jobs=1, class_weight=weight)
    classifier.fit_stream(pairs(uneven))
    assert classifier.fitted_.class_weight == weight
    plain = learned(uneven)
    assert classifier.fitted_.learner.arrays().keys() == plain.fitted_.learner.arrays().keys()
    assert not np.array_equal(classifier.predict_proba(["x"]), plain.predict_proba(["x"]))


def test_fit_stream_of_few_documents_raises_ctrl_c(news: News) -> None:
    class Interrupt(SilentProgress):
        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            if detail:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learned(news, progress=Interrupt())


def test_fit_stream_divides_few_documents_of_very_many_words_into_parts(
    news: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    details: list[str] = []

    class Watch(SilentProgress):
        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            details.append(detail)

    many = [(f"{text} {n}", topic) for n in range(8) for text, topic in news]
    monkeypatch.setattr(stream_fit, "_MAX_ENTRIES", 1000)
    monkeypatch.setattr(training, "_PART_SIZE", 100)
    texts, topics = zip(*many, strict=True)
    assert learned(many, progress=Watch()).score(texts, topics) == 1
    assert details[-1] == "part 8 of 8"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (iter(()), "there are no training documents; pass at least two."),
        ([], "there are no training documents; pass at least two."),
        ([(["..."], ["a"])], "no document contains a word; check which column contains the text."),
        ([(["a", "b"], ["x"])], "there are 2 texts and 1 topic; give one topic for each text."),
        (
            [["a", "b", "c"]],
            "batch 0 of `source`, counted from 0, is of type list, not a pair of texts and their "
            "topics; give batches, such as [(texts, topics)].",
        ),
        (
            [("wheat rose", "grain")],
            "batch 0 of `source`, counted from 0, has a single text instead of a list of texts; "
            "give documents in batches, such as [(texts, topics)].",
        ),
        (
            [(["a"], ["x"]), (["b"], [3])],
            "topics mix strings and numbers, such as 'x' and 3; make them all strings or all "
            "numbers.",
        ),
    ],
    ids=["nothing", "no batches", "no words", "unequal", "no pair", "one text", "mixed topics"],
)
def test_fit_stream_rejects_a_source_that_can_not_be_learned_from(
    source: Any, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        TopicClassifier(n_jobs=1).fit_stream(source)
    assert str(caught.value) == message


def test_fit_stream_rejects_a_pattern_that_matches_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        TopicClassifier().fit_stream(f"{tmp_path}/*.parquet")
    expected = f"no file matches {tmp_path}/*.parquet; check the pattern and the folder."
    assert str(caught.value) == expected


def test_fit_stream_rejects_a_source_of_another_type() -> None:
    with pytest.raises(OptionError) as caught:
        TopicClassifier().fit_stream(3)
    assert str(caught.value) == (
        "`source` is of type int; give a path, a pattern such as 'tickets/*.parquet', a list of "
        "these, or batches of texts and topics, such as [(texts, topics)]."
    )


def test_fit_stream_names_a_bad_row_and_its_file(news: News, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "news.csv", news)
    with path.open("a") as file:
        file.write("grain\n")
    with pytest.raises(DataError) as caught:
        TopicClassifier().fit_stream(path)
    assert str(caught.value) == (
        f"{path}: line {len(news) + 2} can't be used: 1 cell instead of 2; fix them, or "
        "continue without such rows with `skip_bad_rows`."
    )
    classifier = TopicClassifier(n_jobs=1).fit_stream(path, StreamOptions(skip_bad_rows=True))
    assert classifier.fitted_.n_learned == len(news)


def test_fit_stream_rejects_too_many_bad_rows(news: News, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "news.csv", news)
    with path.open("a") as file:
        file.write("grain\n" * 20)
    with pytest.raises(DataError, match=r"20 of 110 lines can't be used: 1 cell"):
        TopicClassifier().fit_stream(path, StreamOptions(skip_bad_rows=True))


def test_fit_stream_rejects_files_of_different_columns(news: News, tmp_path: Path) -> None:
    first = write_csv(tmp_path / "a.csv", news)
    second = write_csv(tmp_path / "b.csv", news, "body,label")
    with pytest.raises(DataError) as caught:
        TopicClassifier().fit_stream([first, second])
    assert str(caught.value) == (
        f"{second} has texts and topics in columns 'body', 'label', but {first} in 'text', "
        "'topic'; pass files with the same columns, or choose columns with `text` and `topic`."
    )


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"learner": "network"}, "`learner` is a NeuralLearner"),
        ({"tune": True}, "`tune` requires all documents at once; use fit, or leave it out."),
    ],
    ids=["network", "tune"],
)
def test_fit_stream_rejects_settings_that_need_all_documents(
    news: News, how: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        TopicClassifier(**how).fit_stream(pairs(news))
