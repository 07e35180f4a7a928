"""Settings of the API: its address and its limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from tallystick.settings.fields import count, ms, port, text
from tallystick.settings.sections import Section


@dataclass(frozen=True, kw_only=True, repr=False)
class ApiSettings(Section):
    """The HTTP server and its clients."""

    title: ClassVar[str] = "API"

    host: Annotated[str, text("Loopback, unless the API is behind a proxy that ends TLS.")] = "127.0.0.1"
    port: Annotated[int, port("The port of the API.")] = 8400
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
    api_processes: Annotated[
        int, count("One process fills one core. On two cores two carry most, with the database beside them.", le=256)
    ] = 2
    rate_limit_per_s: Annotated[int, count("Requests per second and API key, in each API process; 0 is off.", ge=0)] = 0
    rate_limit_burst: Annotated[int, count("Requests that may come at once with a rate limit.")] = 100
    api_key_cache_ms: Annotated[int, ms("A revoked key is accepted for at most this long.")] = 5_000
