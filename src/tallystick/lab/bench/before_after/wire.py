"""PostgreSQL's wire, counted: a socket in between that hands everything on and counts what passes.

A driver may send several statements before it waits, so statements and round trips are counted apart, and both on the
wire: no driver's name for a call is trusted.
"""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import parse_qs, quote, urlsplit

from msgspec import Struct

#: Messages of a client that run a statement: Execute of the extended protocol, Query of the simple one.
STATEMENT_MESSAGES: Final = frozenset(b"EQ")

_PIECE_BYTES: Final = 65_536

#: A message's type, and the four bytes of its length.
_HEAD_BYTES: Final = 5


class WireCounts(Struct, frozen=True, kw_only=True):
    """What has passed so far."""

    statements: int
    round_trips: int


class CountedWire:
    """A Unix socket before the server of ``url``; ``url`` of it leads through. Use as a context manager."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        name = f".s.PGSQL.{query['port']}"
        self._server = Path(query["host"]) / name
        self._folder = tempfile.TemporaryDirectory(prefix="tsw-")
        path = Path(self._folder.name) / name
        self.url = url.replace(f"host={quote(query['host'], safe='/')}", f"host={path.parent}")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._statements = 0
        self._round_trips = 0
        self._connections: list[_Connection] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def counts(self) -> WireCounts:
        """What has passed so far, of all connections."""
        return WireCounts(statements=self._statements, round_trips=self._round_trips)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        for connection in self._connections:
            connection.close()
        self._folder.cleanup()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server))
            self._connections.append(_Connection(self, client, server))

    def count(self, statements: int, *, round_trip: bool) -> None:
        """Add what a client has sent: by one thread a connection, and benchmarks have one connection."""
        self._statements += statements
        self._round_trips += round_trip


class _Connection:
    def __init__(self, wire: CountedWire, client: socket.socket, server: socket.socket) -> None:
        self._wire = wire
        self._client = client
        self._server = server
        self._server_spoke = True
        self._unread = b""
        self._started = False
        self._threads = [
            threading.Thread(target=direction, daemon=True) for direction in (self._to_server, self._to_client)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Both ends, whatever is still on its way."""
        for end in (self._client, self._server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._client.close()
        self._server.close()

    def _to_server(self) -> None:
        with contextlib.suppress(OSError):
            while piece := self._client.recv(_PIECE_BYTES):
                # A long message is several pieces, and the server may answer those before it meanwhile.
                waited = self._server_spoke and not self._unread
                self._wire.count(self._statements_in(piece), round_trip=waited)
                self._server_spoke = False
                self._server.sendall(piece)
            self._server.shutdown(socket.SHUT_WR)

    def _to_client(self) -> None:
        with contextlib.suppress(OSError):
            while piece := self._server.recv(_PIECE_BYTES):
                self._server_spoke = True  # before the client can have read it, and so before its next request
                self._client.sendall(piece)
            self._client.shutdown(socket.SHUT_WR)

    def _statements_in(self, piece: bytes) -> int:
        """Statements among the messages that this piece completes. The first message alone has no type."""
        data = self._unread + piece
        at = statements = 0
        if not self._started:
            if len(data) < _HEAD_BYTES:
                self._unread = data
                return 0
            at = int.from_bytes(data[:4], "big")
            self._started = True
        while len(data) - at >= _HEAD_BYTES:
            end = at + 1 + int.from_bytes(data[at + 1 : at + _HEAD_BYTES], "big")
            if end > len(data):
                break
            statements += data[at] in STATEMENT_MESSAGES
            at = end
        self._unread = data[at:]
        return statements
