"""Every pair of sources in the table of who settles what happened (``docs/authority.md``) disagrees here, on a real
database: what is believed, what is written, and that nothing else moves.

The table of pairs was written by hand. A pair that is in no story fails.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from tallystick.access.key_store import OPERATORS
from tallystick.decisions.statement_continuity import breaks
from tallystick.domain.authority import PAIRS, Source, authority
from tallystick.domain.notices import ChargeNotice, RefundNotice
from tallystick.domain.subjects import Payment
from tallystick.domain.verdicts import Approved, Declined, Verdict
from tallystick.flows.assembly import open_runtime
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.envelope import envelope_of
from tallystick.kit.clock import utc_now
from tallystick.oversight.differences import differences
from tallystick.oversight.invariants import verify
from tallystick.oversight.layers import layers_of
from tallystick.providers.port import ProviderCall
from tallystick.providers.stripe.receiver import StripeReceiver
from tests.support.bank_statements import camt053
from tests.support.card_bank import signed
from tests.support.database import Database
from tests.support.inbox import PATIENT_WEBHOOKS, WEBHOOK_SETTINGS, accept, drain, envelope, states
from tests.support.letters import new_letters
from tests.support.payouts import at_bank, evidence_of, paid_out
from tests.support.runtime import BookedProvider, Client, read, runtime_of, stored, timed_out
from tests.support.screen import SCREEN
from tests.support.settlement_days import Acquirer, paid, rounds, settled
from tests.support.settlement_imports import imported

Pair = tuple[Source, Source]

#: What Stripe's webhooks are signed with here.
SECRET: Final = "whsec_disagreements"

ACCOUNTING: Final = (
    "Company Account,Merchant Account,Psp Reference,Merchant Reference,Payment Method,Booking Date,TimeZone,"
    "Main Currency,Main Amount,Record Type,Payment Currency,Received (PC),Authorized (PC),Captured (PC),"
    "Settlement Currency,Payable (SC),Commission (SC),Markup (SC),Scheme Fees (SC),Interchange (SC),"
    "Processing Fee Currency,Processing Fee (FC),Modification Psp Reference\n"
    "Shop,ShopEU,{charge},,visa,2026-03-02 10:00:01,CET,EUR,99.00,Settled,EUR,,-99.00,99.00,EUR,98.00,1.00,,,,,,M\n"
)


def kept(*pairs: Pair, as_: str, settles: str) -> None:
    """The table says this of all of these."""
    for pair in pairs:
        row = authority(*pair)
        assert (row.kept, row.settles) == (as_, settles), pair


async def money(runtime: Runtime, merchant_id: str, payment_id: str) -> dict[str, int]:
    """What a payment's postings come to, debits less credits by account."""
    rows = await runtime.pool.fetch(
        "SELECT debit, credit, amount FROM transfer WHERE merchant_id = $1 AND stream_id = $2", merchant_id, payment_id
    )
    sums: dict[str, int] = {}
    for row in rows:
        sums[row["debit"]] = sums.get(row["debit"], 0) + row["amount"]
        sums[row["credit"]] = sums.get(row["credit"], 0) - row["amount"]
    return {name: amount for name, amount in sums.items() if amount}


async def cases(runtime: Runtime, payment_id: str) -> int:
    found: int = await runtime.pool.fetchval(
        "SELECT count(*) FROM rejected_case c JOIN rejection r ON r.rejection_id = c.rejection_id"
        " WHERE c.from_stream_id = $1",
        payment_id,
    )
    return found


async def told(database: Database, runtime: Runtime, payment: Payment, notice: Any) -> str:
    """A webhook, and what became of it."""
    name = new_letters()
    await accept(database, [envelope(name, notice, payment=payment)])
    await drain(runtime, payment.merchant_id)
    return (await states(runtime, payment.merchant_id))[name]


class Asked(BookedProvider):
    """A provider that answers ``says`` when it is asked what became of a call; by default what it did."""

    says: Verdict | None = None

    async def fetch(self, call: ProviderCall) -> Verdict:
        return self.says or await super().fetch(call)


def _taken(amount: int) -> Approved:
    return Approved(amount=amount, currency="EUR", effect="captured", reference="ch_x")


async def words(database: Database, merchant_id: str, where: Path) -> None:
    """What a provider says in three ways, and what the ledger has."""
    provider = Asked()
    async with runtime_of(database.app_url, provider, settings=PATIENT_WEBHOOKS) as runtime:
        # A payment of 1,000; a webhook has 999, and the look-up says so too: a case, and no money moves.
        made = await paid(runtime, merchant_id)
        payment = await stored(runtime, merchant_id, made["id"])
        provider.says = _taken(999)
        assert await told(database, runtime, payment, ChargeNotice(verdict=_taken(999))) == "conflict"
        assert await cases(runtime, made["id"]) == 1
        assert await money(runtime, merchant_id, made["id"]) == {"provider:simulator": 1_000, "merchant": -1_000}
        # A webhook has 999, and the look-up what the record has: the webhook was wrong.
        made = await paid(runtime, merchant_id)
        payment = await stored(runtime, merchant_id, made["id"])
        provider.says = _taken(1_000)
        assert await told(database, runtime, payment, ChargeNotice(verdict=_taken(999))) in (
            "stale",
            "duplicate_effect",
        )
        assert await cases(runtime, made["id"]) == 0
        # The answer was no; a webhook and the look-up say that it was taken: late money in suspense, and a case.
        no = Declined(code="card_declined", message="No.")

        async def declined(_: ProviderCall) -> Verdict:
            return no

        provider.after = declined
        made = read(await Client(runtime, merchant_id).create(new_letters()))
        assert made["state"] == "declined"
        provider.says = _taken(1_000)
        payment = await stored(runtime, merchant_id, made["id"])
        assert await told(database, runtime, payment, ChargeNotice(verdict=_taken(1_000))) == "applied"
        assert await money(runtime, merchant_id, made["id"]) == {
            "provider:simulator": 1_000,
            "suspense:simulator": -1_000,
        }
        assert await cases(runtime, made["id"]) == 1
        # The answer was no, a webhook says yes, and the look-up says no: nothing moves.
        made = read(await Client(runtime, merchant_id).create(new_letters()))
        provider.says = no
        payment = await stored(runtime, merchant_id, made["id"])
        assert await told(database, runtime, payment, ChargeNotice(verdict=_taken(1_000))) == "stale"
        assert await money(runtime, merchant_id, made["id"]) == {}
        # No answer came: nothing is posted, and the attempt is looked at again.
        provider.after = timed_out
        made = read(await Client(runtime, merchant_id).create(new_letters()))
        assert await money(runtime, merchant_id, made["id"]) == {}
        assert await runtime.pool.fetchval("SELECT state FROM attempt WHERE payment_id = $1", made["id"]) == "unknown"
        # A refund of what was never taken: the event waits for it, and is a dead letter in the end.
        payment = await stored(runtime, merchant_id, made["id"])
        said = RefundNotice(reference=new_letters(), amount=5, currency="EUR")
        assert await told(database, runtime, payment, said) == "dead"
        assert await money(runtime, merchant_id, made["id"]) == {}
    kept(("record", "webhook"), ("record", "answer"), ("answer", "webhook"), as_="rejection", settles="look_up")
    kept(("answer", "look_up"), ("webhook", "look_up"), as_="rejection", settles="look_up")
    kept(("record", "look_up"), ("look_up", "ledger_balance"), as_="suspense", settles="look_up")
    kept(("answer", "ledger_balance"), as_="nothing_moves", settles="answer")
    kept(("webhook", "ledger_balance"), as_="dead_letter", settles="look_up")


async def ledger(database: Database, merchant_id: str, where: Path) -> None:
    """A balance that no step explains is what ``verify`` prints."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        await paid(runtime, merchant_id)
    owner = await asyncpg.connect(database.owner_url)
    try:
        change = owner.transaction(isolation="repeatable_read")
        await change.start()
        await owner.execute("UPDATE balance SET debits = debits + 1 WHERE merchant_id = $1", merchant_id)
        report = await verify(owner, settings=WEBHOOK_SETTINGS, merchant_id=merchant_id)
        await change.rollback()
    finally:
        await owner.close()
    assert not report.holds
    kept(("record", "ledger_balance"), as_="violation", settles="record")


async def rows(database: Database, merchant_id: str, where: Path) -> None:
    """Rows against a record, a declined call, a webhook and a look-up; and the sums of both."""
    provider = BookedProvider()
    async with runtime_of(database.app_url, provider, settings=PATIENT_WEBHOOKS) as runtime:
        off, refund_of = await paid(runtime, merchant_id), await paid(runtime, merchant_id)
        name = new_letters()
        notice = RefundNotice(reference=name, amount=400, currency="EUR")
        assert await told(database, runtime, await stored(runtime, merchant_id, refund_of["id"]), notice) == "applied"
        no = Declined(code="card_declined", message="No.")

        async def declined(_: ProviderCall) -> Verdict:
            return no

        provider.after = declined
        by_answer = read(await Client(runtime, merchant_id).create(new_letters()))
        provider.after = timed_out
        by_look_up = read(await Client(runtime, merchant_id).create(new_letters()))
        attempts = {
            row["payment_id"]: row["attempt_id"]
            for row in await runtime.pool.fetch(
                "SELECT payment_id, attempt_id FROM attempt WHERE merchant_id = $1", merchant_id
            )
        }
        file = Acquirer()
        file.of(off, "charge", 999)
        file.row("refund", -401, charge=refund_of["charge"], effect=name)
        for made in (by_answer, by_look_up):
            file.row("charge", 1_000, merchant_reference=attempts[made["id"]], effect=new_letters())
        file_id, _, batch = await settled(runtime, file.text(), where)
        found = await runtime.pool.fetch(
            "SELECT status, reason, compared FROM settlement_evidence WHERE file_id = $1 ORDER BY position", file_id
        )
        assert [f"{row['status']}: {row['reason']}" for row in found] == [
            "mismatched: amount",
            "mismatched: amount",
            "mismatched: state",
            "mismatched: state",
        ]
        assert batch.unexplained == 999 - 401 + 2_000, "the money waits apart, whole"
        for each in await differences(runtime.stores.evidence, "simulator"):
            assert each.unexplained_remainder == 0
            assert each.difference == sum(cause.amount for cause in each.causes)
    kept(
        ("record", "settlement_row"),
        ("answer", "settlement_row"),
        ("webhook", "settlement_row"),
        ("look_up", "settlement_row"),
        ("settlement_row", "ledger_balance"),
        as_="evidence",
        settles="settlement_row",
    )


async def bank(database: Database, merchant_id: str, where: Path) -> None:
    """Entries against a record, a payout's row, and the statement before."""
    account = new_letters()
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        made = await paid(runtime, merchant_id)
        [name] = await paid_out(runtime, merchant_id, where, 500)
        # 1,000 of a payment by its name, 485 of a payout of 500; then a statement that does not go on from it.
        text = camt053([(1_000, f"for {made['id']}"), (485, f"TX {name}")], 0, number=1)
        await imported(runtime, text, where, name="one", account=account)
        await imported(runtime, camt053([(1, "x")], 9_999, number=2), where, name="two", account=account)
        await rounds(runtime)
        assert [each[2:4] for each in await evidence_of(runtime, account)] == [
            ("unexplained", "not_in_record"),
            ("mismatched", "amount"),
            ("unexplained", "not_in_record"),
        ]
        assert await at_bank(runtime, account) == {
            f"bank:{account}": 1_486,
            f"unexplained:bank:{account}": -1_001,
            "bank_in_transit:simulator": -485,
        }
        heads = [each for each in await runtime.stores.bank.heads() if each.account == account]
        assert [(each.kind, each.amount) for each in breaks(heads)] == [("opening", 9_999 - 1_485)]
        assert (await stored(runtime, merchant_id, made["id"])).version == 2, "no entry moves a payment"
    kept(("record", "bank_entry"), as_="evidence", settles="person")
    kept(("settlement_row", "bank_entry"), as_="evidence", settles="bank_entry")
    kept(("bank_entry", "ledger_balance"), as_="batch_fault", settles="bank_entry")


async def payout_paid(database: Database, runtime: Runtime, payout: str, amount: int) -> str:
    """Stripe's webhook says that a payout was paid; what became of the event."""
    thing = {"id": payout, "object": "payout", "amount": amount, "currency": "eur", "status": "paid"}
    name = f"evt_{new_letters()}"
    event = {"id": name, "object": "event", "type": "payout.paid", "created": int(utc_now().timestamp())}
    body = json.dumps(event | {"data": {"object": thing}}).encode()
    headers, now = signed(body, SECRET, "stripe"), utc_now()
    receiver = StripeReceiver("main", [SECRET])
    await accept(
        database,
        [envelope_of(receiver, each, body, headers, now, SCREEN) for each in receiver.receive(body, headers, now)],
    )
    await drain(runtime)  # it names no merchant
    return (await states(runtime))[name]


#: Amounts of this story alone: an entry that names nothing known may be a payout of its amount, of any test before.
CALL: Final = 40_961
BACK: Final = 4_093
PAYOUT: Final = 50_021


async def off_at_bank(runtime: Runtime) -> int:
    """What of Stripe's payouts in EUR arrived more or less than was sent."""
    layers = await layers_of(runtime.stores.balances, "stripe")
    causes = [cause for each in layers if (each.layer, each.currency) == ("payouts", "EUR") for cause in each.causes]
    return sum(cause.amount for cause in causes if cause.cause == "mismatched: amount")


async def arrivals(database: Database, merchant_id: str, where: Path) -> None:
    """Entries against a provider's word: two calls of which it says that they took nothing, a refund that it says was
    given, and a payout that it says was paid. The bank's balance is what the bank booked; what nobody explains waits
    for a person, and no word and no payment moves for it."""
    account, provider, stripe = new_letters(), Asked(), BookedProvider()
    no = Declined(code="card_declined", message="No.")

    async def declined(_: ProviderCall) -> Verdict:
        return no

    async with open_runtime(
        PATIENT_WEBHOOKS, database.app_url, providers={"simulator": provider, "stripe": stripe}
    ) as runtime:
        client = Client(runtime, merchant_id)
        given = await paid(runtime, merchant_id, CALL)
        name = new_letters()
        back = RefundNotice(reference=name, amount=BACK, currency="EUR")
        assert await told(database, runtime, await stored(runtime, merchant_id, given["id"]), back) == "applied"
        # The answer was no, and nobody says anything else.
        provider.after = declined
        answered = read(await client.create(new_letters(), CALL))
        # The answer was no, a webhook says yes, and the look-up says no: the look-up is believed.
        looked_up = read(await client.create(new_letters(), CALL))
        provider.says = no
        payment = await stored(runtime, merchant_id, looked_up["id"])
        assert await told(database, runtime, payment, ChargeNotice(verdict=_taken(CALL))) == "stale"
        # A payout of which the webhook says that it was paid.
        file, payout = Acquirer(), f"po_{new_letters()}"
        file.of(await paid(runtime, merchant_id, PAYOUT, "stripe"), "charge", PAYOUT)
        file.row("payout", -PAYOUT, effect=payout)
        await imported(runtime, file.text(), where, name="payout", provider="stripe")
        assert await payout_paid(database, runtime, payout, PAYOUT) == "unknown_type", "it is kept, and moves nothing"
        made = (given, answered, looked_up)
        before, off = [await money(runtime, merchant_id, each["id"]) for each in made], await off_at_bank(runtime)
        assert before == [{"provider:simulator": CALL - BACK, "merchant": BACK - CALL}, {}, {}]
        # The bank has the money of the two calls and of the refund, and 0.15 less than the payout.
        entries = [
            (CALL, f"for {answered['id']}"),
            (CALL, f"for {looked_up['id']}"),
            (BACK, f"returned {name}"),
            (PAYOUT - 15, f"TX {payout}"),
        ]
        await imported(runtime, camt053(entries, 0), where, name="entries", account=account)
        await rounds(runtime)
        found = [(each[0], *each[2:4], each[6]) for each in await evidence_of(runtime, account)]
        assert found == [
            (CALL, "unexplained", "not_in_record", CALL),
            (CALL, "unexplained", "not_in_record", CALL),
            (BACK, "unexplained", "not_in_record", BACK),
            (PAYOUT - 15, "mismatched", "amount", -15),
        ]
        assert await at_bank(runtime, account) == {
            f"bank:{account}": 2 * CALL + BACK + PAYOUT - 15,
            f"unexplained:bank:{account}": -(2 * CALL + BACK),
            "bank_in_transit:stripe": -(PAYOUT - 15),
        }
        assert [await money(runtime, merchant_id, each["id"]) for each in made] == before
        assert await off_at_bank(runtime) - off == -15
    kept(
        ("answer", "bank_entry"),
        ("webhook", "bank_entry"),
        ("look_up", "bank_entry"),
        as_="evidence",
        settles="bank_entry",
    )


async def report(database: Database, merchant_id: str, where: Path) -> None:
    """A provider's list of events says that 99.00 were captured, against all others that say 10.00: it is kept with its
    rows beside theirs, and posts nothing."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        made = await paid(runtime, merchant_id)
        before = await money(runtime, merchant_id, made["id"])
        steps = await runtime.pool.fetchval("SELECT count(*) FROM transition WHERE merchant_id = $1", OPERATORS)
        text = ACCOUNTING.format(charge=made["charge"])
        done = await imported(runtime, text, where, name="report", provider="simulator", zone="Europe/Amsterdam")
        assert (done.file.state, done.file.purpose, done.file.rows) == ("imported", "compare", 1)
        await rounds(runtime)
        assert await money(runtime, merchant_id, made["id"]) == before
        kept_rows = await runtime.pool.fetch(
            "SELECT kind, gross FROM settlement_row WHERE file_id = $1", done.file.file_id
        )
        assert [(row["kind"], row["gross"]) for row in kept_rows] == [("charge", 9_900)]
        sets = await runtime.pool.fetchval(
            "SELECT count(*) FROM settlement_evidence_set WHERE file_id = $1", done.file.file_id
        )
        assert sets == 0, "it is evidence of nothing that is posted"
        found = await runtime.stores.report_evidence.of_file(done.file, 10)
        assert found is not None
        [row] = found.exceptions
        assert (row.status, row.reason, row.payment_id) == ("mismatched", "amount", made["id"])
        assert row.compared["amount"] == [9_900, 1_000], "both values are kept"
        after = await runtime.pool.fetchval("SELECT count(*) FROM transition WHERE merchant_id = $1", OPERATORS)
        assert after == steps
    for source in ("record", "answer", "webhook", "look_up", "settlement_row", "bank_entry", "ledger_balance"):
        assert authority(source, "report").settles != "report"


Story = Callable[[Database, str, Path], Awaitable[None]]

#: Story -> the pairs that disagree in it.
STORIES: Final[dict[Story, tuple[Pair, ...]]] = {
    words: (
        ("record", "answer"),
        ("record", "webhook"),
        ("record", "look_up"),
        ("answer", "webhook"),
        ("answer", "look_up"),
        ("answer", "ledger_balance"),
        ("webhook", "look_up"),
        ("webhook", "ledger_balance"),
        ("look_up", "ledger_balance"),
    ),
    ledger: (("record", "ledger_balance"),),
    rows: (
        ("record", "settlement_row"),
        ("answer", "settlement_row"),
        ("webhook", "settlement_row"),
        ("look_up", "settlement_row"),
        ("settlement_row", "ledger_balance"),
    ),
    bank: (("record", "bank_entry"), ("settlement_row", "bank_entry"), ("bank_entry", "ledger_balance")),
    arrivals: (("answer", "bank_entry"), ("webhook", "bank_entry"), ("look_up", "bank_entry")),
    report: (
        ("record", "report"),
        ("answer", "report"),
        ("webhook", "report"),
        ("look_up", "report"),
        ("settlement_row", "report"),
        ("bank_entry", "report"),
        ("ledger_balance", "report"),
    ),
}


def test_every_pair_is_in_a_story() -> None:
    driven = [frozenset(pair) for pairs in STORIES.values() for pair in pairs]
    assert sorted(map(sorted, driven)) == sorted(sorted(pair) for pair in PAIRS)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_the_pair_disagrees(database: Database, fresh_merchant: str, tmp_path: Path, story: Story) -> None:
    await story(database, fresh_merchant, tmp_path)
