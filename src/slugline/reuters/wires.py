"""Texts of the newswires, from Reuters-21578."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from slugline.base.checks import check_choice
from slugline.base.files import PathLike
from slugline.base.progress import Progress
from slugline.errors import DataError
from slugline.reuters import sequences
from slugline.reuters.downloads import FILES, error_reason, fetch, read_original

# Maximum size of the unpacked archive in bytes, twice the actual size.
_MAX_UNPACKED = 64_000_000
_DIGESTS = Path(__file__).with_name("reuters21578.sha256").read_text("ascii")
# Files of Reuters-21578, Distribution 1.0, in the order of wire numbers.
SGML_SHA256 = {name: digest for digest, name in map(str.split, _DIGESTS.splitlines())}


@dataclass(frozen=True, slots=True)
class Wire:
    """One newswire.

    Attributes
    ----------
    text : str
        Depends on the edition; see `load_wires`.
    headline : str
        May be empty.
    topic : str
        First of `topics`, and the wire's label in Keras' file.
    topics : tuple of str
        May include topics outside `topic_names()`; in "modapte", only the 90 common topics.
    date : datetime
        Without a time zone.
    newid : int
        Number in Reuters-21578, from 1 to 21,578.
    label : int
        Index of `topic` in `topic_names()`, or -1.
    misplaced : bool
        True if the wire has no body, and Keras' file contains another wire's text instead.
    fields : mapping of str to tuple of str
        Other tags: places, people, orgs, exchanges, companies, author.
    """

    text: str
    headline: str
    topic: str
    topics: tuple[str, ...]
    date: datetime
    newid: int
    label: int
    misplaced: bool
    fields: Mapping[str, tuple[str, ...]]


class WireList(tuple[Wire, ...]):
    """Wires in a fixed order."""

    __slots__ = ()

    @property
    def texts(self) -> list[str]:
        """Text of each wire."""
        return [wire.text for wire in self]

    @property
    def topics(self) -> list[str]:
        """First topic of each wire."""
        return [wire.topic for wire in self]


@dataclass(frozen=True, slots=True)
class Wires:
    """Training and test wires."""

    train: WireList
    test: WireList


Edition = Literal["keras", "corrected", "modapte"]


def load_wires(
    edition: Edition = "corrected",
    path: PathLike | None = None,
    *,
    progress: Progress | None = None,
) -> Wires:
    """Return newswires as text, in the order and split of `load_data` with default arguments.

    There are 8,982 training and 2,246 test wires; `wires.train[i]` corresponds to `x_train[i]`. The
    edition "modapte" has different wires and a different split.

    Parameters
    ----------
    edition : {"corrected", "keras", "modapte"}
        "corrected": headline, line break and body, with entities resolved. "keras": source text of
        Keras' sequences, including mark-up; for a misplaced wire, the body of the next wire with
        one. "modapte": texts as in "corrected", for the training (7,770) and test (3,019) wires of
        the ModApte split, in collection order. Multi-label, with the 90 topics that occur in both
        parts.
    path : path, optional
        reuters21578.tar.gz or its folder; see `slugline.reuters.downloads.fetch` for the default.
    progress : Progress, optional
        Reports download progress.

    Raises
    ------
    OptionError : for an unknown edition.
    DataError : if the archive is damaged or not the original.
    DownloadError : if it can't be found or downloaded.
    """
    check_choice("edition", edition, get_args(Edition))
    archive = fetch(FILES["archive"], path, check=_unpack, progress=progress)
    files = read_original(archive, FILES["archive"], _unpack)
    if edition == "modapte":
        return _modapte(files)
    wires = [wire for sgml in files for wire in _wires_in(sgml, edition)]
    shuffled = [wires[i] for i in sequences.shuffled_order(len(wires), sequences.DEFAULT_SEED)]
    n_train = sequences.count_train(len(wires), sequences.DEFAULT_TEST_SPLIT)
    return Wires(WireList(shuffled[:n_train]), WireList(shuffled[n_train:]))


def _unpack(path: Path) -> list[str]:
    """Return the contents of the SGML files, and verify their checksums."""
    try:
        with gzip.open(path) as file:
            unpacked = file.read(_MAX_UNPACKED + 1)
        if len(unpacked) > _MAX_UNPACKED:
            raise ValueError(f"it unpacks to more than {_MAX_UNPACKED:,} bytes")
        with tarfile.open(fileobj=io.BytesIO(unpacked), mode="r:") as archive:
            members = {PurePosixPath(member.name).name: member for member in archive}
            return [_read_sgml(archive, members.get(name), name) for name in SGML_SHA256]
    except Exception as error:  # tarfile raises many kinds of errors for a damaged archive
        raise DataError(error_reason(error)) from error


def _read_sgml(archive: tarfile.TarFile, member: tarfile.TarInfo | None, name: str) -> str:
    if member is None or not member.isreg() or member.issparse():
        raise ValueError(f"there is no {name} in it")
    file = archive.extractfile(member)
    content = file.read() if file else b""
    if hashlib.sha256(content).hexdigest() != SGML_SHA256[name]:
        raise ValueError(f"its {name} differs from the original")
    return content.decode("latin-1")


_WIRE = re.compile(
    r'<REUTERS TOPICS="(?P<indexed>\w+)" LEWISSPLIT="(?P<split>[\w-]+)"'
    r'[^>]*NEWID="(?P<newid>\d+)">\s*'
    r"<DATE>\s*(?P<day>\d+)-(?P<month>[A-Z]{3})-(?P<year>\d{4})\s+(?P<time>[\d:.]+).*?"
    r"<TOPICS>(?P<topics>.*?)</TOPICS>.*?<TEXT[^>]*>(?P<text>.*?)</TEXT>",
    re.DOTALL,
)
# A topic, or an item of another tag.
_ITEM = re.compile(r"<D>(.*?)</D>")
_TAGS = re.compile(r"<(PLACES|PEOPLE|ORGS|EXCHANGES|COMPANIES)>(.*?)</\1>")
_AUTHOR = re.compile(r"<AUTHOR>(.*?)</AUTHOR>", re.DOTALL)
_TITLE = re.compile(r"<TITLE>(.*?)</TITLE>", re.DOTALL)
_BODY = re.compile(r"<BODY>(.*?)</BODY>", re.DOTALL)
_CONTROL = re.compile(r"&#\d+;")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def _wires_in(sgml: str, edition: Edition) -> Iterator[Wire]:
    """Yield the wires of one SGML file whose first topic is among the 46."""
    for match in _WIRE.finditer(sgml):
        topics = tuple(_ITEM.findall(match["topics"]))
        if not topics or topics[0] not in sequences.LABELS:
            continue
        wire = _to_wire(match, topics)
        if edition == "keras":
            wire = replace(wire, text=_text_in_keras(sgml, match.end("topics")))
        yield wire


def _modapte(files: list[str]) -> Wires:
    """Return the wires of the ModApte split, with the topics that occur in both parts."""
    parts: dict[str, list[re.Match[str]]] = {"TRAIN": [], "TEST": []}
    for match in itertools.chain.from_iterable(map(_WIRE.finditer, files)):
        # Topics of other wires were not assigned by indexers.
        if match["indexed"] == "YES" and match["split"] in parts:
            parts[match["split"]].append(match)
    train, test = parts["TRAIN"], parts["TEST"]
    common_topics = _topics_of(train) & _topics_of(test)
    return Wires(_wires_with(train, common_topics), _wires_with(test, common_topics))


def _topics_of(matches: Sequence[re.Match[str]]) -> set[str]:
    return {topic for match in matches for topic in _ITEM.findall(match["topics"])}


def _wires_with(matches: Sequence[re.Match[str]], topics: AbstractSet[str]) -> WireList:
    """Return the wires that have any of these topics, without their other topics."""
    wires = []
    for match in matches:
        distinct_topics = dict.fromkeys(_ITEM.findall(match["topics"]))
        if kept_topics := [topic for topic in distinct_topics if topic in topics]:
            wires.append(_to_wire(match, kept_topics))
    return WireList(wires)


def _to_wire(match: re.Match[str], topics: Sequence[str]) -> Wire:
    headline, body = _headline_and_body(match["text"])
    return Wire(
        text=f"{headline}\n{body}".strip(),
        headline=headline,
        topic=topics[0],
        topics=tuple(topics),
        date=_date(match),
        newid=int(match["newid"]),
        label=sequences.LABELS.get(topics[0], -1),
        misplaced="<BODY>" not in match["text"],
        fields=_fields(match[0]),
    )


def _fields(markup: str) -> dict[str, tuple[str, ...]]:
    """Return a wire's tags other than topics, and its author."""
    fields = {name.lower(): tuple(_ITEM.findall(tags)) for name, tags in _TAGS.findall(markup)}
    author = _AUTHOR.search(markup)
    return fields | {"author": (" ".join(_plain(author[1]).split()),) if author else ()}


def _text_in_keras(sgml: str, start: int) -> str:
    """Return the text in Keras' file: from the next <BODY> tag to the next closing tag.

    The <BODY> tag may belong to a later wire. No such tag follows one of the wires; its text in
    Keras' file is "rn", perhaps from a carriage return and a line feed.
    """
    begin = sgml.find("<BODY>", start)
    return "rn" if begin < 0 else sgml[begin + len("<BODY>") : sgml.index("</", begin)]


def _headline_and_body(markup: str) -> tuple[str, str]:
    """Return the headline and body of a wire; either may be empty.

    A wire marked UNPROC has text without tags. A BRIEF has only a headline; the collection's
    authors added stars and "Blah blah blah." to it.
    """
    title = _TITLE.search(markup)
    if title is None:
        return "", _plain(markup)
    body = _BODY.search(markup)
    return " ".join(_plain(title[1]).split()), _plain(body[1]) if body else ""


def _plain(markup: str) -> str:
    """Replace control characters by spaces, and resolve the collection's two entities."""
    return _CONTROL.sub(" ", markup).replace("&lt;", "<").replace("&amp;", "&").strip()


def _date(match: re.Match[str]) -> datetime:
    month = _MONTHS.index(match["month"]) + 1
    return datetime.fromisoformat(f"{match['year']}-{month:02}-{match['day']:0>2} {match['time']}")
