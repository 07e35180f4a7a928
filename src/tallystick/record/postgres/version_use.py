"""Counts of requests in older versions of the API, by key and hour; and what is still pinned to these versions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.domain.api_versions import VERSIONS
from tallystick.record.postgres import sql
from tallystick.record.postgres.hourly_counts import HourBook
from tallystick.record.postgres.structs import structs_of

STATEMENTS: Final = sql.load("versions.sql")


class VersionUseCount(Struct, frozen=True, kw_only=True):
    """How many requests of one older version a key sent in the hour that begins at ``hour``."""

    merchant_id: str
    key_id: str
    version: str
    hour: datetime
    count: int


class OlderPin(Struct, frozen=True, kw_only=True):
    """A key or a webhook endpoint (``kind``) that is pinned to another version than the newest."""

    merchant_id: str
    kind: str
    id: str
    version: str


class OlderPins(Struct, frozen=True, kw_only=True):
    """How many keys or webhook endpoints (``kind``) are pinned to one version that is not the newest."""

    kind: str
    version: str
    count: int


class VersionUseCounts(HourBook[VersionUseCount]):
    """The table of the use of older versions."""

    ADD, FORGET, READ = STATEMENTS["count_version_use"], STATEMENTS["forget_version_use"], STATEMENTS["version_use"]
    row = VersionUseCount


async def older_pins(pool: asyncpg.Pool) -> Sequence[OlderPin]:
    """Every pin to an older version. Raises what asyncpg raises."""
    found = await pool.fetch(STATEMENTS["older_pins"], VERSIONS.newest.date, VERSIONS.first.date)
    return structs_of(found, OlderPin)


async def count_older_pins(pool: asyncpg.Pool) -> Sequence[OlderPins]:
    """How much is pinned to older versions; nothing is read where there is one version alone. Raises what asyncpg
    raises."""
    if VERSIONS.newest is VERSIONS.first:
        return ()
    found = await pool.fetch(STATEMENTS["count_older_pins"], VERSIONS.newest.date, VERSIONS.first.date)
    return structs_of(found, OlderPins)
