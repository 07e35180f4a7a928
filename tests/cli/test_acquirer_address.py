"""Commands on a data directory ask the test acquirer that serves its books, whatever its port."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tallystick.cli.context import settings_from
from tallystick.providers.simulator.setup import SimulatorSettings
from tests.support.commands import Up, clean_environment, run_process
from tests.support.polling import PATIENCE_S, until_ready
from tests.support.ports import free_port


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory with a short name: a Unix socket's name is at most 107 bytes long."""
    path = Path(tempfile.mkdtemp(prefix="tally-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.timeout(300)
def test_verify_asks_the_acquirer_that_up_has_started(home: Path) -> None:
    with Up(home / "d") as up:
        paid = httpx.post(
            f"{up.address}/v1/payments",
            json={"amount": 1_999, "currency": "EUR", "payment_method": "sim_ok"},
            headers={"Authorization": f"Bearer {up.key}", "Idempotency-Key": "first"},
            timeout=PATIENCE_S,
        )
        assert paid.status_code == 201
        checked = run_process("verify", "--data-dir", str(home / "d"), "--provider", "simulator")
        assert checked.code == 0, checked
        assert "The provider's books" in checked.out


def acquirer_of(data_dir: Path) -> str:
    return settings_from(data_dir).connector(SimulatorSettings).url


def simulated(*options: str) -> None:
    """Start the acquirer, wait until it answers, and end it."""
    port = free_port()
    command = [sys.executable, "-m", "tallystick", "simulate", "--simulator-port", str(port), *options]
    with subprocess.Popen(command, env=clean_environment({})) as process:
        try:
            until_ready(process, lambda: httpx.get(f"http://127.0.0.1:{port}/sim/charges").raise_for_status())
        finally:
            process.terminate()


def test_books_elsewhere_are_not_those_of_the_directory(tmp_path: Path) -> None:
    simulated("--data-dir", str(tmp_path), "--books", str(tmp_path / "other.sqlite"))
    assert acquirer_of(tmp_path) == SimulatorSettings().url


def test_an_acquirer_that_was_named_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulated("--data-dir", str(tmp_path))
    kept = acquirer_of(tmp_path)
    assert kept != SimulatorSettings().url
    monkeypatch.setenv("TALLYSTICK_SIMULATOR_URL", "http://acquirer.example")
    assert acquirer_of(tmp_path) == "http://acquirer.example"


@pytest.mark.parametrize("kept", ["", "nonsense", "ftp://127.0.0.1:1", "\xff"])
def test_a_file_that_holds_no_address_is_left_alone(tmp_path: Path, kept: str) -> None:
    (tmp_path / "acquirer.url").write_text(kept, encoding="latin-1")
    assert acquirer_of(tmp_path) == SimulatorSettings().url
