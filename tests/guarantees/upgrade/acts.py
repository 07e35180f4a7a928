"""How the rows of the fixture came about, act after act: for ``make_rows.py``, whose history this is a part of."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any, Final

import httpx

from tallystick.simulator.scripts import METHODS
from tests.guarantees.upgrade.processes import Merchant, Platform, Receivers, until
from tests.providers.adyen.bank import FakeAdyen, token
from tests.providers.stripe.bank import DECLINED, GOOD, NEEDS_AUTHENTICATION, LocalStripe

#: What only some runs of the worker have: it knows Stripe as ``elsewhere``.
STRIPE_SETTINGS: Final = ("stripe_api_key", "stripe_api_url", "stripe_webhook_secrets")
STRIPE_SECRET: Final = "whsec_stripe"

#: The acquirer's scripts by what they need; the others are paid with at once.
MANUAL: Final = frozenset(m for m in METHODS if m.startswith(("sim_capture_", "sim_cancel_"))) - {
    "sim_capture_fails_late"
}
HOLDS: Final = frozenset({"sim_expires", "sim_dashboard_capture"})
BY_HAND: Final = frozenset({"sim_action_required"})

#: Each is later than the one before by more than the longest wait of a message between two tries.
RETRY_SHIFTS: Final = tuple(timedelta(days=days) for days in (0.001, 0.006, 0.035, 0.14, 0.4, 0.95, 1.7, 2.8, 4.1))


class Acts:
    """Each makes rows of some kinds, on one platform, and leaves nothing to do."""

    def __init__(self, platform: Platform, stripe: LocalStripe, adyen: FakeAdyen) -> None:
        self.platform = platform
        self.stripe = stripe
        self.adyen = adyen
        self.receivers = Receivers()
        self.payments: dict[str, str] = {}
        platform.command("migrate")
        platform.start_acquirer()
        platform.start("serve")
        self.shop = Merchant(platform, "shop")
        self.forged = Merchant(platform, "forged")
        self.elsewhere = Merchant(platform, "elsewhere", "--default-provider", "stripe")
        self.operator = platform.command("keys", "create", "--operator")

    def keys_and_endpoints(self) -> None:
        """Keys that were revoked and rotated; endpoints of every state, before there is anything to tell."""
        other = Merchant(self.platform, "shop")
        self.platform.command("keys", "revoke", "--merchant", "shop", other.key.split("_")[2])
        another = Merchant(self.platform, "shop")
        self.platform.command("keys", "rotate", "--merchant", "shop", another.key.split("_")[2])
        self.endpoint = self._endpoint(self.shop, "all/200")
        some = self._endpoint(self.shop, "refunds/204", event_types=["refund.succeeded", "refund.failed"])
        self.secret = self.shop.post(f"/v1/webhook-endpoints/{self.endpoint}/rotate-secret", {"overlap_ms": 86_400_000})
        deleted = self._endpoint(self.shop, "deleted/200")
        httpx.delete(f"{self.platform.api}/v1/webhook-endpoints/{deleted}", headers=self._headers(self.shop.key))
        self.shop.post(f"/v1/webhook-endpoints/{some}/disable")
        self.shop.post(f"/v1/webhook-endpoints/{some}/enable")

    def messages_that_nobody_takes(self) -> None:
        """Ten tries in vain, an endpoint that is gone, one that failed for too long; sent again by request."""
        deaf, gone, failing = (Merchant(self.platform, name) for name in ("deaf", "gone", "failing"))
        endpoint = self._endpoint(deaf, "deaf/500")
        self._endpoint(gone, "gone/410")
        silenced = self._endpoint(gone, "silenced/200")
        gone.post(f"/v1/webhook-endpoints/{silenced}/disable")
        deaf.captured()
        deaf.captured()
        gone.captured()
        self.platform.stop("work")
        due = "SELECT count(*) FROM message_lane WHERE merchant_id = 'deaf' AND next_try_at < now() + %s"
        for moved in RETRY_SHIFTS:
            self.platform.start("work", {"clock_shift_ms": int(moved.total_seconds() * 1000)})
            until("it is tried once more", partial(self._none, due, moved))
            self.platform.stop("work")
        states = self.platform.rows("SELECT state, message_id FROM message_delivery WHERE merchant_id = 'deaf'")
        assert [state for state, _ in states] == ["exhausted", "exhausted"]
        deaf.post(f"/v1/webhook-endpoints/{endpoint}/deliveries/{states[0][1]}/resend")
        self._endpoint(failing, "failing/500")
        failing.captured()
        failing.captured()
        self.platform.start("work", {"outbound_failing_limit_ms": 1})
        disabled = "SELECT count(*) FROM webhook_endpoint WHERE state = 'disabled'"
        until("all three are disabled", lambda: self.platform.value(disabled) == 3)
        self.platform.restart("work")

    def every_script(self) -> None:
        """Each of the acquirer's payment methods, with the instructions that make sense of it."""
        with ThreadPoolExecutor(6) as pool:
            for done in pool.map(self._script, sorted(METHODS)):
                assert done is None
        self.platform.quiet()

    def _script(self, method: str) -> None:
        shop = self.shop
        if method in BY_HAND:
            for ending in ("complete", "abandon", "cancel"):
                payment = shop.settled(shop.pay(method, manual=ending == "complete"), "requires_action")
                if ending == "cancel":
                    shop.act(payment, "cancel")
                else:
                    self.platform.act(f"charges/{self._charge(payment)}/{ending}")
            return
        if method in MANUAL:
            payment = shop.held(method)
            action = "capture" if method.startswith("sim_capture_") else "cancel"
            partial = {"amount": 600} if action == "capture" and "charged" in method else {}
            shop.act(payment, action, **partial)
            shop.settled(payment, "captured", "canceled", "authorized")
            if action == "cancel" and self.shop.get(f"/v1/payments/{payment}")["state"] == "authorized":
                shop.act(payment, "capture")  # its hold could never be released
            return
        if method in HOLDS:
            shop.settled(shop.pay(method, manual=True), "authorized", "expired", "captured")
            return
        payment = shop.settled(shop.pay(method), "captured", "declined", "failed")
        if method == "sim_ok":
            shop.act(shop.held(), "capture", amount=600)
            shop.act(shop.held(), "cancel")
            shop.act(payment, "refunds", amount=300, reason="asked for")
            shop.act(payment, "refunds")
        elif method.startswith(("sim_refund_", "sim_webhook_")):
            shop.act(payment, "refunds", amount=400)

    def pending_in_vain(self) -> None:
        """A refund and a capture that were accepted, and no longer fit when their time comes."""
        shop = self.shop
        refunded, taken = shop.captured("sim_refund_pending"), shop.held("sim_capture_pending")
        shop.act(refunded, "refunds", amount=400)
        self.platform.act(f"charges/{self._charge(refunded)}/dashboard-refund", {"amount": 700})
        shop.act(taken, "capture", amount=600)
        self.platform.act(f"charges/{self._charge(taken)}/dashboard-capture")
        self.platform.quiet()
        shop.settled(taken, "captured")

    def instructions_that_are_refused(self) -> None:
        """And kept, with their answers."""
        payment = self.shop.captured()
        for action, fields in (("capture", {}), ("cancel", {}), ("refunds", {"amount": 2_000})):
            assert self.shop.act(payment, action, **fields)["code"] == "transition_rejected"

    def other_providers(self) -> None:
        """What only Stripe and Adyen make us write: references of charges, sealed secrets, attempts that cannot be
        looked up."""
        self.stripe.webhook(f"{self.platform.api}/v1/webhooks/stripe/main", STRIPE_SECRET)
        shop = self.elsewhere
        paid = shop.captured(GOOD)
        shop.act(paid, "refunds", amount=400)
        held = shop.held(GOOD)
        shop.act(held, "capture", amount=600)
        shop.act(shop.held(GOOD), "cancel")
        shop.settled(shop.pay(DECLINED), "declined")
        asked = shop.settled(shop.pay(self.stripe.card(NEEDS_AUTHENTICATION)), "requires_action")
        shop.act(asked, "cancel")
        shop.settled(asked, "canceled")
        adyen = Merchant(self.platform, "adyen-shop", "--default-provider", "adyen")
        taken = adyen.captured(token())
        adyen.act(taken, "refunds", amount=300)
        asked = adyen.settled(adyen.pay(token("REDIRECTS")), "requires_action", "authorizing")
        self._adyen_tells()
        kept = adyen.held(token())
        adyen.act(kept, "capture", amount=600)
        self._adyen_tells()
        adyen.settled(kept, "captured")
        adyen.act(asked, "cancel")
        self._adyen_tells()
        adyen.settled(asked, "canceled", "requires_action")
        self.platform.quiet()

    def requests_that_arrive_after_all(self) -> None:
        """The acquirer is away, and everything is given up with proof; then the very same requests reach it. What they
        did has no edge to travel on any more, or the payment follows late."""
        shop, platform = self.shop, self.platform
        to_capture, to_cancel, to_refund = shop.held(), shop.held(), shop.captured()
        capture_then_cancel, asked = shop.held(), shop.settled(shop.pay("sim_action_required"), "requires_action")
        platform.quiet()
        platform.kill("simulate")
        paid, held, released, taken = shop.pay("sim_ok"), *(shop.pay("sim_ok", manual=True) for _ in range(3))
        shop.act(to_capture, "capture", amount=600)
        shop.act(capture_then_cancel, "capture", amount=600)
        shop.act(to_cancel, "cancel")
        shop.act(to_refund, "refunds", amount=400)
        shop.act(asked, "cancel")
        for payment in (paid, held, released, taken):
            shop.settled(payment, "failed")
        shop.settled(asked, "requires_action")
        for payment in (to_capture, to_cancel, capture_then_cancel):
            shop.settled(payment, "authorized")
        platform.quiet_here()
        platform.start_acquirer()
        for payment in (paid, held, released, taken):
            self._arrives(payment, "authorize")
        self._arrives(to_capture, "capture")
        self._arrives(to_cancel, "cancel")
        self._arrives(to_refund, "refund")
        shop.settled(to_capture, "captured")
        shop.settled(to_cancel, "canceled")
        platform.quiet()
        platform.act(f"charges/{self._charge(released)}/expire")
        platform.act(f"charges/{self._charge(taken)}/dashboard-capture")
        shop.act(capture_then_cancel, "cancel")
        shop.settled(capture_then_cancel, "canceled")
        platform.act(f"charges/{self._charge(asked)}/complete")
        shop.settled(asked, "captured")
        platform.quiet()

    def in_doubt(self) -> None:
        """Nobody can say what became of them: a person's word, right and wrong; one is left for the test."""
        shop, platform = self.shop, self.platform
        platform.stop("work")
        to_cancel, to_refund = (
            shop.held("sim_cancel_timeout_not_charged"),
            shop.captured("sim_refund_timeout_not_charged"),
        )
        platform.stop("simulate")
        platform.start_acquirer(tells=False)
        charged, left = shop.pay("sim_timeout_charged"), shop.pay("sim_timeout_charged")
        not_charged = shop.pay("sim_timeout_not_charged")
        shop.act(to_cancel, "cancel")
        shop.act(to_refund, "refunds", amount=400)
        platform.kill("simulate")
        platform.start("work", {"recovery_checks_limit": 2})
        lane = "SELECT attempt_id FROM attempt WHERE payment_id = %s AND parked_at IS NOT NULL"
        parked = {
            payment: until("it is in the lane", partial(platform.value, lane, payment))
            for payment in (charged, left, not_charged, to_cancel, to_refund)
        }
        platform.start_acquirer()
        platform.restart("work")
        self._resolves(parked[charged], "executed", reference=self._charge(charged))
        self._resolves(parked[not_charged], "not_executed")
        self._resolves(parked[to_refund], "declined")
        # Wrong: the hold is still there, and somebody captures it.
        self._resolves(parked[to_cancel], "executed")
        shop.settled(to_cancel, "canceled")
        platform.act(f"charges/{self._charge(to_cancel)}/dashboard-capture")
        self.payments["parked"] = left
        platform.quiet()

    def expiries(self) -> None:
        """A hold that nobody captured, and a customer who did not come."""
        soon = {"authorization_deadline_ms": 300, "action_deadline_ms": 300}
        self.platform.restart("serve", soon)
        self.platform.restart("work", soon)
        held, asked = self.shop.held(), self.shop.pay("sim_action_required")
        self.shop.settled(held, "expired")
        self.shop.settled(asked, "expired")
        self.platform.restart("serve")
        self.platform.restart("work")

    def events_that_nobody_else_sends(self) -> None:
        """Under the acquirer's signature, and beside its books: disputes that move money out of turn, charges that are
        nobody's, words that contradict what we hold."""
        for number, course in enumerate(
            (
                ("opened:w1", "won:r2", "lost"),  # contested
                ("opened:w1", "opened:w2", "won:r3"),  # withdrawn twice before the verdict
                ("opened:w", "opened:w1", "lost"),  # named after it was told
                ("opened:w1", "under_review", "under_review:r2", "under_review:w3", "lost:w4"),
                ("opened:w1", "lost", "lost:r2", "lost:w3"),
                ("opened", "opened:w1", "opened:r2", "won"),
                ("lost:w1", "opened", "lost:r2"),
                ("opened", "won", "won:w1"),
            )
        ):
            payment = self.forged.captured()
            for step in course:
                self._disputed(payment, f"dp_{number}", step)
        held, taken = self.forged.held(), self.forged.captured()
        names = {name: self._names(payment) for name, payment in (("held", held), ("taken", taken))}
        money = {"amount": 1_000, "currency": "EUR"}
        self.platform.tell("dashboard.captured", names["taken"] | money | {"effect": "captured", "amount": 900}, "e1")
        self.platform.tell("dashboard.captured", names["held"] | money | {"effect": "captured", "amount": 1_100}, "e2")
        self.platform.tell("charge.expired", names["taken"] | money | {"effect": "voided"}, "e3")
        stranger = {"charge_id": "ch_stranger", "effect": "captured"}
        self.platform.tell("dashboard.captured", names["taken"] | money | stranger, "e4")
        self.platform.tell("payout.paid", names["taken"], "e5")
        refund = {"reference": "re_dash_1", "amount": 2_000, "currency": "EUR"}
        self.platform.tell("dashboard.refunded", names["taken"] | refund, "e6")
        self.platform.tell("dashboard.refunded", names["taken"] | refund | {"amount": 200}, "e7")
        self.platform.tell("dashboard.refunded", names["taken"] | refund | {"amount": 200}, "e7")
        self.platform.tell("dashboard.refunded", names["taken"] | refund | {"amount": 201}, "e7")
        self._inbox_is_closed()
        attempt = self.platform.value("SELECT attempt_id FROM attempt WHERE payment_id = %s", held)
        failed = {"attempt_id": attempt, "operation": "authorize", "status": "failed", "reference": "ch"}
        self.platform.tell("capture.failed", names["held"] | money | failed, "e8")
        self._inbox_is_closed()
        self.platform.quiet()

    def dead_letters(self) -> None:
        """Events about payments that are not there, and of a provider that the worker does not know: replayed,
        discarded, left."""
        nobody = {"merchant_id": "shop", "payment_id": "pay_" + "0" * 32, "charge_id": "ch_nobody"}
        money = {"amount": 1_000, "currency": "EUR", "effect": "captured"}
        for name in ("d1", "d2", "d3"):
            self.platform.tell("dashboard.captured", nobody | money, name)
        self.platform.restart("work", without=STRIPE_SETTINGS)
        stripes = self.platform.value("SELECT payment_id FROM payment WHERE provider = 'stripe' LIMIT 1")
        names = {"merchant_id": "elsewhere", "payment_id": stripes, "charge_id": "ch_nobody"}
        self.platform.tell("dashboard.captured", names | money, "d4")
        dead = "SELECT count(*) FROM inbox WHERE state = 'dead'"
        until("four are dead", lambda: self.platform.value(dead) == 4)
        self.platform.restart("work")
        for name, act in (("d1", "replay"), ("d2", "discard"), ("d4", "replay")):
            event = self.platform.value("SELECT event_id FROM inbox WHERE provider_event_id = %s", name)
            answer = httpx.post(
                f"{self.platform.api}/v1/dead-letters/{event}/{act}",
                headers=self._headers(self.operator),
                json={"reason": "looked at"},
            )
            assert answer.status_code == 200, answer.text
        self._inbox_is_closed()

    def refused_webhooks(self) -> None:
        """Counted by the hour."""
        for account, body, signature, age_s in (
            ("simulator/main", b"{}", "0" * 64, 0),
            ("simulator/main", b"{}", None, 10_000),
            ("simulator/main", b"nothing", None, 0),
            ("nobody/main", b"{}", None, 0),
        ):
            assert self.platform.post_webhook(account, body, signature, age_s).status_code >= 400
        until("they are counted", lambda: self.platform.value("SELECT count(*) FROM webhook_refusal") == 4)

    def _endpoint(self, merchant: Merchant, path: str, **fields: Any) -> str:
        made = merchant.post("/v1/webhook-endpoints", {"url": f"{self.receivers.url}/{path}"} | fields)
        return str(made["endpoint"]["id"])

    def _headers(self, key: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {key}"}

    def _charge(self, payment_id: str) -> str:
        """The acquirer's name for a payment's charge."""
        [(charge,)] = self.platform.booked("SELECT id FROM charge WHERE payment_id = ?", payment_id)
        return str(charge)

    def _names(self, payment_id: str) -> dict[str, str]:
        return {"merchant_id": "forged", "payment_id": payment_id, "charge_id": self._charge(payment_id)}

    def _arrives(self, payment_id: str, operation: str) -> None:
        """The request of an attempt reaches the acquirer, as it was sent."""
        columns = "attempt_id, merchant_id, amount, currency, payment_method, capture, provider_key, parent_reference"
        query = f"SELECT {columns} FROM attempt WHERE payment_id = %s AND operation = %s"
        [(attempt, merchant, amount, currency, method, capture, key, parent)] = self.platform.rows(
            query, payment_id, operation
        )
        body: dict[str, Any] = {"attempt_id": attempt}
        path = "charges"
        if operation == "authorize":
            body |= {"payment_id": payment_id, "merchant_id": merchant, "amount": amount, "currency": currency}
            body |= {"payment_method": method, "capture": capture}
        else:
            path += f"/{parent}/{'refunds' if operation == 'refund' else operation}"
            body |= {} if operation == "cancel" else {"amount": amount}
        url = f"{self.platform.acquirer}/sim/{path}"
        assert httpx.post(url, json=body, headers={"Idempotency-Key": key}, timeout=30).status_code == 200

    def _resolves(self, attempt_id: str, outcome: str, reference: str | None = None) -> None:
        words = ["--evidence", "statement line 7", "--actor", "ada", "--reason", "recovery gave up"]
        words += ["--reference", reference] if reference else []
        self.platform.command("in-doubt", "resolve", attempt_id, "--outcome", outcome, *words)

    def _disputed(self, payment_id: str, dispute: str, step: str) -> None:
        """``opened:w1``: where it stands, and money that was withdrawn under a name; without the number, under none."""
        state, _, moved = step.partition(":")
        kind = {"opened": "dispute.opened", "under_review": "dispute.under_review"}.get(state, f"dispute.{state}")
        data: dict[str, Any] = {"reference": dispute, "status": state, "amount": 1_000, "currency": "EUR"}
        if moved:
            data["funds"] = {"w": "withdrawn", "r": "returned"}[moved[0]]
            data["movement"] = f"mv_{dispute}_{moved[1:]}" if moved[1:] else None
        self.platform.tell(kind, self._names(payment_id) | data, f"{dispute}-{step}")
        self._inbox_is_closed()

    def _none(self, query: str, *values: Any) -> bool:
        return not self.platform.value(query, *values)

    def _inbox_is_closed(self) -> None:
        open_events = "SELECT count(*) FROM inbox WHERE next_try_at IS NOT NULL"
        until("nothing is open", lambda: self.platform.value(open_events) == 0)

    def _adyen_tells(self) -> None:
        body = self.adyen.call("/_tell", {"times": 1, "codes": []})
        if b'"notificationItems": []' not in body:
            answer = httpx.post(f"{self.platform.api}/v1/webhooks/adyen/main", content=body, timeout=30)
            assert answer.status_code == 200, answer.text
        self._inbox_is_closed()
