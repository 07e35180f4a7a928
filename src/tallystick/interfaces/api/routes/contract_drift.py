"""What providers sent that is not read here as it was sent, for operators."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from tallystick.flows.contract_drift import KEEP_HOURS, DriftCount
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.parameters import integer
from tallystick.providers.contract_drift import DRIFT_KINDS

#: A day, unless asked otherwise.
DEFAULT_HOURS: Final = 24


class ContractDriftCounts(Struct, frozen=True, kw_only=True):
    """Counts by hour, the newest hour first. A field is named by its object and the path in it. There are as many as
    fields that are read, so the list has no pages."""

    data: list[DriftCount]


async def list_drift(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """The counts of the last ``hours`` hours."""
    return ContractDriftCounts(data=list(await runtime.stores.contract_drift.of_last(request.query["hours"])))


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path="/v1/contract-drift",
        name="listContractDrift",
        summary="Fields of providers that were missing or had a value unknown here, counted by hour",
        handle=read(list_drift),
        responses={200: ContractDriftCounts},
        codes=READ,
        parameters=(integer("hours", 1, KEEP_HOURS, DEFAULT_HOURS, "How many hours back."),),
        callers="operator",
        narrowed={"DriftCount": {"kind": {"type": "string", "enum": list(DRIFT_KINDS)}}},
    ),
)
