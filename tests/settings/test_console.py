"""Where the console may listen, and by which names it is known."""

from __future__ import annotations

import pytest

from tallystick.interfaces.console.security import allowed_hosts
from tallystick.settings.load import Settings, SettingsError, load_settings


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"HOST": "0.0.0.0"}, "CONSOLE_HOST"),
        ({"HOST": "console.example"}, "CONSOLE_HOST"),
        ({"TLS_KEY_FILE": "key.pem"}, "CONSOLE_TLS_KEY_FILE"),
        ({"TLS_CERTIFICATE_FILE": "chain.pem"}, "CONSOLE_TLS_KEY_FILE"),
        ({"PROXIES": "proxy.example"}, "CONSOLE_PROXIES"),
        ({"PROXIES": "10.0.0.1,"}, "CONSOLE_PROXIES"),
        ({"ALLOWED_HOSTS": "https://console.example"}, "CONSOLE_ALLOWED_HOSTS"),
        ({"ALLOWED_HOSTS": "*"}, "CONSOLE_ALLOWED_HOSTS"),
        ({"ALLOWED_HOSTS": "console.example:443"}, "CONSOLE_ALLOWED_HOSTS"),
    ],
)
def test_what_would_be_open_to_others_is_refused(given: dict[str, str], fault: str) -> None:
    with pytest.raises(SettingsError, match=f"TALLYSTICK_{fault}: "):
        load_settings({f"TALLYSTICK_CONSOLE_{name}": value for name, value in given.items()}, ())


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"HOST": "::1"},
        {"HOST": "0.0.0.0", "PROXIES": "10.0.0.1,fd00::1", "ALLOWED_HOSTS": "console.example"},
        {"HOST": "10.0.0.9", "TLS_KEY_FILE": "key.pem", "TLS_CERTIFICATE_FILE": "chain.pem"},
    ],
)
def test_where_it_may_listen(given: dict[str, str]) -> None:
    settings = load_settings({f"TALLYSTICK_CONSOLE_{name}": value for name, value in given.items()}, ())
    assert settings.console_is_encrypted == (len(given) > 1)


def test_the_names_of_loopback_are_of_loopback_alone() -> None:
    assert "localhost" in allowed_hosts(Settings())
    elsewhere = Settings(console_host="10.0.0.9", console_proxies="10.0.0.1", console_allowed_hosts="A.example")
    assert allowed_hosts(elsewhere) == {"10.0.0.9", "a.example"}
