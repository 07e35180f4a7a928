"""A provider that calls everything by card numbers: charges, captures, refunds, disputes, movements and events."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

from aiohttp import web

from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.providers.stripe.objects import ATTEMPT, MERCHANT, PAYMENT
from tests.support.adyen.fake_adyen import MERCHANT_ACCOUNT, delivery
from tests.support.card_bank import AT, Event, signed, stripe_event
from tests.support.card_numbers import completed


class Names(NamedTuple):
    """What the provider calls the things of one payment."""

    charge: str
    capture: str
    refund: str
    dashboard_refund: str
    dispute: str
    movement: str
    event: str


def names(provider: str) -> Names:
    """Card numbers of several issuers and lengths, other ones for each provider."""
    place = {"simulator": "1", "stripe": "2", "adyen": "3"}[provider]
    return Names(*(completed(f"{prefix}{place * 8}{rest}") for prefix, rest in _SHAPES))


#: What stands around eight equal digits.
_SHAPES: Final = (
    ("41", "00001"),
    ("5102", "002"),
    ("3403", "03"),
    ("601104", "4"),
    ("4105", "000500"),
    ("3606", "1"),
    ("2221", "070"),
)


class Named:
    """The provider's API, and what it tells. ``asked``: method, path and body of each request."""

    def __init__(self, provider: str) -> None:
        self.names = names(provider)
        self.asked: list[str] = []
        self.ours: dict[str, str] = {}
        self._answer = _ANSWERS[provider]
        self._told = _TOLD[provider]

    async def answer(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        self.asked.append(f"{request.method} {request.path} {body}")
        status, said = self._answer(self, request, body)
        return web.Response(status=status, body=json.dumps(said).encode(), content_type="application/json")

    def tell(self, what: str) -> Event:
        """A delivery about the capture, the refund, the refund in the dashboard, or the dispute."""
        return self._told(self, what)


def _simulator_answer(bank: Named, request: web.Request, body: str) -> tuple[int, Any]:
    said = json.loads(body) if body else {}
    about = {"attempt_id": said.get("attempt_id"), "amount": said.get("amount"), "currency": "EUR", "occurred_at": AT}
    if request.path.endswith("/capture"):
        more = {"operation": "capture", "status": "approved", "effect": "captured", "reference": bank.names.charge}
    elif request.path.endswith("/refunds"):
        bank.ours["refund"] = said["attempt_id"]
        more = {"operation": "refund", "status": "pending", "reference": bank.names.refund}
    else:
        bank.ours |= {"merchant_id": said["merchant_id"], "payment_id": said["payment_id"]}
        more = {"operation": "authorize", "status": "approved", "effect": "authorized", "reference": bank.names.charge}
    return 200, about | more


def _simulator_told(bank: Named, what: str) -> Event:
    names = bank.names
    about: dict[str, Any] = {"merchant_id": bank.ours["merchant_id"], "payment_id": bank.ours["payment_id"]}
    about |= {"charge_id": names.charge, "currency": "EUR", "occurred_at": AT}
    told: dict[str, tuple[str, dict[str, Any]]] = {
        "capture": ("dashboard.captured", {"amount": 1000, "effect": "captured"}),
        "refund": (
            "refund.succeeded",
            {"amount": 300, "attempt_id": bank.ours.get("refund"), "operation": "refund", "status": "approved",
             "effect": "refunded", "reference": names.refund},
        ),
        "dashboard_refund": ("dashboard.refunded", {"amount": 200, "reference": names.dashboard_refund}),
        "dispute": (
            "dispute.opened",
            {"amount": 400, "status": "opened", "reference": names.dispute, "funds": "withdrawn",
             "movement": names.movement},
        ),
    }  # fmt: skip
    kind, more = told[what]
    event_id = names.event if what == "dispute" else f"evt_{what}_{bank.ours['payment_id']}"
    body = json.dumps({"id": event_id, "type": kind, "created": AT, "data": about | more}).encode()
    secret = SimulatorSettings().signing_secret
    return Event("/v1/webhooks/simulator/main", body, signed(body, secret, "acquirer"))


def _stripe_answer(bank: Named, request: web.Request, body: str) -> tuple[int, Any]:
    said = {name: values[0] for name, values in parse_qs(body).items()}
    metadata = {name: said[f"metadata[{name}]"] for name in (MERCHANT, PAYMENT, ATTEMPT) if f"metadata[{name}]" in said}
    if request.path.endswith("/refunds"):
        bank.ours["refund"] = metadata[ATTEMPT]
        return 200, _stripe_refund(bank, bank.names.refund, 300, "pending", metadata)
    intent: dict[str, Any] = {"id": bank.names.charge, "object": "payment_intent", "amount": 1000, "currency": "eur"}
    intent |= {"created": 1_760_000_000, "latest_charge": bank.names.capture}
    if request.path.endswith("/capture"):
        return 200, intent | {"status": "succeeded", "amount_received": 1000, "metadata": {}}
    bank.ours |= metadata
    return 200, intent | {"status": "requires_capture", "metadata": metadata}


def _stripe_refund(bank: Named, name: str, amount: int, status: str, metadata: Mapping[str, str]) -> dict[str, Any]:
    about = {"id": name, "object": "refund", "amount": amount, "currency": "eur", "status": status}
    return about | {
        "payment_intent": bank.names.charge, "balance_transaction": bank.names.movement, "metadata": dict(metadata),
        "reason": None, "created": 1_760_000_000,
    }  # fmt: skip


def _stripe_told(bank: Named, what: str) -> Event:
    """Of our names only those of our own refund: all else is found by the charge."""
    names = bank.names
    if what == "refund":
        metadata = bank.ours | {ATTEMPT: bank.ours["refund"]}
        metadata.pop("refund")
        return stripe_event("refund.updated", _stripe_refund(bank, names.refund, 300, "succeeded", metadata))
    if what == "dashboard_refund":
        return stripe_event("refund.created", _stripe_refund(bank, names.dashboard_refund, 200, "succeeded", {}))
    if what == "dispute":
        moved = {"id": names.movement, "amount": -400, "currency": "eur"}
        about = {"id": names.dispute, "object": "dispute", "amount": 400, "currency": "eur", "status": "needs_response"}
        about |= {"payment_intent": names.charge, "balance_transactions": [moved], "reason": "fraudulent"}
        return stripe_event("charge.dispute.funds_withdrawn", about, names.event)
    intent = {"id": names.charge, "object": "payment_intent", "status": "succeeded", "metadata": {}}
    money = {"amount": 1000, "amount_received": 1000, "currency": "eur"}
    return stripe_event("payment_intent.succeeded", intent | money)


def _adyen_answer(bank: Named, request: web.Request, body: str) -> tuple[int, Any]:
    said = json.loads(body)
    if request.path.endswith("/payments"):
        bank.ours["authorize"] = said["reference"]
        psp = bank.names.charge
        return 200, {"pspReference": psp, "merchantReference": said["reference"], "resultCode": "Authorised"}
    operation = "capture" if request.path.endswith("/captures") else "refund"
    bank.ours[operation] = said["reference"]
    names = {"pspReference": getattr(bank.names, operation), "paymentPspReference": bank.names.charge}
    return 201, names | {"reference": said["reference"], "status": "received"}


def _adyen_told(bank: Named, what: str) -> Event:
    code, psp, amount, reference = {
        "capture": ("CAPTURE", bank.names.capture, 1000, bank.ours.get("capture")),
        "refund": ("REFUND", bank.names.refund, 300, bank.ours.get("refund")),
        "dashboard_refund": ("REFUND", bank.names.dashboard_refund, 200, bank.ours["authorize"]),
        "dispute": ("CHARGEBACK", bank.names.dispute, 400, bank.ours["authorize"]),
    }[what]
    item = {
        "amount": {"value": amount, "currency": "EUR"}, "eventCode": code, "eventDate": "2026-05-04T03:02:00+00:00",
        "merchantAccountCode": MERCHANT_ACCOUNT, "merchantReference": reference, "originalReference": bank.names.charge,
        "pspReference": psp, "reason": "", "success": "true",
    }  # fmt: skip
    return Event("/v1/webhooks/adyen/main", delivery([item]), {})


_ANSWERS: Final[Mapping[str, Callable[[Named, web.Request, str], tuple[int, Any]]]] = {
    "simulator": _simulator_answer,
    "stripe": _stripe_answer,
    "adyen": _adyen_answer,
}
_TOLD: Final[Mapping[str, Callable[[Named, str], Event]]] = {
    "simulator": _simulator_told,
    "stripe": _stripe_told,
    "adyen": _adyen_told,
}
