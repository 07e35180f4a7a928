"""The scenes: each brings some columns of the table about, on a database of its own."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg
import pytest

from tallystick.contract.fault_table import FAULTS, INSTRUCTIONS, PROVIDERS
from tallystick.domain import money
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.oversight.invariants import verify
from tallystick.providers.adyen.calls import AdyenProvider
from tallystick.providers.adyen.setup import AdyenSettings
from tallystick.providers.assembly import connected_providers, limits_of
from tallystick.providers.circuit import BoundedProvider
from tallystick.providers.port import ProviderCall, send
from tallystick.providers.simulator.calls import SimulatorProvider
from tallystick.providers.stripe.calls import StripeProvider
from tallystick.providers.stripe.setup import StripeSettings
from tallystick.settings.load import Settings
from tests.guarantees.fault_table.process import SETTINGS, ApiProcess, api_process
from tests.guarantees.fault_table.stands import METHODS, Programs, Stands, http_answer, stands
from tests.guarantees.fault_table.trial import OPERATIONS, Trial
from tests.support.circuit import Time, circuit
from tests.support.database import Database
from tests.support.faulty_proxy import Fault
from tests.support.host_clock import set_host_clock
from tests.support.restored import back_up

Logged = list[MutableMapping[str, Any]]

#: A circuit that one call without an answer opens: what a client causes must not count at all.
ANY_FAILURE_OPENS = dataclasses.replace(
    SETTINGS, provider_circuit_calls=1, provider_circuit_failure_percent=1, provider_circuit_probes=1
)

#: Where faults of the providers are the rule, and the circuit is not what the cell is about.
NO_FAILURE_OPENS = dataclasses.replace(SETTINGS, provider_circuit_calls=1_000_000)

FIVE_MINUTES_MS = 300_000

#: An amount that no provider can express while it is made so.
ODD = 12_345

#: Provider -> a currency that it counts in units a hundred times as large as ours.
WHOLE = {"simulator": "IDR", "stripe": "MGA", "adyen": "IDR"}

#: Leaves the list while payments in it are open.
LEAVING = "SEK"


def trials_of(fault: str, providers: Iterable[str] = PROVIDERS, **fields: Any) -> list[Trial]:
    """The cells of one column."""
    return [Trial(instruction, name, fault, **fields) for name in providers for instruction in INSTRUCTIONS]


@asynccontextmanager
async def scene(database: Database, programs: Programs, settings: Settings) -> AsyncIterator[ApiProcess]:
    """A process with all three providers."""
    async with stands(programs) as there, api_process(database, there, there.settings(settings)) as process:
        yield process


async def each(trials: Sequence[Trial], do: Callable[[Trial], Any]) -> None:
    """For all of them at once: one cell does not wait for another."""
    await asyncio.gather(*(do(trial) for trial in trials))


async def prepare(process: ApiProcess, trials: Sequence[Trial]) -> None:
    """What the instructions act on."""
    keys = await process.keys_of([trial.merchant_id for trial in trials])
    for trial, key in zip(trials, keys, strict=True):
        trial.api_key = key
    await each(trials, lambda trial: trial.prepare(process))


async def ask_strangers(process: ApiProcess, trials: Sequence[Trial]) -> None:
    """Another merchant pays: at the same provider where a client caused the fault, otherwise at another one."""
    for fault in {trial.fault for trial in trials}:
        for name in {trial.provider for trial in trials if trial.fault == fault}:
            other = PROVIDERS[(PROVIDERS.index(name) + 1) % len(PROVIDERS)]
            where = name if FAULTS[fault].by_client else other
            paid = await process.stranger_pays(where)
            for trial in trials:
                if (trial.fault, trial.provider) == (fault, name):
                    trial.unharmed = paid


async def follow(process: ApiProcess, trials: Sequence[Trial], *, later: bool = True) -> None:
    """From the answers to the end: recovery, then what may still arrive, requests that were lost among it."""

    await process.recovered(later=later)
    await each(trials, lambda trial: trial.look_before(process))
    for proxy, passage in process.stands.lost():
        await proxy.deliver(passage)
    told = await process.hear({trial.merchant_id: trial.provider for trial in trials})
    await each(trials, lambda trial: trial.look_after(process, told[trial.merchant_id]))
    asked = [(trial.provider, trial.instruction, trial.attempt_id) for trial in trials]
    for trial, effects in zip(trials, await process.stands.effects(asked), strict=True):
        assert effects in (None, 0, 1), f"money moved {effects} times: {trial.cell}"
        assert effects != 0 or trial.after is None or trial.after.key_taken or trial.after.state != "approved"


async def books_hold(process: ApiProcess) -> None:
    """Every invariant of the record."""
    async with process.runtime.pool.acquire() as pooled:
        report = await verify(cast(asyncpg.Connection, pooled), settings=process.runtime.settings)
    assert [one.detail for one in report.violations] == []


async def clients_faults(database: Database, programs: Programs, patch: pytest.MonkeyPatch) -> list[Trial]:
    """Amounts, currencies and keys, beside a circuit that any failure that counts would open."""
    amounts = [dataclasses.replace(trial, **_odd(trial)) for trial in trials_of("amount_not_representable")]
    currencies = trials_of("currency_gone", currency=LEAVING)
    in_use, otherwise = trials_of("key_in_use"), trials_of("key_used_otherwise")
    every = [*amounts, *currencies, *in_use, *otherwise]
    async with scene(database, programs, ANY_FAILURE_OPENS) as process:
        await prepare(process, every)
        for connector in (SimulatorProvider, StripeProvider, AdyenProvider):
            _refuse_odd(patch, connector)
        patch.setattr(money, "ACCEPTED", money.ACCEPTED - {LEAVING})
        for trial in in_use:
            _say_in_use(process.stands, trial)
        await each(otherwise, lambda trial: _use_key(process, trial))
        await each(every, lambda trial: trial.instruct(process))
        await ask_strangers(process, every)
        await each([trial for trial in in_use if trial.provider == "simulator"], lambda t: _repeat_at_once(process, t))
        await follow(process, every)
        assert {name: circuit(provider) for name, provider in process.runtime.providers.items()} == dict.fromkeys(
            PROVIDERS, "closed"
        ), "what a client causes counts against no provider"
        await books_hold(process)
    return every


def _odd(trial: Trial) -> dict[str, Any]:
    """Amounts between the provider's units. A hold of such an amount cannot be made, so that it becomes one later."""
    currency = WHOLE[trial.provider]
    match trial.instruction:
        case "create":
            return {"amount": 150, "currency": currency}
        case "cancel":
            return {"amount": ODD}
        case _:
            return {"amount": 100_000, "currency": currency, "part": 33_333}


def _refuse_odd(patch: pytest.MonkeyPatch, connector: Any) -> None:
    real = connector.representable

    def representable(self: Any, amount: int, *rest: Any) -> bool:
        return amount != ODD and bool(real(self, amount, *rest))

    patch.setattr(connector, "representable", representable)


def _say_in_use(there: Stands, trial: Trial) -> None:
    """Once, in the provider's stead. The acquirer has no such answer."""
    if trial.provider == "stripe":
        error = {"type": "invalid_request_error", "code": "idempotency_key_in_use", "message": "in use"}
        said = http_answer(409, {"error": error})
    elif trial.provider == "adyen":
        said = http_answer(422, {"status": 422, "errorCode": "704", "errorType": "validation", "message": "in use"})
    else:
        return
    there.proxies[trial.provider].by_key[trial.provider_key] = [said]


async def _repeat_at_once(process: ApiProcess, trial: Trial) -> None:
    """The same request twice more, at once: the acquirer answers each as it did the first."""
    [passage] = trial.passages(process)
    proxy = process.stands.proxies[trial.provider]
    answers = await asyncio.gather(proxy.deliver(passage), proxy.deliver(passage))
    assert [answer.split(b" ", 2)[1] for answer in answers] == [b"200", b"200"]
    assert answers[0].partition(b"\r\n\r\n")[2] == answers[1].partition(b"\r\n\r\n")[2]


async def _use_key(process: ApiProcess, trial: Trial) -> None:
    """Another attempt of the same kind uses the provider's key first, for other money."""
    other = None if trial.instruction == "create" else await trial.start(process, "other")
    call = ProviderCall(
        merchant_id=trial.merchant_id,
        payment_id=new_id("pay") if other is None else other["id"],
        attempt_id=new_id("att"),
        operation=cast(Any, OPERATIONS[trial.instruction]),
        amount=500,
        currency="EUR",
        payment_method=METHODS[trial.provider],
        capture=True,
        key=trial.provider_key,
        parent_reference=None if other is None else other["provider_reference"],
        reference=None,
        send_by_ms=monotonic_ms() + 60_000,
    )
    await send(process.runtime.provider(trial.provider), call)
    trial.earlier = len(process.stands.passed(trial.provider, trial.provider_key))
    assert trial.earlier == 1


async def provider_gone(database: Database, programs: Programs) -> list[Trial]:
    """Processes that lack one provider each, beside one that has all, which was there before and comes back."""
    trials = trials_of("provider_gone")
    async with scene(database, programs, NO_FAILURE_OPENS) as whole:
        await prepare(whole, trials)
        full = whole.stands.settings(NO_FAILURE_OPENS)
        without = {
            "simulator": dataclasses.replace(full, simulator="off"),
            "stripe": full.with_connector(StripeSettings, api_key=None, webhook_secrets=None),
            "adyen": full.with_connector(AdyenSettings, api_key=None, hmac_keys=None),
        }
        for name, settings in without.items():
            mine = [trial for trial in trials if trial.provider == name]
            async with api_process(database, whole.stands, settings) as process:
                await each(mine, lambda trial, process=process: trial.instruct(process))
                await ask_strangers(process, mine)
                await process.recovered()
                await each(mine, lambda trial, process=process: trial.look_before(process))
                await each(mine, lambda trial, process=process: trial.look_after(process, []))
        # The acquirer's events come to a process where it is on.
        of_bank = [trial for trial in trials if trial.provider == "simulator" and trial.key_after == "taken"]
        told = await whole.hear({trial.merchant_id: "simulator" for trial in of_bank})
        await each(of_bank, lambda trial: trial.look_after(whole, told[trial.merchant_id]))
        await each(trials, lambda trial: _comes_back(whole, trial))
        await books_hold(whole)
    return trials


async def _comes_back(process: ApiProcess, trial: Trial) -> None:
    """With the provider back in the settings, the same request is carried out."""
    if trial.key_after == "free":
        answer = await trial.send(process)
        assert answer.is_success, answer.text
        assert len(trial.passages(process)) == 1


async def circuit_open(database: Database, programs: Programs) -> list[Trial]:
    """Each provider in turn does not answer; then it does, and the circuits close."""
    trials, time = trials_of("circuit_open"), Time()
    async with stands(programs) as there:
        settings = there.settings(ANY_FAILURE_OPENS)
        connectors = {
            name: BoundedProvider(connector, limits_of(settings, name), time)
            for name, connector in connected_providers(settings).items()
        }
        async with api_process(database, there, settings, connectors) as process:
            await prepare(process, trials)
            for name in PROVIDERS:
                mine = [trial for trial in trials if trial.provider == name]
                await there.proxies[name].stop()
                assert (await process.stranger_pays(name)).startswith("202")
                await there.proxies[name].start()
                assert circuit(connectors[name]) == "open"
                await each(mine, lambda trial: trial.instruct(process))
                await ask_strangers(process, mine)
                await process.round_now()
                assert [len(trial.passages(process)) for trial in mine] == [0] * len(mine), "recovery waits as well"
                time.now_s += settings.provider_circuit_open_ms / 1000
                await process.recovered(later=False)
                assert circuit(connectors[name]) == "closed"
            await follow(process, trials, later=False)
            await books_hold(process)
    return trials


async def clock_off(database: Database, programs: Programs, fault: str, patch: pytest.MonkeyPatch) -> list[Trial]:
    """This host's clock is wrong all the time, and the requests are lost before they arrive; besides, the same
    instructions whose requests are not lost."""
    trials, not_lost = trials_of(fault), trials_of(f"{fault}_alone")
    set_host_clock(patch, FIVE_MINUTES_MS if fault == "clock_ahead" else -FIVE_MINUTES_MS)
    async with scene(database, programs, NO_FAILURE_OPENS) as process:
        await prepare(process, [*trials, *not_lost])
        for trial in trials:
            process.stands.proxies[trial.provider].by_key[trial.provider_key] = [Fault.RESET_NOT_CHARGED]
        await each([*trials, *not_lost], lambda trial: trial.instruct(process))
        await ask_strangers(process, trials)
        await follow(process, [*trials, *not_lost])
        await books_hold(process)
    return [*trials, *not_lost]


async def look_up_cut_off(database: Database, programs: Programs) -> list[Trial]:
    """Executed, the answer lost; then every look-up breaks off, lists in the middle."""
    trials = trials_of("look_up_cut_off")
    async with scene(database, programs, NO_FAILURE_OPENS) as process:
        there = process.stands
        await prepare(process, trials)
        for trial in trials:
            there.proxies[trial.provider].by_key[trial.provider_key] = [Fault.RESET_CHARGED]
        there.stripe.lists = lambda *_: b'{"object": "list", "url": "/v1", "data": [], "has_more": true}'
        for proxy in there.proxies.values():
            proxy.choose = _cut_questions
        await each(trials, lambda trial: trial.instruct(process))
        await ask_strangers(process, trials)
        await follow(process, trials)
        assert not [each for each in there.proxies["adyen"].seen if each.method == "GET"], "there is no look-up"
        await books_hold(process)
    return trials


def _cut_questions(method: str, path: str) -> Fault:
    is_list = path.startswith(("/v1/payment_intents?", "/v1/refunds?"))  # which break off by themselves
    return Fault.CUT_CHARGED if method == "GET" and not is_list else Fault.NONE


async def retry_after_restore(database: Database, programs: Programs) -> list[Trial]:
    """A back-up, then the instructions; the back-up is restored, and the same requests come again."""
    trials = trials_of("retry_after_restore")
    async with stands(programs) as there:
        settings = there.settings(ANY_FAILURE_OPENS)
        async with api_process(database, there, settings) as process:
            await prepare(process, trials)
        restored = back_up(database)
        async with api_process(database, there, settings) as process:
            await each(trials, lambda trial: trial.instruct(process))
        for trial in trials:
            assert trial.first is not None and trial.first.is_success
            trial.earlier = len(there.passed(trial.provider, trial.provider_key))
        async with api_process(restored, there, settings) as process:
            await each(trials, lambda trial: trial.instruct(process))
            await ask_strangers(process, trials)
            await follow(process, trials)
            await books_hold(process)
    return trials
