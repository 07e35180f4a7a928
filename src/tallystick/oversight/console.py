"""What the console reads of the record, in one place: its pages reach the record through oversight alone."""

from __future__ import annotations

from tallystick.record.postgres.console_reads import FirstSteps as FirstSteps
from tallystick.record.postgres.console_reads import first_steps as first_steps
from tallystick.record.postgres.console_reads import holders_of as holders_of
from tallystick.record.postgres.console_reads import keys_of as keys_of
from tallystick.record.postgres.deployments import Deployment as Deployment
from tallystick.record.postgres.number_reads import NumberReads as NumberReads
from tallystick.record.postgres.operator_reads import OperatorReads as OperatorReads
from tallystick.record.postgres.other_names import Named as Named
from tallystick.record.postgres.other_names import NamedKind as NamedKind
from tallystick.record.postgres.other_names import named_by as named_by
from tallystick.record.postgres.provider_circuits import read_circuits as read_circuits
from tallystick.record.postgres.provider_pauses import read_pauses as read_pauses
from tallystick.record.postgres.queues import QUEUES as QUEUES
from tallystick.record.postgres.queues import Queue as Queue
from tallystick.record.postgres.queues import QueueItem as QueueItem
from tallystick.record.postgres.queues import read_queue as read_queue
from tallystick.record.postgres.reads import Reads as Reads
from tallystick.record.postgres.refused_webhooks import RefusedWebhooks as RefusedWebhooks
from tallystick.record.postgres.trace_find import FoundPayment as FoundPayment
from tallystick.record.postgres.trace_find import found_by as found_by
from tallystick.record.postgres.trace_find import merchant_of as merchant_of
from tallystick.record.postgres.trace_parts import TraceRows as TraceRows
from tallystick.record.postgres.trace_rows import trace_rows as trace_rows
from tallystick.record.postgres.trends import SavedFilter as SavedFilter
from tallystick.record.postgres.work_lists import OWNED_LISTS as OWNED_LISTS
from tallystick.record.postgres.work_lists import OwnedList as OwnedList
from tallystick.record.postgres.work_lists import Total as Total
from tallystick.record.postgres.work_lists import WorkFilter as WorkFilter
from tallystick.record.postgres.work_lists import WorkItem as WorkItem
from tallystick.record.postgres.work_lists import WorkList as WorkList
from tallystick.record.postgres.work_lists import WorkReads as WorkReads
