"""Payments of the shop through Tallystick: one order is charged at most once, and no payment is lost.

Each instruction (pay, capture, cancel, refund) is a row in sqlite: its key, its bytes and "I send it now" are committed
before the request leaves. Until its answer is final the same key and bytes are sent again, by any process, at any time.
"""

import contextlib
import enum
import itertools
import json
import random
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx


class ShopError(Exception):
    """The call makes no sense for this order, or a read got no usable answer (then `problem` is what was said last)."""

    def __init__(self, text: str, problem: dict[str, Any] | None = None) -> None:
        super().__init__(text)
        self.problem = problem or {}


class Outcome(enum.Enum):
    DONE = "done"  # final: money taken or held / captured / hold released / paid back
    NOT_DONE = "not_done"  # final: it did not happen; another try takes the next key
    REJECTED = "rejected"  # final: the payment's state does not allow it, recorded under the key
    REFUSED = "refused"  # nothing was executed, ever, under this key: mend the client or the request, then call again
    ACT = "act"  # open: show `said["next_action"]` to the shopper, call again when the shopper is back
    CHECKING = "checking"  # open: not known; resume_open() goes on asking
    PERSON = "person"  # stop: a person decides; blocks the order


class Show(enum.Enum):
    PAID = "paid"
    NOT_CHARGED = "not paid, nothing was charged; try another means of payment"
    CONTINUE = "please continue"
    CHECKING = "we are checking your payment"
    OUR_FAULT = "not charged, something is wrong with us"
    SUPPORT = "support is on it"
    REFUNDED = "refunded"
    NOTHING = ""


OPEN = (Outcome.CHECKING, Outcome.ACT)
BY_ORDER = "SELECT * FROM instruction WHERE order_id=? AND kind=? AND ref=? ORDER BY try DESC"


@dataclass(frozen=True)
class Result:
    order_id: str
    kind: str
    key: str
    outcome: Outcome
    show: Show
    said: dict[str, Any]  # the payment, refund or problem answered last; {} if nothing was
    status: int  # its HTTP status; 0: no answer of this API
    payment_id: str | None
    needs_person: bool
    final: bool  # False: CHECKING, ACT or PERSON


def judge(kind: str, status: int, said: dict[str, Any], asked: dict[str, Any]) -> Outcome:
    """What one answer means, taken alone."""
    state, failed = said.get("state"), bool(said.get("failure"))
    if status in (200, 201) and said.get("object") == ("refund" if kind == "refund" else "payment"):
        if kind == "pay":
            done, failed = state in ("captured", "authorized"), state in ("declined", "failed", "canceled", "expired")
        elif kind == "refund":
            done, failed = state == "succeeded", state == "failed"
        else:
            enough = kind == "capture" and said.get("amount_captured", 0) >= asked.get("amount", 1)
            done = state == "canceled" if kind == "cancel" else state == "captured" and enough
        return Outcome.DONE if done else Outcome.NOT_DONE if failed else Outcome.PERSON
    if status == 202 and said.get("next_action"):
        return Outcome.ACT
    if said.get("code") == "idempotency_key_reused":
        return Outcome.PERSON
    if status >= 400 and said.get("retryable") is False:
        return {"executed": Outcome.REJECTED, "not_executed": Outcome.REFUSED}.get(
            str(said.get("outcome")), Outcome.CHECKING
        )
    return Outcome.CHECKING


def shown(kind: str, outcome: Outcome) -> Show:
    if outcome in (Outcome.ACT, Outcome.CHECKING, Outcome.PERSON):
        return Show.CONTINUE if outcome is Outcome.ACT else Show.CHECKING
    if kind == "pay":
        return {Outcome.DONE: Show.PAID, Outcome.NOT_DONE: Show.NOT_CHARGED, Outcome.REFUSED: Show.OUR_FAULT}.get(
            outcome, Show.SUPPORT
        )
    if kind == "refund":
        return Show.REFUNDED if outcome is Outcome.DONE else Show.SUPPORT
    return Show.NOTHING if outcome in (Outcome.DONE, Outcome.NOT_DONE) else Show.SUPPORT


class ShopPayments:
    def __init__(
        self,
        base_url: str,
        api_key: str,
        db_path: str,
        *,
        patience_s: float = 60,
        timeout_s: float = 30,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.db_path, self.patience_s, self.timeout_s = db_path, patience_s, timeout_s
        self.http = httpx.Client(
            base_url=base_url,
            transport=transport,
            headers={
                "Authorization": f"Bearer {api_key}",
                "Content-Type": "application/json",
                "Tallystick-Version": "2026-11-26",
            },
        )
        self._keep_a_log()
        with self._db() as db:
            db.execute("""CREATE TABLE IF NOT EXISTS instruction (
                key TEXT PRIMARY KEY, order_id TEXT NOT NULL, kind TEXT NOT NULL, ref TEXT NOT NULL,
                try INTEGER NOT NULL,
                path TEXT NOT NULL, body BLOB NOT NULL, outcome TEXT NOT NULL DEFAULT 'checking',
                -- sends that may have been carried out: one under way, or without a clear answer
                maybe INTEGER NOT NULL DEFAULT 0,
                refusals INTEGER NOT NULL DEFAULT 0, status INTEGER NOT NULL DEFAULT 0, said TEXT NOT NULL DEFAULT '{}',
                payment_id TEXT, created_at REAL NOT NULL, next_at REAL NOT NULL DEFAULT 0,
                UNIQUE (order_id, kind, ref, try))""")

    def create_payment(
        self,
        order_id: str,
        amount: int,
        currency: str,
        payment_method: str,
        *,
        capture: bool = True,
        description: str | None = None,
        metadata: dict[str, str] | None = None,
        provider: str | None = None,
        new_try: bool = False,
        patience_s: float | None = None,
    ) -> Result:
        """Charge (capture=True) or hold (False). Call it again with the same order as often as you like."""
        body = {
            "amount": amount,
            "currency": currency,
            "payment_method": payment_method,
            "description": description,
            "metadata": metadata,
            "provider": provider,
            "capture_method": "automatic" if capture else "manual",
        }
        return self._run(self._start(order_id, "pay", "", "/v1/payments", body, new_try), patience_s)

    def capture(
        self, order_id: str, amount: int | None = None, *, new_try: bool = False, patience_s: float | None = None
    ) -> Result:
        """Take the held money once: all of it, or a part (the rest is released)."""
        return self._run(self._start(order_id, "capture", "", "capture", {"amount": amount}, new_try), patience_s)

    def cancel(self, order_id: str, *, new_try: bool = False, patience_s: float | None = None) -> Result:
        return self._run(self._start(order_id, "cancel", "", "cancel", {}, new_try), patience_s)

    def refund(
        self,
        order_id: str,
        amount: int | None = None,
        *,
        refund_id: str = "1",
        reason: str | None = None,
        new_try: bool = False,
        patience_s: float | None = None,
    ) -> Result:
        """Pay back a part, or all that is left. `refund_id` is the shop's own: one per refund it wants to give."""
        return self._run(
            self._start(order_id, "refund", refund_id, "refunds", {"amount": amount, "reason": reason}, new_try),
            patience_s,
        )

    def read(self, order_id: str, *, patience_s: float | None = None) -> dict[str, Any] | None:
        """The order's payment as it is now; None: the platform has none under our key (yet: that proves nothing)."""
        row = self._newest(order_id, "pay", "")
        if row["payment_id"]:
            return self._get(f"/v1/payments/{row['payment_id']}", {}, patience_s)
        page = self._get("/v1/payments", {"idempotency_key": row["key"]}, patience_s)
        return page["data"][0] if page.get("data") else None

    def wait_final(self, order_id: str, kind: str = "pay", *, refund_id: str = "1", timeout_s: float = 60) -> Result:
        """Ask again until the newest instruction of that kind is final, also while the shopper has to act."""
        return self._run(
            self._newest(order_id, kind, refund_id if kind == "refund" else "")["key"], timeout_s, follow=True
        )

    def resume_open(self, *, patience_s: float = 5) -> list[Result]:
        """The job, every minute: asks again for all that is open, whoever began it; tells what it found."""
        with self._db() as db:
            keys = [
                r["key"]
                for r in db.execute("SELECT key FROM instruction WHERE outcome IN ('checking', 'act') ORDER BY next_at")
            ]
        return [self._run(key, patience_s) for key in keys]

    def _keep_a_log(self) -> None:
        """Several processes: nobody has to roll back what another one was killed in. It is set once for the file."""
        for _ in range(300):
            with contextlib.closing(sqlite3.connect(self.db_path)) as db, contextlib.suppress(sqlite3.OperationalError):
                if db.execute("PRAGMA journal_mode=WAL").fetchone()[0] == "wal":
                    return
            time.sleep(0.1)  # another process of ours sets it now
        raise ShopError("the file of payments is locked")

    @contextlib.contextmanager
    def _db(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self.db_path, timeout=30, isolation_level=None)
        db.row_factory = sqlite3.Row
        try:
            db.executescript("PRAGMA synchronous=EXTRA; BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        finally:
            db.close()  # rolls back what was not committed

    def _newest(self, order_id: str, kind: str, ref: str) -> sqlite3.Row:
        with self._db() as db:
            rows = db.execute(BY_ORDER, (order_id, kind, ref)).fetchall()
        if not rows:
            raise ShopError(f"order {order_id} has no {kind} {ref}")
        newest: sqlite3.Row = rows[0]
        return newest

    def _start(self, order_id: str, kind: str, ref: str, path: str, fields: dict[str, Any], new_try: bool) -> str:
        """The key to go on with: the one there is, unless it is final and a next one is allowed. It and its bytes are
        committed."""
        fields = {k: v for k, v in fields.items() if v is not None}
        body = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
        if kind != "pay":
            paid = self._newest(order_id, "pay", "")
            if paid["outcome"] != "done":
                raise ShopError(f"order {order_id} has no paid or held payment")
            path = f"/v1/payments/{paid['payment_id']}/{path}"
        with self._db() as db:
            rows = db.execute(BY_ORDER, (order_id, kind, ref)).fetchall()
            if kind == "pay" and any(r["outcome"] == "done" for r in db.execute(BY_ORDER, (order_id, "cancel", ""))):
                raise ShopError(f"the hold of order {order_id} was released: take a new order id")
            last = Outcome(rows[0]["outcome"]) if rows else None
            if last is Outcome.REFUSED:  # nothing was ever written under the key: it may carry the mended bytes
                db.execute(
                    "UPDATE instruction SET body=?, outcome='checking', next_at=0, created_at=? WHERE key=?",
                    (body, time.time(), rows[0]["key"]),
                )
                return str(rows[0]["key"])
            if last in (*OPEN, Outcome.DONE, Outcome.PERSON):
                old = json.loads(rows[0]["body"])
                if any(old.get(f) != fields.get(f) for f in ("amount", "currency", "capture_method")):
                    raise ShopError(f"{rows[0]['key']} was sent with {old}, and is {last.value if last else ''}")
                return str(rows[0]["key"])
            for row in rows:  # NOT_DONE or REJECTED, newest first
                failure = json.loads(row["said"]).get("failure") or {}
                same_means = kind == "pay" and json.loads(row["body"])["payment_method"] == fields["payment_method"]
                if (row["body"] == body and not new_try) or (same_means and failure.get("retryable") is False):
                    return str(row["key"])
            key = ":".join(
                filter(None, ["order-" + quote(order_id, safe=""), kind, quote(ref, safe=""), str(len(rows) + 1)])
            )
            if len(key) > 255:
                raise ShopError("the order id is too long for a key")
            db.execute(
                "INSERT INTO instruction (key, order_id, kind, ref, try, path, body, created_at)"
                " VALUES (?,?,?,?,?,?,?,?)",
                (key, order_id, kind, ref, len(rows) + 1, path, body, time.time()),
            )
            return key

    def _row(self, key: str, sending: bool = False) -> sqlite3.Row:
        with self._db() as db:
            if sending:
                db.execute(
                    "UPDATE instruction SET maybe=maybe+1 WHERE key=? AND outcome IN ('checking', 'act')", (key,)
                )
            row: sqlite3.Row = db.execute("SELECT * FROM instruction WHERE key=?", (key,)).fetchone()
            return row

    def _settle(self, row: sqlite3.Row, status: int, said: dict[str, Any], wait_s: float) -> sqlite3.Row:
        outcome = judge(row["kind"], status, said, json.loads(row["body"]))
        spent = (
            1 if status >= 400 and said.get("outcome") == "not_executed" else 0
        )  # this send did nothing, for certain
        payment_id = said.get("id") if said.get("object") == "payment" else said.get("payment_id")
        with self._db() as db:
            maybe = db.execute(
                "UPDATE instruction SET maybe=maybe-? WHERE key=? RETURNING maybe", (spent, row["key"])
            ).fetchall()[0][0]
            refused = outcome is Outcome.REFUSED
            outcome = Outcome.CHECKING if refused and maybe > 0 else outcome  # another send may have been carried out
            db.execute(
                """UPDATE instruction SET outcome=?, status=?, said=?, payment_id=COALESCE(?, payment_id), next_at=?,
                refusals=CASE WHEN ? THEN refusals+1 ELSE 0 END WHERE key=? AND outcome IN ('checking', 'act')""",
                (outcome.value, status, json.dumps(said), payment_id, time.time() + wait_s, refused, row["key"]),
            )
        return self._row(row["key"])

    def _ask(self, tries: int, method: str, path: str, left_s: float, **kw: Any) -> tuple[int, dict[str, Any], float]:
        """Status, JSON object and how long to wait; 0 and {} for no answer, or one that is not of this API."""
        pause_s = random.uniform(0, min(8, 0.5 * 2 ** min(tries, 10)))
        try:
            answer = self.http.request(method, path, timeout=min(self.timeout_s, max(2.0, left_s)), **kw)
            said = answer.json()
            if not isinstance(said, dict) or not ({"object", "code", "data"} & said.keys()):
                raise ValueError("not of this API")
        except (httpx.HTTPError, ValueError):
            return 0, {}, pause_s
        retry_after = answer.headers.get("Retry-After", "")
        return answer.status_code, said, pause_s + (int(retry_after) if retry_after.isdecimal() else 0)

    def _run(self, key: str, patience_s: float | None, follow: bool = False) -> Result:
        give_up_at = time.monotonic() + (self.patience_s if patience_s is None else patience_s)
        row = self._row(key)
        for tries in itertools.count():
            wait_s = row["next_at"] - time.time()
            wait_s = wait_s if 0 < wait_s <= 86400 else 0.0  # more than a day: the clock was set back
            if Outcome(row["outcome"]) not in OPEN or time.monotonic() + wait_s > give_up_at:
                break
            time.sleep(wait_s)
            row = self._row(key, sending=True)  # committed before a byte leaves
            if Outcome(row["outcome"]) not in OPEN:
                break  # another process has had the final answer meanwhile
            left_s = give_up_at - time.monotonic()
            status, said, wait_s = self._ask(
                tries, "POST", row["path"], left_s, content=row["body"], headers={"Idempotency-Key": key}
            )
            row = self._settle(row, status, said, wait_s)
            if said.get("in_doubt") and follow:  # reading hastens the recovery
                self._ask(0, "GET", f"/v1/{said.get('object')}s/{said.get('id')}", left_s)
            if not follow and (Outcome(row["outcome"]) is Outcome.ACT or said.get("retryable") is False):
                break
        outcome, is_old = Outcome(row["outcome"]), time.time() - row["created_at"] > 86400
        person = outcome is Outcome.PERSON or (outcome in OPEN and (is_old or row["refusals"] >= 5))
        return Result(
            row["order_id"],
            row["kind"],
            key,
            outcome,
            shown(row["kind"], outcome),
            json.loads(row["said"]),
            row["status"],
            row["payment_id"],
            person,
            outcome not in (*OPEN, Outcome.PERSON),
        )

    def _get(self, path: str, params: dict[str, str], patience_s: float | None) -> dict[str, Any]:
        give_up_at = time.monotonic() + (self.patience_s if patience_s is None else patience_s)
        for tries in itertools.count():
            status, said, wait_s = self._ask(tries, "GET", path, give_up_at - time.monotonic(), params=params)
            if status == 200:
                return said
            if said.get("retryable") is False or time.monotonic() + wait_s > give_up_at:
                raise ShopError(f"GET {path}: {status} {said.get('code', 'no answer')}", said)
            time.sleep(wait_s)
        raise AssertionError("the loop has no end of its own")
