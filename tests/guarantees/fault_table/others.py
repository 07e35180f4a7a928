"""The faults of providers, settings, circuits, clocks and look-ups, and a restored back-up."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from tallystick.contract.fault_table import PROVIDERS
from tallystick.kit.clock import monotonic_ms
from tallystick.providers import pause
from tallystick.providers.adyen.setup import AdyenSettings
from tallystick.providers.assembly import connected_providers, limits_of
from tallystick.providers.circuit import BoundedProvider
from tallystick.providers.stripe.setup import StripeSettings
from tests.guarantees.fault_table.process import ApiProcess, api_process
from tests.guarantees.fault_table.scene import (
    ANY_FAILURE_OPENS,
    NO_FAILURE_OPENS,
    ask_strangers,
    books_hold,
    each,
    follow,
    prepare,
    scene,
    trials_of,
)
from tests.guarantees.fault_table.stands import Programs, http_answer, stands
from tests.guarantees.fault_table.trial import Trial
from tests.support.circuit import Time, circuit
from tests.support.database import Database
from tests.support.faulty_proxy import Fault
from tests.support.host_clock import set_host_clock
from tests.support.restored import back_up

FIVE_MINUTES_MS = 300_000


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
                await _meet(process, mine)
        # The acquirer's events come to a process where it is on.
        of_bank = [trial for trial in trials if trial.provider == "simulator" and trial.key_after == "taken"]
        told = await whole.hear({trial.merchant_id: "simulator" for trial in of_bank})
        await each(of_bank, lambda trial: trial.look_after(whole, told[trial.merchant_id]))
        await each(trials, lambda trial: _comes_back(whole, trial))
        await books_hold(whole)
    return trials


async def _meet(process: ApiProcess, trials: Sequence[Trial]) -> None:
    """The instructions, in a process that lacks their provider."""
    await each(trials, lambda trial: trial.instruct(process))
    await ask_strangers(process, trials)
    await process.recovered()
    await each(trials, lambda trial: trial.look_before(process))
    await each(trials, lambda trial: trial.look_after(process, []))


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
            name: BoundedProvider(connector, limits_of(settings), time)
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


async def asked_to_wait(database: Database, programs: Programs, patch: pytest.MonkeyPatch) -> list[Trial]:
    """At each provider in turn another payment is answered 429; when the wait is over the provider takes calls."""
    trials, ahead = trials_of("asked_to_wait"), [0]
    others = [Trial("create", name, "asked_to_wait_itself") for name in PROVIDERS]
    patch.setattr(pause, "monotonic_ms", lambda: monotonic_ms() + ahead[0])
    async with scene(database, programs, NO_FAILURE_OPENS) as process:
        await prepare(process, [*trials, *others])
        for other in others:
            mine = [trial for trial in trials if trial.provider == other.provider]
            said = http_answer(429, {}, Retry_After="86400")
            process.stands.proxies[other.provider].by_key[other.provider_key] = [said]
            await other.instruct(process)
            assert other.sent == 1 and other.first is not None and other.first.status_code == 202
            await each(mine, lambda trial: trial.instruct(process))
            await ask_strangers(process, mine)
            await process.round_now()
            assert [len(trial.passages(process)) for trial in (*mine, other)] == [0, 0, 0, 0, 1], (
                "recovery waits as well"
            )
            # In this order: the process reads what is left each second, and would begin to wait anew after the shift.
            await process.runtime.pool.execute("UPDATE provider_pause SET until = now()")
            await process.runtime.pauses.learn()
            ahead[0] += pause.LONGEST_MS
        await follow(process, trials)
        assert [len(other.passages(process)) for other in others] == [2, 2, 2]
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
