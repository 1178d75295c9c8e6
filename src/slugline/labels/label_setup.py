"""How people label, and what a label database gets before the first text: a coder, and topics."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from typing import Literal, get_args

from slugline.errors import OptionError, Parameter
from slugline.labels.store import LabelStore

#: When people see what the model would say: of labels that it contradicts, of texts that they have
#: not decided about yet as well, or never.
Guesses = Literal["after", "before", "never"]
GUESSES: tuple[Guesses, ...] = get_args(Guesses)


def login_name() -> str:
    """Return the name of the user's login; OptionError if it has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        raise OptionError(
            "your login has no name; give one with ", Parameter("coder"), "."
        ) from None


def add_topics(store: LabelStore, descriptions: Mapping[str, str], coder: str) -> None:
    """Add the topics that the codebook never had; describe those that have no description.

    Topics that were renamed, merged or described since are left as they are.
    """
    for name, description in descriptions.items():
        topic = store.codebook().find(name)
        if topic is None:
            store.add_topic(name, coder, description=description)
        elif description and not topic.description and topic.name == name:
            store.describe_topic(name, coder, description=description, examples=topic.examples)
