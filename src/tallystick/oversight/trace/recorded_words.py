"""What others said, against what was recorded of it: clients' requests, providers' answers and events; and when.

``verify`` reads none of these words. Rows that agree with each other may still not be what was asked and told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Any, Final

import msgspec
from msgspec import Struct

from tallystick.domain.api_versions import VERSIONS
from tallystick.domain.notices import AttemptNotice, DisputeNotice, StoredNotice
from tallystick.domain.requests.fingerprint import fingerprint
from tallystick.domain.subjects import Attempt
from tallystick.domain.verdicts import Approved
from tallystick.oversight.stored_json import object_in
from tallystick.record.postgres.trace_parts import EventRow, StepRow, TraceRows
from tallystick.record.postgres.trace_rows import bytes_of

#: Every attempt is over what its request asked for, and the request is what its fingerprint says.
AS_ASKED: Final = "carried_out_as_asked"

#: Steps are what the provider's recorded answers and events say.
PROVIDER_SAID_SO: Final = "provider_said_so"

#: Each answer shows the version that was reached when it was recorded.
OF_ITS_MOMENT: Final = "answers_are_of_their_moment"

#: Versions follow each other in time, and answers their requests.
IN_ORDER: Final = "steps_follow_in_time"

#: Two hosts may each date a step; a doctor's check warns long before their clocks are so far apart.
CLOCKS_APART: Final = timedelta(minutes=1)

#: States of an event whose effect is in the record.
_TAKEN: Final = frozenset({"applied", "duplicate_effect"})

#: Edges that are a provider's verdict on a dispute.
_VERDICTS: Final = frozenset({"won", "lost"})


class Difference(Struct, frozen=True, kw_only=True):
    """Something that is not as it was said. ``invariant``: which rule it breaks, as ``verify`` names it or as here."""

    invariant: str
    subject_id: str
    says: str


def against_words(rows: TraceRows) -> Iterator[Difference]:
    """Everything recorded that differs from what was said."""
    attempts = {each.attempt.attempt_id: each.attempt for each in rows.record.attempts}
    yield from _asked(rows, {each.idempotency_key: each for each in attempts.values() if each.idempotency_key})
    yield from _answered_by_the_provider(rows, attempts)
    for event in rows.events:
        yield from _told(rows, event, attempts)
    yield from _answers(rows)
    yield from _times(rows)


def _asked(rows: TraceRows, attempts: Mapping[str, Attempt]) -> Iterator[Difference]:
    for key, instruction in rows.instructions.items():
        request, attempt = bytes_of(instruction.request) or b"", attempts.get(key)
        method = instruction.operation.partition(" ")[0]
        if fingerprint(method, instruction.path, request) != bytes_of(instruction.fingerprint):
            yield _of(AS_ASKED, instruction.subject_id, f"the request under key {key} is not the one that was made")
        wanted = _decoded(request)
        for name in ("amount", "currency"):
            if attempt is not None and wanted.get(name) not in (None, ours := getattr(attempt, name)):
                says = f"{name} was {wanted[name]} in the request under key {key}, and is {ours} in the attempt"
                yield _of(AS_ASKED, attempt.attempt_id, says)


def _answered_by_the_provider(rows: TraceRows, attempts: Mapping[str, Attempt]) -> Iterator[Difference]:
    for step in rows.steps:
        attempt, verdict = attempts.get(step.subject_id), _verdict_in(step)
        if attempt is None or step.event != "approved" or verdict.get("verdict") != "approved":
            continue
        yield from _other_amount(attempt, "its answer", verdict.get("amount"), verdict.get("currency"))
        if verdict.get("reference") not in (None, step.provider_reference):
            says = f"the provider named it {verdict['reference']}, the step {step.provider_reference}"
            yield _of(PROVIDER_SAID_SO, step.subject_id, says)


def _told(rows: TraceRows, event: EventRow, attempts: Mapping[str, Attempt]) -> Iterator[Difference]:
    try:
        notice = msgspec.convert(event.notice, StoredNotice)
    except msgspec.ValidationError:
        return  # of another release
    if event.state not in _TAKEN:
        return
    if isinstance(notice, AttemptNotice) and isinstance(notice.verdict, Approved):
        attempt = attempts.get(notice.attempt_id or "")
        if attempt is not None:
            said = notice.verdict
            yield from _other_amount(attempt, f"event {event.event_id}", said.amount, said.currency)
    if isinstance(notice, DisputeNotice) and notice.state in _VERDICTS:
        for step in rows.steps:
            by_it = isinstance(step.evidence, dict) and step.evidence.get("event_id") == event.event_id
            if by_it and step.subject == "dispute" and step.event in _VERDICTS - {notice.state}:
                says = f"the step says {step.event}, and event {event.event_id}, which led to it, {notice.state}"
                yield _of(PROVIDER_SAID_SO, step.subject_id, says)


def _other_amount(attempt: Attempt, who: str, amount: Any, currency: Any) -> Iterator[Difference]:
    if (amount, currency) != (attempt.amount, attempt.currency):
        says = f"the provider approved {amount} {currency} by {who}, the attempt is over {attempt.amount}"
        yield _of(PROVIDER_SAID_SO, attempt.attempt_id, f"{says} {attempt.currency}")


def _answers(rows: TraceRows) -> Iterator[Difference]:
    for key, answer in rows.answered.items():
        instruction = rows.instructions.get(key)
        if instruction is None or VERSIONS.of_stored(answer.api_version) is not VERSIONS.newest:
            continue
        shown = _decoded(bytes_of(answer.body) or b"").get("version")
        step = next(
            (each for each in rows.steps if (each.subject_id, each.version) == (instruction.subject_id, shown)), None
        )
        if step is not None and step.at != answer.at:
            says = f"the answer of key {key} shows version {shown}, which was reached at another moment: {step.at}"
            yield _of(OF_ITS_MOMENT, instruction.subject_id, f"{says}, and the answer is of {answer.at}")


def _times(rows: TraceRows) -> Iterator[Difference]:
    for subject_id, steps in rows.record.histories.items():
        for before, after in pairwise(steps):
            if before.at is not None and after.at is not None and after.at < before.at - CLOCKS_APART:
                says = f"version {after.version} is of {after.at}, and version {before.version} of {before.at}"
                yield _of(IN_ORDER, subject_id, says)
    for key, answer in rows.answered.items():
        instruction = rows.instructions.get(key)
        if instruction is not None and answer.at < instruction.at - CLOCKS_APART:
            says = f"key {key} was answered at {answer.at}, before it was claimed at {instruction.at}"
            yield _of(IN_ORDER, instruction.subject_id, says)


def _verdict_in(step: StepRow) -> Mapping[str, Any]:
    said = step.evidence.get("verdict") if isinstance(step.evidence, dict) else None
    return said if isinstance(said, dict) else {}


def _decoded(body: bytes) -> Mapping[str, Any]:
    return object_in(body) or {}


def _of(invariant: str, subject_id: str, says: str) -> Difference:
    return Difference(invariant=invariant, subject_id=subject_id, says=says)
