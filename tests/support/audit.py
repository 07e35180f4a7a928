"""A sealed record, and what compares it with its trees."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tallystick.kit.clock import Clock
from tallystick.oversight.audit.anchors import Anchor, HeadWriter
from tallystick.oversight.audit.definitions import compare_definitions
from tallystick.oversight.audit.heads import SigningKey
from tallystick.oversight.audit.report import AuditReport
from tallystick.oversight.audit.seal import Sealer
from tallystick.oversight.audit.verify import TABLES_READ, Verifier
from tallystick.settings.load import Settings

KEY_TEXT = base64.b64encode(b"not a secret: for the tests only").decode()
KEY = SigningKey.from_text(KEY_TEXT)
KEYS = {KEY.key_id: KEY.public}

#: A window of a second, so that what is a minute old is older.
SETTINGS = Settings(audit_sealing=True, audit_signing_key=KEY_TEXT, audit_window_ms=1_000, audit_merchant_groups=2)


def sealer_of(pool: asyncpg.Pool, shift_ms: int = 0, **more: Any) -> Sealer:
    """A sealer with the tests' key."""
    return Sealer(pool, Clock(shift_ms), replace(SETTINGS, **more), KEY)


async def seal_all(pool: asyncpg.Pool) -> None:
    """Seal everything that is there, the row about having looked at everything too."""
    sealer = sealer_of(pool)
    while await sealer.round():
        pass
    await sealer.round()
    await sealer.leave()


async def copy_heads(pool: asyncpg.Pool, directory: Path, key: SigningKey = KEY) -> None:
    """Copy all heads."""
    writer = HeadWriter(pool, directory, key.public)
    while await writer.round():
        pass


async def compare(
    connection: asyncpg.Connection,
    anchors: Sequence[Anchor] = (),
    *,
    window_ms: int = 1_000,
    keys: Mapping[str, Ed25519PublicKey] | None = None,
    since: datetime | None = None,
    definitions: bool = True,
) -> AuditReport:
    """What ``audit verify`` finds, in the transaction of the connection. ``definitions``: also what views and tables
    are, which takes a while."""
    verifier = Verifier(connection, keys or KEYS, Clock(), timedelta(milliseconds=window_ms), since=since)
    if definitions:
        await compare_definitions(connection, TABLES_READ, verifier.report)
    return await verifier.run(anchors)


def named(report: AuditReport) -> list[str]:
    """The findings as one line each."""
    return sorted(f"{each.what}: {each.about}" for each in report.findings)
