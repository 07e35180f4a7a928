"""A developer's relay: reads a merchant's messages from the API, and forwards them to a server on this machine, signed.

The platform connects to nothing private: the relay asks for messages with the merchant's own key. The list is in the
order in which messages were written, and a message that is dispatched late appears before its end. Each page says until
when the list is whole (``as_of``). So the relay reads again from there on, however long ago that is, and drops the
messages that it knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
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

#: How long before ``as_of`` a message may have been written that is not in the list yet: what became of a call is tried
#: for a minute while the database is away (``journal_commit_timeout_ms``), and one transaction longer.
COMMITTED_WITHIN: Final = timedelta(minutes=2)

#: As many ids are remembered, some 15 MB. Only behind a message that is stuck are so many listed.
KNOWN_LIMIT: Final = 100_000

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


class Page(Struct, frozen=True):
    """A page of ``GET /v1/messages``, oldest first. ``as_of``: what was written until then is listed."""

    data: list[Message]
    next_cursor: str | None
    as_of: datetime


class _Problem(Struct, frozen=True):
    code: str = ""
    detail: str = ""


_PAGES: Final = msgspec.json.Decoder(Page)
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
        #: The version that messages are in, as the latest answer said.
        self.version = ""

    async def close(self) -> None:
        """Close the connection."""
        await self._session.close()

    async def page(self, moment: datetime, cursor: str | None = None) -> Page:
        """A page of what was written at ``moment`` or later. Raises ApiRefused and ApiAway."""
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
        return page

    def _refusal(self, answer: aiohttp.ClientResponse, raw: bytes) -> TallystickError:
        try:
            problem = _PROBLEMS.decode(raw)
        except msgspec.MsgspecError:
            problem = _Problem()
        why = f"{self._address} answered {answer.status} {problem.code}: {problem.detail}".rstrip(": ")
        if answer.status != 429 and answer.status < 500 and not problem.code:
            return ApiRefused(f"what answers at {self._address} is not the API of Tallystick: {answer.status}")
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
        self._say = say
        self._note = note
        self._poll_s = poll_s
        self._since = since
        #: What was written before it is forwarded, or was not asked for; and the ids since then: when each was written.
        self._floor = since or utc_now()
        self._known: dict[str, datetime] = {}
        #: Where the reading under way goes on, which may have been broken off; and until when the list was whole as it
        #: began.
        self._cursor: str | None = None
        self._whole_until = self._floor
        self._warned = False

    async def begin(self) -> None:
        """Look at what is there already, which is not forwarded unless it was asked for. Raises ApiRefused and
        ApiAway."""
        page, cursor = await self._messages.page(self._floor), None
        if self._since is not None:
            return
        self._floor = page.as_of - COMMITTED_WITHIN
        while True:
            page = await self._messages.page(self._floor, cursor)
            self._known |= {message.id: message.created_at for message in page.data}
            if len(self._known) > KNOWN_LIMIT:  # of what is older, only what is written from now on would come
                self._forget(page.data[-1].created_at)
            if (cursor := page.next_cursor) is None:
                return

    async def round(self) -> int:
        """Read to the end of the list, and forward what is new; where the API was away in the middle, from there on.
        Returns how much that was. Raises ApiRefused and ApiAway."""
        found = 0
        while True:
            page = await self._messages.page(self._floor, self._cursor)
            if self._cursor is None:
                self._whole_until = page.as_of - COMMITTED_WITHIN
            for message in page.data:
                if message.id in self._known:
                    continue
                if len(self._known) >= KNOWN_LIMIT and message.created_at >= self._whole_until:
                    self._warn(page.as_of)
                    self._cursor = None
                    self._forget(min(self._whole_until, message.created_at))
                    return found
                self._known[message.id] = message.created_at
                self._say(Forwarded(message, await self._forward(message)))
                found += 1
            self._cursor = page.next_cursor
            if self._cursor is None:
                self._forget(self._whole_until)
                return found
            self._forget(min(self._whole_until, page.data[-1].created_at))

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

    def _warn(self, as_of: datetime) -> None:
        if not self._warned:
            self._note(f"A message of {as_of.isoformat()} is not dispatched yet, and too many later ones are: waiting.")
        self._warned = True

    def _forget(self, before: datetime) -> None:
        """No later reading begins before this. It never goes back: what is forgotten would be forwarded again."""
        self._floor = max(self._floor, before)
        self._known = {name: at for name, at in self._known.items() if at >= self._floor}

    async def _forward(self, message: Message) -> DeliveryResult:
        now, body = utc_now(), message.body.encode()
        headers = {**signed_headers(message.id, now, body, [self._secret]), VERSION_HEADER: self._messages.version}
        return await self._client.send(self._forward_to, headers, body, write_by_ms=NEVER_TOO_LATE, now=now)
