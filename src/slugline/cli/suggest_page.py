"""The label page of `slugline suggest`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

from slugline.base.wording import counted
from slugline.cli.label_page import PageOptions, serve_page
from slugline.cli.output import say
from slugline.corpus.columns import column_names
from slugline.corpus.label_database.records import ModelGuess, Selection
from slugline.corpus.layout import Layout
from slugline.corpus.loading import UnlabelledTexts
from slugline.errors import DataError
from slugline.experiment.suggest import Suggestion
from slugline.labels.draws import OrderedSelector
from slugline.labels.label_setup import add_topics
from slugline.labels.store import LabelStore
from slugline.labels.text_table import RowAssignments, SourceColumns, TextTable, missing_note
from slugline.model.fitted import Fitted


def label_suggestions(
    fitted: Fitted,
    file: str,
    unlabelled: UnlabelledTexts,
    is_open: Sequence[bool],
    layout: Layout | None,
    choose: Callable[[Sequence[str]], list[Suggestion]],
    output: Path,
    page: PageOptions,
) -> None:
    """Serve a page for labelling the unlabelled texts that `choose` picks.

    Parameters
    ----------
    fitted : Fitted
        The model, whose topics the page offers.
    file : str
        The file of the texts.
    unlabelled : UnlabelledTexts
    is_open : sequence of bool
        Mask of texts without a topic in the file.
    layout : Layout, optional
        The columns of the model's data.
    choose : callable
        Chooses suggestions from texts.
    output : Path
        The label database; texts already in it are not suggested again.
    page : PageOptions
    """
    settings = page.settings()
    with contextlib.ExitStack() as stack:
        address = page.address()
        names = column_names(unlabelled.rows)
        topic = layout.topic if layout is not None and layout.topic in names else None
        table = TextTable.from_texts(file, unlabelled, SourceColumns.from_file(output), topic)
        store = stack.enter_context(LabelStore(output))
        assignments = RowAssignments.from_store(table, store)
        note = missing_note(assignments, table)
        if note is not None:
            say(note)
        free = [row for row in assignments.free_rows("").tolist() if is_open[row]]
        if not free:
            raise DataError(f"every text of {file} has a topic, or a label in {output}.")
        suggestions = choose([table.texts[row] for row in free])
        coder = store.add_coder(page.coder_name()).name
        table.remember_source(store)
        if fitted.multilabel_rule is not None and not store.is_multilabel:
            store.set_multilabel(True)
        add_topics(store, dict.fromkeys(map(str, fitted.topics.names), ""), coder)
        selections = {free[each.row]: _selection(each) for each in suggestions}
        from slugline.serving.labelling.service import LabelService

        service = LabelService(
            store,
            table,
            assignments,
            OrderedSelector(assignments, selections),
            coder,
            content="suggestions",
            shows_guesses=True,
        )
        content = f"{len(selections):,} of {counted(len(free), 'text')} to label"
        serve_page(settings, service, address, content)
        say(f"labels are in {output}; train on them and what the model learned from before")


def _selection(suggestion: Suggestion) -> Selection:
    topic = suggestion.topic
    topics = tuple(map(str, topic)) if isinstance(topic, tuple) else (str(topic),)
    guess = ModelGuess(topics, suggestion.probability)
    return Selection("suggested", guess=guess, is_guess_shown=True)
