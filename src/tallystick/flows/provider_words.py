"""The door for what providers say: everything passes here before it becomes part of a change, a row, an answer, a log
line or an alert. Calls pass through ``ScreenedProvider``, events through ``envelope_of``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from tallystick.domain.provider_words import OWN_NAMES, own_name, without_cards
from tallystick.kit.card_mask import mask_cards_within
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.providers.port import ProviderCall
from tallystick.record.name_seal import NameSeal
from tallystick.record.sealing import Sealer

log = get_logger("tallystick.flows.provider_words")

Said = TypeVar("Said", bound=Struct)

#: One alert of an account and kind in this long: a provider has to be told, and an hour wakes nobody twice.
ALERT_EVERY_S: Final = 3_600.0

#: (provider, account, what was found).
Alert = Callable[[str, str, str], None]

MASKED: Final = "text masked"
SEALED: Final = "name sealed"


class ProviderWords:
    """Screens what providers say, with one process's keys. ``alert``: by default a sampled log line, which needs a
    running event loop."""

    def __init__(self, sealer: Sealer, alert: Alert | None = None) -> None:
        self._names = NameSeal(sealer)
        self._lines = SampledLines(ALERT_EVERY_S)
        self._alert = alert or self._log

    def screened(self, said: Said, provider: str, account: str) -> Said:
        """A verdict, a notification or anything else that a provider said, without card numbers. Raises OSError and
        SettingsError where a name has to be sealed, and there is no key."""

        def keep_name(name: str) -> str:
            kept = self._names.kept(name, provider)
            if kept is not name:
                self._alert(provider, account, SEALED)
            return kept

        return without_cards(said, keep_name, lambda _: self._alert(provider, account, MASKED))

    def screened_stored(self, said: Said, provider: str, account: str) -> Said:
        """The same of what an earlier release may have stored without a screen: its names are those that the record of
        its time has, and stay."""
        return without_cards(said, lambda name: name, lambda _: self._alert(provider, account, MASKED))

    def screened_json(self, said: Any, provider: str, account: str) -> Any:
        """Parsed JSON as a provider wrote it, for a person to look at."""
        clear = mask_cards_within(said)
        if clear is not said:
            self._alert(provider, account, MASKED)
        return clear

    def report_masked(self, provider: str, account: str) -> None:
        """Card numbers were masked in a text of the provider's, elsewhere than here."""
        self._alert(provider, account, MASKED)

    async def screened_charges(
        self, charges: AsyncIterator[Mapping[str, Any]], provider: str
    ) -> AsyncIterator[Mapping[str, Any]]:
        """A provider's list of charges. Their ids are names of the provider's, beside names of ours."""
        async for charge in charges:
            ours = {name: _own(charge[name]) for name in OWN_NAMES & charge.keys()}
            yield {**mask_cards_within(charge), **ours, "id": self._names.kept(str(charge.get("id")), provider)}

    def kept_name(self, name: str, provider: str) -> str:
        """A provider's name for something as it is stored."""
        return self._names.kept(name, provider)

    def given_name(self, name: str, provider: str) -> str:
        """A provider's name for something that a person gives, as it is stored."""
        return self._names.given(name, provider)

    def opened_name(self, name: str, provider: str) -> str:
        """A provider's name for something as the provider knows it. Raises as ``addressed``."""
        return self._names.opened(name, provider)

    def addressed(self, call: ProviderCall, provider: str) -> ProviderCall:
        """A call with the names that the provider knows. Raises SealBroken; OSError and SettingsError without a key."""
        parent, own = call.parent_reference, call.reference
        opened_parent = None if parent is None else self._names.opened(parent, provider)
        opened_own = None if own is None else self._names.opened(own, provider)
        if opened_parent is parent and opened_own is own:
            return call
        return replace(call, parent_reference=opened_parent, reference=opened_own)

    def flush(self) -> None:
        """Log what is still counted."""
        self._lines.flush()

    def _log(self, provider: str, account: str, what: str) -> None:
        def say(since_last_line: int) -> None:
            log.error(
                "card data in what a provider said",
                alert=True,
                provider=provider,
                account=account,
                what=what,
                since_last_line=since_last_line,
                next="tell the provider; the number is masked in the record, or sealed where it was a name",
            )

        self._lines.line((provider, account, what), say)


def _own(names: Any) -> Any:
    """A name of ours, or several."""
    if isinstance(names, str):
        return own_name(names)
    return [_own(each) for each in names] if isinstance(names, list | tuple) else mask_cards_within(names)
