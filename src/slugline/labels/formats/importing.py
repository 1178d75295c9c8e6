"""Import labels from files, and match them to documents."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from slugline.base.checks import short_repr
from slugline.base.databases import is_time, to_cell
from slugline.corpus.documents import check_topic_names
from slugline.corpus.label_database.records import CoderKind, SkipReason
from slugline.errors import DataError, Parameter
from slugline.labels.cells import ImportedLabel, NewDocument, document_cells, name_cell, note_cell
from slugline.labels.store import LabelStore
from slugline.labels.text_table import TextTable

# Number of documents stored together.
_BATCH = 1000


class ExchangedLabel(msgspec.Struct, frozen=True, omit_defaults=True):
    """A label in a file.

    Attributes
    ----------
    coder : str or None
        None if the file doesn't name the coder.
    topics : tuple of str, or None
        None if the document was skipped.
    at, note : str or None
    reason : {"unclear", "none of these", "not for me"}
        Reason for skipping it.
    kind : {"person", "imported"}
    is_settlement : bool
        True if a person settled a disagreement with this label.
    """

    coder: str | None = None
    topics: tuple[str, ...] | None = None
    at: str | None = None
    note: str | None = None
    reason: SkipReason = "unclear"
    kind: CoderKind = "person"
    is_settlement: bool = False


class ExchangedDocument(NamedTuple):
    """A document in a file.

    Attributes
    ----------
    place : str
        Such as "tasks.json, item 3".
    id : str or int
        Id in the tool that wrote the file, or empty.
    text : str or None
        None if the file doesn't contain it.
    columns : dict
        Its other columns.
    labels : tuple of ExchangedLabel
    key : str or None
        Key in the label database that wrote the file, or derived from the user's id.
    is_multilabel : bool
        True if the file was written by a multi-label database.
    """

    place: str
    id: str | int
    text: str | None
    columns: dict[str, Any]
    labels: tuple[ExchangedLabel, ...] = ()
    key: str | None = None
    is_multilabel: bool = False


class ImportReport(NamedTuple):
    """Counts of what an import stored.

    Attributes
    ----------
    n_documents : int
        Number of documents, or lines about documents, in the file.
    n_new_documents : int
        Number of new documents in the store.
    n_labels : int
        Number of labels in the file, skipped documents included.
    n_new_labels : int
        Number of new labels in the store.
    n_unknown : int
        Number of documents skipped because they have an unknown id and no text.
    n_changed : int
        Number of documents skipped because the store has another text under their id.
    """

    n_documents: int
    n_new_documents: int
    n_labels: int
    n_new_labels: int
    n_unknown: int = 0
    n_changed: int = 0


# Import -------------------------------------------------------------------------------------------


def import_documents(
    store: LabelStore,
    read: Callable[[], Iterable[ExchangedDocument]],
    source: str,
    *,
    coder: str | None = None,
    kind: CoderKind = "person",
    user_file: TextTable | None = None,
) -> ImportReport:
    """Store documents of a file and their labels.

    Documents are matched by key, else by text, to stored documents, then to the user's file; others
    are added. The entire file is checked before anything is stored, and an import can be repeated.
    A store without labels becomes multi-label if a document of the file has several topics.

    Parameters
    ----------
    store : LabelStore
    read : callable
        Returns the documents; called up to three times, because they are checked first.
    source : str
        Prefix of new keys, and the default name of coders.
    coder : str, optional
        Coder to credit. Defaults to the coder of each label, else `source`.
    kind : {"person", "imported"}
        The kind of `coder`.
    user_file : TextTable, optional
        The labelled file; its documents are stored if they have a label.

    Raises
    ------
    DataError : if a document can't be stored; the message names the place.
    """
    coder_of = _coder_finder(source, coder, kind)
    if user_file is not None:
        _check_matches(store, read(), user_file, needs_texts=kind == "imported")
    _check(store, read(), source, coder_of)
    matcher = _DocumentMatcher(store, source, user_file)
    writer = _LabelWriter(store, coder_of)
    n_documents, documents = 0, iter(read())
    while batch := list(itertools.islice(documents, _BATCH)):
        n_documents += len(batch)
        pairs = zip(batch, matcher.find(batch), strict=True)
        writer.add((document, number) for document, number in pairs if number is not None)
    return ImportReport(
        n_documents=n_documents,
        n_new_documents=matcher.n_new,
        n_labels=writer.n_labels,
        n_new_labels=writer.n_new,
        n_unknown=matcher.n_unknown,
        n_changed=matcher.n_changed,
    )


# Maximum number of examples in a message.
_N_EXAMPLES = 5


def _check_matches(
    store: LabelStore,
    documents: Iterable[ExchangedDocument],
    user_file: TextTable,
    *,
    needs_texts: bool,
) -> None:
    """Raise DataError if no document is in the store or the user's file.

    Unless `needs_texts`, documents with a text may be new.
    """
    unknown: list[ExchangedDocument] = []
    n_documents, iterator = 0, iter(documents)
    while batch := list(itertools.islice(iterator, _BATCH)):
        n_documents += len(batch)
        stored_keys = store.find_keys(each.key for each in batch if each.key)
        stored_texts = store.find_texts([each.text for each in batch if each.text])
        for each in batch:
            if each.text is not None and not needs_texts:
                return
            key, text = each.key or "", each.text or ""
            if key in stored_keys or stored_texts.get(text):
                return
            if user_file.find_key(key) is not None or user_file.find_text(text):
                return
        unknown = unknown or batch[:_N_EXAMPLES]
    if unknown:
        name = unknown[0].place.rpartition(", ")[0]
        has_ids = unknown[0].key is not None
        noun = "id" if has_ids else "text"
        theirs = [each.key.removeprefix("id ") if each.key else each.text for each in unknown]
        own = user_file.texts[:_N_EXAMPLES]
        if has_ids:
            own = [key.removeprefix("id ") for key in user_file.keys[:_N_EXAMPLES]]
        is_without_ids = has_ids and user_file.keys[0].startswith("text ")
        raise DataError(
            f"{name}: none of its {n_documents:,} {noun}s is in {user_file.name}. It has "
            f"{_examples(theirs)}; ",
            f"{user_file.name} has no id column"
            if is_without_ids
            else f"{user_file.name} has {_examples(own)}",
            "; name the id column with ",
            Parameter("id"),
            ", or correct the file.",
        )


def _examples(values: Iterable[str | None]) -> str:
    return ", ".join(short_repr(value) for value in values)


_CoderOf = Callable[[ExchangedLabel], tuple[str, CoderKind]]


def _coder_finder(source: str, coder: str | None, kind: CoderKind) -> _CoderOf:
    """Return a function that maps a label to its coder's name and kind."""

    def coder_of(label: ExchangedLabel) -> tuple[str, CoderKind]:
        return (label.coder or source, label.kind) if coder is None else (coder, kind)

    return coder_of


def _check_cells(document: ExchangedDocument, source: str) -> None:
    """Raise DataError if a document, or the cells of one of its labels, can't be stored."""
    key = document.key or _own_key(document, source) or "text"
    document_cells(NewDocument(key, document.text or "", document.columns))
    for label in document.labels:
        if label.note is not None:
            note_cell("note", label.note)
        if label.at is not None and not is_time(label.at):
            raise DataError(Parameter("at"), f" is {short_repr(label.at)}; give a time in UTC.")


def _check_coder(name: str, kind: CoderKind, kinds: dict[str, CoderKind]) -> None:
    """Raise DataError for an invalid coder; `kinds` are the kinds of all coders so far."""
    name_cell("name", name)
    if not name.strip():
        raise DataError(Parameter("name"), " is blank; pass a coder name.")
    if kinds.setdefault(name, kind) != kind:
        other = "a person" if kinds[name] == "person" else "an imported coder"
        raise DataError(f"{short_repr(name)} is already used for {other}; choose another name.")


def _own_key(document: ExchangedDocument, source: str) -> str:
    """Return a key from the tool's id; empty without an id, or if Slugline wrote a key."""
    return "" if document.key or document.id == "" else f"{source} {document.id}"


def _check(
    store: LabelStore, documents: Iterable[ExchangedDocument], source: str, coder_of: _CoderOf
) -> None:
    """Check a file; make a store without labels multi-label if needed."""
    has_labels = next(store.decisions(), None) is not None
    is_multilabel, needs_several = store.is_multilabel, False
    names: set[str] = set()
    kinds: dict[str, CoderKind] = {each.name: each.kind for each in store.coders()}
    for document in documents:
        try:
            _check_cells(document, source)
        except DataError as error:
            raise DataError(f"{document.place}: ", *error.parts) from error
        needs_several |= document.is_multilabel and not is_multilabel and not has_labels
        for label in document.labels:
            new = [topic for topic in label.topics or () if topic not in names]
            name, kind = coder_of(label)
            try:
                check_topic_names(new)
                _check_coder(name, kind, kinds)
            except DataError as error:
                raise DataError(f"{document.place}: ", *error.parts) from error
            names.update(new)
            if len(label.topics or ()) > 1 and not is_multilabel:
                needs_several = True
                if has_labels:
                    raise DataError(
                        f"{document.place}: {len(label.topics or ())} topics, but {store.path} is "
                        "single-label; import into another database, or keep one topic."
                    )
    if needs_several:
        store.set_multilabel(True)


# The match of an exchanged document: the number of a stored document, or the key of a new one.
_Match = int | str


class _DocumentMatcher:
    """Matches exchanged documents to stored ones, and stores new ones.

    Attributes
    ----------
    n_new, n_unknown, n_changed : int
        See `ImportReport`.
    """

    def __init__(self, store: LabelStore, source: str, user_file: TextTable | None) -> None:
        self._store, self._source, self._user_file = store, source, user_file
        self.n_new = self.n_unknown = self.n_changed = 0
        # Documents by digest of the text, and the number matched so far.
        self._by_text: dict[bytes, list[_Match]] = {}
        self._n_seen: Counter[bytes] = Counter()
        # The user's documents that are not stored yet, by digest of the text.
        self._unstored: dict[bytes, list[NewDocument]] = {}
        # In the current batch: documents by key, and new documents.
        self._by_key: dict[str, _Match] = {}
        self._new: dict[str, NewDocument] = {}

    def find(self, batch: Sequence[ExchangedDocument]) -> list[int | None]:
        """Return the number of each document, stored if new.

        None for a document with an unknown key and no text, or with the key of another text.
        """
        keys = [key for each in batch for key in (each.key, _own_key(each, self._source)) if key]
        self._by_key, self._new = {**self._store.find_keys(keys)}, {}
        texts = {_digest(text): text for each in batch if (text := self._text_of(each)) is not None}
        self._read_texts([text for digest, text in texts.items() if digest not in self._by_text])
        matches = [self._match(document) for document in batch]
        added = self._store.add_documents(self._new.values())
        numbers = dict(zip(self._new, added, strict=True))
        self.n_new += len(numbers)
        for digest in texts:
            self._by_text[digest] = [
                numbers[each] if isinstance(each, str) else each for each in self._by_text[digest]
            ]
        return [numbers[each] if isinstance(each, str) else each for each in matches]

    def _read_texts(self, texts: Sequence[str]) -> None:
        """Find the stored documents and the user's documents with these texts."""
        stored = self._store.find_texts(texts)
        for text in texts:
            digest = _digest(text)
            self._by_text[digest] = [*stored.get(text, ())]
            if self._user_file is not None:
                documents = self._user_file.find_text(text)
                known = self._store.find_keys(document.key for document in documents)
                self._unstored[digest] = [each for each in documents if each.key not in known]

    def _text_of(self, document: ExchangedDocument) -> str | None:
        """Return the text of a document, else the text in the user's file."""
        if document.text is not None or document.key is None:
            return document.text
        own = self._user_document(document.key)
        return None if own is None else own.text

    def _user_document(self, key: str) -> NewDocument | None:
        return None if self._user_file is None else self._user_file.find_key(key)

    def _match(self, document: ExchangedDocument) -> _Match | None:
        if document.text is None:
            return self._match_key(document.key or "")
        if document.key is None:
            return self._match_text(document, document.text)
        return self._match_both(document, document.key, document.text)

    def _match_key(self, key: str) -> _Match | None:
        """Match a document without a text by key."""
        if key in self._by_key:
            return self._by_key[key]
        own = self._user_document(key)
        if own is not None:
            return self._add(own)
        self.n_unknown += 1
        return None

    def _match_both(self, document: ExchangedDocument, key: str, text: str) -> _Match | None:
        """Match a document by key, if its text is unchanged."""
        if key in self._by_key:
            match = self._by_key[key]
            if match in self._by_text[_digest(text)]:
                return match
            self.n_changed += 1
            return None
        own = self._user_document(key)
        if own is not None and own.text != text:
            self.n_changed += 1
            return None
        return self._add(own or NewDocument(key, text, document.columns))

    def _match_text(self, document: ExchangedDocument, text: str) -> _Match:
        """Match a document without a key by text."""
        digest, key = _digest(text), _own_key(document, self._source)
        equal, unstored = self._by_text[digest], self._unstored.get(digest)
        if key and self._by_key.get(key) in equal:
            return self._by_key[key]
        n_seen = self._n_seen[digest]
        self._n_seen[digest] += 1
        if n_seen < len(equal):
            return equal[n_seen]
        if unstored:
            return self._add(unstored[0])
        key = key or f"text {digest.hex()} {n_seen + 1}"
        if key in self._by_key:  # of another text
            key = f"{key} text {digest.hex()}"
        return self._add(NewDocument(key, text, document.columns))

    def _add(self, document: NewDocument) -> _Match:
        """Add a document to store; return its key."""
        digest = _digest(document.text)
        self._new[document.key] = document
        self._by_key[document.key] = document.key
        self._by_text[digest].append(document.key)
        unstored = self._unstored.get(digest, [])
        unstored[:] = [each for each in unstored if each.key != document.key]
        return document.key


class _LabelWriter:
    """Stores labels of documents.

    Attributes
    ----------
    n_labels, n_new : int
        See `ImportReport`.
    """

    def __init__(self, store: LabelStore, coder_of: _CoderOf) -> None:
        self._store, self._coder_of = store, coder_of
        self._is_multilabel = store.is_multilabel
        self.n_labels = self.n_new = 0

    def add(self, documents: Iterable[tuple[ExchangedDocument, int]]) -> None:
        """Store the labels of documents, given with their numbers."""
        by_coder: dict[tuple[str, CoderKind], list[ImportedLabel]] = defaultdict(list)
        settlements = []
        for document, number in documents:
            for label in document.labels:
                self.n_labels += 1
                _, kind = self._coder_of(label)
                if label.is_settlement and kind == "person":
                    settlements.append((number, label))
                else:
                    by_coder[self._coder_of(label)].append(self._imported_label(number, label))
        for (name, kind), labels in by_coder.items():
            self._store.add_coder(name, kind)
            self.n_new += self._store.import_labels(name, labels)
        for number, label in settlements:
            self.n_new += self._settle(number, label)

    def _imported_label(self, number: int, label: ExchangedLabel) -> ImportedLabel:
        topics = self._stored_topics(label)
        is_none = topics is None and label.topics is not None
        reason = "none of these" if is_none else label.reason
        return ImportedLabel(number, topics, label.at, label.note, reason)

    def _stored_topics(self, label: ExchangedLabel) -> tuple[str, ...] | None:
        """Return the topics of a label; without topics, it is a skip unless multi-label."""
        return label.topics if label.topics or self._is_multilabel else None

    def _settle(self, number: int, label: ExchangedLabel) -> bool:
        """Store a settlement unless it is the current one; return True if new."""
        person, _ = self._coder_of(label)
        self._store.add_coder(person)
        given = self._stored_topics(label)
        codebook = self._store.codebook()
        for topic in given or ():
            if codebook.find(topic) is None:
                self._store.add_topic(topic, person)
        codebook = self._store.codebook()
        # By their current names.
        topics = None if given is None else [codebook.find(each) for each in given]
        names = None if topics is None else [each.name for each in topics if each is not None]
        current = self._store.document_labels(number).settlement
        if current is not None:
            settled = {*current.topics} if current.kind == "label" else None
            same_topics = settled == (None if names is None else {*names})
            if same_topics and (current.person.name, current.note) == (person, label.note):
                return False
        self._store.settle(
            number,
            names,
            person,
            note=label.note,
            supersedes=None if current is None else current.id,
        )
        return True


def _digest(text: str) -> bytes:
    return hashlib.sha256(to_cell(text)).digest()
