"""Who may have a piece of work that waits: one way for every list.

Whoever acts takes it for themselves. It is handed on to an operator alone, who is enabled and may act on what belongs
to its merchant.
"""

from __future__ import annotations

from collections.abc import Collection

from tallystick.access.accounts import OperatorVersion, is_operator_id
from tallystick.domain.work_owner import PERSON, OwnerUnknown, may_own
from tallystick.flows.runtime import Runtime


async def colleague(runtime: Runtime, named: str, merchant_id: str | None) -> str:
    """The owner that ``named`` means: an operator's name, with or without ``operator:``. Raises OwnerUnknown."""
    operator_id = named.strip().removeprefix(PERSON)
    found = await runtime.stores.accounts.find(operator_id) if is_operator_id(operator_id) else None
    if found is None or not _may(found, [merchant_id]):
        raise OwnerUnknown("no enabled operator of this name may act on it (owner_unknown)")
    return PERSON + operator_id


async def colleagues(runtime: Runtime, merchants: Collection[str | None]) -> list[str]:
    """Operators to whom work of all these merchants may be handed on, by name. None: what belongs to no merchant."""
    return [each.operator_id for each in await runtime.stores.accounts.newest() if _may(each, merchants)]


def _may(operator: OperatorVersion, merchants: Collection[str | None]) -> bool:
    return operator.may("act") and all(may_own(operator.merchants, each) for each in merchants)
