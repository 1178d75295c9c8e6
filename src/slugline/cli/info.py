"""`slugline info`: print the card of a model file."""

from __future__ import annotations

import msgspec

from slugline.cli.options import command, json_option, model_argument
from slugline.cli.output import print_json, show
from slugline.learning.encoder.registry import BUILT_IN, split_names
from slugline.model.file import container
from slugline.model.file.schema import ModelFile, ModelInfo, to_plain
from slugline.model.file.shipped import model_path

_SEPARATORS = {"\t": "tab"}
# Maximum number of renamed topics to list.
_MAX_RENAMED = 20
_FORMS = {
    "array": "lists",
    "columns": "columns of 0 and 1",
    "label": "labels on a line",
    "uris": "URIs after a tab",
}


@command()
@model_argument
@json_option
def info(model: str, as_json: bool) -> None:
    """Print a model's card: training data, topics, metrics and limits."""
    files = _read_all(model)
    for file in files.values():
        _check_table(file.info)
    if as_json:
        infos = {
            name: msgspec.to_builtins(file.info, enc_hook=to_plain) for name, file in files.items()
        }
        print_json({"questions": infos} if len(files) > 1 else infos[""])
        return
    for number, (question, file) in enumerate(files.items()):
        if question:
            show(*[""] * (number > 0), f"# Question {question}", "")
        _print_card(file)


def _read_all(model: str) -> dict[str, ModelFile]:
    """Return the content of a file by question; "" if it answers a single one, or names one."""
    path = model_path(model)
    data = container.read_bytes(path)
    references = container.question_paths(data, path)
    return {name: container.unpack(data, reference) for name, reference in references.items()}


def _print_card(file: ModelFile) -> None:
    """Print the card, and how the training data were read."""
    show(*file.card.split("\n"))
    layout = file.info.layout
    if layout is None:
        return
    show("## Columns of its data", "", f"- text: {', '.join(layout.text)}")
    show(f"- topic: {layout.topic}")
    for group in file.info.feature_groups:
        for column in group.columns:
            show(f"- additional column: {column}")
    if form := layout.topic_form:
        show(f"- several topics: {_FORMS.get(form.kind, f'separated by {form.separator!r}')}")
    show(f"- encoding: {layout.encoding or 'UTF-8'}")
    if layout.separator:
        show(f"- cell separator: {_SEPARATORS.get(layout.separator, layout.separator)}")
    if layout.fold_topics:
        show("- topics that differ only in case or spaces are merged")
    for old, new in layout.topic_map[:_MAX_RENAMED]:
        show(f"- topic {old} is renamed {new}")
    if len(layout.topic_map) > _MAX_RENAMED:
        show(f"- and {len(layout.topic_map) - _MAX_RENAMED:,} more; use --json to see all")


def _check_table(info: ModelInfo) -> None:
    """Raise EncoderError if the model needs Slugline's word vectors and their table has changed."""
    if info.encoder is None or BUILT_IN not in (split_names(info.encoder.name) or ()):
        return
    from slugline.text.vector_table import open_table

    open_table().check_digest()
