"""Time, memory, file and accuracy from 10,000 to 1,000,000 texts and from 10 to 5,000 topics."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from processes import TookTooLong, run, table
from synthetic import texts

LABELS = {
    "slugline": "Slugline, from a list",
    "file": "Slugline, `train` from a file",
    "a": "(a) TfidfVectorizer + LinearSVC",
    "sgd": "TfidfVectorizer + SGDClassifier",
    "fasttext": "fastText, 5 epochs",
}
#: A process that takes longer is ended, and shows as a dash.
MOST_SECONDS = 1800.0
N_TEST, SEED = 5000, 7
PICTURE = Path(__file__).with_name("scale.png")
HEAD = """\
## Scale

Synthetic texts of 8 to 39 words by Zipf's law, of which 15 % are one of 400 words of the topic's
own; tested on 5,000 others. Each in a fresh process with default settings, that is on one thread,
or by Slugline on one for each of the two cores; time and memory are those of fitting, with the
texts in memory except where `train` reads the file. A dash: over {minutes:.0f} minutes, or no
result.

![Seconds and memory by number of texts and of topics](scale.png)
"""


class Case(NamedTuple):
    """So many texts of so many topics; `each` is their number a topic, if it is fixed."""

    n_texts: int
    n_topics: int
    each: int | None = None

    def __str__(self) -> str:
        return f"{self.n_texts:,} texts, {self.n_topics:,} topics"


BY_TEXTS = (Case(10_000, 100), Case(100_000, 100), Case(1_000_000, 100))
BY_TOPICS = (Case(100_000, 10), Case(100_000, 100), Case(100_000, 1000))
MANY_TOPICS = (Case(16_000, 2000, 8), Case(40_000, 5000, 8))
CASES = tuple(dict.fromkeys((*BY_TEXTS, *BY_TOPICS, *MANY_TOPICS)))

Found = dict[tuple[Case, str], dict[str, float]]


def report(
    cases: Sequence[Case] = CASES,
    contenders: Sequence[str] = tuple(LABELS),
    most_seconds: float = MOST_SECONDS,
    picture: Path = PICTURE,
) -> str:
    """Measure, draw, and return a Markdown section."""
    found: Found = {}
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            train, test = _write(case, Path(folder))
            for contender in contenders:
                try:
                    found[case, contender] = run(
                        "scale_one.py",
                        *(contender, str(train), str(test)),
                        most_seconds=most_seconds,
                        OMP_NUM_THREADS="1",
                    )
                except (TookTooLong, SystemExit) as error:
                    print(f"{case}, {contender}: {error}", file=sys.stderr)
    _draw(found, picture)
    parts = [HEAD.format(minutes=most_seconds / 60)]
    for case in cases:
        parts += [f"### {case}\n", _table(found, case, contenders), ""]
    return "\n".join([*parts, _growth(found)])


def _write(case: Case, folder: Path) -> tuple[Path, Path]:
    """Write the texts to learn from and those to test on; return their paths."""
    paths = folder / "train.jsonl", folder / "test.jsonl"
    rows = texts(case.n_texts + N_TEST, case.n_topics, SEED, case.each)
    with paths[0].open("w") as train, paths[1].open("w") as test:
        for number, (text, topic) in enumerate(rows):
            line = json.dumps({"text": text, "topic": topic})
            print(line, file=train if number < case.n_texts else test)
    return paths


def _table(found: Found, case: Case, contenders: Sequence[str]) -> str:
    rows = [["", "seconds", "CPU seconds", "peak memory, MB", "file, MB", "accuracy"]]
    for contender in contenders:
        one = found.get((case, contender))
        cells = ["-"] * 5
        if one is not None:
            cells = [f"{one['seconds']:,.1f}", f"{one['cpu_seconds']:,.1f}"]
            cells += [f"{one['fit_mb']:,.0f}", f"{one['file_mb']:,.1f}", f"{one['accuracy']:.3f}"]
        rows.append([LABELS[contender], *cells])
    return table(rows)


def _growth(found: Found) -> str:
    """Return how much longer ten times as many texts take."""
    rows = [["ten times the texts", "times the seconds, from 10,000", "from 100,000"]]
    for contender, label in LABELS.items():
        seconds = [found.get((case, contender), {}).get("seconds") for case in BY_TEXTS]
        pairs = list(zip(seconds[1:], seconds, strict=False))
        cells = [f"{more / less:.1f}" if more and less else "-" for more, less in pairs]
        if any(seconds):
            rows.append([label, *cells])
    return f"### Growth\n\n{table(rows)}\n"


def _draw(found: Found, path: Path) -> None:
    """Draw seconds and memory by texts and by topics; one line a contender."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(2, 2, sharey="row")
    panels = (("CPU seconds", "cpu_seconds"), ("Peak memory, MB", "fit_mb"))
    for row, (label, what) in zip(axes, panels, strict=True):
        _draw_one(row[0], found, [(case, case.n_texts) for case in BY_TEXTS], what)
        _draw_one(row[1], found, [(case, case.n_topics) for case in BY_TOPICS], what)
        row[0].set_ylabel(label)
    axes[1, 0].set_xlabel("Texts, of 100 topics")
    axes[1, 1].set_xlabel("Topics of 100,000 texts")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _draw_one(ax, found: Found, cases: list[tuple[Case, int]], what: str) -> None:
    for contender, label in LABELS.items():
        known = [
            (x, found[case, contender][what]) for case, x in cases if (case, contender) in found
        ]
        if known:
            style = {"linewidth": 2.2, "zorder": 3} if contender == "slugline" else {}
            ax.plot(*zip(*known, strict=True), "o-", label=label.replace("`", ""), **style)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.grid(which="major", alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)


def _case(text: str) -> Case:
    """Return the case of a text such as 1000x10, or 16000x2000x8 for 8 texts a topic."""
    return Case(*map(int, text.split("x")))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = [*LABELS]
    parser.add_argument("--contenders", nargs="+", choices=names, default=names, metavar="WHO")
    parser.add_argument(
        "--cases",
        nargs="+",
        type=_case,
        default=CASES,
        metavar="TEXTSxTOPICS",
        help="such as 10000x100; 16000x2000x8 gives each topic 8 texts",
    )
    parser.add_argument("--most-seconds", type=float, default=MOST_SECONDS)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    chosen = parser.parse_args()
    print(report(chosen.cases, chosen.contenders, chosen.most_seconds, chosen.picture))


if __name__ == "__main__":
    main()
