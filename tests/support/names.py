"""A resolver whose answers a test chooses, and a policy that asks it."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from tallystick.flows.webhooks.outbound.address_policy import AddressPolicy


class Names:
    """A resolver whose answers are scripted: the last one stays."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self._answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: int) -> Sequence[tuple[Any, ...]]:
        self.asked += 1
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, OSError):
            raise answer
        return [address_info(address, port) for address in answer]


def address_info(address: str, port: int) -> tuple[Any, ...]:
    """As ``getaddrinfo`` writes one."""
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))


class LenientAboutLooks(AddressPolicy):
    """Lets URLs look as they must in tests (http, loopback ports); addresses are guarded as in earnest."""

    def __init__(self, lookup: Any = None) -> None:
        super().__init__(allow_private=False, lookup=lookup)
        self._looks = AddressPolicy(allow_private=True)

    def url(self, text: str) -> Any:
        """As for development."""
        return self._looks.url(text)
