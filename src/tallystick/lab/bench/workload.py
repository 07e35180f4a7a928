"""The payments that benchmarks make: real decisions over fixed, ordinary instructions."""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any, Final

import msgspec

from tallystick.decisions import instructions as decide
from tallystick.decisions.change_builder import Cause
from tallystick.decisions.instructions import Instruction
from tallystick.decisions.terms import Checks, Terms
from tallystick.decisions.verdicts import apply_verdict
from tallystick.domain.change import Change
from tallystick.domain.requests.commands import parse_create_payment
from tallystick.domain.requests.fingerprint import FINGERPRINT_VERSION, canonical, fingerprint
from tallystick.domain.requests.json_body import parse_json_object
from tallystick.domain.snapshot import opened_by
from tallystick.domain.verdicts import Approved, Declined, Effect, Verdict
from tallystick.kit.clock import utc_now
from tallystick.kit.ids import new_id

#: All benchmark payments belong to one merchant: its balance rows are the hottest that there can be.
MERCHANT: Final = "bench"
PROVIDER: Final = "bench"

PATH: Final = "/v1/payments"


def payment_body(amount: int, currency: str, order: str, *, approved: bool = True) -> dict[str, Any]:
    """An ordinary payment as a shop sends it."""
    return {
        "amount": amount,
        "currency": currency,
        "payment_method": "bench_ok" if approved else "bench_declined",
        "description": f"Order {order}, two tickets",
        "metadata": {"order": order, "channel": "web"},
    }


BODY: Final = payment_body(4999, "EUR", "20931")

#: The settings' defaults; recovery does not run here, so that only the columns matter.
TERMS: Final = Terms(account="main", send_window_ms=5_000, request_timeout_ms=10_000, settling_ms=5_000)
CHECKS: Final = Checks(
    unknown_in_ms=1_000, pending_in_ms=2_000, not_sent_in_ms=1_000, authorization_deadline_ms=604_800_000
)


#: Unseeded: benchmarks run again on the same database.
_CHANCE: Final = random.Random()


def body_bytes(body: dict[str, Any]) -> bytes:
    """A body as a client sends it."""
    return msgspec.json.encode(body)


def random_key(rng: random.Random) -> str:
    """An idempotency key as most clients make it: a random UUID, which lands anywhere in an index."""
    text = f"{rng.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def new_instruction(
    key: str, *, body: dict[str, Any] = BODY, merchant_id: str = MERCHANT, at: datetime | None = None
) -> Instruction:
    """A create as the API hands it to the core."""
    request = canonical(parse_json_object(body_bytes(body)))
    return Instruction(
        merchant_id=merchant_id,
        idempotency_key=key,
        operation=f"POST {PATH}",
        path=PATH,
        fingerprint=fingerprint("POST", PATH, request),
        fingerprint_version=FINGERPRINT_VERSION,
        request=request,
        actor="key:benchkeybenchkey",
        request_id=new_id("req"),
        instruction_id=new_id("ins"),
        change_id=new_id("chg"),
        attempt_id=new_id("att"),
        rejection_id=new_id("rej"),
        at=at or utc_now(),
    )


def create_change(instruction: Instruction, payment_id: str, body: dict[str, Any] = BODY) -> Change:
    """The first commit of a payment."""
    command = parse_create_payment(parse_json_object(body_bytes(body)))
    return decide.create_payment(
        instruction,
        payment_id,
        amount=command.amount,
        currency=command.currency,
        payment_method=command.payment_method,
        automatic=command.capture_method == "automatic",
        provider=PROVIDER,
        description=command.description,
        metadata=command.metadata,
        terms=TERMS,
    )


def settled_change(
    create: Change, verdict: Verdict, *, change_id: str | None = None, at: datetime | None = None
) -> Change:
    """The second commit of a payment."""
    stored = opened_by(create)
    step = Cause(
        change_id=change_id or new_id("chg"), at=at or utc_now(), trigger="answer", actor=f"provider:{PROVIDER}"
    )
    change = apply_verdict(stored, stored.attempts[0].attempt_id, verdict, step, new_id("rej"), CHECKS)
    assert change is not None, "an approval or a decline of a submitted attempt always says something new"
    return change


def approval(reference: str, amount: int, currency: str, at: datetime, effect: Effect = "captured") -> Approved:
    """The provider took the money, or holds it, and sent evidence of an ordinary size."""
    raw = {"status": 200, "body": f'{{"id":"{reference}","status":"approved","effect":"{effect}"}}'}
    return Approved(reference=reference, occurred_at=at, raw=raw, amount=amount, currency=currency, effect=effect)


def decline(reference: str, at: datetime) -> Declined:
    """The provider refused."""
    raw = {"status": 402, "body": f'{{"id":"{reference}","status":"declined","decline_code":"insufficient_funds"}}'}
    return Declined(
        reference=reference,
        occurred_at=at,
        raw=raw,
        code="insufficient_funds",
        message="The account has not enough funds.",
    )


def new_payment() -> tuple[Change, Change]:
    """Both commits of one captured payment, under a key that no earlier run used either."""
    create = create_change(new_instruction(random_key(_CHANCE)), new_id("pay"))
    reference = f"bnc_{create.change_id.removeprefix('chg_')}"
    verdict = approval(reference, int(BODY["amount"]), str(BODY["currency"]), utc_now())
    return create, settled_change(create, verdict)
