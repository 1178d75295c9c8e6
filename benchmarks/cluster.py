"""Learning in passes on a cluster, held against one machine.

    python benchmarks/cluster.py [--parts equal passes large small kills resumed] [--folder TEXTS]

- equal: the same answers and bytes on all sets, any number of workers, in any order of the rows
- passes: time of the passes over 1,000,000 texts with workers, and on one machine
- large: memory and time of 10,000,000 texts on one machine, beside 1,000,000
- small: time of a whole fit of 100,000 texts with two workers by that of one machine
- kills: workers killed at random moments
- resumed: schedulers killed at random moments, and the job gone on with from its checkpoint

Answering many files is measured by `predicting.py`. Synthetic texts are written to --folder once;
without it, to a temporary one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cluster_equal
import cluster_faults
import cluster_speed
import sets

PARTS = ("equal", "passes", "large", "small", "kills", "resumed")


def main() -> None:
    """Measure the parts that are asked for, and print their tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--sets", nargs="+", choices=sets.NAMES, default=list(sets.NAMES))
    parser.add_argument("--whole", action="store_true", help="large sets everywhere as well")
    parser.add_argument("--folder", type=Path, help="where synthetic texts are")
    parser.add_argument(
        "--texts",
        type=int,
        default=1_000_000,
        help="of passes, over 20,000; and the fewer ones of large",
    )
    parser.add_argument("--large-texts", type=int, default=10_000_000)
    parser.add_argument("--small-texts", type=int, default=100_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="of passes")
    parser.add_argument("--topic-blocks", type=int, default=2, help="learned by passes")
    parser.add_argument(
        "--by-rows", action="store_true", help="equal and passes share no topics out"
    )
    parser.add_argument("--tolerance", type=float, default=0.1, help="of passes")
    parser.add_argument("--steps", type=int, default=1, help="Newton steps of large")
    parser.add_argument("--costs", type=Path, help="where passes writes costs, as JSON")
    parser.add_argument("--small-rounds", type=int, default=1)
    parser.add_argument("--kills-set", choices=sets.NAMES, default="stackoverflow")
    parser.add_argument("--kill-rounds", type=int, default=20)
    parser.add_argument("--resume-rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measure(given, given.folder or Path(temporary))


def measure(given: argparse.Namespace, folder: Path) -> None:
    """Measure, and print each table as soon as it is there."""
    speed, faults = cluster_speed, cluster_faults
    parts: dict[str, Callable[[], str]] = {
        "equal": lambda: cluster_equal.equal(given.sets, whole=given.whole, by_rows=given.by_rows),
        "passes": lambda: speed.passes(
            folder,
            given.texts,
            workers=given.workers,
            n_topic_blocks=given.topic_blocks,
            by_rows=given.by_rows,
            tolerance=given.tolerance,
            costs=given.costs,
        ),
        "large": lambda: speed.large(folder, given.large_texts, given.texts, n_steps=given.steps),
        "small": lambda: speed.small(folder, given.small_texts, given.small_rounds),
        "kills": lambda: faults.kills(given.kills_set, given.kill_rounds, given.seed),
        "resumed": lambda: faults.resumed(given.kills_set, given.resume_rounds, given.seed),
    }
    for part in given.parts:
        start = time.perf_counter()
        shown = parts[part]()
        print(f"\n### {part}, {time.perf_counter() - start:.0f} s\n\n{shown}\n", flush=True)


if __name__ == "__main__":
    main()
