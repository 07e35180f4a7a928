"""``python -m tallystick.lab.acquirer``: the acquirer by itself."""

from __future__ import annotations

import argparse
from pathlib import Path

from tallystick.lab.acquirer.options import Options, webhooks
from tallystick.lab.acquirer.scripts import HOLD_MS, LATE_MS, PENDING_MS, SLOW_MS
from tallystick.lab.acquirer.server import run


def main() -> None:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(prog="tallystick.lab.acquirer", description="The test acquirer.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8401)
    parser.add_argument("--books", type=Path, required=True, help="the SQLite file of its books")
    parser.add_argument("--forgetful", action="store_true", help="ignore idempotency keys")
    parser.add_argument("--slow-ms", type=int, default=SLOW_MS)
    parser.add_argument("--pending-ms", type=int, default=PENDING_MS)
    parser.add_argument(
        "--hold-ms", type=int, default=HOLD_MS, help="how long sim_timeout_* keep the connection open, in ms"
    )
    parser.add_argument(
        "--late-ms", type=int, default=LATE_MS, help="wait before scripted steps and delayed events, in ms"
    )
    parser.add_argument("--webhook-url", help="URL that events are sent to; default: none are sent")
    parser.add_argument("--webhook-secret", default="", help="secret that events are signed with")
    parser.add_argument("--webhook-time-scale", type=float, default=1.0, help="factor on the waits between tries")
    parser.add_argument("--webhook-retry-ms", help="waits between tries in ms, as in 100,200,400")
    parser.add_argument("--settlements", type=Path, help="directory for settlement files; default: none")
    options = parser.parse_args()
    try:
        events = webhooks(
            options.webhook_url, options.webhook_secret, options.webhook_retry_ms, options.webhook_time_scale
        )
    except ValueError as error:
        parser.error(str(error))
    run(
        options.host,
        options.port,
        options.books,
        Options(
            forgetful=options.forgetful,
            slow_ms=options.slow_ms,
            pending_ms=options.pending_ms,
            hold_ms=options.hold_ms,
            late_ms=options.late_ms,
            webhooks=events,
            settlements=options.settlements,
        ),
    )


if __name__ == "__main__":
    main()
