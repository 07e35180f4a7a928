"""An event is in the books exactly when what it tells of is: whatever moment the acquirer dies in. A SIGKILL under load
is in ``test_program``."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tallystick.lab.acquirer.books import Books
from tallystick.lab.acquirer.options import Options
from tallystick.lab.acquirer.scripts import AFTERWARDS, METHODS, FollowUp, behaviour
from tests.support.acquirer import acquirer
from tests.support.acquirer_calls import AMOUNT, charge, new_key

#: Everything that is due is due at once, so that a script runs to its end in a few steps.
AT_ONCE = Options(pending_ms=0, late_ms=0)


def _pay(books: Books, method: str, *, capture: bool = True) -> str:
    body = charge(method, capture=capture)
    return str(books.authorize(new_key(), body, behaviour(method, "authorize"))["charge_id"])


def _then(books: Books, charge_id: str, operation: FollowUp, amount: int | None = None) -> None:
    what = behaviour(books.charge(charge_id)["payment_method"], operation)
    body = {"attempt_id": new_key()} | ({} if amount is None else {"amount": amount})
    books.follow_up(operation, new_key(), charge_id, body, what)


def _declined(books: Books) -> None:
    _pay(books, "sim_declined")


def _captured_and_refunded(books: Books) -> None:
    charge_id = _pay(books, "sim_ok", capture=False)
    _then(books, charge_id, "capture", AMOUNT)
    _then(books, charge_id, "refund", 400)


def _canceled_while_waiting(books: Books) -> None:
    _then(books, _pay(books, "sim_action_required"), "cancel")


def _completed(books: Books) -> None:
    books.customer(_pay(books, "sim_action_required"), completes=True)


def _everything_pending(books: Books) -> None:
    charge_id = _pay(books, "sim_webhook_only", capture=False)
    _then(books, charge_id, "capture", AMOUNT)
    books.late.catch_up()
    _then(books, charge_id, "refund", AMOUNT)
    books.late.catch_up()


def _by_itself(method: str) -> Callable[[Books], None]:
    def live(books: Books) -> None:
        manual = AFTERWARDS[method].when == "authorized"
        charge_id = _pay(books, method, capture=not manual)
        if method == "sim_refund_fails_late":
            _then(books, charge_id, "refund", 400)
        for _ in AFTERWARDS[method].steps:
            books.late.catch_up()

    return live


LIVES: dict[str, Callable[[Books], None]] = {
    "declined": _declined,
    "captured and refunded": _captured_and_refunded,
    "canceled while waiting": _canceled_while_waiting,
    "completed": _completed,
    "pending": _everything_pending,
    **{method: _by_itself(method) for method in AFTERWARDS},
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("life", LIVES)
def test_effect_and_event_are_one_transaction(tmp_path: Path, life: str) -> None:
    """The file as it is before each statement is what a SIGKILL then would leave: effects and events, the same."""
    path = tmp_path / "books.sqlite"
    books = Books(path, AT_ONCE)
    copies: list[Path] = []

    def copy(_: str) -> None:
        to = tmp_path / f"{len(copies)}.sqlite"
        shutil.copy(path, to)
        shutil.copy(f"{path}-wal", f"{to}-wal")
        copies.append(to)

    books._storage.db.set_trace_callback(copy)
    LIVES[life](books)
    books._storage.db.set_trace_callback(None)
    copy("the end")
    books.close()
    seen = [_states(each) for each in copies]
    assert len({told for _, told in seen}) >= 2, "the life is told"
    for effects, told in seen:
        assert effects == told
    assert len(set(seen)) < len(seen) / 3, "not every statement is a transaction of its own"


def test_a_file_is_read_when_it_is_asked_for(tmp_path: Path) -> None:
    """``GET /sim/controls`` looks for one among a thousand charges, and the newest fits nearly always."""
    books = Books(tmp_path / "books.sqlite", AT_ONCE)
    newest = [_pay(books, "sim_ok") for _ in range(3)][-1]
    read: list[str] = []
    books._storage.db.set_trace_callback(read.append)
    assert next(books.overview.newest(1_000)).charge["id"] == newest
    books._storage.db.set_trace_callback(None)
    books.close()
    assert len(read) == 5, "the charges, and four of the newest one"


def _states(path: Path) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """What the books' rows have come to, and the same as the events tell it."""
    db = sqlite3.connect(path)
    (exists,) = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'event'").fetchone()
    assert exists
    effects = [
        *db.execute("SELECT reference, status FROM operation WHERE status != 'pending'"),
        *db.execute("SELECT id, status || withdrawn FROM dispute"),
        *db.execute("SELECT id || 'dashboard', 'captured' FROM charge WHERE closed_by = 'dashboard'"),
        *db.execute("SELECT id || 'expiry', 'voided' FROM charge WHERE closed_by = 'expiry'"),
        *db.execute("SELECT id || 'all', refunded FROM charge WHERE refunded"),
    ]
    told: dict[str, Any] = {}
    refunded: dict[str, int] = {}
    for kind, body in db.execute("SELECT type, json(body ->> 'data') FROM event ORDER BY sequence"):
        data = db.execute("SELECT ?1 ->> 'reference', ?1 ->> 'status', ?1 ->> 'charge_id', ?1 ->> 'amount'", (body,))
        reference, status, charge_id, amount = data.fetchone()
        match kind.split("."):
            case ["dispute", _]:
                withdrawn = db.execute("SELECT ?1 ->> 'withdrawn'", (body,)).fetchone()[0]
                told[reference] = f"{status}{withdrawn}"
            case ["dashboard", "captured"]:
                told[f"{charge_id}dashboard"] = "captured"
            case [_, "expired"]:
                told[f"{charge_id}expiry"] = "voided"
            case ["dashboard", "refunded"]:
                refunded[charge_id] = refunded.get(charge_id, 0) + amount
            case _:
                told[reference] = status
        if kind == "refund.succeeded":
            refunded[charge_id] = refunded.get(charge_id, 0) + amount
        elif kind == "refund.failed":
            refunded[charge_id] -= amount
    db.close()
    told |= {f"{charge_id}all": amount for charge_id, amount in refunded.items() if amount}
    return tuple(sorted(effects)), tuple(sorted(told.items()))


def test_the_book_is_in_the_order_of_what_happened(tmp_path: Path) -> None:
    with acquirer(tmp_path / "books.sqlite") as running:
        for method in ("sim_ok", "sim_declined", "sim_webhook_lost"):
            assert method in METHODS
            running.call("POST", "/sim/charges", charge(method), new_key())
        events = running.events()
        assert [event["sequence"] for event in events] == [1, 2, 3]
        assert len({event["id"] for event in events}) == 3
        assert {event["state"] for event in events} == {"unsent"}, "there is nowhere to send them"
        assert running.deliveries() == []
        page = running.call("GET", "/sim/events?limit=2")[1]
        assert ([event["sequence"] for event in page["data"]], page["next_cursor"]) == ([1, 2], "2")
        for path in ("/sim/webhooks/pause", "/sim/webhooks/resend"):
            assert running.call("POST", path, {})[0] == 409
        assert running.call("GET", "/sim/webhooks/report")[0] == 409


def test_what_is_asked_all_the_time_reads_an_index(tmp_path: Path) -> None:
    """A scan would make every call slower with every charge in the books."""
    books = Books(tmp_path / "books.sqlite", AT_ONCE)
    asked: list[str] = []
    db = books._storage.db
    db.set_trace_callback(asked.append)
    books.late.catch_up()
    books.lookup("att_nobody")
    books.events.is_waiting(1)
    books.events.untried("ch_nobody")
    db.set_trace_callback(None)
    assert len(asked) == 7
    for statement in asked:
        steps = [row["detail"] for row in db.execute(f"EXPLAIN QUERY PLAN {statement}")]
        assert all(step.startswith("SEARCH") for step in steps), (statement, steps)
    books.close()
