"""The page of `slugline audit --page` in a browser: keys, evidence, and for all eyes."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from browsers import find_violations
from label_page import opened, press, wait_until_saved
from labelled_texts import labelled
from slugline.auditing.audit import audit_corpus
from slugline.auditing.findings import Findings
from slugline.auditing.repair import other_columns
from slugline.corpus.layout import ReadOptions
from slugline.corpus.loading import load_corpus
from slugline.labels.audit_review import AuditReview, open_decisions
from slugline.labels.label_setup import add_topics
from slugline.labels.store import LabelStore
from slugline.labels.text_table import RowAssignments
from slugline.serving.labelling.app import make_label_app
from slugline.serving.labelling.handlers import LabelState
from slugline.serving.labelling.service import LabelService
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.server.addresses import find_address
from slugline.serving.server.app_server import ServerThread

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow


class Audited(NamedTuple):
    """A table of documents, and what an audit finds."""

    path: Path
    findings: Findings


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Audited:
    """Audit documents, some with a wrong topic."""
    path = tmp_path_factory.mktemp("audit") / "news.csv"
    texts, topics, _ = labelled(150, 12)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["body", "queue", "a column with a long name"])
        pairs = zip(texts, topics, strict=True)
        writer.writerows([text, topic, "x" * 60] for text, topic in pairs)
    corpus = load_corpus(path, text="body", topic="queue")
    return Audited(path, Findings(audit_corpus(corpus)))


@contextlib.contextmanager
def reviewing(browser: Browser, audited: Audited, file: Path, **options: Any) -> Iterator[Page]:
    """Open the page on the suspects, as `slugline audit --page` does, served by this process."""
    audit, data = audited.findings.audit, [str(audited.path)]
    rows = audited.findings.to_review()
    reading = ReadOptions(text="body", topic="queue")
    columns = other_columns(data, audit.training_documents(), rows, reading)
    review = AuditReview(audited.findings, rows, columns)
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(open_decisions(file, audited.path.name))
        add_topics(store, dict.fromkeys(map(str, audit.corpus.topic_counts()), ""), "Kim")
        assignments = RowAssignments.from_store(review.table, store)
        selector = review.make_selector(assignments)
        service = LabelService(
            *(store, review.table, assignments, selector, "Kim"),
            content="suspects",
            reviewer=review,
        )
        stack.callback(service.close)
        state = LabelState(ServeSettings(), service)
        stack.callback(state.threads.close)
        address = find_address("127.0.0.1", 0)
        server = ServerThread(make_label_app(state), state.settings, address)
        stack.callback(server.stop)
        yield stack.enter_context(opened(browser, address.url.rstrip("/"), **options))


def names(page: Page) -> list[str]:
    """Return the present topic and the proposal of the suspect on the screen."""
    return page.locator("#review p b").all_inner_texts()


def test_keys_keep_change_choose_remove_and_undo(
    browser: Browser, audited: Audited, tmp_path: Path
) -> None:
    with reviewing(browser, audited, tmp_path / "r.db") as page:
        first, second = names(page), []
        press(page, "k")
        second = names(page)
        press(page, "c", "1", ".", ",")
        wait_until_saved(page)
        latest = page.locator("#recent b").all_inner_texts()
        press(page, "u")
    with LabelStore(tmp_path / "r.db") as store:
        topics = store.codebook().names()
        stored = [(each.kind, each.topics, each.reason) for each in store.decisions()]
    assert latest == ["skipped: unclear", "removed", topics[0], second[1], first[0]]
    assert stored == [
        ("label", (first[0],), None),
        ("label", (second[1],), None),
        ("label", (topics[0],), None),
        ("skip", (), "none of these"),
        ("skip", (), "unclear"),
        ("undo", (), None),
    ]


def test_evidence_is_announced_with_its_text(
    browser: Browser, audited: Audited, tmp_path: Path
) -> None:
    with reviewing(browser, audited, tmp_path / "r.db") as page:
        topic, proposal = names(page)
        said = page.locator("#announcements").inner_text()
        assert said.endswith(f"Current topic: {topic}; the other documents suggest {proposal}.")
        assert page.locator("#review li").count() >= 2
        assert page.locator("#codebook-box").is_hidden()
        assert page.locator("h1").text_content() == "Review suspects"


def test_tab_and_enter_suffice(browser: Browser, audited: Audited, tmp_path: Path) -> None:
    with reviewing(browser, audited, tmp_path / "r.db") as page:
        topic = names(page)[0]
        page.locator("#card").focus()
        for _ in range(10):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.dataset.review") == "k":
                break
        press(page, "Enter")
        wait_until_saved(page)
        assert page.locator("#recent b").first.inner_text() == topic


def test_page_says_that_all_suspects_are_decided(
    browser: Browser, audited: Audited, tmp_path: Path
) -> None:
    with reviewing(browser, audited, tmp_path / "r.db") as page:
        n_suspects = page.evaluate("state.progress.n_texts")
        assert n_suspects > 1
        press(page, *"k" * (n_suspects - 1))
        page.keyboard.press("k")
        page.locator("#text", has_text="No suspects left for you").wait_for()
        page.locator("#progress-summary", has_text=f"{n_suspects} of {n_suspects}").wait_for()
        assert page.locator("#review").count() == 0


def test_axe_finds_no_violations(browser: Browser, audited: Audited, tmp_path: Path) -> None:
    with reviewing(browser, audited, tmp_path / "r.db") as page:
        assert find_violations(page) == []
        press(page, "c")
        wait_until_saved(page)
        page.locator("#recent button").first.click()
        page.get_by_text("Undo it").wait_for()
        assert find_violations(page) == []


def test_page_fits_into_a_narrow_window(browser: Browser, audited: Audited, tmp_path: Path) -> None:
    with reviewing(
        browser, audited, tmp_path / "r.db", viewport={"width": 320, "height": 640}
    ) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
