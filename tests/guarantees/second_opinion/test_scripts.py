"""Over every script of the acquirer the second opinion agrees with the stored books, at every look."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tallystick.lab.acquirer.scripts import METHODS
from tallystick.record.postgres.embedded.server import EmbeddedPostgres
from tests.guarantees.second_opinion.comparison import disagreements
from tests.guarantees.second_opinion.exported import history, stored_books
from tests.guarantees.second_opinion.interpreter import LIFECYCLES, SETTLEMENT_EDGES, Opinion, read
from tests.guarantees.second_opinion.lives import LAST_STEPS, SETTINGS, live_all, lives_of, merchant_of_script
from tests.support.clusters import Clusters
from tests.support.commands import Up, run_process
from tests.support.database import DEEP
from tests.support.polling import eventually

#: What waits for a worker, except payments whose payer does not come back.
OPEN = """
    SELECT (SELECT count(*) FROM inbox WHERE next_try_at IS NOT NULL)
         + (SELECT count(*) FROM attempt WHERE state NOT IN
              ('approved', 'declined', 'failed', 'reversed', 'requires_action'))
"""

#: Edges that no script leads to: they need a person's act, which follows the scripts here.
ACTS = {("payment", "late_money_accepted"), ("payment", "late_return_opened"), ("payment", "late_money_returned")}


#: Edges by name that the lives lead to. One or two more happen by chance, such as ``not_sent``.
EDGES = 44

#: While the lives go on, the whole record is read this often, which takes longer the more there is.
LOOK_EVERY_S = 1 if DEEP else 3

#: However busy the machine is, the lives are over by then.
WITHIN_S = 300

pytestmark = pytest.mark.timeout(2 * WITHIN_S)  # it bounds failure alone


def opinion_of(connection: psycopg.Connection[Any], merchant_id: str | None = None) -> Opinion:
    """The opinion in one snapshot. Raises AssertionError where the stored books differ from it."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        opinion = read(history(connection, merchant_id))
        assert disagreements(opinion, stored_books(connection, merchant_id)) == []
    return opinion


def left_open(connection: psycopg.Connection[Any]) -> int:
    """How many events and attempts wait for a worker."""
    (number,) = connection.execute(OPEN).fetchone() or (0,)
    return int(number)


def missing_steps(connection: psycopg.Connection[Any], of: Iterable[str]) -> list[str]:
    """Scripts that have not come to their last step."""
    missing = []
    for method in of:
        kind, event, times = LAST_STEPS[method]
        if opinion_of(connection, merchant_of_script(method)).seen[kind, event] < times:
            missing.append(method)
    return missing


def decide_on_late_money(up: Up, connection: psycopg.Connection[Any]) -> None:
    """An operator accepts one payment's late money, and returns another's."""
    merchant_id = merchant_of_script("sim_late_capture")
    rows = connection.execute(
        "SELECT payment_id FROM payment WHERE merchant_id = %s LIMIT 2", (merchant_id,)
    ).fetchall()
    words = ("--reason", "agreed", "--data-dir", str(up.data_dir))
    for act, (payment_id,) in zip(("accept", "return"), rows, strict=True):
        done = run_process("late-money", act, payment_id, *words, simulator_url=f"http://127.0.0.1:{up.simulator_port}")
        assert done.code == 0, done.err


@pytest.fixture(scope="module")
def lived(clusters: Clusters) -> Iterator[psycopg.Connection[Any]]:
    """The record after all lives. While they go on, it is looked at too: what is committed agrees at every moment."""
    with tempfile.TemporaryDirectory(prefix="tally-", ignore_cleanup_errors=True) as own:
        data_dir = Path(own) / "data"
        clusters.put_into(data_dir)
        with Up(data_dir, **SETTINGS) as up, EmbeddedPostgres(data_dir) as postgres:
            url = postgres.urls().app_url
            with psycopg.connect(url, autocommit=True) as connection, ThreadPoolExecutor(1) as beside:

                def looked_at(done: bool) -> bool:
                    opinion_of(connection)
                    return done

                living = beside.submit(live_all, up, url, METHODS)
                eventually(living.done, until=looked_at, within_s=WITHIN_S, interval_s=LOOK_EVERY_S)
                living.result()
                missing = list(LAST_STEPS)

                def none_is_missing() -> bool:
                    missing[:] = missing_steps(connection, missing)
                    return not missing

                eventually(none_is_missing, within_s=WITHIN_S, interval_s=1)
                decide_on_late_money(up, connection)
                eventually(
                    lambda: left_open(connection), until=lambda left: left == 0, within_s=WITHIN_S, interval_s=0.5
                )
                yield connection


@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_second_opinion_agrees_with_the_books_of_a_script(lived: psycopg.Connection[Any], method: str) -> None:
    opinion = opinion_of(lived, merchant_of_script(method))
    assert opinion.seen["payment", "create"] == len(lives_of(method))
    methods = {each.fields["payment_method"] for each in opinion.subjects.values() if each.kind == "payment"}
    assert methods == {method}


def test_the_lives_together_are_all_that_is_stored(lived: psycopg.Connection[Any]) -> None:
    opinion = opinion_of(lived)
    assert opinion.seen["payment", "create"] == sum(len(lives_of(method)) for method in METHODS)
    of_files = SETTLEMENT_EDGES.keys() | {"reconciliation"}
    assert {kind for _, kind, _ in opinion.subjects} == LIFECYCLES.keys() - of_files
    assert opinion.seen.keys() >= ACTS
    assert len(opinion.seen) >= EDGES, sorted(opinion.seen)
