"""One comparison in a process that does nothing else: an operator's command, or a benchmark."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import asyncpg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tallystick.kit.clock import Clock
from tallystick.kit.cycles import cycles_sought_when_called
from tallystick.oversight.audit.anchors import Anchor
from tallystick.oversight.audit.report import AuditReport
from tallystick.oversight.audit.verify import verify_audit

#: Reports of progress, each after a page, between two looks for unreachable cycles: some seconds.
CYCLES_SOUGHT_EVERY: Final = 50


async def verify_alone(
    connection: asyncpg.Connection,
    keys: Mapping[str, Ed25519PublicKey],
    clock: Clock,
    window: timedelta,
    anchors: Sequence[Anchor] = (),
    progress: Callable[[int, int], None] = lambda *_: None,
    since: datetime | None = None,
    clock_margin: timedelta = timedelta(),
) -> AuditReport:
    """As ``verify_audit``. Python looks for unreachable cycles now and then alone."""
    told = 0
    with cycles_sought_when_called() as seek_cycles:

        def tell(done: int, total: int) -> None:
            nonlocal told
            told += 1
            if told % CYCLES_SOUGHT_EVERY == 0:
                seek_cycles()
            progress(done, total)

        return await verify_audit(connection, keys, clock, window, anchors, tell, since, clock_margin)
