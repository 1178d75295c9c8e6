"""`slugline train` of all documents, with none set aside to test on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from slugline.cli.encoder import advise, told_on_interrupt
from slugline.cli.output import print_json, show, warn
from slugline.cli.routing import as_entry, print_routing, routing_of
from slugline.cli.voice import in_flags

if TYPE_CHECKING:
    from slugline.classifier import TopicClassifier
    from slugline.corpus.corpus import Corpus

__all__ = ["learn_untested"]


def learn_untested(
    classifier: TopicClassifier,
    parts: dict[str, Corpus],
    output: Path,
    min_precision: float | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Learn from all documents and save the model; without a test there is nothing to report on."""
    from slugline.displays import counted
    from slugline.experiment.untested import learn_from_all
    from slugline.progress import progress_on
    from slugline.saving.classifier_file import as_model_file
    from slugline.saving.container import write

    progress = None if quiet else progress_on()
    with told_on_interrupt(classifier):
        train, validation = parts["train"], parts.get("validation")
        done = learn_from_all(
            classifier, train, validation, min_precision=min_precision, progress=progress
        )
    warnings = tuple(map(in_flags, done.warnings))
    warn(warnings)
    advise(classifier, parts["train"], quiet)
    write(output, as_model_file(done.fitted))
    routing = routing_of(done.fitted, None)
    if as_json:
        found = replace(done, warnings=warnings).to_dict() | as_entry(routing)
        print_json(found | {"model": str(output)})
        return
    n_topics = counted(len(done.fitted.topics), "topic")
    n_documents = done.fitted.n_documents
    what = f"{'' if n_documents == 1 else 'all '}{counted(n_documents, 'document')}"
    if not n_documents:
        what = "their descriptions, without any document,"
    show(f"{done.name}: learned {n_topics} from {what} in {done.seconds:.1f} s")
    print_routing(routing)
    show("not tested, so there is no report; `slugline evaluate` tests it on other documents")
    show(f"model   {output}")
