"""`slugline rollback`: restore the model replaced by the last training."""

from __future__ import annotations

from slugline.base.wording import counted
from slugline.cli.options import command, json_option, models_argument
from slugline.cli.output import print_json, show
from slugline.model.file.generations import roll_back


@command()
@models_argument("model", "A saved model (.slug).")
@json_option
def rollback(model: str, as_json: bool) -> None:
    """Restore the model from before the last training on corrections.

    Training on corrections keeps the last five model files and their reports next to MODEL. Rerun
    to go back one more version. The replaced model is kept as MODEL.rolled-back.

    For example:

      slugline rollback tickets.slug
    """
    result = roll_back(model)
    if as_json:
        files = {
            "source": result.source,
            "taken_away": result.replaced,
            "report": result.report,
            "report_taken_away": result.replaced_report,
        }
        names = {name: None if path is None else str(path) for name, path in files.items()}
        print_json({"model": model, **names, "n_left": result.n_earlier})
        return
    n_earlier = result.n_earlier
    show(f"model     {model}, restored from {result.source.name}")
    show(f"replaced  {result.replaced}")
    if result.report is not None:
        show(f"report    {result.report.name}, restored as well")
    elif result.replaced_report is not None:
        show(
            f"report    none for this model; the replaced model's report is now "
            f"{result.replaced_report.name}"
        )
    show(
        f"kept      {counted(n_earlier, 'earlier version') if n_earlier else 'no earlier version'}"
    )
