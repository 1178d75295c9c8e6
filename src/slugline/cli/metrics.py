"""What the screen shows of an evaluation, and of two models on the same documents."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from slugline.cli.output import print_table, show

if TYPE_CHECKING:
    from slugline.evaluation import Evaluation, Interval, Paired

__all__ = ["print_evaluation", "print_paired", "shares"]

# Under this, luck alone is no good explanation.
_RARE = 0.05
_N_MISTAKES = 5
# With three places, smaller values would look like 0.
_LEAST_SHOWN = 0.001

Row = tuple[str, str, str]


def shares(evaluation: Evaluation) -> Iterator[Row]:
    """Return the rows of accuracy and F1, each with its 95 % interval."""
    yield "accuracy", _share(evaluation.accuracy), _ends(evaluation.interval)
    yield (
        "macro-F1",
        _share(evaluation.macro_f1),
        f"{_ends(evaluation.macro_f1_interval)}; every topic counts the same",
    )
    yield (
        "weighted F1",
        _share(evaluation.weighted_f1),
        f"{_ends(evaluation.weighted_f1_interval)}; every document counts the same",
    )


def print_evaluation(evaluation: Evaluation) -> None:
    """Print all metrics, those of every topic, and the most common mistakes."""
    print_table(
        [
            ("documents", f"{evaluation.n_documents:,}", ""),
            *shares(evaluation),
            *_of_probabilities(evaluation),
        ],
        left=(0, 2),
    )
    show()
    shown = sorted(evaluation.per_topic(), key=lambda figures: -figures.n_documents)
    rows = [("topic", "documents", "precision", "recall", "F1")]
    rows += [
        (f.topic, str(f.n_documents), _share(f.precision), _share(f.recall), _share(f.f1))
        for f in shown
    ]
    print_table(rows)
    mistakes = evaluation.confusions(_N_MISTAKES)
    if mistakes:
        show("\nmost common mistakes")
        for true, predicted, n in mistakes:
            show(f"  {true} taken for {predicted}: {n}")


def print_paired(paired: Paired, first: str, second: str) -> None:
    """Print both models' metrics side by side, and whether luck alone may explain how they differ.

    Parameters
    ----------
    paired : Paired
    first, second : names of the models
    """
    show(f"\n{first} and {second} on the same documents")
    print_table(
        [
            ("", "first", "second", "difference", ""),
            (
                "accuracy",
                _share(paired.accuracy_first),
                _share(paired.accuracy_second),
                f"{paired.accuracy_difference:+.3f}",
                _ends(paired.accuracy_interval),
            ),
            (
                "macro-F1",
                _share(paired.macro_f1_first),
                _share(paired.macro_f1_second),
                f"{paired.macro_f1_difference:+.3f}",
                _ends(paired.macro_f1_interval),
            ),
            (
                "right, other wrong",
                f"{paired.n_first:,}",
                f"{paired.n_second:,}",
                f"{paired.n_first - paired.n_second:+,}",
                f"{_p(paired.p_value)} by McNemar's exact test",
            ),
        ],
        left=(0, 4),
    )
    show(_verdict(paired, first, second))


def _verdict(paired: Paired, first: str, second: str) -> str:
    if paired.p_value >= _RARE:
        return "neither is shown to be more accurate: the difference may be luck"
    better = first if paired.n_first > paired.n_second else second
    return f"{better} is more accurate: luck alone would rarely make such a difference"


def _p(value: float) -> str:
    return "p < 0.001" if value < _LEAST_SHOWN else f"p = {value:.3f}"


def _of_probabilities(evaluation: Evaluation) -> Iterator[Row]:
    for k in evaluation.top_ks[:3]:
        yield f"top {k}", _share(evaluation.top_k(k)), f"the topic is among the {k} likeliest"
    yield "log loss", _share(evaluation.log_loss), "nats; lower is better"
    yield "Brier score", _share(evaluation.brier_score), "from 0 to 2; lower is better"
    n_bins = len(evaluation.reliability())
    bins = "1 bin" if n_bins == 1 else f"{n_bins} bins of equally many documents"
    yield (
        "calibration",
        _share(evaluation.calibration_error),
        f"mean gap between probability and share right, in {bins}; "
        f"chance alone makes {_share(evaluation.chance_error)}",
    )


def _ends(interval: Interval) -> str:
    return f"95 % interval {interval.low:.3f} to {interval.high:.3f}"


def _share(value: float) -> str:
    """Return a number with three places, or a dash if it is not defined."""
    return "-" if value != value else f"{value:.3f}"
