"""The connector to Adyen, through its official SDK.

Adyen has no look-up: the outcome of an unanswered call is learned by sending it again with the same idempotency key,
which never has two effects, or from a notification. Captures, cancels and refunds are answered
``received`` and decided later, by notification alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import Adyen
from Adyen.exceptions import AdyenAPIResponseError

from tallystick.domain.payment_tokens import PaymentTokens
from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import NotSent, Unknown, Verdict
from tallystick.providers.adyen.answers import read_error, read_modified, read_paid
from tallystick.providers.adyen.codes import EXPONENTS
from tallystick.providers.adyen.read_fields import MODIFIED, PAID, error_drift
from tallystick.providers.adyen.reference import Reference, write_reference
from tallystick.providers.adyen.transport import SdkClient, Transport
from tallystick.providers.http import NothingSent, ProviderHttp, SentUnanswered, refused_here
from tallystick.providers.http_provider import HttpProvider
from tallystick.providers.port import ProviderCall
from tallystick.providers.shared import provider_amount, unanswered, with_api_version

#: Where a URL of theirs names the version of the API.
_VERSION: Final = re.compile(r"/(v[0-9]{1,6})/?\Z", re.ASCII)

#: What can be charged is a stored card of a shopper: ``<shopperReference>.<storedPaymentMethodId>``.
STORED_CARD: Final = PaymentTokens(
    types=("scheme",), pattern=r"[A-Za-z0-9_-]{3,40}\.[A-Za-z0-9]{8,32}", partial_capture=True
)


class AdyenProvider(HttpProvider):
    """One merchant account. ``return_url`` is where a customer comes back to from a bank's own page."""

    name = "adyen"
    provider_exponents = EXPONENTS
    tokens = (STORED_CARD,)

    def __init__(
        self,
        http: ProviderHttp,
        traits: Traits,
        *,
        api_key: str,
        api_url: str,
        merchant_account: str,
        account: str = "main",
        return_url: str | None = None,
    ) -> None:
        super().__init__(http, traits, account)
        named = _VERSION.search(api_url)
        self._api_version = None if named is None else named[1]
        self._merchant_account = merchant_account
        self._transport = Transport(http, api_url)
        self._fixed: dict[str, Any] = {
            "shopperInteraction": "ContAuth",  # with details on file; who may be there acts where the bank asks
            "recurringProcessingModel": "CardOnFile",
        }
        if return_url is not None:
            self._fixed["returnUrl"] = return_url
        client = Adyen.AdyenClient(xapikey=api_key, platform="test")  # the platform only chooses among their URLs
        client.http_client, client.http_init = SdkClient(), True
        checkout = Adyen.AdyenCheckoutApi(client=client)
        self._payments, self._modifications = checkout.payments_api, checkout.modifications_api
        self._payments.baseUrl = self._modifications.baseUrl = ""  # the transport knows where

    async def authorize(self, call: ProviderCall) -> Verdict:
        """POST /payments."""
        if not STORED_CARD.accepts(call.payment_method):
            return NotSent(reason="not a stored payment method of Adyen's")
        # Set either way, whatever the merchant account's own setting is.
        capture = {"captureDelayHours": 0} if call.capture else {"additionalData": {"manualCapture": "true"}}
        try:
            body = self._body(call) | self._amount(call) | self._fixed | capture
        except ValueError as error:
            return NotSent(reason=refused_here(error))
        shopper, _, stored = call.payment_method.partition(".")
        body["shopperReference"] = shopper
        body["paymentMethod"] = {"type": "scheme", "storedPaymentMethodId": stored}
        return await self._send(
            call, partial(self._payments.payments, body), partial(read_paid, call, body["reference"])
        )

    async def capture(self, call: ProviderCall) -> Verdict:
        """POST /payments/{pspReference}/captures; what is not captured is released."""
        return await self._modify(call, self._modifications.capture_authorised_payment)

    async def cancel(self, call: ProviderCall) -> Verdict:
        """POST /payments/{pspReference}/cancels."""
        return await self._modify(call, self._modifications.cancel_authorised_payment_by_psp_reference)

    async def refund(self, call: ProviderCall) -> Verdict:
        """POST /payments/{pspReference}/refunds."""
        return await self._modify(call, self._modifications.refund_captured_payment)

    async def fetch(self, call: ProviderCall) -> Verdict:
        """Adyen has no look-up."""
        return Unknown(reason="no lookup")

    async def _modify(self, call: ProviderCall, operation: Callable[..., Any]) -> Verdict:
        """A cancel tells no amount: a hold that cannot be expressed any more can still be released."""
        if call.parent_reference is None:
            return NotSent(reason=f"there is no payment to {call.operation}")
        try:
            body = self._body(call) | ({} if call.operation == "cancel" else self._amount(call))
            request = partial(operation, body, quote(call.parent_reference, safe=""))
        except ValueError as error:
            return NotSent(reason=refused_here(error))
        return await self._send(call, request, partial(read_modified, call, body["reference"]))

    async def _send(
        self, call: ProviderCall, request: Callable[..., Any], read: Callable[[int, Any], Verdict]
    ) -> Verdict:
        """The verdict, with the version of the API that spoke in its evidence."""
        return with_api_version(await self._answered(call, request, read), self._api_version)

    async def _answered(
        self, call: ProviderCall, request: Callable[..., Any], read: Callable[[int, Any], Verdict]
    ) -> Verdict:
        keyed = partial(request, idempotency_key=call.key)
        try:
            answer = await self._transport.carry_out(keyed, send_by_ms=call.send_by_ms)
            self._drift.note((PAID if call.operation == "authorize" else MODIFIED).drift_in(answer.message))
            return read(answer.status_code, answer.message)
        except (NothingSent, SentUnanswered) as error:
            return unanswered(error)
        except AdyenAPIResponseError as error:
            self._drift.note(error_drift(error.message))
            return read_error(error)
        except Exception as error:  # of the SDK, or of reading an unexpected answer: something may have happened
            return Unknown(reason=f"failed with {type(error).__name__}")

    def _body(self, call: ProviderCall) -> dict[str, Any]:
        """Raises ValueError for ids that cannot be in a reference."""
        return {"merchantAccount": self._merchant_account, "reference": _reference(call)}

    def _amount(self, call: ProviderCall) -> dict[str, Any]:
        """Raises ValueError for what Adyen cannot express."""
        return {"amount": {"value": provider_amount(call, EXPONENTS), "currency": call.currency}}


def _reference(call: ProviderCall) -> str:
    sale = call.operation == "authorize" and call.capture
    return write_reference(Reference(call.merchant_id, call.payment_id, call.attempt_id, call.operation, sale))
