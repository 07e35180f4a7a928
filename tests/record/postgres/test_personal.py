"""Personal fields at the record's edge: what rows have of them, and that nothing else changes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tallystick.domain.change import Change
from tallystick.domain.personal import ERASED, ERASED_METADATA, PersonalValues, erased_fields, erased_request
from tallystick.domain.requests.fingerprint import fingerprint
from tallystick.kit.clock import utc_now
from tallystick.kit.ids import new_id
from tallystick.lab.bench.workload import BODY, approval, create_change, new_instruction, settled_change
from tallystick.record.postgres.arrival_keys import is_wrapped, new_key, unwrapped, wrapped
from tallystick.record.postgres.personal import (
    KEY_BYTES,
    Personal,
    instruction_of,
    new_rows_of,
    sealed_change,
    sealed_text,
)
from tallystick.record.postgres.rows import ChangeRows

WITHOUT = {name: value for name, value in BODY.items() if name not in ("description", "metadata")}
VALUES = PersonalValues(description=BODY["description"], metadata=BODY["metadata"])
GONE = PersonalValues(description=ERASED, metadata=ERASED_METADATA)


def life(body: dict[str, Any]) -> tuple[Change, Change]:
    """A payment that is charged at once."""
    create = create_change(new_instruction(new_id("key"), body=body), new_id("pay"), body)
    return create, settled_change(create, approval("ch_1", 4999, "EUR", utc_now()))


def test_a_payment_without_personal_fields_is_written_as_it_was_decided() -> None:
    for change in life(WITHOUT):
        rows = ChangeRows(change)
        assert new_rows_of(change) is None
        assert [row[14] for row in rows.transitions] == [
            msgspec.json.encode(step.change).decode() for step in change.transitions
        ]
        assert [row[3] for row in rows.responses] == [answer.body for answer in change.responses]
        for row in rows.instructions:
            assert change.claim is not None and (row[5], row[7]) == (change.claim.fingerprint, change.claim.request)
        assert {row[-1] for row in rows.subjects.by_write.get("insert_payments", ())} <= {None}


def test_personal_fields_add_no_row() -> None:
    counts = [[ChangeRows(change).count for change in life(body)] for body in (WITHOUT, BODY)]
    assert counts[0] == counts[1]


def test_one_row_alone_has_them_and_its_key_opens_the_history() -> None:
    create, settle = life(BODY)
    rows, later = ChangeRows(create), ChangeRows(settle)
    [payment] = rows.subjects.by_write["insert_payments"]
    key, name = payment[-1], (create.merchant_id, create.stream_id)
    assert len(key) == KEY_BYTES and key != ChangeRows(create).subjects.by_write["insert_payments"][0][-1]
    written = repr([rows.transitions, rows.instructions, rows.messages, later.transitions, later.responses])
    assert "two tickets" not in written and "20931" not in written
    [change] = [row[14] for row in rows.transitions if row[1] == create.stream_id]
    said = create.transitions[0].change
    assert msgspec.json.decode(Personal(values=VALUES, key=key).opened(change, *name)) == msgspec.to_builtins(said)
    erased = msgspec.json.decode(Personal(values=GONE).opened(change, *name))
    assert (erased["description"], erased["metadata"]) == (ERASED, dict(ERASED_METADATA))
    assert erased.keys() == said.keys()
    for other in (Personal(values=VALUES, key=bytes(KEY_BYTES)).opened(change, *name),
                  Personal(values=VALUES, key=key).opened(change, name[0], new_id("pay"))):  # fmt: skip
        assert "personal" in msgspec.json.decode(other), "no replay takes it for something else"


NAME = ("m1", "pay_1")
KEY = bytes(range(KEY_BYTES))

#: The personal fields of a first step, and what is stored beside their ciphertext.
STEPS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"description": "of one"}, {"description": ERASED}),
    ({"metadata": {"a": "b"}}, {"metadata": dict(ERASED_METADATA)}),
    ({"description": "of one", "metadata": {}}, {"description": ERASED, "metadata": {}}),
    ({"description": "", "metadata": {"a": "b"}}, {"description": "", "metadata": dict(ERASED_METADATA)}),
    ({"description": "of one", "metadata": {"a": "b"}}, {}),
]


@pytest.mark.parametrize(("fields", "beside"), STEPS)
def test_a_step_has_the_holes_that_do_not_follow(fields: dict[str, Any], beside: dict[str, Any]) -> None:
    said = {"amount": 1, **fields, "provider": "bank"}
    stored = sealed_change(KEY, said, *NAME)
    assert stored == {"amount": 1, **beside, "provider": "bank", "personal": stored["personal"]}
    text = msgspec.json.encode(stored).decode()
    assert msgspec.json.decode(Personal(values=VALUES, key=KEY).opened(text, *NAME)) == said
    erased = msgspec.json.decode(Personal(values=GONE).opened(text, *NAME))
    assert erased == erased_fields(said) and erased.keys() == said.keys()
    assert sealed_change(KEY, said, "m1", "pay_2")["personal"] != stored["personal"], "bound to its payment"


def test_rows_of_before_have_both_holes_and_an_object() -> None:
    """As they were written until 2026-11-27."""
    fields = {"description": "of one", "metadata": {"a": "b"}}
    sealed = sealed_text(KEY, msgspec.json.encode(fields), *NAME)
    holes = {"description": ERASED, "metadata": dict(ERASED_METADATA)}
    text = msgspec.json.encode({"amount": 1, **holes, "personal": sealed}).decode()
    assert msgspec.json.decode(Personal(values=VALUES, key=KEY).opened(text, *NAME)) == {"amount": 1, **fields}
    assert msgspec.json.decode(Personal(values=GONE).opened(text, *NAME)) == {"amount": 1, **holes}


@pytest.mark.parametrize("plain", [b"[]", b'["of one"]', b'["of one",{},1]', b"1", b"null"])
def test_what_is_no_pair_stays_closed(plain: bytes) -> None:
    text = msgspec.json.encode({"amount": 1, "personal": sealed_text(KEY, plain, *NAME)}).decode()
    assert Personal(values=VALUES, key=KEY).opened(text, *NAME) == text


@pytest.mark.parametrize("erased_by", [None, "apr_1"])
def test_an_instruction_is_read_whole_unless_it_is_erased(erased_by: str | None) -> None:
    create, settle = life(BODY)
    claim, rows = create.claim, ChangeRows(create)
    assert claim is not None
    [row], values = rows.instructions, VALUES if erased_by is None else GONE
    stored = instruction_of(
        {
            "merchant_id": claim.merchant_id,
            "idempotency_key": claim.idempotency_key,
            "instruction_id": claim.instruction_id,
            "operation": claim.operation,
            "path": claim.path,
            "fingerprint": row[5],
            "fingerprint_version": 1,
            "request": row[7],
            "payment_id": claim.payment_id,
            "subject_id": claim.subject_id,
            "status": 201,
            "body": ChangeRows(settle).responses[0][3],
            "api_version": None,
            "description": values.description,
            "metadata": msgspec.json.encode(values.metadata).decode(),
            "erased_by": erased_by,
        }
    )
    assert stored.erased is (erased_by is not None)
    masked = erased_request(claim.request)
    gone = (masked, fingerprint("POST", claim.path, masked))
    assert (stored.request, stored.fingerprint) == (gone if erased_by else (claim.request, claim.fingerprint))
    assert (stored.body == settle.responses[0].body) is (erased_by is None)


def test_bytes_of_an_arrival_are_opened_by_the_key_of_its_event_alone() -> None:
    sealed = b"\x01key1" + bytes(60)
    key, name = new_key(), ("simulator", "main", "evt", "dlv_1")
    kept = wrapped(key, sealed, name)
    assert is_wrapped(kept) and kept[1:5] == b"key1" and len(kept) == len(sealed) + 5 + 16
    assert unwrapped(key, kept, name) == sealed
    assert unwrapped(None, kept, name) == unwrapped(new_key(), kept, name) == b""
    assert unwrapped(key, kept, (*name[:3], "dlv_2")) == b""
    assert unwrapped(None, sealed, name) == sealed, "of an older release"
