"""How pytest-xdist spreads tests over its workers."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

from tests.support.needs import group_of


class Groups(LoadScopeScheduling):  # type: ignore[misc]  # it ships no types
    """A group stays on one worker, as a file does with ``loadfile``; ``loadgroup`` has no effect with pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)
