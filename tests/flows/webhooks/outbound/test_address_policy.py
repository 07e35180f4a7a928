"""Nobody may have us connect to what only we can reach: by no spelling, no name, no second lookup and no redirect."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from tallystick.flows.webhooks.outbound.address_policy import (
    LOOKUP_TIMEOUT_S,
    REFUSED_STEP_MS,
    AddressPolicy,
    AddressRefused,
    UrlRefused,
    coarse_ms,
    is_public,
)
from tallystick.kit.clock import monotonic_ms
from tests.support.database import Database
from tests.support.names import LenientAboutLooks, Names, address_info
from tests.support.outbox import deliveries, drain, pay, register, runtime_for, tries, worker
from tests.support.polling import one_turn
from tests.support.receivers import receiving, status

CLOSED = """
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 169.254.169.254
    169.254.0.1 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.8 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255
    198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    :: ::1 ::2 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:8.8.8.8 ::127.0.0.1 ::ffff:0:127.0.0.1 64:ff9b::7f00:1
    64:ff9b::8.8.8.8 64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1::1 2001:2::1 2001:10::1 2001:20::1 2001:db8::1
    2002:7f00:1:: 2002:a00:1::1 2002:808:808::1 3fff::1 4000::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0
    fe80::1%1 fec0::1 ff02::1 ff0e::1 2606:4700::5efe:7f00:1 2606:4700::200:5efe:10.0.0.1 nonsense 1.2.3 1.2.3.4.5 %s
""".replace("%s", "").split()

OPEN = """
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 93.184.216.34 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0
    169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255
    198.20.0.0 223.255.255.255 2001:200::1 2001:4860:4860::8888 2606:4700:4700::1111 2a00:1450:4001::200e 2003::1
""".split()


@pytest.mark.parametrize("address", CLOSED)
def test_these_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OPEN)
def test_these_are(address: str) -> None:
    assert is_public(address)


REFUSED = {
    "http://merchant.example/": "https_required",
    "ftp://merchant.example/": "https_required",
    "file:///etc/passwd": "https_required",
    "gopher://merchant.example/": "https_required",
    "//merchant.example/": "https_required",
    "merchant.example": "https_required",
    "": "https_required",
    "https://": "invalid_url",
    "https:///path": "invalid_url",
    "https://user@merchant.example/": "invalid_url",
    "https://user:word@merchant.example/": "invalid_url",
    "https://@merchant.example/": "invalid_url",
    "https://merchant.example@127.0.0.1/": "invalid_url",
    "https://merchant.example/#fragment": "invalid_url",
    "https://merchant.example\\@127.0.0.1/": "invalid_url",
    "https://merchant.example /": "invalid_url",
    "https://merchant.example/\r\nX: y": "invalid_url",
    "https://merchant.example/\x00": "invalid_url",
    "https://mérchant.example/": "invalid_url",
    "https://\uff11\uff12\uff17.0.0.1/": "invalid_url",
    "https://merchant.example:99999/": "invalid_url",
    "https://merchant.example:port/": "invalid_url",
    "https://merchant.example/" + "a" * 2_048: "invalid_url",
    "https://" + "a" * 254 + "/": "invalid_url",
    "https://127.0.0.1/": "address_refused",
    "https://127.0.0.1:8443/": "address_refused",
    "https://10.1.2.3/": "address_refused",
    "https://169.254.169.254/latest/meta-data/": "address_refused",
    "https://0.0.0.0/": "address_refused",
    "https://[::1]/": "address_refused",
    "https://[::]/": "address_refused",
    "https://[::ffff:127.0.0.1]/": "address_refused",
    "https://[::ffff:7f00:1]/": "address_refused",
    "https://[0:0:0:0:0:0:0:1]/": "address_refused",
    "https://[64:ff9b::7f00:1]/": "address_refused",
    "https://[2002:7f00:1::]/": "address_refused",
    "https://[fe80::1%25eth0]/": "address_refused",
    "https://[fd00:ec2::254]/": "address_refused",
    "https://2130706433/": "invalid_url",
    "https://0x7f000001/": "invalid_url",
    "https://0x7f.1/": "invalid_url",
    "https://0177.0.0.1/": "invalid_url",
    "https://017700000001/": "invalid_url",
    "https://127.1/": "invalid_url",
    "https://127.0.1/": "invalid_url",
    "https://127.0.0.1./": "invalid_url",
    "https://127.000.000.001/": "invalid_url",
    "https://8.8.8.08/": "invalid_url",
    "https://134744072/": "invalid_url",
    "https://a.b.0x/": "invalid_url",
    "https://merchant.example:22/": "port_refused",
    "https://merchant.example:25/": "port_refused",
    "https://merchant.example:80/": "port_refused",
    "https://merchant.example:0/": "port_refused",
}


@pytest.mark.parametrize(("url", "code"), REFUSED.items(), ids=[ascii(url)[:60] for url in REFUSED])
def test_urls_that_are_refused_by_their_looks(url: str, code: str) -> None:
    with pytest.raises(UrlRefused) as refused:
        AddressPolicy(allow_private=False).url(url)
    assert refused.value.code == code
    assert not url or url not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://merchant.example/",
        "https://merchant.example",
        "https://merchant.example:8443/hooks?token=a%20b",
        "https://xn--mrchant-bya.example/hooks",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]:4430/x",
    ],
)
def test_urls_that_look_well(url: str) -> None:
    assert str(AddressPolicy(allow_private=False).url(url))


@pytest.fixture
def short_step_ms(monkeypatch: pytest.MonkeyPatch) -> int:
    """The step of a refusal's time, short enough to wait for it often."""
    step_ms = 50
    monkeypatch.setattr("tallystick.flows.webhooks.outbound.address_policy.REFUSED_STEP_MS", step_ms)
    return step_ms


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (["127.0.0.1"], "address_refused"),
        (["::1"], "address_refused"),
        (["10.0.0.7"], "address_refused"),
        (["93.184.216.34", "10.0.0.7"], "address_refused"),
        (["93.184.216.34", "::ffff:127.0.0.1"], "address_refused"),
        (socket.gaierror(socket.EAI_NONAME, "no such name"), "address_refused"),
        (socket.gaierror(socket.EAI_AGAIN, "not now"), "address_refused"),
        ([], "address_refused"),
    ],
)
async def test_names_that_lead_astray_are_refused_at_registration(answer: Any, code: str, short_step_ms: int) -> None:
    """With one code, one text and a coarse time: two would say which names the internal network has."""
    started_ms = monotonic_ms()
    with pytest.raises(UrlRefused) as refused:
        await AddressPolicy(allow_private=False, lookup=Names(answer)).check("https://merchant.example/")
    assert monotonic_ms() - started_ms >= short_step_ms - 1, "the clocks differ by less than a millisecond"
    assert (refused.value.code, str(refused.value)) == (code, "must resolve to a public address")


@pytest.mark.parametrize("answer", [socket.gaierror(socket.EAI_NONAME, "no such name"), [], ["10.0.0.7"]])
async def test_a_try_does_not_say_whether_an_internal_name_exists(
    answer: Any, database: Database, fresh_merchant: str
) -> None:
    """After registration the name may become an alias of an internal one."""
    async with receiving() as receiver, runtime_for(database) as runtime:
        await register(runtime, fresh_merchant, f"http://localhost:{receiver.port}{receiver.path}")
        await pay(runtime, fresh_merchant, "k")
        async with worker(runtime, policy=LenientAboutLooks(lookup=Names(answer))) as delivery:
            await drain(delivery)
        (tried,) = await tries(runtime, fresh_merchant)
        said = (tried["result"], tried["status"], tried["detail"])
        assert said == ("address_refused", None, "the endpoint does not resolve to a public address")
        assert tried["duration_ms"] and tried["duration_ms"] % REFUSED_STEP_MS == 0, "a coarse time"


@pytest.mark.parametrize("allow_private", [False, True])
def test_a_refusal_names_what_is_allowed(allow_private: bool) -> None:
    with pytest.raises(UrlRefused) as refused:
        AddressPolicy(allow_private=allow_private).url("ftp://merchant.example/")
    assert str(refused.value) == "must begin with https://" + (" or http://" if allow_private else "")


def test_a_time_is_told_in_whole_steps() -> None:
    step = REFUSED_STEP_MS
    assert [coarse_ms(each) for each in (-1, 0, 1, step - 1, step, step + 1)] == [step] * 5 + [2 * step]


async def test_names_that_lead_to_public_addresses_are_fine() -> None:
    names = Names(["93.184.216.34", "2606:4700:4700::1111"])
    await AddressPolicy(allow_private=False, lookup=names).check("https://merchant.example/")
    assert names.asked == 1


@pytest.mark.usefixtures("short_step_ms")
async def test_a_real_name_of_this_machine_is_refused() -> None:
    with pytest.raises(UrlRefused):
        await AddressPolicy(allow_private=False).check("https://localhost:8443/")


async def test_a_slow_name_server_keeps_one_thread_busy_and_no_other_name_waiting() -> None:
    release = threading.Event()
    asked = []

    def lookup(host: str, port: int) -> Sequence[tuple[Any, ...]]:
        asked.append(host)
        if host == "slow.example":
            release.wait(LOOKUP_TIMEOUT_S)
        return [address_info("93.184.216.34", port)]

    policy = AddressPolicy(allow_private=False, lookup=lookup)
    slow = [asyncio.create_task(policy.addresses("slow.example", 443)) for _ in range(200)]
    await one_turn()
    started = time.monotonic()
    await policy.addresses("quick.example", 443)
    assert time.monotonic() - started < 1
    assert sorted(asked) == ["quick.example", "slow.example"]
    release.set()
    await asyncio.gather(*slow)


async def test_a_name_that_changes_after_registration_is_refused_on_every_try(
    database: Database, fresh_merchant: str
) -> None:
    """Rebinding: public when it was looked at, ours when it is connected to. There is one lookup a connection, and its
    answer is both what is checked and where the connection goes."""
    async with receiving() as receiver, runtime_for(database) as runtime:
        await register(runtime, fresh_merchant, f"http://localhost:{receiver.port}{receiver.path}")
        await pay(runtime, fresh_merchant, "k")
        names = Names(["93.184.216.34"], ["127.0.0.1"])
        policy = LenientAboutLooks(lookup=names)
        assert await policy.addresses("localhost", receiver.port)
        async with worker(runtime, policy=policy) as delivery:
            await drain(delivery)
        tried = await tries(runtime, fresh_merchant)  # a slow machine makes a second one
        assert tried and names.asked == 1 + len(tried)
        assert receiver.got == []
        assert {(one["result"], one["status"]) for one in tried} == {("address_refused", None)}
        assert [one["state"] for one in await deliveries(runtime, fresh_merchant)] == ["open"]


async def test_the_peer_of_a_connection_is_looked_at_before_the_first_byte(
    database: Database, fresh_merchant: str
) -> None:
    """A literal needs no lookup; here even the look at the URL is left out."""
    async with receiving() as receiver, runtime_for(database) as runtime:
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        async with worker(runtime, policy=LenientAboutLooks()) as delivery:
            await drain(delivery)
        assert receiver.got == []
        assert [one["result"] for one in await tries(runtime, fresh_merchant)] == ["address_refused"]


async def test_an_endpoint_registered_for_development_is_refused_in_earnest(
    database: Database, fresh_merchant: str
) -> None:
    async with receiving() as receiver, runtime_for(database) as runtime:
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        earnest = replace(
            runtime, settings=dataclasses.replace(runtime.settings, webhook_allow_private_addresses=False)
        )
        async with worker(earnest) as delivery:
            await drain(delivery)
        assert receiver.got == []
        assert [one["result"] for one in await tries(runtime, fresh_merchant)] == ["address_refused"]
        with pytest.raises(UrlRefused):
            await register(earnest, fresh_merchant, receiver)


async def test_a_redirect_leads_nowhere(database: Database, fresh_merchant: str) -> None:
    async with (
        receiving() as inner,
        receiving() as outer,
        runtime_for(database) as runtime,
        worker(runtime) as delivery,
    ):
        outer.script = status(307, Location=inner.url)
        await register(runtime, fresh_merchant, outer)
        await pay(runtime, fresh_merchant, "k")
        await drain(delivery)
        assert (len(outer.got), len(inner.got)) == (1, 0)


async def test_no_proxy_of_the_environment_is_used(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would look names up by itself, out of the policy's sight."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with receiving() as receiver, runtime_for(database) as runtime, worker(runtime) as delivery:
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        await drain(delivery)
        assert len(receiver.got) == 1


async def test_every_address_of_a_name_must_be_public() -> None:
    policy = AddressPolicy(allow_private=False, lookup=Names(["93.184.216.34", "192.168.1.1"]))
    with pytest.raises(AddressRefused):
        await policy.addresses("merchant.example", 443)
