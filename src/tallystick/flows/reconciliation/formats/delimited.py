"""Delimited text as settlement files have it: by header name, whatever the order of the columns."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import BinaryIO, Final

from tallystick.domain.settlement_file import BadRow, StatedTotal
from tallystick.domain.settlement_row import SettlementRow
from tallystick.flows.reconciliation.formats.base import FileRefused, Item, RowRefused

#: Between fields, most usual first.
DELIMITERS: Final = (",", ";", "\t", "|")

#: No field of a settlement file is longer; one that is has lost its closing quote.
_MAX_FIELD_CHARS: Final = 65_536

#: A header has no more columns.
_MAX_COLUMNS: Final = 2_000

#: A line without one is a row as it stands.
_QUOTE: Final = '"'
_LINE_ENDS: Final = "\r\n"

_BOMS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_SPACES: Final = re.compile(r"\s+")


def encoding_of(head: bytes, otherwise: str = "utf-8") -> str:
    """The encoding that a byte order mark says, or the other."""
    return next((name for mark, name in _BOMS if head.startswith(mark)), otherwise)


def first_lines(head: bytes, count: int = 3, otherwise: str = "utf-8") -> list[str]:
    """The first lines of a file, for recognising it."""
    return head.decode(encoding_of(head, otherwise), "replace").splitlines()[:count]


def header_cells(line: str, delimiter: str) -> list[str]:
    """The cells of a header line, as ``Columns`` compares them."""
    try:
        return [plain(cell) for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def has_columns(line: str, names: Collection[str]) -> bool:
    """Whether a header line has all of these columns, under any delimiter."""
    return any({plain(name) for name in names} <= set(header_cells(line, delimiter)) for delimiter in DELIMITERS)


def plain(name: str) -> str:
    """A column's name as names are compared: small letters, one space between words, no quotes."""
    return _SPACES.sub(" ", name.strip().strip("\ufeff").lower())


class Columns:
    """Where the columns of a file are. ``required`` ones are there, and no used one is there twice; else
    FileRefused."""

    def __init__(self, header: Sequence[str], required: Sequence[str], optional: Sequence[str] = ()) -> None:
        if len(header) > _MAX_COLUMNS:
            raise FileRefused("too_many_columns", f"the header has more than {_MAX_COLUMNS} columns")
        names = [plain(name) for name in header]
        missing = [name for name in required if plain(name) not in names]
        if missing:
            raise FileRefused("missing_columns", f"columns are missing: {', '.join(missing)}")
        doubled = [name for name in (*required, *optional) if names.count(plain(name)) > 1]
        if doubled:
            raise FileRefused("doubled_columns", f"columns are there more than once: {', '.join(doubled)}")
        self.width = len(names)
        self._places = {name: at for at, name in enumerate(names)}

    def has(self, name: str) -> bool:
        return plain(name) in self._places

    def at(self, name: str) -> int:
        """The place of a column; -1 where the file has none."""
        return self._places.get(plain(name), -1)


Cells = list[str]


class Table:
    """A file of delimited text, line by line. ``line``: where the row that was read last begins, from 1."""

    def __init__(self, source: BinaryIO, encoding: str, delimiter: str | None = None) -> None:
        head = source.peek(4)[:4] if hasattr(source, "peek") else b""
        text = io.TextIOWrapper(source, encoding_of(head, encoding), newline="")
        lines = _lines(text)
        first = next(lines, "")
        self._delimiter = delimiter or max(DELIMITERS, key=lambda each: len(header_cells(first, each)))
        csv.field_size_limit(_MAX_FIELD_CHARS)
        self._lines = _chained(first, lines)
        self._begun: str | None = None
        self._quoted = csv.reader(self._begun_and_further(), delimiter=self._delimiter)
        self._read = 0
        self.line = 0

    def rows(self) -> Iterator[Cells | BadRow]:
        """Rows with at least one cell that says something. A line that is no row is a bad one."""
        for line in self._lines:
            self._read += 1
            self.line = self._read
            if _QUOTE not in line and len(line) <= _MAX_FIELD_CHARS:  # nearly all of them
                cells = line.rstrip(_LINE_ENDS).split(self._delimiter)
            else:
                self._begun = line
                try:
                    cells = next(self._quoted)
                except csv.Error:
                    yield BadRow(line=self.line, reason="not_a_row", detail="the line is no row of delimited text")
                    continue
            if any(cells):
                yield cells

    def _begun_and_further(self) -> Iterator[str]:
        """A line with a quotation mark, and what its row goes on with."""
        while True:
            if self._begun is not None:
                line, self._begun = self._begun, None
                yield line
            elif (further := next(self._lines, None)) is not None:
                self._read += 1
                yield further
            else:
                return


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Lines of bounded length."""
    while True:
        try:
            line = text.readline(_MAX_FIELD_CHARS * 4)
        except UnicodeError:
            raise FileRefused("not_in_encoding", "the file is not in the encoding of its account") from None
        except (EOFError, OSError):
            raise FileRefused("broken_file", "the file ends before it is whole, or cannot be read") from None
        if not line:
            return
        yield line


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    if first:
        yield first
        yield from rest


Read = Callable[[Cells, int], SettlementRow | StatedTotal | None]


def header_of(table: Table) -> Cells:
    """The header. Raises FileRefused for a file without one."""
    for cells in table.rows():
        if isinstance(cells, BadRow):
            break
        return cells
    raise FileRefused("no_header", "the file has no header line")


def read_rows(table: Table, width: int, read: Read) -> Iterator[Item]:
    """What ``read`` makes of each row and its line. A row with another number of cells, and one that ``read`` refuses,
    is a bad row."""
    for cells in table.rows():
        if isinstance(cells, BadRow):
            yield cells
            continue
        line = table.line
        if len(cells) != width:
            yield BadRow(
                line=line, reason="other_width", detail=f"it has {len(cells)} fields, and the header has {width}"
            )
            continue
        try:
            item = read(cells, line)
        except RowRefused as error:
            yield BadRow(line=line, reason=error.reason, detail=error.detail)
            continue
        if item is not None:
            yield item


def cell(cells: Cells, at: int) -> str:
    """A cell, without spaces around it; "" for a column that the file does not have."""
    return cells[at].strip() if at >= 0 else ""
