"""What can be done at each provider: the rows that requests are checked by."""

from __future__ import annotations

from typing import Final

from tallystick.domain.capabilities import Capabilities
from tallystick.flows.routing.capabilities import capabilities
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Caller
from tallystick.interfaces.api.endpoint import READ, Endpoint, read
from tallystick.interfaces.api.http import ApiRequest
from tallystick.settings.settlements import due_rules

PATH: Final = "/v1/capabilities"


async def get_capabilities(runtime: Runtime, _: ApiRequest, caller: Caller) -> object:
    """As it is for the caller's merchant, at the providers of this process."""
    return capabilities(
        runtime.providers,
        default=caller.default_provider or runtime.default_provider,
        allowed=caller.allowed_providers,
        switched_off=runtime.switched_off,
        capture_window_ms=runtime.settings.authorization_deadline_ms,
        due=due_rules(runtime.settings.settlement_due),
    )


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint(
        method="GET",
        path=PATH,
        name="getCapabilities",
        summary="What each provider can do here",
        description=(
            "Every account at a provider with its payment methods, currencies and limits, by the rows that requests are"
            " checked by; what may still happen after a final state; and what is out of scope."
        ),
        handle=read(get_capabilities),
        scope="capabilities:read",
        responses={200: Capabilities},
        codes=READ,
    ),
)
