"""How large the shipped model has to be, by cross-validation on its training wires only."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import StratifiedKFold

from processes import table
from sets import load
from slugline import TopicClassifier
from slugline import load as load_model
from slugline.model.file.container import pack
from slugline.model.file.content import from_model_file, to_model_file
from slugline.text.blocks import FAMILIES, Block, default_blocks

# What the tool that trains it takes, and what the others lack.
HEADLINES = tuple(FAMILIES[kind] for kind in ("words", "lead", "bigrams", "characters"))
RECIPES = {"the default": default_blocks("log-tf-idf"), "with headlines": HEADLINES}
SIZES = (None, 1_500_000, 500_000, 300_000, 150_000)
SHIPPED = ("with headlines", 500_000)


def report() -> str:
    """Cross-validate each recipe and size and return a Markdown section."""
    train, _ = load("reuters-corrected")
    rows = [["families of terms", "most bytes", "accuracy", "macro-F1", "bytes"]]
    for name, blocks in RECIPES.items():
        found = _metrics(train.texts, train.topics, blocks)
        for size, metrics in zip(SIZES, found, strict=True):
            mark = "**" if (name, size) == SHIPPED else ""
            shown = "any" if size is None else f"{size:,}"
            rows.append([f"{mark}{name}{mark}", f"{mark}{shown}{mark}", *metrics])
    metrics = load_model("reuters46").info_.metrics
    card = f"{metrics['test_accuracy']:.4f} and {metrics['test_macro_f1']:.4f}"
    return (
        "## The shipped model\n\n"
        "Five folds of the corrected training wires, int8 weights; the bytes are those of a model "
        "of four fifths of the wires. The shipped model is the one in bold; its card says "
        f"{card} on the test wires.\n\n{table(rows)}\n"
    )


def _metrics(texts: list[str], topics: list[str], blocks: Sequence[Block]) -> list[list[str]]:
    """Return accuracy, macro-F1 and bytes for each size."""
    true: list[str] = []
    predicted: list[list[str]] = [[] for _ in SIZES]
    n_bytes: list[list[int]] = [[] for _ in SIZES]
    for learn, held in StratifiedKFold(5, shuffle=True, random_state=0).split(texts, topics):
        classifier = TopicClassifier(blocks=blocks)
        classifier.fit([texts[i] for i in learn], [topics[i] for i in learn])
        true += [topics[i] for i in held]
        for number, size in enumerate(SIZES):
            file = to_model_file(classifier.fitted_, precision="int8", max_size=size)
            predicted[number] += from_model_file(file).predict([texts[i] for i in held]).tolist()
            n_bytes[number].append(len(pack(file)))
    return [
        [
            f"{accuracy_score(true, found):.4f}",
            f"{f1_score(true, found, average='macro'):.4f}",
            f"{statistics.median(sizes):,.0f}",
        ]
        for found, sizes in zip(predicted, n_bytes, strict=True)
    ]


if __name__ == "__main__":
    print(report())
