"""Balances that providers state and that the ledger does not come to, for a reason that somebody has to look at."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from tallystick.oversight.cause import Cause
from tallystick.oversight.layers import stated_layers
from tallystick.record.postgres.balance_reads import BalanceReads

#: What moves a difference and is no fault: what was there before the first statement, what is not posted yet, and
#: batches whose statement has not come.
_NO_FAULT: Final = frozenset({"before_first", "not_posted", "not_stated"})


class StatedDifference(Struct, frozen=True, kw_only=True):
    """One account of the ledger in one currency, in minor units. ``stated``: what the provider's newest statements
    close with. ``amount``: how much of the difference is a fault; faults of opposite signs may come to 0. ``since``:
    when the newest fault came."""

    provider: str
    account: str
    currency: str
    stated: int
    ledger: int
    amount: int
    causes: Sequence[Cause]
    since: datetime


async def stated_differences(reads: BalanceReads) -> list[StatedDifference]:
    """Of every provider that states its balance. Raises what the database raises."""
    found = []
    for provider in await reads.stating_providers():
        for layer, since in await stated_layers(reads, provider):
            causes = [each for each in layer.causes if each.cause not in _NO_FAULT]
            if layer.unexplained_remainder:
                left = layer.unexplained_remainder
                causes.append(Cause(cause="unexplained", detail="no cause", count=1, amount=left, absolute=abs(left)))
            if causes:
                found.append(
                    StatedDifference(
                        provider=provider,
                        account=layer.about,
                        currency=layer.currency,
                        stated=layer.theirs,
                        ledger=layer.ours,
                        amount=sum(each.amount for each in causes),
                        causes=causes,
                        since=since,
                    )
                )
    return found
