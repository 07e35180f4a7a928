"""The guides to providers name the events that the code reads, and the settings and pages that there are."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Final

import pytest

from tallystick.providers.adyen import event_codes as adyen
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.providers.stripe import event_codes as stripe
from tallystick.providers.stripe.calls import API_VERSION
from tallystick.settings.load import describe_settings

GUIDES: Final = Path(__file__).parents[2] / "docs" / "guides"


@pytest.mark.parametrize(("provider", "codes"), [("stripe", stripe.MOVES_MONEY), ("adyen", adyen.READ)])
def test_the_events_to_subscribe_are_those_that_are_read(provider: str, codes: AbstractSet[str]) -> None:
    text = (GUIDES / f"{provider}.md").read_text("utf-8")
    (block,) = re.findall(r"^```text\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert block.split() == sorted(codes)


def test_events_for_a_person_are_named() -> None:
    named = set(re.findall(r"`([A-Z_]+)`", (GUIDES / "adyen.md").read_text("utf-8")))
    assert named >= adyen.FOR_A_PERSON


@pytest.mark.parametrize(
    ("provider", "offer"), [("stripe", "reporting.report_run.succeeded"), ("adyen", "REPORT_AVAILABLE")]
)
def test_the_event_that_offers_a_report_is_named(provider: str, offer: str) -> None:
    assert f"`{offer}`" in (GUIDES / f"{provider}.md").read_text("utf-8")
    assert offer in {"stripe": stripe.EVENT_CODES, "adyen": adyen.EVENT_CODES}[provider]


def test_the_endpoint_has_the_version_of_the_requests() -> None:
    assert f"`{API_VERSION}`" in (GUIDES / "stripe.md").read_text("utf-8")


@pytest.mark.parametrize("provider", ["stripe", "adyen"])
def test_every_setting_exists(provider: str) -> None:
    named = set(re.findall(r"TALLYSTICK_[A-Z_]+", (GUIDES / f"{provider}.md").read_text("utf-8")))
    assert named <= {row.variable for row in describe_settings(connectors=CONNECTOR_SETTINGS)}
