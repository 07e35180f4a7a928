"""Entries of bank statements are compared with providers' payouts, and what that comes to is posted.

Evidence of a file is one transaction. An entry that nothing explains is compared again whenever a payout comes or is
settled; later evidence supersedes the earlier one, and the next version of the statement posts the difference.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct

from tallystick.decisions.bank_matching import EntryMatch, EntryMatcher, Payout
from tallystick.decisions.bank_statements import StatementName, statement_posted
from tallystick.decisions.change_builder import Cause
from tallystick.decisions.statement_continuity import name_of_statement
from tallystick.domain.bank_statement import BankStatement
from tallystick.domain.errors import Overloaded
from tallystick.domain.settlement_evidence import Evidence
from tallystick.flows.reconciliation.posting import RACES
from tallystick.flows.reconciliation.races import looked_again
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import derived_id, new_id
from tallystick.record.journal import Fresh
from tallystick.record.postgres.bank_book import ArrivalRow, ComparingEntries, StatementFile
from tallystick.record.postgres.settlement_evidence import digest_input


class _Source(Struct, frozen=True, kw_only=True):
    """Whose entries they are, and what read them. ``version``: of the newest evidence; 0 where there is none."""

    file_id: str
    provider: str
    account: str
    parser: str
    parser_version: int
    version: int = 0


def statement_id_of(name: StatementName) -> str:
    """The id of a statement: always the same."""
    return derived_id("bst", name.provider, name.account, name.batch, name.currency)


async def compare_statements(runtime: Runtime, file: StatementFile, actor: str) -> int:
    """Compare the entries of every statement of the file that counts. Another process that does the same at once is no
    harm: one of the two writes. Returns how many entries. Raises LostRaces."""

    async def compare() -> int:
        async with runtime.stores.bank.comparing() as comparing:
            if not await comparing.is_held(file.file_id):
                return 0
            return await _Writer(comparing, actor, runtime.clock.now()).write_file(file)

    return await looked_again(f"statements of {file.file_id}", compare)


async def compare_again(runtime: Runtime, actor: str) -> int:
    """Compare every entry that nothing explains with the payouts that are known now. Returns how many were named.
    Raises LostRaces."""

    async def compare() -> int:
        async with runtime.stores.bank.comparing() as comparing:
            return await _Writer(comparing, actor, runtime.clock.now()).write_again()

    return await looked_again("entries that nothing explains", compare)


async def post_statement(runtime: Runtime, name: StatementName, actor: str) -> BankStatement | None:
    """Post what is missing of a statement. Raises Overloaded where others change it all the time, and what the journal
    raises."""
    book, statement_id = runtime.stores.bank, statement_id_of(name)
    for _ in range(RACES):
        stored = await book.statement(statement_id)
        sums = await book.sums(name)
        cause = Cause(
            change_id=new_id("chg"),
            at=runtime.clock.now(),
            trigger="settlement",
            actor=actor,
            evidence={"settlement": {"comparisons": sums.comparisons, "root": sums.root}},
        )
        change = statement_posted(stored, book.merchant_id, statement_id, name, sums, cause)
        if change is None:
            return stored
        if isinstance(await runtime.journal.commit(change), Fresh):
            return change.one(BankStatement)
    raise Overloaded("the statement is posted by too many others")


class _Writer:
    """Writes evidence in the caller's transaction."""

    def __init__(self, comparing: ComparingEntries, actor: str, at: datetime) -> None:
        self._comparing, self._actor, self._at = comparing, actor, at
        self._evidence: dict[StatementName, list[Evidence]] = {}
        self._arrivals: list[ArrivalRow] = []
        self._counted: dict[tuple[str, int], int] = {}

    async def write_file(self, file: StatementFile) -> int:
        """The first evidence of a file's entries. One statement of the file that is a double has none."""
        statements = []
        for each in await self._comparing.statements(file.file_id):
            known_as = name_of_statement(each.sequence, each.to_on, each.opening, each.closing)
            if await self._comparing.counts(file, each, known_as):
                statements.append(each)
        if not statements:
            return 0
        source = _Source(
            file_id=file.file_id,
            provider=file.provider,
            account=file.account,
            parser=file.format,
            parser_version=file.parser_version,
        )
        payouts = await self._payouts()
        rows = await self._comparing.entries(file.file_id, [(each.batch, each.currency) for each in statements])
        for match in EntryMatcher(payouts).match(rows):
            self._add(match, source)
        for each in statements:
            name = StatementName(provider=file.provider, account=file.account, batch=each.batch, currency=each.currency)
            found = self._evidence.setdefault(name, [])
            root = await self._write(name)
            await self._comparing.close(name, file.file_id, len(found), sum(each.net for each in found), root, self._at)
        await self._comparing.add([], self._arrivals)
        return len(rows)

    async def write_again(self) -> int:
        """Later evidence of entries that nothing explained, where something does now."""
        entries = await self._comparing.open_entries()
        if not entries:
            return 0
        by_row = {id(each.row): each for each in entries}
        for match in EntryMatcher(await self._payouts()).match([each.row for each in entries]):
            of = by_row[id(match.row)]
            if match.reason != of.reason:
                source = _Source(**{name: getattr(of, name) for name in _Source.__struct_fields__})
                self._add(match, source)
        for name in self._evidence:
            await self._write(name)
        await self._comparing.add([], self._arrivals)
        return sum(len(each) for each in self._evidence.values())

    async def _payouts(self) -> Sequence[Payout]:
        payouts = await self._comparing.payouts()
        self._counted = {(each.file_id, each.position): each.arrivals for each in payouts}
        return payouts

    def _add(self, match: EntryMatch, source: _Source) -> None:
        row, version = match.row, source.version + 1
        name = StatementName(provider=source.provider, account=source.account, batch=row.batch, currency=row.currency)
        self._evidence.setdefault(name, []).append(evidence_of_entry(match, source, self._actor, self._at))
        for each in match.arrivals:
            payout = (each.payout.file_id, each.payout.position)
            self._counted[payout] += 1
            self._arrivals.append(
                ArrivalRow(
                    payout_file_id=payout[0],
                    payout_position=payout[1],
                    ordinal=self._counted[payout],
                    file_id=source.file_id,
                    position=row.position,
                    version=version,
                    batch=row.batch,
                    currency=row.currency,
                    provider=each.payout.provider,
                    amount=each.amount,
                )
            )

    async def _write(self, name: StatementName) -> str:
        """The evidence of one statement, and that it is complete. Returns the digest of all of it."""
        evidence = self._evidence[name]
        number, before = await self._comparing.newest(name)
        await self._comparing.add(evidence, [])
        digests = sorted(hashlib.sha256(digest_input(each)).digest() for each in evidence)
        root = hashlib.sha256(before.encode() + b"".join(digests)).hexdigest()
        await self._comparing.compared(name, number + 1, len(evidence), root, self._at)
        return root


#: An entry's evidence has the name of one payout; the comparison has all of them.
_ONE: Final = 1


def evidence_of_entry(match: EntryMatch, source: _Source, actor: str, at: datetime) -> Evidence:
    """The evidence of an entry that was compared."""
    row = match.row
    payout = match.of[0] if len(match.of) == _ONE else None
    return Evidence(
        file_id=source.file_id,
        position=row.position,
        version=source.version + 1,
        line=row.line,
        batch=row.batch,
        currency=row.currency,
        kind=row.kind,
        row_key=row.row_key,
        gross=row.gross,
        fee=row.fee,
        net=row.net,
        status=match.status,
        reason=match.reason,
        stage=match.stage,
        covers=match.covers,
        difference=row.net - match.covers,
        part=match.part,
        provider_reference=payout.names[0] if payout is not None and payout.names else None,
        row_reference=row.reference,
        compared=match.compared,
        parser=source.parser,
        parser_version=source.parser_version,
        actor=actor,
        compared_at=at,
        supersedes=source.version or None,
    )
