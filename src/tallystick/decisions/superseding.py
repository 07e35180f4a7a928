"""What later evidence of a row moves: its sums are the difference to the evidence that it supersedes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tallystick.decisions.settlements import PLATFORM, EvidenceSum
from tallystick.domain.settlement import MERCHANTS_PARTS, Part
from tallystick.domain.settlement_evidence import Evidence

_AMOUNTS: Final = ("rows", "gross", "fee", "tax", "rounding", "written_off")


def difference_of(before: Evidence, after: Evidence) -> list[EvidenceSum]:
    """What the new evidence moves: the old one taken back, and the new one."""
    found: dict[tuple[str, Part], list[int]] = {}
    for evidence, sign in ((before, -1), (after, 1)):
        part = _part_of(evidence)
        key = (evidence.merchant_id or PLATFORM if part in MERCHANTS_PARTS else PLATFORM, part)
        sums = found.setdefault(key, [0] * 6)
        is_tax = evidence.kind == "tax"
        moved = (
            1,
            evidence.gross - evidence.rounding - evidence.written_off,
            0 if is_tax else evidence.fee,
            evidence.fee if is_tax else 0,
            evidence.rounding,
            evidence.written_off,
        )
        for place, value in enumerate(moved):
            sums[place] += sign * value
    return [
        EvidenceSum(
            merchant_id=merchant_id,
            part=part,
            rows=rows,
            gross=gross,
            fee=fee,
            tax=tax,
            rounding=rounding,
            written_off=written,
        )
        for (merchant_id, part), (rows, gross, fee, tax, rounding, written) in sorted(found.items())
    ]


def _part_of(evidence: Evidence) -> Part:
    part = evidence.part
    assert part != "arrived" and part != "bank_fees", "an entry of a bank is of no batch"
    return part


def together(every: Iterable[Sequence[EvidenceSum]]) -> list[EvidenceSum]:
    """Several differences as one, a sum for each merchant and part."""
    found: dict[tuple[str, Part], list[int]] = {}
    for sums in every:
        for each in sums:
            held = found.setdefault((each.merchant_id, each.part), [0] * len(_AMOUNTS))
            for place, name in enumerate(_AMOUNTS):
                held[place] += getattr(each, name)
    return [
        EvidenceSum(merchant_id=merchant_id, part=part, **dict(zip(_AMOUNTS, held, strict=True)))
        for (merchant_id, part), held in sorted(found.items())
    ]
