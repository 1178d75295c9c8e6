"""Word vectors that were distilled from an encoder, and that a model keeps in its file."""

from __future__ import annotations

from typing import NamedTuple

from slugline.base.wording import counted, percent
from slugline.errors import DataError
from slugline.learning.encoder.limits import MAX_NAME
from slugline.learning.encoder.vectors import TableEncoder
from slugline.text.vector_table import read_table
from slugline.text.word_vectors import WordVectors

#: The largest number of words in a table: as many as fit into 131,072 slots. Each takes some 80
#: bytes of a model's file.
MAX_WORDS = 98_303
_SUFFIX = " (distilled)"


class DistillationRecord(NamedTuple):
    """Record of a distillation, and of the accuracy with and without the encoder.

    Attributes
    ----------
    teacher : str
        The name of the encoder.
    n_unlabelled : int
        Number of unlabelled texts.
    n_heldout : int
        Number of held-out documents on which the accuracies were measured.
    accuracy, teacher_accuracy : float
        Accuracy with the word vectors, and with the encoder; 0 without held-out documents.
    """

    teacher: str
    n_unlabelled: int = 0
    n_heldout: int = 0
    accuracy: float = 0.0
    teacher_accuracy: float = 0.0

    def __str__(self) -> str:
        start = f"distilled from {self.teacher}"
        if not self.n_heldout:
            return f"{start}, without held-out documents to measure what that costs"
        return (
            f"{start}: on {counted(self.n_heldout, 'held-out document')}, "
            f"{percent(self.accuracy)} right, and {percent(self.teacher_accuracy)} with "
            f"{self.teacher} itself"
        )


class DistilledEncoder(TableEncoder):
    """Sums vectors of words that were distilled from an encoder.

    Parameters
    ----------
    data : bytes
        The content of a table's file, which may be from any source.
    record : DistillationRecord

    Attributes
    ----------
    data : bytes
    record : DistillationRecord

    Raises
    ------
    DataError : if the table is damaged or too large.
    """

    def __init__(self, data: bytes, record: DistillationRecord) -> None:
        table = read_table(data)
        if table.header.n_words > MAX_WORDS:
            raise DataError(
                f"a table of {table.header.n_words:,} words, and a model has {MAX_WORDS:,} at most"
            )
        super().__init__(WordVectors(table))
        self.data, self.record = data, record
        self.name = record.teacher[: MAX_NAME - len(_SUFFIX)] + _SUFFIX

    def __reduce__(self) -> tuple[type[DistilledEncoder], tuple[bytes, DistillationRecord]]:
        return DistilledEncoder, (self.data, self.record)
