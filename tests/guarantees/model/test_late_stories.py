"""Each act and event after a payment's answer, once and by name; the state machine then mixes them with all else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import psycopg
import pytest

from tests.guarantees.model.late import RETURNS
from tests.guarantees.model.machine import Machine, machine


def _late(driven: Machine) -> None:
    driven.create(1_000, False, "declined")
    driven.paid_all_the_same(0)
    driven.views_agree()


def accepted_and_refunded(driven: Machine) -> None:
    _late(driven)
    driven.an_operator_decides(0, True, "ok")
    driven.views_agree()
    driven.follow_up("refund", 0, 333, "timeout_charged")
    driven.refunded_in_the_dashboard(0, 600)
    driven.follow_up("refund", 0, 600, "ok")


def given_back(driven: Machine) -> None:
    for story in RETURNS:
        _late(driven)
        driven.an_operator_decides(0, False, story)
        driven.views_agree()


def refunded_in_the_dashboard(driven: Machine) -> None:
    _late(driven)
    driven.refunded_in_the_dashboard(0, 333)
    driven.views_agree()
    driven.an_operator_decides(0, True, "ok")
    driven.follow_up("refund", 0, None, "ok")


def closed_and_paid(driven: Machine) -> None:
    """The payer leaves, recovery closes the charge, and it is paid all the same."""
    driven.create(1_000, False, "action_required")
    driven.customer_acts(0, False)
    driven.views_agree()
    driven.paid_all_the_same(0)
    driven.views_agree()
    driven.an_operator_decides(0, False, "ok")


def captured_in_parts(driven: Machine) -> None:
    driven.create(1_000, True, "ok")
    driven.captured_in_parts(0, 333)
    driven.captured_in_parts(0, 333)
    driven.views_agree()
    driven.create(1_000, True, "ok")
    driven.follow_up("capture", 1, 600, "ok")
    driven.captured_in_parts(1, 600)
    driven.views_agree()
    driven.follow_up("refund", 1, None, "ok")


def keys_used_before(driven: Machine) -> None:
    for executed in (True, False):
        driven.key_used_before(0, 600)
        driven.same_again(0)
        driven.time_passes()
        driven.views_agree()
        driven.a_person_settles(0, executed)
        driven.views_agree()
    driven.follow_up("refund", 0, 333, "ok")


#: What happens, and the steps that it must have come to.
STORIES: Final[dict[Callable[[Machine], None], str]] = {
    accepted_and_refunded: "payment late_capture, payment late_money_accepted, payment refund_succeeded",
    given_back: "payment late_return_opened, payment late_money_returned, payment late_return_failed",
    refunded_in_the_dashboard: "payment late_money_returned, payment late_money_accepted",
    closed_and_paid: "payment action_required, payment declined, attempt resubmit, payment late_capture",
    captured_in_parts: "payment captured, payment capture_added, payment refund_succeeded",
    keys_used_before: "attempt key_taken, attempt parked, attempt not_found, attempt give_up, payment failed",
}


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_after_the_end(own_url: str, story: Callable[[Machine], None]) -> None:
    with machine(own_url, forgetful=False) as driven:
        story(driven)
        driven.views_agree()
        merchant_id = driven.merchant_id
    with psycopg.connect(own_url) as connection:
        rows = connection.execute(
            "SELECT DISTINCT subject || ' ' || event FROM history WHERE merchant_id = %s", [merchant_id]
        ).fetchall()
    assert set(STORIES[story].split(", ")) <= {row[0] for row in rows}
