"""A PostgreSQL cluster with the schema, made once a run by whoever needs it first, and copied by all others: initdb and
the migrations take some seconds of CPU each time."""

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path
from typing import Final

from tallystick.record.postgres.embedded.server import EmbeddedPostgres
from tallystick.record.postgres.migrate import migrate

#: A data directory's cluster.
_CLUSTER: Final = "postgres"


class Clusters:
    """``shared``: a directory with a short path that all workers of the run have."""

    def __init__(self, shared: Path) -> None:
        self._shared = shared

    def put_into(self, data_dir: Path) -> None:
        """The cluster of a data directory that has none, as the first start of this release leaves it. Nothing else is
        put there: no keys."""
        data_dir.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", str(self._made()), str(data_dir / _CLUSTER)], check=True)

    def _made(self) -> Path:
        cluster, is_made = self._shared / _CLUSTER, self._shared / "made"
        with (self._shared / "making").open("wb") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            if not is_made.exists():
                with EmbeddedPostgres(self._shared) as postgres:
                    migrate(postgres.urls().owner_url)
                (cluster / "server.log").unlink()  # of this server alone
                is_made.touch()
        return cluster
