"""Train the model that comes with Slugline on the Reuters newswires.

    python tools/train_reuters46.py [MODEL]

needs the Reuters files, as `slugline train reuters-corrected` does, and writes
src/slugline/model/reuters46.slug unless another path is given. With the same library versions, it
writes the same bytes each time. It learns from the training wires only. Its settings were chosen on
these by cross-validation; the test wires are read once, for the numbers on the card.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from slugline.classifier import TopicClassifier
from slugline.corpus.loading import load_splits
from slugline.experiment.experiment import run_experiment
from slugline.experiment.quantization import QuantizationResult, save_quantized
from slugline.learning.linear.learner import LinearLearner
from slugline.model.fitted import Fitted
from slugline.text.feature_groups import DEFAULT_GROUPS

TARGET = Path(__file__).parents[1] / "src" / "slugline" / "model" / "reuters46.slug"

# The largest weights, which take half a megabyte. With more, it is no more accurate.
N_WEIGHTS = 110_983

# How often answers that it gives alone are to be right.
MIN_PRECISION = 0.95

# The default groups, and the first words of a wire on their own: its headline.
FEATURE_GROUPS = [DEFAULT_GROUPS[kind] for kind in ("words", "lead", "bigrams", "characters")]

NOTES = """\
## What it learned from

The 8,982 training wires of Keras' split of Reuters-21578 in Slugline's corrected edition, in which
every wire has its own text: headline and body, and the first of its topics. The 2,246 test wires
gave the figures below, and nothing else.

## What it is not for

The wires are English business news of 1987. Other languages, other times and other subjects are
foreign to it. It says that it is unsure of most such texts, but not of all. Half of the topics have
fewer than 45 wires to learn from, and are missed more often than the overall accuracy tells.

## Licence of the data

The wires are copyright Reuters Ltd. and Carnegie Group, Inc., and free for research purposes only.
This file holds none of them, only words, pairs of words and character n-grams, and what each
counts for each topic. Cite the collection as "Reuters-21578, Distribution 1.0".
"""


def train(path: Path) -> QuantizationResult:
    """Train the model, save it at `path`, and return its metrics."""
    parts = load_splits("reuters-corrected")
    classifier = TopicClassifier(
        encoder=None, feature_groups=FEATURE_GROUPS, min_precision=MIN_PRECISION
    )
    experiment = run_experiment(classifier.to_settings(), parts["train"], test=parts["test"])
    experiment = replace(experiment, fitted=keep_largest_weights(experiment.fitted, N_WEIGHTS))
    return save_quantized(experiment, path, "int8", card_notes=NOTES)


def keep_largest_weights(fitted: Fitted, n_weights: int) -> Fitted:
    """Return a linear model with its largest weights, and the terms that have one."""
    learner = cast("LinearLearner", fitted.learner)
    weights = learner.weights.copy()
    weights.data[np.abs(weights.data) < np.sort(np.abs(weights.data))[-n_weights:][0]] = 0
    weights.eliminate_zeros()
    small = learner.learned(weights, learner.biases, learner.calibration)
    small.n_suspect_labels = learner.n_suspect_labels
    features, columns = fitted.features.without(small.unused_columns())
    return replace(fitted, learner=small.of_columns(columns), features=features)


def main() -> None:
    """Run from the command line."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    path.parent.mkdir(exist_ok=True)
    done = train(path)
    metrics = done.experiment.tested.evaluation
    print(
        f"{path}: {done.bytes_after:,} bytes, accuracy {metrics.accuracy:.4f}, "
        f"macro-F1 {metrics.macro_f1:.4f} ({done.accuracy_before:.4f} with all weights in float32)"
    )


if __name__ == "__main__":
    main()
