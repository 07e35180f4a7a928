"""Checks on the instructions of one payment: one outcome each, one recorded answer, and a correct one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from operator import attrgetter, itemgetter
from typing import Any, Final

import msgspec

from tallystick.domain.api_versions import VERSIONS, ApiVersion
from tallystick.domain.kinds import kind_of
from tallystick.domain.lifecycles.attempt import ATTEMPT
from tallystick.domain.subjects import Attempt
from tallystick.domain.views import encode
from tallystick.oversight.invariants.finding import Finding
from tallystick.oversight.stored_json import object_in
from tallystick.record.postgres.payment_record import PaymentRecord
from tallystick.record.postgres.stream_record import RecordedAnswer

#: Status of an executed instruction's answer, and of a refused one's.
_EXECUTED = (200, 201)
_REFUSED = 409

#: Members of a recorded answer that must agree with history at the version that the answer names.
_AMOUNTS = (
    "amount",
    "amount_authorized",
    "amount_captured",
    "amount_refunded",
    "amount_refund_pending",
    "amount_reversed",
)
_COMPARED = ("state", "currency", *_AMOUNTS)

#: Python takes true for 1, and 1.0 too; no member that is compared is one of these.
_ALIKE: Final = frozenset({bool, float})

_SAID: Final = itemgetter(*_COMPARED)
_STORED: Final = attrgetter(*_COMPARED)

_ANSWER: Final = msgspec.json.Decoder(dict[str, Any])


def claimed_instructions_have_subject(record: PaymentRecord) -> Iterator[Finding]:
    """Each attempt and each rejection of a client belongs to a key that was claimed for this payment and subject."""
    for watched in record.attempts:
        attempt = watched.attempt
        key = attempt.idempotency_key
        if (key is None) != (attempt.purpose != "instruction"):
            yield Finding(attempt.attempt_id, f"is for {attempt.purpose} and has {'no' if key is None else 'a'} key")
        if key is None:
            continue
        answer = record.answers.get(key)
        subject_id = attempt.refund_id or attempt.payment_id
        if answer is None:
            yield Finding(attempt.attempt_id, f"is of key {key}, which was not claimed")
        elif (answer.payment_id, answer.subject_id) != (attempt.payment_id, subject_id):
            yield Finding(attempt.attempt_id, f"is of key {key}, which was claimed for {answer.subject_id}")
    for rejection in record.rejections:
        key = rejection.idempotency_key
        answer = record.answers.get(key) if key is not None else None
        if rejection.origin == "client" and (answer is None or answer.payment_id != rejection.stream_id):
            yield Finding(rejection.rejection_id, f"refused key {key}, which was not claimed for this payment")


def final_instructions_answered(record: PaymentRecord) -> Iterator[Finding]:
    """An instruction has its recorded answer as soon as its attempt is closed, and not before."""
    executed = set()
    for watched in record.attempts:
        attempt = watched.attempt
        answer = record.answers.get(attempt.idempotency_key or "")
        if answer is None:
            continue
        executed.add(answer.idempotency_key)
        yield from _answered(attempt, answer)
    for rejection in record.rejections:
        answer = record.answers.get(rejection.idempotency_key or "")
        if answer is not None and answer.idempotency_key not in executed and answer.status != _REFUSED:
            status = "no answer" if answer.status is None else f"answer {answer.status}"
            yield Finding(rejection.rejection_id, f"refused key {answer.idempotency_key}, which has {status}")
    for answer in record.answers.values():
        if answer.body is not None:
            yield from _truthful(record, answer)


def _answered(attempt: Attempt, answer: RecordedAnswer) -> Iterator[Finding]:
    closed = attempt.state in ATTEMPT.final
    if closed and answer.status is None:
        yield Finding(attempt.attempt_id, f"is {attempt.state}, and key {answer.idempotency_key} has no answer")
    elif not closed and answer.status is not None:
        yield Finding(attempt.attempt_id, f"is {attempt.state}, and key {answer.idempotency_key} is answered already")
    elif answer.status is not None and answer.status not in _EXECUTED:
        yield Finding(attempt.attempt_id, f"was executed, and key {answer.idempotency_key} has answer {answer.status}")


def _truthful(record: PaymentRecord, answer: RecordedAnswer) -> Iterator[Finding]:
    """The body is readable, names its subject, and agrees with history at that version."""
    body = object_in(answer.body or b"")
    if body is None:
        yield Finding(answer.subject_id, f"the answer of key {answer.idempotency_key} cannot be read")
        return
    version = VERSIONS.of_stored(answer.api_version)
    if version is not None and version is not VERSIONS.newest:
        yield from _truthful_in(version, record, answer, body)
        return
    if answer.status == _REFUSED:
        expected = (answer.status, "transition_rejected", answer.payment_id)
        if (body.get("status"), body.get("code"), body.get("payment_id")) != expected:
            yield Finding(answer.subject_id, f"the rejection of key {answer.idempotency_key} does not name its payment")
        return
    replay = record.replays.get(answer.subject_id)
    shown = body.get("version")
    state = replay.states.get(shown) if replay is not None and type(shown) is int else None
    if body.get("id") != answer.subject_id or state is None:
        yield Finding(answer.subject_id, f"the answer of key {answer.idempotency_key} names no version of its subject")
        return
    try:  # the ordinary answer has all of them, and all of them right
        said = _SAID(body)
        if said == _STORED(state) and _ALIKE.isdisjoint(map(type, said)):
            return
    except (KeyError, AttributeError):
        pass
    wrong = [name for name in _COMPARED if name in body and not _is_same(body[name], getattr(state, name, None))]
    if wrong:
        said = f"the answer of key {answer.idempotency_key} differs from version {state.version}"
        yield Finding(answer.subject_id, f"{said} in {', '.join(wrong)}")


def _is_same(said: Any, stored: Any) -> bool:
    return type(said) not in _ALIKE and bool(said == stored)


def _truthful_in(
    version: ApiVersion, record: PaymentRecord, answer: RecordedAnswer, body: dict[str, Any]
) -> Iterator[Finding]:
    """The same of an answer in an older version, whose members may have other names: it is what its subject was in one
    of its versions, as that version of the API shows it. A refusal has the payment's id under some name."""
    if answer.status == _REFUSED:
        if answer.payment_id not in body.values():
            yield Finding(answer.subject_id, f"the rejection of key {answer.idempotency_key} does not name its payment")
        return
    replay = record.replays.get(answer.subject_id)
    for state in () if replay is None else replay.states.values():
        kind = kind_of(state)
        if kind.view is None or kind.shown_as is None:
            continue
        if VERSIONS.body(kind.shown_as, _ANSWER.decode(encode(kind.view(state))), version) == body:
            return
    yield Finding(answer.subject_id, f"the answer of key {answer.idempotency_key} names no version of its subject")


def one_effect_per_instruction(record: PaymentRecord) -> Iterator[Finding]:
    """At most one attempt of an instruction had an effect at the provider, and no two share a provider key."""
    if len(record.attempts) < 2:
        return
    effects = Counter(
        (attempt.idempotency_key or attempt.attempt_id, attempt.operation)
        for attempt in (watched.attempt for watched in record.attempts)
        if attempt.state == "approved" or attempt.late_effect
    )
    for (key, operation), count in effects.items():
        if count > 1:
            yield Finding(record.payment.payment_id, f"key {key} had {count} effects of {operation}")
    keys = Counter(watched.attempt.provider_key for watched in record.attempts)
    for provider_key, count in keys.items():
        if count > 1:
            yield Finding(record.payment.payment_id, f"{count} attempts share provider key {provider_key}")
