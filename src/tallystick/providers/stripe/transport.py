"""The SDK's requests over our own connections, under the sender's deadline."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

import stripe
from yarl import URL

from tallystick.providers.http import ProviderHttp

#: Until when the call that is under way in this task may write to its socket; None for a question.
SEND_BY_MS: Final[ContextVar[int | None]] = ContextVar("stripe_send_by_ms", default=None)


class Transport(stripe.HTTPClient):
    """The SDK's requests over our connections. Raises NothingSent and SentUnanswered through the SDK."""

    name = "tallystick"

    def __init__(self, http: ProviderHttp) -> None:
        super().__init__()
        self._http = http

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """One request, once. Of the answer's headers the SDK gets only the one that support asks for."""
        body = post_data.encode() if isinstance(post_data, str) else post_data
        answer = await self._http.exchange(
            method.upper(), URL(url, encoded=True), headers=headers, body=body, send_by_ms=SEND_BY_MS.get()
        )
        request_id = answer.headers.get("request-id")
        return answer.body, answer.status, {} if request_id is None else {"request-id": request_id}
