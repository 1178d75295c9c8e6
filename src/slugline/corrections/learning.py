"""Train a model with corrections, and compare it with a model trained without them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from slugline.base.arrays import Mask
from slugline.base.checks import short_repr
from slugline.base.progress import Progress
from slugline.base.wording import all_of, counted, have, join_words
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import Topic, Topics
from slugline.corpus.layout import ReadOptions
from slugline.corpus.splits import make_folds
from slugline.corpus.topic_sets import TopicSet, as_sets
from slugline.corpus.topics import apply_topic_rules, topic_rules
from slugline.corrections.gate import PromiseChange, TopicChange, topic_changes
from slugline.errors import DataError, OptionError, Parameter, TrainingError
from slugline.evaluation.paired import PairedComparison, compare_paired
from slugline.experiment.experiment import (
    AccuracyOnLabels,
    Experiment,
    check_can_set_aside_test,
    run_experiment,
)
from slugline.model.decider import Decider
from slugline.model.file.content import load_model
from slugline.model.fit import fit
from slugline.model.fitted import Fitted
from slugline.model.settings import FitSettings

if TYPE_CHECKING:
    from pathlib import Path

    from slugline.labels.store import Correction
    from slugline.model.file.schema import ModelFile


# Training sets ------------------------------------------------------------------------------------

# Maximum number of models or topics named in a message.
_N_SHOWN = 5


def normalize_spaces(text: str) -> str:
    r"""Return the text with each run of white space replaced by a space.

    >>> normalize_spaces("Wheat\r\n prices ") == normalize_spaces("Wheat prices")
    True
    """
    return " ".join(text.split())


def to_corpus(
    corrections: Sequence[Correction], name: str, models: Collection[str] | None = None
) -> Corpus:
    """Return the corrected texts with the topics of their latest corrections.

    Places are correction numbers. Blank texts are skipped.

    Parameters
    ----------
    corrections : sequence of Correction
    name : str
        Name of the corrections file in messages.
    models : collection of str, optional
        Names of models whose corrections to use; by default, all.

    Raises
    ------
    DataError : if there are no corrections.
    """
    selected = [row for row in corrections if models is None or row.model in models]
    latest: dict[str, Correction] = {}
    n_blank = n_changed = 0
    for correction in selected:
        key = normalize_spaces(correction.text)
        if not key:
            n_blank += 1
            continue
        earlier = latest.pop(key, None)
        n_changed += earlier is not None and earlier.topic != correction.topic
        latest[key] = correction
    if not latest:
        selection = "" if models is None else f" of {' or '.join(sorted(models))}"
        message = f"{name} contains no corrections{selection} of non-blank texts; "
        n_by_model = Counter(each.model for each in corrections if each not in selected)
        if not n_by_model:
            raise DataError(f"{message}correct some answers first.")
        by_model = [f"{model} ({n:,})" for model, n in n_by_model.most_common()]
        raise DataError(
            f"{message}it has corrections of {join_words(by_model, _N_SHOWN, last=None)}; to learn "
            "from these, name the model with ",
            Parameter("corrections_of"),
            ".",
        )
    notes = [f"{counted(len(selected), 'correction')} of {counted(len(latest), 'text')}"]
    if n_changed:
        notes.append(
            f"{counted(n_changed, 'correction')} gave a text a different topic from an earlier "
            "correction; the latest counts"
        )
    return Corpus(
        [correction.text for correction in latest.values()],
        [correction.topic for correction in latest.values()],
        name,
        notes=tuple(notes),
        n_skipped=n_blank,
        places=[correction.id for correction in latest.values()],
        unit="correction",
    )


def stringify_topic(topic: Topic | TopicSet) -> str | tuple[str, ...]:
    """Return a topic as a string, or a tuple of topics as strings."""
    if isinstance(topic, tuple):
        return tuple(str(name).strip() for name in topic)
    return str(topic).strip()


@dataclass(frozen=True)
class TrainingSets:
    """Documents for training with and without corrections, and for testing both models.

    Attributes
    ----------
    base : Corpus
        Training documents, without corrections.
    learned : Corpus
        Training documents with uncorrected texts, then the corrections.
    corrections : Corpus
    test : Corpus
        Test documents with uncorrected texts.
    n_replaced, n_from_test : int
        Number of training and test documents removed because their texts were corrected.
    """

    base: Corpus
    learned: Corpus
    corrections: Corpus
    test: Corpus
    n_replaced: int
    n_from_test: int

    @property
    def new_topics(self) -> list[str]:
        """Topics of corrections without training documents, sorted."""
        return sorted({*self.corrections.all_topics()} - {*self.base.all_topics()})

    def without(self, rows: Iterable[int]) -> Corpus:
        """Return `learned` without the corrections in `rows`."""
        n_others = len(self.learned) - len(self.corrections)
        is_used = np.ones(len(self.learned), dtype=bool)
        is_used[[n_others + row for row in rows]] = False
        return self.learned.take(is_used)


def merge_corrections(train: Corpus, test: Corpus, corrections: Corpus) -> TrainingSets:
    """Return the training sets; a correction replaces all documents with its text.

    A correction counts as one document; see `benchmarks/run.py choices correction-weight`.

    Raises
    ------
    DataError : if no test document is left, or only the documents or only the corrections are
        multi-label.
    """
    if train.multilabel != corrections.multilabel:
        raise DataError(
            f"{corrections.name} has corrections to {_kind(corrections)}, and each text of "
            f"{train.name} has {_kind(train)}; give corrections of a model trained on it."
        )
    corrected = set(map(normalize_spaces, corrections.texts))
    is_trained, is_tested = _is_uncorrected(train, corrected), _is_uncorrected(test, corrected)
    if not is_tested.any():
        raise DataError(
            f"{test.name}: {all_of(len(test), 'test document')} {have(len(test))} a text corrected "
            f"in {corrections.name}; add documents, or give others with ",
            Parameter("test"),
            ".",
        )
    uncorrected = train.take(is_trained)
    learned = Corpus(
        uncorrected.texts + corrections.texts,
        uncorrected.topics + corrections.topics,
        train.name,
        layout=train.layout,
    )
    return TrainingSets(
        base=train,
        learned=learned,
        corrections=corrections,
        test=test.take(is_tested),
        n_replaced=int((~is_trained).sum()),
        n_from_test=int((~is_tested).sum()),
    )


def _kind(corpus: Corpus) -> str:
    return "several topics" if corpus.multilabel else "one topic"


def _is_uncorrected(corpus: Corpus, corrected: set[str]) -> Mask:
    return np.array([normalize_spaces(text) not in corrected for text in corpus.texts], dtype=bool)


# Learning ----------------------------------------------------------------------------------------

# Number of models, each trained without a part of the corrections and tested on it. To save time,
# only one is trained for more than `_MAX_CROSS_VALIDATED` documents.
_N_FOLDS, _MAX_CROSS_VALIDATED = 3, 20_000
# Maximum number of clearly worse topics in a message.
_N_WORSE = 3
# A decimal integer of at most 64 bits, without leading zeros.
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}", re.ASCII)


class CorrectedAccuracy(NamedTuple):
    """Number of right answers to corrected texts by models not trained on them.

    Attributes
    ----------
    n_asked : int
    n_before : int
        Right answers of the model without corrections.
    n_after : int
        Right answers of models trained on the other corrections.
    """

    n_asked: int
    n_before: int
    n_after: int


class NewlyCorrected(NamedTuple):
    """Number of corrected texts on which the model to be replaced was not trained.

    Attributes
    ----------
    n_texts : int
    n_better : int
        Texts that only the new model answers correctly.
    """

    n_texts: int
    n_better: int


@dataclass(frozen=True)
class CorrectionResult:
    """A model trained with corrections, compared with a model trained without.

    Attributes
    ----------
    experiment : Experiment
        The experiment with corrections.
    training_sets : TrainingSets
    paired : PairedComparison
        The models with (first) and without (second) corrections on the test documents.
    topics : tuple of TopicChange
    is_accuracy_worse : bool
        True if accuracy over all topics got clearly worse.
    promise : PromiseChange
    corrected_accuracy : CorrectedAccuracy
    newly_corrected : NewlyCorrected or None
        None without a model to be replaced, or if it was trained on all of the corrections.
    problem : str
        Reason that the new model file is unusable, or "".
    is_unchanged : bool
        True if the new file is identical to the file to be replaced.
    missing_topics : tuple of str
        Topics of the model to be replaced that the new model lacks.
    n_pending : int
        Number of pending corrections.
    """

    experiment: Experiment
    training_sets: TrainingSets
    paired: PairedComparison
    topics: tuple[TopicChange, ...]
    is_accuracy_worse: bool
    promise: PromiseChange
    corrected_accuracy: CorrectedAccuracy
    newly_corrected: NewlyCorrected | None = None
    problem: str = ""
    is_unchanged: bool = False
    missing_topics: tuple[str, ...] = ()
    n_pending: int = 0

    @property
    def worse_topics(self) -> list[TopicChange]:
        """The topics that got clearly worse."""
        return [change for change in self.topics if change.is_worse]

    @property
    def passes(self) -> bool:
        """True if nothing got clearly worse and some corrected text got better."""
        return not self.why_not()

    def why_not(self) -> str:
        """Return the reasons not to use the new model, or ""."""
        if self.problem:
            return self.problem
        reasons = []
        if self.missing_topics:
            names = join_words([*map(short_repr, self.missing_topics)], _N_SHOWN, last=None)
            reasons.append(
                f"no document or correction has these topics of the model to be replaced: {names}"
            )
        reasons += [_describe_loss(change) for change in self.worse_topics[:_N_WORSE]]
        n_more = len(self.worse_topics) - _N_WORSE
        if n_more > 0:
            reasons.append(f"{counted(n_more, 'more topic')} got clearly worse")
        if self.is_accuracy_worse:
            reasons.append(
                f"of all {counted(self.paired.n_documents, 'test document')}, "
                f"{self.paired.n_second:,} are right only without the corrections, and "
                f"{self.paired.n_first:,} only with them"
            )
        reasons.append(self.promise.why_not())
        if self.newly_corrected is not None and not self.newly_corrected.n_better:
            reasons.append(
                "the new model fixes none of "
                f"{counted(self.newly_corrected.n_texts, 'newly corrected text')}"
            )
        return "; ".join(filter(None, reasons))

    def card_notes(self) -> str:
        """Return a sentence for the model card, in Markdown."""
        corrections = self.training_sets.corrections
        return (
            f"Learned from {counted(len(corrections), 'corrected text')} as well, each of which "
            f"counted as a document (SHA-256 {corrections.digest()})."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the experiment as plain data for JSON."""
        sets = self.training_sets
        return {
            "source": sets.corrections.name,
            "notes": list(sets.corrections.notes),
            "n_texts": len(sets.corrections),
            "n_replaced": sets.n_replaced,
            "n_from_test": sets.n_from_test,
            "new_topics": sets.new_topics,
            "missing_topics": [*self.missing_topics],
            "n_pending": self.n_pending,
            "is_unchanged": self.is_unchanged,
            "now_right": self.corrected_accuracy._asdict(),
            "newly_corrected": self.newly_corrected and self.newly_corrected._asdict(),
            "promise": asdict(self.promise),
            "paired": self.paired.to_dict(),
            "topics": [change.to_dict() for change in self.topics],
            "passes": self.passes,
            "why_not": self.why_not(),
        }


def train_with_corrections(
    settings: FitSettings,
    train: Corpus,
    *,
    corrections: Sequence[Correction],
    reading: ReadOptions,
    name: str,
    replaced: Fitted | None = None,
    **options: Any,
) -> CorrectionResult:
    """Train on documents and on the corrections that are not pending.

    Parameters
    ----------
    settings, train, replaced, **options
        See `learn_from_corrections`.
    corrections : sequence of Correction
        Corrections to one model, at least one of them not pending.
    reading : ReadOptions
        Options for reading the training documents. Topics of corrections are renamed likewise.
    name : str
        Name of the corrections in messages.

    Raises
    ------
    DataError : if no corrected answer is a topic of the documents.
    """
    # `topic_map` may contain names that don't occur in corrections.
    rules = topic_rules(reading)._replace(must_occur=False)
    rename = partial(apply_topic_rules, rules=rules, preferred=[*train.all_topics()])
    _check_answers(train, rename, corrections)
    counting = [row for row in corrections if not row.is_pending]
    learned = rename(to_corpus(counting, name))
    result = learn_from_corrections(settings, train, learned, replaced=replaced, **options)
    newly_corrected = None
    if replaced is not None:
        # A confirmation corrects nothing.
        new = {row.id for row in counting if row.learned is None and not row.is_confirmation}
        rows = [row for row, number in enumerate(learned.places or ()) if number in new]
        texts = [learned.texts[row] for row in rows]
        topics = [learned.topics[row] for row in rows]
        newly_corrected = count_newly_corrected(replaced, result.experiment.fitted, texts, topics)
    n_pending = len(corrections) - len(counting)
    return replace(result, newly_corrected=newly_corrected, n_pending=n_pending)


def _check_answers(
    train: Corpus, rename: Callable[[Corpus], Corpus], corrections: Sequence[Correction]
) -> None:
    answers = Corpus([row.text for row in corrections], [row.answer for row in corrections])
    given = {*rename(answers).all_topics()}
    if given and given.isdisjoint(train.all_topics()):
        raise DataError(
            f"the corrected answers, such as {short_repr(min(given))}, are not topics of "
            f"{train.name}; pass the documents on which the corrected model was trained, or "
            "corrections of another model."
        )


def learn_from_corrections(
    settings: FitSettings,
    train: Corpus,
    corrections: Corpus,
    test: Corpus | None = None,
    *,
    test_fraction: float = 0.2,
    on_labels: AccuracyOnLabels | None = None,
    replaced: Fitted | None = None,
    progress: Progress | None = None,
) -> CorrectionResult:
    """Train with corrections and, for comparison, without them.

    Both models are tested on the same documents, excluding corrected texts.

    Parameters
    ----------
    settings : FitSettings
    train, corrections : Corpus
        See `to_corpus` for the corrections.
    test, test_fraction, on_labels, progress
        See `run_experiment`.
    replaced : Fitted, optional
        The model to be replaced. Its promised precision must not decrease.

    Raises
    ------
    DataError : if no documents can be set aside, or no test document is left.
    OptionError : if topics are paths.
    """
    if settings.topic_path is not None:
        raise OptionError(
            "corrections don't include parents, which ",
            Parameter("topic_path"),
            " adds to topics; correct the training data, or leave ",
            Parameter("topic_path"),
            " out.",
        )
    notes, n_skipped, is_split = train.notes, train.n_skipped, test is None
    if test is None:
        check_can_set_aside_test(train)
        train, test = train.split(test_fraction, settings.random_state)
    sets = merge_corrections(train, test, corrections)
    experiment = run_experiment(
        settings, sets.learned, sets.test, on_labels=on_labels, progress=progress
    )
    note = (
        f"learned from {counted(len(corrections), 'corrected text')} of {corrections.name} as "
        "well, each of which counts as a document"
    )
    if sets.n_replaced:
        note += f"; {counted(sets.n_replaced, 'document')} with these texts left out"
    experiment = replace(
        experiment,
        test_fraction=test_fraction if is_split else None,
        notes=(*notes, note),
        n_skipped=n_skipped,
    )
    # Reuse tuned settings.
    fitted = experiment.fitted
    tuned_settings = FitSettings.from_fitted(fitted, n_jobs=fitted.features.n_jobs)
    if settings.has_fast_encoder:  # its use is decided anew for each training set
        tuned_settings = replace(tuned_settings, encoder=settings.encoder)
    refit_settings = replace(tuned_settings, min_precision=settings.min_precision)
    before = fit(sets.base, refit_settings, progress=progress)
    corrected_accuracy = _corrected_accuracy(
        sets, before, replace(tuned_settings, min_precision=None), fitted.seed, progress
    )
    after = fitted
    texts, y_true = sets.test.texts, sets.test.topics
    answers_before, answers_after = _answers(before, texts), _answers(after, texts)
    answered_before, answered_after = _is_answered(before, texts), _is_answered(after, texts)
    changes = topic_changes(
        y_true,
        answers_before,
        answers_after,
        [*sets.corrections.all_topics()],
        n_newly_answered=int((answered_after & ~answered_before).sum()),
        n_no_longer_answered=int((answered_before & ~answered_after).sum()),
    )
    promised_before = Decider.from_fitted(before).promise
    if replaced is not None:
        promised_before = max(promised_before, Decider.from_fitted(replaced).promise)
    promise = PromiseChange(
        precision_before=promised_before,
        precision_after=Decider.from_fitted(after).promise,
        n_answered_before=int(answered_before.sum()),
        n_answered_after=int(answered_after.sum()),
        is_coverage_worse=changes.is_coverage_worse,
    )
    names_before, names_after = _topic_names(before), _topic_names(after)
    names_replaced = [] if replaced is None else _topic_names(replaced)
    return CorrectionResult(
        experiment=experiment,
        training_sets=sets,
        paired=compare_paired(
            y_true,
            answers_after,
            answers_before,
            classes=({*names_after}, {*names_before}),
            seed=after.seed,
        ),
        topics=tuple(changes.topics),
        is_accuracy_worse=changes.is_accuracy_worse,
        promise=promise,
        corrected_accuracy=corrected_accuracy,
        missing_topics=tuple(name for name in names_replaced if name not in {*names_after}),
    )


def count_newly_corrected(
    before: Fitted, after: Fitted, texts: Sequence[str], topics: Sequence[Any]
) -> NewlyCorrected | None:
    """Count the corrected texts that only the new model answers correctly; None without texts."""
    if not texts:
        return None
    was_right = _is_right(topics, _answers(before, texts))
    is_right = _is_right(topics, _answers(after, texts))
    n_better = sum(now and not then for now, then in zip(is_right, was_right, strict=True))
    return NewlyCorrected(len(texts), n_better)


def check_model_file(path: Path, texts: Sequence[str]) -> ModelFile:
    """Return the content of a model file; raise TrainingError unless its model answers texts."""
    try:
        fitted, file = load_model(path)
        Decider.from_fitted(fitted).decide(texts)
    except Exception as error:  # any of these would make a server fail
        raise TrainingError(
            f"the new model can't be loaded from its file and answer texts ({error})"
        ) from error
    return file


def restore_integer_topics(fitted: Fitted, before: Iterable[Topic]) -> Fitted:
    """Return the model with integer topics if the replaced model has integer topics.

    Topics read from files are strings. They stay strings if one of them is not a number.
    """
    names = [str(name) for name in fitted.topics.names]
    is_numbered = all(isinstance(name, int) for name in before)
    if not is_numbered or not all(_NUMBER.fullmatch(name) for name in names):
        return fitted
    return replace(fitted, topics=Topics([int(name) for name in names]))


def _is_answered(fitted: Fitted, texts: Sequence[str]) -> Mask:
    """Return a mask of the answered texts."""
    decider = Decider.from_fitted(fitted)
    if decider.precision is None:
        return np.ones(len(texts), dtype=bool)
    return np.array([decision.reason is None for decision in decider.decide(texts)], dtype=bool)


def _topic_names(fitted: Fitted) -> list[str]:
    return [str(name) for name in fitted.topics.names]


def _answers(fitted: Fitted, texts: Sequence[str]) -> list[Any]:
    return [stringify_topic(topic) for topic in fitted.answers(texts)] if texts else []


def _corrected_accuracy(
    sets: TrainingSets, before: Fitted, settings: FitSettings, seed: int, progress: Progress | None
) -> CorrectedAccuracy:
    """Count right answers to corrected texts by cross-validation over the corrections."""
    corrections = sets.corrections
    n_asked = n_before = n_after = 0
    n_folds = min(_N_FOLDS, len(corrections))
    folds = make_folds(corrections.topics, n_folds, seed) if n_folds > 1 else np.array([0])
    n_evaluated = 1 if len(sets.learned) > _MAX_CROSS_VALIDATED else n_folds
    for fold in range(n_evaluated):
        rows = np.flatnonzero(folds == fold).tolist()
        corpus = sets.without(rows)
        if not len(corpus):
            continue
        texts = [corrections.texts[row] for row in rows]
        y_true = [corrections.topics[row] for row in rows]
        n_asked += len(rows)
        n_before += sum(_is_right(y_true, _answers(before, texts)))
        after = fit(corpus, settings, progress=progress)
        n_after += sum(_is_right(y_true, _answers(after, texts)))
    return CorrectedAccuracy(n_asked, n_before, n_after)


def _is_right(y_true: Sequence[Any], answers: Sequence[Any]) -> list[bool]:
    pairs = zip(as_sets(y_true), as_sets(answers), strict=True)
    return [{*topics} == {*answer} for topics, answer in pairs]


def _describe_loss(change: TopicChange) -> str:
    """Describe a topic's loss."""
    instead = ""
    if change.lost_to is not None:
        instead = f", most others now get {short_repr(change.lost_to)}"
    false_before = change.n_predicted_before - change.n_true_positives_before
    false_after = change.n_predicted_after - change.n_true_positives_after
    return (
        f"topic {short_repr(change.topic)} got clearly worse: of its "
        f"{counted(change.n_documents, 'test document')}, {change.n_true_positives_after:,} get it "
        f"and {change.n_true_positives_before:,} did before{instead}; of all others, "
        f"{false_after:,} get it and {false_before:,} did before"
    )
