"""The product's SQL, all of it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tallystick.record.postgres import sql
from tallystick.record.postgres.orphans import orphans_statement
from tallystick.record.postgres.subject_rows import subject_writes

#: File and name -> the statement.
STATEMENTS: Final = {
    f"{file.name} {name}": statement
    for file in sorted(Path(sql.__file__).parent.glob("*.sql"))
    for name, statement in sql.load(file.name).items()
} | {
    "orphans.py orphans_statement": orphans_statement(),
    **{f"subject_rows.py {write.name}": write.statement for write in subject_writes()},
}
