"""A process that can be killed at any point: the core in an event loop of its own, severed first and then never
run again.

Death is in this order: every socket of the process is shut down (the database sees a client that is gone, as after
SIGKILL), its way to the provider ends, and only then its tasks stop, wherever they are. No ``finally`` runs before the
survivors have done their work; ``bury`` unwinds what is left long after that, when it reaches nothing any more.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from msgspec.structs import replace

from tallystick.core import Core
from tallystick.providers.base import Provider
from tallystick.record.journal import STATEMENTS_OF_JOURNAL  # placeholder
