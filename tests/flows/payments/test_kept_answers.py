"""What a provider answered is kept beside an outcome that is no plain success, and nothing else is."""

from __future__ import annotations

import gzip
import hashlib
import threading
from typing import Any, Final

import asyncpg
import pytest

from tallystick.domain.provider_answer import KEPT_BYTES
from tallystick.domain.verdicts import Declined, Unknown, Verdict
from tallystick.flows.payments import kept_answers
from tallystick.flows.payments.answered_bytes import ERASED, AnsweredBytes, answered_bytes
from tallystick.flows.payments.attempts import fetch_verdict
from tallystick.flows.runtime import Runtime
from tallystick.oversight.invariants.verify import examine, verify
from tallystick.providers.port import ProviderCall
from tallystick.record.sealing import SealingRefused
from tests.support.database import Database
from tests.support.heard import hear
from tests.support.runtime import BookedProvider, Client, Hook, read, recover, runtime_of

#: Nobody's: of the documentation of every provider.
CARD: Final = "4111111111111111"

#: Beyond every deadline and settling time of the settings.
AFTER_MS: Final = 120_000

#: What somebody with rights on the table does to answers.
FORGED: Final = (
    "UPDATE provider_answer SET sealed = set_byte(sealed, 40, (get_byte(sealed, 40) + 1) % 256)",
    "UPDATE provider_answer SET version = version + 1",
    "DELETE FROM provider_answer",
    "DELETE FROM provider_answer_key",
)

REFUSAL: Final = b'{"status": "declined", "code": "card_declined"}'

_COUNTS: Final = """SELECT (SELECT count(*) FROM provider_answer WHERE merchant_id = $1),
    (SELECT count(*) FROM provider_answer_key WHERE merchant_id = $1)"""


def says(status: int, body: bytes, verdict: Verdict | None, **headers: str) -> Hook:
    """What a provider answers, and what its connector makes of it."""

    async def said(_: ProviderCall) -> Verdict | None:
        hear(status, body, {name.replace("_", "-"): value for name, value in headers.items()})
        return verdict

    return said


def refused(body: bytes = REFUSAL) -> Hook:
    return says(402, body, Declined(code="card_declined", message="No."), content_type="application/json")


async def kept(runtime: Runtime, merchant_id: str, payment_id: str) -> list[AnsweredBytes]:
    found, more = await answered_bytes(runtime.pool, runtime.sealer, merchant_id, payment_id, 10)
    assert not more
    return found


async def counted(runtime: Runtime, merchant_id: str) -> tuple[int, int]:
    row: Any = await runtime.pool.fetchrow(_COUNTS, merchant_id)
    return (row[0], row[1])


async def test_a_refusal_keeps_its_answer(database: Database, fresh_merchant: str) -> None:
    provider = BookedProvider()
    provider.before = refused()
    async with runtime_of(database.app_url, provider) as runtime:
        payment_id = read(await Client(runtime, fresh_merchant).create("refused"))["id"]
        [answer] = await kept(runtime, fresh_merchant, payment_id)
        assert (answer.asked, answer.status, answer.size_bytes, answer.cut) == ("call", 402, len(REFUSAL), False)
        assert answer.text == f"content-type: application/json\n\n{REFUSAL.decode()}"
        [named] = await runtime.pool.fetch(
            "SELECT subject_id, evidence ->> 'answer' AS digest FROM transition"
            " WHERE merchant_id = $1 AND evidence ->> 'answer' IS NOT NULL",
            fresh_merchant,
        )
        assert (named["subject_id"], named["digest"]) == (answer.attempt_id, answer.digest)
        read(await Client(runtime, fresh_merchant).create("refused"))
        assert await counted(runtime, fresh_merchant) == (1, 1), "a replay adds none"


async def test_a_long_answer_is_screened_beside_the_event_loop(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sent it chose how long that takes."""
    screened_by: list[bool] = []
    screen = kept_answers.kept_bytes

    def screening(*given: Any) -> tuple[bytes, bool]:
        screened_by.append(threading.current_thread() is threading.main_thread())
        return screen(*given)

    monkeypatch.setattr(kept_answers, "kept_bytes", screening)
    provider = BookedProvider()
    async with runtime_of(database.app_url, provider) as runtime:
        client = Client(runtime, fresh_merchant)
        short, long = REFUSAL, REFUSAL + b" " * KEPT_BYTES
        for key, body in (("short", short), ("long", long), ("long when it is read", gzip.compress(long))):
            provider.before = refused(body)
            payment_id = read(await client.create(key))["id"]
            [answer] = await kept(runtime, fresh_merchant, payment_id)
            assert answer.size_bytes == len(body)
    assert screened_by == [True, False, False]


async def test_a_plain_success_keeps_nothing(database: Database, fresh_merchant: str) -> None:
    provider = BookedProvider()
    provider.before = says(200, b'{"status": "approved"}', None)
    async with runtime_of(database.app_url, provider) as runtime:
        client = Client(runtime, fresh_merchant)
        payment_id = read(await client.create("good", manual=True))["id"]
        await client.capture("capture", payment_id)
        await client.refund("refund", payment_id, 400)
        assert await counted(runtime, fresh_merchant) == (0, 0)


async def test_an_unknown_outcome_keeps_what_was_answered_and_looked_up(
    database: Database, fresh_merchant: str
) -> None:
    """The error of the first call, and the look-up that says that nothing was charged."""
    provider = BookedProvider()
    provider.before = says(502, b"<html>Bad Gateway</html>", Unknown(reason="answered 502"), server="nginx")
    fetch = provider.fetch

    async def fetched(call: ProviderCall) -> Verdict:
        if call.merchant_id == fresh_merchant:
            hear(404, b'{"error": "no_such_operation"}')
        return await fetch(call)

    provider.fetch = fetched  # type: ignore[method-assign]
    async with runtime_of(database.app_url, provider) as runtime:
        payment_id = read(await Client(runtime, fresh_merchant).create("doubtful"))["id"]
    provider.before = None
    async with runtime_of(database.app_url, provider, shift_ms=AFTER_MS) as runtime:
        await recover(runtime)
        answers = await kept(runtime, fresh_merchant, payment_id)
        assert [(each.asked, each.status) for each in answers] == [("call", 502), ("lookup", 404)]
        assert answers[0].text == "server: nginx\n\n<html>Bad Gateway</html>"
        loaded = await runtime.reads.load(fresh_merchant, payment_id)
        assert loaded is not None and loaded.stored.payment.state == "captured"
        await fetch_verdict(runtime, loaded.stored.payment, loaded.stored.attempts[0])
        assert len(await kept(runtime, fresh_merchant, payment_id)) == 2, "who only looks writes nothing"


async def test_nothing_answered_keeps_nothing(database: Database, fresh_merchant: str) -> None:
    provider = BookedProvider()

    async def silent(_: ProviderCall) -> Verdict:
        return Declined(code="card_declined", message="No.")

    provider.before = silent
    async with runtime_of(database.app_url, provider) as runtime:
        read(await Client(runtime, fresh_merchant).create("refused"))
        assert await counted(runtime, fresh_merchant) == (0, 0)


async def test_neither_cards_nor_secrets_reach_the_database(database: Database, fresh_merchant: str) -> None:
    """Not even sealed. A card number over the border of what is kept is masked before the cut."""
    provider = BookedProvider()
    padding = b"x" * (KEPT_BYTES - 8)
    for body in (
        f'{{"message": "card {CARD}", "client_secret": "quokkamarmalade"}}'.encode(),
        padding + CARD.encode() + b" and more",
    ):
        provider.before = refused(body)
        async with runtime_of(database.app_url, provider) as runtime:
            payment_id = read(await Client(runtime, fresh_merchant).create(f"k{len(body)}"))["id"]
            [answer] = await kept(runtime, fresh_merchant, payment_id)
            assert answer.text is not None
            assert "quokka" not in answer.text and CARD[:6] not in answer.text and "*" in answer.text
            assert len(answer.text.encode()) < KEPT_BYTES + 100


async def test_an_outcome_is_recorded_where_no_key_seals_its_answer(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise SealingRefused("for this test")

    monkeypatch.setattr(kept_answers, "sealed_answer", refuses)
    provider = BookedProvider()
    provider.before = refused()
    async with runtime_of(database.app_url, provider) as runtime:
        payment = read(await Client(runtime, fresh_merchant).create("refused"))
        assert payment["state"] == "declined"
        assert await counted(runtime, fresh_merchant) == (0, 0)


async def test_verify_compares_bytes_with_history(database: Database, fresh_merchant: str) -> None:
    provider = BookedProvider()
    provider.before = refused()
    async with runtime_of(database.app_url, provider) as runtime:
        payment_id = read(await Client(runtime, fresh_merchant).create("refused"))["id"]
        [answer] = await kept(runtime, fresh_merchant, payment_id)
        sealed = await runtime.pool.fetchval(
            "SELECT sealed FROM provider_answer WHERE merchant_id = $1", fresh_merchant
        )
        assert hashlib.sha256(sealed).hexdigest() == answer.digest
        owner = await asyncpg.connect(database.owner_url)
        try:
            await owner.execute("SET idle_in_transaction_session_timeout = 0")  # however slow the machine is
            assert not (await verify(owner, settings=runtime.settings, merchant_id=fresh_merchant)).violations
            for statement in FORGED:
                forged = owner.transaction()
                await forged.start()
                await owner.execute(statement)
                found = await examine(owner, settings=runtime.settings, merchant_id=fresh_merchant)
                await forged.rollback()
                assert found.broken() == {"answers_are_named"}, statement
        finally:
            await owner.close()


async def test_an_erased_answer_says_so(database: Database, fresh_merchant: str) -> None:
    provider = BookedProvider()
    provider.before = refused()
    async with runtime_of(database.app_url, provider) as runtime:
        payment_id = read(await Client(runtime, fresh_merchant).create("refused"))["id"]
        await runtime.pool.execute(
            "UPDATE provider_answer_key SET raw_key = NULL, erased_by = 'apr_1' WHERE merchant_id = $1", fresh_merchant
        )
        [answer] = await kept(runtime, fresh_merchant, payment_id)
        assert (answer.text, answer.why) == (None, ERASED)
