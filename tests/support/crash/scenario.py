"""What crash tests share: the instructions, those who survive and recover, and what must hold in the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeVar, cast

import asyncpg

from tallystick.flows.assembly import open_runtime
from tallystick.flows.payments.idempotency import Reply
from tallystick.flows.recovery.worker import RecoveryWorker
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.oversight.invariants import verify
from tallystick.settings.load import Settings
from tests.support.crash.provider import Bank
from tests.support.crash.provider_connection import BankConnection, traits_of
from tests.support.polling import eventually_async
from tests.support.runtime import SETTINGS as RUNTIME_SETTINGS
from tests.support.runtime import Client, read

Result = TypeVar("Result")

#: Nothing here waits in real time: deadlines pass because clocks are shifted. So they are far beyond what a busy
#: machine needs, and one connection is enough to write.
SETTINGS: Final = Settings(
    send_window_ms=60_000,
    settling_time_ms=1_000,
    recovery_lease_ms=60_000,
    recovery_backoff_base_ms=1_000,
    recovery_backoff_cap_ms=2_000,
    recovery_checks_limit=6,
    pending_poll_ms=1_000,
    resubmit_limit=2,
    journal_connections=1,
    journal_commit_timeout_ms=60_000,
    sealing_keys=RUNTIME_SETTINGS.sealing_keys,
)

#: Beyond every lease, deadline and back-off above.
STEP_MS: Final = 200_000

#: Rounds that the longest story above takes several times over.
ROUNDS: Final = 60

#: A server notices that a client is gone when it next reads or writes: at once, unless the machine is very busy.
NOTICE_S: Final = 30

_ALIVE: Final = "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1::int[])"


class Instruction(NamedTuple):
    """One kind of instruction: the payment that it needs, how it is sent, and how it ends when nobody dies."""

    kind: str
    on_hold: bool | None  # on a payment that is authorized, or captured; None: on none
    send: Callable[[Client, str, str], Awaitable[Reply]]
    status: int
    state: str | None
    effects: int = 1


INSTRUCTIONS: Final = {
    "create": Instruction("authorize", None, lambda client, key, _: client.create(key), 201, "captured"),
    "hold": Instruction("authorize", None, lambda client, key, _: client.create(key, manual=True), 201, "authorized"),
    "capture": Instruction("capture", True, lambda client, key, it: client.capture(key, it, 600), 200, "captured"),
    "cancel": Instruction("cancel", True, lambda client, key, it: client.cancel(key, it), 200, "canceled"),
    "refund": Instruction("refund", False, lambda client, key, it: client.refund(key, it, 400), 201, "succeeded"),
    "refused": Instruction("capture", True, lambda client, key, it: client.capture(key, it, 2_000), 409, None, 0),
}


class Case(NamedTuple):
    """One payment, and the instruction on it that is in danger."""

    point: str
    merchant_id: str
    key: str
    payment_id: str
    instruction: Instruction

    def send(self, runtime: Runtime) -> Coroutine[Any, Any, Reply]:
        """The client's request; the same however often it is sent."""

        async def sending() -> Reply:
            return await self.instruction.send(Client(runtime, self.merchant_id), self.key, self.payment_id)

        return sending()


class Time:
    """The database's clock as processes see it: one shift, that only grows."""

    def __init__(self) -> None:
        self.shift_ms = 0

    def settings(self) -> Settings:
        """For a process that starts now."""
        return replace(SETTINGS, clock_shift_ms=self.shift_ms)

    def pass_on(self, runtime: Runtime) -> None:
        """Let time pass for a process that runs."""
        self.shift_ms += STEP_MS
        runtime.clock.shift_ms = self.shift_ms


async def gone(runtime: Runtime, server_pids: list[int]) -> None:
    """Once the database has noticed that these clients are dead."""

    async def alive() -> int:
        found: int = await runtime.pool.fetchval(_ALIVE, server_pids)
        return found

    await eventually_async(alive, until=lambda number: not number, within_s=NOTICE_S, interval_s=0.002)


async def recover(runtime: Runtime, time: Time) -> None:
    """Rounds of recovery, and time between them, until nothing is due any more."""
    recovery = RecoveryWorker(runtime, runtime.stores.schedule_book)
    for _ in range(ROUNDS):
        time.pass_on(runtime)
        if await recovery.round() == 0:
            return
    raise AssertionError("recovery does not come to an end")


class Survivor:
    """A process that nobody kills."""

    def __init__(self, url: str, bank: Bank, time: Time) -> None:
        self._runner = asyncio.Runner()
        self._exits = AsyncExitStack()
        bank_connection = BankConnection(bank, traits_of(bank))
        opened = open_runtime(time.settings(), url, providers={"simulator": bank_connection})
        self.runtime = self.run(self._exits.enter_async_context(opened))

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do something in this process."""
        return self._runner.run(work)

    def recover(self, time: Time, server_pids: list[int]) -> None:
        """Recover once the database has noticed all deaths: what it had received until then has landed or is gone."""
        self.run(self._recover(time, server_pids))

    async def _recover(self, time: Time, server_pids: list[int]) -> None:
        await gone(self.runtime, server_pids)
        await recover(self.runtime, time)

    def close(self) -> None:
        """As an operator ends it."""
        self.run(self._exits.aclose())
        self._runner.close()


@contextmanager
def survivor(url: str, bank: Bank, time: Time) -> Iterator[Survivor]:
    """A process that nobody kills, as long as it is needed."""
    process = Survivor(url, bank, time)
    try:
        yield process
    finally:
        process.close()


async def open_case(runtime: Runtime, merchant_id: str, point: str, instruction: Instruction) -> Case:
    """A key that nobody used, and the payment that the instruction needs."""
    key, payment_id = new_id("req"), ""
    if instruction.on_hold is not None:
        created = await Client(runtime, merchant_id).create(new_id("req"), manual=instruction.on_hold)
        payment_id = read(created)["id"]
    return Case(point, merchant_id, key, payment_id, instruction)


async def examine(runtime: Runtime, bank: Bank, case: Case, state: str | None, effects: int) -> str:
    """The client asks again: one final answer, the same for ever, and one effect at most.

    Returns the payment's id. Raises AssertionError.
    """
    status = case.instruction.status
    second, third = await case.send(runtime), await case.send(runtime)
    assert (second.status, third.status) == (status, status), (second, third)
    assert third.replayed, third
    assert third.body == second.body, (second.body, third.body)
    assert read(second).get("state") == state, second.body
    payment_id: str = case.payment_id or read(second)["id"]
    booked = bank.effects(payment_id)
    assert max(booked.values(), default=0) <= 1, booked
    kinds = Counter(kind for kind, _ in booked)
    wanted = Counter({"authorize": 0 if case.instruction.on_hold is None else 1})
    wanted[case.instruction.kind] += effects
    assert kinds == +wanted, kinds
    found = await runtime.reads.payment(case.merchant_id, payment_id)
    assert found is not None
    assert not found[1], "still in doubt"
    theirs = [(charge.captured, charge.refunded) for charge in bank.charges if charge.payment_id == payment_id]
    assert theirs == [(found[0].amount_captured, found[0].amount_refunded)] or not (theirs or kinds), theirs
    return payment_id


async def judge(
    runtime: Runtime, bank: Bank, time: Time, cases: list[Case], state: str | None, effects: int
) -> dict[str, str]:
    """What is wrong, by the name of the point where the process died. The cases are of one merchant."""
    wrong: dict[str, str] = {}
    points: dict[str, str] = {}
    for case in cases:
        try:
            points[await examine(runtime, bank, case, state, effects)] = case.point
        except AssertionError as error:
            wrong[case.point] = str(error)
    async with runtime.pool.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM attempt WHERE next_check_at IS NOT NULL") == 0
        report = await verify(
            cast(asyncpg.Connection, connection), settings=time.settings(), merchant_id=cases[0].merchant_id
        )
    assert report.checked["payments"] >= len(points)
    for breach in report.violations:
        point = points.get(breach.subject_id, breach.subject_id)
        wrong[f"{point}: {breach.invariant}"] = breach.detail
    return wrong
