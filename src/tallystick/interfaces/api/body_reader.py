"""Request bodies: bounded in size, in time and in sum, and complete or rejected."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any, Final

from litestar.types import Receive

from tallystick.domain.errors import problem
from tallystick.interfaces.api.problems import ProblemError, busy
from tallystick.interfaces.api.shared_timeout import SharedTimeout

_DIGITS: Final = re.compile(r"[0-9]{1,18}", re.ASCII)

#: While the rest of a body is still to come, the start of the next request on this connection is unknown.
_CLOSE: Final = (b"connection", b"close")

#: Sum over all incomplete bodies of a process. Anybody may send to the webhook endpoint; this is 128 bodies of the
#: largest size there, and thousands of payments.
UNDER_WAY_BYTES: Final = 128 * 1024 * 1024


class BodyReader:
    """Reads the bodies of one process."""

    def __init__(self, timeout_ms: int, under_way_bytes: int = UNDER_WAY_BYTES) -> None:
        self._timeout_ms = timeout_ms
        self._timeout = SharedTimeout(timeout_ms)
        self._most_bytes = under_way_bytes
        self._under_way_bytes = 0

    async def body(self, receive: Receive, declared_length: str, limit_bytes: int, request_id: str) -> bytes:
        """The whole body; ``declared_length`` is the Content-Length as it was sent, or nothing.

        Raises ProblemError: over ``limit_bytes``, not all here in time, too many under way, or the connection ended
        before it did. A truncated body is never taken for the whole: a partial refund might become a full one.
        """
        if _DIGITS.fullmatch(declared_length) and int(declared_length) > limit_bytes:
            raise _too_large(limit_bytes, request_id)
        pieces: list[bytes] = []
        size, more = 0, True
        try:
            with self._timeout.started():
                while more and size <= limit_bytes:
                    message: Any = await receive()
                    if message["type"] == "http.disconnect":
                        detail = "The connection ended before the body did."
                        raise ProblemError(problem("body_incomplete", detail, request_id=request_id), _CLOSE)
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
                    self._under_way_bytes += len(pieces[-1])
                    more = message.get("more_body", False)
                    if more and self._under_way_bytes > self._most_bytes:
                        raise busy("overloaded", "Too many request bodies are being received.", request_id, _CLOSE)
        except TimeoutError:
            raise self._too_slow(request_id) from None
        finally:
            self._under_way_bytes -= size
        if size > limit_bytes:
            raise _too_large(limit_bytes, request_id)
        return b"".join(pieces)

    async def pieces(
        self, receive: Receive, declared_length: str, limit_bytes: int, request_id: str
    ) -> AsyncIterator[bytes]:
        """A body that is too large to be held, piece by piece: each one has to arrive in time. Raises ProblemError as
        ``body`` does."""
        if _DIGITS.fullmatch(declared_length) and int(declared_length) > limit_bytes:
            raise _too_large(limit_bytes, request_id)
        size, more = 0, True
        while more:
            try:
                with self._timeout.started():
                    message: Any = await receive()
            except TimeoutError:
                raise self._too_slow(request_id) from None
            if message["type"] == "http.disconnect":
                detail = "The connection ended before the body did."
                raise ProblemError(problem("body_incomplete", detail, request_id=request_id), _CLOSE)
            piece = message.get("body", b"")
            size += len(piece)
            if size > limit_bytes:
                raise _too_large(limit_bytes, request_id)
            more = message.get("more_body", False)
            yield piece

    def _too_slow(self, request_id: str) -> ProblemError:
        detail = f"The body must arrive within {self._timeout_ms} ms."
        return ProblemError(problem("request_timeout", detail, request_id=request_id), _CLOSE)


def _too_large(limit_bytes: int, request_id: str) -> ProblemError:
    return ProblemError(problem("body_too_large", f"Send at most {limit_bytes} bytes.", request_id=request_id))
