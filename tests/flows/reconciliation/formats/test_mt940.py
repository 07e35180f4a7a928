"""What banks write beside the standard: a longer reference, and fields of their own. Statements are proved by their
balances all the same."""

from __future__ import annotations

import io
from typing import Final

from tallystick.domain.settlement_file import StatedTotal
from tallystick.domain.settlement_row import SettlementRow
from tallystick.flows.reconciliation.formats.base import ReadOptions
from tallystick.flows.reconciliation.formats.mt940 import FORMAT

STATEMENT: Final = """:20:STMT
:25:NL00BANK0000000001
:28C:7/1
:NS:22Somebody
23Somebody else
:60F:C260301EUR100,00
:61:2603020302D65,00NOVBNL00BANK0000000002
:NS:01a line of the bank's own
02and another one
:86:rent
:61:2603020302C10,00NTRFNONREF//R1
:86:back
:62F:C260302EUR45,00
"""


def test_a_banks_own_fields_and_a_longer_reference_are_read() -> None:
    items = list(FORMAT.read(io.BytesIO(STATEMENT.encode()), ReadOptions()))
    rows = [each for each in items if isinstance(each, SettlementRow)]
    assert [(each.net, each.other_references, each.text) for each in rows] == [
        (-6_500, ["NL00BANK0000000002"], "rent"),
        (1_000, None, "back"),
    ]
    [total] = [each for each in items if isinstance(each, StatedTotal)]
    assert (total.batch, total.total) == ("STMT/7/1", sum(each.net for each in rows))
    assert len(items) == 3
