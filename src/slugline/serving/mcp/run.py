"""Runs the MCP server on standard input and output, whose messages are lines within limits."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import anyio
import mcp_types as types
import msgspec
from anyio.abc import TaskGroup
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage

from slugline._version import __version__
from slugline.base.checks import ESCAPED_SURROGATE, replace_surrogates
from slugline.base.wording import join_words
from slugline.corrections.store import CorrectionStore
from slugline.errors import SluglineError
from slugline.serving.mcp.tools import ModelTools, Tool, input_schema, output_schema
from slugline.serving.model import Models
from slugline.serving.settings import Limits

_log = logging.getLogger("slugline.mcp")

# Messages ---------------------------------------------------------------------------------------

#: Bytes of a message, as many as the body of a request over HTTP may have by default.
MAX_BYTES = 1 << 24
_CHUNK = 1 << 16
# Chunks that wait to be taken apart, so that whoever writes faster has to wait.
_MOST_WAITING = 4
# The number of a request, at one end of its line or the other; quotes in texts are escaped.
_NUMBER = re.compile(rb'(?<!\\)"id"\s*:\s*(\d{1,15}|"[\w.-]{1,100}")')
_END = 1024


class LineReader:
    """Lines of a file descriptor, read by a thread for which nobody has to wait at the end.

    `refuse` receives the id of a request whose line is too long, None if it is unknown.
    """

    def __init__(self, fd: int, refuse: Callable[[int | str | None], Awaitable[None]]) -> None:
        self._fd, self._refuse = fd, refuse
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = threading.Semaphore(_MOST_WAITING)
        threading.Thread(target=self._read, name="slugline-lines", daemon=True).start()

    def end(self) -> None:
        """Yield no more lines, as if the input had ended."""
        self._chunks.put_nowait(b"")

    async def __aiter__(self) -> AsyncIterator[str]:
        """Yield each line."""
        parts: list[bytes] = []
        n_bytes = 0
        while chunk := await self._next():
            *ended, tail = chunk.split(b"\n")
            for line in ended:
                n_bytes += len(line)
                if n_bytes <= MAX_BYTES:
                    yield _to_text(b"".join((*parts, line)))
                else:
                    text = b"".join((*parts, line[-_END:]))
                    number = _NUMBER.search(text[:_END]) or _NUMBER.search(text[-_END:])
                    await self._refuse(json.loads(number[1]) if number else None)
                parts, n_bytes = [], 0
            n_bytes += len(tail)
            # Of a line that is too long, both ends are kept.
            parts.append(tail)
            if n_bytes > MAX_BYTES:
                line = b"".join(parts)
                parts = [line[:_END], line[-_END:]]

    async def _next(self) -> bytes:
        chunk = await self._chunks.get()
        self._room.release()
        return chunk

    def _read(self) -> None:
        """Read until the end; runs on a thread."""
        chunk = b"\n"
        while chunk:
            self._room.acquire()
            try:
                chunk = os.read(self._fd, _CHUNK)
            except OSError:
                chunk = b""
            try:
                self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
            except RuntimeError:  # the loop has ended before
                return


def _to_text(line: bytes) -> str:
    """Return a line as a text without lone surrogates, which the protocol can't encode."""
    text = line.decode("utf-8", "replace")
    if ESCAPED_SURROGATE.search(line):
        try:
            return json.dumps(replace_surrogates(json.loads(text)))
        except (ValueError, RecursionError):
            pass  # whoever reads messages says so
    return text


# The server ---------------------------------------------------------------------------------------

# Threads that make answers.
_N_THREADS = 2
# Calls that are held at a time, each with a message of up to `MAX_BYTES`.
_MOST_CALLS = 64
# Seconds for answers to come after the input has ended.
_PATIENCE = 30.0
# Topics that are named to every agent; it can ask for the others.
_MOST_TOPICS = 20


def run(names: list[str], corrections: Path | None, min_precision: float | None) -> None:
    """Answer requests on standard input until it ends, or until SIGTERM or Ctrl-C.

    Without a file of `corrections`, no tool takes any.

    Raises
    ------
    OptionError : if two models have one name, or one can't promise `min_precision`.
    ModelFileError, EncoderError : if a model can't be read.
    StoreError : if the file of corrections can't be opened.
    """
    models = Models.load(names, min_precision)
    with contextlib.ExitStack() as stack:
        store = None if corrections is None else stack.enter_context(CorrectionStore(corrections))
        asyncio.run(_answer(make_server(ModelTools(models, Limits(), store))))


def make_server(tools: ModelTools) -> Server[Any]:
    """Return the MCP server of some tools."""
    described = [_describe(tool, tools) for tool in tools.tools]
    threads = anyio.CapacityLimiter(_N_THREADS)
    calls = anyio.CapacityLimiter(_MOST_CALLS)

    async def list_tools(context: object, params: object) -> types.ListToolsResult:  # noqa: ARG001
        return types.ListToolsResult(tools=described)

    async def call_tool(
        context: object,  # noqa: ARG001
        params: types.CallToolRequestParams,
    ) -> types.CallToolResult:
        names = [tool.name for tool in described]
        if params.name not in names:
            message = f"there is no tool {params.name[:100]!r}; there are: {', '.join(names)}."
            raise MCPError(types.INVALID_PARAMS, message)
        if not calls.available_tokens:
            return _error_result(
                f"{_MOST_CALLS} calls wait for answers already; ask again when they have them."
            )
        async with calls:
            return await anyio.to_thread.run_sync(_call, tools, params, limiter=threads)

    return Server(
        "slugline",
        version=__version__,
        title="Slugline",
        instructions=_instructions(tools),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _answer(server: Server[Any]) -> None:
    async def refuse(number: int | str | None) -> None:
        message = f"the message is larger than {MAX_BYTES:,} bytes; send fewer texts at a time."
        error = types.ErrorData(code=types.INVALID_REQUEST, message=message)
        reply = types.JSONRPCError(jsonrpc="2.0", id=number, error=error)
        await writer.send(SessionMessage(reply))

    lines = LineReader(sys.stdin.fileno(), refuse)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # on Windows
            loop.add_signal_handler(number, lines.end)
    try:
        # Lines are all that is asked of its input. What others print goes to standard error.
        async with stdio_server(cast(Any, lines)) as (reader, writer):
            options = server.create_initialization_options()
            async with anyio.create_task_group() as tasks:
                requests, answers = _connect(reader, writer, tasks)
                async with answers:
                    await server.run(requests, answers, options)
    except* BrokenPipeError:
        _log.info("the client has gone")


def _connect(reader: Any, writer: Any, tasks: TaskGroup) -> tuple[Any, Any]:
    """Return streams between client and server; the first ends once all requests have answers."""
    to_server, requests = anyio.create_memory_object_stream[Any](0)
    answers, from_server = anyio.create_memory_object_stream[Any](0)
    waiting: dict[int | str, anyio.Event] = {}

    async def pass_requests() -> None:
        async with to_server:
            async for item in reader:
                message = getattr(item, "message", None)  # or it is the error of a line
                if isinstance(message, types.JSONRPCRequest):
                    waiting[message.id] = anyio.Event()
                await to_server.send(item)
            with anyio.move_on_after(_PATIENCE):
                for is_answered in list(waiting.values()):
                    await is_answered.wait()

    async def pass_answers() -> None:
        async with from_server, writer:
            async for item in from_server:
                await writer.send(item)
                if is_answered := waiting.pop(getattr(item.message, "id", ""), None):
                    is_answered.set()

    tasks.start_soon(pass_requests)
    tasks.start_soon(pass_answers)
    return requests, answers


def _describe(tool: Tool, tools: ModelTools) -> types.Tool:
    names = [model.name for model in tools.models.all()]
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=input_schema(tool.arguments, names, tools.limits),
        output_schema=output_schema(tool.reply),
        annotations=types.ToolAnnotations(
            read_only_hint=tool.only_reads,
            destructive_hint=False,
            idempotent_hint=tool.only_reads,
            open_world_hint=False,
        ),
    )


def _instructions(tools: ModelTools) -> str:
    lines = ["Slugline tells the topics of short texts, such as news and tickets. Models:"]
    for model in tools.models.all():
        names = [str(name) for name in model.fitted.topics.names]
        listed = join_words(names, _MOST_TOPICS, last=None)
        lines.append(f"- {model.name}, with {len(names)} topics: {listed}")
    return "\n".join(lines)


def _call(tools: ModelTools, params: types.CallToolRequestParams) -> types.CallToolResult:
    """Return the result of a tool, or its error; runs on a thread."""
    try:
        reply = tools.call(params.name, params.arguments or {})
        text = msgspec.json.encode(reply).decode()
    except SluglineError as error:
        return _error_result(f"{error}")
    except Exception:  # noqa: BLE001 - it must go on answering
        _log.exception("%s failed", params.name)
        return _error_result("an error that is Slugline's own; its standard error says more.")
    # As a text, too, for clients that know no other answers.
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)],
        structured_content=msgspec.to_builtins(reply),
    )


def _error_result(why: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=why)], is_error=True)
