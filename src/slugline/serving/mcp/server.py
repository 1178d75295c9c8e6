"""The MCP server on standard input and output, run by the SDK."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import msgspec
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from slugline._version import __version__
from slugline.base.checks import replace_surrogates
from slugline.base.wording import join_words
from slugline.corrections.store import CorrectionStore
from slugline.errors import SluglineError
from slugline.serving.limits import Limits
from slugline.serving.mcp.tools import Tool, available_tools, input_schema, output_schema
from slugline.serving.metrics import Metrics
from slugline.serving.served_corrections import ServedCorrections
from slugline.serving.served_models import ServedModels
from slugline.serving.service import Service

_log = logging.getLogger("slugline.mcp")

# Escape of a surrogate in JSON, perhaps a lone one.
_SURROGATE = re.compile(r"\\ud[89a-f]", re.IGNORECASE)
# Topics that are named to every agent; it can ask for the others.
_MAX_TOPICS = 20


def run(names: list[str], corrections: Path | None, min_precision: float | None) -> None:
    """Answer requests on standard input until it ends, or until SIGTERM or Ctrl-C.

    Without a file of `corrections`, no tool takes any.

    Raises
    ------
    OptionError : if two models have one name, or one can't promise `min_precision`.
    ModelFileError, EncoderError : if a model can't be read.
    StoreError : if the file of corrections can't be opened.
    """
    models = ServedModels.load(names, min_precision)
    served = None if corrections is None else ServedCorrections(CorrectionStore(corrections))
    # The SDK waits for a line in a thread that an exception can't interrupt.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with contextlib.closing(Service(models, Limits(), Metrics(), served)) as service:
        asyncio.run(_serve(make_server(service)))


def make_server(service: Service) -> Server[Any]:
    """Return the MCP server of a service."""
    tools = {tool.name: tool for tool in available_tools(service)}
    descriptions = [_describe(tool, service) for tool in tools.values()]

    async def list_tools(context: object, params: object) -> types.ListToolsResult:  # noqa: ARG001
        return types.ListToolsResult(tools=descriptions)

    async def call_tool(
        context: object,  # noqa: ARG001
        params: types.CallToolRequestParams,
    ) -> types.CallToolResult:
        if params.name not in tools:
            message = f"there is no tool {params.name[:100]!r}; there are: {', '.join(tools)}."
            raise MCPError(types.INVALID_PARAMS, message)
        return await _call(tools[params.name], service, params.arguments or {})

    return Server(
        "slugline",
        version=__version__,
        title="Slugline",
        instructions=_instructions(service),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _serve(server: Server[Any]) -> None:
    """Answer messages on standard input until it ends, or the client is gone."""
    try:
        async with stdio_server(_StandardInput()) as (reader, writer):  # type: ignore[arg-type]
            await server.run(reader, writer, server.create_initialization_options())
    except* BrokenPipeError:
        _log.info("the client has gone")


class _StandardInput:
    """Lines of standard input without lone surrogates, which the SDK rejects without a reply."""

    async def __aiter__(self) -> AsyncIterator[str]:
        stream = TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="replace")
        async for line in anyio.wrap_file(stream):
            yield _replace_surrogates(line) if _SURROGATE.search(line) else line


def _replace_surrogates(line: str) -> str:
    try:
        return json.dumps(replace_surrogates(json.loads(line)))
    except (ValueError, RecursionError):  # the SDK reports it
        return line


def _describe(tool: Tool, service: Service) -> types.Tool:
    names = [model.name for model in service.models.all()]
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=input_schema(tool.arguments, names, service.limits),
        output_schema=output_schema(tool.reply),
        annotations=types.ToolAnnotations(
            read_only_hint=tool.only_reads,
            destructive_hint=False,
            idempotent_hint=tool.only_reads,
            open_world_hint=False,
        ),
    )


def _instructions(service: Service) -> str:
    lines = ["Slugline tells the topics of short texts, such as news and tickets. Models:"]
    for model in service.models.all():
        names = [str(name) for name in model.fitted.topics.names]
        listed = join_words(names, _MAX_TOPICS, last=None)
        lines.append(f"- {model.name}, with {len(names)} topics: {listed}")
    return "\n".join(lines)


async def _call(tool: Tool, service: Service, arguments: Mapping[str, Any]) -> types.CallToolResult:
    """Return the result of a tool, or its error."""
    try:
        return await service.threads.run(_to_result, await tool.call(service, arguments))
    except SluglineError as error:
        return _error_result(f"{error}")
    except Exception:  # noqa: BLE001 - it must go on answering
        _log.exception("%s failed", tool.name)
        return _error_result("internal error; see Slugline's stderr.")


def _to_result(reply: msgspec.Struct) -> types.CallToolResult:
    # Also as text, for clients without structured content.
    text = msgspec.json.encode(reply).decode()
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text)],
        structured_content=msgspec.to_builtins(reply),
    )


def _error_result(message: str) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=message)], is_error=True
    )
