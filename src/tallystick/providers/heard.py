"""The newest answer of a provider, byte for byte, for whoever explains the outcome of a call.

The connection notes each answer as it reads it, whatever connector or SDK asked. Nothing is copied before somebody
wants it: a call whose outcome explains itself costs a reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from tallystick.domain.provider_answer import READ_BYTES, WINDOW_BYTES, AskedFor, HeardAnswer

#: Statuses from here on are errors (RFC 9110): such an answer gives nothing that was asked for.
FIRST_ERROR: Final = 400

#: Headers that say who answered, when, and about which request. All others are left out: what a header may hold is its
#: sender's choice, and cookies and addresses let whoever has them in.
SAFE_HEADERS: Final = (
    "content-type",
    "date",
    "server",
    "via",
    "retry-after",
    "request-id",
    "x-request-id",
    "pspreference",
    "transient-error",
    "idempotent-replayed",
    "stripe-version",
    "acquirer-version",
)


class Hearing:
    """What was heard during one call or look-up, which may be several requests: the answer to the last one."""

    __slots__ = ("_body", "_ended", "_headers", "status")

    def __init__(self) -> None:
        self.status: int | None = None  # None: no answer
        self._headers: Mapping[str, str] = {}
        self._body = bytearray()
        self._ended = False

    def begins(self, status: int, headers: Mapping[str, str], body: bytearray) -> None:
        """An answer begins; ``body`` grows while it is read."""
        self.status, self._headers, self._body, self._ended = status, headers, body, False

    def ends(self) -> None:
        """It was read to its end."""
        self._ended = True

    def forget(self) -> None:
        """Of the next request nothing is heard yet; or what was heard is about others too, and is not kept."""
        self.status = None

    def answer(self, asked: AskedFor) -> HeardAnswer | None:
        """The answer, as far as it was read; None where there was none."""
        if self.status is None:
            return None
        size = len(self._body)
        return HeardAnswer(
            asked=asked,
            status=self.status,
            headers={name: self._headers[name] for name in SAFE_HEADERS if name in self._headers},
            body=bytes(self._body if size <= READ_BYTES else self._body[:WINDOW_BYTES]),
            size_bytes=size,
            ended=self._ended,
        )


_hearing: ContextVar[Hearing | None] = ContextVar("provider_hearing", default=None)


@contextmanager
def heard_answers() -> Iterator[Hearing]:
    """What is answered to requests that are made inside, also by tasks that are begun there."""
    hearing = Hearing()
    token = _hearing.set(hearing)
    try:
        yield hearing
    finally:
        _hearing.reset(token)


def hearing() -> Hearing:
    """The one of this context; where nobody listens, one that nobody asks."""
    return _hearing.get() or Hearing()


@contextmanager
def about_others_too() -> Iterator[None]:
    """A list, whose objects may be other payments' and other merchants': an answer that gives it is not kept, whatever
    becomes of it. An error is."""
    try:
        yield
    finally:
        heard = hearing()
        if heard.status is not None and heard.status < FIRST_ERROR:
            heard.forget()
