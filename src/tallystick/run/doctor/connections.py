"""How many connections the processes of this machine open, beside how many the database lets in. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tallystick.flows.webhooks.inbound.intake import CONNECTIONS as INTAKE_CONNECTIONS
from tallystick.record.postgres.server_facts import ServerFacts
from tallystick.settings.load import Settings

#: Readiness asks on a connection of its own, so that no work stands before the question.
READINESS_CONNECTIONS: Final = 1


def server_connections(facts: ServerFacts, settings: Settings) -> Iterator[str]:
    """Fewer than the API processes and one worker open at their limits."""
    needed = connections_needed(settings)
    limits = {
        "the server": facts.server_connections,
        f"the database {facts.name}": facts.database_limit,
        f"the role {facts.login}": facts.login_limit,
    }
    for who, limit in limits.items():
        if limit is not None and limit < needed:
            carried = max(0, limit - _of_worker(settings)) // _of_api_process(settings)
            yield (
                f"{who} lets {limit} connections in; {settings.api_processes} API processes and a worker open {needed}"
                f" at their limits, and {carried} API processes would fit"
            )


def connections_needed(settings: Settings) -> int:
    """By ``serve`` and ``work`` on one machine."""
    return settings.api_processes * _of_api_process(settings) + _of_worker(settings)


def _of_api_process(settings: Settings) -> int:
    return INTAKE_CONNECTIONS + _of_worker(settings)


def _of_worker(settings: Settings) -> int:
    return settings.journal_connections + settings.database_connections + READINESS_CONNECTIONS
