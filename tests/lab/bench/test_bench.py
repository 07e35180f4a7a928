"""The benchmarks measure what they say: right statements, right counts, and rows that the invariants accept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace as replaced
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from tallystick.cli import bench as commands
from tallystick.cli import bench_options
from tallystick.lab.bench import ceiling, commits
from tallystick.lab.bench.fill import copy_chunk, prepare
from tallystick.lab.bench.fill_rows import MERCHANTS, TABLES, fill_chunk, kinds
from tallystick.lab.bench.latency import latency
from tallystick.lab.bench.over_http import Plan, measure_http
from tallystick.lab.bench.provider_latency import ProviderLatency
from tallystick.lab.bench.providers import ConnectorFigures, ProvidersPlan, measure_providers
from tallystick.lab.bench.stage import Database, Server, open_database, process_trees
from tallystick.lab.bench.targets import JOURNAL_ADDS_MS, JOURNAL_SHARE, judge
from tallystick.oversight.invariants import verify
from tallystick.record.postgres.embedded.server import DatabaseUrls
from tallystick.settings.load import Settings
from tests.support.database import DEEP, NewDatabase

#: What runs beside the load starts sooner as one process.
SETTINGS = Settings(api_processes=1)


@pytest.fixture(scope="module")
def bench_database(new_database: NewDatabase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database of its own: what is filled in here would get in the way of other tests."""
    with open_database(None, own=DatabaseUrls(*new_database())) as database:
        yield replace(database, data_dir=tmp_path_factory.mktemp("bench"))


async def _counts(database: Database, merchant_id: str | None = None) -> dict[str, int]:
    connection = await asyncpg.connect(database.app_url)
    try:
        found = {}
        for table in TABLES:
            where = "" if merchant_id is None else f" WHERE merchant_id = '{merchant_id}'"
            found[table] = int(await connection.fetchval(f"SELECT count(*) FROM {table}{where}"))
        return found
    finally:
        await connection.close()


def test_quantiles_are_latencies_that_were_measured() -> None:
    found = latency([number / 1000 for number in range(1, 101)])
    assert (found.p50_ms, found.p95_ms, found.p99_ms, found.max_ms) == (51, 96, 100, 100)
    with pytest.raises(ValueError, match="no latencies"):
        latency([])


def test_a_target_is_judged_by_its_own_direction() -> None:
    assert judge(JOURNAL_SHARE, 0.5).holds and not judge(JOURNAL_SHARE, 0.49).holds
    assert judge(JOURNAL_ADDS_MS, 1.9).holds and not judge(JOURNAL_ADDS_MS, 2.0).holds


async def test_the_ceiling_writes_the_rows_of_real_payments(bench_database: Database) -> None:
    before = await _counts(bench_database)
    assert await ceiling.ceiling_per_s(bench_database.app_url, 250) > 0
    after = await _counts(bench_database)
    warm_up = ceiling.CONNECTIONS
    assert {table: after[table] - before[table] for table in TABLES} == {
        "instruction": 250 + warm_up,
        "transition": 4 * (250 + warm_up),
        "payment": 250 + warm_up,
        "attempt": 250 + warm_up,
        "transfer": 250 + warm_up,
        "response": 250 + warm_up,
        "outbox": 250 + warm_up,
    }


def test_the_same_chunk_is_the_same_payments_and_others_are_others() -> None:
    known = kinds()
    assert fill_chunk(known, 100, 50, seed=2).tables == fill_chunk(known, 100, 50, seed=2).tables
    keys = [
        {line.split(b"\t")[1] for line in fill_chunk(known, first, 50, seed=first).tables["instruction"].splitlines()}
        for first in (0, 50)
    ]
    assert len(keys[0]) == len(keys[1]) == 50 and not keys[0] & keys[1]


async def test_filled_payments_hold_all_invariants(bench_database: Database) -> None:
    prepared = await asyncio.to_thread(prepare, bench_database.owner_url, bench_database.app_url)
    assert prepared == set()
    for chunk in range(2):
        await copy_chunk(bench_database.owner_url, chunk, 150)
    assert await asyncio.to_thread(prepare, bench_database.owner_url, bench_database.app_url) == {0, 1}
    connection = await asyncpg.connect(bench_database.app_url)
    try:
        report = await verify(connection, settings=Settings())
        filled = await connection.fetchval(
            "SELECT count(*) FROM payment WHERE merchant_id = ANY($1) AND created_at < '2026-01-01'", list(MERCHANTS)
        )
    finally:
        await connection.close()
    assert filled == 300
    assert report.holds, report.violations[:5]


@pytest.mark.skipif(not DEEP, reason="deep: an API and its load are started, for each line that is measured")
def test_payments_over_http(bench_database: Database) -> None:
    plan = Plan(
        rounds=1,
        duration_s=1.5,  # on however busy a machine, long enough for one answer
        warm_up_s=0.2,
        connections=[2],
        rates_per_s=[20],
        ceiling_payments=200,
    )
    with TemporaryDirectory() as logs:
        figures = measure_http(SETTINGS, {"empty": bench_database}, Path(logs), plan, lambda *_: None)
    assert [line.kind.what for line in figures.lines] == ["no-op POST", "closed loop", "open loop"]
    assert figures.failed() == 0
    assert figures.saturation_per_s > 0
    for line in figures.lines[1:]:
        assert line.latency.p50_ms >= 20, "a payment waits for its provider"
        assert line.cpu_s["api"] > 0 and set(line.cpu_s) == {"api", "postgres", "generator", "others"}
        assert line.cpu_us["api"] > 0


def test_journal_command_prints_json(monkeypatch: pytest.MonkeyPatch) -> None:
    # The command would bind this process's log to a stream that is closed after it.
    monkeypatch.setattr(bench_options, "configure_logging", lambda level, secret_names: None)
    monkeypatch.setattr(commits, "WARM_UP_PAYMENTS", 50)
    run = CliRunner().invoke(
        commands.app,
        ["journal", "--rounds", "1", "--payments", "200", "--flows", "20", "--idle", "1", "--json"],
        catch_exceptions=False,
    )
    assert run.exit_code == 0
    report = json.loads(run.stdout)
    assert report["machine"]["fsync"] == "on"
    assert {target["name"] for target in report["targets"]} == {JOURNAL_SHARE.name, JOURNAL_ADDS_MS.name}
    assert report["figures"]["door_per_s"] > 0


@pytest.mark.skipif(not DEEP, reason="deep: an API, a provider and their load are started")
def test_a_slow_provider_over_http(bench_database: Database) -> None:
    plan = ProvidersPlan(
        providers=["adyen"],
        rate_per_s=20,
        duration_s=1.5,
        carried_s=1.5,  # on however busy a machine, long enough for one answer
        warm_up_s=0.2,
        stand=ProviderLatency(median_ms=20, p99_ms=60),
        carried_connections=2,
        connections=16,
    )
    with TemporaryDirectory() as logs:
        figures = measure_providers(
            replaced(SETTINGS, simulator="on"), bench_database, Path(logs), plan, lambda *_: None
        )
    [found] = figures.connectors
    assert found.carried_per_s > 0
    assert found.answers.keys() == {"201"} and found.answers["201"] > 0
    assert found.attempts == {"approved": found.answers["201"]}
    assert found.not_sent == {} and figures.failed() == 0
    assert found.latency.p50_ms >= 10, "a payment waits for its provider"


def test_a_database_elsewhere_has_no_process_here() -> None:
    """Of no process in particular the system would count our own."""
    server, database = Server(port=1, pid=11), Database(owner_url="", app_url="", server_pid=22)
    assert process_trees(server, database) == {"api": 11, "postgres": 22}
    assert process_trees(server, replace(database, server_pid=None)) == {"api": 11}


def test_what_was_not_sent_or_not_answered_is_lost() -> None:
    figures = ConnectorFigures(
        provider="adyen",
        carried_per_s=1_000,
        rate_per_s=800,
        latency=latency([0.5]),
        answers={"201": 90, "202": 5, "503": 2, "unanswered": 1},
        attempts={"approved": 90, "unknown": 2, "not_sent": 3},
        not_sent={"no free connection": 3},
        cpu_s={},
    )
    assert figures.lost() == 6
