"""The history as it is exported, and the stored books that an opinion is compared with."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import psycopg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg.rows import dict_row

from tests.guarantees.second_opinion.interpreter import Transfer

#: The columns of history that say what happened and when; who did it and why is no part of the books.
HISTORY: Final = """
    SELECT merchant_id, stream_id, subject, subject_id, version, change_id, from_state, event, to_state, change,
           to_json(at) AS at
    FROM history
    WHERE merchant_id = coalesce(%s, merchant_id)
    ORDER BY merchant_id, stream_id, subject_id, version
"""

#: The tables of the subjects: kind -> the table's key.
SUBJECTS: Final = {
    "payment": "payment_id",
    "attempt": "attempt_id",
    "refund": "refund_id",
    "dispute": "dispute_id",
    "rejected_case": "case_id",
    "alert": "alert_id",
    "settled_batch": "batch_id",
    "settlement": "settlement_id",
    "bank_statement": "statement_id",
    "reconciliation": "reconciliation_id",
}


def history(
    connection: psycopg.Connection[Any], merchant_id: str | None = None, keys: Mapping[str, bytes] | None = None
) -> list[str]:
    """The history of one merchant, or of all: a JSON object a line, each subject's in the order of its versions.
    ``keys``: of personal fields, for whoever may read the history alone."""
    keys = keys_of(connection) if keys is None else keys
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = list(cursor.execute(HISTORY, (merchant_id,)))
    return [json.dumps(_opened(row, keys.get(row["stream_id"]))) for row in rows]


def keys_of(connection: psycopg.Connection[Any]) -> dict[str, bytes]:
    """Payment -> the key of its personal fields."""
    return dict(connection.execute("SELECT payment_id, personal_key FROM payment WHERE personal_key IS NOT NULL"))


def _opened(row: dict[str, Any], key: bytes | None) -> dict[str, Any]:
    """A step with its personal fields, which are under the key of its payment: AES-128-GCM with a nonce of zeros. Both
    of them are a list, and one is an object."""
    sealed = row["change"].pop("personal", None)
    if sealed is not None and key is not None:
        about = f"personal/{row['merchant_id']}/{row['stream_id']}".encode()
        opened = json.loads(AESGCM(key).decrypt(bytes(12), base64.b64decode(sealed), about))
        row["change"] |= opened if isinstance(opened, dict) else {"description": opened[0], "metadata": opened[1]}
    elif sealed is not None and not {"description", "metadata"} & row["change"].keys():
        row["change"] |= {"description": "[erased]", "metadata": {"[erased]": "[erased]"}}
    return row


class Books(NamedTuple):
    """What is stored: rows as JSON has them, so that they are comparable with the history's."""

    subjects: dict[tuple[str, str, str], dict[str, Any]]  # (merchant, kind, id) -> the row
    balances: dict[tuple[str, str, str], list[int]]  # (merchant, account, currency) -> [debits, credits]
    transfers: list[Transfer]


def stored_books(connection: psycopg.Connection[Any], merchant_id: str | None = None) -> Books:
    """The books of one merchant, or of all."""
    mine = "WHERE merchant_id = coalesce(%s, merchant_id)"
    subjects = {
        (row["merchant_id"], kind, row[key]): row
        for kind, key in SUBJECTS.items()
        for row in _rows(connection, f"SELECT to_jsonb(stored) FROM {kind} stored {mine}", merchant_id)
    }
    balances = {
        (merchant, account, currency): [int(debits), int(credits)]
        for merchant, account, currency, debits, credits in connection.execute(
            f"SELECT merchant_id, account, currency, debits, credits FROM balance {mine}", (merchant_id,)
        )
    }
    transfers = connection.execute(
        "SELECT merchant_id, stream_id, subject_id, version, kind, debit, credit, amount, currency"
        f" FROM transfer {mine} ORDER BY merchant_id, stream_id, subject_id, version, leg",
        (merchant_id,),
    )
    return Books(subjects, balances, [Transfer._make(row) for row in transfers])


def _rows(connection: psycopg.Connection[Any], statement: str, merchant_id: str | None) -> Iterator[dict[str, Any]]:
    for (row,) in connection.execute(statement.encode(), (merchant_id,)):
        yield row
