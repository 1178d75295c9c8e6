"""Explains the scores of a text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from slugline.base.arrays import F32, F64, Integers, Mask
from slugline.base.checks import check_whole, option_error, short_repr
from slugline.base.wording import counted, nearest
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import Topic
from slugline.corpus.topic_sets import as_sets, check_documents, sets_with_parents
from slugline.errors import DataError, OptionError, Parameter
from slugline.explanation import attribution
from slugline.explanation.explanation import Explanation, Reason, TrainingExample
from slugline.learning.encoder.encoder import CheckedEncoder
from slugline.learning.encoder.head import DenseHead
from slugline.learning.encoder.rows import encode
from slugline.model.decider import Decider
from slugline.model.fitted import Fitted
from slugline.text.features import Features
from slugline.text.terms import SpanMapper
from slugline.text.tokens import Words, find_words, span_text

# Attribution of the encoder -----------------------------------------------------------------------

# The largest number of parts, such as sentences, that are left out one at a time, each of which
# needs an encoding; if there are more sentences, neighbours are one part.
_MAX_PARTS = 50
# Long texts have fewer parts, so that about this number of characters are encoded ...
_MAX_ENCODED = 16_000
# ... but no fewer than this.
_MIN_PARTS = 10
_END_OF_SENTENCE = re.compile("[.!?。！？؟।\n]")


class WordRows(NamedTuple):
    """What the words of a text add to its row, in the columns of encoders that sum their vectors.

    Attributes
    ----------
    starts, ends : int array, shape (n_words,)
        The positions of the words in the bytes of the words.
    rows : float64 array, shape (n_words, encoder.width)
        Their sum is the text's row in these columns; other columns are 0.
    columns : bool array, shape (encoder.width,)
    """

    starts: Integers
    ends: Integers
    rows: F64
    columns: Mask

    @classmethod
    def divide(cls, text: str, encoder: CheckedEncoder, row: F64) -> WordRows | None:
        """Divide the row of a text among its words; None if no encoder sums vectors of words."""
        parts = encoder.parts or (encoder,)
        widths = [part.width or len(row) for part in parts]
        columns, spans = np.zeros(len(row), dtype=bool), [np.zeros((0, 2), dtype=np.intp)]
        rows = [np.zeros((0, len(row)))]
        for part, end, width in zip(parts, np.cumsum(widths).tolist(), widths, strict=True):
            if part.summing_encoder is None:
                continue
            contributions = part.summing_encoder.word_contributions(text)
            own = slice(end - width, end)
            columns[own] = True
            if contributions and row[own].any():
                firsts, lasts, vectors = zip(*contributions, strict=True)
                of_words = np.zeros((len(vectors), len(row)))
                of_words[:, own] = vectors
                length = np.linalg.norm(of_words.sum(axis=0))
                rows.append(of_words * (np.linalg.norm(row[own]) / (length or 1.0)))
                spans.append(np.array([firsts, lasts]).T)
        if not columns.any():
            return None
        starts, ends = np.concatenate(spans).T
        return cls(starts, ends, np.concatenate(rows), columns)

    def attributions(self, weights: F64) -> attribution.SpanAttributions:
        """Return the attribution of each word, given the weights of all columns."""
        return attribution.SpanAttributions(self.starts, self.ends, self.rows @ weights)


class EncodedParts(NamedTuple):
    """The parts of a text (sentences, or words of a single sentence), and the text without each.

    Attributes
    ----------
    starts, ends : int array, shape (n_parts,)
        The positions of the parts in the bytes of the words.
    rows : float64 array, shape (n_parts, encoder.width)
        The encoder's rows of the text without each part.
    """

    starts: Integers
    ends: Integers
    rows: F64

    @classmethod
    def leave_out(cls, text: str, words: Words, dense: DenseHead) -> EncodedParts:
        """Encode a text of at least one word without each of its parts."""
        starts, ends = SpanMapper(text, words).to_text_positions(words.starts, words.ends)
        firsts, lasts = _parts(text, starts, ends)
        without = [
            text[: starts[first]] + text[ends[last] :]
            for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)
        ]
        rows = encode(without, dense.encoder, cache_rows=False).astype(np.float64)
        return cls(words.starts[firsts], words.ends[lasts], rows)

    def attributions(self, weights: F64, total: float) -> attribution.SpanAttributions:
        """Return the encoder's attribution to each part.

        A part's attribution is the difference that leaving it out makes. The remaining difference
        to `total`, the encoder's part of the score, is divided evenly, so that the sum is exact.

        Parameters
        ----------
        weights : float64 array, shape (encoder.width,)
            Weights of the encoder's columns.
        total : float

        References
        ----------
        Moulin (1985), The separability axiom and equal-sharing methods: equal allocation of what is
        not separable, here of the score.
        """
        attributions = total - self.rows @ weights
        attributions += (total - attributions.sum()) / len(attributions)
        return attribution.SpanAttributions(self.starts, self.ends, attributions)


def _parts(text: str, starts: list[int], ends: list[int]) -> tuple[Integers, Integers]:
    """Return the first and the last word of each part."""
    begins = [
        word
        for word in range(len(starts))
        if word == 0 or _END_OF_SENTENCE.search(text, ends[word - 1], starts[word])
    ]
    if len(begins) == 1:
        begins = list(range(len(starts)))
    n_parts = min(_MAX_PARTS, max(_MIN_PARTS, _MAX_ENCODED // len(text)))
    size = -(-len(begins) // n_parts)
    firsts = np.array(begins[::size])
    return firsts, np.append(firsts[1:], len(starts)) - 1


# Explanations -------------------------------------------------------------------------------------

Documents: TypeAlias = Corpus | tuple[Iterable[str], Iterable[Any]]

# The number of words and phrases that are listed one by one: more than anybody reads, but few for a
# program.
_MAX_REASONS = 1000
_N_EXAMPLES = 5
# The number of characters of an unknown topic that are compared with known ones.
_MAX_COMPARED = 1000
# The largest number of characters of a word in a reason; its offsets are those of the whole word.
_MAX_WORD = 100
_BY_ENCODER = "the meaning of the whole text, by the encoder"


def explain(
    fitted: Fitted,
    text: str,
    topic: Topic | None = None,
    *,
    against: Topic | None = None,
    max_reasons: int = _MAX_REASONS,
    split_encoder: bool = True,
    corpus: Documents | None = None,
) -> Explanation:
    """Explain the score of a topic by what each word and phrase adds to it.

    The attributions of all words and phrases add up to the score minus that of an empty text. For a
    linear learner, they are weights times values; for nets, those of DeepLIFT's Rescale rule; and
    for mixtures, integrated gradients over the learners' scores; see
    `slugline.explanation.attribution`. Word vectors get exact attributions as well; see `WordRows`.
    The attribution of any other encoder is divided among the sentences of the text, or the words of
    a single one; see `EncodedParts`. Attributions are calculated in float64, and include the
    rounding error of the model's score in float32, some millionths.

    Parameters
    ----------
    fitted : Fitted
    text : str
    topic : str or int, optional
        The predicted topic by default; for a multilabel model, all topics given, or else the most
        likely one.
    against : str or int, optional
        Explain the difference between the scores of `topic` and of this topic.
    max_reasons : int, default 1000
        Number of places of words and phrases to list, the strongest first. The last reason sums up
        the others.
    split_encoder : bool, default True
        If False, the attribution of an encoder other than word vectors is one reason without a
        place, which needs no further encodings; use this for thousands of texts.
    corpus : Corpus or (texts, topics), optional
        The training documents, among which the examples are found: documents of the topic that
        share most of the reasons. Similarity is the inner product of a document's row, of length 1,
        and the attributions of the text's columns, so terms on which the model relies count more.
        Without these documents, the model might still predict the topic. The encoder is not
        considered.

    Raises
    ------
    DataError : if `text` is not a string, or `corpus` holds no documents.
    OptionError : if the model has no such topic, `against` is `topic`, `max_reasons` is not over 0,
        the learner is not Slugline's, or `against` is given for a multilabel model.
    """
    check_whole("max_reasons", max_reasons, 1)
    if not isinstance(text, str):
        raise DataError(Parameter("text"), f" is {short_repr(text)}; give one text, as a string.")
    answer = _Answer(fitted, text)
    names = fitted.topics.names
    given = _given_topics(fitted, text, against) if fitted.multilabel else None
    others: list[Topic] = []
    if topic is None and given is not None and given.topics:
        topic, *others = given.topics
    numbers = [
        answer.best if topic is None else names.index(find_topic(fitted, topic)),
        *map(names.index, others),
    ]
    words = find_words([text])
    division = None
    if answer.dense is not None and answer.encoded is not None:
        division = _EncoderDivision.divide(
            text, words, answer.dense, answer.encoded, split=split_encoder
        )
    first, *rest = (
        _explain_topic(
            fitted,
            answer,
            words,
            number,
            division=division,
            given=given,
            against=against,
            max_reasons=max_reasons,
            corpus=corpus,
        )
        for number in numbers
    )
    return replace(first, others=tuple(rest))


def _explain_topic(
    fitted: Fitted,
    answer: _Answer,
    words: Words,
    number: int,
    *,
    division: _EncoderDivision | None,
    given: _GivenTopics | None,
    against: Topic | None,
    max_reasons: int,
    corpus: Documents | None,
) -> Explanation:
    """Return an explanation of the score of one topic, which is given by its number."""
    names = fitted.topics.names
    factors, other = _score_factors(fitted, number, against)
    score = float(answer.scores[number]) - (0 if other is None else float(answer.scores[other]))
    attributor = attribution.make_attributor(fitted.learner, answer.X.indices, answer.X.data)
    attributions, bias = _attributions(answer, attributor, factors, score)
    n_columns = len(answer.X.indices)
    by_column = attributions[:n_columns]
    places = attribution.attribute_to_words(words, fitted.features, answer.X.indices, by_column)
    other_reasons = _column_reasons(fitted.features, answer.X.indices, by_column)
    if division is not None:
        of_encoder, undivided = division.attributions(factors, float(attributions[-1]))
        places = attribution.merge_attributions([places, *of_encoder])
        if undivided:
            other_reasons.insert(0, Reason(_BY_ENCODER, None, None, undivided))
    return Explanation(
        text=answer.text,
        topic=names[number],
        against=None if other is None else names[other],
        score=score,
        bias=bias,
        probability=float(answer.proba[number]),
        reasons=_reasons(answer.text, words, places, other_reasons, max_reasons),
        n_words=len(words),
        n_unlisted=max(0, len(places.values) - max_reasons),
        method=attributor.method,
        is_approximate=attributor.is_approximate,
        examples=_examples(fitted, answer.X, by_column, names[number], corpus),
        threshold=None if given is None else given.threshold(number),
        is_given=None if given is None else names[number] in given.with_parents,
    )


class _EncoderDivision(NamedTuple):
    """How the encoder's attribution is divided among the words and sentences of a text.

    Attributes
    ----------
    dense : DenseHead
    row : float64 array, shape (encoder.width,)
        The encoder's row of the text.
    words : WordRows or None
        None if no encoder sums vectors of words.
    parts : EncodedParts or None
        None if what other encoders add is not divided.
    """

    dense: DenseHead
    row: F64
    words: WordRows | None
    parts: EncodedParts | None

    @classmethod
    def divide(
        cls, text: str, words: Words, dense: DenseHead, row: F64, *, split: bool
    ) -> _EncoderDivision:
        """Divide the row among words if it is a sum of theirs, and, if `split`, among sentences."""
        of_words = WordRows.divide(text, dense.encoder, row)
        is_whole = of_words is not None and of_words.columns.all()
        needs_parts = split and not is_whole and len(words)
        parts = EncodedParts.leave_out(text, words, dense) if needs_parts else None
        return cls(dense, row, of_words, parts)

    def attributions(
        self, factors: F64, by_encoder: float
    ) -> tuple[list[attribution.SpanAttributions], float]:
        """Return attributions of words and parts, and the remaining one, which has no place."""
        weights = self.dense.weights.astype(np.float64) @ factors
        places = []
        if self.words is not None:
            of_words = self.words.attributions(weights)
            if self.words.columns.all():
                exact = attribution.adjust_to_sum(of_words.values, by_encoder)
                return [of_words._replace(values=exact)], 0.0
            places.append(of_words)
            by_encoder -= float(of_words.values.sum())
            weights = np.where(self.words.columns, 0, weights)
        if self.parts is None:
            return places, by_encoder
        return [*places, self.parts.attributions(weights, by_encoder)], 0.0


class _GivenTopics(NamedTuple):
    """The topics that a multilabel model gives to a text.

    Attributes
    ----------
    topics : list of str or int
        The most likely first.
    with_parents : tuple of str or int
        Also the parents of topics that are paths.
    thresholds : float array, shape (n_topics,), or None
        The lowest probabilities at which topics are given; None for paths.
    """

    topics: list[Topic]
    with_parents: tuple[Topic, ...]
    thresholds: F32 | None

    def threshold(self, number: int) -> float | None:
        """Return the threshold of a topic by its number."""
        return None if self.thresholds is None else float(self.thresholds[number])


def _given_topics(fitted: Fitted, text: str, against: Topic | None) -> _GivenTopics:
    """Return the topics that are given to a text; raise OptionError if `against` is given."""
    if against is not None:
        raise OptionError(
            Parameter("against"),
            " compares topics of which a text has only one, but this model decides about each "
            "topic separately; leave it out.",
        )
    decider = Decider.from_fitted(fitted)
    topics = [*(decider.decide([text])[0].topics or [])]
    [with_parents] = sets_with_parents([tuple(topics)], fitted.separator)
    return _GivenTopics(topics, with_parents, decider.decision_thresholds)


def _column_reasons(features: Features, columns: Integers, attributions: F64) -> list[Reason]:
    """Return the attributions of terms of extra columns, such as product=Card."""
    if not features.table_columns:
        return []
    first = features.n_columns - features.vocabularies_[-1].n_columns
    return [
        Reason(str(features.term(column)), None, None, value)
        for column, value in zip(columns.tolist(), attributions.tolist(), strict=True)
        if column >= first and value
    ]


def find_topic(fitted: Fitted, topic: Any) -> Topic:
    """Return the model's topic with this name, or the numeric topic that is written like this.

    Raises OptionError with the most similar name if there is none.
    """
    by_name = {str(name): name for name in fitted.topics.names}
    if str(topic) in by_name:
        return by_name[str(topic)]
    near = nearest(str(topic)[:_MAX_COMPARED], by_name, 0.5)
    advice = (
        f"it has {short_repr(fitted.topics.names)}."
        if near is None
        else f"did you mean {by_name[near]!r}?"
    )
    raise OptionError(f"the model has no topic {short_repr(topic)}; {advice}")


class _Answer:
    """A model's row, scores and probabilities for one text, and the head that answers it."""

    def __init__(self, fitted: Fitted, text: str) -> None:
        self.text = text
        self.X, words = fitted.features.read([text])
        scores = fitted.learner.decision_function(self.X)
        proba = fitted.learner.predict_proba(self.X)
        self.dense = fitted.dense
        if self.dense is not None and self.dense.cascade is not None:
            by_fast = fitted.fast_stage.predict_proba([text])
            if not self.dense.needs_encoder(by_fast, words)[0]:
                self.dense = self.dense.fast_head
        self.encoded: F64 | None = None  # the encoder's row, if the encoder is used for this text
        if self.dense is not None:
            encoded = self.dense.rows([text], fitted.features.n_jobs)
            if self.dense.encoder.find_known(encoded)[0]:
                self.encoded = encoded[0].astype(np.float64)
                scores = self.dense.add_scores(scores, encoded)
                proba = self.dense.predict_proba(scores)
        if fitted.multilabel_rule is not None:
            proba = fitted.multilabel_rule.make_consistent(proba)
        self.scores, self.proba = scores[0], proba[0]
        self.best = int((self.proba if fitted.multilabel else self.scores).argmax())


def _attributions(
    answer: _Answer, attributor: attribution.Attributor, factors: F64, score: float
) -> tuple[F64, float]:
    """Return what the columns and the encoder add to the score, and the bias."""
    attributions, bias = attributor.attributions(factors), float(attributor.base @ factors)
    if answer.dense is not None and answer.encoded is not None:
        factor, weights = answer.dense.sparse_factor, answer.dense.weights.astype(np.float64)
        attributions = np.append(factor * attributions, answer.encoded @ weights @ factors)
        bias = factor * bias + float(answer.dense.biases @ factors)
    return attribution.adjust_to_sum(attributions, score - bias), bias


def _score_factors(fitted: Fitted, number: int, against: Any) -> tuple[F64, int | None]:
    """Return the factor of each topic's score, and the number of the other topic."""
    factors = np.zeros(len(fitted.topics))
    factors[number] = 1
    if against is None:
        return factors, None
    names = fitted.topics.names
    other = names.index(find_topic(fitted, against))
    if other == number:
        raise OptionError(
            Parameter("against"),
            f" is {short_repr(names[other])}, which is the topic to explain; name another "
            "one, or say with ",
            Parameter("topic"),
            " which one to compare it with.",
        )
    factors[other] = -1
    return factors, other


def _reasons(
    text: str,
    words: Words,
    places: attribution.SpanAttributions,
    more: list[Reason],
    max_reasons: int,
) -> tuple[Reason, ...]:
    """Return the strongest places as reasons, and the sum of the others as one reason."""
    order = np.argsort(-np.abs(places.values), kind="stable")
    best, others = order[:max_reasons], order[max_reasons:]
    firsts, lasts = places.starts[best], places.ends[best]
    starts, ends = SpanMapper(text, words).to_text_positions(firsts, lasts)
    listed = [
        Reason(_decode(words.buffer[first:last]), start, end, value)
        for first, last, start, end, value in zip(
            firsts.tolist(), lasts.tolist(), starts, ends, places.values[best].tolist(), strict=True
        )
    ]
    reasons = sorted([*listed, *more], key=lambda reason: -abs(reason.attribution))
    if len(others):
        name = f"{counted(len(others), 'weaker place')} of words and phrases"
        reasons.append(Reason(name, None, None, float(places.values[others].sum())))
    return tuple(reasons)


def _decode(word: bytes) -> str:
    """Return a word as text, truncated if it is very long."""
    if len(word) <= _MAX_WORD:
        return span_text(word)
    # No character has more than four bytes.
    return word[: 4 * _MAX_WORD].decode("utf-8", "ignore")[: _MAX_WORD - 1] + "…"


def _examples(
    fitted: Fitted, X: Any, attributions: F64, topic: Topic, corpus: Documents | None
) -> tuple[TrainingExample, ...]:
    """Return the training documents to which most of the reasons apply; see `explain`."""
    if corpus is None:
        return ()
    try:
        texts, topics = (corpus.texts, corpus.topics) if isinstance(corpus, Corpus) else corpus
    except (TypeError, ValueError) as error:
        raise option_error(
            "corpus", corpus, "a Corpus, or texts and topics: (texts, topics)"
        ) from error
    documents, names = check_documents(texts, topics, ("corpus", "corpus"))
    sets = as_sets(sets_with_parents(names, fitted.separator))
    rows = [row for row, own_topics in enumerate(sets) if str(topic) in map(str, own_topics)]
    by_column = np.zeros(fitted.features.n_columns)
    by_column[X.indices] = attributions
    parts = [np.zeros(0)]
    for batch in fitted.features.read_parts([documents[row] for row in rows]):
        part = batch.rows.csr()
        lengths = np.sqrt(np.asarray(part.multiply(part).sum(axis=1), dtype=np.float64)).ravel()
        parts.append((part @ by_column) / np.where(lengths > 0, lengths, 1))
    similarities = np.concatenate(parts)
    best = np.argsort(-similarities, kind="stable")[:_N_EXAMPLES]
    place = corpus.place if isinstance(corpus, Corpus) else lambda row: f"document {row + 1}"
    return tuple(
        TrainingExample(rows[i], documents[rows[i]], topic, float(similarities[i]), place(rows[i]))
        for i in best.tolist()
        if similarities[i] > 0
    )
