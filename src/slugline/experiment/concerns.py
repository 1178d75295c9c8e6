"""Warnings about data, settings and models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from slugline.base.checks import short_repr
from slugline.base.words import all_of, counted, have, percent
from slugline.classifier import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.corpus.topic_sets import as_sets
from slugline.corpus.topics import name_warnings
from slugline.errors import DataError
from slugline.learning.encoder.encoder import AUTO, get_encoder
from slugline.learning.net.training import History
from slugline.model.fitted import Fitted
from slugline.text.table_columns import odd_cells, odd_cells_note

#: A topic with fewer documents than this gets a warning; the newswire lesson's rarest has as many.
FEW_DOCUMENTS = 10
#: Share of known test documents from which on there is a warning.
_LEAK = 0.01


def topic_warnings(
    counts: Mapping[str, int], described: Iterable[str] = (), *, multilabel: bool = False
) -> list[str]:
    """Return warnings about the number of documents of each topic, the most frequent first.

    `described` are topics that have a description, and perhaps no document.
    """
    n_documents = sum(counts.values())
    described = {str(topic) for topic in described}
    if len(counts.keys() | described) == 1 and counts and not multilabel:
        only = next(iter(counts))
        return [
            f"{all_of(n_documents, 'document')} {have(n_documents)} the topic {short_repr(only)}: "
            "there is nothing to tell apart, and the model will always answer it. Add documents of "
            "other topics."
        ]
    spelled = name_warnings(counts, described)
    few = [topic for topic, n in counts.items() if n < FEW_DOCUMENTS and topic not in described]
    if not few:
        return spelled
    rarest = ", ".join(f"{topic} ({counts[topic]})" for topic in few[-5:][::-1])
    them = "it" if len(few) == 1 else "them"
    return [
        *spelled,
        f"{len(few):,} of {counted(len(counts), 'topic')} {have(len(few))} fewer than "
        f"{FEW_DOCUMENTS} training documents, such as {rarest}: expect {them} to be missed. Add "
        "documents, or merge topics.",
    ]


def leak_warnings(train: Corpus, test: Corpus) -> list[str]:
    """Return a warning if test documents occur among the training documents."""
    training_texts = set(train.texts)
    n_leaked = sum(text in training_texts for text in test.texts)
    if n_leaked <= _LEAK * len(test):
        return []
    return [
        f"{n_leaked:,} of the {counted(len(test), 'test document')} {have(n_leaked)} exactly the "
        "text of a training document, so the results look better than they are. "
        "Remove duplicates, or test on other documents."
    ]


def known_document_warnings(
    fitted: Fitted, corpus: Corpus, test_fraction: float | None = None
) -> list[str]:
    """Return a warning if a model is evaluated on documents that it learned from.

    `test_fraction` is the share that was set aside in training, as the model file says.
    """
    if fitted.data_digest == corpus.digest():
        all_of_them = "" if len(corpus) == 1 else "all of "
        return [_known_documents_message(f"{all_of_them}{_these(corpus)}")]
    if fitted.validation_digest == corpus.digest():
        return [
            "the model's best epoch was chosen on these documents, so the results look better than "
            "they are. Evaluate it on others."
        ]
    if test_fraction is None:
        return []
    try:
        train, test = corpus.split(test_fraction, fitted.seed)
    except DataError:  # nothing to set aside: its data were others
        return []
    if train.digest() != fitted.data_digest:
        return []
    return [
        _known_documents_message(
            f"{len(train):,} of {_these(corpus)}, and only the other {len(test):,} "
            f"{'is' if len(test) == 1 else 'are'} new to it"
        )
    ]


def _these(corpus: Corpus) -> str:
    return "this document" if len(corpus) == 1 else f"these {len(corpus):,} documents"


def _known_documents_message(documents: str) -> str:
    return (
        f"the model learned from {documents}: the results show how well it remembers, not how well "
        "it does on new documents. Evaluate it on documents that it has not seen."
    )


def encoder_warnings(
    classifier: TopicClassifier, unlabelled: Sequence[str] | None = None
) -> list[str]:
    """Return a warning if a fitted classifier lacks the encoder, or texts, that it was to use."""
    if classifier.encoder == AUTO and unlabelled and classifier.fitted_.encoder is None:
        return ["no encoder was chosen, so `X_unlabelled` counts for nothing."]
    if classifier.encoder in (None, AUTO) or classifier.fitted_.encoder is not None:
        return []
    return [get_encoder(classifier.encoder).omission_warning]


def fit_warnings(fitted: Fitted) -> list[str]:
    """Return warnings about settings, or how training ended, that cost accuracy."""
    unused = [c.name for c in fitted.features.table_columns if c not in fitted.columns]
    warnings = [
        f"column {short_repr(name)} is unused: most of what it seems to tell of the topics is "
        "chance. Give more documents, or leave it out."
        for name in unused
    ]
    n_topics = len(fitted.topics)
    widths = fitted.learner.settings().get("hidden", ())
    narrow = [units for units in widths if units < n_topics]
    if narrow:
        warnings.append(
            f"a hidden layer of {narrow[0]} units is narrower than the {n_topics} topics: an "
            "information bottleneck, as what it drops no later layer can bring back. "
            f"Train with `hidden={max(64, n_topics)}`, or without it."
        )
    if not fitted.n_documents and fitted.descriptions:
        warnings.append(
            "the model was made from descriptions of topics alone, and no document has shown how "
            "good they are. Its probabilities are not calibrated: they rank topics, but don't say "
            "how often it is right. A few labelled documents per topic make it better."
        )
    history = fitted.history
    if history is None and fitted.interrupted:
        warnings.append(
            f"training was interrupted: the model has learned from {fitted.n_learned:,} of the "
            f"{fitted.n_documents:,} documents, drawn at random."
        )
    if history is not None and history.stopped_by == "interrupt":
        warnings.append(_interrupted(history, fitted.n_held_out))
    elif history is not None and history.best_epoch == history.n_epochs and not history.stopped_by:
        warnings.append(
            f"the validation loss was still falling at epoch {history.n_epochs}, the last: the net "
            f"could learn more. Use `epochs={2 * history.n_epochs}`."
        )
    if fitted.tuning is not None and fitted.tuning.interrupted:
        warnings.append(
            f"the search was interrupted after {counted(len(fitted.tuning.trials), 'way')} to "
            "learn: the model is learned in the best of these. Let `tune` come to its end for more."
        )
    return warnings


def model_warnings(fitted: Fitted, test: Corpus) -> list[str]:
    """Return warnings about settings, or about a test unlike the training documents."""
    warnings = fit_warnings(fitted)
    # An encoder knows the words of its languages, wherever they stand.
    is_blind = fitted.dense is None
    known_share = fitted.features.vocabularies_[0].known_share(test.texts) if is_blind else 1.0
    if known_share < 0.5:
        is_cut = fitted.features.blocks[0].max_terms is not None
        warnings.append(
            f"{percent(1 - known_share, 0)} of the words in the test documents are unknown to the "
            "model: it judges by the rest. Learn from more documents, of the kind that you test on"
            f"{', or keep more words with `max_terms`' if is_cut else ''}."
        )
    if note := odd_cells_note(odd_cells(test.texts, fitted.columns).values()):
        warnings.append(f"{test.name}: {note}.")
    topics = {str(name) for name in fitted.topics.names}
    sets = as_sets(test.topics)
    unknown = [names for names in sets if not topics.issuperset(names)]
    if unknown:
        example = next(name for name in unknown[0] if name not in topics)
        warnings.append(
            f"{len(unknown):,} of the {counted(len(test), 'test document')} {have(len(unknown))} "
            f"a topic that the model doesn't know, such as {short_repr(example)}, and "
            f"{'counts' if len(unknown) == 1 else 'count'} as wrong. Train with documents of such "
            "topics, or leave them out of the test."
        )
    return warnings


def _interrupted(history: History, n_held_out: int) -> str:
    said = (
        f"training was interrupted: the model is the one after epoch {history.best_epoch}, the "
        f"best of {history.n_epochs}"
    )
    if not n_held_out:  # a file served to find the epoch
        return f"{said}."
    held_out = counted(n_held_out, "document")
    return f"{said}, and has not learned from the {held_out} held out to find it."
