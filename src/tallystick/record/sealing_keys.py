"""Which keys may seal. The record has the fingerprint of every key that seals in it, and a process whose keys are not
these seals nothing: what it sealed could be opened by no other.

The first process on a record registers its key. A key that is missing is made only where nothing is registered and
nothing is sealed. A record of before this release has sealed values and no fingerprint: a key is registered there if it
opens a sample of them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.domain.errors import TallystickError
from tallystick.domain.operator_act import OperatorAct
from tallystick.kit.clock import Clock
from tallystick.kit.logs import get_logger
from tallystick.record.postgres.failures import DATABASE_AWAY
from tallystick.record.postgres.sealed_rows import (
    Connection,
    KeyAct,
    NewKeyAct,
    SealedValue,
    key_acts,
    record_acts,
    sample_of_actions,
    sample_of_bytes,
)
from tallystick.record.sealing import KeyName, KeysUnreadable, SealBroken, Sealer, create_key, key_id_of
from tallystick.settings.load import Settings

log = get_logger("tallystick.record.sealing_keys")

#: How often a process compares its keys with the record: a key that is put back, registered or retired elsewhere is
#: noticed within it. It costs one small statement.
COMPARE_EVERY_MS: Final = 2_000

#: Where no key is registered, how often what is sealed is looked at for the same keys: to find that nothing is may take
#: reading every payment. What a running process seals comes after its key, so only an older release changes the answer.
SAMPLE_EVERY_MS: Final = 60_000

#: A comparison that waits longer says nothing, and the last one holds.
_TIMEOUT_S: Final = 2.0

#: Processes that register at one moment take turns; each turn one of them is done.
_TURNS: Final = 20

#: Until the record was read.
NOT_COMPARED: Final = "the sealing keys were not compared with the record yet"

OTHER_SCHEMA: Final = "the database has another schema than this release needs; run `tallystick migrate`"

NOT_REGISTERED: Final = "no running process has registered a sealing key yet"

#: What a person does about a key that is not here.
_MEND: Final = (
    "put it back from the back-up, or give all machines the same keys; `tallystick sealing-keys retire` gives up a key"
    " that is lost for good, with what it sealed"
)


class Retired(TallystickError):
    """A key cannot be retired; the message says why."""


class Judgement(Struct, frozen=True, kw_only=True):
    """The keys of a process beside the record. ``unfit``: why it may not seal. Else it may once ``registers`` are
    registered from ``number`` on; ``makes_key``: there is none yet, and one may be made."""

    number: int
    unfit: str | None = None
    registers: Sequence[KeyName] = ()
    makes_key: bool = False


class SealingKeys:
    """Compares one process's keys with the record, and lets its sealer seal or not."""

    def __init__(
        self, pool: asyncpg.Pool, settings: Settings, sealer: Sealer, clock: Clock, *, registers: bool = True
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._sealer = sealer
        self._clock = clock
        self._registers = registers
        self._judged: tuple[object, int, Judgement] | None = None
        sealer.refused = NOT_COMPARED

    async def compare(self) -> None:
        """Read the record and set ``Sealer.refused``; while the database is away the last comparison holds."""
        if self._sealer.refused is not None:
            self._sealer.read_again()
        try:
            async with self._pool.acquire(timeout=_TIMEOUT_S) as connection:
                refused = await self._admitted(connection)
        except asyncpg.UndefinedTableError:
            refused = OTHER_SCHEMA
        except (*DATABASE_AWAY, asyncpg.PostgresError):
            return
        before, self._sealer.refused = self._sealer.refused, refused
        if refused in (before, NOT_REGISTERED):
            return
        if refused is not None:
            log.error(
                "not ready", alert=True, check="sealing_keys", reason=refused, next="tallystick sealing-keys list"
            )
        elif before != NOT_COMPARED:
            log.warning("the sealing keys fit the record again")

    async def _admitted(self, connection: Connection) -> str | None:
        """Why the process may not seal. Its key is registered first, where it may be."""
        for _ in range(_TURNS):
            judged = await self._judge(connection)
            if judged.unfit is not None or not (judged.makes_key or judged.registers):
                return judged.unfit
            if not self._registers:
                return NOT_REGISTERED
            if judged.makes_key:
                try:
                    create_key(self._settings)
                except OSError as error:
                    return f"a sealing key cannot be made in the data directory: {error.strerror}"
                self._sealer.read_again()
                continue
            actor = f"host:{socket.gethostname()}"
            acts = [
                NewKeyAct(act="registered", key_id=name.key_id, fingerprint=name.fingerprint, actor=actor)
                for name in judged.registers
            ]
            if await record_acts(connection, judged.number, acts, self._clock.shift_ms):
                log.info("sealing key registered", keys=_ids(name.key_id for name in judged.registers))
                return None
        return NOT_COMPARED

    async def _judge(self, connection: Connection) -> Judgement:
        """As ``judge``; where no key is registered, of the same keys and acts as before once in ``SAMPLE_EVERY_MS``."""
        acts = await key_acts(connection)
        if active_of(acts):
            return await _judge_by(connection, self._sealer, acts)
        about, now_ms = (len(acts), _keys_here(self._sealer)), self._clock.monotonic_ms()
        if self._judged is None or self._judged[0] != about or now_ms - self._judged[1] >= SAMPLE_EVERY_MS:
            self._judged = (about, now_ms, await _judge_by(connection, self._sealer, acts))
        return self._judged[2]


async def judge(connection: Connection, sealer: Sealer) -> Judgement:
    """Read-only. Raises what asyncpg raises; UndefinedTableError before the migration."""
    return await _judge_by(connection, sealer, await key_acts(connection))


async def _judge_by(connection: Connection, sealer: Sealer, acts: Sequence[KeyAct]) -> Judgement:
    number = len(acts) + 1
    retired, active = retired_of(acts), active_of(acts)
    held: list[KeyName] = []
    unreadable: KeysUnreadable | None = None
    try:
        held = sealer.names()
    except KeysUnreadable as error:
        unreadable = error
    if held and held[0].key_id in retired:
        unfit = f"the sealing key {_ids([held[0].key_id])}, which seals here, was retired; put another one first"
        return Judgement(number=number, unfit=unfit)
    if active:
        lacking = [name.key_id for name in active if name not in held]
        if lacking:
            return Judgement(number=number, unfit=_not_here(lacking, held, unreadable))
        return Judgement(number=number, registers=() if held[0] in active else held[:1])
    opened: set[bytes] = set()
    for sample in (sample_of_bytes, sample_of_actions):
        values = [
            (key_id, value)
            for value in await sample(connection)
            if (key_id := key_id_of(value.sealed)) is not None and key_id not in retired
        ]
        sealed_by = {key_id for key_id, _ in values}
        if lacking := sorted(sealed_by - {name.key_id for name in held}):
            return Judgement(number=number, unfit=_not_here(lacking, held, unreadable))
        found = {key_id for key_id, value in values if _opens(sealer, value)}
        if closed := sorted(sealed_by - found):
            unfit = f"the sealing key {_ids(closed)} opens nothing of what it sealed in the record; {_MEND}"
            return Judgement(number=number, unfit=unfit)
        opened |= found
    if not held:
        if unreadable is not None and not unreadable.missing:
            return Judgement(number=number, unfit=str(unreadable))
        return Judgement(number=number, makes_key=True)
    return Judgement(number=number, registers=[held[0], *(name for name in held[1:] if name.key_id in opened)])


async def retire(connection: Connection, key_id: bytes, by: OperatorAct, shift_ms: int) -> None:
    """Give a key up: no process needs it any more, and what it sealed is opened only where it is still given. It is
    never registered again. The operator's act is recorded with it. Raises Retired, and what asyncpg raises."""
    for _ in range(_TURNS):
        acts = await key_acts(connection)
        if key_id in retired_of(acts):
            raise Retired(f"the key {key_id.hex()} is retired already")
        known = next((each.fingerprint for each in acts if each.key_id == key_id), None)
        act = NewKeyAct(act="retired", key_id=key_id, fingerprint=known, actor=by.operator, reason=by.reason)
        if await record_acts(connection, len(acts) + 1, [act], shift_ms, by):
            return
    raise Retired("other processes register keys at the same moment; try again")


def _keys_here(sealer: Sealer) -> Sequence[KeyName] | str:
    """The keys of this process, or why they cannot be read."""
    try:
        return sealer.names()
    except KeysUnreadable as error:
        return str(error)


def retired_of(acts: Iterable[KeyAct]) -> set[bytes]:
    """The ids of the keys that were given up."""
    return {each.key_id for each in acts if each.act == "retired"}


def active_of(acts: Sequence[KeyAct]) -> list[KeyName]:
    """The keys that every process needs."""
    retired = retired_of(acts)
    return [
        KeyName(each.key_id, each.fingerprint)
        for each in acts
        if each.fingerprint is not None and each.act == "registered" and each.key_id not in retired
    ]


def _opens(sealer: Sealer, value: SealedValue) -> bool:
    try:
        sealer.open(value.sealed, value.about)
    except SealBroken:
        return False
    return True


def _not_here(lacking: Iterable[bytes], held: Sequence[KeyName], unreadable: KeysUnreadable | None) -> str:
    here = unreadable.why if unreadable is not None else f"this process has {_ids(name.key_id for name in held)}"
    return f"the sealing key {_ids(lacking)} of the record is not here: {here}; {_MEND}"


def _ids(key_ids: Iterable[bytes]) -> str:
    return ", ".join(key_id.hex() for key_id in key_ids)
