"""Rows that are looked at together come out as if each was looked at by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tallystick.domain.settlement_file import BadRow, StatedTotal
from tallystick.domain.settlement_row import SettlementRow
from tallystick.flows.reconciliation.formats.base import Item, RowRefused
from tallystick.flows.reconciliation.screening import RowScreen, screened
from tallystick.record.sealing import Sealer

CARD = "4111111111111111"
SECRET = "hidden-in-the-settings"

#: What a row says that cannot be stored as it is, by where it says it.
UNCLEAR: tuple[dict[str, Any], ...] = (
    {"reference": CARD},
    {"text": f"paid with {CARD}"},
    {"other_references": ["ch_1", CARD]},
    {"payout_reference": f"po_{SECRET}"},
    {"text": "Bearer abcdefghijklmnopqrstuvwxyz"},
    {"text": "\x00"},
    {"row_key": "\ud800"},
    {"batch": "sealed:****"},
)


def screen() -> RowScreen:
    return RowScreen(Sealer(lambda: [b"k" * 32]), "stripe", [SECRET])


def row(line: int, **said: Any) -> SettlementRow:
    values = {"batch": "po_1", "row_key": f"txn_a{line}", "text": None, "reference": "ch_b"} | said
    return SettlementRow(
        position=0, line=line, kind="charge", raw_type="charge", currency="EUR", gross=9, fee=1, net=8, **values
    )


def items(unclear: dict[int, dict[str, Any]]) -> Iterator[Item]:
    for line in range(1, 101):
        yield row(line, **unclear.get(line, {}))
        if line % 30 == 0:
            yield BadRow(line=line, reason="other_width", detail="")
    yield StatedTotal(batch="po_1", currency="EUR", proof="footer", total=800)


def one_by_one(found: Iterator[Item], each_by: RowScreen) -> Iterator[Item]:
    for each in found:
        if not isinstance(each, SettlementRow):
            yield each
            continue
        try:
            yield each_by.screened(each)
        except RowRefused as error:
            yield BadRow(line=each.line, reason=error.reason, detail=error.detail)


@pytest.mark.parametrize("at", [(), (1,), (32, 33), (50, 51, 52, 53, 54), tuple(range(1, 101, 7))])
def test_rows_together_are_as_rows_alone(at: tuple[int, ...]) -> None:
    unclear = {line: UNCLEAR[number % len(UNCLEAR)] for number, line in enumerate(at)}
    together, alone = screen(), screen()
    found = list(screened(items(unclear), together))
    expected = list(one_by_one(items(unclear), alone))
    assert [repr(each) for each in found] == [repr(each) for each in expected]
    assert together.found == alone.found
    kept = [each for each in found if isinstance(each, SettlementRow)]
    said = msgspec.json.encode(kept).decode()
    assert CARD not in said
    assert SECRET not in said


def test_a_total_has_the_name_that_its_rows_are_stored_under() -> None:
    """A bank's reference and number may look like a card number."""
    said: list[Item] = [row(1, batch=CARD), StatedTotal(batch=CARD, currency="EUR", proof="balances", total=8)]
    stored, total = screened(iter(said), screen())
    assert isinstance(stored, SettlementRow) and isinstance(total, StatedTotal)
    assert stored.batch == total.batch and CARD not in total.batch and total.total == 8


def test_a_total_that_is_no_text_is_a_bad_row() -> None:
    said: list[Item] = [StatedTotal(batch="\x00", currency="EUR", proof="footer", total=1)]
    [found] = screened(iter(said), screen())
    assert isinstance(found, BadRow) and found.reason == "not_text"
