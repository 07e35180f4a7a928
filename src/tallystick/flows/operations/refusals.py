"""Kinds of refused webhooks: what one account refused for one reason. Somebody has a kind, finds its cause, and closes
it; what is refused after that waits anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tallystick.domain.errors import TallystickError
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.domain.operator_views import RefusedKindView
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.refused_webhooks import RefusedWebhooks
from tallystick.record.postgres.work_lists import WorkFilter, WorkItem, WorkReads

#: Kinds that are listed at once: there are a few for each configured account.
MOST: Final = 1_000


class RefusalsClosed(TallystickError):
    """No refused webhooks of this kind are open; nothing was written."""


async def waiting(runtime: Runtime) -> Sequence[RefusedKindView]:
    """Kinds that wait, the oldest first."""
    found = await WorkReads(runtime.pool).page("refused_webhooks", WorkFilter(), None, MOST)
    return [_view(each) for each in found]


def _view(item: WorkItem) -> RefusedKindView:
    assert item.provider is not None and item.account is not None, "the statement has both"
    return RefusedKindView(
        id=item.item_id,
        provider=item.provider,
        account=item.account,
        reason=item.kind,
        count=item.tries,
        since=item.since,
        owner=item.owner,
    )


async def counts_of(runtime: Runtime, kind_id: str) -> Sequence[RefusedWebhooks]:
    """The hours of one kind, newest first, closed or not; none of an unknown one."""
    return await runtime.stores.refused_webhooks.of_kind(kind_id)


async def close(runtime: Runtime, asked: AskedAct) -> OperatorAct:
    """What was counted until now needs nobody any more. Raises RefusalsClosed."""
    counted = await counts_of(runtime, asked.target)
    found = await WorkReads(runtime.pool).page("refused_webhooks", WorkFilter(), None, 1, ids=[asked.target])
    if not counted or not found:
        raise RefusalsClosed("nothing of it waits here any more")
    newest = counted[0]
    result = {
        "provider": newest.provider,
        "account": newest.account,
        "reason": newest.reason,
        "until": newest.hour.isoformat(),
    }
    act = asked.done({**result, "of_that_hour": newest.count, "owner": found[0].owner}, runtime.clock.now())
    if not await runtime.stores.refused_webhooks.close(newest, act):
        raise RefusalsClosed("nothing of it waits here any more")
    return act
