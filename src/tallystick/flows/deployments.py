"""Points of the record that trends show: releases that an operator marked, and changes of the configuration that a
process finds at its start."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import asyncpg

from tallystick import __version__
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import derived_id
from tallystick.kit.logs import get_logger
from tallystick.providers.assembly import open_values
from tallystick.record.postgres.deployments import Deployment
from tallystick.record.postgres.failures import DATABASE_AWAY

__all__ = ["Deployment", "digests_of", "mark_release", "note_configuration"]

log = get_logger("tallystick.flows.deployments")

#: Settings of one machine: they differ between two that are configured alike, and trends do not depend on them.
OF_ONE_MACHINE: Final = frozenset(
    {
        "TALLYSTICK_DATA_DIR",
        "TALLYSTICK_HOST",
        "TALLYSTICK_PORT",
        "TALLYSTICK_WORKER_HEALTH_PORT",
        "TALLYSTICK_METRICS_HOST",
        "TALLYSTICK_METRICS_PORT",
        "TALLYSTICK_METRICS_DIRECTORY",
        "TALLYSTICK_WORKER_METRICS_PORT",
    }
)

#: Beside the settings: a process of another release is another configuration.
RELEASE: Final = "release"

#: Of a digest: enough to see a change, too little to tell a value by.
DIGEST_CHARS: Final = 16


async def mark_release(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    """An operator says that a release was made: its point and the act are one transaction. The target is its name. A
    release has one point, whoever marks it again: the act then says when it was marked (``marked_before``)."""
    book = runtime.stores.deployments
    while True:
        at, before = runtime.clock.now(), await book.marked(asked.target)
        point = _release(asked, at) if before is None else before
        result = {"deployment_id": point.deployment_id, "version": asked.target, "marked_before": before is not None}
        act = asked.done(result | {"marked_at": point.at.isoformat(), "marked_by": point.actor}, at)
        if await book.mark(point if before is None else None, act):
            return act


def _release(asked: AskedAct, at: datetime) -> Deployment:
    return Deployment(
        # Of the name alone: two that mark one release at the same moment agree on it.
        deployment_id=derived_id("dep", "release", asked.target),
        kind="release",
        at=at,
        process_version=__version__,
        version=asked.target,
        role=None,
        host=None,
        changed=None,
        actor=asked.operator,
        act_id=asked.act_id,
    )


async def note_configuration(runtime: Runtime, role: str) -> None:
    """A process of this role begins. If its settings are not those of the last one, or it is of another release, that
    is a point of the record: with the names of what changed, and no value. A database that cannot keep it does not hold
    a process back."""
    digests = digests_of({**open_values(runtime.settings), RELEASE: __version__})
    book = runtime.stores.deployments
    try:
        last = await book.last_configuration(role)
        if last is not None and last.digests == digests:
            return
        before = {} if last is None else last.digests
        changed = sorted(name for name in before.keys() | digests.keys() if before.get(name) != digests.get(name))
        fingerprint = _digest("\n".join(f"{name}={digests[name]}" for name in sorted(digests)))
        point = Deployment(
            # Several processes of one start find the same change: they agree on its id, and it is written once.
            deployment_id=derived_id("dep", role, fingerprint, "" if last is None else last.deployment_id),
            kind="configuration",
            at=runtime.clock.now(),
            process_version=__version__,
            version=None,
            role=role,
            host=socket.gethostname(),
            changed=[] if last is None else changed,
            actor="process",
            act_id=None,
        )
        await book.note(point, fingerprint, digests)
    except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
        log.warning("the configuration is not recorded", role=role, error=type(error).__name__)


def digests_of(values: Mapping[str, object]) -> dict[str, str]:
    """A digest of each value, without those of one machine."""
    return {name: _digest(repr(value)) for name, value in sorted(values.items()) if name not in OF_ONE_MACHINE}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]
