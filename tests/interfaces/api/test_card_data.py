"""Card numbers: refused wherever a client can put them, and kept nowhere."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import psycopg
import pytest

from tallystick.kit.ids import new_id
from tests.support.api import Merchant, Stack, assert_problem, send

#: Test numbers of the issuers: none of them belongs to anyone.
VISA, MASTERCARD, AMEX = "4242424242424242", "5555555555554444", "378282246310005"
GROUPED = "4242 4242 4242 4242"

BODIES: list[dict[str, Any]] = [
    {"payment_method": VISA},
    {"payment_method": f"tok-{MASTERCARD}"},
    {"amount": int(VISA)},
    {"description": f"card {GROUPED} please"},
    {"description": AMEX},
    {"description": "４２４２４２４２４２４２４２４２"},  # noqa: RUF001 - full-width digits are the point
    {"metadata": {"card": VISA}},
    {"metadata": {VISA: "card"}},
    {"metadata": {"deep": {"er": [VISA]}}},
    {"provider": VISA},
    {VISA: 1},
    {"unknown": {"number": "4242-4242-4242-4242"}},
]


@pytest.mark.parametrize("fields", BODIES, ids=range(len(BODIES)))
def test_in_a_body(merchant: Merchant, fields: dict[str, Any]) -> None:
    answer = merchant.pay(**{"method": fields.pop("payment_method", "sim_ok"), **fields})
    assert_problem(answer, 422, "card_data_refused")
    assert VISA not in answer.text


@pytest.mark.parametrize("key", [VISA, f'"{GROUPED}"', f"order-{MASTERCARD}", AMEX])
def test_in_a_key(merchant: Merchant, key: str) -> None:
    assert_problem(send(merchant, key=key), 422, "card_data_refused")


@pytest.mark.parametrize(
    "path",
    [
        f"/v1/payments/{VISA}",
        f"/v1/payments/pay_{VISA}",
        f"/v1/payments/{VISA}/history",
        f"/v1/payments/{quote(GROUPED)}",
        f"/v1/refunds/{AMEX}",
        f"/v1/payments?provider_reference={VISA}",
        f"/v1/payments?idempotency_key={quote(GROUPED)}",
        "/v1/payments?state=4242+4242+4242+4242",
        f"/v1/payments?{VISA}=x",
        f"/v1/payments?cursor={VISA}",
        f"/v1/ledger/accounts?x={VISA}",
        f"/v1/ledger/transfers?payment={VISA}",
    ],
)
def test_in_a_path_or_query(merchant: Merchant, path: str) -> None:
    answer = merchant.client.get(path)
    assert_problem(answer, 422, "card_data_refused")
    assert VISA not in answer.text


@pytest.mark.parametrize("path", [f"/v1/payments/{VISA}/capture", f"/v1/payments?note={VISA}"])
def test_in_the_path_of_a_post(merchant: Merchant, path: str) -> None:
    assert_problem(merchant.post(path, {}), 422, "card_data_refused")


def test_ids_and_references_are_no_card_numbers(merchant: Merchant) -> None:
    for _ in range(20):
        key = new_id("req")
        payment = merchant.pay(key=key, description=new_id("pay"), metadata={"id": new_id("att")}).json()
        assert merchant.get(f"/v1/payments/{payment['id']}").status_code == 200
        found = merchant.get("/v1/payments", provider_reference=payment["provider_reference"], idempotency_key=key)
        assert [one["id"] for one in found.json()["data"]] == [payment["id"]]


def test_no_card_number_is_in_a_log_or_a_table(stack: Stack, merchant: Merchant) -> None:
    """After everything above (and once more here) the numbers are in no line and no row."""
    merchant.pay(description=GROUPED)
    merchant.pay(method=VISA)
    merchant.client.get(f"/v1/payments/{VISA}")
    merchant.client.get(f"/nowhere/{VISA}")
    send(merchant, key=VISA)
    send(merchant, content=b'{"broken": "%s"' % VISA.encode())
    needles = (VISA, GROUPED, MASTERCARD, AMEX)
    log = stack.log.read_text(errors="replace")
    assert log, "the log is read"
    assert not [needle for needle in needles if needle in log]
    with psycopg.connect(stack.database.owner_url) as connection:
        tables = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        ).fetchall()
        assert len(tables) > 10
        for (table,) in tables:
            query = f'SELECT t::text FROM "{table}" t'
            for (row,) in connection.execute(query.encode()):
                # Bytes come out as hex: digits of text are 3x there.
                assert not [n for n in needles if n in row or n.encode().hex() in row], table
