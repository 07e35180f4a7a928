"""Drives the core and the model side by side, and compares them after every step."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, cast

import asyncpg
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from tallystick.core import Core
from tallystick.ids import new_id
from tallystick.invariants import verify
from tallystick.replies import Reply
from tallystick.settings import Settings
from tallystick.views import payment_view
from tests.crash.bank import Bank, Charge
from tests.crash.process import Process
from tests.crash.scene import SETTINGS, Time, gone
from tests.model.life import Life
from tests.model.shop import PROMPT, STATUS, STORIES, Instruction, Payment, Shop
from tests.races.stack import Client, read

DAY_MS = 86_400_000

#: Rounds of recovery after which all that a machine's stories hold is settled, with some to spare.
ROUNDS = 6

#: The bank's patience and the customer's are longer than all the recoveries of one example.
PATIENT = replace(SETTINGS, action_deadline_ms=5 * DAY_MS, pending_deadline_ms=30 * DAY_MS)

#: After this, nobody waits any longer.
WEEKS_MS = 20 * DAY_MS

PICK = st.integers(min_value=0, max_value=999)
AMOUNTS = st.sampled_from([1, 2, 333, 600, 1_000])
ASKED = st.sampled_from([None, 1, 333, 600, 1_000, 1_001, 5_000])
AFTER_CREATE = [story for story in STORIES if story not in ("action_required", "late_answer")]
KINDS = st.sampled_from(["capture", "cancel", "refund"])


class Machine(RuleBasedStateMachine):
    """One merchant, one bank, one core at a time."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._merchant_id = "m" + new_id("ins")[-16:]
        self._keys = count(1)
        self._time = Time()
        self._shop = Shop()
        self._dead: list[Life | Process] = []
        self._late: list[tuple[Instruction, asyncio.Task[Reply]]] = []

    @initialize(forgetful=st.booleans())
    def open(self, forgetful: bool) -> None:
        """A bank, and a core that talks to it."""
        self._bank = Bank(forgetful=forgetful)
        self._life = Life(self._url, self._settings(), self._bank)

    # What clients ask for.

    @rule(amount=AMOUNTS, manual=st.booleans(), story=st.sampled_from([*AFTER_CREATE, "action_required"]))
    def create(self, amount: int, manual: bool, story: str) -> None:
        """A new payment."""
        self._ask(self._new("create", amount, Payment(amount, manual), story))

    @precondition(lambda self: self._shop.payments)
    @rule(kind=KINDS, which=PICK, amount=ASKED, story=st.sampled_from(AFTER_CREATE))
    def follow_up(self, kind: str, which: int, amount: int | None, story: str) -> None:
        """A capture, cancel or refund; full, partial, too much or not allowed at all."""
        self._ask(self._new(kind, amount, self._payment(which), story))

    @precondition(lambda self: self._in_states("authorized", "requires_action", "captured"))
    @rule(which=PICK, amount=ASKED, story=st.sampled_from(AFTER_CREATE))
    def sensible_follow_up(self, which: int, amount: int | None, story: str) -> None:
        """A follow-up that has a chance."""
        payment, kind = self._chance(which)
        self._ask(self._new(kind, amount, payment, story))

    @precondition(lambda self: self._in_states("authorized", "requires_action", "captured"))
    @rule(which=PICK, amount=ASKED)
    def follow_up_with_a_late_answer(self, which: int, amount: int | None) -> None:
        """The bank executes it, and its answer takes long."""
        payment, kind = self._chance(which)
        instruction = self._new(kind, amount, payment, "late_answer")
        if self._shop.begin(instruction):
            self._expect(instruction)
            self._late.append((instruction, self._life.start(self._send(self._life.core, instruction))))
        else:
            self._check(instruction, self._life.run(self._send(self._life.core, instruction)), replayed=False)

    @rule(amount=AMOUNTS, manual=st.booleans())
    def create_with_a_late_answer(self, amount: int, manual: bool) -> None:
        """The client that asks again meanwhile is told which payment it is."""
        instruction = self._new("create", amount, Payment(amount, manual), "late_answer")
        self._shop.begin(instruction)
        self._expect(instruction)
        self._late.append((instruction, self._life.start(self._send(self._life.core, instruction))))
        reply = self._life.run(self._send(self._life.core, instruction))
        assert (reply.status, read(reply)["code"]) == (409, "instruction_in_flight"), reply
        instruction.payment.payment_id = read(reply)["payment_id"]

    @precondition(lambda self: self._shop.instructions)
    @rule(which=PICK)
    def same_again(self, which: int) -> None:
        """A retry: the same key and the same payload."""
        instruction = self._instruction(which)
        reply = self._life.run(self._send(self._life.core, instruction))
        if any(late is instruction and late.progress == "open" for late, _ in self._late):
            assert (reply.status, read(reply)["code"]) == (409, "instruction_in_flight")
            assert read(reply)["payment_id"] == instruction.payment.payment_id
        else:
            self._check(instruction, reply, replayed=True)

    @precondition(lambda self: self._shop.instructions)
    @rule(which=PICK)
    def same_key_with_another_payload(self, which: int) -> None:
        """Refused, and the field that differs is named."""
        instruction = self._instruction(which)
        client = Client(self._life.core, self._merchant_id)
        if instruction.kind == "cancel":
            reply, field = self._life.run(client.create(instruction.key, 77)), "operation"
        else:
            other = self._again(instruction)
            other.asked_amount = 4_321
            reply, field = self._life.run(self._send(self._life.core, other)), "amount"
        body = read(reply)
        assert (reply.status, body["code"]) == (422, "idempotency_key_reused"), reply
        assert [error["field"] for error in body["errors"]] == [field]

    # What happens at the same time.

    @rule(amount=AMOUNTS, manual=st.booleans(), clients=st.integers(min_value=2, max_value=5))
    def one_key_at_once(self, amount: int, manual: bool, clients: int) -> None:
        """One executes; the others are told so, or replayed."""
        instruction = self._new("create", amount, Payment(amount, manual), "slow")
        assert self._shop.begin(instruction)
        self._expect(instruction)
        replies = self._at_once(*(instruction for _ in range(clients)))
        first = [reply for reply in replies if reply.status == 201 and not reply.replayed]
        assert len(first) == 1, replies
        self._check(instruction, first[0], replayed=False)
        for reply in replies:
            assert reply.body == first[0].body or read(reply)["code"] == "instruction_in_flight", reply

    @precondition(lambda self: self._in_states("authorized", "requires_action"))
    @rule(which=PICK, amount=st.sampled_from([None, 1, 5_000]), slow=st.booleans())
    def capture_against_cancel(self, which: int, amount: int | None, slow: bool) -> None:
        """One of them; the other is refused, and stays refused."""
        payment = self._one_of(which, "authorized", "requires_action")
        story = "slow" if slow else "ok"
        pair = [self._new("capture", amount, payment, story), self._new("cancel", None, payment, story)]
        self._race(pair)

    @precondition(lambda self: self._in_states("captured"))
    @rule(which=PICK, amounts=st.lists(ASKED, min_size=2, max_size=4), slow=st.booleans())
    def refunds_at_once(self, which: int, amounts: list[int | None], slow: bool) -> None:
        """Those that fit together."""
        payment = self._one_of(which, "captured")
        story = "slow" if slow else "ok"
        self._race([self._new("refund", amount, payment, story) for amount in amounts])

    # What happens elsewhere.

    @precondition(lambda self: self._charges("waiting"))
    @rule(which=PICK, completes=st.booleans())
    def customer_acts(self, which: int, completes: bool) -> None:
        """The customer completes or abandons, perhaps while a cancel is under way; the platform hears of it when it
        asks."""
        waiting = self._charges("waiting")
        charge = waiting[which % len(waiting)]
        self._bank.customer(charge, completes=completes)
        payment = next(each for each in self._shop.payments if each.payment_id == charge.payment_id)
        self._recover()
        self._shop.customer(payment, completes=completes)
        self.the_bank_makes_up_its_mind()

    @precondition(lambda self: self._charges("authorized"))
    @rule(which=PICK)
    def captured_by_hand(self, which: int) -> None:
        """In the bank's dashboard: the platform hears of it when it is refused something, or when it looks."""
        holds = self._charges("authorized")
        charge = holds[which % len(holds)]
        self._bank.dashboard_capture(charge)
        payment = next(each for each in self._shop.payments if each.payment_id == charge.payment_id)
        payment.captured_by_hand = True

    @rule()
    def time_passes(self) -> None:
        """Everything that the bank knows becomes known."""
        self._shop.recover()
        self._recover()

    @rule()
    def the_bank_makes_up_its_mind(self) -> None:
        """What was pending is decided, and found out."""
        self._shop.recover()
        self._recover()
        self._bank.mature()
        self._shop.mature()
        self._recover()

    @rule()
    def weeks_pass(self) -> None:
        """Holds that nobody captured, and customers who never came back."""
        self.the_bank_makes_up_its_mind()
        self._time.shift_ms += WEEKS_MS
        self._recover()
        self._shop.expire()

    @precondition(lambda self: self._late)
    @rule()
    def late_answers_arrive(self) -> None:
        """Each client gets the final answer, whoever found it first."""
        self._life.deliver()
        late, self._late = self._late, []
        for instruction, task in late:
            if instruction.progress == "open":
                self._shop.finish(instruction, executed=True)
            reply = self._life.run(_outcome(task))
            assert reply.status == STATUS[instruction.kind], reply
            self._check(instruction, reply, replayed=False)

    @rule()
    def restart(self) -> None:
        """The process dies with all that is under way, and another takes over."""
        self._life.die()
        self._dead.append(self._life)
        self._late.clear()
        self._life = Life(self._url, self._settings(), self._bank)
        self._shop.recover()
        self._recover()

    @precondition(lambda self: self._shop.payments)
    @rule(new=st.booleans(), which=PICK, amount=AMOUNTS, step=st.integers(min_value=0, max_value=70))
    def killed_on_the_way(self, new: bool, which: int, amount: int, step: int) -> None:
        """Another process takes the instruction and dies; the client comes back to this one."""
        self._shop.recover()
        self._recover()
        payment, kind = (Payment(amount, manual=True), "create") if new else self._chance(which)
        instruction = self._new(kind, amount, payment, "ok")
        victim = Process(self._url, self._settings(), self._bank, kill_at=step, every_await=True)
        self._dead.append(victim)
        victim.live(lambda core: self._send(core, instruction))
        self._life.run(gone(self._life.core, victim.server_pids))
        self._recover()
        self._shop.begin(instruction)
        reply = self._life.run(self._send(self._life.core, instruction))
        self._check(instruction, reply, replayed=reply.replayed)
        self._shop.recover()
        self._recover()

    # What must hold.

    @invariant()
    def views_agree(self) -> None:
        """Every payment and refund reads as the model says."""
        if self._shop.payments:
            self._life.run(self._compare())

    def teardown(self) -> None:
        """All answers arrive, all faults end by themselves: everything becomes final, and both books say the same."""
        try:
            if hasattr(self, "_life"):
                self._converge()
        finally:
            if hasattr(self, "_life"):
                self._life.run(self._leave_nothing_due())
                self._life.die()
                self._dead.append(self._life)
            for corpse in self._dead:
                corpse.bury()

    def _converge(self) -> None:
        if self._late:
            self.late_answers_arrive()
        while self._charges("waiting"):
            self.customer_acts(0, completes=False)
        self.the_bank_makes_up_its_mind()
        if any(payment.captured_by_hand and payment.state == "authorized" for payment in self._shop.payments):
            self.weeks_pass()
        self.views_agree()
        for instruction in self._shop.instructions:
            assert instruction.progress != "open", instruction
            self._check(instruction, self._life.run(self._send(self._life.core, instruction)), replayed=True)
        self._tally()
        self._life.run(self._verify())

    async def _leave_nothing_due(self) -> None:
        """Recovery works for every merchant there is: the next example has another bank."""
        pool = self._life.core.pool
        await pool.execute("UPDATE attempt SET next_check_at = NULL WHERE merchant_id = $1", self._merchant_id)
        await pool.execute("DELETE FROM deadline WHERE merchant_id = $1", self._merchant_id)

    def _tally(self) -> None:
        for payment in self._shop.payments:
            effects = self._bank.effects(payment.payment_id)
            assert max(effects.values(), default=0) <= 1, effects
            charges = [charge for charge in self._bank.charges if charge.payment_id == payment.payment_id]
            moved = [(c.captured, c.refunded) for c in charges if c.status not in ("declined", "released")]
            held = payment.state in ("authorized", "captured")
            assert moved == ([(payment.captured, payment.refunded())] if held else []), (payment, charges)

    async def _verify(self) -> None:
        async with self._life.core.pool.acquire() as connection:
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
        reads = self._life.core.reads
        for payment in self._shop.payments:
            found = await reads.payment(self._merchant_id, payment.payment_id)
            assert found is not None
            view = payment_view(found[0], in_doubt=found[1])
            expected = self._shop.expected(payment)
            assert {name: getattr(view, name) for name in expected} == expected, (view, payment)
            for refund in payment.refunds:
                if refund.refund_id:
                    stored = await reads.refund(self._merchant_id, refund.refund_id)
                    assert stored is not None
                    assert (stored[0].state, stored[0].amount) == (refund.state, refund.amount), refund

    # How it is done.

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
        fitting = self._in_states("authorized", "requires_action", "captured") or self._shop.payments
        payment = fitting[which % len(fitting)]
        if payment.state == "captured":
            return payment, "refund"
        return payment, "capture" if payment.state == "authorized" and which % 3 else "cancel"

    def _send(self, core: Core, instruction: Instruction) -> Coroutine[Any, Any, Reply]:
        client, payment_id = Client(core, self._merchant_id), instruction.payment.payment_id
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

    def _ask(self, instruction: Instruction) -> None:
        if self._shop.begin(instruction):
            self._expect(instruction)
        self._check(instruction, self._life.run(self._send(self._life.core, instruction)), replayed=False)

    def _at_once(self, *instructions: Instruction) -> list[Reply]:
        async def together() -> list[Reply]:
            return list(await asyncio.gather(*(self._send(self._life.core, each) for each in instructions)))

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


async def _outcome(task: asyncio.Task[Reply]) -> Reply:
    return await task
