"""Incremental XML editor: the same output for any encoding and size of pieces."""

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


DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_editor_keeps_elements_attributes_and_text(size: int, encoding: str) -> None:
    data = XML.encode(encoding)

    assert edited(Unchanged(), data, size).decode() == (
        f'{DECLARATION}<a x="1" y="&lt;&gt;">text <b/><b/> <b/>/&gt;'
        '<x:c t="ü">&lt;/c&gt; <d><b/></d></x:c><e/></a>'
    )


@pytest.mark.parametrize("size", [1, 5, 7, 64, 10_000])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_editor_edits_the_same_however_it_is_read(size: int, encoding: str) -> None:
    found = edited(Recolour(), XML.encode(encoding), size).decode()

    assert found == (
        f'{DECLARATION}<a x="1" y="&lt;&gt;">text [b][b] [b]/&gt;'
        '<x:c t="ü" new="x:&lt;ß">&lt;/c&gt; <d>[b]!</d></x:c><e new="&lt;ß"/></a>'
    )


def test_xml_editor_keeps_line_breaks() -> None:
    data = b'<a b="1&#10;2">3\r\n4&#13;</a>'

    assert edited(Unchanged(), data, 3).decode() == (f'{DECLARATION}<a b="1&#10;2">3\n4&#13;</a>')


def test_xml_editor_refuses_a_doctype() -> None:
    with pytest.raises(ValueError, match="DOCTYPE"):
        edited(Unchanged(), b'<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>', 100)
