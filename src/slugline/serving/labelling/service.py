"""The service of the label page, `LabelService`, and its parts.

=============  ====================================================================================
module         contents
=============  ====================================================================================
`requests`     types of requests, with their limits
`replies`      types of replies, and their conversion from the store's records
`context`      shared state: the labels, the texts, their assignments, histories of coders
`texts`        the next text, and the text of a decision
`decisions`    decisions about texts and their near copies
`coders`       agreement, settlements, withdrawn labels
`topics`       the codebook
`progress`     counts of labels, and the accuracy of a model trained on them
=============  ====================================================================================

Nothing here depends on Starlette: `handlers` translates HTTP. Methods block, so run them in
threads; most take the name of the requesting coder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from slugline.base.checks import short_repr
from slugline.base.wording import join_words
from slugline.errors import OptionError, Parameter
from slugline.labels.draws import RepeatedDraws, Selector
from slugline.labels.label_setup import LabelOptions, OpenLabels
from slugline.labels.learning_selector import LearningSelector
from slugline.labels.store import LabelStore
from slugline.labels.text_table import NearCopies, RowAssignments, TextTable
from slugline.serving.labelling.coders import CoderService
from slugline.serving.labelling.context import LabelContext
from slugline.serving.labelling.decisions import DecisionService
from slugline.serving.labelling.progress import ProgressService
from slugline.serving.labelling.replies import PageContent, ProgressReply, StateReply
from slugline.serving.labelling.requests import SettleRequest
from slugline.serving.labelling.texts import TextService
from slugline.serving.labelling.topics import TopicService
from slugline.serving.serve_settings import ServeSettings

if TYPE_CHECKING:
    from slugline.labels.audit_review import AuditReview


class LabelService:
    """Assigns texts to coders and stores their decisions.

    Parameters
    ----------
    store : LabelStore
    table : TextTable
    assignments : RowAssignments
    selector : Selector
    coder : str
        The coder of requests without a token.
    shows_guesses : bool, default False
        Show the guesses of the selector's model before coders decide.
    content : {"texts", "suggestions", "suspects"}, default "texts"
        What the page shows: texts, and the accuracy of a model of their labels; texts suggested by
        another model; or suspects of an audit.
    reviewer : AuditReview, optional
        Evidence against the topics of the texts, shown with them.
    settlers : sequence of str, optional
        Coders who may settle disagreements; by default, all coders.
    near_copies : NearCopies, optional
        Near copies among the texts; by default, none are offered.
    repeated_draws : RepeatedDraws, optional
        Texts that a coder labels again; by default, none.

    Attributes
    ----------
    store : LabelStore
    selector : Selector
    coder : str
    texts, decisions, coders, topics, progress
        The parts of the service.
    """

    def __init__(
        self,
        store: LabelStore,
        table: TextTable,
        assignments: RowAssignments,
        selector: Selector,
        coder: str,
        *,
        shows_guesses: bool = False,
        content: PageContent = "texts",
        reviewer: AuditReview | None = None,
        settlers: Sequence[str] = (),
        near_copies: NearCopies | None = None,
        repeated_draws: RepeatedDraws | None = None,
    ) -> None:
        self.store, self.coder = store, coder
        self.selector = selector
        self._table, self._content = table, content
        self._known_coders = set[str]()
        self._context = context = LabelContext(store, table, assignments, selector, settlers)
        self.texts = TextService(
            context, shows_guesses=shows_guesses, reviewer=reviewer, repeated_draws=repeated_draws
        )
        self.decisions = DecisionService(context, self.texts, near_copies)
        self.coders = CoderService(context)
        self.topics = TopicService(context)
        self.progress = ProgressService(context, shows_guesses=shows_guesses)

    def close(self) -> None:
        """Stop the selector's threads, and close the label database."""
        self.selector.close()
        self.coders.close()
        self.store.close()

    def require_coder(self, coder: str) -> None:
        """Store the coder on their first request."""
        if coder not in self._known_coders:
            self.store.add_coder(coder)
            self._known_coders.add(coder)

    def state(self, coder: str) -> StateReply:
        """Return the initial state of the page."""
        added = self.store.add_coder(coder)
        identity = f"{self.store.path.resolve()}\n{added.id}\n{added.at}"
        return StateReply(
            outbox_key=hashlib.sha256(identity.encode(errors="surrogateescape")).hexdigest()[:16],
            source=self._table.name,
            coder=coder,
            is_multilabel=self.store.is_multilabel,
            content=self._content,
            may_settle=self._context.may_settle(coder),
            codebook=self.topics.codebook(),
            progress=self.progress.progress(coder),
        )

    def settle(self, coder: str, request: SettleRequest) -> ProgressReply:
        """Settle a disagreement and return the updated progress."""
        self.coders.settle(coder, request)
        return self.progress.progress(coder)


def make_label_service(labels: OpenLabels, options: LabelOptions) -> LabelService:
    """Return a service that closes the label database when closed."""
    store, table, assignments, _ = labels
    selector = LearningSelector(
        store,
        table,
        assignments,
        random_fraction=options.random_fraction,
        double_fraction=options.double_fraction,
        shows_guesses=options.show_guesses,
    )
    return LabelService(
        store,
        table,
        assignments,
        selector,
        options.coder,
        shows_guesses=options.show_guesses,
        settlers=options.settlers,
        near_copies=NearCopies(table.texts),
        repeated_draws=RepeatedDraws(options.repeat_fraction),
    )


def check_settlers(settlers: Sequence[str], settings: ServeSettings, coder: str) -> None:
    """Raise OptionError unless all settlers have a token or, without tokens, are the coder."""
    coders = [token.name or "" for token in settings.accepted_tokens] or [coder]
    for name in settlers:
        if name not in coders:
            raise OptionError(
                Parameter("settlers"),
                f" has {short_repr(name)}, who is not a coder; choose from {join_words(coders)}.",
            )
