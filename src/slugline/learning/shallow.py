"""One hidden layer over weighted terms, trained for a given number of epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from slugline.base.arrays import F32
from slugline.learning.label_types import label_type
from slugline.learning.labels import Labels
from slugline.learning.learner import Capabilities, FitContext, Options, settings_struct
from slugline.learning.net.layers import Dense
from slugline.learning.net.learner import NetLearner
from slugline.learning.net.network import Network
from slugline.text.sparse import check_csr

# Chosen by cross-validation on training splits. Rows of length 1 are too small for a net that must
# learn within a few epochs.
_INPUT_SCALE = np.float32(6)
_BATCH_SIZE = 128


@dataclass(eq=False, repr=False)
class ShallowOptions(Options):
    """The options of a `ShallowLearner`."""

    units: Annotated[int, Meta(ge=1, description="Width of the hidden layer.")] = 128
    epochs: Annotated[int, Meta(ge=1, description="Passes over all documents.")] = 15
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Share of units left out.")] = 0.5
    label_smoothing: Annotated[
        float, Meta(ge=0, lt=1, description="Share of each label spread over all topics.")
    ] = 0.0


class ShallowLearner(ShallowOptions, NetLearner):
    """A net to mix with a linear classifier, because the two err on different documents.

    Its learning rates fall to 0 by the end, so no rows are held out to find the best epoch.

    Parameters
    ----------
    units : int, default 128
        Width of the hidden layer.
    epochs : int, default 15
    dropout : float, default 0.5
        Share of hidden units left out at random in each step, in [0, 1).
    label_smoothing : float, default 0.0
        Share of each label spread evenly over all topics, in [0, 1), against overconfidence.

    Examples
    --------
    >>> from slugline import ShallowLearner, TopicClassifier
    >>> classifier = TopicClassifier(learner=ShallowLearner())
    """

    wants = "log-tf-idf"
    capabilities = Capabilities(multilabel=True, is_network=True)
    settings_type = settings_struct("shallow", ShallowOptions, {})

    def fit(self, X: Any, labels: Labels, context: FitContext) -> None:
        """Learn from rows and their topics; Ctrl-C ends it with KeyboardInterrupt."""
        from slugline.learning.net.optimizers import RowAdaGrad

        X = check_csr(X) * _INPUT_SCALE
        n_topics = context.n_topics
        self.calibration = label_type(multilabel=labels.multilabel).identity(n_topics)
        n_steps = self.epochs * -(-X.shape[0] // _BATCH_SIZE)
        self.network = Network(
            self._layers(n_topics, labels.multilabel),
            optimizer=RowAdaGrad(n_steps=n_steps),
            loss=None if labels.multilabel else "categorical_crossentropy",
            seed=context.seed,
        )
        targets = labels.indicator(n_topics) * np.float32(1 - self.label_smoothing)
        shares = labels.n_each * np.float32(self.label_smoothing / n_topics)
        targets += shares[:, np.newaxis].astype(np.float32)
        history = self.network.fit(
            X,
            targets,
            epochs=self.epochs,
            batch_size=_BATCH_SIZE,
            sample_weight=context.sample_weight,
            progress=context.progress,
        )
        if history.stopped_by == "interrupt":
            raise KeyboardInterrupt  # no earlier epoch can replace the whole run
        # Scale the weights too, so that predicting need not scale rows.
        self.network.weights[0] *= _INPUT_SCALE

    def settings(self) -> dict[str, Any]:
        """Return plain data from which `restore` rebuilds it."""
        return {"kind": "shallow", **self.options()}

    @classmethod
    def restore(cls, settings: Mapping[str, Any], arrays: Mapping[str, F32]) -> ShallowLearner:
        """Return a fitted learner from its parts in a model file."""
        learner = cls(**cls.options_in(settings))
        learner._restore_net(arrays, 2)
        return learner

    def _array_names(self, n_layers: int) -> Sequence[str]:  # noqa: ARG002
        return "hidden.weights", "hidden.biases", "topics.weights", "topics.biases"

    def _layers(self, n_topics: int, multilabel: bool) -> list[Dense]:
        hidden = Dense(self.units, "relu", dropout=self.dropout)
        return [hidden, Dense(n_topics, "sigmoid" if multilabel else "softmax")]
