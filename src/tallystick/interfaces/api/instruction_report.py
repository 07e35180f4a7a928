"""Has each request that carries an instruction end in one line, and in one span, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tallystick.flows.payments.instruction_line import INSTRUCTION, Trail, say_instruction
from tallystick.interfaces.api.http import ApiRequest, HttpResponse
from tallystick.kit.spans import Spans, within
from tallystick.kit.steps import await_for, begin
from tallystick.kit.trace_context import parsed


async def reported(operation: str, request: ApiRequest, handled: Callable[[], Awaitable[HttpResponse]]) -> HttpResponse:
    """What ``handled`` answers. A request without a known caller, or beyond its rate, carries no instruction yet: it
    ends in no line, so that nobody can fill a disk with them."""
    if not INSTRUCTION.wanted and Spans.tracer is None:
        return await handled()
    trail = Trail()
    step = None if Spans.tracer is None else begin(INSTRUCTION, "server", parsed(request.traceparents))
    response: HttpResponse | None = None
    token = await_for(trail)  # no context manager: it would be a tenth of what the line costs
    try:
        if step is None:
            response = await handled()
        else:
            with within(step.span):
                response = await handled()
        return response
    finally:
        token.var.reset(token)
        if request.trail is not None:
            say_instruction(
                trail,
                step,
                request_id=request.request_id,
                operation=operation,
                status=None if response is None else response.status,
                body=b"" if response is None else response.body,
                asked_by=request.asked_by,
            )
