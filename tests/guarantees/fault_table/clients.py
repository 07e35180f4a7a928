"""The faults that a client causes by what it sends, beside a circuit that any failure that counts would open."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any, cast

import pytest

from tallystick.domain import money
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.providers.adyen.calls import AdyenProvider
from tallystick.providers.port import ProviderCall, send
from tallystick.providers.simulator.calls import SimulatorProvider
from tallystick.providers.stripe.calls import StripeProvider
from tests.guarantees.fault_table.process import ApiProcess
from tests.guarantees.fault_table.scene import (
    ANY_FAILURE_OPENS,
    ask_strangers,
    books_hold,
    each,
    follow,
    prepare,
    scene,
    trials_of,
)
from tests.guarantees.fault_table.stands import METHODS, Programs, Stands, http_answer
from tests.guarantees.fault_table.trial import OPERATIONS, Trial
from tests.support.database import Database

#: What this scene brings about.
COLUMNS = {"amount_not_representable", "currency_gone", "key_in_use", "key_used_otherwise"}

#: An amount that no provider can express while it is made so.
ODD = 12_345

#: Provider -> a currency that it counts in units a hundred times as large as ours.
WHOLE = {"simulator": "IDR", "stripe": "MGA", "adyen": "IDR"}

#: Leaves the list while payments in it are open.
LEAVING = "SEK"


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
        for trial in every:
            trial.circuit = process.runtime.provider(trial.provider).circuit
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
