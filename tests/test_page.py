"""The page for people, as it is without a script."""

from __future__ import annotations

from pathlib import Path

from serving import client, make_state, running


def test_a_server_in_this_process_answers(news_slug: Path) -> None:
    assert client(make_state(news_slug)).get("/health").json() == {"status": "ok"}


def test_a_server_of_its_own_answers_and_ends(news_slug: Path) -> None:
    import httpx

    with running(news_slug) as address:
        assert httpx.get(f"{address}/ready").json()["models"][0]["name"] == "news"
