"""What a person says of rows of settlement files, and of entries of bank statements."""

from __future__ import annotations

from typing import Any

from tallystick.domain.operator_act import OperatorAct
from tallystick.flows.operations.acts import once
from tallystick.flows.reconciliation.by_hand import resolve, target_of
from tallystick.flows.runtime import Runtime
from tests.support.acts import asked


async def done(runtime: Runtime, file_id: str, position: int, key: str | None = None, **said: Any) -> OperatorAct:
    """A row is matched by hand where a subject is said, and written off where none is; once for a key."""
    act = "settlement_row.match" if "subject" in said else "settlement_row.write_off"
    wanted = asked(act, target_of(file_id, position), key, **said)  # type: ignore[arg-type]  # one of the two
    return (await once(runtime.stores.acts, wanted, lambda: resolve(runtime, wanted)))[0]
