"""``tallystick trace``: its words at 80 columns, what it is given, and what it exits with."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any, Final

import msgspec
import psycopg
import pytest
from rich.console import Console

from tallystick.cli import trace as command
from tallystick.kit.ids import new_id
from tallystick.oversight.trace.payment import trace_of
from tallystick.record.postgres.trace_parts import TraceRows
from tallystick.record.postgres.trace_rows import rows_of
from tallystick.settings.load import Settings
from tests.support.commands import Ran
from tests.support.operators import LONG, MERCHANT, OTHER, World

Command = Callable[..., Ran]

#: What it says of ``rows``, by hand.
GOLDEN: Final = Path(__file__).with_name("trace_golden.txt")

DIGITS: Final = "0198f3c2a1b47c6d8e9fa0b1c2d3e4f5"
PAYMENT, ATTEMPT, EVENT, MESSAGE = (f"{prefix}_{DIGITS}" for prefix in ("pay", "att", "evt", "msg"))
START: Final = datetime(2026, 11, 26, 9, 30, tzinfo=UTC)


def at(seconds: float) -> str:
    return (START + timedelta(seconds=seconds)).isoformat()


def step(subject: str, id_: str, version: int, event: str, moved: str, when: float, **more: Any) -> tuple[str, Any]:
    from_state, to_state = moved.split()
    row = {
        "merchant_id": "shop",
        "subject_id": id_,
        "version": version,
        "change_id": f"chg_{when}",
        "subject": subject,
        "stream_id": PAYMENT,
        "from_state": from_state,
        "to_state": to_state,
        "event": event,
        "cause": "answer",
        "actor": "provider:simulator",
        "provider_reference": None,
        "at": at(when),
        "occurred_at": None,
        "change": {},
        "evidence": None,
        "payment_id": None,
        "key_kind": "service",
    }
    return "step", row | more


ASKED: Final = {"cause": "instruction", "actor": "key:k_shop"}
CREATED: Final = {
    "amount": 1_200,
    "currency": "EUR",
    "payment_method": "sim_ok",
    "provider": "simulator",
    "exponent": 2,
    "provider_exponent": 2,
}
SUBMITTED: Final = {
    "operation": "authorize",
    "idempotency_key": "order-1042",
    "amount": 1_200,
    "currency": "EUR",
    "capture": True,
    "payment_method": "sim_ok",
    "provider": "simulator",
}
TIMED_OUT: Final = {"verdict": {"verdict": "unknown", "reason": "TimeoutError"}}
APPROVED: Final = {"verdict": {"verdict": "approved", "reference": "ch_1", "amount": 1_200, "currency": "EUR"}}
TAKEN: Final = {"amount_authorized": 1_200, "amount_captured": 1_200, "provider_reference": "ch_1"}


def rows() -> TraceRows:
    """A payment that was captured at the second call: the first one ran out of time. Nothing was told of it yet."""
    subject = {"merchant_id": "shop", "payment_id": PAYMENT}
    stored: list[tuple[str, Any]] = [
        ("clock", at(60)),
        (
            "payment",
            subject
            | CREATED
            | TAKEN
            | {"version": 2, "state": "captured", "metadata": {}, "created_at": at(0), "updated_at": at(5)},
        ),
        (
            "attempt",
            subject
            | SUBMITTED
            | {"attempt_id": ATTEMPT, "version": 4, "state": "approved", "submissions": 2, "late_effect": False}
            | {"key_taken": False, "purpose": "instruction", "account": "main", "provider_reference": "ch_1"}
            | {"next_check_at": None, "parked_at": None, "settled_after": at(10)},
        ),
        step("attempt", ATTEMPT, 1, "submit", "new submitted", 0, change=SUBMITTED, **ASKED),
        step("payment", PAYMENT, 1, "create", "new authorizing", 0, change=CREATED, **ASKED),
        step("attempt", ATTEMPT, 2, "unknown", "submitted unknown", 3, evidence=TIMED_OUT),
        step(
            *("attempt", ATTEMPT, 3, "resubmit", "unknown submitted", 4),
            change={"submissions": 2},
            cause="recovery: resubmit",
            actor="recovery",
        ),
        step(
            *("attempt", ATTEMPT, 4, "approved", "submitted approved", 5),
            change={"provider_reference": "ch_1"},
            evidence=APPROVED,
            provider_reference="ch_1",
        ),
        step("payment", PAYMENT, 2, "captured", "authorizing captured", 5, change=TAKEN, provider_reference="ch_1"),
        (
            "transfer",
            {"stream_id": PAYMENT, "subject_id": PAYMENT, "version": 2, "leg": 0, "kind": "capture", "amount": 1_200}
            | {"debit": "provider:simulator", "credit": "merchant", "currency": "EUR", "at": at(5)},
        ),
        (
            "instruction",
            {"idempotency_key": "order-1042", "instruction_id": "ins_1", "operation": "POST /v1/payments"}
            | {"path": "/v1/payments", "payment_id": PAYMENT, "subject_id": PAYMENT, "at": at(0), "status": 201},
        ),
        ("answer", {"idempotency_key": "order-1042", "status": 201, "body": "\\x7b7d", "at": at(5)}),
        (
            "replay",
            {"idempotency_key": "order-1042", "kind": "not_final", "n": 3, "first_at": at(2), "last_at": at(4)},
        ),
    ]
    event = {"provider": "simulator", "account": "main", "provider_event_id": "ev_1", "event_id": EVENT}
    told: list[tuple[str, Any]] = [
        (
            "event",
            event
            | {"type": "charge.captured", "received_at": at(6), "occurred_at": None, "charge_reference": "ch_1"}
            | {"state": "duplicate_effect", "detail": None, "tries": 1, "replays": 0, "next_try_at": None}
            | {"closed_at": at(7)},
        ),
        *(
            (
                "arrival",
                {"provider_event_id": "ev_1", "delivery_id": f"d{n}", "received_at": at(6 + n)}
                | {"validated_at": at(6 + n), "recorded_at": at(6 + n), "result": "redelivery" if n else "first"},
            )
            for n in (0, 2, 3)
        ),
        (
            "try",
            {"provider_event_id": "ev_1", "number": 1, "started_at": at(7), "ended_at": at(7), "detail": None}
            | {"result": "duplicate_effect", "change_id": None, "actor": "worker"},
        ),
    ]
    found = rows_of(*([(part, msgspec.json.encode(row).decode()) for part, row in some] for some in (stored, told)))
    assert found is not None
    return found


def test_the_words_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    out = StringIO()
    monkeypatch.setattr(command, "console", Console(file=out, width=80))
    command._print(trace_of(rows(), Settings()))
    printed = "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"
    assert printed == GOLDEN.read_text(encoding="utf-8")


def documents(ran: Ran) -> Any:
    return json.loads(ran.out)


def test_a_payment_is_explained_by_any_of_its_names(world: World, operate: Command) -> None:
    sample = world.sample
    for name, payment in (
        (sample.refunded, sample.refunded),
        (sample.refund, sample.refunded),
        (sample.dispute, sample.disputed),
        ("captured", sample.captured),
        (f"refund-{sample.refunded}", sample.refunded),
    ):
        ran = operate("trace", name, "--json")
        assert documents(ran)["payment_id"] == payment, name
    facts = documents(operate("trace", sample.refunded, "--json"))["facts"]
    assert (facts["amount"], facts["refunded"], facts["sent"]) == (1_000, 400, 2)
    assert facts["effects"] == {"authorize": 1, "capture": 0, "cancel": 0, "refund": 1}


def test_several_payments_of_one_name_are_listed(world: World, operate: Command) -> None:
    ran = operate("trace", LONG)
    assert ran.code == 2 and world.sample.captured in ran.err and "--merchant" in ran.err


def test_not_found_and_another_merchants_are_told_apart_by_the_name_alone(world: World, operate: Command) -> None:
    nobodys = operate("trace", new_id("pay"), "--merchant", OTHER)
    anothers = operate("trace", world.sample.captured, "--merchant", OTHER)
    assert nobodys.code == anothers.code == 2
    assert [ran.err.rpartition(" ")[0] for ran in (nobodys, anothers)] == [nobodys.err.rpartition(" ")[0]] * 2


def test_what_is_missing_or_differs_is_an_exit_code(world: World, operate: Command) -> None:
    payment = world.sample.captured
    assert operate("trace", world.sample.refused).code == 0
    with psycopg.connect(world.database.owner_url, autocommit=True) as owner:
        (body,) = owner.execute(
            "DELETE FROM response WHERE merchant_id = %s AND idempotency_key = 'captured' RETURNING body", (MERCHANT,)
        ).fetchone() or (b"",)
        try:
            ran = operate("trace", payment)
            assert ran.code == 1 and "recorded answer" in ran.out
            rebuilt = documents(operate("trace", payment, "--rebuild", "--json"))["rebuilt"]
            assert "final_instructions_answered" in {each["invariant"] for each in rebuilt["differs"]}
        finally:
            owner.execute(
                "INSERT INTO response (merchant_id, idempotency_key, status, body, at)"
                " VALUES (%s, 'captured', 201, %s, now())",
                (MERCHANT, body),
            )
