"""Which newswires are for training and which for testing."""

from __future__ import annotations

import numpy as np

from slugline.errors import OptionError

__all__ = [
    "DEFAULT_SEED",
    "DEFAULT_TEST_SPLIT",
    "LABELS",
    "n_train_of",
    "shuffled_order",
    "topic_names",
]

# fmt: off
_TOPICS = (
    "cocoa", "grain", "veg-oil", "earn", "acq", "wheat", "copper", "housing", "money-supply",
    "coffee", "sugar", "trade", "reserves", "ship", "cotton", "carcass", "crude", "nat-gas", "cpi",
    "money-fx", "interest", "gnp", "meal-feed", "alum", "oilseed", "gold", "tin",
    "strategic-metal", "livestock", "retail", "ipi", "iron-steel", "rubber", "heat", "jobs", "lei",
    "bop", "zinc", "orange", "pet-chem", "dlr", "gas", "silver", "wpi", "hog", "lead",
)
# fmt: on
LABELS = {topic: label for label, topic in enumerate(_TOPICS)}
#: As in Keras.
DEFAULT_SEED = 113
DEFAULT_TEST_SPLIT = 0.2


def shuffled_order(n: int, seed: int | None) -> list[int]:
    """Return the order of the wires before the split, as positions in Keras' file."""
    try:
        generator = np.random.RandomState(seed)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"`seed` is {seed!r}; give a whole number from 0 to 4294967295, or None."
        ) from error
    order = np.arange(n)
    generator.shuffle(order)
    return order.tolist()


def n_train_of(n: int, test_split: float) -> int:
    """Return how many wires, from the first, are for training."""
    return int(n * (1 - test_split))


def topic_names() -> list[str]:
    """Return the 46 topics; the one at position i has the label i."""
    return list(_TOPICS)
