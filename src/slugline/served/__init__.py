"""Models as they are put at the service of others: with a name, a digest, and limits."""

from slugline.served.limits import LimitError, Limits
from slugline.served.model import ServedModel
from slugline.served.results import Guess, Result, explained, results

__all__ = ["Guess", "LimitError", "Limits", "Result", "ServedModel", "explained", "results"]
