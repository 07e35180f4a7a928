"""Every command block of README.md, run as a reader runs it: in a fresh directory, one command after the other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tallystick.lab.demo.stories import STORIES
from tallystick.record.postgres.embedded.server import EmbeddedPostgres
from tests.support.commands import Up
from tests.support.database import DEEP
from tests.support.demonstration import demonstration_holds
from tests.support.polling import eventually
from tests.support.provider_webhooks import PATH, signature
from tests.support.reader import ENVIRONMENT, ROOT, Reader, commands_of

#: Commands of the README that are not run here, and why.
NOT_RUN: Final = {"make test": "it is what runs this test"}
if not DEEP:
    NOT_RUN["make demo"] = "tests/guarantees/second_opinion/test_demo.py looks at a demonstration without `make`"

#: Commands that are run in another way than they are written, and why.
RUN_AS: Final = {
    # With as few payments as tell every story; in this environment, which is not made again.
    "make demo": f"make -C {ROOT} VENV={ENVIRONMENT} -o {ENVIRONMENT}/.ready demo"
    f" ARGS='--once --payments {len(STORIES)}'",
}

SETTINGS: Final = {
    # What the README takes for granted: an event that cannot be processed is a dead letter by now.
    "webhook_tries_limit": "3",
    "webhook_backoff_base_ms": "50",
    "webhook_backoff_cap_ms": "100",
    # What the reader waits for: the request that the acquirer does not answer, and the steps of a dispute.
    "provider_request_timeout_ms": "3000",
    "simulator_late_ms": "200",
    "api_processes": "1",  # enough for one reader, and up sooner
}


def _dead_letter(up: Up) -> None:
    """An event that cannot be processed, until it is dead: a dispute of a payment that has no money yet."""
    address, bearer = up.address, {"Authorization": f"Bearer {up.key}"}
    body = {"amount": 1250, "currency": "EUR", "payment_method": "sim_action_required"}
    payment = up.http.post(f"{address}/v1/payments", json=body, headers=bearer | {"Idempotency-Key": "waits"}).json()
    events = up.http.get(f"http://127.0.0.1:{up.simulator_port}/sim/events?limit=1000").json()["data"]
    known = next(event for event in events if event["type"] == "dispute.opened")
    names = {"payment_id": payment["id"], "charge_id": payment["provider_reference"], "reference": "dp_early"}
    told = {"id": "evt_sim_early", "type": known["type"], "created": datetime.now(UTC).isoformat(), "sequence": 1}
    raw = json.dumps(told | {"data": known["data"] | names}).encode()
    answer = up.http.post(f"{address}{PATH}", content=raw, headers={"acquirer-signature": signature(raw)})
    assert answer.status_code == 200, answer.text
    with psycopg.connect(EmbeddedPostgres(up.data_dir).urls().app_url, autocommit=True) as connection:
        eventually(lambda: connection.execute("SELECT 1 FROM inbox WHERE state = 'dead'").fetchone())


@pytest.fixture
def reader(own_dir: Path) -> Iterator[Reader]:
    made = Reader(own_dir, settings=SETTINGS, run_as=RUN_AS)
    yield made
    made.close()


def test_what_counts_as_a_command() -> None:
    text = "```sh\nmake demo    # so\n\ncurl -s x \\\n  -d '{}'\n# only words\n```\n```json\n{}\n```\n"
    assert commands_of(text) == ["make demo", "curl -s x    -d '{}'"]


@pytest.mark.timeout(600)  # it bounds failure alone: seconds where nothing else runs
def test_every_command_of_the_readme_runs(reader: Reader) -> None:
    commands = commands_of((ROOT / "README.md").read_text())
    assert len(commands) >= 8, "the blocks are found"
    unknown = (set(NOT_RUN) | set(RUN_AS)) - set(commands)
    assert not unknown, f"no longer in the README: {unknown}"
    for command in commands:
        if command in NOT_RUN:
            continue
        if "dead-letters list" in command and reader.up is not None:
            _dead_letter(reader.up)
        out = reader.run(command)
        if command == "make demo":
            demonstration_holds(out)
