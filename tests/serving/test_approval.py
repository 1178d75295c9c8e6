"""Corrections that wait for approval: who may approve them, on the page and over HTTP."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from server import client, make_state
from slugline.errors import OptionError
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.tokens import read_tokens
from slugline.serving.web.state import WebState

ANNA, BEN, NOBODY = "0123456789abcdef-a", "0123456789abcdef-b", "0123456789abcdef-c"
TOKENS = (f"anna {ANNA}", f"ben {BEN}", NOBODY)


@pytest.fixture
def state(news_slug: Path, tmp_path: Path) -> Iterator[WebState]:
    """Return the state of a server with tokens, two of which have a name."""
    found = make_state(news_slug, corrections=tmp_path / "c.db", tokens=TOKENS)
    yield found
    found.service.close()


def api(state: WebState, token: str | None) -> TestClient:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return client(state, headers=headers)


def correct(state: WebState, token: str | None, n: int, **more: Any) -> list[int]:
    """Send corrections, and return their numbers."""
    asking = api(state, token)
    numbers = []
    for number in range(n):
        asked = {"text": f"a tulip {number}", "topic": "grain", **more}
        answer = asking.post("/v1/corrections", json=asked)
        assert answer.status_code == 201, answer.text
        numbers.append(answer.json()["id"])
    return numbers


def listed(state: WebState) -> list[dict[str, Any]]:
    return [json.loads(ln) for ln in api(state, ANNA).get("/v1/corrections").text.splitlines()]


def test_correction_is_by_the_name_of_the_token_or_the_typed_one(state: WebState) -> None:
    correct(state, ANNA, 1, who="ben")
    correct(state, NOBODY, 1, who="anna")
    rows = listed(state)
    assert [(row["who"], row["is_named"]) for row in rows] == [("anna", True), ("anna", False)]


def test_corrections_of_people_who_may_approve_count_at_once(state: WebState) -> None:
    correct(state, ANNA, 1)
    correct(state, NOBODY, 1)
    correct(state, BEN, 1)
    rows = [(row["who"], row["approver"], row["is_pending"]) for row in listed(state)]
    assert rows == [("anna", "anna", False), (None, None, True), ("ben", "ben", False)]


def test_only_approvers_may_approve_if_there_are_any(news_slug: Path, tmp_path: Path) -> None:
    state = make_state(news_slug, corrections=tmp_path / "c.db", tokens=TOKENS, approvers=("ben",))
    [number] = correct(state, ANNA, 1)
    correct(state, BEN, 1)
    assert [row["is_pending"] for row in listed(state)] == [True, False]
    path = f"/v1/corrections/{number}/approval"
    refused = api(state, ANNA).post(path)
    assert refused.status_code == 403
    assert refused.json()["detail"] == (
        "anna may not approve corrections; the server's --approver names who may."
    )
    assert "Your token may not approve them." in page_of(state, ANNA).get("/corrections").text
    assert api(state, BEN).post(path).status_code == 204
    assert not listed(state)[0]["is_pending"]
    state.service.close()


def test_approvers_need_a_token() -> None:
    ServeSettings(tokens=TOKENS, approvers=("anna",)).check()
    with pytest.raises(OptionError, match="--approver kim: no token has this name; add a line"):
        ServeSettings(tokens=TOKENS, approvers=("anna", "kim")).check()


def test_approval_needs_a_name(state: WebState) -> None:
    numbers = correct(state, NOBODY, 6)
    path = f"/v1/corrections/{numbers[0]}/approval"
    nameless = api(state, NOBODY).post(path)
    assert nameless.status_code == 403
    assert (
        "only people whose tokens have a name can approve corrections; this token"
        in nameless.json()["detail"]
    )
    assert api(state, None).post(path).status_code == 401
    assert [row["approved"] for row in listed(state)] == [None] * 6

    assert api(state, BEN).post(path).status_code == 204
    assert api(state, BEN).post(path).status_code == 204  # it is approved
    first = listed(state)[0]
    assert (first["approver"], first["is_pending"]) == ("ben", False)
    assert api(state, BEN).post("/v1/corrections/99/approval").status_code == 404
    assert api(state, BEN).post("/v1/corrections/x/approval").status_code == 422


@pytest.mark.parametrize(
    ("settings", "headers", "status"),
    [
        ({}, {}, 204),
        ({"host": "0.0.0.0"}, {}, 403),
        ({}, {"X-Forwarded-For": "192.0.2.1"}, 403),
        ({"tokens": (NOBODY,)}, {}, 403),
    ],
    ids=["this machine", "all machines", "behind a proxy", "a token without a name"],
)
def test_approval_without_a_name_works_on_the_own_machine_only(
    news_slug: Path, tmp_path: Path, settings: dict[str, Any], headers: dict[str, str], status: int
) -> None:
    state = make_state(news_slug, corrections=tmp_path / "c.db", **settings)
    token = NOBODY if "tokens" in settings else None
    [number] = correct(state, token, 1)
    answer = api(state, token).post(f"/v1/corrections/{number}/approval", headers=headers)
    assert answer.status_code == status
    state.service.close()


def page_of(state: WebState, token: str) -> TestClient:
    page = client(state, headers={"Accept": "text/html"})
    assert page.post("/login", data={"token": token}).status_code == 200
    return page


def test_page_lists_and_approves_pending_corrections(state: WebState) -> None:
    numbers = correct(state, NOBODY, 6)
    correct(state, ANNA, 1, topic="bank", text="a tulip 0")
    page = page_of(state, BEN)
    shown = page.get("/corrections").text
    assert "6 corrections wait for approval" in shown
    assert "Anna assigned &#39;bank&#39; to the same text" in shown
    assert re.search(r"Log out<span[^>]*> <bdi>ben</bdi>", shown)
    assert "as typed" not in shown
    assert shown.count(">Approve</button>") == 6
    done = page.post("/approve", data={"id": str(numbers[0])}).text
    assert "Correction 1 approved." in done
    assert "5 corrections wait for approval" in done
    assert "approved by <bdi>ben</bdi>" in done
    done = page.post("/approve", data={"id": [str(number) for number in numbers[1:4]]}).text
    assert "3 corrections approved. The next training includes them." in done
    done = page.post("/undo", data={"id": ["5", "6"], "back": "corrections"}).text
    assert "2 corrections undone." in done
    assert "wait for approval" not in done
    assert page.post("/approve", data={"back": "corrections"}).status_code == 422
    assert page.post("/approve", data={"id": ["x"]}).status_code == 422


def test_page_shows_which_version_learned_a_correction(state: WebState) -> None:
    correct(state, ANNA, 2)
    state.service.corrections.store.mark_learned([1], "0123abcd")
    shown = page_of(state, BEN).get("/corrections").text
    assert shown.count("learned by version <bdi>0123abcd</bdi>") == 1


def test_page_offers_no_approval_without_a_name(state: WebState) -> None:
    numbers = correct(state, NOBODY, 6)
    shown = page_of(state, NOBODY).get("/corrections").text
    assert ">Approve</button>" not in shown
    assert "Approve all" not in shown
    assert "To approve them, use a token with a name" in shown
    refused = page_of(state, NOBODY).post("/approve", data={"id": str(numbers[0])})
    assert refused.status_code == 403


def test_correction_form_asks_for_no_name_with_a_named_token(state: WebState) -> None:
    asked = page_of(state, ANNA).post("/", data={"text": "wheat"}).text
    assert "Saved under the name <bdi>anna</bdi>." in asked
    assert 'name="who"' not in asked
    assert 'name="who"' in page_of(state, NOBODY).post("/", data={"text": "wheat"}).text


# The token file -----------------------------------------------------------------------------------


def test_read_tokens_returns_names(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# ours\nanna   {ANNA}\n\n  {NOBODY}\n")
    settings = ServeSettings(tokens=read_tokens(path))
    assert settings.accepted_tokens == ((ANNA, "anna"), (NOBODY, None))
    assert ANNA not in repr(settings)


def test_read_tokens_accepts_names_in_any_script(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    # A byte-order mark, and a letter in two code points.
    path.write_text(f"\ufeffjo\u0308rg {ANNA}\n李雷 {NOBODY}\n", "utf-8")
    settings = ServeSettings(tokens=read_tokens(path))
    assert settings.accepted_tokens == ((ANNA, "jörg"), (NOBODY, "李雷"))


def test_read_tokens_rejects_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(f"jörg {ANNA}".encode("cp1252"))
    with pytest.raises(OptionError) as caught:
        read_tokens(path)
    assert str(caught.value) == f"--token-file {path} isn't UTF-8; save it as UTF-8."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"anna b {ANNA}", "token 1 has 18 characters, or its name has more than one word"),
        (f"{ANNA} short", "token 1 has 5 characters, or its name"),
        (f"anna {ANNA}\nben {ANNA}", "token 2 occurs twice; give each person their own"),
        (f"{'x' * 201} {ANNA}", "the name of token 1 has 201 characters; shorten it to 200"),
        (f"anna {ANNA}ö", "token 1 contains non-ASCII characters. Names may contain any letters"),
        (f"a\x07 {ANNA}", "token 1 has 18 characters, or its name has more than one word"),
    ],
)
def test_read_tokens_rejects_invalid_names_and_duplicates(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "tokens"
    path.write_text(content, "utf-8")
    with pytest.raises(OptionError) as caught:
        read_tokens(path)
    assert message in str(caught.value)
    assert ANNA not in str(caught.value)
