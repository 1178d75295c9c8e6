"""The page for people, as it is without a script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from server import client, make_state
from slugline.serving.web.state import WebState

HOSTILE = '<script>alert("1")</script> wheat & "corn"'


@pytest.fixture
def state(news_slug: Path, tmp_path: Path) -> Iterator[WebState]:
    """Return the state of a server that takes corrections."""
    found = make_state(news_slug, corrections=tmp_path / "corrections.db")
    yield found
    found.service.close()


@pytest.fixture
def page(state: WebState) -> TestClient:
    """Return a client of it."""
    return client(state)


def words_of(html: str) -> str:
    """Return what stands on a page, roughly."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))


# Classify -----------------------------------------------------------------------------------------


def test_page_is_a_form_without_an_answer_at_first(page: TestClient) -> None:
    found = page.get("/")
    assert found.status_code == 200
    assert '<form id="ask" class="ask" method="post" action="/"' in found.text
    assert 'class="why"' not in found.text


def test_page_answers_a_text_without_a_script(page: TestClient) -> None:
    found = page.post("/", data={"text": "the wheat and corn of 3"})
    assert '<p class="topic"><bdi>grain</bdi></p>' in found.text
    assert re.search(r'<mark class="for s9" title="[^"]*">(wheat|corn)</mark>', found.text)
    assert "\nthe wheat and corn of 3</textarea>" in found.text


def test_page_explains_another_topic_by_a_button(page: TestClient) -> None:
    found = page.post("/", data={"text": "the wheat and corn of 3", "topic": "sport"})
    assert '<p class="topic"><bdi>grain</bdi></p>' in found.text
    assert "What speaks for <bdi>sport</bdi>" in found.text
    assert 'value="sport" aria-pressed="true"' in found.text


def test_page_sends_a_script_the_answer_only(page: TestClient) -> None:
    found = page.post("/", data={"text": "wheat"}, headers={"X-Part": "1"})
    assert found.text.startswith('<section class="verdict" data-said="grain, ')
    assert "<html" not in found.text


def test_page_escapes_markup_in_a_text(page: TestClient) -> None:
    found = page.post("/", data={"text": HOSTILE, "topic": HOSTILE}).text
    assert found.count("<script") == 1
    assert "alert(&#34;1&#34;)" in found


def test_page_lists_the_most_likely_of_very_many_topics(tmp_path: Path) -> None:
    from slugline import TopicClassifier

    topics = [f"topic{n}" for n in range(600)]
    TopicClassifier().fit([f"word{n}" for n in range(600)], topics).save(tmp_path / "many.slug")
    found = client(make_state(tmp_path / "many.slug")).post(
        "/", data={"text": "word7 word599", "topic": "topic3"}
    )
    assert "<summary>The first 500 of 600 topics</summary>" in found.text
    assert found.text.count("<li><button form") == 500
    assert "What speaks for <bdi>topic3</bdi>" in found.text


def test_page_stores_corrections_with_integer_topics(tmp_path: Path) -> None:
    from slugline import TopicClassifier

    TopicClassifier().fit(["wheat", "goal"] * 3, [3, 11] * 3).save(tmp_path / "numbers.slug")
    state = make_state(tmp_path / "numbers.slug", corrections=tmp_path / "corrections.db")
    page = client(state)
    found = page.post("/", data={"text": "wheat", "topic": "11"}).text
    assert '<p class="topic"><bdi>3</bdi></p>' in found
    assert "What speaks for <bdi>11</bdi>" in found
    kept(page, " 11 ")
    assert "which is new" in kept(page, "12")
    assert "topics of numbers are numbers" in kept(page, "sport").lower()
    assert [row.topic for row in state.service.corrections.store.corrections()] == ["11", "12"]
    state.service.close()


@pytest.mark.parametrize(
    "text",
    ["!!!", "\0", "\ud800", "\u202e wheat", "x" * 100_000],
    ids=["signs", "NUL", "half", "direction", "long"],
)
def test_page_answers_texts_of_all_kinds(page: TestClient, text: str) -> None:
    body = f"text={quote(text, errors='surrogatepass')}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    found = page.post("/", content=body, headers=headers)
    assert found.status_code == 200
    assert 'class="why"' in found.text


def test_page_gives_no_answer_to_a_blank_text(page: TestClient) -> None:
    assert 'class="why"' not in page.post("/", data={"text": " \n"}).text


def test_page_keeps_line_breaks_of_a_text(page: TestClient) -> None:
    found = page.post("/", data={"text": "\nwheat\r\n\r\ncorn"}).text
    assert "\n\nwheat\n\ncorn</textarea>" in found  # HTML drops the first one


def test_page_rejects_a_text_that_is_too_long(news_slug: Path) -> None:
    page = client(make_state(news_slug, max_characters=9))
    found = page.post("/", data={"text": "0123456789"})
    assert found.status_code == 422
    assert "The text has 10 characters, and a text may have 9; shorten it." in found.text


def test_page_rejects_a_correction_that_is_too_long(news_slug: Path, tmp_path: Path) -> None:
    file = tmp_path / "corrections.db"
    page = client(make_state(news_slug, max_characters=9, corrections=file))
    data = {"text": "0123456789", "topic": "bank"}
    found = page.post("/wrong", data=data, headers={"X-Part": "1"})
    assert found.status_code == 422
    assert "The text has 10 characters, and a text may have 9; shorten it." in found.text
    assert page.post("/wrong", data=data).status_code == 422


def test_page_rejects_bodies_other_than_forms(page: TestClient) -> None:
    assert page.post("/", json={"text": "wheat"}).status_code == 415
    assert page.post("/", data={str(i): "" for i in range(30)}).status_code == 400


# Corrections --------------------------------------------------------------------------------------


def kept(page: TestClient, topic: str = "bank", text: str = "wheat", **more: str) -> str:
    return page.post("/wrong", data={"text": text, "topic": topic, **more}).text


def test_page_stores_and_undoes_a_correction_in_place(page: TestClient, state: WebState) -> None:
    assert "Saved: the correct topic is bank . Undo" in words_of(kept(page, who=" Ann "))
    [row] = state.service.corrections.store.corrections()
    assert (row.text, row.topic, row.answer, row.who) == ("wheat", "bank", "grain", "Ann")

    found = page.post("/undo", data={"id": str(row.id), "text": "wheat"}).text
    assert "The correction was deleted." in found
    assert '<input type="hidden" name="text" value="wheat">' in found
    assert list(state.service.corrections.store.corrections()) == []


def test_page_says_that_a_corrected_topic_is_new(page: TestClient) -> None:
    assert "Saved: the correct topic is weather , which is new." in words_of(kept(page, "weather"))


def test_page_says_that_a_correction_confirms_the_answer(page: TestClient) -> None:
    assert "Saved: the correct topic is grain , as the model answered." in words_of(
        kept(page, "grain")
    )


def test_correction_form_asks_about_a_misspelt_topic(page: TestClient, state: WebState) -> None:
    asked = kept(page, "Grian")
    assert "There is no topic &#39;Grian&#39; in " in asked
    assert "did you mean &#39;grain&#39;? If it is new, tick the box below." in asked
    assert 'value="Grian"' in asked
    assert '<input type="checkbox" name="is_new">' in asked
    assert state.service.corrections.store.count_corrections() == 0
    assert "Grian , which is new." in words_of(kept(page, "Grian", is_new="on"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"topic": " "}, "A correction requires a text and its correct topic."),
        ({"text": " "}, "A correction requires a text and its correct topic."),
        ({"who": "x" * 201}, "The name has 201 characters; give at most 200."),
    ],
    ids=["topic", "text", "who"],
)
def test_page_shows_why_a_correction_was_not_saved(
    page: TestClient, state: WebState, fields: dict[str, str], said: str
) -> None:
    given = {"text": "wheat", "topic": "bank", **fields}
    found = page.post("/wrong", data=given, headers={"X-Part": "1"})
    assert found.status_code == 422
    assert said in found.text
    assert state.service.corrections.store.count_corrections() == 0


def test_corrections_tab_lists_the_latest_first_in_pages(page: TestClient, state: WebState) -> None:
    for number in range(60):
        row = state.service.corrections.store.add_correction(
            text=f"text {number}", topic=HOSTILE, answer="grain", probability=0.5,
            model="news", digest="0",
        )  # fmt: skip
        if number % 10 == 9:
            state.service.corrections.store.undo_correction(row.id)
    first = page.get("/corrections").text
    waiting, _, listed = first.partition("Download all (JSON lines)")
    assert "54 corrections wait for approval" in waiting
    latest = [int(n) for n in re.findall(r"<bdi>text (\d+)</bdi>", waiting)]
    assert latest == [n for n in reversed(range(60)) if n % 10 != 9][:20]
    numbers = [int(n) for n in re.findall(r"<bdi>text (\d+)</bdi>", listed)]
    assert first.count("<script") == 1
    assert "54 corrections" in first
    older = re.search(r'href="([^"]*)" rel="next"', first)
    assert older is not None
    numbers += [int(n) for n in re.findall(r"<bdi>text (\d+)</bdi>", page.get(older[1]).text)]
    assert numbers == [n for n in reversed(range(60)) if n % 10 != 9]


def test_corrections_tab_shows_nul_as_the_replacement_character(page: TestClient) -> None:
    kept(page, "bank", "a\0b")
    found = page.get("/corrections").content
    assert b"\0" not in found
    assert "<bdi>a\ufffdb</bdi>".encode() in found


def test_corrections_tab_summarizes_what_corrections_would_change(page: TestClient) -> None:
    kept(page, "bank")
    kept(page, "grain", "corn")
    said = words_of(page.get("/corrections").text)
    assert "Of 2 corrected texts, news still gets 1 wrong." in said
    assert "slugline train DATA --corrections FILE -o news.slug" in said
    kept(page, "weather")
    said = words_of(page.get("/corrections").text)
    assert "They include 1 new topic: weather ." in said


def test_corrections_tab_says_whether_the_model_learns(page: TestClient, state: WebState) -> None:
    class Learner:
        is_learning = False
        last: dict[str, str] | None = None

        def state(self) -> dict[str, object]:
            return {"is_learning": self.is_learning, "next_after": 7, "last": self.last}

    assert "automatically" not in page.get("/corrections").text
    state.service.learner = Learner()  # type: ignore[assignment]
    assert "news is retrained automatically after 7 more corrections" in words_of(
        page.get("/corrections").text
    )
    Learner.is_learning = True
    Learner.last = {"at": "2026-01-31T08:15:00.250Z", "message": "a `b` <i>"}
    found = page.get("/corrections").text
    assert "Training on corrections now." in found
    time = '<time datetime="2026-01-31T08:15:00.250Z">2026-01-31 08:15 UTC</time>'
    assert f"Last time, {time}: a <code>b</code> &lt;i&gt;." in found


def test_undo_in_the_list_redirects_to_the_list(page: TestClient) -> None:
    kept(page)
    found = page.post("/undo", data={"id": "1", "back": "corrections"})
    assert found.url.path == "/corrections"
    assert "Correction 1 undone." in found.text
    assert page.post("/undo", data={"id": "x"}).status_code == 422
    assert page.get("/corrections?before=-1").status_code == 422


def test_page_without_corrections_says_how_to_allow_them(news_slug: Path) -> None:
    page = client(make_state(news_slug))
    assert "This server doesn’t accept corrections." in page.get("/corrections").text
    assert "That’s wrong" not in page.post("/", data={"text": "wheat"}).text
    assert page.post("/wrong", data={"text": "wheat", "topic": "bank"}).status_code == 404


# Models -------------------------------------------------------------------------------------------


def test_model_tab_shows_card_and_topics(page: TestClient) -> None:
    found = words_of(page.get("/model").text)
    assert "3 topics" in found
    assert "right on test documents 75.0 %" in found
    assert "Learner" in found
    assert "# " not in found


def test_links_and_forms_keep_the_selected_model(news_slug: Path, tmp_path: Path) -> None:
    other = tmp_path / "other one.slug"
    other.write_bytes(news_slug.read_bytes())
    page = client(make_state(news_slug, other))
    found = page.get("/?model=other+one")
    assert found.headers["x-model"] == "other one"
    assert 'action="/?model=other+one"' in found.text
    assert 'href="/model?model=other+one"' in found.text
    assert page.get("/?model=none").status_code == 404
    assert "there is no model" in page.get("/?model=none").text.lower()


def test_samples_for_returns_none_for_other_than_shipped_models(news_slug: Path) -> None:
    from slugline.serving.page.classify import samples_for

    own = make_state(news_slug)
    assert samples_for(own.service.models.default) == ()
    state = make_state()
    page = client(state)
    samples = samples_for(state.service.models.default)
    answers = [page.post("/", data={"sample": str(n)}).text for n in range(len(samples))]
    topics = [re.search(r'<p class="topic[^"]*">(?:<bdi>)?([\w-]+)', text) for text in answers]
    assert [t and t[1] for t in topics] == ["grain", "crude", "acq", "earn", "Unsure"]


# Tokens and docs ----------------------------------------------------------------------------------

TOKEN = "0123456789abcdef"


def test_login_asks_for_a_token_and_sets_a_cookie(news_slug: Path) -> None:
    page = client(make_state(news_slug, tokens=(TOKEN,)))
    asked = page.get("/", headers={"Accept": "text/html"})
    assert asked.url.path == "/login"
    assert page.get("/").status_code == 401  # a program
    wrong = page.post("/login", data={"token": "x" * 16})
    assert wrong.status_code == 403
    assert "This token is not valid." in wrong.text
    assert "set-cookie" not in wrong.headers

    found = page.post("/login", data={"token": TOKEN}, follow_redirects=False)
    assert found.status_code == 303
    cookie = found.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert TOKEN not in cookie
    assert 'action="/logout"' in page.get("/").text
    assert page.post("/logout").url.path == "/login"
    assert page.get("/").status_code == 401


def test_docs_page_lists_all_operations(page: TestClient) -> None:
    from slugline.serving.http.operations import OPERATIONS

    found = page.get("/docs").text
    for operation in OPERATIONS:
        assert f'<span class="method">{operation.method}</span> {operation.path}</h2>' in found
    assert "https://" not in found


def test_docs_page_has_commands_that_work(page: TestClient) -> None:
    import html
    import itertools
    import json
    import shlex

    shown = re.findall("<pre[^>]*>(.*?)</pre>", page.get("/docs").text, re.DOTALL)
    commands = [shlex.split(html.unescape(text).replace("\\\n", "")) for text in shown]
    sent = [(words, dict(itertools.pairwise(words))) for words in commands]
    for words, options in sent:
        method = options.get("-X", "POST" if "-d" in options else "GET")
        address = next(word for word in words if word.startswith("http://localhost/"))
        body = json.loads(options["-d"]) if "-d" in options else None
        found = page.request(method, address.removeprefix("http://localhost"), json=body)
        assert found.is_success, (words, found.text)
    assert len(commands) > 8


# What goes wrong ----------------------------------------------------------------------------------

READER = {"Accept": "text/html,*/*"}


@pytest.mark.parametrize(
    ("path", "headers", "status", "said"),
    [
        ("/nowhere", {}, 404, "/nowhere does not exist; see /docs."),
        ("/wrong", {}, 405, "/wrong does not answer GET; see /docs."),
        ("/", {"Host": "<b>.org"}, 421, "This server is not called &#39;&lt;b&gt;.org&#39;; use"),
    ],
)
def test_errors_are_pages_for_people_and_json_for_programs(
    page: TestClient, path: str, headers: dict[str, str], status: int, said: str
) -> None:
    found = page.get(path, headers=headers | READER)
    assert found.status_code == status
    assert said in found.text
    assert "<nav" not in found.text
    told = page.get(path, headers=headers)
    assert told.headers["content-type"] == "application/problem+json"


def test_error_page_of_a_crash_hides_the_cause(
    page: TestClient, state: WebState, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def state(self) -> dict[str, object]:
            raise RuntimeError("a secret")

    state.service.learner = Broken()  # type: ignore[assignment]
    found = page.get("/corrections")
    assert found.status_code == 500
    assert "Internal error; see " in found.text
    assert "a secret" not in found.text
    assert "a secret" in caplog.text


def test_correction_form_stays_open_if_the_store_fails(
    page: TestClient, state: WebState, tmp_path: Path
) -> None:
    (tmp_path / "corrections.db").rename(tmp_path / "elsewhere.db")
    found = page.post("/wrong", data={"text": "wheat", "topic": "bank"}, headers={"X-Part": "1"})
    assert found.status_code == 503
    assert "was moved, removed or replaced while it was in use" in found.text
    assert '<details id="wrong-form" open>' in found.text
    assert page.get("/corrections").status_code == 503


# Files --------------------------------------------------------------------------------------------


def test_static_files_are_cached_under_names_with_a_hash(page: TestClient) -> None:
    names = re.findall(r'"(/static/[^"]*)"', page.get("/").text)
    assert [name.rpartition(".")[2] for name in names] == ["css", "js"]
    for name in names:
        found = page.get(name)
        assert found.headers.get_list("cache-control") == ["public, max-age=31536000, immutable"]
    missing = page.get("/static/page-0.css")
    assert missing.status_code == 404
    assert missing.headers.get_list("cache-control") == ["no-store"]


def test_first_page_loads_under_100_kb(page: TestClient) -> None:
    html = page.get("/").text
    loaded = [page.get(name).text for name in re.findall(r'"(/static/[^"]*)"', html)]
    assert sum(len(text.encode()) for text in [html, *loaded]) < 100_000
