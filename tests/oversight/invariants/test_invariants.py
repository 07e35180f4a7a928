"""Each invariant is broken by hand and caught; what the platform itself writes breaks none."""

from __future__ import annotations

import asyncio

import asyncpg
import msgspec
import pytest

from tallystick.flows.assembly import open_runtime
from tallystick.oversight.invariants import INVARIANTS, examine, verify
from tallystick.oversight.invariants.finding import Finding
from tallystick.oversight.invariants.report import KEPT, Findings, InvariantName
from tallystick.record.postgres import payment_record
from tallystick.record.postgres.connections import FIND_BY_KEY
from tests.support.breaks import BREAKS, Break
from tests.support.database import Database
from tests.support.factories import InstantProvider
from tests.support.sample import NOT_PAYMENTS, SCRIPTS, SETTINGS, Client, Sample


async def test_what_the_platform_writes_breaks_nothing(connection: asyncpg.Connection, sample: Sample) -> None:
    report = await verify(connection, settings=SETTINGS, merchant_id=sample.merchant)
    assert report.violations == ()
    assert report.holds
    payments = len(msgspec.structs.fields(Sample)) - len(NOT_PAYMENTS)
    assert report.checked == {
        "merchants": 1,
        "payments": payments,
        "refunds": 5,
        "disputes": 4,
        "other_subjects": 3,  # cases: of each rejection that alerts
        "attempts": payments + 7,  # 4 refunds (one was made at the provider), 2 captures, a cancel
        "transitions": report.checked["transitions"],
        "transfers": report.checked["transfers"],
        "rejections": 4,  # money that moved late, twice, and a capture
        "instructions": payments + 8,  # and the capture that was refused
    }


@pytest.mark.asyncio(loop_scope="session")  # as its connection
@pytest.mark.parametrize("break_", BREAKS, ids=lambda break_: f"{break_.invariant}: {break_.how}")
async def test_broken_by_hand(owner: asyncpg.Connection, sample: Sample, break_: Break) -> None:
    transaction = owner.transaction()
    await transaction.start()
    try:
        tag = await owner.execute(break_.statement.format(**msgspec.structs.asdict(sample)))
        assert not tag.endswith(" 0"), "the statement found nothing to break"
        report = await examine(owner, settings=SETTINGS, merchant_id=sample.merchant)
    finally:
        await transaction.rollback()
    assert break_.invariant in report.broken()
    assert not report.holds
    found = [violation for violation in report.violations if violation.invariant == break_.invariant]
    assert all(violation.subject_id and violation.detail for violation in found)
    of_platform = break_.invariant in {each.name for each in INVARIANTS if each.of_platform}
    assert {violation.merchant_id for violation in found} == {"" if of_platform else sample.merchant}


#: The break of ``one_payment_per_charge``, beside an account of its own.
_AT_ANOTHER_ACCOUNT = (
    "UPDATE payment SET provider_reference = 'ch_{captured}'"
    " WHERE merchant_id = '{merchant}' AND payment_id = '{refunded}'",
    "UPDATE attempt SET account = 'second' WHERE merchant_id = '{merchant}' AND payment_id = '{refunded}'",
)


@pytest.mark.asyncio(loop_scope="session")  # as its connection
async def test_a_name_is_its_accounts(owner: asyncpg.Connection, sample: Sample) -> None:
    """Two accounts of one provider may have the same name for two charges."""
    transaction = owner.transaction()
    await transaction.start()
    broken = []
    try:
        for statement in _AT_ANOTHER_ACCOUNT:
            await owner.execute(statement.format(**msgspec.structs.asdict(sample)))
            broken.append((await examine(owner, settings=SETTINGS, merchant_id=sample.merchant)).broken())
    finally:
        await transaction.rollback()
    assert ["one_payment_per_charge" in each for each in broken] == [True, False]


def test_every_invariant_is_broken_by_some_test() -> None:
    assert {each.invariant for each in BREAKS} == {each.name for each in INVARIANTS}


def test_every_invariant_has_one_name_and_a_sentence() -> None:
    names = [each.name for each in INVARIANTS]
    assert len(set(names)) == len(names)
    assert all(each.says.endswith(".") for each in INVARIANTS)


async def test_pages_see_every_payment_once(
    connection: asyncpg.Connection, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = await verify(connection, settings=SETTINGS, merchant_id=sample.merchant)
    monkeypatch.setattr(payment_record, "PAGE_STREAMS", 2)
    seen: list[tuple[int, int]] = []
    paged = await verify(
        connection,
        settings=SETTINGS,
        merchant_id=sample.merchant,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert paged.checked == whole.checked
    total = whole.checked["payments"]
    assert seen == [(min(done, total), total) for done in range(2, total + 2, 2)]


async def test_a_lead_on_another_page_is_read(
    database: Database, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await asyncpg.connect(database.owner_url)
    transaction = owner.transaction()
    await transaction.start()
    try:
        await owner.execute(
            "UPDATE transition SET stream_id = $1 WHERE stream_id = $2 AND lead_version IS NOT NULL",
            sample.captured,
            sample.declined,
        )
        one_page = await examine(owner, settings=SETTINGS, merchant_id=sample.merchant)
        monkeypatch.setattr(payment_record, "PAGE_STREAMS", 1)
        pages = await examine(owner, settings=SETTINGS, merchant_id=sample.merchant)
    finally:
        await transaction.rollback()
        await owner.close()
    assert "history_replays_to_state" in one_page.broken()
    assert pages.violations == one_page.violations
    assert not [each for each in pages.violations if "lead" in each.detail]


async def test_pages_are_planned_by_key_again(connection: asyncpg.Connection, sample: Sample) -> None:
    """Statements about whole tables are not, and leave no setting behind."""
    async with connection.transaction():
        await examine(connection, settings=SETTINGS, merchant_id=sample.merchant)
        assert {name: await connection.fetchval(f"SHOW {name}") for name in FIND_BY_KEY} == FIND_BY_KEY


async def test_all_merchants_and_their_parts(connection: asyncpg.Connection, sample: Sample) -> None:
    one = await verify(connection, settings=SETTINGS, merchant_id=sample.merchant)
    everyone = await verify(connection, settings=SETTINGS)
    assert everyone.checked["merchants"] >= one.checked["merchants"]
    assert everyone.checked["payments"] >= one.checked["payments"]
    assert not [each for each in everyone.violations if each.merchant_id == sample.merchant]


async def test_a_live_system_shows_no_false_violations(
    database: Database, connection: asyncpg.Connection, fresh_merchant: str
) -> None:
    """Snapshots taken while payments are on their way hold every invariant too."""
    async with open_runtime(SETTINGS, database.app_url, providers={"simulator": InstantProvider(SCRIPTS)}) as runtime:
        client = Client(runtime, fresh_merchant)

        async def pay(number: int) -> None:
            payment = await client.create(f"live-{number}", "ok", "manual")
            await client.capture(payment, 600)
            await client.refund(payment, 100)

        async def keep_paying() -> None:
            for number in range(0, 100, 10):
                await asyncio.gather(*(pay(number + n) for n in range(10)))

        paying = asyncio.create_task(keep_paying())
        examined = 0
        while not paying.done():
            report = await verify(connection, settings=SETTINGS, merchant_id=fresh_merchant)
            assert report.violations == ()
            examined += 1
        await paying
    assert examined > 1
    report = await verify(connection, settings=SETTINGS, merchant_id=fresh_merchant)
    assert (report.holds, report.checked["payments"], report.checked["refunds"]) == (True, 100, 100)


def test_a_flood_of_violations_is_counted_and_bounded() -> None:
    findings = Findings([InvariantName("one", "One."), InvariantName("other", "Other.")], ("payments",))
    findings.add("one", "m1", (Finding(f"pay_{number}", "is wrong") for number in range(3 * KEPT)))
    report = findings.report(elapsed_ms=1)
    assert [(result.name, result.violations) for result in report.results] == [("one", 3 * KEPT), ("other", 0)]
    assert len(report.violations) == KEPT
    assert report.to_builtins()["holds"] is False
    assert report.to_builtins()["violations"][0] == {
        "invariant": "one",
        "merchant_id": "m1",
        "subject_id": "pay_0",
        "detail": "is wrong",
    }
