"""Over a demonstration with faults the second opinion agrees with the stored books, and names what is tampered with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from tallystick.lab.demo.stories import STORIES
from tests.guarantees.second_opinion.comparison import disagreements
from tests.guarantees.second_opinion.exported import SUBJECTS, history, keys_of, stored_books
from tests.guarantees.second_opinion.interpreter import LIFECYCLES, Opinion, read
from tests.support.demonstration import PAYMENTS, WITHIN_S, Demonstration, demonstration_holds

#: Edges by name that the stories lead to. Some more happen by chance, such as ``not_sent``.
EDGES: Final = 40

#: May read the history, and nothing else.
READER: Final = "history_reader"

pytestmark = pytest.mark.timeout(2 * WITHIN_S)  # it bounds failure alone


class Demonstrated(NamedTuple):
    """A demonstration's record: for its owner, and for who may read the history alone."""

    owner: psycopg.Connection[Any]
    reader: psycopg.Connection[Any]
    said: str


@pytest.fixture(scope="module")
def demonstrated(demonstration: Demonstration) -> Iterator[Demonstrated]:
    """The record that a demonstration leaves behind."""
    postgres = demonstration.postgres
    with psycopg.connect(postgres.superuser_url("tallystick"), autocommit=True) as superuser:
        superuser.execute(f"CREATE ROLE {READER}")
        superuser.execute(f"GRANT USAGE ON SCHEMA public TO {READER}")
        superuser.execute(f"GRANT SELECT ON history TO {READER}")
        with psycopg.connect(postgres.urls().owner_url, autocommit=True) as owner:
            superuser.execute(f"SET ROLE {READER}")
            yield Demonstrated(owner, superuser, demonstration.said)


@pytest.fixture(scope="module")
def opinion(demonstrated: Demonstrated) -> Opinion:
    """The second opinion on it."""
    return read(history(demonstrated.reader, keys=keys_of(demonstrated.owner)))


def test_the_second_opinion_agrees_with_the_books(demonstrated: Demonstrated, opinion: Opinion) -> None:
    assert disagreements(opinion, stored_books(demonstrated.owner)) == [], demonstrated.said


def test_the_demonstration_says_that_it_holds(demonstrated: Demonstrated) -> None:
    demonstration_holds(demonstrated.said)


def test_it_has_seen_what_there_is(demonstrated: Demonstrated, opinion: Opinion) -> None:
    kinds = Counter(kind for _, kind, _ in opinion.subjects)
    assert kinds["payment"] >= PAYMENTS, demonstrated.said
    told_later = {"reconciliation"}  # merchants are told at a pace of its own
    assert kinds.keys() | told_later == LIFECYCLES.keys()
    assert LIFECYCLES.keys() == SUBJECTS.keys()
    assert len(opinion.seen) >= EDGES, sorted(opinion.seen)
    methods = {each.fields["payment_method"] for each in opinion.subjects.values() if each.kind == "payment"}
    assert methods == {story.payment_method for story in STORIES}
    accounts = {account for _, account, _ in opinion.balances}
    assert accounts >= {f"{name}:simulator" for name in ("provider", "authorized", "disputes", "suspense")}


@pytest.mark.parametrize("table", ["transfer", "balance", *SUBJECTS])
def test_it_was_given_the_history_alone(demonstrated: Demonstrated, table: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        demonstrated.reader.execute(f"SELECT * FROM {table} LIMIT 1".encode())


class Tampering(NamedTuple):
    """A statement that changes one row and returns a name of it, and what the disagreements must say."""

    statement: str
    named: tuple[str, ...]


def first(table: str, where: str) -> str:
    """The condition for one row of history or ledger."""
    chosen = f"SELECT subject_id, version FROM {table} WHERE {where} ORDER BY subject_id, version LIMIT 1"
    return f"(subject_id, version) = ({chosen}) AND {where} RETURNING subject_id"


CAPTURE: Final = first("transfer", "kind = 'capture'")
LATE_CAPTURE: Final = first("transfer", "kind = 'late_capture'")
OF_PAYMENT: Final = "subject_id LIKE 'pay%'"
CAPTURED: Final = first("transition", f"{OF_PAYMENT} AND event = 'captured'")
DECLINED: Final = first("transition", f"{OF_PAYMENT} AND event = 'declined'")
#: No later step of it is refused because of the one that is changed.
DECLINED_LAST: Final = first(
    "transition",
    f"{OF_PAYMENT} AND event = 'declined' AND NOT EXISTS (SELECT 1 FROM transition AS later"
    " WHERE later.subject_id = transition.subject_id AND later.version > transition.version)",
)
ASKED: Final = first("transition", f"{OF_PAYMENT} AND event = 'capture'")

#: In what must be said, {} is what the statement returns.
TAMPERINGS: Final = {
    "the amount of a posting": Tampering(
        f"UPDATE transfer SET amount = amount + 1 WHERE {CAPTURE}", ("{} version", "is not there", "must not be there")
    ),
    "the account of a posting": Tampering(
        f"UPDATE transfer SET credit = 'merchant' WHERE {LATE_CAPTURE}",
        ("{} version", "is not there", "must not be there"),
    ),
    "a leg that is missing": Tampering(
        f"DELETE FROM transfer WHERE {CAPTURE}",
        ("{} version", "transfer capture provider:simulator -> merchant", "is not there"),
    ),
    "a balance": Tampering(
        "UPDATE balance SET credits = credits - 1 WHERE account = 'merchant' AND currency = 'EUR' RETURNING account",
        ("account demo {} EUR: debits and credits are",),
    ),
    "the state of a payment": Tampering(
        "UPDATE payment SET state = 'captured' WHERE payment_id = (SELECT min(payment_id) FROM payment"
        " WHERE state = 'declined') RETURNING payment_id",
        ("payment {}: state is 'captured', by its history 'declined'",),
    ),
    "the amount of a refund": Tampering(
        "UPDATE refund SET amount = amount + 1 WHERE refund_id = (SELECT min(refund_id) FROM refund)"
        " RETURNING refund_id",
        ("refund {}: amount is",),
    ),
    "a subject that is missing": Tampering(
        "DELETE FROM dispute WHERE dispute_id = (SELECT min(dispute_id) FROM dispute) RETURNING dispute_id",
        ("dispute {}: has a history and is not stored",),
    ),
    "an amount in the history": Tampering(
        f"UPDATE transition SET change = jsonb_set(change::jsonb, '{{amount_captured}}', '1')::json WHERE {CAPTURED}",
        ("payment {}: amount_captured is", "{} version", "account demo merchant"),
    ),
    "an edge in the history": Tampering(
        f"UPDATE transition SET event = 'captured' WHERE {DECLINED}",
        ("payment {} version", "-> captured -> declined: no such edge"),
    ),
    "a state in the history": Tampering(
        f"UPDATE transition SET to_state = 'failed' WHERE {DECLINED_LAST}",
        ("payment {} version", "-> declined -> failed: no such edge", "state is 'declined', by its history 'failed'"),
    ),
    "a step that is missing": Tampering(
        f"DELETE FROM transition WHERE {ASKED}",
        ("payment {} version", "the version before it is 2", "the subject is authorized"),
    ),
    "a refund, in its history and its row alike": Tampering(
        "WITH chosen AS (SELECT min(refund_id) AS id FROM refund WHERE state = 'succeeded'), stored AS (UPDATE refund"
        " SET amount = amount + 1 FROM chosen WHERE refund_id = id) UPDATE transition SET"
        " change = jsonb_set(change::jsonb, '{amount}', (((change ->> 'amount')::bigint + 1)::text)::jsonb)::json"
        " FROM chosen WHERE subject_id = id AND version = 1 RETURNING stream_id",
        ("payment {}: amount_refunded is",),
    ),
}


@pytest.mark.parametrize("what", TAMPERINGS)
def test_what_is_tampered_with_is_named(demonstrated: Demonstrated, what: str) -> None:
    statement, named = TAMPERINGS[what]
    with demonstrated.owner.transaction(force_rollback=True):
        changed = demonstrated.owner.execute(statement.encode()).fetchall()
        found = disagreements(read(history(demonstrated.owner)), stored_books(demonstrated.owner))
    assert len(changed) == 1, "one row is tampered with"
    for part in named:
        said = part.replace("{}", changed[0][0])
        assert any(said in each for each in found), (said, found[:5])
