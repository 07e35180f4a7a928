"""Every script of the acquirer ends as it must, in our books and in the acquirer's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Final, NamedTuple

import pytest
import pytest_asyncio

from tallystick.flows.assembly import open_runtime
from tallystick.flows.payments.idempotency import Reply
from tallystick.flows.runtime import Runtime
from tallystick.lab.acquirer.scripts import METHODS
from tallystick.providers.simulator.setup import SimulatorSettings
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.database import Database
from tests.support.dump import dump
from tests.support.letters import new_letters
from tests.support.polling import eventually_async
from tests.support.runtime import HURRIED, Client, is_final, read
from tests.support.work import working

#: What is still open after this has not converged: far above the sum of the time-outs below.
CONVERGENCE_S = 120

#: Whatever a busy machine does, what is answered is heard, and what is sent has arrived by then.
PATIENT_MS = 60_000

#: For what is not answered, or never arrives: the proof that it did not has to be waited for.
HURRIED_MS = 500

#: As often as it takes; nothing here is about giving up on questions.
CHECKS = 1_000

#: The scripts of one acquirer share their runtimes.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module", params=[False, True], ids=["deduplicates", "forgetful"])
def running(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[AcquirerProcess]:
    books = tmp_path_factory.mktemp("acquirer") / "books.sqlite"
    with acquirer(books, forgetful=request.param) as process:
        process.forgetful = request.param  # type: ignore[attr-defined]  # told to the runtime below
        yield process


def never_arrives(method: str) -> bool:
    """Whether a call by this script ends with the sender's patience."""
    return "timeout" in method or method.endswith("_not_charged")


@asynccontextmanager
async def runtime_at(database: Database, running: AcquirerProcess, patience_ms: int) -> AsyncIterator[Runtime]:
    """A runtime that waits so long for answers, and for what is on its way."""
    forgetful: bool = running.forgetful  # type: ignore[attr-defined]  # told by the fixture
    settings = replace(
        HURRIED,
        provider_request_timeout_ms=patience_ms,
        provider_connect_timeout_ms=patience_ms,
        send_window_ms=patience_ms,
        max_delivery_delay_ms=patience_ms,
        recovery_checks_limit=CHECKS,
        provider_circuit_calls=1_000_000,  # the scripts are the same ones again and again
    ).with_connector(SimulatorSettings, url=running.url, forgetful=forgetful)
    async with open_runtime(settings, database.app_url) as runtime:
        yield runtime


class Shop(Client):
    """A client that waits for final answers."""

    async def until_final(self, send: Any) -> dict[str, Any]:
        reply: Reply = await eventually_async(send, until=is_final, within_s=CONVERGENCE_S, interval_s=0.05)
        again = await send()
        assert again.replayed
        assert again.body == reply.body
        return read(again)

    async def charge(self, key: str, method: str, *, manual: bool = False) -> dict[str, Any]:
        return await self.until_final(lambda: self.create(key, manual=manual, payment_method=method))


class Scene(NamedTuple):
    """Where a life takes place, for a merchant of its own. ``patient``: for calls that are answered, or known to have
    failed at once; ``hurried``: for calls that are not. Recovery runs by the settings of the second, for all."""

    patient: Runtime
    hurried: Runtime
    database: Database
    running: AcquirerProcess
    merchant_id: str

    @property
    def shop(self) -> Shop:
        return Shop(self.patient, self.merchant_id)

    def shop_for(self, method: str) -> Shop:
        return Shop(self.hurried if never_arrives(method) else self.patient, self.merchant_id)

    async def charges(self, payment_id: str) -> list[dict[str, Any]]:
        """As the acquirer's books have them, without keeping the other lives waiting."""
        return await asyncio.to_thread(self.running.charges, payment_id)


# script -> (our final state, money in the acquirer's books)
CREATES = {
    "sim_ok": ("captured", 1_000),
    "sim_slow": ("captured", 1_000),
    "sim_declined": ("declined", 0),
    "sim_insufficient_funds": ("declined", 0),
    "sim_timeout_charged": ("captured", 1_000),
    "sim_timeout_not_charged": ("failed", 0),
    "sim_error_charged": ("captured", 1_000),
    "sim_error_not_charged": ("failed", 0),
    "sim_reset_charged": ("captured", 1_000),
    "sim_pending": ("captured", 1_000),
}


async def create(scene: Scene, method: str) -> None:
    state, captured = CREATES[method]
    payment = await scene.shop_for(method).charge("key", method)
    assert (payment["state"], payment["amount_captured"]) == (state, captured)
    charges = await scene.charges(payment["id"])
    assert [charge["captured"] for charge in charges] == ([captured] if captured else [])
    assert payment["final"]
    assert not payment["in_doubt"]
    if state == "failed":
        assert payment["failure"]["retryable"]


async def capture_or_cancel(scene: Scene, method: str) -> None:
    payment = await scene.shop.charge("create", method, manual=True)
    assert payment["state"] == "authorized"
    capture, then = method.startswith("sim_capture_"), scene.shop_for(method)
    send = then.capture if capture else then.cancel
    after = await scene.shop.until_final(lambda: send("key", payment["id"]))
    happens = not method.endswith(("_declined", "_not_charged"))
    expected = ("captured" if capture else "canceled") if happens else "authorized"
    assert after["state"] == expected
    assert (after["failure"] is None) == happens
    charge = await scene.charges(payment["id"])
    assert len(charge) == 1
    assert charge[0]["captured"] == (1_000 if happens and capture else 0)
    assert charge[0]["authorized"] == (0 if happens and not capture else 1_000)
    created = await scene.shop.charge("create", method, manual=True)
    assert created == payment, "the create's answer is its own, whatever happened since"


async def refund(scene: Scene, method: str) -> None:
    payment = await scene.shop.charge("create", method)
    shop, reads = scene.shop_for(method), scene.patient.reads
    refund = await shop.until_final(lambda: shop.refund("key", payment["id"], 400))
    happens = not method.endswith(("_declined", "_not_charged"))
    assert refund["state"] == ("succeeded" if happens else "failed")
    assert (await scene.charges(payment["id"]))[0]["refunded"] == (400 if happens else 0)
    found = await reads.payment(scene.merchant_id, payment["id"])
    assert found is not None
    assert (found[0].amount_refunded, found[0].amount_refund_pending) == (400 if happens else 0, 0)
    accounts = {row.account: row.debits - row.credits for row in await reads.accounts(scene.merchant_id)}
    assert accounts.get("refunds_in_flight:simulator", 0) == 0
    assert accounts["merchant"] == -(600 if happens else 1_000)


async def customer_acts(scene: Scene, ending: str, state: str) -> None:
    reply = await scene.shop.create("key", payment_method="sim_action_required")
    payment = read(reply)
    assert (reply.status, payment["state"]) == (202, "requires_action")
    assert payment["next_action"]["url"]
    assert payment["next_action"]["url"] not in await dump(scene.database)
    path = f"/sim/charges/{payment['provider_reference']}/{ending}"
    assert (await scene.running.acall("POST", path, {}))[0] == 200
    after = await scene.shop.charge("key", "sim_action_required")
    assert after["state"] == state
    assert after["next_action"] is None


async def canceled_while_waiting_for_the_customer(scene: Scene) -> None:
    shop = scene.shop
    payment = read(await shop.create("key", payment_method="sim_action_required"))
    canceled = await shop.until_final(lambda: shop.cancel("cancel", payment["id"]))
    assert canceled["state"] == "canceled"
    created = await shop.charge("key", "sim_action_required")
    assert created["state"] == "canceled", "whichever change finalises the create records its answer"
    assert await scene.charges(payment["id"]) == []


async def dashboard_capture_is_found(scene: Scene) -> None:
    """A refused capture makes us look at what the provider did on its own."""
    shop = scene.shop
    payment = await shop.charge("create", "sim_ok", manual=True)
    path = f"/sim/charges/{payment['provider_reference']}/dashboard-capture"
    assert (await scene.running.acall("POST", path, {}))[0] == 200
    refused = await shop.until_final(lambda: shop.cancel("cancel", payment["id"]))
    assert refused["state"] == "authorized"
    assert refused["failure"]["code"] == "charge_already_captured"
    found = await eventually_async(
        lambda: scene.patient.reads.payment(scene.merchant_id, payment["id"]),
        until=lambda stored: stored is not None and stored[0].state == "captured",
        within_s=CONVERGENCE_S,
        interval_s=0.05,
    )
    assert found is not None and found[0].amount_captured == 1_000


def methods(*starts: str) -> list[str]:
    return sorted(method for method in METHODS if method.startswith(starts))


Live = Callable[[Scene], Coroutine[Any, Any, None]]

LIVES: Final[dict[str, Live]] = {
    **{f"create {method}": partial(create, method=method) for method in CREATES},
    **{
        f"capture or cancel {method}": partial(capture_or_cancel, method=method)
        for method in methods("sim_capture_", "sim_cancel_")
    },
    **{f"refund {method}": partial(refund, method=method) for method in methods("sim_refund_")},
    "the customer completes": partial(customer_acts, ending="complete", state="captured"),
    "the customer abandons": partial(customer_acts, ending="abandon", state="declined"),
    "canceled while waiting for the customer": canceled_while_waiting_for_the_customer,
    "a dashboard capture is found": dashboard_capture_is_found,
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def begun(database: Database, running: AcquirerProcess) -> AsyncIterator[dict[str, asyncio.Task[None]]]:
    """All lives side by side: most of their time they wait for a proof that something did not happen."""
    async with (
        runtime_at(database, running, PATIENT_MS) as patient,
        runtime_at(database, running, HURRIED_MS) as hurried,
        working(hurried, "recovery"),
    ):
        scenes = {name: Scene(patient, hurried, database, running, "m" + new_letters()) for name in LIVES}
        tasks = {name: asyncio.create_task(live(scenes[name])) for name, live in LIVES.items()}
        yield tasks
        await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest.mark.parametrize("life", LIVES)
async def test_a_life_ends_as_it_must(begun: dict[str, asyncio.Task[None]], life: str) -> None:
    await begun[life]
