"""Settings of payments: which provider, how many at once, and the times that bound one call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from tallystick.settings.fields import count, ms, text
from tallystick.settings.sections import Section


@dataclass(frozen=True, kw_only=True, repr=False)
class PaymentSettings(Section):
    """From an instruction to its submission."""

    title: ClassVar[str] = "Payments"

    default_provider: Annotated[
        str | None,
        text("For merchants without a provider of their own. Unset: the test acquirer while it is on, else none."),
    ] = None
    in_flight_limit: Annotated[
        int, count("Payments between intent and outcome in one process, about 10 kB each; merchants share them.")
    ] = 5_000
    send_window_ms: Annotated[
        int, ms("After its commit a sender may start writing for this long; later it must not.", ge=50)
    ] = 5_000
    settling_time_ms: Annotated[int, ms("After a sender's deadline, how long until 'no such charge' is evidence.")] = (
        5_000
    )
    max_delivery_delay_ms: Annotated[
        int, ms("The longest transit time of a request to a provider that does not deduplicate.")
    ] = 60_000
