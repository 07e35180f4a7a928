"""Stripe's report runs: asked for, looked up, and where their files are.

The address of a file is made here: of the API's answer only the file's id is taken. Source:
docs.stripe.com/reports/api.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from yarl import URL

from tallystick.providers.http import NothingSent, ProviderHttp, ProviderResponse, SentUnanswered
from tallystick.providers.reports import Link, ReportNotThere, ReportRefused

#: The rows of automatic payouts, and the payouts, which prove them.
ROWS: Final = "payout_reconciliation.itemized.5"
PAYOUTS: Final = "payouts.itemized.3"

#: The columns that are asked for: those that are read, and no personal data.
COLUMNS: Final[dict[str, Sequence[str]]] = {
    ROWS: (
        "automatic_payout_id",
        "balance_transaction_id",
        "created_utc",
        "available_on_utc",
        "currency",
        "gross",
        "fee",
        "net",
        "reporting_category",
        "source_id",
        "customer_facing_amount",
        "customer_facing_currency",
        "charge_id",
        "payment_intent_id",
        "payment_method_type",
        "card_country",
    ),
    PAYOUTS: (
        "payout_id",
        "effective_at_utc",
        "currency",
        "gross",
        "fee",
        "net",
        "reporting_category",
        "balance_transaction_id",
        "payout_expected_arrival_date",
        "trace_id",
    ),
}

#: Reports with rows that can be imported begin like this; runs of others are somebody else's.
IMPORTED: Final = ("payout_reconciliation.itemized.", "payouts.itemized.", "balance_change_from_activity.itemized.")

RUN: Final = re.compile(r"frr_[A-Za-z0-9]{1,100}", re.ASCII)
_FILE: Final = re.compile(r"file_[A-Za-z0-9]{1,100}", re.ASCII)


class _File(Struct, frozen=True):
    id: str
    size: int | None = None


class Run(Struct, frozen=True):
    """A report run."""

    id: str
    status: str
    report_type: str = ""
    result: _File | None = None


_RUN: Final = msgspec.json.Decoder(Run)


class StripeReports:
    """The reports of one account."""

    name = "stripe"

    def __init__(self, http: ProviderHttp, *, api_key: str, api_url: str, files_url: str, account: str) -> None:
        self.account = account
        self._http, self._api_url, self._files_url = http, api_url.rstrip("/"), files_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}"}

    async def ask(self, since: date, until: date) -> Sequence[str]:
        return [await self._asked(kind, since, until) for kind in COLUMNS]

    async def _asked(self, kind: str, since: date, until: date) -> str:
        start, end = (int(datetime.combine(day, time(), UTC).timestamp()) for day in (since, until))
        form = [("report_type", kind), ("parameters[interval_start]", start), ("parameters[interval_end]", end)]
        form += [("parameters[columns][]", column) for column in COLUMNS[kind]]
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Idempotency-Key": f"tallystick-{kind}-{start}-{end}",  # a run that a lost answer left is found again
        }
        return self._run(await self._call("POST", "", headers=headers, body=urlencode(form).encode())).id

    async def link(self, report: str, url: str | None) -> Link:
        if RUN.fullmatch(report) is None:
            raise ReportRefused("it is no name of a report run of Stripe's")
        run = self._run(await self._call("GET", f"/{report}"))
        if run.status == "failed":
            raise ReportRefused("the report run failed at Stripe: ask for it again")
        if run.status != "succeeded" or run.result is None:
            raise ReportNotThere("the report run has not ended yet")
        if _FILE.fullmatch(run.result.id) is None:
            raise ReportRefused("the report run names no file of Stripe's")
        address = URL(f"{self._files_url}/v1/files/{run.result.id}/contents", encoded=True)
        return Link(url=address, headers=self._headers, size_bytes=run.result.size)

    async def close(self) -> None:
        await self._http.close()

    async def _call(self, method: str, path: str, **more: Any) -> ProviderResponse:
        headers = {**self._headers, **more.pop("headers", {})}
        url = URL(f"{self._api_url}/v1/reporting/report_runs{path}", encoded=True)
        try:
            answer = await self._http.exchange(method, url, headers=headers, **more)
        except (NothingSent, SentUnanswered) as error:
            raise ReportNotThere(f"Stripe does not answer: {error}") from None
        if answer.status in (400, 404):
            raise ReportRefused(f"Stripe answered {answer.status}: there is no such report, or not for these days")
        if answer.status != 200:
            raise ReportNotThere(f"Stripe answered {answer.status}")
        return answer

    def _run(self, answer: ProviderResponse) -> Run:
        try:
            return _RUN.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ReportNotThere("Stripe's answer is no report run") from None
