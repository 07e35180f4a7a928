"""Reads the answers of providers that are kept beside outcomes that were no plain success."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.domain.provider_answer import AskedFor
from tallystick.record.postgres import sql
from tallystick.record.postgres.structs import structs_of

_STATEMENTS: Final = sql.load("provider_answers.sql")


class KeptAnswer(Struct, frozen=True, kw_only=True):
    """An answer as it is stored. ``raw_key`` is None where it is erased, by ``erased_by``."""

    change_id: str
    attempt_id: str
    asked: AskedFor
    status: int
    size_bytes: int
    at: datetime
    sealed: bytes
    raw_key: bytes | None
    erased_by: str | None


async def answers_of(pool: asyncpg.Pool, merchant_id: str, payment_id: str, limit: int) -> list[KeptAnswer]:
    """Those of a payment, the newest first."""
    return structs_of(await pool.fetch(_STATEMENTS["answers_of"], merchant_id, payment_id, limit), KeptAnswer)
