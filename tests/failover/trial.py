"""One failover under load: what clients were told, and what the record has afterwards."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import psycopg

from tallystick.access.key_store import create_key
from tests.failover.load import BODY, Answers, Load
from tests.failover.nodes import Nodes
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.api import SEALING_KEY
from tests.support.commands import clean_environment, run_process
from tests.support.polling import eventually, until_ready
from tests.support.ports import free_port

MERCHANT: Final = "shop"

#: Answers before the server is lost, and after another one has taken over.
ANSWERS_BEFORE: Final = 300
ANSWERS_AFTER: Final = 300

#: A failover by Patroni waits for its lease of 20 s to end.
SETTLED_WITHIN_S: Final = 120

#: Bounds failure alone.
COMMAND_LIMIT_S: Final = 300.0

#: Keys that are sent again at the end.
REPEATED: Final = 50

#: The acquirer books at once, so what it does not know was not charged; and recovery is in no hurry of days here.
SETTINGS: Final = {
    "settling_time_ms": "200",
    "send_window_ms": "2000",
    "provider_request_timeout_ms": "3000",
    "recovery_interval_ms": "100",
    "recovery_backoff_base_ms": "200",
    "recovery_backoff_cap_ms": "1000",
    "journal_commit_timeout_ms": "5000",
    "sealing_keys": SEALING_KEY,
}


def failover(nodes: Nodes, directory: Path) -> str:
    """Try it. Returns what was seen, in words. Raises AssertionError with what went wrong."""
    try:
        urls = nodes.start()
        with acquirer(directory / "books.sqlite") as bank:
            given = SETTINGS | {
                "database_url": urls.app_url,
                "migration_database_url": urls.owner_url,
                "data_dir": str(directory),
                "simulator_url": bank.url,
                "port": str(free_port()),
            }
            migrated = run_process("migrate", timeout_s=COMMAND_LIMIT_S, **given)
            assert migrated.code == 0, migrated
            with _process("work", given, directory), _process("serve", given, directory) as serve:
                url = f"http://127.0.0.1:{given['port']}"
                until_ready(serve, lambda: httpx.get(f"{url}/readyz").raise_for_status())
                api_key = asyncio.run(create_key(urls.app_url, MERCHANT))
                answers = asyncio.run(_under_load(nodes, Load(url, api_key)))
                assert answers.other == [], f"clients saw {answers.other[:5]} and {len(answers.other)} in all"
                _check_kept(answers, urls.app_url)
                states = eventually(lambda: _states(urls.app_url), until=_all_settled, within_s=SETTLED_WITHIN_S)
                _check_captured(answers, urls.app_url)
                _check_repeated(answers, url, api_key)
            _check_books(given, bank)
    finally:
        nodes.stop()
    kept = len(answers.acknowledged)
    return (
        f"{kept} of {kept} answered instructions kept, {answers.statuses[503]} answers of 503 and no other error,"
        f" {answers.longest_gap_s:.1f} s without an outcome, {states.get('captured', 0)} payments captured once each"
    )


async def _under_load(nodes: Nodes, load: Load) -> Answers:
    running = asyncio.create_task(load.run())
    try:
        await load.acknowledged(ANSWERS_BEFORE)
        await asyncio.to_thread(nodes.lose_the_first)
        await asyncio.to_thread(nodes.second_takes_over)
        await load.acknowledged(ANSWERS_AFTER)
    finally:
        load.stop()
        answers = await running
    return answers


def _states(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        return dict(connection.execute("SELECT state, count(*) FROM payment GROUP BY state").fetchall())


def _all_settled(states: Mapping[str, int]) -> bool:
    """Whether recovery is done: nothing is on its way any more."""
    return set(states) <= {"captured", "failed"}


def _check_kept(answers: Answers, url: str) -> None:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT idempotency_key, payment_id FROM instruction").fetchall()
    lost = answers.acknowledged.items() - dict(rows).items()
    assert not lost, f"{len(lost)} of {len(answers.acknowledged)} answered instructions are lost, such as {min(lost)}"


def _check_captured(answers: Answers, url: str) -> None:
    with psycopg.connect(url) as connection:
        captured = {row[0] for row in connection.execute("SELECT payment_id FROM payment WHERE state = 'captured'")}
    not_captured = set(answers.acknowledged.values()) - captured
    assert not not_captured, f"{len(not_captured)} payments that were answered are not captured"


def _check_repeated(answers: Answers, url: str, api_key: str) -> None:
    """The same key has the same payment, before and after the failover."""
    step = max(1, len(answers.acknowledged) // REPEATED)
    with httpx.Client(headers={"Authorization": f"Bearer {api_key}"}, timeout=30) as client:
        for key, payment_id in list(answers.acknowledged.items())[::step]:
            again: Any = client.post(f"{url}/v1/payments", json=BODY, headers={"Idempotency-Key": key})
            assert (again.status_code, again.json()["id"]) == (201, payment_id), (key, again.text)


def _check_books(given: Mapping[str, str], bank: AcquirerProcess) -> None:
    """Every invariant, and the acquirer's books beside the record."""
    verified = run_process("verify", "--provider", "simulator", timeout_s=COMMAND_LIMIT_S, **given)
    assert verified.code == 0, verified
    charged: dict[str, int] = {}
    cursor: str | None = "0"
    while cursor is not None:
        page = bank.call("GET", f"/sim/charges?limit=1000&cursor={cursor}")[1]
        for charge in page["data"]:
            charged[charge["payment_id"]] = charged.get(charge["payment_id"], 0) + (charge["captured"] > 0)
        cursor = page["next_cursor"]
    twice = [payment_id for payment_id, times in charged.items() if times > 1]
    assert not twice, f"charged twice: {twice[:5]}"


@contextmanager
def _process(role: str, given: Mapping[str, str], directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = clean_environment({f"TALLYSTICK_{name.upper()}": value for name, value in given.items()})
    del environment["TALLYSTICK_MIGRATION_DATABASE_URL"]  # a running process does not know it
    with (directory / f"{role}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tallystick", role, "--parent-pid", str(os.getpid())],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
