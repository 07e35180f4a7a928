"""The table of who settles what happened has every pair, and the page is printed from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.contract.authority import render_authority
from tallystick.domain.authority import AUTHORITIES, KEPT, MEANINGS, PAIRS, SOURCES, authority
from tallystick.domain.settlement_evidence import authority_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "authority.md"


def test_every_pair_of_sources_has_one_row() -> None:
    named = [(each.first, each.second) for each in AUTHORITIES]
    assert len(PAIRS) == 28 and sorted(map(sorted, named)) == sorted(map(sorted, PAIRS))
    assert set(MEANINGS) == set(SOURCES)


def test_a_row_is_read_in_both_directions() -> None:
    for first, second in PAIRS:
        assert authority(first, second) is authority(second, first)
    with pytest.raises(KeyError):
        authority("record", "record")


def test_every_row_says_who_is_told_and_for_how_long_it_may_last() -> None:
    for each in AUTHORITIES:
        assert each.because and each.written and each.lasts and each.kept in KEPT
        assert each.settles in (each.first, each.second, "look_up", "person"), "nobody else knows anything of it"
        assert each.told != "nobody" or each.kept == "nothing_moves"


def test_a_report_settles_nothing_and_is_never_believed_against_money() -> None:
    assert all(each.settles != "report" for each in AUTHORITIES)
    for source in ("settlement_row", "bank_entry"):
        assert authority(source, "report").settles == source


def test_the_page_is_printed_from_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == render_authority(), (
        "run `tallystick contract authority > docs/authority.md`"
    )


def test_evidence_takes_from_the_table_who_settles_it() -> None:
    assert authority_of("state") is authority("answer", "settlement_row")
    assert authority_of("amount") is authority("record", "settlement_row")
