"""One experiment: labelled texts in, a classifier and what to know of it out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from slugline.classifier import TopicClassifier
from slugline.corpus import Corpus
from slugline.errors import DataError
from slugline.evaluation import Evaluation, majority_baseline, shuffled_baseline
from slugline.fitted import Fitted
from slugline.learners.choosing import choose_learner
from slugline.model_file import pack, write
from slugline.saving.classifier_file import as_model_file, from_model_file

if TYPE_CHECKING:
    import os

    from slugline.training.history import History
    from slugline.training.progress import Progress

__all__ = [
    "Experiment",
    "Quantized",
    "data_warnings",
    "evaluate",
    "kept_figures",
    "leak_warnings",
    "model_warnings",
    "run_experiment",
    "save_quantized",
]

#: A topic with fewer documents than this is warned of: the newswire lesson's least is as many.
FEW_DOCUMENTS = 10
#: Share of the test documents from which on it is said that they were learned from.
_LEAK = 0.01


@dataclass(frozen=True)
class Experiment:
    """A trained classifier, and how it does on documents that it had not seen.

    Attributes
    ----------
    fitted : Fitted
        What was learned.
    name : str
        Of the data.
    n_train, n_validation : int
        Documents to learn from; of a validation file, 0 if a part of the documents to learn from
        served.
    test : Corpus
        Documents that it was tested on.
    test_fraction : float or None
        What share of all documents they are, if the seed chose them.
    evaluation : Evaluation
        On the test documents.
    majority_topic, majority : the commonest training topic, and the accuracy of always naming it.
    shuffled : float
        Accuracy of the test topics in random order.
    warnings : tuple of str
        What may be wrong with the data or the settings, and what that means.
    seconds : float
        Wall time of fitting.
    """

    fitted: Fitted
    name: str
    n_train: int
    n_validation: int
    test: Corpus
    test_fraction: float | None
    evaluation: Evaluation
    majority_topic: str
    majority: float
    shuffled: float
    warnings: tuple[str, ...]
    seconds: float

    @property
    def n_test(self) -> int:
        """How many documents it was tested on."""
        return len(self.test)

    @property
    def history(self) -> History | None:
        """The search for the best epoch; None for a learner without epochs."""
        return self.fitted.history

    @property
    def was_interrupted(self) -> bool:
        """Whether Ctrl-C ended the training; the classifier then is that of the best epoch."""
        return self.history is not None and self.history.stopped_by == "interrupt"

    @property
    def n_learned(self) -> int:
        """How many of `n_train` the classifier learned from.

        An interrupt leaves no time to learn from those that were held out to find the best epoch.
        """
        return self.history.n_rows if self.history and self.was_interrupted else self.n_train

    @property
    def best_epoch(self) -> int | None:
        """The epoch that was best, counted from 1, if the learner has epochs."""
        return self.history.best_epoch if self.history else None

    @property
    def metrics(self) -> dict[str, float]:
        """The figures that a model file keeps."""
        return kept_figures(self.evaluation, self.majority)

    def to_dict(self) -> dict[str, Any]:
        """Give all figures as plain data for JSON."""
        return {
            "data": {
                "name": self.name,
                "n_train": self.n_train,
                "n_validation": self.n_validation,
                "n_test": self.n_test,
                "n_topics": len(self.fitted.topics),
            },
            "evaluation": self.evaluation.to_dict(),
            "baselines": {
                "majority": {"topic": self.majority_topic, "accuracy": self.majority},
                "shuffled": {"accuracy": self.shuffled},
            },
            "best_epoch": self.best_epoch,
            "tuning": self.fitted.tuning.to_dict() if self.fitted.tuning else None,
            "history": self.history.history if self.history else None,
            "warnings": list(self.warnings),
            "seconds": self.seconds,
        }


def run_experiment(
    classifier: TopicClassifier,
    train: Corpus,
    validation: Corpus | None = None,
    test: Corpus | None = None,
    *,
    test_fraction: float = 0.2,
    progress: Progress | None = None,
) -> Experiment:
    """Fit `classifier` and test it.

    Parameters
    ----------
    classifier : TopicClassifier
        Its settings and its `random_state` count; it is fitted in place.
    train : Corpus
    validation : Corpus, optional
        To find the best epoch on; a part of `train` by default.
    test : Corpus, optional
        By default a part of `train`, `test_fraction` of it with each topic's share, is set aside
        before anything is learned.
    progress : Progress, optional

    Raises
    ------
    DataError : if nothing can be set aside, or the parts don't share their topics.
    """
    chosen_fraction = test_fraction if test is None else None
    if test is None:
        _check_two_documents(train, "test on", "--test")
        train, test = train.split(test_fraction, classifier.random_state)
    if validation is not None:
        _check_all_known(train, validation)
    elif choose_learner(classifier.learner).has_epochs:
        _check_two_documents(train, "find the best epoch on", "--validation")
    _check_some_known(train.topics, test)
    warnings = [*data_warnings(train), *leak_warnings(train, test)]
    started = time.perf_counter()
    classifier.fit(
        train.texts,
        train.topics,
        validation_data=None if validation is None else (validation.texts, validation.topics),
        progress=progress,
    )
    seconds = time.perf_counter() - started
    fitted = classifier.fitted_
    evaluation = evaluate(fitted, test)
    majority_topic, majority = majority_baseline(train.topics, test.topics)
    if evaluation.accuracy <= majority and len(fitted.topics) > 1:
        warnings.append(
            f"the model is no better than always answering {majority_topic!r}: that is right in "
            f"{majority:.1%} of the test documents, the model in {evaluation.accuracy:.1%}. Use "
            "another --learner, or more documents."
        )
    return Experiment(
        fitted=fitted,
        name=train.name,
        n_train=len(train),
        n_validation=len(validation) if validation else 0,
        test=test,
        test_fraction=chosen_fraction,
        evaluation=evaluation,
        majority_topic=majority_topic,
        majority=majority,
        shuffled=shuffled_baseline(test.topics, classifier.random_state),
        warnings=(*warnings, *model_warnings(fitted, test)),
        seconds=seconds,
    )


@dataclass(frozen=True)
class Quantized:
    """What it cost to store a classifier's weights in fewer bits.

    Attributes
    ----------
    experiment : Experiment
        The one before, with the evaluation of the file as it is saved.
    precision : {"float16", "int8"}
    accuracy_before, accuracy_after : float
        On the test documents.
    bytes_before, bytes_after : int
        Size of the file with float32 weights, which is not kept, and of the one saved.
    """

    experiment: Experiment
    precision: str
    accuracy_before: float
    accuracy_after: float
    bytes_before: int
    bytes_after: int

    def to_dict(self) -> dict[str, Any]:
        """Give the figures as plain data for JSON."""
        return {
            "precision": self.precision,
            "accuracy": {"before": self.accuracy_before, "after": self.accuracy_after},
            "bytes": {"before": self.bytes_before, "after": self.bytes_after},
        }


def save_quantized(
    experiment: Experiment,
    path: str | os.PathLike[str],
    precision: str,
    *,
    card_notes: str = "",
) -> Quantized:
    """Save an experiment's classifier with weights in fewer bits, and measure what that costs.

    The file keeps the figures of what it holds.

    Parameters
    ----------
    experiment : Experiment
    path : path of the file
    precision : {"float16", "int8"}
    card_notes : str, default ""
        See `TopicClassifier.save`.

    Raises
    ------
    ModelFileError : if it can't be written; an earlier file at `path` then stays.
    OptionError : if there is no such precision.
    """
    as_file = partial(
        as_model_file,
        experiment.fitted,
        test_fraction=experiment.test_fraction,
        card_notes=card_notes,
    )
    rounded = from_model_file(as_file(precision=precision))
    after = replace(experiment, evaluation=evaluate(rounded, experiment.test))
    write(path, as_file(metrics=after.metrics, precision=precision))
    return Quantized(
        experiment=after,
        precision=precision,
        accuracy_before=experiment.evaluation.accuracy,
        accuracy_after=after.evaluation.accuracy,
        bytes_before=len(pack(as_file(metrics=experiment.metrics))),
        bytes_after=Path(path).stat().st_size,
    )


def evaluate(fitted: Fitted, corpus: Corpus) -> Evaluation:
    """Compare a classifier's answers with the topics of `corpus`.

    Topics that the classifier does not know count as wrong.

    Raises
    ------
    DataError : if it knows none of them, so that the comparison would be senseless.
    """
    names = [str(name) for name in fitted.topics.names]
    _check_some_known(names, corpus)
    number = {name: i for i, name in enumerate(names)}
    y_true = [number.get(topic, -1) for topic in corpus.topics]
    return Evaluation.of(names, np.array(y_true), fitted.predict_proba(corpus.texts))


def kept_figures(evaluation: Evaluation, majority: float) -> dict[str, float]:
    """Give the figures of a test that a model file keeps, by name."""
    return {
        "test_accuracy": evaluation.accuracy,
        "test_macro_f1": evaluation.macro_f1,
        "test_log_loss": evaluation.log_loss,
        "test_documents": float(evaluation.n_documents),
        "majority_baseline": majority,
    }


def _check_two_documents(corpus: Corpus, purpose: str, option: str) -> None:
    if max(corpus.topic_counts().values(), default=0) < 2:
        raise DataError(
            f"{corpus.name} has no topic with two documents to set one aside and {purpose} it; "
            f"add documents, or give a file of its own with {option}."
        )


def _check_all_known(train: Corpus, validation: Corpus) -> None:
    unknown = sorted(set(validation.topics) - set(train.topics))
    if unknown:
        raise DataError(
            f"{validation.name} has topics that {train.name} has no documents of, such as "
            f"{unknown[0]!r}; validate on documents with the topics that the model learns."
        )


def _check_some_known(topics: Sequence[str], test: Corpus) -> None:
    if not set(topics) & set(test.topics):
        raise DataError(
            f"{test.name} has none of the model's topics, such as {min(topics)!r}, but ones like "
            f"{test.topics[0]!r}; test on documents with the topics that the model learns."
        )


def data_warnings(train: Corpus) -> list[str]:
    """Say what in the training data will limit any classifier."""
    counts = train.topic_counts()
    if len(counts) == 1:
        return [
            f"all {len(train):,} documents have the topic {train.topics[0]!r}: there is nothing to "
            "tell apart, and the model will always answer it. Add documents of other topics."
        ]
    few = [topic for topic, n in counts.items() if n < FEW_DOCUMENTS]
    if not few:
        return []
    rarest = ", ".join(f"{topic} ({counts[topic]})" for topic in few[-5:][::-1])
    return [
        f"{len(few)} of {len(counts)} topics have fewer than {FEW_DOCUMENTS} documents to learn "
        f"from, such as {rarest}: expect them to be missed. Add documents, or merge topics."
    ]


def leak_warnings(train: Corpus, test: Corpus) -> list[str]:
    """Say if test documents are among the training ones, which flatters every figure."""
    known = set(train.texts)
    n_leaked = sum(text in known for text in test.texts)
    if n_leaked <= _LEAK * len(test):
        return []
    return [
        f"{n_leaked:,} of the {len(test):,} test documents have the very text of one to learn "
        "from: the figures flatter. Remove duplicates, or test on other documents."
    ]


def model_warnings(fitted: Fitted, test: Corpus) -> list[str]:
    """Say what in the settings, or in the match of training and test, will cost accuracy."""
    warnings = []
    n_topics = len(fitted.topics)
    widths = fitted.learner.settings().get("hidden", ())
    narrow = [units for units in widths if units < n_topics]
    if narrow:
        warnings.append(
            f"a hidden layer of {narrow[0]} units is narrower than the {n_topics} topics: an "
            "information bottleneck, as what it drops no later layer can bring back. "
            f"Train with --hidden {max(64, n_topics)}, or without the option."
        )
    history = fitted.history
    if history is not None and history.stopped_by == "interrupt":
        warnings.append(_interrupted(history, fitted.n_documents - history.n_rows))
    elif history is not None and history.best_epoch == history.n_epochs and not history.stopped_by:
        warnings.append(
            f"the validation loss was still falling at epoch {history.n_epochs}, the last: the net "
            f"could learn more. Use --epochs {2 * history.n_epochs}."
        )
    if fitted.tuning is not None and fitted.tuning.interrupted:
        n_ways = len(fitted.tuning.trials)
        warnings.append(
            f"the search was interrupted after {n_ways} {'way' if n_ways == 1 else 'ways'} to "
            "learn: the model is learned in the best of these. Let --tune come to its end for more."
        )
    known_share = fitted.features.vocabularies_[0].known_share(test.texts)
    if known_share < 0.5:
        is_cut = fitted.features.blocks[0].max_terms is not None
        warnings.append(
            f"{1 - known_share:.0%} of the words in the test documents are unknown to the model: "
            "it judges by the rest. Test on documents of the kind it learned from"
            f"{', or keep more words with --num-words' if is_cut else ''}."
        )
    known = {str(name) for name in fitted.topics.names}
    unknown = [topic for topic in test.topics if topic not in known]
    if unknown:
        warnings.append(
            f"{len(unknown):,} of the {len(test):,} test documents have topics that the model "
            f"doesn't know, such as {unknown[0]!r}: they count as wrong. Train with documents of "
            "these topics, or leave them out of the test."
        )
    return warnings


def _interrupted(history: History, n_held_out: int) -> str:
    said = (
        f"training was interrupted: the model is the one after epoch {history.best_epoch}, the "
        f"best of {history.n_epochs}"
    )
    if not n_held_out:  # a file served to find the epoch
        return f"{said}."
    return f"{said}, and has not learned from the {n_held_out:,} documents held out to find it."
