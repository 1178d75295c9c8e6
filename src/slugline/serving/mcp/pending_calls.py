"""Streams between client and server that count unanswered calls.

When its input ends, the SDK cancels the calls that it is working on. So the end of the input is
held back until they have been answered.
"""

from __future__ import annotations

import asyncio
from typing import TypeAlias

import anyio
import mcp_types as types
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.shared.message import SessionMessage

_Item: TypeAlias = SessionMessage | Exception


class PendingCalls:
    """The number of unanswered calls."""

    def __init__(self) -> None:
        self._n_calls = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def add(self) -> None:
        """Count a call."""
        self._n_calls += 1
        self._is_idle.clear()

    def remove(self) -> None:
        """Count an answer."""
        self._n_calls -= 1
        if self._n_calls <= 0:
            self._is_idle.set()

    async def wait(self, seconds: float) -> None:
        """Wait until all calls have been answered, but at most a few seconds."""
        with anyio.move_on_after(seconds):
            await self._is_idle.wait()


class CallReceiver(ObjectReceiveStream[_Item]):
    """Messages from the client; the stream ends only after all calls have been answered."""

    def __init__(
        self, stream: ObjectReceiveStream[_Item], pending: PendingCalls, patience: float
    ) -> None:
        self._stream, self._pending, self._patience = stream, pending, patience

    async def receive(self) -> _Item:
        """Return the next message, or an error for a line that isn't a message."""
        try:
            item = await self._stream.receive()
        except anyio.EndOfStream:
            await self._pending.wait(self._patience)
            raise
        if isinstance(item, SessionMessage) and isinstance(item.message, types.JSONRPCRequest):
            self._pending.add()
        return item

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()


class AnswerSender(ObjectSendStream[SessionMessage]):
    """Messages to the client."""

    def __init__(self, stream: ObjectSendStream[SessionMessage], pending: PendingCalls) -> None:
        self._stream, self._pending = stream, pending

    async def send(self, item: SessionMessage) -> None:
        """Send a message."""
        await self._stream.send(item)
        if isinstance(item.message, types.JSONRPCResponse | types.JSONRPCError):
            self._pending.remove()

    async def aclose(self) -> None:
        """Close the stream."""
        await self._stream.aclose()
