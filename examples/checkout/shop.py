"""A shop with one page: an order is paid through Tallystick, and messages about it are verified (docs/start.md).

Settings: SHOP_API_KEY, SHOP_WEBHOOK_SECRET, and where the defaults do not fit SHOP_API_URL, SHOP_PORT and SHOP_FILE.
"""

from __future__ import annotations

import html
import json
import os
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote

import standardwebhooks

from examples.shop_client.shop_client import Result, ShopError, ShopPayments, Show

#: What the page offers: the test acquirer does what the name says.
CARDS: Final = {
    "sim_ok": "approved",
    "sim_timeout_charged": "charged, and the bank's answer is lost",
    "sim_timeout_not_charged": "not charged, and the bank's answer is lost",
    "sim_action_required": "asks the customer to confirm",
    "sim_declined": "declined",
}

PRICE: Final = 1250

#: How long a page waits for the payment. After that it shows what is known, and asks again by itself.
PATIENCE_S: Final = 2.0

PAGE: Final = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Shop</title>
<meta name="viewport" content="width=device-width, initial-scale=1">{head}
<style>body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 2rem auto; padding: 0 1rem }}
button, input, select {{ font: inherit; padding: .4rem .6rem; margin: .2rem 0; max-width: 100% }}
.show {{ font-size: 1.5rem; font-weight: 600 }} li {{ overflow-wrap: anywhere }}</style>{body}</html>"""

CHECKOUT: Final = """<h1>One Tally stick, 12.50 EUR</h1><form method="post" action="/pay">
<p><label>Order number<br><input name="order" value="{number}" required maxlength="40"></label></p>
<p><label>A card that is<br><select name="card">{cards}</select></label></p><button>Pay 12.50 EUR</button></form>"""

ORDER: Final = """<h1>Order {number}</h1><p class="show">{show}</p>{action}
<ul><li>payment {payment}, {state}</li><li>key <code>{key}</code></li>{messages}</ul>
<p><a href="/">Another order</a></p>"""


class Shop:
    """Orders, their payments, and the messages about them that were verified."""

    def __init__(self, payments: ShopPayments, secret: str) -> None:
        self.payments = payments
        self._webhook = standardwebhooks.Webhook(secret)
        #: By payment, each message once: (type, id). A real shop keeps them in its database.
        self.messages: dict[str, dict[str, str]] = {}

    def pay(self, order: str, card: str | None = None) -> Result:
        """Pay an order, or go on with a payment that is under way. The same order is never charged twice."""
        if card is None:
            return self.payments.wait_final(order, timeout_s=PATIENCE_S)
        return self.payments.create_payment(order, PRICE, "EUR", card, patience_s=PATIENCE_S)

    def receive(self, body: bytes, headers: dict[str, str]) -> None:
        """Keep a message. Raises WebhookVerificationError for one that was not signed with our secret."""
        message = self._webhook.verify(body, headers)
        told = self.messages.setdefault(message.get("payment_id", ""), {})
        told[headers["webhook-id"]] = message["type"]  # a message may come twice: its id is the same


class Handler(BaseHTTPRequestHandler):
    """The shop's pages, and the address that messages are sent to."""

    shop: Shop

    def do_GET(self) -> None:
        """The checkout page, or that of an order."""
        if self.path == "/":
            cards = "".join(f'<option value="{name}">{says}' for name, says in CARDS.items())
            self._page(CHECKOUT.format(number=f"{1001 + len(self.shop.messages)}", cards=cards))
        elif self.path.startswith("/orders/"):
            self._order(unquote(self.path.removeprefix("/orders/")))
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """The customer pays, or a message comes."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/webhooks":
            self._message(body)
        elif self.path == "/pay":
            self._pay({name: values[0] for name, values in parse_qs(body.decode()).items()})
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _pay(self, form: dict[str, str]) -> None:
        order, card = form.get("order", ""), form.get("card", "")
        if not order or card not in CARDS:
            self.send_error(HTTPStatus.BAD_REQUEST, "an order number and a card are needed")
            return
        try:
            self.shop.pay(order, card)
        except ShopError as error:
            self.send_error(HTTPStatus.CONFLICT, str(error))
            return
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", f"/orders/{quote(order, safe='')}")
        self.end_headers()

    def _message(self, body: bytes) -> None:
        try:
            self.shop.receive(body, {name.lower(): value for name, value in self.headers.items()})
        except standardwebhooks.WebhookVerificationError:
            self.send_error(HTTPStatus.UNAUTHORIZED, "not signed with our secret")
            return
        self.send_response(HTTPStatus.NO_CONTENT)
        self.end_headers()

    def _order(self, order: str) -> None:
        try:
            result = self.shop.pay(order)
            payment: dict[str, Any] = self.shop.payments.read(order, patience_s=PATIENCE_S) or {}
        except ShopError:
            self.send_error(HTTPStatus.NOT_FOUND, "no such order")
            return
        told = self.shop.messages.get(payment.get("id", ""), {})
        body = ORDER.format(
            number=html.escape(order),
            show=html.escape("Paid. Thank you!" if result.show is Show.PAID else result.show.value.capitalize()),
            action=_action(result.said),
            payment=html.escape(payment.get("id", "not known yet")),
            state=html.escape(payment.get("state", "")) + (", in doubt" if payment.get("in_doubt") else ""),
            key=html.escape(result.key),
            messages="".join(
                f"<li>verified message {html.escape(type_)}, {html.escape(id_)}" for id_, type_ in told.items()
            ),
        )
        self._page(body, "" if result.final else '<meta http-equiv="refresh" content="2">')

    def _page(self, body: str, head: str = "") -> None:
        page = PAGE.format(head=head, body=body).encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)


def _action(said: dict[str, Any]) -> str:
    url = (said.get("next_action") or {}).get("url")
    return "" if url is None else f'<p><a href="{html.escape(url)}">Confirm the payment</a></p>'


def main() -> None:
    """Serve until Ctrl-C."""
    for name in ("SHOP_API_KEY", "SHOP_WEBHOOK_SECRET"):
        if not os.environ.get(name):
            raise SystemExit(f'{name} is not set: docs/start.md, section "A shop", says how.')
    api, port = os.environ.get("SHOP_API_URL", "http://127.0.0.1:8400"), int(os.environ.get("SHOP_PORT", "8500"))
    payments = ShopPayments(api, os.environ["SHOP_API_KEY"], os.environ.get("SHOP_FILE", "shop.sqlite"))
    Handler.shop = Shop(payments, os.environ["SHOP_WEBHOOK_SECRET"])
    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        print(json.dumps({"shop": f"http://127.0.0.1:{port}"}), flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
