"""One demonstration, from the first payment to the last check."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import asyncpg

from tallystick.access.key_store import OPERATORS, create_key, merchant_of
from tallystick.lab.demo.clients import Clients
from tallystick.lab.demo.dead_letter import Drill
from tallystick.lab.demo.merchant import Merchant, merchant_listening
from tallystick.lab.demo.result import Check, DemoResult, balanced, charged_once, ends_check, figures, of_report
from tallystick.lab.demo.settlement import SettlementDay
from tallystick.lab.demo.stories import Order, plan
from tallystick.oversight.invariants import tally, verify
from tallystick.providers.simulator.charges import list_charges
from tallystick.providers.simulator.setup import SIMULATOR, SimulatorSettings
from tallystick.record.postgres import sql
from tallystick.record.postgres.connections import connect, open_pool
from tallystick.run.up import Platform
from tallystick.settings.load import Settings

Advance = Callable[[str, int, int], None]

STATEMENTS: Final = sql.load("demo.sql")

#: Requests on their way at once.
CONNECTIONS: Final = 64

#: Payments under way at once. All of them wait for the same connections: with no bound those of a large run would wait
#: for longer than a client's patience. The faulty ones take recovery some 8 s, so that 64 of them end each second.
UNDER_WAY: Final = 8 * CONNECTIONS

#: So long after the last payment that came to its end the run has failed, and says what it waits for.
CONVERGENCE_S: Final = 30
CONVERGENCE_POLL_S: Final = 0.5

#: The second of the start, over some days, distinguishes runs on the same data.
RUNS: Final = 16**5

#: For the statements that read everything.
COMMAND_TIMEOUT_MS: Final = 60_000


def impatient(settings: Settings) -> Settings:
    """The same rules with short times, so that recovery's work fits into half a minute: an attempt that never happens
    is sent twice and is `failed` after 2 x (send window + request time-out + settling time), about 7 s."""
    short = replace(
        settings.of_one_connector(SimulatorSettings),
        simulator="on",  # beside no key: the demonstration moves no real money, whatever the environment has
        default_provider=SIMULATOR.name,
        provider_circuit_open_ms=500,  # recovery meets the scripted faults alone, so that its circuit often opens
        provider_circuit_open_limit_ms=1_000,
        provider_request_timeout_ms=1_500,  # under the 3 s of sim_slow, which becomes unknown this way
        send_window_ms=1_000,  # a busy laptop must still get from its commit to its socket within it
        settling_time_ms=500,  # the acquirer books at once
        recovery_interval_ms=100,
        recovery_backoff_base_ms=200,
        recovery_backoff_cap_ms=1_000,
        pending_poll_ms=300,
        resubmit_limit=1,
        webhook_tries_limit=4,
        webhook_backoff_base_ms=100,
        webhook_backoff_cap_ms=400,
        webhook_allow_private_addresses=True,  # the merchant's server is on this machine
        log_level="warning",  # no line for each of thousands of payments
    )
    # What happens days later, and what is held back, comes soon too.
    return short.with_connector(SimulatorSettings, late_ms=400)


async def demonstrate(platform: Platform, payments: int, advance: Advance) -> DemoResult:
    """Run the payments, wait until everything is settled, and compare. Raises what the network and the database raise
    outside the payments themselves."""
    orders, started = plan(payments, f"demo-{int(time.time()) % RUNS:05x}"), time.monotonic()
    assert platform.simulator_address is not None, "the demonstration switches the test acquirer on"
    clients = Clients(platform.address, platform.simulator_address, platform.api_key, CONNECTIONS)
    pool = await open_pool(platform.database.app_url, platform.settings)
    try:
        day = await _day(platform, pool)
        await day.before()
        async with merchant_listening(platform.address, platform.api_key) as merchant:
            await _drive(clients, orders, advance)
            ends = await _settled(clients, orders, platform.database.app_url, advance)
            drill = await _drill(platform, orders[0].run)
            drilled = await drill.run()
            messages = await _messages_check(platform, merchant, clients, orders[0].run, advance)
        accounts = await clients.accounts()
        elapsed_s = time.monotonic() - started
        settled = await day.run()
    finally:
        await clients.close()
        await pool.close()
    connection = await connect(platform.database.app_url, command_timeout_ms=COMMAND_TIMEOUT_MS)
    try:
        merchant_id = merchant_of(platform.api_key)
        webhooks = dict(await connection.fetchrow(STATEMENTS["webhooks"]) or {})
        met, resolved = await connection.fetchrow(STATEMENTS["unknown_outcomes"], merchant_id) or (0, 0)
        record = await verify(
            connection,
            settings=platform.settings,
            merchant_id=merchant_id,
            progress=lambda done, total: advance("invariants", done, total),
        )
        charges = [charge async for charge in list_charges(platform.simulator_address)]
        books = await tally(connection, _each(charges), merchant_id=merchant_id)
    finally:
        await connection.close()
    checks = [
        Check("every client got the expected responses", f"{clients.counts.calls:,} calls", clients.counts.faults),
        ends,
        charged_once(charges),
        balanced(accounts),
        Check("every unknown outcome was resolved", f"{resolved:,} of {met:,}", ["unresolved"] * (met - resolved)),
        drilled,
        messages,
        settled.check,
        of_report("all invariants of the record hold", record),
        of_report("the acquirer's books and the record agree", books),
    ]
    return DemoResult(
        figures=figures(clients.counts, met, resolved, webhooks, elapsed_s),
        checks=checks,
        drill=[
            (each["name"], (each["at"] or "")[11:23], each["result"] or "", each["detail"] or "")
            for each in drill.trace.get("checkpoints", ())
        ],
        findings=settled.found,
    )


async def _day(platform: Platform, pool: asyncpg.Pool) -> SettlementDay:
    operator_key = await create_key(platform.database.app_url, OPERATORS, operator=True)
    assert platform.simulator_address is not None, "as in demonstrate"
    merchant_id = merchant_of(platform.api_key)
    return SettlementDay(pool, platform.address, platform.simulator_address, operator_key, merchant_id)


async def _drill(platform: Platform, run: str) -> Drill:
    operator_key = await create_key(platform.database.app_url, OPERATORS, operator=True)
    assert platform.simulator_address is not None, "as in demonstrate"
    return Drill(platform.address, platform.simulator_address, platform.api_key, operator_key, f"{run}-drill")


async def _messages_check(
    platform: Platform, merchant: Merchant, clients: Clients, run: str, advance: Advance
) -> Check:
    """The messages that the merchant received, compared with the record and with the API."""
    connection = await connect(platform.database.app_url, command_timeout_ms=COMMAND_TIMEOUT_MS)
    try:
        records = await connection.fetch(STATEMENTS["messages"], merchant_of(platform.api_key), run)
    finally:
        await connection.close()
    message_ids = [record["message_id"] for record in records]
    await merchant.wait_for(message_ids, lambda done, total: advance("messages received", done, total))
    return merchant.check(message_ids, await clients.list_payments())


async def _each(charges: Sequence[Mapping[str, Any]]) -> AsyncIterator[Mapping[str, Any]]:
    for charge in charges:
        yield charge


async def _drive(clients: Clients, orders: Sequence[Order], advance: Advance) -> None:
    label, done, under_way = "payments", 0, asyncio.Semaphore(UNDER_WAY)
    advance(label, 0, len(orders))

    def finished(_: object) -> None:
        nonlocal done
        done += 1
        under_way.release()
        advance(label, done, len(orders))

    async with asyncio.TaskGroup() as group:
        for order in orders:
            await under_way.acquire()
            await clients.wait_for_connection()  # starts in order: behind those that wait for a connection already
            group.create_task(clients.pay(order)).add_done_callback(finished)


async def _settled(clients: Clients, orders: Sequence[Order], database_url: str, advance: Advance) -> Check:
    """The comparison once nothing differs any more and nothing is open in the inbox, or no payment ends any more."""
    label, give_up, fewest = "settled", time.monotonic() + CONVERGENCE_S, len(orders) + 1
    disputes = sum(order.story.disputes for order in orders)
    connection = await connect(database_url, command_timeout_ms=COMMAND_TIMEOUT_MS)
    try:
        while True:
            ends = ends_check(orders, await clients.list_payments())
            advance(label, len(orders) - len(ends.differences), len(orders))
            if len(ends.differences) < fewest:
                fewest, give_up = len(ends.differences), time.monotonic() + CONVERGENCE_S
            quiet = await connection.fetchval(STATEMENTS["nothing_open"], orders[0].run, disputes)
            if (ends.held and quiet) or time.monotonic() > give_up:
                return ends
            await asyncio.sleep(CONVERGENCE_POLL_S)
    finally:
        await connection.close()
