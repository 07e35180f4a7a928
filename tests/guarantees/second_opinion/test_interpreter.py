"""What makes the second opinion a second one: it is short, uses nothing of the product, and is given one thing."""

from __future__ import annotations

import ast
import json
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import pytest

from tests.guarantees.second_opinion import interpreter
from tests.guarantees.second_opinion.exported import HISTORY

SOURCE: Final = Path(interpreter.__file__).read_text()

CONTRACT: Final = (Path(__file__).parents[3] / "docs/reference/contract.md").read_text()

#: As long as one person reads in one sitting.
LINES_LIMIT: Final = 380


#: What ``Opinion.bank`` moves, between accounts of which each is named by the statement.
OF_A_BANK: Final = (
    ("bank_arrived", "bank:<account>", "bank_in_transit:"),
    ("bank_charged", "fees:bank", "bank:<account>"),
    ("bank_unexplained", "bank:<account>", "unexplained:bank:<account>"),
    ("bank_written_off", "bank:<account>", "write_off"),
)


def line(subject_id: str = "pay_1", **row: Any) -> str:
    """A line of history; by default a payment's first."""
    created = {"amount": 700, "currency": "EUR", "provider": "bank", "amount_refunded": 0, "amount_refund_pending": 0}
    step = {"version": 1, "from_state": "new", "event": "create", "to_state": "authorizing", "change": created}
    whose = {"merchant_id": "m1", "stream_id": "pay_1", "subject": "payment", "subject_id": subject_id}
    return json.dumps(whose | {"change_id": "chg_1"} | step | row)


def test_it_is_short() -> None:
    assert len(SOURCE.splitlines()) <= LINES_LIMIT


def test_it_imports_the_standard_library_alone() -> None:
    names: set[str] = set()
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module or "")
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
    assert not {"open", "__import__", "exec", "eval"} & {
        node.id for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.Name)
    }


def rows_of(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading of the contract."""
    lines = CONTRACT.partition(f"\n{heading}\n")[2].splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| ---")) + 1
    table = takewhile(lambda line: line.startswith("|"), lines[start:])
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split("|")] for line in table]


@pytest.mark.parametrize("kind", interpreter.LIFECYCLES)
def test_its_lifecycles_are_those_of_the_contract(kind: str) -> None:
    published = {(state, event): to for state, event, to, _ in rows_of(f"### {kind.replace('_', ' ').capitalize()}")}
    assert interpreter.LIFECYCLES[kind] == published


def test_its_postings_are_those_of_the_contract() -> None:
    published, edge = set(), ""
    for name, _, transfer, debit, credit, _ in rows_of("## Ledger"):
        edge = name.replace(": ", ".") or edge
        published.add((edge, transfer, debit.replace("<p>", ""), credit.replace("<p>", "")))
    rows = {(edge, row.transfer, row.debit, row.credit) for edge, rows in interpreter.POSTINGS.items() for row in rows}
    late = {("dispute.late_movement", *row[:3]) for row in (interpreter.LATE_OUT, interpreter.LATE_BACK)}
    bank = {(f"bank_statement.{event}", *row) for event in ("posted", "compared_again") for row in OF_A_BANK}
    assert rows | late | bank == published


@pytest.mark.parametrize("kind", interpreter.LIFECYCLES)
def test_its_defaults_are_those_of_the_contract(kind: str) -> None:
    published = next(said for name, said in rows_of("## History") if name == kind)
    assert ", ".join(f"{name} {json.dumps(value)}" for name, value in interpreter.DEFAULTS[kind].items()) == published


def test_it_is_given_the_history_alone() -> None:
    assert HISTORY.count("FROM") == 1 and "FROM history" in HISTORY and "JOIN" not in HISTORY


@pytest.mark.parametrize(
    ("lines", "objection"),
    [
        ([line(version=2)], "the version before it is 0"),
        ([line(), line()], "the version before it is 1"),
        ([line(from_state="captured")], "the subject is new"),
        ([line(event="captured")], "no such edge"),
        ([line(to_state="captured")], "no such edge"),
        ([line(subject="payout")], "the contract has no such kind"),
        ([line(change={"amount_refunded": 5, "amount_refund_pending": 0})], "amount_refunded is 5, of its refunds 0"),
        (
            [line(), line(version=2, from_state="authorizing", event="captured", to_state="captured",
                          change={"amount_authorized": 700, "amount_captured": -700})],
            "posts -700",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_history_itself_is_an_objection(lines: list[str], objection: str) -> None:
    assert any(objection in each for each in interpreter.read(lines).objections)


def test_a_sound_history_has_no_objection() -> None:
    opinion = interpreter.read([line(), line("pay_2", stream_id="pay_2")])
    assert opinion.objections == []
    assert opinion.balances == {}
