"""docs/start.md, done as a reader does it: every command, and what the reader does in the shop's page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.support.clusters import Clusters
from tests.support.polling import PATIENCE_S, eventually
from tests.support.ports import free_port
from tests.support.reader import ROOT, Reader, sections_of

#: Commands that are not run here, and why.
NOT_RUN: Final = {"make lint": "the environment is there"}

#: Commands that stay in the foreground of a terminal of their own -> what they say once they work.
STAY: Final = {"tallystick listen": "whsec_", "examples.checkout.shop": '"shop"'}

SETTINGS: Final = {
    # What the reader waits for: the request that the acquirer does not answer, and the steps of a dispute.
    "provider_request_timeout_ms": "2000",
    "simulator_late_ms": "200",
    "api_processes": "1",  # enough for one reader, and up sooner
}


class Customer:
    """Somebody with a browser in front of the shop."""

    def __init__(self, reader: Reader, http: httpx.Client) -> None:
        self._ports, self.http = reader.ports, http

    @property
    def shop(self) -> str:
        """The shop's address."""
        return f"http://127.0.0.1:{self._ports[8500]}"

    @property
    def acquirer(self) -> str:
        """The acquirer's address."""
        return f"http://127.0.0.1:{self._ports[8401]}"

    def pay(self, order: str, card: str) -> None:
        """Fill in the form, and press the button."""
        assert f'value="{card}"' in self.http.get(self.shop).text, "the page offers the card"
        answer = self.http.post(f"{self.shop}/pay", data={"order": order, "card": card})
        assert (answer.status_code, answer.headers["location"]) == (303, f"/orders/{order}")

    def sees(self, order: str, *texts: str) -> str:
        """The order's page, once it has these texts."""
        page = f"{self.shop}/orders/{order}"
        return eventually(lambda: self.http.get(page).text, until=lambda text: all(each in text for each in texts))

    def confirm(self, page: str) -> None:
        """Follow the link to the acquirer's page, and complete the payment there."""
        [url] = re.findall(r'<a href="(http[^"]+)">Confirm', page)
        assert url.startswith(self.acquirer)
        [action] = re.findall(r'<form method="post" action="([^"]*complete)"', self.http.get(url).text)
        done = self.http.post(httpx.URL(url).join(action), headers={"Origin": self.acquirer})
        assert done.status_code in (200, 303), done.text


def _shop(customer: Customer) -> None:
    customer.pay("1001", "sim_ok")
    customer.sees("1001", "Paid.", "order-1001", "verified message payment.captured")
    forged = customer.http.post(f"{customer.shop}/webhooks", content=b"{}")
    assert forged.status_code == 401


def _lost(customer: Customer) -> None:
    customer.pay("1002", "sim_timeout_charged")
    page = customer.sees("1002", "Paid.", "verified message payment.captured")
    customer.pay("1002", "sim_timeout_charged")  # again
    [payment] = set(re.findall(r"pay_[0-9a-f]{32}", page))
    books = customer.http.get(f"{customer.acquirer}/sim/charges").json()["data"]
    assert [each["payment_id"] for each in books].count(payment) == 1


def _confirms(customer: Customer) -> None:
    customer.pay("1003", "sim_action_required")
    customer.confirm(customer.sees("1003", "Please continue", "Confirm the payment"))
    customer.sees("1003", "Paid.")


def _disputed(customer: Customer) -> None:
    # The newest payment that could be disputed was the one that its customer confirmed.
    customer.sees("1003", "verified message dispute.opened", "verified message dispute.lost")


#: What the reader does in the shop at the end of a section.
IN_THE_SHOP: Final[dict[str, Callable[[Customer], None]]] = {
    "A shop": _shop,
    "A bank that charges and does not answer": _lost,
    "A customer who confirms": _confirms,
    "A dispute": _disputed,
}


@pytest.fixture
def reader(own_dir: Path, clusters: Clusters) -> Iterator[Reader]:
    clusters.put_into(own_dir / "data")  # that a first start makes its own is tried with the README
    made = Reader(own_dir, settings=SETTINGS)
    made.ports[8500] = free_port()
    yield made
    made.close()


@pytest.fixture
def customer(reader: Reader) -> Iterator[Customer]:
    with httpx.Client(timeout=PATIENCE_S, trust_env=False) as http:
        yield Customer(reader, http)


@pytest.mark.timeout(600)  # it bounds failure alone: seconds where nothing else runs
def test_from_a_clone_to_a_verified_webhook(reader: Reader, customer: Customer) -> None:
    sections = sections_of((ROOT / "docs" / "start.md").read_text())
    assert sections.keys() >= IN_THE_SHOP.keys()
    for title, commands in sections.items():
        for command in commands:
            stays = [says for name, says in STAY.items() if name in command]
            if stays:
                reader.leave_running(_with_ports(reader, command), stays[0])
            elif command not in NOT_RUN:
                said = reader.run(command)
                assert '"outcome"' not in said, said
        if title in IN_THE_SHOP:
            IN_THE_SHOP[title](customer)


def _with_ports(reader: Reader, command: str) -> str:
    """On the ports that are free here; the page's are the defaults."""
    api = reader.ports[8400]
    if "listen" in command:
        return f"env TALLYSTICK_PORT={api} {command}"
    return f"env SHOP_PORT={reader.ports[8500]} SHOP_API_URL=http://127.0.0.1:{api} {command}"
