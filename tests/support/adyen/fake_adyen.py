"""A stand-in for Adyen's Checkout API and its notifications: a process of its own, with books in SQLite.

It knows idempotency keys, decides by the stored payment method's name (``PLANS``), answers modifications with
``received`` and keeps their outcome as a notification to be told. ``/_books`` and ``/_tell`` are for tests.

    python -m tests.support.adyen.fake_adyen PORT BOOKS
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import sqlite3
import sys
from typing import Any

from aiohttp import web

from tests.support.adyen.settlement_details import new_psp, report_of, row_of

API_KEY = "AQEtestkey"
REPORT_API_KEY = "AQEreportkey"
MERCHANT_ACCOUNT = "TallystickTEST"
HMAC_KEY = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"  # of Adyen's own example

#: Stored payment method -> the answer to a payment with it.
PLANS: dict[str, dict[str, Any]] = {
    "GOODCARD": {"resultCode": "Authorised"},
    "CAPTUREFAILS": {"resultCode": "Authorised"},
    "REFUNDFAILS": {"resultCode": "Authorised"},
    "CANCELFAILS": {"resultCode": "Authorised"},
    "NOBALANCE": {"resultCode": "Refused", "refusalReason": "Not enough balance", "refusalReasonCode": "12"},
    "CANCELLED": {"resultCode": "Cancelled", "refusalReason": "Cancelled", "refusalReasonCode": "15"},
    "ERRORCARD": {"resultCode": "Error", "refusalReason": "Acquirer Error", "refusalReasonCode": "4"},
    "NOTSUBMITTED": {"resultCode": "Error", "refusalReason": "Not Submitted", "refusalReasonCode": "21"},
    "PENDINGS": {"resultCode": "Pending"},
    "RECEIVED": {"resultCode": "Received"},
    "REDIRECTS": {
        "resultCode": "RedirectShopper",
        "action": {"type": "redirect", "method": "GET", "url": "https://bank.example/3ds"},
    },
}

#: What has an effect: money is held or taken.
EFFECTIVE = frozenset({"Authorised"})

_SCHEMA = """
CREATE TABLE IF NOT EXISTS payment (psp TEXT PRIMARY KEY, reference TEXT, amount INTEGER, currency TEXT, method TEXT,
    sale INTEGER, state TEXT, captured INTEGER DEFAULT 0, refunded INTEGER DEFAULT 0, voided INTEGER DEFAULT 0,
    disputed INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS modification (psp TEXT PRIMARY KEY, payment TEXT, kind TEXT, reference TEXT, amount INTEGER);
CREATE TABLE IF NOT EXISTS idempotency (key TEXT PRIMARY KEY, status INTEGER, body TEXT);
CREATE TABLE IF NOT EXISTS event (id INTEGER PRIMARY KEY, item TEXT, told INTEGER DEFAULT 0, batch INTEGER);
CREATE TABLE IF NOT EXISTS report (name TEXT PRIMARY KEY, batch INTEGER, content TEXT);
"""

TABLES = ("payment", "modification", "idempotency", "event", "report")

_EVENTS = {"captures": "CAPTURE", "cancels": "CANCELLATION", "refunds": "REFUND"}
_FAILS = {"captures": "CAPTUREFAILS", "cancels": "CANCELFAILS", "refunds": "REFUNDFAILS"}

_DISPUTED = {"CHARGEBACK": 1, "SECOND_CHARGEBACK": 1, "CHARGEBACK_REVERSED": -1}


def signature(item: dict[str, Any], key: str = HMAC_KEY) -> str:
    """As Adyen signs an item."""
    amount = item.get("amount") or {}
    names = ("pspReference", "originalReference", "merchantAccountCode", "merchantReference")
    fields = [item.get(name) for name in names]
    fields += [amount.get("value"), amount.get("currency"), item.get("eventCode"), item.get("success")]
    text = ":".join("" if field is None else str(field) for field in fields)
    return base64.b64encode(hmac.new(bytes.fromhex(key), text.encode(), hashlib.sha256).digest()).decode()


def delivery(items: list[dict[str, Any]], *keys: str) -> bytes:
    """A signed body of these items; a key for each, or the same for all."""
    wrapped = []
    for number, item in enumerate(items):
        key = keys[number % len(keys)] if keys else HMAC_KEY
        data = {**item.get("additionalData", {}), "hmacSignature": signature(item, key)}
        wrapped.append({"NotificationRequestItem": {**item, "additionalData": data}})
    return json.dumps({"live": "false", "notificationItems": wrapped}).encode()


class Books:
    """What happened there."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript(_SCHEMA)

    def forget(self) -> None:
        """Empty books, as those of a new account are."""
        self._db.executescript("".join(f"DELETE FROM {table};" for table in TABLES))

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        return [dict(row) for row in self._db.execute(query, values)]

    def once(self, key: str, do: Any) -> tuple[int, str]:
        """The first answer under a key, kept with its effect in one transaction."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for kept in self.rows("SELECT status, body FROM idempotency WHERE key = ?", key):
                return kept["status"], kept["body"]
            status, answer = do()
            body = json.dumps(answer)
            if status < 400:
                self._db.execute("INSERT INTO idempotency VALUES (?, ?, ?)", (key, status, body))
            return status, body
        finally:
            self._db.execute("COMMIT")

    def pay(self, said: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        plan = PLANS.get(said["paymentMethod"]["storedPaymentMethodId"])
        if plan is None:
            return _invalid("803", "PaymentDetail not found")
        psp, amount = new_psp(), said["amount"]
        sale = said.get("captureDelayHours") == 0
        state = plan["resultCode"]
        taken = amount["value"] if sale and state in EFFECTIVE else 0
        self._db.execute(
            "INSERT INTO payment VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0)",
            (
                psp,
                said["reference"],
                amount["value"],
                amount["currency"],
                said["paymentMethod"]["storedPaymentMethodId"],
                sale,
                state,
                taken,
            ),
        )
        if state in EFFECTIVE | {"Refused"}:
            ok = state in EFFECTIVE
            self.keep(psp, "AUTHORISATION", psp=psp, success=ok, reason=plan.get("refusalReason", ""))
        return 200, {**plan, "pspReference": psp, "merchantReference": said["reference"], "amount": amount}

    def modify(self, payment_psp: str, kind: str, said: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        known = self.rows("SELECT * FROM payment WHERE psp = ?", payment_psp)
        if not known:
            return _invalid("167", "Original pspReference required for this operation")
        [payment] = known
        psp, amount = new_psp(), said.get("amount", {}).get("value", payment["amount"])
        values = (psp, payment_psp, kind, said["reference"], amount)
        self._db.execute("INSERT INTO modification VALUES (?, ?, ?, ?, ?)", values)
        ok = payment["method"] != _FAILS[kind] and self._possible(payment, kind, amount)
        if ok:
            column = {"captures": "captured", "cancels": "voided", "refunds": "refunded"}[kind]
            self._db.execute(f"UPDATE payment SET {column} = {column} + ? WHERE psp = ?", (amount, payment_psp))
        told = {"reference": said["reference"], "amount": amount, "success": ok}
        self.keep(payment_psp, _EVENTS[kind], psp=psp, reason="" if ok else "Insufficient balance", **told)
        answer = {"pspReference": psp, "paymentPspReference": payment_psp, "status": "received"}
        return 201, {**answer, "reference": said["reference"], "merchantAccount": MERCHANT_ACCOUNT}

    def _possible(self, payment: dict[str, Any], kind: str, amount: int) -> bool:
        if kind == "refunds":
            return bool(payment["captured"] - payment["refunded"] >= amount)
        return not payment["captured"] and not payment["voided"] and bool(payment["amount"] >= amount)

    def keep(
        self,
        payment_psp: str,
        code: str,
        *,
        psp: str | None = None,
        success: bool = True,
        reason: str = "",
        reference: str | None = None,
        amount: int | None = None,
    ) -> dict[str, Any]:
        """A notification about a payment, to be told later."""
        [payment] = self.rows("SELECT * FROM payment WHERE psp = ?", payment_psp)
        item: dict[str, Any] = {
            "additionalData": {},
            "amount": {"value": payment["amount"] if amount is None else amount, "currency": payment["currency"]},
            "eventCode": code,
            "eventDate": "2030-01-01T12:00:00+01:00",
            "merchantAccountCode": MERCHANT_ACCOUNT,
            "merchantReference": reference or payment["reference"],
            "pspReference": psp or new_psp(),
            "reason": reason,
            "success": "true" if success else "false",
        }
        if item["pspReference"] != payment_psp:
            item["originalReference"] = payment_psp
        if code in _DISPUTED:
            taken = _DISPUTED[code] * item["amount"]["value"]
            self._db.execute("UPDATE payment SET disputed = disputed + ? WHERE psp = ?", (taken, payment_psp))
        self._db.execute("INSERT INTO event (item) VALUES (?)", (json.dumps(item),))
        return item

    def close(self) -> dict[str, Any]:
        """A batch of everything that moved money since the last one; its report."""
        sales = {row["psp"] for row in self.rows("SELECT psp FROM payment WHERE sale")}
        rows, batch = [], random.randrange(10**9)
        for event in self.rows("SELECT id, item FROM event WHERE batch IS NULL ORDER BY id"):
            item = json.loads(event["item"])
            row = (
                None if item["eventCode"] == "REPORT_AVAILABLE" else row_of(item, is_sale=item["pspReference"] in sales)
            )
            self._db.execute("UPDATE event SET batch = ? WHERE id = ?", (batch, event["id"]))
            rows += [] if row is None else [row]
        name, content = f"settlement_detail_report_batch_{batch}.csv", report_of(rows, batch, MERCHANT_ACCOUNT)
        self._db.execute("INSERT INTO report VALUES (?, ?, ?)", (name, batch, content))
        return {"name": name, "batch": batch, "content": content}

    def offer(self, name: str, url: str) -> None:
        """A notification that a report is there, to be told."""
        item = {
            "amount": {"value": 0, "currency": "EUR"},
            "eventCode": "REPORT_AVAILABLE",
            "eventDate": "2030-01-01T12:00:00+01:00",
            "merchantAccountCode": MERCHANT_ACCOUNT,
            "merchantReference": "",
            "pspReference": name,
            "reason": url,
            "success": "true",
        }
        self._db.execute("INSERT INTO event (item) VALUES (?)", (json.dumps(item),))

    def tell(self, times: int, codes: list[str], merchant: str = "") -> bytes:
        """Everything that was not told yet (of these kinds, of this merchant), in one body, each item so many times."""
        rows = self.rows("SELECT id, item FROM event WHERE told = 0 ORDER BY id")
        chosen = [(row["id"], json.loads(row["item"])) for row in rows]
        chosen = [(number, item) for number, item in chosen if not codes or item["eventCode"] in codes]
        mark = f"{merchant}." if merchant else ""
        chosen = [(number, item) for number, item in chosen if item["merchantReference"].startswith(mark)]
        self._db.executemany("UPDATE event SET told = 1 WHERE id = ?", [(number,) for number, _ in chosen])
        return delivery([item for _, item in chosen for _ in range(times)])


def application(books: Books) -> web.Application:
    routes = web.RouteTableDef()

    async def keyed(request: web.Request, do: Any) -> web.Response:
        said = await request.json()
        if request.headers.get("x-api-key") != API_KEY:
            return web.json_response({"status": 401, "errorCode": "000", "message": "Unauthorized"}, status=401)
        if said["merchantAccount"] != MERCHANT_ACCOUNT:
            return web.json_response({"status": 403, "errorCode": "901", "message": "Invalid account"}, status=403)
        if len(said["reference"]) > 80:
            return web.json_response(_invalid("702", "reference is too long")[1], status=422)
        key = request.headers["Idempotency-Key"]
        assert len(key) <= 64
        status, body = books.once(key, lambda: do(said))
        return web.Response(status=status, text=body, content_type="application/json")

    @routes.post("/v72/payments")
    async def pay(request: web.Request) -> web.Response:
        return await keyed(request, books.pay)

    @routes.post("/v72/payments/{psp}/{kind:captures|cancels|refunds}")
    async def modify(request: web.Request) -> web.Response:
        psp, kind = request.match_info["psp"], request.match_info["kind"]
        return await keyed(request, lambda said: books.modify(psp, kind, said))

    @routes.post("/_event")
    async def event(request: web.Request) -> web.Response:
        return web.json_response(books.keep(**await request.json()))

    @routes.get("/reports/download/MerchantAccount/{account}/{name}")
    async def download(request: web.Request) -> web.StreamResponse:
        found = books.rows("SELECT content FROM report WHERE name = ?", request.match_info["name"])
        if request.headers.get("x-api-key") != REPORT_API_KEY:
            return web.Response(status=401)
        if not found or request.match_info["account"] != MERCHANT_ACCOUNT:
            return web.Response(status=404)
        return web.Response(text=found[0]["content"], content_type="text/csv")

    @routes.post("/_close")
    async def close(_: web.Request) -> web.Response:
        return web.json_response(books.close())

    @routes.post("/_offer")
    async def offer(request: web.Request) -> web.Response:
        books.offer(**await request.json())
        return web.json_response({})

    @routes.post("/_tell")
    async def tell(request: web.Request) -> web.Response:
        return web.Response(body=books.tell(**await request.json()))

    @routes.post("/_forget")
    async def forget(_: web.Request) -> web.Response:
        books.forget()
        return web.json_response({})

    @routes.get("/_books")
    async def listed(_: web.Request) -> web.Response:
        return web.json_response(
            {table: books.rows(f"SELECT * FROM {table}") for table in ("payment", "modification", "idempotency")}
        )

    made = web.Application()
    made.add_routes(routes)
    return made


def _invalid(code: str, message: str) -> tuple[int, dict[str, Any]]:
    return 422, {"status": 422, "errorCode": code, "errorType": "validation", "message": message}


def main() -> None:
    """Serve until it is killed."""
    web.run_app(application(Books(sys.argv[2])), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
