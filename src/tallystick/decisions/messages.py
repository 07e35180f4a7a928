"""Messages to merchants. Pure.

A message shows its subject as of the step that it reports, never as of a newer or an older one: it is written in the
same change. A change sends at most one message for each subject: of its last edge that has a message.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from msgspec import UNSET, Raw, Struct, UnsetType

from tallystick.domain.api_keys import KeyKind
from tallystick.domain.api_versions import VERSIONS
from tallystick.domain.change import Message
from tallystick.domain.json_types import MessageId, PaymentId, TestMessageId, Time, WebhookEndpointId, described
from tallystick.domain.kinds import KINDS, PAYMENT_KIND, kind_of
from tallystick.domain.subjects import Subject
from tallystick.domain.views import encode
from tallystick.kit.ids import derived_id

#: How the id of a payment's stream begins.
_OF_PAYMENT: Final = f"{PAYMENT_KIND.id_prefix}_"


class Step(Struct, frozen=True):
    """One step with a message: the message's type, and the subject after it."""

    type: str
    subject: Subject


class MessageBody(Struct, frozen=True, kw_only=True):
    """The body of a delivery."""

    id: MessageId
    type: Annotated[str, described("The step that it reports.")]
    timestamp: Annotated[Time, described("When the step was recorded.")]
    payment_id: (
        Annotated[PaymentId, described("The payment whose messages it belongs to; absent where the subject has none.")]
        | UnsetType
    ) = UNSET
    version: Annotated[
        int,
        described(
            "The payment's version: it orders the payment's messages, with gaps. Without a `payment_id`, the version of"
            " what `data` shows.",
            3,
            minimum=1,
        ),
    ]
    key_kind: (
        Annotated[
            KeyKind,
            described(
                "What uses the API key whose instruction led to it; absent where none did, as with a provider's own"
                " event.",
                "service",
            ),
        ]
        | UnsetType
    ) = UNSET
    traceparent: (
        Annotated[
            str,
            described(
                "The trace of the request that led to it, as W3C Trace Context has it; absent where that had none.",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            ),
        ]
        | UnsetType
    ) = UNSET
    data: Annotated[Raw, described("The subject as of this version.")]


#: The type of a test message. No kind of subject has this name, so that no message about one looks like it.
TEST_TYPE: Final = "webhook_endpoint.test"


class EndpointUnderTest(Struct, frozen=True, kw_only=True):
    """What a test message is about."""

    webhook_endpoint_id: WebhookEndpointId
    note: Annotated[str, described("For people.", "A test message. It reports nothing that happened.")]


class WebhookEndpointTestMessage(Struct, frozen=True, kw_only=True):
    """A test message: what an endpoint gets on request. It reports nothing that happened, and has neither a payment
    nor a version."""

    id: TestMessageId
    type: Annotated[str, described("That it is a test message.", const=TEST_TYPE)]
    timestamp: Annotated[Time, described("When it was asked for.")]
    data: Annotated[EndpointUnderTest, described("The endpoint that was tested.")]


def body_of_test(message_id: str, at: datetime, endpoint_id: str) -> bytes:
    """The body of a test message."""
    note = "A test message. It reports nothing that happened."
    tested = EndpointUnderTest(webhook_endpoint_id=endpoint_id, note=note)
    return encode(WebhookEndpointTestMessage(id=message_id, type=TEST_TYPE, timestamp=at, data=tested))


def message_types() -> list[str]:
    """Every type of message, sorted."""
    return sorted({edge.told for kind in KINDS.values() for _, _, edge in kind.machine.live_edges() if edge.told})


def shown_by(message_type: str) -> type[Struct] | None:
    """The type of a message's data: ``refund.succeeded`` shows a refund."""
    kind = KINDS.get(message_type.partition(".")[0])
    return None if kind is None else kind.shown_as


class ShownSubjects:
    """Subjects as merchants see them, in JSON. An answer and a message of one change often show the same version, which
    is then rendered once."""

    def __init__(self) -> None:
        self._last: tuple[Subject, bytes] | None = None

    def encoded(self, subject: Subject) -> bytes:
        """The subject's view. Raises LookupError for a kind that has none: an edge of it cannot be told."""
        if self._last is not None and self._last[0] is subject:
            return self._last[1]
        kind = kind_of(subject)
        if kind.view is None:
            raise LookupError(f"{kind.name}: an edge is told, and the kind has no view")
        body = encode(kind.view(subject))
        self._last = (subject, body)
        return body


def id_of_message(change_id: str, subject_id: str) -> str:
    """The id of the message about what a change did to a subject."""
    return derived_id("msg", change_id, subject_id)


def message_of(
    step: Step,
    head: Subject,
    change_id: str,
    at: datetime,
    shown: ShownSubjects,
    key_kind: KeyKind | None,
    traceparent: str | None,
) -> Message:
    """The message of one step. ``head`` is the stream's own subject as the change leaves it; ``key_kind`` and
    ``traceparent`` are of the instruction that led to it.

    Raises LookupError for a kind without a view: its edges cannot have messages.
    """
    subject_id, stream_id = kind_of(step.subject).id_of(step.subject), kind_of(head).id_of(head)
    message_id = id_of_message(change_id, subject_id)
    return Message(
        merchant_id=head.merchant_id,
        stream_id=stream_id,
        version=head.version,
        message_id=message_id,
        type=step.type,
        subject_id=subject_id,
        body=body_of(
            message_id, step.type, at, stream_id, head.version, key_kind, traceparent, shown.encoded(step.subject)
        ),
        at=at,
        api_version=VERSIONS.newest_stored,
        key_kind=key_kind,
        traceparent=traceparent,
    )


def body_of(
    message_id: str,
    type_: str,
    at: datetime,
    stream_id: str,
    version: int,
    key_kind: KeyKind | None,
    traceparent: str | None,
    data: bytes,
) -> bytes:
    """A message's body as it is sent. ``data``: the subject's view in JSON."""
    body = MessageBody(
        id=message_id,
        type=type_,
        timestamp=at,
        payment_id=stream_id if stream_id.startswith(_OF_PAYMENT) else UNSET,
        version=version,
        key_kind=UNSET if key_kind is None else key_kind,
        traceparent=UNSET if traceparent is None else traceparent,
        data=Raw(data),
    )
    return encode(body)


def messages_of(
    told: Sequence[Step],
    head: Subject | None,
    change_id: str,
    at: datetime,
    shown: ShownSubjects,
    key_kind: KeyKind | None,
    traceparent: str | None,
) -> tuple[Message, ...]:
    """The messages of one change, in the order of their kinds."""
    if head is None:  # no version of the stream, so no place in its order
        return ()
    if len(told) > 1:
        place = {name: number for number, name in enumerate(KINDS)}
        told = sorted(told, key=lambda step: place[kind_of(step.subject).name])
    return tuple([message_of(step, head, change_id, at, shown, key_kind, traceparent) for step in told])
