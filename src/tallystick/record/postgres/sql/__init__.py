"""SQL in named blocks: ``-- name: one line on what it is for``, then the statement.

All statements live in .sql files beside this module. They run on PostgreSQL 15 to 18, and Citus accepts each of them; a
lint in the tests holds the rules. There are no row locks, advisory locks, LISTEN/NOTIFY, triggers or
sequences.
"""

from __future__ import annotations

import re
from importlib import resources

_BLOCK = re.compile(r"^-- (\w+): .*$", re.MULTILINE)


def load(file_name: str) -> dict[str, str]:
    """The statements of one .sql file by name.

    Raises ValueError when a name occurs twice.
    """
    text = resources.files(__package__).joinpath(file_name).read_text(encoding="utf-8")
    pieces = _BLOCK.split(text)[1:]
    names, bodies = pieces[0::2], pieces[1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"a statement is named twice in {file_name}")
    return {name: body.strip().rstrip(";") for name, body in zip(names, bodies, strict=True)}
