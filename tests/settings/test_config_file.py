"""The config file: read like the environment, refused with file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.settings.config_file import read_config_file
from tallystick.settings.load import Settings, SettingsError, describe_settings, load_settings, secret_names


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tallystick.toml"
    path.touch(mode=0o600)
    return path


def refusal(file: Path, text: str) -> str:
    """Why a file with this text is refused."""
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read_config_file(file, CONNECTOR_SETTINGS)
    return str(caught.value).replace(str(file), "FILE")


def test_every_setting_can_stand_in_the_file(file: Path) -> None:
    given = {row.variable: row.default for row in describe_settings(CONNECTOR_SETTINGS) if row.default}
    file.write_text("".join(f"{name.removeprefix('TALLYSTICK_').lower()} = '{text}'\n" for name, text in given.items()))
    assert read_config_file(file, CONNECTOR_SETTINGS) == given


def test_values_are_text_whole_numbers_and_flags(file: Path) -> None:
    file.write_text('port = 9_000\nhost = "0.0.0.0"\nsimulator_forgetful = true\n')
    found = load_settings(read_config_file(file, CONNECTOR_SETTINGS), CONNECTOR_SETTINGS)
    assert (found.port, found.host, found.send_window_ms) == (9_000, "0.0.0.0", Settings().send_window_ms)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("port = 1\n\nprot = 3\n", "FILE:3: prot: unknown setting; is port meant?"),
        ("zzz = 1\n", "FILE:1: zzz: unknown setting; `tallystick settings` lists them all"),
        ("TALLYSTICK_PORT = 1\n", "FILE:1: TALLYSTICK_PORT: unknown setting; is port meant?"),
        ("Port = 1\n", "FILE:1: Port: unknown setting; is port meant?"),
        ("[hsot]\nname = 'x'\n", "FILE:1: hsot: unknown setting; is host meant?"),
        ("'port' = 'eighty'\n", "FILE:1: port: expected a whole number from 1 to 65535"),
        ("port = 0\n", "FILE:1: port: expected a whole number from 1 to 65535"),
        ("host = ''\n", "FILE:1: host: it is empty; unset it for the default"),
        ("host = ['a']\n", "FILE:1: host: expected a text, a whole number, true or false"),
        ("port = 8400.5\n", "FILE:1: port: expected a text, a whole number, true or false"),
        ("port = 1\nport = 2\n", "FILE:2: Cannot overwrite a value"),
        ("host = 'a'\nport 1\n", "FILE:2: Expected '=' after a key in a key/value pair"),
        (
            "port = 'x'\nhots = 1\n",
            "FILE:1: port: expected a whole number from 1 to 65535; FILE:2: hots: unknown setting; is host meant?",
        ),
    ],
)
def test_a_fault_has_file_and_line(file: Path, text: str, said: str) -> None:
    # Newer versions of Python end tomllib's own words a little differently.
    assert refusal(file, text).startswith(said)


def test_a_file_that_is_not_there_or_no_text(file: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read the config file .*/absent: No such file"):
        read_config_file(tmp_path / "absent", CONNECTOR_SETTINGS)
    file.write_bytes(b"host = '\xff'\n")
    with pytest.raises(SettingsError, match="it is not UTF-8"):
        read_config_file(file, CONNECTOR_SETTINGS)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o644])
def test_secrets_are_for_the_owner_alone(file: Path, mode: int) -> None:
    variables = {row.variable.removeprefix("TALLYSTICK_").lower() for row in describe_settings(CONNECTOR_SETTINGS)}
    secrets = sorted(secret_names(CONNECTOR_SETTINGS) & variables)
    assert {"database_url", "sealing_keys", "stripe_api_key"} <= set(secrets)
    file.chmod(mode)
    for name in secrets:
        said = refusal(file, f"port = 1\n{name} = 'hunter2'\n")
        assert said.startswith(f"FILE: it has secrets ({name}), and mode {mode:04o} lets others use it")
        assert "hunter2" not in said
    file.write_text("port = 1\n")
    assert read_config_file(file, CONNECTOR_SETTINGS) == {"TALLYSTICK_PORT": "1"}
    for owners in (0o600, 0o400):
        file.chmod(0o600)
        file.write_text("stripe_api_key = 'hunter2'\n")
        file.chmod(owners)
        assert read_config_file(file, CONNECTOR_SETTINGS) == {"TALLYSTICK_STRIPE_API_KEY": "hunter2"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"port = {'9' * 5_000}\n", "FILE: a number is too long, or lists are nested too deeply"),
        (f"host = {'[' * 100_000}\n", "FILE: a number is too long, or lists are nested too deeply"),
        ('port = 1\nhost = "a\\u0000b"\n', "FILE:2: host: it has a NUL, which no variable can have"),
    ],
    ids=["digits", "brackets", "NUL"],
)
def test_what_python_cannot_take_is_refused_like_the_rest(file: Path, text: str, said: str) -> None:
    assert refusal(file, text) == said


def test_no_value_is_repeated(file: Path) -> None:
    assert "hunter2" not in refusal(file, "port = 'hunter2'\nprot = 'hunter2'\nsend_window_ms = 'hunter2'\n")
