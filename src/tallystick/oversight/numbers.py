"""What the record says of the whole platform, as numbers: read by the one worker that has the watch, kept in its
memory, and never read for a scrape.

Ages are in seconds, of what is oldest. Money is in minor units of its currency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.access.key_store import OPERATORS
from tallystick.decisions.statement_continuity import StatementBreak, breaks
from tallystick.domain.alert import Alert
from tallystick.domain.ledger.accounts import disputes_account, refunds_account, suspense_account
from tallystick.kit.clock import Clock
from tallystick.kit.metrics import AnyFamily, Levels, Reading, read
from tallystick.oversight.audit.lag import SealingLag, read_lag
from tallystick.oversight.cases import Cases, read_cases
from tallystick.oversight.completeness import WINDOWS
from tallystick.oversight.stated_balances import StatedDifference, stated_differences
from tallystick.record.postgres.balance_reads import BalanceReads
from tallystick.record.postgres.bank_book import statement_heads
from tallystick.record.postgres.number_reads import (
    ClearingBalance,
    Completeness,
    DriftSum,
    NumberReads,
    OpenItems,
    UnknownOutcomes,
)
from tallystick.record.postgres.operator_reads import Backlog, EndpointCounts, OperatorReads
from tallystick.record.postgres.version_use import OlderPins, count_older_pins
from tallystick.settings.load import Settings
from tallystick.settings.settlements import due_rules

#: Contract drift is shown over this time: a release of a provider takes effect within hours.
DRIFT_HOURS: Final = 24

WAITING: Final = Levels("tallystick_waiting", "Work that waits, as `tallystick status` names it.", ("what",))
WAITING_AGE: Final = Levels(
    "tallystick_waiting_seconds",
    "How long the oldest of it has been due, or has waited for a person.",
    ("what",),
)
UNKNOWN: Final = Levels(
    "tallystick_unknown_outcomes",
    "Attempts whose outcome nobody knows: asking (recovery asks the provider) or parked (a person decides).",
    ("currency", "state"),
)
UNKNOWN_MONEY: Final = Levels(
    "tallystick_unknown_money_minor_units", "The money of these attempts.", ("currency", "state")
)
UNKNOWN_AGE: Final = Levels("tallystick_unknown_seconds", "The age of the oldest of them.", ("currency", "state"))
CLEARING: Final = Levels(
    "tallystick_clearing_minor_units",
    "What clearing accounts hold, debits less credits over all merchants.",
    ("account", "currency"),
)
CLEARING_GROSS: Final = Levels(
    "tallystick_clearing_gross_minor_units",
    "How far merchants' clearing accounts are from zero, whichever way, added up.",
    ("account", "currency"),
)
CLEARING_ITEMS: Final = Levels(
    "tallystick_clearing_items",
    "What keeps a clearing account from zero: refunds, disputes, late money.",
    ("account", "currency"),
)
CLEARING_AGE: Final = Levels("tallystick_clearing_seconds", "The age of the oldest of these.", ("account", "currency"))
CASES: Final = Levels("tallystick_cases", "Cases that are not resolved, by category.", ("category",))
CASES_AGE: Final = Levels("tallystick_cases_seconds", "The age of the oldest of them.", ("category",))
CASES_CLOSED: Final = Levels(
    "tallystick_cases_share",
    "Of the cases of the last 30 days: closed by a rule, closed by a person, or open.",
    ("state",),
)
CASES_UNASSIGNED: Final = Levels("tallystick_cases_unassigned", "Cases that nobody has taken for more than 24 hours.")
ENDPOINTS: Final = Levels("tallystick_webhook_endpoints", "Merchants' webhook endpoints.", ("state",))
OLDER_PINS: Final = Levels(
    "tallystick_older_version_pins",
    "API keys and webhook endpoints in use that are pinned to a version of the API that is not the newest.",
    ("kind", "api_version"),
)
DRIFT: Final = Levels(
    "tallystick_provider_contract_drift",
    "What providers sent otherwise than it is read here, in the last 24 hours.",
    ("provider", "kind"),
)
FILE_MISSING: Final = Levels(
    "tallystick_settlement_file_missing_seconds",
    "How long the next settlement file of an account with a calendar is missing; 0 where none ever came.",
    ("provider", "account"),
)
STATEMENT_BREAKS: Final = Levels(
    "tallystick_bank_statement_breaks",
    "Where bank statements do not go on from each other: gaps, other balances, doubles.",
    ("provider", "account", "kind"),
)
STATED_OFF: Final = Levels(
    "tallystick_stated_balance_off_minor_units",
    "By how much the ledger is off the balance that a provider states, in either direction, for faults.",
    ("account", "currency"),
)
FINAL: Final = Levels(
    "tallystick_final_payments", "Payments of the window that are final, as far as they were examined.", ("window",)
)
COMPLETE: Final = Levels(
    "tallystick_complete_payments",
    "Of these, how many have all that must stand beside them: history, postings, messages, answers.",
    ("window",),
)
SEALING_LAG: Final = Levels(
    "tallystick_sealing_lag_seconds",
    "Where the record is sealed: the age of the oldest change that is not, and since when heads are not copied.",
    ("what",),
)
ALERTS: Final = Levels("tallystick_alerts", "Alerts that are not resolved.", ("alert", "severity", "state"))
READ_AT: Final = Levels(
    "tallystick_numbers_read_timestamp_seconds",
    "When the record was last read for these numbers. Where it stands still, nobody watches.",
)

#: Every family that is read from the record, in the order in which it is listed.
NUMBERS: Final[tuple[AnyFamily, ...]] = (
    WAITING,
    WAITING_AGE,
    UNKNOWN,
    UNKNOWN_MONEY,
    UNKNOWN_AGE,
    CLEARING,
    CLEARING_GROSS,
    CLEARING_ITEMS,
    CLEARING_AGE,
    CASES,
    CASES_AGE,
    CASES_CLOSED,
    CASES_UNASSIGNED,
    ENDPOINTS,
    OLDER_PINS,
    DRIFT,
    FILE_MISSING,
    STATEMENT_BREAKS,
    STATED_OFF,
    FINAL,
    COMPLETE,
    SEALING_LAG,
    ALERTS,
    READ_AT,
)

_ACCOUNTS: Final[tuple[Callable[[str], str], ...]] = (refunds_account, disputes_account, suspense_account)


class MissingFile(Struct, frozen=True, kw_only=True):
    """An account whose next settlement file should be there. ``last_at`` and ``since`` None: none ever came."""

    provider: str
    account: str
    last_at: datetime | None
    since: datetime | None


class Numbers(Struct, frozen=True, kw_only=True):
    """One reading of the record. ``items``: what keeps each clearing account from zero. ``balances`` and
    ``stated_differences`` are as old as the last whole reading of the ledger."""

    at: datetime
    backlog: tuple[Backlog, ...]
    unknown: tuple[UnknownOutcomes, ...]
    items: Mapping[str, tuple[OpenItems, ...]]
    balances: tuple[ClearingBalance, ...]
    cases: Cases
    endpoints: EndpointCounts
    drift: tuple[DriftSum, ...]
    completeness: Mapping[str, Completeness]
    missing_files: tuple[MissingFile, ...] = ()
    statement_breaks: tuple[StatementBreak, ...] = ()
    stated_differences: tuple[StatedDifference, ...] = ()
    sealing: SealingLag | None = None
    older_pins: tuple[OlderPins, ...] = ()

    def waiting(self, what: str) -> Backlog:
        """One kind of work that waits."""
        return next(each for each in self.backlog if each.what == what)


class NumberReader:
    """Reads the record for one process. ``reasons``: those of endpoints that were given up."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock, settings: Settings, reasons: Sequence[str]) -> None:
        self._pool = pool
        self._clock = clock
        self._settings = settings
        self._reasons = reasons
        self._operators = OperatorReads(pool, clock)
        self._reads = NumberReads(pool, clock)
        self._balances: tuple[ClearingBalance, ...] = ()
        self._stated = BalanceReads(pool, OPERATORS)
        self._stated_differences: tuple[StatedDifference, ...] = ()
        self._balances_due_ms = 0

    async def read(self) -> Numbers:
        """Raises what the database raises."""
        now, reads = self._clock.now(), self._reads
        if self._clock.monotonic_ms() >= self._balances_due_ms:
            self._balances = tuple(await reads.clearing_balances())
            self._stated_differences = tuple(await stated_differences(self._stated))
            self._balances_due_ms = self._clock.monotonic_ms() + self._settings.numbers_ledger_interval_ms
        hours = (now - timedelta(hours=DRIFT_HOURS)).replace(minute=0, second=0, microsecond=0)
        return Numbers(
            at=now,
            backlog=tuple(await self._operators.backlog()),
            unknown=tuple(await reads.unknown_outcomes()),
            items=await account_items(reads),
            balances=self._balances,
            cases=await read_cases(reads, now),
            endpoints=await self._operators.endpoints(self._reasons),
            drift=tuple(await reads.drift_since(hours)),
            completeness={
                name: await reads.complete_since((now - window).replace(second=0, microsecond=0))
                for name, window in WINDOWS.items()
            },
            missing_files=tuple(await self._missing_files(now)),
            statement_breaks=tuple(breaks(await statement_heads(self._pool))),
            stated_differences=self._stated_differences,
            sealing=await read_lag(self._pool, self._clock, self._settings),
            older_pins=tuple(await count_older_pins(self._pool)),
        )

    async def _missing_files(self, now: datetime) -> list[MissingFile]:
        """Only accounts with a calendar can miss one: of the others nobody knows when files come."""
        rules = due_rules(self._settings.settlement_due)
        newest = await self._reads.newest_settlement_files() if rules else {}
        found = []
        for (provider, account), rule in sorted(rules.items()):
            last_at = newest.get((provider, account))
            since = None if last_at is None else rule.next_file_due(last_at)
            if since is None or since <= now:
                found.append(MissingFile(provider=provider, account=account, last_at=last_at, since=since))
        return found


async def account_items(reads: NumberReads) -> Mapping[str, tuple[OpenItems, ...]]:
    """What keeps each clearing account from zero: refunds, disputes, late money. Raises what the database raises."""
    return _by_account((await reads.refunds_under_way(), await reads.disputes_open(), await reads.late_money_waiting()))


def _by_account(open_items: Iterable[Sequence[OpenItems]]) -> dict[str, tuple[OpenItems, ...]]:
    found: dict[str, tuple[OpenItems, ...]] = {}
    for account, items in zip(_ACCOUNTS, open_items, strict=True):
        for each in items:
            name = account(each.provider)
            found[name] = (*found.get(name, ()), each)
    return found


def shown(numbers: Numbers | None, alerts: Sequence[Alert]) -> Reading:
    """A reading as families; empty ones for None, in a process that does not watch."""
    for family in NUMBERS:
        family.clear()
    for alert in alerts:
        if alert.state != "resolved":
            labels = (alert.name, alert.severity, alert.state)
            ALERTS[labels] = ALERTS.get(labels, 0) + 1
    if numbers is not None:
        _show_work(numbers)
        _show_money(numbers)
        _show_evidence(numbers)
    return read(NUMBERS)


def samples_of(numbers: Numbers, alerts: Sequence[Alert]) -> dict[str, int]:
    """How much waits, for the trends: work by its name, cases that are not resolved, and alerts."""
    return {
        **{each.what: each.waiting for each in numbers.backlog},
        "cases": sum(each.waiting for each in numbers.cases.waiting),
        "alerts": sum(each.state != "resolved" for each in alerts),
        "unknown_outcomes": sum(each.waiting for each in numbers.unknown),
    }


def _show_work(numbers: Numbers) -> None:
    READ_AT[()] = numbers.at.timestamp()
    for work in numbers.backlog:
        WAITING[work.what,] = work.waiting
        if work.waiting and work.longest_ms is not None:
            WAITING_AGE[work.what,] = max(0, work.longest_ms) / 1_000
    endpoints = numbers.endpoints
    ENDPOINTS["enabled",], ENDPOINTS["failing",] = endpoints.enabled, endpoints.failing
    ENDPOINTS["given_up",] = endpoints.given_up
    for pins in numbers.older_pins:
        OLDER_PINS[pins.kind, pins.version] = pins.count
    for drift in numbers.drift:
        DRIFT[drift.provider, drift.kind] = drift.count
    for file in numbers.missing_files:
        since = numbers.at if file.since is None else file.since
        FILE_MISSING[file.provider, file.account] = (numbers.at - since).total_seconds()
    for found in numbers.statement_breaks:
        labels = (found.provider, found.account, found.kind)
        STATEMENT_BREAKS[labels] = STATEMENT_BREAKS.get(labels, 0) + 1


def _show_money(numbers: Numbers) -> None:
    for unknown in numbers.unknown:
        labels = (unknown.currency, "parked" if unknown.parked else "asking")
        UNKNOWN[labels], UNKNOWN_MONEY[labels] = unknown.waiting, unknown.amount
        UNKNOWN_AGE[labels] = (numbers.at - unknown.oldest_at).total_seconds()
    for balance in numbers.balances:
        CLEARING[balance.account, balance.currency] = balance.net
        CLEARING_GROSS[balance.account, balance.currency] = balance.gross
    for stated in numbers.stated_differences:
        STATED_OFF[stated.account, stated.currency] = sum(each.absolute for each in stated.causes)
    for account, items in numbers.items.items():
        for each in items:
            CLEARING_ITEMS[account, each.currency] = each.waiting
            CLEARING_AGE[account, each.currency] = (numbers.at - each.oldest_at).total_seconds()


def _show_evidence(numbers: Numbers) -> None:
    for cases in numbers.cases.waiting:
        CASES[cases.category,] = cases.waiting
        CASES_AGE[cases.category,] = (numbers.at - cases.oldest_at).total_seconds()
    for state, share in numbers.cases.shares.items():
        CASES_CLOSED[state,] = share
    CASES_UNASSIGNED[()] = numbers.cases.unassigned
    if numbers.sealing is not None:
        SEALING_LAG["sealing",] = numbers.sealing.sealing_ms / 1_000
        if numbers.sealing.copying_ms is not None and numbers.sealing.copying_ms >= 0:
            SEALING_LAG["copying",] = numbers.sealing.copying_ms / 1_000
    for window, each in numbers.completeness.items():
        FINAL[window,], COMPLETE[window,] = each.final, each.complete
