"""Settlement files that an operator withdraws."""

from __future__ import annotations

from tallystick.domain.operator_act import OperatorAct
from tallystick.flows.operations.acts import once
from tallystick.flows.reconciliation.withdrawing import withdraw
from tallystick.flows.runtime import Runtime
from tests.support.acts import asked


async def withdrawn(runtime: Runtime, file_id: str, key: str | None = None) -> OperatorAct:
    """The file is withdrawn, once for a key; the act."""
    wanted = asked("settlement_file.withdraw", file_id, key)
    return (await once(runtime.stores.acts, wanted, lambda: withdraw(runtime, wanted)))[0]
