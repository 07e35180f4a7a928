"""A provider's settlement report that is to be fetched, or was. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

ReportState = Literal["waiting", "fetched", "refused"]


class SettlementReport(Struct, frozen=True, kw_only=True):
    """``report``: the provider's name of it. ``url``: where the provider says that it is; None where it is asked for by
    name. ``file_id``: the settlement file that it became. ``detail``: why it is not there yet, or was refused."""

    provider: str
    account: str
    report: str
    actor: str
    created_at: datetime
    state: ReportState
    tries: int = 0
    url: str | None = None
    file_id: str | None = None
    detail: str | None = None
