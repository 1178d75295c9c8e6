"""Reviews corrections: decides which a model may learn from, and which wait for approval."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from slugline.base.checks import replace_surrogates
from slugline.corpus.corpus import Corpus
from slugline.corpus.topic_sets import as_sets
from slugline.corrections.doubts import (
    MIN_CORRECTIONS_OF_TOPIC,
    MIN_PEOPLE_OF_WORD,
    Approval,
    Doubt,
    find_bursts,
)
from slugline.corrections.gate import PersonContradictions
from slugline.corrections.learning import check_same_kind, normalize_spaces, stringify_topic
from slugline.model.fitted import Fitted
from slugline.text.tokens import tokenize

if TYPE_CHECKING:
    from slugline.corrections.store import Correction

#: Fits a model to documents.
Fit: TypeAlias = Callable[[Corpus], Fitted]
_Topics: TypeAlias = frozenset[str]

#: A model contradicts a correction if another topic is this many times more probable.
CONTRADICTION = 10.0
# People are divided into this many groups, and the texts of each group are answered by a model that
# learned from the other groups. If there are so many documents that learning takes long, there is
# one group.
_N_FOLDS, _MANY = 3, 20_000
# The number of rounds of searching for corrections that change answers to training texts.
_N_ROUNDS = 5


@dataclass(frozen=True)
class Review:
    """Corrections that a model may learn from, and those that wait for approval.

    Attributes
    ----------
    learnable : tuple of Correction
        Corrections that are approved, or need no approval.
    doubts : mapping of int to tuple of Doubt
        The doubts about each correction that isn't approved, by its number. A correction without
        doubts is learnable, unless another one of the same text replaces it.
    approval : {"all", "doubtful", "none"}
        Which corrections need approval.
    """

    learnable: tuple[Correction, ...]
    doubts: Mapping[int, tuple[Doubt, ...]]
    approval: Approval

    @property
    def held(self) -> dict[int, tuple[Doubt, ...]]:
        """The doubts of corrections that wait for approval."""
        if self.approval == "none":
            return {}
        return {number: doubts for number, doubts in self.doubts.items() if doubts}

    def people(self) -> tuple[PersonContradictions, ...]:
        """The contradictions to each person's learnable corrections without approval."""
        unapproved = [row for row in self.learnable if row.approved is None]
        counts = Counter(row.head.person for row in unapproved)
        contradicted = Counter(
            row.head.person
            for row in unapproved
            if any(doubt.kind == "contradicted" for doubt in self.doubts[row.id])
        )
        return tuple(
            PersonContradictions(person, n, contradicted[person])
            for person, n in counts.most_common()
        )


def review(
    corrections: Iterable[Correction],
    train: Corpus,
    fit: Fit,
    approval: Approval = "doubtful",
    *,
    rename: Callable[[Corpus], Corpus] = lambda corpus: corpus,
) -> Review:
    """Return the corrections to train on, and the reasons why others wait for approval.

    Parameters
    ----------
    corrections : iterable of Correction
        Corrections to one model.
    train : Corpus
        The training documents of the model.
    fit : callable
        Fits a model to a corpus.
    approval : {"all", "doubtful", "none"}
        Which corrections need approval. With "none", doubts are found, but no correction waits.
        Otherwise, corrections that a model has learned from are kept, unless an approved one
        contradicts them.
    rename : callable
        Renames and merges a corpus's topics in the same way as the topics of `train`.

    Raises
    ------
    DataError : if only one of documents and corrections is multilabel.
    """
    corrections = [row for row in corrections if normalize_spaces(row.text)]
    texts = [correction.text for correction in corrections]
    renamed = rename(
        Corpus(texts, [stringify_topic(row.topic) for row in corrections], "corrections")
    )
    if corrections:
        check_same_kind(train, renamed)
    topics = list(map(frozenset, as_sets(renamed.topics)))
    claims = _latest_claims(corrections, topics, keeps_learned=approval != "none")
    pending = [claim for claim in claims if not claim.is_settled]
    if approval == "all":
        for claim in pending:
            claim.doubts.append(Doubt("unapproved"))
    else:
        bursts = find_bursts(correction.head for correction in corrections)
        _Examination(train, claims, fit, bursts).run()
    doubts: dict[int, tuple[Doubt, ...]] = {c.id: () for c in corrections if c.approved is None}
    doubts |= {claim.correction.id: tuple(claim.doubts) for claim in pending}
    learnable = [c.correction for c in claims if approval == "none" or not c.doubts]
    return Review(tuple(learnable), doubts, approval)


class _Claim(NamedTuple):
    """The text and topics of a correction, and the doubts about it."""

    correction: Correction
    key: str  # The text without superfluous spaces
    topics: _Topics
    doubts: list[Doubt]
    # Whether it was approved, or a model has learned from it and no approved one contradicts it.
    is_settled: bool = False

    @property
    def person(self) -> str:
        return self.correction.head.person


def _latest_claims(
    corrections: Sequence[Correction], topics: Sequence[_Topics], *, keeps_learned: bool
) -> list[_Claim]:
    """Return the settled claim about each text, and the latest pending one by each person.

    A text is settled by an approved correction or, without one, by a correction that a model has
    learned from. It replaces earlier claims by the same person, and pending claims of the same
    topics.
    """
    settled: dict[str, _Claim] = {}
    pending: dict[tuple[str, str], _Claim] = {}
    for correction, names in zip(corrections, topics, strict=True):
        if correction.approved is None and not (keeps_learned and correction.learned):
            continue
        claim = _Claim(correction, normalize_spaces(correction.text), names, [], is_settled=True)
        earlier = settled.get(claim.key)
        if earlier is None or correction.approved or earlier.correction.approved is None:
            settled[claim.key] = claim
    settled_ids = {claim.correction.id for claim in settled.values()}
    for correction, names in zip(corrections, topics, strict=True):
        claim = _Claim(correction, normalize_spaces(correction.text), names, [])
        pending.pop((claim.key, claim.person), None)  # so that the latest come last
        if correction.approved is None and correction.id not in settled_ids:
            pending[claim.key, claim.person] = claim
    differing = [
        claim
        for claim in pending.values()
        if claim.key not in settled or settled[claim.key].topics != claim.topics
    ]
    claims = [*settled.values(), *differing]
    return sorted(claims, key=lambda claim: claim.correction.id)


@dataclass
class _Examination:
    """Finds doubts about claims, starting with those that need no model."""

    train: Corpus
    claims: list[_Claim]
    fit: Fit
    bursts: Mapping[int, Doubt]
    # Pending claims that are left after the doubts that need no model.
    candidates: list[_Claim] = field(default_factory=list)

    def run(self) -> None:
        """Add doubts to the claims that aren't settled."""
        self._find_known_texts()
        self._find_thin_topics()
        self.candidates = [c for c in self.claims if not c.is_settled and not c.doubts]
        for claim in self.candidates:
            if claim.correction.id in self.bursts:
                claim.doubts.append(self.bursts[claim.correction.id])
        self._find_unknown_words()
        self._find_conflicts()
        if self.candidates:
            base = self._fit_with(self._learned())
            self._find_contradictions(base)
            self._find_changed_answers(base)

    def _learned(self) -> list[_Claim]:
        """Return the claims that are settled because a model has learned from them."""
        return [c for c in self.claims if c.is_settled and c.correction.approved is None]

    def _fit_with(self, claims: Iterable[_Claim]) -> Fitted:
        """Return a model of the training documents, the approved claims and these claims."""
        added = [claim for claim in self.claims if claim.correction.approved is not None]
        added += claims
        if not added:
            corpus = Corpus(self.train.texts, self.train.topics, self.train.name)
            return self.fit(corpus)
        keys = {claim.key for claim in added}
        is_used = [normalize_spaces(text) not in keys for text in self.train.texts]
        documents = self.train.take(np.array(is_used, dtype=bool))
        topic_sets = [tuple(sorted(claim.topics)) for claim in added]
        topics = topic_sets if self.train.multilabel else [names[0] for names in topic_sets]
        corpus = Corpus(
            documents.texts + [claim.correction.text for claim in added],
            documents.topics + topics,
            self.train.name,
        )
        return self.fit(corpus)

    def _find_conflicts(self) -> None:
        """Find claims that other people contradict.

        Claims of a burst are ignored: otherwise, a burst on the same texts could hold other
        people's corrections.
        """
        by_text: defaultdict[str, list[_Claim]] = defaultdict(list)
        for claim in self.claims:
            if claim.correction.id not in self.bursts:
                by_text[claim.key].append(claim)
        for claim in self.claims:
            conflicts = (c.topics for c in by_text[claim.key] if c.topics != claim.topics)
            topics = next(conflicts, None)
            if topics is not None and not claim.is_settled:
                claim.doubts.append(Doubt("conflict", topic=_join(topics)))

    def _find_known_texts(self) -> None:
        known: defaultdict[str, list[_Topics]] = defaultdict(list)
        for text, topics in zip(self.train.texts, as_sets(self.train.topics), strict=True):
            known[normalize_spaces(text)].append(frozenset(topics))
        for claim in self.claims:
            topic_sets = known.get(claim.key, [claim.topics])
            if claim.topics not in topic_sets and not claim.is_settled:
                claim.doubts.append(Doubt("known text", topic=_join(topic_sets[0])))

    def _find_thin_topics(self) -> None:
        known = {*self.train.all_topics()}
        known.update(*(claim.topics for claim in self.claims if claim.is_settled))
        counts = Counter(topic for claim in self.claims for topic in claim.topics)
        for claim in self.claims:
            thin = [counts[topic] for topic in claim.topics - known]
            if thin and min(thin) < MIN_CORRECTIONS_OF_TOPIC and not claim.is_settled:
                claim.doubts.append(Doubt("thin topic", min(thin)))

    def _find_unknown_words(self) -> None:
        """Find claims that teach a word used by few people, however slowly they come.

        The documents lack such a word, so neither a model of other people's claims nor a test on
        documents shows what the claims teach about texts that contain it.
        """
        approved = [c.correction.text for c in self.claims if c.correction.approved is not None]
        known = {word for text in (*self.train.texts, *approved) for word in tokenize(text)}
        by_word: defaultdict[tuple[str, _Topics], list[_Claim]] = defaultdict(list)
        for claim in self.claims:
            for word in {*tokenize(claim.correction.text)} - known:
                by_word[word, claim.topics].append(claim)

        def rank(item: tuple[tuple[str, _Topics], list[_Claim]]) -> tuple[int, int, str]:
            (word, _), claims = item
            return -len(claims), -len(word), word

        # The doubt about a claim states the word that most claims share.
        for (word, topics), claims in sorted(by_word.items(), key=rank):
            people = {claim.person for claim in claims}
            if len(claims) == 1 or len(people) >= MIN_PEOPLE_OF_WORD:
                continue
            doubt = Doubt("unknown word", len(claims), _join(topics), word)
            for claim in claims:
                if not claim.is_settled and all(d.kind != doubt.kind for d in claim.doubts):
                    claim.doubts.append(doubt)

    def _find_contradictions(self, base: Fitted) -> None:
        """Find claims contradicted by a model of other people's undoubted claims."""
        uses_claim = [not claim.doubts for claim in self.candidates]
        for rows in self._folds():
            asked = [
                row
                for row in rows
                if all(doubt.kind != "conflict" for doubt in self.candidates[row].doubts)
            ]
            if not asked:
                continue
            model = self._model_of_others(rows, asked, base, uses_claim)
            claims = [self.candidates[row] for row in asked]
            for claim, doubt in zip(claims, _contradictions(model, claims), strict=True):
                claim.doubts.extend([] if doubt is None else [doubt])

    def _model_of_others(
        self, rows: Sequence[int], asked: Sequence[int], base: Fitted, uses_claim: Sequence[bool]
    ) -> Fitted:
        """Return a model that learned from the candidates to use, but not from those in `rows`.

        The model has not learned other people's different claims about the texts in `asked`,
        either, nor what an earlier model learned from the people in `rows`: otherwise, a few
        corrections a week would support the next ones.
        """
        excluded = {*rows}
        people = {self.candidates[row].person for row in rows}
        learned = self._learned()
        learned_from_others = [claim for claim in learned if claim.person not in people]
        asked_claims = [self.candidates[row] for row in asked]
        asked_keys = {claim.key for claim in asked_claims}
        asked_topics = {(claim.key, claim.topics) for claim in asked_claims}
        others = [
            claim
            for row, claim in enumerate(self.candidates)
            if row not in excluded
            and uses_claim[row]
            and (claim.key not in asked_keys or (claim.key, claim.topics) in asked_topics)
        ]
        if not others and len(learned_from_others) == len(learned):
            return base
        return self._fit_with(learned_from_others + others)

    def _folds(self) -> list[list[int]]:
        """Divide the rows of candidates into a few groups, with each person in one group.

        People are assigned in the order of their first corrections, and people with a burst after
        all others, so that somebody who comes later, or sends a burst, changes only their own
        group.
        """
        with_burst = {c.person for c in self.candidates if c.correction.id in self.bursts}
        by_person: defaultdict[str, list[int]] = defaultdict(list)
        for row, claim in enumerate(self.candidates):
            by_person[claim.person].append(row)
        n_folds = 1 if len(self.train) > _MANY else min(_N_FOLDS, len(by_person))
        folds: list[list[int]] = [[] for _ in range(n_folds)]
        for number, person in enumerate(sorted(by_person, key=with_burst.__contains__)):
            folds[number % n_folds].extend(by_person[person])
        return folds

    def _find_changed_answers(self, base: Fitted) -> None:
        """Find corrections that turn right answers to training texts into wrong ones."""
        y_true = [frozenset(topics) for topics in as_sets(self.train.topics)]
        before = _answer_sets(base, self.train.texts)
        rows = [row for row, topics in enumerate(y_true) if before[row] == topics]
        texts = [self.train.texts[row] for row in rows]
        for number in range(_N_ROUNDS):
            claims = [claim for claim in self.candidates if not claim.doubts]
            if not claims:
                return
            after = _answer_sets(self._fit_with(self._learned() + claims), texts)
            changes = [
                _ChangedAnswer(text, answer, y_true[row])
                for row, text, answer in zip(rows, texts, after, strict=True)
                if answer != y_true[row]
            ]
            causes = _find_causes(changes, claims, all_suspects=number == _N_ROUNDS - 1)
            if not causes:
                return
            for index, lost in causes.items():
                [(topics, _)] = Counter(lost).most_common(1)
                claims[index].doubts.append(Doubt("changes answers", len(lost), _join(topics)))


class _ChangedAnswer(NamedTuple):
    """A training text with its topics and its answer after learning from claims."""

    text: str
    answer: _Topics
    topics: _Topics


def _find_causes(
    changes: Sequence[_ChangedAnswer], claims: Sequence[_Claim], *, all_suspects: bool
) -> dict[int, list[_Topics]]:
    """Return the claims that caused changed answers, by index, with the topics of the texts.

    The suspects are claims that share a word with the text and concern a topic that the text gained
    or lost. The cause is the most similar suspect or, with `all_suspects`, each of them.
    """
    words = [{*tokenize(claim.correction.text)} for claim in claims]
    causes: defaultdict[int, list[_Topics]] = defaultdict(list)
    for text, answer, topics in changes:
        difference = answer ^ topics
        text_words = {*tokenize(text)}
        suspects = [
            (_jaccard(text_words, words[index]), index)
            for index, claim in enumerate(claims)
            # A claim without topics may have cost the text its topics.
            if (claim.topics & difference or not claim.topics) and words[index] & text_words
        ]
        for _, index in suspects if all_suspects else sorted(suspects)[-1:]:
            causes[index].append(topics)
    return causes


def _contradictions(model: Fitted, claims: Sequence[_Claim]) -> list[Doubt | None]:
    """Return a doubt for each claim if a model is sure of another topic for its text, else None."""
    proba = model.predict_proba([claim.correction.text for claim in claims])
    names = [str(name) for name in model.topics.names]
    columns = {name: column for column, name in enumerate(names)}
    doubts: list[Doubt | None] = []
    for claim, row in zip(claims, proba.astype(np.float64), strict=True):
        claimed = [columns[topic] for topic in claim.topics if topic in columns]
        if not model.multilabel:
            best = int(row.argmax())
            is_sure = bool(claimed) and row[best] >= CONTRADICTION * row[claimed[0]]
        else:
            others = np.delete(np.arange(len(row)), claimed)
            best = int(others[row[others].argmax()]) if len(others) else -1
            is_sure = best >= 0 and row[best] >= CONTRADICTION * (1 - row[best])
        doubt = None
        if is_sure:
            topic, probability = _join(frozenset([names[best]])), round(float(row[best]), 4)
            doubt = Doubt("contradicted", topic=topic, probability=probability)
        doubts.append(doubt)
    return doubts


def _answer_sets(model: Fitted, texts: Sequence[str]) -> list[_Topics]:
    if not texts:
        return []
    return [frozenset(map(str, topics)) for topics in as_sets(list(model.answers(texts)))]


def _join(topics: _Topics) -> str:
    joined: str = replace_surrogates(", ".join(sorted(topics))[:500])
    return joined


def _jaccard(first: set[str], second: set[str]) -> float:
    """Return the Jaccard similarity of two sets of words."""
    return len(first & second) / len(first | second)
