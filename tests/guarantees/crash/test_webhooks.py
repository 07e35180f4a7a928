"""The webhook worker, killed at each of its points: the next one finishes, and each event has its effect once."""

from __future__ import annotations

from typing import Final

import pytest

from tallystick.domain.notices import AttemptNotice, DisputeNotice, Notice
from tallystick.domain.verdicts import Approved, Reversed
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.worker import InboxWorker
from tallystick.kit.ids import new_id
from tests.support.crash.points import OF_ANSWERS, OF_EVERY_CHANGE, OF_THE_INBOX, chosen, subjects
from tests.support.crash.process import Graveyard, Process
from tests.support.crash.provider import Bank
from tests.support.crash.scenario import INSTRUCTIONS, STEP_MS, Case, Survivor, Time, gone, judge, open_case, survivor
from tests.support.database import Database
from tests.support.inbox import accept, envelope
from tests.support.runtime import read

#: What the code has now. Fewer points mean that the enumeration lost sight of something; more are welcome.
POINTS: Final = {"an unknown charge": 30, "a late failure": 30, "a dispute": 30, "nothing new": 20}

#: Without depth. An unknown charge is told at every point all the same.
STRIDE: Final = 11

STORIES: Final = {
    "an unknown charge": ("create", True, "captured"),
    "a late failure": ("refund", False, "failed"),
    "a dispute": ("create", False, "captured"),
    "nothing new": ("create", False, "captured"),
}


async def notice_of(runtime: Runtime, story: str, case: Case, payment_id: str, bank: Bank) -> Notice:
    """What the bank says."""
    loaded = await runtime.reads.load(case.merchant_id, payment_id)
    assert loaded is not None
    attempt = loaded.stored.attempts[-1]
    if story == "a dispute":
        return DisputeNotice(
            reference=f"dp_{payment_id}", state="opened", amount=300, currency="EUR", funds="withdrawn"
        )
    if story == "a late failure":
        verdict: Approved | Reversed = Reversed(code="account_closed", message="The account is closed.")
    else:
        operation = bank.lookup(attempt.attempt_id)
        assert operation is not None
        verdict = Approved(
            amount=attempt.amount, currency=attempt.currency, effect="captured", reference=operation.reference
        )
    return AttemptNotice(operation=attempt.operation, attempt_id=attempt.attempt_id, verdict=verdict)


async def work(runtime: Runtime) -> None:
    """What a worker does with everything that is due."""
    processing = InboxWorker(runtime, runtime.stores.inbox)
    while await processing.round():
        pass


async def resume(runtime: Runtime, time: Time, server_pids: list[int]) -> None:
    """Once the dead are gone and their leases have run out."""
    await gone(runtime, server_pids)
    time.shift_ms += STEP_MS
    runtime.clock.shift_ms = time.shift_ms
    processing = InboxWorker(runtime, runtime.stores.inbox)
    while await processing.round():
        pass


async def undo_at_bank(bank: Bank, payment_id: str) -> None:
    """The bank's books after a refund that came back."""
    for charge in bank.charges:
        if charge.payment_id == payment_id:
            charge.refunded = 0


@pytest.mark.parametrize("story", STORIES)
def test_killed_at_every_point_of_processing(
    own_url: str, fresh_merchant: str, story: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, unanswered, state = STORIES[story]
    bank, time = Bank(), Time()
    database = Database(own_url, own_url)
    cases: list[Case] = []
    names: list[str] = []

    def told(healthy: Survivor, point: str) -> None:
        """A payment that is there, and an event about it in the inbox."""
        case = healthy.run(open_case(healthy.runtime, fresh_merchant, point, INSTRUCTIONS[name]))
        if unanswered:
            bank.expect(fresh_merchant, case.key, "authorize", "timeout_charged")
        reply = healthy.run(case.send(healthy.runtime))
        payment_id = case.payment_id or read(reply)["id"]
        notice = healthy.run(notice_of(healthy.runtime, story, case, payment_id, bank))
        event = envelope(new_id("req"), notice, merchant_id=fresh_merchant, payment_id=payment_id)
        healthy.run(accept(database, [event]))
        if story == "a late failure":
            healthy.run(undo_at_bank(bank, payment_id))
        cases.append(case)
        names.append(event.provider_event_id)

    with Graveyard() as graveyard, survivor(own_url, bank, time) as healthy:
        told(healthy, "nobody dies")
        whole = Process(own_url, time.settings(), bank)
        graveyard.run(whole, work)
        stride = 1 if story == "an unknown charge" else STRIDE
        for number in chosen(whole.points, stride, elsewhere=OF_EVERY_CHANGE | OF_THE_INBOX | OF_ANSWERS):
            told(healthy, f"{number}: {whole.points[number]}")
            victim = Process(own_url, time.settings(), bank, kill_at=number)
            graveyard.run(victim, work)
            assert victim.points == whole.points[: number + 1]
            healthy.run(resume(healthy.runtime, time, victim.server_pids))
        found = healthy.run(
            healthy.runtime.pool.fetch(
                "SELECT e.provider_event_id, e.state, p.results FROM inbox e JOIN (SELECT provider_event_id,"
                " array_agg(result ORDER BY started_at) AS results FROM processing GROUP BY 1) p"
                " USING (provider_event_id)"
                " WHERE e.merchant_id = $1",
                fresh_merchant,
            )
        )
        expected = "duplicate_effect" if story == "nothing new" else "applied"
        ends = {row["provider_event_id"]: (row["state"], list(row["results"])) for row in found}
        assert ends == {each: (expected, [expected]) for each in names}
        wrong = {} if story == "a late failure" else healthy.run(judge(healthy.runtime, bank, time, cases, state, 1))
    with capsys.disabled():
        print(f"\n  {story}: the webhook worker killed at {len(cases) - 1} of {len(whole.points)} points", end="")
    assert not wrong
    assert len(whole.points) >= POINTS[story]
    assert stride > 1 or subjects(whole.points) >= OF_THE_INBOX
