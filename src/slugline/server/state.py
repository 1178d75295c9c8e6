"""What the handlers of a process share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slugline.corrections.store import CorrectionStore
from slugline.server.batches import Batches
from slugline.server.metrics import Metrics
from slugline.server.models import Models
from slugline.server.settings import Settings

if TYPE_CHECKING:
    from starlette.requests import Request

__all__ = ["State", "state_of"]


@dataclass(eq=False)
class State:
    """What the handlers of a process share.

    Attributes
    ----------
    settings : Settings
    models : Models
    metrics : Metrics
    batches : Batches
    store : CorrectionStore or None
        None if no corrections are taken.
    learner : Learner or None
        What learns from corrections beside the server, if anything does.
    """

    settings: Settings
    models: Models
    metrics: Metrics
    store: CorrectionStore | None = None
    learner: Any = None
    batches: Batches = field(init=False)

    def __post_init__(self) -> None:
        self.batches = Batches(self.settings.threads, self.metrics)


def state_of(request: Request) -> State:
    """Return what the handlers share."""
    state: State = request.scope["app"]
    return state
