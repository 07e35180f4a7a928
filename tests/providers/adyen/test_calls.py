"""The connector's calls, against the fake as it is and through a line that spoils them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from tallystick.domain.verdicts import Approved, Declined, KeyInUse, NotSent, Pending, RequiresAction, Unknown, Verdict
from tallystick.kit.clock import monotonic_ms
from tallystick.providers.adyen.answers import evidence
from tallystick.providers.adyen.calls import AdyenProvider
from tallystick.providers.adyen.transport import SdkClient
from tallystick.providers.port import send
from tests.support.adyen.calls import AMOUNT, authorize, connector, follow_up
from tests.support.adyen.process import FakeAdyen, token
from tests.support.faulty_proxy import CHARGED, SILENT, Fault, FaultyProxy, faulty_proxy


@pytest.fixture
async def provider(bank: FakeAdyen) -> AsyncIterator[AdyenProvider]:
    async with connector(bank.url) as made:
        yield made


@pytest.fixture
async def proxy(bank: FakeAdyen) -> AsyncIterator[FaultyProxy]:
    async with faulty_proxy(bank.port) as running:
        yield running


@pytest.mark.parametrize("capture", [True, False])
async def test_authorised(provider: AdyenProvider, bank: FakeAdyen, capture: bool) -> None:
    verdict = await provider.authorize(authorize(capture=capture))
    assert isinstance(verdict, Approved)
    assert (verdict.amount, verdict.currency) == (AMOUNT, "EUR")
    assert verdict.effect == ("captured" if capture else "authorized")
    [payment] = bank.books("payment", "m")
    assert (payment["psp"], payment["captured"]) == (verdict.reference, AMOUNT if capture else 0)


@pytest.mark.parametrize(
    ("method", "kind", "code"),
    [
        ("NOBALANCE", Declined, "insufficient_funds"),
        ("CANCELLED", Declined, "payment_declined"),
        ("NOTSUBMITTED", Declined, "request_refused"),
        ("NOSUCHCARD", Declined, "unknown_payment_method"),
        ("ERRORCARD", Unknown, None),
        ("PENDINGS", Pending, None),
        ("RECEIVED", Pending, None),
        ("REDIRECTS", RequiresAction, None),
    ],
)
async def test_result_codes(provider: AdyenProvider, method: str, kind: type[Verdict], code: str | None) -> None:
    verdict = await provider.authorize(authorize(token(method)))
    assert type(verdict) is kind
    if isinstance(verdict, Declined):
        assert verdict.code == code
    if isinstance(verdict, RequiresAction):
        assert verdict.next_action["url"] == "https://bank.example/3ds"


@pytest.mark.parametrize("operation", ["capture", "cancel", "refund"])
async def test_modifications_are_received(provider: AdyenProvider, bank: FakeAdyen, operation: str) -> None:
    first = await provider.authorize(authorize(capture=operation == "refund"))
    verdict = await send(provider, follow_up(operation, first.reference, 600))
    assert isinstance(verdict, Pending)
    [made] = bank.books("modification", "m")
    assert (made["psp"], made["payment"]) == (verdict.reference, first.reference)
    assert made["amount"] == (AMOUNT if operation == "cancel" else 600)


async def test_a_modification_of_what_they_do_not_know(provider: AdyenProvider) -> None:
    verdict = await provider.capture(follow_up("capture", "NOSUCHPAYMENT"))
    assert isinstance(verdict, Declined)
    assert verdict.code == "not_known_to_provider"
    assert isinstance(await provider.cancel(follow_up("cancel", None)), NotSent)


async def test_a_name_cannot_leave_its_place_in_the_path(provider: AdyenProvider, bank: FakeAdyen) -> None:
    assert isinstance(await provider.refund(follow_up("refund", "../../_event?")), Declined)
    assert bank.books("modification", "m") == []


async def test_the_same_key_has_one_effect(provider: AdyenProvider, bank: FakeAdyen) -> None:
    call = authorize()
    first, again = await provider.authorize(call), await provider.authorize(call)
    assert first == again
    assert len(bank.books("payment", "m")) == 1


async def test_exponents(provider: AdyenProvider, bank: FakeAdyen) -> None:
    for currency, amount, theirs in (("IDR", 100_000, 1_000), ("CLP", 5, 500), ("ISK", 7, 700), ("JPY", 9, 9)):
        assert provider.representable(amount, currency)
        verdict = await provider.authorize(authorize(amount=amount, currency=currency))
        assert isinstance(verdict, Approved)
        assert (verdict.amount, verdict.currency) == (amount, currency)
        assert bank.books("payment", "m")[-1]["amount"] == theirs
    assert not provider.representable(150, "IDR")


async def test_a_shut_door(bank: FakeAdyen) -> None:
    async with connector(bank.url, api_key="other") as provider:
        assert isinstance(await provider.authorize(authorize()), NotSent)
    async with connector(bank.url, merchant_account="Other") as provider:
        assert isinstance(await provider.authorize(authorize()), NotSent)
    assert bank.books("payment", "m") == []


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault not in (Fault.NONE, Fault.SLOW, Fault.LATE)])
async def test_faults_are_unknown_and_sent_once(bank: FakeAdyen, proxy: FaultyProxy, fault: Fault) -> None:
    proxy.script("POST /v72/payments", fault)
    call = authorize()
    async with connector(proxy.url, provider_request_timeout_ms=1_500 if fault in SILENT else 20_000) as provider:
        assert isinstance(await provider.authorize(call), Unknown)
        assert len(proxy.seen) == 1, "nobody tries again by itself"
        assert len(bank.books("payment", "m")) == (fault in CHARGED)
        assert isinstance(await provider.authorize(call), Approved)
    assert len(bank.books("payment", "m")) == 1


async def test_refused_connections_are_not_sent(proxy: FaultyProxy) -> None:
    await proxy.stop()
    async with connector(proxy.url) as provider:
        assert isinstance(await provider.authorize(authorize()), NotSent)


async def test_too_late_to_send(proxy: FaultyProxy) -> None:
    async with connector(proxy.url) as provider:
        assert isinstance(await provider.authorize(authorize(window_ms=-1)), NotSent)
    assert proxy.seen == []


async def test_an_sdk_that_takes_too_long_does_not_send(proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline is looked at right before the first byte, however long the SDK took."""
    request = SdkClient.request

    def slow(self: SdkClient, *given: Any, **named: Any) -> Any:
        time.sleep(0.2)  # the SDK takes longer than the call may
        return request(self, *given, **named)

    monkeypatch.setattr(SdkClient, "request", slow)
    async with connector(proxy.url) as provider:
        call = replace(authorize(), send_by_ms=monotonic_ms() + 100)
        assert isinstance(await provider.authorize(call), NotSent)
    assert proxy.seen == []


@pytest.mark.parametrize(
    ("status", "body", "headers", "kind"),
    [
        (422, {"errorCode": "704", "message": "request already processed or in progress"}, {}, KeyInUse),
        (422, {"errorCode": "905", "message": "later"}, {"transient-error": "true"}, Unknown),
        (422, {"errorCode": "14_0408", "message": "no"}, {}, Declined),
        (400, {"errorCode": "702", "message": "no"}, {}, Declined),
        (400, {"oops": "a proxy's"}, {}, Unknown),
        (422, [], {}, Unknown),
        (404, {"errorCode": "000"}, {}, Unknown),
        (429, {"errorCode": "905_4"}, {}, NotSent),
        (500, {"errorCode": "905", "resultCode": "Refused"}, {}, Unknown),
        (503, {}, {}, Unknown),
        (200, {"resultCode": "Authorised"}, {}, Unknown),
        (200, {"resultCode": "Authorised", "pspReference": "P", "merchantReference": "another"}, {}, Unknown),
        (
            200,
            {"resultCode": "Authorised", "pspReference": "P", "amount": {"value": 1.5, "currency": "EUR"}},
            {},
            Unknown,
        ),
        (200, {"resultCode": "Nonsense", "pspReference": "P"}, {}, Unknown),
        (200, {"resultCode": "RedirectShopper", "pspReference": "P"}, {}, Unknown),
        (200, "text", {}, Unknown),
    ],
)
async def test_other_answers(status: int, body: Any, headers: dict[str, str], kind: type[Verdict]) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body, status=status, headers=headers)

    app = web.Application()
    app.router.add_post("/v72/payments", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with connector(f"http://127.0.0.1:{port}") as provider:
            verdict = await provider.authorize(authorize())
        assert type(verdict) is kind
    finally:
        await runner.cleanup()


async def test_what_is_asked_and_where(provider: AdyenProvider) -> None:
    assert provider.supports(token())
    assert not provider.supports("pm_card_visa")
    assert not provider.supports("4111111111111111")
    assert isinstance(await provider.fetch(authorize()), Unknown)
    assert (provider.traits.can_fetch, provider.traits.deduplicates) == (False, True)


async def test_evidence_holds_no_card_data() -> None:
    kept = evidence(200, {"pspReference": "P", "additionalData": {"cardSummary": "1111"}, "amount": {"value": 1}})
    assert kept == {"status": 200, "body": {"pspReference": "P", "amount": {"value": 1, "currency": None}}}
