"""Slow providers: each connector against a stand that answers log-normally, at a given rate, and nothing may be lost to
limits of ours.

For each connector two loads through the API as ``serve`` runs it: a closed loop beside a stand that answers at once,
which shows what this machine carries through the connector, and an open loop beside the slow stand, at the given rate
or at a share of what the machine carries, if that is less. What the client was answered stands beside what the database
holds.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

import asyncpg
import uvloop
from msgspec import Struct

from tallystick.access import key_store
from tallystick.lab.bench.generator import Load, LoadResult
from tallystick.lab.bench.latency import Latency
from tallystick.lab.bench.over_http import Measured, run_load
from tallystick.lab.bench.provider_latency import AT_ONCE, ProviderLatency
from tallystick.lab.bench.provider_stand import HOST as STAND_HOST
from tallystick.lab.bench.stage import HOST, Database, Server, StageFailed, open_server, process_trees
from tallystick.lab.bench.workload import BODY
from tallystick.providers.adyen.setup import AdyenSettings
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.providers.stripe.setup import StripeSettings
from tallystick.settings.load import Settings
from tallystick.settings.sections import ConnectorSettings

Announce = Callable[[str, int, int], None]

#: Clients of the closed loop: as many as keep one process busy while no provider makes them wait.
CARRIED_CONNECTIONS: Final = 128

#: Clients of the open loop: more than are ever under way at a rate that the machine carries.
CONNECTIONS: Final = 4_096

#: Below what the machine carries there is room for the tail.
SHARE: Final = 0.8

#: What a client may be answered: the outcome, or that it is still being carried out.
ANSWERED: Final = frozenset({"201", "202"})


class _Connector(Struct, frozen=True, kw_only=True):
    """``section`` with the settings that make it; ``url``: the one that says where the provider is."""

    section: type[ConnectorSettings]
    own: Mapping[str, str]
    url: str
    payment_method: str

    def connected(self, settings: Settings, url: str) -> Settings:
        """With this connector to a provider at ``url``."""
        return settings.with_connector(self.section, **{**self.own, self.url: url})


CONNECTORS: Final[Mapping[str, _Connector]] = {
    "simulator": _Connector(section=SimulatorSettings, own={}, url="url", payment_method="sim_ok"),
    "stripe": _Connector(
        section=StripeSettings, own={"api_key": "sk_test_stand"}, url="api_url", payment_method="pm_card_visa"
    ),
    "adyen": _Connector(
        section=AdyenSettings,
        own={"api_key": "stand", "merchant_account": "stand"},
        url="api_url",
        payment_method="shopper.STOREDCARD",
    ),
}


class ProvidersPlan(Struct, frozen=True, kw_only=True):
    """Sizes of the loads. ``carried_s``: how long what the machine carries is measured, with ``carried_connections``
    clients of a closed loop; the open loop has ``connections``."""

    providers: list[str]
    rate_per_s: float
    duration_s: float
    carried_s: float
    warm_up_s: float
    stand: ProviderLatency
    carried_connections: int = CARRIED_CONNECTIONS
    connections: int = CONNECTIONS


class ConnectorFigures(Struct, frozen=True, kw_only=True):
    """One connector. ``carried_per_s``: beside the stand that answers at once. ``answers`` to the client by status, and
    ``unanswered``; ``attempts`` in the database by state; ``not_sent`` by reason, from the history."""

    provider: str
    carried_per_s: float
    rate_per_s: float
    latency: Latency
    answers: dict[str, int]
    attempts: dict[str, int]
    not_sent: dict[str, int]
    cpu_s: dict[str, float]

    def lost(self) -> int:
        """Payments that limits of ours kept from the provider, or from their answer."""
        return sum(self.not_sent.values()) + sum(n for kind, n in self.answers.items() if kind not in ANSWERED)


class ProvidersFigures(Struct, frozen=True, kw_only=True):
    """The figures of ``bench providers``."""

    plan: ProvidersPlan
    api_processes: int
    connections: int
    connectors: list[ConnectorFigures]

    def failed(self) -> int:
        """Of all connectors."""
        return sum(each.lost() for each in self.connectors)


def measure_providers(
    settings: Settings, database: Database, logs: Path, plan: ProvidersPlan, announce: Announce
) -> ProvidersFigures:
    """One connector after another. Raises StageFailed."""
    return ProvidersFigures(
        plan=plan,
        api_processes=settings.api_processes,
        connections=settings.provider_connections,
        connectors=[_connector(settings, database, logs, plan, name, announce) for name in plan.providers],
    )


def _connector(
    settings: Settings, database: Database, logs: Path, plan: ProvidersPlan, name: str, announce: Announce
) -> ConnectorFigures:
    run = token_hex(3)  # a merchant of its own: its rows are those of this run

    def load(what: str, stand: ProviderLatency, **given: Any) -> Measured:
        merchant = f"bench-{name}-{what}-{run}"
        with _stand(stand) as port, _server(settings, database, logs / f"{merchant}.log", name, port) as server:
            load = Load(
                host=HOST,
                port=server.port,
                api_key=uvloop.run(key_store.create_key(database.app_url, merchant)),
                body=BODY | {"payment_method": CONNECTORS[name].payment_method},
                **given,
            )
            return _with_progress(
                load, process_trees(server, database), lambda done, total: announce(f"{name}, {what}", done, total)
            )

    carried = load(
        "prompt", AT_ONCE, connections=plan.carried_connections, warm_up_s=plan.warm_up_s, duration_s=plan.carried_s
    ).result
    rate = min(plan.rate_per_s, SHARE * _approved(carried) / plan.carried_s)
    # Without a warm-up: connections that are not open yet are among what a surge meets.
    slow = load(
        "slow", plan.stand, connections=plan.connections, warm_up_s=0, duration_s=plan.duration_s, rate_per_s=rate
    )
    attempts, not_sent = uvloop.run(_rows(database.app_url, f"bench-{name}-slow-{run}"))
    return ConnectorFigures(
        provider=name,
        carried_per_s=round(_approved(carried) / plan.carried_s, 1),
        rate_per_s=round(rate, 1),
        latency=slow.result.latency,
        answers=_answers(slow.result),
        attempts=attempts,
        not_sent=not_sent,
        cpu_s=slow.cpu_s,
    )


def _approved(result: LoadResult) -> int:
    return _answers(result).get("201", 0)


def _answers(result: LoadResult) -> dict[str, int]:
    """By kind: 201, and what the generator counts apart."""
    others = {kind: n for kind, n in result.failures.items() if n}
    of_status = sum(n for kind, n in others.items() if kind.isdigit())
    return {"201": result.answered - of_status} | others


def _with_progress(load: Load, roots: dict[str, int], announce: Callable[[int, int], None]) -> Measured:
    """Run the load, and say each second how far it is."""
    total, second = round(load.warm_up_s + load.duration_s), 0
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run_load, load, roots)
        announce(0, total)
        while not wait([running], timeout=1).done:
            second += 1
            announce(min(second, total), total)
        return running.result()


@contextmanager
def _server(settings: Settings, database: Database, log: Path, name: str, stand_port: int) -> Iterator[Server]:
    settings = CONNECTORS[name].connected(settings, f"http://{STAND_HOST}:{stand_port}")
    with open_server("connectors", settings, database, log, default_provider=name) as server:
        yield server


@contextmanager
def _stand(latency: ProviderLatency) -> Iterator[int]:
    """The port of a stand in a process of its own. Raises StageFailed."""
    command = [sys.executable, "-m", "tallystick.lab.bench.provider_stand", latency.text()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline().split()
            if len(said) != 2:
                raise StageFailed("the provider's stand did not start")
            yield int(said[1])
        finally:
            process.kill()


async def _rows(database_url: str, merchant_id: str) -> tuple[dict[str, int], dict[str, int]]:
    """Attempts by state, and why submissions were not sent."""
    connection = await asyncpg.connect(database_url)
    try:
        states = await connection.fetch(
            "SELECT state, count(*) FROM attempt WHERE merchant_id = $1 GROUP BY state", merchant_id
        )
        reasons = await connection.fetch(
            "SELECT coalesce(evidence->'verdict'->>'reason', 'unknown'), count(*) FROM transition"
            " WHERE merchant_id = $1 AND to_state = 'not_sent' GROUP BY 1",
            merchant_id,
        )
    finally:
        await connection.close()
    return {row[0]: int(row[1]) for row in states}, {row[0]: int(row[1]) for row in reasons}
