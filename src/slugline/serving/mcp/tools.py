"""The tools: what an agent may do with models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from slugline.corpus.documents import Topic
from slugline.corrections.store import CorrectionStore
from slugline.errors import DataError
from slugline.serving.messages import (
    Classification,
    Correct,
    CorrectionReply,
    Explain,
    ExplanationReply,
    Options,
    explained,
    explanation,
    keep,
    results,
)
from slugline.serving.model import Limits, Models, ServedModel

__all__ = [
    "TOOLS",
    "Classify",
    "ListTopics",
    "Tool",
    "Toolbox",
    "TopicList",
    "input_schema",
    "output_schema",
]


# What agents ask, and what they are answered, beside what all front doors have --------------------


class Classify(Options, frozen=True, kw_only=True):
    """Texts to classify."""

    texts: Annotated[
        list[str], Meta(min_length=1, description="The texts, each of which gets an answer.")
    ]


class ListTopics(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The model whose topics are asked for."""

    model: Annotated[str | None, Meta(description="Name of a model; the first one by default.")] = (
        None
    )


class TopicList(msgspec.Struct, frozen=True, kw_only=True):
    """What a model can answer."""

    model: str
    version: str
    topics: list[Topic]
    n_documents: Annotated[int, Meta(description="How many documents the model learned from.")]
    min_precision: Annotated[
        float | None,
        Meta(description="How often answers are to be right, unless asked otherwise."),
    ]


# Schemas of tools, made of the types that questions are read with and answers are made of ---------


def output_schema(kind: type) -> dict[str, Any]:
    """Return the JSON Schema of what a tool answers.

    Clients want an object at the root, not a reference to one.
    """
    (root,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    own = parts.pop(root["$ref"].rpartition("/")[2])
    return {**own, "$defs": parts} if parts else own


def input_schema(kind: type, names: Sequence[str], limits: Limits) -> dict[str, Any]:
    """Return the JSON Schema of what a tool is asked.

    Parameters
    ----------
    kind : type
        A `Struct` with the field `model`, and with a `text` or `texts`, if any.
    names : sequence of str
        Names that `model` may be.
    limits : Limits
    """
    schema = output_schema(kind)
    fields = schema["properties"]
    fields["model"] |= {"enum": [*names, None]}
    for text in (fields.get("text"), fields.get("texts", {}).get("items")):
        if text:
            text["maxLength"] = limits.characters
    if "texts" in fields:
        fields["texts"]["maxItems"] = limits.texts
    return schema


# The tools: what an agent may do with models ------------------------------------------------------

# Texts that are classified at once.
_BATCH = 512


class Toolbox:
    """Models, and what may be done with them; to be used by several threads.

    Parameters
    ----------
    models : Models
        Those whose files have changed are read again before the next answer.
    limits : Limits
    store : CorrectionStore, optional
        Where corrections are kept; by default, none are taken.
    """

    def __init__(
        self, models: Models, limits: Limits, store: CorrectionStore | None = None
    ) -> None:
        self.models, self.limits, self.store = models, limits, store

    @property
    def tools(self) -> list[Tool]:
        """The tools that there are."""
        return [tool for tool in TOOLS if tool.only_reads or self.store is not None]

    def call(self, name: str, arguments: Mapping[str, Any]) -> msgspec.Struct:
        """Return what a tool answers.

        Raises
        ------
        KeyError : if there is no such tool.
        SluglineError : if it can't answer.
        """
        tool = {tool.name: tool for tool in self.tools}[name]
        asked = tool.read(arguments)
        self.models.refresh()
        return tool.function(self, asked)

    def classify(self, asked: Classify) -> Classification:
        """Answer texts."""
        self.limits.check(asked.texts, explain=asked.explain)
        model = self.model(asked.model)
        routes = [
            route
            for first in range(0, len(asked.texts), _BATCH)
            for route in model.route(asked.texts[first : first + _BATCH], asked.min_precision)
        ]
        found = results(routes, asked.top)
        if asked.explain:
            found = explained(model, asked.texts, found)
        return Classification(model=model.name, version=model.digest, results=found)

    def explain(self, asked: Explain) -> ExplanationReply:
        """Say which words speak for a topic."""
        self.limits.check([asked.text], explain=True)
        return explanation(self.model(asked.model), asked)

    def list_topics(self, asked: ListTopics) -> TopicList:
        """Name the topics of a model."""
        model = self.model(asked.model)
        return TopicList(
            model=model.name,
            version=model.digest,
            topics=model.fitted.topics.names,
            n_documents=model.file.info.n_documents,
            min_precision=model.router.precision,
        )

    def add_correction(self, asked: Correct) -> CorrectionReply:
        """Keep a correction; it is on disk when this is answered."""
        if self.store is None:
            raise DataError("no corrections are taken here; start with --allow-corrections FILE.")
        self.limits.check([asked.text])
        model = self.model(asked.model)
        [route] = model.route([asked.text])
        return keep(self.store, model, asked, route)

    def model(self, name: str | None) -> ServedModel:
        """Return a model by its name, the first one for None; DataError if there is none."""
        model = self.models.get(name)
        if model is None:
            raise DataError(self.models.unknown(name))
        return model


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One thing that an agent can do.

    Attributes
    ----------
    name, title, description : str
    question, reply : type
        What it is asked and what it answers, each a `Struct`.
    function : callable
        Takes a toolbox and a question, and returns the reply.
    only_reads : bool, default True
        Whether nothing is changed by it.
    """

    name: str
    title: str
    description: str
    question: type[msgspec.Struct]
    reply: type[msgspec.Struct]
    function: Callable[[Toolbox, Any], msgspec.Struct]
    only_reads: bool = True

    def read(self, arguments: Mapping[str, Any]) -> msgspec.Struct:
        """Return the question that arguments ask; DataError if they ask something else."""
        try:
            return msgspec.convert(arguments, self.question)
        except msgspec.ValidationError as error:
            fields = sorted(msgspec.structs.fields(self.question), key=lambda f: not f.required)
            names = ", ".join(field.encode_name for field in fields)
            raise DataError(f"{error}; {self.name} takes: {names}.") from None


TOOLS = (
    Tool(
        name="classify",
        title="Classify texts",
        description="Tells the topic of each text, with its probability and the next most likely "
        "topics. `topic` is null where the model is unsure; `reason` then says why: ask a person, "
        "or decide by `top`. Give many texts in one call rather than one at a time. With "
        "`explain`, each answer comes with the words for and against it.",
        question=Classify,
        reply=Classification,
        function=Toolbox.classify,
    ),
    Tool(
        name="explain",
        title="Explain an answer",
        description="Tells which words of a text speak for a topic, and which against it: by "
        "default for the topic that `classify` answers. With `against`, tells why it is one topic "
        "rather than the other. Shares over 0 speak for the topic, the largest most.",
        question=Explain,
        reply=ExplanationReply,
        function=Toolbox.explain,
    ),
    Tool(
        name="list_topics",
        title="List the topics",
        description="Names all topics that a model can answer.",
        question=ListTopics,
        reply=TopicList,
        function=Toolbox.list_topics,
    ),
    Tool(
        name="add_correction",
        title="Keep a correction",
        description="Keeps the right topic of a text that the model got wrong, for the next time "
        "that it is trained; its answers don't change until then. Use it only if a person has "
        "said, or you know for certain, what the right topic is. A topic that the model doesn't "
        "have is kept as a new one (`is_new`), so check its spelling with `list_topics`. `who` is "
        "the name of who says so.",
        question=Correct,
        reply=CorrectionReply,
        function=Toolbox.add_correction,
        only_reads=False,
    ),
)
