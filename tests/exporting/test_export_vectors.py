"""An exported page answers with word vectors as Python does."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from browsers import find_violations
from exported_pages import OpenPage, check_answers, check_fractions, open_page
from many_texts import many_texts
from slugline.classifier import TopicClassifier
from slugline.corpus.documents import RowText
from slugline.exporting.vectors import PageVectors
from slugline.model.fitted import Fitted
from slugline.text.characters import find_scripts
from slugline.text.vector_table import VectorTable, open_table

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

# Each stands in one text, so that words alone know nothing of other texts.
WORDS = {
    "grain": "wheat corn barley harvest cereal crop farmer flour field bread rice seeds tractor "
    "weizen ernte céréales blé trigo пшеница урожай фермер 小麦 農業 收获 コメ 밀 농업 수확 "
    "قمح محصول زراعة ข้าว เกษตร",
    "bank": "loan credit interest debt savings account banker deposit finance currency bond cash "
    "zinsen kredit crédit banque dinero банк кредит деньги 银行 お金 贷款 融資 은행 대출 돈 "
    "بنك قرض مال ธนาคาร เงิน",
    "sport": "goal match striker referee player team stadium champion athlete coach league tennis "
    "spieler trainer équipe joueur fútbol футбол матч игрок 足球 サッカー 球队 選手 축구 경기 선수 "
    "كرة فريق لاعب ฟุตบอล ทีม",
}
HARVESTS = "harvest " * 20
# Words with apostrophes, of several parts and pieces, of digits, and too long to be read whole, and
# texts on both sides of the smallest known fraction.
ODD = [
    *(HARVESTS + "q" * 95 + "player", HARVESTS + "q" * 94 + "player"),
    *("l'eau d'été", "opec's farmers’", "'quoted'", "''", "' '", "harvesters wheatfields", "2026"),
    *("1234 42nd", "qqxzv zzqkw", "wheat qqxzvzzqkw", "iphone手机小麦", "x" * 96 + "harvest wheat"),
    *("the " + "q" * 57, "the " + "q" * 58),
    *("x" * 94 + "wheat", "小麦農業" * 30 + "銀行", "ข้าวโพดและข้าวสาลี", "🙂", "é\u0301 naïve"),
]


def documents(is_used: Callable[[str], bool] = bool) -> tuple[list[str], list[Any]]:
    """Return texts of one word each, and their topics."""
    pairs = [
        (word, topic) for topic, words in WORDS.items() for word in words.split() if is_used(word)
    ]
    texts, topics = zip(*pairs, strict=True)
    return list(texts), list(topics)


def is_latin(word: str) -> bool:
    return find_scripts(word) == {"Latin"}


def pairs() -> tuple[list[str], list[Any]]:
    """Return texts of a word or two of one or two topics, and the topics of each."""
    texts, topics = documents()
    order = random.Random(0).sample(range(len(texts)), len(texts))
    second = [f"{texts[i]} {texts[j]}" for i, j in zip(order, range(len(texts)), strict=True)]
    sets = [[*{topics[i], topics[j]}] for i, j in zip(order, range(len(texts)), strict=True)]
    return texts + second, [[topic] for topic in topics] + sets


def paths() -> tuple[list[str], list[Any]]:
    texts, topics = documents()
    names = {"grain": "economy/grain", "bank": "economy/bank", "sport": "sport"}
    return texts, [names[topic] for topic in topics]


DESCRIPTIONS = {
    "grain": "harvest of wheat and corn",
    "bank": "a loan and credit from a bank",
    "sport": "matches and players",
}
MODELS: dict[str, tuple[tuple[list[str], list[Any]], dict[str, Any]]] = {
    "unsure": (documents(), {"min_precision": 0.8}),
    "several topics, unsure": (pairs(), {"min_precision": 0.7}),
    "a tree": (paths(), {"topic_path": "/"}),
    "descriptions": (documents(is_latin), {"descriptions": DESCRIPTIONS}),
    "only descriptions": (([], []), {"descriptions": DESCRIPTIONS}),
}


@pytest.fixture(scope="module")
def table() -> VectorTable:
    return open_table()


def fit(path: Path, texts: list[Any], topics: list[Any], **options: Any) -> Fitted:
    """Fit and save a model that uses word vectors."""
    classifier = TopicClassifier(**{"encoder": "vectors"} | options).fit(texts, topics)
    assert classifier.fitted_.dense is not None
    classifier.save(path)
    return classifier.fitted_


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Page:
    """Return a page for one model after the other."""
    return browser.new_page()


@pytest.fixture(scope="module")
def opened(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> OpenPage:
    """Return the page of a model that has learned words in all scripts of the table."""
    folder = tmp_path_factory.mktemp("page")
    fit(folder / "model.slug", *documents())
    return open_page(browser, folder / "model.slug", folder)


@pytest.fixture(scope="module")
def latin(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> OpenPage:
    """Return the page of a model that has learned words in Latin script only."""
    folder = tmp_path_factory.mktemp("latin")
    fit(folder / "model.slug", *documents(is_latin))
    return open_page(browser, folder / "model.slug", folder)


# Answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_exported_page_with_vectors_answers_like_python(
    name: str, tab: Page, table: VectorTable, tmp_path: Path
) -> None:
    (texts, topics), options = MODELS[name]
    fit(tmp_path / "model.slug", texts, topics, **options)
    page = open_page(tab, tmp_path / "model.slug", tmp_path)
    known = random.Random(1).sample([*table], 3000)
    texts = texts + ODD + many_texts(300, 3, known)
    check_answers(page, texts)
    n_topics = len(page.parts.fitted.topics)
    some = texts[:5] + ODD + texts[-30:]
    check_fractions(page, some, [i % n_topics for i in range(len(some))])


def test_exported_page_with_vectors_answers_2000_texts_like_python(
    opened: OpenPage, table: VectorTable
) -> None:
    texts = many_texts(2000, 4, [*table])
    check_answers(opened, texts)
    some = ODD + texts[-50:]
    check_fractions(opened, some, [i % 3 for i in range(len(some))])


def test_exported_page_finds_every_word_of_the_table(opened: OpenPage, table: VectorTable) -> None:
    words = [*table]
    found = opened.page.evaluate(
        "(words) => words.map((word) => page.model.head.table.rowOf.get(word) ?? -1)", words
    )
    assert sorted(found) == [*range(len(words))]
    check_answers(opened, words[::40])


def test_exported_page_with_vectors_reads_long_texts_and_words(opened: OpenPage) -> None:
    texts = ["wheat " * 30_000, "wheat" * 20_000, "小麦" * 20_000, "l'" * 10_000, "ข้าว" * 20_000]
    check_answers(opened, texts)


@pytest.mark.parametrize(
    "text", ["", " ", "\n\u3000", "...", "qqxzv zzqkw", "98765432109", "\u0300"]
)
def test_exported_page_answers_texts_without_known_words_by_words_alone(
    text: str, opened: OpenPage
) -> None:
    check_answers(opened, [text])
    assert opened.page.evaluate("(text) => classify(page.model, text).row.vectors", text) is None
    learner = opened.parts.fitted.learner
    expected = learner.predict_proba(opened.parts.fitted.features.transform([text]))
    assert np.abs(opened.answers([text]).proba - expected).max() < 1e-6


def test_exported_page_counts_columns_beside_vectors_like_python(tab: Page, tmp_path: Path) -> None:
    texts, topics = documents()
    places = ["AB"[i % 2] for i in range(len(texts))]
    # The place decides where the text doesn't.
    topics = [
        topic if i % 3 else {"A": topics[0], "B": topics[-1]}[place]
        for i, (topic, place) in enumerate(zip(topics, places, strict=True))
    ]
    rows = [RowText(text, {"place": place}) for text, place in zip(texts, places, strict=True)]
    fit(tmp_path / "model.slug", rows, topics, columns=["place"])
    page = open_page(tab, tmp_path / "model.slug", tmp_path)
    cells = ["A", "B", "", "C"]
    expected = page.parts.fitted.predict_proba(
        [RowText("mortgage lender", {"place": cell}) for cell in cells]
    )
    code = "(cell) => [...classify(page.model, 'mortgage lender', [cell]).probabilities]"
    said = [page.page.evaluate(code, cell) for cell in cells]
    assert np.abs(np.array(said) - expected).max() < 1e-5
    assert len({*map(tuple, expected.tolist())}) >= 3


def test_exported_page_with_vectors_passes_axe(latin: OpenPage) -> None:
    page = latin.page
    page.evaluate("document.querySelectorAll('details').forEach((each) => each.open = true)")
    assert find_violations(page) == []
    page.evaluate("document.querySelectorAll('details').forEach((each) => each.open = false)")


def test_exported_page_marks_words_that_only_vectors_know(opened: OpenPage) -> None:
    page = opened.page
    page.fill("#text", "the crops of farming")
    page.wait_for_function("() => page.answer?.text === 'the crops of farming'")
    assert page.inner_text("#answer strong") == "grain"
    marks = page.locator("#marked mark.for").all_inner_texts()
    assert {*marks} >= {"crops", "farming"}


# The words of a page ------------------------------------------------------------------------------


def test_exported_page_has_the_words_of_its_models_scripts(
    latin: OpenPage, table: VectorTable
) -> None:
    words = latin.page.evaluate("[...page.model.head.table.rowOf.keys()]")
    assert {*words} >= {*filter(is_latin, table)}
    # Scripts of few words are always there.
    common = {"Han and kana", "Cyrillic", "Thai", "Hangul", "Arabic"}
    assert not any(find_scripts(word) & common for word in words)
    check_answers(latin, [*filter(is_latin, table)][::50] + ODD[:12])


def test_exported_page_answers_other_scripts_by_words_alone(latin: OpenPage) -> None:
    text = "банк кредит"
    assert latin.page.evaluate("(text) => classify(page.model, text).row.vectors", text) is None
    fitted = latin.parts.fitted
    assert fitted.dense is not None
    assert fitted.dense.rows([text]).any()
    expected = fitted.learner.predict_proba(fitted.features.transform([text]))
    assert np.abs(latin.answers([text]).proba - expected).max() < 1e-6


def test_page_vectors_leave_out_a_script_of_hardly_any_term(
    table: VectorTable, tmp_path: Path
) -> None:
    texts, topics = documents(is_latin)
    common = [word for word in table if is_latin(word)][:4000]
    texts[0] += " " + " ".join(common) + " пшеница"
    fitted = fit(tmp_path / "model.slug", texts, topics)
    words = bytes(PageVectors.choose(table, fitted).arrays["vectors.words"]).decode()
    assert not any("Cyrillic" in find_scripts(word) for word in words.split("\n"))


def test_page_vectors_have_all_words_if_topics_are_described(
    table: VectorTable, tmp_path: Path
) -> None:
    fitted = fit(tmp_path / "model.slug", *documents(is_latin), descriptions=DESCRIPTIONS)
    vectors = PageVectors.choose(table, fitted)
    words = bytes(vectors.arrays["vectors.words"]).decode().split("\n")
    assert sorted(words) == words == sorted(table)
    assert vectors.notice[0] == (
        f"This page contains the vectors of all {len(table):,} words of the model's table."
    )


def test_exported_page_has_the_notice_of_its_vectors(latin: OpenPage, table: VectorTable) -> None:
    page = latin.page
    assert not page.is_visible(".terms")
    page.click("text=About its word vectors")
    n_words = page.evaluate("page.model.head.table.rowOf.size")
    assert page.inner_text(".terms p >> nth=0") == (
        f"This page contains the vectors of {n_words:,} of the {len(table):,} words of the model's "
        "table: those in the scripts of the training documents (Latin). In other scripts, it knows "
        "only the words of these documents."
    )
    notice = page.inner_text(".terms")
    assert "Copyright Google LLC" in notice
    assert "Apache License, Version 2.0" in notice
    assert "Changes: " in notice
    page.click("text=The Apache License")
    licence = (Path(__file__).parents[2] / "LICENSE").read_text("utf-8")
    assert page.text_content(".terms pre") == licence.removeprefix("\n")
