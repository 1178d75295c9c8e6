"""Which corrections a model may learn from before anybody has approved them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec
import numpy as np

from slugline.base.checks import replace_surrogates
from slugline.corpus.corpus import Corpus
from slugline.corpus.topic_sets import as_sets
from slugline.corrections.doubts import FEWEST_OF_TOPIC, Approval, Doubt, find_bursts
from slugline.corrections.gate import PersonContradictions
from slugline.corrections.learning import check_same_kind, normalize_spaces, topic_names
from slugline.model.fitted import Fitted

if TYPE_CHECKING:
    from slugline.corrections.store import Correction

#: Fits documents.
Fit: TypeAlias = Callable[[Corpus], Fitted]
_Topics: TypeAlias = frozenset[str]

#: How many times more probable another topic must be for a model to contradict a correction.
CONTRADICTION = 10.0
# People are asked about in so many groups, each by a model that learned from the others; in one if
# documents are so many that learning again takes long.
_N_FOLDS, _MANY = 3, 20_000
# Rounds in which corrections are found that change answers to training texts.
_N_ROUNDS = 5


@dataclass(frozen=True)
class Review:
    """Corrections that a model may learn from, and those that wait for approval.

    Attributes
    ----------
    learnable : tuple of Correction
        The claims that are approved, or need no approval.
    doubts : mapping of int to tuple of Doubt
        By the number of each correction that isn't approved. Without doubts, it is learnable, or
        another one of the same text takes its place.
    approval : {"all", "doubtful", "none"}
        What needs approval.
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
        """Return how many of each person's learnable, unapproved corrections are contradicted."""
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
    """Return which corrections may be learned from, and why others wait for approval.

    Parameters
    ----------
    corrections : iterable of Correction
        Of one model.
    train : Corpus
        The documents that the model learns from as well.
    fit : callable
        Fits a corpus.
    approval : {"all", "doubtful", "none"}
        What needs approval. With "none", doubts are found and nothing waits. Otherwise, those that
        a model has already learned from are kept, unless one that was approved contradicts them.
    rename : callable
        Renames and merges the topics of a corpus as those of `train` were.

    Raises
    ------
    DataError : if corrections are of one topic a text where documents may have several, or the
        reverse.
    """
    given = [correction for correction in corrections if normalize_spaces(correction.text)]
    texts = [correction.text for correction in given]
    renamed = rename(Corpus(texts, [topic_names(c.topic) for c in given], "corrections"))
    if given:
        check_same_kind(train, renamed)
    topics = list(map(frozenset, as_sets(renamed.topics)))
    claims = _latest_claims(given, topics, keeps_learned=approval != "none")
    pending = [claim for claim in claims if not claim.is_settled]
    if approval == "all":
        for claim in pending:
            claim.doubts.append(Doubt("unapproved"))
    else:
        bursts = find_bursts(correction.head for correction in given)
        _Examination(train, claims, fit, bursts).run()
    doubts: dict[int, tuple[Doubt, ...]] = {c.id: () for c in given if c.approved is None}
    doubts |= {claim.correction.id: tuple(claim.doubts) for claim in pending}
    learnable = [c.correction for c in claims if approval == "none" or not c.doubts]
    return Review(tuple(learnable), doubts, approval)


class _Claim(NamedTuple):
    """The latest correction of a text by one person, or the one that is settled."""

    correction: Correction
    key: str  # the text without superfluous spaces
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
    """Return the latest correction of each text by each person, and those that are settled.

    What is approved takes the place of what the same person said before, and of the same topics;
    so does what was learned, where nothing is approved.
    """
    settled: dict[str, _Claim] = {}
    pending: dict[tuple[str, str], _Claim] = {}
    given = list(zip(corrections, topics, strict=True))
    for correction, right in given:
        if correction.approved is None and not (keeps_learned and correction.learned):
            continue
        claim = _Claim(correction, normalize_spaces(correction.text), right, [], is_settled=True)
        earlier = settled.get(claim.key)
        if earlier is None or correction.approved or earlier.correction.approved is None:
            settled[claim.key] = claim
    is_settled = {claim.correction.id for claim in settled.values()}
    for correction, right in given:
        claim = _Claim(correction, normalize_spaces(correction.text), right, [])
        person = claim.key, claim.person
        pending.pop(person, None)  # so that the order is that of the latest
        if correction.approved is None and correction.id not in is_settled:
            pending[person] = claim
    waiting = [
        claim
        for claim in pending.values()
        if claim.key not in settled or settled[claim.key].topics != claim.topics
    ]
    claims = [*settled.values(), *waiting]
    return sorted(claims, key=lambda claim: claim.correction.id)


@dataclass
class _Examination:
    """Finds the doubts of claims, cheap ones first."""

    train: Corpus
    claims: list[_Claim]
    fit: Fit
    bursts: Mapping[int, Doubt]
    # Those that nothing speaks against so far.
    candidates: list[_Claim] = field(default_factory=list)

    def run(self) -> None:
        """Add its doubts to each claim that isn't settled."""
        self._find_known_texts()
        self._find_thin_topics()
        self.candidates = [c for c in self.claims if not c.is_settled and not c.doubts]
        if not self.candidates:
            self._find_conflicts(unsupported=self.bursts)
            return
        base = self.fit(self._documents(self._learned()))
        folds = self._folds()
        self._find_conflicts(unsupported={*self.bursts} - self._find_supported(base, folds))
        self._find_contradictions(base, folds)
        self._find_changed_answers(base)

    def _learned(self) -> list[_Claim]:
        """Return the claims that are settled though nobody approved them."""
        return [c for c in self.claims if c.is_settled and c.correction.approved is None]

    def _documents(self, claims: Iterable[_Claim]) -> Corpus:
        """Return the training documents with approved claims and some others."""
        added = [claim for claim in self.claims if claim.correction.approved is not None]
        added += claims
        keys = {claim.key for claim in added}
        others = self.train
        if added:
            is_used = [normalize_spaces(text) not in keys for text in self.train.texts]
            others = self.train.take(np.array(is_used, dtype=bool))
        topics = [tuple(sorted(claim.topics)) for claim in added]
        return Corpus(
            others.texts + [claim.correction.text for claim in added],
            others.topics + (topics if self.train.multilabel else [names[0] for names in topics]),
            self.train.name,
        )

    def _find_conflicts(self, unsupported: Collection[int]) -> None:
        """Find claims that others contradict, except in a burst that nobody supports.

        Otherwise somebody could stop the corrections of others by correcting the same texts.
        """
        by_text: defaultdict[str, list[_Claim]] = defaultdict(list)
        for claim in self.claims:
            if claim.correction.id not in unsupported:
                by_text[claim.key].append(claim)
        for claim in self.claims:
            others = (c.topics for c in by_text[claim.key] if c.topics != claim.topics)
            other = next(others, None)
            if other is not None and not claim.is_settled:
                claim.doubts.append(Doubt("conflict", topic=_join(other)))

    def _find_known_texts(self) -> None:
        known: defaultdict[str, list[_Topics]] = defaultdict(list)
        for text, topics in zip(self.train.texts, as_sets(self.train.topics), strict=True):
            known[normalize_spaces(text)].append(frozenset(topics))
        for claim in self.claims:
            there = known.get(claim.key, [claim.topics])
            if claim.topics not in there and not claim.is_settled:
                claim.doubts.append(Doubt("known text", topic=_join(there[0])))

    def _find_thin_topics(self) -> None:
        known = {*self.train.all_topics()}
        known.update(*(claim.topics for claim in self.claims if claim.is_settled))
        counts = Counter(topic for claim in self.claims for topic in claim.topics)
        for claim in self.claims:
            thin = [counts[topic] for topic in claim.topics - known]
            if thin and min(thin) < FEWEST_OF_TOPIC and not claim.is_settled:
                claim.doubts.append(Doubt("thin topic", min(thin)))

    def _find_supported(self, base: Fitted, folds: Sequence[Sequence[int]]) -> set[int]:
        """Return the corrections of bursts that others support; the other candidates get a doubt.

        Models are asked that learned from others, but from no burst: one burst supports no other,
        and changes nothing for it. What the documents alone say already is no support by people,
        and others have to support most of what is new: they agree with a few by chance.
        """
        believed = [claim.correction.id not in self.bursts for claim in self.candidates]
        in_burst = [row for row, is_believed in enumerate(believed) if not is_believed]
        # What others have taught before is their support.
        alone = self.fit(self._documents([])) if in_burst and self._learned() else base
        was_right = self._agree(alone, in_burst)
        new = {row for row, is_right in zip(in_burst, was_right, strict=True) if not is_right}
        agreed: set[int] = set()
        for rows in folds:
            if asked := [row for row in rows if row in new]:
                model = self._model_of_others(rows, asked, base, believed)
                answers = zip(asked, self._agree(model, asked), strict=True)
                agreed |= {row for row, is_right in answers if is_right}
        n_new = Counter(self.candidates[row].person for row in new)
        n_agreed = Counter(self.candidates[row].person for row in agreed)
        supported: set[int] = set()
        for row in in_burst:
            claim = self.candidates[row]
            if row in agreed and 2 * n_agreed[claim.person] > n_new[claim.person]:
                supported.add(claim.correction.id)
            else:
                burst = self.bursts[claim.correction.id]
                claim.doubts.append(msgspec.structs.replace(burst, is_asked=True))
        return supported

    def _find_contradictions(self, base: Fitted, folds: Sequence[Sequence[int]]) -> None:
        """Find claims that a model contradicts that learned from what nothing else speaks against.

        Of a burst, only what others support is believed: the remainder changes nothing for the
        corrections of others.
        """
        believed = [not claim.doubts for claim in self.candidates]
        for rows in folds:
            asked = [
                row
                for row in rows
                if all(doubt.kind != "conflict" for doubt in self.candidates[row].doubts)
            ]
            if not asked:
                continue
            model = self._model_of_others(rows, asked, base, believed)
            claims = [self.candidates[row] for row in asked]
            for claim, doubt in zip(claims, _contradictions(model, claims), strict=True):
                claim.doubts.extend([] if doubt is None else [doubt])

    def _agree(self, model: Fitted, rows: Sequence[int]) -> list[bool]:
        """Return whether a model gives some of the candidates their topics."""
        claims = [self.candidates[row] for row in rows]
        answers = _answer_sets(model, [claim.correction.text for claim in claims])
        return [claim.topics == answer for claim, answer in zip(claims, answers, strict=True)]

    def _model_of_others(
        self, rows: Sequence[int], asked: Sequence[int], base: Fitted, believed: Sequence[bool]
    ) -> Fitted:
        """Return a model that learned from the believed candidates without some rows.

        What others say of the texts that are `asked` about is left out as well if it differs, and
        what a model has learned from the same people before: a few corrections a week would support
        the next ones.
        """
        left_out = {*rows}
        people = {self.candidates[row].person for row in rows}
        learned = self._learned()
        kept = [claim for claim in learned if claim.person not in people]
        said = {(claim.key, claim.topics) for claim in (self.candidates[row] for row in asked)}
        texts = {key for key, _ in said}
        others = [
            claim
            for row, claim in enumerate(self.candidates)
            if row not in left_out
            and believed[row]
            and (claim.key not in texts or (claim.key, claim.topics) in said)
        ]
        if not others and len(kept) == len(learned):
            return base
        return self.fit(self._documents(kept + others))

    def _folds(self) -> list[list[int]]:
        """Return the rows of candidates, all those of one person in one of a few groups.

        People are dealt out in the order of their first corrections, and those with a burst after
        all others, so that somebody who comes later, or sends a burst, changes no group but their
        own.
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
        """Find corrections that give training texts a wrong answer where it was right."""
        right = [frozenset(topics) for topics in as_sets(self.train.topics)]
        before = _answer_sets(base, self.train.texts)
        was_right = [row for row, topics in enumerate(right) if before[row] == topics]
        texts = [self.train.texts[row] for row in was_right]
        for last in range(_N_ROUNDS):
            learned = [claim for claim in self.candidates if not claim.doubts]
            if not learned:
                return
            model = self.fit(self._documents(self._learned() + learned))
            after = _answer_sets(model, texts)
            changed = [
                (row, answer)
                for row, answer in zip(was_right, after, strict=True)
                if answer != right[row]
            ]
            blamed = _blame(changed, self.train, learned, right, everyone=last == _N_ROUNDS - 1)
            if not blamed:
                return
            for row, topics in blamed.items():
                [(topic, _)] = Counter(topics).most_common(1)
                learned[row].doubts.append(Doubt("changes answers", len(topics), topic))


def _blame(
    changed: Sequence[tuple[int, _Topics]],
    train: Corpus,
    learned: Sequence[_Claim],
    right: Sequence[_Topics],
    *,
    everyone: bool,
) -> dict[int, list[str]]:
    """Return the corrections to blame for changed answers, with the right topics of the texts.

    For each text, it is the one most like it with a topic that the text got, or lost; or `everyone`
    of them.
    """
    words = [_words(claim.correction.text) for claim in learned]
    blamed: defaultdict[int, list[str]] = defaultdict(list)
    for row, answer in changed:
        difference = answer ^ right[row]
        text = _words(train.texts[row])
        suspects = [
            (_overlap(text, words[number]), number)
            for number, claim in enumerate(learned)
            # A topic that was taken away is none of the correction's.
            if (claim.topics & difference or not claim.topics) and words[number] & text
        ]
        for _, number in suspects if everyone else sorted(suspects)[-1:]:
            blamed[number].append(_join(right[row]))
    return blamed


def _contradictions(model: Fitted, claims: Sequence[_Claim]) -> list[Doubt | None]:
    """Return for each claim whether a model that didn't learn from it is sure of other topics."""
    proba = model.predict_proba([claim.correction.text for claim in claims])
    names = [str(name) for name in model.topics.names]
    columns = {name: column for column, name in enumerate(names)}
    doubts: list[Doubt | None] = []
    for claim, row in zip(claims, proba.astype(np.float64), strict=True):
        said = [columns[topic] for topic in claim.topics if topic in columns]
        if not model.multilabel:
            best = int(row.argmax())
            is_sure = bool(said) and row[best] >= CONTRADICTION * row[said[0]]
        else:
            others = np.delete(np.arange(len(row)), said)
            best = int(others[row[others].argmax()]) if len(others) else -1
            is_sure = best >= 0 and row[best] >= CONTRADICTION * (1 - row[best])
        doubts.append(
            Doubt(
                "contradicted",
                topic=_join(frozenset([names[best]])),
                probability=round(float(row[best]), 4),
            )
            if is_sure
            else None
        )
    return doubts


def _answer_sets(model: Fitted, texts: Sequence[str]) -> list[_Topics]:
    if not texts:
        return []
    return [frozenset(map(str, topics)) for topics in as_sets(list(model.answers(texts)))]


def _join(topics: _Topics) -> str:
    joined: str = replace_surrogates(", ".join(sorted(topics))[:500])
    return joined


def _words(text: str) -> set[str]:
    return {*re.findall(r"\w+", text.lower())}


def _overlap(first: set[str], second: set[str]) -> float:
    """Return how alike two sets of words are, from 0 to 1 (Jaccard)."""
    return len(first & second) / len(first | second)
