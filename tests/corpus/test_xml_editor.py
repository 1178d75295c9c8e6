"""XML that is edited: what is not edited stays byte for byte, however it is read."""

from __future__ import annotations

import pytest

from slugline.corpus.excel_copy import Edit, XmlEditor

XML = (
    '<?xml version="1.0"?>\n<!-- a "b> -->\n<a x=\'1\' y="&lt;>">text <b/><b /> <b></b>/></a>'
    "<?pi?>\n"
)
XML = XML.replace("</a>", '<x:c t="ü"><![CDATA[</c>]]> <d><b/></d></x:c><e/></a>')


class Recolour(XmlEditor):
    """Cuts b, marks c and writes at the end of d."""

    def begin(self, name: str, prefix: str, attributes: dict[str, str]) -> Edit:
        if name == "b":
            return Edit(before="[b]", is_cut=True)
        return Edit(attributes=attributes | {"new": f"{prefix}<ß"}) if name in "ce" else Edit()

    def end(self, name: str) -> str:
        return "!" if name == "d" else ""


class Unchanged(XmlEditor):
    """Changes nothing."""

    def begin(self, name: str, prefix: str, attributes: dict[str, str]) -> Edit:
        return Edit()


def edited(editor: XmlEditor, data: bytes, size: int) -> bytes:
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(editor.edit(piece) for piece in [*pieces, b""])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_xml_editor_keeps_every_byte_that_is_not_edited(size: int) -> None:
    # Its encoding is known by its first four bytes.
    for encoding in ("utf-8", "utf-16"):
        data = XML.encode(encoding)
        assert edited(Unchanged(), data, max(size, 4)) == data


@pytest.mark.parametrize("size", [4, 5, 7, 64, 10_000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_editor_edits_the_same_however_it_is_read(size: int, encoding: str) -> None:
    found = edited(Recolour(), XML.encode(encoding), size).decode(encoding)

    assert found == (
        '<?xml version="1.0"?>\n<!-- a "b> -->\n<a x=\'1\' y="&lt;>">text [b][b] [b]'
        '<x:c t="&#252;" new="x:&lt;&#223;"><d>[b]!</d></x:c><e new="&lt;&#223;"/></a><?pi?>\n'
    )


def test_xml_editor_refuses_a_doctype() -> None:
    with pytest.raises(ValueError, match="DOCTYPE"):
        edited(Unchanged(), b'<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>', 100)
