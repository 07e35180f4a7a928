"""Amounts that a provider cannot express: refused before anything is recorded, and counted against nobody."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from tallystick.decisions.resubmission import resubmit
from tallystick.domain.money import Exponents
from tallystick.domain.subjects import Attempt
from tallystick.domain.verdicts import NotSent
from tallystick.flows.payments.attempts import carry_out, send_by
from tallystick.flows.payments.idempotency import Reply
from tallystick.flows.recovery.changes import recovery_cause
from tallystick.providers.adyen.calls import AdyenProvider
from tallystick.providers.circuit import BoundedProvider
from tallystick.providers.http import ProviderHttp
from tallystick.providers.port import Provider, ProviderCall, send
from tallystick.providers.shared import connector_traits
from tallystick.providers.simulator.calls import SimulatorProvider
from tallystick.providers.stripe.calls import StripeProvider
from tallystick.settings.load import Settings
from tests.support.circuit import LIMITS, circuit
from tests.support.circuit import call as some_call
from tests.support.database import Database
from tests.support.runtime import BookedProvider, Client, read, runtime_of, timed_out

#: Nobody listens there, and nothing here is to find that out.
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
async def made() -> AsyncIterator[Mapping[str, Provider]]:
    """The three connectors."""
    settings = Settings()
    traits = connector_traits(
        settings, deduplicates=True, lookup_is_consistent=True, key_lifetime_ms=None, late_reports=()
    )

    def http() -> ProviderHttp:
        return ProviderHttp(NOWHERE, request_timeout_ms=1_000, connect_timeout_ms=1_000, connections=4)

    providers: dict[str, Provider] = {
        "simulator": SimulatorProvider(http(), traits),
        "stripe": StripeProvider(http(), traits, api_key="sk_test_1", api_url=NOWHERE),
        "adyen": AdyenProvider(http(), traits, api_key="k", api_url=NOWHERE, merchant_account="m"),
    }
    yield providers
    for each in providers.values():
        await each.close()


@pytest.mark.parametrize(
    ("provider", "currency", "good", "bad"),
    [
        # Whole units at the provider where ISO has two decimals.
        ("simulator", "IDR", (100, 100_000), (1, 50, 33_333)),
        ("simulator", "CVE", (100,), (150,)),
        ("adyen", "IDR", (100, 100_000), (1, 50, 33_333)),
        ("adyen", "CVE", (100,), (150,)),
        ("stripe", "MGA", (100,), (101, 550)),
        # Two decimals there and none here: every amount of ours can be said.
        ("stripe", "ISK", (1, 7), ()),
        ("stripe", "UGX", (1, 7), ()),
        ("adyen", "ISK", (1, 7), ()),
        ("adyen", "CLP", (1, 7), ()),
        # Thousandths, of which the last must be 0.
        *(("stripe", code, (10, 1_230), (1, 1_234, 1_235)) for code in ("BHD", "JOD", "KWD", "OMR", "TND")),
        ("adyen", "KWD", (1, 1_234), ()),
        ("simulator", "KWD", (1, 1_234), ()),
        *((name, "JPY", (1, 7), ()) for name in ("simulator", "stripe", "adyen")),
        *((name, "EUR", (1, 7), ()) for name in ("simulator", "stripe", "adyen")),
    ],
)
async def test_what_can_be_expressed(
    made: Mapping[str, Provider], provider: str, currency: str, good: tuple[int, ...], bad: tuple[int, ...]
) -> None:
    for amount in good:
        assert made[provider].representable(amount, currency), amount
    for amount in bad:
        assert not made[provider].representable(amount, currency), amount


@pytest.mark.parametrize(
    ("provider", "token", "currency"),
    [("stripe", "pm_card_visa", "MGA"), ("adyen", "shopper.ABCD1234EFGH", "IDR")],
)
async def test_what_our_own_side_refuses_is_not_sent_and_counts_nowhere(
    made: Mapping[str, Provider], provider: str, token: str, currency: str
) -> None:
    bounded = BoundedProvider(made[provider], LIMITS)
    for operation in ("authorize", "capture", "refund"):
        for parent in ("ref", None):
            for _ in range(LIMITS.calls):
                verdict = await send(bounded, _call(operation, token, currency, parent))
                assert isinstance(verdict, NotSent) and verdict.raw is None, operation
                assert not verdict.reason.startswith("no connection")
    assert circuit(bounded) == "closed", "a stranger's good payment goes on"
    # It did not reach for a connection; one that could not be made counts, as ever.
    for _ in range(LIMITS.calls):
        verdict = await send(bounded, _call("cancel", token, currency, "ref"))
        assert isinstance(verdict, NotSent) and verdict.reason.startswith("no connection"), verdict
    assert circuit(bounded) == "open"


def _call(operation: Any, token: str, currency: str, parent: str | None) -> ProviderCall:
    return ProviderCall(
        merchant_id="m",
        payment_id=f"pay_{1:032x}",
        attempt_id=f"att_{1:032x}",
        operation=operation,
        amount=150,
        currency=currency,
        payment_method=token,
        capture=True,
        key="k",
        parent_reference=parent,
        reference=None,
        send_by_ms=some_call().send_by_ms,
    )


class Hundreds(BookedProvider):
    """Counts in whole units where we have two decimals."""

    def exponents(self, currency: str) -> Exponents:
        return Exponents(2, 0)

    def representable(self, amount: int, currency: str, exponents: Exponents | None = None) -> bool:
        return (exponents or self.exponents(currency)).expresses(amount)


@pytest.fixture
def bank() -> Hundreds:
    return Hundreds()


@pytest.fixture
async def client(database: Database, bank: Hundreds, fresh_merchant: str) -> AsyncIterator[Client]:
    async with runtime_of(database.app_url, bank) as runtime:
        yield Client(runtime, fresh_merchant)


def refused(reply: Reply) -> None:
    assert reply.status == 422
    (error,) = read(reply)["errors"]
    assert (read(reply)["code"], error["field"], error["code"]) == ("validation_failed", "amount", "not_representable")


async def test_a_given_amount_is_refused_before_the_state_is_looked_at(client: Client, bank: Hundreds) -> None:
    held = read(await client.create("held", 100_000, manual=True))["id"]
    refused(await client.capture("one", held, 33_333))
    refused(await client.refund("two", held, 50))  # it could not be refunded anyway: 409 comes after
    assert [call.operation for call in bank.calls] == ["authorize"]
    captured = await client.capture("one", held, 33_300)  # the key was not taken
    assert (captured.status, read(captured)["amount_captured"]) == (200, 33_300)
    refused(await client.capture("three", held, 1))
    for number in range(25):
        refused(await client.refund(f"refund-{number}", held, 50))
    assert (await client.refund("all", held)).status == 201
    assert [call.operation for call in bank.calls] == ["authorize", "capture", "refund"]
    loaded = await client.runtime.reads.load(client.merchant_id, held)
    assert loaded is not None and {each.state for each in loaded.stored.attempts} == {"approved"}


async def test_a_replay_is_still_a_replay(client: Client, bank: Hundreds, monkeypatch: pytest.MonkeyPatch) -> None:
    held = read(await client.create("held", 100_000, manual=True))["id"]
    first = await client.capture("capture", held, 60_000)
    monkeypatch.setattr(bank, "representable", lambda *_: False)
    again = await client.capture("capture", held, 60_000)
    assert (again.status, again.body, again.replayed) == (200, first.body, True)


async def test_all_that_is_left_is_asked_once_the_state_allows_it(
    client: Client, bank: Hundreds, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:  # made while everything could be expressed
        patch.setattr(Hundreds, "representable", lambda *_: True)
        odd = read(await client.create("odd", 12_345, manual=True))["id"]
        paid = read(await client.create("paid", 12_345))["id"]
        await client.refund("part", paid, 45)
    refused(await client.capture("capture", odd))
    refused(await client.refund("more", paid, 12_345))
    assert (await client.refund("rest", paid)).status == 201, "what is left can be expressed"
    canceled = await client.cancel("cancel", odd)  # told without an amount
    assert (canceled.status, read(canceled)["state"]) == (200, "canceled")
    late = await client.capture("late", odd)  # the state comes first
    assert (late.status, read(late)["code"]) == (409, "transition_rejected")
    late = await client.capture("capture", odd)  # the key was not taken by the refusal
    assert (late.status, read(late)["code"]) == (409, "transition_rejected")


async def test_what_changed_before_the_commit_is_decided_again(
    client: Client, bank: Hundreds, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid = read(await client.create("paid", 12_300))["id"]
    commit = client.runtime.journal.commit
    raced: list[int] = []

    async def overtaken(change: Any) -> Any:
        attempt = change.one(Attempt)
        if not raced and attempt is not None and attempt.idempotency_key == "rest":
            raced.append(attempt.amount)
            with monkeypatch.context() as patch:
                patch.setattr(Hundreds, "representable", lambda *_: True)
                assert (await client.refund("odd", paid, 45)).status == 201
        return await commit(change)

    monkeypatch.setattr(type(client.runtime.journal), "commit", lambda _, change: overtaken(change))
    refused(await client.refund("rest", paid))
    assert raced == [12_300]
    assert [call.amount for call in bank.calls] == [12_300, 45]


async def test_the_exponents_that_are_stored_decide(
    client: Client, bank: Hundreds, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = read(await client.create("held", 100_000, manual=True))["id"]
    monkeypatch.setattr(Hundreds, "exponents", lambda *_: Exponents(2, 2))
    refused(await client.capture("capture", held, 33_333))
    new = read(await client.create("new", 100_000, manual=True))["id"]
    assert (await client.capture("finer", new, 33_333)).status == 200


async def test_what_an_earlier_release_accepted_comes_out_of_doubt(
    client: Client, bank: Hundreds, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = read(await client.create("held", 100_000, manual=True))["id"]
    with monkeypatch.context() as patch:
        patch.setattr(Hundreds, "representable", lambda *_: True)
        bank.before = timed_out
        assert (await client.capture("capture", held, 33_333)).status == 202

    async def refuse(_: ProviderCall) -> NotSent:
        return NotSent(reason="refused before it was written: ValueError")

    bank.before = refuse
    loaded = await client.runtime.reads.load(client.merchant_id, held)
    assert loaded is not None
    (attempt,) = [each for each in loaded.stored.attempts if each.operation == "capture"]
    assert attempt.state == "unknown"
    cause = recovery_cause(client.runtime, "resubmit")
    change = resubmit(loaded.stored, attempt.attempt_id, cause, client.runtime.terms("simulator"))
    await client.runtime.journal.commit(change)
    again = loaded.stored.after(change)
    await carry_out(client.runtime, again, attempt.attempt_id, send_by(client.runtime), doubted=True)
    loaded = await client.runtime.reads.load(client.merchant_id, held)
    assert loaded is not None
    assert loaded.stored.attempt(attempt.attempt_id).state == "not_sent", "no submission of it was ever written"
