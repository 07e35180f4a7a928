"""Bank statements of one account, written by hand in both formats."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Final

from tallystick.kit.ids import new_id

#: An entry: signed minor units, and its text.
Entry = tuple[int, str]

_NUMBERS: Final = count(1)


def camt053(
    entries: Sequence[Entry],
    opening: int,
    *,
    number: int = 1,
    day: str = "2026-03-03",
    name: str | None = None,
    account: str = "NL00",
) -> str:
    """One statement in EUR. ``name``: its id; by default one of its own. ``account``: as the bank calls it."""
    closing, name = opening + sum(amount for amount, _ in entries), name or new_id("req")

    def amount(value: int) -> str:
        sign = "DBIT" if value < 0 else "CRDT"
        return f'<Amt Ccy="EUR">{abs(value) // 100}.{abs(value) % 100:02d}</Amt><CdtDbtInd>{sign}</CdtDbtInd>'

    def balance(code: str, value: int) -> str:
        return f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{amount(value)}<Dt><Dt>{day}</Dt></Dt></Bal>"

    written = "".join(
        f"<Ntry>{amount(value)}<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>{day}</Dt></BookgDt><ValDt><Dt>{day}</Dt></ValDt>"
        f"<AcctSvcrRef>R{next(_NUMBERS)}</AcctSvcrRef><AddtlNtryInf>{text}</AddtlNtryInf></Ntry>"
        for value, text in entries
    )
    return (
        '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt><GrpHdr><MsgId>M</MsgId>'
        f"</GrpHdr><Stmt><Id>{name}</Id><ElctrncSeqNb>{number}</ElctrncSeqNb><Acct><Id><IBAN>{account}</IBAN></Id>"
        f"<Ccy>EUR</Ccy></Acct>{balance('OPBD', opening)}{balance('CLBD', closing)}{written}</Stmt></BkToCstmrStmt>"
        "</Document>"
    )


def mt940(
    entries: Sequence[Entry],
    opening: int,
    *,
    number: int = 1,
    day: str = "2026-03-03",
    reference: str | None = None,
    sequence: str | None = None,
    account: str = "NL00",
) -> str:
    """The same as a message. ``reference``: its own by default, and constant at some banks; ``sequence``: the number as
    the bank writes it."""
    date, closing = day[2:].replace("-", ""), opening + sum(amount for amount, _ in entries)

    def amount(value: int) -> str:
        return f"{abs(value) // 100},{abs(value) % 100:02d}"

    def balance(value: int) -> str:
        return f"{'D' if value < 0 else 'C'}{date}EUR{amount(value)}"

    lines = [f":20:{reference or new_id('req')[:16]}", f":25:{account}", f":28C:{sequence or f'{number:05d}/001'}"]
    lines.append(f":60F:{balance(opening)}")
    for value, text in entries:
        lines.append(f":61:{date}{'D' if value < 0 else 'C'}{amount(value)}NTRFNONREF//R{next(_NUMBERS)}")
        lines.append(f":86:{text}")
    return "\n".join([*lines, f":62F:{balance(closing)}", "-", ""])
