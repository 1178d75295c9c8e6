"""Explain the scores of a text."""

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

# Maximum number of parts, such as sentences, to leave out one at a time. Each needs an encoding, so
# adjacent sentences are merged if there are more.
_MAX_PARTS = 50
# Approximate number of characters to encode per text, which limits the number of parts, though not
# below `_MIN_PARTS`.
_MAX_ENCODED = 16_000
_MIN_PARTS = 10
_END_OF_SENTENCE = re.compile("[.!?。！？؟।\n]")


class WordRows(NamedTuple):
    """Contributions of words to a text's row, for encoders that sum word vectors.

    Attributes
    ----------
    starts, ends : int array, shape (n_words,)
        Byte offsets of the words in `Words.buffer`.
    rows : float64 array, shape (n_words, encoder.width)
        They add up to the text's row in `columns`, and are 0 in other columns.
    columns : bool array, shape (encoder.width,)
        Mask of the columns of these encoders.
    """

    starts: Integers
    ends: Integers
    rows: F64
    columns: Mask

    @classmethod
    def divide(cls, text: str, encoder: CheckedEncoder, row: F64) -> WordRows | None:
        """Divide a text's row among its words; return None if no encoder sums word vectors."""
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
        """Return the attribution of each word, given a weight for each column."""
        return attribution.SpanAttributions(self.starts, self.ends, self.rows @ weights)


class EncodedParts(NamedTuple):
    """Parts of a text (sentences, or the words of a single sentence) and the text without each.

    Attributes
    ----------
    starts, ends : int array, shape (n_parts,)
        Byte offsets of the parts in `Words.buffer`.
    rows : float64 array, shape (n_parts, encoder.width)
        The encoder's rows of the text without each part.
    """

    starts: Integers
    ends: Integers
    rows: F64

    @classmethod
    def leave_out(cls, text: str, words: Words, dense: DenseHead) -> EncodedParts:
        """Encode a text, which contains a word, without each of its parts."""
        starts, ends = SpanMapper(text, words).to_text_positions(words.starts, words.ends)
        firsts, lasts = _parts(text, starts, ends)
        without = [
            text[: starts[first]] + text[ends[last] :]
            for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)
        ]
        rows = encode(without, dense.encoder, cache_rows=False).astype(np.float64)
        return cls(words.starts[firsts], words.ends[lasts], rows)

    def attributions(self, weights: F64, total: float) -> attribution.SpanAttributions:
        """Return the encoder's attribution of each part.

        A part's attribution is the change in score when it is left out. The remaining difference
        from `total`, the encoder's share of the score, is divided evenly to make the sum exact.

        Parameters
        ----------
        weights : float64 array, shape (encoder.width,)
            Weights of the encoder's columns.
        total : float

        References
        ----------
        Moulin (1985), The separability axiom and equal-sharing methods: equal allocation of the
        nonseparable part, here of a score.
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

# Default number of listed words and phrases: more than a person reads, but few for a program.
_MAX_REASONS = 1000
_N_EXAMPLES = 5
# Number of characters of an unknown topic to compare with known topics.
_MAX_COMPARED = 1000
# Maximum number of characters of a word in a reason; its offsets are for the whole word.
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
    """Attribute the score of a topic to the words and phrases of a text.

    The attributions add up to the score minus the score of an empty text. They are weights times
    values for linear learners, DeepLIFT's Rescale rule for nets, and integrated gradients over the
    learners' scores for mixtures; see `slugline.explanation.attribution`. Attributions of word
    vectors are exact as well; see `WordRows`. The attribution of any other encoder is divided among
    the sentences of the text, or the words of a single sentence; see `EncodedParts`. Attributions
    are computed in float64 and include the rounding error of the model's float32 score, a few
    millionths.

    Parameters
    ----------
    fitted : Fitted
    text : str
    topic : str or int, optional
        The predicted topic by default; for a multilabel model, all given topics, or else the most
        likely topic.
    against : str or int, optional
        Explain the difference between the scores of `topic` and this topic.
    max_reasons : int, default 1000
        Number of occurrences of words and phrases to list, strongest first. The last reason sums up
        the others.
    split_encoder : bool, default True
        If False, an encoder other than word vectors gets a single reason without a place. This
        needs no further encodings; use it for thousands of texts.
    corpus : Corpus or (texts, topics), optional
        Training documents to choose examples from: documents of the topic that share the strongest
        reasons. Similarity is the inner product of a document's row, scaled to length 1, and the
        attributions of the text's columns, so terms that the model relies on count more. The
        encoder is ignored. The model might predict the topic even without these documents.

    Raises
    ------
    DataError : if `text` is not a string, or `corpus` contains no documents.
    OptionError : if the model has no such topic, `against` equals `topic`, `max_reasons` is below
        1, the learner is not Slugline's, or `against` is given for a multilabel model.
    """
    check_whole("max_reasons", max_reasons, 1)
    if not isinstance(text, str):
        raise DataError(Parameter("text"), f" is {short_repr(text)}; pass one text, as a string.")
    answer = _Answer(fitted, text)
    names = fitted.topics.names
    given, thresholds = _given_topics(fitted, text, against) if fitted.multilabel else ([], None)
    explained = given or [names[answer.best]] if topic is None else [find_topic(fitted, topic)]
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
            names.index(each),
            division=division,
            against=against,
            max_reasons=max_reasons,
            corpus=corpus,
            thresholds=thresholds,
            given=given,
        )
        for each in explained
    )
    return replace(first, others=tuple(rest))


def _explain_topic(
    fitted: Fitted,
    answer: _Answer,
    words: Words,
    number: int,
    *,
    division: _EncoderDivision | None,
    against: Topic | None,
    max_reasons: int,
    corpus: Documents | None,
    thresholds: F32 | None,
    given: list[Topic],
) -> Explanation:
    """Explain the score of one topic, given its index."""
    names = fitted.topics.names
    [with_parents] = sets_with_parents([tuple(given)], fitted.separator)
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
        threshold=None if thresholds is None else float(thresholds[number]),
        is_given=names[number] in with_parents if fitted.multilabel else None,
    )


class _EncoderDivision(NamedTuple):
    """Division of the encoder's attribution among the words and sentences of a text.

    Attributes
    ----------
    dense : DenseHead
    row : float64 array, shape (encoder.width,)
        The encoder's row of the text.
    words : WordRows or None
        None if no encoder sums word vectors.
    parts : EncodedParts or None
        None if the attribution of other encoders is not divided.
    """

    dense: DenseHead
    row: F64
    words: WordRows | None
    parts: EncodedParts | None

    @classmethod
    def divide(
        cls, text: str, words: Words, dense: DenseHead, row: F64, *, split: bool
    ) -> _EncoderDivision:
        """Divide the row among words if it sums their vectors; if `split`, also among sentences."""
        of_words = WordRows.divide(text, dense.encoder, row)
        is_whole = of_words is not None and of_words.columns.all()
        needs_parts = split and not is_whole and len(words)
        parts = EncodedParts.leave_out(text, words, dense) if needs_parts else None
        return cls(dense, row, of_words, parts)

    def attributions(
        self, factors: F64, by_encoder: float
    ) -> tuple[list[attribution.SpanAttributions], float]:
        """Return attributions of words and parts, and the remainder, which has no place."""
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


def _given_topics(
    fitted: Fitted, text: str, against: Topic | None
) -> tuple[list[Topic], F32 | None]:
    """Return the topics given to a text, the most likely first, and the topics' thresholds.

    There are no thresholds for paths. Raises OptionError if `against` is given.
    """
    if against is not None:
        raise OptionError(
            Parameter("against"),
            " requires a single-label model, but this one is multi-label; leave it out.",
        )
    decider = Decider.from_fitted(fitted)
    return [*(decider.decide([text])[0].topics or [])], decider.decision_thresholds


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
    """Return the model's topic of this name, or the number that is written like it.

    Raises OptionError with the most similar name if the model has no such topic.
    """
    by_name = {str(name): name for name in fitted.topics.names}
    if str(topic) in by_name:
        return by_name[str(topic)]
    near = nearest(str(topic)[:_MAX_COMPARED], by_name, 0.5)
    names = short_repr(fitted.topics.names)
    advice = f"it has {names}." if near is None else f"did you mean {by_name[near]!r}?"
    raise OptionError(f"the model has no topic {short_repr(topic)}; {advice}")


class _Answer:
    """Row, scores and probabilities of one text, and the head that computes them."""

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
    """Return the attributions of the columns and the encoder, and the bias."""
    attributions, bias = attributor.attributions(factors), float(attributor.base @ factors)
    if answer.dense is not None and answer.encoded is not None:
        factor, weights = answer.dense.sparse_factor, answer.dense.weights.astype(np.float64)
        attributions = np.append(factor * attributions, answer.encoded @ weights @ factors)
        bias = factor * bias + float(answer.dense.biases @ factors)
    return attribution.adjust_to_sum(attributions, score - bias), bias


def _score_factors(fitted: Fitted, number: int, against: Any) -> tuple[F64, int | None]:
    """Return the factor of each topic's score, and the index of the other topic."""
    factors = np.zeros(len(fitted.topics))
    factors[number] = 1
    if against is None:
        return factors, None
    names = fitted.topics.names
    other = names.index(find_topic(fitted, against))
    if other == number:
        raise OptionError(
            Parameter("against"),
            f" is {short_repr(names[other])}, the topic to explain; choose another topic, or "
            "choose "
            "the one to explain with ",
            Parameter("topic"),
            ".",
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
    """Return the strongest places as reasons, and the sum of the others as the last reason."""
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
        name = f"{counted(len(others), 'weaker position')} of words and phrases"
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
    """Return the training documents that share the strongest reasons; see `explain`."""
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
