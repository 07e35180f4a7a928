"""The declaration that the record was restored: from which checkpoint it goes on, and which ones outside it gave up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tallystick.domain.errors import TallystickError
from tallystick.oversight.audit.anchors import Anchor
from tallystick.oversight.audit.declarations import RestoreText
from tallystick.oversight.audit.heads import SigningKey, digest, moment
from tallystick.record.postgres.audit_rows import AuditRows


class NotRestored(TallystickError):
    """There is nothing to declare; the message says why."""


async def restore_to_declare(
    rows: AuditRows, anchors: Sequence[Anchor], restored_from: int, act_id: str, key: SigningKey, at: datetime
) -> RestoreText:
    """What is to be signed. ``restored_from``: the newest checkpoint outside that the record has. Raises NotRestored
    and what the database raises."""
    record = await rows.record()
    by_number = {anchor.checkpoint.number: anchor for anchor in anchors}
    kept = by_number.get(restored_from)
    if record is None or kept is None:
        raise NotRestored(f"there is no file of the checkpoint {restored_from} outside")
    here = {each.number: digest(each.document) async for each in rows.checkpoints()}
    if here.get(restored_from) != digest(kept.document):
        raise NotRestored(f"the record has not the checkpoint {restored_from} that is outside: name an earlier one")
    last = anchors[-1]
    newer = [each for each in anchors if here.get(each.checkpoint.number) == digest(each.document)]
    if newer[-1].checkpoint.number > restored_from:
        raise NotRestored(f"the record also has the checkpoint {newer[-1].checkpoint.number}: name that one")
    if last is kept:
        raise NotRestored("the record has all checkpoints that are outside: nothing was lost")
    return RestoreText(
        record=record.record_id,
        restored_from=restored_from,
        kept=digest(kept.document),
        last=last.checkpoint.number,
        lost=digest(last.document),
        act=act_id,
        declared_at=moment(at),
        key=key.key_id,
    )
