"""Ports for servers that tests start."""

from __future__ import annotations

import random
import socket
from typing import Final

#: Below the ports that systems hand out on their own (from 32768 on Linux, 49152 elsewhere): between the choice of a
#: port and its server's start no connection of another test can have taken it.
_CHOICES: Final = range(15_000, 32_000)


def free_port() -> int:
    """A port that nobody listens on just now."""
    chance = random.SystemRandom()  # tests in other processes choose from other seeds
    while True:
        with socket.socket() as probe:
            port = chance.choice(_CHOICES)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
