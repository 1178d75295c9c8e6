"""Installs with uv, many times as fast as pip, where and how pip's settings say.

`.venv/bin/python tools/install.py uv==0.13.9 --editable ".[dev]"` first installs that uv. pip does
the work where a setting of pip has no counterpart in uv, and where uv can't be had or fails.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping

#: Settings of pip, and the variables that tell uv the same.
VARIABLES = {
    "cert": "SSL_CERT_FILE",
    "constraint": "UV_CONSTRAINT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "index-url": "UV_DEFAULT_INDEX",
    "no-index": "UV_NO_INDEX",
    "timeout": "UV_HTTP_TIMEOUT",
    "trusted-host": "UV_INSECURE_HOST",
}
#: Settings that don't decide what is installed.
IRRELEVANT = {
    "cache-dir",
    "disable-pip-version-check",
    "no-cache-dir",
    "no-color",
    "no-compile",
    "no-input",
    "no-python-version-warning",
    "progress-bar",
    "quiet",
    "require-virtualenv",
    "retries",
    "root-user-action",
    "verbose",
}
#: Sections of pip's settings that concern `pip install`; later ones prevail.
SECTIONS = ("global", "install", ":env:")


def read_settings(lines: str) -> dict[str, str]:
    """Return the settings of `pip install` among the lines of `pip config list`."""
    settings: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in lines.splitlines():
        match = re.fullmatch(r"([^.]+)\.([^=]+)=('.*'|\".*\")", line)
        if match and match[1] in settings:
            settings[match[1]][match[2]] = ast.literal_eval(match[3])
    return {name: value for section in SECTIONS for name, value in settings[section].items()}


def translate_settings(settings: Mapping[str, str]) -> dict[str, str] | None:
    """Return the variables that tell uv the settings of pip; None where uv has none for one."""
    if settings.keys() - VARIABLES.keys() - IRRELEVANT:
        return None
    # Of several indexes, each package comes from the one that has its newest version, as by pip.
    variables = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    for name in VARIABLES.keys() & settings.keys():
        separator = "," if name == "find-links" else " "
        variables[VARIABLES[name]] = separator.join(settings[name].split())
    return variables


def install_with_uv(uv: str, arguments: list[str]) -> bool:
    """Install with uv; return whether that was possible."""
    pip = [sys.executable, "-m", "pip"]
    listed = subprocess.run([*pip, "config", "list"], capture_output=True, text=True)  # noqa: S603
    variables = translate_settings(read_settings(listed.stdout))
    if listed.returncode or variables is None:
        return False
    if subprocess.run([*pip, "install", "--quiet", uv]).returncode:  # noqa: S603
        return False
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]
    done = subprocess.run([*command, *arguments], env=os.environ | variables)  # noqa: S603
    return not done.returncode


def main() -> None:
    """Install what the arguments say."""
    uv, *arguments = sys.argv[1:]
    if install_with_uv(uv, arguments):
        return
    print("uv can't install here, so pip does", file=sys.stderr)
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    sys.exit(subprocess.run([*pip, *arguments]).returncode)  # noqa: S603


if __name__ == "__main__":
    main()
