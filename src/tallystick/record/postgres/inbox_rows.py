"""What is read from the inbox: events on their way, as they are kept, and what became of them."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from tallystick.domain.marks import Mark

#: (provider, account, provider event id): the primary key, known from the bytes alone.
EventName = tuple[str, str, str]

#: (received at, our event id): the order of events in lists.
ListPosition = tuple[datetime, str]


class DueEvent(Struct, frozen=True):
    """An event to lease. ``fairness_key``: its merchant, or the provider's account where its bytes named none."""

    name: EventName
    fairness_key: str


class LeasedEvent(Struct, frozen=True, kw_only=True):
    """A due event, leased to us. ``tries``: ended tries since it arrived or was replayed. ``turn``: its place in the
    fair order, in milliseconds."""

    provider: str
    account: str
    provider_event_id: str
    event_id: str
    type: str
    charge_reference: str | None
    merchant_id: str | None
    payment_id: str | None
    mark: Mark | None
    traceparent: str | None
    notice: str | None
    tries: int
    replays: int
    turn: int
    lease: str
    api_version: str | None

    def name(self) -> EventName:
        """Its primary key."""
        return (self.provider, self.account, self.provider_event_id)


class StoredEvent(Struct, frozen=True, kw_only=True):
    """An event with its current state. ``notice``: what it was read as, as JSON; None where that is about no
    money. ``state`` is an ``EventState``, or the name of one that a newer release beside this one has written."""

    provider: str
    account: str
    provider_event_id: str
    event_id: str
    type: str
    received_at: datetime
    occurred_at: datetime | None
    charge_reference: str | None
    merchant_id: str | None
    payment_id: str | None
    traceparent: str | None
    state: str
    detail: str | None
    tries: int
    replays: int
    next_try_at: datetime | None
    api_version: str | None
    notice: str | None

    def name(self) -> EventName:
        """Its primary key."""
        return (self.provider, self.account, self.provider_event_id)


class DeliveryOfEvent(Struct, frozen=True, kw_only=True):
    """One arrival of an event."""

    delivery_id: str
    received_at: datetime
    validated_at: datetime
    recorded_at: datetime
    result: str


class TryOfEvent(Struct, frozen=True, kw_only=True):
    """One try at an event, or an operator's action."""

    number: int
    started_at: datetime
    ended_at: datetime
    result: str
    detail: str | None
    change_id: str | None
    actor: str | None


class PersistedStep(Struct, frozen=True, kw_only=True):
    """A step of history that an event's change wrote."""

    subject: str
    subject_id: str
    version: int
    from_state: str
    to_state: str
    event: str
    at: datetime


class EmittedMessage(Struct, frozen=True, kw_only=True):
    """A message about a version of a payment."""

    message_id: str
    type: str
    version: int
    at: datetime
    dispatched_at: datetime | None


class DeadEvent(Struct, frozen=True, kw_only=True):
    """A dead letter as stored. ``dead_for_ms`` is by the database's clock."""

    provider: str
    account: str
    provider_event_id: str
    event_id: str
    type: str
    received_at: datetime
    merchant_id: str | None
    payment_id: str | None
    detail: str | None
    tries: int
    replays: int
    closed_at: datetime
    dead_for_ms: int

    def name(self) -> EventName:
        """Its primary key."""
        return (self.provider, self.account, self.provider_event_id)

    def position(self) -> ListPosition:
        """Its position in the list of dead letters."""
        return (self.received_at, self.event_id)


class FiledEvent(Struct, frozen=True, kw_only=True):
    """A closed event that was looked at for reading it again. ``chosen``: it matches the filter; of the others only the
    position counts. ``notice`` is what its bytes were read as."""

    provider: str
    account: str
    provider_event_id: str
    event_id: str
    type: str
    state: str
    received_at: datetime
    charge_reference: str | None
    merchant_id: str | None
    payment_id: str | None
    mark: Mark | None
    notice: str | None
    chosen: bool

    def name(self) -> EventName:
        """Its primary key."""
        return (self.provider, self.account, self.provider_event_id)


class FiledFilter(Struct, frozen=True, kw_only=True):
    """Which closed events: of one type and one state; None matches every provider."""

    type: str
    state: str
    provider: str | None = None


class ReadAgain(Struct, frozen=True, kw_only=True):
    """What an event's kept bytes say by today's code."""

    name: EventName
    type: str
    occurred_at: datetime | None
    notice: str | None
    charge_reference: str | None
    merchant_id: str | None
    payment_id: str | None
    mark: Mark | None = None


class DeadLetterFilter(Struct, frozen=True, kw_only=True):
    """A filter of dead letters; None matches all."""

    provider: str | None = None
    type: str | None = None
    merchant_id: str | None = None
    dead_before: datetime | None = None

    def arguments(self) -> dict[str, str]:
        """What it names, as text."""
        named = {name: getattr(self, name) for name in self.__struct_fields__}
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in named.items()
            if value is not None
        }


class ForeignCount(Struct, frozen=True, kw_only=True):
    """Foreign events of one type and account."""

    provider: str
    account: str
    type: str
    events: int
    first_at: datetime
    last_at: datetime
