"""Another signing key takes the place of the one that signs: both say so, and the new one signs the next checkpoint.

That checkpoint has the number that a sealer with the old key would take next. One of the two gets it: either the old
key signs once more and this is tried again, or the old key's sealer finds a checkpoint that it does not know how to
follow, and adds nothing.
"""

from __future__ import annotations

from typing import Final

import asyncpg

from tallystick.domain.errors import TallystickError
from tallystick.kit.clock import Clock
from tallystick.oversight.audit.declarations import RotationText, next_number, restores_of
from tallystick.oversight.audit.heads import SigningKey, moment, public_text
from tallystick.oversight.audit.tree_writer import LostSeal, TreeWriter
from tallystick.record.postgres.audit_declarations import insert_rotation
from tallystick.record.postgres.audit_rows import AuditRows

#: A sealer makes a checkpoint a second at most: who loses to it so often loses to something else.
_TRIES: Final = 5


class NotRotated(TallystickError):
    """The key signs as before; the message says why."""


async def rotate(connection: asyncpg.Connection, old: SigningKey, new: SigningKey, clock: Clock) -> RotationText:
    """Let the new key sign from the next checkpoint on. Raises NotRotated, BrokenHead where the old key is not the one
    that signs, and what the database raises."""
    if old.key_id == new.key_id:
        raise NotRotated("it is the key that signs now")
    for _ in range(_TRIES):
        try:
            async with connection.transaction():
                rows = AuditRows(connection)
                await rows.in_utc()
                return await _rotate(rows, connection, old, new, clock)
        except (LostSeal, asyncpg.UniqueViolationError):
            continue
    raise NotRotated("a worker sealed each time; nothing was changed, try again")


async def _rotate(
    rows: AuditRows, connection: asyncpg.Connection, old: SigningKey, new: SigningKey, clock: Clock
) -> RotationText:
    record, last = await rows.record(), await rows.last_checkpoint()
    if record is None or last is None:
        raise NotRotated("nothing is sealed yet: set the new key in the settings")
    before = TreeWriter(clock, record.merchant_groups, old)
    await before.believe(rows)
    before.require_known(last)
    if new.key_id in before.keys:
        raise NotRotated("it signed before, and has ended")
    restores, _ = restores_of(await rows.restores(), before.keys)
    said = RotationText(
        record=record.record_id,
        begins=next_number(last.number, restores),
        old=public_text(old.public),
        new=public_text(new.public),
        rotated_at=moment(clock.now()),
    )
    text = said.text()
    await insert_rotation(connection, text, old.sign(text), new.sign(text), clock.now())
    after = TreeWriter(clock, record.merchant_groups, new)
    await after.believe(rows)
    await after.add_checkpoint(rows, record, (), clock.now())
    return said
