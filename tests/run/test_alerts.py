"""Each alert, provoked in a worker's own rounds on a real database. How long it took to see it is in its row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tallystick.domain.alert import Alert
from tallystick.domain.rates import RateName
from tallystick.domain.verdicts import Approved, Declined, Pending, Verdict
from tallystick.flows.api_process import telling_of_itself
from tallystick.flows.deployments import mark_release
from tallystick.flows.operations.acts import asked_act
from tallystick.flows.payments.attempts import settle_verdict
from tallystick.flows.rates import Rates
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.outbound.endpoints import FAILING
from tallystick.kit.clock import Clock
from tallystick.kit.ids import new_id
from tallystick.oversight.alerts.table import PAGES_AT_MOST, RULES
from tallystick.providers.port import CircuitState, ProviderCall
from tallystick.record.postgres.process_clocks import ToldClock, tell_clocks
from tallystick.record.postgres.rates import RateBook
from tests.support.audit import KEY_TEXT, seal_all
from tests.support.bank_statements import camt053
from tests.support.database import Database, NewDatabase
from tests.support.host_clock import set_host_clock
from tests.support.inbox import accept, again, captured, drain, envelope
from tests.support.outbox import register
from tests.support.polling import eventually_async
from tests.support.receivers import receiving
from tests.support.runtime import BookedProvider, Client, read, runtime_of, timed_out
from tests.support.settlement_days import Acquirer, settled
from tests.support.settlement_imports import imported
from tests.support.watch import alert_of, alerts_of, several_looks, watched


@pytest.fixture
def database(new_database: NewDatabase) -> Database:
    """Of each test alone: alerts are about the whole platform."""
    return new_database()


@pytest.fixture
def seen(record_property: Callable[[str, object], None]) -> Callable[[Alert], Alert]:
    """Keeps how long it took with the test's result."""

    def keep(alert: Alert) -> Alert:
        record_property(f"{alert.name}.detected_in_ms", alert.detected_in_ms)
        assert alert.state == "open" and alert.opened_at >= alert.began_at
        return alert

    return keep


Seen = Callable[[Alert], Alert]


async def captured_late(runtime: Runtime, merchant_id: str) -> None:
    """A payment that was declined, and captured all the same."""
    provider = runtime.providers["simulator"].behind  # type: ignore[attr-defined]

    async def no(call: ProviderCall) -> Verdict | None:
        return Declined(code="card_declined", message="No.") if call.operation == "authorize" else None

    provider.before = no
    payment = read(await Client(runtime, merchant_id).create("declined"))
    loaded = await runtime.reads.load(merchant_id, payment["id"])
    assert loaded is not None and payment["state"] == "declined"
    [attempt] = loaded.stored.attempts
    said = Approved(amount=1_000, currency="EUR", effect="captured", reference="ch_1")
    await settle_verdict(runtime, loaded.stored, attempt.attempt_id, said, cause="webhook", actor="provider:simulator")


async def test_rejected_transition(database: Database, fresh_merchant: str, seen: Seen) -> None:
    async with watched(database.app_url) as runtime:
        await captured_late(runtime, fresh_merchant)
        alert = seen(await alert_of(runtime, "rejected_transition"))
        assert "tallystick rejections show case_" in alert.summary
        [case] = await runtime.stores.cases.groups()
        assert alert.about == f"{case.subject} {case.event}"
        assert alert.began_at == case.newest_at, "it began with the refusal"


async def test_unknown_outcome(database: Database, fresh_merchant: str, seen: Seen) -> None:
    provider = BookedProvider()
    provider.after = timed_out
    async with watched(database.app_url, provider, alert_unknown_amounts="EUR=999,JPY=1") as runtime:
        await Client(runtime, fresh_merchant).create("doubtful", 1_000)
        assert "1000 EUR" in seen(await alert_of(runtime, "unknown_outcome", "age EUR")).summary
        assert "the limit is 999" in seen(await alert_of(runtime, "unknown_outcome", "amount EUR")).summary


async def test_an_unknown_outcome_below_its_limits_is_no_alert(database: Database, fresh_merchant: str) -> None:
    provider = BookedProvider()
    provider.after = timed_out
    limits: dict[str, Any] = {"alert_unknown_amounts": "EUR=1000", "alert_unknown_age_ms": 3_600_000}
    async with watched(database.app_url, provider, **limits) as runtime:
        await Client(runtime, fresh_merchant).create("doubtful", 1_000)
        provider.after = None
        await captured_late(runtime, fresh_merchant)
        await alert_of(runtime, "rejected_transition")  # so everything was looked at
        assert not [each for each in await runtime.stores.alerts.all() if each.name == "unknown_outcome"]


async def dead_letter(database: Database, runtime: Runtime) -> None:
    """An event of a payment that is not here, until its tries are used up."""
    async with runtime_of(database.app_url, BookedProvider()) as other:
        payment = read(await Client(other, "elsewhere").create("known"))
        loaded = await other.reads.load("elsewhere", payment["id"])
    assert loaded is not None
    [attempt] = loaded.stored.attempts
    notice = captured(loaded.stored.payment, attempt.attempt_id)
    gone = "pay_" + "0" * 32
    await accept(database, [envelope("lost", notice, merchant_id="elsewhere", payment_id=gone)])
    await drain(runtime)


async def test_dead_letter_old(database: Database, seen: Seen) -> None:
    async with watched(database.app_url, webhook_dead_letter_alarm_age_ms=0) as runtime:
        await dead_letter(database, runtime)
        assert "1 dead letters wait" in seen(await alert_of(runtime, "dead_letter_old")).summary


async def test_dead_letters_ageing(database: Database, seen: Seen) -> None:
    """Younger than the limit of a dead letter, while nothing else waits."""
    async with watched(database.app_url, alert_queue_age_ms=60_000) as runtime:
        await dead_letter(database, runtime)
        seen(await alert_of(runtime, "dead_letters_ageing"))
        assert not [each for each in await runtime.stores.alerts.all() if each.name == "dead_letter_old"]


async def pending_refund(call: ProviderCall) -> Verdict | None:
    return Pending(reference="later") if call.operation == "refund" else None


async def test_clearing_not_zero(database: Database, fresh_merchant: str, seen: Seen) -> None:
    provider = BookedProvider()
    provider.after = pending_refund
    async with watched(database.app_url, provider) as runtime:
        client = Client(runtime, fresh_merchant)
        payment = read(await client.create("paid"))
        await client.refund("refund", payment["id"], 300)
        alert = seen(await alert_of(runtime, "clearing_not_zero"))
        assert alert.about == "refunds_in_flight:simulator EUR" and "300 EUR" in alert.summary


async def break_a_payment(database: Database, merchant_id: str) -> str:
    """A captured payment whose ledger lost its rows."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment_id = str(read(await Client(runtime, merchant_id).create("paid"))["id"])
    owner = await asyncpg.connect(database.owner_url)
    try:
        await owner.execute("DELETE FROM transfer WHERE merchant_id = $1", merchant_id)
    finally:
        await owner.close()
    return payment_id


async def test_invariant_violated(database: Database, fresh_merchant: str, seen: Seen) -> None:
    payment_id = await break_a_payment(database, fresh_merchant)
    async with watched(database.app_url) as runtime:
        alert = seen(await alert_of(runtime, "invariant_violated", "postings_follow_the_chart"))
        assert payment_id in alert.summary
        seen(await alert_of(runtime, "audit_incomplete", "1h"))


async def test_audit_incomplete(database: Database, fresh_merchant: str, seen: Seen) -> None:
    """It ends when the window no longer has the payment; a whole one beside it does not."""
    await break_a_payment(database, fresh_merchant)
    async with watched(database.app_url) as runtime:
        await Client(runtime, "whole").create("paid")
        assert seen(await alert_of(runtime, "audit_incomplete", "24h")).severity == "notice"


async def test_queue_age_rising(database: Database, fresh_merchant: str, seen: Seen) -> None:
    """Nobody does the rounds of the inbox, and the worker runs."""
    async with watched(database.app_url) as runtime:
        payment = read(await Client(runtime, fresh_merchant).create("paid"))
        loaded = await runtime.reads.load(fresh_merchant, payment["id"])
        assert loaded is not None
        [attempt] = loaded.stored.attempts
        notice = captured(loaded.stored.payment, attempt.attempt_id)
        await accept(database, [envelope("waits", notice, payment=loaded.stored.payment)])
        seen(await alert_of(runtime, "queue_age_rising", "events_to_process"))


async def count(database: Database, age: timedelta, **counts: int) -> None:
    """What processes counted, so long ago."""
    pool = await asyncpg.create_pool(database.app_url, min_size=1, max_size=1)
    names: dict[RateName, int] = {}
    names.update(counts)  # type: ignore[arg-type]  # the names of the rates
    async with pool:
        await RateBook(pool, Clock(-round(age.total_seconds() * 1_000))).add(names)


async def test_repeats_off_trend(database: Database, seen: Seen) -> None:
    minutes = timedelta(minutes=1)
    async with runtime_of(database.app_url, BookedProvider(), shift_ms=-600_000) as runtime:
        await mark_release(runtime, asked_act("shell:kim@here", None, "release.mark", "v9", "A test."))
    await count(database, 60 * minutes, instructions=1_000, repeats=10, replays=10, arrivals=1_000, redeliveries=100)
    await count(database, 3 * minutes, instructions=500, repeats=100, replays=95, arrivals=500, redeliveries=60)
    async with watched(database.app_url) as runtime:
        alert = seen(await alert_of(runtime, "repeats_off_trend"))
        assert alert.about == "repeats"
        await several_looks()
        others = await alerts_of(runtime, "repeats_off_trend")
        assert others == [alert], "replays are repeats, and redeliveries are as many as before"
        assert "20.0% of instructions since v9, and were 1.0% before" in alert.summary


async def test_what_processes_count_is_what_trends_are_made_of(database: Database, fresh_merchant: str) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        rates, now = Rates(runtime.stores.rates), datetime.now(UTC)
        await rates.write()
        before = await runtime.stores.rates.between(now - timedelta(hours=1), now + timedelta(hours=1))
        client = Client(runtime, fresh_merchant)
        for _ in range(3):
            await client.create("one")
        await rates.write()
        await rates.write()
        after = await runtime.stores.rates.between(now - timedelta(hours=1), now + timedelta(hours=1))
    grown = {name: number - before.get(name, 0) for name, number in after.items() if number != before.get(name, 0)}
    assert grown == {"instructions": 3, "repeats": 2, "replays": 2, "submissions": 1}


async def test_clocks_apart(database: Database, monkeypatch: pytest.MonkeyPatch, seen: Seen) -> None:
    """In the worker that watches; and in a process on another host, whose word it reads."""
    set_host_clock(monkeypatch, 60_000)
    async with watched(database.app_url, None, "clocks") as runtime:
        assert seen(await alert_of(runtime, "clocks_apart")).about == "database"
        told = ToldClock(clock="simulator", skew_ms=-70_000, uncertainty_ms=5, beyond_margin=True)
        await tell_clocks(runtime.pool, "beside", "api-7", [told], 5.0)
        assert "on the host api-7" in seen(await alert_of(runtime, "clocks_apart", "simulator")).summary


async def test_conflicting_event(database: Database, fresh_merchant: str, seen: Seen) -> None:
    async with watched(database.app_url) as runtime:
        await Rates(runtime.stores.rates).write()  # what other tests left
        payment = read(await Client(runtime, fresh_merchant).create("paid"))
        loaded = await runtime.reads.load(fresh_merchant, payment["id"])
        assert loaded is not None
        [attempt] = loaded.stored.attempts
        first = envelope("same", captured(loaded.stored.payment, attempt.attempt_id), payment=loaded.stored.payment)
        await accept(database, [first])
        await accept(database, [again(first, digest=b"x" * 32)])
        await Rates(runtime.stores.rates).write()
        alert = seen(await alert_of(runtime, "conflicting_event"))
        event_id = await runtime.pool.fetchval(
            "SELECT event_id FROM inbox WHERE payment_id = $1", loaded.stored.payment.payment_id
        )
        assert alert.summary.endswith(f"{event_id} last; tallystick provider-events show {event_id}")


async def test_case_unassigned(database: Database, fresh_merchant: str, seen: Seen) -> None:
    async with runtime_of(database.app_url, BookedProvider(), shift_ms=-25 * 3_600_000) as before:
        await captured_late(before, fresh_merchant)
    async with watched(database.app_url) as runtime:
        assert "1 cases have been nobody's" in seen(await alert_of(runtime, "case_unassigned")).summary


async def test_nobody_watched(database: Database, seen: Seen) -> None:
    """A worker ended, and the next one came later."""
    async with watched(database.app_url) as runtime:
        await eventually_async(lambda: runtime.pool.fetchval("SELECT count(*) FROM watch"))
    async with watched(database.app_url) as runtime:
        assert seen(await alert_of(runtime, "nobody_watched")).severity == "page"


class Silent(BookedProvider):
    """A provider whose circuit is open."""

    @property
    def circuit(self) -> CircuitState:
        return "open"


async def test_circuit_open(database: Database, seen: Seen) -> None:
    """In a process beside the worker that watches, whose own calls are answered."""
    async with (
        watched(database.app_url, None, "circuits") as runtime,
        runtime_of(database.app_url, Silent()) as beside,
        telling_of_itself(beside),
    ):
        alert = seen(await alert_of(runtime, "circuit_open", "simulator"))
        assert alert.severity == "notice" and "open in 1 of" in alert.summary


async def test_contract_drift(database: Database, seen: Seen) -> None:
    async with watched(database.app_url) as runtime:
        hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        await runtime.stores.contract_drift.add({("simulator", "charge.state", "unknown_value", hour): 3})
        assert "3 fields of simulator" in seen(await alert_of(runtime, "contract_drift", "simulator")).summary


async def test_endpoint_given_up_and_messages_late(database: Database, fresh_merchant: str, seen: Seen) -> None:
    """Messages are dispatched, and nobody delivers them; then the endpoint is given up."""
    async with receiving() as receiver, watched(database.app_url, None, "dispatch") as runtime:
        registered = await register(runtime, fresh_merchant, receiver)
        await Client(runtime, fresh_merchant).create("paid")
        seen(await alert_of(runtime, "messages_late"))
        endpoints = runtime.stores.endpoint_book
        assert await endpoints.disable(fresh_merchant, registered.endpoint_id, FAILING, actor="test")
        seen(await alert_of(runtime, "endpoint_given_up"))


async def test_settlement_file_missing(database: Database, seen: Seen, tmp_path: Path) -> None:
    """Of one account the newest file is too old, of another none ever came. Without a calendar nobody knows when files
    come, and nothing is said. A file that comes ends it."""
    async with watched(database.app_url) as runtime:
        file = Acquirer()
        file.row("fee", -5)
        await imported(runtime, file.text(), tmp_path)
        owner = await asyncpg.connect(database.owner_url)
        await owner.execute("UPDATE settlement_file SET imported_at = imported_at - interval '9 days'")
        await owner.close()
        await several_looks()
        assert await alerts_of(runtime, "settlement_file_missing") == []
    due = "simulator/main=weekdays-v1+2,simulator/other=weekdays-v1+2"
    async with watched(database.app_url, settlement_due=due) as runtime:
        alert = seen(await alert_of(runtime, "settlement_file_missing", "simulator/main"))
        assert alert.severity == "notice" and "the newest came" in alert.summary
        never = seen(await alert_of(runtime, "settlement_file_missing", "simulator/other"))
        assert "none ever came" in never.summary
        file.row("fee", -6)
        await imported(runtime, file.text(), tmp_path, name="next.csv")

        async def states() -> dict[str, str]:
            return {each.about: each.state for each in await alerts_of(runtime, "settlement_file_missing")}

        await eventually_async(
            states, until=lambda found: found == {"simulator/main": "resolved", "simulator/other": "open"}
        )


async def test_bank_statement_break(database: Database, seen: Seen, tmp_path: Path) -> None:
    """The second of three statements is missing: 250 are not there. It comes late, and ends it."""
    account = new_id("req")
    async with watched(database.app_url) as runtime:
        for number, opening in ((1, 0), (3, 350)):
            text = camt053([(100, "first")], opening, number=number, name=f"S{number}")
            await imported(runtime, text, tmp_path, name=f"{number}.xml", account=account)
        alert = seen(await alert_of(runtime, "bank_statement_break", f"bank/{account} EUR S3/3"))
        assert alert.severity == "notice" and "250 EUR" in alert.summary and "missing" in alert.summary
        await imported(runtime, camt053([(250, "second")], 100, number=2), tmp_path, name="2.xml", account=account)

        async def states() -> list[str]:
            return [each.state for each in await alerts_of(runtime, "bank_statement_break") if account in each.about]

        await eventually_async(states, until=lambda found: found == ["resolved"])


async def test_stated_balance_off(database: Database, seen: Seen, tmp_path: Path) -> None:
    """Of three days that state a balance the second is missing: 250 are not in the ledger. What the first one opens
    with is no fault. The second comes, and explains it."""

    async def day(number: int, opening: int, net: int) -> None:
        file = Acquirer()
        file.row("reserve", net, booked_at=f"2026-03-0{number}T10:00:00Z")
        header, row, total = file.text().splitlines()
        lines = [f"{header},opening,closing", f"{row},,", f"{total},{opening},{opening + net}"]
        await settled(runtime, "\n".join([*lines, ""]), tmp_path, name=f"{number}.csv")

    async def found() -> list[tuple[str, str]]:
        return [(each.about, each.state) for each in await alerts_of(runtime, "stated_balance_off")]

    async with watched(database.app_url) as runtime:
        await day(1, 50, 100)
        await several_looks()
        assert await found() == []
        await day(3, 400, 100)
        alert = seen(await alert_of(runtime, "stated_balance_off", "provider_balance:simulator EUR"))
        assert alert.severity == "notice" and "states 500 EUR" in alert.summary
        assert "provider_balance:simulator has" in alert.summary and "opening 250" in alert.summary
        assert "reconciliation explain simulator" in alert.summary
        await day(2, 150, 250)
        await eventually_async(found, until=lambda seen: seen == [("provider_balance:simulator EUR", "resolved")])


async def test_sealing_late(new_database: NewDatabase, tmp_path: Path, seen: Seen) -> None:
    """Heads are made by one look of a sealer, and nobody copies them or seals what comes after."""
    database = new_database()
    async with watched(
        database.app_url,
        audit_sealing=True,
        audit_signing_key=KEY_TEXT,
        audit_heads_directory=str(tmp_path),
        alert_sealing_age_ms=0,
    ) as runtime:
        client = Client(runtime, "m")
        await client.create("sealed")
        await seal_all(runtime.pool)
        await client.create("not sealed")
        assert "not been sealed" in seen(await alert_of(runtime, "sealing_late", "sealing")).summary
        assert "not been copied" in (await alert_of(runtime, "sealing_late", "copying")).summary


def test_every_alert_of_the_table_is_provoked_here() -> None:
    named = {name for name in globals() if name.startswith("test_")}
    missing = {rule.name for rule in RULES if not any(f"test_{rule.name}" == each for each in named)}
    assert missing == {"endpoint_given_up", "messages_late"}, "both in one test"
    assert sum(rule.severity == "page" for rule in RULES) <= PAGES_AT_MOST
