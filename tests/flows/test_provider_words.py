"""The screen for what providers say: no field of anything they say goes round it, and no code does."""

from __future__ import annotations

import ast
import itertools
import types
import typing
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace
from structlog.testing import capture_logs

import tallystick
from tallystick.domain.dispute_movement import Movement
from tallystick.domain.notices import StoredNotice
from tallystick.domain.provider_words import NAMES, OWN_NAMES
from tallystick.domain.storable import CANNOT_KEEP
from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import Approved, NotFound, NotSent, Unknown, Verdict
from tallystick.flows.provider_words import MASKED, SEALED, ProviderWords
from tallystick.flows.screened_provider import CANNOT_OPEN, CANNOT_SEAL, ScreenedProvider, screened_providers
from tallystick.flows.webhooks.inbound.envelope import envelope_of
from tallystick.kit.card_mask import mask_cards, names_a_card
from tallystick.kit.ids import new_id
from tallystick.providers.port import Provider, ProviderCall, ProviderEffect
from tallystick.providers.receiver import Notification
from tallystick.providers.simulator.receiver import SimulatorReceiver
from tallystick.record.name_seal import PREFIX, NameSeal
from tallystick.record.sealing import SealBroken, Sealer, sealer_of
from tallystick.settings.load import Settings
from tests.support.card_numbers import WRITTEN, numbers, readings
from tests.support.connector_suite import follow_up
from tests.support.runtime import BookedProvider
from tests.support.screen import SCREEN

NUMBER: Final = "4111111111111111"
NOW: Final = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)

#: Everything that a provider says comes as one of these.
SAID: Final = (*get_args(Verdict), *get_args(StoredNotice), Movement, Notification, ProviderEffect)


def filled(struct: type[Struct], text: str) -> Iterator[Struct]:
    """The struct with a text in every field that can hold one, nested ones too; once for each kind of nested struct."""
    hints = typing.get_type_hints(struct)
    fields = {name: list(_values(hints[name], text)) for name in struct.__struct_fields__}
    most = max(map(len, fields.values()))
    for number in range(most):
        yield struct(**{name: values[number % len(values)] for name, values in fields.items()})


def _values(hint: Any, text: str) -> Iterator[Any]:
    origin = get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        for each in get_args(hint):
            if each is not type(None):
                yield from _values(each, text)
    elif origin is Literal:
        yield get_args(hint)[0]
    elif origin is tuple:
        yield tuple(_values(get_args(hint)[0], text))
    elif origin is dict:
        yield {text: [{"deep": text}], "n": 1}
    elif isinstance(hint, type) and issubclass(hint, tuple):
        yield hint(*(next(_values(each, text)) for each in typing.get_type_hints(hint).values()))
    elif isinstance(hint, type) and issubclass(hint, Struct):
        yield from filled(hint, text)
    else:
        yield {str: text, int: 1000, bool: True, bytes: b"", datetime: NOW}[hint]


@pytest.mark.parametrize("struct", SAID)
def test_every_field_of_everything_that_is_said(struct: type[Struct]) -> None:
    """A field that is added later is in this, too."""
    for said in filled(struct, f"said {NUMBER}."):
        assert NUMBER not in msgspec.json.encode(SCREEN.screened(said, "simulator", "main")).decode()


@pytest.mark.exhaustive
@given(data=st.data(), struct=st.sampled_from(SAID), number=numbers(), way=st.sampled_from(sorted(WRITTEN)))
def test_however_it_is_said(data: st.DataObject, struct: type[Struct], number: str, way: str) -> None:
    said = data.draw(st.sampled_from(list(filled(struct, f"said {WRITTEN[way](number)}."))))
    shown = msgspec.json.encode(SCREEN.screened(said, "simulator", "main")).decode()
    assert not any(number in reading for reading in readings(shown)), shown


@pytest.mark.parametrize("struct", SAID)
def test_what_has_no_card_number_is_not_touched(struct: type[Struct]) -> None:
    for said in filled(struct, "Your card was declined: ch_8836183819713023"):
        assert SCREEN.screened(said, "simulator", "main") is said


def test_names_stay_comparable() -> None:
    """The same name is the same text wherever it comes from, and is shown masked."""
    verdict = SCREEN.screened(Approved(amount=1, currency="EUR", effect="captured", reference=NUMBER), "adyen", "main")
    event = SCREEN.screened(
        Notification(provider_event_id=f"CAPTURE:{NUMBER}:true", type="CAPTURE", charge_reference=NUMBER), "adyen", "eu"
    )
    assert verdict.reference == event.charge_reference
    assert str(verdict.reference).startswith(f"{PREFIX}{'*' * 16}:")
    assert event.provider_event_id.startswith(f"{PREFIX}CAPTURE:{'*' * 16}:true:")
    elsewhere = SCREEN.kept_name(NUMBER, "stripe")
    assert elsewhere != verdict.reference, "bound to the provider"
    for name in ("VK9DRSLLRCQ2WN82", "8836183819713023", "pi_3Q4111", f"99{NUMBER}"):
        assert SCREEN.kept_name(name, "adyen") is name, "kept by its shape"


@pytest.mark.exhaustive
@given(number=numbers(), name=st.text(max_size=20))
def test_a_name_is_opened_to_what_it_was(number: str, name: str) -> None:
    seal = NameSeal(Sealer(lambda: [b"k" * 32]))
    for said in (number, f"{PREFIX}{name}", f"{name} {number}", name):
        kept = seal.kept(said, "adyen")
        assert seal.opened(kept, "adyen") == said
        assert not names_a_card(kept)
        assert seal.given(said, "adyen") == kept and (kept is said or seal.given(kept, "adyen") == kept)


def test_keys_of_names() -> None:
    """A new key before the old one changes no name; another key, or another provider, opens none."""
    old, new = b"o" * 32, b"n" * 32
    kept = NameSeal(Sealer(lambda: [old])).kept(NUMBER, "adyen")
    both = NameSeal(Sealer(lambda: [new, old]))
    assert both.kept(NUMBER, "adyen") == kept
    assert both.opened(kept, "adyen") == NUMBER
    assert NameSeal(Sealer(lambda: [new])).kept(NUMBER, "adyen") != kept
    wrong = [(kept, "stripe"), (f"{kept}x", "adyen"), (f"{PREFIX}x:AgAA", "adyen"), (f"{PREFIX}é", "adyen")]
    for name, provider in wrong:
        with pytest.raises(SealBroken):
            both.opened(name, provider)
    with pytest.raises(SealBroken):
        NameSeal(Sealer(lambda: [new])).opened(kept, "adyen")


def test_our_own_names_come_back_as_we_gave_them() -> None:
    """By their shape: a merchant's name of digits may hold a number that would be masked in a text."""
    merchant = f"99{NUMBER}"
    assert mask_cards(merchant) != merchant
    effect = ProviderEffect(
        reference="re_1", operation="refund", merchant_id=merchant, payment_id=f"pay_{'1' * 32}",
        attempt_id=f"att_{NUMBER * 2}", amount=1, currency="EUR", state="booked",
    )  # fmt: skip
    assert SCREEN.screened(effect, "simulator", "main") is effect
    for strange in (NUMBER, f"att_{NUMBER}", f"pay_ {NUMBER}"):
        assert SCREEN.screened(replace(effect, merchant_id=strange), "simulator", "main").merchant_id != strange


def test_a_trace_is_not_a_card_number() -> None:
    receiver = SimulatorReceiver("main", ["s"])
    told = Notification(provider_event_id="evt_1", type="report.ready")
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    bad = f"00-0af7651916cd43dd8448eb211c80319c-{NUMBER}-01"
    for given_trace, kept in ((good, True), (bad, False)):
        headers = {"traceparent": given_trace}
        assert (envelope_of(receiver, told, b"", headers, NOW, SCREEN).traceparent == given_trace) is kept


class Talkative(BookedProvider):
    """Names its charges by card numbers, and talks of them."""

    def __init__(self, said: Verdict | None = None) -> None:
        super().__init__()
        self.said = said or Approved(amount=1, currency="EUR", effect="captured", reference=NUMBER, raw={"pan": NUMBER})

    async def _do(self, call: ProviderCall) -> Verdict:
        self.calls.append(call)
        return self.said

    async def fetch(self, call: ProviderCall) -> Verdict:
        return await self._do(call)

    async def held_by_key(self, key: str) -> dict[str, Any] | None:
        return {key: {"number": NUMBER}}

    async def effects_since(self, since: datetime) -> AsyncIterator[ProviderEffect]:
        yield ProviderEffect(
            reference=NUMBER, operation="refund", merchant_id="m", payment_id="p", attempt_id="a", amount=1,
            currency="EUR", state=f"booked by {NUMBER}",
        )  # fmt: skip


def authorize(**fields: Any) -> ProviderCall:
    values: dict[str, Any] = {"amount": 1, "currency": "EUR", "payment_method": "x", "capture": True, "key": "k"}
    names = {"merchant_id": "m", "payment_id": new_id("pay"), "attempt_id": new_id("att"), "operation": "authorize"}
    return ProviderCall(**(values | names | {"parent_reference": None, "reference": None, "send_by_ms": 0} | fields))


async def test_every_way_to_a_provider() -> None:
    """What it says is screened, and it hears the names that it gave."""
    bank = Talkative()
    [provider] = screened_providers({"simulator": bank}, SCREEN).values()
    first = authorize()
    for operation in ("authorize", "capture", "cancel", "refund", "fetch"):
        verdict = await getattr(provider, operation)(first)
        assert verdict.reference.startswith(PREFIX) and verdict.raw == {"pan": "*" * 16}, operation
        follows = follow_up(first, verdict.reference, "capture")
        await getattr(provider, operation)(replace(follows, reference=verdict.reference))
        assert (bank.calls[-1].parent_reference, bank.calls[-1].reference) == (NUMBER, NUMBER)
    assert await provider.held_by_key("k") == {"k": {"number": "*" * 16}}
    effects = provider.effects_since(NOW)
    assert effects is not None
    [effect] = [each async for each in effects]
    assert effect.reference == SCREEN.kept_name(NUMBER, "simulator")
    assert effect.state == f"booked by {'*' * 16}"


async def test_what_the_record_cannot_hold_is_not_said() -> None:
    """The database would refuse the change, and the outcome would be tried for ever."""
    said = Approved(amount=1, currency="EUR", effect="captured", reference="a\x00")
    provider = ScreenedProvider(Talkative(said), SCREEN)
    for operation in ("authorize", "capture", "cancel", "refund", "fetch"):
        assert await getattr(provider, operation)(authorize()) == Unknown(reason=CANNOT_KEEP), operation


async def _charges() -> AsyncIterator[Mapping[str, Any]]:
    yield {"id": NUMBER, "merchant_id": f"99{NUMBER}", "currency": NUMBER, "amount": 1000, "attempt_ids": [NUMBER, "a"]}


async def test_a_list_of_charges() -> None:
    [charge] = [each async for each in SCREEN.screened_charges(_charges(), "simulator")]
    assert charge["id"] == SCREEN.kept_name(NUMBER, "simulator")
    assert (charge["currency"], charge["amount"]) == ("*" * 16, 1000)
    assert (charge["merchant_id"], charge["attempt_ids"]) == (f"99{NUMBER}", ["*" * 16, "a"])


async def test_without_a_key(tmp_path: Path) -> None:
    """What cannot be kept is not known, and what cannot be addressed is not sent; a person is told."""
    (tmp_path / "file").touch()
    keyless = ProviderWords(sealer_of(Settings(data_dir=str(tmp_path / "file" / "below"))), alert=lambda *_: None)
    bank = Talkative()
    provider = ScreenedProvider(bank, keyless)
    kept = SCREEN.kept_name(NUMBER, "simulator")
    with capture_logs() as logged:
        assert await provider.authorize(authorize()) == Unknown(reason=CANNOT_SEAL)
        heard = len(bank.calls)
        assert await provider.capture(authorize(parent_reference=kept)) == NotSent(reason=CANNOT_OPEN)
        assert await provider.fetch(authorize(reference=kept)) == Unknown(reason=f"lookup: {CANNOT_OPEN}")
    assert len(bank.calls) == heard
    assert [line["alert"] for line in logged] == [True] * 3
    bank.said = NotFound(raw={"said": "nothing"})
    assert await provider.fetch(authorize()) == bank.said, "all else needs no key"


async def test_one_alert_an_hour() -> None:
    """Of an account and kind, with how many there were."""
    words = ProviderWords(Sealer(lambda: [b"k" * 32]))
    provider = ScreenedProvider(Talkative(), words)
    with capture_logs() as logged:
        for _ in range(3):
            await provider.authorize(authorize())
        assert sorted(line["what"] for line in logged) == [SEALED, MASKED]
        words.flush()
    found = [(line["what"], line["since_last_line"]) for line in logged if line["alert"]]
    assert sorted(found) == [(SEALED, 1), (SEALED, 2), (MASKED, 1), (MASKED, 2)]
    assert NUMBER not in str(logged)


def test_the_screen_has_every_way_of_the_port() -> None:
    """A method that is added to the port would else go round it, or answer nothing."""
    public = {name for name in vars(Provider) if not name.startswith("_")}
    assert {"authorize", "fetch", "effects_since", "circuit"} <= public
    assert public <= vars(ScreenedProvider).keys()


#: What hands out a provider's words as they came -> the modules that may use it: they screen them, or pass them on to
#: one that does.
RAW_WORDS: Final = {
    "Envelope": {"flows/webhooks/inbound/envelope.py"},
    "Runtime": {"flows/assembly.py"},
    "connected_providers": {"flows/assembly.py", "run/doctor/record.py"},  # the doctor asks none of them
    "receive": {"interfaces/api/routes/provider_webhooks.py", "interfaces/api/body_reader.py"},  # a client's request
    "translate": {"flows/webhooks/inbound/kept_bytes.py"},
    "charges": {"cli/verify.py"},
    "list_charges": {"lab/demo/run.py"},
}

#: Inside their own rooms they are what these rooms do.
OUTSIDE: Final = ("providers/", "lab/acquirer/", "kit/", "lab/bench/")


def test_no_code_goes_round_the_screen() -> None:
    root = Path(tallystick.__file__).parent
    used: dict[str, set[str]] = {name: set() for name in RAW_WORDS}
    for file in root.rglob("*.py"):
        place = file.relative_to(root).as_posix()
        if place.startswith(OUTSIDE):
            continue
        source = file.read_text()
        if not any(f"{name}(" in source for name in RAW_WORDS):  # most files: parsing them all takes half a second
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", None)
                if called in used:
                    used[called].add(place)
    assert used == RAW_WORDS


def test_names_are_fields_of_what_is_said() -> None:
    fields = set(itertools.chain.from_iterable(struct.__struct_fields__ for struct in SAID))
    assert fields >= NAMES
    assert fields >= OWN_NAMES - {"attempt_ids"}, "of a listed charge"


def test_traits_are_no_words() -> None:
    """The connector's own declaration has no text in it."""
    assert not any(hint is str for hint in typing.get_type_hints(Traits).values())
