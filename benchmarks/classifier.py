"""Two lines of scikit-learn, four lines of it, fastText, and Slugline on six data sets."""

from __future__ import annotations

from processes import medians, run, table
from sets import NAMES

# The slow ones run only once: their accuracy is the same every time.
N_RUNS = {"a": 3, "b": 1, "fasttext": 1, "network": 1, "default": 3, "tuned": 1}
LABELS = {
    "a": "(a) TfidfVectorizer + LinearSVC",
    "b": "(b) words 1-2, char_wb 2-5, sublinear + LinearSVC",
    "fasttext": "fastText, 25 epochs, rate 0.5",
    "network": "Slugline, the lesson's net",
    "default": "**Slugline, default**",
    "tuned": "Slugline, tuned",
}
HEAD = """\
## Classifiers on six data sets

All on one thread and with default settings, unless stated otherwise. For (a) and the default,
medians of three fresh processes each, in turn; the others ran once. fastText gets lower-case text,
and a learning rate of 0.1 where 0.5 ends in NaN; "nan" below means that 0.1 did, too.
"""


def report() -> str:
    """Measure in turn, in fresh processes, and return a Markdown section."""
    runs: dict[tuple[str, str], list[dict[str, float]]] = {}
    for turn in range(max(N_RUNS.values())):
        for name in NAMES:
            for contender, n_runs in N_RUNS.items():
                if turn < n_runs:
                    one = run("classifier_one.py", contender, name, OMP_NUM_THREADS="1")
                    runs.setdefault((contender, name), []).append(one)
    metrics = {key: medians(of) for key, of in runs.items()}
    sections = [
        ("Accuracy on test documents", "accuracy", ".3f", "mean"),
        ("Macro-F1 on test documents", "macro_f1", ".3f", "mean"),
        ("Seconds to fit", "fit_seconds", ".2f", "sum"),
        ("Documents a second", "documents_per_second", ",.0f", None),
        ("Milliseconds for one short text", "single_ms", ".2f", None),
        ("Peak memory of the process, MB", "peak_mb", ",.0f", None),
    ]
    parts = [HEAD]
    for title, what, form, total in sections:
        parts += [f"### {title}\n", _table(metrics, what, form, total), ""]
    return "\n".join([*parts, "### Compared with the targets\n", _targets(metrics), ""])


def _table(
    metrics: dict[tuple[str, str], dict[str, float]], what: str, form: str, total: str | None
) -> str:
    rows = [["", *NAMES, *([total] if total else [])]]
    for contender, label in LABELS.items():
        values = [metrics[contender, name][what] for name in NAMES]
        summary = [sum(values) / (len(values) if total == "mean" else 1)] if total else []
        rows.append([label, *(f"{value:{form}}" for value in [*values, *summary])])
    return table(rows)


def _targets(metrics: dict[tuple[str, str], dict[str, float]]) -> str:
    """Return a table of the targets for the default, and what it achieves."""

    def of(contender: str, what: str) -> list[float]:
        return [metrics[contender, name][what] for name in NAMES]

    def ratios(what: str, contender: str, other: str) -> str:
        pairs = zip(of(contender, what), of(other, what), strict=True)
        return ", ".join(f"{ours / theirs:.2f}" for ours, theirs in pairs)

    better = [max(pair) for pair in zip(of("a", "accuracy"), of("b", "accuracy"), strict=True)]
    ours, tuned = of("default", "accuracy"), of("tuned", "accuracy")
    leads = [100 * (own - other) for own, other in zip(ours, better, strict=True)]
    f1 = of("default", "macro_f1")
    memory = [metrics[contender, "20ng"]["peak_mb"] for contender in ("default", "b")]
    rows = [
        ["what", "target", "result"],
        ["mean accuracy over the better of (a), (b)", "+0.5", f"{sum(leads) / len(leads):+.2f}"],
        ["the same, worst set", "-0.5", f"{min(leads):+.2f}"],
        ["accuracy, Reuters / corrected", "0.845 / 0.925", f"{ours[0]:.4f} / {ours[1]:.4f}"],
        ["macro-F1, Reuters / corrected", "0.70 / 0.80", f"{f1[0]:.4f} / {f1[1]:.4f}"],
        [
            "fit time, sum, relative to (a)",
            "1.5",
            f"{sum(of('default', 'fit_seconds')) / sum(of('a', 'fit_seconds')):.2f}",
        ],
        [
            "tuned over default, mean accuracy",
            "+0.5",
            f"{100 * (sum(tuned) - sum(ours)) / len(ours):+.2f}",
        ],
        [
            "documents a second, relative to (a)",
            "4",
            ratios("documents_per_second", "default", "a"),
        ],
        [
            "the same, relative to fastText",
            "1.5",
            ratios("documents_per_second", "default", "fasttext"),
        ],
        ["one short text, relative to (a)", "0.33", ratios("single_ms", "default", "a")],
        [
            "peak memory on 20ng, relative to (b)",
            "0.5",
            f"{memory[0] / memory[1]:.2f}",
        ],
    ]
    return table(rows)


if __name__ == "__main__":
    print(report())
