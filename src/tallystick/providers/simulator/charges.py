"""The test acquirer's list of charges, to be compared with our books."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import msgspec

#: Charges on one page of the list.
PAGE_CHARGES: Final = 500

#: Longest wait for one page.
PAGE_TIMEOUT_S: Final = 30


async def list_charges(url: str) -> AsyncIterator[dict[str, Any]]:
    """Every charge, all pages. Raises aiohttp.ClientError and TimeoutError."""
    cursor: str | None = None
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PAGE_TIMEOUT_S)) as session:
        while True:
            query = {"limit": str(PAGE_CHARGES)} | ({"cursor": cursor} if cursor else {})
            async with session.get(f"{url.rstrip('/')}/sim/charges", params=query, raise_for_status=True) as answer:
                page = msgspec.json.decode(await answer.read())
            for charge in page["data"]:
                yield charge
            cursor = page["next_cursor"]
            if cursor is None:
                return
