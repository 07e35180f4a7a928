"""One demonstration, from the first payment to the last check."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from tallystick import sql
from tallystick.demo.clients import Clients
from tallystick.demo.outcome import Check, Outcome, ends_check, figures
from tallystick.demo.stories import Order, plan
from tallystick.invariants import simulator_charges, verify
from tallystick.settings import Settings
from tallystick.up import Platform
from tallystick.wiring import connect

Advance = Callable[[str, int, int], None]

STATEMENTS: Final = sql.load("demo.sql")

#: Requests on their way at once.
CONNECTIONS: Final = 64

#: Everything is final long before; a run that is not has failed, and says what it waits for.
CONVERGENCE_S: Final = 30
CONVERGENCE_POLL_S: Final = 0.5


def impatient(settings: Settings) -> Settings:
    """The same rules with short times, so that recovery's work fits into half a minute: an attempt that never happens
    is sent twice and is `failed` after 2 x (send window + request time-out + settling time), about 7 s."""
    return replace(
        settings,
        provider_request_timeout_ms=1_500,  # under the 3 s of sim_slow, which becomes unknown this way
        send_window_ms=1_000,  # a busy laptop must still get from its commit to its socket within it
        settling_time_ms=500,  # the acquirer books at once
        recovery_interval_ms=100,
        recovery_backoff_base_ms=200,
        recovery_backoff_cap_ms=1_000,
        pending_poll_ms=300,
        resubmit_limit=1,
        api_key_cache_ms=60_000,
    )


async def demonstrate(platform: Platform, payments: int, advance: Advance) -> Outcome:
    """Run the payments, wait until everything is settled, and compare. Raises what the network and the database raise
    outside the payments themselves."""
    orders, started = plan(payments), time.monotonic()
    clients = Clients(platform.address, platform.simulator_address, platform.api_key, CONNECTIONS)
    try:
        await _drive(clients, orders, advance)
        ends, listed = await _settled(clients, orders, advance)
        accounts = await clients.accounts()
    finally:
        await clients.close()
    elapsed_s = time.monotonic() - started
    merchant = platform.api_key.split("_")[1]
    connection = await connect(platform.database.app_url, command_timeout_ms=60_000)
    try:
        unknown = await connection.fetchrow(STATEMENTS["unknown_outcomes"], merchant)
        met, resolved = unknown["met"], unknown["resolved"]
        report = None
    finally:
        await connection.close()
    tally = clients.tally
    checks = [
        check("every client got the answers it must", tally.faults, f"{len(tally.faults)} wrong"),
        ends,
        _booked_once(charges, len(listed)),
        _balanced(accounts),
        check("every unknown outcome was resolved", ["unresolved"] * (met - resolved), f"{resolved:,} of {met:,}"),
    ]
    return Outcome(figures=figures(tally, met, resolved, elapsed_s), checks=checks)


async def _drive(clients: Clients, orders: Sequence[Order], advance: Advance) -> None:
    label, done = "payments", 0
    advance(label, 0, len(orders))

    def finished(_: object) -> None:
        nonlocal done
        done += 1
        advance(label, done, len(orders))

    async with asyncio.TaskGroup() as group:
        for order in orders:
            await clients.turn()  # nobody starts before those who wait for a connection had their turn
            group.create_task(clients.pay(order)).add_done_callback(finished)


async def _settled(
    clients: Clients, orders: Sequence[Order], advance: Advance
) -> tuple[Check, list[dict[str, Any]]]:
    """The comparison once nothing differs any more, or when time is up."""
    label, give_up = "settled", time.monotonic() + CONVERGENCE_S
    while True:
        listed = await clients.list_payments()
        ends = ends_check(orders, listed)
        advance(label, len(orders) - len(ends.differences), len(orders))
        if ends.held or time.monotonic() > give_up:
            return ends, listed
        await asyncio.sleep(CONVERGENCE_POLL_S)


def _balanced(accounts: Sequence[Mapping[str, Any]]) -> Check:
    """What the accounts owe and own is the same, in each currency."""
    debits: Counter[str] = Counter()
    credits: Counter[str] = Counter()
    for account in accounts:
        debits[account["currency"]] += account["debits"]
        credits[account["currency"]] += account["credits"]
    wrong = [f"{c}: debits {debits[c]}, credits {credits[c]}" for c in debits if debits[c] != credits[c]]
    return Check("the ledger balances in every currency", f"{len(accounts)} accounts", wrong)
