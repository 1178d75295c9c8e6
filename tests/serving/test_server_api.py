"""The API over a socket: a real server, asked as users do."""

from __future__ import annotations

import base64
import contextlib
import datetime
import json
import os
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import httpx
import pytest

import slugline
from server import client, is_refused, make_state, running
from slugline.labels.store import LabelStore
from slugline.model.decider import Decider
from slugline.serving.background import BackgroundThreads
from slugline.serving.replies import add_reasons
from slugline.serving.served_models import AnsweredTexts, ServedModel, ServedModels
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.state import FailedTries, WebState

pytestmark = pytest.mark.slow

WIRE = "Wheat exports rose as drought cut the harvest"
CAKE = "Mix flour, butter and eggs, and bake the cake for an hour"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def api(folder: Path, tickets: Path) -> Iterator[httpx.Client]:
    """Return a client of a server of two models that takes corrections."""
    store = folder / "corrections.db"
    with (
        running("reuters46", tickets, "--corrections", store, "--max-characters", 5000) as url,
        httpx.Client(base_url=url, timeout=120) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def tickets(folder: Path) -> Path:
    """Return a model of three topics, which are numbers."""
    texts = [f"{word} {n}" for n in range(12) for word in ("refund", "parcel", "password")]
    path = folder / "tickets.slug"
    slugline.TopicClassifier().fit(texts, [1, 2, 3] * 12).save(path)
    return path


def ask(api: httpx.Client, path: str, **body: Any) -> httpx.Response:
    return api.post(path, json=body)


def check_problem(answer: Any, status: int, detail: str) -> dict[str, Any]:
    """Check that an answer is an error of this kind; return what it says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = answer.json()
    assert said["status"] == status
    assert said["request_id"] == answer.headers["x-request-id"]
    assert detail in said["detail"]
    return said


# Answers ----------------------------------------------------------------------------------------


def test_api_classify_equals_the_library(api: httpx.Client) -> None:
    texts = [WIRE, CAKE, "", "日本語", "a\ud800b", "x" * 5000] * 30
    # Halves of characters travel as escapes.
    body = json.dumps({"texts": texts, "top": 2})
    answer = api.post("/v1/classify", content=body, headers=JSON)
    assert answer.status_code == 200
    said = answer.json()
    assert said["model"] == answer.headers["x-model"] == "reuters46"
    assert said["version"] == answer.headers["x-model-version"]
    routes = Decider.from_fitted(slugline.load("reuters46").fitted_).decide(texts)
    for result, route in zip(said["results"], routes, strict=True):
        assert result["topic"] == route.topic
        assert result["probability"] == pytest.approx(route.probability, abs=1e-6)
        assert result.get("reason") == (route.reason and str(route.reason))
        assert result.get("reason_kind") == (route.reason and route.reason.kind)
        assert [each["topic"] for each in result["top"]] == [name for name, _ in route.top[:2]]


def test_api_classify_takes_a_precision(api: httpx.Client) -> None:
    [unsure] = ask(api, "/v1/classify", text=CAKE).json()["results"]
    [given] = ask(api, "/v1/classify", text=CAKE, min_precision=0).json()["results"]
    assert unsure["topic"] is None
    assert unsure["reason"].startswith("probability 0.35 is under")
    assert unsure["reason_kind"] == "low_probability"
    assert given["topic"] == unsure["top"][0]["topic"]
    answer = ask(api, "/v1/classify", text=CAKE, min_precision=0.99999)
    check_problem(answer, 422, "`min_precision` is 0.99999, but no threshold reaches it")


def test_api_classify_explains_answers(api: httpx.Client) -> None:
    [result] = ask(api, "/v1/classify", text=WIRE, explain=True).json()["results"]
    word = max(result["reasons"], key=lambda each: each["attribution"])
    assert WIRE[word["start"] : word["end"]].lower() == word["word"] == "wheat"


@pytest.mark.parametrize("explain", [False, True])
def test_api_classify_keeps_the_order_of_a_long_reply(api: httpx.Client, explain: bool) -> None:
    texts, options = [f"{WIRE} {n}" for n in range(100)], {"top": 46, "explain": explain}
    results = ask(api, "/v1/classify", texts=texts, **options).json()["results"]
    assert len(results) == 100
    for text, result in [*zip(texts, results, strict=True)][::9]:
        assert ask(api, "/v1/classify", text=text, **options).json()["results"] == [result]


class ObservedThreads(BackgroundThreads):
    """Threads that tell which functions they run, and run some of them only once they may."""

    def __init__(self, held: Callable[..., Any] | None = None) -> None:
        super().__init__(2)
        self.calls: list[tuple[Callable[..., Any], Any]] = []
        self.held, self.has_begun, self.may_go_on = held, threading.Semaphore(0), threading.Event()

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.calls.append((function, args))

        def wait() -> Any:
            self.has_begun.release()
            assert self.may_go_on.wait(60)
            return function(*args, **kwargs)

        if function is self.held:
            return await super().run(wait)
        return await super().run(function, *args, **kwargs)


@pytest.mark.parametrize("explain", [False, True])
def test_classify_makes_a_long_reply_on_a_thread(explain: bool) -> None:
    state = make_state()
    threads = state.service.threads = ObservedThreads()
    with client(state) as api:
        asked = {"texts": [WIRE] * 100, "top": 46, "explain": explain}
        assert len(api.post("/v1/classify", json=asked).json()["results"]) == 100
    state.service.close()
    called = [function.__name__ for function, _ in threads.calls]
    assert called == ["to_results", *(["add_reasons"] if explain else []), "json_response"]


def test_classify_counts_guesses_until_the_reply_is_made() -> None:
    state = make_state(max_texts=10)
    threads = state.service.threads = ObservedThreads(held=add_reasons)
    asked = {"texts": [WIRE] * 10, "top": 5, "explain": True}  # half of what all may get
    with client(state) as api, ThreadPoolExecutor(2) as pool:
        replies = [pool.submit(api.post, "/v1/classify", json=asked) for _ in range(2)]
        try:
            assert all(threads.has_begun.acquire(timeout=60) for _ in replies)
            third = api.post("/v1/classify", json=asked)
            check_problem(third, 503, "too many pending requests; try again.")
        finally:
            threads.may_go_on.set()
        assert [reply.result().status_code for reply in replies] == [200, 200]
        assert api.post("/v1/classify", json=asked).status_code == 200
    state.service.close()


def test_api_explain_compares_two_topics(api: httpx.Client) -> None:
    said = ask(api, "/v1/explain", text=WIRE, topic="wheat", against="grain").json()
    assert (said["topic"], said["against"]) == ("wheat", "grain")
    shares = sum(each["attribution"] for each in said["reasons"])
    assert shares + said["bias"] == pytest.approx(said["score"], abs=1e-4)
    answer = ask(api, "/v1/explain", text=WIRE, topic="wheet")
    check_problem(answer, 422, "wheat")


def test_api_models_lists_and_describes_models(api: httpx.Client) -> None:
    models = api.get("/v1/models").json()["models"]
    assert [each["name"] for each in models] == ["reuters46", "tickets"]
    card = api.get("/v1/models/tickets").json()
    assert card["topics"] == [1, 2, 3]
    assert card["n_documents"] == 36
    assert card["card"].startswith("# ")
    check_problem(api.get("/v1/models/none"), 404, "there are: reuters46, tickets")


def test_api_classify_takes_a_model_by_name(api: httpx.Client) -> None:
    answer = ask(api, "/v1/classify", text="a refund", model="tickets")
    assert answer.json()["results"][0]["topic"] == 1
    assert answer.headers["x-model"] == "tickets"
    check_problem(ask(api, "/v1/classify", text="a", model="other"), 404, "no model 'other'")


def test_api_classify_answers_simultaneous_requests_separately(api: httpx.Client) -> None:
    texts = [f"{word} {n} wheat" for n in range(40) for word in ("oil", "gold", "cocoa")]
    alone = Decider.from_fitted(slugline.load("reuters46").fitted_).decide(texts)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda text: ask(api, "/v1/classify", text=text).json(), texts))
    for answer, route in zip(answers, alone, strict=True):
        assert answer["results"][0]["probability"] == pytest.approx(route.probability, abs=1e-6)
    batches = metrics(api)
    assert batches["slugline_batch_size_sum"] > batches["slugline_batch_size_count"]


# What is said of the server ---------------------------------------------------------------------


def metrics(api: httpx.Client) -> dict[str, float]:
    lines = api.get("/metrics").text.splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("#")}


def test_metrics_add_up(api: httpx.Client) -> None:
    before = metrics(api)
    ask(api, "/v1/classify", texts=[WIRE, CAKE])
    ask(api, "/v1/classify", texts=[])
    ask(api, "/v1/classify", text=WIRE, model="tickets")
    api.get("/v1/nothing")
    after = metrics(api)
    grown = {name: after[name] - before.get(name, 0) for name in after}

    def count(operation: str, model: str, status: int) -> float:
        labels = f'model="{model}",operation="{operation}",status="{status}"'
        return grown[f"slugline_requests_total{{{labels}}}"]

    assert count("classify", "reuters46", 200) == 1
    assert count("classify", "tickets", 200) == 1
    assert count("classify", "", 422) == 1
    assert count("page", "", 404) == 1
    assert count("metrics", "", 200) == 1
    assert after[f'slugline_build_info{{version="{slugline.__version__}"}}'] == 1
    assert grown["slugline_request_duration_seconds_count"] == 5
    assert grown["slugline_documents_total"] == 3
    assert 0 < grown["slugline_confidence_total"] <= 3
    assert grown["slugline_unsure_total"] >= 1
    assert grown['slugline_batch_size_bucket{le="2.0"}'] == 2
    assert grown['slugline_batch_size_bucket{le="1.0"}'] == 1
    assert after["slugline_queue_size"] == 0


def test_replies_have_security_headers(api: httpx.Client) -> None:
    for path in ("/health", "/nothing"):
        headers = api.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers


# Corrections ------------------------------------------------------------------------------------


def test_api_corrections_are_stored_listed_and_undone(api: httpx.Client, folder: Path) -> None:
    answer = ask(api, "/v1/corrections", text=CAKE, topic="recipe", who="me")
    assert answer.status_code == 201
    kept = answer.json()
    assert kept["is_new"]
    assert kept["answer"] == "acq"
    again = ask(api, "/v1/corrections", text=WIRE, topic="wheat").json()
    assert not again["is_new"]
    lines = [json.loads(line) for line in api.get("/v1/corrections").text.splitlines()]
    assert [line["topic"] for line in lines[-2:]] == ["recipe", "wheat"]
    assert lines[-2]["probability"] == kept["probability"] == round(kept["probability"], 6)
    assert lines[-2]["who"] == "me"
    later = api.get("/v1/corrections", params={"after": kept["id"]}).text.splitlines()
    assert [json.loads(line)["id"] for line in later] == [again["id"]]
    with LabelStore(folder / "corrections.db") as store:  # another process sees it, too
        assert [row.text for row in store.corrections(after=kept["id"])] == [WIRE]
    for number in (kept["id"], again["id"]):
        assert api.delete(f"/v1/corrections/{number}").status_code == 204
        check_problem(api.delete(f"/v1/corrections/{number}"), 404, "undone before")
    assert api.get("/v1/corrections", params={"after": kept["id"] - 1}).text == ""


def test_api_correction_asks_about_a_misspelt_topic(api: httpx.Client) -> None:
    typed = {"text": WIRE, "topic": "Whaet"}
    asked = ask(api, "/v1/corrections", **typed)
    check_problem(asked, 422, "there is no topic 'Whaet' in reuters46; did you mean 'wheat'?")
    assert "is_new" in asked.json()["detail"]
    assert api.get("/v1/corrections").text == ""
    stored = ask(api, "/v1/corrections", **typed, is_new=True)
    assert (stored.status_code, stored.json()["is_new"]) == (201, True)
    assert api.delete(f"/v1/corrections/{stored.json()['id']}").status_code == 204


def test_api_correction_keeps_integer_topics(api: httpx.Client) -> None:
    kept = ask(api, "/v1/corrections", text="a refund", topic="2", model="tickets").json()
    assert kept["topic"] == 2
    assert not kept["is_new"]
    answer = ask(api, "/v1/corrections", text="a refund", topic="refund", model="tickets")
    check_problem(answer, 422, "numbers")
    check_problem(
        ask(api, "/v1/corrections", text="a", topic=" "),
        422,
        "`topic` is ' '; give a string that is not blank.",
    )
    check_problem(ask(api, "/v1/corrections", text="a", topic="a\0b"), 422, "topic")
    check_problem(ask(api, "/v1/corrections", text="a", topic="a" * 2000), 422, "topic")
    check_problem(ask(api, "/v1/corrections", text=" ", topic="a"), 422, "`text` is empty")
    kept = ask(api, "/v1/corrections", text="a", topic="new\n topic").json()
    assert kept["topic"] == "new topic"
    half = json.dumps({"text": "a", "topic": "a\ud800"})
    check_problem(
        api.post("/v1/corrections", content=half, headers=JSON), 422, "an unpaired surrogate"
    )


def test_api_correction_gets_503_if_the_disk_fails(tmp_path: Path, tickets: Path) -> None:
    path = tmp_path / "corrections.db"
    state = make_state(tickets, corrections=path)
    with client(state) as api:
        assert api.post("/v1/corrections", json={"text": "a", "topic": 1}).status_code == 201
        for file in tmp_path.iterdir():
            file.unlink()
        tmp_path.rmdir()  # nothing can be written there any more
        answer = api.post("/v1/corrections", json={"text": "b", "topic": 1})
        check_problem(answer, 503, str(path))
        assert answer.headers["retry-after"] == "10"
    state.service.close()


def test_api_correction_gets_404_without_a_file(tickets: Path) -> None:
    answer = client(make_state(tickets)).post("/v1/corrections", json={"text": "a", "topic": 1})
    check_problem(answer, 404, "--corrections")


# Bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 400, "not JSON: syntax error at line 1, column 1."),
        (b"{", 400, "not JSON: syntax error at line 1, column 2"),
        (b'{"text": NaN}', 400, "NaN is not a valid JSON number"),
        (b'{"text": "\\ud800", "x": NaN}', 400, "NaN is not a valid JSON number"),
        (b'\xff\xfe{"text"', 400, "not JSON: byte 1 is not UTF-8; encode it as UTF-8."),
        (b"[" * 100_000, 400, "the body is nested too deeply"),
        (b'{"text":"\\ud800",' + b'"a":' + b"[" * 100_000, 400, "nested too deeply"),
        (b"[]", 422, "the request is a list; give an object."),
        (b"{}", 422, "give either `text` or `texts`"),
        (b'{"text": "a", "texts": ["b"]}', 422, "give either `text` or `texts`"),
        (b'{"texts": []}', 422, "`texts` has 0 items; give at least 1."),
        (b'{"texts": ["a", 3]}', 422, "`texts[1]` is 3; give a string."),
        (b'{"texts": ["a", null]}', 422, "`texts[1]` is null; give a string."),
        (b'{"text": "a", "tpo": 3}', 422, "there is no field 'tpo'; did you mean `top`?"),
        (b'{"text": "\\ud800", "tpo": 3}', 422, "there is no field 'tpo'; did you mean `top`?"),
        (b'{"text": "a", "top": 0}', 422, "`top` is 0; give a whole number of at least 1"),
        (
            b'{"text": "a", "min_precision": 1}',
            422,
            "`min_precision` is 1; give a number of at least 0 and under 1.",
        ),
        (b'{"text": "a", "explain": "yes"}', 422, "`explain` is 'yes'; give true or false."),
    ],
)
def test_api_classify_rejects_invalid_bodies(
    api: httpx.Client, body: bytes, status: int, detail: str
) -> None:
    check_problem(api.post("/v1/classify", content=body, headers=JSON), status, detail)


def test_api_classify_rejects_requests_over_the_limits(api: httpx.Client) -> None:
    assert "index" not in check_problem(ask(api, "/v1/classify", texts=["a"] * 10_001), 422, "")
    answer = ask(api, "/v1/classify", texts=["a", "b", "c" * 5001])
    assert check_problem(answer, 422, "text 2 has 5,001 characters")["index"] == 2
    assert len(ask(api, "/v1/classify", texts=["a"] * 10_000).json()["results"]) == 10_000


def test_api_rejects_a_large_body_with_and_without_a_length(api: httpx.Client) -> None:
    large = b" " * (17 << 20)
    answer = api.post("/v1/classify", content=large, headers=JSON)
    check_problem(answer, 413, "larger than 16,777,216 bytes")
    parts = (large[: 1 << 20] for _ in range(17))
    answer = api.post("/v1/classify", content=parts, headers=JSON)
    check_problem(answer, 413, "larger than 16,777,216 bytes")


def test_api_rejects_other_content_types_and_encodings(api: httpx.Client) -> None:
    body = json.dumps({"text": "a"})
    answer = api.post("/v1/classify", content=body, headers={"Content-Type": "text/plain"})
    check_problem(answer, 415, "'text/plain'")
    answer = api.post("/v1/classify", content=body, headers=JSON | {"Content-Encoding": "gzip"})
    check_problem(answer, 415, "'gzip'-encoded")


def test_api_reports_unknown_paths_methods_and_ids(api: httpx.Client) -> None:
    check_problem(api.get("/v1/nothing"), 404, "/v1/nothing does not exist")
    answer = api.get("/v1/classify")
    check_problem(answer, 405, "does not answer GET")
    assert answer.headers["allow"] == "POST"
    assert set(api.put("/v1/corrections").headers["allow"].split(", ")) == {"GET", "HEAD", "POST"}
    assert api.head("/v1/corrections").status_code == 200
    check_problem(
        api.post("/v1/classify/", json={"text": "a"}), 404, "/v1/classify/ does not exist"
    )
    check_problem(api.get("/v1/corrections", params={"after": "x"}), 422, "`after` is 'x'")
    check_problem(api.delete(f"/v1/corrections/{'9' * 5000}"), 422, "the id is '999")


def test_server_rejects_an_endless_head(api: httpx.Client) -> None:
    with socket.create_connection(("127.0.0.1", api.base_url.port or 0), timeout=120) as large:
        large.sendall(b"GET /health HTTP/1.1\r\nX: ")
        answer = b""
        for _ in range(200):
            try:
                large.sendall(b"x" * 10_000)
            except OSError:  # the rest is not wanted
                break
        with contextlib.suppress(ConnectionError):
            answer = large.recv(1000)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert api.get("/health", headers={"X": "x" * 30_000}).status_code == 200


# Who may ask ------------------------------------------------------------------------------------


def test_guard_rejects_pages_of_other_sites(api: httpx.Client) -> None:
    def get(**headers: str) -> httpx.Response:
        return api.get("/v1/models", headers={k.replace("_", "-"): v for k, v in headers.items()})

    check_problem(get(Host="rebound.example:8080"), 421, "not called 'rebound.example:8080'")
    for origin in ("http://elsewhere.example", "null", "http://[", ""):
        check_problem(get(Origin=origin), 403, "other sites")
    check_problem(get(Sec_Fetch_Site="cross-site"), 403, "other sites")
    for known in ("[::1]:80", "LOCALHOST", "10.1.2.3"):
        assert get(Host=known).status_code == 200
    assert get(Origin=str(api.base_url).rstrip("/")).status_code == 200
    # A link on another site's page, which a person follows.
    assert get(Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status_code == 200


def test_guard_asks_for_a_token_and_never_shows_it(tickets: Path) -> None:
    token, other = "0123456789abcdef-and-more", "another-token-0123456789"
    state = make_state(tickets, tokens=(token, other), allowed_hosts=("topics.test",))
    with client(state) as api:
        answer = api.post("/v1/classify", json={"text": "a"})
        check_problem(answer, 401, "a token is required")
        assert answer.headers["www-authenticate"] == "Bearer"
        wrong = {"Authorization": f"Bearer {token[:-1]}"}
        answer = api.post("/v1/classify", json={"text": "a"}, headers=wrong)
        said = check_problem(answer, 401, "this one is not valid")
        assert token[:-1] not in str(said)
        for right in (token, other):
            headers = {"Authorization": f"bearer {right}", "Host": "topics.test"}
            answer = api.post("/v1/classify", json={"text": "a"}, headers=headers)
            assert answer.status_code == 200
        passwords = (token, 200), ("wrong", 401), ("", 401)
        for password, status in passwords:
            encoded = base64.b64encode(f"anyone:{password}".encode()).decode()
            headers = {"Authorization": f"Basic {encoded}"}
            assert api.get("/metrics", headers=headers).status_code == status
        assert api.get("/metrics", headers={"Authorization": "Basic %%%"}).status_code == 401
        assert api.get("/ready").status_code == 200
        assert api.get("/metrics").status_code == 401
    state.service.close()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "contains no token"),
        ("# none\n", "contains no token"),
        ("short\n", "token 1 has 5 characters"),
        ("0123456789abcdef\nwith a space in it", "token 2 has"),
        ("0123456789abcdeé", "non-ASCII"),
        ("x" * 70_000, "too large"),
    ],
)
def test_token_file_with_invalid_tokens_is_rejected(
    run: Any, tmp_path: Path, content: str, said: str
) -> None:
    path = tmp_path / "tokens"
    path.write_text(content, encoding="utf-8")
    result = run("serve", "--token-file", path)
    assert result.code == 2
    assert said in " ".join(result.err.split())


# How it starts and ends -------------------------------------------------------------------------


def test_serve_on_other_interfaces_needs_a_token(run: Any) -> None:
    result = run("serve", "--host", "0.0.0.0")
    assert result.code == 2
    assert "add --token-file FILE, or --insecure" in " ".join(result.err.split())


def test_serve_names_a_port_in_use(run: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--port", port)
    assert result.code == 1
    said = " ".join(result.err.split())
    assert f"port {port} of 127.0.0.1 is in use; stop the other program" in said


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--insecure", "--host", "no.such.host.invalid"], 1, "host.invalid can't be resolved"),
        (["none.slug"], 1, "none.slug"),
        (["reuters46", "reuters46"], 2, "would both be called 'reuters46'"),
        (["--corrections", "no/folder/c.db"], 2, "no/folder"),
    ],
)
def test_serve_reports_what_can_not_be_served(
    run: Any, arguments: list[str], code: int, said: str
) -> None:
    result = run("serve", "--port", "0", *arguments)
    assert result.code == code
    assert said in " ".join(result.err.split())
    assert "Traceback" not in result.err


def test_serve_rejects_a_later_format_of_corrections(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "later.db"
    LabelStore(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    result = run("serve", "--port", "0", "--corrections", path)
    assert result.code == 1
    assert "later" in result.err


def metrics_of(url: str) -> dict[str, float]:
    with httpx.Client(base_url=url, timeout=120) as client:
        return metrics(client)


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(what: Any, seconds: float = 600) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_server_swaps_in_a_new_version_and_no_bad_one(tmp_path: Path, tickets: Path) -> None:
    path = tmp_path / "model.slug"
    path.write_bytes(tickets.read_bytes())
    with running(path) as url, httpx.Client(base_url=url, timeout=120) as client:
        before = client.get("/ready").json()["models"][0]["version"]
        part = tmp_path / "part"
        part.write_bytes(b"no model")
        part.replace(path)
        until(lambda: client.get("/ready").json()["problems"])
        said = client.get("/ready").json()
        assert "model.slug" in said["problems"]["model"]
        assert said["models"][0]["version"] == before
        assert ask(client, "/v1/classify", text="refund").json()["results"][0]["topic"] == 1
        slugline.load("reuters46").save(part)
        part.replace(path)
        until(lambda: client.get("/ready").json()["models"][0]["version"] != before)
        assert client.get("/ready").json()["problems"] == {}
        assert ask(client, "/v1/classify", text=WIRE).json()["results"][0]["topic"] == "grain"
        assert metrics(client)["slugline_model_swaps_total"] == 1
        part.write_bytes(b"no model")
        part.replace(path)
        until(lambda: client.get("/ready").json()["problems"])
        assert ask(client, "/v1/classify", text=WIRE).status_code == 200
        path.unlink()  # what has been read continues to answer
        until(lambda: "is gone" in client.get("/ready").json()["problems"].get("model", ""))
        assert ask(client, "/v1/classify", text=WIRE).status_code == 200


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux' /proc")
def test_workers_share_metrics_and_corrections(tmp_path: Path, tickets: Path) -> None:
    path = tmp_path / "model.slug"
    path.write_bytes(tickets.read_bytes())
    with running(path, "--workers", 2, "--corrections", tmp_path / "c.db") as url:
        for _ in range(20):  # each in a connection of its own
            answer = httpx.post(f"{url}/v1/classify", json={"text": "a"}, timeout=120)
            assert answer.status_code == 200
        with httpx.Client(base_url=url, timeout=120) as client:
            assert metrics(client)["slugline_documents_total"] == 20
            for number in range(8):
                wrong = {"text": "a", "topic": number}
                answer = httpx.post(f"{url}/v1/corrections", json=wrong, timeout=120)
                assert answer.status_code == 201
            # Whoever keeps them, all see them.
            assert len(client.get("/v1/corrections").text.splitlines()) == 8
        before = children(url.pid)
        os.kill(before[-1], signal.SIGKILL)  # the latest of them
        until(lambda: len(set(children(url.pid)) - set(before)) == 1)
        assert httpx.get(f"{url}/health", timeout=120).status_code == 200


def test_server_learns_from_corrections_and_serves_the_new_version(
    run: Any, tmp_path: Path
) -> None:
    data, path = tmp_path / "tickets.csv", tmp_path / "tickets.slug"
    words = {"pay": ["refund", "invoice"], "post": ["parcel", "courier"]}
    rows = [
        (f"my {word} no {n}", topic) for n in range(20) for topic in words for word in words[topic]
    ]
    data.write_text("text,topic\n" + "".join(f"{text},{topic}\n" for text, topic in rows))
    slugline.TopicClassifier().fit(*zip(*rows, strict=True)).save(path)
    learns = ("--learn-every", 5, "--learn-from", data)
    with (
        running(path, "--corrections", tmp_path / "c.db", *learns) as url,
        httpx.Client(base_url=url, timeout=120) as client,
    ):
        for n in range(5):
            ask(client, "/v1/corrections", text=f"the password no {n} is lost", topic="account")
        until(lambda: metrics(client)["slugline_model_swaps_total"] == 1)
        [result] = ask(client, "/v1/classify", text="a password, lost").json()["results"]
        assert result["top"][0]["topic"] == "account"
    assert run("rollback", path).code == 0
    assert "account" not in slugline.load(path).classes_


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["--learn-every", 5],
            "--learn-every requires --corrections FILE, the store of corrections",
        ),
        (
            ["--learn-every", 5, "--corrections", "c.db"],
            "and --learn-from DATA, the training data of the model.",
        ),
        (["--learn-from", "d.csv"], "--learn-from requires --learn-every N"),
        (["--port", "abc"], "'SLUGLINE_PORT'): 'abc' is not a whole number."),
        (
            ["--learn-every", 5, "--corrections", "c.db", "--learn-from", "d.csv"],
            "reuters46.slug is built in",
        ),
    ],
)
def test_serve_reports_missing_options_for_learning(
    run: Any, arguments: list[str], said: str
) -> None:
    result = run("serve", "--port", "0", *arguments)
    assert result.code == 2
    assert said in " ".join(result.err.split())


def test_server_finishes_running_requests_at_its_end() -> None:
    with running("--max-characters", 100_000, "--grace", 120) as url:
        body = {"texts": [f"{WIRE} {n} " * 20 for n in range(4000)]}
        with ThreadPoolExecutor(1) as pool:
            for _ in range(100):  # until one is running when that is looked at
                asked = pool.submit(httpx.post, f"{url}/v1/classify", json=body, timeout=120)
                while not asked.done() and metrics_of(url)["slugline_queue_size"] == 0:
                    time.sleep(0.02)
                if not asked.done():
                    break
            os.kill(url.pid, signal.SIGTERM)
            assert len(asked.result().json()["results"]) == 4000


def state_of(kind: type[ServedModel], **settings: Any) -> WebState:
    """Return a state whose model is of another kind."""
    state = make_state(**settings)
    [model] = state.service.models.all()
    state.service.models = ServedModels(
        [kind(**{f.name: getattr(model, f.name) for f in fields(model)})]
    )
    return state


def test_classify_answers_503_to_too_many_requests() -> None:
    goes_on = threading.Event()

    class Hanging(ServedModel):
        def answer(self, *arguments: Any, **options: Any) -> AnsweredTexts:
            assert goes_on.wait(60)
            return super().answer(*arguments, **options)

    state = state_of(Hanging, max_waiting=2, threads=1)
    with client(state) as asking, ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(asking.post, "/v1/classify", json={"text": WIRE}) for _ in range(2)]
        try:
            until(lambda: "\nslugline_queue_size 2.0\n" in state.service.metrics.text())
            refused = asking.post("/v1/classify", json={"text": WIRE})
        finally:
            goes_on.set()
        assert [each.result().status_code for each in asked] == [200, 200]
    check_problem(refused, 503, "try again")
    assert refused.headers["retry-after"] == "1"
    state.service.close()


def test_classify_answers_504_after_the_timeout() -> None:
    goes_on = threading.Event()

    class Hanging(ServedModel):
        def answer(self, *arguments: Any, **options: Any) -> AnsweredTexts:
            goes_on.wait(60)
            return super().answer(*arguments, **options)

    state = state_of(Hanging, timeout=0.2, threads=1)
    with client(state) as asking:
        answer = asking.post("/v1/classify", json={"text": WIRE})
        check_problem(answer, 504, "no answer within 0.2 seconds")
    goes_on.set()
    state.service.close()


def test_classify_reports_a_crash_by_its_request_id_alone(caplog: pytest.LogCaptureFixture) -> None:
    class Crashing(ServedModel):
        def answer(self, *arguments: Any, **options: Any) -> AnsweredTexts:
            raise ZeroDivisionError("a secret text")

    state = state_of(Crashing)
    with client(state) as asking:
        said = check_problem(asking.post("/v1/classify", json={"text": WIRE}), 500, "in the log")
    assert "secret" not in str(said)
    assert said["request_id"] in caplog.text
    assert "a secret text" in caplog.text
    state.service.close()


def test_json_log_has_time_zones_and_request_ids(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "slugline", "serve", "--port", "0", "--log-requests"]
    with subprocess.Popen(
        [*command, "--log-format", "json"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        address = json.loads(process.stderr.readline())["message"].split()[-1]
        answer = httpx.post(f"{address}v1/classify", json={"text": WIRE}, timeout=120)
        process.terminate()
        lines = [json.loads(line) for line in process.stderr]
    [line] = [line for line in lines if "request_id" in line]
    assert line["request_id"] == answer.headers["x-request-id"]
    assert "POST /v1/classify 200" in line["message"]
    assert datetime.datetime.fromisoformat(line["time"]).utcoffset() is not None


# How it ends, whatever hangs ---------------------------------------------------------------------


# Runs a server that never ends its look at the files of models.
HANGS = """
import sys, time
from slugline.cli import main
from slugline.serving.served_models import ServedModels

def hang(*arguments, **options):
    print("hangs", file=sys.stderr, flush=True)
    time.sleep(1000)

ServedModels.refresh = hang
main()
"""


def test_server_ends_in_time_though_a_thread_hangs() -> None:
    command = [sys.executable, "-c", HANGS, "serve", "--port", "0", "--grace", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert "hangs\n" in iter(process.stderr.readline, "")
        process.terminate()
        said = process.stderr.read()
        assert process.wait(120) is not None
    assert "in hang" in said  # what hangs is shown


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names")
def test_refresh_reports_a_pipe_instead_of_a_model_and_goes_on(
    tmp_path: Path, tickets: Path
) -> None:
    path, pipe = tmp_path / "model.slug", tmp_path / "pipe"
    path.write_bytes(tickets.read_bytes())
    models = ServedModels.load([str(path)])
    os.mkfifo(pipe)
    pipe.replace(path)
    assert models.refresh() == []
    assert "it is a device or pipe" in models.problems["model"]
    slugline.load("reuters46").save(tmp_path / "part")
    (tmp_path / "part").replace(path)
    assert models.refresh() == ["model"]
    assert models.problems == {}


def test_workers_accept_no_connections_while_they_end() -> None:
    with running("--workers", 2, "--timeout", 120, "--grace", 120) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=120) as slow:
            slow.sendall(
                b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                b"Content-Type: application/json\r\nContent-Length: 13\r\n\r\n"
            )
            assert slow.recv(100).startswith(b"HTTP/1.1 100 ")  # it is being answered
            os.kill(url.pid, signal.SIGTERM)
            until(lambda: is_refused(url))
            slow.sendall(b'{"text": "a"}')
            assert slow.recv(100).startswith(b"HTTP/1.1 200 ")


# Tokens, parameters and corrections ---------------------------------------------------------------


def test_api_names_unknown_and_known_parameters(api: httpx.Client) -> None:
    answer = api.get("/v1/corrections", params={"afer": 1})
    check_problem(answer, 422, "/v1/corrections: unknown query parameter 'afer'; choose from after")
    answer = api.get("/v1/models", params={"page": 1})
    check_problem(answer, 422, "/v1/models: unknown query parameter 'page'; it takes none")
    assert api.get("/health", params={"now": 1}).status_code == 200


def test_guard_limits_wrong_tokens_by_address(tickets: Path) -> None:
    token = "0123456789abcdef"
    state = make_state(tickets, tokens=(token,))

    def ask_from(address: str, token: str, number: int) -> int:
        headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": f"192.0.2.{number}"}
        with client(state, client=(address, 1)) as asking:
            answer = asking.get("/v1/models", headers=headers)
        if answer.status_code == 429:
            assert 0 < int(answer.headers["retry-after"]) <= 60
        return int(answer.status_code)

    # Headers that anybody can forge don't matter.
    statuses = [ask_from("127.0.0.1", "wrong", number) for number in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert ask_from("127.0.0.2", "wrong", 0) == 401
    # A right token is right, whoever else is behind the same address.
    assert ask_from("127.0.0.1", token, 0) == 200
    state.service.close()


def test_login_accepts_a_right_token_after_many_wrong_ones(tickets: Path) -> None:
    state = make_state(tickets, tokens=("0123456789abcdef",))
    with client(state, client=("127.0.0.1", 1)) as asking:

        def log_in(token: str, **headers: str) -> Any:
            data = {"token": token}
            return asking.post("/login", data=data, headers=headers, follow_redirects=False)

        assert [log_in("wrong").status_code for _ in range(11)] == [403] * 10 + [429]
        plain = log_in("0123456789abcdef")
        assert plain.status_code == 303
        assert "Secure" not in plain.headers["set-cookie"]
        secure = log_in("0123456789abcdef", **{"X-Forwarded-Proto": "https"})
        assert "Secure" in secure.headers["set-cookie"]
    state.service.close()


def test_failed_tries_are_forgotten_with_time_and_many_addresses() -> None:
    now = 0.0
    tries = FailedTries(max_tries=2, seconds=60, n_addresses=3, clock=lambda: now)
    for address in ("a", "a", "b", "c"):
        tries.add(address)
    with pytest.raises(HttpProblem, match="too many wrong tokens"):
        tries.add("a")
    tries.add("d")
    tries.add("a")
    tries.add("d")
    with pytest.raises(HttpProblem, match="too many wrong tokens"):
        tries.add("d")
    now = 60.5
    tries.add("d")


def test_damaged_file_of_corrections_gets_503_and_stops_the_start(
    tmp_path: Path, tickets: Path, run: Any
) -> None:
    path = tmp_path / "c.db"
    with LabelStore(path) as store:
        for number in range(500):
            store.add_correction(
                text=f"{number} " * 500,
                topic="1",
                answer="2",
                probability=0.5,
                model="tickets",
                digest="x",
            )
    state = make_state(tickets, corrections=path)
    with client(state) as asking:
        assert asking.get("/ready").json()["problems"] == {}
        whole = path.read_bytes()
        path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
        state.service.corrections.store._database._disconnect()  # as after any error
        answer = asking.post("/v1/corrections", json={"text": "refund", "topic": 2})
        check_problem(answer, 503, "is damaged")
        assert "is damaged" in asking.get("/ready").json()["problems"]["corrections"]
        path.write_bytes(whole)
        answer = asking.post("/v1/corrections", json={"text": "refund", "topic": 2})
        assert answer.status_code == 201
        assert asking.get("/ready").json()["problems"] == {}
        state.service.corrections.store.close()
    state.service.close()
    path.write_bytes(whole[:8192] + b"\xff" * (len(whole) - 8192))
    result = run("serve", "--port", "0", "--corrections", path)
    assert result.code == 1
    assert "is damaged" in " ".join(result.err.split())


def test_serve_reads_models_with_spaces_from_the_environment(
    tmp_path: Path, tickets: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [tmp_path / "my tickets.slug", tmp_path / "others.slug"]
    for model in models:
        model.write_bytes(tickets.read_bytes())
    served: list[list[str]] = []
    monkeypatch.setattr(
        "slugline.serving.server.serve.serve",
        lambda settings, names, log, tell: served.append(names),
    )
    for value in (str(models[0]), f"'{models[0]}' {models[1]}", f"{models[1]} {models[1]}"):
        monkeypatch.setenv("SLUGLINE_MODELS", value)
        assert run("serve").code == 0
    first, second = map(str, models)
    assert served == [[first], [first, second], [second, second]]
    monkeypatch.setenv("SLUGLINE_MODELS", f"'{models[0]}")
    assert run("serve").code == 2


def test_server_logs_nothing_about_clients_that_leave() -> None:
    body = json.dumps({"texts": [WIRE] * 2000, "top": 20}).encode()
    head = (
        b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    command = [sys.executable, "-m", "slugline", "serve", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        host, port = process.stderr.readline().split("//")[1].strip(" /\n").split(":")
        for number in range(12):  # at all stages of an answer
            with socket.create_connection((host, int(port)), timeout=120) as leaving:
                # Its end is a reset, as of a process that is killed.
                leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                leaving.sendall((head + body) * 2)
                time.sleep(0.02 * number)
        process.terminate()
        said = process.stderr.read()
    assert "Exception" not in said
