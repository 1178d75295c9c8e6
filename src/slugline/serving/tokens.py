"""Token files, which control access to a server."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import NamedTuple

from slugline.errors import OptionError

# Minimum length of a token; shorter ones could be guessed.
_SHORTEST_TOKEN = 16
# Maximum size of the file.
_MAX_TOKEN_BYTES = 1 << 16
# Maximum length of a token's name.
_LONGEST_NAME = 200


class Token(NamedTuple):
    """A token and its owner's name, or None."""

    secret: str
    name: str | None

    @classmethod
    def parse(cls, line: str) -> Token:
        """Parse a line.

        >>> Token.parse("anna 0123456789abcdef"), Token.parse("0123456789abcdef").name
        (Token(secret='0123456789abcdef', name='anna'), None)
        """
        name, _, secret = line.strip().rpartition(" ")
        return cls(secret, name.strip() or None)


def read_tokens(path: Path) -> tuple[str, ...]:
    """Return the lines of a token file: `TOKEN` or `NAME TOKEN`.

    Blank lines and lines that start with # are skipped.

    Raises
    ------
    OptionError : if the file can't be read or contains no token, or if a token is too short, has
        an invalid name or occurs twice.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_TOKEN_BYTES + 1)
    except OSError as error:
        raise OptionError(f"--token-file {path}: {error.strerror}; check the path.") from error
    if len(content) > _MAX_TOKEN_BYTES:
        raise OptionError(f"--token-file {path} is too large for a token file.")
    try:
        lines = unicodedata.normalize("NFC", content.decode("utf-8-sig")).splitlines()
    except UnicodeDecodeError:
        raise OptionError(f"--token-file {path} isn't UTF-8; save it as UTF-8.") from None
    lines = [" ".join(line.split()) for line in lines if not line.startswith("#")]
    lines = [line for line in lines if line]
    if not lines:
        raise OptionError(f"--token-file {path} contains no token; write one per line.")
    secrets = set()
    for number, line in enumerate(lines, 1):
        token = Token.parse(line)
        name = token.name or ""
        if not token.secret.isascii():
            raise OptionError(
                f"--token-file {path}: token {number} contains non-ASCII characters. Names may "
                "contain any letters, but tokens are sent in HTTP headers."
            )
        if len(token.secret) < _SHORTEST_TOKEN or " " in name or not name.isprintable():
            raise OptionError(  # the message must not show the token
                f"--token-file {path}: token {number} has {len(token.secret)} characters, or its "
                "name has more than one word; write `TOKEN` or `anna TOKEN`, with a token of at "
                f"least {_SHORTEST_TOKEN} characters, for example from `openssl rand -hex 16`."
            )
        if len(name) > _LONGEST_NAME:
            raise OptionError(
                f"--token-file {path}: the name of token {number} has {len(name)} characters; "
                f"shorten it to {_LONGEST_NAME}."
            )
        if token.secret in secrets:
            raise OptionError(
                f"--token-file {path}: token {number} occurs twice; give each person their own."
            )
        secrets.add(token.secret)
    return tuple(lines)
