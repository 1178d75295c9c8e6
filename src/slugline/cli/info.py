"""`slugline info`: what a model file says about itself."""

from __future__ import annotations

from slugline.cli.options import command, json_option, model_argument
from slugline.cli.output import print_json, show

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
    """Print a model's card: what it learned from, its topics, metrics and limits."""
    import msgspec

    from slugline.model.file import container
    from slugline.model.file.content import model_path
    from slugline.text.table_columns import TableColumn

    file = container.read(model_path(model))
    if as_json:
        print_json(msgspec.to_builtins(file.info))
    else:
        show(*file.card.split("\n"))
        if file.info.layout is not msgspec.UNSET:
            layout = file.info.layout
            show("## Columns of its data", "")
            show(f"- text: {', '.join(layout.text)}")
            show(f"- topic: {layout.topic}")
            for block in file.info.blocks:
                for column in block.columns or ():
                    kind = TableColumn(*msgspec.structs.astuple(column))
                    show(f"- beside the text: {kind}")
            form = layout.topic_form
            if form is not None:
                show(
                    f"- several topics: {_FORMS.get(form.kind, f'separated by {form.separator!r}')}"
                )
            show(f"- encoding: {layout.encoding or 'UTF-8'}")
