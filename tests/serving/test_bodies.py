"""Bodies of requests: what is decoded, and where."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from server import client, make_state
from slugline.serving.background import BackgroundThreads
from slugline.serving.web.bodies import parse_form, parse_large_json
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.state import WebState

_decoder = msgspec.json.Decoder(dict[str, Any])
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def state(news_slug: Path, tmp_path: Path) -> Iterator[WebState]:
    """Return the state of a server that takes corrections."""
    state = make_state(news_slug, corrections=tmp_path / "corrections.db")
    yield state
    state.service.close()


@pytest.fixture
def page(state: WebState) -> TestClient:
    """Return a client of that server."""
    return client(state)


def parse(body: bytes, most_values: int = 100) -> Any:
    return parse_large_json(body, _decoder, most_values, 1000)


# JSON ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(["a, b: [c] {d}"] * 97, id="texts with marks of JSON"),
        pytest.param('\\"' * 900, id="escapes"),
        pytest.param("\\" * 901, id="backslashes"),
        pytest.param("é\ud800" * 900, id="surrogates"),
        pytest.param([{"a": 1}] * 32, id="objects"),
        pytest.param([-1.5e7, True, None], id="scalars"),
        pytest.param("x" * 100_000, id="a long text"),
    ],
)
def test_parse_large_json_counts_values_outside_texts(value: Any) -> None:
    for indent in (None, 7):
        body = json.dumps({"a": value}, indent=indent).encode()
        assert parse(body) == {"a": value}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"a": [' + b'"",' * 200 + b'""]}', id="texts"),
        pytest.param(b'{"a": [' + b"{}," * 200 + b"{}]}", id="objects"),
        pytest.param(b'{"a": ' + b"[" * 300, id="nested"),
        pytest.param(b'{"a": [' + b"1 ," * 200 + b"1]}", id="numbers"),
        pytest.param(b'"' * 500, id="quotes"),
    ],
)
def test_parse_large_json_refuses_too_many_values(body: bytes) -> None:
    with pytest.raises(HttpProblem, match="more than 100 values") as problem:
        parse(body)
    assert problem.value.status == 413


def test_parse_large_json_rejects_invalid_json() -> None:
    for body in (b"", b'{"a": "', b'{"a": "\\', b'{"a": "\\"', b"\\" * 100):
        with pytest.raises(HttpProblem, match="not JSON"):
            parse(body)


# Forms --------------------------------------------------------------------------------------------


def test_parse_form_rejects_broken_escapes() -> None:
    assert parse_form(b"a=%C3%A9+%0D%0A&b=", 2) == [("a", "é \n"), ("b", "")]
    for body in (b"a=%", b"a=%4", b"a=%%41", b"a=%zz", b"a=\xe9", b"a=1&b=2&c=3"):
        with pytest.raises(HttpProblem, match="form can't be read"):
            parse_form(body, 2)


@pytest.mark.parametrize(
    ("path", "n_bytes", "status"),
    [
        ("/login", 4_000, 403),
        ("/login", 5_000, 413),
        ("/", 1_200_000, 422),
        ("/", 1_300_000, 413),
        ("/undo", 1_300_000, 413),
        ("/wrong", 2_400_000, 413),
    ],
)
def test_read_form_limits_bytes_by_the_kind_of_form(
    page: TestClient, path: str, n_bytes: int, status: int
) -> None:
    name = b"token=" if path == "/login" else b"text="
    answer = page.post(path, content=name + b"x" * (n_bytes - len(name)), headers=FORM)
    assert answer.status_code == status


def test_read_form_rejects_a_body_of_percent_signs(page: TestClient) -> None:
    answer = page.post("/", content=b"%" * 1_000_000, headers=FORM)
    assert answer.status_code == 400


def test_large_bodies_are_parsed_off_the_event_loop(state: WebState, page: TestClient) -> None:
    parsed: list[str] = []

    class Threads(BackgroundThreads):
        async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            parsed.append(function.__name__)
            return await super().run(function, *args, **kwargs)

    state.service.threads = Threads(1)
    text = "wheat " * 20_000
    assert page.post("/", content=b"text=" + text.encode(), headers=FORM).status_code == 422
    body = json.dumps({"texts": [text[:90_000]] * 2}).encode()
    assert page.post("/v1/classify", content=body, headers=JSON).status_code == 200
    assert parsed == ["parse_form", "parse_large_json"]
