"""The bodies of stored messages: whole, or the answer that is their data and what the row says around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from tallystick.decisions.messages import body_of
from tallystick.domain.api_keys import KIND_OF_LETTER
from tallystick.domain.change import Message, RecordedResponse
from tallystick.domain.personal import has_holes
from tallystick.record.postgres.personal import MISSING, Fetches, personal_of


def stored_body(row: asyncpg.Record | Mapping[str, Any]) -> bytes:
    """The body of a row of ``outbox``, read with the ``answer`` that it names. Empty where that answer is missing."""
    body: bytes | None = row["body"]
    if body is not None:
        return body
    if row["answer"] is None:
        return b""
    key_kind = KIND_OF_LETTER.get(row["key_kind"])
    return body_of(
        row["message_id"],
        row["type"],
        row["at"],
        row["stream_id"],
        row["version"],
        key_kind,
        row["traceparent"],
        row["answer"],
    )


async def filled_bodies(connection: Fetches, rows: Sequence[tuple[str, Any]]) -> list[bytes]:
    """The bodies of rows, each with its merchant, as they were written. Of payments with personal fields one statement
    more is asked."""
    bodies = [stored_body(row) for _, row in rows]
    names = [(merchant_id, row["stream_id"]) for merchant_id, row in rows]
    found = await personal_of(connection, [name for name, body in zip(names, bodies, strict=True) if has_holes(body)])
    return [found.get(name, MISSING).values.filled(body) for name, body in zip(names, bodies, strict=True)]


def answer_key_of(message: Message, responses: Iterable[RecordedResponse]) -> str | None:
    """The key of the answer that is the message's data, if the same bytes are then read back."""
    for each in responses:
        if message.body == body_of(
            message.message_id,
            message.type,
            message.at,
            message.stream_id,
            message.version,
            message.key_kind,
            message.traceparent,
            each.body,
        ):
            return each.idempotency_key
    return None
