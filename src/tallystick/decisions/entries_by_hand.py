"""What a person says of an entry of a bank statement: it is a provider's payout, or it is written off. Pure.

Their word is the entry's next evidence. What arrived stays so: an arrival is never taken back, so an entry that has a
payout is no other one's.
"""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from tallystick.decisions.bank_matching import Payout
from tallystick.decisions.rows_by_hand import NotResolvable
from tallystick.domain.settlement_evidence import Evidence


class EntryByHand(Struct, frozen=True):
    """The next evidence, and how much arrives with it of the payout; 0: none."""

    after: Evidence
    arrives: int = 0


def entry_matched(entry: Evidence, payout: Payout, *, writes_off_difference: bool) -> EntryByHand:
    """The entry is what is left of this payout. What it has more or less is written off where that was asked for.
    Raises NotResolvable."""
    _require_open(entry)
    left = payout.amount - payout.arrived
    if not payout.settled:
        raise NotResolvable("the payout's batch is not posted")
    if payout.currency != entry.currency or left == 0 or (left > 0) != (entry.net > 0):
        raise NotResolvable("nothing of this direction and currency is left of the payout")
    if left != entry.net and not writes_off_difference:
        raise NotResolvable(
            f"the entry has {entry.net}, of the payout {left} are left: the difference is not written off"
        )
    names = payout.names
    after = replace(
        _next(entry),
        covers=left,
        difference=entry.net - left,
        written_off=entry.net - left,
        part="arrived",
        provider_reference=names[0] if names else None,
        compared={
            "amount": (entry.net, left),
            "currency": (entry.currency, payout.currency),
            "reference": (entry.row_reference, list(names)),
        },
    )
    return EntryByHand(after, left)


def entry_written_off(entry: Evidence) -> EntryByHand:
    """Nobody will find out what the entry is; of one that has another amount than its payout, the rest of the payout
    will not come. Raises NotResolvable."""
    if entry.part == "arrived" and entry.reason == "amount":
        off = entry.net - entry.covers
        return EntryByHand(replace(_next(entry), written_off=off), -off)
    _require_open(entry)
    if entry.stage == "person":
        raise NotResolvable("the entry is written off already")
    return EntryByHand(replace(_next(entry), covers=0, difference=entry.net, written_off=entry.gross))


def _require_open(entry: Evidence) -> None:
    if entry.part != "unexplained":
        raise NotResolvable(f"the entry is {entry.status}: {entry.reason}")


def _next(entry: Evidence) -> Evidence:
    return replace(
        entry,
        version=entry.version + 1,
        supersedes=entry.version,
        status="explained",
        reason="person",
        stage="person",
        tolerance=0,
        rounding=0,
        written_off=0,
    )
