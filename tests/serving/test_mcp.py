"""Tools for agents, asked by the protocol's own client; and their process on standard input."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("mcp")

from mcp.client import Client
from mcp.shared.exceptions import MCPError

from server import make_state
from slugline.base.lazy import install_command
from slugline.classifier import TopicClassifier
from slugline.labels.store import LabelStore
from slugline.serving.mcp.server import make_server
from slugline.serving.replies import add_reasons, to_results
from slugline.serving.served_models import ServedModel
from slugline.serving.service import Service

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
NAMES = ["classify", "explain", "list_topics"]


def ask(talk: Callable[[Client], Awaitable[None]], service: Service) -> None:
    """Talk with the MCP server of a service through a client."""

    async def main() -> None:
        async with Client(make_server(service), read_timeout_seconds=300) as client:
            await talk(client)

    asyncio.run(main())


async def answer(client: Client, tool: str, **asked: Any) -> Any:
    """Return what a tool answers; the client has held it against the tool's schema."""
    found = await client.call_tool(tool, asked)
    assert not found.is_error, found.content
    (said,) = found.content
    assert json.loads(said.text) == found.structured_content  # type: ignore[union-attr]
    return found.structured_content


async def error(client: Client, tool: str, **asked: Any) -> str:
    """Return what a tool says of a question that it can't answer."""
    found = await client.call_tool(tool, asked)
    assert found.is_error
    assert found.structured_content is None
    (said,) = found.content
    return str(said.text)  # type: ignore[union-attr]


def plain(value: Any) -> Any:
    """Return what a struct becomes on its way."""
    return msgspec.to_builtins(value)


def test_mcp_tools_describe_their_arguments_and_that_they_only_read(news_slug: Path) -> None:
    async def talk(client: Client) -> None:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == NAMES
        for tool in tools:
            assert tool.title
            assert tool.description == " ".join(str(tool.description).split())
            assert len(str(tool.description)) > 100
            assert tool.annotations is not None
            assert tool.annotations.read_only_hint
            assert tool.input_schema["type"] == "object"
            assert tool.input_schema["additionalProperties"] is False
            assert tool.input_schema["properties"]["model"]["enum"] == ["news", None]
            assert tool.output_schema is not None
            assert {"model", "version"} <= set(tool.output_schema["required"])
        asked = tools[0].input_schema
        assert asked["required"] == ["texts"]
        assert asked["properties"]["texts"] == {
            "description": "The texts; each gets an answer.",
            "type": "array",
            "items": {"type": "string", "maxLength": 100_000},
            "minItems": 1,
            "maxItems": 10_000,
        }
        assert "- news, with 3 topics: bank, grain, sport" in str(client.instructions)

    ask(talk, make_state(news_slug).service)


def test_mcp_answers_equal_those_of_the_library(news_slug: Path) -> None:
    model = ServedModel.load(str(news_slug))
    texts = ["wheat and corn", "goal by the striker", "", "Wheat \N{GRINNING FACE} wheat"]

    async def talk(client: Client) -> None:
        said = await answer(client, "classify", texts=texts)
        expected = to_results(model.answer(texts).decisions, 3)
        assert said == {"model": "news", "version": model.digest, "results": plain(expected)}

        said = await answer(client, "classify", texts=texts, top=1, min_precision=0, explain=True)
        expected = add_reasons(model, texts, to_results(model.answer(texts, 0.0).decisions, 1))
        assert said["results"] == plain(expected)

        many = texts * 300  # over several batches
        said = await answer(client, "classify", texts=many, model="news")
        assert said["results"] == plain(to_results(model.answer(many).decisions, 3))

        said = await answer(client, "explain", text="wheat and corn")
        assert said["topic"] == "grain"
        shares = sum(word["attribution"] for word in said["reasons"])
        assert shares + said["bias"] == pytest.approx(said["score"], abs=1e-4)
        said = await answer(client, "explain", text="wheat", topic="bank", against="sport")
        assert (said["topic"], said["against"]) == ("bank", "sport")

        assert await answer(client, "list_topics") == {
            "model": "news",
            "version": model.digest,
            "topics": ["bank", "grain", "sport"],
            "n_documents": 90,
            "min_precision": None,
        }

    ask(talk, make_state(news_slug).service)


def test_mcp_tool_errors_give_the_reason(news_slug: Path) -> None:
    async def talk(client: Client) -> None:
        assert await error(client, "classify", texts=["a", "b" * 100_001]) == (
            "text 1 has 100,001 characters, and a text may have 100,000; shorten it."
        )
        assert await error(client, "classify", txets=["a"]) == (
            "there is no field 'txets'; did you mean `texts`?"
        )
        assert await error(client, "classify") == "`texts` is missing; give a list."
        assert await error(client, "classify", texts=[]) == (
            "`texts` has 0 items; give at least 1."
        )
        assert "'wind'" in await error(client, "explain", text="a", topic="wind")
        with pytest.raises(MCPError, match="there is no tool 'add_correction'; there are: classif"):
            await client.call_tool("add_correction", {"text": "a", "topic": "bank"})
        await answer(client, "classify", texts=["it goes on answering"])

    ask(talk, make_state(news_slug).service)


def test_mcp_add_correction_stores_corrections_where_allowed(
    news_slug: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "corrections.db"

    async def talk(client: Client) -> None:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == [*NAMES, "add_correction"]
        annotations = tools[-1].annotations
        assert annotations is not None
        assert (annotations.read_only_hint, annotations.destructive_hint) == (False, False)

        said = await answer(
            client, "add_correction", text="wheat and corn", topic="sport", who="Kim"
        )
        with LabelStore(kept, create=False) as store:
            (row,) = store.corrections()
        assert (row.text, row.topic, row.answer, row.who) == (
            *("wheat and corn", "sport", "grain", "Kim"),
        )
        assert (row.model, row.digest, row.at) == (said["model"], said["version"], said["at"])
        assert (said["id"], said["is_new"], said["answer"]) == (row.id, False, "grain")

        said = await answer(client, "add_correction", text="rain", topic=" weather ")
        assert (said["topic"], said["is_new"]) == ("weather", True)
        assert "`topic` is ' '" in await error(client, "add_correction", text="a", topic=" ")
        assert "give at most 1,000" in await error(
            client, "add_correction", text="a", topic="b" * 5000
        )
        kept.rename(tmp_path / "elsewhere.db")
        assert "was moved" in await error(client, "add_correction", text="a", topic="bank")

    service = make_state(news_slug, corrections=kept).service
    ask(talk, service)
    service.close()
    with LabelStore(tmp_path / "elsewhere.db", create=False) as store:
        assert store.count_corrections() == 2


def test_mcp_server_answers_for_several_models_and_reads_changed_files(
    news_slug: Path, tmp_path: Path
) -> None:
    numbers, other = tmp_path / "numbers.slug", tmp_path / "other.slug"
    TopicClassifier().fit(["wheat", "goal"] * 5, [1, 2] * 5).save(numbers)
    TopicClassifier().fit(["wheat", "goal"] * 5, [1, 7] * 5).save(other)

    async def talk(client: Client) -> None:
        tools = (await client.list_tools()).tools
        assert tools[0].input_schema["properties"]["model"]["enum"] == ["news", "numbers", None]
        assert (await answer(client, "list_topics"))["model"] == "news"
        assert (await answer(client, "list_topics", model="numbers"))["topics"] == [1, 2]
        both = [
            answer(client, "classify", texts=["goal"], model=name) for name in ("news", "numbers")
        ]
        found = await asyncio.gather(*both)
        assert [each["results"][0]["top"][0]["topic"] for each in found] == ["sport", 2]
        os.replace(other, numbers)  # noqa: PTH105
        assert (await answer(client, "list_topics", model="numbers"))["topics"] == [1, 7]

    ask(talk, make_state(news_slug, numbers).service)


# Without a client -------------------------------------------------------------------------------


FIRST = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


def started(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "slugline", "mcp", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe)


def asked(process: subprocess.Popen[bytes], message: object) -> Any:
    """Send a message, and return the reply."""
    assert process.stdin is not None
    assert process.stdout is not None
    line = message if isinstance(message, bytes) else json.dumps(message).encode()
    process.stdin.write(line + b"\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def call(number: int, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    params = {"name": tool, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_mcp_server_survives_broken_lines_and_ends_at_a_signal(
    news_slug: Path, number: signal.Signals
) -> None:
    with started(news_slug, "-q") as process:
        asked(process, FIRST)
        good = json.dumps(call(1, "list_topics", {})).encode()
        assert asked(process, b'not JSON\n\xff\n{"jsonrpc"\n\n' + good)["id"] == 1
        process.send_signal(number)
        out, err = process.communicate(timeout=600)
        assert (process.returncode, out, err) == (-number, b"", b"")


def test_mcp_server_answers_texts_with_lone_surrogates(news_slug: Path) -> None:
    with started(news_slug) as process:
        asked(process, FIRST)
        reply = asked(
            process, call(1, "classify", {"texts": ["a goal \ud83d", "\U0001f600 \\ud800"]})
        )
        assert not reply["result"]["isError"]
        process.communicate(timeout=600)


def test_mcp_server_ends_with_its_input_and_prints_nothing_else(news_slug: Path) -> None:
    with started(news_slug) as process:
        asked(process, FIRST)
        out, err = process.communicate(timeout=600)
        assert (process.returncode, out, err) == (0, b"", b"")


def test_mcp_command_reports_a_missing_model_in_one_line(run: Run) -> None:
    found = run("mcp", "nothing.slug")
    assert (found.code, found.out) == (1, "")
    assert found.err == ("slugline: error: nothing.slug: there is no such file; check the path.\n")


def test_mcp_command_without_the_sdk_names_the_extra(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [
        name for name in sys.modules if name.startswith(("mcp.", "slugline.serving.mcp."))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    found = run("mcp")
    assert (found.code, found.out) == (1, "")
    assert found.err == (
        "slugline: error: tools for agents need mcp, which is not installed; "
        f"run: {install_command('mcp')}\n"
    )
