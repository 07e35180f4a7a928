"""A client's keep-alive connection for load: HTTP/1.1, one request under way, and of a response only status and length.

It shares the machine with what is measured, so it has to be cheap.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import cast


class LoadConnection(asyncio.Protocol):
    """Subclasses say what a response and a lost connection mean."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""

    @property
    def is_open(self) -> bool:
        """Whether something can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @abstractmethod
    def responded(self, status: bytes) -> None:
        """A response is complete; ``status`` has three digits."""

    @abstractmethod
    def connection_lost(self, exc: Exception | None) -> None:
        """From asyncio."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio: ready to write."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has its methods, and not its class

    def write(self, request: bytes) -> None:
        """Send one whole request."""
        assert self._transport is not None
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """From asyncio: a piece of a response."""
        buffer = self._buffer + data if self._buffer else data
        head_end = buffer.find(b"\r\n\r\n")
        if head_end < 0 or len(buffer) < head_end + 4 + _content_length(buffer[:head_end]):
            self._buffer = buffer
            return
        self._buffer = b""
        self.responded(buffer[9:12])


def _content_length(head: bytes) -> int:
    at = head.find(b"content-length: ")
    if at < 0:
        raise ValueError("a response without content-length")
    end = head.find(b"\r\n", at)
    return int(head[at + 16 : end if end >= 0 else None])
