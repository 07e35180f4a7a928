"""What a merchant may do with its endpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from tallystick.domain.errors import TallystickError
from tallystick.domain.operator_act import OperatorAct
from tallystick.flows.webhooks.outbound.address_policy import AddressPolicy
from tallystick.flows.webhooks.outbound.dispatch import Dispatch
from tallystick.flows.webhooks.outbound.signing import new_secret
from tallystick.kit.ids import new_id
from tallystick.record.postgres.webhook_endpoints import (
    DELIVERY_STATES,
    DeliveryRow,
    DeliveryTry,
    EndpointRow,
    EndpointStore,
)
from tallystick.record.sealing import Sealer, secret_row
from tallystick.settings.load import Settings

__all__ = [
    "BY_REQUEST",
    "DELIVERY_STATES",
    "DISABLED_REASONS",
    "FAILING",
    "GONE",
    "BacklogTooLong",
    "DeliveryRow",
    "DeliveryTry",
    "EndpointRow",
    "Endpoints",
    "Registered",
    "Rotated",
    "TooManyEndpoints",
    "UrlTaken",
    "address_policy",
]

#: Why an endpoint is disabled: by its merchant, by a 410, or because it failed for too long.
BY_REQUEST: Final = "by_request"
GONE: Final = "gone"
FAILING: Final = "failing"
DISABLED_REASONS: Final = (BY_REQUEST, GONE, FAILING)

#: Messages that one request may send again: seconds of work; the next request continues.
RESEND_LIMIT: Final = 1_000

#: What did not arrive. A message that arrives meanwhile is not sent again.
UNHEARD_STATES: Final = ("open", "exhausted", "canceled")

#: A conflicting endpoint may be deleted before it is read; if that happens twice, the limit is the reason.
_REGISTER_TRIES: Final = 2


class TooManyEndpoints(TallystickError):
    """The merchant has reached its limit of endpoints."""


class UrlTaken(TallystickError):
    """The merchant has an endpoint with this URL."""

    def __init__(self, endpoint_id: str) -> None:
        super().__init__("an endpoint with this URL exists")
        self.endpoint_id = endpoint_id


class BacklogTooLong(TallystickError):
    """The backlog is too long to be dispatched in one call; trying again continues it."""


class Registered(Struct, frozen=True):
    """A new endpoint's id and its secret, which is shown this once."""

    endpoint_id: str
    secret: str


class Rotated(Struct, frozen=True):
    """The new secret, shown this once, and until when the old one signs too."""

    secret: str
    previous_until: datetime


class ResendResult(Struct, frozen=True):
    """How many messages will be sent again, and whether there are more."""

    count: int
    more: bool


class Endpoints:
    """The rules of endpoints. All methods also raise what asyncpg raises."""

    def __init__(
        self, book: EndpointStore, dispatch: Dispatch, sealer: Sealer, policy: AddressPolicy, settings: Settings
    ) -> None:
        self._book = book
        self._dispatch = dispatch
        self._sealer = sealer
        self._policy = policy
        self._settings = settings

    async def register(
        self,
        merchant_id: str,
        *,
        url: str,
        event_types: Sequence[str] | None,
        description: str | None,
        actor: str,
        api_version: str | None = None,
    ) -> Registered:
        """Register an endpoint. It receives messages committed from now on, and none from before, in the version
        ``api_version``, as stored.

        Raises UrlRefused, UrlTaken, TooManyEndpoints, BacklogTooLong.
        """
        await self._policy.check(url)
        if not await self._dispatch.flush(merchant_id):
            raise BacklogTooLong("earlier messages are still being dispatched")
        endpoint_id, secret = new_id("we"), new_secret()
        for _ in range(_REGISTER_TRIES):
            if await self._book.register(
                merchant_id,
                endpoint_id,
                url=url,
                description=description,
                event_types=event_types,
                secret=self._sealed(merchant_id, endpoint_id, secret),
                limit=self._settings.outbound_endpoints_limit,
                api_version=api_version,
                actor=actor,
            ):
                return Registered(endpoint_id, secret)
            if (taken_by := await self._book.endpoint_at(merchant_id, url)) is not None:
                raise UrlTaken(taken_by)
        raise TooManyEndpoints(f"there are {self._settings.outbound_endpoints_limit} endpoints already")

    async def rotate(self, merchant_id: str, endpoint_id: str, overlap_ms: int | None, *, actor: str) -> Rotated:
        """A new secret. The previous one signs too for ``overlap_ms`` (None: the setting), so that the receiver can
        change over; 0 for a leaked one."""
        secret = new_secret()
        until = await self._book.rotate(
            merchant_id,
            endpoint_id,
            self._sealed(merchant_id, endpoint_id, secret),
            self._settings.outbound_secret_overlap_ms if overlap_ms is None else overlap_ms,
            actor=actor,
        )
        return Rotated(secret, until)

    async def resend_since(
        self,
        merchant_id: str,
        endpoint_id: str,
        since: datetime,
        *,
        actor: str,
        act_of: Callable[[ResendResult], OperatorAct] | None = None,
    ) -> ResendResult:
        """Send now everything dispatched since then that did not arrive: given up, missed while disabled, or waiting
        for its next try, with what it waits for. ``act_of``: an operator's act, recorded with it."""
        name = (merchant_id, endpoint_id)
        unheard = await self._book.unheard(*name, since, RESEND_LIMIT + 1)
        room = max(RESEND_LIMIT - len(unheard), 0)
        waiting = await self._book.waiting_since(*name, since, room + 1)
        chosen = [*unheard[:RESEND_LIMIT], *waiting[:room]]
        # A message is sent after the earlier ones of its stream: they are woken too, however old they are.
        before = await self._book.waiting_in_streams(*name, sorted({each.stream_id for each in chosen}))
        message_ids = sorted({*before, *(each.message_id for each in chosen)})
        more = len(unheard) > RESEND_LIMIT or len(waiting) > room

        def act_of_count(count: int) -> OperatorAct:
            assert act_of is not None, "asked where there is one"
            return act_of(ResendResult(count, more))

        own = None if act_of is None else act_of_count
        count = await self._book.resend(*name, message_ids, actor=actor, states=UNHEARD_STATES, act_of=own)
        return ResendResult(count, more)

    def _sealed(self, merchant_id: str, endpoint_id: str, secret: str) -> tuple[str, bytes]:
        secret_id = new_id("sec")
        return secret_id, self._sealer.seal(secret.encode(), secret_row(merchant_id, endpoint_id, secret_id))


def address_policy(settings: Settings) -> AddressPolicy:
    """The address policy by the settings."""
    return AddressPolicy(allow_private=settings.webhook_allow_private_addresses)
