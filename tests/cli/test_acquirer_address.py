"""Commands on a data directory ask the test acquirer that serves its books, whatever its port."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tallystick.cli.context import settings_from
from tallystick.providers.simulator.setup import SimulatorSettings
from tests.support.commands import run_here
from tests.support.ports import free_port


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Begins ``simulate``, up to where it would serve. That ``verify`` asks a running one: ``test_readme``."""

    def begin(*options: str) -> None:
        served: list[Path] = []
        monkeypatch.setattr("tallystick.cli.simulate.run", lambda _host, _port, books, _options: served.append(books))
        ran = run_here(monkeypatch, capsys, "simulate", "--simulator-port", str(free_port()), *options)
        assert (ran.code, len(served)) == (0, 1), ran

    return begin


def acquirer_of(data_dir: Path) -> str:
    return settings_from(data_dir).connector(SimulatorSettings).url


def test_books_elsewhere_are_not_those_of_the_directory(tmp_path: Path, simulated: Callable[..., None]) -> None:
    simulated("--data-dir", str(tmp_path), "--books", str(tmp_path / "other.sqlite"))
    assert acquirer_of(tmp_path) == SimulatorSettings().url


def test_an_acquirer_that_was_named_is_asked(
    tmp_path: Path, simulated: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    simulated("--data-dir", str(tmp_path))
    kept = acquirer_of(tmp_path)
    assert kept != SimulatorSettings().url
    monkeypatch.setenv("TALLYSTICK_SIMULATOR_URL", "http://acquirer.example")
    assert acquirer_of(tmp_path) == "http://acquirer.example"


@pytest.mark.parametrize("kept", ["", "nonsense", "ftp://127.0.0.1:1", "\xff"])
def test_a_file_that_holds_no_address_is_left_alone(tmp_path: Path, kept: str) -> None:
    (tmp_path / "acquirer.url").write_text(kept, encoding="latin-1")
    assert acquirer_of(tmp_path) == SimulatorSettings().url
