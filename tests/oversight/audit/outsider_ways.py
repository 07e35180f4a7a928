"""Ten ways to rewrite a sealed record, by somebody who had seen the design and the migrations, and no code.

Each statement runs as it is, and picks its rows itself. It returns a row (tbl,
       key) for each row that it touched: that is
what the comparison is held to. The mutable rows are changed along, so that the fold of history agrees.
"""

from __future__ import annotations

from typing import NamedTuple


class OutsiderWay(NamedTuple):
    """``finds``: the kinds of findings, as the page names them. ``unseen``: tables of the rows that nothing names yet.
    ``outside``: heads that are kept elsewhere show it. ``promised``: whether anything should."""

    name: str
    statements: tuple[str, ...]
    finds: tuple[str, ...]
    outside: bool = False
    unseen: tuple[str, ...] = ()
    promised: bool = True


# The newest step of a payment of its own, of a payment whose own steps have moved money; and the last of that money.
# To be
# preceded by a CTE `sealed` (merchant_id, change_id, at), which may bar merchants by `barred`.
_BENT = """
bent AS (
    SELECT h.merchant_id, h.subject_id, h.version, h.to_state, h.event, h.cause, h.actor, h.provider_reference, h.at
    FROM payment p
    JOIN history h ON h.merchant_id = p.merchant_id AND h.subject_id = p.payment_id AND h.version = p.version
    WHERE p.merchant_id IS DISTINCT FROM (SELECT barred FROM sealed)
      AND h.at IS NOT NULL
      AND EXISTS (SELECT 1 FROM transfer m WHERE m.merchant_id = p.merchant_id AND m.stream_id = p.payment_id)
    ORDER BY p.payment_id LIMIT 1
), money AS (
    SELECT m.kind, m.debit, m.credit, m.amount, m.currency
    FROM transfer m JOIN bent b ON m.merchant_id = b.merchant_id AND m.stream_id = b.subject_id
    ORDER BY m.amount DESC, m.version DESC, m.leg LIMIT 1
)"""

# Copies that money once more under the step that a CTE `step` (merchant_id, subject_id, version, moment) has put in,
# and
# makes the mutable tables agree.
_PAY_ONCE_MORE = """
paid AS (
    INSERT INTO transfer (merchant_id, stream_id, subject_id, version, leg, kind, debit, credit, amount, currency, at)
    SELECT s.merchant_id, s.subject_id, s.subject_id, s.version, 1, m.kind, m.debit, m.credit, m.amount, m.currency,
       b.at
    FROM step s, money m, bent b
    RETURNING merchant_id, stream_id, subject_id, version, leg
), summed AS (
    UPDATE balance x
    SET debits = x.debits + CASE WHEN x.account = m.debit THEN m.amount ELSE 0 END,
        credits = x.credits + CASE WHEN x.account = m.credit THEN m.amount ELSE 0 END
    FROM money m, bent b
    WHERE x.merchant_id = b.merchant_id AND x.currency = m.currency AND x.account IN (m.debit, m.credit)
    RETURNING x.merchant_id, x.account, x.currency
), shown AS (
    UPDATE payment p SET version = s.version FROM step s
    WHERE p.merchant_id = s.merchant_id AND p.payment_id = s.subject_id
    RETURNING p.merchant_id, p.payment_id
)
SELECT 'transition' AS tbl, concat_ws('/', merchant_id, subject_id, version) AS key FROM step
UNION ALL
SELECT 'transfer', concat_ws('/', merchant_id, stream_id, subject_id, version, leg) FROM paid"""


WAYS: tuple[OutsiderWay, ...] = (
    OutsiderWay(
        name="a sealed change's id worn by another merchant's rows",
        statements=(
            # transition.change_id is unique nowhere. The step is dated like the payment's newest sealed step.
            """
WITH sealed AS (
    SELECT merchant_id, change_id, at, merchant_id AS barred FROM transition
    WHERE change_id IS NOT NULL ORDER BY at, change_id LIMIT 1
), """
            + _BENT
            + """, step AS (
    INSERT INTO transition (merchant_id, subject_id, version, change_id, from_state, to_state, event, cause, actor,
                            provider_reference, at, change)
    SELECT b.merchant_id, b.subject_id, b.version + 1, s.change_id, b.to_state, b.to_state, b.event, b.cause, b.actor,
           b.provider_reference, b.at, json_build_object()
    FROM bent b, sealed s
    RETURNING merchant_id, subject_id, version
), """
            + _PAY_ONCE_MORE,
        ),
        finds=("not_sealed: change",),
    ),
    OutsiderWay(
        name="a step that leads itself, and so belongs to no change",
        statements=(
            # lead_version = its own version: the lead exists, every check of 0021 holds, and through the view
            # history its
            # change_id, cause, actor and at are all null.
            """
WITH sealed AS (SELECT NULL::text AS barred), """
            + _BENT
            + """, step AS (
    INSERT INTO transition (merchant_id, subject_id, version, lead_version, from_state, to_state, event, change)
    SELECT b.merchant_id, b.subject_id, b.version + 1, b.version + 1, b.to_state, b.to_state, b.event,
       json_build_object()
    FROM bent b
    RETURNING merchant_id, subject_id, version
), """
            + _PAY_ONCE_MORE,
        ),
        finds=("stray: transition",),
    ),
    OutsiderWay(
        name="sealed money moved past the last head",
        statements=(
            """
WITH big AS (
    SELECT m.merchant_id, m.stream_id, m.subject_id, m.version, m.currency, m.debit, m.credit, m.amount,
           coalesce(t.lead_version, t.version) AS lead
    FROM transfer m
    JOIN transition t ON t.merchant_id = m.merchant_id AND t.subject_id = m.subject_id AND t.version = m.version
    ORDER BY m.at, m.merchant_id, m.stream_id, m.version, m.leg LIMIT 1
), step AS (
    UPDATE transition t SET at = now() + interval '90 days'
    FROM big
    WHERE t.merchant_id = big.merchant_id
      AND ((t.subject_id = big.stream_id AND t.version = big.lead)
           OR (t.subject_id = big.subject_id AND t.version = big.version AND t.lead_version IS NULL))
    RETURNING t.merchant_id, t.subject_id, t.version
), money AS (
    UPDATE transfer m SET at = now() + interval '90 days', amount = m.amount * 100
    FROM big
    WHERE m.merchant_id = big.merchant_id AND m.stream_id = big.stream_id AND m.subject_id = big.subject_id
      AND m.version = big.version AND m.debit = big.debit AND m.credit = big.credit AND m.amount = big.amount
    RETURNING m.merchant_id, m.stream_id, m.subject_id, m.version, m.leg
), summed AS (
    UPDATE balance x
    SET debits = x.debits + CASE WHEN x.account = big.debit THEN big.amount * 99 ELSE 0 END,
        credits = x.credits + CASE WHEN x.account = big.credit THEN big.amount * 99 ELSE 0 END
    FROM big
    WHERE x.merchant_id = big.merchant_id AND x.currency = big.currency AND x.account IN (big.debit, big.credit)
    RETURNING 1
)
SELECT 'transition' AS tbl, concat_ws('/', merchant_id, subject_id, version) AS key FROM step
UNION ALL
SELECT 'transfer', concat_ws('/', merchant_id, stream_id, subject_id, version, leg) FROM money""",
        ),
        finds=("changed: change",),
    ),
    OutsiderWay(
        name="the twin in a child table",
        statements=(
            "CREATE TABLE transfer_p1 () INHERITS (transfer)",
            """
WITH big AS (
    SELECT * FROM ONLY transfer ORDER BY amount DESC, merchant_id, stream_id, subject_id, version, leg LIMIT 1
), twin AS (
    INSERT INTO transfer_p1 SELECT * FROM big RETURNING merchant_id, stream_id, subject_id, version, leg
), summed AS (
    UPDATE balance x
    SET debits = x.debits + CASE WHEN x.account = big.debit THEN big.amount ELSE 0 END,
        credits = x.credits + CASE WHEN x.account = big.credit THEN big.amount ELSE 0 END
    FROM big
    WHERE x.merchant_id = big.merchant_id AND x.currency = big.currency AND x.account IN (big.debit, big.credit)
    RETURNING 1
)
SELECT 'transfer' AS tbl, concat_ws('/', merchant_id, stream_id, subject_id, version, leg) AS key FROM twin""",
        ),
        finds=("changed: change",),
    ),
    OutsiderWay(
        name="the restore that never was",
        statements=(
            # The newest payment of the merchant disappears: a refund, or a charge that somebody wants to be paid for
            # again.
            """
WITH gone AS (
    SELECT p.merchant_id, p.payment_id FROM payment p
    WHERE EXISTS (SELECT 1 FROM transfer m WHERE m.merchant_id = p.merchant_id AND m.stream_id = p.payment_id)
    ORDER BY p.created_at DESC, p.payment_id DESC LIMIT 1
), t AS (
    DELETE FROM transition x USING gone g
    WHERE x.merchant_id = g.merchant_id AND coalesce(x.stream_id, x.subject_id) = g.payment_id
    RETURNING x.merchant_id, x.subject_id, x.version
), m AS (
    DELETE FROM transfer x USING gone g WHERE x.merchant_id = g.merchant_id AND x.stream_id = g.payment_id
    RETURNING x.merchant_id, x.stream_id, x.subject_id, x.version, x.leg, x.debit, x.credit, x.amount, x.currency
), o AS (
    DELETE FROM outbox x USING gone g WHERE x.merchant_id = g.merchant_id AND x.stream_id = g.payment_id
    RETURNING x.merchant_id, x.stream_id, x.version, x.subject_id
), i AS (
    DELETE FROM instruction x USING gone g WHERE x.merchant_id = g.merchant_id AND x.payment_id = g.payment_id
    RETURNING x.merchant_id, x.idempotency_key
), r AS (
    DELETE FROM response x USING gone g, instruction k
    WHERE k.merchant_id = g.merchant_id AND k.payment_id = g.payment_id
      AND x.merchant_id = k.merchant_id AND x.idempotency_key = k.idempotency_key
    RETURNING x.merchant_id, x.idempotency_key
), a AS (
    DELETE FROM attempt x USING gone g WHERE x.merchant_id = g.merchant_id AND x.payment_id = g.payment_id RETURNING 1
), f AS (
    DELETE FROM refund x USING gone g WHERE x.merchant_id = g.merchant_id AND x.payment_id = g.payment_id RETURNING 1
), d AS (
    DELETE FROM deadline x USING gone g WHERE x.merchant_id = g.merchant_id AND x.payment_id = g.payment_id RETURNING 1
), n AS (
    DELETE FROM provider_reference x USING gone g
    WHERE x.merchant_id = g.merchant_id AND x.payment_id = g.payment_id RETURNING 1
), p AS (
    DELETE FROM payment x USING gone g WHERE x.merchant_id = g.merchant_id AND x.payment_id = g.payment_id RETURNING 1
), sums AS (
    SELECT merchant_id, account, currency, sum(dr) AS dr, sum(cr) AS cr
    FROM (SELECT merchant_id, debit AS account, currency, amount AS dr, 0 AS cr FROM m
          UNION ALL SELECT merchant_id, credit, currency, 0, amount FROM m) legs
    GROUP BY merchant_id, account, currency
), summed AS (
    UPDATE balance x SET debits = x.debits - s.dr, credits = x.credits - s.cr
    FROM sums s WHERE x.merchant_id = s.merchant_id AND x.account = s.account AND x.currency = s.currency
    RETURNING 1
)
SELECT 'transition' AS tbl, concat_ws('/', merchant_id, subject_id, version) AS key FROM t
UNION ALL SELECT 'transfer', concat_ws('/', merchant_id, stream_id, subject_id, version, leg) FROM m
UNION ALL SELECT 'outbox', concat_ws('/', merchant_id, stream_id, version, subject_id) FROM o
UNION ALL SELECT 'instruction', concat_ws('/', merchant_id, idempotency_key) FROM i
UNION ALL SELECT 'response', concat_ws('/', merchant_id, idempotency_key) FROM r""",
            # The database's own leaves and heads go back to head N of every group (nodes too, where they are stored).
            """
DELETE FROM {leaf_table} l USING {head_table} h
WHERE h.{group} = l.{group} AND h.{head_sequence} = {restored_from} AND l.{leaf_position} >= h.{head_size}""",
            "DELETE FROM {head_table} WHERE {head_sequence} > {restored_from}",
            # And the owner declares what only an operator may. The sealer, honest and obedient, will sign this row.
            # Adapt act,
            # target and arguments to what `audit restored` writes: the thief copies a real one.
            """
INSERT INTO operator_act (operator, idempotency_key, act_id, act, target, arguments, fingerprint, reason, result, at)
SELECT 'shell:postgres@db1', 'restore-' || txid_current(), coalesce(max(act_id), 'act_0') || '1', 'audit.restored',
       'audit',
       json_build_object('from_head', {restored_from}), sha256('restore'::bytea),
       'disk of db1 failed, back from the nightly copy', json_build_object('from_head', {restored_from}), now()
FROM operator_act
RETURNING 'operator_act' AS tbl, concat_ws('/', operator, idempotency_key) AS key""",
        ),
        finds=(
            "rolled_back: head",
            "removed: change",
            "removed: instruction",
            "removed: response",
            "stray: operator_act",
        ),
        outside=True,
    ),
    OutsiderWay(
        name="a key spelled twice, and a number spelled otherwise",
        statements=(
            # One member of a change once more, in front, with another number. change is json, not jsonb: text is kept.
            """
WITH one AS (
    SELECT t.merchant_id, t.subject_id, t.version, e.key, e.value
    FROM transition t CROSS JOIN LATERAL json_each(t.change) e
    WHERE json_typeof(t.change) = 'object' AND json_typeof(e.value) = 'number'
      AND left(e.key, 6) = 'amount'
    ORDER BY t.merchant_id, t.subject_id, t.version, e.key LIMIT 1
)
UPDATE transition t
SET change = (chr(123) || to_json(one.key) || ':' || '1' || ',' || substr(t.change::text, strpos(t.change::text,
       chr(123)) + 1))::json
FROM one WHERE t.merchant_id = one.merchant_id AND t.subject_id = one.subject_id AND t.version = one.version
RETURNING 'transition' AS tbl, concat_ws('/', t.merchant_id, t.subject_id, t.version) AS key""",
            # Another change: 1000 becomes 1000.0000000000000001, which is 1000 as a double and not as a numeric.
            """
WITH other AS (
    SELECT t.merchant_id, t.subject_id, t.version, e.key, e.value
    FROM transition t CROSS JOIN LATERAL json_each(t.change) e
    WHERE json_typeof(t.change) = 'object' AND json_typeof(e.value) = 'number' AND left(e.key, 6) = 'amount'
    ORDER BY t.merchant_id DESC, t.subject_id DESC, t.version DESC, e.key LIMIT 1
)
UPDATE transition t
SET change = regexp_replace(t.change::text, '("' || other.key || '"\\s*:\\s*[0-9]+)(?![0-9.eE])',
       '\\1.0000000000000001')::json
FROM other WHERE t.merchant_id = other.merchant_id AND t.subject_id = other.subject_id AND t.version = other.version
RETURNING 'transition' AS tbl, concat_ws('/', t.merchant_id, t.subject_id, t.version) AS key""",
            # And an answer, whose bytes are the promise: one blank more at the end.
            """
UPDATE response r SET body = r.body || '\\x20'::bytea
WHERE (r.merchant_id, r.idempotency_key) = (
    SELECT merchant_id, idempotency_key FROM response ORDER BY merchant_id, idempotency_key LIMIT 1)
RETURNING 'response' AS tbl, concat_ws('/', merchant_id, idempotency_key) AS key""",
        ),
        finds=("changed: change", "changed: response"),
    ),
    OutsiderWay(
        name="the painted window",
        statements=(
            """
CREATE TABLE history_hint AS
SELECT h.merchant_id, h.subject_id, h.version, h.actor, h.key_kind, h.cause
FROM history h JOIN transition t USING (merchant_id, subject_id, version)
WHERE t.lead_version IS NULL AND h.actor IS NOT NULL
ORDER BY h.at, h.subject_id, h.version LIMIT 1""",
            """
UPDATE transition t SET actor = 'key:key_of_somebody_else', key_kind = 'h'
FROM history_hint x WHERE t.merchant_id = x.merchant_id AND t.subject_id = x.subject_id AND t.version = x.version
RETURNING 'transition' AS tbl, concat_ws('/', t.merchant_id, t.subject_id, t.version) AS key""",
            # As in 0027, with what was there before for the one row that was changed.
            """
CREATE OR REPLACE VIEW history AS
SELECT t.merchant_id, t.subject_id, t.version,
       CASE WHEN t.lead_version IS NULL THEN t.change_id ELSE l.change_id END AS change_id,
       coalesce(t.subject, CASE substr(t.subject_id, 1, 4)
                                WHEN 'pay_' THEN 'payment' WHEN 'att_' THEN 'attempt' END) AS subject,
       coalesce(t.stream_id, t.subject_id) AS stream_id, t.from_state, t.to_state, t.event,
       CASE WHEN t.lead_version IS NULL THEN t.cause ELSE l.cause END AS cause,
       coalesce(x.actor, CASE WHEN t.lead_version IS NULL THEN t.actor ELSE l.actor END) AS actor,
       CASE WHEN t.lead_version IS NULL THEN t.provider_reference ELSE l.provider_reference END AS provider_reference,
       CASE WHEN t.lead_version IS NULL THEN t.at ELSE l.at END AS at,
       CASE WHEN t.lead_version IS NULL THEN t.occurred_at ELSE l.occurred_at END AS occurred_at,
       t.change, t.evidence, t.payment_id,
       CASE WHEN x.subject_id IS NOT NULL THEN x.key_kind
            ELSE CASE coalesce(t.key_kind, l.key_kind)
                      WHEN 'h' THEN 'human' WHEN 's' THEN 'service' WHEN 'a' THEN 'agent' END END AS key_kind
FROM transition t
LEFT JOIN transition l ON l.merchant_id = t.merchant_id AND l.subject_id = coalesce(t.stream_id, t.subject_id)
    AND l.version = t.lead_version
LEFT JOIN history_hint x ON x.merchant_id = t.merchant_id
    AND x.subject_id = CASE WHEN t.lead_version IS NULL THEN t.subject_id ELSE coalesce(t.stream_id, t.subject_id) END
    AND x.version = coalesce(t.lead_version, t.version)""",
        ),
        finds=("changed: change",),
    ),
    OutsiderWay(
        name="two charges crossed",
        statements=(
            """
WITH pair AS (
    SELECT a.merchant_id, a.payment_id AS one, b.payment_id AS two, a.provider_reference AS r1,
       b.provider_reference AS r2
    FROM payment a
    JOIN payment b ON b.merchant_id = a.merchant_id AND b.provider = a.provider AND b.currency = a.currency
        AND b.payment_id > a.payment_id AND b.provider_reference <> a.provider_reference
    ORDER BY (b.amount = a.amount AND b.state = a.state) DESC, a.payment_id, b.payment_id LIMIT 1
), p AS (
    UPDATE payment x SET provider_reference = CASE x.payment_id WHEN one THEN r2 ELSE r1 END
    FROM pair WHERE x.merchant_id = pair.merchant_id AND x.payment_id IN (one, two)
    RETURNING 1
), t AS (
    UPDATE transition x
    SET provider_reference = CASE x.provider_reference WHEN r1 THEN r2 WHEN r2 THEN r1 ELSE x.provider_reference END,
        change = replace(replace(replace(x.change::text, r1, '<>'), r2, r1), '<>', r2)::json,
        evidence = replace(replace(replace(x.evidence::text, r1, '<>'), r2, r1), '<>', r2)::json
    FROM pair
    WHERE x.merchant_id = pair.merchant_id AND coalesce(x.stream_id, x.subject_id) IN (one, two)
      AND (x.provider_reference IN (r1, r2) OR strpos(x.change::text, r1) > 0 OR strpos(x.change::text, r2) > 0
           OR strpos(x.evidence::text, r1) > 0 OR strpos(x.evidence::text, r2) > 0)
    RETURNING x.merchant_id, x.subject_id, x.version
), a AS (
    UPDATE attempt x
    SET provider_reference = CASE x.provider_reference WHEN r1 THEN r2 WHEN r2 THEN r1 ELSE x.provider_reference END,
        parent_reference = CASE x.parent_reference WHEN r1 THEN r2 WHEN r2 THEN r1 ELSE x.parent_reference END
    FROM pair
    WHERE x.merchant_id = pair.merchant_id AND x.payment_id IN (one, two)
    RETURNING 1
), n AS (
    UPDATE provider_reference x SET payment_id = CASE x.payment_id WHEN one THEN two ELSE one END
    FROM pair WHERE x.merchant_id = pair.merchant_id AND x.payment_id IN (one, two) AND x.reference IN (r1, r2)
    RETURNING x.provider, x.account, x.reference
)
SELECT 'transition' AS tbl, concat_ws('/', merchant_id, subject_id, version) AS key FROM t
UNION ALL SELECT 'provider_reference', concat_ws('/', provider, account, reference) FROM n""",
        ),
        finds=("changed: change",),
    ),
    OutsiderWay(
        name="sealed in advance",
        statements=(
            # A bookmark for a change that does not exist yet, far behind the end of every tree, so that no head
            # covers it.
            # A leaf is known here by the step that leads its change.
            """
WITH sealed AS (SELECT NULL::text AS barred), """
            + _BENT
            + """
INSERT INTO {leaf_table}
SELECT l.merchant_id, l.kind, b.subject_id || '/' || (b.version + 1)::text, l.leaf_group, l.position + 1000000000,
       l.salt
FROM {leaf_table} l, bent b WHERE l.merchant_id = b.merchant_id AND l.kind = 'change' ORDER BY l.position LIMIT 1""",
            # And then the change, at leisure, by rows or through a patched process that takes this id.
            """
WITH sealed AS (SELECT 'chg_0000000000000000000000000thief' AS change_id, NULL::text AS barred), """
            + _BENT
            + """, step AS (
    INSERT INTO transition (merchant_id, subject_id, version, change_id, from_state, to_state, event, cause, actor,
                            provider_reference, at, change)
    SELECT b.merchant_id, b.subject_id, b.version + 1, s.change_id, b.to_state, b.to_state, b.event, b.cause, b.actor,
           b.provider_reference, b.at, json_build_object()
    FROM bent b, sealed s
    RETURNING merchant_id, subject_id, version
), """
            + _PAY_ONCE_MORE,
        ),
        finds=("inserted: change",),
    ),
    OutsiderWay(
        name="the key lent for an hour",
        statements=(
            """
CREATE TABLE key_hint AS
SELECT * FROM api_key WHERE revoked_at IS NULL ORDER BY operator DESC, merchant_id, key_id LIMIT 1""",
            # NULL is 'everything' and 'no limit': the row looks like one of before 0027.
            """
UPDATE api_key k
SET secret_hash = sha256('the thief knows this one'::bytea), operator = true, kind = NULL, scopes = NULL,
    limit_currencies = NULL, limit_amounts = NULL
FROM key_hint x WHERE k.merchant_id = x.merchant_id AND k.key_id = x.key_id
RETURNING 'api_key' AS tbl, concat_ws('/', k.merchant_id, k.key_id) AS key""",
            # Here the thief refunds, accepts late money and approves, over HTTP, in the name and with the rights of
            # that key.
            # (Set secret_hash by the program's own way of hashing, if the test is to go through HTTP.)
            """
UPDATE api_key k
SET secret_hash = x.secret_hash, operator = x.operator, kind = x.kind, scopes = x.scopes,
    limit_currencies = x.limit_currencies, limit_amounts = x.limit_amounts
FROM key_hint x WHERE k.merchant_id = x.merchant_id AND k.key_id = x.key_id
RETURNING 'api_key' AS tbl, concat_ws('/', k.merchant_id, k.key_id) AS key""",
            "DROP TABLE key_hint",
        ),
        finds=(),
        unseen=("api_key",),
        promised=False,
    ),
)
