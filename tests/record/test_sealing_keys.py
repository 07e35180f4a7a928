"""Which keys may seal in a record: registered once, compared by every process, and never replaced in silence."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from tallystick.domain.verdicts import Approved, Verdict
from tallystick.kit.clock import Clock
from tallystick.providers.port import ProviderCall
from tallystick.record import sealing_keys
from tallystick.record.postgres.connections import connect, open_pool
from tallystick.record.postgres.sealed_rows import (
    NewKeyAct,
    SealedValue,
    key_acts,
    record_acts,
    sample_of_actions,
    sealed_by,
)
from tallystick.record.sealing import (
    KEY_BYTES,
    Sealer,
    SealingRefused,
    create_key,
    delivery_row,
    payment_row,
    sealer_of,
    secret_row,
)
from tallystick.record.sealing_keys import NOT_COMPARED, NOT_REGISTERED, Retired, SealingKeys, active_of, judge, retire
from tallystick.settings.load import Settings
from tests.support.acts import retiring
from tests.support.database import Database
from tests.support.runtime import SETTINGS, BookedProvider, Client, runtime_of


def text(letters: str) -> str:
    """The keys of these letters, as the setting has them."""
    return ",".join(base64.b64encode(letter.encode() * KEY_BYTES).decode() for letter in letters)


def settings_of(letters: str) -> Settings:
    return Settings(data_dir="unused", sealing_keys=text(letters))


def key_id(letter: str) -> bytes:
    return sealer_of(settings_of(letter)).names()[0].key_id


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """The owner of a record in which no key was used yet."""
    connection = await asyncpg.connect(database.owner_url)
    for table in ("sealing_key_act", "webhook_secret", "delivery", "payment"):
        await connection.execute(f"DELETE FROM {table}")
    yield connection
    await connection.close()


@asynccontextmanager
async def process(
    database: Database, settings: Settings, *, registers: bool = True
) -> AsyncIterator[tuple[Sealer, SealingKeys]]:
    """The keys of one process; nothing is compared until a test says so."""
    sealer = sealer_of(settings)
    pool = await open_pool(database.app_url, settings)
    try:
        yield sealer, SealingKeys(pool, settings, sealer, Clock(), registers=registers)
    finally:
        await pool.close()


async def refused(database: Database, settings: Settings, *, registers: bool = True) -> str | None:
    """Why a process that starts now may not seal."""
    async with process(database, settings, registers=registers) as (sealer, keys):
        await keys.compare()
        return sealer.refused


async def registered(owner: asyncpg.Connection) -> list[bytes]:
    return [name.key_id for name in active_of(await key_acts(owner))]


async def a_secret(owner: asyncpg.Connection, sealer: Sealer) -> None:
    sealed = sealer.seal(b"whsec_", secret_row("m", "we", "sec"))
    await owner.execute("INSERT INTO webhook_secret VALUES ('m', 'we', 'sec', $1, now())", sealed)


async def a_kept_event(owner: asyncpg.Connection, sealer: Sealer) -> None:
    sealed = sealer.seal(b"{}\n{}", delivery_row("stripe", "main", "evt", "dlv"))
    await owner.execute(
        "INSERT INTO delivery VALUES ('stripe', 'main', 'evt', 'dlv', now(), now(), now(), 'first', '', $1)", sealed
    )


async def a_next_action(owner: asyncpg.Connection, sealer: Sealer) -> None:
    sealed = base64.b64encode(sealer.seal(b'{"type":"redirect"}', payment_row("m", "pay"))).decode()
    await owner.execute(
        "INSERT INTO payment (merchant_id, payment_id, version, state, amount, currency, amount_authorized,"
        " amount_captured, amount_refunded, amount_refund_pending, capture_method, payment_method, provider,"
        " next_action, metadata, created_at, updated_at) VALUES ('m', 'pay', 1, 'requires_action', 1, 'EUR', 0, 0, 0,"
        " 0, 'automatic', 'pm', 'stripe', $1, '{}', now(), now())",
        json.dumps({"type": "redirect", "sealed": sealed}),
    )


#: Whatever is sealed in the record.
ROWS = [a_secret, a_kept_event, a_next_action]

Row = Callable[[asyncpg.Connection, Sealer], Awaitable[None]]


async def test_the_first_process_registers_its_key_and_others_have_the_same(
    database: Database, owner: asyncpg.Connection
) -> None:
    assert await refused(database, settings_of("a")) is None
    [act] = await key_acts(owner)
    [name] = sealer_of(settings_of("a")).names()
    assert (act.number, act.act, act.key_id, act.fingerprint) == (1, "registered", name.key_id, name.fingerprint)
    assert act.actor.startswith("host:")
    assert await refused(database, settings_of("a")) is None
    assert await registered(owner) == [name.key_id]


async def test_a_second_machine_with_another_key_may_not_seal(database: Database, owner: asyncpg.Connection) -> None:
    await refused(database, settings_of("a"))
    async with process(database, settings_of("b")) as (sealer, keys):
        with pytest.raises(SealingRefused, match=NOT_COMPARED):
            sealer.seal(b"secret", b"row")
        await keys.compare()
        with pytest.raises(
            SealingRefused, match=f"{key_id('a').hex()} of the record is not here: .*{key_id('b').hex()}"
        ):
            sealer.seal(b"secret", b"row")
        judged = await judge(owner, sealer_of(settings_of("b")))
        assert judged.unfit == sealer.refused, "doctor says the same"
    assert await registered(owner) == [key_id("a")]


async def test_of_many_that_start_at_once_with_different_keys_one_wins(
    database: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All have seen that nothing is registered before any of them writes."""
    letters = "abcdefgh"
    barrier = asyncio.Barrier(len(letters))
    late: set[int] = set()

    async def together(connection: asyncpg.Connection, number: int, acts: list[NewKeyAct], shift_ms: int) -> bool:
        if id(connection) not in late:
            late.add(id(connection))
            await barrier.wait()
        return await record_acts(connection, number, acts, shift_ms)

    monkeypatch.setattr(sealing_keys, "record_acts", together)
    async with AsyncExitStack() as stack:
        started = [await stack.enter_async_context(process(database, settings_of(letter))) for letter in letters]
        await asyncio.gather(*(keys.compare() for _, keys in started))
        ready = [letter for letter, (sealer, _) in zip(letters, started, strict=True) if sealer.refused is None]
    assert len(late) == len(letters)
    assert len(ready) == 1
    assert await registered(owner) == [key_id(ready[0])]


async def test_machines_that_change_over_at_once_agree_on_one_new_key(
    database: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await refused(database, settings_of("a"))
    barrier = asyncio.Barrier(2)

    async def together(connection: asyncpg.Connection, number: int, acts: list[NewKeyAct], shift_ms: int) -> bool:
        await barrier.wait()
        return await record_acts(connection, number, acts, shift_ms)

    monkeypatch.setattr(sealing_keys, "record_acts", together)
    said = await asyncio.gather(refused(database, settings_of("ba")), refused(database, settings_of("ca")))
    assert [each is None for each in said].count(True) == 1
    assert await registered(owner) == [key_id("a"), key_id("b" if said[0] is None else "c")]


async def test_acts_are_recorded_together_or_not_at_all(owner: asyncpg.Connection) -> None:
    first, second, third = (
        NewKeyAct(act="registered", key_id=name.key_id, fingerprint=name.fingerprint, actor="test")
        for name in sealer_of(settings_of("abc")).names()
    )
    assert await record_acts(owner, 2, [first], 0)
    assert not await record_acts(owner, 1, [second, third], 0), "number 2 is taken"
    assert [act.number for act in await key_acts(owner)] == [2]


async def test_a_missing_key_is_made_for_a_new_record_alone(
    database: Database, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    settings = Settings(data_dir=str(tmp_path / "new"))
    file = tmp_path / "new" / "sealing.key"
    assert await refused(database, settings) is None
    kept = file.read_text()
    file.unlink()
    async with process(database, settings) as (sealer, keys):
        await keys.compare()
        assert "sealing.key is missing from the data directory" in str(sealer.refused)
        assert os.listdir(file.parent) == []
        with pytest.raises(SealingRefused):
            sealer.seal(b"secret", b"row")
        file.write_text(kept)
        await keys.compare()
        assert sealer.refused is None, "what was put back is used without a restart"
        assert sealer.open(sealer.seal(b"secret", b"row"), b"row") == b"secret"


async def test_the_right_key_in_place_of_a_wrong_one_is_used_without_a_restart(
    database: Database, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    await refused(database, settings_of("a"))
    (tmp_path / "sealing.key").write_text(text("b"))
    async with process(database, Settings(data_dir=str(tmp_path))) as (sealer, keys):
        await keys.compare()
        assert sealer.refused is not None
        (tmp_path / "sealing.key").write_text(text("a"))
        await keys.compare()
        assert sealer.refused is None


async def test_a_running_process_keeps_the_key_that_its_file_lost(
    database: Database, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    async with process(database, Settings(data_dir=str(tmp_path))) as (sealer, keys):
        await keys.compare()
        (tmp_path / "sealing.key").unlink()
        await keys.compare()
        assert sealer.refused is None
    assert not (tmp_path / "sealing.key").exists()


async def test_a_key_that_cannot_be_made_is_a_reason(
    database: Database, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    said = await refused(database, Settings(data_dir=str(tmp_path / "file" / "below")))
    assert said is not None and "Not a directory" in said
    assert await registered(owner) == []


async def test_a_file_that_holds_no_key_is_not_replaced(
    database: Database, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    """Half of a key may be all that is left of it."""
    (tmp_path / "sealing.key").write_text(text("a")[:-8])
    said = await refused(database, Settings(data_dir=str(tmp_path)))
    assert said == "the sealing key is not here: sealing.key in the data directory holds no key"
    assert (tmp_path / "sealing.key").read_text() == text("a")[:-8]
    assert await registered(owner) == []


@pytest.mark.parametrize("row", ROWS)
async def test_an_upgraded_record_takes_a_key_that_opens_it(
    database: Database, owner: asyncpg.Connection, row: Row
) -> None:
    await row(owner, sealer_of(settings_of("a")))
    said = await refused(database, settings_of("b"))
    assert said is not None and f"{key_id('a').hex()} of the record is not here" in said
    assert await registered(owner) == []
    assert await refused(database, settings_of("ba")) is None
    assert await registered(owner) == [key_id("b"), key_id("a")], "both are needed from now on"


@pytest.mark.parametrize("row", ROWS)
async def test_an_upgraded_record_without_its_key_gets_no_new_one(
    database: Database, owner: asyncpg.Connection, tmp_path: Path, row: Row
) -> None:
    await row(owner, sealer_of(settings_of("a")))
    said = await refused(database, Settings(data_dir=str(tmp_path)))
    assert said is not None and f"{key_id('a').hex()} of the record is not here: sealing.key is missing" in said
    assert os.listdir(tmp_path) == []


async def test_a_key_by_its_name_alone_is_not_enough(database: Database, owner: asyncpg.Connection) -> None:
    """The id in a value is no proof: the value must open."""
    await a_secret(owner, sealer_of(settings_of("a")))
    await owner.execute("UPDATE webhook_secret SET secret_id = 'another'")
    said = await refused(database, settings_of("a"))
    assert said is not None and "opens nothing of what it sealed" in said


async def test_keys_rotate_machine_by_machine(database: Database, owner: asyncpg.Connection) -> None:
    """First every machine can open by the new key, then one after another seals with it."""
    async with AsyncExitStack() as stack:
        first, keys = await stack.enter_async_context(process(database, settings_of("a")))
        await keys.compare()
        second, others = await stack.enter_async_context(process(database, settings_of("ab")))
        await others.compare()
        assert (first.refused, second.refused) == (None, None), "the new key is held, and seals nothing yet"
        assert await refused(database, settings_of("ba")) is None
        await keys.compare()
        await others.compare()
        assert first.refused is not None and key_id("b").hex() in first.refused, "it could not open what is sealed now"
        assert second.refused is None
    assert await registered(owner) == [key_id("a"), key_id("b")]
    assert await refused(database, settings_of("b")) is not None, "the old key is needed until it is retired"


async def test_a_lost_key_is_given_up_by_a_person(
    database: Database, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    settings = Settings(data_dir=str(tmp_path))
    await a_secret(owner, sealer_of(settings_of("a")))
    await refused(database, settings_of("a"))
    assert await refused(database, settings) is not None
    assert (await sealed_by(owner, key_id("a"))).endpoint_secrets == 1
    await retire(owner, key_id("a"), retiring(key_id("a"), "the disk is gone"), shift_ms=0)
    assert await refused(database, settings) is None
    assert await registered(owner) == [sealer_of(settings).names()[0].key_id]
    assert "was retired" in str(await refused(database, settings_of("a"))), "it seals nothing again"
    with pytest.raises(Retired, match="retired already"):
        await retire(owner, key_id("a"), retiring(key_id("a"), "again"), shift_ms=0)


async def test_a_charge_whose_name_a_key_sealed_is_counted(
    database: Database, owner: asyncpg.Connection, fresh_merchant: str
) -> None:
    """Without the key its provider cannot be called by that name any more."""
    provider = BookedProvider()

    async def named(call: ProviderCall) -> Verdict:
        return Approved(amount=call.amount, currency=call.currency, effect="captured", reference="4111111111111111")

    provider.before = named
    async with runtime_of(database.app_url, provider, settings=replace(SETTINGS, sealing_keys=text("ba"))) as runtime:
        assert (await Client(runtime, fresh_merchant).create("k")).status == 201
    assert (await sealed_by(owner, key_id("a"))).provider_names == 1, "the last key seals names"
    assert (await sealed_by(owner, key_id("a"))).total() == 1
    assert (await sealed_by(owner, key_id("b"))).provider_names == 0


async def test_what_a_retired_key_sealed_is_opened_where_it_is_still_given(
    database: Database, owner: asyncpg.Connection
) -> None:
    await refused(database, settings_of("a"))
    await refused(database, settings_of("ba"))
    await retire(owner, key_id("a"), retiring(key_id("a"), "rotated"), shift_ms=0)
    assert await refused(database, settings_of("b")) is None
    async with process(database, settings_of("ba")) as (sealer, keys):
        await keys.compare()
        assert sealer.refused is None
        assert sealer.open(sealer_of(settings_of("a")).seal(b"old", b"row"), b"row") == b"old"


async def test_an_unregistered_lost_key_of_an_upgraded_record_is_given_up_too(
    database: Database, owner: asyncpg.Connection
) -> None:
    await a_kept_event(owner, sealer_of(settings_of("a")))
    assert await refused(database, settings_of("b")) is not None
    await retire(owner, key_id("a"), retiring(key_id("a"), "lost long ago"), shift_ms=0)
    assert await refused(database, settings_of("b")) is None
    assert await registered(owner) == [key_id("b")]


async def test_a_command_registers_nothing(database: Database, owner: asyncpg.Connection, tmp_path: Path) -> None:
    """On an operator's machine there may be another key, or none."""
    assert await refused(database, Settings(data_dir=str(tmp_path)), registers=False) == NOT_REGISTERED
    assert await refused(database, settings_of("b"), registers=False) == NOT_REGISTERED
    assert os.listdir(tmp_path) == [] and await registered(owner) == []
    await refused(database, settings_of("a"))
    assert await refused(database, settings_of("a"), registers=False) is None


async def test_while_the_database_is_away_the_last_comparison_holds(
    database: Database, owner: asyncpg.Connection
) -> None:
    async with process(database, settings_of("a")) as (sealer, keys):
        await keys.compare()
        await owner.execute("REVOKE SELECT ON sealing_key_act FROM tallystick_app")
        try:
            await keys.compare()
            assert sealer.refused is None
        finally:
            await owner.execute("GRANT SELECT ON sealing_key_act TO tallystick_app")


async def test_the_application_cannot_rewrite_what_became_of_a_key(
    database: Database, owner: asyncpg.Connection
) -> None:
    await refused(database, settings_of("a"))
    app = await connect(database.app_url, command_timeout_ms=10_000)
    try:
        for change in ("UPDATE sealing_key_act SET act = 'retired'", "DELETE FROM sealing_key_act"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await app.execute(change)
    finally:
        await app.close()


def test_processes_of_one_directory_make_one_key(tmp_path: Path) -> None:
    settings = Settings(data_dir=str(tmp_path))
    create_key(settings)
    before = (tmp_path / "sealing.key").read_text()
    create_key(settings)
    assert (tmp_path / "sealing.key").read_text() == before


async def test_where_no_key_is_registered_payments_are_looked_at_rarely(
    database: Database, owner: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To find that none of them has a sealed value is to read all of them."""
    looks = 0

    async def looked(connection: asyncpg.Connection) -> list[SealedValue]:
        nonlocal looks
        looks += 1
        return await sample_of_actions(connection)

    monkeypatch.setattr(sealing_keys, "sample_of_actions", looked)
    clock = Clock()
    pool = await open_pool(database.app_url, settings_of("a"))
    async with pool:
        keys = SealingKeys(pool, settings_of("a"), sealer := sealer_of(settings_of("a")), clock, registers=False)
        for _ in range(3):
            await keys.compare()
            assert (sealer.refused, looks) == (NOT_REGISTERED, 1)
        clock.shift_ms = sealing_keys.SAMPLE_EVERY_MS
        await keys.compare()
        assert (sealer.refused, looks) == (NOT_REGISTERED, 2)
        assert await refused(database, settings_of("a")) is None, "another process registers the key"
        looks = 0
        await keys.compare()
        assert (sealer.refused, looks) == (None, 0)
