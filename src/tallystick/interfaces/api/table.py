"""Every endpoint, as one table: the application's routes and the OpenAPI document are both made from it."""

from __future__ import annotations

from typing import Final

from tallystick.interfaces.api.endpoint import Endpoint
from tallystick.interfaces.api.routes import (
    acts,
    alerts,
    audit,
    capabilities,
    contract_drift,
    dead_letters,
    deployments,
    disputes,
    erasures,
    in_doubt,
    late_money,
    ledger,
    messages,
    payments,
    provider_events,
    provider_pauses,
    reconciliation,
    refunds,
    refused_webhooks,
    rejections,
    settlement_files,
    trace,
    webhook_deliveries,
    webhook_endpoints,
    webhook_tests,
)

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *capabilities.ENDPOINTS,
    *payments.ENDPOINTS,
    *trace.ENDPOINTS,
    *refunds.ENDPOINTS,
    *disputes.ENDPOINTS,
    *ledger.ENDPOINTS,
    *provider_events.ENDPOINTS,
    *dead_letters.ENDPOINTS,
    *refused_webhooks.ENDPOINTS,
    *contract_drift.ENDPOINTS,
    *rejections.ENDPOINTS,
    *in_doubt.ENDPOINTS,
    *late_money.ENDPOINTS,
    *alerts.ENDPOINTS,
    *settlement_files.ENDPOINTS,
    *reconciliation.ENDPOINTS,
    *erasures.ENDPOINTS,
    *acts.ENDPOINTS,
    *deployments.ENDPOINTS,
    *audit.ENDPOINTS,
    *provider_pauses.ENDPOINTS,
    *messages.ENDPOINTS,
    *webhook_endpoints.ENDPOINTS,
    *webhook_tests.ENDPOINTS,
    *webhook_deliveries.ENDPOINTS,
)
