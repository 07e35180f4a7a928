"""Reads what changes are made of: steps that follow the one that leads, postings, messages, the instructions whose
attempts they open, and the answers of the attempts that they close.

Rows are read as columns: to print one as JSON takes the database 5 µs. Each table is read once for a page of changes,
along its own key: for each merchant from the page's first subject to its last. What belongs to which change is found
here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import asyncpg

from tallystick.record.postgres.audit_heads import STATEMENTS
from tallystick.record.postgres.audit_things import PART_COLUMNS, Columns, Place, Thing, column_places

#: (merchant, subject or stream).
_Name = tuple[str, str]

_MERCHANT, _SUBJECT, _VERSION, _STREAM, _LED_BY, _AT = column_places(
    "transition", "merchant_id", "subject_id", "version", "stream_id", "lead_version", "at"
)
_POSTED_BY, _POSTED_IN, _POSTED_FOR, _POSTED_WITH = column_places(
    "transfer", "merchant_id", "stream_id", "subject_id", "version"
)
_TOLD_BY, _TOLD_IN, _TOLD_WITH = column_places("outbox", "merchant_id", "stream_id", "version")
_ASKED_BY, _ASKED_FOR, _ASKED_AS, _ASKED_AT = column_places(
    "instruction", "merchant_id", "payment_id", "idempotency_key", "at"
)
_ANSWERED_BY, _ANSWERED_AT = column_places("response", "merchant_id", "at")

#: Columns of an instruction: those of its answer come after them.
_ASKED: Final = len(PART_COLUMNS["instruction"])

#: Statistics say little of an interval of texts, and a plan by scans would read whole tables for each page.
_SCANS: Final = ("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin")
_WORKERS: Final = "max_parallel_workers_per_gather"
_BY_KEY: Final = "; ".join((*(f"SET LOCAL {each} = off" for each in _SCANS), f"SET LOCAL {_WORKERS} = 0"))
_FREELY: Final = "; ".join(f"SET LOCAL {each} TO DEFAULT" for each in (*_SCANS, _WORKERS))


class ChangeParts:
    """Reads over one connection, in a transaction. Raises what asyncpg raises. ``found``: how many different rows of
    each table belong to the changes that were given since ``begin``, in the order of their keys."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.begin()

    def begin(self) -> None:
        """Count from here."""
        self.found: Counter[str] = Counter()
        self._last: _Name | None = None
        self._counted: set[tuple[str, str]] = set()

    async def add(self, things: Sequence[Thing], *, whole: bool) -> None:
        """Add to changes what belongs to them. ``whole``: these are all changes from the first of them to the last, in
        the order of their keys; otherwise each one's rows are sought for themselves."""
        page = _Page(things)
        subjects = _intervals(page.subjects) if whole else _singly(page.subjects)
        await self._connection.execute(_BY_KEY)
        for row in await self._fetch("steps_of_changes", subjects):
            page.add_step(row[0], row[1], row[2], row[3:])
        for row in await self._fetch("postings_of_changes", subjects):
            page.add_posting(row[:], apart=False)
        for row in await self._fetch("messages_of_changes", subjects):
            page.add_message(row[:], apart=False)
        if page.apart:
            for row in await self._fetch("postings_of_changes", _singly(page.apart)):
                page.add_posting(row[:], apart=True)
            for row in await self._fetch("messages_of_changes", _singly(page.apart)):
                page.add_message(row[:], apart=True)
        if page.claims:
            for row in await self._fetch("answers_of_changes", _turned(page.claims)):
                page.add_answer(row[:_ASKED], row[_ASKED:])
        await self._connection.execute(_FREELY)
        self._count(page)

    async def place(self, things: Sequence[Thing], *, whole: bool) -> None:
        """Say where changes are sealed. ``whole``: as above."""
        unplaced = {(each.merchant_id, each.leaf_key): each for each in things}
        await self._connection.execute(_BY_KEY)
        if whole:
            subjects = dict.fromkeys((each.merchant_id, each.leaf_key.rpartition("/")[0]) for each in things)
            _place(unplaced, await self._fetch("places_of_changes", _intervals(subjects)))
        if unplaced:  # also where the order of texts passes over signs, so that an interval lacks some
            _place(unplaced, await self._fetch("places_by_key", _turned(unplaced)))
        await self._connection.execute(_FREELY)

    async def _fetch(self, statement: str, arguments: Sequence[Sequence[str]]) -> list[asyncpg.Record]:
        found: list[asyncpg.Record] = await self._connection.fetch(STATEMENTS[statement], *arguments)
        return found

    def _count(self, page: _Page) -> None:
        """A subject's changes follow each other: an instruction or answer that is in several leaves is in those of one
        subject, and is counted once."""
        self.found.update(page.found)
        self.found.update(
            table for table, name, key in page.attached if name != self._last or (table, key) not in self._counted
        )
        last = next(reversed(page.subjects), None)
        if last != self._last:
            self._last, self._counted = last, set()
        self._counted.update((table, key) for table, name, key in page.attached if name == last)


class _Page:
    """Changes, and what is found to belong to them. ``apart``: streams that are not those of the changes' own subjects.
    ``claims``: (merchant, payment, key) of attempts -> the changes that open and that close one with it."""

    def __init__(self, things: Sequence[Thing]) -> None:
        self._leads: dict[tuple[str, str, int], Thing] = {}
        self._steps: dict[tuple[str, str, str, int], Thing] = {}
        self.subjects: dict[_Name, None] = {}
        self.apart: dict[_Name, None] = {}
        self.claims: dict[tuple[str, str, str], tuple[list[Thing], list[Thing]]] = {}
        self.found: Counter[str] = Counter({"transition": len(things)})
        self.attached: set[tuple[str, _Name, str]] = set()
        for thing in things:
            columns = _lead_of(thing)
            merchant, subject, version = columns[_MERCHANT], columns[_SUBJECT], columns[_VERSION]
            stream = columns[_STREAM]
            self.subjects[merchant, subject] = None
            if stream is not None and stream != subject:
                self.apart[merchant, stream] = None
            self._leads[merchant, subject, version] = thing
            self._steps[merchant, subject if stream is None else stream, subject, version] = thing

    def add_step(self, lead: str, key: str | None, answers: bool, columns: Columns) -> None:
        """A step of a subject of ``lead``, of an attempt for the instruction ``key``."""
        merchant, version = columns[_MERCHANT], columns[_VERSION]
        thing = self._leads.get((merchant, lead, columns[_LED_BY]))
        if thing is None:
            return
        subject, stream = columns[_SUBJECT], columns[_STREAM]
        if (subject if stream is None else stream) == lead:
            thing.rows.append(("transition", columns))
            step = merchant, lead, subject, version
            self.found["transition"] += step not in self._steps
            self._steps[step] = thing
        if key is not None and (version == 1 or answers):
            opening, closing = self.claims.setdefault((merchant, lead, key), ([], []))
            if version == 1:
                _note(opening, thing)
            if answers:
                _note(closing, thing)

    def add_posting(self, columns: Columns, *, apart: bool) -> None:
        """``apart``: it was sought by its stream alone."""
        merchant, stream = columns[_POSTED_BY], columns[_POSTED_IN]
        thing = self._steps.get((merchant, stream, columns[_POSTED_FOR], columns[_POSTED_WITH]))
        if thing is not None and apart == ((merchant, stream) in self.apart):
            thing.rows.append(("transfer", columns))
            self.found["transfer"] += 1

    def add_message(self, columns: Columns, *, apart: bool) -> None:
        """It belongs to the step of its stream's own subject. ``apart``: as above."""
        merchant, stream = columns[_TOLD_BY], columns[_TOLD_IN]
        thing = self._steps.get((merchant, stream, stream, columns[_TOLD_WITH]))
        if thing is not None and apart == ((merchant, stream) in self.apart):
            thing.rows.append(("outbox", columns))
            self.found["outbox"] += 1

    def add_answer(self, instruction: Columns, response: Columns) -> None:
        """An instruction belongs to the change that opens its attempt, and its answer to the one that closes it, where
        they have its time."""
        merchant, payment, key = instruction[_ASKED_BY], instruction[_ASKED_FOR], instruction[_ASKED_AS]
        opening, closing = self.claims[merchant, payment, key]
        for thing in opening:
            if _lead_of(thing)[_AT] == instruction[_ASKED_AT]:
                thing.rows.append(("instruction", instruction))
                self.attached.add(("instruction", (merchant, payment), key))
        for thing in closing:
            if response[_ANSWERED_BY] is not None and _lead_of(thing)[_AT] == response[_ANSWERED_AT]:
                thing.rows.append(("response", response))
                self.attached.add(("response", (merchant, payment), key))


def _lead_of(thing: Thing) -> Columns:
    columns = thing.rows[0][1]
    assert not isinstance(columns, str), "the step that leads comes first, as columns"
    return columns


def _note(things: list[Thing], thing: Thing) -> None:
    if not any(each is thing for each in things):
        things.append(thing)


def _intervals(names: Iterable[_Name]) -> tuple[list[str], list[str], list[str]]:
    """(merchants, first of each, last of each), of names in their order."""
    merchants: list[str] = []
    begins: list[str] = []
    ends: list[str] = []
    for merchant, name in names:
        if not merchants or merchants[-1] != merchant:
            merchants.append(merchant)
            begins.append(name)
            ends.append(name)
        ends[-1] = name
    return merchants, begins, ends


def _singly(names: Iterable[_Name]) -> tuple[list[str], list[str], list[str]]:
    """The same, each name an interval of its own."""
    merchants, begins = _turned(names)
    return merchants, begins, begins


def _turned(names: Iterable[tuple[str, ...]]) -> list[list[str]]:
    return [list(each) for each in zip(*names, strict=True)]


def _place(unplaced: dict[_Name, Thing], rows: Iterable[asyncpg.Record]) -> None:
    for merchant, key, group, position, salt in rows:
        thing = unplaced.pop((merchant, key), None)
        if thing is not None:
            thing.place = Place(group, position, salt)
