"""Whatever a field, a parameter or a path holds, it is refused or it is data: the acquirer never fails of it."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.acquirer_calls import charged
from tests.support.ports import free_port

#: JSON of a wrong type or size for every field, or no JSON at all.
NEVER_VALID = (
    b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1", b"9" * 30, b"9" * 5_000, b"true", b"null", b"{}", b"[[1]]",
    b'"\\ud800"', b'"\x01"', b'["\\ud800"]', b"-9223372036854775809",
)  # fmt: skip

#: The same where a text may be anything.
NO_TEXT = (*NEVER_VALID, b"1", b"[]")

#: Field of a control -> what it takes none of; seeds may be any integer.
CONTROLS: dict[str, dict[str, tuple[bytes, ...]]] = {
    "/sim/charges/{charge}/dispute": {"amount": NEVER_VALID, "outcome": (*NO_TEXT, b'""', b'"x"')},
    "/sim/charges/{charge}/dashboard-refund": {"amount": (*NEVER_VALID, b"0", b"1.5", b'"1"')},
    "/sim/health": {"next": (*NO_TEXT, b'""', b'"x"'), "calls": (*NEVER_VALID, b"0", b"1.5", b'"1"')},
    "/sim/webhooks/resend": {
        "since": (*NEVER_VALID, b"1.5", b'"1"'),
        "ids": (*NEVER_VALID, b"[1]", b'"evt"'),
        "connections": (*NEVER_VALID, b"0", b"1.5"),
        "duplicates": (*NEVER_VALID, b"1.01"),
        "shuffle": NEVER_VALID,
        "forged": NEVER_VALID,
        "seed": (b"NaN", b"1e400", b"true", b"1.5", b'"1"', b"[]"),
    },
}

#: What a query or a path may hold, as it is sent.
TEXTS = (
    "nan", "inf", "-inf", "1e400", "-1", "9" * 30, "9" * 3_000, "1.5", "", "%00", "%01", "%FF", "%ED%A0%80", "%0d%0a",
    "%F0%9F%98%80", "%C2%B2", "null", "[]",
)  # fmt: skip

PARAMETERS = {
    "/sim/events": ("cursor", "limit", "payment_id"),
    "/sim/webhooks/deliveries": ("cursor", "limit"),
    "/sim/operations": ("cursor", "limit", "since"),
    "/sim/charges": ("cursor", "limit", "payment_id"),
    "/sim/controls": ("cursor", "limit", "payment_id", "control"),
    "/": ("cursor", "limit", "charge", "done"),
}

PATHS = (
    "GET /sim/operations/{}", "GET /sim/keys/{}", "GET /sim/charges/{}/complete", "POST /sim/charges/{}/abandon",
    "POST /sim/charges/{}/expire", "POST /sim/charges/{}/dashboard-capture", "POST /sim/charges/{}/late-capture",
    "POST /sim/charges/{}/dashboard-refund", "POST /sim/charges/{}/dispute", "POST /sim/disputes/{}/win",
    "POST /sim/operations/{}/fail",
)  # fmt: skip


@pytest.fixture(scope="module")
def sending(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AcquirerProcess]:
    """One that sends webhooks, to nobody: without a URL its webhook controls look at no field."""
    books: Path = tmp_path_factory.mktemp("hostile") / "books.sqlite"
    with acquirer(books, webhook_url=f"http://127.0.0.1:{free_port()}/") as process:
        yield process


def asked(running: AcquirerProcess, method: str, target: str, body: bytes | None = None, **headers: str) -> int:
    """The status, of a request that is sent as it is written here."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=30)
    try:
        connection.putrequest(method, target)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("path", CONTROLS)
def test_a_field_of_a_control_is_of_its_type_or_refused(sending: AcquirerProcess, path: str) -> None:
    target = path.format(charge=charged(sending)["charge_id"])
    for field, values in CONTROLS[path].items():
        for value in values:
            others = b', "next": "slow"' if field == "calls" else b""
            body = b'{"%s": %s%s}' % (field.encode(), value, others)
            assert asked(sending, "POST", target, body) == 400, (path, field, value[:40])
    assert sending.call("GET", "/sim/health")[1]["next"] == "healthy", "nothing was done"


@pytest.mark.parametrize("path", PARAMETERS)
def test_a_parameter_is_read_or_refused(sending: AcquirerProcess, path: str) -> None:
    for name in PARAMETERS[path]:
        for text in TEXTS:
            is_time = name == "since" and text in ("-1", "1.5")
            takes_all = name not in ("cursor", "limit", "since")
            status = asked(sending, "GET", f"{path}?{name}={text}")
            assert status == (200 if is_time or takes_all else 400), (name, text)


@pytest.mark.parametrize("call", PATHS)
def test_a_path_names_what_there_is_or_nothing(sending: AcquirerProcess, call: str) -> None:
    method, _, path = call.partition(" ")
    for text in TEXTS:
        status = asked(sending, method, path.format(text), b"{}" if method == "POST" else None)
        assert status in (400, 404, 405), (call, text)


def test_a_field_of_a_form_is_of_its_type_or_refused(sending: AcquirerProcess) -> None:
    origin = {"Origin": sending.url, "Content_Type": "application/x-www-form-urlencoded"}
    charge = charged(sending)["charge_id"]
    for path, field in (
        (f"/sim/charges/{charge}/dispute", "amount"),
        (f"/sim/charges/{charge}/dashboard-refund", "amount"),
        ("/sim/health", "calls"),
        ("/sim/webhooks/resend", "connections"),
        ("/sim/webhooks/resend", "forged"),
        ("/sim/webhooks/resend", "ids"),
    ):
        for text in ("nan", "inf", "-1", "9" * 5_000, "1.5", "\x00", "²", "null", "[]", "0x10"):
            sent = urlencode({field: text, **({"next": "slow"} if field == "calls" else {})}).encode()
            assert asked(sending, "POST", f"/back-office{path}", sent, **origin) == 400, (path, field, text)
