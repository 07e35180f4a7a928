"""The commands for daily use, on one record with payments of every kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tallystick.access.operator import operator_of_shell
from tallystick.cli import provider_events
from tallystick.interfaces.api.openapi import openapi_document
from tallystick.kit.clock import Clock
from tallystick.kit.ids import new_id
from tallystick.oversight.tail import events_as_they_arrive
from tallystick.record.postgres.connections import open_pool
from tallystick.record.postgres.operator_reads import EventRow, OperatorReads
from tallystick.settings.load import Settings
from tests.support.commands import Ran
from tests.support.inbox import accept, envelope
from tests.support.operators import LONG, MERCHANT, OTHER, World

Command = Callable[..., Ran]

WHY = ("--reason", "the receiver was down")


def documents(ran: Ran) -> Any:
    assert ran.code == 0, ran
    return json.loads(ran.out)


def test_payments_are_found_by_merchant_state_key_reference_amount_and_metadata(world: World, operate: Command) -> None:
    def ids(*arguments: str) -> list[str]:
        return [row["id"] for row in documents(operate("payments", "list", "--json", *arguments))]

    every, sample = ids(), world.sample
    assert world.others in every and sample.captured in every and every == sorted(every, reverse=True)
    assert ids("--merchant", OTHER) == [world.others]
    assert set(ids("--merchant", MERCHANT)) == set(every) - {world.others}
    assert ids("--limit", "1") == every[:1] and ids("--limit", "7") == every[:7]
    assert set(ids("--state", "canceled")) == {sample.canceled}
    assert ids("--idempotency-key", "captured") == [sample.captured]
    assert set(ids("--provider-reference", LONG)) == set(every) - {world.others}
    assert ids("--until", "2020-01-01") == [] and ids("--since", "2020-01-01") == every
    with psycopg.connect(world.database.app_url) as connection:
        (today,) = connection.execute("SELECT (now() AT TIME ZONE 'UTC')::date").fetchone() or (None,)
        (tomorrow,) = connection.execute("SELECT (now() AT TIME ZONE 'UTC')::date + 2").fetchone() or (None,)
    range_ = ("--since", str(today), "--until", str(tomorrow))
    assert ids("--metadata", "name=captured", *range_) == [sample.captured]
    assert set(ids("--currency", "EUR", "--min-amount", "1000", *range_)) == set(every)
    assert ids("--currency", "EUR", "--max-amount", "999", *range_) == []


def test_rows_are_the_views_of_the_api_with_their_merchant(world: World, operate: Command) -> None:
    rows = {row["id"]: row for row in documents(operate("payments", "list", "--json"))}
    refunded = rows[world.sample.refunded]
    assert (refunded["merchant_id"], refunded["object"], refunded["amount"]) == (MERCHANT, "payment", 1_000)
    assert refunded["refunds"] == [world.sample.refund] and rows[world.others]["refunds"] == []
    assert rows[world.sample.disputed]["disputes"] == [world.sample.dispute]


def test_a_payment_is_shown_with_all_that_belongs_to_it(world: World, operate: Command) -> None:
    shown = documents(operate("payments", "show", world.sample.refunded, "--json"))
    payment = shown["payment"]
    assert payment["merchant_id"] == MERCHANT and payment["refunds"] == [world.sample.refund]
    assert [each["id"] for each in shown["refunds"]] == [world.sample.refund]
    assert {each["operation"] for each in shown["attempts"]} == {"authorize", "refund"}
    assert [step["version"] for step in shown["history"]] == list(range(1, payment["version"] + 1))
    assert shown["rejected"] == []
    (refused,) = documents(operate("payments", "show", world.sample.refused, "--json"))["rejected"]
    out = operate("payments", "show", world.sample.refused).out
    assert refused["subject_id"] in out and "Refused" in out
    disputed = operate("payments", "show", world.sample.disputed)
    assert world.sample.dispute in disputed.out and MERCHANT in disputed.out


def test_refunds_and_disputes_are_found_and_shown(world: World, operate: Command) -> None:
    of_one = documents(operate("refunds", "list", "--payment", world.sample.refunded, "--json"))
    assert [(each["id"], each["merchant_id"]) for each in of_one] == [(world.sample.refund, MERCHANT)]
    pending = documents(operate("refunds", "list", "--state", "pending", "--json"))
    assert world.sample.pending_refund in [each["id"] for each in pending]
    assert documents(operate("refunds", "list", "--merchant", OTHER, "--json")) == []
    assert "No such refund." in operate("refunds", "list", "--merchant", OTHER).out
    shown = documents(operate("refunds", "show", world.sample.refund, "--json"))
    assert (shown["merchant_id"], shown["payment_id"]) == (MERCHANT, world.sample.refunded)
    lost = documents(operate("disputes", "list", "--state", "lost", "--json"))
    assert world.sample.lost_dispute in [each["id"] for each in lost]
    assert documents(operate("disputes", "show", world.sample.lost_dispute, "--json"))["state"] == "lost"


@pytest.mark.parametrize("what", ["payments", "refunds", "disputes", "provider-events"])
@pytest.mark.parametrize("of", [[], ["--merchant", MERCHANT]])
def test_pages_follow_each_other_without_a_gap(world: World, operate: Command, what: str, of: list[str]) -> None:
    def ids(*arguments: str) -> list[str]:
        return [row["id"] for row in documents(operate(what, "list", "--json", *of, *arguments))]

    every = ids()
    assert len(every) > 3
    size = -(-len(every) // 3)
    paged = page = ids("--limit", str(size))
    while page:
        page = ids("--limit", str(size), "--before", page[-1])
        paged = paged + page
    assert paged == every
    for unknown in ("x", every[0][:-32] + "0" * 32):
        ran = operate(what, "list", *of, "--before", unknown)
        assert ran.code == 2 and unknown in ran.err


def test_events_are_listed_also_those_of_no_known_payment(world: World, operate: Command) -> None:
    every = documents(operate("provider-events", "list", "--json"))
    assert [each["id"] for each in every] == sorted((each["id"] for each in every), reverse=True)
    assert None in [each["payment_id"] for each in every]
    of_one = documents(operate("provider-events", "list", "--payment", world.sample.dispute_won, "--json"))
    assert len(of_one) == 3 and {each["payment_id"] for each in of_one} == {world.sample.dispute_won}
    assert documents(operate("provider-events", "list", "--merchant", OTHER, "--json")) == []
    trace = documents(operate("provider-events", "show", of_one[0]["id"], "--json"))
    assert trace["payment_id"] == world.sample.dispute_won and trace["checkpoints"]
    printed = operate("provider-events", "tail", "--last", "3", "--count", "3", "--json").out.splitlines()
    assert [json.loads(line) for line in printed] == list(reversed(every[:3]))


async def test_the_tail_has_each_event_once_and_again_when_its_state_changes(world: World) -> None:
    made: list[str] = []
    pool = await open_pool(world.database.app_url, Settings())

    class Ended(Exception):
        """Nothing more is to come."""

    async def pause() -> None:
        """What happens between two looks: two events arrive, then one of them is decided on, then nothing."""
        looks.append("")
        if len(looks) == 1:
            found = [envelope(f"tail-{number}") for number in range(2)]
            await accept(world.database, found)
            made.extend(each.event_id for each in found)
        elif len(looks) == 2:
            await pool.execute("UPDATE inbox SET state = 'retrying' WHERE event_id = $1", made[0])
        elif len(looks) == 4:
            raise Ended

    looks: list[str] = []
    seen: list[EventRow] = []
    try:
        with pytest.raises(Ended):
            async for row in events_as_they_arrive(OperatorReads(pool, Clock()), 1, pause):
                seen.append(row)
        assert [row.event_id for row in seen[1:]] == [*made[:2], made[0]]
        assert [row.state for row in seen[1:]] == ["received", "received", "retrying"]
    finally:
        await pool.execute("UPDATE inbox SET state = 'ignored', next_try_at = NULL WHERE event_id = ANY ($1)", made[:2])
        await pool.close()


def test_ctrl_c_ends_the_tail_as_shells_report_it(operate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(provider_events, "with_record", interrupted)
    ran = operate("provider-events", "tail")
    assert (ran.code, ran.out, ran.err) == (130, "", "")


def test_messages_are_sent_again(world: World, operate: Command) -> None:
    (endpoint,) = documents(operate("webhooks", "endpoints", "--json"))
    assert (endpoint["id"], endpoint["merchant_id"], endpoint["state"]) == (world.endpoint, MERCHANT, "enabled")
    sent = documents(operate("webhooks", "deliveries", world.endpoint, "--json"))
    assert len(sent) > 10 and {each["state"] for each in sent} == {"open"}
    message = sent[0]["message_id"]
    once = ("webhooks", "resend", world.endpoint, message, *WHY, "--idempotency-key", "ticket-7", "--json")
    first, second = documents(operate(*once)), documents(operate(*once))
    assert (first["count"], first["has_more"], first["act"]["repeated"]) == (1, False, False)
    assert second["act"] == first["act"] | {"repeated": True}
    (act,) = documents(operate("acts", "list", "--target", world.endpoint, "--json"))
    assert (act["id"], act["act"], act["operator"]) == (first["act"]["id"], "message.resend", operator_of_shell().name)
    again = documents(operate("webhooks", "deliveries", world.endpoint, "--json", "--limit", "1"))[0]
    assert again["resends"] == 1 and [each["actor"] for each in again["attempts"]] == [operator_of_shell().name]
    with psycopg.connect(world.database.owner_url, autocommit=True) as owner:
        owner.execute(
            "UPDATE message_delivery SET state = 'exhausted', next_try_at = NULL WHERE message_id = %s", (message,)
        )
    exhausted = documents(operate("webhooks", "deliveries", world.endpoint, "--state", "exhausted", "--json"))
    assert [each["message_id"] for each in exhausted] == [message]
    assert operate("webhooks", "resend", world.endpoint, "--since", "2020-01-01", *WHY).code == 0
    assert documents(operate("webhooks", "deliveries", world.endpoint, "--state", "exhausted", "--json")) == []
    with psycopg.connect(world.database.owner_url, autocommit=True) as owner:
        owner.execute("UPDATE webhook_endpoint SET state = 'disabled'")
        refused = operate("webhooks", "resend", world.endpoint, message, *WHY)
        owner.execute("UPDATE webhook_endpoint SET state = 'enabled'")
    assert refused.code == 2 and "nothing is sent to the disabled endpoint we_" in refused.err


def test_merchants_have_keys_and_providers(world: World, operate: Command) -> None:
    rows = {row["merchant_id"]: row for row in documents(operate("merchants", "--json"))}
    assert set(rows) == {MERCHANT, OTHER}
    assert (rows[OTHER]["keys"], rows[OTHER]["default_provider"], rows[OTHER]["operator"]) == (1, "simulator", False)


def test_what_is_not_there_and_what_is_no_id_is_one_line(world: World, operate: Command) -> None:
    lost = {
        ("payments", "show", new_id("pay")): "there is no payment pay_",
        ("payments", "show", world.others, "--merchant", MERCHANT): f"of merchant {MERCHANT}",
        ("payments", "show", "pay_1"): "pay_1 is not the id of a payment: pay_ and 32 of 0-9 and a-f",
        ("payments", "show", new_id("re")): "is not the id of a payment",
        ("payments", "list", "--merchant", "nobody"): "there is no merchant nobody; `tallystick merchants` lists them",
        ("refunds", "show", new_id("re")): "there is no refund re_",
        ("refunds", "show", "x"): "x is not the id of a refund",
        ("refunds", "list", "--payment", "x"): "x is not the id of a payment",
        ("refunds", "list", "--payment", new_id("pay")): "there is no payment pay_",
        ("disputes", "show", new_id("dp")): "there is no dispute dp_",
        ("disputes", "show", "x"): "x is not the id of a dispute",
        ("provider-events", "show", new_id("evt")): "there is no event evt_",
        ("provider-events", "show", "x"): "x is not the id of an event",
        ("webhooks", "deliveries", new_id("we")): "there is no endpoint we_",
        ("webhooks", "deliveries", "x"): "x is not the id of an endpoint",
        ("webhooks", "resend", world.endpoint, new_id("msg"), *WHY): "has no delivery of msg_",
        ("webhooks", "resend", world.endpoint, "x", *WHY): "x is not the id of a message",
    }
    for line, said in lost.items():
        ran = operate(*line)
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1), ran
        assert ran.err.startswith("tallystick: ") and said in ran.err, ran.err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("payments list --state paid", "expected one of"),
        ("refunds list --since 2026-01-02 --until 2026-01-02", "--until must be after --since"),
        ("webhooks deliveries we_00000000000000000000000000000000 --state lost", "expected one of open"),
        ("webhooks resend we_00000000000000000000000000000000 --reason r", "name messages, or give --since"),
        ("payments list --min-amount 5 --since 2026-01-01 --until 2026-01-02", "--currency is required"),
        ("payments list --currency EUR", "--since is required beside amounts, currency and metadata"),
        ("payments list --currency eur", "three capital letters"),
        ("payments list --metadata name", "expected KEY=VALUE"),
        ("payments list --limit 0", "greater than or equal to 1"),
        ("payments list --since yesterday", "should be a valid datetime"),
        ("openapi --version 2001-01-01", "expected one of"),
    ],
)
def test_what_does_not_go_together_is_refused_by_the_names_of_the_options(
    line: str, said: str, operate: Command
) -> None:
    ran = operate(*line.split())
    assert (ran.code, ran.out) == (2, "")
    assert said in " ".join(ran.err.replace("│", " ").split()), ran.err


def test_openapi_is_the_document_that_the_api_answers(operate: Command) -> None:
    for line in (["openapi"], ["openapi", "--json"], ["openapi", "--version", "2026-11-26"]):
        assert documents(operate(*line)) == json.loads(openapi_document())
