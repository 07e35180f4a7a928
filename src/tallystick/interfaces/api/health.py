"""Is the process up, and can it serve: what a supervisor and a load balancer ask."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Struct, UnsetType

from tallystick.domain.json_types import described
from tallystick.flows.clocks import ClockReading
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.problems import busy


class Health(Struct, frozen=True, kw_only=True):
    """Whether a process is up, or can serve."""

    status: Annotated[str, described("`ok`: it is up. `ready`: it can serve.", "ready", enum=("ok", "ready"))]
    clocks: Annotated[
        tuple[ClockReading, ...],
        described(
            "Of a process that is ready: how far its host's clock is from the database's and the providers'. A clock"
            " that is off never makes it unready."
        ),
    ] = ()
    worker_runs: Annotated[
        bool | UnsetType | None,
        described(
            "Of a process that is ready: whether any worker has a session in the database, null where that is not"
            " known. Payments are taken without one.",
            True,
        ),
    ] = UNSET


async def healthz(_: Runtime, request: ApiRequest) -> HttpResponse:
    """200: the process responds."""
    return json_response(request, Health(status="ok"))


async def readyz(runtime: Runtime, request: ApiRequest) -> HttpResponse:
    """200 when the database answers, can write, and its schema takes every statement of this release. Raises
    ProblemError."""
    if (reason := await runtime.readiness.reason_not_ready()) is not None:
        raise busy("not_ready", reason, request.request_id)
    return json_response(request, ready(runtime))


def ready(runtime: Runtime) -> Health:
    """What a process that can serve answers."""
    return Health(status="ready", clocks=tuple(runtime.clocks.readings()), worker_runs=runtime.readiness.worker_runs)
