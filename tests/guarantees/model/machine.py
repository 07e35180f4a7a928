"""What may happen to a merchant's payments, as rules; the runtime and the model are compared after every step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from tests.guarantees.model.driver import WEEKS_MS
from tests.guarantees.model.late import AfterTheEnd, when
from tests.guarantees.model.life import Life
from tests.guarantees.model.provider import STATUS, STORIES, Payment
from tests.support.crash.process import Process
from tests.support.crash.provider import Bank
from tests.support.crash.scenario import gone
from tests.support.runtime import Client, read

PICK = st.integers(min_value=0, max_value=999)
AMOUNTS = st.sampled_from([1, 2, 333, 600, 1_000])
ASKED = st.sampled_from([None, 1, 333, 600, 1_000, 1_001, 5_000])
AFTER_CREATE = [story for story in STORIES if story not in ("action_required", "late_answer", "key_taken")]
#: What the first payments are like: captured or held, without money, or waiting for their payer.
BEGUN = st.sampled_from(["ok", "declined", "action_required"])
KINDS = st.sampled_from(["capture", "cancel", "refund"])


class Machine(AfterTheEnd):
    """All that may happen."""

    @initialize(forgetful=st.booleans(), payments=st.lists(st.tuples(st.booleans(), BEGUN), max_size=3))
    def open(self, forgetful: bool, payments: Sequence[tuple[bool, str]] = ()) -> None:
        """A bank, and a runtime that talks to it. Some payments, so that there is something to follow up."""
        self._bank = Bank(forgetful=forgetful)
        self._life = Life(self.url, self._settings(), self._bank)
        for manual, story in payments:
            self.create(1_000, manual, story)

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

    @rule(which=PICK, amount=ASKED, story=st.sampled_from(AFTER_CREATE))
    @when(lambda self: self._in_states("authorized", "requires_action", "captured"))
    def sensible_follow_up(self, which: int, amount: int | None, story: str) -> None:
        """A follow-up that has a chance."""
        payment, kind = self._chance(which)
        self._ask(self._new(kind, amount, payment, story))

    @rule(which=PICK, amount=ASKED, hangs_up=st.booleans())
    @when(lambda self: self._in_states("authorized", "requires_action", "captured"))
    def follow_up_with_a_late_answer(self, which: int, amount: int | None, hangs_up: bool) -> None:
        """The bank executes it, and its answer takes long."""
        payment, kind = self._chance(which)
        instruction = self._new(kind, amount, payment, "late_answer")
        if self._shop.begin(instruction):
            self._begin_late(instruction, hangs_up=hangs_up)
        else:
            self._check(instruction, self._life.run(self._send(self._life.runtime, instruction)), replayed=False)

    @rule(amount=AMOUNTS, manual=st.booleans(), hangs_up=st.booleans())
    def create_with_a_late_answer(self, amount: int, manual: bool, hangs_up: bool) -> None:
        """The client that asks again meanwhile is told which payment it is."""
        instruction = self._new("create", amount, Payment(amount, manual), "late_answer")
        self._shop.begin(instruction)
        self._begin_late(instruction, hangs_up=hangs_up)
        reply = self._life.run(self._send(self._life.runtime, instruction))
        assert (reply.status, read(reply)["code"]) == (409, "instruction_in_flight"), reply
        instruction.payment.payment_id = read(reply)["payment_id"]

    @precondition(lambda self: self._shop.instructions)
    @rule(which=PICK)
    def same_again(self, which: int) -> None:
        """A retry: the same key and the same payload."""
        instruction = self._instruction(which)
        reply = self._life.run(self._send(self._life.runtime, instruction))
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
        client = Client(self._life.runtime, self._merchant_id)
        if instruction.kind == "cancel":
            reply, field = self._life.run(client.create(instruction.key, 77)), "operation"
        else:
            other = self._again(instruction)
            other.asked_amount = 4_321
            reply, field = self._life.run(self._send(self._life.runtime, other)), "amount"
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

    @rule(which=PICK, amount=st.sampled_from([None, 1, 5_000]), slow=st.booleans())
    @when(lambda self: self._in_states("authorized", "requires_action"))
    def capture_against_cancel(self, which: int, amount: int | None, slow: bool) -> None:
        """One of them; the other is refused, and stays refused."""
        payment = self._one_of(which, "authorized", "requires_action")
        story = "slow" if slow else "ok"
        pair = [self._new("capture", amount, payment, story), self._new("cancel", None, payment, story)]
        self._race(pair)

    @rule(which=PICK, amounts=st.lists(ASKED, min_size=2, max_size=4), slow=st.booleans())
    @when(lambda self: self._in_states("captured"))
    def refunds_at_once(self, which: int, amounts: list[int | None], slow: bool) -> None:
        """Those that fit together."""
        payment = self._one_of(which, "captured")
        story = "slow" if slow else "ok"
        self._race([self._new("refund", amount, payment, story) for amount in amounts])

    # What happens elsewhere.

    @rule(which=PICK, completes=st.booleans())
    @when(lambda self: self._charges("waiting"))
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

    @rule(which=PICK)
    @when(lambda self: self._charges("authorized"))
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

    @rule()
    @when(lambda self: self._late)
    def late_answers_arrive(self) -> None:
        """Each client gets the final answer, whoever found it first."""
        self._life.deliver()
        late, self._late = self._late, []
        for instruction, task in late:
            if instruction.progress == "open":
                self._shop.finish(instruction, executed=True)
            reply = self._late_answer(instruction, task)
            assert reply.status == STATUS[instruction.kind], reply
            self._check(instruction, reply, replayed=task is None)

    @rule()
    def restart(self) -> None:
        """The process dies with all that is under way, and another takes over."""
        self._life.die()
        self._dead.append(self._life)
        self._late.clear()
        self._life = Life(self.url, self._settings(), self._bank)
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
        victim = Process(self.url, self._settings(), self._bank, kill_at=step, every_await=True)
        self._dead.append(victim)
        victim.live(lambda runtime: self._send(runtime, instruction))
        self._life.run(gone(self._life.runtime, victim.server_pids))
        self._recover()
        self._shop.begin(instruction)
        reply = self._life.run(self._send(self._life.runtime, instruction))
        self._check(instruction, reply, replayed=reply.replayed)
        self._shop.recover()
        self._recover()

    def still_waiting(self) -> bool:
        """Whether some customer can act."""
        return bool(self._charges("waiting"))

    def still_held(self) -> bool:
        """Whether some hold can be captured by hand."""
        return bool(self._charges("authorized"))

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
        while self.still_in_doubt():
            self.a_person_settles(0, executed=True)
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
            self._check(instruction, self._life.run(self._send(self._life.runtime, instruction)), replayed=True)
        self._tally()
        self._life.run(self._verify())


@contextmanager
def machine(url: str, *, forgetful: bool) -> Iterator[Machine]:
    """A machine that converges in the end: everything final, both books the same, all invariants holding."""

    class Here(Machine):
        pass

    Here.url = url
    driven = Here()
    driven.open(forgetful)
    try:
        yield driven
    finally:
        driven.teardown()
