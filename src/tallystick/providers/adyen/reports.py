"""Adyen's reports, which a notification offers (REPORT_AVAILABLE).

The name of the file is signed, and its address is not: it is used only where it is at the host of the settings, below
the path of downloads, and ends with the signed name. Source: docs.adyen.com/reporting/automatically-get-reports.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from typing import Final

from tallystick.domain.notices import ReportNotice
from tallystick.providers.adyen.items import Item
from tallystick.providers.reports import Link, ReportRefused, same_origin

#: Reports with rows that can be imported begin like this; there are many others.
IMPORTED: Final = ("settlement_detail_report", "payments_accounting_report")

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}", re.ASCII)

#: Below it one directory for the level, and one for the account.
_DOWNLOADS: Final = re.compile(r"/reports/download/(MerchantAccount|Company)/([A-Za-z0-9_-]{1,100})/", re.ASCII)


def report_of(item: Item) -> ReportNotice | None:
    """What a notification offers; None for a report that nobody imports."""
    name, url = item.psp_reference, item.reason
    if not item.succeeded or not url or _NAME.fullmatch(name) is None or not name.startswith(IMPORTED):
        return None
    return ReportNotice(report=name, url=url)


class AdyenReports:
    """The reports of one account."""

    name = "adyen"

    def __init__(self, *, api_key: str, reports_url: str, merchant_account: str, account: str) -> None:
        self.account = account
        self._reports_url, self._merchant_account = reports_url.rstrip("/"), merchant_account
        self._headers = {"x-api-key": api_key}

    async def ask(self, since: date, until: date) -> Sequence[str]:
        raise ReportRefused("Adyen makes its reports by itself: name one (--report), or wait for its notification")

    async def link(self, report: str, url: str | None) -> Link:
        if _NAME.fullmatch(report) is None:
            raise ReportRefused("it is no name of a report of Adyen's")
        where = url or f"{self._reports_url}/reports/download/MerchantAccount/{self._merchant_account}/{report}"
        found = same_origin(where, self._reports_url)
        if found is None:
            raise ReportRefused("its address is not at the host of TALLYSTICK_ADYEN_REPORTS_URL")
        directory = found.raw_path.removesuffix(report)
        place = None if directory == found.raw_path else _DOWNLOADS.fullmatch(directory)
        is_ours = place is not None and (place[1] == "Company" or place[2] == self._merchant_account)
        if not is_ours or found.raw_query_string:
            raise ReportRefused("its address is none of a report with this name")
        return Link(url=found, headers=self._headers)

    async def close(self) -> None:
        return None
