"""What evidence comes to is posted through the journal: the platform's side of a batch, then each merchant's part.

Every step is found again from what is stored: a process that dies anywhere leaves a batch that the next one goes on
with. Two at once are no harm either: a version is taken once. What is counted is posted whole before more is counted,
and a part is posted only while its batch is as it was when its sums were read: so nobody who is late posts old sums.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from tallystick.decisions import settlements
from tallystick.decisions.change_builder import Cause
from tallystick.decisions.settlements import PLATFORM, BatchName, EvidenceSum
from tallystick.domain.errors import Overloaded
from tallystick.domain.settlement import SettledBatch
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import derived_id, new_id
from tallystick.record.journal import Fresh

#: A batch that loses so many races in a row is posted by somebody else.
RACES: Final = 50

#: Merchants' parts that are under way at once, beside payments.
_AT_ONCE: Final = 64


def batch_id_of(name: BatchName) -> str:
    """The id of a batch's platform side: always the same."""
    return derived_id("stb", name.provider, name.account, name.batch, name.currency)


def settlement_id_of(name: BatchName, merchant_id: str) -> str:
    """The id of a merchant's part: always the same."""
    return derived_id("stm", name.provider, name.account, name.batch, name.currency, merchant_id)


async def post_batch(runtime: Runtime, name: BatchName, actor: str) -> SettledBatch:
    """Post what is missing of a batch. Raises Overloaded where others change it all the time, and what the journal
    raises."""
    for _ in range(RACES):
        batch = await _counted(runtime, name, actor)
        if batch is not None and batch.state != "posting":
            return batch
        if batch is not None and await _parts(runtime, name, batch, actor):
            await runtime.journal.commit(settlements.completed(batch, _cause(runtime, actor)))
    raise Overloaded("the batch is posted by too many others")


async def _counted(runtime: Runtime, name: BatchName, actor: str) -> SettledBatch | None:
    """The batch with all of its evidence counted, or with what was counted and is not posted yet. None where another
    process took the version."""
    book, batch_id = runtime.stores.evidence, batch_id_of(name)
    stored, roots = await book.batch(batch_id), await book.roots(name)
    known = {} if stored is None else dict(zip(stored.files, stored.roots, strict=True))
    if stored is not None and (stored.state == "posting" or known.keys() >= roots.keys()):
        return stored
    every = known | {file_id: root for file_id, root in roots.items() if file_id not in known}
    change = settlements.counted(
        stored,
        book.merchant_id,
        batch_id,
        name,
        every,
        await book.sums(name, list(every)),
        _cause(runtime, actor, {"settlement": every}),
    )
    return change.one(SettledBatch) if isinstance(await runtime.journal.commit(change), Fresh) else None


async def _parts(runtime: Runtime, name: BatchName, batch: SettledBatch, actor: str) -> bool:
    """Every merchant's part is as the counted evidence says. False where the batch was changed meanwhile."""
    by_merchant: dict[str, list[EvidenceSum]] = {}
    for each in await runtime.stores.evidence.sums(name, batch.files):
        if each.merchant_id != PLATFORM:
            by_merchant.setdefault(each.merchant_id, []).append(each)
    turn = asyncio.Semaphore(_AT_ONCE)

    async def post(merchant_id: str, sums: Sequence[EvidenceSum]) -> bool:
        async with turn:
            return await _part(runtime, name, batch, merchant_id, sums, actor)

    async with asyncio.TaskGroup() as group:
        posted = [group.create_task(post(merchant_id, sums)) for merchant_id, sums in by_merchant.items()]
    return all(each.result() for each in posted)


async def _part(
    runtime: Runtime, name: BatchName, batch: SettledBatch, merchant_id: str, sums: Sequence[EvidenceSum], actor: str
) -> bool:
    settlement_id = settlement_id_of(name, merchant_id)
    for _ in range(RACES):
        stored = await runtime.stores.evidence.settlement(merchant_id, settlement_id)
        now = await runtime.stores.evidence.batch(batch.batch_id)  # after the part was read: see above
        if now is None or now.version != batch.version:
            return False
        change = settlements.part_posted(stored, batch, merchant_id, settlement_id, sums, _cause(runtime, actor))
        if change is None or isinstance(await runtime.journal.commit(change), Fresh):
            return True
    raise Overloaded("a merchant's part is posted by too many others")


def _cause(runtime: Runtime, actor: str, evidence: dict[str, Any] | None = None) -> Cause:
    return Cause(change_id=new_id("chg"), at=runtime.clock.now(), trigger="settlement", actor=actor, evidence=evidence)
