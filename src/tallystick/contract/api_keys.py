"""The contract's chapter on what API keys may do, from the table of endpoints."""

from __future__ import annotations

from typing import Final

from tallystick.contract import markdown
from tallystick.domain.api_keys import SCOPES
from tallystick.interfaces.api.table import ENDPOINTS

_HEAD: Final = """
## What an API key may do

1. A key declares what uses it: `human`, `service` or `agent` (a program that decides by itself). A key that
   declares nothing is a service's, and may do everything. So is every key that was made before keys had kinds.
2. A key has scopes: those of this table that its endpoints need, or all of them, those of later releases included. The
   key of an agent that names none gets those that read. Two scopes lead further: `payments:create` also captures where
   the request does not say `"capture_method": "manual"`, and `webhooks:write` may have every message sent to a host of
   its choice.
3. A key has limits: the currencies in which it may act, and the most that one operation (create, capture, refund) may
   move in each. Where amounts are limited and no other currency is named, it acts in no other currency. A cancel moves
   nothing, and is bound to the currencies alone. The limit is of one operation, not of a sum: two refunds within it are
   allowed.
4. What a key declares never changes. `tallystick keys create` declares it, `keys list` shows it, and a rotated key
   declares what the old one did.
5. Without the scope the answer is 403 `scope_missing`, over a limit 403 `limit_exceeded`: nothing was written, and the
   idempotency key stays free. **The existing key comes first**: a request that was executed before is answered as it
   was, whatever the API key that asks may do now.
6. The kind is on every step of history, every refusal, every message and every log line of what the instruction leads
   to (`key_kind`), also where another process ends it: recovery, a provider's event, an operator. What no instruction
   led to, such as a dispute or an expiry, has none. A log line that names an instruction by its `idempotency_key` has
   the kind of that one, also where an event without an effect, or a dead letter, is about it.
7. An operator's act has a reason, and an idempotency key in the scope of the operator's API key. It is recorded
   together with its effect, and never changes. Asked for again it is not done again: what it came to is answered
   again, also when what it was about is not kept any more: another act on that is 404 `not_found`. The same key for
   another act is 422 `idempotency_key_reused`, whether the first one was done or waits for people. Requests about dead
   letters may leave the key out: each is then an act of its own. A reason that seems to hold a card number or a secret
   is refused, and not repeated.
"""


def api_keys() -> str:
    """The chapter."""
    rows = []
    for scope in SCOPES:
        opened = [endpoint for endpoint in ENDPOINTS if endpoint.scope == scope]
        requests = "<br>".join(f"`{endpoint.method} {endpoint.path}`" for endpoint in opened)
        rows.append((f"`{scope}`", requests, " ".join(sorted({endpoint.callers for endpoint in opened}))))
    table = markdown.table(("scope", "opens", "for the keys of"), rows)
    return "\n\n".join((_HEAD.strip("\n"), table))
