"""The table of what a process counts."""

from __future__ import annotations

import re

from tallystick.domain.measures import LABELS, MEASURES
from tallystick.kit.metrics import Counts, Spreads


def test_no_label_can_name_a_merchant_a_payment_or_a_key() -> None:
    assert LABELS & {"merchant", "merchant_id", "payment", "payment_id", "key", "idempotency_key", "endpoint"} == set()
    assert {label for each in MEASURES for label in each.family.labels} <= LABELS


def test_names_are_those_that_prometheus_expects() -> None:
    names = [each.family.name for each in MEASURES]
    assert len(set(names)) == len(names)
    for each in MEASURES:
        name = each.family.name
        assert re.fullmatch(r"tallystick_[a-z_]+", name)
        assert not name.endswith(("_total", "_bucket", "_sum", "_count")), "the format adds these"
        assert not isinstance(each, Counts) or not name.endswith("_seconds"), "a count has no unit"
        assert not isinstance(each, Spreads) or list(each.bounds) == sorted(set(each.bounds))
        assert each.family.says.endswith(".")
