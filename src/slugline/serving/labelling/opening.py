"""The service of a label page whose selector learns from the labels."""

from __future__ import annotations

from slugline.labels.draws import RepeatedDraws
from slugline.labels.label_setup import LabelOptions, OpenLabels
from slugline.labels.learning_selector import LearningSelector
from slugline.labels.near_copies import NearCopies
from slugline.serving.labelling.service import LabelService


def make_label_service(labels: OpenLabels, options: LabelOptions) -> LabelService:
    """Return a service, which closes the file of labels at its end."""
    store, table, assignments, _ = labels
    selector = LearningSelector(
        store,
        table,
        assignments,
        random_fraction=options.random_fraction,
        double_fraction=options.double_fraction,
        shows_guesses=options.show_guesses,
    )
    return LabelService(
        store,
        table,
        assignments,
        selector,
        options.coder,
        shows_guesses=options.show_guesses,
        settlers=options.settlers,
        near_copies=NearCopies(table.texts),
        repeated_draws=RepeatedDraws(options.repeat_fraction, options.repeat_after),
    )
