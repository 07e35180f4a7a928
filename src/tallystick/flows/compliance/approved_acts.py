"""Acts that were approved and are not done, because the process of whoever approved died, or could not do it then: a
worker carries them out, under the request's id as their key, so that each is done once. Only while what was shown is
still so, and whoever asked still may: otherwise it is to be asked for again."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import asyncpg

from tallystick.domain.errors import Overloaded, TallystickError
from tallystick.flows.compliance import four_eyes
from tallystick.flows.compliance.approvable import APPROVABLE
from tallystick.flows.runtime import Runtime
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.logs import get_logger

#: People have waited for each other: nobody waits for a second.
EVERY_MS: Final = 60_000

#: Whoever approves carries it out first; what takes longer waits in the same turns, and is done once.
PATIENCE: Final = timedelta(minutes=1)

#: What could not be done for so long is asked for again, by today's reasons: as a request that nobody decides.
GIVEN_UP_AFTER: Final = four_eyes.EXPIRES_AFTER

#: What the record does not allow now, such as a file that a newer one stands on, it seldom allows a minute later.
_AGAIN_MS: Final = 3_600_000

#: Acts that are carried out after their request has ended; the others are committed with its end.
_PERFORMED: Final = sorted(name for name, what in APPROVABLE.items() if what.perform is not None)

#: What an act meets that takes longer than others.
_OF_ITS_OWN: Final = (TimeoutError, asyncpg.QueryCanceledError)

log = get_logger("tallystick.flows.compliance.approved_acts")


class ApprovedActs:
    """Any number may run."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._refused: dict[str, int] = {}  # request -> when it is tried again, by this process's clock

    async def round(self) -> int:
        """Carry out what was approved and not done. One that is refused, or takes too long, keeps no other one from it.
        Returns how many were done."""
        done, now = 0, self._runtime.clock.now()
        self._refused = {id_: at for id_, at in self._refused.items() if monotonic_ms() < at}
        book = self._runtime.stores.approvals
        for request_id in await book.not_done(_PERFORMED, now - GIVEN_UP_AFTER, now - PATIENCE):
            if request_id in self._refused:
                continue
            try:
                await self._finish(request_id)
            except Overloaded:
                continue  # others work on it, or payments come first: the next round tries again
            except (TallystickError, *_OF_ITS_OWN) as error:
                self._refused[request_id] = monotonic_ms() + _AGAIN_MS
                log.warning("approved act was refused", request_id=request_id, error=str(error) or repr(error))
                continue
            log.info("approved act was carried out", request_id=request_id)
            done += 1
        return done

    async def _finish(self, request_id: str) -> None:
        approval = await four_eyes.read(self._runtime, request_id)
        assert approval is not None, "it was approved"
        request = approval.request
        if not await four_eyes.is_as_approved(self._runtime, APPROVABLE[request.act], request):
            raise four_eyes.NotDecided("what was shown has changed, or who asked may not any more: ask for it again")
        await four_eyes.finish(self._runtime, APPROVABLE, request_id)
