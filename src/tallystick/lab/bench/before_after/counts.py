"""What a payment costs that can be counted: the same on any machine, up to the chance in its keys."""

from __future__ import annotations

import time
from typing import Any, Final, LiteralString

import psycopg
from msgspec import Struct

from tallystick.lab.bench.before_after.checkouts import ONE_CONNECTION, Checkout, Side
from tallystick.lab.bench.before_after.wire import CountedWire
from tallystick.record.postgres.embedded.cluster import SUPERUSER
from tallystick.record.postgres.migrate import APP_ROLE

#: What a busy API process collects while a batch is on its way.
BATCH_PAYMENTS: Final = 50

#: Statements are prepared by then, and the balances' rows are there.
WARM_UP_PAYMENTS: Final = 200

#: Nothing but the payments writes while it is counted. Without full pages the log has what the payments themselves
#: write: how many pages are logged in full depends on when the last checkpoint was.
QUIET: Final[tuple[LiteralString, ...]] = ("autovacuum = off", "full_page_writes = off", "checkpoint_timeout = '1h'")

POLL_S: Final = 0.05

_ROWS: Final = """
SELECT coalesce(sum(n_tup_ins + n_tup_upd), 0)::bigint, coalesce(sum(n_tup_hot_upd), 0)::bigint FROM pg_stat_user_tables
"""


class PaymentCounts(Struct, frozen=True, kw_only=True):
    """Of one payment, two commits, in batches of so many payments."""

    statements: float
    round_trips: float
    rows: float
    hot_updates: float
    wal_bytes: float
    disk_bytes: float


def count_payments(checkout: Checkout, payments: int, batch: int = BATCH_PAYMENTS) -> PaymentCounts:
    """Make so many payments through the checkout's journal, over one connection, ``batch`` at once, and read the
    server's own counts before and after. Raises SideFailed."""
    with Side(checkout, "database") as database:
        app_url = database.hear()["app_url"]
        superuser_url = app_url.replace(f"//{APP_ROLE}@", f"//{SUPERUSER}@")
        with psycopg.connect(superuser_url, autocommit=True) as server, CountedWire(app_url) as wire:
            for setting in QUIET:
                server.execute(f"ALTER SYSTEM SET {setting}")
            server.execute("SELECT pg_reload_conf()")
            rows, hot = _row(server, _ROWS)
            sizes = (str(WARM_UP_PAYMENTS), str(payments), str(batch))
            with Side(checkout, "commit", wire.url, *sizes, settings=ONE_CONNECTION) as side:
                side.hear()
                server.execute("CHECKPOINT")
                size, log, sent = _disk_bytes(server), _log_bytes(server), wire.counts()
                side.ask()
                now, log_now = wire.counts(), _log_bytes(server)
                size_now = _disk_bytes(server)
                side.end()
            _wait_until_gone(server)  # a connection adds its last rows to the server's counts when it ends
            rows_now, hot_now = _row(server, _ROWS)
            made = WARM_UP_PAYMENTS + payments
            return PaymentCounts(
                statements=(now.statements - sent.statements) / payments,
                round_trips=(now.round_trips - sent.round_trips) / payments,
                rows=(rows_now - rows) / made,
                hot_updates=(hot_now - hot) / made,
                wal_bytes=(log_now - log) / payments,
                disk_bytes=(size_now - size) / payments,
            )


def _log_bytes(server: psycopg.Connection[Any]) -> int:
    return int(_row(server, "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")[0])


def _disk_bytes(server: psycopg.Connection[Any]) -> int:
    server.execute("VACUUM ANALYZE")
    return int(_row(server, "SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables")[0])


def _wait_until_gone(server: psycopg.Connection[Any]) -> None:
    while _row(server, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tallystick'")[0]:
        time.sleep(POLL_S)


def _row(server: psycopg.Connection[Any], query: LiteralString) -> Any:
    row = server.execute(query).fetchone()
    assert row is not None, "each of these answers one row"
    return row
