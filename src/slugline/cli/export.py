"""`slugline export`: write a model as a single page that runs in the browser."""

from __future__ import annotations

from pathlib import Path

from slugline.base.files import write_result
from slugline.cli.options import (
    OUTPUT_FILE,
    command,
    model_argument,
    option,
    precision_option,
    quiet_option,
)
from slugline.cli.output import say, warn
from slugline.cli.output_paths import check_target
from slugline.errors import Message
from slugline.exporting.page import LARGE_PAGE, render_page
from slugline.exporting.parts import model_parts
from slugline.model.file.shipped import model_path


@command()
@model_argument
@option(
    "--output -o FILE",
    "Page to write; replaces an existing file.",
    type=OUTPUT_FILE,
    show_default="MODEL-page.html",
)
@precision_option
@quiet_option
def export(model: str, output: Path | None, min_precision: float | None) -> None:
    """Export a model as an HTML file that classifies texts offline.

    The page runs in any browser, without Python or a server. Weights are rounded
    to int8, and word vectors are included. Models with sentence encoders or
    networks can't be exported.

    For example:

      slugline export reuters46
      slugline export tickets.slug -o tickets-page.html
    """
    path = Path(f"{Path(model).stem}-page.html") if output is None else output
    check_target("--output", path, [Path(model_path(model))])
    parts = model_parts(model, min_precision=min_precision)
    if parts.decider.note:
        warn([Message(f"{model} is ", parts.decider.note)])
    data = render_page(parts, model).encode("utf-8", "backslashreplace")
    write_result(path, data, "page")
    say(f"wrote {path}, {_size(data)}; open it in a browser")
    if len(data) >= LARGE_PAGE:
        warn([f"{path} is large ({_size(data)}); for a smaller one, train with --quantize int8."])


def _size(data: bytes) -> str:
    n_bytes = len(data)
    return f"{n_bytes / 1e6:,.1f} MB" if n_bytes >= 999_500 else f"{n_bytes / 1e3:,.0f} kB"
