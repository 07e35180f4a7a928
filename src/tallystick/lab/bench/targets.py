"""Targets of the benchmarks, and whether they are met. Pure."""

from __future__ import annotations

from typing import Final

from msgspec import Struct


class Target(Struct, frozen=True, kw_only=True):
    """One figure with its bound, on 2 cores with database and load generator on the same machine."""

    name: str
    unit: str
    bound: float
    at_least: bool = True


class Judged(Struct, frozen=True, kw_only=True):
    """A target beside what was measured."""

    name: str
    unit: str
    bound: float
    at_least: bool
    measured: float
    holds: bool


#: Everything beyond the bare rows may cost half of what the database can do.
JOURNAL_SHARE: Final = Target(name="journal, of the database ceiling", unit="ratio", bound=0.5)

#: A person does not notice 2 ms, and a provider takes ten times as long at best.
JOURNAL_ADDS_MS: Final = Target(name="journal adds to an idle commit (median)", unit="ms", bound=2.0, at_least=False)

#: Twice a surge of 60,000 requests a minute, on one small machine.
SATURATION_PER_S: Final = Target(name="HTTP at saturation", unit="payments/s", bound=2_000)

#: Two durable commits and a provider call for the price of five requests that do nothing.
NOOP_SHARE: Final = Target(name="HTTP at saturation, of the no-op POST", unit="ratio", bound=0.2)

#: A rate at which a small machine has some rest.
OPEN_LOOP_RATE_PER_S: Final = 1_000

#: Five times the provider's own 20 ms: at half load nobody waits in a queue for long.
OPEN_LOOP_P99_MS: Final = Target(name="open loop at 1,000/s, p99", unit="ms", bound=100.0, at_least=False)

#: Indexes of 5 million payments are a level deeper and colder; that may cost a fifth.
FILLED_SHARE: Final = Target(name="filled database, of the empty one", unit="ratio", bound=0.8)


#: A surge of webhooks is as large as the surge of payments that it follows.
INTAKE_PER_S: Final = Target(name="webhook burst acknowledged", unit="deliveries/s", bound=2_500)

#: Providers wait for seconds; this keeps their connections few.
INTAKE_P99_MS: Final = Target(name="webhook acknowledgement, p99", unit="ms", bound=100.0, at_least=False)

#: One worker keeps up with a million payments a day eighty times over, and catches up with a burst in seconds.
DRAIN_PER_S: Final = Target(name="inbox drained by one worker", unit="events/s", bound=1_000)

#: An operator does not wait for it, and a page that shows several is still quick.
TRACE_MS: Final = Target(name="trace by the slowest kind of name, p95", unit="ms", bound=100.0, at_least=False)

#: Fewer than five: with 20 ms to the database 80 ms are left for nothing else.
TRACE_ROUND_TRIPS: Final = Target(name="round trips of a trace", unit="", bound=5, at_least=False)

#: A million rows in a minute: a large provider's week, while people wait for it.
RECONCILED_PER_S: Final = Target(name="settlement rows imported, matched, posted", unit="rows/s", bound=1_000_000 / 60)

#: A bank's statement of a day, of a platform that is paid out by bank as well.
ENTRIES_PER_S: Final = Target(name="statement entries imported, compared", unit="entries/s", bound=200_000 / 60)

#: What is decided row by row, and told: a thousand exceptions of a million rows take a second.
NEWS_PER_S: Final = Target(name="exceptions compared, or payments told", unit="rows/s", bound=1_000)

#: A file is read row by row: its size has no part in it.
IMPORTER_MB: Final = Target(name="memory of the importer, at most", unit="MB", bound=500, at_least=False)

#: A database of a million unsealed payments, two changes each, is sealed in seven minutes.
SEALED_PER_S: Final = Target(name="changes sealed of an unsealed record", unit="changes/s", bound=5_000)

#: A thousand payments a second would take a twelfth of a core.
SEALER_CPU_US: Final = Target(name="the sealer's own CPU a payment", unit="µs", bound=80, at_least=False)

#: A thirtieth of what the payment itself writes.
SEALER_LOG: Final = Target(name="the sealer's log a payment", unit="bytes", bound=200, at_least=False)

#: A payment waits for what commits beside it, and hardly for a sealer.
SEALED_P99: Final = Target(name="p99 with sealing, of p99 without", unit="ratio", bound=1.2, at_least=False)

#: A million payments in three minutes.
VERIFIED_PER_S: Final = Target(name="sealed payments verified", unit="payments/s", bound=1_000_000 / 180)

#: Of a million payments: the hashes of their leaves are most of it.
VERIFIER_MB: Final = Target(name="memory of audit verify, at most", unit="MB", bound=300, at_least=False)


def judge(target: Target, measured: float) -> Judged:
    """Whether ``measured`` reaches the target. "Adds" and p99 must stay below their bound."""
    holds = measured >= target.bound if target.at_least else measured < target.bound
    return Judged(
        name=target.name,
        unit=target.unit,
        bound=target.bound,
        at_least=target.at_least,
        measured=round(measured, 3),
        holds=holds,
    )
