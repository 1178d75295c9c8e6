"""The first tab: classifies a text, and shows why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from slugline.base.wording import whole_percent
from slugline.corpus.documents import RowText, Topic, cells_of
from slugline.explanation.explain import explain
from slugline.explanation.explanation import WordShare
from slugline.exporting.page import samples, why_unsure
from slugline.model.decider import Decision
from slugline.model.file.content import is_shipped
from slugline.serving.http.bodies import HttpProblem
from slugline.serving.http.state import AppState, app_state, in_time
from slugline.serving.model import ServedModel
from slugline.serving.page.page import chosen_model, page, read_form, wants_part
from slugline.serving.settings import LimitError

# The answer ---------------------------------------------------------------------------------------

#: Topics that are shown at once; the others are behind a click.
N_SHOWN = 5
# Probability from which topics are suggested that aren't given; if it is unsure, all are.
_LIKELY = 0.05
# Characters of the text that are shown with marks.
_MOST_MARKED = 20_000
# Words that are named on either side, and characters of one of them.
_N_WORDS, _LONGEST_WORD = 6, 40


class Bar(NamedTuple):
    """A topic, its probability, and whether its words are marked."""

    topic: Topic
    probability: float
    is_chosen: bool

    @property
    def width(self) -> str:
        """Width of the bar, for an attribute."""
        return f"{100 * self.probability:.1f}%"


class Answer(NamedTuple):
    """The prediction for a text, and its explanation.

    Attributes
    ----------
    text : str
    topic : str, int or None
        None if the model is unsure.
    probability : float
        Of the most likely topic.
    why_unsure : str
        A sentence; empty if the model is sure.
    bars : list of Bar
        Topics, the most likely first; all, unless there are very many.
    chosen : str or int
        The topic whose words are marked.
    marked : Markup
        The text with its words marked, perhaps cut (`is_cut`) or not exactly (`is_approximate`).
    words_for, words_against : list of str
        The strongest of them.
    topics, suggestions : list of Bar
        Of several topics a text, those given, and others that may be right.
    """

    text: str
    topic: Topic | None
    probability: float
    why_unsure: str
    bars: list[Bar]
    chosen: Topic
    marked: Markup
    is_cut: bool
    is_approximate: bool
    words_for: list[str]
    words_against: list[str]
    topics: list[Bar]
    suggestions: list[Bar]

    @property
    def is_chosen_given(self) -> bool:
        """Whether the topic whose words are marked is one of the answer's."""
        return self.chosen in (self.topic, *(bar.topic for bar in self.topics))

    @property
    def announcement(self) -> str:
        """The prediction in a few words, for screen readers."""
        if self.why_unsure:
            return f"Unsure. {self.why_unsure}"
        if self.topic is None:
            return "No topic"
        if self.topics:
            return "; ".join(
                f"{bar.topic}, {whole_percent(bar.probability)}" for bar in self.topics
            )
        return f"{self.topic}, {whole_percent(self.probability)}"


def answer_text(
    model: ServedModel, text: str, decision: Decision, chosen: str | None = None
) -> Answer:
    """Return the answer for a text; takes some milliseconds.

    The decision has all topics to list as guesses. Words of the topic `chosen` are marked; by
    default, or if it is unknown, those of the most likely one.
    """
    best = decision.top[0][0]
    marked = next((topic for topic in model.fitted.topics.names if str(topic) == chosen), best)
    explanation = explain(model.fitted, text, marked)
    words, _ = explanation.totals(len(explanation.reasons))
    bars = [Bar(topic, probability, topic == marked) for topic, probability in decision.top]
    topics = [bar for bar in bars if bar.topic in (decision.topics or ())]
    suggestions = [
        bar
        for bar in bars[: N_SHOWN + len(topics)]
        if bar.probability >= _LIKELY or decision.reason
    ]
    return Answer(
        text=text,
        topic=decision.topic,
        probability=decision.probability,
        why_unsure=why_unsure(decision.reason) if decision.reason else "",
        bars=bars,
        chosen=marked,
        marked=explanation.to_html(_MOST_MARKED),
        is_cut=len(text) > _MOST_MARKED,
        is_approximate=explanation.is_approximate,
        words_for=_strongest(model, words, +1),
        words_against=_strongest(model, words, -1),
        topics=topics,
        suggestions=[bar for bar in suggestions if bar not in topics],
    )


def _strongest(model: ServedModel, words: Iterable[WordShare], sign: int) -> list[str]:
    """Return the strongest words of the text and columns beside it, for (+1) or against (-1)."""
    columns = {column.label for column in model.fitted.columns}
    strongest = [
        share.word
        for share in words
        if (share.n_places or share.word.partition("=")[0] in columns) and share.share * sign > 0
    ]
    return [
        word if len(word) <= _LONGEST_WORD else f"{word[:_LONGEST_WORD]}…"
        for word in strongest[:_N_WORDS]
    ]


# The tab ------------------------------------------------------------------------------------------

# Topics that are listed: the most likely ones; and those among which a correction can be found.
_MOST_TOPICS, _MOST_FOUND = 500, 5000


def samples_for(model: ServedModel) -> tuple[tuple[str, str], ...]:
    """Return the sample texts of a model: none, unless it comes with Slugline."""
    return samples() if is_shipped(model.path) else ()


async def show_classify(request: Request) -> Response:
    """Show the empty form."""
    return classify_page(request, chosen_model(request), "", None)


async def ask(request: Request) -> Response:
    """Classify the text of the form; it may choose the topic whose words are marked."""
    model = chosen_model(request)
    form = await read_form(request, n_more=len(model.fitted.columns))
    text = _text(form, model)
    if model.fitted.columns:
        names = [column.name for column in model.fitted.columns]
        cells = {name: form.get(f"column.{place}", "") for place, name in enumerate(names)}
        text = RowText(text, cells)
    answer = await answer_for(request, model, text, form.get("topic"))
    if wants_part(request):
        return page(request, "answer.html.j2", **_values(answer))
    return classify_page(request, model, text, answer)


async def answer_for(
    request: Request, model: ServedModel, text: str, chosen: str | None = None
) -> Answer | None:
    """Return the answer for a text; None if it is blank.

    Raises
    ------
    HttpProblem : 422 if it is too long, 503 if other requests get too many guesses already, 504 if
        it takes too long.
    """
    state = app_state(request)
    if not text.strip():
        return None
    check_text(state, text)
    n_topics = min(len(model.fitted.topics), _MOST_TOPICS)
    with state.batches.guesses(1, n_topics):
        [decision] = await in_time(request, state.batches.decide(model, [text], top=n_topics))
    return await in_time(request, state.run(answer_text, model, text, decision, chosen))


def check_text(state: AppState, text: str) -> None:
    """Raise an HttpProblem if a text is too long."""
    try:
        state.settings.limits.check([text], explain=True)
    except LimitError as error:
        raise HttpProblem(422, f"{error}".replace("text 0", "the text")) from None


def _text(form: Mapping[str, str], model: ServedModel) -> str:
    """Return the text of the form, or of the sample that was clicked."""
    chosen = form.get("sample", "")
    samples = samples_for(model)
    if chosen.isascii() and chosen.isdecimal() and len(chosen) < 3 and int(chosen) < len(samples):
        return samples[int(chosen)][1]
    return form.get("text", "")


def classify_page(
    request: Request, model: ServedModel, text: str, answer: Answer | None, **more: Any
) -> Response:
    """Return the whole page with a text and its answer; `more` overrides `_values`."""
    return page(
        request,
        "classify.html.j2",
        title="What is this text about?",
        text=text,
        samples=samples_for(model),
        topics=model.fitted.topics.names[:_MOST_FOUND],
        columns=[
            (column, values[:_MOST_FOUND], cells_of(text).get(column.name, ""))
            for column, values in model.fitted.column_values()
        ],
        **_values(answer) | more,
    )


def _values(answer: Answer | None) -> dict[str, Any]:
    """Return the values of the part with the answer."""
    return {"answer": answer, "n_shown": N_SHOWN, "correction": None}
