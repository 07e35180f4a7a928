"""When an account of a provider takes no calls: the provider asked to wait, or an operator paused it."""

from __future__ import annotations

from typing import Final

from tallystick.kit.clock import monotonic_ms

#: However long a provider asks for, it is asked again after this: limits of a rate count by the second or the minute.
LONGEST_MS: Final = 60_000

#: Why nothing was sent.
ASKED_TO_WAIT: Final = "the provider asked to wait"
PAUSED: Final = "an operator paused the provider"


class Pause:
    """One account's, as this process knows it. ``limit_ms``: the longest wait that is heeded."""

    def __init__(self, limit_ms: int = LONGEST_MS) -> None:
        self.limit_ms = limit_ms
        self.is_shared = True  # whether other processes have been told
        self.is_tested = True  # whether a call since then ended without another such answer
        self._until_ms = 0  # on the monotonic clock
        self._held_until_ms = 0  # by an operator

    @property
    def left_ms(self) -> int:
        """How long the account takes no calls yet; 0 where it takes them."""
        return max(0, self._until_ms - monotonic_ms(), self._held_until_ms - monotonic_ms())

    @property
    def why(self) -> str:
        """Why it takes none, while it does."""
        return PAUSED if self._held_until_ms > monotonic_ms() else ASKED_TO_WAIT

    def hold(self, left_ms: int) -> None:
        """An operator paused the account for so long, or for longer; 0: nobody did, or it was resumed."""
        self._held_until_ms = monotonic_ms() + min(left_ms, self.limit_ms) if left_ms else 0

    def ask(self, wait_ms: int) -> None:
        """The provider asked for a wait, which may be 0. One that ends sooner than a known one changes nothing."""
        if self._lengthen(min(wait_ms, self.limit_ms)):
            self.is_shared = False

    def learn(self, left_ms: int) -> None:
        """Another process was asked for a wait, of which so much is left."""
        self._lengthen(min(left_ms, self.limit_ms))

    def passed(self) -> None:
        """A call ended without such an answer. Those that began before the wait say nothing about its end."""
        if not self.left_ms:
            self.is_tested = True

    def _lengthen(self, wait_ms: int) -> bool:
        until_ms = monotonic_ms() + wait_ms
        if wait_ms <= 0 or until_ms <= self._until_ms:
            return False
        self._until_ms, self.is_tested = until_ms, False
        return True
