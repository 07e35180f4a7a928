"""A bank's statement in camt.053, with entries of ordinary customers: none is a payout that the record knows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tallystick.lab.bench.settlement_rows import Announce, SettlementFiles

#: What reconciliation calls an entry that names nothing of the record.
OF_OTHERS: Final = ("unexplained", "not_in_record")

_CURRENCY: Final = "EUR"

#: Written at a time.
_PIECE: Final = 10_000


def write_statement(folder: Path, entries: int, run: str, announce: Announce) -> SettlementFiles:
    """Write one statement of an account of its own. ``run``: is in every name. Raises OSError."""
    day, path = f"{datetime.now(UTC):%Y-%m-%d}", folder / f"statement-{run}.xml"
    amounts = [100 + number % 50_000 for number in range(1, entries + 1)]
    with path.open("w", encoding="utf-8") as out:
        out.write(
            '<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">'
            f"<BkToCstmrStmt><GrpHdr><MsgId>M{run}</MsgId><CreDtTm>{day}T23:59:59Z</CreDtTm></GrpHdr>\n"
            f"<Stmt><Id>S{run}</Id><ElctrncSeqNb>1</ElctrncSeqNb><Acct><Id><IBAN>NL00BENCH</IBAN></Id>"
            f"<Ccy>{_CURRENCY}</Ccy></Acct>{_balance('OPBD', 0, day)}{_balance('CLBD', sum(amounts), day)}\n"
        )
        for start in range(0, entries, _PIECE):
            some = enumerate(amounts[start : start + _PIECE], start + 1)
            out.write("".join(_entry(f"{run}x{number:07d}", amount, day) for number, amount in some))
            announce("entries", min(start + _PIECE, entries), entries)
        out.write("</Stmt></BkToCstmrStmt></Document>\n")
    return SettlementFiles(
        paths=[str(path)],
        rows=entries,
        bytes=path.stat().st_size,
        exceptions={OF_OTHERS: entries},
        format="camt053",
        provider="bank",
        account=f"bench-{run}",
    )


def _entry(name: str, amount: int, day: str) -> str:
    return (
        f"<Ntry><NtryRef>{name}</NtryRef>{_amount(amount)}<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>{day}</Dt></BookgDt>"
        f"<ValDt><Dt>{day}</Dt></ValDt><AcctSvcrRef>B{name}</AcctSvcrRef><BkTxCd><Domn><Cd>PMNT</Cd><Fmly>"
        "<Cd>RCDT</Cd><SubFmlyCd>ESCT</SubFmlyCd></Fmly></Domn></BkTxCd><NtryDtls><TxDtls><Refs>"
        f"<EndToEndId>E{name}</EndToEndId></Refs><RmtInf><Ustrd>Invoice of customer {name}</Ustrd></RmtInf></TxDtls>"
        "</NtryDtls></Ntry>\n"
    )


def _balance(code: str, amount: int, day: str) -> str:
    return f"<Bal><Tp><CdOrPrtry><Cd>{code}</Cd></CdOrPrtry></Tp>{_amount(amount)}<Dt><Dt>{day}</Dt></Dt></Bal>"


def _amount(amount: int) -> str:
    return f'<Amt Ccy="{_CURRENCY}">{amount // 100}.{amount % 100:02d}</Amt><CdtDbtInd>CRDT</CdtDbtInd>'
