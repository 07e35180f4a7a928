"""What ``up`` says once it is up."""

from __future__ import annotations

from pathlib import Path

from tallystick.cli.up import invitation
from tallystick.record.postgres.embedded.server import DatabaseUrls
from tallystick.run.up import Platform
from tallystick.settings.load import Settings


def said(settings: Settings) -> str:
    platform = Platform(
        settings=settings,
        database=DatabaseUrls(owner_url="", app_url=""),
        address="http://127.0.0.1:8080",
        simulator_address=None,
        console_address=None,
        key_file=Path("api-key"),
        api_key="",
    )
    return invitation(platform)


def test_it_says_where_the_metrics_are() -> None:
    on = said(Settings(metrics_port=9_100, worker_metrics_port=9_101))
    assert "API: http://127.0.0.1:9100/metrics, worker: http://127.0.0.1:9101/metrics" in on
    off = said(Settings())
    assert "off (TALLYSTICK_METRICS_PORT switches it on)" in off and "TALLYSTICK_WORKER_METRICS_PORT" in off
