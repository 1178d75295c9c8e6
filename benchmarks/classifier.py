"""scikit-learn, fastText and Slugline on all data sets, and what the default gains or loses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from contenders import CONTENDERS, HAS_ENCODER, LABELS
from processes import medians, run, table
from sets import FIRST, NAMES, arguments

# The slow ones run only once: their accuracy is the same every time.
N_RUNS = {"a": 3, "default": 3, "cores": 3}
#: Measured on the sets of the first releases alone: they take long, or are far behind.
ON_FIRST = ("fasttext", "network", "tuned")
#: Sets with a split of their own, over which the targets are means.
JUDGED = tuple(name for name in NAMES if name != "bbc")
#: With fewer test documents, a calibration error is mostly chance.
N_FOR_CALIBRATION = 1000
# Sets with as many test documents.
WELL_TESTED = (
    *("reuters", "reuters-corrected", "banking77", "20ng"),
    *("ag_news", "ohsumed", "stackoverflow", "webkb"),
)
HEAD = """\
## Classifiers on {n_sets} data sets

All on one thread and with default settings, unless stated otherwise. By default, Slugline takes a
thread for each core; that is a column of its own. For (a) and the default,
medians of three fresh processes each, in turn; the others ran once. fastText gets lower-case text,
and a learning rate of 0.1 where 0.5 ends in NaN; "nan" below means that 0.1 did, too. A dash means
not measured.
"""
SECTIONS = (
    ("Macro-F1 on test documents", "macro_f1", ".3f", "mean"),
    ("Calibration error of the top answer, 15 bins of equal mass", "calibration", ".3f", "mean"),
    ("The same by chance, if probabilities were true", "calibration_by_chance", ".3f", "mean"),
    ("Seconds to fit", "fit_seconds", ".2f", "sum"),
    ("Documents a second", "documents_per_second", ",.0f", "median"),
    ("Milliseconds for one short text", "single_ms", ".2f", "median"),
    ("Peak memory of the process, MB", "peak_mb", ",.0f", "max"),
)

Metrics = dict[tuple[str, str], dict[str, float]]


def report(sets: Sequence[str] = NAMES, contenders: Iterable[str] = tuple(CONTENDERS)) -> str:
    """Measure in turn, in fresh processes, and return a Markdown section."""
    metrics = _measure(sets, list(contenders))
    parts = [HEAD.format(n_sets=len(sets)), "### Accuracy on test documents\n"]
    parts += [_accuracies(metrics, sets), ""]
    for title, what, form, total in SECTIONS:
        parts += [f"### {title}\n", _table(metrics, sets, what, form, total), ""]
    parts += ["### Compared with the targets\n", _targets(metrics, sets), ""]
    return "\n".join(parts)


def _measure(sets: Sequence[str], contenders: Sequence[str]) -> Metrics:
    runs: dict[tuple[str, str], list[dict[str, float]]] = {}
    for turn in range(max(N_RUNS.values())):
        for name in sets:
            for contender in contenders:
                skipped = contender in ON_FIRST and name not in FIRST
                if not skipped and turn < N_RUNS.get(contender, 1):
                    one = run("classifier_one.py", contender, name, OMP_NUM_THREADS="1")
                    runs.setdefault((contender, name), []).append(one)
    return {key: medians(of) for key, of in runs.items()}


def _of(metrics: Metrics, contender: str, sets: Iterable[str], what: str) -> list[float]:
    return [metrics.get((contender, name), {}).get(what, math.nan) for name in sets]


def _contenders(metrics: Metrics) -> list[str]:
    return [name for name in CONTENDERS if any(name == found for found, _ in metrics)]


def _accuracies(metrics: Metrics, sets: Sequence[str]) -> str:
    """Return a row for each set, with the best of (a) and (b) and what the default adds."""
    contenders = _contenders(metrics)
    values = {name: _of(metrics, name, sets, "accuracy") for name in contenders}
    rows = [["", *(LABELS[name] for name in contenders), "best of (a), (b)", "default over it"]]
    best, leads = _best(metrics, sets), _leads(metrics, sets)
    worst = min((lead for lead in leads if lead == lead), default=math.nan)
    for number, name in enumerate(sets):
        row = [_shown(values[contender][number], ".3f") for contender in contenders]
        lead = _shown(leads[number], "+.1f")
        mark = " (worst)" if leads[number] == worst else ""
        rows.append([name, *row, _shown(best[number], ".3f"), f"{lead}{mark}"])
    means = [_shown(_mean(values[contender]), ".3f") for contender in contenders]
    rows.append(["mean", *means, _shown(_mean(best), ".3f"), _shown(_mean(leads), "+.2f")])
    return table(rows)


def _best(metrics: Metrics, sets: Iterable[str]) -> list[float]:
    pairs = zip(*(_of(metrics, name, sets, "accuracy") for name in ("a", "b")), strict=True)
    return [max(pair, key=lambda value: (value == value, value)) for pair in pairs]


def _leads(metrics: Metrics, sets: Sequence[str], contender: str = "default") -> list[float]:
    """Return the points that a contender has over the better of (a) and (b) on each set."""
    ours = _of(metrics, contender, sets, "accuracy")
    return [100 * (own - other) for own, other in zip(ours, _best(metrics, sets), strict=True)]


def _table(metrics: Metrics, sets: Sequence[str], what: str, form: str, total: str) -> str:
    contenders = _contenders(metrics)
    columns = [_of(metrics, contender, sets, what) for contender in contenders]
    rows = [["", *(LABELS[contender] for contender in contenders)]]
    for name, values in zip(sets, zip(*columns, strict=True), strict=True):
        rows.append([name, *(_shown(value, form) for value in values)])
    rows.append([total, *(_shown(_TOTALS[total](column), form) for column in columns)])
    return table(rows)


def _mean(values: Sequence[float]) -> float:
    """Return the mean; NaN if one is missing, as means over other sets would mislead."""
    return sum(values) / len(values)


def _median(values: Sequence[float]) -> float:
    if any(value != value for value in values):
        return math.nan
    return sorted(values)[len(values) // 2]


_TOTALS = {
    "mean": _mean,
    "sum": sum,
    "median": _median,
    "max": lambda values: math.nan if any(v != v for v in values) else max(values),
}


def _shown(value: float, form: str) -> str:
    return "-" if value != value else f"{value:{form}}"


def _targets(metrics: Metrics, sets: Sequence[str]) -> str:
    """Return a table of the targets for the default, and what it achieves."""
    judged = [name for name in sets if name in JUDGED]
    tested = [name for name in sets if name in WELL_TESTED]

    def ratio(what: str, other: str, over: Sequence[str] = sets) -> list[float]:
        ours, theirs = _of(metrics, "default", over, what), _of(metrics, other, over, what)
        return [own / their for own, their in zip(ours, theirs, strict=True)]

    def total(contender: str) -> float:
        return sum(_of(metrics, contender, sets, "fit_seconds"))

    leads = _leads(metrics, judged)
    errors = _of(metrics, "default", judged, "calibration")
    by_chance = _of(metrics, "default", judged, "calibration_by_chance")
    worst_errors = _of(metrics, "default", tested, "calibration")
    speed, latency = ratio("documents_per_second", "a"), ratio("single_ms", "a")
    rows = [
        ["what", "target", "result"],
        ["mean accuracy over the better of (a), (b), points", "+0.5", f"{_mean(leads):+.2f}"],
        ["the same, worst set", "-0.7", f"{min(leads):+.2f}"],
        ["fit time, sum, relative to (a)", "1", f"{total('default') / total('a'):.2f}"],
        ["the same, a thread for each core", "", f"{total('cores') / total('a'):.2f}"],
        ["documents a second, relative to (a), worst set", "4", f"{min(speed):.2f}"],
        ["the same, median", "", f"{_median(speed):.2f}"],
        ["one short text, relative to (a), worst set", "0.33", f"{max(latency):.2f}"],
        ["the same, median", "", f"{_median(latency):.2f}"],
        ["calibration error, mean", "0.02", f"{_mean(errors):.3f}"],
        ["the same by chance, if probabilities were true", "", f"{_mean(by_chance):.3f}"],
        [
            f"the same, worst set of {N_FOR_CALIBRATION:,} test documents or more",
            "0.04",
            _shown(max(worst_errors, default=math.nan), ".3f"),
        ],
    ]
    if HAS_ENCODER:
        gain = _mean(_leads(metrics, judged, "encoder"))
        rows.append(["with the encoder, over the better of (a), (b)", "+1.8", f"{gain:+.2f}"])
    return table(rows)


def main() -> None:
    """Run from the command line."""
    chosen = arguments(__doc__, CONTENDERS).parse_args()
    print(report(chosen.sets, chosen.contenders))


if __name__ == "__main__":
    main()
