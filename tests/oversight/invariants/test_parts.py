"""The order in which parts are examined: that of time, whoever's they are."""

from __future__ import annotations

from tallystick.oversight.invariants.parts import Part, in_order_of_time


def test_parts_of_several_merchants_are_examined_in_the_order_of_their_payments() -> None:
    """After what is asked of the platform and of whole merchants, and with their places in the report."""
    parts = [
        Part(),
        Part(merchant_id="a", payments=("", 500), last="pay_03"),
        Part(merchant_id="a", payments=("pay_03", 500), last="pay_06"),
        Part(merchant_id="a", rest=True),
        Part(merchant_id="b", payments=("", 500), last="pay_02"),
        Part(merchant_id="b", payments=("pay_02", 7), last="pay_05"),
        Part(merchant_id="b", rest=True),
        Part(merchant_id="c", payments=("", 3), last="pay_04", rest=True),
    ]
    ordered = in_order_of_time(parts)
    assert [number for number, _ in ordered] == [0, 3, 6, 4, 1, 7, 5, 2]
    assert all(parts[number] is part for number, part in ordered)
