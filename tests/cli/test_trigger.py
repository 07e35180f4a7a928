"""``trigger``: what it makes the acquirer do, and what it says of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tallystick.lab.acquirer.control_table import CONTROLS
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.acquirer_calls import act, charged
from tests.support.commands import Ran, run_here
from tests.support.ports import free_port

Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcquirerProcess]:
    nowhere = f"http://127.0.0.1:{free_port()}/hook"
    with acquirer(tmp_path_factory.mktemp("bank") / "books.sqlite", webhook_url=nowhere, retry_ms="60000") as process:
        yield process


@pytest.fixture
def trigger(bank: AcquirerProcess, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    return lambda *words, url=bank.url: run_here(monkeypatch, capsys, "trigger", *words, simulator_url=url)


def payment_of(bank: AcquirerProcess, made: dict[str, str]) -> str:
    rows = bank.call("GET", "/sim/controls?limit=1000")[1]["data"]
    return str(next(row["payment_id"] for row in rows if row["charge_id"] == made["charge_id"]))


def test_it_says_what_it_did_and_what_will_arrive(bank: AcquirerProcess, trigger: Run) -> None:
    made = charged(bank)
    payment_id = payment_of(bank, made)
    charged(bank)  # a newer one, which is not meant
    ran = trigger("dispute_won", payment_id)
    assert ran.code == 0, ran
    assert "dispute_won: the payer disputes; withdrawal, review and a win follow by themselves\n" in ran.out
    assert f"payment  {payment_id}, 10.00 EUR (charge {made['charge_id']})\n" in ran.out
    assert "arrives  dispute.opened at once, dispute.funds_withdrawn after 3 s" in ran.out
    assert "/hook\n" in ran.out
    assert f'curl -X POST {bank.url}/sim/charges/{made["charge_id"]}/dispute -d \'{{"outcome":"won"}}\'' in ran.out
    assert [event["type"] for event in bank.events(payment_id)] == ["charge.captured", "dispute.opened"]
    decided = trigger("dispute_lost", payment_id)
    assert "dispute_lost: the merchant loses the dispute\n" in decided.out, "the dispute that is open"
    assert [event["type"] for event in bank.events(payment_id)][-1] == "dispute.lost"


def test_without_an_id_it_takes_the_newest_that_fits(bank: AcquirerProcess, trigger: Run) -> None:
    charged(bank, capture=False)
    newest = charged(bank, capture=False)
    charged(bank)  # newer, and not held
    done = json.loads(trigger("expire", "--json").out)
    assert (done["control"], done["charge_id"]) == ("expire", newest["charge_id"])
    assert done["arrives"] == "charge.expired at once"
    refunded = charged(bank)
    act(bank, refunded, "refunds", 400)
    assert json.loads(trigger("refund_failed", "--json").out)["charge_id"] == refunded["charge_id"]
    assert [event["type"] for event in bank.events(payment_of(bank, refunded))][-1] == "refund.failed"


def test_it_says_what_keeps_the_webhook_away(bank: AcquirerProcess, trigger: Run) -> None:
    lost = charged(bank, "sim_webhook_lost")
    assert "dispute.opened: never sent, as the payment's script says" in trigger("dispute", payment_of(bank, lost)).out
    assert trigger("pause_webhooks").out.startswith("pause_webhooks: no webhook is sent until they are resumed\n")
    charged(bank)
    assert "webhooks are paused, and come once they are resumed" in trigger("dispute").out
    assert trigger("resume_webhooks").code == 0


def test_what_is_not_possible_is_refused_with_a_reason(bank: AcquirerProcess, trigger: Run) -> None:
    held = payment_of(bank, charged(bank, capture=False))
    refusals = {
        ("refund_failed", held): "refund_failed needs a refund that succeeded, through the API; this one is authorized"
        " there. Possible now: expire, dashboard_capture",
        ("dispute", "pay_unknown"): f"the acquirer at {bank.url} has no payment pay_unknown",
        ("complete",): "complete needs a payment that waits for its customer; the acquirer has none among its newest",
        ("draw",): "one of complete, abandon, expire",
        ("healthy", held): "healthy is about the acquirer as a whole",
    }
    for words, why in refusals.items():
        ran = trigger(*words)
        assert ran.code == 2
        assert why in " ".join(ran.err.replace("│", " ").split()), ran
    away = trigger("dispute", url=f"http://127.0.0.1:{free_port()}")
    assert away.code == 2 and away.err.startswith("tallystick: cannot reach the provider"), away
    assert [event["type"] for event in bank.events(held)] == ["charge.authorized"], "nothing was done"


@pytest.mark.parametrize("body", [b"<html></html>", b'{"data": 1}'])
def test_another_server_is_not_taken_for_the_acquirer(trigger: Run, body: bytes) -> None:
    class Another(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            self.end_headers()
            self.wfile.write(body)

    with HTTPServer(("127.0.0.1", 0), Another) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        url = f"http://127.0.0.1:{server.server_port}"
        ran = trigger("dispute", url=url)
        server.shutdown()
        serving.join()
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"tallystick: {url} is not a test acquirer of this release; it answered 200\n"


def test_it_lists_every_control(trigger: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = trigger("list")
    assert listed.code == 0
    assert all(control.name in listed.out for control in CONTROLS)
