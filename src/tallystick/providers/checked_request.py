"""A last check before an HTTP request is written: when the connection is in hand, and nothing is left but the write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from aiohttp.client_reqrep import ClientRequest, ClientResponse
from aiohttp.connector import Connection

#: Raises where the request must not be written to this connection.
Check = Callable[[Connection], None]

#: Without a default: a request that nobody set a check for is a defect, and is not written.
_check: ContextVar[Check] = ContextVar("check_before_write")


class CheckedRequest(ClientRequest):
    """Runs the check of its context right before the first byte is written. A process that froze while it waited for
    a connection finds out here that its time is over."""

    async def send(self, conn: Connection) -> ClientResponse:
        """Check, then write. Raises what the check raises."""
        _check.get()(conn)
        return await super().send(conn)


@contextmanager
def checked_before_write(check: Check) -> Iterator[None]:
    """Requests made inside run ``check`` before they are written, where their session uses ``CheckedRequest``."""
    token = _check.set(check)
    try:
        yield
    finally:
        _check.reset(token)
