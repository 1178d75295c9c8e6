"""Tokens of requests, and the file that holds them."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import NamedTuple

from slugline.errors import OptionError

# Characters of a token: fewer could be guessed.
_SHORTEST_TOKEN = 16
# Bytes of the file.
_MAX_TOKEN_BYTES = 1 << 16
# Characters of the name of a token, as of who corrects.
_LONGEST_NAME = 200


class Token(NamedTuple):
    """A token and the name of its owner, None if it has no name."""

    secret: str
    name: str | None

    @classmethod
    def parse(cls, line: str) -> Token:
        """Return the token of a line.

        >>> Token.parse("anna 0123456789abcdef"), Token.parse("0123456789abcdef").name
        (Token(secret='0123456789abcdef', name='anna'), None)
        """
        name, _, secret = line.strip().rpartition(" ")
        return cls(secret, name.strip() or None)


def read_tokens(path: Path) -> tuple[str, ...]:
    """Return the lines of a file that hold a token, or a name and a token.

    Blank lines and lines that begin with # are skipped.

    Raises
    ------
    OptionError : if the file can't be read or has no token, or if a token is too short, has an
        invalid name or occurs twice.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_TOKEN_BYTES + 1)
    except OSError as error:
        raise OptionError(f"--token-file {path}: {error.strerror}; check the path.") from error
    if len(content) > _MAX_TOKEN_BYTES:
        raise OptionError(f"--token-file {path} is too large for a file of tokens.")
    try:
        lines = unicodedata.normalize("NFC", content.decode("utf-8-sig")).splitlines()
    except UnicodeDecodeError:
        raise OptionError(f"--token-file {path} isn't UTF-8; save it in that encoding.") from None
    lines = [" ".join(line.split()) for line in lines if not line.startswith("#")]
    lines = [line for line in lines if line]
    if not lines:
        raise OptionError(f"--token-file {path} holds no token; write one per line.")
    secrets = set()
    for number, line in enumerate(lines, 1):
        token = Token.parse(line)
        name = token.name or ""
        if not token.secret.isascii():
            raise OptionError(
                f"--token-file {path}: token {number} has characters that aren't ASCII; names may "
                "have any letters, but tokens are sent in HTTP headers."
            )
        if len(token.secret) < _SHORTEST_TOKEN or " " in name or not name.isprintable():
            raise OptionError(  # the message must not show the token
                f"--token-file {path}: token {number} has {len(token.secret)} characters, or more "
                "than a name of one word before it; write a line such as `anna TOKEN` or `TOKEN`, "
                f"with a token of at least {_SHORTEST_TOKEN} characters, such as `openssl rand "
                "-hex 16` gives."
            )
        if len(name) > _LONGEST_NAME:
            raise OptionError(
                f"--token-file {path}: the name of token {number} has {len(name)} characters, and "
                f"may have {_LONGEST_NAME}; shorten it."
            )
        if token.secret in secrets:
            raise OptionError(
                f"--token-file {path}: token {number} occurs twice; give everybody their own."
            )
        secrets.add(token.secret)
    return tuple(lines)
