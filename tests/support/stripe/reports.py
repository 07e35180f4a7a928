"""The itemised reports of a fake Stripe, from its own books: rows of automatic payouts, and the payouts themselves.

A charge costs 1.4 % and 0.25, a dispute 15.00; a refund costs nothing. All of it is in currencies with two decimals.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import web

from tests.support.stripe.fake_stripe import FakeStripe
from tests.support.stripe.localstripe import API_KEY

ROWS = (
    "automatic_payout_id,automatic_payout_effective_at_utc,balance_transaction_id,created_utc,created,available_on_utc,"
    "currency,gross,fee,net,reporting_category,source_id,description,customer_facing_amount,customer_facing_currency,"
    "charge_id,payment_intent_id,payment_method_type,card_country"
).split(",")

PAYOUTS = (
    "payout_id,effective_at_utc,effective_at,currency,gross,fee,net,reporting_category,balance_transaction_id,"
    "payout_expected_arrival_date,payout_status,payout_type,trace_id"
).split(",")

DISPUTE_FEE = 1_500


class Reports:
    """Writes them. ``close`` pays out everything that moved since the last time."""

    def __init__(self, fake: FakeStripe) -> None:
        self._fake = fake
        self._paid: dict[str, str] = {}  # balance transaction -> payout
        self.runs: dict[str, dict[str, Any]] = {}  # by idempotency key
        self.looks_until_done = 1
        self._files: dict[str, str] = {}
        fake.reporting = self.serve
        self._rows: list[dict[str, str]] = []
        self._payouts: list[dict[str, str]] = []

    def close(self) -> str:
        """The id of a payout of what has moved."""
        payout, net, currency = f"po_{uuid.uuid4().hex}", 0, ""
        for moved in self._moved():
            if moved["txn"] in self._paid:
                continue
            self._paid[moved["txn"]] = payout
            net, currency = net + moved["gross"] - moved["fee"], moved["currency"]
            self._rows.append(self._row(moved, payout))
        paid = {"payout_id": payout, "currency": currency, "gross": _major(-net), "fee": "0.00", "net": _major(-net)}
        paid |= {"reporting_category": "payout", "balance_transaction_id": f"txn_{uuid.uuid4().hex}"}
        paid |= {"effective_at_utc": self._now(), "payout_status": "paid", "payout_type": "bank_account"}
        self._payouts.append(paid)
        return payout

    def rows(self, *payouts: str) -> str:
        """``payout_reconciliation.itemized.5``, of these payouts or of all."""
        chosen = [row for row in self._rows if not payouts or row["automatic_payout_id"] in payouts]
        return _csv(ROWS, chosen)

    def payouts(self, *payouts: str) -> str:
        """``payouts.itemized.3``, of these payouts or of all."""
        chosen = [row for row in self._payouts if not payouts or row["payout_id"] in payouts]
        return _csv(PAYOUTS, chosen)

    def serve(self, request: web.BaseRequest, parts: list[str], body: str) -> web.StreamResponse:
        """Report runs, which end after some looks, and the files that they make."""
        if request.headers.get("Authorization") != f"Bearer {API_KEY}":
            return web.Response(status=401)
        if parts[0] == "files":
            found = self._files.get(parts[1])
            return web.Response(status=404) if found is None else web.Response(text=found, content_type="text/csv")
        if request.method == "POST":
            key = request.headers["Idempotency-Key"]
            if key not in self.runs:
                self.runs[key] = self._run(dict(parse_qsl(body)))
            return web.json_response(self.runs[key])
        run = next((each for each in self.runs.values() if each["id"] == parts[2]), None)
        if run is None:
            return web.json_response({"error": {}}, status=404)
        self._look(run)
        return web.json_response(run)

    def end_run(self, run: dict[str, Any]) -> dict[str, Any]:
        """The run has ended: its object, as an event has it."""
        run["looks"] = self.looks_until_done
        self._look(run)
        return run

    def run_of(self, report_type: str) -> dict[str, Any]:
        """Somebody asks for a report in the dashboard."""
        return self.runs.setdefault(uuid.uuid4().hex, self._run({"report_type": report_type}))

    def _run(self, said: dict[str, str]) -> dict[str, Any]:
        made = {"id": f"frr_{uuid.uuid4().hex}", "object": "reporting.report_run", "status": "pending", "looks": 0}
        return made | {"report_type": said["report_type"], "result": None}

    def _look(self, run: dict[str, Any]) -> None:
        run["looks"] += 1
        if run["result"] is None and run["looks"] > self.looks_until_done:
            content = self.rows() if run["report_type"].startswith("payout_rec") else self.payouts()
            file_id = f"file_{uuid.uuid4().hex}"
            self._files[file_id] = content
            run["status"], run["result"] = "succeeded", {"id": file_id, "object": "file", "size": len(content)}

    def refund(self, intent: dict[str, Any], amount: int) -> dict[str, Any]:
        """Somebody refunds in the dashboard: no attempt of ours is in the metadata."""
        said = {"payment_intent": intent["id"], "amount": amount, "metadata": {}}
        made: dict[str, Any] = self._fake.make_refund(said)
        return made

    def dispute(self, intent: dict[str, Any]) -> dict[str, Any]:
        """A payer's bank takes all of it back."""
        made = {
            "id": f"dp_{uuid.uuid4().hex}",
            "object": "dispute",
            "status": "needs_response",
            "amount": intent["amount_received"],
            "currency": intent["currency"],
            "payment_intent": intent["id"],
            "reason": "fraudulent",
            "balance_transactions": [
                {
                    "id": f"txn_{uuid.uuid4().hex}",
                    "amount": -intent["amount_received"],
                    "currency": intent["currency"],
                    "fee": DISPUTE_FEE,
                }
            ],
        }
        self._fake.disputes.append(made)
        return made

    def _moved(self) -> Iterator[dict[str, Any]]:
        """Everything that ever moved, one a balance transaction."""
        for intent in self._fake.intents:
            if intent["status"] != "succeeded":
                continue
            about = {"intent": intent["id"], "currency": intent["currency"], "source": _charge(intent["id"])}
            received, whole = intent["amount_received"], intent["amount"]
            fee = received * 14 // 1_000 + 25
            yield about | {"txn": f"txn_{intent['id']}", "kind": "charge", "gross": whole, "fee": fee}
            if received < whole:
                kind = "partial_capture_reversal"
                yield about | {"txn": f"txn_{intent['id']}_r", "kind": kind, "gross": received - whole, "fee": 0}
        for refund in self._fake.refunds:
            about = {"intent": refund["payment_intent"], "currency": refund["currency"], "source": refund["id"]}
            txn = refund["balance_transaction"]
            yield about | {"txn": txn, "kind": "refund", "gross": -refund["amount"], "fee": 0}
        for dispute in self._fake.disputes:
            about = {"intent": dispute["payment_intent"], "currency": dispute["currency"], "source": dispute["id"]}
            for moved in dispute["balance_transactions"]:
                yield about | {"txn": moved["id"], "kind": "dispute", "gross": moved["amount"], "fee": moved["fee"]}

    def _row(self, moved: dict[str, Any], payout: str) -> dict[str, str]:
        gross, fee = moved["gross"], moved["fee"]
        return {
            "automatic_payout_id": payout,
            "automatic_payout_effective_at_utc": self._now(),
            "balance_transaction_id": moved["txn"],
            "created_utc": self._now(),
            "available_on_utc": self._now(),
            "currency": moved["currency"],
            "gross": _major(gross),
            "fee": _major(fee),
            "net": _major(gross - fee),
            "reporting_category": moved["kind"],
            "source_id": moved["source"],
            "customer_facing_amount": _major(gross),
            "customer_facing_currency": moved["currency"].upper(),
            "charge_id": _charge(moved["intent"]),
            "payment_intent_id": moved["intent"],
            "payment_method_type": "card",
            "card_country": "DE",
        }

    def _now(self) -> str:
        return datetime.fromtimestamp(self._fake.now_s(), UTC).strftime("%Y-%m-%d %H:%M:%S")


def _charge(intent_id: str) -> str:
    return intent_id.replace("pi_", "ch_")


def _major(amount: int) -> str:
    sign = "-" if amount < 0 else ""
    return f"{sign}{abs(amount) // 100}.{abs(amount) % 100:02d}"


def _csv(columns: list[str], rows: list[dict[str, str]]) -> str:
    lines = [",".join(f'"{row.get(name, "")}"' for name in columns) for row in rows]
    return "\n".join([",".join(columns), *lines, ""])
