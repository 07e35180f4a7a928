"""Every currency that a payment was ever made in here, with the decimals of its minor unit. Pure data.

The list of ISO 4217 changes, and payments outlive a change: what has left the list can still be captured, refunded and
disputed. So this table only grows. An exponent in it never changes while a payment of that currency is open: amounts in
minor units, and the balances that they add up to, would be worth ten times as much or a tenth.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

#: Decimals -> codes. ISO gives none ("N.A.") to what cannot be paid with: metals (XAU …), XDR, XSU and XUA, bond-market
#: units (XBA …), XTS (testing) and XXX (no currency).
_BY_EXPONENT: Final[Mapping[int, str]] = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF "
        "CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG "
        "HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR "
        "MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD "
        "SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD "
        "XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}

#: Decimals of every currency's minor unit: JPY 0, EUR 2, KWD 3.
EXPONENTS: Final[Mapping[str, int]] = {code: digits for digits, codes in _BY_EXPONENT.items() for code in codes.split()}

#: What has left the list, and when. No new payment is made in it.
LEFT: Final[Mapping[str, date]] = {
    "BGN": date(2026, 1, 1),  # the euro
}
