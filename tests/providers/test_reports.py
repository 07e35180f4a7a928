"""Where reports are downloaded, and what is refused: another host or name, a redirect, a report without an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web
from yarl import URL

from tallystick.providers.adyen.reports import AdyenReports
from tallystick.providers.reports import Link, ReportNotThere, ReportRefused, download
from tests.support.card_bank import serving

NAME: Final = "settlement_detail_report_batch_7.csv"
AT: Final = "https://ca-test.adyen.com/reports/download/MerchantAccount/Shop/"

ADYEN: Final = AdyenReports(
    api_key="AQE", reports_url="https://ca-test.adyen.com", merchant_account="Shop", account="main"
)


async def test_an_address_at_the_provider_is_used() -> None:
    assert (await ADYEN.link(NAME, AT + NAME)).url == URL(AT + NAME)
    assert (await ADYEN.link(NAME, None)).url == URL(AT + NAME)
    assert (await ADYEN.link(NAME, AT.replace("MerchantAccount", "Company") + NAME)).headers == {"x-api-key": "AQE"}


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/" + NAME,
        "https://ca-test.adyen.com.example.com/reports/download/MerchantAccount/Shop/" + NAME,
        "https://example.com/reports/download/MerchantAccount/Shop/" + NAME,
        "https://ca-live.adyen.com/reports/download/MerchantAccount/Shop/" + NAME,
        "http://ca-test.adyen.com/reports/download/MerchantAccount/Shop/" + NAME,
        "https://ca-test.adyen.com:8443/reports/download/MerchantAccount/Shop/" + NAME,
        "https://ca-test.adyen.com@example.com/reports/download/MerchantAccount/Shop/" + NAME,
        "https://user:secret@ca-test.adyen.com/reports/download/MerchantAccount/Shop/" + NAME,
        "https://example.com\\@ca-test.adyen.com/reports/download/MerchantAccount/Shop/" + NAME,
        "//example.com/reports/download/MerchantAccount/Shop/" + NAME,
        "file:///etc/passwd",
        AT + "another.csv",
        AT + "../" + NAME,
        AT + "%2e%2e/x/" + NAME,
        AT + NAME + "?next=https://example.com",
        AT + NAME + "#x",
        "https://ca-test.adyen.com/" + NAME,
        "https://ca-test.adyen.com/elsewhere/MerchantAccount/Shop/" + NAME,
        "https://ca-test.adyen.com/reports/download/MerchantAccount/Shop/x/" + NAME,
        "https://[",
        "not an address",
    ],
)
async def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(ReportRefused) as refused:
        await ADYEN.link(NAME, url)
    assert "example" not in str(refused.value) and "AQE" not in str(refused.value)


@pytest.mark.parametrize("name", ["../x.csv", "a/b.csv", "a b.csv", "", "x" * 300])
async def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ReportRefused):
        await ADYEN.link(name, None)


@asynccontextmanager
async def at(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[Link]:
    async with serving(answer) as url:  # type: ignore[arg-type]  # of a narrower answer
        yield Link(url=URL(f"{url}/report"), headers={"Authorization": "Bearer sk_report"})


async def test_a_report_comes_whole(tmp_path: Path) -> None:
    asked = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers["Authorization"])
        return web.Response(body=b"x" * 100_000)

    async with at(answer) as link:
        assert await download(link, tmp_path / "r", 100_000, connect_timeout_ms=60_000) == 100_000
    assert (tmp_path / "r").read_bytes() == b"x" * 100_000 and asked == ["Bearer sk_report"]


async def test_a_redirect_is_not_followed(tmp_path: Path) -> None:
    asked = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with at(answer) as link:
        with pytest.raises(ReportRefused, match="elsewhere"):
            await download(link, tmp_path / "r", 1_000, connect_timeout_ms=60_000)
    assert asked == ["/report"]


@pytest.mark.parametrize(
    ("status", "error"), [(404, ReportRefused), (410, ReportRefused), (401, ReportNotThere), (503, ReportNotThere)]
)
async def test_an_answer_without_a_report(tmp_path: Path, status: int, error: type[Exception]) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    async with at(answer) as link:
        with pytest.raises(error, match=str(status)):
            await download(link, tmp_path / "r", 1_000, connect_timeout_ms=60_000)


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_report_has_a_bound(tmp_path: Path, is_chunked: bool) -> None:
    """Whether or not it says beforehand how long it is."""

    async def answer(request: web.Request) -> web.StreamResponse:
        said = web.StreamResponse()
        if is_chunked:
            said.enable_chunked_encoding()
        else:
            said.content_length = 4_000
        await said.prepare(request)
        await said.write(b"x" * 4_000)
        return said

    async with at(answer) as link:
        with pytest.raises(ReportRefused, match="more than 1000 bytes"):
            await download(link, tmp_path / "r", 1_000, connect_timeout_ms=60_000)


@pytest.mark.parametrize(
    ("head", "error"),
    [
        (b"Content-Length: 1000", ReportNotThere),
        (b"Transfer-Encoding: chunked", ReportNotThere),
        (b"X-Nothing: 1", ReportRefused),
    ],
    ids=["length", "chunked", "neither"],
)
async def test_a_report_that_is_cut_off_is_none(tmp_path: Path, head: bytes, error: type[Exception]) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\nConnection: close\r\n\r\n")
        writer.write(b"3\r\nabc\r\n" if b"chunked" in head else b"abc")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/report")
        with pytest.raises(error):
            await download(Link(url=url, headers={}), tmp_path / "r", 9_000, connect_timeout_ms=60_000)


async def test_a_report_of_another_length_than_was_said_is_none(tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"abc")

    async with serving(answer) as url:  # type: ignore[arg-type]  # of a narrower answer
        link = Link(url=URL(f"{url}/report"), headers={}, size_bytes=4)
        with pytest.raises(ReportNotThere, match="3 bytes came of 4"):
            await download(link, tmp_path / "r", 1_000, connect_timeout_ms=60_000)
