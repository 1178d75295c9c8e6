"""Two lines of scikit-learn, four lines of it, and our two learners on six data sets."""

from __future__ import annotations

from processes import medians, run, table
from sets import NAMES

# The slow one, (b), does not run more often than it must: its accuracy is the same every time.
N_RUNS = {"a": 3, "b": 1, "network": 3, "linear": 3}
LABELS = {
    "a": "(a) TfidfVectorizer + LinearSVC",
    "b": "(b) words 1-2, char_wb 2-5, sublinear + LinearSVC",
    "network": "Slugline, network",
    "linear": "Slugline, linear",
}


def report() -> str:
    """Measure in turn, in fresh processes, and give a Markdown section."""
    runs: dict[tuple[str, str], list[dict[str, float]]] = {}
    for turn in range(max(N_RUNS.values())):
        for name in NAMES:
            for contender, n_runs in N_RUNS.items():
                if turn < n_runs:
                    one = run("classifier_one.py", contender, name)
                    runs.setdefault((contender, name), []).append(one)
    figures = {key: medians(of) for key, of in runs.items()}
    return "\n".join(
        [
            "## Classifiers on six data sets\n",
            "Everything on one thread and with default settings. Medians of three fresh processes, "
            "in turn; (b) ran once.\n",
            "### Accuracy on test documents\n",
            _table(figures, "accuracy", ".3f", "mean"),
            "\n### Macro-F1 on test documents\n",
            _table(figures, "macro_f1", ".3f", "mean"),
            "\n### Seconds to fit\n",
            _table(figures, "fit_seconds", ".2f", "sum"),
            "\n### Documents a second\n",
            _table(figures, "documents_per_second", ",.0f", None),
            "\n### Peak memory of the process, MB\n",
            _table(figures, "peak_mb", ",.0f", None),
            "",
        ]
    )


def _table(
    figures: dict[tuple[str, str], dict[str, float]], what: str, form: str, total: str | None
) -> str:
    rows = [["", *NAMES, *([total] if total else [])]]
    for contender, label in LABELS.items():
        values = [figures[contender, name][what] for name in NAMES]
        summary = [sum(values) / (len(values) if total == "mean" else 1)] if total else []
        rows.append([label, *(f"{value:{form}}" for value in [*values, *summary])])
    return table(rows)


if __name__ == "__main__":
    print(report())
