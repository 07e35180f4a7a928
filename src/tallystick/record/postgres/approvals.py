"""Requests for a second person's word, in the record. All of it is only ever added to."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import asyncpg
import msgspec
from msgspec import Struct

from tallystick.record.postgres import sql
from tallystick.record.postgres.structs import struct_of, structs_of

STATEMENTS: Final = sql.load("approvals.sql")

Ending = Literal["approved", "rejected", "void", "expired"]

_ENCODER: Final = msgspec.json.Encoder(order="sorted")


class ApprovalRequest(Struct, frozen=True, kw_only=True):
    """What somebody asked for. ``arguments``: what the act is carried out with; ``shown``: what it was decided on,
    which is read again before it is; ``authors``: who made what is to be approved; ``needed``: how many must approve.
    """

    request_id: str
    act: str
    target: str
    merchant_id: str | None
    arguments: dict[str, Any]
    shown: dict[str, Any]
    shown_hash: bytes
    authors: Sequence[str]
    needed: int
    reason: str
    requested_by: str
    requested_at: datetime
    expires_at: datetime


class Decision(Struct, frozen=True, kw_only=True):
    """One person's word."""

    decided_by: str
    approves: bool
    shown_hash: bytes
    reason: str
    at: datetime


class Outcome(Struct, frozen=True, kw_only=True):
    """How a request ended."""

    outcome: Ending
    detail: str
    at: datetime


def hash_of(request_id: str, act: str, target: str, arguments: dict[str, Any], shown: dict[str, Any]) -> bytes:
    """What deciders decide on, as one value: any change of it is another one."""
    return hashlib.sha256(_ENCODER.encode([request_id, act, target, arguments, shown])).digest()


class ApprovalBook:
    """Over a pool of connections. Raises what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool

    async def insert(self, request: ApprovalRequest) -> None:
        """A new request."""
        await self.pool.execute(
            STATEMENTS["insert_request"],
            request.request_id,
            request.act,
            request.target,
            request.merchant_id,
            _ENCODER.encode(request.arguments).decode(),
            _ENCODER.encode(request.shown).decode(),
            request.shown_hash,
            list(request.authors),
            request.needed,
            request.reason,
            request.requested_by,
            request.requested_at,
            request.expires_at,
        )

    async def find(self, request_id: str) -> ApprovalRequest | None:
        """One request."""
        row = await self.pool.fetchrow(STATEMENTS["request"], request_id)
        return None if row is None else _request(row)

    async def page(
        self, before: str | None, limit: int, merchants: Collection[str] | None = None
    ) -> Sequence[ApprovalRequest]:
        """Requests before this id, the newest first; ``merchants``: about these alone."""
        given = (before, limit, None if merchants is None else list(merchants))
        return [_request(row) for row in await self.pool.fetch(STATEMENTS["requests"], *given)]

    async def erasure_requests(
        self, before: tuple[datetime, str] | None, limit: int, merchants: Collection[str] | None = None
    ) -> Sequence[ApprovalRequest]:
        """Requests for erasures before this time and id, the newest first; ``merchants``: of these alone."""
        given = (*(before or (None, None)), limit, None if merchants is None else list(merchants))
        return [_request(row) for row in await self.pool.fetch(STATEMENTS["erasure_requests"], *given)]

    async def outcomes_of(self, request_ids: Sequence[str]) -> dict[str, Outcome]:
        """How those of them ended that have, by request."""
        rows = await self.pool.fetch(STATEMENTS["outcomes_of"], list(request_ids))
        return {row["request_id"]: struct_of(row, Outcome) for row in rows}

    async def decisions_of(self, request_ids: Sequence[str]) -> dict[str, list[Decision]]:
        """What was said of each that somebody has decided on, by request."""
        said: dict[str, list[Decision]] = {}
        for row in await self.pool.fetch(STATEMENTS["decisions_of"], list(request_ids)):
            said.setdefault(row["request_id"], []).append(struct_of(row, Decision))
        return said

    async def decisions(self, request_id: str) -> Sequence[Decision]:
        """What was said of it."""
        return structs_of(await self.pool.fetch(STATEMENTS["decisions"], request_id), Decision)

    async def outcome(self, request_id: str) -> Outcome | None:
        """How it ended; None while it waits."""
        row = await self.pool.fetchrow(STATEMENTS["outcome"], request_id)
        return None if row is None else struct_of(row, Outcome)

    async def not_done(self, acts: Sequence[str], after: datetime, until: datetime) -> Sequence[str]:
        """Requests of these acts that were approved in this time, and of which no act is recorded under their id."""
        found = await self.pool.fetch(STATEMENTS["approved_between"], list(acts), after, until)
        asked = [(row["requested_by"], row["request_id"]) for row in found]
        given = ([operator for operator, _ in asked], [key for _, key in asked])
        rows = await self.pool.fetch(STATEMENTS["done_under"], *given)
        done = {(row["operator"], row["idempotency_key"]) for row in rows}
        return [key for operator, key in asked if (operator, key) not in done]

    async def decide(self, request_id: str, decision: Decision) -> None:
        """Raises asyncpg.UniqueViolationError where the person has decided before."""
        await self.pool.execute(
            STATEMENTS["insert_decision"],
            request_id,
            decision.decided_by,
            decision.approves,
            decision.shown_hash,
            decision.reason,
            decision.at,
        )


async def end_request(connection: Any, request_id: str, outcome: Ending, detail: str, at: datetime) -> None:
    """Raises asyncpg.UniqueViolationError where the request has ended: then nothing else must be committed."""
    await connection.execute(STATEMENTS["insert_outcome"], request_id, outcome, detail, at)


def _request(row: asyncpg.Record) -> ApprovalRequest:
    held = dict(row)
    for name in ("arguments", "shown"):
        held[name] = msgspec.json.decode(held[name])
    return msgspec.convert(held, ApprovalRequest)
