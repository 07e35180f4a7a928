"""Settings: every one explained, and every bad variable named at once."""

from __future__ import annotations

import pytest

from tallystick.settings.load import Settings, SettingsError, describe_settings, load_settings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert load_settings({}) == Settings()


def test_what_is_not_ours_is_left_alone() -> None:
    assert load_settings({"PATH": "/bin", "PORT": "80", "tallystick_port": "1"}) == Settings()


def test_variables_are_read_by_type() -> None:
    settings = load_settings(
        {
            "TALLYSTICK_PORT": "9000",
            "TALLYSTICK_HOST": "0.0.0.0",
            "TALLYSTICK_SIMULATOR_FORGETFUL": "true",
            "TALLYSTICK_DATABASE_URL": "postgresql://app@db/tallystick",
            "TALLYSTICK_MIGRATION_DATABASE_URL": "postgres://owner@db/tallystick",
        }
    )
    assert (settings.port, settings.host, settings.simulator_forgetful) == (9000, "0.0.0.0", True)
    assert settings.database_url == "postgresql://app@db/tallystick"
    assert settings.migration_database_url == "postgres://owner@db/tallystick"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("TALLYSTICK_PROT", "8400"),
        ("TALLYSTICK_PORT", "eighty"),
        ("TALLYSTICK_PORT", "8400.5"),
        ("TALLYSTICK_PORT", "0"),
        ("TALLYSTICK_PORT", "65536"),
        ("TALLYSTICK_PORT", ""),
        ("TALLYSTICK_HOST", ""),
        ("TALLYSTICK_SEND_WINDOW_MS", "-1"),
        ("TALLYSTICK_SIMULATOR_FORGETFUL", "perhaps"),
        ("TALLYSTICK_LOG_LEVEL", "loud"),
        ("TALLYSTICK_DATABASE_URL", "mysql://db/tallystick"),
        ("TALLYSTICK_MIGRATION_DATABASE_URL", "postgresql://owner@db/tallystick"),
        ("TALLYSTICK_SIMULATOR_URL", "127.0.0.1:8401"),
    ],
)
def test_a_bad_variable_is_refused_by_name(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}: "):
        load_settings({variable: text})


def test_all_bad_variables_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"TALLYSTICK_PORT": "x", "TALLYSTICK_NOPE": "1", "TALLYSTICK_LOG_LEVEL": "loud"})
    for variable in ("TALLYSTICK_PORT", "TALLYSTICK_NOPE", "TALLYSTICK_LOG_LEVEL"):
        assert variable in str(caught.value)


@pytest.mark.parametrize(
    "variable", ["TALLYSTICK_DATABASE_URL", "TALLYSTICK_PORT", "TALLYSTICK_NO_SUCH", "TALLYSTICK_HOST"]
)
def test_no_value_is_repeated(variable: str) -> None:
    secret = "hunter2:hunter2@db"
    with pytest.raises(SettingsError) as caught:
        load_settings({variable: secret, "TALLYSTICK_PORT": secret})
    assert "hunter2" not in str(caught.value)


def test_every_setting_has_a_unit_and_a_reason() -> None:
    rows = {row.variable: row for row in describe_settings()}
    assert set(rows) == {f"TALLYSTICK_{name.upper()}" for name in Settings.__struct_fields__}
    assert all(row.unit and row.reason.endswith(".") for row in rows.values())
    for row in rows.values():
        assert (row.unit == "ms") == row.variable.endswith("_MS"), row.variable


def test_what_is_described_can_be_given_back() -> None:
    environment = {row.variable: row.default for row in describe_settings() if row.default}
    assert load_settings(environment) == Settings()


@pytest.mark.parametrize("home", ["", "relative"])
def test_the_default_data_directory_is_absolute_whatever_the_home(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_DATA_HOME", home)
    assert Settings().data_dir.startswith("/")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert Settings().data_dir == "/data/tallystick"
