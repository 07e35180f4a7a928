"""Workers seal what is committed, and copy heads, where the settings turn it on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import asyncpg

from tallystick.oversight.audit.anchors import read_anchors
from tallystick.run.work import periodic_work
from tests.support.audit import KEY_TEXT, KEYS, compare, named
from tests.support.database import NewDatabase
from tests.support.polling import eventually_async
from tests.support.runtime import SETTINGS, BookedProvider, Client, runtime_of
from tests.support.work import working


async def test_a_worker_seals_and_copies_heads(new_database: NewDatabase, tmp_path: Path) -> None:
    database = new_database()
    settings = replace(
        SETTINGS,
        audit_sealing=True,
        audit_signing_key=KEY_TEXT,
        audit_sealing_interval_ms=50,
        audit_heads_directory=str(tmp_path),
        audit_heads_interval_ms=100,
    )
    owner = await asyncpg.connect(database.owner_url)
    try:
        async with (
            runtime_of(database.app_url, BookedProvider(), settings=settings) as runtime,
            working(runtime, "sealing", "heads"),
        ):
            for number in range(3):
                await Client(runtime, "m").create(f"k{number}")

            async def everything_is_outside() -> bool:
                async with owner.transaction(isolation="repeatable_read"):
                    report = await compare(owner, read_anchors(tmp_path))
                assert named(report) == []
                return report.unsealed == 0 and report.outside == f"checkpoint {report.checkpoints}"

            await eventually_async(everything_is_outside)
        assert all(anchor.signed_by(KEYS) for anchor in read_anchors(tmp_path))
    finally:
        await owner.close()


async def test_nothing_is_sealed_where_nobody_turned_it_on(new_database: NewDatabase) -> None:
    async with runtime_of(new_database().app_url, BookedProvider()) as runtime, periodic_work(runtime) as rounds:
        assert not {"sealing", "heads"} & {each.name for each in rounds}
