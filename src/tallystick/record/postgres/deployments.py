"""Points of the record that trends show: releases, and changes of the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

import asyncpg
import msgspec
from msgspec import Struct

from tallystick.domain.operator_act import OperatorAct
from tallystick.record.postgres import sql
from tallystick.record.postgres.acts import insert_act
from tallystick.record.postgres.structs import structs_of

STATEMENTS: Final = sql.load("acts.sql")


class Deployment(Struct, frozen=True, kw_only=True):
    """One point. A ``release`` has the ``version`` that an operator named. A ``configuration`` has the ``role`` and the
    ``host`` of the process that found it, and the names of what ``changed``; none for the first one of its role."""

    deployment_id: str
    kind: Literal["release", "configuration"]
    at: datetime
    process_version: str
    version: str | None
    role: str | None
    host: str | None
    changed: list[str] | None
    actor: str
    act_id: str | None


class Configuration(Struct, frozen=True, kw_only=True):
    """The last one of a role: a digest of each setting, by its name."""

    deployment_id: str
    digests: dict[str, str]


class DeploymentBook:
    """Reads and writes over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def last_configuration(self, role: str) -> Configuration | None:
        """What the last process of this role was configured with."""
        row = await self._pool.fetchrow(STATEMENTS["last_configuration"], role)
        return (
            None
            if row is None
            else Configuration(deployment_id=row["deployment_id"], digests=msgspec.json.decode(row["digests"]))
        )

    async def note(self, point: Deployment, fingerprint: str, digests: Mapping[str, str]) -> None:
        """A configuration that a process found; one that is there already stays."""
        await self._pool.execute(STATEMENTS["insert_deployment"], *_row(point, fingerprint, digests))

    async def marked(self, version: str) -> Deployment | None:
        """Where the release of this name was marked first."""
        row = await self._pool.fetchrow(STATEMENTS["release"], version)
        return None if row is None else structs_of([row], Deployment)[0]

    async def mark(self, point: Deployment | None, act: OperatorAct) -> bool:
        """A release, together with the act of who marked it; None where it is marked already, and only the act is
        recorded. Returns False, and writes nothing, where another process has marked it meanwhile. Raises
        UniqueViolationError where the act's key is taken."""
        async with self._pool.acquire() as connection, connection.transaction():
            if point is not None:
                done = await connection.execute(STATEMENTS["insert_deployment"], *_row(point, None, None))
                if done.endswith(" 0"):
                    return False
            await insert_act(connection, act)
        return True

    async def since(self, since: datetime, limit: int) -> Sequence[Deployment]:
        """Points from this time on, the newest first."""
        return structs_of(await self._pool.fetch(STATEMENTS["deployments"], since, limit), Deployment)


def _row(point: Deployment, fingerprint: str | None, digests: Mapping[str, str] | None) -> tuple[object, ...]:
    return (
        point.deployment_id,
        point.kind,
        point.at,
        point.process_version,
        point.version,
        point.role,
        point.host,
        fingerprint,
        point.changed,
        None if digests is None else msgspec.json.encode(digests).decode(),
        point.actor,
        point.act_id,
    )
