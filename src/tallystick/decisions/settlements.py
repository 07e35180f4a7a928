"""What is posted of a batch whose rows were compared: the platform's side, and each merchant's part. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.domain.change import Change
from tallystick.domain.settlement import MERCHANTS_PARTS, Part, SettledBatch, Settlement
from tallystick.kit.ids import is_id

#: What a batch's net consists of, besides costs.
_NOT_COSTS: Final = ("merchants", "reserve", "paid_out", "carried", "unexplained", "rounding", "written_off")

#: Whose sums have no merchant.
PLATFORM: Final = ""


class EvidenceSum(Struct, frozen=True, kw_only=True):
    """What the evidence of some files comes to, of one merchant (``PLATFORM``: none) and one part. ``gross`` is what
    goes to the part; ``rounding`` and ``written_off`` go to none; ``fee`` and ``tax`` are the platform's costs."""

    merchant_id: str
    part: Part
    rows: int
    gross: int
    fee: int
    tax: int
    rounding: int = 0
    written_off: int = 0


class BatchName(Struct, frozen=True, kw_only=True):
    """Which batch it is, in one currency."""

    provider: str
    account: str
    batch: str
    currency: str


def counted(
    stored: SettledBatch | None,
    merchant_id: str,
    batch_id: str,
    name: BatchName,
    roots: Mapping[str, str],
    sums: Sequence[EvidenceSum],
    cause: Cause,
) -> Change:
    """The evidence of these files counts from now on (``roots``: file -> digest, all of the batch's, in their order);
    ``sums``: what all of it comes to. The platform's side is posted, or its difference to the version before."""
    totals = batch_totals(sums)
    builder = ChangeBuilder(merchant_id, batch_id, cause)
    if stored is None:
        builder.open(
            SettledBatch(
                merchant_id=merchant_id,
                batch_id=batch_id,
                version=1,
                state="posting",
                provider=name.provider,
                account=name.account,
                batch=name.batch,
                currency=name.currency,
                files=tuple(roots),
                roots=tuple(roots.values()),
                created_at=cause.at,
                updated_at=cause.at,
                **totals,
            )
        )
    else:
        builder.move(stored, "supplemented", files=tuple(roots), roots=tuple(roots.values()), **totals)
    return builder.change(must_not_be_shed=True)


def completed(stored: SettledBatch, cause: Cause) -> Change:
    """Every merchant's part is there, or taken back with the last file that had rows of the batch."""
    withdrawn = stored.rows == 0 and any(is_id("wdr", each) for each in stored.files)
    builder = ChangeBuilder(stored.merchant_id, stored.batch_id, cause)
    builder.move(stored, "withdrawn" if withdrawn else "completed")
    return builder.change(must_not_be_shed=True)


def part_posted(
    stored: Settlement | None,
    batch: SettledBatch,
    merchant_id: str,
    settlement_id: str,
    sums: Iterable[EvidenceSum],
    cause: Cause,
) -> Change | None:
    """A merchant's part as these sums say, or its difference to the version before. None where it is so already."""
    totals = part_totals(sums)
    builder = ChangeBuilder(merchant_id, settlement_id, cause)
    if stored is None:
        if not any(totals.values()):
            return None
        builder.open(
            Settlement(
                merchant_id=merchant_id,
                settlement_id=settlement_id,
                version=1,
                state="posted",
                batch_id=batch.batch_id,
                provider=batch.provider,
                account=batch.account,
                batch=batch.batch,
                currency=batch.currency,
                created_at=cause.at,
                updated_at=cause.at,
                **totals,
            )
        )
    elif all(getattr(stored, field) == value for field, value in totals.items()):
        return None
    else:
        builder.move(stored, "supplemented", **totals)
    return builder.change(must_not_be_shed=True)


def batch_totals(sums: Iterable[EvidenceSum]) -> dict[str, int]:
    """The platform's side: nothing is shared out, and all of it is the batch's net."""
    found = dict.fromkeys(("rows", "fees", "tax", *_NOT_COSTS), 0)
    for each in sums:
        found["rows"] += each.rows
        found["fees"] += each.fee
        found["tax"] += each.tax
        found["rounding"] += each.rounding
        found["written_off"] += each.written_off
        if each.part in MERCHANTS_PARTS:
            found["merchants"] += each.gross
        else:
            found["unexplained" if each.part == "external" else each.part] += each.gross
    found["net"] = sum(found[name] for name in _NOT_COSTS) - found["fees"] - found["tax"]
    return found


def part_totals(sums: Iterable[EvidenceSum]) -> dict[str, int]:
    """One merchant's part, by kind of row."""
    found = dict.fromkeys(("rows", *MERCHANTS_PARTS, "fees"), 0)
    for each in sums:
        found["rows"] += each.rows
        found["fees"] += each.fee
        found[each.part] += each.gross
    return found
