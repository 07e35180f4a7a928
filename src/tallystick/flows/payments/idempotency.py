"""Responses to instructions: first, in flight, not final yet, replayed, or another request under the same key."""

from __future__ import annotations

import math
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from tallystick.decisions.instructions import Instruction
from tallystick.domain.change import Change
from tallystick.domain.errors import Problem, ProblemField, problem
from tallystick.domain.instruction import StoredInstruction
from tallystick.domain.measures import INSTRUCTIONS
from tallystick.domain.personal import erased_request
from tallystick.domain.requests.fingerprint import differing_field, fingerprint
from tallystick.domain.views import encode, payment_view, refund_view
from tallystick.flows.payments.instruction_line import trail
from tallystick.flows.replay_counts import ReplayKind
from tallystick.flows.runtime import Runtime
from tallystick.settings.load import Settings

#: How a repeated request is counted that has no recorded answer, by the status that it got.
_ANSWERS: Final = {202: "not_final", 409: "in_flight"}

#: Most providers answer within a second; a client that comes back sooner finds the instruction still in flight.
RETRY_AFTER_S = 1


def not_final_retry_after_s(settings: Settings) -> int:
    """With a 202: the later of recovery's first looks at an outcome in doubt and at a pending one. A client that comes
    back sooner finds the same. Later look-ups are rarer, and the client's own back-off grows with them."""
    first_look_ms = max(settings.recovery_backoff_base_ms, settings.pending_poll_ms)
    return math.ceil(first_look_ms / 1_000)


class Reply(Struct, frozen=True, kw_only=True):
    """The parts of an HTTP response. ``shows``: the type of a body that is in the newest version, and is rendered in
    the request's. Of a recorded body it is None: the body goes out as it is, in the version
    ``api_version``."""

    status: int
    body: bytes
    replayed: bool = False
    problem: bool = False
    retry_after_s: int | None = None
    shows: type[Any] | None = None
    api_version: str | None = None


def refusal(refused: Problem, retry_after_s: int | None = None) -> Reply:
    """A problem document as a reply."""
    return Reply(status=refused.status, body=encode(refused), problem=True, retry_after_s=retry_after_s, shows=Problem)


def recorded(stored: StoredInstruction, *, replayed: bool) -> Reply | None:
    """The recorded response, byte for byte, if the instruction is final."""
    if stored.status is None or stored.body is None:
        return None
    return Reply(
        status=stored.status,
        body=stored.body,
        replayed=replayed,
        problem=stored.status >= 400,
        api_version=stored.api_version,
    )


def first_answer(change: Change | None, idempotency_key: str) -> Reply | None:
    """The response that this change recorded for the instruction."""
    for response in change.responses if change else ():
        if response.idempotency_key == idempotency_key:
            return Reply(
                status=response.status,
                body=response.body,
                problem=response.status >= 400,
                api_version=response.api_version,
            )
    return None


async def current(runtime: Runtime, stored: StoredInstruction) -> Reply:
    """202 with the current state of an instruction that is not final; never the recorded response."""
    if stored.subject_id == stored.payment_id:
        found = await runtime.reads.payment(stored.merchant_id, stored.payment_id)
        if found is not None:
            payment, in_doubt = found
            view = payment_view(payment, in_doubt=in_doubt, opened=runtime.actions.opened(payment))
            return _not_final(runtime, view)
    else:
        refund = await runtime.reads.refund(stored.merchant_id, stored.subject_id)
        if refund is not None:
            return _not_final(runtime, refund_view(refund[0], in_doubt=refund[1]))
    raise LookupError(f"the subject of instruction {stored.instruction_id} is gone")


def _not_final(runtime: Runtime, view: object) -> Reply:
    wait_s = not_final_retry_after_s(runtime.settings)
    return Reply(status=202, body=encode(view), retry_after_s=wait_s, shows=type(view))


async def answer_now(runtime: Runtime, merchant_id: str, idempotency_key: str) -> Reply:
    """The response to the call that carried out an instruction; another change may have finalised it."""
    stored = await runtime.reads.instruction(merchant_id, idempotency_key)
    if stored is None:
        raise LookupError("a committed instruction is missing")
    state = await current(runtime, stored)
    final = await runtime.reads.instruction(merchant_id, idempotency_key)
    return (recorded(final, replayed=False) if final else None) or state


async def answer_existing(runtime: Runtime, instruction: Instruction, stored: StoredInstruction) -> Reply:
    """The key was used before: replayed, in flight, not final yet, or a mismatch that names the differing field. Each
    repetition is counted, by what it got."""
    if (told := trail()) is not None:
        told.found = stored
    reply, kind = await _answer_existing(runtime, instruction, stored)
    runtime.replays.count(stored.merchant_id, stored.idempotency_key, kind)
    return reply


async def _answer_existing(
    runtime: Runtime, instruction: Instruction, stored: StoredInstruction
) -> tuple[Reply, ReplayKind]:
    mismatch = _mismatch(instruction, stored)
    if mismatch is not None:
        INSTRUCTIONS[instruction.operation, "mismatch"] += 1
        return refusal(_reused(instruction, stored, mismatch)), "other_request"
    reply, kind = await _repeated(runtime, instruction, stored)
    INSTRUCTIONS[instruction.operation, "replayed" if reply.replayed else _ANSWERS[reply.status]] += 1
    return reply, kind


async def _repeated(runtime: Runtime, instruction: Instruction, stored: StoredInstruction) -> tuple[Reply, ReplayKind]:
    """The answer to the same request under the same key."""
    final = recorded(stored, replayed=True)
    if final is not None:
        return final, "replayed"
    # The state is read before the last look for a recorded response, so a 202 never shows a final state.
    state = await current(runtime, stored)
    left_ms = await runtime.reads.sending_for_ms(stored.merchant_id, stored.payment_id, stored.idempotency_key)
    again = await runtime.reads.instruction(stored.merchant_id, stored.idempotency_key)
    final = recorded(again, replayed=True) if again else None
    if final is not None:
        return final, "replayed"
    if left_ms is None:
        return state, "not_final"
    in_flight = problem(
        "instruction_in_flight",
        "The first request with this key is still being carried out; send the same request again.",
        request_id=instruction.request_id,
        payment_id=stored.payment_id,
    )
    return refusal(in_flight, retry_after_s=RETRY_AFTER_S), "in_flight"


async def existing_or(
    runtime: Runtime, instruction: Instruction, refused: Problem, retry_after_s: int | None = None
) -> Reply:
    """An error, unless the key was used before: a stricter check must not turn a replay into an error."""
    stored = await runtime.reads.instruction(instruction.merchant_id, instruction.idempotency_key)
    if stored is None:
        return refusal(refused, retry_after_s)
    return await answer_existing(runtime, instruction, stored)


def _mismatch(instruction: Instruction, stored: StoredInstruction) -> str | None:
    if stored.erased:  # whether what is erased was the same nobody can say: everything else is compared
        instruction = _without_personal(instruction)
    if stored.fingerprint == instruction.fingerprint:
        return None
    if stored.operation != instruction.operation:
        return "operation"
    if stored.path != instruction.path:
        return "path"
    return differing_field(stored.request, instruction.request)


def _without_personal(instruction: Instruction) -> Instruction:
    request = erased_request(instruction.request)
    method = instruction.operation.partition(" ")[0]
    return replace(instruction, request=request, fingerprint=fingerprint(method, instruction.path, request))


def _reused(instruction: Instruction, stored: StoredInstruction, field: str) -> Problem:
    return problem(
        "idempotency_key_reused",
        f"This key was first used with another request: {field} differs.",
        request_id=instruction.request_id,
        payment_id=stored.payment_id,
        errors=[ProblemField(field=field, code="differs", detail="Differs from the first request with this key.")],
    )
