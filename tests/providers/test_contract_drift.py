"""Genuine answers and events, from which one field is taken or one word replaced at a time: nothing fails, no amount is
guessed, and what would be read differently is counted by its field."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from tallystick.domain.notices import UnknownNotice, Unreadable
from tallystick.domain.verdicts import Approved, Declined, Unknown, Verdict, verdict_name
from tallystick.providers.adyen import read_fields as adyen_fields
from tallystick.providers.contract_drift import (
    OTHER_FIELDS,
    SLOTS_LIMIT,
    Drift,
    DriftTally,
    ReadField,
    ReadObject,
    version_of,
)
from tallystick.providers.port import Provider, ProviderCall, send
from tallystick.providers.receiver import Notification
from tallystick.providers.simulator import read_fields as simulator_fields
from tallystick.providers.simulator import setup as simulator_setup
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.providers.stripe import read_fields as stripe_fields
from tallystick.providers.stripe.calls import API_VERSION
from tallystick.providers.stripe.objects import ATTEMPT
from tallystick.settings.load import Settings
from tests.support.adyen import calls as adyen_calls
from tests.support.answering import answering
from tests.support.connector_suite import Letters, Stub, http, stub
from tests.support.database import DEEP
from tests.support.provider_samples import LETTERS_OF, NOW, Path, places, samples, simulator_samples
from tests.support.stripe import calls as stripe_calls
from tests.support.stripe.events import read
from tests.support.stripe.fake_stripe import fake_stripe

WORD: Final = "brand_new_word"


class Changed(NamedTuple):
    """A sample with one change: ``field`` is what a table would call the place."""

    field: str
    path: Path
    said: Any


def field_of(path: Path) -> str:
    named = ""
    for part in path:
        named += "[]" if isinstance(part, int) else f".{part}"
    return named.removeprefix(".")


def taken(said: Any, path: Path) -> Changed:
    """Without this member."""
    changed = copy.deepcopy(said)
    place = changed
    for part in path[:-1]:
        place = place[part]
    del place[path[-1]]
    return Changed(field_of(path), path, changed)


def replaced(said: Any, path: Path, value: Any) -> Changed:
    """With another value there."""
    changed = copy.deepcopy(said)
    place = changed
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return Changed(field_of(path), path, changed)


def value_at(said: Any, path: Path) -> Any:
    for part in path:
        said = said[part]
    return said


def ending(found: tuple[Drift, ...], field: str, kind: str) -> bool:
    """Whether a difference of this kind names the place, by the object that it is in."""
    return any(each.kind == kind and field.endswith(each.field.partition(".")[2]) for each in found)


# Events


def received(letters: Letters, event: dict[str, Any]) -> Notification:
    delivery = letters.sign(event, letters.secrets[0], NOW)
    [found] = letters.receiver(letters.secrets[:1]).receive(delivery.body, delivery.headers, NOW)
    return found


def as_read(found: Notification) -> dict[str, Any]:
    """All that is read of an event."""
    names = ("occurred_at", "charge_reference", "merchant_id", "payment_id", "notice", "api_version", "type")
    return {name: msgspec.to_builtins(getattr(found, name)) for name in names}


_MONEY: Final = ("notice", "operation", "effect", "amount", "currency", "state", "funds", "verdict", "movements")


def money(part: Any) -> Any:
    """What a notice does to money: kinds, states and amounts."""
    if isinstance(part, Mapping):
        unused = ("amount", "currency") if part.get("effect") == "voided" else ()  # nothing is held any more
        return {name: money(value) for name, value in part.items() if name in _MONEY and name not in unused}
    return [money(each) for each in part] if isinstance(part, list | tuple) else part


#: Ours, or passed on as it is: nobody knows which of it there is.
_OPAQUE: Final = ("metadata", "next_action", "action", "additionalData")


def is_opaque(path: Path) -> bool:
    return any(part in _OPAQUE for part in path[:-1])


@pytest.mark.exhaustive
@pytest.mark.parametrize("provider", LETTERS_OF)
def test_an_event_without_one_of_its_fields(provider: str) -> None:
    letters = LETTERS_OF[provider]
    for name, event in samples(provider):
        whole = received(letters, event)
        assert whole.drift == (), (name, whole.drift)
        for path in places(event):
            if is_opaque(path):
                continue
            changed = taken(event, path)
            found = received(letters, changed.said)
            if isinstance(whole.notice, Unreadable) or whole.notice is None:
                continue
            same = money(msgspec.to_builtins(found.notice)) == money(msgspec.to_builtins(whole.notice))
            fair = isinstance(found.notice, Unreadable) or changed.field in _WITHOUT_A_NAME
            assert same or fair, (name, changed.field, found.notice)
            if as_read(found) != as_read(whole):
                assert ending(found.drift, changed.field, "missing") or changed.field in _NAMES_THE_EVENT[provider], (
                    name,
                    changed.field,
                    found,
                )


#: A name that nobody gives is no guess: what moved is compared with the dispute's position in our ledger.
_WITHOUT_A_NAME: Final = {"data.movement"}

#: Without these there is no event, and the whole of it is a dead letter.
_NAMES_THE_EVENT: Final = {"stripe": {"data"}, "adyen": set[str](), "simulator": {"data"}}

#: Every field that has a closed list of values here, by hand: provider -> object and path.
ENUMS: Final[dict[str, set[str]]] = {
    "stripe": {
        "event.type",
        "payment_intent.object",
        "payment_intent.status",
        "payment_intent.cancellation_reason",
        "payment_intent.last_payment_error.code",
        "payment_intent.last_payment_error.decline_code",
        "refund.object",
        "refund.status",
        "refund.reason",
        "refund.failure_reason",
        "dispute.object",
        "dispute.status",
        "error.type",
        "error.code",
        "error.decline_code",
    },
    "adyen": {
        "item.eventCode",
        "item.success",
        "item.reason",
        "payment.resultCode",
        "payment.refusalReasonCode",
        "modification.status",
        "error.errorCode",
    },
    "simulator": {
        "event.type",
        "operation.operation",
        "operation.status",
        "operation.effect",
        "operation.decline_code",
        "charge.effect",
        "dispute.status",
        "dispute.funds",
    },
}

TABLES: Final[dict[str, dict[str, ReadObject]]] = {
    "stripe": {"event": stripe_fields.EVENT, "error": stripe_fields.ERROR, **stripe_fields.OBJECTS},
    "adyen": {
        "item": adyen_fields.ITEM,
        "payment": adyen_fields.PAID,
        "modification": adyen_fields.MODIFIED,
        "error": adyen_fields.ERROR,
    },
    "simulator": {
        "event": simulator_fields.EVENT,
        "operation": simulator_fields.OPERATION,
        "charge": simulator_fields.CHARGE,
        "refund": simulator_fields.REFUND,
        "dispute": simulator_fields.DISPUTE,
    },
}


@pytest.mark.parametrize("provider", TABLES)
def test_the_closed_lists(provider: str) -> None:
    known = {
        f"{name}.{field.path}"
        for name, table in TABLES[provider].items()
        for field in table.fields
        if field.known is not None
    }
    assert known == ENUMS[provider]


@pytest.mark.exhaustive
@pytest.mark.parametrize("provider", LETTERS_OF)
def test_an_event_with_an_unknown_word(provider: str) -> None:
    """At every place that holds a word of a closed list."""
    letters, met = LETTERS_OF[provider], set[str]()
    for name, event in samples(provider):
        whole = received(letters, event)
        for path in places(event):
            if isinstance(value_at(event, path), Mapping | list):
                continue
            field = field_of(path)
            enums = {each for each in ENUMS[provider] if field.endswith(each.partition(".")[2])}
            changed = replaced(event, path, WORD)
            found = received(letters, changed.said)
            named = {each.field for each in found.drift if (each.kind, each.value) == ("unknown_value", WORD)}
            met |= named
            assert named <= enums, "of other fields every value is one"
            if named and whole.notice is not None and not isinstance(whole.notice, Unreadable):
                same = money(msgspec.to_builtins(found.notice)) == money(msgspec.to_builtins(whole.notice))
                assert isinstance(found.notice, Unreadable | UnknownNotice) or same, (name, field, found.notice)
    of_answers = {"error", "payment", "modification"}
    assert {each for each in ENUMS[provider] if each.partition(".")[0] not in of_answers} == met


# Answers


def stripe_answers() -> Iterator[tuple[str, int, Any, ProviderCall]]:
    def said(name: str, call: ProviderCall) -> dict[str, Any]:
        thing: dict[str, Any] = read(name)["data"]["object"]
        return thing | {"metadata": thing["metadata"] | {ATTEMPT: call.attempt_id}}

    for name in ("succeeded", "amount_capturable_updated", "processing", "requires_action", "payment_failed"):
        call = stripe_calls.authorize()
        yield name, 200, said(f"payment_intent.{name}", call), call
    charge = "pi_3SGexample00000000000001"
    call = stripe_calls.follow_up("capture", charge, 600)
    yield "partial capture", 200, said("payment_intent.succeeded.partial", call), call
    call = stripe_calls.follow_up("cancel", charge)
    yield "cancel", 200, said("payment_intent.canceled", call), call
    for name in ("refund.created", "refund.created.pending", "refund.failed"):
        call = stripe_calls.follow_up("refund", charge, 400)
        yield name, 200, said(name, call), call
    error = {"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds", "message": "No."}
    yield "error", 402, {"error": error}, stripe_calls.authorize()


def adyen_answers() -> Iterator[tuple[str, int, Any, ProviderCall]]:
    from tallystick.providers.adyen.calls import _reference

    money = {"value": 1_000, "currency": "EUR"}
    action = {"type": "redirect", "url": "https://bank.example"}
    refused = {"refusalReason": "Not enough balance", "refusalReasonCode": "12"}
    answers: dict[str, dict[str, Any]] = {
        "authorised": {"resultCode": "Authorised", "amount": money},
        "refused": {"resultCode": "Refused"} | refused,
        "error": {"resultCode": "Error", "refusalReason": "Acquirer Error", "refusalReasonCode": "4"},
        "received": {"resultCode": "Received"},
        "action": {"resultCode": "RedirectShopper", "action": action},
    }
    for name, answer in answers.items():
        call = adyen_calls.authorize()
        yield name, 200, answer | {"pspReference": "P1", "merchantReference": _reference(call)}, call
    call = adyen_calls.follow_up("refund", "P0")
    made = {"pspReference": "P2", "status": "received", "paymentPspReference": "P0", "reference": _reference(call)}
    yield "refund", 201, made, call
    yield "problem", 422, {"errorCode": "101", "message": "Invalid card number"}, adyen_calls.authorize()


def simulator_answers() -> Iterator[tuple[str, int, Any, ProviderCall]]:
    for name, event in simulator_samples():
        call = adyen_calls.authorize()
        if "attempt_id" in event["data"]:
            yield name, 200, event["data"] | {"attempt_id": call.attempt_id}, call


ANSWERS: Final[dict[str, Callable[[], Iterator[tuple[str, int, Any, ProviderCall]]]]] = {
    "stripe": stripe_answers,
    "adyen": adyen_answers,
    "simulator": simulator_answers,
}

#: An error answer without these was written by something between us and them, and proves nothing: it is unknown.
_NOT_THEIRS: Final = {"error", "errorCode"}

VERSIONS: Final = {"stripe": API_VERSION, "adyen": "v72", "simulator": "1"}


def connected(provider: str, url: str) -> Any:
    if provider == "stripe":
        return stripe_calls.connector(url)
    return adyen_calls.connector(url) if provider == "adyen" else _Simulator(url)


class _Simulator:
    def __init__(self, url: str) -> None:
        self._provider = simulator_setup.connect(Settings().with_connector(SimulatorSettings, url=url))

    async def __aenter__(self) -> Provider:
        return self._provider

    async def __aexit__(self, *_: object) -> None:
        await self._provider.close()


async def asked(provider: Provider, served: Stub, call: ProviderCall, status: int, said: Any) -> Any:
    """The verdict on an answer, and how it differed."""
    served.answer = http(status, json.dumps(said).encode(), "Content-Type: application/json", "Acquirer-Version: 1")
    verdict = await send(provider, call)
    assert provider.drift is not None
    return verdict, tuple(drift for drift, _ in provider.drift.take())


def moves(verdict: Verdict) -> tuple[Any, ...]:
    if isinstance(verdict, Approved):
        return (verdict.effect, verdict.amount, verdict.currency)
    return (verdict_name(verdict),)


def shown(verdict: Verdict) -> Any:
    said = msgspec.to_builtins(verdict)
    return {name: value for name, value in said.items() if name not in ("raw", "reason")}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_with_one_change(name: str) -> None:
    met = set[str]()
    named_somewhere = {field.path for table in TABLES[name].values() for field in table.fields}
    named_somewhere |= {f"error.{field}" for field in named_somewhere} | {"amount_details"}
    async with stub(b"") as served, connected(name, served.url) as provider:
        for about, status, said, call in ANSWERS[name]():
            whole, drift = await asked(provider, served, call, status, said)
            assert drift == (), (about, drift)
            assert whole.raw["api_version"] == VERSIONS[name]
            for path in places(said):
                if is_opaque(path) or not (DEEP or field_of(path) in named_somewhere):
                    continue
                changes = [taken(said, path)]
                if any(field_of(path).endswith(each.partition(".")[2]) for each in ENUMS[name]):
                    changes.append(replaced(said, path, WORD))
                for changed, kind in zip(changes, ("missing", "unknown_value"), strict=False):
                    verdict, drift = await asked(provider, served, call, status, changed.said)
                    same = isinstance(whole, Declined) and isinstance(verdict, Declined)
                    assert moves(verdict) == moves(whole) or same or isinstance(verdict, Unknown), (
                        about,
                        changed.field,
                    )
                    named = ending(drift, changed.field, kind)
                    assert named or shown(verdict) == shown(whole) or changed.field in _NOT_THEIRS, (
                        about,
                        changed.field,
                        verdict,
                    )
                    met |= {each.field for each in drift if each.value == WORD}
    of_answers = {"error", "payment", "modification", "operation", "payment_intent", "refund"}
    expected = {each for each in ENUMS[name] if each.partition(".")[0] in of_answers}
    not_in_answers = {"payment_intent.cancellation_reason", "refund.reason"} if name == "stripe" else set[str]()
    assert met >= expected - not_in_answers


@pytest.mark.parametrize("by_reference", [True, False], ids=["by reference", "in a list"])
@pytest.mark.parametrize("operation", ["authorize", "refund"])
async def test_what_a_look_up_finds_is_compared(operation: str, by_reference: bool) -> None:
    """Stripe's has four ways; the test acquirer's reads an answer as its calls do, and Adyen has none."""
    call = stripe_calls.follow_up(operation, "pi_1", reference="odd_1" if by_reference else None)
    odd = {"id": "odd_1", "status": WORD, "amount": 1_000, "currency": "eur", "created": 1, "payment_intent": "pi_1"}
    async with fake_stripe(deduplicates=False) as bank, stripe_calls.connector(bank.url) as provider:
        kind, kept = ("refund", bank.refunds) if operation == "refund" else ("payment_intent", bank.intents)
        kept.append(odd | {"object": kind, "metadata": {ATTEMPT: call.attempt_id}})
        assert isinstance(await provider.fetch(call), Unknown)
        assert Drift(f"{kind}.status", "unknown_value", WORD, True) in [drift for drift, _ in provider.drift.take()]


# The comparison itself


def test_values_that_may_be_card_numbers_are_not_shown() -> None:
    thing = ReadObject("thing", ReadField("word", known={"good"}))
    for word in ("4111 1111 1111 1111", "4111111111111111", "x" * 65, "<b>", "1" * 12):
        [drift] = thing.drift_in({"word": word})
        assert drift == Drift("thing.word", "unknown_value", None), "counted, and not shown"
    [drift] = thing.drift_in({"word": "Shop_2.1-a"})
    assert drift.value == "Shop_2.1-a"
    for version in ("", "x" * 65, "a b", 7, None, "v1\n"):
        assert version_of({"api_version": version}, "api_version") is None


def test_what_a_provider_can_make_us_hold_is_bounded() -> None:
    tally = DriftTally()
    for number in range(SLOTS_LIMIT + 50):
        tally.note([Drift(f"field-{number}", "missing")] * 2)
    taken = tally.take()
    assert len(taken) == SLOTS_LIMIT + 1 and sum(count for _, count in taken) == 2 * (SLOTS_LIMIT + 50)
    assert next(count for drift, count in taken if drift.field == OTHER_FIELDS) == 100
    assert tally.take() == []


async def test_stripe_s_version_is_named_and_not_left_to_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stripe._api_version._ApiVersion.CURRENT", "1999-01-01")
    async with answering((200, {})) as served, stripe_calls.connector(served.url) as provider:
        for call in (stripe_calls.authorize(), stripe_calls.follow_up("refund", "pi_1")):
            await send(provider, call)
            await provider.fetch(call)
    assert len(served.requests) >= 4
    assert {headers["stripe-version"] for _, headers, _ in served.requests} == {API_VERSION}
