"""The acquirer's days of settlement as calls: what is closed, what the files hold, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from tallystick.lab.acquirer.rules import NotPossible
from tallystick.lab.acquirer.settlement_defects import DEFECTS, apply_defects
from tallystick.lab.acquirer.settlement_entries import Entry, charge_fee, entry_of
from tallystick.lab.acquirer.settlement_formats import FORMATS
from tests.support.acquirer import acquirer
from tests.support.acquirer_calls import charge, new_key
from tests.support.acquirer_days import content


@pytest.mark.parametrize(("amount", "fee"), [(1, 25), (35, 25), (36, 26), (1_000, 39), (2_000, 53), (100_000, 1_425)])
def test_a_fee_is_rounded_half_up(amount: int, fee: int) -> None:
    assert charge_fee(amount) == fee


@pytest.mark.parametrize(
    ("kind", "funds", "expected"),
    [
        ("charge.captured", None, ("charge", 1_000, 39)),
        ("dashboard.captured", None, ("charge", 1_000, 39)),
        ("capture.failed", None, ("charge_reversal", -1_000, 0)),
        ("refund.succeeded", None, ("refund", -1_000, 0)),
        ("dashboard.refunded", None, ("refund", -1_000, 0)),
        ("refund.failed", None, ("refund_reversal", 1_000, 0)),
        ("dispute.funds_withdrawn", "withdrawn", ("dispute", -1_000, 1_500)),
        ("dispute.lost", "withdrawn", ("dispute", -1_000, 1_500)),
        ("dispute.won", "returned", ("dispute_reversal", 1_000, 0)),
        ("dispute.opened", None, None),
        ("charge.authorized", None, None),
        ("refund.declined", None, None),
    ],
)
def test_what_an_event_moved(kind: str, funds: str | None, expected: tuple[str, int, int] | None) -> None:
    data = {"amount": 1_000, "currency": "EUR", "charge_id": "ch_1", "reference": "r_1", "payment_id": "pay_1"}
    entry = entry_of(1, kind, data | {"funds": funds, "occurred_at": "2026-03-02T10:00:00Z"}, "sim_ok")
    assert (None if entry is None else (entry.kind, entry.gross, entry.fee)) == expected


def test_each_defect_is_about_a_charge_of_its_own_and_says_what_it_did() -> None:
    entries = [
        Entry(entry_id=f"en_{n}", kind="charge", currency="EUR", gross=n * 1_000, charge=f"ch_{n}")
        for n in range(1, 10)
    ]
    names = ["missing_row", "doubled_row", "off_by_one", "wrong_fee", "other_currency", "late_row", "regenerated"]
    done = apply_defects(entries, [*names, "corrected", "unknown_type"]).done
    assert [(each.defect, each.entry_id, each.amount) for each in done] == [
        ("missing_row", "en_1", -1_000),
        ("doubled_row", "en_2", 2_000),
        ("off_by_one", "en_3", 1),
        ("wrong_fee", "en_4", 7),
        ("other_currency", "en_5", -5_000),
        ("late_row", "en_6", -6_000),
        ("regenerated", "en_7", 0),
        ("corrected", "en_8", 0),
        ("unknown_type", "en_unknown", 321),
    ]
    with pytest.raises(NotPossible):
        apply_defects(entries[:1], ["missing_row", "doubled_row"])
    assert {
        "negative_batch",
        "file_twice",
        "missing",
        "unknown_type",
        "corrected",
        "two_payouts",
        "manual_payout",
        *names,
    } == set(DEFECTS)


def test_a_day_in_other_formats_and_the_banks_balance_goes_on(tmp_path: Path) -> None:
    with acquirer(tmp_path / "books.sqlite") as running:
        found = []
        for day in ("2026-03-02", "2026-03-03"):
            assert running.call("POST", "/sim/charges", charge(amount=1_000), new_key())[0] == 200
            formats = {"day": day, "formats": list(FORMATS)}
            found.append(running.call("POST", "/sim/settlements", formats)[1]["files"])
        assert found == [
            [
                f"{day}-{end}"
                for end in ("1.csv", "adyen.csv", "camt053.xml", "generic.csv", "mt940.sta", "paypal.csv", "stripe.csv")
            ]
            for day in ("2026-03-02-1", "2026-03-03-2")
        ]
        statements = [content(running, names[4]).decode() for names in found]
        assert [":60F:C260302EUR0,00" in statements[0], ":62F:C260302EUR9,61" in statements[0]] == [True, True]
        assert [":60F:C260303EUR9,61" in statements[1], ":62F:C260303EUR19,22" in statements[1]] == [True, True]


def _rows(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(text.decode().splitlines()))


def test_a_day_is_closed_once_and_its_files_lie_in_the_directory(tmp_path: Path) -> None:
    with acquirer(tmp_path / "books.sqlite", settlements=tmp_path / "files") as running:
        assert running.call("POST", "/sim/settlements", {})[0] == 409, "nothing happened yet"
        for _ in range(2):
            assert running.call("POST", "/sim/charges", charge(amount=1_000), new_key())[0] == 200
        wrong: list[dict[str, Any]] = [
            {"day": "yesterday"},
            {"defects": ["nonsense"]},
            {"defects": [[]]},
            {"formats": ["excel"]},
            {"formats": ["stripe", "stripe"]},
            {"more": 1},
        ]
        assert {running.call("POST", "/sim/settlements", body)[0] for body in wrong} == {400}
        refused = running.call("POST", "/sim/settlements", {"defects": ["missing_row"] * 3})
        assert refused == (409, {"error": "no_charge_is_left_for_the_defect"})
        day = running.call("POST", "/sim/settlements", {"day": "2026-03-02", "defects": ["file_twice"]})[1]
        assert day["files"] == ["2026-03-02-1-1.csv", "2026-03-02-1-2.csv"]
        assert sorted(each.name for each in (tmp_path / "files").iterdir()) == day["files"]
        first, second = ((tmp_path / "files" / name).read_bytes() for name in day["files"])
        assert first == second == content(running, day["files"][0])
        rows = _rows(first)
        assert [(row["type"], row["gross"], row["fee"], row["net"]) for row in rows] == [
            ("charge", "1000", "39", "961"),
            ("charge", "1000", "39", "961"),
            ("payout", "-1922", "0", "-1922"),
            ("", "", "", "0"),
        ]
        assert {row["batch"] for row in rows} == {day["batch"]}
        assert running.call("POST", "/sim/settlements", {})[0] == 409, "all of it is settled"
        assert running.call("GET", "/sim/settlements")[1]["data"] == [day]
        assert running.call("GET", "/sim/settlements/files/none.csv")[0] == 404
