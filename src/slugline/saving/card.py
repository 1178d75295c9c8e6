"""The model card: what a person should know about a model, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from slugline.displays import counted
from slugline.saving.schema import BlockInfo, EncoderInfo, ModelInfo, RoutingInfo, StreamInfo

__all__ = ["describe_learner", "write_card"]


def write_card(info: ModelInfo) -> str:
    """Return the card of a model."""
    figures = [f"- {_words(name)}: {_figure(value)}" for name, value in info.metrics.items()]
    sections = [
        "# Topic classifier",
        f"Made by Slugline {info.versions['slugline']} from {_documents(info)} with "
        f"seed {info.seed}. SHA-256 of the data: {info.data_digest}.",
        f"It knows {', '.join(map(_terms, info.blocks))}.{_bits(info)}",
        *([] if info.stream is msgspec.UNSET else [_stream(info.stream)]),
        *([] if info.encoder is msgspec.UNSET else [_encoder(info.encoder)]),
        *([] if info.routing is msgspec.UNSET else [_routing(info.routing)]),
        *([info.card_notes.strip()] if info.card_notes else []),
        "## Learner",
        "\n".join(f"- {name}: {value}" for name, value in describe_learner(info.learner)),
        "## Figures",
        "\n".join(figures) or "None were measured when it was saved.",
        "## Limits",
        _limits(info),
        f"## Its {'topic' if len(info.topics) == 1 else counted(len(info.topics), 'topic')}",
        "\n".join(f"- {_described(info, topic)}" for topic in info.topics),
    ]
    return "\n\n".join(sections) + "\n"


def _described(info: ModelInfo, topic: str | int) -> str:
    description = (info.descriptions or {}).get(str(topic))
    return f"{topic}: {' '.join(description.split())}" if description else str(topic)


def _documents(info: ModelInfo) -> str:
    if not info.n_documents and info.descriptions:
        return "descriptions of its topics alone, without any document,"
    if not info.n_held_out:
        return counted(info.n_documents, "document")
    n_learned = info.n_documents - info.n_held_out
    return (
        f"{n_learned:,} of {info.n_documents:,} documents (its training was interrupted before it "
        f"learned from the other {info.n_held_out:,})"
    )


def _bits(info: ModelInfo) -> str:
    return "" if info.precision == "float32" else f" Its weights are rounded to {info.precision}."


def _stream(stream: StreamInfo) -> str:
    said = (
        f"It learned from a stream, in {stream.n_passes:,} passes over blocks of rows, and left no "
        "document out as wrong."
    )
    if not stream.n_judged:
        return said
    return (
        f"{said} Of {counted(stream.n_judged, 'document')} that were held out at first, "
        f"{stream.n_right:,} got their topic."
    )


def _encoder(encoder: EncoderInfo) -> str:
    share = f"{100 * encoder.share:.0f} %"
    return (
        f"It needs the sentence encoder {encoder.name}, from which {share} of the spread of its "
        f"scores comes. SHA-256 of the encoder: {encoder.digest}."
    )


def _routing(routing: RoutingInfo) -> str:
    return (
        f"Answers that it gives alone are to be right in {100 * routing.min_precision:g} of 100 "
        "cases; of other texts it says that it is unsure."
    )


def _limits(info: ModelInfo) -> str:
    if info.encoder is msgspec.UNSET:
        knows = "the words and topics of its training data"
    else:
        knows = f"the topics of its training data, and the languages of {info.encoder.name}"
    if info.routing is msgspec.UNSET:
        but = " only, and always names one of its\ntopics, however foreign the text."
    else:
        but = " only. Of a text about something else,\nit may be sure of a topic all the same."
    said = f"It knows {knows}{but}"
    if not info.n_documents and info.descriptions:
        said += " Its probabilities are not calibrated: they rank topics,\nand no more."
    return said


def _terms(block: BlockInfo) -> str:
    if block.n_terms or block.n_buckets is None:
        return f"{block.n_terms:,} {block.kind} ({block.weighting})"
    return f"all {block.kind} by {block.n_buckets:,} hash buckets ({block.weighting})"


def describe_learner(settings: Mapping[str, Any], of: str = "") -> Iterator[tuple[str, str]]:
    """Return the name and value of each setting of a learner, in words, and of those it is made of.

    Parameters
    ----------
    settings : mapping
        What `Learner.settings` returns.
    of : str
        A prefix for each name.
    """
    for name, value in settings.items():
        if name == "learners":
            for number, part in enumerate(value, start=1):
                yield from describe_learner(part, f"{of}{number}. ")
        elif value is not None:
            yield of + _words(name), _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.4f}"


def _words(name: str) -> str:
    return name.replace("_", " ")
