"""What crash tests share: the instructions, those who survive and recover, and what must hold in the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final, NamedTuple, TypeVar

from msgspec.structs import replace

from tallystick.core import Core
from tallystick.ids import new_id
from tallystick.invariants import verify
from tallystick.record.schedule import ScheduleBook
from tallystick.recovery import Recovery
from tallystick.replies import Reply
from tallystick.settings import Settings
from tallystick.wiring import open_core
from tests.crash.bank import Bank, BankConnection, traits_of
from tests.races.stack import Client, read

Result = TypeVar("Result")

#: Nothing here waits in real time: deadlines pass because clocks are shifted. So they are far beyond what a busy
#: machine needs, and one connection is enough to write.
SETTINGS: Final = Settings(
    send_window_ms=20_000,
    settling_time_ms=1_000,
    recovery_lease_ms=60_000,
    recovery_backoff_base_ms=1_000,
    recovery_backoff_cap_ms=2_000,
    recovery_checks_limit=6,
    pending_poll_ms=1_000,
    resubmit_limit=1,
    journal_connections=1,
)

#: Beyond every lease, deadline and back-off above.
STEP_MS: Final = 100_000

#: Rounds that the longest story above takes several times over.
ROUNDS: Final = 60

_OPEN: Final = "SELECT count(*) FROM attempt WHERE next_check_at IS NOT NULL"
_DUE: Final = "SELECT count(*) FROM deadline WHERE due_at <= now() + $1::bigint * interval '1 millisecond'"


class Instruction(NamedTuple):
    """One kind of instruction: the payment that it needs, how it is sent, and how it ends when nobody dies."""

    kind: str
    on_hold: bool | None  # on a payment that is authorized, or captured; None: on none
    send: Callable[[Client, str], Awaitable[Reply]]
    status: int
    state: str | None
    effects: int = 1


INSTRUCTIONS: Final = {
    "create": Instruction("authorize", None, lambda client, _: client.create("key"), 201, "captured"),
    "hold": Instruction("authorize", None, lambda client, _: client.create("key", manual=True), 201, "authorized"),
    "capture": Instruction("capture", True, lambda client, it: client.capture("key", it, 600), 200, "captured"),
    "cancel": Instruction("cancel", True, lambda client, it: client.cancel("key", it), 200, "canceled"),
    "refund": Instruction("refund", False, lambda client, it: client.refund("key", it, 400), 201, "succeeded"),
    "refused": Instruction("capture", True, lambda client, it: client.capture("key", it, 2_000), 409, None, 0),
}


class Case(NamedTuple):
    """One merchant with one payment, and the instruction that is in danger."""

    point: str
    merchant_id: str
    payment_id: str
    instruction: Instruction

    def send(self, core: Core) -> Coroutine[Any, Any, Reply]:
        """The client's request; the same however often it is sent."""

        async def sending() -> Reply:
            return await self.instruction.send(Client(core, self.merchant_id), self.payment_id)

        return sending()


class Time:
    """The database's clock as processes see it: one shift, that only grows."""

    def __init__(self) -> None:
        self.shift_ms = 0

    def settings(self) -> Settings:
        """For a process that starts now."""
        return replace(SETTINGS, clock_shift_ms=self.shift_ms)

    def pass_on(self, core: Core, book: ScheduleBook) -> None:
        """Let time pass for a process that runs."""
        self.shift_ms += STEP_MS
        core.journal.clock_shift_ms = core.reads.clock_shift_ms = book.clock_shift_ms = self.shift_ms
        core.clock.shift_ms = self.shift_ms


async def recover(core: Core, time: Time) -> None:
    """Rounds of recovery, and time between them, until nothing is due any more."""
    book = ScheduleBook(core.pool, clock_shift_ms=time.shift_ms)
    recovery = Recovery(core, book)
    for _ in range(ROUNDS):
        await recovery.round()
        if not await core.pool.fetchval(_OPEN) and not await core.pool.fetchval(_DUE, time.shift_ms):
            return
        time.pass_on(core, book)
    raise AssertionError("recovery does not come to an end")


class Survivor:
    """A process that nobody kills."""

    def __init__(self, url: str, bank: Bank, time: Time) -> None:
        self._runner = asyncio.Runner()
        self._exits = AsyncExitStack()
        bank_connection = BankConnection(bank, traits_of(bank))
        opened = open_core(time.settings(), url, providers={"simulator": bank_connection})
        self.core = self.run(self._exits.enter_async_context(opened))

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Do something in this process."""
        return self._runner.run(work)

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


async def open_case(core: Core, point: str, instruction: Instruction) -> Case:
    """A merchant, and the payment that the instruction needs."""
    merchant_id = "m" + new_id("ins")[-16:]
    payment_id = ""
    if instruction.on_hold is not None:
        payment_id = read(await Client(core, merchant_id).create("before", manual=instruction.on_hold))["id"]
    return Case(point, merchant_id, payment_id, instruction)


async def examine(core: Core, bank: Bank, case: Case, state: str | None, effects: int) -> None:
    """The client asks again: one final answer, the same for ever, and one effect at most. Raises AssertionError."""
    status = case.instruction.status
    second, third = await case.send(core), await case.send(core)
    assert (second.status, third.status) == (status, status), (second, third)
    assert third.replayed, third
    assert third.body == second.body, (second.body, third.body)
    assert read(second).get("state") == state, second.body
    booked = bank.effects(case.merchant_id)
    assert max(booked.values(), default=0) <= 1, booked
    kinds = Counter(kind for kind, _ in booked)
    wanted = Counter({"authorize": 0 if case.instruction.on_hold is None else 1})
    wanted[case.instruction.kind] += effects
    assert kinds == +wanted, kinds
    payment_id = case.payment_id or read(second)["id"]
    found = await core.reads.payment(case.merchant_id, payment_id)
    assert found is not None
    assert not found[1], "still in doubt"
    charges = bank.charges_of(case.merchant_id)
    theirs = [(charge.captured, charge.refunded) for charge in charges if charge.status != "declined"]
    ours = (found[0].amount_captured, found[0].amount_refunded)
    assert theirs in ([ours], []) and (theirs or ours == (0, 0)), (ours, theirs)


async def breaches(core: Core, time: Time) -> list[str]:
    """What the invariants find in the whole database, by merchant."""
    async with core.pool.acquire() as connection:
        report = await verify(connection, settings=time.settings())
    return [f"{found.merchant_id}: {found.invariant}: {found.subject_id} {found.detail}" for found in report.violations]


async def judge(
    core: Core, bank: Bank, time: Time, cases: list[Case], state: str | None, effects: int
) -> dict[str, str]:
    """What is wrong, by the name of the point where the process died."""
    wrong: dict[str, str] = {}
    names = {case.merchant_id: case.point for case in cases}
    for case in cases:
        try:
            await examine(core, bank, case, state, effects)
        except AssertionError as error:
            wrong[case.point] = str(error)
    for breach in await breaches(core, time):
        merchant_id = breach.partition(":")[0]
        wrong[names.get(merchant_id, merchant_id) + " (invariant)"] = breach
    return wrong
