"""Everything that a trace can show has words."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from typing import get_args

import pytest

from tallystick.domain.ledger import accounts, postings
from tallystick.domain.lifecycles.machines import MACHINES
from tallystick.domain.operator_act import ACT_NAMES
from tallystick.domain.provider_event_state import EVENT_STATES
from tallystick.domain.rejected_case import CASE_STATES, CATEGORIES
from tallystick.domain.subjects import Operation
from tallystick.flows.replay_counts import ReplayKind
from tallystick.flows.webhooks.outbound.endpoints import DELIVERY_STATES
from tallystick.flows.webhooks.outbound.try_results import TRY_RESULTS
from tallystick.oversight.trace import words
from tallystick.record.postgres.arrivals import ArrivalResult


@pytest.mark.parametrize("subject", sorted(words.STEPS))
def test_every_edge_has_words(subject: str) -> None:
    edges = {event for state in MACHINES[subject].edges.values() for event in state}
    assert edges <= words.STEPS[subject].keys()


@pytest.mark.parametrize(
    ("table", "names"),
    [
        (words.OPERATIONS, get_args(Operation)),
        (words.REPLAYS, get_args(ReplayKind)),
        (words.ARRIVALS, get_args(ArrivalResult)),
        (words.TRIES, set(EVENT_STATES) - {"received"}),
        (words.SENDS, TRY_RESULTS),
        (words.DELIVERIES, DELIVERY_STATES),
        (words.CATEGORIES, CATEGORIES),
        (words.CASES, CASE_STATES),
        (words.ACTS, ACT_NAMES),
    ],
)
def test_every_name_has_words(table: Mapping[str, str], names: set[str]) -> None:
    assert set(names) <= table.keys()


def test_every_posting_and_every_account_has_words() -> None:
    calls = [node for node in ast.walk(ast.parse(inspect.getsource(postings))) if isinstance(node, ast.Call)]
    kinds = {str(ast.literal_eval(node.args[0])) for node in calls if ast.unparse(node.func) == "Posting"}
    assert len(kinds) > 15 and kinds <= words.TRANSFERS.keys()
    makers = [make for _, make in inspect.getmembers(accounts, inspect.isfunction)]
    named = [make(*["acme"] * len(inspect.signature(make).parameters)) for make in makers]
    for account in (*named, accounts.MERCHANT, accounts.DISPUTE_RESERVE):
        assert account.partition(":")[0] in words.ACCOUNTS
        assert "{}" not in words.account(account)


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("TimeoutError", "the time ran out"),
        ("lookup: TimeoutError", "when it was asked again: the time ran out"),
        ("answered 500", "answered 500"),
        ("The card was declined.", "The card was declined"),
    ],
)
def test_errors_are_said_in_words(why: str, said: str) -> None:
    assert words.reason(why) == said


def test_what_a_newer_release_records_is_said_by_its_name() -> None:
    assert words.step("payment", "sent_to_mars") == "payment sent to mars"
    assert words.cause("recovery: odd", "recovery") == "recovery: odd"
    assert words.cause("odd", "somebody") == "odd, somebody"
