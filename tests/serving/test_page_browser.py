"""The page in a browser: what its script does, without one, by keyboard, and for all eyes."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from browsers import find_violations, opened_page
from server import running
from slugline.labels.store import LabelStore
from slugline.serving.metrics import Metrics
from slugline.serving.served_models import ServedModel
from slugline.serving.watch.day_sums import utc_today
from slugline.serving.watch.recorder import Watch
from slugline.serving.watch.store import WatchStore

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

PHONE: Any = {"width": 390, "height": 844}
HOSTILE = '<img src=x onerror="alert(1)"> wheat & corn'


@pytest.fixture(scope="module")
def address(_odd_names: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a server with two models, one of them with topics of odd names."""
    folder = tmp_path_factory.mktemp("kept")
    files = ("--corrections", folder / "corrections.db", "--watch", folder / "watch.db")
    fill_days(_odd_names, folder / "watch.db")
    with running("reuters46", _odd_names, *files) as found:
        yield str(found)


def fill_days(path: Path, file: Path) -> None:
    """Write sums of six weeks, in the last of which the model is mostly asked about one topic."""
    model, store, today = ServedModel.load(str(path)), WatchStore(file), [utc_today()]
    watch = Watch(Metrics(), store, today=lambda: today[0])
    for days_ago in range(42, -1, -1):
        today[0] = utc_today() - datetime.timedelta(days_ago)
        n_more = 150 if days_ago < 15 else 2
        texts = [f"word{n % 8} other{n % 8}" for n in range(100)] + ["word9 other9"] * n_more
        watch.add(model, model.answer(texts))
        watch.write()
    watch.close()


@pytest.fixture(scope="module")
def _odd_names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from slugline import TopicClassifier

    names = [f"queue {n} <b>of requests about orders that were never delivered" for n in range(8)]
    topics = [*names, "Donaudampfschifffahrtsgesellschaftskapitänsmütze" * 3, "короткая тема"]
    path = tmp_path_factory.mktemp("models") / "queues.slug"
    # Enough texts for held-out answers, by which weeks are counted.
    texts = [f"word{n} other{n} nr{copy}" for copy in range(12) for n in range(len(topics))]
    TopicClassifier().fit(texts, topics * 12).save(path)
    return path


def test_browser_keeps_a_half_typed_correction_while_the_text_is_edited(
    browser: Browser, address: str
) -> None:
    with opened_page(browser, address) as page:
        page.fill("#text", "wheat and corn harvest, grain tonnes of wheat")
        page.click("text=That’s wrong")
        page.fill("#right", "carc")
        page.fill("#who", "Ada")
        before = page.inner_html(".why .text")
        page.type("#text", "Barley as well. ")
        page.wait_for_function("before => find('.why .text').innerHTML !== before", arg=before)
        assert page.is_visible("#right")
        assert (page.input_value("#right"), page.input_value("#who")) == ("carc", "Ada")


def test_browser_offers_to_complete_an_unsure_answer(browser: Browser, address: str) -> None:
    with opened_page(browser, address) as page:
        page.click("text=No newswire")
        page.click("text=It is …")
        page.fill("#right", "parcels")
        page.click("text=Save correction")
        page.click("text=Undo")
        page.wait_for_selector("text=The correction was deleted.")
        assert page.inner_text("#wrong summary") == "It is …"
        page.click("text=A harvest")
        page.wait_for_selector("text=That’s wrong")


def test_browser_on_a_phone_shows_the_answer_on_the_first_screen(
    browser: Browser, address: str
) -> None:
    with opened_page(browser, address, viewport={"width": 390, "height": 664}) as page:
        page.click("text=A harvest")
        page.wait_for_selector(".bars b")
        box = page.locator(".bars b").nth(2).bounding_box()
        assert box is not None
        assert box["y"] + box["height"] < 664


def write_tickets(path: Path, n_rows: int = 300) -> Path:
    kinds = ("wheat and corn harvest, grain tonnes", "my parcel, please", "crude oil barrel output")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["number", "body"])
        writer.writerows([n, f"{kinds[n % 3]} {HOSTILE if n == 1 else n}"] for n in range(n_rows))
    return path


# What the script does -----------------------------------------------------------------------------


def test_browser_shows_answers_while_typing(browser: Browser, address: str) -> None:
    with opened_page(browser, address) as page:
        page.locator("#text").press_sequentially("wheat and corn harvest, grain tonnes", delay=5)
        page.locator(".why .text", has_text="grain tonnes").wait_for()
        assert page.locator("#said").inner_text().startswith("grain, ")
        assert page.locator(".text mark").count() > 1
        assert page.url == f"{address}/"

        page.fill("#text", "crude oil: barrels of output")
        page.locator(".topic", has_text="crude").wait_for()
        page.fill("#text", "")
        page.locator(".why").wait_for(state="detached")


def test_browser_explains_another_topic_by_a_click_and_keeps_the_focus(
    browser: Browser, address: str
) -> None:
    with opened_page(browser, address) as page:
        page.fill("#text", "wheat and oil")
        page.locator(".why").wait_for()
        page.locator("#all-topics summary").click()
        page.locator("#all-topics button[value=gold]").click()
        page.locator(".why h2", has_text="What speaks for gold").wait_for()
        pressed = page.locator("button[aria-pressed=true]")
        assert pressed.get_attribute("value") == "gold"
        assert pressed.evaluate("each => each === document.activeElement")
        assert page.locator("#all-topics").get_attribute("open") is not None


def test_browser_corrects_and_undoes_a_wrong_answer(browser: Browser, address: str) -> None:
    with opened_page(browser, address) as page:
        page.fill("#text", HOSTILE)
        page.locator(".why").wait_for()
        for topic, hint, said in (
            ("oilseed", "The model knows this topic.", "the correct topic is oilseed."),
            ("<i>fertiliser", "A new topic,", "the correct topic is <i>fertiliser, which is new."),
        ):
            page.locator("#wrong summary").click()
            page.fill("#right", topic)
            assert hint in page.locator("#right-hint").inner_text()
            page.fill("#who", "Ann")
            page.locator("#wrong button.main").click()
            page.locator(".kept", has_text=said).wait_for()
            page.locator(".kept button").click()
            page.locator("#wrong", has_text="The correction was deleted.").wait_for()
        page.reload()
        page.fill("#text", "wheat")
        page.locator("#wrong summary").click()
        assert page.input_value("#who") == "Ann"  # the browser remembers


def test_browser_keeps_the_text_for_another_model(browser: Browser, address: str) -> None:
    with opened_page(browser, address) as page:
        page.select_option("#model", "queues")
        page.wait_for_url("**/?model=queues")
        page.fill("#text", "wheat and corn harvest")
        page.locator(".why").wait_for()
        page.select_option("#model", "reuters46")
        page.locator(".topic", has_text="grain").wait_for()
        assert page.input_value("#text") == "wheat and corn harvest"
        assert page.url == f"{address}/?model=reuters46"


def test_browser_shows_first_rows_and_rereads_with_another_encoding(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes("Nr~text\n1~wheat, für Köln\n2~goal~corn\n".encode("cp850"))
    with opened_page(browser, address, "/table") as page:
        page.set_input_files("#file", file)
        page.locator("#reading summary").click()
        page.select_option("#encoding", "cp850")
        page.locator("#preview td", has_text="1~wheat, für Köln").wait_for()
        page.select_option("#separator", ";")
        page.locator("#reading-found", has_text="cp850, cells separated by ;").wait_for()
        file.write_bytes(b"Nr;text\n1;wheat\n2;goal;corn\n")
        page.set_input_files("#file", file)
        page.locator("#table-problem", has_text="3 cells instead of 2").wait_for()
        assert page.input_value("#encoding") == page.input_value("#separator") == ""
        assert page.locator("#preview tr").all_inner_texts()[2] == "2\tgoal;corn"
        assert "2 · goal;corn" in page.locator("#rows tr").nth(1).inner_text()


def test_browser_answers_filters_and_downloads_a_table(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    file = write_tickets(tmp_path / "tickets.csv")
    with opened_page(browser, address, "/table") as page:
        page.set_input_files("#file", file)
        page.locator("#download:enabled").wait_for()
        assert page.locator("#counts").inner_text() == "300 rows, 100 unsure"
        assert page.locator("#showing").inner_text() == "Rows 1 to 50 of 300"
        page.locator("#next").click()
        assert page.locator("#showing").inner_text() == "Rows 51 to 100 of 300"

        page.select_option("#topic-filter", "grain")
        page.select_option("#sure-filter", "sure")
        assert page.locator("#showing").inner_text() == "Rows 1 to 50 of 100"
        page.select_option("#topic-filter", "")
        page.select_option("#sure-filter", "unsure")
        assert page.locator("#rows .name").first.inner_text().startswith("Unsure")
        page.select_option("#sure-filter", "")
        page.locator("#sort").click()
        shares = page.locator("#rows .p").all_inner_texts()
        numbers = [float(share.strip("<>% \xa0")) for share in shares]
        assert numbers == sorted(numbers)

        with page.expect_download() as download:
            page.locator("#download").click()
        assert download.value.suggested_filename == "tickets-topics.csv"
        with Path(download.value.path()).open(newline="", encoding="utf-8") as sent:
            rows = list(csv.DictReader(sent))
        assert len(rows) == 300
        assert rows[0]["topic"] == "grain"
        assert rows[1]["body"].endswith(HOSTILE)


def test_browser_corrects_a_row_of_a_table(browser: Browser, address: str, tmp_path: Path) -> None:
    file = write_tickets(tmp_path / "tickets.csv")
    with opened_page(browser, address, "/table") as page:
        page.set_input_files("#file", file)
        page.locator("#download:enabled").wait_for()
        with page.context.expect_page() as new:
            page.locator("#rows tr").first.get_by_role("button", name="Explain or correct").click()
        row = new.value
        row.locator("#wrong-form summary").click()
        assert row.locator("#text").input_value().strip()
        row.fill("#right", "wheat")
        row.locator("#wrong-form button.main").click()
        assert (
            row.locator(".kept [role=status]").inner_text() == "Saved: the correct topic is wheat."
        )
        row.get_by_role("button", name="Undo").click()  # other tests list corrections
        row.get_by_text("The correction was deleted.").wait_for()


def test_browser_shows_times_in_the_local_zone(browser: Browser, address: str) -> None:
    with opened_page(browser, address, "/", timezone_id="Asia/Kolkata") as page:
        shown = page.evaluate(
            """() => {
                const time = document.createElement("time");
                time.dateTime = "2026-11-29T20:15:00.123Z";
                document.querySelector("main").append(time);
                showLocalTimes();
                return document.querySelector("main time").textContent;
            }"""
        )
    assert shown == "2026-11-30 01:45"


def test_browser_asks_for_the_text_column_of_a_dropped_table(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    with opened_page(browser, address, "/table") as page:
        page.evaluate(
            """() => {
                const data = new DataTransfer();
                data.items.add(new File(["one,two,three\\nx,wheat harvest,y\\n"], "odd.csv"));
                document.querySelector("#drop").dispatchEvent(
                    new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
            }"""
        )
        page.locator("#counts", has_text="Which columns contain the text?").wait_for()
        page.select_option("#column", "two")
        page.locator("#rows .text", has_text="wheat harvest").wait_for()


def test_browser_shows_why_a_table_can_not_be_read(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    path = tmp_path / "letter.doc"
    path.write_bytes(b"\0\1")
    with opened_page(browser, address, "/table", expected="422") as page:
        assert ".xlsx" in page.inner_text("#drop")
        assert ".xlsx" in (page.get_attribute("#file", "accept") or "").split(",")
        page.set_input_files("#file", path)
        problem = page.locator("#table-problem", has_text="letter.doc is in an unknown format")
        problem.wait_for()  # its name as it is, not "Letter.doc"
        assert problem.inner_text().endswith(".xlsx, .txt, .ft.")  # the page has no `format`
        assert page.inner_text("#counts") == ""  # not "0 rows" as well
        assert page.locator("#progress").is_hidden()


def test_browser_offers_no_download_of_an_empty_table(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    (tmp_path / "empty.csv").write_text("body,queue\n")
    with opened_page(browser, address, "/table") as page:
        page.set_input_files("#file", tmp_path / "empty.csv")
        page.locator("#table-problem", has_text="empty.csv contains no documents").wait_for()
        assert page.inner_text("#counts") == ""
        assert page.locator("#download").is_disabled()


def test_browser_logs_in_with_a_token(browser: Browser, news_slug: Path, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("0123456789abcdef\n")
    with (
        running(news_slug, "--token-file", tmp_path / "tokens") as guarded,
        opened_page(browser, guarded, "/model", expected="403") as page,
    ):
        assert page.url == f"{guarded}/login"
        page.fill("#token", "fedcba9876543210")
        page.get_by_role("button", name="Log in").click()
        assert page.locator("#problem").inner_text() == "This token is not valid."
        page.fill("#token", "0123456789abcdef")
        page.get_by_role("button", name="Log in").click()
        page.fill("#text", "wheat")
        page.locator(".topic", has_text="grain").wait_for()


# Without the script, and by keyboard --------------------------------------------------------------


def test_browser_without_scripts_classifies_and_corrects(browser: Browser, address: str) -> None:
    with opened_page(browser, address, java_script_enabled=False) as page:
        page.fill("#text", "wheat and corn harvest\n\n<b>grain</b> tonnes")
        page.locator("text=Find the topic").click()
        page.locator(".topic", has_text="grain").wait_for()
        page.locator(".bars button").nth(1).click()
        page.locator(".why h2", has_text="What speaks for").wait_for()
        page.locator("#wrong summary").click()
        page.fill("#right", "oilseed")
        page.locator("text=Save correction").click()
        page.locator(".kept", has_text="the correct topic is oilseed").wait_for()
        page.locator(".kept button").click()
        page.locator("#wrong", has_text="The correction was deleted.").wait_for()
        page.locator(".chips button").first.click()
        page.locator(".why .text", has_text="Wheat shipments").wait_for()
        assert page.input_value("#text").startswith("Wheat shipments")


def test_browser_reaches_everything_by_keyboard(browser: Browser, address: str) -> None:
    with opened_page(browser, address) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.locator("#text").focus()
        page.keyboard.insert_text("wheat and corn harvest")
        page.locator(".why").evaluate("each => { each.id = 'answer-of-a-pause' }")
        page.keyboard.press("Control+Enter")
        page.locator(".why:not(#answer-of-a-pause)").wait_for()
        reached = set()
        for _ in range(30):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.innerText?.split('\\n')[0]"))
            if "That’s wrong" in reached:
                break
        assert {"A harvest", "All 46 topics", "That’s wrong"} <= reached
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        page.keyboard.type("oilseed")
        page.keyboard.press("Enter")
        page.locator(".kept").wait_for()
        assert page.evaluate("document.activeElement.innerText") == "Undo"
        page.keyboard.press("Enter")
        page.locator("#wrong", has_text="The correction was deleted.").wait_for()


# For all eyes -------------------------------------------------------------------------------------

PAGES = (
    *("/?model=queues", "/table?model=queues", "/model?model=queues", "/corrections?model=queues"),
    *("/", "/docs", "/login", "/?model=none"),
)


def opened_and_used(page: Page, address: str, path: str, text: str, file: Path) -> None:
    """Open a page and bring as much as it can have onto it."""
    page.goto(address + path)
    if path.startswith("/?model=queues"):
        page.fill("#text", text)
        page.locator("#wrong summary").click()
        page.locator("#all-topics summary").click()
    if path.startswith("/model?"):
        for summary in page.locator(".days summary").all():
            summary.click()
    if path.startswith("/table"):
        page.set_input_files("#file", file)
        page.locator("#download:enabled").wait_for()


def test_browser_shows_weeks_in_charts_and_accepts_changes(browser: Browser, address: str) -> None:
    with opened_page(browser, address, "/model?model=queues") as page:
        for _ in range(100):  # the weeks are counted after the start
            if page.locator(".alert").count():
                break
            page.wait_for_timeout(200)
            page.reload()
        assert page.locator(".alert", has_text="the share of короткая тема is").count() == 1
        assert page.locator(".charts svg").count() == 6
        line = page.locator(".charts polyline").first
        assert line.evaluate("each => getComputedStyle(each).fill") == "none"
        page.locator(".days form button").click()
        page.wait_for_url("**/model?model=queues#days")
        assert page.locator(".alert").count() == 0


def test_axe_finds_no_violations(browser: Browser, address: str, tmp_path: Path) -> None:
    found = []
    file = write_tickets(tmp_path / "tickets.csv", 9)
    context = browser.new_context()
    page = context.new_page()
    for path in PAGES:
        opened_and_used(page, address, path, "word8 other8 word7", file)
        found += [(path, *violation) for violation in find_violations(page)]
    context.close()
    assert found == []


def add_pending(path: Path, n: int = 7) -> None:
    """Store corrections by somebody who may not approve."""
    with LabelStore(path) as store:
        for number in range(n):
            store.add_correction(
                text=f"the wheat harvest number {number}, said the ministry of agriculture",
                topic="money-supply",
                answer="grain",
                probability=0.97,
                model="news",
                digest="0" * 12,
                who="Somebody of the Second Desk",
            )


def test_browser_fits_and_approves_pending_corrections(
    browser: Browser, news_slug: Path, tmp_path: Path
) -> None:
    add_pending(tmp_path / "c.db")
    with running(news_slug, "--corrections", tmp_path / "c.db") as address:
        with opened_page(browser, address, "/corrections") as page:
            assert page.locator(".held tbody tr").count() == 7
            for width in (320, 420, 768, 991, 993, 1280):
                page.set_viewport_size({"width": width, "height": 800})
                assert page.evaluate("document.documentElement.scrollWidth") <= width
            waiting = page.locator(".held h2")
            assert waiting.inner_text() == "7 corrections wait for approval"
            page.get_by_role("button", name="Approve correction 2").click()
            page.locator(".notice", has_text="Correction 2 approved.").wait_for()
            assert waiting.inner_text() == "6 corrections wait for approval"
            page.get_by_role("button", name="Withdraw correction 3").click()
            page.locator(".notice", has_text="Correction 3 undone.").wait_for()
            page.get_by_role("button", name="Approve all 5").click()
            page.locator(".notice", has_text="5 corrections approved.").wait_for()
            assert waiting.count() == 0
        with LabelStore(tmp_path / "c.db") as store:
            assert {
                row.id: row.approved is not None for row in store.corrections()
            } == dict.fromkeys((1, 2, 4, 5, 6, 7), True)


def test_browser_shows_nothing_wider_than_the_window(
    browser: Browser, address: str, tmp_path: Path
) -> None:
    file = write_tickets(tmp_path / "tickets.csv", 9)
    context = browser.new_context()
    page = context.new_page()
    for path in PAGES:
        opened_and_used(page, address, path, "word8 other8 " + "x" * 300, file)
        for width in (320, 390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    context.close()


# Several topics -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a server with a model that gives several topics to a text."""
    from slugline import TopicClassifier

    folder = tmp_path_factory.mktemp("several")
    words = {"billing": "invoice refund", "shipping": "parcel late", "legal": "contract court"}
    sets = [("billing",), ("shipping",), ("legal",), ("billing", "shipping")] * 20
    texts = [" ".join(words[topic] for topic in topics) + f" {n}" for n, topics in enumerate(sets)]
    TopicClassifier(random_state=1).fit(texts, sets).save(folder / "tickets.slug")
    with running(folder / "tickets.slug", "--corrections", folder / "c.db") as found:
        yield str(found)


def test_browser_removes_and_adds_topics_by_keyboard(browser: Browser, several: str) -> None:
    with opened_page(browser, several, expected="422", viewport=PHONE) as page:
        page.fill("#text", "invoice refund and parcel late")
        given = page.get_by_role("group", name="Correct topics").locator("#right-topics")
        given.get_by_role("checkbox", name="shipping").focus()
        assert not page.is_visible("text=Save correction")
        page.keyboard.press("Space")
        assert page.is_visible("text=Save correction")
        page.keyboard.press("Space")
        assert not page.is_visible("text=Save correction")
        page.keyboard.press("Space")
        page.get_by_label("Another topic").fill("  new   things ")
        page.keyboard.press("Enter")
        assert page.inner_text("#said") == "new things added"
        assert given.get_by_role("checkbox", name="new things").is_checked()
        page.get_by_label("Another topic").fill("Donaudampfschifffahrt" * 9)
        page.click("#add")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.locator("label", has_text="Donaudampf").click()
        page.get_by_label("Another topic").fill("leagl")
        page.click("text=Save correction")  # with what is typed
        page.wait_for_selector("text=did you mean 'legal'?")
        page.locator("label", has_text="leagl").click()
        page.click("text=Save correction")
        page.wait_for_selector("text=Saved: the correct topics are billing, new things")
        page.click("#wrong >> text=Undo")
        page.wait_for_selector("text=The correction was deleted.")
        assert given.get_by_role("checkbox", name="shipping").is_checked()


def test_browser_filters_a_table_by_each_of_several_topics(
    browser: Browser, several: str, tmp_path: Path
) -> None:
    file = tmp_path / "mails.csv"
    file.write_text("body\ninvoice refund and parcel late\ncontract court\n")
    with opened_page(browser, several, "/table") as page:
        page.set_input_files("#file", file)
        page.wait_for_selector("#download:enabled")
        cells = page.locator("#rows .name").all_inner_texts()
        assert sorted(cells[0].split(", ")) == ["billing", "shipping"]
        assert cells[1] == "legal"
        page.select_option("#topic-filter", "shipping")
        assert page.locator("#rows tr").count() == 1
