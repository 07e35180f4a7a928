"""Settings, from ``TALLYSTICK_*`` variables: each with a default, a unit, bounds and a reason."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, get_type_hints

import msgspec
from msgspec import Meta, Struct

from tallystick.domain.errors import TallystickError
from tallystick.settings.fields import count, ms, port, text
from tallystick.settings.webhooks import WebhookSettings

PREFIX: Final = "TALLYSTICK_"

#: Whole bytes in hexadecimal.
_HMAC_KEY: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+", re.ASCII)

LOG_LEVELS: Final = ("debug", "info", "warning", "error")


class SettingsError(TallystickError):
    """One or more variables cannot be used; the message names each, and no value."""


def default_data_dir() -> str:
    """Where data lives when nothing is said: /var/lib for root, the XDG data directory for a person."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return "/var/lib/tallystick"
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not base.is_absolute():  # unset, or to be ignored (XDG Base Directory Specification)
        base = Path("~").expanduser() / ".local" / "share"
    return str((base / "tallystick").absolute())


class Settings(WebhookSettings, frozen=True, kw_only=True):
    """Everything that can be set. The reasons are printed by ``tallystick settings``."""

    data_dir: Annotated[str, text("Holds the embedded database, the first API key and the acquirer's books.")] = (
        msgspec.field(default_factory=default_data_dir)
    )
    database_url: Annotated[
        str | None, text("A PostgreSQL of your own; without it the embedded one in data_dir is used.")
    ] = None
    migration_database_url: Annotated[
        str | None, text("The schema owner's URL for migrations; without it database_url is used.")
    ] = None
    host: Annotated[str, text("Loopback unless you put the API behind something that ends TLS.")] = "127.0.0.1"
    port: Annotated[int, port("Where the API listens.")] = 8400
    request_head_timeout_ms: Annotated[
        int,
        ms(
            "A connection that has sent no whole request head for this long is closed, be it slow or idle: longer than"
            " the pauses of clients that keep connections open.",
            ge=100,
        ),
    ] = 30_000
    request_body_timeout_ms: Annotated[
        int, ms("How long a body may take to arrive, then 408: 1 MiB at 1 Mbit/s takes 8 s.", ge=50)
    ] = 10_000
    api_processes: Annotated[int, count("One process fills one core; more share the database.", le=256)] = 1
    default_provider: Annotated[str, text("For merchants without a provider of their own.")] = "simulator"
    send_window_ms: Annotated[
        int, ms("After its commit a sender may start writing for this long; later it must not.", ge=50)
    ] = 5_000
    settling_time_ms: Annotated[int, ms("After a sender's deadline, how long until 'no such charge' is evidence.")] = (
        5_000
    )
    max_delivery_delay_ms: Annotated[
        int, ms("Longest a written request may be under way to a provider that does not deduplicate.")
    ] = 60_000
    resubmit_limit: Annotated[int, count("Submissions after the first; then the instruction fails.", ge=0, le=100)] = 2
    recovery_interval_ms: Annotated[int, ms("Pause between two looks at what is due.", ge=10)] = 500
    recovery_batch: Annotated[int, count("Attempts leased at once; a lease must outlast the batch.")] = 200
    recovery_concurrency: Annotated[int, count("Provider look-ups at once from one worker.")] = 64
    recovery_lease_ms: Annotated[
        int, ms("A worker that died frees its attempts after this; longer than a batch takes.", ge=100)
    ] = 60_000
    recovery_backoff_base_ms: Annotated[int, ms("First wait before asking about an unknown outcome.", ge=10)] = 1_000
    recovery_backoff_cap_ms: Annotated[int, ms("Longest wait between two questions.", ge=10)] = 60_000
    recovery_checks_limit: Annotated[
        int, count("Unanswered questions before a person is asked: about 6 minutes with the waits above.")
    ] = 12
    pending_poll_ms: Annotated[int, ms("First wait before asking about a pending outcome.", ge=10)] = 2_000
    pending_deadline_ms: Annotated[
        int, ms("A provider that says pending for longer than a day owes a person an answer.")
    ] = 86_400_000
    action_deadline_ms: Annotated[int, ms("A customer who has not acted in an hour has left; the payment expires.")] = (
        3_600_000
    )
    authorization_deadline_ms: Annotated[
        int, ms("Card holds last about 7 days; one that nobody captured is released then.")
    ] = 604_800_000
    in_doubt_owner: Annotated[str, text("Who settles what bounded recovery could not.")] = "payments-oncall"
    in_doubt_alarm_age_ms: Annotated[int, ms("Nobody's money may be in doubt for longer; verify reports it.")] = (
        3_600_000
    )
    in_doubt_hasten_interval_ms: Annotated[
        int, ms("Reading a doubtful payment asks the provider at most this often.")
    ] = 1_000
    journal_connections: Annotated[
        int, count("Two: one batch is on its way to disk while the next is written.", le=64)
    ] = 2
    journal_second_batch_changes: Annotated[
        int, count("Beside a batch in flight another starts when this many changes wait: round trips cost.")
    ] = 100
    journal_batch_changes: Annotated[int, count("Changes in one transaction: the gain flattens above 200.")] = 400
    journal_batch_rows: Annotated[int, count("Rows in one transaction, so that none takes long.")] = 4_000
    journal_batch_bytes: Annotated[int, count("Bytes in one transaction, for the same reason.", le=1_000_000_000)] = (
        4_194_304
    )
    journal_queue_limit: Annotated[
        int, count("Intents waiting for a batch: seconds of work; past it new ones are refused.")
    ] = 20_000
    journal_commit_timeout_ms: Annotated[
        int, ms("After this an intent's outcome is called unknown; outcomes get six times as long.", ge=100)
    ] = 10_000
    sealing_keys: Annotated[
        str | None,
        text(
            "Comma-separated 32-byte keys in base64 that encrypt raw webhooks, endpoints' secrets and payers' next"
            " actions at rest: the first seals, all open. Without it one is made in data_dir; machines that share a"
            " database must share the keys."
        ),
    ] = None
    database_connections: Annotated[int, count("Connections for reads in each process.", le=1_000)] = 8
    in_flight_limit: Annotated[
        int, count("Payments between intent and outcome in one process, at about 10 kB each.")
    ] = 5_000
    rate_limit_per_s: Annotated[int, count("Requests per second and API key; 0 is off.", ge=0)] = 0
    rate_limit_burst: Annotated[int, count("Requests that may come at once where the rate is on.")] = 100
    api_key_cache_ms: Annotated[int, ms("A revoked key works for at most this long.")] = 5_000
    drain_timeout_ms: Annotated[int, ms("After SIGTERM, how long flows may take; recovery has the rest.")] = 30_000
    log_level: Annotated[str, text("debug, info, warning or error.")] = "info"
    clock_shift_ms: Annotated[int, ms("For tests only: moves this process's and its leases' clock.")] = 0

    def __repr__(self) -> str:
        return "Settings(…)"  # keys and passwords are among them


class SettingRow(Struct, frozen=True):
    """One line of ``tallystick settings``."""

    variable: str
    default: str
    unit: str
    reason: str


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Settings from the environment. Raises SettingsError naming every variable that is unknown or cannot be used."""
    hints = get_type_hints(Settings, include_extras=True)
    values: dict[str, Any] = {}
    faults: list[str] = []
    for variable, given in sorted(environ.items()):
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name.startswith("test_"):
            continue  # the test suites' own
        if name not in hints:
            faults.append(f"{variable}: there is no such setting")
            continue
        if not given:
            faults.append(f"{variable}: it is empty; unset it for the default")
            continue
        try:
            values[name] = msgspec.convert(given, hints[name], strict=False)
        except msgspec.ValidationError as error:
            faults.append(f"{variable}: {error}")
    faults.extend(_faults_beyond_types(values))
    if faults:
        raise SettingsError("; ".join(faults))
    return Settings(**values)


def _faults_beyond_types(values: Mapping[str, Any]) -> Iterator[str]:
    if values.get("log_level", "info") not in LOG_LEVELS:
        yield f"{PREFIX}LOG_LEVEL: expected one of {', '.join(LOG_LEVELS)}"
    for name in ("database_url", "migration_database_url"):
        if not str(values.get(name) or "postgresql://").startswith(("postgresql://", "postgres://")):
            yield f"{PREFIX}{name.upper()}: expected postgresql://…"
    if values.get("migration_database_url") and not values.get("database_url"):
        yield f"{PREFIX}MIGRATION_DATABASE_URL: it needs {PREFIX}DATABASE_URL beside it"
    if values.get("outbound_lease_ms", 60_000) <= 2 * values.get("outbound_timeout_ms", 20_000):
        yield f"{PREFIX}OUTBOUND_LEASE_MS: it must be more than twice {PREFIX}OUTBOUND_TIMEOUT_MS"
    for name in ("webhook_provider_tries", "webhook_provider_owners"):
        try:
            by_provider(values.get(name))
        except ValueError:
            yield f"{PREFIX}{name.upper()}: expected provider=value,provider=value"
    if not all(value.isdecimal() and int(value) for value in _values(values.get("webhook_provider_tries"))):
        yield f"{PREFIX}WEBHOOK_PROVIDER_TRIES: every value must be a count of 1 or more"
    if not all(values.get("simulator_webhook_secrets", "whsec").split(",")):
        yield f"{PREFIX}SIMULATOR_WEBHOOK_SECRETS: expected secret,secret"
    if not str(values.get("simulator_url", "http://")).startswith(("http://", "https://")):
        yield f"{PREFIX}SIMULATOR_URL: expected http://… or https://…"
    if not str(values.get("stripe_api_url", "https://")).startswith(("http://", "https://")):
        yield f"{PREFIX}STRIPE_API_URL: expected https://…"
    for name in ("stripe_webhook_secrets", "stripe_payment_method_types"):
        if not all(part.strip() for part in str(values.get(name, "unset")).split(",")):
            yield f"{PREFIX}{name.upper()}: expected one or more, separated by commas"
    yield from _adyen_faults(values)
    if values.get("provider_circuit_window_ms", 1_000) < 1_000:
        yield f"{PREFIX}PROVIDER_CIRCUIT_WINDOW_MS: it counts whole seconds, so 1000 or more"
    if values.get("provider_circuit_open_limit_ms", 60_000) < values.get("provider_circuit_open_ms", 5_000):
        yield f"{PREFIX}PROVIDER_CIRCUIT_OPEN_LIMIT_MS: it must not be less than {PREFIX}PROVIDER_CIRCUIT_OPEN_MS"


def _adyen_faults(values: Mapping[str, Any]) -> Iterator[str]:
    if not str(values.get("adyen_api_url", "https://")).startswith(("http://", "https://")):
        yield f"{PREFIX}ADYEN_API_URL: expected https://…"
    keys = [part.strip() for part in str(values.get("adyen_hmac_keys") or "00").split(",")]
    if not all(_HMAC_KEY.fullmatch(key) for key in keys):
        yield f"{PREFIX}ADYEN_HMAC_KEYS: expected one or more keys in hexadecimal, separated by commas"
    if (values.get("adyen_api_key") or values.get("adyen_hmac_keys")) and not values.get("adyen_merchant_account"):
        yield f"{PREFIX}ADYEN_MERCHANT_ACCOUNT: it is needed beside a key"


def comma_list(text: str) -> tuple[str, ...]:
    """``a, b`` as its parts."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def by_provider(text: str | None) -> dict[str, str]:
    """``stripe=20,adyen=30`` as a table. Raises ValueError."""
    table = {}
    for part in filter(None, (text or "").split(",")):
        name, separator, value = (piece.strip() for piece in part.partition("="))
        if not (name and separator and value):
            raise ValueError(text)
        table[name] = value
    return table


def _values(text: str | None) -> list[str]:
    try:
        return list(by_provider(text).values())
    except ValueError:
        return []


def describe_settings() -> list[SettingRow]:
    """Every setting with its default, unit and reason."""
    defaults = Settings()
    rows = []
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        meta = next(part for part in hint.__metadata__ if isinstance(part, Meta))
        default = getattr(defaults, name)
        rows.append(
            SettingRow(
                variable=PREFIX + name.upper(),
                default="" if default is None else str(default),
                unit=str((meta.extra or {}).get("unit", "")),
                reason=meta.description or "",
            )
        )
    return rows
