"""A package that is not installed: one line, exit code 2, and no process that is started over and over."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tallystick.cli.missing_package import in_words
from tallystick.run.doctor import machine
from tallystick.settings.load import Settings

#: Runs the command line as if a package had never been installed.
WITHOUT = (
    "import sys; sys.modules[{package!r}] = None; sys.argv = ['tallystick', *{arguments!r}];"
    "from tallystick.cli import main; main()"
)


@pytest.mark.parametrize(
    ("package", "arguments"),
    [("typer", ["--version"]), ("granian", ["serve"]), ("aiohttp", ["work"]), ("uvloop", ["up"])],
)
def test_a_missing_package_is_one_line_and_exit_code_2(package: str, arguments: list[str], tmp_path: Path) -> None:
    program = WITHOUT.format(package=package, arguments=arguments)
    data_dir = {"TALLYSTICK_DATA_DIR": str(tmp_path / "d"), "PYTHONPATH": ":".join(sys.path)}
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=data_dir, check=False)
    assert ran.returncode == 2, ran
    assert "Traceback" not in ran.stderr
    assert f"the Python package {package} is not installed" in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


def test_a_module_of_ours_that_is_missing_is_a_defect() -> None:
    assert in_words(ModuleNotFoundError("no", name="tallystick.nowhere")) is None


def test_a_start_names_what_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ["nothing-of-this-name>=2", "msgspec>=0.20", 'leather>=0.4; extra == "bench"']
    monkeypatch.setattr(metadata, "requires", lambda _: needed)
    assert list(machine.packages(Settings())) == [
        "not installed here: nothing-of-this-name; install what this release needs (docs/operate/install.md)"
    ]
