"""Every script of the acquirer ends as it must, in our books and in the acquirer's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient(database: Database, running: AcquirerProcess) -> AsyncIterator[Runtime]:
    """For calls that are answered, or known to have failed at once."""
    async with runtime_at(database, running, PATIENT_MS) as runtime:
        yield runtime


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hurried(database: Database, running: AcquirerProcess) -> AsyncIterator[Runtime]:
    """For calls that are not; recovery runs by its settings, for all."""
    async with runtime_at(database, running, HURRIED_MS) as runtime, working(runtime, "recovery"):
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


@pytest.mark.parametrize("method", CREATES)
async def test_create(
    patient: Runtime, hurried: Runtime, running: AcquirerProcess, fresh_merchant: str, method: str
) -> None:
    state, captured = CREATES[method]
    payment = await Shop(hurried if never_arrives(method) else patient, fresh_merchant).charge("key", method)
    assert (payment["state"], payment["amount_captured"]) == (state, captured)
    charges = running.charges(payment["id"])
    assert [charge["captured"] for charge in charges] == ([captured] if captured else [])
    assert payment["final"]
    assert not payment["in_doubt"]
    if state == "failed":
        assert payment["failure"]["retryable"]


@pytest.mark.parametrize("method", sorted(m for m in METHODS if m.startswith(("sim_capture_", "sim_cancel_"))))
async def test_capture_and_cancel(
    patient: Runtime, hurried: Runtime, running: AcquirerProcess, fresh_merchant: str, method: str
) -> None:
    shop = Shop(patient, fresh_merchant)
    payment = await shop.charge("create", method, manual=True)
    assert payment["state"] == "authorized"
    capture = method.startswith("sim_capture_")
    then = Shop(hurried if never_arrives(method) else patient, fresh_merchant)
    send = then.capture if capture else then.cancel
    after = await shop.until_final(lambda: send("key", payment["id"]))
    happens = not method.endswith(("_declined", "_not_charged"))
    expected = ("captured" if capture else "canceled") if happens else "authorized"
    assert after["state"] == expected
    assert (after["failure"] is None) == happens
    charge = running.charges(payment["id"])
    assert len(charge) == 1
    assert charge[0]["captured"] == (1_000 if happens and capture else 0)
    assert charge[0]["authorized"] == (0 if happens and not capture else 1_000)
    created = await shop.charge("create", method, manual=True)
    assert created == payment, "the create's answer is its own, whatever happened since"


@pytest.mark.parametrize("method", sorted(m for m in METHODS if m.startswith("sim_refund_")))
async def test_refund(
    patient: Runtime, hurried: Runtime, running: AcquirerProcess, fresh_merchant: str, method: str
) -> None:
    payment = await Shop(patient, fresh_merchant).charge("create", method)
    shop = Shop(hurried if never_arrives(method) else patient, fresh_merchant)
    refund = await shop.until_final(lambda: shop.refund("key", payment["id"], 400))
    happens = not method.endswith(("_declined", "_not_charged"))
    assert refund["state"] == ("succeeded" if happens else "failed")
    assert running.charges(payment["id"])[0]["refunded"] == (400 if happens else 0)
    found = await patient.reads.payment(fresh_merchant, payment["id"])
    assert found is not None
    assert (found[0].amount_refunded, found[0].amount_refund_pending) == (400 if happens else 0, 0)
    accounts = {row.account: row.debits - row.credits for row in await patient.reads.accounts(fresh_merchant)}
    assert accounts.get("refunds_in_flight:simulator", 0) == 0
    assert accounts["merchant"] == -(600 if happens else 1_000)


@pytest.mark.parametrize(("ending", "state"), [("complete", "captured"), ("abandon", "declined")])
async def test_the_customer_acts(
    patient: Runtime,
    hurried: Runtime,
    database: Database,
    running: AcquirerProcess,
    fresh_merchant: str,
    ending: str,
    state: str,
) -> None:
    shop = Shop(patient, fresh_merchant)
    reply = await shop.create("key", payment_method="sim_action_required")
    payment = read(reply)
    assert (reply.status, payment["state"]) == (202, "requires_action")
    assert payment["next_action"]["url"]
    assert payment["next_action"]["url"] not in await dump(database)
    assert (await running.acall("POST", f"/sim/charges/{payment['provider_reference']}/{ending}", {}))[0] == 200
    after = await shop.charge("key", "sim_action_required")
    assert after["state"] == state
    assert after["next_action"] is None


async def test_canceled_while_waiting_for_the_customer(
    patient: Runtime, hurried: Runtime, running: AcquirerProcess, fresh_merchant: str
) -> None:
    shop = Shop(patient, fresh_merchant)
    payment = read(await shop.create("key", payment_method="sim_action_required"))
    canceled = await shop.until_final(lambda: shop.cancel("cancel", payment["id"]))
    assert canceled["state"] == "canceled"
    created = await shop.charge("key", "sim_action_required")
    assert created["state"] == "canceled", "whichever change finalises the create records its answer"
    assert running.charges(payment["id"]) == []


async def test_a_dashboard_capture_is_found(
    patient: Runtime, hurried: Runtime, running: AcquirerProcess, fresh_merchant: str
) -> None:
    """A refused capture makes us look at what the provider did on its own."""
    shop = Shop(patient, fresh_merchant)
    payment = await shop.charge("create", "sim_ok", manual=True)
    path = f"/sim/charges/{payment['provider_reference']}/dashboard-capture"
    assert (await running.acall("POST", path, {}))[0] == 200
    refused = await shop.until_final(lambda: shop.cancel("cancel", payment["id"]))
    assert refused["state"] == "authorized"
    assert refused["failure"]["code"] == "charge_already_captured"
    found = await eventually_async(
        lambda: patient.reads.payment(fresh_merchant, payment["id"]),
        until=lambda stored: stored is not None and stored[0].state == "captured",
        within_s=CONVERGENCE_S,
        interval_s=0.05,
    )
    assert found is not None and found[0].amount_captured == 1_000
