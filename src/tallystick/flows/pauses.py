"""What providers asked for by Retry-After, and what operators paused, heeded by every process.

A process that is asked to wait heeds it at once. It writes it down before what came of the call is recorded, so that
recovery, which takes the attempt up in another process, knows of it. The others read it each second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Final

import asyncpg

from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.providers.pause import ASKED_TO_WAIT, Pause
from tallystick.providers.port import Provider
from tallystick.record.postgres.failures import DATABASE_AWAY
from tallystick.record.postgres.provider_pauses import keep_pause, read_operator_pauses, read_pauses

log = get_logger("tallystick.flows.pauses")

#: How often a process reads what others were asked for: of a minute's wait it misses little.
EXCHANGE_EVERY_MS: Final = 1_000

#: One alert of an account in this long.
ALERT_EVERY_S: Final = 3_600.0

#: A wait of this part of the longest that is heeded is one that was asked for as long, or longer: a moment has passed.
_WHOLE: Final = 0.9

#: A database that takes longer does not hold a process back.
_READ_TIMEOUT_S: Final = 2.0


class Pauses:
    """The waits of one process's connectors. What the database refuses to keep or to show is heeded by this process
    alone until the next exchange."""

    def __init__(self, pool: asyncpg.Pool, providers: Mapping[str, Provider]) -> None:
        self._pool = pool
        self._providers = providers
        self._sharing = asyncio.Lock()
        self._alerts = SampledLines(ALERT_EVERY_S)

    def left_ms(self, provider: str) -> int:
        """How long the provider's account takes no calls yet, as far as this process knows."""
        connector = self._providers.get(provider)
        return 0 if connector is None or connector.pause is None else connector.pause.left_ms

    def why(self, provider: str) -> str:
        """Why the provider's account takes no calls, while it does not."""
        connector = self._providers.get(provider)
        return ASKED_TO_WAIT if connector is None or connector.pause is None else connector.pause.why

    def is_tested(self, provider: str) -> bool:
        """Whether the provider took a call since it last asked to wait."""
        connector = self._providers.get(provider)
        return connector is None or connector.pause is None or connector.pause.is_tested

    async def exchange(self) -> None:
        """Share, and learn."""
        await self.share()
        await self.learn()

    async def share(self) -> None:
        """Write down what this process was asked for and others do not know yet. What another task is writing at the
        time is written when this returns."""
        if self._sharing.locked() or self._unshared():
            async with self._sharing:
                for connector, pause in self._unshared():
                    await self._share(connector, pause)

    def _unshared(self) -> list[tuple[Provider, Pause]]:
        found = [(connector, connector.pause) for connector in self._providers.values()]
        return [(connector, pause) for connector, pause in found if pause is not None and not pause.is_shared]

    async def _share(self, connector: Provider, pause: Pause) -> None:
        pause.is_shared = True  # before the write: a longer wait may be asked for meanwhile
        left_ms, known = pause.left_ms, {"provider": connector.name, "account": connector.account}
        log.warning("provider asked to wait", left_ms=left_ms, **known)
        if left_ms >= pause.limit_ms * _WHOLE:
            self._alerts.line(tuple(known.values()), partial(_alert, known, pause.limit_ms))
        try:
            await keep_pause(self._pool, connector.name, connector.account, left_ms)
        except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
            pause.is_shared = False
            log.warning("a provider's wait is not shared yet", error=type(error).__name__, **known)

    def flush(self) -> None:
        """Log what is still counted."""
        self._alerts.flush()

    async def learn(self) -> None:
        """Read what others were asked for, and what operators paused."""
        try:
            waits = await read_pauses(self._pool, _READ_TIMEOUT_S)
            held = await read_operator_pauses(self._pool, _READ_TIMEOUT_S)
        except (*DATABASE_AWAY, asyncpg.PostgresError):
            return
        holds = {(each.provider, each.account): each.left_ms for each in held}
        for connector in self._providers.values():
            account = (connector.name, connector.account)
            left_ms = waits.get(account, 0)
            if connector.pause is not None and left_ms:
                connector.pause.learn(left_ms)
            if connector.pause is not None:
                connector.pause.hold(holds.get(account, 0))


def _alert(known: Mapping[str, str], limit_ms: int, since_last_line: int) -> None:
    """No rate limit asks for so long: somebody has to talk to the provider."""
    log.error(
        "provider asked to wait as long as is heeded, or longer",
        alert=True,
        heeded_ms=limit_ms,
        since_last_line=since_last_line,
        next="ask the provider why; instructions that cannot be sent fail and may be repeated",
        **known,
    )
