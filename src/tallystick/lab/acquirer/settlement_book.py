"""Days of settlement in the books: each is closed once, from the events since the last one, and keeps its files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from tallystick.lab.acquirer.bank_day import BANK_DEFECTS, BankDay, booked
from tallystick.lab.acquirer.rules import Missing, NotPossible
from tallystick.lab.acquirer.settlement_defects import DEFECTS, Contents, Defect, apply_defects
from tallystick.lab.acquirer.settlement_entries import Entry, entry_of
from tallystick.lab.acquirer.settlement_formats import BANK_FORMATS, FORMATS, Day
from tallystick.lab.acquirer.settlement_text import closing, currencies, net_of, payout, written
from tallystick.lab.acquirer.storage import Storage, new_reference


class SettlementBook:
    """``directory``: where every file is put as well, under its name, once it is whole; None: nowhere."""

    def __init__(self, storage: Storage, directory: Path | None) -> None:
        self._storage = storage
        self._db = storage.db
        self._directory = directory

    def close_day(self, day: str, defects: Sequence[str], formats: Sequence[str] = ()) -> dict[str, Any]:
        """Close the day: what happened since the last one is its batch. ``day``: the ISO date that it is booked on.
        ``formats``: others that each file is written in as well. Raises KeyError for an unknown defect or format,
        NotPossible where a defect fits no entry, and OSError."""
        batch = new_reference("set")
        with self._storage.transaction():
            entries, last_event = self._entries()
            if not entries:
                raise NotPossible("nothing_to_settle")
            contents = apply_defects(entries, [each for each in defects if each in DEFECTS])
            rows, following = closing(batch, contents.entries, contents.payouts, contents.manual)
            contents.entries += rows
            bank = booked(contents.entries)
            for name in defects:
                if name in BANK_DEFECTS:
                    done = BANK_DEFECTS[name](bank)
                    contents.done.append(
                        Defect(defect=name, entry_id=done.payout, currency=done.currency, amount=done.amount)
                    )
            opening = self._at_bank()
            carried = [*contents.later, *following]
            number = self._insert(day, batch, last_event, contents, carried, _later(opening, bank))
            contained = _contained(batch, contents)
            files = [
                (f"{day}-{number}-{place}.csv", written(batch, day, entries))
                for place, entries in enumerate(contained, 1)
            ]
            whole = Day(
                number=number, date=day, batch=batch, entries=contents.entries, opening=opening, at_bank=bank.entries
            )
            for name in formats:
                ending, write = FORMATS[name]
                said = [contents.entries] * bank.statements if name in BANK_FORMATS else contained
                files += [
                    (
                        f"{day}-{number}-{'' if copy == 1 else f'{copy}-'}{ending}",
                        write(replace(whole, entries=entries, copy=copy)),
                    )
                    for copy, entries in enumerate(said, 1)
                ]
            self._db.executemany(
                "INSERT INTO settlement_file (name, day, content) VALUES (?, ?, ?)",
                [(name, number, content) for name, content in files],
            )
        if self._directory is not None:
            for name, content in files:
                _put(self._directory, name, content)
        return self.days(number - 1, 1)[0][0]

    def days(self, after: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
        """A page of the days, oldest first, each with what is wrong with it and its files' names."""
        rows = self._db.execute(
            "SELECT * FROM settlement_day WHERE number > ? ORDER BY number LIMIT ?", (after, limit + 1)
        ).fetchall()
        days = [
            {
                "number": row["number"],
                "day": row["day"],
                "batch": row["batch"],
                "defects": msgspec.json.decode(row["defects"]),
                "files": self._names(row["number"]),
            }
            for row in rows[:limit]
        ]
        return days, rows[limit - 1]["number"] if len(rows) > limit else None

    def content(self, name: str) -> bytes:
        """A file's bytes. Raises Missing."""
        row = self._db.execute("SELECT content FROM settlement_file WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise Missing("settlement_file")
        return bytes(row["content"])

    def _names(self, number: int) -> list[str]:
        rows = self._db.execute("SELECT name FROM settlement_file WHERE day = ? ORDER BY name", (number,))
        return [row["name"] for row in rows]

    def _entries(self) -> tuple[list[Entry], int]:
        """What the last day left for this one, then what happened since; and the newest event's sequence number."""
        last = self._db.execute("SELECT * FROM settlement_day ORDER BY number DESC LIMIT 1").fetchone()
        carried = [] if last is None else msgspec.json.decode(last["carried"], type=list[Entry])
        last_event = 0 if last is None else last["last_event"]
        entries = carried
        for row in self._db.execute(
            "SELECT e.sequence, e.type, e.body, c.payment_method FROM event e JOIN charge c ON c.id = e.charge_id"
            " WHERE e.sequence > ? ORDER BY e.sequence",
            (last_event,),
        ):
            last_event = row["sequence"]
            data = msgspec.json.decode(row["body"])["data"]
            entry = entry_of(row["sequence"], row["type"], data, row["payment_method"])
            if entry is not None:
                entries.append(entry)
        return entries, last_event

    def _at_bank(self) -> dict[str, int]:
        last = self._db.execute("SELECT at_bank FROM settlement_day ORDER BY number DESC LIMIT 1").fetchone()
        return {} if last is None else msgspec.json.decode(last["at_bank"], type=dict[str, int])

    def _insert(
        self,
        day: str,
        batch: str,
        last_event: int,
        contents: Contents,
        carried: Sequence[Entry],
        at_bank: Mapping[str, int],
    ) -> int:
        defects: list[Defect] = contents.done
        said = [msgspec.json.encode(each).decode() for each in (defects, carried, at_bank)]
        cursor = self._db.execute(
            "INSERT INTO settlement_day (day, batch, last_event, defects, carried, at_bank) VALUES (?, ?, ?, ?, ?, ?)",
            (day, batch, last_event, *said),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid


def _later(opening: Mapping[str, int], bank: BankDay) -> dict[str, int]:
    """What the bank has after the day."""
    found = dict(opening)
    for each in bank.entries:
        found[each.currency] = found.get(each.currency, 0) + each.amount
    return found


def _contained(batch: str, contents: Contents) -> list[list[Entry]]:
    """The entries of each file of a day, in the order in which the files are written."""
    contained = [contents.entries] * contents.copies
    if contents.added:
        more = [
            payout(batch, currency, net_of(contents.added, currency), ordinal=2)
            for currency in currencies(contents.added)
        ]
        contained.append([*contents.entries, *contents.added, *more])
    if contents.corrected:
        contained.append([contents.corrected.get(each.entry_id, each) for each in contents.entries])
    return contained


def _put(directory: Path, name: str, content: bytes) -> None:
    """Whole or not at all: who watches the directory never sees a part of a file."""
    directory.mkdir(parents=True, exist_ok=True)
    unfinished = directory / f".{name}.part"
    unfinished.write_bytes(content)
    os.replace(unfinished, directory / name)
