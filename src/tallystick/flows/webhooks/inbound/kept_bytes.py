"""The kept bytes of an event, opened and read with today's code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from tallystick.domain.notices import Unreadable
from tallystick.flows.provider_words import ProviderWords
from tallystick.flows.webhooks.inbound.envelope import (
    KEPT_WITH,
    Envelope,
    envelope_of,
    item_digest_of,
    unsealed_part,
)
from tallystick.flows.webhooks.inbound.intake import stored_notice
from tallystick.providers.receiver import Notification, Receiver, Unparseable, name_by_digest
from tallystick.record.next_action_seal import ActionSeal
from tallystick.record.postgres.inbox import Inbox
from tallystick.record.postgres.inbox_rows import EventName, ReadAgain
from tallystick.record.sealing import SealBroken, Sealer, delivery_row


class NotReadable(Exception):
    """Why an event cannot be read again. The text never repeats what was sent."""


class KeptEvent(Protocol):
    """What an event is found by."""

    @property
    def provider(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def provider_event_id(self) -> str: ...
    def name(self) -> EventName:
        """Its primary key."""


class KeptBytes:
    """Reads kept events again. ``receivers``: by provider and account."""

    def __init__(
        self, inbox: Inbox, receivers: Mapping[tuple[str, str], Receiver], sealer: Sealer, words: ProviderWords
    ) -> None:
        self._inbox = inbox
        self._receivers = receivers
        self._sealer = sealer
        self._words = words

    async def envelope(self, event: KeptEvent, received_at: datetime) -> Envelope:
        """What the event's bytes say by today's code. Raises NotReadable."""
        receiver = self._receivers.get((event.provider, event.account))
        if receiver is None:
            raise NotReadable(f"webhooks of {event.provider}/{event.account} are not configured here")
        headers, body = await self._kept(event)
        try:
            read = receiver.translate(body)
        except Unparseable as error:
            raise NotReadable(str(error)) from None
        found = [each for each in read if event.provider_event_id in self._names(event.provider, each, body)]
        if not found and len(read) == 1 and isinstance(read[0].notice, Unreadable):
            raise NotReadable(f"it cannot be read: {read[0].notice.reason}")
        if not found:
            raise NotReadable("the kept bytes have no such event any more")
        return envelope_of(receiver, found[0], body, headers, received_at, self._words)

    def _names(self, provider: str, notification: Notification, body: bytes) -> tuple[str, ...]:
        """The provider's name for an event, as it is kept and as an earlier release kept it; and the one that it has
        where it could not be read."""
        name = notification.provider_event_id
        return name, self._words.kept_name(name, provider), name_by_digest(item_digest_of(notification, body))

    async def _kept(self, event: KeptEvent) -> tuple[Mapping[str, str], bytes]:
        """Headers and body of the event's first arrival. Those of several events in one delivery are kept once."""
        deliveries = await self._inbox.deliveries(event.name())
        first = next((each for each in deliveries if each.result == "first"), None)
        if first is None:
            raise NotReadable("its bytes are not there")
        return await opened_arrival(self._inbox, self._sealer, event.name(), first.delivery_id)


async def opened_arrival(
    inbox: Inbox, sealer: Sealer, name: EventName, delivery_id: str
) -> tuple[Mapping[str, str], bytes]:
    """Headers and body of one arrival of an event. Those of several events in one delivery are kept once. Raises
    NotReadable."""
    sealed = await inbox.sealed(name, delivery_id)
    if sealed is None:
        raise NotReadable("its bytes are not there")
    headers, body = _opened(sealer, name, delivery_id, sealed)
    elsewhere = headers.get(KEPT_WITH)
    if elsewhere is None or body:  # with a body of its own it is a header that somebody sent
        return headers, body
    provider, account, _ = name
    kept = await inbox.delivery_named(provider, account, elsewhere)
    if kept is None:
        raise NotReadable(f"its bytes are kept with {elsewhere}, which is not there")
    return _opened(sealer, kept[0], elsewhere, kept[1])


def _opened(sealer: Sealer, name: EventName, delivery_id: str, sealed: bytes) -> tuple[Mapping[str, str], bytes]:
    if not sealed:
        raise NotReadable("its bytes are erased")
    try:
        return unsealed_part(sealer.open(sealed, delivery_row(*name, delivery_id)))
    except SealBroken as error:
        raise NotReadable(f"its bytes cannot be opened: {error}") from None


def read_again_of(name: EventName, event_id: str, envelope: Envelope, actions: ActionSeal) -> ReadAgain:
    """What is stored of an event that was read again. Of the envelope that was made for it only what its bytes say."""
    return ReadAgain(
        name=name,
        type=envelope.type,
        occurred_at=envelope.occurred_at,
        notice=None if envelope.notice is None else stored_notice(actions.notice(envelope.notice, event_id)),
        charge_reference=envelope.charge_reference,
        merchant_id=envelope.merchant_id,
        payment_id=envelope.payment_id,
        mark=envelope.mark,
    )
