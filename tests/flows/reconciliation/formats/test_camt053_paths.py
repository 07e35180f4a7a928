"""The deepest path that is asked of an entry is walked, and what is deeper or has longer names is nobody's."""

from __future__ import annotations

import io
from typing import Final

import pytest

from tallystick.domain.settlement_row import SettlementRow
from tallystick.flows.reconciliation.formats import camt053
from tallystick.flows.reconciliation.formats.base import ReadOptions

pytestmark = pytest.mark.fast

ENTRY: Final = (
    "<Document><BkToCstmrStmt><Stmt><Id>S1</Id><Ntry><NtryRef>N1</NtryRef><Amt Ccy='EUR'>1.00</Amt>"
    "<CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts><NtryDtls><TxDtls>{within}</TxDtls></NtryDtls></Ntry></Stmt>"
    "</BkToCstmrStmt></Document>"
)

REFERENCE: Final = "<RmtInf><Strd><CdtrRefInf><Ref>RF18</Ref></CdtrRefInf></Strd></RmtInf>"


def read(within: str) -> SettlementRow:
    content = ENTRY.format(within=within).encode()
    items = camt053.FORMAT.read(io.BufferedReader(io.BytesIO(content)), ReadOptions())
    [row] = [each for each in items if isinstance(each, SettlementRow)]  # it says besides that there are no balances
    return row


def test_a_creditors_reference_is_the_entrys_text() -> None:
    assert read(REFERENCE).text == "RF18"


def test_what_is_deeper_or_longer_fills_no_memory() -> None:
    long, deep = "x" * 1_000, 30
    strange = "<y>" * deep + f"<{long}/>" * 100 + "</y>" * deep
    row = read(REFERENCE + strange)
    assert (row.text, row.gross) == ("RF18", 100)
    entry, found = camt053.Node("Ntry", {}), dict[str, list[camt053.Node]]()
    entry.children = [camt053.Node(long, {})]
    camt053._gather(entry, "", found)
    assert found == {}
