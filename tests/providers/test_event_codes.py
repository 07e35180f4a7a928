"""Every event code that a provider's SDK knows is a row of our table, and a row without a code is none."""

from __future__ import annotations

import ast
import importlib.util
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tallystick.domain.notices import UnknownNotice, Unreadable
from tallystick.lab.acquirer import rules, scripts
from tallystick.providers.adyen import event_codes as adyen_codes
from tallystick.providers.adyen.receiver import _TRANSLATIONS as ADYEN_READERS
from tallystick.providers.event_codes import event_table
from tallystick.providers.receiver import Notification
from tallystick.providers.registry import PROVIDERS
from tallystick.providers.simulator.codes import DECLINES, PLAIN_DECLINES
from tallystick.providers.simulator.event_codes import EVENT_CODES as SIMULATOR_CODES
from tallystick.providers.simulator.receiver import _READERS as SIMULATOR_READERS
from tallystick.providers.stripe import event_codes as stripe_codes
from tallystick.providers.stripe.calls import API_VERSION
from tallystick.providers.stripe.receiver import _TRANSLATIONS as STRIPE_READERS
from tests.support.connector_suite import Letters
from tests.support.provider_doubles import LETTERS

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)

PUBLISHED = Path(__file__).parent / "adyen" / "published_event_codes.txt"


def package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def stripe_literals(name: str) -> set[str]:
    """The literals of a parameter with which an endpoint is created."""
    source = (package("stripe") / "params" / "_webhook_endpoint_create_params.py").read_text()
    fields = [each for each in ast.walk(ast.parse(source)) if isinstance(each, ast.AnnAssign)]
    [found] = [each for each in fields if isinstance(each.target, ast.Name) and each.target.id == name]
    return {str(each.value) for each in ast.walk(found.annotation) if isinstance(each, ast.Constant)}


def stripe_snapshots() -> set[str]:
    """``*`` stands for all of them."""
    literals = stripe_literals("enabled_events")
    assert "*" in literals and len(literals) > 200
    return literals - {"*"}


def stripe_thin() -> set[str]:
    return set(re.findall(r'"(v[12]\.[a-z0-9_.]+)"', (package("stripe") / "events" / "_event_classes.py").read_text()))


def adyen_published() -> set[str]:
    return {line for line in PUBLISHED.read_text().split("\n") if line and not line.startswith("#")}


def test_stripe() -> None:
    ours, snapshots, thin = set(stripe_codes.EVENT_CODES), stripe_snapshots(), stripe_thin()
    assert {code for code in ours if not code.startswith(("v1.", "v2."))} == snapshots
    assert thin <= ours
    assert {code for code in ours - thin if code.startswith(("v1.", "v2."))} <= {f"v1.{code}" for code in snapshots}
    for code in thin & {f"v1.{code}" for code in snapshots}:
        assert stripe_codes.EVENT_CODES[code] == stripe_codes.EVENT_CODES[code.removeprefix("v1.")]
    assert set(STRIPE_READERS) == stripe_codes.MOVES_MONEY | {"reporting.report_run.succeeded"}
    assert stripe_codes.EVENT_CODES["reporting.report_run.succeeded"] == "not_about_payments"
    about_charges = ("charge.", "payment_intent.", "refund.")
    assert {c for c in snapshots if c.startswith(about_charges)} <= stripe_codes.MOVES_MONEY | stripe_codes.INFORMS


def test_the_version_that_is_asked_for_is_one_of_stripe_s() -> None:
    assert API_VERSION in stripe_literals("api_version")


def test_adyen() -> None:
    ours = set(adyen_codes.EVENT_CODES)
    assert adyen_published() <= ours
    seen_in_pages_alone = {"FRAUD_ONLY"}
    assert ours - adyen_published() == seen_in_pages_alone
    assert set(ADYEN_READERS) == adyen_codes.READ


def test_the_sdk_of_adyen_has_no_list_of_its_own() -> None:
    """Once a release has models of webhooks, they are compared here, as Stripe's are."""
    words = {word for path in package("Adyen").rglob("*.py") for word in re.findall(r"[A-Z_]{6,}", path.read_text())}
    listed = words & adyen_published()
    assert not listed, f"compare with the SDK: it has {sorted(listed)}"


def test_the_test_acquirer() -> None:
    """By its rules, and by the types that it writes as they stand."""
    effects = ("authorized", "captured", "voided", "refunded")
    steps = {
        kind
        for operation in ("authorize", "capture", "cancel", "refund")
        for status in ("approved", "declined", "pending", "failed", "requires_action")
        for effect in effects
        if (kind := rules.event_type(operation, status, effect)) is not None
    }
    written = {
        kind
        for path in package("tallystick.lab.acquirer").glob("*.py")
        for kind in re.findall(r'"((?:charge|dashboard|dispute)\.[a-z_]+)"', path.read_text())
    }
    assert set(SIMULATOR_CODES) == steps | written | {"report.ready"}, "which is for deliveries by hand"
    assert set(SIMULATOR_READERS) == steps | written
    assert set(scripts.DECLINE_MESSAGES) == {*DECLINES, *PLAIN_DECLINES}


def test_a_code_has_one_row() -> None:
    with pytest.raises(ValueError, match="two rows"):
        event_table(moves_money=["a"], informs=["a"], not_about_payments=[])


def of_code(letters: Letters, code: str, **changed: Any) -> Notification:
    """An event of this code, signed, as the receiver reads it."""
    name = "eventCode" if letters.name == "adyen" else "type"
    delivery = letters.sign(letters.event(1) | {name: code} | changed, letters.secrets[0], NOW)
    [found] = letters.receiver(letters.secrets[:1]).receive(delivery.body, delivery.headers, NOW)
    return found


#: Changes after which nothing but the code of an event can be read.
SPOILT: dict[str, dict[str, Any]] = {
    "stripe": {"id": 7},
    "adyen": {"success": "perhaps"},
    "simulator": {"id": 7},
}


@pytest.mark.parametrize("letters", LETTERS, ids=lambda letters: letters.name)
def test_the_table_decides(letters: Letters) -> None:
    table = PROVIDERS[letters.name].event_codes()
    for code, meaning in table.items():
        spoilt = of_code(letters, code, **SPOILT[letters.name])
        whole = of_code(letters, code, **({"originalReference": "PSP0"} if letters.name == "adyen" else {}))
        if meaning == "moves_money":
            assert isinstance(spoilt.notice, Unreadable), code
            # Stripe's may be overtaken by the state of its object: then another event tells.
            assert whole.notice is not None or letters.name == "stripe", code
        else:
            assert (whole.notice, whole.type) == (None, code)
            assert (spoilt.notice, spoilt.type) == (None, code), "it is acknowledged, whatever it holds"
    for code in ("something.new", "SOMETHING_NEW"):
        found = of_code(letters, code)
        assert isinstance(found.notice, Unreadable | UnknownNotice), "a person looks at it"
        assert ("unknown_value", code) in [(each.kind, each.value) for each in found.drift]
