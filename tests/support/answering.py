"""A server on loopback that answers every request with what a test gives it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

#: A status, a body (JSON, or bytes as they are), and headers as they are written.
Reply = tuple[int, Any] | tuple[int, Any, str]


class Answers:
    """Answers whatever comes with what it was given, the last one for ever."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests: list[tuple[str, dict[str, str], str]] = []
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
        self.requests.append((first, headers, body))
        status, said, *extra = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        text = said if isinstance(said, bytes) else json.dumps(said).encode()
        more = "".join(f"{line}\r\n" for line in extra)
        writer.write(f"HTTP/1.1 {status} X\r\n{more}Content-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode())
        writer.write(text)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def answering(*replies: Reply) -> AsyncIterator[Answers]:
    """Such a server, with its URL and the requests that came."""
    served = Answers(*replies)
    server = await asyncio.start_server(served.answer, "127.0.0.1", 0)
    served.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield served
