"""A payer's next action over HTTP: who is shown it, when, and what becomes of it without its key."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from tallystick.domain.verdicts import Declined, RequiresAction, Verdict
from tallystick.flows.payments import attempts
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.providers.port import ProviderCall
from tests.support.api import NO_MEMBERS, SEALING_KEY, Inside, as_listed, inside
from tests.support.database import Database, NewDatabase
from tests.support.dump import dump
from tests.support.factories import InstantProvider
from tests.support.outbox import drain, register, worker
from tests.support.receivers import receiving

NEW_KEY = base64.b64encode(b"another one, as little a secret!").decode()

PUBLIC = {"type": "redirect"}


@pytest.fixture(scope="module")
def database(new_database: NewDatabase) -> Database:
    """One of its own: no worker of another test asks what became of these payments."""
    return new_database()


class Bank(InstantProvider):
    """Wants every payer to act, and refuses every cancel. ``secret`` is in two places of what it answers."""

    def __init__(self) -> None:
        super().__init__({("sim_ok", "authorize"): self._asks, ("sim_ok", "cancel"): self._refuses})
        self.secret = "secret_" + new_id("ins")

    @property
    def action(self) -> dict[str, Any]:
        return {"url": f"https://bank.example/?t={self.secret}", "type": "redirect", "paymentData": self.secret}

    def _asks(self, call: ProviderCall) -> Verdict:
        return RequiresAction(next_action=self.action, reference=f"ch_{call.payment_id}")

    def _refuses(self, _: ProviderCall) -> Verdict:
        return Declined(code="cancel_refused", message="Not now.")


async def _cancel(app: Inside, payment_id: str, key: str) -> httpx.Response:
    return await app.client.post(f"/v1/payments/{payment_id}/cancel", headers={"Idempotency-Key": key})


async def test_a_recorded_answer_has_it_by_type_alone(database: Database, fresh_merchant: str) -> None:
    """A refused cancel is answered for good with a payment that still waits. Replays need no key."""
    bank = Bank()
    async with inside(database, fresh_merchant, bank) as app:
        created = await app.pay("create")
        payment_id = created.json()["id"]
        assert created.json()["next_action"] == bank.action
        refused = await _cancel(app, payment_id, "cancel")
        assert (refused.status_code, refused.json()["state"]) == (200, "requires_action")
        assert refused.json()["next_action"] == PUBLIC
        read = await app.client.get(f"/v1/payments/{payment_id}")
        assert read.json()["next_action"] == bank.action, "the payer may act again"
    async with inside(database, fresh_merchant, bank, sealing_keys=NEW_KEY) as app:
        again = await _cancel(app, payment_id, "cancel")
        assert (again.content, again.headers["idempotent-replayed"]) == (refused.content, "true")
    assert bank.secret not in await dump(database)


async def test_it_is_not_shown_while_a_cancel_is_under_way(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, seen = Bank(), list[httpx.Response]()
    async with inside(database, fresh_merchant, bank) as app:
        payment_id = (await app.pay("create")).json()["id"]

        async def cancel(call: ProviderCall) -> Verdict:
            seen.append(await app.client.get(f"/v1/payments/{payment_id}"))
            seen.append(await app.pay("create"))
            return bank._refuses(call)

        monkeypatch.setattr(bank, "cancel", cancel)
        await _cancel(app, payment_id, "cancel")
    assert [(one.json()["state"], one.json()["next_action"]) for one in seen] == [("canceling", None)] * 2


async def test_messages_tell_its_type_alone(database: Database, fresh_merchant: str) -> None:
    bank = Bank()
    async with (
        inside(database, fresh_merchant, bank, webhook_allow_private_addresses=True) as app,
        receiving() as merchant,
    ):
        runtime: Runtime = app.app.state.runtime
        await register(runtime, fresh_merchant, merchant)
        await app.pay()
        async with worker(runtime) as delivery:
            await drain(delivery)
    [told] = merchant.got
    assert (told.json["type"], told.json["data"]["next_action"]) == ("payment.requires_action", PUBLIC)
    assert bank.secret.encode() not in told.body


async def test_keys_rotate_and_a_lost_one_leaves_the_type(new_database: NewDatabase, fresh_merchant: str) -> None:
    """On a record of its own: the new key is registered there, and every process needs it from then on."""
    bank, database = Bank(), new_database()
    async with inside(database, fresh_merchant, bank) as app:
        created = await app.pay("create")
    path = f"/v1/payments/{created.json()['id']}"
    for keys, shown in ((f"{NEW_KEY},{SEALING_KEY}", bank.action), (NEW_KEY, PUBLIC)):
        async with inside(database, fresh_merchant, bank, sealing_keys=keys) as app:
            for answer in (await app.client.get(path), await app.pay("create")):
                assert answer.status_code in (200, 202)
                assert as_listed(answer.json()) | NO_MEMBERS == created.json() | NO_MEMBERS | {"next_action": shown}


async def test_another_payments_seal_opens_nothing(database: Database, fresh_merchant: str) -> None:
    """Whoever may write to the database does not get an action opened by putting it into a payment of their own."""
    bank = Bank()
    async with inside(database, fresh_merchant, bank) as app:
        theirs, mine = (await app.pay()).json()["id"], (await app.pay()).json()["id"]
        await app.app.state.runtime.pool.execute(
            "UPDATE payment SET next_action = (SELECT next_action FROM payment WHERE payment_id = $1)"
            " WHERE payment_id = $2",
            theirs,
            mine,
        )
        assert (await app.client.get(f"/v1/payments/{theirs}")).json()["next_action"] == bank.action
        assert (await app.client.get(f"/v1/payments/{mine}")).json()["next_action"] == PUBLIC


async def test_a_connector_that_breaks_says_nothing_of_it_in_the_log(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank, lines = Bank(), list[str]()

    class Log:
        def __getattr__(self, _: str) -> Any:
            return lambda *said, **known: lines.append(repr((said, known)))

    async def breaks(_: ProviderCall) -> Verdict:
        raise ValueError(f"cannot read {json.dumps(bank.action)}")

    monkeypatch.setattr(bank, "authorize", breaks)
    monkeypatch.setattr(attempts, "log", Log())
    async with inside(database, fresh_merchant, bank) as app:
        assert (await app.pay()).json()["in_doubt"]
    assert any("ValueError" in line for line in lines)
    assert bank.secret not in "".join(lines)
    assert bank.secret not in await dump(database)
