"""Settlement rows that operators resolve over HTTP: once, under their key; above an amount not alone."""

from __future__ import annotations

import httpx

from tallystick.access.key_store import OPERATORS, create_key
from tallystick.flows.compliance import four_eyes
from tallystick.flows.reconciliation.matching import compare_file
from tallystick.flows.reconciliation.posting import post_batch
from tallystick.kit.ids import new_id
from tests.support.api import Inside, inside
from tests.support.approvals import World
from tests.support.console import inside_console
from tests.support.database import NewDatabase
from tests.support.runtime import BookedProvider
from tests.support.settlement_days import ACTOR, Acquirer, balances, paid

PATH = "/v1/reconciliation"


async def a_row_that_waits(api: Inside) -> tuple[str, str]:
    """A payment of 400 and a row of 400 that names nothing. Their ids: of the file, and of the payment."""
    runtime = api.app.state.runtime
    payment = await paid(runtime, "shop", 400)
    file = Acquirer()
    file.row("riddle", 400)
    sent = await api.client.post("/v1/settlement-files", content=file.text().encode())
    file_id: str = sent.json()["settlement_file"]["id"]
    await compare_file(runtime, file_id, ACTOR)
    [name] = await runtime.stores.evidence.batches_of(file_id)
    await post_batch(runtime, name, ACTOR)
    return file_id, payment["id"]


async def test_a_row_is_matched_once_and_only_once(new_database: NewDatabase) -> None:
    database = new_database()
    async with inside(database, "shop", BookedProvider(), settlement_max_bytes=1 << 20) as api:
        key = await create_key(database.app_url, OPERATORS, operator=True)
        api.client.headers["Authorization"] = f"Bearer {key}"
        file_id, payment_id = await a_row_that_waits(api)
        body = {"file_id": file_id, "position": 1, "reason": "by the bank's letter"}
        under = {"Idempotency-Key": new_id("req")}

        async def asked(act: str, key: dict[str, str], **more: object) -> httpx.Response:
            return await api.client.post(f"{PATH}/{act}", json={**body, **more}, headers=key)

        first, again = [await asked("match", under, subject_id=payment_id) for _ in range(2)]
        assert first.status_code == 200 and first.json() == again.json()
        assert (first.json()["act"], first.json()["result"]["to_merchant"]) == ("settlement_row.match", 400)
        other = await asked("write-off", under)
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        nothing = await asked("match", {"Idempotency-Key": new_id("req")}, subject_id=new_id("pay"))
        assert (nothing.status_code, nothing.json()["code"]) == (409, "settlement_row_not_open")
        gone = await asked("write-off", {"Idempotency-Key": new_id("req")}, position=2)
        assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
        wrong = await asked("match", {"Idempotency-Key": new_id("req")}, subject_id="po_1")
        assert (wrong.status_code, wrong.json()["code"]) == (422, "validation_failed")
        assert await balances(api.app.state.runtime, "shop") == {"merchant_available": -400, "settled:simulator": 400}
        report = (await api.client.get(PATH, params={"provider": "simulator"})).json()
        assert report["rows"] == [] and [each["state"] for each in report["states"]] == ["explained"]


async def test_above_an_amount_two_others_have_to_approve(new_database: NewDatabase) -> None:
    """A key is no person. The request is the same one until it is decided."""
    database, above = new_database(), "EUR=399"
    async with inside_console(database, BookedProvider(), second_person_above=above) as console:
        world = World(console)
        people = [await world.person(name, "operator") for name in ("ada", "bob")]
        async with inside(database, "shop", BookedProvider(), second_person_above=above) as api:
            key = await create_key(database.app_url, OPERATORS, operator=True)
            api.client.headers["Authorization"] = f"Bearer {key}"
            file_id, payment_id = await a_row_that_waits(api)
            body = {"file_id": file_id, "position": 1, "reason": "by the bank's letter", "subject_id": payment_id}
            under = {"Idempotency-Key": new_id("req")}
            first, again = [await api.client.post(f"{PATH}/match", json=body, headers=under) for _ in range(2)]
            assert (first.status_code, first.json()["code"]) == (409, "approval_needed")
            assert first.json()["detail"] == again.json()["detail"]
            assert await balances(world.runtime, "shop") == {"provider:simulator": 400, "merchant": -400}
            for person in people:
                found = await four_eyes.read(world.runtime, first.json()["detail"].split()[-1].rstrip("."))
                assert found is not None and found.request.shown["to the merchant"] == 400
                await world.decide(found.request, person)
            assert await balances(world.runtime, "shop") == {"merchant_available": -400, "settled:simulator": 400}
            done = await api.client.post(f"{PATH}/match", json=body, headers=under)
            assert (done.status_code, done.json()["result"]["to_merchant"]) == (200, 400)
