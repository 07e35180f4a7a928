"""ISO 20022 camt.053, the bank-to-customer statement, in versions 2 to 8 and later ones of the same structure.

Only entries with the status BOOK move the balance; what is within an entry explains it. An entry's direction is its
``CdtDbtInd`` alone, of reversals too; an account whose bank means the opposite says so. A charge that the bank took out
of an entry, or added to it, is a row of its own: the entry is what was paid, and both are what the bank booked.

A statement may have several pages, each with the balances of its own: what is booked in the interim closes a page that
is not the last, and opens the one after it.

The document is read as a stream. Document types and entities are refused, and so is what is nested too deeply.

Source: iso20022.org, message definition report "Bank-to-Customer Cash Management".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import BinaryIO, Final
from xml.parsers import expat

from msgspec.structs import replace

from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.settlement_file import BadRow, FilePurpose, StatedTotal
from tallystick.domain.settlement_row import SettlementRow, keyed_by_content
from tallystick.flows.reconciliation.formats.base import (
    FileRefused,
    Item,
    OneAccount,
    ReadOptions,
    RowRefused,
    currency_of,
    day,
    minor_units,
    moment,
    name_of,
    signed,
    text_of,
    without_balances,
)

_NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:camt.053.001."
_SEPARATOR: Final = "}"

#: Read at a time: what one piece holds is all that is in memory, beside one entry.
_PIECE_BYTES: Final = 65_536

#: The standard nests less than half as deep.
_MAX_DEPTH: Final = 40

#: Elements in one entry or head: a batch of some thousands of payments.
_MAX_NODES: Final = 200_000
_MAX_CHARS: Final = 2_000_000

#: No path that is asked for has more names, and no name of the standard is longer: what is deeper or longer is nobody's
#: and fills no memory with its paths.
_ASKED_DEPTH: Final = 6
_NAME_CHARS: Final = 40

#: Of one entry are named so many references: an entry of a batch is matched by the batch's.
_MAX_REFERENCES: Final = 20

#: What is literally no reference.
_NO_REFERENCE: Final = frozenset({"", "NOTPROVIDED", "NONREF", "NOTAVAILABLE", "N/A"})

#: Of a statement's balances: those that open and those that close it, best first. PRCD: the closing balance of the day
#: before.
_OPENING: Final = ("OPBD", "PRCD")
_CLOSING: Final = ("CLBD",)
_INTERIM: Final = "ITBD"

#: Which page a message is; a statement has its own word for that.
_OF_MESSAGE: Final = "MsgPgntn"

#: What is not in pages.
_WHOLE: Final = ("", True)

#: A charge that the entry's amount contains, as a row of its own.
_CHARGES: Final = "Chrgs"

#: Where an entry says what was paid, before charges: in its details, or of itself.
_PAID: Final = (
    "NtryDtls/TxDtls/Amt",
    "NtryDtls/TxDtls/AmtDtls/TxAmt/Amt",
    "NtryDtls/TxDtls/AmtDtls/InstdAmt/Amt",
    "AmtDtls/TxAmt/Amt",
    "AmtDtls/InstdAmt/Amt",
)

#: A time that is the end of the day before.
_MIDNIGHT: Final = re.compile(r"T00:00(:00(\.0+)?)?(?![0-9:.])", re.ASCII)

_FRACTION: Final = re.compile(r"(\.\d{6})\d+")

#: A date may have an offset too; it is the start of that day there.
_DAY: Final = re.compile(r"(\d{4}-\d\d-\d\d)([+-]\d\d:\d\d)", re.ASCII)

#: Where references stand.
_REFERENCES: Final = (
    "NtryDtls/Btch/PmtInfId",
    "NtryDtls/Btch/MsgId",
    "NtryDtls/TxDtls/Refs/AcctSvcrRef",
    "NtryDtls/TxDtls/Refs/PmtInfId",
    "NtryDtls/TxDtls/Refs/InstrId",
    "NtryDtls/TxDtls/Refs/EndToEndId",
    "NtryDtls/TxDtls/Refs/TxId",
    "NtryDtls/TxDtls/Refs/UETR",
    "NtryDtls/TxDtls/Refs/MndtId",
)


#: The number of a page, and whether it is the last one.
Page = tuple[str, bool]

#: A balance: its currency, its amount, and its day.
Balance = tuple[str, int, date | None]


class Node:
    """An element: its name without namespace, its text, its attributes and children. ``line``: of a statement's child;
    0 of what is within one, which nobody asks."""

    __slots__ = ("attributes", "below", "children", "line", "name", "parts")

    def __init__(self, name: str, attributes: dict[str, str], line: int = 0) -> None:
        self.name, self.attributes, self.line = name, attributes, line
        self.parts: list[str] | None = None  # most elements have either text or children
        self.children: list[Node] | None = None
        self.below: dict[str, list[Node]] | None = None  # what is within it, by path, once somebody asks

    @property
    def text(self) -> str:
        return "".join(self.parts).strip() if self.parts else ""

    def all(self, path: str) -> Sequence[Node]:
        """Elements at a path of names, in their order."""
        if self.below is None:
            self.below = {}
            _gather(self, "", self.below)
        return self.below.get(path, ())

    def at(self, path: str) -> str:
        """The text of the first element at a path; "" where there is none."""
        found = self.all(path)
        return found[0].text if found else ""


def _gather(node: Node, above: str, found: dict[str, list[Node]], depth: int = _ASKED_DEPTH) -> None:
    """Everything within an element by its path, in the order of the document."""
    for child in node.children or ():
        if len(child.name) > _NAME_CHARS:
            continue
        path = above + child.name
        if path in found:
            found[path].append(child)
        else:
            found[path] = [child]
        if child.children is not None and depth > 1:
            _gather(child, path + "/", found, depth - 1)


class Camt053:
    """One document has one statement or more, of one account or more."""

    name = "camt053"
    version = 4
    provider: str | None = "bank"
    purpose: FilePurpose = "post"

    def recognises(self, head: bytes) -> bool:
        return any(word in head for word in (_NAMESPACE.encode(), _NAMESPACE.encode("utf-16-le"), b"<BkToCstmrStmt"))

    def is_complete(self, options: ReadOptions, batches: Collection[str], *, has_payouts: bool) -> bool:
        return True

    def read(self, source: BinaryIO, options: ReadOptions) -> Iterator[Item]:
        document = _Document()
        statement: _Statement | None = None
        page: Page | None = None
        zone, accounts = options.tzinfo(), OneAccount()
        for node in _pieces(source, document):
            if node.name == _OF_MESSAGE:
                page = _page_of_message(node)
                continue
            if node.name == "Stmt":
                if statement is not None:
                    yield from statement.total(node.line)
                statement = None
                continue
            statement = statement or _Statement(options, zone, accounts, page)
            yield from statement.took(node)
        if not document.is_statement:
            raise FileRefused("not_this_format", "the document is no bank-to-customer statement")


class _Document:
    """Builds the children of each statement, and hands each over when it ends. The statement itself comes last, empty;
    which page the message is comes first."""

    def __init__(self) -> None:
        self.is_statement = False
        self.done: list[Node] = []
        self._stack: list[Node] = []
        self._path: list[str] = []
        self._nodes = self._chars = 0
        parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = _refuse_document_type
        parser.EntityDeclHandler = _refuse_document_type
        parser.ExternalEntityRefHandler = _refuse_document_type
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self.parser = parser

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(_SEPARATOR)[2]
        self._path.append(local)
        depth = len(self._path)
        if depth > _MAX_DEPTH:
            raise FileRefused("too_deep", f"elements are nested more than {_MAX_DEPTH} deep")
        if depth == 2 and local == "BkToCstmrStmt":
            self.is_statement = True
        elif depth == 2:
            raise FileRefused("not_this_format", "the document is no bank-to-customer statement")
        if depth >= 4 and (self._path[2] == "Stmt" or self._path[2:4] == ["GrpHdr", _OF_MESSAGE]):
            self._nodes += 1
            if self._nodes > _MAX_NODES:
                raise FileRefused("too_large", "an entry has too many elements")
            if not self._stack:
                self._stack.append(Node(local, attributes, self.parser.CurrentLineNumber))
                return
            node, parent = Node(local, attributes), self._stack[-1]
            if parent.children is None:
                parent.children = [node]
            else:
                parent.children.append(node)
            self._stack.append(node)

    def _text(self, text: str) -> None:
        if self._stack:
            self._chars += len(text)
            if self._chars > _MAX_CHARS:
                raise FileRefused("too_large", "an entry has too much text")
            node = self._stack[-1]
            if node.parts is None:
                node.parts = [text]
            else:
                node.parts.append(text)

    def _end(self, name: str) -> None:
        self._path.pop()
        if self._stack:
            node = self._stack.pop()
            if not self._stack:
                self._nodes = self._chars = 0
                self.done.append(node)
        elif len(self._path) == 2 and name.rpartition(_SEPARATOR)[2] == "Stmt":
            self.done.append(Node("Stmt", {}, self.parser.CurrentLineNumber))


def _refuse_document_type(*_: object) -> int:
    raise FileRefused("document_type", "the document has a document type or entities, which no statement needs")


def _pieces(source: BinaryIO, document: _Document) -> Iterator[Node]:
    try:
        while piece := source.read(_PIECE_BYTES):
            document.parser.Parse(piece, False)
            yield from document.done
            document.done.clear()
        document.parser.Parse(b"", True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        line = document.parser.CurrentLineNumber
        raise FileRefused("not_xml", f"line {line}: the document is not well formed") from error
    except (EOFError, OSError):
        raise FileRefused("broken_file", "the file ends before it is whole, or cannot be read") from None
    yield from document.done
    document.done.clear()


class _Statement:
    """One statement, as its parts come: head, balances, entries."""

    def __init__(self, options: ReadOptions, zone: tzinfo, accounts: OneAccount, of_message: Page | None) -> None:
        self._options, self._zone, self._accounts = options, zone, accounts
        self._id = self._sequence = self._account = self._currency = ""
        self._of_message, self._rows = of_message, 0
        self._own_page: Page | None = None
        self._days: tuple[date | None, date | None] = (None, None)
        self._balances: dict[str, Balance] = {}
        self._interim: list[Balance] = []

    @property
    def batch(self) -> str:
        number, is_last = self._page
        page = f"/{number}" if number and not (number == "1" and is_last) else ""
        return (f"{self._id}/{self._sequence}" if self._sequence else self._id) + page

    @property
    def _page(self) -> Page:
        """Which page of the statement it is, and whether it is the last. In early versions only the message says it,
        which may be pages of whole statements too."""
        if self._own_page is not None:
            return self._own_page
        if self._of_message is None:
            return _WHOLE
        ends = [_first_of(self._balances, codes) for codes in (_OPENING, _CLOSING)]
        return self._of_message if None in ends else _WHOLE

    def took(self, node: Node) -> Iterator[Item]:
        """One child of the statement. Raises FileRefused for a head that cannot be read."""
        try:
            if node.name == "Ntry":
                rows = self._entry(node)
                self._rows += len(rows)
                yield from rows
            else:
                self._head(node)
        except RowRefused as error:
            if node.name != "Ntry":
                raise FileRefused("bad_statement", f"line {node.line}: {error.detail}") from None
            yield BadRow(line=node.line, reason=error.reason, detail=error.detail)

    def _head(self, node: Node) -> None:
        match node.name:
            case "Id":
                self._id = name_of(node.text) or ""
            case "ElctrncSeqNb":
                self._sequence = name_of(node.text) or ""
            case "LglSeqNb":
                self._sequence = self._sequence or name_of(node.text) or ""
            case "StmtPgntn":
                self._own_page = _page_of(node)
            case "FrToDt":
                start, end = node.at("FrDtTm") or node.at("FrDt"), node.at("ToDtTm") or node.at("ToDt")
                first = day(start) if start else None
                self._days = (first, _last_day(end, first) if end else None)
            case "Acct":
                self._account = name_of(node.at("Id/IBAN") or node.at("Id/Othr/Id")) or ""
                self._currency = node.at("Ccy").upper()
                if self._currency:
                    self._accounts.require(self._currency, self._account)
            case "Bal":
                self._balance(node)

    def _balance(self, node: Node) -> None:
        code = node.at("Tp/CdOrPrtry/Cd") or node.at("Tp/CdOrPrtry/Prtry")
        is_interim = code == _INTERIM and (self._own_page or self._of_message) is not None
        if not is_interim and (code in self._balances or code not in (*_OPENING, *_CLOSING)):
            return
        currency, amount = self._amount(node)
        on = "" if code in _OPENING else node.at("Dt/Dt") or node.at("Dt/DtTm")
        found = (currency, signed(amount, node.at("CdtDbtInd")), day(on) if on else None)
        self._accounts.require(currency, self._account)
        if is_interim:
            self._interim.append(found)
        else:
            self._balances[code] = found

    def _proving(self) -> tuple[Balance | None, Balance | None]:
        """The balances between which this page's entries are. Interim ones stand in their order."""
        interim, (number, is_last) = list(self._interim), self._page
        closing = interim.pop() if interim and not is_last else _first_of(self._balances, _CLOSING)
        if interim and number not in ("", "1"):
            return interim[0], closing
        return _first_of(self._balances, _OPENING), closing

    def _amount(self, node: Node) -> tuple[str, int]:
        amounts = node.all("Amt")
        if not amounts:
            raise RowRefused("not_an_amount", "it has no amount")
        return self._amount_of(amounts[0])

    def _amount_of(self, amount: Node) -> tuple[str, int]:
        currency = currency_of(amount.attributes.get("Ccy", self._currency))
        value = minor_units(amount.text, EXPONENTS[currency])
        if value < 0:
            raise RowRefused("signed", "an amount has a sign")
        return currency, value

    def _entry(self, node: Node) -> list[SettlementRow]:
        """The entry, and the charge that was in it; nothing of one that is not booked."""
        status = node.at("Sts/Cd") or node.at("Sts")
        if status != "BOOK":
            if status in ("PDNG", "INFO", "FUTR"):
                return []
            raise RowRefused("no_status", "it has no status that is known")
        currency, amount = self._amount(node)
        is_reversal = node.at("RvslInd") in ("true", "1")
        amount = signed(amount, node.at("CdtDbtInd"))
        if is_reversal and self._options.reversals == "inverted":
            amount = -amount
        raw_type = self._type(node) or ("reversal" if is_reversal else "entry")
        reference = _known(node.at("AcctSvcrRef"))
        value = node.at("ValDt/Dt") or node.at("ValDt/DtTm")
        row = SettlementRow(
            position=0,
            line=node.line,
            batch=self.batch,
            row_key=reference or "",
            kind=self._options.kind_of(raw_type, {raw_type: "bank_entry"}),
            raw_type=raw_type,
            currency=currency,
            gross=amount,
            fee=0,
            net=amount,
            reference=reference,
            booked_at=self._time(node.at("BookgDt/DtTm") or node.at("BookgDt/Dt")),
            value_on=day(value) if value else None,
            other_references=_references(node) or None,
            text=text_of(*_texts(node)),
        )
        charge = self._charge(node, row) if row.kind == "bank_entry" else 0
        if charge == row.net:
            row.kind = "fee"
        if charge in (0, row.net):
            return [_keyed(row)]
        cost = replace(
            row,
            row_key=f"{reference}:{_CHARGES}" if reference else "",
            kind=self._options.kind_of(_CHARGES, {_CHARGES: "fee"}),
            raw_type=_CHARGES,
            gross=charge,
            net=charge,
        )
        row.gross = row.net = row.net - charge
        return [_keyed(row), _keyed(cost)]

    def _charge(self, node: Node, row: SettlementRow) -> int:
        """What of the entry's amount is the bank's charge, less than 0 where it is charged. An indicator says that it
        is contained; without one the amount that was paid proves it. What is booked by itself, and what is in another
        currency, is no part of this entry."""
        charges = node.all(_CHARGES) or node.all(f"NtryDtls/TxDtls/{_CHARGES}")
        try:
            return self._contained(node, row, charges) if charges else 0
        except RowRefused:
            return 0  # what is booked stays what it is

    def _contained(self, node: Node, row: SettlementRow, charges: Sequence[Node]) -> int:
        contained = unsaid = 0
        for each in [record for charge in charges for record in (charge.all("Rcrd") or (charge,))]:
            amounts = each.all("Amt") or each.all("TtlChrgsAndTaxAmt")
            currency, amount = self._amount_of(amounts[0]) if amounts else ("", 0)
            if currency != row.currency:
                continue
            amount = signed(amount, each.at("CdtDbtInd") or "DBIT")
            said = each.at("ChrgInclInd")
            if said in ("true", "1"):
                contained += amount
            elif not said:
                unsaid += amount
        if unsaid and abs(row.net - contained - unsaid) in self._paid(node, row.currency):
            contained += unsaid
        paid = row.net - contained
        return contained if paid == 0 or (paid > 0) == (row.net > 0) else 0

    def _paid(self, node: Node, currency: str) -> set[int]:
        """What the entry says was paid, without a sign, in each way that it says so."""
        found = set[int]()
        for path in _PAID:
            amounts = [self._amount_of(each) for each in node.all(path)]
            if amounts and all(code == currency for code, _ in amounts):
                found.add(sum(amount for _, amount in amounts))
        return found

    def _type(self, node: Node) -> str:
        family = "BkTxCd/Domn/Fmly/"
        codes = [node.at("BkTxCd/Domn/Cd"), node.at(f"{family}Cd"), node.at(f"{family}SubFmlyCd")]
        found = "/".join(each for each in codes if each) or node.at("BkTxCd/Prtry/Cd")
        return name_of(found) or ""

    def _time(self, text: str) -> datetime | None:
        at = _FRACTION.sub(r"\1", text).replace("Z", "+00:00")
        return moment(_DAY.sub(r"\1T00:00:00\2", at), self._zone) if text else None

    def total(self, line: int) -> Iterator[StatedTotal | BadRow]:
        """What the statement says that its entries come to. One without both balances says nothing, which is said."""
        opening, closing = self._proving()
        if opening is None or closing is None:
            if self._rows:
                yield without_balances(line)
            return
        if opening[0] != closing[0]:
            raise FileRefused("bad_statement", "a statement opens in one currency and closes in another")
        number, _ = self._page
        yield StatedTotal(
            batch=self.batch,
            currency=closing[0],
            proof="balances",
            total=closing[1] - opening[1],
            opening=opening[1],
            closing=closing[1],
            sequence="/".join(each for each in (self._sequence, number) if each) if self._sequence else None,
            balance_account=self._account or None,
            from_on=self._days[0],
            to_on=closing[2] or self._days[1],
        )


def _page_of(node: Node) -> Page:
    return (name_of(node.at("PgNb")) or "").lstrip("0"), node.at("LastPgInd") in ("true", "1")


def _page_of_message(node: Node) -> Page:
    try:
        return _page_of(node)
    except RowRefused as error:
        raise FileRefused("bad_statement", f"line {node.line}: {error.detail}") from None


def _first_of(balances: dict[str, Balance], codes: Sequence[str]) -> Balance | None:
    return next((balances[code] for code in codes if code in balances), None)


def _last_day(end: str, first: date | None) -> date:
    """A time is when the statement ends: midnight is the end of the day before."""
    on = day(end)
    if _MIDNIGHT.search(end) and on != first:
        on -= timedelta(days=1)
    return on


def _keyed(row: SettlementRow) -> SettlementRow:
    return row if row.row_key else keyed_by_content(row, "value_on", "booked_at", "other_references", "text")


def _known(text: str) -> str | None:
    return None if text.upper() in _NO_REFERENCE else name_of(text)


def _references(node: Node) -> list[str]:
    """Names of the entry beside the bank's own, each once."""
    found: dict[str, None] = {}
    for text in (node.at("NtryRef"), *(each.text for path in _REFERENCES for each in node.all(path))):
        name = _known(text)
        if name is not None:
            found[name] = None
    return sorted(found)[:_MAX_REFERENCES]


def _texts(node: Node) -> Iterator[str]:
    for path in ("NtryDtls/TxDtls/RmtInf/Ustrd", "NtryDtls/TxDtls/RmtInf/Strd/CdtrRefInf/Ref", "AddtlNtryInf"):
        yield from (each.text for each in node.all(path))


FORMAT: Final = Camt053()
