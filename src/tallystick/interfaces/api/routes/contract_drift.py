"""What providers sent that is not read here as it was sent, for operators."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Struct
from msgspec.structs import asdict

from tallystick.domain.json_types import Count, Hour, ProviderName, Time, described
from tallystick.flows.contract_drift import KEEP_HOURS
from tallystick.flows.hourly_counts import counted_until
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.interfaces.api.parameters import integer
from tallystick.providers.contract_drift import DRIFT_KINDS

#: A day, unless asked otherwise.
DEFAULT_HOURS: Final = 24


class DriftCount(Struct, frozen=True, kw_only=True):
    """How often a field differed in one way in one hour."""

    provider: ProviderName
    field: Annotated[str, described("The provider's object, and the path of the field in it.", "charge.outcome.type")]
    kind: Annotated[str, described("How it differed.", "unknown_value", enum=DRIFT_KINDS)]
    hour: Hour
    count: Count


class ContractDriftCounts(Struct, frozen=True, kw_only=True):
    """Counts by hour. There are as many as fields that are read, so the list has no pages."""

    data: Annotated[list[DriftCount], described("The newest hour first.")]
    as_of: Annotated[Time, described("What came until then is counted; of what came later, a part may be.")]


async def list_drift(runtime: Runtime, request: ApiRequest, _: Caller) -> object:
    """The counts of the last ``hours`` hours."""
    as_of = counted_until(runtime.clock)
    counts = await runtime.stores.contract_drift.of_last(request.query["hours"])
    return ContractDriftCounts(data=[DriftCount(**asdict(row)) for row in counts], as_of=as_of)


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path="/v1/contract-drift",
        name="listContractDrift",
        summary="Fields of providers that were missing or had a value unknown here, counted by hour",
        description="How often a provider sent a field in another way than this release reads it.",
        handle=read(list_drift),
        scope="contract_drift:read",
        responses={200: ContractDriftCounts},
        codes=READ,
        parameters=(integer("hours", 1, KEEP_HOURS, DEFAULT_HOURS, "How many hours back."),),
        callers="operator",
    ),
)
