"""What a pass over a block of rows costs for each entry and topic, by how many topics go together.

    python benchmarks/row_block.py [--texts 65536] [--widths 4 8 16 17 25 32 48 100]

Both products of a pass: rows by weights, and what rows add to sums, in memory that was used before
and in memory that is new to the process. One thread; medians of several rounds, in which all take
turns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import islice
from statistics import median

import numpy as np

import clusters
import synthetic
from processes import table
from slugline.learning.linear.sums import RowBlock
from slugline.stream.counting import TermStatistics, Weighting, count_terms, weight_block

_N_TOPICS, _N_ROUNDS = 100, 7
_WIDTHS = (4, 8, 16, 17, 25, 32, 48, 100)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=1 << 16)
    parser.add_argument("--widths", type=int, nargs="+", default=list(_WIDTHS))
    given = parser.parse_args()
    block = block_of(given.texts)
    print(f"{len(block.y):,} rows, {len(block.values):,} entries in {block.n_columns:,} columns\n")
    rows = [measured(block, width) for width in given.widths]
    head = ["topics together", "scores, ns", "sums, ns", "sums in new memory, ns"]
    print(table([head, *rows]))


def block_of(n_texts: int) -> RowBlock:
    """Return synthetic texts as a block."""
    families = clusters.families()
    texts, topics = zip(*islice(synthetic.texts(n_texts, _N_TOPICS, seed=0), n_texts), strict=True)
    counted, found = count_terms(texts, topics, families)
    terms = TermStatistics(families)
    terms.add(found)
    features = terms.features(n_texts, 1)
    widths = [columns.n_columns for columns in features.vocabularies_]
    numbers = {name: number for number, name in enumerate(found.topics)}
    return weight_block(
        counted, Weighting(families, terms.columns(), widths, features.idf_, numbers)
    )


def measured(block: RowBlock, width: int) -> list[str]:
    """Return a row of the table."""
    rng = np.random.default_rng(0)
    weights = rng.random((block.n_columns, width), dtype=np.float32)
    slopes = rng.random((len(block.y), width), dtype=np.float32)
    into = np.zeros_like(weights)
    ways = (
        lambda: block.scores(weights),
        lambda: block.sums(slopes, into),
        lambda: block.sums(slopes),
    )
    each = len(block.values) * width
    return [str(width), *(f"{seconds / each * 1e9:.3f}" for seconds in times(ways))]


def times(ways: Sequence[Callable[[], object]]) -> list[float]:
    """Return the median time of each."""
    found: list[list[float]] = [[] for _ in ways]
    for _ in range(_N_ROUNDS):
        for way, own in zip(ways, found, strict=True):
            start = time.perf_counter()
            way()
            own.append(time.perf_counter() - start)
    return [median(own) for own in found]


if __name__ == "__main__":
    main()
