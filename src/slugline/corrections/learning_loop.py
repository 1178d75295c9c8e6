"""Retrain a served model with corrections in the background when there are enough new ones.

The loop runs `slugline train --corrections` as a low-priority process, which replaces the model
file if nothing got clearly worse. The server reloads the file.
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
from slugline.base.databases import utc_now
from slugline.base.files import PathLike, lock
from slugline.corpus.loading import NAMED_CORPORA
from slugline.corrections.summary import describe_pending
from slugline.errors import OptionError, Parameter, StoreError, TrainingError
from slugline.labels.store import LabelStore
from slugline.model.file.shipped import is_shipped

# Seconds to wait for a process to end.
_GRACE = 5.0
_NICENESS = 10
# Prefix of the command's message when it fails.
_ERROR = "slugline: error: "
# Maximum bytes of results, and maximum lines and characters of messages, to read.
_MAX_RESULT_BYTES, _MAX_LINES, _MAX_CHARACTERS = 64 << 20, 20, 2000


class LearningLoop:
    """Retrains a model after every `every` new corrections.

    The last run is recorded in the corrections file, so a restarted loop continues from there. If
    several loops use one model, only one of them trains at a time.

    Parameters
    ----------
    model_path : str or Path
        The model file to replace. Only corrections to models with this name count.
    data : sequence of str
        Arguments of `slugline train`: the model's training data.
    store_path : str or Path
        The corrections file.
    every : int
        Number of new corrections that trigger a run.
    log, warn : callable
        Called from another thread with one line at a time. `warn` receives failures and defaults
        to `log`.
    text, topic : str, optional
        Columns to read; options of `slugline train`.
    pauses : (float, float)
        Initial and maximum seconds between two counts of corrections. The pause doubles after each
        error.

    Raises
    ------
    OptionError : if the model comes with Slugline, the data are missing or standard input, or
        `every` is below 1.
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
        text: str | None = None,
        topic: str | None = None,
        pauses: tuple[float, float] = (2.0, 600.0),
    ) -> None:
        if is_shipped(model_path):
            raise OptionError(
                f"{model_path} is built in and cannot be retrained; serve your own model."
            )
        if not data or "-" in data:
            raise OptionError(
                "training on corrections requires the original training files; pass them with ",
                Parameter("learn_from"),
                ".",
            )
        check_whole("learn_every", every, 1)
        for name in data:
            if name not in NAMED_CORPORA and not Path(name).exists():
                raise OptionError(f"there is no {name} to learn from; check the path.")
        self._model = Path(model_path)
        self._store_path = Path(store_path)
        self._every = every
        self._pause, self._max_pause = pauses
        self._log, self._warn = log, warn or log
        self._name = self._model.name.removesuffix(".slug")
        options = ["--json", "-q", "-o", str(model_path)]
        options += ["--corrections", str(store_path), "--corrections-of", self._name]
        columns = {"text": text, "topic": topic}
        options += [f"--{name}={column}" for name, column in columns.items() if column is not None]
        self._command = [sys.executable, "-m", "slugline", "train", *options, "--", *data]
        self._note = os.path.realpath(model_path)
        self._store: LabelStore | None = None
        self._thread: threading.Thread | None = None
        self._child: subprocess.Popen[str] | None = None
        self._starting = threading.Lock()  # prevents a start during `stop`
        self._is_over = threading.Event()

    def open(self) -> None:
        """Open the corrections file for `state`; raise StoreError on failure."""
        if self._store is None:
            self._store = LabelStore(self._store_path)

    def start(self) -> None:
        """Start the thread; raise StoreError if the corrections file can't be opened."""
        self.open()
        self._thread = threading.Thread(target=self._watch, name="learner", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread and any run in progress; the model stays unchanged."""
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

        `since` is the start of the current run (ISO 8601, UTC) or None. `n_new` counts corrections
        and approvals since the last run, and `next_after` how many more start the next one; both
        are None if the file can't be read. `last` is the last run or None: `at`, `outcome`
        ("replaced", "held back", "unchanged" if there was nothing new to learn, "waiting" if all
        corrections are pending, or "failed"), `message`, `n_pending` and, for a new model,
        `n_texts`, `now_right`, `newly_corrected`, `accuracy_before` and `accuracy_after`.
        """
        n_new = last = since = None
        with contextlib.suppress(StoreError, ValueError, OSError):
            if self._store is not None:
                n_new = self._count_new(self._store)
                last = json.loads(self._store.setting(f"outcome {self._note}") or "null")
                with self._locked_model() as is_locked:  # False while a loop is learning
                    since = None if is_locked else self._store.setting(f"since {self._note}")
        return {
            "is_learning": since is not None,
            "since": since,
            "every": self._every,
            "n_new": n_new,
            "next_after": None if n_new is None else max(0, self._every - n_new),
            "last": last,
        }

    def _count_new(self, store: LabelStore) -> int:
        """Return the number of corrections and approvals since the last run."""
        last = int(store.setting(f"learned {self._note}") or 0)
        last_approval = int(store.setting(f"approved {self._note}") or 0)
        n_approvals = store.count_approvals(last_approval, self._name, last)
        return store.count_corrections(last, self._name) + n_approvals

    def _watch(self) -> None:
        last_error, pause = "", self._pause
        while not self._is_over.is_set():
            try:
                self._learn_if_due()
                last_error, pause = "", self._pause
            except Exception as error:  # noqa: BLE001 - keep the server running
                if str(error) != last_error:  # log each error once
                    self._warn(f"learning from corrections: {error}")
                # Otherwise a failed or unrecorded run would restart immediately.
                last_error, pause = str(error), min(2 * pause, self._max_pause)
            self._is_over.wait(pause)

    def _learn_if_due(self) -> None:
        store = self._store
        if store is None or self._count_new(store) < self._every:
            return
        with self._locked_model() as is_locked:
            # Corrections added during the run may be learned twice.
            last, last_approval = store.last_correction(), store.last_approval()
            n_new = self._count_new(store)
            if not is_locked or n_new < self._every:
                return
            self._log(f"learning from {n_new:,} new corrections of {self._store_path}")
            store.set_settings({f"since {self._note}": utc_now()})
            summary = self._learn()
            if self._is_over.is_set() and summary.get("outcome") != "replaced":
                self._log("learning from corrections: stopped together with the server")
                return
            notes = {f"outcome {self._note}": json.dumps(summary)}
            if summary["outcome"] == "failed":  # the corrections still count as new
                store.set_settings(notes)
                raise TrainingError(summary["message"])
            notes[f"learned {self._note}"] = str(last)
            notes[f"approved {self._note}"] = str(last_approval)
            store.set_settings(notes)
            log = self._warn if summary["outcome"] == "held back" else self._log
            log(f"learning from corrections: {summary['message']}")

    def _learn(self) -> dict[str, Any]:
        """Run the command and return a summary for `state`; empty if the loop was stopped."""
        lines: deque[str] = deque(maxlen=_MAX_LINES)
        with tempfile.TemporaryFile() as results:
            child = self._start_process(results)
            if child is None:
                return {}
            with child, contextlib.closing(child.stderr or io.StringIO()) as messages:
                for line in messages:
                    lines.append(line.strip()[:_MAX_CHARACTERS])
                    if not line.startswith(_ERROR):  # the summary contains errors
                        self._log(f"learning from corrections: {lines[-1]}")
            status = child.wait()
            self._child = None
            results.seek(0)
            output = results.read(_MAX_RESULT_BYTES)
        return {"at": utc_now()} | _summarize_run(status, output, lines, self._model)

    def _start_process(self, results: IO[bytes]) -> subprocess.Popen[str] | None:
        with self._starting:
            if self._is_over.is_set():
                return None
            # A new session, so that Ctrl-C in the server's terminal doesn't reach the process.
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
    def _locked_model(self) -> Iterator[bool]:
        """Hold the lock of the model; yield False if another loop holds it."""
        path = self._model.with_name(f".{self._model.name}.learning")
        with path.open("wb") as file:
            yield lock(file)


def _summarize_run(status: int, output: bytes, lines: Sequence[str], model: Path) -> dict[str, Any]:
    """Summarize a run from the exit status, output and messages of the process."""
    result = None
    with contextlib.suppress(ValueError, KeyError, TypeError):
        result = json.loads(output)["corrections"]
    if result is None or status not in (0, 1):
        reason = f"exit status {status}"
        if lines:  # quoted, since the advice may name options of that command
            reason = f"`slugline train` says: {lines[-1].removeprefix(_ERROR)}"
        return {"outcome": "failed", "message": f"failed, and {model} is unchanged: {reason}"}
    n_pending = result["n_pending"]
    waiting = describe_pending(n_pending)
    if not result["n_texts"]:
        message = f"{model} is unchanged: {waiting}, and there are no others"
        return {"outcome": "waiting", "message": message, "n_pending": n_pending}
    now, (after, before) = result["now_right"], result["paired"]["accuracy"]
    new = result["newly_corrected"]
    measure = "exact match" if "micro_f1" in result["paired"] else "accuracy"
    numbers = {
        "n_texts": result["n_texts"],
        "now_right": now,
        "newly_corrected": new,
        "accuracy_before": before,
        "accuracy_after": after,
        "new_topics": result["new_topics"],
        "n_pending": n_pending,
    }
    if status:
        message = f"{model} is unchanged: {result['why_not']}"
        return {"outcome": "held back", "message": message} | numbers
    if result["is_unchanged"]:
        message = f"nothing new to learn{f': {waiting}' if n_pending else ''}"
        return {"outcome": "unchanged", "message": message} | numbers
    waiting = f"{waiting}; " if n_pending else ""
    better = ""
    if new is not None:
        better = f"newly corrected texts fixed: {new['n_better']:,} of {new['n_texts']:,}; "
    message = (
        f"{model} is replaced; {better}corrected texts that are right after learning from the "
        f"others: {now['n_after']:,} of {now['n_asked']:,}, {now['n_before']:,} before; "
        f"{measure} on test texts {before:.3f} before, {after:.3f} after; {waiting}"
        f"`slugline rollback {model}` goes back"
    )
    return {"outcome": "replaced", "message": message} | numbers


def _end(child: subprocess.Popen[str]) -> None:
    """Terminate a process, and kill it if it doesn't end."""
    for number in (signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        with contextlib.suppress(OSError):
            child.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE)
            return
