"""The first tab: classifies a text and shows the reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from slugline.base.wording import whole_percent
from slugline.corpus.documents import RowText, Topic, cells_of
from slugline.explanation.explanation import WordAttribution
from slugline.exporting.page import samples, why_unsure
from slugline.model.decision import Decision
from slugline.model.file.shipped import is_shipped
from slugline.serving.page.rendering import render_page, requested_model, wants_part, word_error
from slugline.serving.replies import CorrectionReply
from slugline.serving.served_models import ServedModel
from slugline.serving.service import TextAnswer
from slugline.serving.service_errors import LimitError
from slugline.serving.web.bodies import read_form
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.state import in_time, service_of

# The answer ---------------------------------------------------------------------------------------

#: Number of topics shown initially; the rest are folded.
N_SHOWN = 5
# Minimum probability of suggested topics. If the model is unsure, all are suggested.
_LIKELY = 0.05
# Number of characters shown with marks.
_MAX_MARKED = 20_000
# Maximum number of words listed for and against, and length of each.
_N_WORDS, _LONGEST_WORD = 6, 40


class Bar(NamedTuple):
    """A topic, its probability, and True if its words are marked."""

    topic: Topic
    probability: float
    is_explained: bool

    @property
    def width(self) -> str:
        """Width of the bar as an attribute value."""
        return f"{100 * self.probability:.1f}%"


class OtherAnswer(NamedTuple):
    """The answer to another question: its topics, "unsure" or "none", and their probability."""

    question: str
    topics: str
    probability: float

    @classmethod
    def from_decision(cls, question: str, decision: Decision) -> OtherAnswer:
        """Return the answer in words."""
        topics = decision.topics if decision.topics is not None else [decision.topic]
        given = ", ".join(str(topic) for topic in topics if topic is not None)
        return cls(
            question, given or ("unsure" if decision.reason else "none"), decision.probability
        )


class Answer(NamedTuple):
    """The prediction for a text with its explanation.

    Attributes
    ----------
    text : str
    topic : str, int or None
        None if the model is unsure.
    probability : float
        Probability of the most likely topic.
    why_unsure : str
        A sentence, or empty if the model is sure.
    bars : list of Bar
        Topics, most likely first, up to a maximum.
    explained_topic : str or int
        The topic whose words are marked.
    marked : Markup
        The text with its words marked; shortened if `is_cut`, inexact if `is_approximate`.
    words_for, words_against : list of str
        The strongest words.
    topics, suggestions : list of Bar
        For a multi-label model, the assigned topics and other likely ones.
    others : list of OtherAnswer
        The answers to other questions of the same model file.
    """

    text: str
    topic: Topic | None
    probability: float
    why_unsure: str
    bars: list[Bar]
    explained_topic: Topic
    marked: Markup
    is_cut: bool
    is_approximate: bool
    words_for: list[str]
    words_against: list[str]
    topics: list[Bar]
    suggestions: list[Bar]
    others: list[OtherAnswer]

    @property
    def is_explained_topic_assigned(self) -> bool:
        """True if the answer includes the topic whose words are marked."""
        return self.explained_topic in (self.topic, *(bar.topic for bar in self.topics))

    @property
    def announcement(self) -> str:
        """The prediction as a phrase for screen readers."""
        if self.why_unsure:
            return f"Unsure. {self.why_unsure}"
        if self.topic is None:
            return "No topic"
        if self.topics:
            return "; ".join(
                f"{bar.topic}, {whole_percent(bar.probability)}" for bar in self.topics
            )
        return f"{self.topic}, {whole_percent(self.probability)}"


class CorrectionForm(NamedTuple):
    """State of the correction form: saved, undone, or the problem."""

    text: str
    topic: str = ""
    topics: Sequence[str] = ()
    saved: CorrectionReply | None = None
    undone: bool = False
    problem: str = ""


def build_answer(model: ServedModel, text: str, answer: TextAnswer) -> Answer:
    """Prepare the answer to a text for display."""
    decision, explanation, others = answer
    words, _ = explanation.totals(len(explanation.reasons))
    bars = [
        Bar(topic, probability, topic == explanation.topic) for topic, probability in decision.top
    ]
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
        explained_topic=explanation.topic,
        marked=explanation.to_html(_MAX_MARKED),
        is_cut=len(text) > _MAX_MARKED,
        is_approximate=explanation.is_approximate,
        words_for=_strongest(model, words, +1),
        words_against=_strongest(model, words, -1),
        topics=topics,
        suggestions=[bar for bar in suggestions if bar not in topics],
        others=[OtherAnswer.from_decision(*each) for each in others.items()],
    )


def _strongest(model: ServedModel, words: Iterable[WordAttribution], sign: int) -> list[str]:
    """Return the strongest words of the text and its columns, for (+1) or against (-1) a topic."""
    columns = {column.label for column in model.fitted.columns}
    strongest = [
        word.word
        for word in words
        if (word.n_places or word.word.partition("=")[0] in columns) and word.attribution * sign > 0
    ]
    return [
        word if len(word) <= _LONGEST_WORD else f"{word[:_LONGEST_WORD]}…"
        for word in strongest[:_N_WORDS]
    ]


# The tab ------------------------------------------------------------------------------------------

# Maximum number of topics in the list, and in the correction form.
_MAX_TOPICS, _MAX_OFFERED = 500, 5000


def samples_for(model: ServedModel) -> tuple[tuple[str, str], ...]:
    """Return the sample texts of a model; empty unless the model is included in Slugline."""
    return samples() if is_shipped(model.path) else ()


async def show_classify(request: Request) -> Response:
    """Show the empty form."""
    return classify_page(request, requested_model(request), "", None)


async def post_classify(request: Request) -> Response:
    """Classify the text in the form, optionally marking the words of a given topic."""
    model = requested_model(request)
    form = await read_form(request, n_more=len(model.fitted.columns))
    text = _text(form, model)
    if model.fitted.columns:
        names = [column.name for column in model.fitted.columns]
        cells = {name: form.get(f"column.{place}", "") for place, name in enumerate(names)}
        text = RowText(text, cells)
    answer = await classify_text(request, model, text, form.get("topic"))
    if wants_part(request):
        return render_page(request, "answer.html.j2", **template_values(answer))
    return classify_page(request, model, text, answer)


async def classify_text(
    request: Request, model: ServedModel, text: str, topic: str | None = None
) -> Answer | None:
    """Return the answer to a text, or None if it is blank.

    Marks the words for `topic`, or for the most likely topic if it is None or unknown.

    Raises
    ------
    HttpProblem : 422 if the text is too long, 504 if the answer takes too long.
    BusyError : if pending replies already contain too many topics.
    """
    if not text.strip():
        return None
    n_topics = min(len(model.fitted.topics), _MAX_TOPICS)
    service = service_of(request)
    try:
        answer = await in_time(request, service.answer_text(model, text, n_topics, topic))
    except LimitError as error:
        raise HttpProblem(422, word_error(error)) from None
    return await service.threads.run(build_answer, model, text, answer)


def _text(form: Mapping[str, str], model: ServedModel) -> str:
    """Return the text in the form, or the selected sample."""
    number = form.get("sample", "")
    samples = samples_for(model)
    if number.isascii() and number.isdecimal() and len(number) < 3 and int(number) < len(samples):
        return samples[int(number)][1]
    return form.get("text", "")


def classify_page(
    request: Request,
    model: ServedModel,
    text: str,
    answer: Answer | None,
    *,
    correction: CorrectionForm | None = None,
    status: int = 200,
) -> Response:
    """Render the page with a text, its answer and the correction form."""
    return render_page(
        request,
        "classify.html.j2",
        status=status,
        title="What is this text about?",
        text=text,
        samples=samples_for(model),
        topics=model.fitted.topics.names[:_MAX_OFFERED],
        columns=[
            (column, values[:_MAX_OFFERED], cells_of(text).get(column.name, ""))
            for column, values in model.fitted.column_values()
        ],
        **template_values(answer, correction),
    )


def template_values(
    answer: Answer | None, correction: CorrectionForm | None = None
) -> dict[str, Any]:
    """Return template values for the answer."""
    return {"answer": answer, "n_shown": N_SHOWN, "correction": correction}
