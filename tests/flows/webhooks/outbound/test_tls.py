"""Real TLS: the certificate must be for the host of the URL, not for the address that the policy looked up for it; and
where it is not, neither body nor signature leaves."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from tallystick.flows.webhooks.outbound.address_policy import AddressPolicy
from tallystick.flows.webhooks.outbound.tls import NO_TLS
from tallystick.flows.webhooks.outbound.worker import OutboxWorker
from tests.support.database import Database
from tests.support.names import Names
from tests.support.outbox import deliveries, drain, pay, register, runtime_for, tries, worker
from tests.support.receivers import Receiver, receiving, status

HOST = "merchant.example"
OTHER_HOST = "other.example"


class Server:
    """A receiver behind TLS, and which names it was asked for."""

    def __init__(self, receiver: Receiver, names: list[str | None]) -> None:
        self.receiver = receiver
        self.names = names

    def url(self, host: str = HOST) -> str:
        return f"https://{host}:{self.receiver.port}{self.receiver.path}"


@asynccontextmanager
async def serving(certificate: trustme.LeafCert | trustme.CA) -> AsyncIterator[Server]:
    """A receiver with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if isinstance(certificate, trustme.LeafCert):
        certificate.configure_cert(context)
    else:  # an authority's own: self-signed
        with certificate.private_key_pem.tempfile() as key, certificate.cert_pem.tempfile() as pem:
            context.load_cert_chain(pem, key)
    names: list[str | None] = []

    def asked(_: ssl.SSLObject | ssl.SSLSocket, name: str | None, __: ssl.SSLContext) -> None:
        names.append(name)

    context.sni_callback = asked
    async with receiving(context) as receiver:
        yield Server(receiver, names)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """The one authority that is trusted, by OpenSSL's own variables."""
    made = trustme.CA()
    file = tmp_path / "authorities.pem"
    made.cert_pem.write_to_path(file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    return made


@asynccontextmanager
async def told(database: Database, merchant_id: str, urls: Sequence[str]) -> AsyncIterator[tuple[Any, OutboxWorker]]:
    """A worker that has tried to tell one payment to each URL in turn; every name leads to loopback."""
    policy = AddressPolicy(allow_private=True, lookup=Names(["127.0.0.1"]))
    # A handshake on a busy machine takes longer than the tests' usual time-out.
    async with (
        runtime_for(database, outbound_timeout_ms=10_000, outbound_lease_ms=60_000) as runtime,
        worker(runtime, policy=policy) as delivery,
    ):
        for number, url in enumerate(urls):
            await register(runtime, merchant_id, url, policy=policy)
            await pay(runtime, merchant_id, f"k{number}")
            await drain(delivery)
        yield runtime, delivery


async def test_the_name_of_the_url_is_asked_for_and_verified_at_the_address_that_was_looked_up(
    database: Database, fresh_merchant: str, authority: trustme.CA
) -> None:
    async with serving(authority.issue_cert(HOST)) as server:
        async with told(database, fresh_merchant, [server.url()]) as (runtime, _):
            assert [one["result"] for one in await tries(runtime, fresh_merchant)] == ["delivered"]
        assert server.names == [HOST]
        assert len(server.receiver.got) == 1


Issue = Callable[[trustme.CA], trustme.LeafCert | trustme.CA]

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
NOT_SO_LONG_AGO = datetime(2020, 2, 1, tzinfo=UTC)

REFUSED: dict[str, tuple[Issue, str]] = {
    "another host's": (
        lambda ca: ca.issue_cert(OTHER_HOST),
        "the certificate is not valid for the URL's host name",
    ),
    "the address's": (
        lambda ca: ca.issue_cert("127.0.0.1"),
        "the certificate is not valid for the URL's host name",
    ),
    "expired": (
        lambda ca: ca.issue_cert(HOST, not_before=LONG_AGO, not_after=NOT_SO_LONG_AGO),
        "the certificate has expired",
    ),
    "not valid yet": (
        lambda ca: ca.issue_cert(HOST, not_before=datetime(2099, 1, 1, tzinfo=UTC)),
        "the certificate is not valid yet",
    ),
    "self-signed": (lambda _: trustme.CA(), "the certificate is self-signed"),
    "an unknown authority's": (
        lambda _: trustme.CA().issue_cert(HOST),
        "the certificate's issuer is not trusted, or an intermediate certificate is missing",
    ),
}


@pytest.mark.parametrize(("issue", "reason"), REFUSED.values(), ids=REFUSED)
async def test_a_certificate_that_is_not_valid_is_a_failed_try_and_nothing_leaves(
    database: Database, fresh_merchant: str, authority: trustme.CA, issue: Issue, reason: str
) -> None:
    async with serving(issue(authority)) as server:
        async with told(database, fresh_merchant, [server.url()]) as (runtime, _):
            (tried,) = await tries(runtime, fresh_merchant)
            assert (tried["result"], tried["status"], tried["detail"]) == ("tls_failed", None, reason)
            assert [one["state"] for one in await deliveries(runtime, fresh_merchant)] == ["open"], "it is tried again"
        assert server.names == [HOST], "it was reached"
        assert server.receiver.got == []


async def test_an_address_in_the_url_needs_a_certificate_of_its_own(
    database: Database, fresh_merchant: str, authority: trustme.CA
) -> None:
    async with (
        serving(authority.issue_cert("127.0.0.1")) as right,
        serving(authority.issue_cert(HOST)) as wrong,
        told(database, fresh_merchant, [right.url("127.0.0.1"), wrong.url("127.0.0.1")]) as (runtime, _),
    ):
        results = {(one["result"], one["detail"]) for one in await tries(runtime, fresh_merchant)}
        assert results == {
            ("delivered", None),
            ("tls_failed", "the certificate is not valid for the URL's address"),
        }
        assert wrong.receiver.got == []


async def test_a_connection_made_for_one_name_does_not_serve_another_at_the_same_address(
    database: Database, fresh_merchant: str, authority: trustme.CA
) -> None:
    async with (
        serving(authority.issue_cert(HOST)) as server,
        told(database, fresh_merchant, [server.url(), server.url(OTHER_HOST)]) as (runtime, _),
    ):
        assert server.names[-1] == OTHER_HOST
        assert {got.headers["host"].split(":")[0] for got in server.receiver.got} == {HOST}
        assert "tls_failed" in [one["result"] for one in await tries(runtime, fresh_merchant)]


async def test_what_speaks_no_tls_gets_nothing(database: Database, fresh_merchant: str) -> None:
    async with receiving() as receiver:
        plain = f"https://{HOST}:{receiver.port}{receiver.path}"
        async with told(database, fresh_merchant, [plain]) as (runtime, _):
            (tried,) = await tries(runtime, fresh_merchant)
            assert (tried["result"], tried["detail"]) == ("tls_failed", NO_TLS)
        assert receiver.got == []


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_host_is_not_followed(
    database: Database, fresh_merchant: str, authority: trustme.CA, code: int
) -> None:
    async with (
        serving(authority.issue_cert(HOST)) as server,
        serving(authority.issue_cert(OTHER_HOST)) as other,
    ):
        server.receiver.script = status(code, Location=other.url(OTHER_HOST))
        async with told(database, fresh_merchant, [server.url()]) as (runtime, _):
            (tried,) = await tries(runtime, fresh_merchant)
            assert (tried["result"], tried["status"]) == ("redirected", code)
            assert tried["detail"] == "redirects are not followed"
        assert len(server.receiver.got) == 1
        assert (other.names, other.receiver.got) == ([], [])
