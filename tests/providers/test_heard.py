"""What is heard of an answer: the last one, as it came, however the exchange ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from tallystick.domain.provider_answer import READ_BYTES, WINDOW_BYTES
from tallystick.providers.heard import about_others_too, heard_answers, hearing
from tallystick.providers.http import NothingSent, ProviderHttp, SentUnanswered
from tests.support.ports import free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[ProviderHttp]:
    """A server that gives one answer a connection, and then hangs up."""
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(left.pop(0))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield (http := _http(server.sockets[0].getsockname()[1]))
        await http.close()


def _http(port: int) -> ProviderHttp:
    url = f"http://127.0.0.1:{port}"
    return ProviderHttp(url, request_timeout_ms=20_000, connect_timeout_ms=20_000, connections=1)


async def test_a_whole_answer_with_the_headers_that_are_kept() -> None:
    head = b"HTTP/1.1 402 No\r\nRequest-Id: req_1\r\nSet-Cookie: a=quokka\r\nX-Trace: b\r\nContent-Length: 4\r\n\r\n"
    async with answering(head + b"nope") as http:
        with heard_answers() as heard:
            answer = await http.get("/")
        assert (answer.status, answer.body) == (402, b"nope")
    kept = heard.answer("lookup")
    assert kept is not None
    assert (kept.asked, kept.status, kept.body, kept.size_bytes, kept.ended) == ("lookup", 402, b"nope", 4, True)
    assert kept.headers == {"request-id": "req_1"}


async def test_one_that_breaks_off_is_heard_so_far() -> None:
    async with answering(b"HTTP/1.1 502 Bad\r\nContent-Length: 500\r\n\r\n<html>") as http:
        with heard_answers() as heard, pytest.raises(SentUnanswered):
            await http.get("/")
    kept = heard.answer("call")
    assert kept is not None and (kept.status, kept.body, kept.ended) == (502, b"<html>", False)


@pytest.mark.parametrize(("size", "held"), [(READ_BYTES, READ_BYTES), (READ_BYTES + 1, WINDOW_BYTES)])
async def test_of_a_long_one_the_beginning_is_held(size: int, held: int) -> None:
    head = f"HTTP/1.1 500 No\r\nContent-Length: {size}\r\n\r\n".encode()
    async with answering(head + b"x" * size) as http:
        with heard_answers() as heard:
            await http.get("/")
    kept = heard.answer("call")
    assert kept is not None and (kept.size_bytes, len(kept.body)) == (size, held)


async def test_of_several_requests_the_last_counts() -> None:
    """Also where it had no answer: that of an earlier one would explain something else."""
    first, second = (f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode() for status in (500, 404))
    async with answering(first, second, b"") as http:
        with heard_answers() as heard:
            for status in (500, 404):
                await http.get("/")
                kept = heard.answer("call")
                assert kept is not None and kept.status == status
            with pytest.raises(SentUnanswered):
                await http.get("/")
    assert heard.answer("call") is None


async def test_a_request_that_was_not_sent_has_no_answer() -> None:
    http = _http(free_port())
    with heard_answers() as heard, pytest.raises(NothingSent):
        await http.exchange("GET", URL(f"http://127.0.0.1:{free_port()}/"))
    await http.close()
    assert heard.answer("call") is None


@pytest.mark.parametrize(("status", "kept"), [(200, False), (399, False), (400, True), (503, True)])
async def test_a_list_is_about_others_and_its_error_is_not(status: int, kept: bool) -> None:
    async with answering(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode()) as http:
        with heard_answers() as heard, about_others_too():
            await http.get("/")
    assert (heard.answer("lookup") is not None) == kept


async def test_nobody_has_to_listen() -> None:
    async with answering(OK) as http:
        assert (await http.get("/")).status == 200
    assert hearing().answer("call") is None
