"""Signatures, by the vectors and the library of Standard Webhooks; rotation; and where secrets are not."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta, timezone

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tallystick.flows.webhooks.outbound import signing_secrets
from tallystick.flows.webhooks.outbound.signing import new_secret, signed_headers
from tests.support.database import Database
from tests.support.outbox import (
    drain,
    endpoints_of,
    pay,
    register,
    runtime_for,
    worker,
    worker_at,
)
from tests.support.receivers import Got, receiving

DAY_MS = 86_400_000


def _signed_by(got: Got, secret: str) -> bool:
    """Whatever the time is: the library's tolerance is five minutes."""
    moment = datetime.fromtimestamp(int(got.headers["webhook-timestamp"]), UTC)
    signature = Webhook(secret).sign(got.message_id, moment, got.body.decode())
    return signature in got.headers["webhook-signature"].split(" ")


def test_the_published_vector() -> None:
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1_614_265_330, UTC),
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_the_zone_of_the_clock_changes_nothing() -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    east = moment.astimezone(timezone(timedelta(hours=9)))
    secret = new_secret()
    assert signed_headers("msg_1", moment, b"{}", [secret]) == signed_headers("msg_1", east, b"{}", [secret])


def test_secrets_are_what_the_standard_asks_for() -> None:
    secret = new_secret()
    assert secret.startswith("whsec_")
    assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64
    assert secret != new_secret()


async def test_both_secrets_sign_during_the_overlap_and_one_after_it(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        made = await register(runtime, fresh_merchant, receiver)
        rotated = await endpoints_of(runtime).rotate(fresh_merchant, made.endpoint_id, None, actor="key:test")
        await pay(runtime, fresh_merchant, "during")
        await drain(delivery)
        during = receiver.got[-1]
        assert during.verified(made.secret) == during.verified(rotated.secret)
        assert len(during.headers["webhook-signature"].split(" ")) == 2
        await pay(runtime, fresh_merchant, "after")
        async with worker_at(database, DAY_MS + 60_000) as later:
            await drain(later)
        after = receiver.got[-1]
        assert _signed_by(after, rotated.secret)
        assert not _signed_by(after, made.secret)


async def test_a_secret_that_leaked_signs_no_more_at_once(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        made = await register(runtime, fresh_merchant, receiver)
        rotated = await endpoints_of(runtime).rotate(fresh_merchant, made.endpoint_id, 0, actor="key:test")
        await pay(runtime, fresh_merchant, "k")
        await drain(delivery)
        receiver.got[0].verified(rotated.secret)
        with pytest.raises(WebhookVerificationError):
            receiver.got[0].verified(made.secret)


async def test_a_second_rotation_gives_the_first_secret_no_more_time(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime:
        made = await register(runtime, fresh_merchant, receiver)
        rules = endpoints_of(runtime)
        second = await rules.rotate(fresh_merchant, made.endpoint_id, 3_600_000, actor="key:test")
        third = await rules.rotate(fresh_merchant, made.endpoint_id, 2 * DAY_MS, actor="key:test")
        await pay(runtime, fresh_merchant, "k")
        async with worker_at(database, 3_700_000) as later:
            await drain(later)
        (got,) = receiver.got
        assert [_signed_by(got, secret) for secret in (made.secret, second.secret, third.secret)] == [False, True, True]


async def test_rotating_without_end_makes_no_endless_header(database: Database, fresh_merchant: str) -> None:
    """And whoever asked for it until an answer came, has the newest secret or still the oldest: both sign."""
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        made = await register(runtime, fresh_merchant, receiver)
        for _ in range(12):
            last = await endpoints_of(runtime).rotate(fresh_merchant, made.endpoint_id, None, actor="key:test")
        await pay(runtime, fresh_merchant, "k")
        await drain(delivery)
        receiver.got[0].verified(last.secret)
        receiver.got[0].verified(made.secret)
        assert len(receiver.got[0].headers["webhook-signature"].split(" ")) == 10


async def test_secrets_lie_encrypted_and_are_not_logged(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    class Lines:
        def error(self, event: str, **known: object) -> None:
            written.append(f"{event} {known}")

    monkeypatch.setattr(signing_secrets, "log", Lines())
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        made = await register(runtime, fresh_merchant, receiver)
        plain = base64.b64decode(made.secret.removeprefix("whsec_"))
        sealed = await runtime.pool.fetchval(
            "SELECT sealed FROM webhook_secret WHERE endpoint_id = $1", made.endpoint_id
        )
        assert made.secret.encode() not in sealed
        assert plain not in sealed
        # Another row's secret opens nothing here: what is sealed belongs to its row.
        await runtime.pool.execute(
            "UPDATE webhook_secret SET secret_id = 'sec_other' WHERE endpoint_id = $1", made.endpoint_id
        )
        await pay(runtime, fresh_merchant, "k")
        await delivery.round()
        assert receiver.got == []
    assert [line.startswith("webhook secret cannot be opened") for line in written] == [True]
    assert made.secret not in written[0]
