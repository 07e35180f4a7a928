"""A release that counts a currency otherwise than open payments in it were made neither starts nor migrates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import psycopg
import pytest

from tallystick.oversight import exponents
from tallystick.oversight.exponents import changed_exponents
from tallystick.oversight.invariants import exponents as invariant
from tallystick.oversight.invariants import verify
from tallystick.record.postgres.connections import connect
from tallystick.run import exponents_check
from tallystick.run.exponents_check import ExponentsChanged, require_unchanged_exponents
from tests.support.commands import Ran, end_where_it_goes_on, run_here
from tests.support.database import Database, NewDatabase
from tests.support.ports import free_port
from tests.support.sample import SETTINGS, Sample, make_sample

Command = Callable[..., Ran]

SAID = (
    "tallystick: exponents_changed: 1 open payment was made in EUR at simulator with 2 decimals here and 3 there, and"
    " this release has 2 decimals here and 2 there; run the earlier release until these payments are closed"
)


@pytest.fixture(scope="module")
def database(new_database: NewDatabase) -> Database:
    """Of these tests alone: nothing starts on it while a payment is changed."""
    return new_database()


@pytest.fixture(scope="module")
def sample(database: Database) -> Sample:
    """Every kind of payment, with the exponents of this release."""
    return asyncio.run(make_sample(database.app_url, "exponents"))


@pytest.fixture
def command(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs a command on the database."""
    end_where_it_goes_on(monkeypatch)

    def run(*arguments: str) -> Ran:
        return run_here(
            monkeypatch,
            capsys,
            *arguments,
            data_dir=str(tmp_path),
            simulator_port=str(free_port()),
            database_url=database.app_url,
            migration_database_url=database.owner_url,
        )

    return run


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """As the application's role."""
    connection = await connect(database.app_url, command_timeout_ms=10_000)
    yield connection
    await connection.close()


def made_otherwise(database: Database, payment_id: str) -> None:
    """As if an earlier release had counted the payment's currency with three decimals at its provider."""
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("UPDATE payment SET provider_exponent = 2, exponent = 2")
        owner.execute("UPDATE payment SET provider_exponent = 3 WHERE payment_id = %s", (payment_id,))


@pytest.mark.parametrize(
    "arguments", [("serve", "--port"), ("work",), ("up", "--port"), ("migrate",)], ids=lambda each: each[0]
)
def test_no_start_and_no_migration(
    database: Database, sample: Sample, command: Command, arguments: tuple[str, ...]
) -> None:
    made_otherwise(database, sample.captured)
    ports = [str(free_port())] if "--port" in arguments else []
    ran = command(*arguments, *ports)
    assert (ran.code, ran.err.splitlines()[-1]) == (2, SAID)


def test_verify_names_each_payment(database: Database, sample: Sample, command: Command) -> None:
    made_otherwise(database, sample.captured)
    ran = command("verify")
    assert ran.code == 1
    assert f"exponents_are_unchanged: {sample.merchant} {sample.captured}: was made with 2 and 3 decimals" in ran.out


async def test_the_statement_and_the_invariant_mean_the_same_payments(
    database: Database, sample: Sample, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One asks of all payments at once, the other of each."""
    made_otherwise(database, "")
    monkeypatch.setattr(exponents, "current_exponents", lambda provider, currency: None)
    monkeypatch.setattr(invariant, "current_exponents", lambda provider, currency: None)
    (found,) = await changed_exponents(connection)
    report = await verify(connection, settings=SETTINGS)
    assert report.broken() == {"exponents_are_unchanged"}
    assert found.open_payments == len(report.violations)
    assert 0 < found.open_payments < report.checked["payments"], "some have ended"
    assert sample.late in {each.subject_id for each in report.violations}, "its money is in suspense"


async def test_a_record_without_exponents_has_no_changed_ones(connection: asyncpg.Connection) -> None:
    """Before the first migration, and before the one that brought them."""
    await connection.execute("SET search_path = pg_temp")
    assert not await changed_exponents(connection)
    await connection.execute("CREATE TEMP TABLE payment (state text, provider text, currency text)")
    assert not await changed_exponents(connection)


async def test_a_record_that_takes_too_long_to_read_does_not_keep_a_process_from_starting(
    database: Database, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_otherwise(database, sample.captured)
    with pytest.raises(ExponentsChanged):
        await require_unchanged_exponents(database.app_url)
    monkeypatch.setattr(exponents_check, "START_LIMIT_MS", 1_000)  # enough to connect
    with psycopg.connect(database.owner_url) as owner:
        owner.execute("LOCK TABLE payment")  # as long to read as the lock is held
        await require_unchanged_exponents(database.app_url)
