"""Types of the JSON that clients read and write. Each has its description, its constraints and an example, which the
OpenAPI document shows; reading and writing JSON is the same with and without them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from msgspec import Meta

from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.provider_event_state import EVENT_STATES

#: The part of every id in the examples that comes after its prefix.
_EXAMPLE_DIGITS: Final = "0198f3c2a1b47c6d8e9fa0b1c2d3e4f5"

#: The time in the examples.
EXAMPLE_TIME: Final = "2026-11-26T09:30:00Z"


def described(description: str, *examples: Any, **constraints: Any) -> Meta:
    """What a field means, in Markdown, with examples of it. ``constraints`` are JSON Schema's, for values that we
    write: nothing checks them."""
    return Meta(
        description=description, examples=list(examples) or None, extra_json_schema=constraints if constraints else None
    )


def id_pattern(prefix: str) -> str:
    """The pattern of ids with this prefix, for JSON Schema."""
    return f"^{prefix}_[0-9a-f]{{32}}$"


def example_id(prefix: str) -> str:
    """The id with this prefix in the examples."""
    return f"{prefix}_{_EXAMPLE_DIGITS}"


def _id_of(prefix: str, description: str) -> Meta:
    return described(description, example_id(prefix), pattern=id_pattern(prefix))


PaymentId = Annotated[str, _id_of("pay", "The payment's id.")]
RefundId = Annotated[str, _id_of("re", "The refund's id.")]
DisputeId = Annotated[str, _id_of("dp", "The dispute's id.")]
EventId = Annotated[str, _id_of("evt", "The id of the provider's event.")]
MessageId = Annotated[str, _id_of("msg", "The message's id, which every delivery of it has as `webhook-id`.")]
TestMessageId = Annotated[str, _id_of("tst", "The test message's id, which it has as `webhook-id`.")]
WebhookEndpointId = Annotated[str, _id_of("we", "The webhook endpoint's id.")]
RequestId = Annotated[str, _id_of("req", "The request's id; quote it to support.")]
AnySubjectId = Annotated[
    str,
    described(
        "The id of the subject: a payment, an attempt, a refund or a dispute.",
        example_id("pay"),
        pattern="^[a-z]+_[0-9a-f]{32}$",
    ),
]

#: A point in time, in RFC 3339 with its offset.
Time = Annotated[datetime, Meta(tz=True, examples=[EXAMPLE_TIME])]

Hour = Annotated[Time, described("When the hour began.", "2026-11-26T09:00:00Z")]

#: Minor units of the currency.
Amount = Annotated[int, described("In the currency's minor unit.", 0, minimum=0)]
AmountMoved = Annotated[int, described("In the currency's minor unit.", 1250, minimum=1)]
Currency = Annotated[str, described("The currency's ISO 4217 code.", "EUR", enum=sorted(EXPONENTS))]

Count = Annotated[int, described("How many.", 1, minimum=0)]
Version = Annotated[int, described("The number of the step that led to this state, from 1.", 3, minimum=1)]
CreatedAt = Annotated[Time, described("When it was created.")]
UpdatedAt = Annotated[Time, described("When its last step was recorded.", "2026-11-26T09:30:02Z")]

ProviderName = Annotated[str, described("The provider's name, as configured.", "simulator")]
AccountName = Annotated[str, described("The provider's account, as configured.", "default")]
ProviderReference = Annotated[str, described("The provider's own name for it.", "ch_8f2d41")]
Actor = Annotated[str, described("Who did it: a key, a person or a part of the platform.", "key:k_shop")]

ProviderEventId = Annotated[str, described("The provider's own id of the event.", "ev_5d1f")]
EventType = Annotated[str, described("Its type, as the provider names it.", "charge.captured")]
TakenBy = Annotated[
    str | None,
    described("Who looks at it: took it or was handed it, as acts name them; null: nobody.", "operator:grace"),
]
StateOfEvent = Annotated[
    str,
    described("The disposition of its last try; `received` before the first one.", "applied", enum=EVENT_STATES),
]
MerchantOfEvent = Annotated[
    str | None, described("The merchant whose payment it is about; null while that is not known.", "shop")
]
PaymentOfEvent = Annotated[
    PaymentId | None, described("The payment that it is about; null while that is not known.", example_id("pay"))
]

HasMore = Annotated[bool, described("Whether a later page has more.", False)]
NextCursor = Annotated[
    str | None, described("The `cursor` of the next page; null exactly where there is no more.", None)
]

MessagesAsOf = Annotated[
    Time,
    described(
        "Messages that were written until then are listed; of later ones some may be missing. One whose step was just"
        " being committed may be some seconds older, and a minute where the database was away."
    ),
]

EventsAsOf = Annotated[
    Time,
    described("Events that came until then were processed, or tried at least once. Later ones may still wait."),
]
