"""Retrains a served model in the background whenever enough corrections have come in.

It runs `slugline train --corrections` as a process of low priority, which replaces the model's file
if nothing got clearly worse. The server notices the new file by itself.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from slugline.base.checks import check_whole
from slugline.base.files import PathLike, lock
from slugline.base.wording import counted
from slugline.corpus.loading import NAMED_CORPORA
from slugline.corrections.store import CorrectionStore, utc_now
from slugline.errors import OptionError, StoreError, TrainingError
from slugline.model.file.content import is_shipped

# Seconds to wait for a process to end.
_GRACE = 5.0
_NICENESS = 10
# How the command begins to say why it failed.
_ERROR = "slugline: error: "
# Bytes of results that are read, and lines and characters of messages.
_MOST_BYTES, _LINES, _CHARACTERS = 64 << 20, 20, 2000


class RetrainingLoop:
    """Retrains a model after every so many new corrections.

    The file of corrections records the last run, so that a restart continues there. Of several
    loops on one model, one trains at a time.

    Parameters
    ----------
    model_path : str or Path
        The model's file, which is replaced. Only corrections of the model of this name count.
    data : sequence of str
        What it learned from, as `slugline train` takes it.
    store_path : str or Path
        The file of corrections.
    every : int
        How many new corrections start a run.
    log, warn : callable
        Called from another thread with one line at a time; `warn`, by default `log`, with failures.
    options : sequence of str, default ()
        More options of `slugline train`, such as ``["--text", "body"]``.
    pauses : (float, float)
        Seconds between two looks at how many corrections there are; while something is wrong, more
        and more of them, up to the second number.

    Raises
    ------
    OptionError : if the model comes with Slugline, there are no data or they are standard input, or
        `every` is out of its range.
    """

    def __init__(
        self,
        model_path: PathLike,
        data: Sequence[str],
        store_path: PathLike,
        every: int,
        log: Callable[[str], object],
        *,
        warn: Callable[[str], object] | None = None,
        options: Sequence[str] = (),
        pauses: tuple[float, float] = (2.0, 600.0),
    ) -> None:
        if is_shipped(model_path):
            raise OptionError(
                f"{model_path} comes with Slugline and never changes, so it can't learn from "
                "corrections; serve a model of your own."
            )
        if not data or "-" in data:
            raise OptionError(
                "learning from corrections needs the documents that the model learned from, as "
                "files; name them with `learn_from`."
            )
        check_whole("learn_every", every, 1)
        for name in data:
            if name not in NAMED_CORPORA and not Path(name).exists():
                raise OptionError(f"there is no {name} to learn from; check the path.")
        self._model = Path(model_path)
        self._store_path = Path(store_path)
        self._every = every
        self._pause, self._longest_pause = pauses
        self._log, self._warn = log, warn or log
        self._name = self._model.name.removesuffix(".slug")
        self._command = [sys.executable, "-m", "slugline", "train", *options]
        self._command += ["--corrections", str(store_path), "--corrections-of", self._name]
        self._command += ["-o", str(model_path), "--json", "-q", "--", *data]
        self._note = os.path.realpath(model_path)
        self._store: CorrectionStore | None = None
        self._thread: threading.Thread | None = None
        self._child: subprocess.Popen[str] | None = None
        self._starting = threading.Lock()  # so that none starts while `stop` looks for one to end
        self._is_over = threading.Event()

    def open(self) -> None:
        """Open the file of corrections, for `state`; StoreError if it can't be opened."""
        if self._store is None:
            self._store = CorrectionStore(self._store_path)

    def start(self) -> None:
        """Start the thread; StoreError if the file of corrections can't be opened."""
        self.open()
        self._thread = threading.Thread(target=self._watch, name="learner", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End a run in progress, leaving the model unchanged, and the thread."""
        with self._starting:
            self._is_over.set()
            child = self._child
        if child is not None:
            _end(child)
        if self._thread is not None:
            self._thread.join()
        if self._store is not None:
            self._store.close()

    def state(self) -> dict[str, Any]:
        """Return the state as plain data for JSON.

        `is_learning`, and `since` when (ISO 8601, UTC, or None); `every`; `n_new`, the corrections
        or approvals since the last run, and `next_after`, how many more start the next one (both
        None if the file can't be read now); `last`, the last run or None: `at`, `outcome`
        ("replaced", "held back", "unchanged" if there was nothing new to learn, "waiting" if all
        corrections wait for approval, or "failed"),
        `message`, `n_held`, how many wait, and, of a new model, `n_texts`, `now_right`,
        `accuracy_before` and `accuracy_after`.
        """
        n_new = last = since = None
        with contextlib.suppress(StoreError, ValueError, OSError):
            if self._store is not None:
                n_new = self._n_new(self._store)
                last = json.loads(self._store.note(f"outcome {self._note}") or "null")
                with self._alone() as is_alone:  # else one of the loops is learning
                    since = None if is_alone else self._store.note(f"since {self._note}")
        return {
            "is_learning": since is not None,
            "since": since,
            "every": self._every,
            "n_new": n_new,
            "next_after": None if n_new is None else max(0, self._every - n_new),
            "last": last,
        }

    def _n_new(self, store: CorrectionStore) -> int:
        learned = int(store.note(f"learned {self._note}") or 0)
        approved = int(store.note(f"approved {self._note}") or 0)
        n_approved = store.count_approvals(approved, self._name, learned)
        return store.count(learned, self._name) + n_approved

    def _watch(self) -> None:
        trouble, pause = "", self._pause
        while not self._is_over.is_set():
            try:
                self._learn_if_due()
            except Exception as error:  # noqa: BLE001 - the server goes on, whatever it is
                if str(error) != trouble:  # it is said once
                    self._warn(f"learning from corrections: {error}")
                trouble = str(error)
                # What fails, or was learned and can't be noted, would begin again at once.
                pause = min(2 * pause, self._longest_pause)
                self._is_over.wait(pause)
                continue
            trouble, pause = "", self._pause
            self._is_over.wait(pause)

    def _learn_if_due(self) -> None:
        store = self._store
        if store is None or self._n_new(store) < self._every:
            return
        with self._alone() as is_alone:
            if not is_alone or self._n_new(store) < self._every:
                return
            # Those that come in meanwhile may be learned from twice.
            last, last_approval = store.last(), store.last_approval()
            n_new = self._n_new(store)
            self._log(f"learning from {n_new:,} new corrections of {self._store_path}")
            store.set_notes({f"since {self._note}": utc_now()})
            summary = self._learn()
            if self._is_over.is_set() and summary.get("outcome") != "replaced":
                self._log("learning from corrections: ended, as the server stops")
                return
            notes = {f"outcome {self._note}": json.dumps(summary)}
            if summary["outcome"] == "failed":  # the corrections have taught nothing yet
                store.set_notes(notes)
                raise TrainingError(summary["message"])
            learned = {"learned": last, "approved": last_approval}
            notes |= {f"{name} {self._note}": str(number) for name, number in learned.items()}
            store.set_notes(notes)
            tell = self._warn if summary["outcome"] == "held back" else self._log
            tell(f"learning from corrections: {summary['message']}")

    def _learn(self) -> dict[str, Any]:
        """Run the command, and return its summary for `state`."""
        lines: deque[str] = deque(maxlen=_LINES)
        with tempfile.TemporaryFile() as results:
            child = self._begin(results)
            if child is None:
                return {}
            with child, contextlib.closing(child.stderr or io.StringIO()) as messages:
                for line in messages:
                    lines.append(line.strip()[:_CHARACTERS])
                    if not line.startswith(_ERROR):  # that is said in the end
                        self._log(f"learning from corrections: {lines[-1]}")
            status = child.wait()
            self._child = None
            results.seek(0)
            said = results.read(_MOST_BYTES)
        return {"at": utc_now()} | _summarize_run(status, said, lines, self._model)

    def _begin(self, results: IO[bytes]) -> subprocess.Popen[str] | None:
        with self._starting:
            if self._is_over.is_set():
                return None
            # Of a session of its own, Ctrl-C on the server's terminal leaves it to `stop`.
            self._child = subprocess.Popen(  # noqa: S603 - our own command, and no shell
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=results,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        if hasattr(os, "setpriority"):
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self._child.pid, _NICENESS)
        return self._child

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Hold the model's lock; yield False if another loop has it."""
        name = self._model.with_name(f".{self._model.name}.learning")
        with name.open("wb") as file:
            yield lock(file)


def _summarize_run(status: int, said: bytes, lines: Sequence[str], model: Path) -> dict[str, Any]:
    """Return the summary of a process from its status, output and messages."""
    taught = None
    with contextlib.suppress(ValueError, KeyError, TypeError):
        taught = json.loads(said)["corrections"]
    if taught is None or status not in (0, 1):
        last = f"exit status {status}"
        if lines:  # its advice may name options of its own
            last = f"`slugline train` says: {lines[-1].removeprefix(_ERROR)}"
        return {"outcome": "failed", "message": f"failed, and {model} is unchanged: {last}"}
    n_held = len(taught["held"])
    waiting = f"{counted(n_held, 'correction')} {'waits' if n_held == 1 else 'wait'} for approval"
    if not taught["n_texts"]:
        message = f"{model} is unchanged: {waiting}, and there are no others"
        return {"outcome": "waiting", "message": message, "n_held": n_held}
    now, (after, before) = taught["now_right"], taught["paired"]["accuracy"]
    measure = "exact match" if "micro_f1" in taught["paired"] else "accuracy"
    figures = {
        "n_texts": taught["n_texts"],
        "now_right": now,
        "accuracy_before": before,
        "accuracy_after": after,
        "new_topics": taught["new_topics"],
        "n_held": n_held,
    }
    if status:
        message = f"{model} is unchanged: {taught['why_not']}"
        return {"outcome": "held back", "message": message} | figures
    if taught["is_unchanged"]:
        message = f"nothing new to learn{f': {waiting}' if n_held else ''}"
        return {"outcome": "unchanged", "message": message} | figures
    waiting = f"{waiting}; " if n_held else ""
    message = (
        f"{model} is replaced; of {now['n_asked']:,} corrected texts, {now['n_after']:,} are right "
        f"after learning from the others, {now['n_before']:,} before; {measure} on test texts "
        f"{before:.3f} before, {after:.3f} after; {waiting}`slugline rollback {model}` goes back"
    )
    return {"outcome": "replaced", "message": message} | figures


def _end(child: subprocess.Popen[str]) -> None:
    """Terminate a process, and kill it if it doesn't end."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with contextlib.suppress(OSError):
            child.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE)
            return
