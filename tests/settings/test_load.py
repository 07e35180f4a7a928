"""Settings: every one explained, and every bad variable named at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Annotated, ClassVar

import pytest
from psycopg.conninfo import conninfo_to_dict

from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.settings.fields import ms, secret, text
from tallystick.settings.load import (
    Settings,
    SettingsError,
    describe_settings,
    environment_of,
    load_settings,
    secret_names,
)
from tallystick.settings.sections import ConnectorSettings, Section


def loaded(environ: Mapping[str, str]) -> Settings:
    return load_settings(environ, CONNECTOR_SETTINGS)


def test_an_empty_environment_gives_the_defaults() -> None:
    assert loaded({}) == Settings()


def test_what_is_not_ours_is_left_alone() -> None:
    assert loaded({"PATH": "/bin", "PORT": "80", "tallystick_port": "1"}) == Settings()


def test_variables_are_read_by_type() -> None:
    settings = loaded(
        {
            "TALLYSTICK_PORT": "9000",
            "TALLYSTICK_HOST": "0.0.0.0",
            "TALLYSTICK_SIMULATOR_FORGETFUL": "true",
            "TALLYSTICK_DATABASE_URL": "postgresql://app@db/tallystick",
            "TALLYSTICK_MIGRATION_DATABASE_URL": "postgres://owner@db/tallystick",
        }
    )
    assert (settings.port, settings.host) == (9000, "0.0.0.0")
    assert settings.connector(SimulatorSettings).forgetful
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
        ("TALLYSTICK_OUTBOUND_LEASE_MS", "40000"),
        ("TALLYSTICK_WEBHOOK_PROVIDER_TRIES", "stripe"),
        ("TALLYSTICK_WEBHOOK_PROVIDER_TRIES", "stripe=few"),
        ("TALLYSTICK_WEBHOOK_PROVIDER_TRIES", "stripe=0"),
        ("TALLYSTICK_WEBHOOK_PROVIDER_OWNERS", "stripe="),
    ],
)
def test_a_bad_variable_is_refused_by_name(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}: "):
        loaded({variable: text})


A_PROVIDER = "expected provider=value,… of the providers simulator, stripe, adyen"


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("TALLYSTICK_PORT", "x", "expected a whole number from 1 to 65535"),
        ("TALLYSTICK_PORT", "65536", "expected a whole number from 1 to 65535"),
        ("TALLYSTICK_SIMULATOR_FORGETFUL", "perhaps", "expected true or false"),
        ("TALLYSTICK_PROT", "8400", "unknown setting; is TALLYSTICK_PORT meant?"),
        ("TALLYSTICK_ZZZ", "1", "unknown setting; `tallystick settings` lists them all"),
        ("TALLYSTICK_WEBHOOK_PROVIDER_TRIES", "stripe=3,strpe=3", f"{A_PROVIDER}; is stripe meant?"),
        ("TALLYSTICK_WEBHOOK_PROVIDER_TRIES", "Adyen=3", f"{A_PROVIDER}; is adyen meant?"),
        ("TALLYSTICK_WEBHOOK_PROVIDER_OWNERS", "zzz=cards-team", A_PROVIDER),
        ("TALLYSTICK_WEBHOOK_PROVIDER_OWNERS", "stripe=a,stripe=b", "each provider may be named once"),
    ],
)
def test_a_fault_says_what_is_expected(variable: str, text: str, expected: str) -> None:
    with pytest.raises(SettingsError) as caught:
        loaded({variable: text})
    assert str(caught.value) == f"{variable}: {expected}"


@pytest.mark.parametrize(
    "rest",
    [
        "app:hun/ter2@db/pay",
        "app:59/hunter2@db/pay",
        "app:hun#ter2@db/pay",
        "app:hun?ter2@db/pay",
        "app:59?ter2=hunter2@db/pay#",
        "app:hun@ter2@db/pay",
        "app:hun%ter2@db/pay",
        "app:hun%00ter2@db/pay",
        "app:hun[ter2@db/pay",
        "app:hunter2@[::1/pay",
        "app:hunter2@db:59x/pay",
        "app:hunter2@db/pay?hunter2",
        "app:hunter2@db/pay?sslmode=%x",
        "app:hun\nter2@db/pay",
        "app:hun ter2@db/pay",
    ],
)
def test_a_password_is_never_read_as_something_else(rest: str) -> None:
    """The drivers would name it as a host, a port or a parameter that is wrong, or would print the whole URL."""
    for variable in ("TALLYSTICK_DATABASE_URL", "TALLYSTICK_MIGRATION_DATABASE_URL"):
        sound = {"TALLYSTICK_DATABASE_URL": "postgresql://db/pay"}
        with pytest.raises(SettingsError) as caught:
            loaded(sound | {variable: f"postgresql://{rest}"})
        assert str(caught.value).startswith(f"{variable}: expected postgresql://role:password@host:port/name; ")
        assert "ter2" not in str(caught.value)


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "db",
        "app:@db:5432/pay",
        "app:a%2Fb%40c%25d:é~!$&'()*+,;=@db.internal/pay",
        "app@db1:5433,db2:5434/pay?target_session_attrs=read-write",
        "app@[::1]:5433,db2/pay?port=6000",
        "app@/pay?host=/run/postgresql,/b&port=5432,5433",
        "/pay?options=-c%20geqo%3Doff&application_name=a:b@c?d",
        "%2Frun%2Fpostgresql:5432/pay?",
    ],
)
def test_urls_that_the_drivers_read_alike_are_taken(rest: str) -> None:
    url = f"postgresql://{rest}"
    conninfo_to_dict(url)
    assert loaded({"TALLYSTICK_DATABASE_URL": url}).database_url == url


@pytest.mark.parametrize(
    "rest",
    [
        "db:99999/pay",
        "db:0/pay",
        "db/pay?port=x",
        "db/pay?port=70000",
        "db/pay?port=" + "9" * 5_000,
        "db1,db2/pay?port=5432,x",
        "db1,db2,db3/pay?port=5432,5433",
        "/pay?host=/a,/b&port=1,2,3",
        "[::1]:66000/pay",
        "app:1@db1:1,db2:99999/pay",
    ],
)
def test_what_is_no_port_of_a_database_is_named(rest: str) -> None:
    """The drivers raise whatever comes of it."""
    with pytest.raises(SettingsError) as caught:
        loaded({"TALLYSTICK_DATABASE_URL": f"postgresql://{rest}"})
    said = "TALLYSTICK_DATABASE_URL: expected ports from 1 to 65535, one for all hosts or one for each"
    assert str(caught.value).splitlines()[0] == said


def test_all_bad_variables_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        loaded({"TALLYSTICK_PORT": "x", "TALLYSTICK_NOPE": "1", "TALLYSTICK_LOG_LEVEL": "loud"})
    for variable in ("TALLYSTICK_PORT", "TALLYSTICK_NOPE", "TALLYSTICK_LOG_LEVEL"):
        assert variable in str(caught.value)


@pytest.mark.parametrize(
    "variable", ["TALLYSTICK_DATABASE_URL", "TALLYSTICK_PORT", "TALLYSTICK_NO_SUCH", "TALLYSTICK_HOST"]
)
def test_no_value_is_repeated(variable: str) -> None:
    secret = "hunter2:hunter2@db"
    with pytest.raises(SettingsError) as caught:
        loaded({variable: secret, "TALLYSTICK_PORT": secret})
    assert "hunter2" not in str(caught.value)


def test_every_setting_has_a_unit_and_a_reason() -> None:
    rows = {row.variable: row for row in describe_settings(CONNECTOR_SETTINGS)}
    sections: tuple[type[Section], ...] = (Settings, *CONNECTOR_SETTINGS)
    names = {section.prefix + field.name for section in sections for field in fields(section)} - {"connectors"}
    assert set(rows) == {f"TALLYSTICK_{name.upper()}" for name in names}
    assert len(rows) == len(names) == len(describe_settings(CONNECTOR_SETTINGS))
    assert all(row.unit and row.reason.endswith(".") for row in rows.values())
    for row in rows.values():
        assert (row.unit == "ms") == row.variable.endswith("_MS"), row.variable


def test_what_is_described_can_be_given_back() -> None:
    environment = {row.variable: row.default for row in describe_settings(CONNECTOR_SETTINGS) if row.default}
    assert loaded(environment) == Settings()


@pytest.mark.parametrize("home", ["", "relative"])
def test_the_default_data_directory_is_absolute_whatever_the_home(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("HOME", home)
    monkeypatch.setenv("XDG_DATA_HOME", home)
    assert Settings().data_dir.startswith("/")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert Settings().data_dir == "/data/tallystick"


@dataclass(frozen=True, kw_only=True, repr=False)
class PaywellSettings(ConnectorSettings):
    """A connector that the settings' room has never heard of."""

    prefix: ClassVar[str] = "paywell_"

    key: Annotated[str | None, secret("A key.")] = None
    account: Annotated[str, text("An account.")] = "main"
    wait_ms: Annotated[int, ms("A wait.", le=100)] = 10

    def faults(self) -> Iterator[str]:
        if self.key is not None and self.account == "main":
            yield self.fault("account", "expected another one beside a key")


def test_a_connector_brings_its_own_settings() -> None:
    environ = {"TALLYSTICK_PAYWELL_KEY": "hunter2", "TALLYSTICK_PAYWELL_ACCOUNT": "eu", "TALLYSTICK_PORT": "9000"}
    settings = load_settings(environ, [PaywellSettings])
    assert settings.connector(PaywellSettings) == PaywellSettings(key="hunter2", account="eu")
    assert settings.port == 9000
    assert "hunter2" not in repr(settings) + repr(settings.connector(PaywellSettings))
    with pytest.raises(SettingsError, match="TALLYSTICK_PAYWELL_KEY: unknown setting"):
        loaded({"TALLYSTICK_PAYWELL_KEY": "hunter2"})


def test_a_connector_s_faults_are_named_with_the_others() -> None:
    environ = {"TALLYSTICK_PAYWELL_KEY": "hunter2", "TALLYSTICK_PAYWELL_WAIT_MS": "101", "TALLYSTICK_PORT": "x"}
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, [PaywellSettings])
    for variable in ("TALLYSTICK_PAYWELL_ACCOUNT: ", "TALLYSTICK_PAYWELL_WAIT_MS: ", "TALLYSTICK_PORT: "):
        assert variable in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_one_connector_s_settings_are_changed_alone() -> None:
    settings = Settings(port=9000).with_connector(PaywellSettings, key="a").with_connector(SimulatorSettings, port=9)
    changed = settings.with_connector(PaywellSettings, account="eu")
    assert changed.connector(PaywellSettings) == PaywellSettings(key="a", account="eu")
    assert (changed.port, changed.connector(SimulatorSettings).port) == (9000, 9)
    only = changed.of_one_connector(SimulatorSettings)
    assert (only.port, only.connector(SimulatorSettings).port) == (9000, 9)
    assert only.connector(PaywellSettings) == PaywellSettings()


def test_another_process_gets_the_same_settings() -> None:
    settings = Settings(port=9000, database_url="postgresql://db/x", webhook_allow_private_addresses=True)
    settings = settings.with_connector(PaywellSettings, key="a", account="eu")
    assert load_settings(environment_of(settings), [PaywellSettings]) == settings


def test_what_is_a_secret_is_said_where_it_is_described() -> None:
    names = secret_names([PaywellSettings])
    shared = {"database_url", "migration_database_url", "sealing_keys", "operator_key", "audit_signing_key"}
    shared |= {"alert_urls", "alert_secret", "alert_slack_urls", "audit_heads_url"}  # who has a chat's URL writes to it
    assert {"paywell_key", "key"} | shared == names
    settings = {
        *("adyen_api_key", "adyen_hmac_keys", "adyen_report_api_key"),
        *("simulator_webhook_secrets", "stripe_api_key", "stripe_webhook_secrets"),
        *shared,
    }
    assert settings < secret_names(CONNECTOR_SETTINGS)
    for row in describe_settings(CONNECTOR_SETTINGS):
        name = row.variable.removeprefix("TALLYSTICK_").lower()
        looks_secret = name.endswith(("_key", "_keys", "_secret", "_secrets", "_url", "_urls")) and not name.endswith(
            ("api_url", "files_url", "reports_url", "return_url", "simulator_url")
        )
        assert looks_secret == (name in settings), name


@pytest.mark.parametrize("given", ["0", "65536", "none"])
def test_a_port_that_may_be_left_out_has_the_bounds_of_a_port(given: str) -> None:
    with pytest.raises(SettingsError, match="WORKER_HEALTH_PORT: expected a whole number from 1 to 65535"):
        load_settings({"TALLYSTICK_WORKER_HEALTH_PORT": given}, ())
    assert load_settings({"TALLYSTICK_WORKER_HEALTH_PORT": "8402"}, ()).worker_health_port == 8402
    assert load_settings({}, ()).worker_health_port is None
