"""Entries of bank statements whose payouts are of a settlement file that is withdrawn: they wait for one again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from tallystick.decisions.bank_statements import StatementName
from tallystick.domain.settlement_evidence import Evidence
from tallystick.flows.reconciliation.entries_by_hand import statement_of
from tallystick.record.postgres.bank_book import ArrivalRow, ComparingEntries
from tallystick.record.postgres.settlement_evidence import digest_input
from tallystick.record.postgres.settlement_withdrawals import ArrivedEntry


def stands_in_the_way(entry: ArrivedEntry, files: Sequence[str]) -> bool:
    """Whether it cannot be taken back: a person said what it is, or it is a payout of another file too."""
    return entry.row.evidence.stage == "person" or any(each.payout_file_id not in files for each in entry.parts)


async def take_back(
    entries: ComparingEntries, taken: Sequence[ArrivedEntry], actor: str, at: datetime
) -> Sequence[StatementName]:
    """Write the next evidence of these entries, which nothing explains any more, and that what arrived with them did
    not. Returns the statements that it is of. UniqueViolationError where another process has an entry or a payout at
    once."""
    ordinals: dict[tuple[str, int], int] = {}
    by_statement: dict[StatementName, list[ArrivedEntry]] = {}
    for entry in taken:
        by_statement.setdefault(statement_of(entry.row), []).append(entry)
    for name, of_statement in by_statement.items():
        evidence = [taken_back(each, actor, at) for each in of_statement]
        arrivals = [
            each for entry, after in zip(of_statement, evidence, strict=True) for each in _back(entry, after, ordinals)
        ]
        number, before = await entries.newest(name)
        await entries.add(evidence, arrivals)
        digests = sorted(hashlib.sha256(digest_input(each)).digest() for each in evidence)
        root = hashlib.sha256(before.encode() + b"".join(digests)).hexdigest()
        await entries.compared(name, number + 1, len(evidence), root, at)
    return list(by_statement)


def taken_back(entry: ArrivedEntry, actor: str, at: datetime) -> Evidence:
    """The entry's next evidence. It is compared again with the payouts that are left."""
    before = entry.row.evidence
    return replace(
        before,
        version=before.version + 1,
        supersedes=before.version,
        status="unexplained",
        reason="not_settled",
        stage="none",
        covers=0,
        difference=before.net,
        tolerance=0,
        rounding=0,
        written_off=0,
        part="unexplained",
        provider_reference=None,
        compared={"withdrawn": (None, [f"{each.payout_file_id}/{each.payout_position}" for each in entry.parts])},
        actor=actor,
        compared_at=at,
    )


def _back(entry: ArrivedEntry, after: Evidence, ordinals: dict[tuple[str, int], int]) -> list[ArrivalRow]:
    """``ordinals``: the last one of each payout; those that are written here count on."""
    found = []
    for each in entry.parts:
        payout = (each.payout_file_id, each.payout_position)
        ordinals[payout] = ordinals.get(payout, each.ordinal) + 1
        found.append(
            ArrivalRow(
                payout_file_id=each.payout_file_id,
                payout_position=each.payout_position,
                ordinal=ordinals[payout],
                file_id=after.file_id,
                position=after.position,
                version=after.version,
                batch=each.batch,
                currency=each.currency,
                provider=each.provider,
                amount=-each.amount,
            )
        )
    return found
