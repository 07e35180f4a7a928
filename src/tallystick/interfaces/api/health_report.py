"""What a process answers that is up, or can serve. Apart from the API's handlers: a worker answers the same, and does
not load the API's framework, which is a fifth of a worker's start."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Struct, UnsetType

from tallystick.domain.json_types import described
from tallystick.flows.clocks import ClockReading
from tallystick.flows.runtime import Runtime


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


def ready(runtime: Runtime) -> Health:
    """What a process that can serve answers."""
    return Health(status="ready", clocks=tuple(runtime.clocks.readings()), worker_runs=runtime.readiness.worker_runs)
