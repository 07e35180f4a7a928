"""The chapter on lists, from the endpoints' rows."""

from __future__ import annotations

from typing import Final

from tallystick.contract import markdown
from tallystick.domain.list_filters import LONGEST_RANGE_OF_A_TYPE
from tallystick.domain.payment_filter import LONGEST_UNINDEXED_RANGE
from tallystick.domain.views import MAX_MEMBERS
from tallystick.interfaces.api.parameters import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from tallystick.interfaces.api.table import ENDPOINTS

#: The parameters of every page.
_OF_A_PAGE: Final = frozenset({"limit", "cursor"})


def lists() -> str:
    """What each list can be asked for."""
    rows = []
    for endpoint in ENDPOINTS:
        names = [each.name for each in endpoint.parameters if each.where == "query"]
        if set(names) >= _OF_A_PAGE:
            filters = markdown.code(name for name in names if name not in _OF_A_PAGE)
            rows.append((f"`{endpoint.method} {endpoint.path}`", filters, endpoint.callers))
    return "\n\n".join(("## Lists", _LISTS.strip("\n"), markdown.table(("list", "filters", "whose key"), rows)))


_LISTS: Final = f"""
1. **One cursor.** A page has `data`, `has_more` and `next_cursor`, which is null on the last page. `limit` is 1 to
   {MAX_PAGE_SIZE}, {DEFAULT_PAGE_SIZE} without it. A cursor is a position (created at, id) in one list: what is
   added meanwhile moves no entry to another page. No other list takes it.
2. **Order.** Newest first by creation; messages and what waits for somebody (dead letters, cases, attempts in doubt,
   late money) oldest first. Payments are in the order of their ids, whose times two hosts may see a little differently.
3. **Range.** `created_gte` is included, `created_lt` is not: ranges that touch have each entry once. An empty range
   is 422.
4. **All filters hold together.** `payment` that the merchant does not have is 404 `not_found`, whoever has it.
5. **Filters without an index need a range.** `amount_gte`, `amount_lte`, `currency` and `metadata[key]` of payments
   need `created_gte` and `created_lt`, at most {LONGEST_UNINDEXED_RANGE.days} days apart; so does `type` of messages
   without `payment` ({LONGEST_RANGE_OF_A_TYPE.days} days). Without them the request is 422 `validation_failed`:
   field `created_gte` or `created_lt`, code `required` or `out_of_range`. Amounts need `currency`. `idempotency_key`
   and `provider_reference` find their payments without these filters, and do not go with them. `metadata[key]` is
   one key.
6. **A payment names its refunds and disputes** in reads: the ids of the {MAX_MEMBERS} newest of each, newest first;
   the lists have all. Recorded answers and messages do not have these two members: a replay and a resend stay byte
   for byte as they were first written.
7. **`GET /v1/messages` fills a receiver up.** It lists what was dispatched, also while there was no endpoint. `body`
   is the text that is sent to endpoints of the request's version, byte for byte; `id` is its `webhook-id`. What is not
   dispatched yet is not listed, and goes to the endpoints that are enabled by then: enable the endpoint first, then
   list, and handle each `id` once. Clocks of hosts differ, and a message may be dispatched late: a client that
   only polls asks again for what is a few minutes old.
8. **What has no cursor is whole**, such as a payment's history and transfers, balances, endpoints, alerts and pauses;
   or says how far it goes, by days or by rows. Rows of a settlement file go on `after` a row's place in the file.
"""
