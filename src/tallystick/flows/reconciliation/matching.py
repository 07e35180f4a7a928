"""A file's rows are compared with the record, and what that comes to is kept as evidence: all of it in one
transaction."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tallystick.decisions.provider_fees import fee_check
from tallystick.decisions.settlement_match import FeesOf, Match
from tallystick.decisions.settlement_matching import FileMatcher
from tallystick.decisions.settlement_names import names_of
from tallystick.decisions.settlement_news import NewsIn, news_in
from tallystick.decisions.settlements import PLATFORM, EvidenceSum
from tallystick.domain.bank_statement import STATEMENT_FORMATS
from tallystick.domain.errors import TallystickError
from tallystick.domain.fee_schedule import FeeSchedule
from tallystick.domain.settlement import MERCHANTS_PARTS, Part
from tallystick.domain.settlement_evidence import OPEN_STATUSES, Candidate, Evidence
from tallystick.domain.settlement_file import SettlementFile
from tallystick.domain.settlement_row import SettlementRow
from tallystick.flows.reconciliation.news import NEWS_AT_ONCE, tell
from tallystick.flows.reconciliation.races import looked_again
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.settlement_evidence import Comparing, EvidenceSet

#: Rounds in which a file waits for the inbox to decide on its news: two minutes of one worker, in which an event has
#: had its first tries. Then it is compared, and what is not decided posts apart, until it is.
NEWS_TRIES: Final = 24

#: Evidence that is written at once.
_PIECE: Final = 10_000

#: Up to so many rows it costs nothing to join row by row, and more than that costs their square.
_FEW_ROWS: Final = 500

#: What a plain row came to.
_PLAIN: Final = ("matched", "same")

#: The digest of no evidence.
_NO_ROWS: Final = hashlib.sha256(b"").hexdigest()

_Sums = dict[tuple[str, Part], list[int]]


class NotComparable(TallystickError):
    """The file is not imported, or is none whose rows are posted; nothing was written."""


class Compared(Struct, frozen=True, kw_only=True):
    """What comparing a file came to: rows, and how many of each (status, reason). ``news``: nothing was written but so
    many movements, which the inbox hears first. ``waits``: nor that, for the inbox has not decided on what it heard."""

    rows: int = 0
    news: int = 0
    waits: bool = False
    by_reason: dict[tuple[str, str], int] = {}

    @property
    def open_rows(self) -> int:
        """How many do not agree."""
        return sum(rows for (status, _), rows in self.by_reason.items() if status in OPEN_STATUSES)


class _NewsFirst(Exception):
    """It has news that the inbox was not told of: nothing of the comparison is kept."""


async def compare_file(runtime: Runtime, file_id: str, actor: str, *, tells_news: bool = False) -> Compared:
    """Compare the rows of every batch of the file that adds up and was not compared before. Another process that does
    the same at once is no harm: one of the two writes. ``tells_news``: what only the file knows goes to the inbox, and
    nothing is compared before that. Raises NotComparable and LostRaces."""
    file = await runtime.stores.settlement_files.find(file_id)
    if file is None:
        raise NotComparable(f"there is no settlement file {file_id}")
    if file.format in STATEMENT_FORMATS:
        raise NotComparable(f"{file_id} is a bank statement: its entries are compared with payouts")
    return await looked_again(f"rows of {file_id}", lambda: _compared(runtime, file, actor, tells_news=tells_news))


async def _compared(runtime: Runtime, file: SettlementFile, actor: str, *, tells_news: bool) -> Compared:
    schedules = await runtime.stores.fee_schedules.of_account(file.provider, file.account)
    async with runtime.stores.evidence.comparing(file.file_id) as comparing:
        await comparing.take_turn(file.provider)  # before any file is held, as everybody does who takes turns
        if not await comparing.is_held():
            raise NotComparable(f"the rows of {file.file_id} are not posted: it is {file.state}, to {file.purpose}")
        if tells_news and await comparing.news.waits(file.file_id, NEWS_TRIES):  # whoever had the turn may have told
            return Compared(waits=True)
        if expects_many_rows(file):
            await comparing.expect_many_rows()
        at = runtime.clock.now()
        news = news_in(file.format, file.provider, await comparing.news.told(file.file_id)) if tells_news else None
        if news is None:
            return await Writer(comparing, file, actor, at).write(schedules)
        try:
            async with comparing.part():
                return await Writer(comparing, file, actor, at, news).write(schedules)
        except _NewsFirst:
            found = news.news()
        await tell(runtime, comparing.news, file.provider, file.account, file.file_id, found)
        return Compared(news=len(found))


def expects_many_rows(file: SettlementFile) -> bool:
    """Whether its rows are too many to be joined row by row."""
    return file.rows > _FEW_ROWS


def fees_of(row: SettlementRow, schedules: Sequence[FeeSchedule]) -> FeesOf:
    """The fee of the row, were its gross amount this."""
    return lambda gross: fee_check(row if gross == row.gross else replace(row, gross=gross), schedules)


class Writer:
    """Writes the evidence of one file."""

    def __init__(
        self, comparing: Comparing, file: SettlementFile, actor: str, at: datetime, news: NewsIn | None = None
    ) -> None:
        self._comparing, self._file, self._actor, self._at = comparing, file, actor, at
        self._news = news
        self._nameless: list[Match] = []  # charges that name a payment, and none that the record has by that name
        self._open: dict[int, Sequence[Candidate]] = {}  # what rows that wait for others may be about
        self._source = (file.file_id, file.format, file.parser_version)
        self._piece: list[Evidence] = []
        self._sums: dict[tuple[str, str], _Sums] = {}
        self._nets: dict[tuple[str, str], int] = {}
        self._by_reason: dict[tuple[str, str], int] = {}

    async def write(self, schedules: Sequence[FeeSchedule]) -> Compared:
        """All of it, in the caller's transaction."""
        batches = await self._comparing.batches()
        if not batches:
            return Compared()
        if not schedules:  # a fee that has to be checked is checked row by row
            await self._add_plain(batches)
        matcher, names = FileMatcher(), names_of(self._file.format, self._file.provider)
        async for row, found in self._comparing.rows(self._file, batches):
            match = matcher.add(row, found, fees_of(row, schedules), names)
            if match is not None:
                await self._add(match, found)
            elif self._news is not None:
                self._open[row.position] = found
        for match in matcher.rest(await self._comparing.with_named_captures(matcher.payments_in_question())):
            await self._add(match, self._open.pop(match.row.position, ()))
        await self._look_at_nameless()
        if self._news is not None and self._news.news():
            raise _NewsFirst
        await self._comparing.add(self._piece)
        roots = await self._comparing.roots(self._file, batches, self._actor, self._at)
        sets = [self._set(name, *roots.get(name, (0, _NO_ROWS))) for name in batches]
        await self._comparing.close(self._file.provider, self._file.account, sets, self._at)
        return Compared(rows=sum(each.rows for each in sets), by_reason=self._by_reason)

    async def _add_plain(self, batches: Sequence[tuple[str, str]]) -> None:
        for each in await self._comparing.add_plain(self._file, batches, self._actor, self._at):
            name = (each.batch, each.currency)
            self._nets[name] = self._nets.get(name, 0) + each.net
            sums = self._sums.setdefault(name, {}).setdefault((each.merchant_id, each.part), [0, 0, 0, 0, 0, 0])
            for at, more in enumerate((each.rows, each.gross, each.fee)):
                sums[at] += more
            self._by_reason[_PLAIN] = self._by_reason.get(_PLAIN, 0) + each.rows

    async def _add(self, match: Match, found: Sequence[Candidate]) -> None:
        news = self._news
        if news is not None and news.add(match.row, match, found) and len(news) % NEWS_AT_ONCE == 0 and news.news():
            raise _NewsFirst
        if news is not None and not found and match.row.kind == "charge" and match.row.payment_reference:
            self._nameless.append(match)
            if len(self._nameless) >= _PIECE:
                await self._look_at_nameless()
        evidence = evidence_of(match, *self._source, self._actor, self._at)
        name = (evidence.batch, evidence.currency)
        self._nets[name] = self._nets.get(name, 0) + evidence.net
        merchant = evidence.merchant_id if evidence.part in MERCHANTS_PARTS else None
        sums = self._sums.setdefault(name, {}).setdefault((merchant or PLATFORM, match.part), [0, 0, 0, 0, 0, 0])
        sums[0] += 1
        sums[1] += evidence.gross - evidence.rounding - evidence.written_off
        sums[3 if evidence.kind == "tax" else 2] += evidence.fee
        sums[4] += evidence.rounding
        sums[5] += evidence.written_off
        reason = (evidence.status, evidence.reason)
        self._by_reason[reason] = self._by_reason.get(reason, 0) + 1
        self._piece.append(evidence)
        if len(self._piece) >= _PIECE:
            await self._comparing.add(self._piece)
            self._piece = []

    async def _look_at_nameless(self) -> None:
        """A payment has its charge's name once it was authorized; until then its attempt has it."""
        if self._news is None or not self._nameless:
            return
        names = [match.row.payment_reference or "" for match in self._nameless]
        held = await self._comparing.news.known_charges(self._file.provider, self._file.account, names)
        for name, match in zip(names, self._nameless, strict=True):
            if name in held:
                self._news.add(match.row, match, [held[name]])
        self._nameless.clear()

    def _set(self, name: tuple[str, str], rows: int, root: str) -> EvidenceSet:
        return EvidenceSet(
            batch=name[0],
            currency=name[1],
            rows=rows,
            net=self._nets.get(name, 0),
            root=root,
            sums=[_sum(merchant, part, sums) for (merchant, part), sums in sorted(self._sums.get(name, {}).items())],
        )


def _sum(merchant_id: str, part: Part, sums: Sequence[int]) -> EvidenceSum:
    rows, gross, fee, tax, rounding, written_off = sums
    return EvidenceSum(
        merchant_id=merchant_id,
        part=part,
        rows=rows,
        gross=gross,
        fee=fee,
        tax=tax,
        rounding=rounding,
        written_off=written_off,
    )


def evidence_of(match: Match, file_id: str, parser: str, parser_version: int, actor: str, at: datetime) -> Evidence:
    """The evidence of a row that was compared for the first time. ``parser``: the format that read it."""
    row, of = match.row, match.of
    return Evidence(
        file_id=file_id,
        position=row.position,
        line=row.line,
        batch=row.batch,
        currency=row.currency,
        kind=row.kind,
        row_key=row.row_key,
        gross=row.gross + match.fee_in_amount,
        fee=row.fee + match.fee_in_amount,
        net=row.net,
        status=match.status,
        reason=match.reason,
        stage=match.stage,
        covers=match.covers,
        difference=match.difference,
        part=match.part,
        merchant_id=None if of is None else of.merchant_id,
        payment_id=None if of is None else of.payment_id,
        subject_id=None if of is None else of.subject_id,
        subject_version=None if of is None or of.amount is None else of.version,
        leg=None if of is None or of.amount is None else of.leg,
        attempt_id=None if of is None else of.attempt_id,
        idempotency_key=None if of is None else of.idempotency_key,
        provider_reference=None if of is None else of.provider_reference,
        row_reference=row.reference,
        payment_reference=row.payment_reference,
        compared=match.compared,
        tolerance=match.tolerance,
        rounding=match.rounding,
        further=match.further,
        fee_expected=match.fee.expected,
        fee_unchecked=match.fee.unchecked,
        fee_schedule_version=match.fee.schedule_version,
        parser=parser,
        parser_version=parser_version,
        actor=actor,
        compared_at=at,
    )
