"""Texts to multi-hot rows: scikit-learn's CountVectorizer and Slugline, on one and two threads."""

from __future__ import annotations

from processes import medians, run, table

N_RUNS = 5
WAYS = {
    "CountVectorizer(binary=True).transform": "sklearn",
    "Slugline, one thread": "1",
    "Slugline, two threads": "2",
}


def report() -> str:
    """Measure in turn, in fresh processes, and return a Markdown section."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    for _ in range(N_RUNS):
        for name, way in WAYS.items():
            runs[name].append(run("tokenise_one.py", way))
    metrics = {name: medians(of) for name, of in runs.items()}
    base = next(iter(metrics.values()))["seconds"]
    rows = [["", "time", "speed", "ratio"]]
    rows += [
        [
            name,
            f"{of['seconds']:.3f} s",
            f"{of['megabytes'] / of['seconds']:.0f} MB/s",
            f"{base / of['seconds']:.1f}x",
        ]
        for name, of in metrics.items()
    ]
    return (
        "## Tokenising the 11,228 newswires\n\n"
        "From strings to multi-hot CSR rows over 10,000 words. The best of five runs; medians over "
        f"{N_RUNS} fresh processes.\n\n{table(rows)}\n"
    )


if __name__ == "__main__":
    print(report())
