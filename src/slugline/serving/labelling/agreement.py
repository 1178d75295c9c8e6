"""How far coders agree, computed in a thread once somebody looks."""

from __future__ import annotations

import threading
from typing import Any

from slugline.labels.agreement import measure_agreement
from slugline.labels.store import LabelStore


class AgreementTask:
    """Measures the agreement of coders, at most once for the same labels.

    Parameters
    ----------
    store : LabelStore
    """

    def __init__(self, store: LabelStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._measured: tuple[int, ...] | None = None
        self._agreement: dict[str, Any] | None = None

    def result(self) -> tuple[dict[str, Any] | None, bool]:
        """Return the last agreement, and whether it is that of the present labels.

        It is `Agreement.to_dict`, and None until it is measured for the first time. If there are
        newer labels, they are measured in a thread.
        """
        last = self._store.last_change()
        with self._lock:
            is_current = self._measured == last
            is_running = self._thread is not None and self._thread.is_alive()
            if not is_current and not is_running:
                self._thread = threading.Thread(target=self._measure, args=(last,), daemon=True)
                self._thread.start()
            return self._agreement, is_current

    def close(self, timeout: float | None = None) -> None:
        """Wait for the thread."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _measure(self, last: tuple[int, ...]) -> None:
        try:
            agreement = measure_agreement(self._store).to_dict()
        except Exception:  # noqa: BLE001 - the next look tries again; reading labels says why
            return
        with self._lock:
            self._agreement, self._measured = agreement, last
