"""Ports for servers that tests start."""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import Iterator
from typing import Final

#: Below the ports that systems hand out on their own (from 32768 on Linux, 49152 elsewhere): between the choice of a
#: port and its server's start no connection of another test can have taken it.
_CHOICES: Final = range(15_000, 32_000)

#: Workers of a run choose from ports of their own. There are fewer of them.
_WORKERS: Final = 8


def _choices() -> Iterator[int]:
    """The ports of this worker in a random order, each one once before any comes again: a port that was given is not
    bound yet. The order differs between runs beside each other."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = list(_CHOICES[number % _WORKERS :: _WORKERS])
    random.SystemRandom().shuffle(own)
    return itertools.cycle(own)


_PORTS: Final = _choices()


def free_port() -> int:
    """A port that nobody listens on just now, and that no other caller in this run was given lately."""
    for port in _PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("the ports have no end")
