"""What a worker does about rejected cases: those that need no person any more are closed by a rule, and rejections of a
release that opened no cases get theirs. Any number of workers may do it at once: each step takes a version."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from tallystick.decisions import rejected_cases
from tallystick.decisions.change_builder import Cause, opened_case
from tallystick.domain.rejected_case import RejectedCase
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.record.postgres.cases import CaseFilter
from tallystick.record.postgres.inbox_rows import ListPosition

log = get_logger("tallystick.flows.rejections.rounds")

#: How often waiting cases are compared with their payments: a case that nobody needs to look at is gone in a minute.
RULES_EVERY_MS: Final = 30_000

#: How often rejections without a case are looked for. Only processes of an earlier release leave any.
MISSING_EVERY_MS: Final = 600_000

#: How far back later rounds look. The first one of a process looks at everything.
LOOK_BACK: Final = timedelta(hours=2)

#: Cases or rejections read in one statement.
AT_ONCE: Final = 500


class CaseRounds:
    """The rounds of one worker."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._has_looked = False

    async def close_by_rule(self) -> int:
        """Close the waiting cases that the record has settled since. Returns how many."""
        closed, after = 0, None
        while page := await self._runtime.stores.cases.page(CaseFilter(), after, AT_ONCE):
            names = sorted({(case.merchant_id, case.from_stream_id) for case in page})
            stored = await self._runtime.reads.load_many(names)
            for case in page:
                snapshot = stored.get((case.merchant_id, case.from_stream_id))
                resolution = None if snapshot is None else rejected_cases.closing_rule(case, snapshot)
                if resolution is not None:
                    await self._runtime.journal.commit(
                        rejected_cases.settled(case, resolution, "rule", self._cause("rule"))
                    )
                    closed += 1
            after = _place(page[-1])
        return closed

    async def open_missing(self) -> int:
        """Open the cases of rejections that have none. Returns how many."""
        stores, opened, after = self._runtime.stores, 0, None
        since = self._runtime.clock.now() - LOOK_BACK if self._has_looked else None
        while True:
            found, after = await stores.cases.missing(after, since, AT_ONCE)
            for rejection in found:
                provider = await stores.cases.provider_of(rejection.merchant_id, rejection.stream_id)
                await self._runtime.journal.commit(opened_case(rejection, new_id("chg"), provider))
                opened += 1
            if after is None:
                break
        if opened:
            log.info("cases opened of earlier rejections", cases=opened)
        self._has_looked = True
        return opened

    def _cause(self, trigger: str) -> Cause:
        return Cause(change_id=new_id("chg"), at=self._runtime.clock.now(), trigger=trigger, actor="worker")


def _place(case: RejectedCase) -> ListPosition:
    return (case.created_at, case.case_id)
