"""Makes the fixture of ``test_upgrade.py``: a database at schema 0006 with rows of every kind, the acquirer's books of
that moment, and what the test has to know of them.

This is history: it ran once, on the code before v0.2.0 (``rows.json`` names the last commit of its ``src``), and what
it wrote is kept. It is kept beside that to say how the rows came about: through the API, the commands, the worker and
the test acquirer as they were, each a process of its own; nothing was written into the database by hand. To run it
again, check out v0.2.0's parent, or any commit at schema 0006 that has this file, and

    python -m tests.guarantees.upgrade.make_rows

It takes three to six minutes, and writes ``database.sql.gz``, ``books.sql`` and ``rows.json`` beside itself.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from tallystick.embedded import EmbeddedPostgres
from tests.guarantees.upgrade.acts import STRIPE_SECRET, Acts
from tests.guarantees.upgrade.processes import SEALING_KEY, Platform, until
from tests.providers.adyen.bank import fake_adyen
from tests.providers.adyen.fake_adyen import API_KEY as ADYEN_KEY
from tests.providers.adyen.fake_adyen import HMAC_KEY, MERCHANT_ACCOUNT
from tests.providers.stripe.bank import API_KEY as STRIPE_KEY
from tests.providers.stripe.bank import localstripe

HERE: Final = Path(__file__).parent


def main() -> None:
    """Make the rows, and write the files."""
    with (
        tempfile.TemporaryDirectory(prefix="tally-") as folder,
        EmbeddedPostgres(Path(folder)) as postgres,
        localstripe() as stripe,
        fake_adyen(Path(folder) / "adyen.sqlite") as adyen,
    ):
        platform = Platform(
            Path(folder),
            *postgres.urls(),
            stripe_api_key=STRIPE_KEY,
            stripe_api_url=stripe.url,
            stripe_webhook_secrets=STRIPE_SECRET,
            adyen_api_key=ADYEN_KEY,
            adyen_api_url=f"{adyen.url}/v72",
            adyen_merchant_account=MERCHANT_ACCOUNT,
            adyen_hmac_keys=HMAC_KEY,
        )
        try:
            Story(platform, stripe, adyen).tell()
        finally:
            for log in ("serve", "work"):
                errors = [line for line in (Path(folder) / f"{log}.log").read_text().splitlines() if '"error"' in line]
                print(log, len(errors), *errors[-3:], sep="\n")
            platform.end()


class Story(Acts):
    """One act after another; then what is left open for the test to finish."""

    def tell(self) -> None:
        """All of it; the last act leaves things as they must be found."""
        acts: list[Callable[[], None]] = [
            self.keys_and_endpoints,
            self.messages_that_nobody_takes,
            self.every_script,
            self.pending_in_vain,
            self.instructions_that_are_refused,
            self.other_providers,
            self.requests_that_arrive_after_all,
            self.in_doubt,
            self.expiries,
            self.events_that_nobody_else_sends,
            self.dead_letters,
            self.refused_webhooks,
        ]
        self.platform.start("work")
        for act in acts:
            print(act.__name__, flush=True)
            act()
        self.left_open()
        self.in_flight()
        self.write()

    def left_open(self) -> None:
        """Everything that recovery, a worker or a customer has still to do; no worker runs."""
        shop, platform = self.shop, self.platform
        platform.stop("work")
        told = shop.captured()
        unheard = shop.captured()
        refunded = shop.captured("sim_refund_pending")
        capturing = shop.held("sim_capture_pending")
        self.payments["hold"] = shop.held()
        platform.act(f"charges/{self._charge(unheard)}/dashboard-refund", {"amount": 300})
        nobody = {"merchant_id": "shop", "payment_id": "pay_" + "1" * 32, "charge_id": "ch_nobody"}
        platform.tell("dashboard.captured", nobody | {"amount": 1, "currency": "EUR", "effect": "captured"}, "w1")
        asked = shop.settled(shop.pay("sim_action_required"), "requires_action")
        self._last_work([shop.pay("sim_timeout_not_charged") for _ in range(3)])
        tried = "SELECT tries FROM inbox WHERE provider_event_id = 'w1'"
        until("it is tried once", lambda: platform.value(tried))
        until("its refund is there", lambda: shop.get(f"/v1/payments/{unheard}")["amount_refunded"])
        until("it is told", lambda: not platform.value("SELECT count(*) FROM outbox WHERE dispatched_at IS NULL"))
        self._endpoint(shop, "failing/500")
        shop.captured()
        failed = "SELECT count(*) FROM message_delivery WHERE merchant_id = 'shop' AND state = 'open' AND tries = 2"
        until("it failed twice", lambda: platform.value(failed))
        platform.stop("work")
        self.payments["undelivered"] = shop.captured()
        platform.act(f"charges/{self._charge(told)}/dashboard-refund", {"amount": 300})
        waiting = "SELECT count(*) FROM inbox WHERE state = 'received'"
        until("an event waits", lambda: platform.value(waiting))
        platform.stop("simulate")
        platform.start_acquirer(tells=False)
        self.payments |= {"event_waits": told, "requires_action": asked}
        self.payments["unknown"] = shop.pay("sim_timeout_charged")
        self.payments["pending"] = shop.pay("sim_pending")
        self.payments["pending_hold"] = shop.pay("sim_pending", manual=True)
        shop.act(capturing, "capture", amount=600)
        shop.act(refunded, "refunds", amount=400)
        self.payments |= {"pending_capture": capturing, "pending_refund": refunded}
        self.in_flight_of = {
            "capture": shop.held("sim_capture_timeout_charged"),
            "cancel": shop.held("sim_cancel_timeout_charged"),
            "refunds": shop.captured("sim_refund_timeout_charged"),
        }
        platform.kill("simulate")
        self.payments["not_sent"] = shop.pay("sim_ok")
        platform.start_acquirer(tells=False)

    def _last_work(self, proved: list[str]) -> None:
        """Nothing is tried again for long, and one lost answer opens the circuit: attempts of which it is proved that
        nothing happened wait until the provider is tried again."""
        slow = {"webhook_backoff_base_ms": 900_000, "webhook_backoff_cap_ms": 900_000, "webhook_tries_limit": 100}
        narrow = {"provider_circuit_calls": 1, "provider_circuit_failure_percent": 1}
        pauses = {"provider_circuit_open_ms": 600_000, "provider_circuit_open_limit_ms": 600_000}
        self.platform.start("work", slow | narrow | pauses)
        waiting = "SELECT payment_id FROM attempt WHERE state = 'not_found' AND next_check_at > now()"
        until("they wait", lambda: len(self.platform.rows(waiting)) == len(proved))
        self.payments |= {f"not_found_{number}": payment for number, payment in enumerate(proved)}

    def in_flight(self) -> None:
        """The acquirer has executed them; the process that waited for its answer is killed."""
        shop, platform = self.shop, self.platform
        platform.restart("serve", {"provider_request_timeout_ms": 60_000, "send_window_ms": 60_000})
        operations = platform.booked("SELECT count(*) FROM operation")[0][0]
        known = platform.value("SELECT count(*) FROM payment")
        with ThreadPoolExecutor(5) as pool:
            calls: list[Callable[[], Any]] = [
                partial(shop.pay, "sim_timeout_charged"),
                partial(shop.pay, "sim_timeout_not_charged"),
                *(partial(shop.act, payment, action) for action, payment in self.in_flight_of.items()),
            ]
            waiting = [pool.submit(call) for call in calls]
            booked = "SELECT count(*) FROM operation"
            until("they are booked", lambda: platform.booked(booked)[0][0] == operations + 4)
            until("both are there", lambda: platform.value("SELECT count(*) FROM payment") == known + 2)
            platform.kill("serve")
            for call in waiting:
                assert isinstance(call.exception(), httpx.TransportError)
        newest = "SELECT payment_id, payment_method FROM payment ORDER BY payment_id DESC LIMIT 2"
        self.payments |= {
            {"sim_timeout_charged": "in_flight", "sim_timeout_not_charged": "in_flight_lost"}[method]: payment
            for payment, method in platform.rows(newest)
        }
        self.payments |= {f"in_flight_{action}": payment for action, payment in self.in_flight_of.items()}
        platform.kill("simulate")

    def write(self) -> None:
        """The files."""
        self.platform.dump(HERE / "database.sql.gz")
        self.platform.dump_books(HERE / "books.sql")
        newest = ["git", "log", "-1", "--format=%H", "--", "src"]
        commit = subprocess.run(newest, check=True, capture_output=True, text=True).stdout.strip()
        rows = {
            "commit": commit,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "note": "The key and the secret here protect nothing.",
            "sealing_key": SEALING_KEY,
            "merchant": self.shop.merchant_id,
            "endpoint": self.endpoint,
            "endpoint_secret": self.secret["secret"],
            "payments": dict(sorted(self.payments.items())),
        }
        (HERE / "rows.json").write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
        self.report()

    def report(self) -> None:
        """What there is, for whoever runs this."""
        tables = self.platform.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        for (table,) in tables:
            print(table, self.platform.value(f'SELECT count(*) FROM "{table}"'))
        for query in (
            "SELECT subject, from_state, event, count(*) FROM transition GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            "SELECT state, count(*) FROM inbox GROUP BY 1 ORDER BY 1",
            "SELECT result, count(*) FROM processing GROUP BY 1 ORDER BY 1",
            "SELECT result, count(*) FROM delivery GROUP BY 1 ORDER BY 1",
            "SELECT state, count(*) FROM message_delivery GROUP BY 1 ORDER BY 1",
            "SELECT result, count(*) FROM message_try GROUP BY 1 ORDER BY 1",
            "SELECT state, disabled_reason, count(*) FROM webhook_endpoint GROUP BY 1, 2 ORDER BY 1, 2",
            "SELECT act, count(*) FROM webhook_endpoint_act GROUP BY 1 ORDER BY 1",
            "SELECT operation, state, purpose, count(*) FROM attempt GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            "SELECT state, count(*) FROM payment GROUP BY 1 ORDER BY 1",
            "SELECT origin, subject, event, count(*) FROM rejection GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            "SELECT kind, count(*) FROM transfer GROUP BY 1 ORDER BY 1",
            "SELECT reason, n FROM webhook_refusal ORDER BY 1",
        ):
            print(query)
            for row in self.platform.rows(query):
                print("   ", *row)


if __name__ == "__main__":
    main()
