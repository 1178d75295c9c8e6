"""The tool that installs with uv, where pip's settings say."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

TOOL = runpy.run_path(str(Path(__file__).parents[1] / "tools" / "install.py"))
read_settings: Callable[[str], dict[str, str]] = TOOL["read_settings"]
translate_settings: Callable[[Mapping[str, str]], dict[str, str] | None]
translate_settings = TOOL["translate_settings"]


def test_read_settings_prefers_the_environment_to_files() -> None:
    lines = """\
:env:.cert='/etc/own.pem'
download.index-url='https://downloads.example'
global.cert='/etc/all.pem'
global.find-links='\\n/opt/a\\n/opt/b'
global.index-url='https://all.example'
install.index-url="https://it's.example"
"""
    assert read_settings(lines) == {
        "cert": "/etc/own.pem",
        "find-links": "\n/opt/a\n/opt/b",
        "index-url": "https://it's.example",
    }


def test_translate_settings_tells_uv_what_pip_knows() -> None:
    settings = {
        "cert": "/etc/own.pem",
        "disable-pip-version-check": "1",
        "extra-index-url": "https://a.example\nhttps://b.example",
        "find-links": "\n/opt/a\n/opt/b",
    }
    assert translate_settings(settings) == {
        "SSL_CERT_FILE": "/etc/own.pem",
        "UV_FIND_LINKS": "/opt/a,/opt/b",
        "UV_INDEX": "https://a.example https://b.example",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


@pytest.mark.parametrize("name", ["proxy", "no-binary", "target"])
def test_translate_settings_leaves_what_uv_cannot_be_told_to_pip(name: str) -> None:
    assert translate_settings({"cert": "/etc/own.pem", name: "x"}) is None
