"""What one process reads and writes beside the journal, over its pool of connections."""

from __future__ import annotations

import asyncpg
from msgspec import Struct

from tallystick.access.accounts import Accounts
from tallystick.access.key_store import OPERATORS
from tallystick.access.stored_keys import StoredKeys
from tallystick.flows.webhooks.inbound.dead_letters import DeadLetters
from tallystick.flows.webhooks.outbound.address_policy import AddressPolicy
from tallystick.flows.webhooks.outbound.dispatch import Dispatch
from tallystick.flows.webhooks.outbound.endpoint_tester import EndpointTester
from tallystick.flows.webhooks.outbound.endpoints import Endpoints, address_policy
from tallystick.kit.clock import Clock
from tallystick.record.postgres.acts import ActBook
from tallystick.record.postgres.alerts import AlertBook
from tallystick.record.postgres.approvals import ApprovalBook
from tallystick.record.postgres.balance_reads import BalanceReads
from tallystick.record.postgres.bank_book import BankBook
from tallystick.record.postgres.cases import CaseBook, EventResultCounts
from tallystick.record.postgres.cases import CaseFilter as CaseFilter
from tallystick.record.postgres.contract_drift import DriftCounts
from tallystick.record.postgres.deployments import DeploymentBook
from tallystick.record.postgres.fee_schedules import FeeScheduleBook
from tallystick.record.postgres.inbox import Inbox
from tallystick.record.postgres.lists import ListedEvent as ListedEvent
from tallystick.record.postgres.lists import Lists
from tallystick.record.postgres.outbox import Outbox
from tallystick.record.postgres.rates import RateBook
from tallystick.record.postgres.reconciliation_told import ToldBook
from tallystick.record.postgres.recovery_schedule import RecoverySchedule
from tallystick.record.postgres.refused_webhooks import RejectedDeliveryCounts
from tallystick.record.postgres.replays import ReplayBook
from tallystick.record.postgres.report_evidence import ReportEvidenceBook
from tallystick.record.postgres.settlement_evidence import EvidenceBook
from tallystick.record.postgres.settlement_files import SettlementFiles
from tallystick.record.postgres.settlement_reports import ReportBook
from tallystick.record.postgres.settlement_waiting import WaitingBook
from tallystick.record.postgres.trends import TrendBook
from tallystick.record.postgres.version_use import VersionUseCounts
from tallystick.record.postgres.webhook_endpoints import EndpointStore
from tallystick.record.postgres.work_owners import WorkOwners
from tallystick.record.sealing import Sealer
from tallystick.settings.load import Settings


class Stores(Struct, frozen=True, kw_only=True):
    """Made once for each process. ``schedule_book`` has what recovery looks at next; ``outbound_book`` has the messages
    that wait and the queues that are leased; ``endpoint_book`` has the rows of webhook endpoints and their deliveries;
    ``endpoints`` has the rules for what a merchant may do with them, and ``endpoint_tester`` sends test messages;
    ``lists`` has what a merchant lists; ``acts`` what operators did, ``cases`` the rejected cases, ``deployments``
    the points of releases and configurations, ``event_results`` the counts of what tries at events came to,
    ``trends`` what the console shows over time, ``work_owners`` who has what waits for a person, ``accounts`` the
    operators who sign in, ``approvals`` what needs a second person of them, ``fee_schedules`` what providers
    agreed to charge, ``bank`` statements beside payouts, ``told`` what merchants were told of settlements,
    ``waiting`` rows that came before what they are about, and ``report_evidence`` what rows of reports that post
    nothing came to."""

    accounts: Accounts
    approvals: ApprovalBook
    api_keys: StoredKeys
    inbox: Inbox
    dead_letters: DeadLetters
    schedule_book: RecoverySchedule
    refused_webhooks: RejectedDeliveryCounts
    contract_drift: DriftCounts
    version_use: VersionUseCounts
    replays: ReplayBook
    rates: RateBook
    trends: TrendBook
    work_owners: WorkOwners
    alerts: AlertBook
    outbound_book: Outbox
    endpoint_book: EndpointStore
    endpoints: Endpoints
    endpoint_tester: EndpointTester
    lists: Lists
    acts: ActBook
    cases: CaseBook
    deployments: DeploymentBook
    event_results: EventResultCounts
    fee_schedules: FeeScheduleBook
    settlement_files: SettlementFiles
    settlement_reports: ReportBook
    evidence: EvidenceBook
    report_evidence: ReportEvidenceBook
    bank: BankBook
    told: ToldBook
    waiting: WaitingBook
    balances: BalanceReads


def stores_on(
    pool: asyncpg.Pool, clock: Clock, settings: Settings, sealer: Sealer, policy: AddressPolicy | None = None
) -> Stores:
    """All of them on one pool and one clock. ``policy`` decides which webhook URLs are allowed; by default the
    settings decide."""
    policy = policy or address_policy(settings)
    inbox = Inbox(pool, clock)
    outbound_book = Outbox(pool, clock)
    endpoint_book = EndpointStore(pool, clock)
    dispatch = Dispatch(outbound_book, settings.outbound_batch)
    return Stores(
        accounts=Accounts(pool),
        approvals=ApprovalBook(pool),
        api_keys=StoredKeys(pool),
        inbox=inbox,
        dead_letters=DeadLetters(inbox, settings),
        schedule_book=RecoverySchedule(pool, clock),
        refused_webhooks=RejectedDeliveryCounts(pool, clock),
        contract_drift=DriftCounts(pool, clock),
        version_use=VersionUseCounts(pool, clock),
        replays=ReplayBook(pool),
        rates=RateBook(pool, clock),
        trends=TrendBook(pool, clock),
        work_owners=WorkOwners(pool),
        alerts=AlertBook(pool, OPERATORS),
        outbound_book=outbound_book,
        endpoint_book=endpoint_book,
        endpoints=Endpoints(endpoint_book, dispatch, sealer, policy, settings),
        endpoint_tester=EndpointTester(endpoint_book, outbound_book, sealer, policy, settings, clock),
        lists=Lists(pool, clock),
        acts=ActBook(pool),
        cases=CaseBook(pool, clock),
        deployments=DeploymentBook(pool),
        event_results=EventResultCounts(pool, clock),
        fee_schedules=FeeScheduleBook(pool),
        settlement_files=SettlementFiles(pool),
        settlement_reports=ReportBook(pool),
        evidence=EvidenceBook(pool, OPERATORS),
        report_evidence=ReportEvidenceBook(pool),
        bank=BankBook(pool, OPERATORS),
        told=ToldBook(pool, OPERATORS),
        waiting=WaitingBook(pool),
        balances=BalanceReads(pool, OPERATORS),
    )
