"""Explains the score of one text."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np

from slugline.base.arrays import F64, Integers
from slugline.base.checks import check_whole, option_error, short_repr
from slugline.base.words import counted
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import Topic
from slugline.errors import DataError, OptionError
from slugline.explain.attribution import (
    WordAttribution,
    adjust_to_sum,
    attribute,
    attribute_to_words,
    merge_attributions,
)
from slugline.explain.explanation import Explanation, Reason, TrainingExample, nearest_documents
from slugline.learning.encoder.head import DenseHead
from slugline.learning.encoder.rows import encode
from slugline.model.fitted import Fitted
from slugline.text.terms import SpanMapper
from slugline.text.words import Words, find_words, span_text

__all__ = [
    "explain",
    "find_topic",
    "split_encoder_share",
]


# What each part of a text has in what an encoder, which reads it as a whole, adds to a score ------

# Parts that are left out one at a time, each of which has to be encoded. Of more, neighbours are
# left out together.
_MAX_VARIANTS = 50
_END_OF_SENTENCE = re.compile("[.!?。！？؟।\n]")


def split_encoder_share(
    text: str, words: Words, dense: DenseHead, weights: F64, total: float
) -> WordAttribution:
    """Share out what the encoder adds among the sentences of a text, or the words of a single one.

    Each part gets what is missing without it. What these amounts miss the total by, as parts mean
    something together, is split evenly, so that the sum is exact.

    Parameters
    ----------
    text : str
    words : Words
        Those of the text, of which there must be one at least.
    dense : DenseHead
    weights : float64 array, shape (encoder.width,)
        What each of the encoder's columns counts.
    total : float
        What the encoder adds in all.

    References
    ----------
    Moulin (1985), The separability axiom and equal-sharing methods: equal allocation of what is not
    separable, here of the score.
    """
    starts, ends = SpanMapper(text, words).to_text_positions(words.starts, words.ends)
    firsts, lasts = _parts(text, starts, ends)
    without = [
        text[: starts[first]] + text[ends[last] :]
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)
    ]
    rows = encode(without, dense.encoder, keep=False).astype(np.float64)
    own = total - rows @ weights
    own += (total - own.sum()) / len(own)
    return WordAttribution(words.starts[firsts], words.ends[lasts], own)


def _parts(text: str, starts: list[int], ends: list[int]) -> tuple[Integers, Integers]:
    """Return the first and the last word of each part."""
    begins = [
        word
        for word in range(len(starts))
        if word == 0 or _END_OF_SENTENCE.search(text, ends[word - 1], starts[word])
    ]
    if len(begins) == 1:
        begins = list(range(len(starts)))
    size = -(-len(begins) // _MAX_VARIANTS)
    firsts = np.array(begins[::size])
    return firsts, np.append(firsts[1:], len(starts)) - 1


# Explains the score of one text -------------------------------------------------------------------

Documents: TypeAlias = Corpus | tuple[Iterable[str], Iterable[Topic]]

# Words and phrases that are listed one by one: more than anybody reads, and few for a machine.
_MAX_REASONS = 1000
_N_EXAMPLES = 5
# Characters of an unknown topic for which the nearest is looked for.
_LONGEST = 1000
# Characters of a word in a reason; offsets say where the whole of it is.
_LONGEST_WORD = 100
_BY_ENCODER = "the meaning of the whole text, by the encoder"


def explain(
    fitted: Fitted,
    text: str,
    topic: Topic | None = None,
    *,
    against: Topic | None = None,
    most: int = _MAX_REASONS,
    split_encoder: bool = False,
    corpus: Documents | None = None,
) -> Explanation:
    """Return which words of a text speak for a topic and against it, and how much each counts.

    The shares of all words and phrases add up to the score that the model gives, less what an empty
    text would get. For a linear learner, they are the weights times the values of the row; for nets
    they are those of DeepLIFT's Rescale rule, and for mixtures integrated gradients over the
    learners' scores: see `slugline.explain.attribution`. What an encoder adds is one reason. Shares
    are calculated in float64, while models score in float32; what that rounds, some millionths, is
    shared out as well.

    Parameters
    ----------
    fitted : Fitted
    text : str
    topic : str or int, optional
        The one that is answered by default.
    against : str or int, optional
        Explain how far `topic` is above this topic, instead of its score.
    most : int, default 1000
        How many places of words and phrases to list, the strongest first. What the others count is
        summed up in a last reason.
    split_encoder : bool, default False
        Share out what an encoder adds among the sentences of the text, or the words of a single
        one, by encoding it without each; see `slugline.explain.explain`.
    corpus : Corpus or (texts, topics), optional
        The documents that the model learned from. Those that are most alike in what spoke for the
        topic are then among the examples; see `slugline.explain.explanation.nearest_documents`.

    Raises
    ------
    DataError : if the text is none, the model has no such topic, or `corpus` is no list of
        documents.
    OptionError : if `against` is `topic`, `most` is not over 0, or the model has a learner of your
        own.
    """
    check_whole("most", most, 1)
    if not isinstance(text, str):
        raise DataError(f"`text` is {short_repr(text)}; give one text, as a string.")
    answer = _Answer(fitted, text)
    names = fitted.topics.names
    number = answer.best if topic is None else names.index(find_topic(fitted, topic))
    wanted, other = _wanted(fitted, number, against)
    score = float(answer.scores[number]) - (0 if other is None else float(answer.scores[other]))
    shares, bias, method = _shares(fitted, answer, wanted, score)
    n_columns = len(answer.X.indices)
    shares, meant = shares[:n_columns], shares[n_columns:].tolist()
    words = find_words([text])
    found = attribute_to_words(words, fitted.features, answer.X.indices, shares)
    if split_encoder and fitted.dense is not None and len(words):
        own = fitted.dense.weights.astype(np.float64) @ wanted
        found = merge_attributions(
            [found, split_encoder_share(text, words, fitted.dense, own, meant.pop())]
        )
    more = [Reason(_BY_ENCODER, None, None, share) for share in meant]
    return Explanation(
        text=text,
        topic=names[number],
        against=None if other is None else names[other],
        score=score,
        bias=bias,
        probability=float(answer.proba[number]),
        reasons=_reasons(text, words, found, more, most),
        n_words=len(words),
        n_unlisted=max(0, len(found.values) - most),
        method=method,
        examples=_examples(fitted, answer.X, shares, names[number], corpus),
    )


def find_topic(fitted: Fitted, topic: Any) -> Topic:
    """Return the model's topic of that name, or whose number is written so.

    Raises
    ------
    DataError : if there is none; the message names the nearest.
    """
    by_name = {str(name): name for name in fitted.topics.names}
    if str(topic) in by_name:
        return by_name[str(topic)]
    near = difflib.get_close_matches(str(topic)[:_LONGEST], by_name, n=1, cutoff=0.5)
    advice = (
        f"did you mean {by_name[near[0]]!r}?"
        if near
        else f"it has {short_repr(fitted.topics.names)}."
    )
    raise DataError(f"the model has no topic {short_repr(topic)}; {advice}")


class _Answer:
    """What a model says of one text, and what it is made of."""

    def __init__(self, fitted: Fitted, text: str) -> None:
        self.X = fitted.features.transform([text])
        scores = fitted.learner.decision_function(self.X)
        if fitted.dense is None:
            proba = fitted.learner.predict_proba(self.X)
        else:
            encoded = fitted.dense.rows([text], fitted.features.n_jobs)
            self.encoded = encoded[0].astype(np.float64)
            scores = fitted.dense.add_scores(scores, encoded)
            proba = fitted.dense.predict_proba(scores)
        self.scores, self.proba = scores[0], proba[0]
        self.best = int(self.scores.argmax())


def _shares(fitted: Fitted, answer: _Answer, wanted: F64, score: float) -> tuple[F64, float, str]:
    """Return what each column, and the encoder if there is one, adds to the score; bias; method."""
    parts = attribute(fitted.learner, answer.X.indices, answer.X.data)
    shares, bias = parts.shares(wanted), float(parts.base @ wanted)
    if fitted.dense is not None:
        factor, weights = fitted.dense.sparse_factor, fitted.dense.weights.astype(np.float64)
        shares = np.append(factor * shares, answer.encoded @ weights @ wanted)
        bias = factor * bias + float(fitted.dense.biases @ wanted)
    return adjust_to_sum(shares, score - bias), bias, parts.method


def _wanted(fitted: Fitted, number: int, against: Any) -> tuple[F64, int | None]:
    """Return the factor of each topic's score, and the number of the other topic."""
    wanted = np.zeros(len(fitted.topics))
    wanted[number] = 1
    if against is None:
        return wanted, None
    names = fitted.topics.names
    other = names.index(find_topic(fitted, against))
    if other == number:
        raise OptionError(
            f"`against` is {short_repr(names[other])}, which is the topic to explain; name another "
            "one, or say with `topic` which one to compare it with."
        )
    wanted[other] = -1
    return wanted, other


def _reasons(
    text: str, words: Words, found: WordAttribution, more: list[Reason], most: int
) -> tuple[Reason, ...]:
    """Return the strongest places as reasons, and what the others count as one."""
    order = np.argsort(-np.abs(found.values), kind="stable")
    best, rest = order[:most], order[most:]
    firsts, lasts = found.starts[best], found.ends[best]
    starts, ends = SpanMapper(text, words).to_text_positions(firsts, lasts)
    listed = [
        Reason(_spelled(words.buffer[first:last]), start, end, share)
        for first, last, start, end, share in zip(
            *(firsts.tolist(), lasts.tolist(), starts, ends, found.values[best].tolist()),
            strict=True,
        )
    ]
    reasons = sorted([*listed, *more], key=lambda reason: -abs(reason.share))
    if len(rest):
        others = f"{counted(len(rest), 'weaker place')} of words and phrases"
        reasons.append(Reason(others, None, None, float(found.values[rest].sum())))
    return tuple(reasons)


def _spelled(word: bytes) -> str:
    """Return a word as text, without the end of one as long as a code or a picture."""
    if len(word) <= _LONGEST_WORD:
        return span_text(word)
    # No character has more than four bytes, so that the cut is behind those that are kept.
    return word[: 4 * _LONGEST_WORD].decode("utf-8", "ignore")[: _LONGEST_WORD - 1] + "…"


def _examples(
    fitted: Fitted,
    X: Any,
    shares: F64,
    topic: Topic,
    corpus: Documents | None,
) -> tuple[TrainingExample, ...]:
    if corpus is None:
        return ()
    try:
        texts, topics = (corpus.texts, corpus.topics) if isinstance(corpus, Corpus) else corpus
    except (TypeError, ValueError) as error:
        raise option_error(
            "corpus", corpus, "a Corpus, or texts and topics: (texts, topics)"
        ) from error
    by_column = np.zeros(fitted.features.n_columns)
    by_column[X.indices] = shares
    place = corpus.place if isinstance(corpus, Corpus) else _number
    return nearest_documents(fitted, texts, topics, topic, by_column, _N_EXAMPLES, place)


def _number(row: int) -> str:
    return f"document {row + 1}"
