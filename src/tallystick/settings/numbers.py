"""Settings of numbers: where ``/metrics`` listens, and how often the record is read for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from tallystick.settings.fields import PortNumber, ms, optional_port, text, variable
from tallystick.settings.sections import Section


@dataclass(frozen=True, kw_only=True, repr=False)
class NumberSettings(Section):
    """What is counted, and what the record says of itself."""

    title: ClassVar[str] = "Numbers"

    metrics_host: Annotated[str, text("Where /metrics listens. It has no key: keep it off public networks.")] = (
        "127.0.0.1"
    )
    metrics_port: Annotated[
        PortNumber | None,
        optional_port("Where the API answers /metrics, for all of its processes; without it, nowhere."),
    ] = None
    worker_metrics_port: Annotated[
        PortNumber | None,
        optional_port("Where a worker answers /metrics, with what the record says; without it, nowhere."),
    ] = None
    metrics_directory: Annotated[
        str | None,
        text("Where the API's processes leave their counts for its listener; by default a directory of its own."),
    ] = None
    numbers_interval_ms: Annotated[
        int, ms("How often one worker reads from the record what waits, and since when.", ge=100)
    ] = 10_000
    numbers_ledger_interval_ms: Annotated[
        int, ms("How often it reads every balance: a row for each merchant and account.", ge=100)
    ] = 60_000
    audit_interval_ms: Annotated[
        int, ms("How often it looks for payments whose history, postings, messages and answers to compare.", ge=100)
    ] = 5_000
    audit_delay_ms: Annotated[int, ms("A payment is first compared this long after it was made; most are final.")] = (
        60_000
    )

    def faults(self) -> Iterator[str]:
        if self.metrics_port is not None and self.metrics_port == self.worker_metrics_port:
            yield f"{variable('worker_metrics_port')}: it must differ from {variable('metrics_port')}"
