"""The page for people, as it is without a script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from serving import client, make_state
from slugline.server.state import State

HOSTILE = '<script>alert("1")</script> wheat & "corn"'


@pytest.fixture
def state(news_slug: Path, tmp_path: Path) -> Iterator[State]:
    """Return the state of a server that takes corrections."""
    found = make_state(news_slug, corrections=tmp_path / "corrections.db")
    yield found
    found.close()


@pytest.fixture
def page(state: State) -> TestClient:
    """Return a client of it."""
    return client(state)


def words_of(html: str) -> str:
    """Return what stands on a page, roughly."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


# Classify -----------------------------------------------------------------------------------------


def test_an_empty_page_has_a_form_and_no_answer(page: TestClient) -> None:
    found = page.get("/")
    assert found.status_code == 200
    assert '<form id="ask" class="ask" method="post" action="/"' in found.text
    assert 'class="why"' not in found.text


def test_a_text_gets_its_topic_without_a_script(page: TestClient) -> None:
    found = page.post("/", data={"text": "the wheat and corn of 3"})
    assert '<p class="topic"><bdi>grain</bdi></p>' in found.text
    assert re.search(r'<mark class="for s9" title="[^"]*">(wheat|corn)</mark>', found.text)
    assert "\nthe wheat and corn of 3</textarea>" in found.text


def test_another_topic_is_a_button_of_the_same_form(page: TestClient) -> None:
    found = page.post("/", data={"text": "the wheat and corn of 3", "topic": "sport"})
    assert '<p class="topic"><bdi>grain</bdi></p>' in found.text
    assert "What speaks for <bdi>sport</bdi>" in found.text
    assert 'value="sport" aria-pressed="true"' in found.text


def test_a_script_gets_the_answer_alone(page: TestClient) -> None:
    found = page.post("/", data={"text": "wheat"}, headers={"X-Part": "1"})
    assert found.text.startswith('<section class="verdict" data-said="grain, ')
    assert "<html" not in found.text


def test_markup_in_a_text_is_only_text(page: TestClient) -> None:
    found = page.post("/", data={"text": HOSTILE, "topic": HOSTILE}).text
    assert found.count("<script") == 1
    assert "alert(&#34;1&#34;)" in found


def test_nothing_is_said_of_a_blank_text(page: TestClient) -> None:
    assert 'class="why"' not in page.post("/", data={"text": " \n"}).text


def test_line_breaks_stay_as_they_were_pasted(page: TestClient) -> None:
    found = page.post("/", data={"text": "\nwheat\r\n\r\ncorn"}).text
    assert "\n\nwheat\n\ncorn</textarea>" in found  # HTML drops the first one


def test_a_text_that_is_too_long_is_refused_on_a_page(news_slug: Path) -> None:
    from slugline.served import Limits

    page = client(make_state(news_slug, limits=Limits(characters=9)))
    found = page.post("/", data={"text": "0123456789"})
    assert found.status_code == 422
    assert "The text has 10 characters, and a text may have 9; shorten it." in found.text


def test_what_is_no_form_is_refused(page: TestClient) -> None:
    assert page.post("/", json={"text": "wheat"}).status_code == 415
    assert page.post("/", data={str(i): "" for i in range(30)}).status_code == 400


# Files --------------------------------------------------------------------------------------------


def test_files_keep_for_ever_under_a_name_that_changes_with_them(page: TestClient) -> None:
    names = re.findall(r'"(/static/[^"]*)"', page.get("/").text)
    assert [name.rpartition(".")[2] for name in names] == ["css", "js"]
    for name in names:
        found = page.get(name)
        assert found.headers.get_list("cache-control") == ["public, max-age=31536000, immutable"]
        again = page.get(name, headers={"If-None-Match": found.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    missing = page.get("/static/page-0.css")
    assert missing.status_code == 404
    assert missing.headers.get_list("cache-control") == ["no-store"]


def test_all_that_the_first_page_loads_is_under_100_kb(page: TestClient) -> None:
    html = page.get("/").text
    loaded = [page.get(name).text for name in re.findall(r'"(/static/[^"]*)"', html)]
    assert sum(len(text.encode()) for text in [html, *loaded]) < 100_000
    assert len(loaded[1].encode()) < 20_000
