"""A full disk: not ready, nothing lost, connections kept, and everything goes on once there is room."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import psycopg
import pytest

from tallystick.record.postgres import readiness
from tallystick.record.postgres.embedded.server import OWNER_ROLE, EmbeddedPostgres
from tests.support.api import Inside, assert_problem, inside
from tests.support.database import Database, NewDatabase
from tests.support.polling import eventually_async
from tests.support.runtime import BookedProvider

#: Not ready this soon after the disk is full.
WITHIN_S = 10

#: Soon is soon in a test.
SOON: dict[str, Any] = {"journal_commit_timeout_ms": 1_000}

DISK_IS_FULL = "The database's disk is full."


async def is_ready(api: Inside) -> httpx.Response:
    return await eventually_async(
        lambda: api.client.get("/readyz"), until=lambda answer: answer.status_code == 200, within_s=WITHIN_S
    )


async def is_not_ready(api: Inside) -> httpx.Response:
    return await eventually_async(
        lambda: api.client.get("/readyz"), until=lambda answer: answer.status_code == 503, within_s=WITHIN_S
    )


class SmallDisk:
    """A file system of its own in memory, and a database whose rows and temporary files are there."""

    SIZE = "48m"

    def __init__(self, place: Path) -> None:
        self._ballast = place / "ballast"

    def fill(self) -> None:
        """To the last byte."""
        block = bytes(4_096)
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while file.write(block):
                    pass
            except OSError:
                return

    def empty(self) -> None:
        self._ballast.unlink()


@contextmanager
def small_disk(place: Path, database: Database, admin_url: str) -> Iterator[SmallDisk]:
    """Moves the database to a small disk."""
    name = urlsplit(database.owner_url).path.removeprefix("/")
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SmallDisk.SIZE}", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        with psycopg.connect(admin_url, autocommit=True) as admin:
            directory = admin.execute("SELECT current_setting('data_directory')").fetchone()
            assert directory is not None
            owner = Path(directory[0]).stat()
            tablespace = place / "pg"
            tablespace.mkdir(mode=0o700)
            os.chown(tablespace, owner.st_uid, owner.st_gid)
            for parent in (place, place.parent):
                parent.chmod(0o711)
            admin.execute(f"CREATE TABLESPACE small_disk OWNER {OWNER_ROLE} LOCATION '{tablespace}'")
            try:
                admin.execute(f"ALTER DATABASE {name} SET TABLESPACE small_disk")
                yield SmallDisk(place)
            finally:
                admin.execute(f"DROP DATABASE {name} (FORCE)")
                admin.execute("DROP TABLESPACE small_disk")
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount a small disk")
async def test_a_disk_without_room(
    new_database: NewDatabase,
    data_dir: Path,
    own_dir: Path,
    fresh_merchant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "WRITE_EVERY_MS", 200)
    database, admin_url = new_database(), EmbeddedPostgres(data_dir).superuser_url("postgres")
    with small_disk(own_dir / "disk", database, admin_url) as disk:
        async with inside(database, fresh_merchant, BookedProvider(), **SOON) as api:
            await is_ready(api)
            assert (await api.pay()).status_code == 201
            disk.fill()
            answer = await is_not_ready(api)
            assert assert_problem(answer, 503, "not_ready")["detail"] == DISK_IS_FULL
            assert (await api.client.get("/v1/payments")).status_code == 200, "what needs no room still goes"
            disk.empty()
            await is_ready(api)
            assert (await api.pay()).status_code == 201


#: What a server says that cannot make a file longer, needs more memory, or meets a broken disk.
REFUSALS = {"disk_full": DISK_IS_FULL, "out_of_memory": "short of memory", "io_error": "read or write its files"}


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_journal_that_cannot_write(new_database: NewDatabase, fresh_merchant: str, refusal: str) -> None:
    """Everywhere, and also where temporary files have a disk of their own: what the journal meets is known at once.
    Its connections are as good as new ones, and it keeps them."""
    database = new_database()
    async with inside(database, fresh_merchant, BookedProvider(), **SOON) as api:
        await is_ready(api)
        assert (await api.pay("before")).status_code == 201
        owner = await asyncpg.connect(database.owner_url)
        try:
            before = await sessions(owner)
            await owner.execute(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                f" $$BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{refusal}'; END$$;"
                "CREATE TRIGGER refuse BEFORE INSERT ON transition EXECUTE FUNCTION refuse()"
            )
            refused = await api.pay("during")
            assert_problem(refused, 503, "outcome_unknown")
            assert int(refused.headers["retry-after"]) >= 1
            problem = assert_problem(await api.client.get("/readyz"), 503, "not_ready")
            assert REFUSALS[refusal] in problem["detail"]
            assert await sessions(owner) >= before, "no connection was given up"
            await owner.execute("DROP FUNCTION refuse CASCADE")
            assert (await api.pay("during")).status_code == 201
            await is_ready(api)
            assert await sessions(owner) >= before
        finally:
            await owner.close()


async def sessions(owner: asyncpg.Connection) -> set[int]:
    """The journal's sessions: those that have begun transactions of ours, and whoever else is there from the start."""
    rows = await owner.fetch(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'tallystick'"
    )
    return {row["pid"] for row in rows}


def test_the_disk_is_looked_at_often_enough() -> None:
    """A question every second, which a supervisor asks, finds it within ten."""
    assert readiness.WRITE_EVERY_MS / 1_000 + 1 < WITHIN_S
