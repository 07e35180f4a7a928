"""Heads to a command and to a URL: in order, again while a place fails, and by one worker at a time."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from aiohttp import web

from tallystick.kit.clock import Clock
from tallystick.oversight.audit.anchors import Behind, read_anchors
from tallystick.oversight.audit.head_sender import NAME_HEADER, HeadSender, NotTaken, Place, places_of
from tallystick.oversight.audit.lag import read_lag
from tallystick.record.postgres.connections import open_pool
from tallystick.settings.load import Settings
from tests.support.audit import KEY, SETTINGS, compare, named, seal_all
from tests.support.database import Database, NewDatabase

_ANSWER = "INSERT INTO response (merchant_id, idempotency_key, status, body, at) VALUES ('m', $1, 200, 'x', now())"

#: Writes what it gets to a directory, unless there is a file that says not to; says what it sees of the environment.
_KEEPS = (
    "import os, sys, pathlib; d = pathlib.Path(sys.argv[1]); os.path.exists(d / 'closed') and sys.exit(3);"
    " (d / sys.argv[2]).write_text(sys.stdin.read()); (d / 'environment').write_text(' '.join(os.environ))"
)


@pytest.fixture
def database(new_database: NewDatabase) -> Database:
    """Without leaves."""
    return new_database()


@pytest_asyncio.fixture
async def pool(database: Database) -> AsyncIterator[asyncpg.Pool]:
    """The application's."""
    async with await open_pool(database.app_url, SETTINGS) as pool:
        yield pool


def _senders(pool: asyncpg.Pool, settings: Settings) -> list[HeadSender]:
    return [HeadSender(pool, Clock(), settings, place, KEY.public) for place in places_of(settings, Clock())]


async def _sealed(pool: asyncpg.Pool, *keys: str) -> None:
    for key in keys:
        await pool.execute(_ANSWER, key)
        await seal_all(pool)


async def test_a_command_gets_each_file_once_it_takes_them(
    database: Database, pool: asyncpg.Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLYSTICK_AUDIT_SIGNING_KEY", "not for the command")
    command = f'"{sys.executable}" -c "{_KEEPS}" "{tmp_path}"'
    settings = replace(SETTINGS, audit_heads_command=command, audit_heads_timeout_ms=600_000)
    [sender] = _senders(pool, settings)
    [other] = _senders(pool, settings)
    await _sealed(pool, "first")
    (tmp_path / "closed").touch()
    with pytest.raises(NotTaken, match="ended with 3"):
        await sender.round()
    assert await other.round() == 0, "one worker at a time"
    await _sealed(pool, "second")
    lag = await read_lag(pool, Clock(600_000), settings)
    (tmp_path / "closed").unlink()
    while await sender.round():
        pass
    await sender.leave()
    await _sealed(pool, "third")
    assert await other.round() == 1, "another worker goes on"
    assert await other.round() == 0
    await other.leave()
    caught_up = await read_lag(pool, Clock(600_000), settings)
    owner = await asyncpg.connect(database.owner_url)
    async with owner.transaction():
        report = await compare(owner, read_anchors(tmp_path), window_ms=600_000)
    await owner.close()
    assert (named(report), report.outside) == ([], f"checkpoint {report.checkpoints}")
    assert lag is not None and lag.copying_ms is not None and lag.copying_ms >= 600_000
    assert caught_up is not None and caught_up.copying_ms == 0
    assert "TALLYSTICK_AUDIT_SIGNING_KEY" not in (tmp_path / "environment").read_text()


async def test_a_command_that_does_not_end_is_ended(pool: asyncpg.Pool) -> None:
    settings = replace(
        SETTINGS,
        audit_heads_command=f'"{sys.executable}" -c "import signal; signal.pause()"',
        audit_heads_timeout_ms=200,
    )
    [sender] = _senders(pool, settings)
    await _sealed(pool, "k")
    with pytest.raises(NotTaken, match="did not end within 200 ms"):
        await sender.round()
    [missing] = _senders(pool, replace(SETTINGS, audit_heads_command="/no/such/program"))
    with pytest.raises(NotTaken, match="cannot be started"):
        await missing.round()


async def test_a_url_gets_each_file_and_no_private_address_is_called(pool: asyncpg.Pool, tmp_path: Path) -> None:
    statuses, bodies = [503, 200, 200, 200, 200, 200, 200], []

    async def take(request: web.Request) -> web.Response:
        status = statuses.pop(0)
        bodies.append((status, request.headers[NAME_HEADER], await request.text()))
        return web.Response(status=status)

    app = web.Application(client_max_size=10_000_000)
    app.router.add_post("/heads", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        url = f"http://127.0.0.1:{port}/heads"
        allowed = replace(SETTINGS, audit_heads_url=url, webhook_allow_private_addresses=True)
        await _sealed(pool, "first")
        [guarded] = _senders(pool, replace(SETTINGS, audit_heads_url=url.replace("http:", "https:")))
        with pytest.raises(NotTaken, match="public address"):
            await guarded.round()
        await guarded.leave()
        assert bodies == [], "nothing was sent to a private address"
        [sender] = _senders(pool, allowed)
        with pytest.raises(NotTaken, match="answered with 503"):
            await sender.round()
        while await sender.round():
            pass
        await sender.leave()
    finally:
        await runner.cleanup()
    assert [status for status, _, _ in bodies][:2] == [503, 200]
    assert bodies[0][1:] == bodies[1][1:], "the same file again"
    assert bodies == sorted(bodies, key=lambda each: each[1]), "in their order"
    for status, name, text in bodies:
        if status == 200:
            (tmp_path / name).write_text(text)
    assert all(anchor.signed_by({KEY.key_id: KEY.public}) for anchor in read_anchors(tmp_path))
    assert len(read_anchors(tmp_path)) == len({name for _, name, _ in bodies}) > 0


async def test_heads_that_a_place_took_without_our_knowing_come_again_with_what_is_newer(
    database: Database, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    """The worker died, or the answer was lost: two files have the same heads, and that is no difference."""
    taken: list[str] = []

    async def send(name: str, body: bytes) -> None:
        (tmp_path / name).write_bytes(body)
        taken.append(name)
        if len(taken) == 1:
            raise NotTaken("the answer was lost")

    async def close() -> None:
        return None

    sender = HeadSender(pool, Clock(), SETTINGS, Place("url of a test", send, close), KEY.public)
    await _sealed(pool, "first")
    with pytest.raises(NotTaken):
        await sender.round()
    await _sealed(pool, "second")
    while await sender.round():
        pass
    await sender.leave()
    owner = await asyncpg.connect(database.owner_url)
    async with owner.transaction():
        twice = await compare(owner, read_anchors(tmp_path), window_ms=600_000)
    (tmp_path / taken[1]).unlink()
    await _sealed(pool, "third")
    await sender.round()
    async with owner.transaction():
        lacking = named(await compare(owner, read_anchors(tmp_path), window_ms=600_000))
    await owner.close()
    assert len(taken) >= 2 and named(twice) == []
    assert any(each.startswith("outside_head: ") for each in lacking), "a file that is gone is named still"


async def test_a_place_is_sent_nothing_over_a_checkpoint_that_the_record_has_not(
    database: Database, pool: asyncpg.Pool
) -> None:
    """Another one has its number: the record was set back, and went on."""
    sent: list[str] = []

    async def send(name: str, body: bytes) -> None:
        sent.append(name)

    async def close() -> None:
        return None

    sender = HeadSender(pool, Clock(), SETTINGS, Place("url of a test", send, close), KEY.public)
    await _sealed(pool, "first")
    while await sender.round():
        pass
    await pool.execute("UPDATE audit_anchor SET digest = 'another one'")
    await _sealed(pool, "second")
    with pytest.raises(Behind):
        await sender.round()
    await sender.leave()
    assert len(sent) == 1


async def test_a_number_that_an_older_release_noted_has_no_digest_of_another(pool: asyncpg.Pool) -> None:
    """It writes the number, and leaves the column that it does not know."""
    sent: list[str] = []

    async def send(name: str, body: bytes) -> None:
        sent.append(name)

    async def close() -> None:
        return None

    sender = HeadSender(pool, Clock(), SETTINGS, Place("url of a test", send, close), KEY.public)
    await _sealed(pool, "first")
    while await sender.round():
        pass
    await _sealed(pool, "second")
    await pool.execute("UPDATE audit_anchor SET checkpoint = (SELECT max(number) FROM audit_checkpoint), at = now()")
    await _sealed(pool, "third")
    while await sender.round():
        pass
    await sender.leave()
    assert len(sent) == 2
