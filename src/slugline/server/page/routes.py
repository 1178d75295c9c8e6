"""Where the page's parts are."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.routing import BaseRoute

__all__ = ["PAGE_ROUTES"]

PAGE_ROUTES: Sequence[BaseRoute] = ()
