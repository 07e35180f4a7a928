"""Settings of all providers: time-outs, connections and the circuit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from tallystick.settings.fields import count, ms, percent, text, variable
from tallystick.settings.sections import Section

SIMULATOR_SWITCH: Final = ("auto", "on", "off")


@dataclass(frozen=True, kw_only=True, repr=False)
class ProviderSettings(Section):
    """Which connectors take payments, and time-outs, connections and the circuit of every one."""

    title: ClassVar[str] = "Providers"

    simulator: Annotated[
        str, text("Whether the test acquirer takes payments: on, off, or auto (off where a real provider has a key).")
    ] = "auto"
    provider_request_timeout_ms: Annotated[
        int, ms("Most answers come in 3 s; at 10 s an answer is unlikely enough to call it unknown.", ge=50)
    ] = 10_000
    provider_connect_timeout_ms: Annotated[
        int, ms("A connection that is not there in 2 s is `not_sent`, which is safe to retry.", ge=10)
    ] = 2_000
    provider_connections: Annotated[
        int,
        count(
            "Connections of one process to one provider, shared by merchants; one call each: peak rate times p99.",
            le=100_000,
        ),
    ] = 4_096
    provider_peak_per_s: Annotated[
        int, count("Calls a second to one provider that the limits of one process are checked for.", le=100_000)
    ] = 1_000
    provider_latency_p99_ms: Annotated[
        int, ms("The time in which a provider answers 99 of 100 calls, when it is slow; for the same check.", ge=1)
    ] = 3_000
    provider_wait_ms: Annotated[
        int, ms("A call without a free connection after a second is `not_sent`: a longer queue would only delay it.")
    ] = 1_000
    provider_retry_after_limit_ms: Annotated[
        int,
        ms(
            "A provider's Retry-After is heeded for this long at most, by the whole account; then it is asked again.",
            le=60_000,
        ),
    ] = 60_000
    provider_circuit_failure_percent: Annotated[
        int,
        percent("A circuit opens when this share of calls got no answer. Below it, the answered calls are worth more."),
    ] = 80
    provider_circuit_calls: Annotated[
        int, count("Calls in the window before the share counts: a few failures are not an outage.")
    ] = 20
    provider_circuit_window_ms: Annotated[
        int, ms("How far back it counts, in whole seconds: three request time-outs, so that an outage fills it.", ge=1)
    ] = 30_000
    provider_circuit_open_ms: Annotated[
        int, ms("How long an open circuit sends nothing before a probe; doubled after each failed probe.", ge=1)
    ] = 5_000
    provider_circuit_open_limit_ms: Annotated[
        int, ms("The longest such pause: a recovered provider is used within a minute.", ge=1)
    ] = 60_000
    provider_circuit_patience_ms: Annotated[
        int,
        ms("An attempt waits this long for an open circuit, or where the provider asked to wait; then it is given up."),
    ] = 120_000
    provider_circuit_probes: Annotated[
        int, count("Single calls that must mostly be answered before a circuit closes; one may be luck.", le=1_000)
    ] = 3

    def faults(self) -> Iterator[str]:
        if self.simulator not in SIMULATOR_SWITCH:
            yield f"{variable('simulator')}: expected one of {', '.join(SIMULATOR_SWITCH)}"
        if self.provider_circuit_window_ms < 1_000:
            yield f"{variable('provider_circuit_window_ms')}: it counts whole seconds, so 1000 or more"
        if self.provider_circuit_open_limit_ms < self.provider_circuit_open_ms:
            limit, first = variable("provider_circuit_open_limit_ms"), variable("provider_circuit_open_ms")
            yield f"{limit}: it must not be less than {first}"
