"""The MCP server on standard input and output, run by the SDK, and its tools.

Each tool converts its arguments to a call of the service and returns the reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import anyio
import mcp_types as types
import msgspec
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from msgspec import Meta

from slugline._version import __version__
from slugline.base.checks import replace_surrogates
from slugline.base.wording import join_words
from slugline.errors import SluglineError
from slugline.labels.store import LabelStore
from slugline.serving.metrics import Metrics
from slugline.serving.replies import Classification, CorrectionReply, ExplanationReply, TopicList
from slugline.serving.request_checks import to_request
from slugline.serving.requests import (
    ClassifyOptions,
    CorrectionRequest,
    ExplainRequest,
    Limits,
    ModelName,
    ServiceRequest,
)
from slugline.serving.serve_settings import ServeSettings
from slugline.serving.served_models import ServedModels
from slugline.serving.service import Call, Service

# Schemas ------------------------------------------------------------------------------------------


def output_schema(kind: type) -> dict[str, Any]:
    """Return the JSON Schema of a type, with an object at the root, as clients expect."""
    (root,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    root_schema = parts.pop(root["$ref"].rpartition("/")[2])
    return {**root_schema, "$defs": parts} if parts else root_schema


def input_schema(kind: type, model_names: Sequence[str], limits: Limits) -> dict[str, Any]:
    """Return the JSON Schema of a tool's arguments, with the names of the models and the limits.

    `kind` is a `Struct` with the field `model`, and perhaps `text` or `texts`.
    """
    schema = output_schema(kind)
    fields = schema["properties"]
    fields["model"] |= {"enum": [*model_names, None]}
    if "text" in fields:
        fields["text"]["maxLength"] = limits.characters
    if "texts" in fields:
        fields["texts"]["items"]["maxLength"] = limits.characters
        fields["texts"]["maxItems"] = limits.texts
    return schema


# Functions, described to agents by their docstrings -----------------------------------------------


class ClassifyArguments(ClassifyOptions, frozen=True, kw_only=True):
    """Texts to classify."""

    texts: Annotated[list[str], Meta(min_length=1, description="The texts; each gets an answer.")]


class ListTopicsArguments(ServiceRequest, frozen=True, kw_only=True):
    """The model whose topics to list."""

    model: ModelName = None


async def classify(service: Service, request: ClassifyArguments, call: Call) -> Classification:
    """Classify texts by topic, with probabilities and alternatives.

    If the model is unsure, `topic` is null and `reason` explains why: ask a person, or choose from
    `top`. Multi-label models return `topics`, which may be empty; other topics in `top` are
    suggestions. Send many texts in one call rather than one at a time. With `explain`, each answer
    includes the words for and against it.
    """
    return await service.classify(request.texts, request, call)


async def explain(service: Service, request: ExplainRequest, call: Call) -> ExplanationReply:
    """Explain which words of a text count for and against a topic.

    By default, explains the topic that `classify` returns. With `against`, explains why `topic`
    scores higher than another topic. Words with a positive attribution count for the topic; the
    larger the attribution, the stronger the word.
    """
    return await service.explain(request, call)


async def list_topics(service: Service, request: ListTopicsArguments, call: Call) -> TopicList:
    """List a model's topics, and the columns it uses in addition to the text.

    Pass the values of these columns to `classify` and `explain` as `columns`.
    """
    return service.list_topics(request.model, call)


async def add_correction(
    service: Service, request: CorrectionRequest, call: Call
) -> CorrectionReply:
    """Store the correct topic of a text that the model got wrong.

    The model's answers don't change until it is retrained. Use this only if a person has named the
    correct topic, or you are certain of it. For multi-label models, send all correct topics as
    `topics` instead of `topic`. A topic unknown to the model is stored as a new one; if its name
    resembles a known topic, set `is_new`. `who` is the name of the person who corrects the answer.
    """
    return await service.correct(request, call)


# Tools -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tool:
    """A function described to agents by its docstring, argument type and reply type."""

    title: str
    function: Callable[[Service, Any, Call], Awaitable[msgspec.Struct]]
    only_reads: bool = True

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.function.__name__

    @property
    def description(self) -> str:
        """The docstring of the function, as one paragraph."""
        return " ".join(str(self.function.__doc__).split())

    @cached_property
    def arguments(self) -> type[msgspec.Struct]:
        """The type of the arguments."""
        return get_type_hints(self.function)["request"]

    async def call(self, service: Service, arguments: Mapping[str, Any]) -> msgspec.Struct:
        """Reload changed model files and return the result of the tool.

        Raises
        ------
        DataError : if an argument is unknown, missing or invalid.
        SluglineError : if the service raises it.
        """
        request = to_request(dict(arguments), self.arguments)
        await service.threads.run(service.models.refresh)
        return await self.function(service, request, Call(is_local=False))


TOOLS = (
    Tool("Classify texts", classify),
    Tool("Explain an answer", explain),
    Tool("List topics", list_topics),
    Tool("Store a correction", add_correction, only_reads=False),
)


# Server -------------------------------------------------------------------------------------------

_log = logging.getLogger("slugline.mcp")

# Escape of a surrogate in JSON, perhaps a lone one.
_SURROGATE = re.compile(r"\\ud[89a-f]", re.IGNORECASE)
# Maximum number of topics in the instructions; agents can list the others.
_MAX_TOPICS = 20


def run(names: list[str], corrections: Path | None, min_precision: float | None) -> None:
    """Answer requests on standard input until it ends, or until SIGTERM or Ctrl-C.

    Corrections are accepted only if a `corrections` file is given.

    Raises
    ------
    OptionError : if two models share a name, or one can't reach `min_precision`.
    ModelFileError, EncoderError : if a model can't be loaded.
    StoreError : if the file of corrections can't be opened.
    """
    models = ServedModels.load(names, min_precision)
    store = None if corrections is None else LabelStore(corrections)
    # The SDK waits for a line on a thread that an exception can't interrupt.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with contextlib.closing(Service(ServeSettings(), models, Metrics(), store)) as service:
        asyncio.run(_serve(make_server(service)))


def make_server(service: Service) -> Server[Any]:
    """Return the MCP server of a service."""
    tools = {tool.name: tool for tool in TOOLS if tool.only_reads or service.takes_corrections}
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
    """Answer messages on standard input until it ends or the client disconnects."""
    try:
        async with stdio_server(_StandardInput()) as (reader, writer):  # type: ignore[arg-type]
            await server.run(reader, writer, server.create_initialization_options())
    except* BrokenPipeError:
        _log.info("the client has disconnected")


class _StandardInput:
    """Lines of standard input without lone surrogates, which the SDK rejects without a reply."""

    async def __aiter__(self) -> AsyncIterator[str]:
        stream = TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="replace")
        async for line in anyio.wrap_file(stream):
            yield _replace_surrogates(line) if _SURROGATE.search(line) else line


def _replace_surrogates(line: str) -> str:
    try:
        return json.dumps(replace_surrogates(json.loads(line)))
    except (ValueError, RecursionError):  # the SDK reports the error
        return line


def _describe(tool: Tool, service: Service) -> types.Tool:
    names = [model.name for model in service.models.all()]
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=input_schema(tool.arguments, names, service.limits),
        output_schema=output_schema(get_type_hints(tool.function)["return"]),
        annotations=types.ToolAnnotations(
            read_only_hint=tool.only_reads,
            destructive_hint=False,
            idempotent_hint=tool.only_reads,
            open_world_hint=False,
        ),
    )


def _instructions(service: Service) -> str:
    lines = ["Slugline classifies short texts, such as news and tickets, by topic. Models:"]
    for model in service.models.all():
        names = [str(name) for name in model.fitted.topics.names]
        listed = join_words(names, _MAX_TOPICS, last=None)
        lines.append(f"- {model.name}, with {len(names)} topics: {listed}")
    return "\n".join(lines)


async def _call(tool: Tool, service: Service, arguments: Mapping[str, Any]) -> types.CallToolResult:
    """Return the result of a tool, or an error."""
    try:
        return await service.threads.run(_to_result, await tool.call(service, arguments))
    except SluglineError as error:
        return _error_result(f"{error}")
    except Exception:  # noqa: BLE001 - keep answering
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
