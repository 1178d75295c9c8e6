"""The exported page in a browser: what a reader sees, by mouse, keyboard and screen reader."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from browsers import find_violations
from exported_pages import OpenPage, open_page
from slugline.base.wording import whole_percent
from slugline.classifier import TopicClassifier
from slugline.explanation.explain import explain
from slugline.explanation.explanation import merge_spans

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

WHEAT = "Wheat harvest: 120,000 tonnes of soft wheat sold, traders said."
MARKUP = ["</script><img src=x onerror=alert(1)>", "<b>bold</b> & co", "{{ 7 * 7 }}", "a\u2028'\"`"]


@pytest.fixture(scope="module")
def shipped(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> OpenPage:
    return open_page(browser, "reuters46", tmp_path_factory.mktemp("page"))


@pytest.fixture
def page(shipped: OpenPage) -> Page:
    """Return the page of the shipped model, as it is when it has just been opened."""
    shipped.page.reload()
    shipped.page.wait_for_function("() => page.model && !byId('text').disabled")
    return shipped.page


def type_in(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.wait_for_function("(text) => (page.answer?.text ?? '') === text", arg=text)


def words(page: Page) -> str:
    """Return the answer on one line."""
    return " ".join(page.inner_text("#answer").split("\n")).replace("  ", " ")


def test_exported_page_answers_while_the_user_types(page: Page, shipped: OpenPage) -> None:
    empty = page.inner_text("#answer")
    assert empty.startswith("Paste a text, or type one")
    type_in(page, WHEAT)
    fitted = shipped.parts.fitted
    proba = fitted.predict_proba([WHEAT])[0]
    order = (-proba).argsort(kind="stable")[:5]
    best = whole_percent(float(proba[order[0]]))
    assert words(page) == f"{fitted.topics.names[order[0]]} {best} probable"
    names = [name.strip() for name in page.locator("#topics span").all_inner_texts()]
    assert names == [fitted.topics.names[i] for i in order]
    assert page.inner_text("#topics b >> nth=0") == best
    page.click("#clear")
    assert page.inner_text("#answer") == empty
    assert page.inner_text("#marked") == ""
    assert page.evaluate("document.activeElement.id") == "text"


def test_exported_page_says_why_it_is_unsure(page: Page) -> None:
    type_in(page, "Peel the zucchini, schnippel die Zwiebeln")
    assert words(page).startswith("Unsure The model doesn’t know ")
    assert page.inner_text("#bars-title") == "Best guesses"
    type_in(page, "  ")
    assert words(page) == "Unsure There is no text."


def test_exported_page_marks_words_of_the_chosen_topic(page: Page, shipped: OpenPage) -> None:
    type_in(page, WHEAT)
    marks = {}
    for number in (0, 1):
        page.click(f"#topics button >> nth={number}")
        pressed = page.eval_on_selector_all(
            "#topics button", "(all) => all.map((each) => each.ariaPressed)"
        )
        assert pressed == [str(i == number).lower() for i in range(5)]
        topic = page.inner_text(f"#topics button >> nth={number} >> span")
        assert page.inner_text("#why").endswith(f" {topic}")
        found: list[Any] = page.eval_on_selector_all(
            "#marked mark", "(all) => all.map((each) => [each.textContent, each.className])"
        )
        explained = explain(shipped.parts.fitted, WHEAT, topic)
        expected = merge_spans(WHEAT, explained.spans())
        most = max(abs(share) for *_, share in expected)
        assert found == [
            [WHEAT[start:end], "for" if share > 0 else "against"]
            for start, end, share in expected
            if abs(share) > 0.1 * most
        ]
        marks[topic] = found
        assert page.inner_text("#marked") == WHEAT
    assert len({str(found) for found in marks.values()}) == 2


def test_exported_page_shows_all_topics_on_click(page: Page) -> None:
    type_in(page, WHEAT)
    page.click("text=All 46 topics")
    assert page.locator("#topics button").count() == 46
    assert page.get_attribute("#more", "aria-expanded") == "true"
    page.click("text=Only the most likely")
    assert page.locator("#topics button").count() == 5


def test_exported_page_answers_its_samples(page: Page) -> None:
    answers = []
    for sample in page.locator("#samples button").all():
        sample.click()
        answers.append(page.inner_text("#answer strong"))
    assert answers == ["grain", "crude", "acq", "earn", "Unsure"]


def test_exported_page_has_the_card_in_a_disclosure(page: Page, shipped: OpenPage) -> None:
    assert not page.is_visible("text=Licence of the data")
    page.click("summary")
    assert page.is_visible("text=Licence of the data")
    assert page.locator(".card h3").count() == shipped.parts.card.count("\n## ")


def test_exported_page_works_by_keyboard(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "text"
    page.keyboard.insert_text(WHEAT)
    page.wait_for_function("() => page.answer !== null")
    seen = []
    for _ in range(17):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.textContent.trim().slice(0, 12)"))
        if seen[-1].startswith("About"):
            break
    assert seen[0] == "A harvest"  # the first sample
    assert "All 46 topic" in seen
    assert "Wheat harves" in seen  # a long text can be scrolled
    assert seen[-1] == "About this m"
    page.keyboard.press("Enter")
    assert page.is_visible("text=Licence of the data")
    second = page.locator("#topics button").nth(1)
    second.focus()
    page.keyboard.press("Space")
    assert second.get_attribute("aria-pressed") == "true"


def test_exported_page_passes_axe(page: Page) -> None:
    page.evaluate("document.querySelector('details').open = true")
    for text in ("", WHEAT, "Peel the zucchini, schnippel die Zwiebeln"):
        type_in(page, text)
        assert find_violations(page) == []


def test_exported_page_fits_a_phone_without_layout_shift(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    ids = ["text", "answer", "topics", "more"]
    tops = "(ids) => ids.map((id) => byId(id).getBoundingClientRect().top + scrollY)"
    before = page.evaluate(tops, ids)
    for text in (WHEAT, "Wheat and oil, gold", "Peel the zucchini, schnippel die Zwiebeln", ""):
        type_in(page, text)
        assert page.evaluate(tops, ids) == before
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1280, "height": 720})


def test_exported_page_shows_several_topics_as_chips(browser: Browser, tmp_path: Path) -> None:
    rng = random.Random(0)
    words = {"grain": "wheat corn rye", "oil": "crude opec barrels", "money": "dollar bank rates"}
    texts, topics = [], []
    for _ in range(200):
        chosen = rng.sample([*words], k=rng.randint(0, 2))
        texts.append(" ".join(["the", *(w for t in chosen for w in words[t].split()[:2])]))
        topics.append(chosen)
    model = TopicClassifier(encoder=None).fit(texts, topics)
    model.save(tmp_path / "m.slug")
    opened = open_page(browser, tmp_path / "m.slug", tmp_path)
    page, fitted = opened.page, opened.parts.fitted
    assert page.inner_text("#answer-label") == "Topics"
    type_in(page, "wheat corn and crude opec")

    chips = page.locator("#answer button")
    given = fitted.predict_sets(["wheat corn and crude opec"])[0]
    assert {*given} == {"grain", "oil"}
    assert chips.locator("bdi").all_inner_texts() == [*given]
    chips.nth(1).click()
    assert page.inner_text("#why") == f"Why {given[1]}"
    assert chips.nth(1).get_attribute("aria-pressed") == "true"
    assert page.inner_text("#legend").startswith(f"{given[1]} is given from ")
    page.click("#topics button >> nth=2")
    assert page.inner_text("#why") == "What speaks for money"
    assert page.inner_text("#legend").startswith("money is given from ")
    type_in(page, "the")
    assert page.inner_text("#answer strong") == "No topic"


def test_exported_page_requests_nothing(browser: Browser, tmp_path: Path) -> None:
    context = browser.new_context()
    requests: list[str] = []
    context.on("request", lambda request: requests.append(request.url))
    opened = open_page(context, "reuters46", tmp_path)
    context.set_offline(True)
    type_in(opened.page, WHEAT)
    assert opened.page.inner_text("#answer strong") == "grain"
    assert [url.partition(":")[0] for url in requests] in (["file"], ["file", "data"])
    reached = "fetch('https://example.org').then(() => 'reached', (error) => error.name)"
    assert opened.page.evaluate(reached) == "TypeError"
    context.close()


def test_exported_page_escapes_markup(browser: Browser, tmp_path: Path) -> None:
    texts = [f"{word} {more}" for word in ("wheat", "goal", "loan", "film") for more in "abcde"]
    topics = [MARKUP[number // 5] for number in range(20)]
    path = tmp_path / "<i>m&.slug"
    TopicClassifier(encoder=None).fit(texts, topics).save(
        path, card_notes="<script>alert(2)</script> **x**"
    )
    opened = open_page(browser, path, tmp_path)
    page = opened.page
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    text = "wheat <img src=x onerror=alert(3)> \ud800\0"
    page.evaluate(
        "(text) => { byId('text').value = JSON.parse(text); update(); }", json.dumps(text)
    )
    assert page.locator("img, b >> text=bold, .card script").count() == 0
    assert set(page.locator("#topics span").all_text_contents()) == set(MARKUP)
    assert page.inner_text("#marked") == "wheat <img src=x onerror=alert(3)> \ufffd\ufffd"
    assert page.inner_text(".models bdi") == "<i>m&"
    assert "<script>alert(2)</script> x" in (page.text_content(".card") or "")
    assert dialogs == []


@pytest.mark.parametrize("more", ["", "\u0130\u4e2d\u6587e\u0301"], ids=["ascii", "beyond"])
def test_exported_page_shows_the_beginning_of_a_long_text(
    page: Page, shipped: OpenPage, more: str
) -> None:
    text = "Wheat and maize" + (more + " of the ") * 15_000 + "crude oil"
    page.evaluate("(text) => { byId('text').value = text; update(); }", text)
    assert page.text_content("#marked") == text[:100_000] + "…"
    assert page.inner_text("#legend").endswith(
        "Only the beginning of the text is shown; all of it was read."
    )
    # What is marked is as if the rest had been marked as well.
    topic = page.inner_text("#topics button >> nth=0 >> span")
    explained = explain(shipped.parts.fitted, text, topic, max_reasons=1_000_000)
    spans = [span for span in explained.spans() if span[1] <= 100_000]
    expected = merge_spans(text, spans)
    most = max(abs(share) for *_, share in expected)
    found = page.eval_on_selector_all("#marked mark", "(all) => all.map((each) => each.title)")
    strong = [share for *_, share in expected if abs(share) > 0.1 * most]
    assert len(found) == len(strong) > 0
    assert [float(title.replace("\u2212", "-")) for title in found[:50]] == pytest.approx(
        strong[:50], rel=0.02
    )


def test_exported_page_rejects_a_huge_text(page: Page) -> None:
    page.evaluate("byId('text').value = 'wheat '.repeat(333334); update();")
    assert page.inner_text("#answer") == "Over 2,000,000 characters; enter a part of the text."
    assert page.locator("#topics button").count() == 0
    assert page.is_enabled("#clear")


def test_exported_page_says_that_it_is_damaged(
    shipped: OpenPage, browser: Browser, tmp_path: Path
) -> None:
    text = (Path(shipped.page.url.removeprefix("file://"))).read_text("utf-8")
    start = text.index(">", text.index('id="weights"')) + 1
    path = tmp_path / "damaged.html"
    path.write_text(text[:start] + "AAAA" + text[start + 4 :], "utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("#trouble:not([hidden])")
    assert page.inner_text("#trouble").startswith("The model can’t be read (")
    assert page.is_disabled("#text")


def test_exported_page_says_that_it_needs_scripts(shipped: OpenPage, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(shipped.page.url)
    assert "your browser doesn’t run scripts" in page.inner_text("noscript")
    context.close()
