"""Every command block of README.md, run as a reader runs it: in a fresh directory, one command after the other."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tallystick.lab.demo.stories import STORIES
from tallystick.record.postgres.embedded.server import EmbeddedPostgres
from tests.support.commands import Up, clean_environment
from tests.support.polling import PATIENCE_S, eventually
from tests.support.provider_webhooks import PATH, signature

ROOT: Final = Path(__file__).parents[3]

#: Commands of the README that are not run here, and why.
NOT_RUN: Final = {"make test": "it is what runs this test"}

#: Commands that are run in another way than they are written, and why.
ENVIRONMENT: Final = Path(sys.prefix)
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

_BLOCK: Final = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

_ASSIGNMENT: Final = re.compile(r"[A-Z_]+=")


def commands_of(text: str) -> list[str]:
    """The commands of all blocks, in their order: without comments, continued lines joined."""
    joined = "".join(_BLOCK.findall(text)).replace("\\\n", " ")
    lines = [re.sub(r"\s+#\s.*$", "", line).strip() for line in joined.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


class Reader:
    """Types the commands into a shell, with ids where the README has an ellipsis."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.up: Up | None = None
        self._assignments: list[str] = []
        self._ids: dict[str, str] = {}
        (home / ".venv").symlink_to(ENVIRONMENT, target_is_directory=True)

    def run(self, command: str) -> None:
        """Run one command. Raises AssertionError where it does not do what the README says."""
        if " up " in command:
            assert "--data-dir ./data" in command
            self.up = Up(self.home / "data", **SETTINGS)
            self.up.__enter__()
            return
        if "dead-letters list" in command and self.up is not None:
            _dead_letter(self.up)
        typed = self._typed(RUN_AS.get(command, command))
        if _ASSIGNMENT.match(command):
            self._assignments.append(typed)
        out = eventually(lambda: self._shell(typed), until=_says_something) if "curl" in typed else self._shell(typed)
        assert "urn:tallystick:error" not in out, out
        for prefix in ("pay_", "evt_"):
            for name in re.findall(rf"\b{prefix}[0-9a-f]{{32}}\b", out)[:1]:
                self._ids[prefix] = name
        if command == "make demo":
            _demonstration_holds(out)

    def _typed(self, command: str) -> str:
        for prefix, name in self._ids.items():
            command = command.replace(f"{prefix}…", name)
        assert "…" not in command, f"nothing to put for the ellipsis: {command}"
        if self.up is not None:
            command = command.replace(":8400/", f":{self.up.port}/").replace(":8401/", f":{self.up.simulator_port}/")
        return command

    def _shell(self, command: str) -> str:
        # Without the address of the acquirer, which is on a free port here: `verify` knows it from the data directory.
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join([*self._assignments, command])],
            cwd=self.home,
            env=clean_environment({}),
            capture_output=True,
            text=True,
            timeout=4 * PATIENCE_S,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout


def _says_something(out: str) -> bool:
    """A list that webhooks fill is filled after some seconds."""
    return '"data":[]' not in out.replace(" ", "")


def _demonstration_holds(out: str) -> None:
    assert "0 duplicates in" in out
    assert "✗" not in out and out.count("✓") == 9


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
    made = Reader(own_dir)
    yield made
    if made.up is not None:
        made.up.__exit__()


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
        if command not in NOT_RUN:
            reader.run(command)
