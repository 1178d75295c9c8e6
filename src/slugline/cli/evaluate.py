"""`slugline evaluate`: a saved model against labelled texts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slugline.cli.models import check_model_first
from slugline.cli.options import (
    AsJson,
    Data,
    Encoding,
    FoldTopics,
    Format,
    MapTopics,
    Mistakes,
    Model,
    Quiet,
    Reading,
    SkipBadRows,
    TextColumn,
    TopicColumn,
    load_parts,
    say_notes,
)
from slugline.cli.output import print_json, print_table, show, warn
from slugline.cli.targets import check_mistakes

if TYPE_CHECKING:
    from slugline.evaluation import Evaluation

__all__ = ["evaluate"]


def evaluate(
    model: Model,
    data: Data,
    text: TextColumn = None,
    topic: TopicColumn = None,
    format_: Format = None,
    skip_bad_rows: SkipBadRows = False,
    encoding: Encoding = None,
    fold_topics: FoldTopics = False,
    map_topics: MapTopics = None,
    mistakes: Mistakes = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Compare a model's answers with the topics of labelled texts.

    For a data set known by name, its test part is used if there is one.
    """
    from slugline.corpus.topics import spelling_warnings
    from slugline.experiment.concerns import known_document_warnings, model_warnings
    from slugline.experiment.mistakes import write_mistakes
    from slugline.experiment.testing import evaluate as evaluate_on
    from slugline.saving.classifier_file import load_model

    check_model_first("evaluate", model, data[0])
    check_mistakes(mistakes, [model, *data])
    fitted, file = load_model(model)
    known = [str(name) for name in fitted.topics.names]
    reading = Reading(text, topic, format_, skip_bad_rows, encoding, fold_topics, map_topics)
    parts = load_parts(data, reading, known)
    corpus = parts.get("test", parts["train"])
    say_notes(corpus, quiet, several=len(data) > 1)
    evaluation = evaluate_on(fitted, corpus)
    warn(known_document_warnings(fitted, corpus, file.info.test_fraction))
    warn([*spelling_warnings(corpus.topics, known), *model_warnings(fitted, corpus)])
    if mistakes is not None:
        write_mistakes(mistakes, fitted, corpus)
    if as_json:
        print_json(evaluation.to_dict())
    else:
        _print(evaluation)


def _print(evaluation: Evaluation) -> None:
    low, high = evaluation.interval
    print_table(
        [
            ("documents", f"{evaluation.n_documents:,}", ""),
            ("accuracy", f"{evaluation.accuracy:.3f}", f"95 % interval {low:.3f} to {high:.3f}"),
            ("macro-F1", f"{evaluation.macro_f1:.3f}", "every topic counts the same"),
            ("log loss", f"{evaluation.log_loss:.3f}", "nats; lower is better"),
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
    mistakes = evaluation.confusions(5)
    if mistakes:
        show("\nmost common mistakes")
        for true, predicted, n in mistakes:
            show(f"  {true} taken for {predicted}: {n}")


def _share(value: float) -> str:
    return "-" if value != value else f"{value:.3f}"
