"""Rows of the audit: what is to be sealed, where each thing stands, heads and checkpoints."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import asyncpg

from tallystick.record.postgres.audit_heads import STATEMENTS, HeadRows
from tallystick.record.postgres.audit_parts import ChangeParts
from tallystick.record.postgres.audit_things import ATTACHED, PART_COLUMNS, Place, Thing, column_places

__all__ = ["END", "KINDS", "TABLES", "AuditRows", "Place", "Thing"]

#: Below every id and name: where the order of a key begins.
_BEGIN: Final = ""

#: Numbers are given as texts, as the other columns of keys are.
_BEGINS: Final[Mapping[str, tuple[str, ...]]] = {
    "change": (_BEGIN, _BEGIN, "0"),
    "instruction": (_BEGIN, _BEGIN),
    "response": (_BEGIN, _BEGIN),
    "rejection": (_BEGIN,) * 3,
    "message_try": (_BEGIN,) * 4,
    "endpoint_act": (_BEGIN,) * 3,
    "delivery": (_BEGIN,) * 4,
    "processing": (_BEGIN,) * 4,
    "operator_act": (_BEGIN,) * 2,
    "deployment": (_BEGIN,),
    "sealing_key_act": ("0",),
    "operator_version": (_BEGIN, "0"),
    "operator_bootstrap": ("0",),
    "api_key_act": (_BEGIN, _BEGIN, "0"),
    "restore": ("0",),
    "key_rotation": ("0",),
    "approval_request": (_BEGIN,),
    "approval_decision": (_BEGIN, _BEGIN),
    "approval_outcome": (_BEGIN,),
    "fee_schedule": (_BEGIN, _BEGIN, "0"),
    "settlement_evidence_set": (_BEGIN, _BEGIN, _BEGIN),
    "sweep": (_BEGIN,),
}

#: Every kind of thing that is sealed.
KINDS: Final = tuple(_BEGINS)

#: Later than every time in the record.
END: Final = datetime(9999, 1, 1, tzinfo=UTC)

#: Earlier than every time in the record. A row that has no time, or an infinite one, counts as the oldest.
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)


#: Where the key of a change is in its row: its time comes before the columns.
_CHANGE_KEY: Final = tuple(1 + each for each in column_places("transition", "merchant_id", "subject_id", "version"))

#: Steps of one subject in one read.
_STEPS_AT_ONCE: Final = 100


_KEY_CONDITION: Final = re.compile(r"WHERE (?=\(?[\w., ]+\)? > \(?\$1)")
_TIME_COLUMN: Final = re.compile(r"WHERE (\S+) >= \$1")


def _from_a_time_on(kind: str) -> str:
    """The statement that reads a page of a kind, of what is not older than its last parameter."""
    [column] = _TIME_COLUMN.findall(STATEMENTS[f"unsealed_{kind}"])
    statement, found = _KEY_CONDITION.subn(
        f"WHERE {column} >= ${len(_BEGINS[kind]) + 2} AND ", STATEMENTS[f"all_{kind}"]
    )
    assert found == 1, f"all_{kind} has one condition on its key"
    return statement


#: Kind -> a page of it, of what is not older than a time.
_LATER: Final[Mapping[str, str]] = {kind: _from_a_time_on(kind) for kind in KINDS}


class AuditRows(HeadRows):
    """Reads and writes over one connection. They raise what asyncpg raises."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        super().__init__(connection)
        self._parts = ChangeParts(connection)
        self._there: dict[str, int] = {}
        self._given: Counter[str] = Counter()

    async def unsealed(self, kind: str, since: datetime, limit: int, until: datetime) -> list[Thing]:
        """What is visible of that time and not sealed, whole; the oldest first. ``until``: to before then."""
        rows = await self._connection.fetch(STATEMENTS[f"unsealed_{kind}"], since, limit, until)
        if kind != "change":
            return _things(kind, rows)
        changes = _changes(rows)
        if changes:
            await self._parts.add(changes, whole=False)
        return changes

    async def page(
        self,
        kind: str,
        after: tuple[str, ...] | None,
        limit: int,
        since: datetime | None = None,
        unsealed_only: bool = False,
    ) -> tuple[list[Thing], tuple[str, ...] | None]:
        """Things of a kind in the order of their keys, from that time on, with where they are sealed, and after what
        the next page begins; None where there is none. ``unsealed_only``: what is sealed may lack rows."""
        begin = _BEGINS[kind] if after is None else after
        if since is None:
            rows = await self._connection.fetch(STATEMENTS[f"all_{kind}"], *begin, limit)
        else:
            rows = await self._connection.fetch(_LATER[kind], *begin, limit, since)
        if after is None:
            self._given[kind] = 0
        self._given[kind] += len(rows)
        if kind == "change":
            things = await self._whole_changes(
                rows, whole=since is None, first=after is None, unsealed_only=unsealed_only
            )
            following = tuple(str(rows[-1][place]) for place in _CHANGE_KEY) if rows else None
        else:
            things = _things(kind, rows)
            following = tuple(rows[-1][f"place_{number}"] for number in range(1, len(begin) + 1)) if rows else None
        return things, following if len(rows) == limit else None

    async def _whole_changes(
        self, rows: Sequence[asyncpg.Record], *, whole: bool, first: bool, unsealed_only: bool
    ) -> list[Thing]:
        """Changes with all that belongs to them, and where they are sealed. ``first``: of all changes.
        ``unsealed_only``: where most are sealed, only the others have what belongs to them."""
        if first:
            self._parts.begin()
        changes = _changes(rows)
        if changes:
            await self._parts.place(changes, whole=whole)
            wanted = [each for each in changes if each.place is None] if unsealed_only else changes
            if 2 * len(wanted) > len(changes):
                await self._parts.add(changes, whole=whole)
            elif wanted:
                await self._parts.add(wanted, whole=False)
        return changes

    async def apart_from_changes(self) -> Mapping[str, int]:
        """Tables some row of which belongs to no change, as far as it can be told by numbers, with how many of their
        rows: all changes were read by pages, the first one first. Of a table that is not named every row belongs to
        one. History may be named with 0: some step says that it is its own stream."""
        [there] = await self._connection.fetch(STATEMENTS["rows_of_changes"])
        self._there = {table: there[table] for table in PART_COLUMNS}
        return {
            table: there[table] - self._parts.found[table]
            for table in PART_COLUMNS
            if there[table] != self._parts.found[table] or (table == "transition" and there["own_streams"])
        }

    async def passed_over(self) -> list[tuple[str, int, int]]:
        """(table, rows that pages had, rows there are) of each kind that was read from its first page to its last, and
        where both differ: a key is empty, or null, or there twice. Of what changes are made of ``apart_from_changes``
        says it, which is asked first."""
        there = {row["kind"]: row["there"] for row in await self._connection.fetch(STATEMENTS["rows_of_kinds"])}
        there |= {kind: self._there[kind] for kind in ATTACHED if kind in self._there}
        return [
            (TABLES[kind], self._given[kind], rows)
            for kind, rows in there.items()
            if kind in self._given and self._given[kind] != rows
        ]

    async def every(self, kind: str, limit: int, since: datetime | None = None) -> AsyncIterator[list[Thing]]:
        """All things of a kind, or those from that time on, by pages."""
        after: tuple[str, ...] | None = None
        while True:
            things, after = await self.page(kind, after, limit, since)
            yield things
            if after is None:
                return

    async def strays(self, limit: int) -> list[tuple[str, str, str, str]]:
        """(merchant, table, name, stream) of rows that belong to no change."""
        found = []
        for name in ("stray_steps", "stray_postings", "stray_messages"):
            found += [tuple(row) for row in await self._connection.fetch(STATEMENTS[name], limit)]
        return found

    async def add_leaves(self, group: int, things: Sequence[Thing], positions: range, salts: Sequence[bytes]) -> None:
        """Where these things stand. By COPY: its log is shorter than that of an INSERT. Raises
        asyncpg.UniqueViolationError for one that is sealed already."""
        await self._connection.copy_records_to_table(
            "audit_leaf",
            records=[
                (thing.merchant_id, thing.kind, thing.leaf_key, group, position, salt)
                for thing, position, salt in zip(things, positions, salts, strict=True)
            ],
            columns=("merchant_id", "kind", "leaf_key", "leaf_group", "position", "salt"),
        )

    async def oldest_unsealed(self, since: datetime, until: datetime) -> datetime | None:
        """The time of the oldest change from then, and before then, that is not sealed."""
        found: datetime | None = await self._connection.fetchval(STATEMENTS["oldest_unsealed"], since, until)
        return found

    async def changes_of(self, merchant_id: str, subject_id: str) -> list[Thing]:
        """The changes that steps of this subject lead, with where they are sealed."""
        found: list[Thing] = []
        after: tuple[str, ...] | None = (merchant_id, subject_id, "0")
        while after is not None:
            things, after = await self.page("change", after, _STEPS_AT_ONCE)
            own = [
                each
                for each in things
                if each.merchant_id == merchant_id and each.leaf_key.startswith(f"{subject_id}/")
            ]
            found += own
            if len(own) < len(things):
                break
        return found


def _changes(rows: Sequence[asyncpg.Record]) -> list[Thing]:
    """Changes with the step that leads each."""
    return [
        Thing(
            kind="change",
            merchant_id=row[_CHANGE_KEY[0]],
            leaf_key=f"{row[_CHANGE_KEY[1]]}/{row[_CHANGE_KEY[2]]}",
            at=_moment(row[0]),
            rows=[("transition", row[1:])],
        )
        for row in rows
    ]


def _things(kind: str, rows: Sequence[asyncpg.Record]) -> list[Thing]:
    table = TABLES[kind]
    place_of = _place_reader(rows)
    return [
        Thing(
            kind=kind,
            merchant_id=row["merchant_id"],
            leaf_key=row["leaf_key"],
            at=_moment(row["at"]),
            rows=[(table, document)],
            place=place_of(row),
        )
        for row in rows
        if (document := row["document"]) is not None
    ]


def _moment(at: datetime | None) -> datetime:
    """A time as it is compared with others; infinite ones come without a zone."""
    return _EARLIEST if at is None or at.tzinfo is None else at


def _place_reader(rows: Sequence[asyncpg.Record]) -> Callable[[asyncpg.Record], Place | None]:
    """What tells where a row is sealed: in one column, in three, or not at all."""
    columns = set(rows[0].keys()) if rows else set()
    if "place" in columns:
        return lambda row: None if row["place"] is None else Place(*row["place"])
    if "position" in columns:
        return lambda row: None if row["position"] is None else Place(row["leaf_group"], row["position"], row["salt"])
    return lambda row: None


#: Kind -> the table of its first row.
TABLES: Final[Mapping[str, str]] = {
    **{kind: kind for kind in KINDS},
    "change": "transition",
    "endpoint_act": "webhook_endpoint_act",
    "sweep": "audit_sweep",
    "restore": "audit_restore",
    "key_rotation": "audit_key_rotation",
}
