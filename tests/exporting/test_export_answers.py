"""An exported page answers as Python does: what is read, topics, doubts, shares of words."""

from __future__ import annotations

import csv
import json
import random
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from exported_pages import OpenPage, check_answers, check_fractions, open_page, without_numbers
from many_texts import many_texts, script_words
from slugline.classifier import TopicClassifier, load
from slugline.corpus.documents import Topic
from slugline.exporting.page import why_unsure
from slugline.model.decision import Unsure
from slugline.text.characters import normalize_nfc
from slugline.text.feature_groups import FeatureGroup
from slugline.text.tokens import tokenize

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

Documents = tuple[list[str], list[Topic]]
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Page:
    """Return a page for one model after the other."""
    return browser.new_page()


@pytest.fixture(scope="module")
def shipped(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> OpenPage:
    return open_page(browser, "reuters46", tmp_path_factory.mktemp("page"))


# Characters -------------------------------------------------------------------------------------

# What is read of a chunk of characters, and its words, are told by sums that depend on the order.
_READ = """(chunks) => chunks.map((text) => {
  const told = (points) => points.reduce((sum, point, i) => sum + point * (i + 1), 0);
  const reading = readText(text, page.model.classes);
  const words = reading.starts.map((start, i) => reading.points.slice(start, reading.ends[i]));
  const joined = words.flatMap((word) => [...word, 0x20]);
  return [reading.read.length, told(reading.read), words.length, told(joined)];
})"""
# Characters that are cased differently since Unicode 15.
_RECASED = {"\u0295", "\U0001171e"}


def test_exported_page_reads_every_character_like_python(shipped: OpenPage) -> None:
    def told(text: str) -> int:
        points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        return int(points.astype(np.int64) @ np.arange(1, len(points) + 1))

    # A browser may know characters that Python doesn't.
    characters = [
        c
        for c in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(c) not in ("Cn", "Co", "Cs") and c not in _RECASED
    ]
    # Each character stands after a sigma, before a mark and in a word.
    words = [f"a\u03a3{character}\u0301b " for character in characters]
    chunks = ["".join(words[first : first + 4096]) for first in range(0, len(words), 4096)]
    found = shipped.page.evaluate(_READ, chunks)
    for number, text in enumerate(chunks):
        read, tokens = normalize_nfc(text), tokenize(text)
        joined = "".join(f"{word} " for word in tokens)
        expected = [len(read), told(read), len(tokens), told(joined)]
        assert found[number] == expected, hex(ord(characters[4096 * number]))


@pytest.mark.parametrize(
    "text",
    [
        "\u0345Σ Σ ΟΔΟΣ ΟΔΟΣ. ΣΑΣ Σ aΣ aΣ\u0301 aΣ\u0301b a\xadΣ\xadb aΣ'b Σb",
        "Σ",
        "a\u0316\u0301\u0327 a\u0301\u0301 a\u0327\u0301\u0316b \u0301a e\u0301\u0300\u0345",
        "\u1100\u1161\u11a8\u11a9 \uac00\u11a8 \uac01\u11a8 \u1100\u1100\u1161 \uac00\u1161\u11a7",
        "\u0958 \u0344 \u0f73 \u2126 \u212b \u0340 \ufb1d \u0b47\u0b3e \u0dd9\u0dca \U0001d15e",
        "İstanbul KELVIN ẞ ǅ Ⅷ ⓐ 𐐀 \ud800a \udc00",
        "x" * 2000 + "\u0301\u0316" * 15,
        "x" * 2000 + "\u0301\u0316" * 15 + "\u0301",
        "x" * 970 + "\u0301\u0316" * 15,
        "x" * 969 + "\u0301\u0316" * 15 + "\u0301",
        "x" * 970 + "\u0301\u0316" * 15 + "\u0301",
    ],
    ids=["sigma", "a sigma alone", "marks", "hangul", "exclusions", "cases"]
    + [f"marks {n}" for n in range(5)],
)
def test_exported_page_normalises_texts_like_python(shipped: OpenPage, text: str) -> None:
    read = shipped.page.evaluate(
        "(json) => readText(JSON.parse(json), page.model.classes).read", json.dumps(text)
    )
    assert read == [ord(c) for c in normalize_nfc(text)]


# Answers ----------------------------------------------------------------------------------------


def without_new_characters(texts: list[str]) -> list[str]:
    """Return texts without characters that this version of Python doesn't know."""
    return ["".join(c for c in text if unicodedata.category(c) != "Cn") for text in texts]


def test_exported_page_answers_3000_texts_like_python(shipped: OpenPage) -> None:
    known = list(shipped.parts.fitted.features.vocabularies_[0].terms)
    with (EXAMPLES / "tickets.csv").open(encoding="utf-8") as file:
        tickets = [row["text"] for row in csv.DictReader(file)]
    samples = shipped.page.eval_on_selector_all(
        "#samples button", "(buttons) => buttons.map((button) => button.dataset.text)"
    )
    assert len(samples) >= 3
    texts = [*tickets, *samples]
    more = without_new_characters(many_texts(3000 - len(texts), 0, known))
    check_answers(shipped, texts + more)


def test_exported_page_attributes_to_words_like_python(shipped: OpenPage) -> None:
    known = list(shipped.parts.fitted.features.vocabularies_[0].terms)
    texts = without_new_characters(many_texts(200, 1, known))
    best = shipped.answers(texts).best
    check_fractions(shipped, texts, [best[i] if i % 2 else i % 46 for i in range(len(texts))])


def scripts(n_topics: int, name: Callable[[int], Topic], n_each: int = 20) -> Documents:
    """Give texts of words of many scripts, each word mostly in texts of one topic."""
    rng = random.Random(n_topics)
    pools = [script_words(rng, 12) for _ in range(n_topics)]
    everywhere = script_words(rng, 30)
    texts, topics = [], []
    for number in range(n_topics * n_each):
        topic = number % n_topics
        words = [*rng.choices(pools[topic], k=4), *rng.choices(everywhere, k=5)]
        words.append(rng.choice(rng.choice(pools)))
        rng.shuffle(words)
        texts.append(" ".join(words))
        topics.append(name(topic))
    return texts, topics


def several(
    n_topics: int, *, at_least_one: bool, n_texts: int = 300, form: str = "topic {}"
) -> Documents:
    """Give texts of words of their topics, of which there may be none, and of others."""
    rng = random.Random(n_topics)
    pools = [script_words(rng, 12) for _ in range(n_topics)]
    everywhere = script_words(rng, 30)
    texts, topics = [], []
    for _ in range(n_texts):
        chosen = rng.sample(range(n_topics), k=rng.randint(at_least_one, 3))
        words = [word for topic in chosen for word in rng.choices(pools[topic], k=3)]
        words += [*rng.choices(everywhere, k=5), rng.choice(rng.choice(pools))]
        rng.shuffle(words)
        texts.append(" ".join(words))
        topics.append([form.format(topic) for topic in chosen])
    return texts, topics  # type: ignore[return-value]


VOCABULARIES = [
    FeatureGroup("words", "tf-idf", weight=2.0, max_terms=200),
    FeatureGroup("bigrams", "counts", min_count=2),
    FeatureGroup("lead", "multi-hot", weight=0.5, n_buckets=1 << 8),
    FeatureGroup("characters", "log-tf-idf", max_terms=900),
    FeatureGroup("characters-2", "counts", max_terms=300),
    FeatureGroup("characters-3", "log-tf-idf", n_buckets=1 << 10),
    FeatureGroup("characters-5", "tf-idf", max_terms=900),
]
LEAVES = ["a/b", "a/c", "d", "e/f/g", "e/f/h", "e/i"]
PATHS = ["a", "a/b", "a/c", "d", "d/e/f", "d/e/g"]
MADE: dict[str, tuple[Documents, dict[str, Any]]] = {
    "unsure": (scripts(5, "topic {}".format, 80), {"min_precision": 0.9}),
    "unsure of all": (scripts(7, str), {"min_precision": 0.999}),
    "vocabularies": (scripts(6, str), {"feature_groups": VOCABULARIES}),
    "no words": (
        scripts(3, str),
        {"feature_groups": [FeatureGroup("characters", n_buckets=1 << 10)]},
    ),
    "integers": (scripts(4, lambda i: 10 - 7 * i), {}),
    "two topics": (scripts(2, ["no", "yes"].__getitem__), {}),
    "one word each": ((["oil", "gas", "rye"] * 9, ["a", "b", "b"] * 9), {}),
    "several": (several(8, at_least_one=True), {}),
    "several or none": (several(6, at_least_one=False), {"feature_groups": VOCABULARIES}),
    "several, unsure": (several(5, at_least_one=True), {"min_precision": 0.9}),
    "a tree": (scripts(6, LEAVES.__getitem__), {"topic_path": "/"}),
    "a tree with documents at parents": (scripts(6, PATHS.__getitem__), {"topic_path": "/"}),
    "a tree, unsure": (
        scripts(6, PATHS.__getitem__, 80),
        {"topic_path": "/", "min_precision": 0.9},
    ),
    "several, in a tree": (several(6, at_least_one=False, form="all/{}"), {"topic_path": "/"}),
    "several, by documents": (several(7, at_least_one=False), {"optimize": "samples"}),
    "150 topics": (scripts(150, "topic {}".format, 4), {}),
}


@pytest.mark.parametrize("name", MADE)
def test_exported_page_of_a_trained_model_answers_like_python(
    name: str, tab: Page, tmp_path: Path
) -> None:
    (texts, topics), how = MADE[name]
    path = tmp_path / "made.slug"
    classifier = TopicClassifier(encoder=None, **how).fit(texts, topics)
    if decision := classifier.fitted_.multilabel_rule:  # so that three topics are too many
        most = 1 + bool(decision.parents)
        classifier.fitted_ = replace(
            classifier.fitted_, multilabel_rule=replace(decision, max_topics=most)
        )
    classifier.save(path)
    opened = open_page(tab, path, tmp_path)
    known = " ".join(texts).split()
    asked = texts[:100] + many_texts(150, 2, known)
    check_answers(opened, asked)
    some = asked[:15] + asked[-25:]
    n_topics = len(opened.parts.fitted.topics)
    check_fractions(opened, some, [i % n_topics for i in range(len(some))])
    if name.startswith("several"):
        given = opened.answers(asked).given
        assert {*map(len, given)} >= {1, 2}
        mixed = [f"{texts[i]} {texts[i + 1]} {texts[i + 2]}" for i in range(90)]
        check_answers(opened, mixed)
        many = "Far more topics are likely than any training text had."
        assert many in opened.answers(mixed).reasons
        assert ([] in opened.answers(["the"]).given) == (name != "several")
    if name == "unsure":
        reasons = {str(without_numbers(reason)) for reason in opened.answers(asked).reasons}
        assert reasons >= {
            *("None", "There is no text.", "The text has no words."),
            "The model doesn’t know # of the # words.",
        }
        assert "The best guess has #\xa0%, but the model requires #\xa0%." in reasons


def test_exported_page_is_unsure_by_min_precision(tab: Page, tmp_path: Path) -> None:
    texts = ["The harvest of wheat", "Onions in butter", "", "Zzz yyy xxx www"]
    everything = open_page(tab, "reuters46", tmp_path, min_precision=0)
    assert everything.answers(texts).reasons == [None, None, "There is no text.", None]
    strict = open_page(tab, "reuters46", tmp_path, min_precision=0.99)
    check_answers(strict, texts)
    assert sum(reason is not None for reason in strict.answers(texts).reasons) >= 3


def test_exported_page_equals_a_model_file_of_int8(shipped: OpenPage, tmp_path: Path) -> None:
    texts = many_texts(200, 5, ["wheat", "profit"])
    load("reuters46").save(tmp_path / "small.slug", quantize="int8")
    proba = load(tmp_path / "small.slug").predict_proba(texts)
    assert np.array_equal(proba, shipped.parts.fitted.predict_proba(texts))
    assert np.abs(shipped.answers(texts).proba - proba).max() < 1e-5


def test_exported_page_words_low_probabilities_like_python(shipped: OpenPage) -> None:
    rng = np.random.default_rng(0)
    # Close to each other, alike in all digits but the last, and halves between two numbers.
    thresholds = np.concatenate([rng.random(2000), np.arange(1, 65) / 64, [np.inf, 0.5, 0.6]])
    steps = np.resize([*(10.0**-n * k for n in range(1, 9) for k in (0.4, 0.6, 1)), 1 / 64], 2067)
    pairs: list[tuple[Any, Any]] = [
        (np.float32(high - step if np.isfinite(high) else step), np.float32(high))
        for high, step in zip(thresholds, steps, strict=True)
    ]
    pairs = [(low, high) for low, high in pairs if 0 < low < high]
    assert len(pairs) > 1800
    reasons = [Unsure.from_threshold(float(low), float(high)) for low, high in pairs]
    assert {reason.kind for reason in reasons} == {"low_probability", "no_threshold"}
    said = shipped.page.evaluate(
        "(reasons) => reasons.map(whyUnsure)", list(map(Unsure._asdict, reasons))
    )
    assert said == list(map(why_unsure, reasons))


def test_exported_page_reads_long_texts_and_words(shipped: OpenPage) -> None:
    check_answers(shipped, ["wheat " * 30_000, "wheat" * 20_000, "小麦" * 20_000])


@pytest.mark.parametrize("several", [False, True], ids=["one topic", "several"])
def test_exported_page_answers_a_blank_text_like_python(
    several: bool, tab: Page, tmp_path: Path
) -> None:
    texts = ["wheat and corn prices rose", "quarterly net profit rose"] * 20
    topics: list[Any] = [["grain", "farm"], ["earn"]] if several else ["grain", "earn"]
    classifier = TopicClassifier(encoder=None).fit(texts, topics * 20)
    classifier.save(tmp_path / "model.slug")
    opened = open_page(tab, tmp_path / "model.slug", tmp_path)
    blank = ["", " ", "\n\t", "\u00a0\u2003", "\x1f"]
    said = opened.answers(blank)
    assert np.abs(said.proba - classifier.predict_proba(blank)).max() < 1e-6
    assert [decision.topic for decision in classifier.decide(blank)] == [None] * len(blank)
    assert said.given == [[]] * len(blank)
    assert said.reasons == ["There is no text."] * len(blank)
