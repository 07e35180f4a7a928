"""A developer's relay: reads a merchant's messages from the API, and forwards them to a server on this machine, signed.

The platform connects to nothing private: the relay asks for messages with the merchant's own key. The list is in the
order in which messages were written, and a message that is dispatched late appears before its end. So the relay reads
again what is a little older than the newest message that it has, and from time to time what is much older, and drops
the messages that it knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
import msgspec
from msgspec import Struct
from yarl import URL

from tallystick import __version__
from tallystick.domain.errors import TallystickError
from tallystick.flows.webhooks.outbound.client import NEVER_TOO_LATE, DeliveryResult, EndpointClient
from tallystick.flows.webhooks.outbound.signing import VERSION_HEADER, signed_headers
from tallystick.kit.clock import utc_now
from tallystick.kit.retry_after import retry_after_ms

#: Between two reads: soon enough to watch, and one request a second.
POLL_S: Final = 1.0

#: Each read begins so long before the newest message that is known: longer than a commit or a worker's round takes, and
#: than two clocks differ by.
NEAR: Final = timedelta(minutes=1)

#: One read in so many begins so much earlier: for what a worker that was stuck dispatches late.
FAR: Final = timedelta(hours=1)
FAR_EVERY: Final = 60

#: The longest pause that an API which is too busy may ask for.
PAUSE_LIMIT_MS: Final = 60_000

#: Messages on a page: the most that the API gives.
_PAGE: Final = 100


class Message(Struct, frozen=True):
    """One message as ``GET /v1/messages`` lists it."""

    id: str
    type: str
    created_at: datetime
    body: str


class _Page(Struct, frozen=True):
    data: list[Message]
    next_cursor: str | None


class _Problem(Struct, frozen=True):
    code: str = ""
    detail: str = ""


_PAGES: Final = msgspec.json.Decoder(_Page)
_PROBLEMS: Final = msgspec.json.Decoder(_Problem)


class ApiRefused(TallystickError):
    """The API does not give the messages, and will not do so later."""


class ApiAway(TallystickError):
    """The API cannot be reached, or is too busy. ``wait_s``: how long it asked to wait."""

    def __init__(self, why: str, wait_s: float = POLL_S) -> None:
        super().__init__(why)
        self.wait_s = wait_s


class MessageList:
    """``GET /v1/messages`` of one API with one key. Make it inside a running event loop, and close it."""

    def __init__(self, address: str, api_key: str, *, timeout_s: float = 30.0) -> None:
        self._address = address.rstrip("/")
        self._session = aiohttp.ClientSession(
            headers={"Authorization": f"Bearer {api_key}", "User-Agent": f"Tallystick/{__version__}"},
            timeout=aiohttp.ClientTimeout(total=timeout_s),
        )
        #: What the latest answer said: the version that messages are in, and the API's time.
        self.version = ""
        self.answered_at: datetime | None = None

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()

    async def ask(self, moment: datetime) -> None:
        """See whether the API answers. Raises ApiRefused and ApiAway."""
        await self._page(moment, None)

    async def since(self, moment: datetime) -> AsyncIterator[Message]:
        """What was written at ``moment`` or later, oldest first. Raises ApiRefused and ApiAway."""
        cursor: str | None = None
        while True:
            page = await self._page(moment, cursor)
            for message in page.data:
                yield message
            if (cursor := page.next_cursor) is None:
                return

    async def _page(self, moment: datetime, cursor: str | None) -> _Page:
        asked = {"created_gte": moment.isoformat(), "limit": str(_PAGE)} | ({"cursor": cursor} if cursor else {})
        url = URL(f"{self._address}/v1/messages").with_query(asked)
        try:
            # A redirect would take the key to another host.
            async with self._session.get(url, allow_redirects=False) as answer:
                raw = await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            raise ApiAway(f"cannot reach the API at {self._address} ({type(error).__name__})") from None
        if answer.status != 200:
            raise self._refusal(answer, raw)
        try:
            page = _PAGES.decode(raw)
        except msgspec.MsgspecError:
            raise ApiRefused(f"what answers at {self._address} is not the API of Tallystick") from None
        self.version = answer.headers.get(VERSION_HEADER, "")
        self.answered_at = _moment(answer.headers.get("Date"))
        return page

    def _refusal(self, answer: aiohttp.ClientResponse, raw: bytes) -> TallystickError:
        try:
            problem = _PROBLEMS.decode(raw)
        except msgspec.MsgspecError:
            problem = _Problem()
        why = f"{self._address} answered {answer.status} {problem.code}: {problem.detail}".rstrip(": ")
        if answer.status != 429 and answer.status < 500:
            return ApiRefused(why)
        asked_ms = retry_after_ms(answer.headers.get("Retry-After"), utc_now(), limit_ms=PAUSE_LIMIT_MS)
        return ApiAway(why, POLL_S if asked_ms is None else asked_ms / 1_000)


class Forwarded(Struct, frozen=True):
    """A message, and what came of it."""

    message: Message
    result: DeliveryResult


class Relay:
    """Forwards each message once, in the order of the list. ``since``: from when on; None for what is listed from now
    on. ``say`` gets each message that was forwarded, and ``note`` gets what a person should know of the API."""

    def __init__(
        self,
        messages: MessageList,
        client: EndpointClient,
        *,
        forward_to: str,
        secret: str,
        since: datetime | None,
        say: Callable[[Forwarded], None],
        note: Callable[[str], None],
        poll_s: float = POLL_S,
    ) -> None:
        self._messages = messages
        self._client = client
        self._forward_to = forward_to
        self._secret = secret
        self._since = since
        self._say = say
        self._note = note
        self._poll_s = poll_s
        self._known: dict[str, datetime] = {}  # id -> when it was written
        self._rounds = 0
        #: Nothing that was written before it is read; and when the newest message that is known was written.
        self._floor = self._newest = since or utc_now()

    async def begin(self) -> None:
        """Look at what is there already, which is not forwarded unless it was asked for. Raises ApiRefused and
        ApiAway."""
        await self._messages.ask(self._floor)
        if self._since is None:  # this clock may be ahead of the API's
            self._newest = min(self._newest, self._messages.answered_at or self._newest)
            self._floor = self._newest - NEAR
            async for message in self._messages.since(self._floor):
                self._keep(message)

    async def round(self) -> int:
        """Forward what is new. Returns how much that was. Raises ApiRefused and ApiAway."""
        back = FAR if self._rounds % FAR_EVERY == FAR_EVERY - 1 else NEAR
        found = 0
        async for message in self._messages.since(max(self._floor, self._newest - back)):
            if message.id not in self._known:
                self._keep(message)
                self._say(Forwarded(message, await self._forward(message)))
                found += 1
        self._rounds += 1
        # No later read begins before this.
        self._known = {name: at for name, at in self._known.items() if at >= self._newest - FAR}
        return found

    async def run(self) -> None:
        """Forward until this task is cancelled. Raises ApiRefused."""
        away = False
        while True:
            pause_s = self._poll_s
            try:
                await self.round()
                if away:
                    self._note("The API answers again.")
                away = False
            except ApiAway as error:
                if not away:
                    self._note(f"{error}. Trying again until it answers.")
                away, pause_s = True, max(self._poll_s, error.wait_s)
            await asyncio.sleep(pause_s)

    def _keep(self, message: Message) -> None:
        self._known[message.id] = message.created_at
        self._newest = max(self._newest, message.created_at)

    async def _forward(self, message: Message) -> DeliveryResult:
        now, body = utc_now(), message.body.encode()
        headers = {**signed_headers(message.id, now, body, [self._secret]), VERSION_HEADER: self._messages.version}
        return await self._client.send(self._forward_to, headers, body, write_by_ms=NEVER_TOO_LATE, now=now)


def _moment(date: str | None) -> datetime | None:
    """The time of a ``Date`` header."""
    try:
        found = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else None
