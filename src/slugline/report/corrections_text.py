"""What corrections changed, in words and rows: for the screen and for the report."""

from __future__ import annotations

from collections.abc import Iterator

from slugline.corrections.gate import FEWEST, TopicChange
from slugline.corrections.learning import Outcome
from slugline.displays import counted

__all__ = ["TOPIC_HEAD", "said_of", "topic_rows"]

TOPIC_HEAD = ("topic", "documents", "corrections", "F1 before", "after", "better", "worse", "")
# New topics that are named.
_N_NAMED = 10


def said_of(outcome: Outcome) -> list[tuple[str, str]]:
    """Return what there was to learn from and what that changed, as pairs of a name and words."""
    return [*_learned(outcome), *_changed(outcome)]


def topic_rows(outcome: Outcome) -> list[tuple[str, ...]]:
    """Return a row under `TOPIC_HEAD` for each topic that was corrected, or in which some changed.

    Those that got clearly worse come first, then the ones with the most test documents.
    """
    shown = [c for c in outcome.topics if c.n_corrections or c.n_better or c.n_worse]
    return [*map(_row, sorted(shown, key=lambda change: not change.is_worse))]


def _learned(outcome: Outcome) -> Iterator[tuple[str, str]]:
    merged = outcome.merged
    yield "corrections", f"{'; '.join(merged.corrections.notes)}; weight {outcome.weight:g}"
    if merged.n_replaced or merged.n_from_test:
        yield (
            "in the data",
            f"{counted(merged.n_replaced, 'document')} to learn from and {merged.n_from_test:,} to "
            "test on had such texts, and gave way",
        )
    if merged.new_topics:
        n_more = len(merged.new_topics) - _N_NAMED
        more = f" and {n_more:,} more" if n_more > 0 else ""
        yield "new topics", ", ".join(merged.new_topics[:_N_NAMED]) + more


def _changed(outcome: Outcome) -> Iterator[tuple[str, str]]:
    now, paired = outcome.now_right, outcome.paired
    yield (
        "corrected texts",
        f"{now.n_after:,} of {now.n_asked:,} right after learning from the others, "
        f"{now.n_before:,} before",
    )
    low, high = paired.accuracy_interval
    yield (
        "test texts",
        f"accuracy {paired.accuracy_second:.3f} before, {paired.accuracy_first:.3f} after; "
        f"difference {paired.accuracy_difference:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}",
    )
    n_topics = sum(change.n_documents > 0 for change in outcome.topics)
    n_judged = sum(change.n_documents >= FEWEST for change in outcome.topics)
    n_worse = len(outcome.worse_topics)
    yield (
        "clearly worse",
        f"{counted(n_worse, 'topic') if n_worse else 'no topic'}; {n_judged:,} of {n_topics:,} "
        f"have the {FEWEST} test texts that it takes to tell",
    )


def _row(change: TopicChange) -> tuple[str, ...]:
    before, after = ("-" if f1 != f1 else f"{f1:.3f}" for f1 in (change.f1_before, change.f1_after))
    return (
        change.topic,
        str(change.n_documents),
        str(change.n_corrections),
        before,
        after,
        str(change.n_better),
        str(change.n_worse),
        "clearly worse" if change.is_worse else "",
    )
