"""A database with the schema of an older release."""

from __future__ import annotations

from importlib import resources
from typing import Final

from yoyo import get_backend, read_migrations

#: Where the migrations are.
MIGRATIONS: Final = ("tallystick.record.postgres", "migrations")


def revisions() -> list[str]:
    """The names of all revisions, the oldest first."""
    files = resources.files(MIGRATIONS[0]).joinpath(MIGRATIONS[1]).iterdir()
    return sorted(file.name.removesuffix(".sql") for file in files if file.name.endswith(".sql"))


def migrate_to(owner_url: str, newest: str) -> None:
    """As ``migrate`` did when there were no revisions after ``newest``: a name of one, or its number."""
    with resources.as_file(resources.files(MIGRATIONS[0]).joinpath(MIGRATIONS[1])) as path:
        known = read_migrations(str(path)).filter(lambda revision: revision.id[: len(newest)] <= newest)
        backend = get_backend("postgresql+psycopg" + owner_url[owner_url.index(":") :])
        try:
            with backend.lock():
                backend.apply_migrations(backend.to_apply(known))
        finally:
            backend.connection.close()
