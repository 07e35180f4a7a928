"""Messages to merchants about settlement files."""

from __future__ import annotations

from tallystick.flows.runtime import Runtime


async def told(runtime: Runtime, merchant_id: str) -> list[tuple[str, str]]:
    """What a merchant was told of settlements: the type, and the stream in whose order it stands."""
    rows = await runtime.pool.fetch(
        "SELECT type, stream_id FROM outbox WHERE merchant_id = $1"
        " AND type IN ('payment.settled', 'reconciliation.exception') ORDER BY at, type, stream_id",
        merchant_id,
    )
    return [(row["type"], row["stream_id"]) for row in rows]


async def types(runtime: Runtime, merchant_id: str) -> list[str]:
    """The types of those messages, sorted."""
    return sorted(type_ for type_, _ in await told(runtime, merchant_id))
