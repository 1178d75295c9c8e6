"""Edit XML, preserving unedited parts byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from slugline.corpus.excel import refuse_doctype


class Edit(NamedTuple):
    """Changes at a tag: text to insert before it, new attributes, or its removal."""

    before: str = ""
    attributes: Mapping[str, str] | None = None
    is_cut: bool = False  # True to remove the tag and its element


#: Leaves the tag unchanged.
NO_EDIT = Edit()


class XmlEditor:
    """Incremental XML editor that preserves unedited parts byte for byte.

    Also removes text between a changed or removed tag and the next tag, which is blank in the lists
    of rows, cells and columns edited here.
    """

    def __init__(self) -> None:
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = refuse_doctype
        self._encoding = ""
        self._input, self._output = bytearray(), bytearray()
        self._offset = 0  # offset of the first byte of the buffered input
        self._depth = self._cut_depth = 0
        self._last_was_start = False  # True if the last tag was a start tag
        # Tag to write once it is known whether it is self-closing.
        self._pending_tag: tuple[str, Mapping[str, str]] | None = None
        self._is_cutting = False

    def edit(self, piece: bytes) -> bytes:
        """Return the edited XML so far; pass an empty piece at the end."""
        if not self._encoding:
            head = bytes(piece[:4])
            is_little = head.startswith((b"\xff\xfe", b"<\0"))
            is_big = head.startswith((b"\xfe\xff", b"\0<"))
            self._encoding = "utf-16-le" if is_little else "utf-16-be" if is_big else "ascii"
        self._input += piece
        self._parser.Parse(piece, not piece)
        end = self._offset + len(self._input)
        self._advance(self._parser.CurrentByteIndex if piece else end)
        output, self._output = bytes(self._output), bytearray()
        return output

    def begin(self, name: str, prefix: str, attributes: dict[str, str]) -> Edit:
        """Return the edit for a start tag."""
        raise NotImplementedError

    def end(self, name: str) -> str:  # noqa: ARG002
        """Return the text to write before an end tag."""
        return ""

    def _advance(self, offset: int) -> None:
        """Copy or discard the input before an offset."""
        n_bytes = offset - self._offset
        if not self._is_cutting:
            self._output += self._input[:n_bytes]
        del self._input[:n_bytes]
        self._offset = offset

    def _write(self, text: str) -> None:
        # Character references are the same in all encodings.
        data = text.encode("ascii", "xmlcharrefreplace")
        self._output += data if self._encoding == "ascii" else data.decode().encode(self._encoding)

    def _flush_tag(self, *, is_empty: bool) -> None:
        """Write the pending tag, and resume copying."""
        if self._pending_tag is not None:
            name, attributes = self._pending_tag
            values = "".join(f" {key}={quoteattr(value)}" for key, value in attributes.items())
            self._write(f"<{name}{values}{'/' * is_empty}>")
            self._pending_tag = None
        self._is_cutting = False

    def _begin(self, tag: str, attributes: dict[str, str]) -> None:
        self._advance(self._parser.CurrentByteIndex)
        self._depth += 1
        self._last_was_start = True
        if self._cut_depth:
            self.begin(*_split(tag), attributes)
            return
        self._flush_tag(is_empty=False)
        edit = self.begin(*_split(tag), attributes)
        self._write(edit.before)
        if edit.is_cut:
            self._cut_depth, self._is_cutting = self._depth, True
        elif edit.attributes is not None:
            self._pending_tag, self._is_cutting = (tag, edit.attributes), True

    def _end(self, tag: str) -> None:
        # Offset of the end tag; for a self-closing tag, the offset after it.
        self._advance(self._parser.CurrentByteIndex)
        is_utf16 = self._encoding != "ascii"
        end_tag = f"</{tag}".encode(self._encoding if is_utf16 else "utf-8")
        is_empty = self._last_was_start and not self._input.startswith(end_tag)
        self._last_was_start = False
        if not self._cut_depth:
            self._flush_tag(is_empty=is_empty)
            if not is_empty:
                self._write(self.end(tag.rpartition(":")[2]))
        elif self._depth == self._cut_depth:
            self._cut_depth = 0
            self._is_cutting = not is_empty  # also remove the end tag
        self._depth -= 1


def _split(tag: str) -> tuple[str, str]:
    """Split a name into its local name and its prefix, including the colon."""
    prefix, colon, name = tag.rpartition(":")
    return name, prefix + colon
