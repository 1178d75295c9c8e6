"""People who label tickets on the page of `slugline label`, simulated.

They press keys in a headless Chromium, of which pictures are taken. Where there is none, they do
the same through the page's HTTP interface, without pictures.
"""

from __future__ import annotations

import base64
import contextlib
import html
import json
import os
import random
import time
import urllib.request
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from browsers import find_missing_browser, run_chromium
from label_page import press, shown, wait_for_text_after, wait_until_saved
from made_up_tickets import Ticket

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FloatRect, Locator, Page

_T = TypeVar("_T")
# Width and height of windows, in pixels.
_WINDOW, _PHONE = (960, 720), (390, 760)
# Seconds for a key and a glance at the next text, and for each word of it.
_SECONDS_PER_TEXT, _SECONDS_PER_WORD = 2.0, 0.25
# Milliseconds until something must have appeared: machines that build the site may be busy.
_PATIENCE = 60_000
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
# Where an element is on the page, and pixels around it in a picture.
_PLACE_SCRIPT = """element => {
  const box = element.getBoundingClientRect();
  return [box.left + scrollX, box.top + scrollY, box.width, box.height];
}"""
_MARGIN = 16
# With so many near copies, people look at them.
_MANY_COPIES = 5
# Milliseconds before a tap: the page takes no second one of a double tap.
_TAP_PAUSE = 350
# The progress counts as final once it hasn't changed for so many polls, one a second; and the
# largest number of polls.
_N_EQUAL_POLLS, _MAX_POLLS = 4, 300


class Decision(NamedTuple):
    """What a person does with a text: a topic, or None to skip it as unclear."""

    topic: str | None
    #: What they choose instead, as they see at once that the topic is wrong.
    right_topic: str | None = None


class Reader:
    """Reads tickets as a person does, who errs now and then.

    Attributes
    ----------
    seconds : float
        How long a person would have taken for all texts so far.
    n_texts : int
        Number of texts so far.
    """

    def __init__(
        self, tickets: list[Ticket], seed: int, *, habit: Mapping[str, str] | None = None
    ) -> None:
        self._tickets = {ticket.text: ticket for ticket in tickets}
        self._topics = sorted({ticket.topic for ticket in tickets})
        self._habit = habit or {}
        self._rng = random.Random(seed)
        self.seconds, self.n_texts = 0.0, 0

    def decide(self, text: str) -> Decision:
        """Return a decision about a text."""
        ticket = self._tickets[text]
        self.n_texts += 1
        self.seconds += _SECONDS_PER_TEXT + _SECONDS_PER_WORD * len(text.split())
        if not ticket.is_clear:
            return Decision(None)
        topic = self._read(ticket)
        if self._rng.random() >= 0.03:
            return Decision(topic)
        is_noticed = self._rng.random() < 0.7
        return Decision(self._rng.choice(self._topics), topic if is_noticed else None)

    def _read(self, ticket: Ticket) -> str:
        """Return the topic of a ticket, as far as this person understands topics."""
        words = ticket.text.lower()
        return next((topic for word, topic in self._habit.items() if word in words), ticket.topic)

    def true_topic(self, text: str) -> str:
        """Return the topic of a text."""
        return self._tickets[text].topic


class Picture:
    """A picture of the page in light and dark; without a browser, a line that says so."""

    def __init__(self, title: str, shots: Mapping[str, bytes]) -> None:
        self._title, self._shots = title, shots

    def _repr_html_(self) -> str:
        title = html.escape(self._title)
        if not self._shots:
            return (
                "<p><em>Built without a browser: the requests were those of the page, and there is "
                f"no picture. It would show: {title}.</em></p>"
            )
        return "".join(
            f'<img class="only-{scheme} screenshot" alt="{title}" '
            f'src="data:image/png;base64,{base64.b64encode(shot).decode()}">'
            for scheme, shot in self._shots.items()
        )


class Session(ABC):
    """A person at the page.

    Parameters
    ----------
    reader : Reader
    address : str
        Of the page, without a "/" at the end.
    token : str, optional

    Attributes
    ----------
    copies_picture : Picture
        The page when near copies were labelled together.
    """

    def __init__(self, reader: Reader, address: str, token: str | None = None) -> None:
        self.copies_picture = Picture("Near copies of a text", {})
        self._reader, self._address, self._token = reader, address, token

    @abstractmethod
    def label(self, n_texts: int) -> None:
        """Decide about texts one after the other, and about many near copies together."""

    @abstractmethod
    def look_at_disagreement(self) -> bool:
        """Show a text on which people disagree; return whether there is one."""

    @abstractmethod
    def settle(self) -> None:
        """Settle all disagreements, by reading the texts again."""

    @abstractmethod
    def picture(self, title: str, *, is_of_progress: bool = False) -> Picture:
        """Return a picture of what is on the screen, or of the part below that shows progress."""

    def progress(self) -> dict[str, Any]:
        """Return what the page says so far, once the model has learned from all labels."""
        seen = [self._call("progress")]
        for _ in range(_MAX_POLLS):
            time.sleep(1)
            seen.append(self._call("progress"))
            n_equal = seen[-_N_EQUAL_POLLS:].count(seen[-1])
            if n_equal == _N_EQUAL_POLLS and not _is_incomplete(seen[-1]):
                break
        return seen[-1]

    def has_disagreement(self) -> bool:
        """Return whether there is a text on which people disagree."""
        return self._call("disagreement", after=0)["disagreement"] is not None

    def _call(self, operation: str, **body: Any) -> dict[str, Any]:
        """Do what the page's script does."""
        headers = {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        request = urllib.request.Request(
            f"{self._address}/v1/{operation}", json.dumps(body).encode() if body else None, headers
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            answer: dict[str, Any] = json.load(reply)
        return answer


class BrowserSession(Session):
    """A person with a browser."""

    def __init__(
        self, reader: Reader, address: str, token: str | None = None, *, is_phone: bool = False
    ) -> None:
        super().__init__(reader, address, token)
        self._is_phone = is_phone
        self._page: Page = _in_browser(self._open)

    def _open(self) -> Page:
        width, height = _PHONE if self._is_phone else _WINDOW
        context = _start_browser().new_context(
            viewport={"width": width, "height": height},
            is_mobile=self._is_phone,
            has_touch=self._is_phone,
        )
        context.set_default_timeout(_PATIENCE)
        page = context.new_page()
        page.goto(self._address)
        if self._token is not None:
            page.get_by_label("Token").fill(self._token)
            page.get_by_role("button", name="Log in").click()
        page.locator("#card[data-assignment]").wait_for()
        return page

    def label(self, n_texts: int) -> None:
        """Decide about texts one after the other, and about many near copies together."""
        _in_browser(lambda: self._label(n_texts))

    def _label(self, n_texts: int) -> None:
        for _ in range(n_texts):
            self._decide()
            self._label_copies()

    def _decide(self) -> None:
        decision = self._reader.decide(self._text())
        if decision.topic is None:
            self._skip()
            return
        before = shown(self._page)
        self._choose(decision.topic)
        if decision.right_topic is not None:
            wait_until_saved(self._page)
            self._undo(before)
            self._choose(decision.right_topic)
        wait_until_saved(self._page)

    def _text(self) -> str:
        return str(self._page.locator("#text").evaluate("element => element.textContent"))

    def _choose(self, topic: str) -> None:
        button = self._page.locator("#topics button", has=self._page.get_by_text(topic, exact=True))
        if not self._is_phone:
            press(self._page, button.locator("kbd").inner_text())
            return
        self._tap(button)

    def _skip(self) -> None:
        if not self._is_phone:
            press(self._page, ",")
            return
        self._tap(self._page.locator("[data-skip=unclear]"))

    def _tap(self, button: Locator) -> None:
        """Tap on a button, and wait for the next text."""
        before = shown(self._page)
        self._page.wait_for_timeout(_TAP_PAUSE)
        button.tap()
        wait_for_text_after(self._page, before)

    def _undo(self, assignment: str) -> None:
        if self._is_phone:
            self._page.locator("#undo").tap()
        else:
            self._page.keyboard.press("u")
        self._page.locator(f"#card[data-assignment='{assignment}']").wait_for()

    def _label_copies(self) -> None:
        """Look at near copies if there are many, and give them the topic of their text."""
        page = self._page
        offer = page.locator("#copies p.row b").first
        if not offer.is_visible() or int(offer.inner_text().split()[0]) < _MANY_COPIES:
            return
        page.keyboard.press("g")
        button = page.locator("#copies button.main")
        button.scroll_into_view_if_needed()
        self.copies_picture = self._shoot("Near copies of a text, each with a checkbox")
        button.click()
        page.locator("#copies").wait_for(state="hidden")
        page.locator("#card").focus()

    def look_at_disagreement(self) -> bool:
        """Show a text on which people disagree; return whether there is one."""
        return _in_browser(self._look_at_disagreement)

    def _look_at_disagreement(self) -> bool:
        if not self.has_disagreement():
            return False
        self._page.reload()
        self._page.locator("#card[data-assignment]").wait_for()
        self._page.locator("#progress-summary button", has_text="Settle").click()
        self._page.locator("#card[data-assignment^=document]").wait_for()
        return True

    def settle(self) -> None:
        """Settle all disagreements, by reading the texts again."""
        _in_browser(self._settle)

    def _settle(self) -> None:
        while shown(self._page).startswith("document"):
            self._choose(self._reader.true_topic(self._text()))

    def progress(self) -> dict[str, Any]:
        """Return what the page says so far, once the model has learned from all labels."""
        found = super().progress()
        _in_browser(
            lambda: self._page.evaluate("async () => takeProgress(await call('/v1/progress'))")
        )
        return found

    def picture(self, title: str, *, is_of_progress: bool = False) -> Picture:
        """Return a picture of what is on the screen, or of the part below that shows progress."""

        return _in_browser(lambda: self._shoot(title, is_of_progress=is_of_progress))

    def _shoot(self, title: str, *, is_of_progress: bool = False) -> Picture:
        shots: dict[str, bytes] = {}
        for scheme in _SCHEMES:
            self._page.emulate_media(color_scheme=scheme)
            clip = self._surroundings(".overview") if is_of_progress else None
            shots[scheme] = self._page.screenshot(clip=clip, full_page=is_of_progress)
        return Picture(title, shots)

    def _surroundings(self, selector: str) -> FloatRect:
        """Return where a part of the page is, with a margin."""
        left, top, width, height = self._page.locator(selector).evaluate(_PLACE_SCRIPT)
        return {
            "x": left - _MARGIN,
            "y": top - _MARGIN,
            "width": width + 2 * _MARGIN,
            "height": height + 2 * _MARGIN,
        }


class HttpSession(Session):
    """A person without a browser, whose requests are those of the page."""

    def __init__(self, reader: Reader, address: str, token: str | None = None) -> None:
        super().__init__(reader, address, token)
        self._call("state")

    def label(self, n_texts: int) -> None:
        """Decide about texts one after the other, and about many near copies together."""
        for _ in range(n_texts):
            reply = self._decide()
            if reply["n_copies"] >= _MANY_COPIES:
                self._label_copies(reply["assignment"])

    def _decide(self) -> dict[str, Any]:
        """Decide about the next text; return the reply to the decision."""
        text = self._call("next", held=[])["text"]
        decision = self._reader.decide(text["text"])
        if decision.topic is None:
            return self._send(text, kind="skip", reason="unclear")
        reply = self._send(text, kind="label", topics=[decision.topic])
        if decision.right_topic is None:
            return reply
        self._call("undo", decision=reply["id"], request=_request_name())
        return self._send(text, kind="label", topics=[decision.right_topic])

    def _send(self, text: dict[str, Any], **decision: Any) -> dict[str, Any]:
        request = _request_name()
        return self._call("decide", assignment=text["assignment"], request=request, **decision)

    def _label_copies(self, assignment: int) -> None:
        copies = self._call("copies", assignment=assignment)["copies"]
        keys = [each["key"] for each in copies]
        request = _request_name()
        self._call("copies/label", assignment=assignment, request=request, keys=keys)

    def look_at_disagreement(self) -> bool:
        """Show a text on which people disagree; return whether there is one."""
        return self._call("disagreement", after=0)["disagreement"] is not None

    def settle(self) -> None:
        """Settle all disagreements, by reading the texts again."""
        while found := self._call("disagreement", after=0)["disagreement"]:
            topics = [self._reader.true_topic(found["text"])]
            request = _request_name()
            self._call(
                "settle", document=found["document"], request=request, kind="label", topics=topics
            )

    def picture(self, title: str, *, is_of_progress: bool = False) -> Picture:
        """Return a line in place of a picture."""
        del is_of_progress
        return Picture(title, {})


def open_session(
    reader: Reader, address: str, token: str | None = None, *, is_phone: bool = False
) -> Session:
    """Return a session of a person who opens the page, and logs in if there is a token."""
    if find_missing_browser():
        return HttpSession(reader, address, token)
    return BrowserSession(reader, address, token, is_phone=is_phone)


def _is_incomplete(progress: dict[str, Any]) -> bool:
    """Whether the accuracy, or what twice as many labels bring, is still to be measured.

    The latter needs 40 labels.
    """
    accuracy = progress["accuracy"]
    if accuracy is None:
        return True
    return progress["forecast"] is None and accuracy["n_labels"] > 60


def _request_name() -> str:
    return uuid.uuid4().hex


# Playwright must run in the thread that started it, and not in one with an event loop, such as a
# notebook's.
_thread = ThreadPoolExecutor(1)
_stack = contextlib.ExitStack()


@cache
def _start_browser() -> Browser:
    os.environ.pop("FORCE_COLOR", None)  # of the notebook; Playwright warns if NO_COLOR is set, too
    return _stack.enter_context(run_chromium())


def close_browser() -> None:
    """Close the browser of all sessions, if there is one."""
    _thread.submit(_stack.close).result()


def _in_browser(work: Callable[[], _T]) -> _T:
    """Return what a function returns that uses the browser."""
    return _thread.submit(work).result()
