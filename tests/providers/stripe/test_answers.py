"""Answers as Stripe writes them that localstripe does not: each status and error, and what it means."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tallystick.domain.money import is_currency
from tallystick.domain.verdicts import (
    Approved,
    Declined,
    KeyInUse,
    KeyTaken,
    NotFound,
    NotSent,
    Pending,
    RequiresAction,
    Unknown,
    Verdict,
)
from tallystick.kit.ids import new_id
from tallystick.lab.acquirer.scripts import METHODS
from tallystick.providers.port import send
from tallystick.providers.stripe.codes import DECLINES, DISPUTES, ERRORS, EXPONENTS, REFUND_FAILURES, ROUND_TO
from tallystick.providers.stripe.objects import ATTEMPT
from tests.support.answering import Reply, answering
from tests.support.stripe.calls import AMOUNT, authorize, connector, follow_up

#: The attempt that everything below is about, unless it says otherwise.
MINE = new_id("att")


def intent(status: str, **fields: Any) -> dict[str, Any]:
    common = {"id": "pi_1", "object": "payment_intent", "amount": AMOUNT, "currency": "eur", "created": 1_760_000_000}
    return common | {"status": status, "amount_received": 0, "metadata": {ATTEMPT: MINE}} | fields


def refund(status: str, **fields: Any) -> dict[str, Any]:
    common = {"id": "re_1", "object": "refund", "amount": 400, "currency": "eur", "payment_intent": "pi_1"}
    return common | {"status": status, "balance_transaction": "txn_1", "metadata": {ATTEMPT: MINE}} | fields


def error(kind: str, **fields: Any) -> dict[str, Any]:
    return {"error": {"type": kind, "message": "No."} | fields}


CARD = "card_error"
INVALID = "invalid_request_error"

#: answer -> (verdict, its code). Of every operation alike.
REFUSALS: list[tuple[Reply, type[Verdict], str | None]] = [
    ((401, error(INVALID)), NotSent, None),
    ((403, error(INVALID)), NotSent, None),
    ((429, error(INVALID, code="lock_timeout")), NotSent, None),
    ((400, error(INVALID, code="rate_limit")), NotSent, None),
    ((401, b"<html>"), NotSent, None),
    ((402, error(CARD, code="card_declined", decline_code="insufficient_funds")), Declined, "insufficient_funds"),
    ((402, error(CARD, code="card_declined", decline_code="stolen_card")), Declined, "card_declined"),
    ((402, error(CARD, code="card_declined", decline_code="new_to_us")), Declined, "card_declined"),
    ((402, error(CARD, code="expired_card")), Declined, "expired_card"),
    ((402, error(CARD, code="authentication_required")), Declined, "authentication_failed"),
    ((402, error(CARD, code="new_to_us")), Declined, "card_declined"),
    ((402, b"<html>"), Unknown, None),
    ((400, error(INVALID, code="amount_too_small")), Declined, "amount_out_of_range"),
    ((400, error(INVALID, code="charge_already_refunded")), Declined, "charge_already_refunded"),
    ((400, error(INVALID, code="balance_insufficient")), Declined, "provider_balance_insufficient"),
    ((400, error(INVALID, param="amount")), Declined, "request_refused"),
    ((404, error(INVALID, code="resource_missing")), Declined, "not_known_to_provider"),
    ((400, error("idempotency_error")), KeyTaken, None),
    ((409, error(INVALID, code="idempotency_key_in_use")), KeyInUse, None),
    ((400, error("idempotency_error", code="idempotency_key_in_use")), KeyInUse, None),
    ((409, error("idempotency_error")), Unknown, None),
    ((409, error(INVALID)), Unknown, None),
    ((424, error(INVALID)), Unknown, None),
    ((400, b"<html>bad gateway</html>"), Unknown, None),
    ((404, b""), Unknown, None),
    ((404, {"error": "not found"}), Unknown, None),
    ((400, {"error": {"message": 7}}), Unknown, None),
    ((500, error("api_error")), Unknown, None),
    ((502, b"<html>"), Unknown, None),
    ((503, error("api_error")), Unknown, None),
    ((302, b"", "Location: /v1/payment_intents"), Unknown, None),
    ((200, b""), Unknown, None),
    ((200, b"nonsense"), Unknown, None),
    ((200, b"\xff\xfe"), Unknown, None),
    ((200, []), Unknown, None),
    ((200, {}), Unknown, None),
    ((200, {"id": "pi_1", "object": "payment_intent", "status": "succeeded"}), Unknown, None),
    ((200, intent("new_to_us")), Unknown, None),
    ((200, intent("succeeded", amount_received=10.5)), Unknown, None),
]


@pytest.mark.parametrize("operation", ["authorize", "capture", "cancel", "refund"])
async def test_what_a_refusal_means(operation: str) -> None:
    for reply, kind, code in REFUSALS:
        async with answering(reply) as served, connector(served.url) as provider:
            verdict = await send(provider, follow_up(operation, "pi_1", attempt_id=MINE))
            assert type(verdict) is kind, (reply, verdict)
            assert getattr(verdict, "code", None) == code, reply
            assert len(served.requests) == 1, f"once, whatever comes: {reply}"


@pytest.mark.parametrize("status", [409, 500, 429])
async def test_the_sdk_does_not_try_again(status: int) -> None:
    asks = (status, error("api_error"), "Stripe-Should-Retry: true")
    async with answering(asks) as served, connector(served.url) as provider:
        await provider.authorize(authorize(attempt_id=MINE))
        assert len(served.requests) == 1


STATES: list[tuple[dict[str, Any], type[Verdict], Any]] = [
    (intent("succeeded", amount_received=AMOUNT), Approved, ("captured", AMOUNT)),
    (intent("requires_capture", amount_capturable=AMOUNT), Approved, ("authorized", AMOUNT)),
    (intent("processing"), Pending, None),
    (intent("requires_action", next_action={"type": "redirect_to_url"}, client_secret="s"), RequiresAction, None),
    (intent("canceled"), Approved, ("voided", AMOUNT)),
    (intent("requires_payment_method", last_payment_error={"code": "card_declined"}), Declined, None),
    (intent("requires_payment_method"), Unknown, None),
    (intent("requires_confirmation"), Unknown, None),
]


@pytest.mark.parametrize(("answer", "kind", "effect"), STATES)
async def test_where_an_intent_stands(answer: dict[str, Any], kind: type[Verdict], effect: Any) -> None:
    async with answering((200, answer)) as served, connector(served.url) as provider:
        for verdict in (
            await provider.authorize(authorize(attempt_id=MINE)),
            await provider.fetch(authorize(reference="pi_1")),
        ):
            assert type(verdict) is kind
            assert verdict.reference == "pi_1"
            if isinstance(verdict, Approved):
                assert (verdict.effect, verdict.amount) == effect
            if isinstance(verdict, RequiresAction):
                assert verdict.next_action == {"type": "redirect_to_url", "client_secret": "s"}


async def test_a_decline_keeps_its_intent() -> None:
    failed = error(CARD, code="card_declined", payment_intent=intent("requires_payment_method", client_secret="s"))
    async with answering((402, failed, "Request-Id: req_1")) as served, connector(served.url) as provider:
        verdict = await provider.authorize(authorize(attempt_id=MINE))
        assert verdict.reference == "pi_1"
        assert verdict.raw is not None
        assert (verdict.raw["request_id"], verdict.raw["error"]["payment_intent"]) == ("req_1", "pi_1")


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("succeeded", "charge_already_captured"),
        ("canceled", "charge_already_canceled"),
        ("processing", "charge_in_other_state"),
    ],
)
async def test_what_a_follow_up_met(state: str, code: str) -> None:
    met = error(INVALID, code="payment_intent_unexpected_state", payment_intent=intent(state))
    async with answering((400, met)) as served, connector(served.url) as provider:
        for operation in ("capture", "cancel"):
            verdict = await send(provider, follow_up(operation, "pi_1"))
            assert isinstance(verdict, Declined)
            assert verdict.code == code


async def test_a_capture_counts_what_was_received() -> None:
    async with answering((200, intent("succeeded", amount_received=600))) as served, connector(served.url) as provider:
        call = follow_up("capture", "pi_1", 600)
        for verdict in (await provider.capture(call), await provider.fetch(call)):
            assert isinstance(verdict, Approved)
            assert (verdict.effect, verdict.amount) == ("captured", 600)


async def test_an_answer_about_something_else_is_no_answer() -> None:
    others = [
        intent("succeeded", id="pi_2", amount_received=AMOUNT),
        intent("canceled", id="pi_2"),
        refund("succeeded"),
    ]
    for answer in others:
        for operation in ("authorize", "capture", "cancel", "refund"):
            async with answering((200, answer)) as served, connector(served.url) as provider:
                verdict = await send(provider, follow_up(operation, "pi_1"))
                # What names another attempt of ours is the answer to that one's key.
                assert isinstance(verdict, Unknown | KeyTaken)
                named = ATTEMPT in answer["metadata"] and operation in ("authorize", "refund")
                assert isinstance(verdict, KeyTaken) == named
                assert verdict.reference is None


REFUNDS: list[tuple[dict[str, Any], type[Verdict], str | None]] = [
    (refund("succeeded"), Approved, None),
    (refund("pending"), Pending, None),
    (refund("requires_action"), Pending, None),
    (refund("failed", failure_reason="lost_or_stolen_card"), Declined, "card_closed"),
    (refund("failed"), Declined, "refund_failed"),
    (refund("canceled"), Declined, "refund_canceled"),
    (refund("new_to_us"), Unknown, None),
]


@pytest.mark.parametrize(("answer", "kind", "code"), REFUNDS)
async def test_where_a_refund_stands(answer: dict[str, Any], kind: type[Verdict], code: str | None) -> None:
    async with answering((200, answer)) as served, connector(served.url) as provider:
        made = follow_up("refund", "pi_1", 400, attempt_id=MINE)
        for verdict in (await provider.refund(made), await provider.fetch(follow_up("refund", "pi_1", reference="re"))):
            assert type(verdict) is kind
            assert getattr(verdict, "code", None) == code


async def test_what_is_sent() -> None:
    answer = (200, intent("succeeded", amount_received=AMOUNT))
    async with answering(answer) as served, connector(served.url) as provider:
        call = authorize(attempt_id=MINE)
        await provider.authorize(call)
        first, headers, body = served.requests[0]
        assert first == "POST /v1/payment_intents HTTP/1.1"
        assert headers["idempotency-key"] == call.key
        for field in ("confirm=true", "capture_method=automatic", "payment_method_types[0]=card", "currency=eur"):
            assert field in body.split("&")
        assert "return_url" not in body


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


async def test_a_window_of_time_where_the_server_can_filter() -> None:
    empty = (200, {"object": "list", "data": [], "has_more": False})
    async with answering(empty) as served, connector(served.url) as provider:
        assert isinstance(await provider.fetch(authorize(earliest=NOON, latest=NOON)), NotFound)
        assert "created[gte]=" in served.requests[0][0] and "created[lte]=" in served.requests[0][0]
        assert isinstance(await provider.fetch(authorize()), NotFound)
        assert "created" not in served.requests[1][0], "nobody says when it was"
    refused = (400, error(INVALID, message="Unexpected created"))
    async with answering(refused, empty) as served, connector(served.url) as one:
        for _ in range(2):
            assert isinstance(await one.fetch(authorize(earliest=NOON)), NotFound)
        asked = ["created" in first for first, _, _ in served.requests]
        assert asked == [True, False, False], "it is not asked to again"


async def test_a_lookup_that_is_refused_says_nothing() -> None:
    for reply in ((401, error(INVALID)), (404, error(INVALID)), (429, error(INVALID)), (500, b""), (200, b"{}")):
        async with answering(reply) as served, connector(served.url) as provider:
            assert isinstance(await provider.fetch(authorize()), Unknown), reply
            assert isinstance(await provider.fetch(authorize(reference="pi_1")), Unknown), reply
            assert isinstance(await provider.fetch(follow_up("capture", "pi_1")), Unknown), reply
            assert isinstance(await provider.fetch(follow_up("refund", "pi_1")), Unknown), reply


async def test_a_filter_that_is_refused_on_a_later_page_proves_nothing() -> None:
    page = {"object": "list", "data": [intent("succeeded")], "has_more": True}
    async with answering((200, page), (400, error(INVALID))) as served, connector(served.url) as provider:
        assert isinstance(await provider.fetch(authorize(attempt_id=new_id("att"))), Unknown)


def test_the_tables() -> None:
    """Codes are words of ours, currencies exist, and no dispute state is new."""
    codes = [refusal.code for refusal in (*DECLINES.values(), *ERRORS.values())] + list(REFUND_FAILURES.values())
    assert all(code.isidentifier() and code == code.lower() for code in codes)
    assert all(is_currency(currency) for currency in (*EXPONENTS, *ROUND_TO))
    assert set(DISPUTES.values()) == {"opened", "under_review", "won", "lost"}
    assert not any(method.startswith(("pm_", "card_", "src_")) for method in METHODS)
    holder = ("lost_card", "stolen_card", "fraudulent", "pickup_card", "merchant_blacklist")
    assert {DECLINES[code].code for code in holder} == {"card_declined"}, "as Stripe asks"


@pytest.mark.parametrize("status", [200, 402, 500])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b" \r\n"])
async def test_of_an_answer_that_broke_off_nothing_is_kept(status: int, mark: bytes) -> None:
    """Its beginning may hold the client secret."""
    broken = mark + json.dumps(intent("requires_action", client_secret="pi_1_secret_x")).encode()[:-1]
    async with answering((status, broken)) as served, connector(served.url) as provider:
        verdict = await provider.authorize(authorize(attempt_id=MINE))
        assert isinstance(verdict, Unknown)
        assert "secret" not in str(verdict)


async def test_of_a_proxys_answer_the_beginning_is_kept() -> None:
    async with answering((502, b"<p>Bad Gateway</p>" * 100)) as served, connector(served.url) as provider:
        verdict = await provider.authorize(authorize(attempt_id=MINE))
        assert verdict.raw is not None
        assert verdict.raw["body"].startswith("<p>Bad Gateway</p>")
