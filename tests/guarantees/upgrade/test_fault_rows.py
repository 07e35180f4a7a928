"""Rows that each money fault of release 0.1 left are migrated: they verify, and what was open or wrong has a right end.

The rows were written by the code of commit e0d16a3. The program that had them written is in the history: commit
c5936ad, ``make_fault_rows.py`` beside this file. The answers of the providers are scripted there and here. What is
expected was written by hand.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from structlog.testing import capture_logs

from tallystick.access.operator import operator_of_shell
from tallystick.domain.left_to_refund import left_to_refund
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt, Dispute, Payment
from tallystick.domain.verdicts import KeyTaken
from tallystick.flows.assembly import open_runtime
from tallystick.flows.operations import disputed_money, late_money
from tallystick.flows.recovery.in_doubt import NotInDoubt, parked_attempts, resolve
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.envelope import envelope_of
from tallystick.kit.ids import new_id
from tallystick.providers.adyen.receiver import AdyenReceiver
from tallystick.providers.receiver import Receiver
from tallystick.providers.simulator.receiver import SimulatorReceiver
from tallystick.providers.stripe.receiver import StripeReceiver
from tallystick.providers.stripe.setup import StripeSettings
from tallystick.record.postgres.embedded.server import DATABASE, OWNER_ROLE, EmbeddedPostgres
from tallystick.settings.load import Settings
from tests.guarantees.upgrade.old_rows import Old, examined, migrated, old_rows, unfolded
from tests.guarantees.upgrade.scripted import ScriptedProvider, approved
from tests.support.adyen.fake_adyen import API_KEY, HMAC_KEY, MERCHANT_ACCOUNT
from tests.support.commands import run_here
from tests.support.database import Database, NewDatabase
from tests.support.inbox import accept, drain
from tests.support.runtime import Client, read, recover
from tests.support.screen import SCREEN

#: How long after the last old row these tests are: longer than every old lease and wait, shorter than a key's lifetime.
AFTER: Final = timedelta(hours=2)

WORDS: Final = {"actor": "kim", "reason": "after the upgrade"}

STRIPE_SECRET: Final = "whsec_stripe"

RECEIVERS: Final[dict[str, Receiver]] = {
    "stripe": StripeReceiver("main", [STRIPE_SECRET]),
    "adyen": AdyenReceiver("main", MERCHANT_ACCOUNT, [HMAC_KEY]),
    "simulator": SimulatorReceiver("main", ["whsec_upgrade"]),
}

#: What is in doubt for longer than an hour is named, and nothing else: recovery and a person have it still.
IN_DOUBT: Final = "in_doubt_lane_has_no_overdue"


@pytest.fixture(scope="module")
def old() -> Old:
    return old_rows("faults.sql.gz", "faults.json")


@pytest.fixture(scope="module")
def settings(old: Old) -> Settings:
    """Two hours after the rows, whenever this runs."""
    shift = datetime.fromisoformat(old.names["made_at"]) + AFTER - datetime.now(UTC)
    return Settings(
        sealing_keys=old.names["sealing_key"],
        clock_shift_ms=int(shift.total_seconds()) * 1_000,
        provider_request_timeout_ms=1_000,
        send_window_ms=5_000,
        settling_time_ms=10,
        resubmit_limit=2,
        recovery_backoff_base_ms=10,
        recovery_backoff_cap_ms=20,
        pending_poll_ms=10,
        webhook_tries_limit=2,
        webhook_backoff_base_ms=10,
        webhook_backoff_cap_ms=20,
    ).with_connector(StripeSettings, api_key="sk_test_upgrade")


@pytest.fixture(scope="module")
def upgraded(new_database: NewDatabase, data_dir: Path, old: Old) -> Iterator[Database]:
    """``new_database`` is asked for because of its server, which is started once for all."""
    with migrated(data_dir, old, "faults") as database:
        yield database


@pytest.fixture
def database(upgraded: Database, data_dir: Path) -> Iterator[Database]:
    """A copy for one test. It is dropped, so that the server has less to write when it stops."""
    name = f"faults_{next(_NUMBERS)}"
    with (
        EmbeddedPostgres(data_dir) as postgres,
        psycopg.connect(postgres.superuser_url("postgres"), autocommit=True) as connection,
    ):
        connection.execute(f"CREATE DATABASE {name} TEMPLATE faults OWNER {OWNER_ROLE}")
        yield Database(*(url.replace(f"/{DATABASE}?", f"/{name}?") for url in postgres.urls()))
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


_NUMBERS: Final = count(1)


@pytest.fixture
def banks() -> dict[str, ScriptedProvider]:
    return {
        "simulator": ScriptedProvider("simulator"),
        "stripe": ScriptedProvider("stripe", keeps=True, key_lifetime_ms=79_200_000),
        "adyen": ScriptedProvider("adyen", can_fetch=False, key_lifetime_ms=604_800_000),
    }


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as lines:
        yield lines


class Platform:
    """One process of today on the old rows."""

    def __init__(self, runtime: Runtime, database: Database, old: Old, settings: Settings) -> None:
        self.runtime = runtime
        self.database = database
        self.old = old
        self.settings = settings
        self.client = Client(runtime, old.names["merchant"])

    def payment_id(self, name: str) -> str:
        return str(self.old.names["payments"][name])

    async def stored(self, name: str) -> PaymentSnapshot:
        loaded = await self.runtime.reads.load(self.old.names["merchant"], self.payment_id(name))
        assert loaded is not None
        return loaded.stored

    async def payment(self, name: str) -> Payment:
        return (await self.stored(name)).payment

    async def money(self, name: str) -> tuple[str, int, int]:
        """State, captured, refunded."""
        payment = await self.payment(name)
        return payment.state, payment.amount_captured, payment.amount_refunded

    async def attempt(self, name: str, operation: str = "authorize") -> Attempt:
        return next(each for each in (await self.stored(name)).attempts if each.operation == operation)

    async def dispute(self, name: str) -> Dispute:
        [dispute] = (await self.stored(name)).disputes
        return dispute

    async def ledger(self, name: str) -> dict[str, int]:
        """Account -> debits less credits of one payment, without what is 0."""
        rows = await self.runtime.pool.fetch(
            "SELECT debit, credit, amount FROM transfer WHERE stream_id = $1", self.payment_id(name)
        )
        found: dict[str, int] = {}
        for debit, credit, amount in rows:
            found[debit] = found.get(debit, 0) + amount
            found[credit] = found.get(credit, 0) - amount
        return {account: balance for account, balance in sorted(found.items()) if balance}

    async def told(self, provider: str, body: bytes) -> list[str]:
        """A provider's events arrive and are processed; what each became."""
        receiver, now = RECEIVERS[provider], self.runtime.clock.now()
        envelopes = [envelope_of(receiver, each, body, {}, now, SCREEN) for each in receiver.translate(body)]
        await accept(self.database, envelopes, shift_ms=self.runtime.clock.shift_ms)
        await drain(self.runtime)
        query = "SELECT state FROM inbox WHERE event_id = $1"
        return [await self.runtime.pool.fetchval(query, each.event_id) for each in envelopes]

    async def stripe(self, kind: str, thing: dict[str, Any]) -> str:
        event = {"id": new_id("evt"), "object": "event", "type": kind, "created": 1_795_000_000}
        [state] = await self.told("stripe", json.dumps(event | {"data": {"object": thing}}).encode())
        return state

    async def intent(self, name: str, kind: str, status: str, **fields: Any) -> str:
        """A PaymentIntent's event, with our marks."""
        authorize = await self.attempt(name)
        marks = {"tallystick_merchant": authorize.merchant_id, "tallystick_payment": authorize.payment_id}
        thing = {"id": f"pi_{name}aut", "object": "payment_intent", "status": status, "amount": authorize.amount}
        thing |= {"currency": authorize.currency.lower()} | fields
        return await self.stripe(kind, thing | {"metadata": marks | {"tallystick_attempt": authorize.attempt_id}})

    async def disputed(self, name: str, kind: str, status: str, moved: list[tuple[Any, ...]], **fields: Any) -> str:
        """A dispute's event, which names the PaymentIntent alone."""
        listed = [dict(zip(("id", "amount", "currency", "exchange_rate"), each, strict=False)) for each in moved]
        thing = {"id": f"dp_{name}", "object": "dispute", "status": status, "amount": 6_500, "currency": "usd"}
        thing |= {"payment_intent": f"pi_{name}aut", "reason": "fraudulent", "balance_transactions": listed}
        return await self.stripe(f"charge.dispute.{kind}", thing | fields)

    async def simulator(self, name: str, kind: str, **data: Any) -> str:
        authorize = await self.attempt(name)
        names = {"merchant_id": authorize.merchant_id, "payment_id": authorize.payment_id}
        at = "2026-11-26T00:00:00Z"
        said = {"occurred_at": at, "charge_id": f"ch_{name}aut"} | names | data
        event = {"id": new_id("evt"), "type": kind, "created": at, "data": said}
        [state] = await self.told("simulator", json.dumps(event).encode())
        return state

    async def violations(self) -> list[tuple[str, str]]:
        """Everything that ``verify`` names, but for what has been in doubt for an hour."""
        report = await examined(self.database, self.settings)
        found = [(each.invariant, each.subject_id) for each in report.violations if each.invariant != IN_DOUBT]
        assert await unfolded(self.database) == []
        return found

    async def replayed(self, kind: str) -> list[str]:
        """The dead letters of one type are replayed; what each became."""
        query = "SELECT event_id FROM inbox WHERE type = $1 AND state = 'dead'"
        event_ids = [row[0] for row in await self.runtime.pool.fetch(query, kind)]
        assert event_ids
        for event_id in event_ids:
            await self.runtime.stores.dead_letters.replay(event_id, **WORDS)
        await drain(self.runtime)
        query = "SELECT state FROM inbox WHERE event_id = ANY($1) ORDER BY event_id"
        return [row[0] for row in await self.runtime.pool.fetch(query, event_ids)]


@pytest.fixture
def opened(database: Database, old: Old, settings: Settings, banks: dict[str, ScriptedProvider]) -> Callable[[], Any]:
    @asynccontextmanager
    async def open_platform() -> AsyncIterator[Platform]:
        async with open_runtime(settings, database.app_url, providers=banks) as runtime:
            platform = Platform(runtime, database, old, settings)
            yield platform
            assert await platform.violations() == []

    return open_platform


Opened = Callable[[], Any]
Banks = dict[str, ScriptedProvider]
Lines = list[MutableMapping[str, Any]]


async def test_every_fault_has_its_rows(old: Old) -> None:
    """As the old code left them: what each test below begins with."""
    payments = old.names["payments"]
    columns = old.tables["payment"].columns
    rows = [dict(zip(columns, line.split("\t"), strict=True)) for line in old.tables["payment"].lines]
    states = {row["payment_id"]: (row["state"], row["amount_captured"], row["amount_refunded"]) for row in rows}
    assert {name: states[payment_id] for name, payment_id in payments.items()} == {
        "a1accept": ("failed", "0", "0"),
        "a1return": ("failed", "0", "0"),
        "a1open": ("authorizing", "0", "0"),
        "a2captured": ("captured", "1000", "0"),
        "a2held": ("authorized", "0", "0"),
        "a3failed": ("failed", "0", "0"),
        "a3open": ("authorizing", "0", "0"),
        "a4capture": ("capturing", "0", "0"),
        "a4refund": ("captured", "100000", "0"),
        "a5capture": ("capturing", "0", "0"),
        "a5held": ("authorized", "0", "0"),
        "a5refund": ("captured", "1000", "0"),
        "a6gbp": ("captured", "6500", "0"),
        "a6open": ("captured", "6500", "0"),
        "a6unknown": ("captured", "6500", "0"),
        "a6usd": ("captured", "6500", "0"),
        "a7captured": ("captured", "1000", "0"),
        "a7data": ("captured", "1000", "0"),
        "a7held": ("authorized", "0", "0"),
        "a7simulator": ("captured", "1000", "0"),
        "a7stripe": ("captured", "1000", "0"),
        "a7unknown": ("captured", "1000", "0"),
        "a7void": ("captured", "1000", "400"),
        "a8": ("captured", "1250", "1250"),
        "a9accept": ("declined", "0", "0"),
        "a9disputed": ("declined", "0", "0"),
        "a9refunded": ("declined", "0", "0"),
        "a9return": ("declined", "0", "0"),
        "a9stripe": ("failed", "0", "0"),
        "a10": ("captured", "500", "0"),
        "a11": ("declined", "0", "0"),
        "a11open": ("requires_action", "0", "0"),
        "a12": ("authorizing", "0", "0"),
        "a13capture": ("canceled", "0", "0"),
        "a13hold": ("failed", "0", "0"),
        "a13refund": ("captured", "1000", "0"),
        "a13released": ("failed", "0", "0"),
    }


async def test_the_rows_hold_once_they_are_migrated(opened: Opened, old: Old) -> None:
    """``verify`` names what has been in doubt for too long, and nothing else: an old park had no alert (A12)."""
    async with opened() as platform:
        report = await examined(platform.database, platform.settings)
        parked = (await platform.attempt("a12")).attempt_id
        assert [(each.invariant, each.subject_id) for each in report.violations] == [(IN_DOUBT, parked)]


@pytest.mark.parametrize("act", ["accept", "return"])
async def test_a1_a_charge_that_was_called_absent(opened: Opened, banks: Banks, act: str) -> None:
    """Its own event tells of it: late money, which an operator accepts or returns. The answer of then stays."""
    name = f"a1{act}"
    banks["stripe"].found[f"{name} authorize"] = lambda call: approved(call, reference=f"pi_{name}aut")
    async with opened() as platform:
        assert await platform.intent(name, "payment_intent.succeeded", "succeeded", amount_received=1_000) == "applied"
        assert (await platform.payment(name)).amount_late == 1_000
        assert await platform.ledger(name) == {"provider:stripe": 1_000, "suspense:stripe": -1_000}
        if act == "accept":
            await late_money.accept(platform.runtime, platform.payment_id(name), **WORDS)
            assert await platform.ledger(name) == {"merchant": -1_000, "provider:stripe": 1_000}
        else:
            await late_money.give_back(platform.runtime, platform.payment_id(name), **WORDS)
            assert await platform.ledger(name) == {}
            [refund] = [call for call in banks["stripe"].calls if call.operation == "refund"]
            assert (refund.parent_reference, refund.amount) == (f"pi_{name}aut", 1_000)
        assert await platform.money(name) == ("failed", 0, 0)


async def test_a1_what_was_open_is_looked_up(opened: Opened, banks: Banks) -> None:
    banks["stripe"].found["a1open authorize"] = lambda call: approved(call, reference="pi_a1openaut")
    async with opened() as platform:
        await recover(platform.runtime)
        assert await platform.money("a1open") == ("captured", 1_000, 0)
        assert banks["stripe"].sent("a1open", "authorize") == 0, "it is not sent again"


async def test_a2_what_exists_at_the_test_acquirer_goes_on_where_it_is_off(opened: Opened) -> None:
    async with opened() as platform:
        assert "simulator" in platform.runtime.switched_off
        await platform.client.capture("a2-capture", platform.payment_id("a2held"))
        await platform.client.refund("a2-refund", platform.payment_id("a2captured"))
        assert await platform.money("a2held") == ("captured", 1_000, 0)
        assert await platform.money("a2captured") == ("captured", 1_000, 1_000)


async def test_a3_a_key_that_was_taken_needs_a_person(opened: Opened, banks: Banks, logged: Lines) -> None:
    """An old attempt has no mark yet. Sent again it learns that its key is taken: parked once, with one alert."""
    banks["stripe"].answers["a3open authorize"] = lambda _: KeyTaken(reason="used for another request")
    async with opened() as platform:
        attempt = await platform.attempt("a3open")
        assert not attempt.key_taken
        await recover(platform.runtime)
        attempt = await platform.attempt("a3open")
        assert (attempt.state, attempt.key_taken) == ("unknown", True)
        assert banks["stripe"].sent("a3open", "authorize") == 1
        alerts = [line for line in logged if line.get("alert") and line.get("attempt_id") == attempt.attempt_id]
        assert [line["event"] for line in alerts] == ["attempt is in doubt"]
        book = platform.runtime.stores.schedule_book
        settle = {"evidence": "their books", **WORDS}
        with pytest.raises(NotInDoubt, match="--reference"):
            await resolve(platform.runtime, book, attempt.attempt_id, "executed", **settle)
        await resolve(platform.runtime, book, attempt.attempt_id, "executed", reference="pi_before", **settle)
        assert await platform.money("a3open") == ("captured", 1_000, 0)
        assert await platform.money("a3failed") == ("failed", 0, 0)


async def test_a4_what_cannot_be_expressed_was_never_sent(opened: Opened, banks: Banks) -> None:
    """The hold is free again, and a refund of all that was captured is possible."""
    async with opened() as platform:
        await recover(platform.runtime)
        assert (await platform.attempt("a4capture", "capture")).state == "failed"
        assert await platform.money("a4capture") == ("authorized", 0, 0)
        assert (await platform.stored("a4refund")).refunds[0].state == "failed"
        assert [call.operation for call in banks["adyen"].calls if call.payment_method.startswith("a4")] == []
        await platform.client.cancel("a4-cancel", platform.payment_id("a4capture"))
        await platform.client.refund("a4-refund", platform.payment_id("a4refund"))
        assert await platform.money("a4capture") == ("canceled", 0, 0)
        assert await platform.money("a4refund") == ("captured", 100_000, 100_000)


async def test_a5_a_currency_that_left_the_list_is_known(opened: Opened, banks: Banks) -> None:
    """Old payments have no decimals of their own: the table of every code ever accepted has them."""
    async with opened() as platform:
        assert (await platform.payment("a5capture")).exponents is None
        await recover(platform.runtime)
        assert await platform.money("a5capture") == ("captured", 1_000, 0)
        assert await platform.money("a5refund") == ("captured", 1_000, 400)
        assert sorted(call.amount for call in banks["stripe"].calls if call.currency == "BGN") == [400, 1_000]
        event = await platform.intent("a5held", "payment_intent.succeeded", "succeeded", amount_received=700)
        assert event == "applied"
        assert await platform.money("a5held") == ("captured", 700, 0)


async def test_a6_what_was_booked_wrongly_stays_and_is_explained(opened: Opened) -> None:
    """A lost dispute of 6500: 12 GBP were booked as 6500 that came back. It is in suspense, with its alert of then."""
    returned = {"provider:stripe": 6_500, "suspense:stripe": -6_500}
    async with opened() as platform:
        assert await platform.ledger("a6gbp") == returned
        moved = [("txn_g1", -5_100, "gbp"), ("txn_g2", 12, "gbp")]
        assert await platform.disputed("a6gbp", "closed", "lost", moved) == "duplicate_effect"
        assert await platform.ledger("a6gbp") == returned
        # One currency: 6500 taken and 50 returned. The mark counted movements; the sum in suspense is right.
        assert await platform.ledger("a6usd") == {"provider:stripe": 50, "suspense:stripe": -50}
        moved = [("txn_u1", -6_500, "usd"), ("txn_u2", 50, "usd")]
        assert await platform.disputed("a6usd", "closed", "lost", moved) == "duplicate_effect"
        moved = [*moved, ("txn_u3", 25, "usd")]
        assert await platform.disputed("a6usd", "funds_reinstated", "lost", moved) == "applied"
        assert await platform.ledger("a6usd") == {"provider:stripe": 75, "suspense:stripe": -75}


async def test_a6_an_old_open_dispute_goes_on_by_the_rules_of_today(opened: Opened) -> None:
    moved: list[tuple[Any, ...]] = [("txn_o1", -5_100, "gbp"), ("txn_o2", 12, "gbp", 1 / 1.25)]
    async with opened() as platform:
        assert await platform.disputed("a6open", "closed", "lost", moved) == "applied"
        assert await platform.ledger("a6open") == {"provider:stripe": 15, "suspense:stripe": -15}


async def test_a6_what_nobody_said_is_stated_by_an_operator(opened: Opened) -> None:
    """12 GBP without a rate, of an old dispute: in no account, and named by ``verify`` until a person states it."""
    moved: list[tuple[Any, ...]] = [("txn_o1", -5_100, "gbp"), ("txn_o2", 12, "gbp")]
    async with opened() as platform:
        assert await platform.disputed("a6open", "closed", "lost", moved) == "applied"
        dispute_id = (await platform.dispute("a6open")).dispute_id
        assert await platform.ledger("a6open") == {}
        assert await platform.violations() == [("disputed_money_is_known", dispute_id)]
        await disputed_money.state(platform.runtime, dispute_id, "txn_o2", 15, **WORDS)
        assert await platform.ledger("a6open") == {"provider:stripe": 15, "suspense:stripe": -15}


async def test_a6_an_old_dispute_counts_as_a_chargeback(opened: Opened) -> None:
    """Whether it was an inquiry was not kept: nothing can be refunded through us, and what is refunded elsewhere is
    recorded. Once it is won, all can be refunded."""
    async with opened() as platform:
        stored = await platform.stored("a6unknown")
        assert (await platform.dispute("a6unknown")).kind == "chargeback"
        assert left_to_refund(stored.payment, stored.disputes) == 0
        reply = await platform.client.refund("a6-refund-1", platform.payment_id("a6unknown"), 500)
        assert (reply.status, read(reply)["code"]) == (409, "transition_rejected")
        assert await platform.disputed("a6unknown", "closed", "warning_closed", []) == "applied"
        await platform.client.refund("a6-refund-2", platform.payment_id("a6unknown"), 500)
        assert await platform.money("a6unknown") == ("captured", 6_500, 500)


def test_a7_filed_events_are_read_again(
    database: Database,
    old: Old,
    settings: Settings,
    opened: Opened,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By the command, with the real connectors. Listed first; what is unknown at Stripe and the test acquirer stays."""
    shift = max(timedelta(0), datetime.fromisoformat(old.names["made_at"]) - datetime.now(UTC)) + AFTER
    environment = {
        "database_url": database.app_url,
        "sealing_keys": old.names["sealing_key"],
        "adyen_api_key": API_KEY,
        "adyen_merchant_account": MERCHANT_ACCOUNT,
        "adyen_hmac_keys": "00FF" * 16,  # another one by now: the bytes were verified when they came
        "stripe_api_key": "sk_test_upgrade",
        "stripe_webhook_secrets": "whsec_new",
        "simulator_webhook_secrets": "whsec_new",
        "simulator": "on",
        "webhook_provider_tries": "adyen=2",
        "clock_shift_ms": str(int(shift.total_seconds()) * 1_000),
    }

    def reread(kind: str, *more: str) -> Any:
        ran = run_here(monkeypatch, capsys, "webhooks", "reread", "--type", kind, "--json", *more, **environment)
        assert ran.code == 0, ran.err
        return json.loads(ran.out)

    words = ("--yes", "--reason", "after the upgrade")
    payments = old.names["payments"]
    by_hand = {
        "CANCEL_OR_REFUND": {payments["a7captured"]: "applied", payments["a7held"]: "applied"},
        "REFUND_WITH_DATA": {payments["a7data"]: "applied"},
        "VOID_PENDING_REFUND": {payments["a7void"]: "applied"},
        "PAYOUT_OF_SOMETHING": {payments["a7unknown"]: "conflict"},
        "charge.succeeded": {},
        "payout.paid": {},
    }
    for kind, expected in by_hand.items():
        listed = reread(kind)
        assert {each["payment_id"] for each in listed if each["reads_as"]} == set(expected)
        why = UNREAD.get(kind, "it still says nothing about money")
        assert {each["why"] for each in listed if not each["reads_as"]} <= {why}
        assert len(listed) == max(1, len(expected)) and reread(kind) == listed, "a list changes nothing"
        assert {each["payment_id"]: each["state"] for each in reread(kind, *words)} == expected
        assert reread(kind, *words) == [], "nothing is left to do"

    async def looked_at() -> None:
        async with opened() as platform:
            assert await platform.money("a7captured") == ("captured", 1_000, 1_000)
            assert await platform.money("a7held") == ("canceled", 0, 0)
            assert await platform.money("a7data") == ("captured", 1_000, 300)
            assert await platform.money("a7void") == ("captured", 1_000, 0)
            assert await platform.money("a7unknown") == ("captured", 1_000, 0)
            acts = await platform.runtime.pool.fetch("SELECT detail, actor FROM processing WHERE result = 'reread'")
            assert [tuple(row) for row in acts] == [("after the upgrade", operator_of_shell().name)] * 5

    asyncio.run(looked_at())


#: Types that no table has, of an event that an older release has filed: it stays as it is.
UNREAD = {"payout.paid": "it cannot be read: its type is not known here"}


async def test_a8_what_was_paid_back_twice_is_known(opened: Opened) -> None:
    async with opened() as platform:
        stored = await platform.stored("a8")
        assert left_to_refund(stored.payment, stored.disputes) == 0
        assert await platform.ledger("a8") == {"merchant": 1_250, "provider:simulator": -1_250}
        reply = await platform.client.refund("a8-refund", platform.payment_id("a8"), 1)
        assert (reply.status, read(reply)["code"]) == (409, "transition_rejected")


async def test_a9_old_late_money_is_listed_accepted_and_returned(opened: Opened, banks: Banks) -> None:
    async with opened() as platform:
        waiting = {
            each.payment.payment_id: each.waiting
            for each in await late_money.waiting_late_money(platform.runtime, None, 100)
        }
        named = {"a9accept": 1_000, "a9return": 1_000, "a9refunded": 1_000, "a9disputed": 1_000, "a9stripe": 1_000}
        assert waiting == {platform.payment_id(name): each for name, each in (named | {"a13capture": 700}).items()}
        assert await platform.ledger("a9accept") == {"provider:simulator": 1_000, "suspense:simulator": -1_000}
        await late_money.accept(platform.runtime, platform.payment_id("a9accept"), **WORDS)
        assert await platform.ledger("a9accept") == {"merchant": -1_000, "provider:simulator": 1_000}
        await platform.client.refund("a9-refund", platform.payment_id("a9accept"), 400)
        assert await platform.ledger("a9accept") == {"merchant": -600, "provider:simulator": 600}
        await late_money.give_back(platform.runtime, platform.payment_id("a9return"), **WORDS)
        assert await platform.ledger("a9return") == {}
        assert [call.parent_reference for call in banks["simulator"].calls if call.payment_method == "a9return"] == [
            "ch_a9returnaut"
        ]
        history = await platform.runtime.reads.history(platform.old.names["merchant"], platform.payment_id("a9accept"))
        counted = next(step for step in history if step.event == "late_money_counted")
        assert counted.actor == "migration:0013"


async def test_a9_old_dead_letters_are_replayed(opened: Opened) -> None:
    """What the provider refunded and withdrew of late money leaves suspense, once."""
    async with opened() as platform:
        assert await platform.replayed("dashboard.refunded") == ["applied"]
        assert await platform.ledger("a9refunded") == {"provider:simulator": 600, "suspense:simulator": -600}
        assert await platform.replayed("dispute.opened") == ["applied"]
        assert await platform.ledger("a9disputed") == {}


async def test_a9_a_charge_that_only_the_evidence_names(opened: Opened, banks: Banks) -> None:
    """No answer ever named the charge. What is told of it by its name alone finds the payment, and a return goes to
    it."""
    async with opened() as platform:
        assert (await platform.payment("a9stripe")).provider_reference == "pi_a9stripeaut"
        moved = [("txn_s1", -300, "eur")]
        taken = {"amount": 300, "currency": "eur"}
        assert await platform.disputed("a9stripe", "created", "needs_response", moved, **taken) == "applied"
        assert await platform.ledger("a9stripe") == {"provider:stripe": 700, "suspense:stripe": -700}
        await late_money.give_back(platform.runtime, platform.payment_id("a9stripe"), **WORDS)
        assert await platform.ledger("a9stripe") == {}
        assert [(call.parent_reference, call.amount) for call in banks["stripe"].calls] == [("pi_a9stripeaut", 700)]


def test_a10_the_second_of_two_equal_parts(
    database: Database, old: Old, opened: Opened, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was filed as a repetition. Read again it has a name of its own. The first one was applied, and stays."""
    environment = {
        "database_url": database.app_url,
        "sealing_keys": old.names["sealing_key"],
        "adyen_api_key": API_KEY,
        "adyen_merchant_account": MERCHANT_ACCOUNT,
        "adyen_hmac_keys": HMAC_KEY,
    }
    command = ("webhooks", "reread", "--type", "CAPTURE", "--filed-as")
    words = ("--json", "--yes", "--reason", "after the upgrade")
    ran = run_here(monkeypatch, capsys, *command, "applied", *words, **environment)
    assert ran.code == 2 and "--filed-as" in ran.err
    ran = run_here(monkeypatch, capsys, *command, "duplicate_effect", *words, **environment)
    assert [each["state"] for each in json.loads(ran.out)] == ["applied"], ran.err
    ran = run_here(monkeypatch, capsys, *command, "duplicate_effect", *words, **environment)
    assert json.loads(ran.out) == []

    async def looked_at() -> None:
        async with opened() as platform:
            assert await platform.money("a10") == ("captured", 1_000, 0)
            assert await platform.ledger("a10") == {"merchant": -1_000, "provider:adyen": 1_000}

    asyncio.run(looked_at())


async def test_a11_a_declined_payment_that_was_paid_after_all(opened: Opened, banks: Banks) -> None:
    """Its PaymentIntent stayed open: what is captured of it is late money."""
    banks["stripe"].found["a11 authorize"] = lambda call: approved(call, reference="pi_a11aut")
    async with opened() as platform:
        assert await platform.intent("a11", "payment_intent.succeeded", "succeeded", amount_received=1_000) == "applied"
        await late_money.accept(platform.runtime, platform.payment_id("a11"), **WORDS)
        assert await platform.ledger("a11") == {"merchant": -1_000, "provider:stripe": 1_000}


async def test_a11_one_that_is_declined_today_is_closed(opened: Opened, banks: Banks) -> None:
    banks["stripe"].found["a11open authorize"] = lambda call: approved(call, reference="pi_a11openaut")
    error = {"type": "card_error", "code": "payment_intent_authentication_failure", "message": "3-D Secure failed"}
    async with opened() as platform:
        failed = await platform.intent(
            "a11open", "payment_intent.payment_failed", "requires_payment_method", last_payment_error=error
        )
        assert (failed, (await platform.payment("a11open")).state) == ("applied", "declined")
        await recover(platform.runtime)
        close = await platform.attempt("a11open", "cancel")
        assert (close.purpose, close.state, close.parent_reference) == ("close", "approved", "pi_a11openaut")


async def test_a12_an_old_parked_attempt_is_on_the_list(opened: Opened) -> None:
    """Whoever parked it without an alert: the list has it, ``verify`` names it, and a person settles it."""
    async with opened() as platform:
        book = platform.runtime.stores.schedule_book
        [parked] = await parked_attempts(platform.runtime, book, None, 10)
        assert (parked.attempt.payment_id, parked.overdue) == (platform.payment_id("a12"), True)
        settle = {"evidence": "their books", "reference": "PSPa12aut", **WORDS}
        await resolve(platform.runtime, book, parked.attempt.attempt_id, "executed", **settle)
        assert await platform.money("a12") == ("captured", 1_000, 0)


async def test_a13_an_old_late_hold_is_captured_or_was_released(opened: Opened, banks: Banks) -> None:
    banks["simulator"].found["a13hold authorize"] = lambda call: approved(call, "captured", "ch_a13holdaut")
    async with opened() as platform:
        assert (await platform.payment("a13hold")).amount_authorized == 1_000
        assert (await platform.payment("a13released")).amount_authorized == 0
        captured = {"effect": "captured", "amount": 1_000, "currency": "EUR"}
        assert await platform.simulator("a13hold", "dashboard.captured", **captured) == "applied"
        payment = await platform.payment("a13hold")
        assert (payment.amount_late, payment.amount_authorized) == (1_000, 0)
        await late_money.accept(platform.runtime, payment.payment_id, **WORDS)
        assert await platform.ledger("a13hold") == {"merchant": -1_000, "provider:simulator": 1_000}


async def test_a13_an_old_late_refund_and_an_old_late_capture_call(opened: Opened) -> None:
    async with opened() as platform:
        [refund] = (await platform.stored("a13refund")).refunds
        assert (refund.state, refund.amount_late) == ("failed", 600)
        assert await platform.ledger("a13refund") == {
            "merchant": -1_000,
            "provider:simulator": 400,
            "suspense:simulator": 600,
        }
        payment = await platform.payment("a13capture")
        assert (payment.amount_late, payment.provider_reference) == (700, "ch_a13captureaut")
        await late_money.give_back(platform.runtime, payment.payment_id, **WORDS)
        assert await platform.ledger("a13capture") == {}
