"""Deployment: answer files, export a page, serve over HTTP."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slugline.api.result import Model, check_model
from slugline.base.checks import option_error
from slugline.base.files import PathLike, write_result
from slugline.classifier import TopicClassifier
from slugline.errors import OptionError
from slugline.prediction.job import predict_files

if TYPE_CHECKING:
    from slugline.serving.serve_settings import ServeSettings

__all__ = ["export", "predict_files", "serve"]


def export(model: Model, path: PathLike, *, min_precision: float | None = None) -> Path:
    """Write a model as a single HTML file that classifies texts offline in the browser.

    Parameters
    ----------
    model : TopicClassifier, or path of a model file
        A linear model with no encoder or with the `vectors` encoder; others can't be exported.
    path : path of the page
    min_precision : float from 0 to under 1, optional
        The minimum fraction of right answers; 0 answers every text. By default, the precision
        that the model was trained for.

    Returns
    -------
    The path of the page.

    Raises
    ------
    EncoderError : if the model needs different word vectors from those in this Slugline version.
    ModelFileError : if the model can't be loaded.
    OptionError : if the model can't be exported, or no threshold reaches the precision.
    SluglineError : if the page can't be written; an existing file is left unchanged.

    Examples
    --------
    >>> import slugline, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> slugline.export("reuters46", f"{folder}/wires.html").name
    'wires.html'
    """
    from slugline.exporting.page import model_page

    target = Path(path)
    with _as_file(model, target.stem) as name:
        page = model_page(name, min_precision=min_precision)
    write_result(target, page, "page")
    return target


def serve(
    *models: Model,
    settings: ServeSettings | None = None,
    announce: Callable[[str], object] = print,
    insecure: bool = False,
) -> None:
    """Answer requests over HTTP until SIGTERM or Ctrl-C, as `slugline serve` does.

    Parameters
    ----------
    *models : TopicClassifier, or path of a model file
        Defaults to the included model. Classifiers are named model-1, model-2 and so on.
        Changed model files are reloaded.
    settings : ServeSettings, optional
        Address, port, tokens, corrections, limits and log; see
        `slugline.serving.serve_settings.ServeSettings`.
    announce : callable, default print
        Called with the address once the server listens.
    insecure : bool, default False
        Let other machines use the server without a token.

    Raises
    ------
    OptionError : if a setting is invalid, or the extra "serve" is not installed.
    ServerError : if the address can't be used.
    ModelFileError : if a model can't be loaded.

    Examples
    --------
    >>> import slugline
    >>> settings = slugline.ServeSettings(port=8080)
    >>> slugline.serve("reuters46", settings=settings)  # doctest: +SKIP
    http://127.0.0.1:8080/
    """
    from slugline.serving.serve_settings import ServeSettings
    from slugline.serving.server.serve import serve as run

    settings = ServeSettings() if settings is None else settings
    if not isinstance(settings, ServeSettings):
        raise option_error("settings", settings, "a `ServeSettings`")
    if settings.workers > 1:
        raise OptionError(
            "`slugline.serve` answers in one process; for several, run `slugline serve --workers`."
        )
    settings.check()
    if not insecure:
        settings.check_is_guarded()
    with contextlib.ExitStack() as stack:
        names = [
            str(stack.enter_context(_as_file(model, f"model-{number}")))
            for number, model in enumerate(models, 1)
        ]
        run(settings, names or ["reuters46"], lambda: None, announce)


@contextlib.contextmanager
def _as_file(model: Model, name: str) -> Iterator[Any]:
    """Yield the path of a model; for a classifier, the path of a temporary file."""
    check_model(model)
    if not isinstance(model, TopicClassifier):
        yield model
        return
    with tempfile.TemporaryDirectory(prefix="slugline-") as folder:
        path = Path(folder, f"{name}.slug")
        model.save(path)
        yield path
