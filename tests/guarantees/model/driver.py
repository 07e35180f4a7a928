"""The runtime and the model side by side: how an instruction is sent, and how answers, views and books are compared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from itertools import count
from typing import Any, cast

import asyncpg
from hypothesis.stateful import RuleBasedStateMachine

from tallystick.domain.views import payment_view
from tallystick.flows.payments.idempotency import Reply
from tallystick.flows.runtime import Runtime
from tallystick.oversight.invariants import verify
from tallystick.settings.load import Settings
from tests.guarantees.model.life import PATIENCE_S, Life
from tests.guarantees.model.provider import PROMPT, STATUS, STORIES, Instruction, Payment, Shop
from tests.support.crash.process import Process
from tests.support.crash.provider import Bank, Charge
from tests.support.crash.scenario import SETTINGS, Time
from tests.support.letters import new_letters
from tests.support.polling import eventually_async
from tests.support.runtime import Client, read

DAY_MS = 86_400_000

#: Rounds of recovery after which all that a machine's stories hold is settled, with some to spare.
ROUNDS = 6

#: The bank's patience and the customer's are longer than all the recoveries of one example.
PATIENT = replace(SETTINGS, action_deadline_ms=5 * DAY_MS, pending_deadline_ms=30 * DAY_MS)

#: After this, nobody waits any longer.
WEEKS_MS = 20 * DAY_MS


class Driver(RuleBasedStateMachine):
    """One merchant, one bank, one runtime at a time. ``url``: of a database in which nobody else recovers."""

    url: str
    _bank: Bank
    _life: Life

    def __init__(self) -> None:
        super().__init__()
        self._merchant_id = "m" + new_letters(16)
        self._keys = count(1)
        self._time = Time()
        self._shop = Shop()
        self._dead: list[Life | Process] = []
        self._late: list[tuple[Instruction, asyncio.Task[Reply] | None]] = []

    @property
    def merchant_id(self) -> str:
        """Whose payments these are."""
        return self._merchant_id

    async def _leave_nothing_due(self) -> None:
        """Recovery works for every merchant there is: the next example has another bank."""
        pool = self._life.runtime.pool
        await pool.execute("UPDATE attempt SET next_check_at = NULL WHERE merchant_id = $1", self._merchant_id)
        await pool.execute("DELETE FROM deadline WHERE merchant_id = $1", self._merchant_id)

    def _tally(self) -> None:
        for payment in self._shop.payments:
            effects = self._bank.effects(payment.payment_id)
            assert max(effects.values(), default=0) <= 1, effects
            charges = [charge for charge in self._bank.charges if charge.payment_id == payment.payment_id]
            moved = [(c.captured, c.refunded) for c in charges if c.status not in ("declined", "released")]
            there = payment.state in ("authorized", "captured") or payment.late
            money = (payment.captured + payment.late, payment.refunded() + payment.returned)
            assert moved == ([money] if there else []), (payment, charges)

    async def _verify(self) -> None:
        async with self._life.runtime.pool.acquire() as connection:
            left = await connection.fetchval(
                "SELECT count(*) FROM attempt"
                " WHERE merchant_id = $1 AND (next_check_at IS NOT NULL OR parked_at IS NOT NULL)",
                self._merchant_id,
            )
            report = await verify(
                cast(asyncpg.Connection, connection), settings=self._settings(), merchant_id=self._merchant_id
            )
        assert left == 0
        assert not report.violations, report.violations

    async def _compare(self) -> None:
        reads = self._life.runtime.reads
        for payment in self._shop.payments:
            found = await reads.payment(self._merchant_id, payment.payment_id)
            assert found is not None
            view = payment_view(found[0], in_doubt=found[1])
            expected = self._shop.expected(payment)
            assert {name: getattr(view, name) for name in expected} == expected, (view, payment)
            late = (found[0].amount_late, found[0].amount_late_accepted, found[0].amount_late_returned)
            assert late == (payment.late, payment.accepted, payment.returned), (found[0], payment)
            for refund in payment.refunds:
                if refund.refund_id:
                    stored = await reads.refund(self._merchant_id, refund.refund_id)
                    assert stored is not None
                    assert (stored[0].state, stored[0].amount) == (refund.state, refund.amount), refund

    def _settings(self) -> Settings:
        return replace(PATIENT, clock_shift_ms=self._time.shift_ms)

    def _recover(self) -> None:
        self._life.recover(self._time, ROUNDS)

    def _new(self, kind: str, amount: int | None, payment: Payment, story: str) -> Instruction:
        return Instruction(f"key-{next(self._keys)}", kind, amount, amount, payment, story)

    def _again(self, instruction: Instruction) -> Instruction:
        return Instruction(
            instruction.key, instruction.kind, instruction.amount, instruction.asked_amount, instruction.payment
        )

    def _instruction(self, which: int) -> Instruction:
        return self._shop.instructions[which % len(self._shop.instructions)]

    def _payment(self, which: int) -> Payment:
        return self._shop.payments[which % len(self._shop.payments)]

    def _charges(self, status: str) -> list[Charge]:
        return [charge for charge in self._bank.charges if charge.status == status]

    def _in_states(self, *states: str) -> list[Payment]:
        return [payment for payment in self._shop.payments if payment.state in states]

    def _one_of(self, which: int, *states: str) -> Payment:
        fitting = self._in_states(*states)
        return fitting[which % len(fitting)]

    def _chance(self, which: int) -> tuple[Payment, str]:
        """A payment, and an instruction that its state allows."""
        accepted = [payment for payment in self._shop.payments if payment.accepted]
        fitting = self._in_states("authorized", "requires_action", "captured") + accepted or self._shop.payments
        payment = fitting[which % len(fitting)]
        if payment.state == "captured" or payment.accepted:
            return payment, "refund"
        return payment, "capture" if payment.state == "authorized" and which % 3 else "cancel"

    def _send(self, runtime: Runtime, instruction: Instruction) -> Coroutine[Any, Any, Reply]:
        client, payment_id = Client(runtime, self._merchant_id), instruction.payment.payment_id
        sends: dict[str, Callable[[], Coroutine[Any, Any, Reply]]] = {
            "create": lambda: client.create(
                instruction.key, instruction.asked_amount or 0, manual=instruction.payment.manual
            ),
            "capture": lambda: client.capture(instruction.key, payment_id, instruction.asked_amount),
            "cancel": lambda: client.cancel(instruction.key, payment_id),
            "refund": lambda: client.refund(instruction.key, payment_id, instruction.asked_amount),
        }
        return sends[instruction.kind]()

    def _expect(self, instruction: Instruction) -> None:
        kind = "authorize" if instruction.kind == "create" else instruction.kind
        self._bank.expect(self._merchant_id, instruction.key, kind, *STORIES[instruction.story][0])

    def _begin_late(self, instruction: Instruction, *, hangs_up: bool) -> None:
        """Sent, and the bank's answer takes long. A client that hangs up meanwhile cancels nothing."""
        self._expect(instruction)
        task = self._life.start(self._send(self._life.runtime, instruction))
        if hangs_up:
            self._life.hang_up(task)
        self._late.append((instruction, None if hangs_up else task))

    def _late_answer(self, instruction: Instruction, task: asyncio.Task[Reply] | None) -> Reply:
        """What the client gets, or what it finds when it comes back."""
        if task is not None:
            return self._life.wait_for(task)

        async def asked_again() -> Reply:
            return await eventually_async(
                lambda: self._send(self._life.runtime, instruction),
                until=lambda reply: reply.status == 202 or reply.retry_after_s is None,
                within_s=PATIENCE_S,
                interval_s=0.001,
            )

        return self._life.run(asked_again())

    def _ask(self, instruction: Instruction) -> None:
        if self._shop.begin(instruction):
            self._expect(instruction)
        self._check(instruction, self._life.run(self._send(self._life.runtime, instruction)), replayed=False)

    def _at_once(self, *instructions: Instruction) -> list[Reply]:
        async def together() -> list[Reply]:
            return list(await asyncio.gather(*(self._send(self._life.runtime, each) for each in instructions)))

        return self._life.run(together())

    def _race(self, instructions: list[Instruction]) -> None:
        """All at once. Who came first is seen from who was not refused; the model then plays them in that order."""
        for instruction in instructions:
            self._expect(instruction)
        replies = self._at_once(*instructions)
        # One that asks for all that is left leaves nothing to those after it.
        order = sorted(
            zip(instructions, replies, strict=True), key=lambda pair: (pair[1].status == 409, pair[0].amount is None)
        )
        for instruction, reply in order:
            if reply.status == 409 and instruction.payment.captured_by_hand:
                # The bank refuses the first, which leaves the payment as it was; the second met it on its way.
                self._shop.refuse(instruction)
            else:
                self._shop.begin(instruction)
            self._check(instruction, reply, replayed=False)

    def _check(self, instruction: Instruction, reply: Reply, *, replayed: bool) -> None:
        """The answer to an instruction is what the model says, and for ever the same once it is final."""
        body = read(reply)
        if instruction.progress == "refused":
            assert (reply.status, body["code"], body["retryable"]) == (409, "transition_rejected", False), reply
            final = True
        elif instruction.progress == "final":
            assert reply.status == STATUS[instruction.kind], reply
            assert body["state"] in instruction.subject_state, (body, instruction)
            final = True
        else:
            assert (reply.status, reply.replayed) == (202, False), (reply, instruction)
            final = False
        if reply.status != 409:
            self._learn(instruction, body)
        if final:
            assert reply.replayed == replayed, (reply, instruction)
            recorded = (reply.status, reply.body)
            assert instruction.recorded in (None, recorded), (instruction, reply)
            instruction.recorded = recorded

    def _learn(self, instruction: Instruction, body: dict[str, Any]) -> None:
        known = instruction.payment.payment_id
        if instruction.refund is not None:
            assert instruction.refund.refund_id in ("", body["id"])
            instruction.refund.refund_id = body["id"]
        else:
            assert known in ("", body["id"])
            instruction.payment.payment_id = body["id"]
        if instruction.progress == "open":
            assert instruction.story not in PROMPT, (instruction, body)
