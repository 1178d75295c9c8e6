"""Labels that `slugline label` withdraws, and gives back."""

from __future__ import annotations

from pathlib import Path

from slugline.base.checks import short_repr
from slugline.base.wording import counted, join_words
from slugline.cli.output import say
from slugline.errors import DataError
from slugline.labels.store import LabelStore


def change_withdrawals(path: Path, withdraw: str | None, restore: str | None, person: str) -> None:
    """Withdraw all labels of a coder, or give those back that were withdrawn, and say so.

    Parameters
    ----------
    path : Path
        The label database.
    withdraw, restore : str, optional
        Names of coders.
    person : str
        Who does it.
    """
    with LabelStore(path, create=False) as store:
        _check_coder(store, withdraw or restore or "")
        store.add_coder(person)
        if withdraw is not None:
            n_labels = store.counts().by_coder.get(withdraw, 0)
            store.withdraw(withdraw, person)
            say(f"{counted(n_labels, 'label')} of {withdraw} withdrawn; --restore gives them back")
        if restore is not None:
            withdrawals = [each for each in store.withdrawals() if each.coder.name == restore]
            if not withdrawals:
                raise DataError(f"no labels of {short_repr(restore)} are withdrawn.")
            for each in withdrawals:
                store.restore(each.id, person)
            say(f"{restore} has {counted(store.counts().by_coder.get(restore, 0), 'label')} again")


def _check_coder(store: LabelStore, name: str) -> None:
    """Raise DataError if there is no such coder."""
    names = [coder.name for coder in store.coders()]
    if name not in names:
        advice = f"name one of its coders: {join_words(names)}" if names else "it has none"
        raise DataError(f"{store.path} has no coder {short_repr(name)}; {advice}.")
