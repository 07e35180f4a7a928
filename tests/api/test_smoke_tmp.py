from tests.api.conftest import Merchant, Stack


def test_one(stack: Stack, merchant: Merchant) -> None:
    r = merchant.pay()
    print(r.status_code, r.text, r.headers)
    assert r.status_code == 201
    r = merchant.pay("sim_timeout_charged")
    print(r.status_code, r.text, r.headers)
    print(merchant.settled("/v1/payments/" + r.json()["id"]))
    for p in (
        "/v1/payments/" + r.json()["id"] + "/history",
        "/v1/ledger/accounts",
        "/v1/payments",
        "/nope",
        "/healthz",
        "/v1/ledger/transfers?payment=" + r.json()["id"],
    ):
        x = merchant.get(p) if "?" not in p else merchant.client.get(p)
        print(p, x.status_code, x.text[:1500], x.headers)
    x = merchant.client.head("/v1/payments")
    print(x.status_code, x.headers)
    x = merchant.client.options("/v1/payments")
    print(x.status_code, x.headers, x.text)
    x = merchant.client.delete("/v1/payments")
    print(x.status_code, x.headers, x.text)
    print(stack.log.read_text())
    assert 0
