"""What has a name and is no payment: merchants, keys, endpoints, cases, events, alerts, operators, acts, requests for a
second person, settlement files, and batches in them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Literal

from msgspec import Struct

from tallystick.kit.ids import is_id, moment_of
from tallystick.record.postgres import sql
from tallystick.record.postgres.structs import structs_of
from tallystick.record.postgres.trace_rows import Fetches

STATEMENTS: Final = sql.load("other_names.sql")

#: A delivery is recorded within moments of its arrival, when its id is made; clocks of processes may differ.
_BEFORE: Final = timedelta(minutes=5)
_AFTER: Final = timedelta(minutes=15)

NamedKind = Literal[
    "merchant",
    "API key",
    "endpoint",
    "case",
    "event",
    "delivery",
    "alert",
    "operator",
    "act",
    "approval",
    "settlement file",
    "batch",
]


class Named(Struct, frozen=True, kw_only=True):
    """One of them. ``item_id``: of what there is a page of: of a delivery its event, of a batch its file.
    ``merchant_id``: whose it is; None is nobody's, or the platform's."""

    kind: NamedKind
    item_id: str
    merchant_id: str | None
    payment_id: str | None
    says: str


async def named_by(connection: Fetches, name: str, accounts: Sequence[tuple[str, str]]) -> list[Named]:
    """Whatever has the name. ``accounts``: (provider, account) pairs whose names it may be. Raises what the connection
    raises."""
    found = list(await connection.fetch(STATEMENTS["named"], name))
    providers, at = [each[0] for each in accounts], [each[1] for each in accounts]
    found += await connection.fetch(STATEMENTS["named_at"], name, providers, at)
    if is_id("dlv", name):
        made = moment_of(name)
        found += await connection.fetch(STATEMENTS["arrived"], name, made - _BEFORE, made + _AFTER)
    return list(dict.fromkeys(structs_of(found, Named)))
