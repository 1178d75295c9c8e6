"""The label page in a browser: keys, clicks, lost replies, and for all eyes."""

from __future__ import annotations

import contextlib
import csv
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import slugline
from browsers import find_violations
from label_page import opened, press, shown, wait_until_saved
from slugline.labels.cells import ImportedLabel
from slugline.labels.store import LabelStore

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page, Route

pytestmark = pytest.mark.slow

HOSTILE = '<img src=x onerror="alert(1)"> wheat & corn'
BODIES = [HOSTILE, "…", "ارتفع سعر الذهب", ("word " * 40_000).strip()]
BODIES += [f"the wheat harvest number {n}" for n in range(20)]
TOPICS = ["grain", "earnings", "metal"]


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Return a table of texts: hostile, empty of letters, right to left, and long."""
    path = tmp_path / "texts.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["nr", "body", "a column with a long name"])
        writer.writerows([n, body, "x" * 60] for n, body in enumerate(BODIES))
    return path


@contextlib.contextmanager
def labelling(texts: Path, *, topics: list[str] = TOPICS, **options: Any) -> Iterator[str]:
    """Open a page to label texts, with a server in this process; yield its address."""
    options = {"settings": slugline.ServeSettings(port=0, max_body=1 << 20)} | options
    with slugline.label(
        texts,
        texts.with_name("labels.db"),
        text="body",
        coder="Kim",
        topics={name: f"about {name}" for name in topics},
        announce=lambda url: None,
        **options,
    ) as page:
        yield page.url.rstrip("/")


def decisions(texts: Path) -> list[tuple[str, tuple[str, ...], str | None]]:
    with LabelStore(texts.with_name("labels.db")) as store:
        return [(each.kind, each.topics, each.reason) for each in store.decisions()]


# Keys and clicks ----------------------------------------------------------------------------------


def test_keys_label_skip_and_undo(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        press(page, "1", "3", ",", ".", "-")
        wait_until_saved(page)
        before = shown(page)
        page.keyboard.press("u")
        page.locator(f"#card[data-assignment]:not([data-assignment='{before}'])").wait_for()
        press(page, "2")
        wait_until_saved(page)
        assert shown(page) == before
    assert decisions(texts) == [
        ("label", ("grain",), None),
        ("label", ("metal",), None),
        ("skip", (), "unclear"),
        ("skip", (), "none of these"),
        ("skip", (), "not for me"),
        ("undo", (), None),
        ("label", ("earnings",), None),
    ]


def test_keys_can_be_turned_off(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        page.locator("#keys-box summary").click()
        page.get_by_label("Use single-key shortcuts").uncheck()
        before = shown(page)
        page.locator("#card").focus()
        page.keyboard.press("1")
        assert (shown(page), page.locator("#topics kbd").first.is_visible()) == (before, False)
        page.reload()
        page.locator("#card[data-assignment]").wait_for()
        page.keyboard.press("1")
        assert shown(page) == before


def test_tab_and_enter_suffice(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        for _ in range(20):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.dataset.topic === 'earnings'"):
                break
        press(page, "Enter", "Enter")
        assert page.evaluate("document.activeElement.dataset.topic") == "earnings"
        wait_until_saved(page)
    assert decisions(texts) == [("label", ("earnings",), None)] * 2


def test_focus_stays_on_a_topic_while_a_text_is_awaited(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        page.wait_for_function("() => state.queue.length === N_AHEAD")
        awaited: list[Route] = []
        is_awaiting = True

        def answer_later(route: Route) -> None:
            if is_awaiting:
                awaited.append(route)
            else:
                route.continue_()

        page.route("**/v1/next", answer_later)
        topic = page.locator("#topics button").first
        topic.focus()
        for _ in range(3):  # the text on the screen, and those ahead of it
            page.keyboard.press("Enter")
        page.locator("#card:not([data-assignment])").wait_for()
        assert topic.get_attribute("aria-disabled") == "true"
        page.keyboard.press("Enter")
        while not awaited:  # which the browser's own process says later
            page.wait_for_timeout(10)
        is_awaiting = False
        awaited.pop().continue_()
        page.locator("#card[data-assignment]").wait_for()
        n_decided = page.locator("#recent li").count()
        press(page, "Enter")
        wait_until_saved(page)
        assert page.locator("#recent li").count() == n_decided + 1


def test_next_text_is_announced(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        press(page, "1")
        words = " ".join(page.locator("#text").inner_text().split())
        said = page.locator("#announcements").inner_text()
        assert said.startswith(f"Next text: {words[:100]}".rstrip())
        assert page.locator("#announcements").get_attribute("aria-live") == "polite"


def click_twice(page: Page, seconds: float) -> None:
    """Click on the first topic twice, so many seconds apart by the time that the events have."""
    box = page.locator("#topics button").first.bounding_box()
    assert box is not None
    devtools = page.context.new_cdp_session(page)
    start = time.time()
    for n_clicks in (1, 2):  # as browsers count clicks in one place within half a second
        for kind in ("mousePressed", "mouseReleased"):
            event = {
                "type": kind,
                "x": box["x"] + 5,
                "y": box["y"] + 5,
                "button": "left",
                "clickCount": n_clicks,
                "timestamp": start + (n_clicks - 1) * seconds,
            }
            devtools.send("Input.dispatchMouseEvent", event)


@pytest.mark.parametrize(
    ("seconds", "n_labels"), [(0.1, 1), (0.35, 2)], ids=["double click", "two taps"]
)
def test_second_click_labels_the_next_text_unless_it_is_fast(
    browser: Browser, texts: Path, seconds: float, n_labels: int
) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        click_twice(page, seconds)
        wait_until_saved(page)
    assert decisions(texts) == [("label", ("grain",), None)] * n_labels


def test_label_is_undone_by_a_quick_second_tap(browser: Browser, texts: Path) -> None:
    with (
        labelling(texts) as address,
        opened(browser, address, has_touch=True, is_mobile=True) as page,
    ):
        page.evaluate(
            """() => {
              const tap = (selector, detail) => document.querySelector(selector)
                .dispatchEvent(new MouseEvent("click", { bubbles: true, detail }));
              tap("#topics button", 1);
              tap("#undo", 2);
            }"""
        )
        page.locator("#earlier, #no-recent:not([hidden])").first.wait_for(state="attached")
        wait_until_saved(page)
    assert decisions(texts) == [("label", ("grain",), None), ("undo", (), None)]


def test_topic_without_labels_is_removed(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        press(page, "2")
        wait_until_saved(page)
        page.locator("#progress-summary", has_text="1 of 24 texts labelled").wait_for()
        page.locator("#codebook-box > summary").click()
        page.locator("#codebook details summary", has_text="metal").click()
        metal = page.locator("#codebook details[data-topic='3']")
        metal.get_by_role("button", name="Remove").click()
        page.locator("#topics button", has_text="metal").wait_for(state="detached")
        page.locator("#codebook details summary", has_text="earnings").click()
        earnings = page.locator("#codebook details[data-topic='2']")
        assert earnings.get_by_role("button", name="Remove").is_hidden()
        page.locator("#undo").click()
        earnings.get_by_role("button", name="Remove").wait_for()


def test_problem_of_the_codebook_goes_once_a_change_succeeds(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address, expected="422") as page:
        page.locator("#codebook-box > summary").click()
        page.locator("#codebook details summary", has_text="metal").click()
        metal = page.locator("#codebook details[data-topic='3']")
        metal.get_by_label("Name").fill("grain")
        metal.get_by_role("button", name="Rename").click()
        problem = page.locator("#problems .problem")
        problem.wait_for()
        assert "Topic “grain” already exists; merge “metal” into it" in problem.inner_text()
        metal.get_by_label("Name").fill("metals")
        metal.get_by_role("button", name="Rename").click()
        page.locator("#topics button", has_text="metals").wait_for()
        assert problem.count() == 0


def test_new_topic_is_typed_and_a_similar_one_is_asked_about(browser: Browser, texts: Path) -> None:
    with labelling(texts, topics=[]) as address, opened(browser, address) as page:
        assert page.locator("#no-topics").is_visible()
        page.get_by_label("Find or add a topic").fill("earnings")
        press(page, "Enter")
        page.keyboard.press("/")
        page.keyboard.type("ernings")
        page.keyboard.press("Enter")
        page.locator("#similar", has_text="Did you mean earnings?").wait_for()
        assert page.evaluate("document.activeElement.innerText") == "Use earnings"
        press(page, "Enter")
        page.keyboard.press("/")
        page.keyboard.type("ea")
        press(page, "Enter")
        wait_until_saved(page)
    assert decisions(texts) == [("label", ("earnings",), None)] * 3


def test_several_topics_are_toggled_and_saved_by_enter(browser: Browser, texts: Path) -> None:
    with labelling(texts, multilabel=True) as address, opened(browser, address) as page:
        page.keyboard.press("1")
        page.keyboard.press("3")
        page.keyboard.press("2")
        page.keyboard.press("2")
        assert page.locator("#topics [aria-pressed='true']").count() == 2
        assert page.locator("#done-hint").inner_text() == "grain, metal"
        press(page, "Enter")
        assert page.locator("#topics [aria-pressed='true']").count() == 0
        press(page, "Enter")
        wait_until_saved(page)
    assert decisions(texts) == [("label", ("grain", "metal"), None), ("label", (), None)]


def test_more_topics_than_keys_are_found_by_typing(browser: Browser, texts: Path) -> None:
    names = [f"queue {n}" for n in range(60)]
    with labelling(texts, topics=names) as address, opened(browser, address) as page:
        press(page, "a")  # the tenth
        page.keyboard.press("/")
        page.keyboard.type("ue 55")
        press(page, "Enter")
        wait_until_saved(page)
    assert [topics for _, topics, _ in decisions(texts)] == [("queue 9",), ("queue 55",)]


def test_earlier_decision_is_one_click_away(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        press(page, "1", "2", "3")
        wait_until_saved(page)
        present = shown(page)
        page.locator("#recent button", has_text="grain").click()
        page.locator("#earlier", has_text="grain").wait_for()
        assert page.locator("[aria-pressed='true']").inner_text().split()[1] == "grain"
        page.get_by_role("button", name="Keep it").click()
        assert shown(page) == present
        page.locator("#recent button", has_text="grain").click()
        page.locator("#earlier").wait_for()
        page.locator("#card").focus()
        press(page, "3")
        wait_until_saved(page)
        assert shown(page) == present
        assert page.locator("#recent b").all_inner_texts() == ["metal", "metal", "earnings"]


def test_earlier_decisions_are_listed_on_demand(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        press(page, *"3112112111111")
        wait_until_saved(page)
        page.reload()
        page.locator("#recent li").first.wait_for()
        page.get_by_role("button", name="Show earlier").click()
        page.locator("#recent b", has_text="metal").wait_for()
        assert page.locator("#recent li").count() == 13
        assert not page.get_by_role("button", name="Show earlier").is_visible()


def test_note_is_kept_with_the_decision(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        page.keyboard.press("n")
        page.keyboard.type("1 or 2?")
        page.locator("#card").focus()
        press(page, "1")
        assert page.locator("#note").input_value() == ""
        wait_until_saved(page)
    with LabelStore(texts.with_name("labels.db")) as store:
        assert [each.note for each in store.decisions()] == ["1 or 2?"]


def test_codebook_is_edited_renamed_and_merged(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        press(page, "1")
        wait_until_saved(page)
        page.keyboard.press("b")
        entry = page.locator("#codebook details", has_text="grain").first
        entry.locator("summary").click()
        entry.get_by_label("Description").fill("Cereals & maize")
        entry.get_by_role("button", name="Save").click()
        page.locator("#announcements", has_text="Codebook saved").wait_for()
        entry.get_by_label("Name").fill("cereals")
        entry.get_by_role("button", name="Rename").click()
        page.locator("#recent b", has_text="cereals").wait_for()
        entry = page.locator("#codebook details", has_text="cereals").first
        entry.get_by_label("Merge into").select_option("metal")
        entry.get_by_role("button", name="Merge").click()
        page.locator("#recent b", has_text="metal").wait_for()
        assert page.locator("#topics bdi").all_inner_texts() == ["earnings", "metal"]
        page.get_by_role("button", name="Undo merge").click()
        page.locator("#recent b", has_text="cereals").wait_for()


def add_second_coder(texts: Path) -> None:
    """Let Lee give a topic to all texts with a label, and an imported coder as well."""
    with LabelStore(texts.with_name("labels.db")) as store:
        store.add_coder("Lee")
        store.add_coder("llm", "imported")
        labelled = [each for each in store.labels() if each.decisions]
        for each in labelled:
            selection = each.decisions[0].assignment.selection
            assignment = store.assign("Lee", each.document.id, selection)
            assert assignment is not None
            store.label(assignment.id, ["metal"])
        labels = [ImportedLabel(each.document.id, ("metal",)) for each in labelled]
        store.import_labels("llm", labels)


def wait_until_measured(page: Page) -> None:
    """Wait until the agreement is that of all labels, after which it is not shown anew."""
    panel = page.locator("#agreement")
    panel.get_by_text("two").first.wait_for()
    panel.get_by_text("Counting newer labels").wait_for(state="detached")


def test_agreement_of_coders_is_shown(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        summary = page.get_by_text("Coders: how well they agree")
        summary.click()
        panel = page.locator("#agreement")
        panel.get_by_text("No text has been labelled by two people yet").wait_for()
        summary.click()
        press(page, "1", "3", "3")
        wait_until_saved(page)
        add_second_coder(texts)
        summary.click()
        panel.get_by_text("3 texts labelled by two or more people").wait_for()
        panel.get_by_text("No text has been repeated yet").wait_for()
        assert panel.get_by_role("region", name="Agreement of people", exact=True).is_visible()
        confusions = panel.get_by_role("region", name="Confusions of people").inner_text()
        assert confusions.split()[-5:] == ["grain", "metal", "1", "Kim", "Lee"]
        panel.get_by_text("llm compared with people").wait_for()
        wait_until_measured(page)
        assert find_violations(page) == []
        page.set_viewport_size({"width": 320, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_labels_are_withdrawn_and_settlements_undone_on_the_page(
    browser: Browser, texts: Path
) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        press(page, "1", "2")
        wait_until_saved(page)
        add_second_coder(texts)
        with LabelStore(texts.with_name("labels.db")) as store:
            first = next(each for each in store.labels() if each.status == "open")
            store.settle(first.document.id, ["metal"], "Kim")
        page.get_by_text("Coders: how well they agree").click()
        wait_until_measured(page)
        page.get_by_role("button", name="Undo", exact=True).click()
        page.get_by_role("button", name="Settle disagreements").wait_for()
        wait_until_measured(page)
        questions: list[str] = []

        def confirm(dialog: Dialog) -> None:
            questions.append(dialog.message)
            dialog.accept()

        page.once("dialog", confirm)
        page.get_by_role("button", name="Withdraw the labels of Lee").click()
        assert questions == ["Withdraw 2 labels of Lee?"]
        page.locator("#agreement", has_text="The labels of Lee were withdrawn by Kim").wait_for()
        wait_until_measured(page)
        page.get_by_role("button", name="Restore them").click()
        page.get_by_role("button", name="Settle disagreements").wait_for()


COPY = "where is the parcel number {} that you promised me for last Monday"


@contextlib.contextmanager
def with_copies(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """Label one of 12 near copies; yield the page once it shows those that nobody has."""
    texts = tmp_path / "texts.csv"
    texts.write_text("body\n" + "".join(f"{COPY.format(n)}\n" for n in range(12)))
    with labelling(texts) as address, opened(browser, address) as page:
        for thread in threading.enumerate():
            if thread.name == "near-copies":
                thread.join()
        page.keyboard.press("1")
        page.locator("#copies", has_text="nearly the same").wait_for()
        # Texts that the page fetches ahead later would not be labelled with the others.
        page.wait_for_function("() => state.queue.length === N_AHEAD")
        page.keyboard.press("g")
        page.locator("#copies input").first.wait_for()
        yield page


def test_near_copies_are_looked_at_and_labelled(browser: Browser, tmp_path: Path) -> None:
    with with_copies(browser, tmp_path) as page:
        assert page.locator("#copies mark").all_inner_texts()[0].isdigit()
        n = page.locator("#copies input").count() - 1
        page.keyboard.press("Space")
        page.keyboard.press("2")  # it is for no other text
        page.get_by_role("button", name=f"Label {n} texts as grain").wait_for()
        page.keyboard.press("Enter")
        page.locator("#recent", has_text=f"{n} near copies").wait_for()
        assert page.locator("#copies").is_hidden()
        page.locator("#progress-summary", has_text=f"{n + 1} of 12 texts labelled").wait_for()
    found = [each for each in decisions(tmp_path / "texts.csv") if each[0] == "label"]
    assert found[-n:] == [("label", ("grain",), None)] * n


def test_near_copies_are_undone_together(browser: Browser, tmp_path: Path) -> None:
    with with_copies(browser, tmp_path) as page:
        page.keyboard.press("Enter")
        page.locator("#recent button", has_text="near copies").click()
        page.get_by_role("button", name="Undo their labels").click()
        page.locator("#progress-summary", has_text="1 of 12 texts labelled").wait_for()
        page.locator("#recent li", has_text="near copies").wait_for(state="detached")
    with LabelStore(tmp_path / "labels.db") as store:
        assert [each.answer for each in store.labels()].count(("grain",)) == 1


def test_near_copies_are_declined_by_escape(browser: Browser, tmp_path: Path) -> None:
    with with_copies(browser, tmp_path) as page:
        page.keyboard.press("Escape")
        assert page.locator("#copies").is_hidden()
        assert page.evaluate("document.activeElement.id") == "card"


def test_disagreements_are_settled_one_after_the_other(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        press(page, "1", "2")
        wait_until_saved(page)
        present = shown(page)
        with LabelStore(texts.with_name("labels.db")) as store:
            store.add_coder("Lee")
            for each in [each for each in store.labels() if each.decisions]:
                selection = each.decisions[0].assignment.selection
                assignment = store.assign("Lee", each.document.id, selection)
                assert assignment is not None
                store.label(assignment.id, ["metal"])
        page.reload()
        page.get_by_role("button", name="Settle disagreements").click()
        page.locator("#earlier", has_text="Kim: grain").wait_for()
        press(page, "3")
        page.locator("#earlier", has_text="Kim: earnings").wait_for()
        press(page, ".")
        page.locator("#progress-summary", has_text="No disagreements left").wait_for()
        assert shown(page) == present
    with LabelStore(texts.with_name("labels.db")) as store:
        settled = [each for each in store.labels() if each.settlement is not None]
        assert [each.answer for each in settled] == [("metal",), None]


def disagree(texts: Path, n: int) -> None:
    """Let another coder give another topic to what the first coder has labelled."""
    with LabelStore(texts.with_name("labels.db")) as store:
        store.add_coder("Lee")
        for each in [each for each in store.labels() if each.decisions][:n]:
            assignment = store.assign(
                "Lee", each.document.id, each.decisions[0].assignment.selection
            )
            assert assignment is not None
            store.label(assignment.id, ["metal"])


def test_disagreement_left_open_hides_no_other_one(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        press(page, "1", "2", "1")
        wait_until_saved(page)
        disagree(texts, 3)
        page.reload()
        page.get_by_role("button", name="Settle disagreements").click()
        page.locator("#card[data-assignment='document 1']").wait_for()
        page.get_by_role("button", name="Leave it open").click()
        page.locator("#card[data-assignment='document 2']").wait_for()
        press(page, "3")
        page.locator("#card[data-assignment='document 3']").wait_for()
        page.get_by_role("button", name="Leave it open").click()
        page.locator("#earlier").wait_for(state="detached")
        assert not shown(page).startswith("document")


def test_note_on_a_disagreement_is_not_that_of_the_next_text(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        press(page, "1")
        wait_until_saved(page)
        disagree(texts, 1)
        page.reload()
        page.get_by_role("button", name="Settle disagreements").click()
        page.locator("#earlier", has_text="Kim: grain").wait_for()
        page.keyboard.press("n")
        page.keyboard.type("settled so")
        page.locator("#card").focus()
        press(page, "3")
        assert page.locator("#note").input_value() == ""
        press(page, "1")
        wait_until_saved(page)
    with LabelStore(texts.with_name("labels.db")) as store:
        assert [each.note for each in store.decisions()] == [None, None, None]
        [settled] = [each.settlement for each in store.labels() if each.settlement is not None]
        assert settled.note == "settled so"


def test_note_and_topics_of_a_text_outlast_a_look_at_an_earlier_one(
    browser: Browser, texts: Path
) -> None:
    with labelling(texts, multilabel=True) as address, opened(browser, address) as page:
        page.keyboard.press("1")
        press(page, "Enter")
        wait_until_saved(page)
        page.keyboard.press("3")
        page.keyboard.press("n")
        page.keyboard.type("unsure")
        page.locator("#recent button", has_text="grain").click()
        page.locator("#earlier").wait_for()
        assert page.locator("#note").input_value() == ""
        page.get_by_role("button", name="Keep it").click()
        assert page.locator("#note").input_value() == "unsure"
        assert page.locator("#done-hint").inner_text() == "metal"


def test_codebook_keeps_edits_and_long_examples(browser: Browser, texts: Path) -> None:
    long = "maize " * 400
    with labelling(texts) as address, opened(browser, address) as page:
        with LabelStore(texts.with_name("labels.db")) as store:
            store.describe_topic("grain", "Kim", description="", examples=[long, "rye\nor oats"])
        page.reload()
        page.locator("#card[data-assignment]").wait_for()
        page.keyboard.press("b")
        grain = page.locator("#codebook details").first
        grain.locator("summary").click()
        grain.get_by_label("Description").fill("Cereals")
        page.get_by_label("Find or add a topic").fill("cocoa")
        press(page, "Enter")  # adds a topic, and so an entry
        page.locator("#codebook summary", has_text="cocoa").wait_for()
        assert grain.get_by_label("Description").input_value() == "Cereals"
        grain.get_by_role("button", name="Save").click()
        page.locator("#announcements", has_text="Codebook saved").wait_for()
    with LabelStore(texts.with_name("labels.db")) as store:
        topic = store.codebook().find("grain")
        assert topic is not None
        assert topic.examples == (long.strip(), "rye\nor oats")


def test_topics_that_are_numbers_leave_the_codebook_as_it_is(browser: Browser, texts: Path) -> None:
    with labelling(texts, topics=["10", "2", "1"]) as address, opened(browser, address) as page:
        asked: list[str] = []
        page.on("request", lambda sent: asked.append(sent.url))
        press(page, "1")
        wait_until_saved(page)
        page.locator("#progress-summary", has_text="1 of 24 texts labelled").wait_for()
        assert not [url for url in asked if url.endswith("/v1/codebook")]


def test_accuracy_says_what_it_is_measured_on(browser: Browser, texts: Path) -> None:
    take = """() => takeProgress({
      ...state.progress, n_needed: 0, topics: [],
      accuracy: { accuracy: 0.8, low: 0.7, high: 0.9, n_labels: 100, n_skipped: 6 },
      forecast: { gain: 0.05, low: 0.0, high: 0.1 },
    })"""
    with labelling(texts) as address, opened(browser, address) as page:
        summary = page.locator("#progress-summary")
        page.evaluate(take)
        assert "measured on 100 labels; 6 skipped or undecided texts may" in summary.inner_text()
        assert "Twice as many labels should add about 5.0 percentage points" in summary.inner_text()


# What goes wrong ----------------------------------------------------------------------------------


def test_decision_without_a_login_is_saved_after_the_next_one(
    browser: Browser, texts: Path
) -> None:
    settings = slugline.ServeSettings(port=0, tokens=("Kim 0123456789abcdef",))
    with labelling(texts, settings=settings) as address:
        context = browser.new_context()
        context.set_default_timeout(60_000)
        page = context.new_page()
        page.goto(address)
        for is_again in (False, True):
            page.get_by_label("Token").fill("0123456789abcdef")
            page.get_by_role("button", name="Log in").click()
            page.locator("#card[data-assignment]").wait_for()
            if not is_again:
                press(page, "1")
                wait_until_saved(page)
                page.wait_for_function("() => state.queue.length === N_AHEAD")
                # The decision is what asks for the login, and no request before it.
                page.route("**/v1/progress", lambda route: route.abort())
                context.clear_cookies()  # as if logged out in another tab
                page.keyboard.press("2")
                page.wait_for_url("**/login")
        wait_until_saved(page)
        context.close()
    assert [topics for _, topics, _ in decisions(texts)] == [("grain",), ("earnings",)]


def test_damaged_decision_in_storage_does_not_hold_up_others(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address, expected="ERR_FAILED") as page:
        page.route("**/v1/decide", lambda route: route.abort())
        press(page, "1")
        page.evaluate("localStorage.setItem(outbox.key + 'x', '{')")
        page.evaluate("localStorage.setItem(outbox.key + 'y', '[null]')")
        page.unroute("**/v1/decide")
        page.on("dialog", lambda dialog: dialog.accept())
        page.reload()
        page.locator("#card[data-assignment]").wait_for()
        wait_until_saved(page)
        assert page.evaluate("Object.keys(localStorage).length") == 0
    assert decisions(texts) == [("label", ("grain",), None)]


def test_unsaved_decision_is_sent_again_after_longer_and_longer_delays(
    browser: Browser, texts: Path
) -> None:
    with labelling(texts) as address, opened(browser, address, expected="ERR_FAILED") as page:
        problem = page.locator(".problem", has_text="1 decision has not been saved yet")
        page.clock.install(time="2027-01-01")
        page.clock.pause_at("2027-01-02")
        page.route("**/v1/decide", lambda route: route.abort())
        press(page, "1")
        problem.wait_for()
        for milliseconds in (1000, 2000, 4000):
            problem.evaluate("each => { each.id = 'earlier-problem' }")
            page.clock.run_for(milliseconds - 1)
            assert page.locator("#earlier-problem").count() == 1
            page.clock.run_for(1)
            page.locator("#earlier-problem").wait_for(state="detached")
            problem.wait_for()
        problem.evaluate("each => { each.id = 'earlier-problem' }")
        page.keyboard.press("u")  # sends it at once
        page.locator("#earlier-problem").wait_for(state="detached")
        page.unroute_all(behavior="ignoreErrors")


def test_text_that_another_coder_leaves_is_shown_at_the_end(
    browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("body\none\ntwo\n")
    with labelling(path) as address, opened(browser, address) as page:
        press(page, "1")
        page.keyboard.press("1")
        page.locator("#text", has_text="No texts left for you").wait_for()
        wait_until_saved(page)
        page.locator("#recent button", has_text="grain").first.click()
        page.get_by_role("button", name="Undo it").click()
        page.locator("#earlier").wait_for(state="detached")
        page.evaluate("show(null)")  # as if the text were another coder's, who leaves it
        page.evaluate("fillLater(0)")
        page.locator("#card[data-assignment]").wait_for()


def test_lost_replies_double_nothing(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address, expected="ERR_FAILED") as page:
        loses_replies = True

        def lose_reply(route: Route) -> None:
            if loses_replies:
                route.fetch()  # it arrives, and its reply doesn't
                route.abort()
            else:
                route.continue_()

        page.route("**/v1/decide", lose_reply)
        page.keyboard.press("1")
        page.locator(".problem", has_text="1 decision has not been saved yet").wait_for()
        loses_replies = False
        page.get_by_role("button", name="Retry now").click()
        wait_until_saved(page)
        page.locator(".problem").wait_for(state="detached")
    assert decisions(texts) == [("label", ("grain",), None)]


def test_unsaved_decisions_survive_a_reload(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address, expected="ERR_FAILED") as page:
        page.route("**/v1/decide", lambda route: route.abort())
        press(page, "1")
        page.locator(".problem", has_text="1 decision has not been saved yet").wait_for()
        press(page, "2")
        page.get_by_role("button", name="Retry now").click()
        page.locator(".problem", has_text="2 decisions have not been saved yet").wait_for()
        page.unroute("**/v1/decide")
        page.on("dialog", lambda dialog: dialog.accept())
        page.reload()
        page.locator("#card[data-assignment]").wait_for()
        wait_until_saved(page)
        page.locator("#recent li").nth(1).wait_for()
    assert decisions(texts) == [("label", ("grain",), None), ("label", ("earnings",), None)]


def test_unsaved_decisions_of_two_windows_survive(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address, expected="Failed to load") as page:
        other = page.context.new_page()
        other.goto(address)
        # A window takes over what others left when it starts, so both start before either decides.
        for window in (page, other):
            window.locator("#card[data-assignment]").wait_for()
        for window, key in ((page, "1"), (other, "2")):
            window.route("**/v1/decide", lambda route: route.abort())
            press(window, key)
            window.locator(".problem", has_text="not been saved yet").wait_for()
        # Windows see each other's storage after a moment; one behind another draws no frames, in
        # which it would be asked by default.
        page.wait_for_function("() => Object.keys(localStorage).length === 2", polling=100)
        other.close()
        page.unroute("**/v1/decide")
        page.on("dialog", lambda dialog: dialog.accept())
        page.reload()
        page.locator("#card[data-assignment]").wait_for()
        wait_until_saved(page)
        page.locator(".problem", has_text="was not saved").wait_for()
    # Both showed the same text, and what came second was refused.
    assert [topics for _, topics, _ in decisions(texts)] == [("grain",)]


def test_refused_decision_is_shown_with_its_text(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address, expected="422") as page:
        with LabelStore(texts.with_name("labels.db")) as store:
            store.label(int(shown(page)), ["metal"])
        page.keyboard.press("1")
        problem = page.locator(".problem", has_text="was not saved")
        problem.get_by_role("button", name="Show this text").click()
        page.locator("#earlier", has_text="metal").wait_for()
        assert problem.count() == 0


def test_page_says_that_no_text_is_left(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "texts.csv"
    path.write_text("body\none\ntwo\n")
    with labelling(path) as address, opened(browser, address) as page:
        press(page, "1")
        page.keyboard.press("1")
        page.locator("#text", has_text="No texts left for you").wait_for()
        assert page.locator("#topics button").first.is_disabled()
        page.locator("#progress-summary", has_text="2 of 2 texts labelled").wait_for()


# For all eyes -------------------------------------------------------------------------------------


def fill_page(page: Page) -> None:
    """Bring as much as it can have onto a page."""
    press(page, "1", "2", ",")
    page.keyboard.press("b")
    page.locator("#codebook summary").first.click()
    page.locator("#keys-box summary").click()
    page.get_by_label("Find or add a topic").fill("grian" + "x" * 200)
    page.locator("#add").wait_for()


def test_axe_finds_no_violations(browser: Browser, texts: Path) -> None:
    names = [*TOPICS, "<b>a very long name</b> " * 8, "короткая тема"]
    with labelling(texts, topics=names) as address, opened(browser, address) as page:
        assert find_violations(page) == []
        fill_page(page)
        assert find_violations(page) == []


def test_near_copies_are_for_all_eyes(browser: Browser, tmp_path: Path) -> None:
    with with_copies(browser, tmp_path) as page:
        assert find_violations(page) == []
        page.set_viewport_size({"width": 320, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_page_fits_into_every_window(browser: Browser, texts: Path) -> None:
    names = [*TOPICS, "Donaudampfschifffahrtsgesellschaftskapitänsmütze" * 3]
    with labelling(texts, topics=names) as address, opened(browser, address) as page:
        fill_page(page)
        for width in (320, 390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, width


def test_texts_are_shown_as_they_are(browser: Browser, texts: Path) -> None:
    with labelling(texts) as address, opened(browser, address) as page:
        seen = set()
        for _ in range(23):
            seen.add(page.evaluate("document.querySelector('#text').textContent"))
            press(page, "1")
        seen.add(page.evaluate("document.querySelector('#text').textContent"))
    assert seen == {*BODIES}


def test_topics_of_the_file_are_hidden_and_long_names_are_shortened(
    browser: Browser, tmp_path: Path
) -> None:
    texts = tmp_path / "texts.csv"
    texts.write_text("body,topic,price\n" + "".join(f"text {n},metal,7\n" for n in range(5)))
    with (
        labelling(texts, topics=["x" * 1000, "metal"]) as address,
        opened(browser, address) as page,
    ):
        assert page.locator("#columns").inner_text().split() == ["price", "7"]
        name = page.locator("#topics bdi").first
        assert name.inner_text() == "x" * 100 + " …"
