"""The model card: what a person should know of a model, in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from slugline.model_file import BlockInfo, ModelInfo

__all__ = ["write_card"]


def write_card(info: ModelInfo) -> str:
    """Write the card of a model."""
    figures = [f"- {_words(name)}: {value:.4g}" for name, value in info.metrics.items()]
    sections = [
        "# Topic classifier",
        f"Made by Slugline {info.versions['slugline']} from {info.n_documents:,} documents with "
        f"seed {info.seed}. SHA-256 of the data: {info.data_digest}.",
        f"It knows {', '.join(map(_terms, info.blocks))}. Its weights are stored as "
        f"{info.precision}.",
        *([info.card_notes.strip()] if info.card_notes else []),
        "## Learner",
        "\n".join(_settings(info.learner)),
        "## Figures",
        "\n".join(figures) or "None were measured when it was saved.",
        "## Limits",
        "It knows the words and topics of its training data only, and always names one of\n"
        "them, however foreign the text.",
        f"## Its {len(info.topics)} topics",
        "\n".join(f"- {topic}" for topic in info.topics),
    ]
    return "\n\n".join(sections) + "\n"


def _terms(block: BlockInfo) -> str:
    if block.n_buckets is None:
        return f"{block.n_terms:,} {block.kind} ({block.weighting})"
    return f"all {block.kind} by {block.n_buckets:,} hash buckets ({block.weighting})"


def _settings(learner: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Give a line for each setting; those of a mixture's learners stand below it."""
    for name, value in learner.items():
        if name == "learners":
            for number, part in enumerate(value, start=1):
                yield f"{indent}- learner {number}:"
                yield from _settings(part, f"{indent}  ")
        elif value is not None:
            shown = f"{value:.4g}" if isinstance(value, float) else value
            yield f"{indent}- {_words(name)}: {shown}"


def _words(name: str) -> str:
    return name.replace("_", " ")
