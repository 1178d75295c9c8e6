"""The operations on served models. Each is a method of `Service`.

The front ends `http/` (JSON), `page/` (HTML for people) and `mcp/` (tools for agents) read a
request, call one of these methods, and write the reply or error in their own format. Nothing here
depends on the front ends, on Starlette or on the MCP SDK.

====================  ==========================================================================
module                contents
====================  ==========================================================================
`requests`            request types, and limits on texts, characters and topics
`request_checks`      validation of requests, with error messages
`replies`             reply types, made from decisions and explanations
`service_errors`      errors with their parts, worded by the front ends
`served_models`       models by name, reloaded when their files change
`batch_queue`         classification in batches across requests
`background`          slow functions on threads, interrupted if abandoned
`served_corrections`  corrections: validated, stored, listed, approved
`table_upload`        uploaded tables and the answers to their rows
`watch`               daily sums of the answers, and alerts when they change
`metrics`             counters shared by all processes
====================  ==========================================================================

To add an operation, such as `label` or `count`:

1. Define the types of its request (`requests.py`) and reply (`replies.py`).
2. Add the method here: check the limits, find the model with `find_model`, decide with
   `queue.decide`, and run slow code with `threads.run`.
3. Expose it: a handler and an `Operation` in `http/operations.py`, which also generates the OpenAPI
   description; a `Tool` in `mcp/server.py`; a module and a template in `page/`, with a route in
   `server/app.py`.

To add a protocol, such as gRPC, add a folder next to `http/` that creates a `Service`, creates a
`Call` for each message, and maps the errors in `service_errors.py` to its own. Cancelling a call
abandons its work. Time limits and tokens are the front end's responsibility.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from tempfile import _TemporaryFileWrapper
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from slugline.corpus.layout import ReadOptions
from slugline.corpus.rows import BadRow
from slugline.explanation.explain import explain
from slugline.explanation.explanation import Explanation
from slugline.model.decision import Decision
from slugline.prediction.rows import Prediction
from slugline.serving.background import BackgroundTask, BackgroundThreads
from slugline.serving.batch_queue import BatchQueue
from slugline.serving.metrics import Metrics
from slugline.serving.replies import (
    Classification,
    CorrectionReply,
    ExplanationReply,
    ModelCard,
    ModelList,
    Readiness,
    Result,
    TopicList,
    add_reasons,
    to_card,
    to_explanation_reply,
    to_results,
    to_summary,
    to_topic_list,
)
from slugline.serving.requests import ClassifyOptions, CorrectionRequest, ExplainRequest
from slugline.serving.served_corrections import ServedCorrections, store_correction
from slugline.serving.served_models import ServedModel, ServedModels, add_columns
from slugline.serving.service_errors import (
    ApprovalError,
    BusyError,
    NoCorrectionsError,
    UnknownCorrectionError,
)
from slugline.serving.table_upload import TableUpload
from slugline.serving.watch.alerts import WeeklyCheck
from slugline.serving.watch.recorder import Watch
from slugline.serving.watch.report import WatchReport, make_report

if TYPE_CHECKING:
    from slugline.corrections.learning_loop import LearningLoop
    from slugline.labels.store import LabelStore
    from slugline.serving.serve_settings import ServeSettings

_log = logging.getLogger("slugline.server")
_T = TypeVar("_T")

# Maximum number of guesses to convert on the event loop.
_FEW_GUESSES = 2000
# Maximum number of texts whose columns are checked on the event loop.
_FEW_TEXTS = 100
# Maximum number of tables answered concurrently; some rows of each are in memory.
_MAX_TABLES = 16
# Wording of failed training outcomes.
_FAILED_OUTCOMES = {"failed": "failed", "held back": "gave no usable model"}


@dataclass(kw_only=True)
class Call:
    """One call to the service.

    Attributes
    ----------
    id : str, default ""
        Identifies the call in the log.
    person : str or None, default None
        Name of the caller if certain, for example from a token with a name.
    is_local : bool, default True
        False if a proxy or an agent made the call.
    model : ServedModel or None
        The call's model, set by the service; for headers and metrics.
    """

    id: str = ""
    person: str | None = None
    is_local: bool = True
    model: ServedModel | None = field(default=None, init=False)


class TextAnswer(NamedTuple):
    """The decision on a text, and an explanation of one topic's score.

    `others` are the decisions on the other questions that the model's file answers.
    """

    decision: Decision
    explanation: Explanation
    others: dict[str, Decision]


class Service:
    """A server's models, limits, queue and corrections, and the operations on them.

    All coroutine methods run on the same event loop.

    Parameters
    ----------
    settings : ServeSettings
    models : ServedModels
    metrics : Metrics
    store : LabelStore or None, default None
        None if corrections aren't accepted. Closed by `close`.
    learner : LearningLoop or None, default None
        Retrains the first model from corrections.
    watch : Watch or None, default None
        Keeps totals of the answers. Closed by `close`.
    """

    def __init__(
        self,
        settings: ServeSettings,
        models: ServedModels,
        metrics: Metrics,
        store: LabelStore | None = None,
        learner: LearningLoop | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.models, self.limits, self.metrics = models, settings.limits, metrics
        self.learner, self.watch = learner, watch
        self.queue = BatchQueue(settings.threads, metrics, 2 * self.limits.guesses, watch)
        self.threads = BackgroundThreads(settings.threads)
        self._settings = settings
        self._corrections = None if store is None else ServedCorrections(store)
        self._weekly_check = WeeklyCheck(models, metrics)
        if watch is not None:
            watch.on_written = self._weekly_check
        self._n_tables = 0

    def close(self) -> None:
        """Abandon running tasks, shut down the threads, and close the files."""
        self.threads.close()
        self.queue.close()
        if self.watch is not None:
            self.watch.close()
        if self._corrections is not None:
            self._corrections.close()

    # Texts ----------------------------------------------------------------------------------------

    async def classify(
        self, texts: Sequence[str], options: ClassifyOptions, call: Call
    ) -> Classification:
        """Return the topic of each text, with the most likely alternatives.

        Raises
        ------
        LimitError : if there are too many texts, or one is too long.
        UnknownModelError : if there is no such model.
        DataError : if the model has no such columns.
        OptionError : if the model can't reach the precision.
        BusyError : if pending replies already contain too many topics.
        """
        self.limits.check(texts, explain=options.explain, top=options.top)
        model = self.find_model(options.model, call)
        if len(texts) <= _FEW_TEXTS:
            texts, note = add_columns(model, texts, options.columns)
        else:
            texts, note = await self.threads.run(add_columns, model, texts, options.columns)
        if self._settings.log_texts:
            _log.info("%s: %r", call.id, texts, extra={"request_id": call.id})
        with self.queue.reserve_guesses(len(texts), options.top):
            decisions = await self.queue.decide(
                model, texts, options.min_precision, options.top, is_watched=True
            )
            results = await self._make_results(model, texts, decisions, options)
        return Classification(model=model.name, version=model.digest, results=results, note=note)

    async def _make_results(
        self,
        model: ServedModel,
        texts: Sequence[str],
        decisions: Sequence[Decision],
        options: ClassifyOptions,
    ) -> list[Result]:
        if not is_long_reply(len(texts), options):
            return to_results(decisions, options.top)
        results = await self.threads.run(to_results, decisions, options.top)
        if options.explain:
            results = await self.threads.run(add_reasons, model, texts, results)
        return results

    async def explain(self, request: ExplainRequest, call: Call) -> ExplanationReply:
        """Return the words that count for and against a topic.

        Raises
        ------
        LimitError : if the text is too long.
        UnknownModelError : if there is no such model.
        DataError, OptionError : if the model has no such columns or topics.
        """
        self.limits.check([request.text], explain=True)
        model = self.find_model(request.model, call)
        return await self.threads.run(_explain_score, model, request)

    async def answer_text(
        self, model: ServedModel, text: str, n_topics: int, topic: str | None = None
    ) -> TextAnswer:
        """Return the decision on a text with its `n_topics` most likely topics, and an explanation.

        The explanation is for `topic`, or for the most likely topic if None or unknown.

        Raises
        ------
        LimitError : if the text is too long.
        BusyError : if pending replies already contain too many topics.
        """
        self.limits.check([text], explain=True)
        with self.queue.reserve_guesses(1, n_topics):
            [decision] = await self.queue.decide(model, [text], top=n_topics)
            others = {
                other.question or "": (await self.queue.decide(other, [text], top=1))[0]
                for other in self.models.other_questions(model)
            }
        names = model.fitted.topics.names
        best = decision.top[0][0]
        explained = next((name for name in names if str(name) == topic), best)
        explanation = await self.threads.run(explain, model.fitted, text, explained)
        return TextAnswer(decision, explanation, others)

    # Tables ---------------------------------------------------------------------------------------

    async def open_table(
        self, name: str, file: _TemporaryFileWrapper[bytes], options: ReadOptions
    ) -> TableUpload:
        """Open a table and find its columns from the first rows; close the file on failure.

        Raises
        ------
        DataError : if the table can't be read.
        BusyError : if too many tables are being read.
        """
        with self.count_table():
            return await self.threads.start_table_step(
                TableUpload.open, name, file, options
            ).result()

    @contextlib.contextmanager
    def count_table(self) -> Iterator[None]:
        """Count a table while it is being read or answered; BusyError if there are too many."""
        if self._n_tables >= _MAX_TABLES:
            raise BusyError
        self._n_tables += 1
        try:
            yield
        finally:
            self._n_tables -= 1

    def answer_rows(
        self, upload: TableUpload, model: ServedModel
    ) -> Iterator[tuple[list[Prediction | BadRow], float | None]]:
        """Yield and count the answers to a table; see `TableUpload.answer`."""
        for answers, fraction_read in upload.answer(model.decider, self.limits.rows):
            self.metrics.count_decisions(
                [answer.decision for answer in answers if not isinstance(answer, BadRow)]
            )
            yield answers, fraction_read

    async def predict_table(self, upload: TableUpload, steps: Iterator[_T]) -> AsyncIterator[_T]:
        """Yield the items of `steps`, each computed off the event loop; then delete the file.

        `steps` iterates over `answer_rows` and yields each part in its own format.
        """
        step: BackgroundTask[_T | None] | None = None
        try:
            while True:
                step = self.threads.start_table_step(next, steps, None)
                item = await step.result()
                if item is None:
                    return
                yield item
        finally:
            if step is None or step.future.done():
                upload.close()
            else:  # abandoned, but the thread is still reading the file
                step.future.add_done_callback(lambda _: upload.close())

    # Models ---------------------------------------------------------------------------------------

    def find_model(self, name: str | None, call: Call) -> ServedModel:
        """Return a model by name, or the first one for None, and store it in the call.

        Raises
        ------
        UnknownModelError : if there is no such model.
        """
        call.model = model = self.models.get(name)
        return model

    def list_models(self) -> ModelList:
        """Return all models. The first is the default."""
        return ModelList(models=[to_summary(model) for model in self.models.all()])

    def show_model(self, name: str | None, call: Call) -> ModelCard:
        """Return a model's card; UnknownModelError if there is no such model."""
        return to_card(self.find_model(name, call))

    def list_topics(self, name: str | None, call: Call) -> TopicList:
        """Return a model's topics and columns; UnknownModelError if there is no such model."""
        return to_topic_list(self.find_model(name, call))

    async def readiness(self) -> Readiness:
        """Return the served models, and problems with their new versions."""
        problems = dict(self.models.problems)
        status = "ready, but a new version can't be used" if problems else "ready"
        if self.learner is not None:
            last = (await self.threads.run(self.learner.state))["last"]
            if last is not None and last["outcome"] in _FAILED_OUTCOMES:
                if not problems:
                    outcome = _FAILED_OUTCOMES[last["outcome"]]
                    status = f"ready, but learning from corrections {outcome}"
                problems["learning from corrections"] = last["message"]
        if self._corrections is not None and self._corrections.problem is not None:
            status = "ready, but corrections can't be stored"
            problems["corrections"] = self._corrections.problem
        if self.watch is not None and self.watch.problem is not None:
            status = "ready, but daily sums can't be stored"
            problems["daily sums"] = self.watch.problem
        return Readiness(status=status, models=self.list_models().models, problems=problems)

    # Daily sums -----------------------------------------------------------------------------------

    @property
    def has_daily_sums(self) -> bool:
        """True if daily sums are kept."""
        return self.watch is not None and self.watch.store is not None

    async def report_days(self, model: ServedModel) -> WatchReport | None:
        """Return a report on a model's daily sums, or None if it has answered no texts.

        Raises
        ------
        StoreError : if the file can't be read.
        """
        watch = self.watch
        if watch is None or watch.store is None:
            return None
        await self.threads.run(watch.write)  # include the latest texts
        weeks = self._weekly_check.counts(model)
        return await self.threads.run(make_report, watch.store, model, watch.today(), weeks)

    async def accept_changes(self, model: ServedModel, call: Call) -> int:
        """Accept the changed topic shares as the new normal.

        Returns the number of alerts. Callers check `may_approve` first.

        Raises
        ------
        StoreError : if the file can't be written.
        """
        if self.watch is None or self.watch.store is None:
            return 0
        store, today = self.watch.store, self.watch.today()
        return await self.threads.run(store.accept, model.digest, today, call.person)

    # Corrections ----------------------------------------------------------------------------------

    @property
    def takes_corrections(self) -> bool:
        """True if corrections are accepted."""
        return self._corrections is not None

    @property
    def corrections(self) -> ServedCorrections:
        """The corrections; NoCorrectionsError if they aren't accepted."""
        if self._corrections is None:
            raise NoCorrectionsError
        return self._corrections

    async def correct(self, request: CorrectionRequest, call: Call) -> CorrectionReply:
        """Store the correct topics of a text; return once they are on disk.

        Corrections by people who may approve count immediately; others wait for approval.

        Raises
        ------
        NoCorrectionsError : if corrections aren't accepted.
        LimitError : if the text is too long.
        UnknownModelError : if there is no such model.
        DataError : if the text is empty or a topic is invalid; MisspeltTopicError if a topic is new
            but resembles a known one.
        StoreError : if the file can't be written; nothing is stored.
        """
        self.limits.check([request.text])
        corrections = self.corrections
        model = self.find_model(request.model, call)
        [decision] = await self.queue.decide(model, [request.text])
        reply = await corrections.run(
            store_correction,
            corrections.store,
            model,
            request,
            decision,
            call.person,
            is_approved=self.may_approve(call),
        )
        self.metrics.add("corrections")
        if self.watch is not None:
            self.watch.count_correction(model)
        return reply

    async def undo_correction(self, correction_id: int, call: Call) -> None:
        """Delete a correction; UnknownCorrectionError if it doesn't exist."""
        store = self.corrections.store
        if not await self.corrections.run(store.undo_correction, correction_id, call.person):
            raise UnknownCorrectionError(correction_id, "it was undone before")

    async def approve_corrections(self, ids: Sequence[int], call: Call) -> int:
        """Approve corrections for training; return the number found.

        Raises
        ------
        ApprovalError : if this person may not approve.
        """
        corrections = self.corrections
        if not self.may_approve(call):
            raise ApprovalError(call.person)
        return await corrections.approve(ids, call.person)

    def may_approve(self, call: Call) -> bool:
        """True if the caller may approve corrections and accept changes.

        The caller must be one of the approvers or, if there are none, have a known name. On a
        server that only local users can reach, everybody may approve.
        """
        if self._settings.approvers:
            return call.person in self._settings.approvers
        return call.person is not None or (self._settings.lets_anybody_approve and call.is_local)


def is_long_reply(n_texts: int, options: ClassifyOptions) -> bool:
    """True if a reply is slow enough to be built on a thread."""
    return options.explain or n_texts * options.top > _FEW_GUESSES


def _explain_score(model: ServedModel, request: ExplainRequest) -> ExplanationReply:
    [text], _ = add_columns(model, [request.text], request.columns)
    explanation = explain(
        model.fitted, text, request.topic, against=request.against, split_encoder=False
    )
    return to_explanation_reply(model, explanation)
