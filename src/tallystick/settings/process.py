"""Settings of a process: logs, shutdown, clock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from tallystick.settings.fields import PortNumber, count, ms, optional_port, secret, text, variable
from tallystick.settings.sections import Section

LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("auto", "json", "text")
SPANS: Final = ("off", "otlp")


@dataclass(frozen=True, kw_only=True, repr=False)
class ProcessSettings(Section):
    """Settings of every process of the platform."""

    title: ClassVar[str] = "Processes"

    drain_timeout_ms: Annotated[int, ms("After SIGTERM, how long flows may take; recovery finishes the rest.")] = 30_000
    worker_health_port: Annotated[
        PortNumber | None,
        optional_port("Where a worker answers /healthz and /readyz, on TALLYSTICK_HOST; without it, nowhere."),
    ] = None
    worker_niceness: Annotated[
        int,
        count(
            "How much a worker gives way to other processes of its machine, as nice(1) counts it: where the API and a"
            " sealer share cores that are full, 10 lets answers go first. A worker that keeps the embedded database"
            " does not give way.",
            ge=0,
            le=19,
        ),
    ] = 0
    operator_key: Annotated[
        str | None,
        secret(
            "API key of an operator, with which commands act on the record. Without one an act is recorded as"
            " shell:<user>@<host>."
        ),
    ] = None
    log_level: Annotated[str, text("debug, info, warning or error.")] = "info"
    log_format: Annotated[
        str, text("json, a JSON object a line; text, words; or auto: words on a terminal, and JSON elsewhere.")
    ] = "auto"
    spans: Annotated[
        str,
        text(
            "otlp sends spans of OpenTelemetry, as its variables OTEL_* say; it needs tallystick[otlp]. off makes none."
        ),
    ] = "off"
    clock_margin_ms: Annotated[
        int, ms("How far clocks may differ; beyond it an alert is raised, and no absence at a provider is believed.")
    ] = 2_000
    clock_shift_ms: Annotated[int, ms("For tests only: shifts the clock of this process and its leases.")] = 0

    def faults(self) -> Iterator[str]:
        if self.log_level not in LOG_LEVELS:
            yield f"{variable('log_level')}: expected one of {', '.join(LOG_LEVELS)}"
        if self.log_format not in LOG_FORMATS:
            yield f"{variable('log_format')}: expected one of {', '.join(LOG_FORMATS)}"
        if self.spans not in SPANS:
            yield f"{variable('spans')}: expected one of {', '.join(SPANS)}"
