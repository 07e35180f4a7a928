"""The prefixes of identifiers, and what each identifies. ``kit.ids`` makes and checks ids of any prefix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ID_PREFIXES: Final[Mapping[str, str]] = {
    "pay": "payment",
    "att": "attempt: one call to a provider, and its retries",
    "re": "refund",
    "dp": "dispute",
    "chg": "change: one transaction of the journal",
    "ins": "instruction: what a merchant asked for under one idempotency key",
    "rej": "rejection: an instruction or a verdict that the state did not allow",
    "case": "case: a refused transition that somebody has to look at",
    "opa": "act of an operator",
    "apr": "request for a second person's approval",
    "dep": "deployment: a release that was marked, or a change of the configuration",
    "alr": "alert",
    "stb": "settled batch of a provider: the platform's side of it",
    "stm": "settlement: a merchant's part of a settled batch",
    "rsl": "what a person said of a settlement row",
    "wdr": "what the withdrawal of a settlement file took back",
    "rcn": "what a merchant was told of a movement that a settlement file has",
    "rcm": "later comparison of settlement rows that waited",
    "bst": "bank statement: what its entries moved",
    "stl": "settlement file of a provider, or statement of a bank",
    "req": "request of a client to the API",
    "evt": "event of a provider",
    "wrf": "kind of refused webhook deliveries: an account's, for one reason",
    "dlv": "delivery of a provider's event to us",
    "msg": "message to a merchant",
    "tst": "test message to a webhook endpoint",
    "try": "try to process an event or to deliver a message",
    "lse": "lease of a worker on events or messages",
    "we": "webhook endpoint of a merchant",
    "sec": "signing secret of a webhook endpoint",
    "rec": "record whose trees of sealed changes are signed",
    "swp": "look at everything that is sealed",
    "act": "action of a person or a worker on a webhook endpoint",
}
