"""Runs the failover by hand, and by Patroni where it can be had."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.failover.nodes import ByHand, Nodes
from tests.failover.patroni import ByPatroni, require_programs
from tests.failover.trial import failover
from tests.support.trials import CannotBeHad, Missing, Trial, exit_code, summary

#: Of a process's log, where a trial failed.
TAIL = 3_000


def _tried(kind: type[ByHand] | type[ByPatroni]) -> Trial:
    with tempfile.TemporaryDirectory(prefix="tally-", ignore_cleanup_errors=True) as path:
        directory = Path(path)
        nodes: Nodes = kind(directory)
        try:
            seen = failover(nodes, directory)
        except Exception as error:  # whatever went wrong, the trial has failed, and says so
            logs = [f"{log.name}: {log.read_text(errors='replace')[-TAIL:]}" for log in directory.glob("*.log")]
            print(f"failover {nodes.name}: FAILED", flush=True)
            return Trial("failover", nodes.name, "\n".join([repr(error), *logs]))
        print(f"failover {nodes.name}: {seen}", flush=True)
        return Trial("failover", nodes.name, None)


def main() -> int:
    """Try both ways. Returns the exit code."""
    trials, missing = [_tried(ByHand)], []
    try:
        require_programs()
        trials.append(_tried(ByPatroni))
    except CannotBeHad as reason:
        missing.append(Missing("failover by Patroni", str(reason)))
    print("\n".join(summary(trials, missing)))
    return exit_code(trials, missing)


if __name__ == "__main__":
    sys.exit(main())
