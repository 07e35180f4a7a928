"""``python -m tallystick.simulator``: the acquirer by itself."""

from __future__ import annotations

import argparse
from pathlib import Path

from tallystick.simulator.server import HOLD_MS, PENDING_MS, SLOW_MS, run


def main() -> None:
    """Parse the options and serve."""
    parser = argparse.ArgumentParser(prog="tallystick.simulator", description="The test acquirer.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8401)
    parser.add_argument("--books", type=Path, required=True, help="the SQLite file of its books")
    parser.add_argument("--forgetful", action="store_true", help="ignore idempotency keys")
    parser.add_argument("--slow-ms", type=int, default=SLOW_MS)
    parser.add_argument("--pending-ms", type=int, default=PENDING_MS)
    parser.add_argument("--hold-ms", type=int, default=HOLD_MS, help="how long sim_timeout_* keep the line open")
    options = parser.parse_args()
    run(
        options.host,
        options.port,
        options.books,
        forgetful=options.forgetful,
        slow_ms=options.slow_ms,
        pending_ms=options.pending_ms,
        hold_ms=options.hold_ms,
    )


if __name__ == "__main__":
    main()
