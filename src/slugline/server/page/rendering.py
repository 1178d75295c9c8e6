"""Templates, filled in."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import HTMLResponse

from slugline._version import __version__
from slugline.displays import counted
from slugline.report.words import percent, shortened, typeset
from slugline.server.api import find_model
from slugline.server.page.static import STATIC
from slugline.server.state import state_of

if TYPE_CHECKING:
    from jinja2 import Environment

    from slugline.served import ServedModel

__all__ = ["chosen_model", "page", "part"]

#: What a script sends along that wants a part of a page.
PART = "x-part"
_TABS = (
    ("/", "Classify"),
    ("/table", "Table"),
    ("/model", "Model"),
    ("/corrections", "Corrections"),
)


def chosen_model(request: Request) -> ServedModel:
    """Return the model that the address names, or the first.

    Raises
    ------
    Problem : 404 if there is none of that name.
    """
    return find_model(request, request.query_params.get("model"))


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a whole page as a response.

    Parameters
    ----------
    request : Request
    template : str
        A file name in `templates`.
    status : int, default 200
    **values : what the template refers to; text is escaped.
    """
    return _filled(request, template, status, values)


def part(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a part of a page, which a script puts into its place; see `page`."""
    return _filled(request, template, status, values)


def _filled(request: Request, template: str, status: int, values: dict[str, Any]) -> HTMLResponse:
    state = state_of(request)
    model = getattr(request.state, "model", None) or state.models.default
    models = state.models.all()
    shared = {
        "model": model,
        "models": models,
        "tabs": _TABS,
        "path": request.scope["path"],
        "takes_corrections": state.store is not None,
        "static": STATIC,
        "query": _query(model, models),
        "version": __version__,
    }
    text = _environment().get_template(template).render(shared | values)
    return HTMLResponse(_whole(text), status)


def _percent(share: float) -> str:
    r"""Return a share as a whole percentage; a small one is not nothing.

    >>> _percent(0.982), _percent(0.004), _percent(0.0)
    ('98\xa0%', '<\xa01\xa0%', '0\xa0%')
    """
    if 0 < share < 0.005:
        return "<\xa01\xa0%"
    return typeset(percent(share, 0))


def _whole(text: str) -> bytes:
    """Return UTF-8; a file may have held halves of characters, which have none."""
    return text.encode("utf-8", "replace")


def _query(model: ServedModel, models: list[ServedModel]) -> dict[str, str]:
    """Return what links have to say, so that they stay with the model."""
    return {} if model is models[0] else {"model": model.name}


@functools.cache
def _environment() -> Environment:
    """Return the templates, each of which is compiled once."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("slugline.server.page"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "counted": counted,
        "percent": _percent,
        "shortened": shortened,
    }
    environment.globals["link"] = link
    return environment


def link(path: str, query: dict[str, str], **more: object) -> str:
    """Return an address on this server.

    >>> link("/model", {"model": "a b"}, before=7)
    '/model?model=a+b&before=7'
    """
    from urllib.parse import urlencode

    found = urlencode({**query, **more})
    return f"{path}?{found}" if found else path
