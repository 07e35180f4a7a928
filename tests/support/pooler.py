"""What stands between a client and PostgreSQL, and gives its own number of the session, as poolers do."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

#: The message in which the server names the session: K, its length, the process, the secret.
_KEY_DATA = b"K\x00\x00\x00\x0c"


class Pooler:
    """One server connection for each client's; what passes is unchanged, but for the number of the session."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        self._socket = f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = f"postgresql://{parts.username}@127.0.0.1:{port}{parts.path}?sslmode=disable&gssencmode=disable"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Close everything."""
        for each in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._socket)
                self._open += [client, server]
                threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    @staticmethod
    def _pass(source: socket.socket, target: socket.socket, of_server: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                place = data.find(_KEY_DATA) if of_server else -1
                if place >= 0:
                    start = place + len(_KEY_DATA)
                    data = data[:start] + (1).to_bytes(4, "big") + data[start + 4 :]
                    of_server = False
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def pooler(url: str) -> Iterator[str]:
    """The URL of a pooler before the database of ``url``, which has a Unix socket."""
    standing = Pooler(url)
    try:
        yield standing.url
    finally:
        standing.close()
