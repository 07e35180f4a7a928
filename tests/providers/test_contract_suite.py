"""One suite for every connector: what flows and recovery build on is true of each, or its traits say that it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from msgspec.structs import replace

from tallystick.domain.money import is_currency
from tallystick.domain.verdicts import Approved, Declined, KeyTaken, NotFound, NotSent, Pending, RequiresAction, Unknown
from tallystick.providers.circuit import BoundedProvider, Limits
from tallystick.providers.heard import heard_answers
from tallystick.providers.http import UNREACHABLE
from tallystick.providers.json_bytes import said_in
from tallystick.providers.port import Provider, send
from tests.support.connector_suite import AMOUNT, EFFECTS, MOVES, OPERATIONS, Money, Stand, follow_up, http, stub, tape
from tests.support.faulty_proxy import CHARGED, SILENT, Fault, FaultyProxy, faulty_proxy
from tests.support.ports import free_port
from tests.support.provider_doubles import STANDS

every_operation = pytest.mark.parametrize("operation", OPERATIONS)

#: What leaves a sender without an answer, or without one that can be read.
FAULTS = [fault for fault in Fault if fault not in (Fault.NONE, Fault.SLOW, Fault.LATE)]


LIMITS = Limits(
    calls_at_once=2,
    wait_ms=100,
    failure_percent=50,
    calls=4,
    window_ms=30_000,
    open_ms=60_000,
    open_limit_ms=60_000,
    probes=1,
)


@pytest.fixture(scope="module", params=STANDS)
def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with STANDS[request.param](tmp_path_factory.mktemp("books")) as running:
        yield running


@pytest.fixture
async def provider(stand: Stand) -> AsyncIterator[Provider]:
    async with stand.connect(stand.url) as connected:
        yield connected


@pytest.fixture
async def proxy(stand: Stand) -> AsyncIterator[FaultyProxy]:
    async with faulty_proxy(stand.port) as running:
        yield running


def test_a_name_and_traits_that_go_together(provider: Provider, stand: Stand) -> None:
    assert (provider.name, provider.account) == (stand.name, "main")
    traits = provider.traits
    assert traits.can_fetch or traits.deduplicates, "what is unknown could never be resolved"
    assert traits.can_fetch or not traits.lookup_is_consistent
    assert traits.key_lifetime_ms is None or traits.key_lifetime_ms > 3_600_000


def test_tokens_are_told_apart(provider: Provider, stand: Stand) -> None:
    for token in (stand.good, *stand.declines, stand.action()):
        assert provider.supports(token)
    for token in ("", " ", "4111111111111111", stand.good + "\n", "../x", "\x00"):
        assert not provider.supports(token), token


# What happens.


@pytest.mark.parametrize("capture", [True, False])
async def test_approved(provider: Provider, stand: Stand, capture: bool) -> None:
    call = stand.authorize(capture=capture)
    verdict = await provider.authorize(call)
    assert isinstance(verdict, Approved)
    assert (verdict.effect, verdict.amount, verdict.currency) == (
        "captured" if capture else "authorized",
        AMOUNT,
        "EUR",
    )
    assert verdict.reference
    assert verdict.raw is not None, "the evidence"
    assert await stand.money(call) == Money(AMOUNT, AMOUNT if capture else 0)


async def test_declined(provider: Provider, stand: Stand) -> None:
    for token, (code, retryable) in stand.declines.items():
        call = stand.authorize(token)
        with heard_answers() as heard:
            verdict = await provider.authorize(call)
        assert isinstance(verdict, Declined), verdict
        answer = heard.answer("call")
        assert answer is not None and answer.ended and isinstance(said_in(answer.body), dict), "its bytes are heard"
        assert (verdict.code, verdict.retryable) == (code, retryable)
        assert verdict.message
        assert await stand.money(call) == Money()


async def test_the_customer_must_act(provider: Provider, stand: Stand) -> None:
    call = stand.authorize(stand.action())
    verdict = await provider.authorize(call)
    assert isinstance(verdict, RequiresAction)
    assert verdict.next_action
    assert await stand.money(call) == Money()


@every_operation
async def test_each_operation(provider: Provider, stand: Stand, operation: str) -> None:
    call = await stand.prepared(provider, operation)
    assert await stand.money(call) == MOVES[operation][0]
    answer = await send(provider, call)
    if operation != "authorize" and stand.told is not None:
        assert isinstance(answer, Pending), "received is not done"
        assert answer.reference, "by which it is found when it is told"
    verdict = await stand.outcome(call, answer)
    assert isinstance(verdict, Approved)
    assert (verdict.effect, verdict.amount, verdict.currency) == (EFFECTS[operation], AMOUNT, "EUR")
    assert await stand.money(call) == MOVES[operation][1]


@pytest.mark.parametrize(
    ("operation", "after"), [("capture", Money(AMOUNT, 600)), ("refund", Money(AMOUNT, AMOUNT, 600))]
)
async def test_a_part(provider: Provider, stand: Stand, operation: str, after: Money) -> None:
    call = await stand.prepared(provider, operation, 600)
    verdict = await stand.outcome(call, await send(provider, call))
    assert isinstance(verdict, Approved)
    assert verdict.amount == 600
    assert await stand.money(call) == after


@every_operation
async def test_the_same_key_twice(provider: Provider, stand: Stand, operation: str) -> None:
    call = await stand.prepared(provider, operation, 400 if operation == "refund" else AMOUNT)
    first, again = await send(provider, call), await send(provider, call)
    if provider.traits.deduplicates:
        assert (type(again), again.reference) == (type(first), first.reference)
    moved = MOVES[operation][1] if operation != "refund" else Money(AMOUNT, AMOUNT, 400)
    if not provider.traits.deduplicates and operation in ("authorize", "refund"):
        # Its traits say so: recovery does not send again there before it knows that nothing happened.
        moved = Money(2 * AMOUNT, 2 * AMOUNT) if operation == "authorize" else Money(AMOUNT, AMOUNT, 800)
    assert await stand.money(call) == moved


async def test_units(provider: Provider, stand: Stand) -> None:
    for currency, ours, theirs in stand.currencies:
        assert is_currency(currency)
        assert provider.representable(ours, currency)
        call = stand.authorize(amount=ours, currency=currency)
        verdict = await provider.authorize(call)
        assert isinstance(verdict, Approved), currency
        assert (verdict.amount, verdict.currency) == (ours, currency)
        assert await stand.money(call) == Money(theirs, theirs), currency
        refund = follow_up(call, verdict.reference, "refund", ours)
        back = await stand.outcome(refund, await provider.refund(refund))
        assert isinstance(back, Approved), currency
        assert (back.amount, back.currency) == (ours, currency)
        assert await stand.money(call) == Money(theirs, theirs, theirs), currency
    assert not provider.representable(*stand.unrepresentable)


# What may have happened.


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_answer_is_unknown(provider: Provider, stand: Stand, proxy: FaultyProxy, fault: Fault) -> None:
    """Each operation, side by side: where no answer comes they wait for it together."""
    calls = {operation: await stand.prepared(provider, operation) for operation in OPERATIONS}
    proxy.script("POST .*", fault, times=len(calls))
    patience_ms = 600 if fault in SILENT else 20_000
    async with stand.connect(proxy.url, provider_request_timeout_ms=patience_ms) as spoiled:
        verdicts = await asyncio.gather(*(send(spoiled, call) for call in calls.values()))
    assert {operation: type(verdict) for operation, verdict in zip(calls, verdicts, strict=True)} == dict.fromkeys(
        calls, Unknown
    )
    await proxy.settled()
    assert len(proxy.seen) == len({passage.path for passage in proxy.seen}) == len(calls), "nobody tries again"
    for operation, call in calls.items():
        assert await stand.money(call) == MOVES[operation][fault in CHARGED], operation


#: Answers that prove nothing, whoever wrote them.
UNREADABLE = [
    http(500),
    http(500, b"<html>"),
    http(502, b""),
    http(503, b"{}", "Retry-After: 1"),
    http(504),
    http(408),
    http(302, b"", "Location: /"),
    http(200, b""),
    http(200, b"{"),
    http(200, b"[]"),
    http(200, b"null"),
    http(200, b'"ok"'),
    http(200, b"{}"),
    http(200, b"\xff\xfe\x00"),
    http(200, b"[" * 100_000),
    http(200, b'{"status": "approved"'),
    http(204, b""),
    http(200, b"x" * 1_048_577),
    http(400, b"<html>who are you</html>"),
    http(404, b""),
    b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
    b"no HTTP at all\r\n\r\n",
    b"",
]


@every_operation
async def test_an_answer_that_cannot_be_read_is_unknown(stand: Stand, operation: str) -> None:
    call = follow_up(stand.authorize(), "REFERENCE", operation)
    for answer in UNREADABLE:
        async with stub(answer) as served, stand.connect(served.url) as provider:
            verdict = await send(provider, call)
            assert type(verdict) is Unknown, (answer[:80], verdict)
            assert served.requests == 1, answer[:80]
            if provider.traits.can_fetch:
                found = await provider.fetch(call)
                assert isinstance(found, Unknown) or b" 404 " in answer[:20], (answer[:80], found)


#: Whose answers name the attempt that they are about: what they say of another one is that it used the key.
NAMES_THE_ATTEMPT = {
    "simulator": ("authorize", "capture", "cancel", "refund"),
    "stripe": ("authorize", "refund"),
    "adyen": ("authorize", "capture", "cancel", "refund"),
}


@every_operation
async def test_an_answer_for_another_attempt_approves_nothing(provider: Provider, stand: Stand, operation: str) -> None:
    """Where it is about the same object, the key is known to be taken; about another object it says nothing of ours."""
    async with tape(stand.port) as recorded, stand.connect(recorded.url) as listened:
        other = await stand.prepared(provider, operation)
        answer = await send(listened, other)
        assert isinstance(answer, Approved | Pending)
    async with stub(recorded.answer) as served, stand.connect(served.url) as provider_2:
        assert type(await send(provider_2, other)) is type(answer), "which is what it was about"
        call = await stand.prepared(provider, operation)
        said = await send(provider_2, call)
        assert isinstance(said, KeyTaken | Unknown)
        assert isinstance(said, KeyTaken) == (operation in NAMES_THE_ATTEMPT[stand.name])


# What did not happen.


@every_operation
async def test_a_refused_connection_is_not_sent(stand: Stand, operation: str) -> None:
    call = follow_up(stand.authorize(), "REFERENCE", operation)
    async with stand.connect(f"http://127.0.0.1:{free_port()}") as provider:
        verdict = await send(provider, call)
        assert isinstance(verdict, NotSent)
        assert verdict.reason.startswith(UNREACHABLE), "it counts against the provider"
        assert isinstance(await provider.fetch(call), Unknown)


@every_operation
async def test_too_late_is_not_sent(provider: Provider, stand: Stand, proxy: FaultyProxy, operation: str) -> None:
    async with stand.connect(proxy.url) as watched:
        for connection in ("new", "kept"):
            call = replace(await stand.prepared(provider, operation), send_by_ms=0)
            verdict = await send(watched, call)
            assert isinstance(verdict, NotSent), connection
            assert not verdict.reason.startswith(UNREACHABLE), "it is our own fault"
            assert await stand.money(call) == MOVES[operation][0]
            assert [passage.method for passage in proxy.seen] == ["POST"] * (connection == "kept")
            if connection == "new":
                await watched.authorize(stand.authorize())


@every_operation
@pytest.mark.parametrize("status", [401, 403, 429])
async def test_a_shut_door_is_not_sent(stand: Stand, status: int, operation: str) -> None:
    call = follow_up(stand.authorize(), "REFERENCE", operation)
    for body in (b"{}", b"", b"<html>slow down</html>"):
        async with stub(http(status, body)) as served, stand.connect(served.url) as provider:
            verdict = await send(provider, call)
            assert type(verdict) is NotSent, (body, verdict)
            assert verdict.raw is not None, "somebody answered: the provider is not down"
            # A question that was not answered is never evidence, behind its circuit or without it.
            assert type(await provider.fetch(call)) is Unknown
            assert type(await BoundedProvider(provider, LIMITS).fetch(call)) is Unknown


async def test_its_circuit_opens(stand: Stand) -> None:
    for address in ("closed", "silent"):
        async with stub(b"") as served:
            url = served.url if address == "silent" else f"http://127.0.0.1:{free_port()}"
            async with stand.connect(url) as inner:
                provider = BoundedProvider(inner, LIMITS)
                for operation in OPERATIONS:
                    await send(provider, follow_up(stand.authorize(), "REFERENCE", operation))
                assert provider.circuit == "open", address
                requests = served.requests
                assert isinstance(await provider.authorize(stand.authorize()), NotSent)
                assert served.requests == requests
    async with stand.connect(stand.url) as inner:
        provider = BoundedProvider(inner, LIMITS)
        for _ in range(2 * LIMITS.calls):
            for token in stand.declines:
                assert isinstance(await provider.authorize(stand.authorize(token)), Declined)
        assert provider.circuit == "closed"


# What is found.


async def test_a_lookup_tells_of_its_attempt_alone(provider: Provider, stand: Stand) -> None:
    first = stand.authorize(capture=False)
    held = await provider.authorize(first)
    capture = follow_up(first, held.reference, "capture", 900)
    refunds = [follow_up(first, held.reference, "refund", amount) for amount in (100, 200)]
    never = [follow_up(first, held.reference, "refund", 100), stand.authorize()]
    if not provider.traits.can_fetch:
        for call in (first, capture, *refunds, *never):
            assert type(await provider.fetch(call)) is Unknown, "never evidence"
        return
    assert type(await provider.fetch(capture)) is NotFound, "not yet"
    assert isinstance(await provider.capture(capture), Approved)
    for refund in refunds:
        assert type(await provider.fetch(refund)) is NotFound
        made = await provider.refund(refund)
        assert isinstance(made, Approved)
        for call in (refund, replace(refund, reference=made.reference)):
            found = await provider.fetch(call)
            assert isinstance(found, Approved)
            assert (found.effect, found.amount, found.currency, found.reference) == (
                "refunded",
                refund.amount,
                "EUR",
                made.reference,
            )
    found = await provider.fetch(capture)
    assert isinstance(found, Approved)
    assert (found.effect, found.amount, found.currency) == ("captured", 900, "EUR"), "whatever was refunded"
    assert isinstance(await provider.fetch(first), Approved)
    for call in never:
        assert type(await provider.fetch(call)) is NotFound


async def test_a_lookup_moves_nothing(provider: Provider, stand: Stand) -> None:
    for operation in OPERATIONS:
        call = await stand.prepared(provider, operation)
        for _ in range(2):
            await provider.fetch(call)
        assert await stand.money(call) == MOVES[operation][0]
