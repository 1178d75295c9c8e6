"""What a label database gets before the first text is shown: a coder, and topics."""

from __future__ import annotations

import getpass
from collections.abc import Mapping

from slugline.errors import OptionError, Parameter
from slugline.labels.store import LabelStore


def login_name() -> str:
    """Return the name of the user's login; OptionError if it has none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        raise OptionError(
            "your login has no name; give one with ", Parameter("coder"), "."
        ) from None


def add_topics(store: LabelStore, descriptions: Mapping[str, str], coder: str) -> None:
    """Add topics, and give those that there are these descriptions, unless they are empty."""
    for name, description in descriptions.items():
        topic = store.add_topic(name, coder, description=description)
        if description and topic.description != description:
            store.describe_topic(
                topic.name, coder, description=description, examples=topic.examples
            )
