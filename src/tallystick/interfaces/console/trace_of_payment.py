"""The payment of an address, with all rows about it, for who may see it."""

from __future__ import annotations

from tallystick.interfaces.console.page import PageRequest, Refused
from tallystick.interfaces.console.words import bounded
from tallystick.oversight.console import TraceRows, merchant_of, trace_rows


async def rows_of(request: PageRequest) -> TraceRows:
    """Raises Refused; in one way for what is not there and what is not for the viewer."""
    payment_id, pool = request.path["payment_id"], request.runtime.pool
    merchant_id = await merchant_of(pool, payment_id)
    rows = None
    if merchant_id is not None and request.viewer.sees(merchant_id):
        rows = await trace_rows(pool, merchant_id, payment_id, request.runtime.settings.clock_shift_ms)
    if rows is None:
        raise Refused(404, f"There is no payment {bounded(payment_id, 64)}.")
    return rows
