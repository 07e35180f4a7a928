"""Rows that came before what they are about are compared again, and what they come to then is their next evidence.

A file may be there before the webhook, or the look-up, of a movement that it has. Its row waits, apart; once the
movement is posted, evidence supersedes the earlier one, and the next version of the batch and of the merchant's part
posts the difference, exactly as after a person's word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from tallystick.decisions.settlement_match import FeesOf, Match
from tallystick.decisions.settlement_matching import FileMatcher, PostingKey
from tallystick.decisions.settlement_names import names_of
from tallystick.decisions.settlement_news import NEWS_FORMATS, NewsIn, news_in
from tallystick.decisions.superseding import difference_of, together
from tallystick.domain.settlement_evidence import Candidate, Evidence
from tallystick.flows.reconciliation.matching import evidence_of, fees_of
from tallystick.flows.reconciliation.news import NEWS_AT_ONCE, tell
from tallystick.flows.reconciliation.races import looked_again
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.record.postgres.settlement_evidence import EvidenceSet, digest_input
from tallystick.record.postgres.settlement_waiting import WaitingRow, WaitingRows, has_money

#: How often: it reads a provider's charges whole where a row waits, and nobody waits for a webhook that comes after its
#: file, which is there once a day.
EVERY_MS: Final = 300_000


#: A row that comes to what it came to before, and what it may be about.
_AsBefore = tuple[WaitingRow, Match, Sequence[Candidate]]


class _Next(Struct, frozen=True):
    """A row's newest evidence and the next one."""

    account: str
    before: Evidence
    after: Evidence


async def compare_waiting(runtime: Runtime, provider: str, actor: str) -> int:
    """Compare every row of a provider that waits with what the record has by now. Another process that does the same at
    once is no harm: one of the two writes. Returns how many rows came to something else. Raises LostRaces."""
    return await looked_again(f"rows of {provider} that wait", lambda: _compare_provider(runtime, provider, actor))


async def _compare_provider(runtime: Runtime, provider: str, actor: str) -> int:
    async with runtime.stores.waiting.of_provider(provider) as rows:
        await rows.take_turn()
        found = await _compared(runtime, provider, rows, actor)
        if found:
            await _write(runtime, rows, found)
    return len(found)


async def _compared(runtime: Runtime, provider: str, rows: WaitingRows, actor: str) -> Sequence[_Next]:
    """What comes to something else now. One posting is found by one row, as in a file."""
    waiting = await rows.rows()
    held = await rows.held(sorted({each.file_id for each, _ in waiting}))
    waiting = [(each, found) for each, found in waiting if each.file_id in held]
    without_money = [(each, found) for each, found in waiting if not has_money(found)]
    waiting = [(each, found) for each, found in waiting if has_money(found)]
    by_row = {id(each.row): (each, found) for each, found in waiting}
    schedules = {
        account: await runtime.stores.fee_schedules.of_account(provider, account)
        for account in sorted({each.account for each, _ in waiting})
    }
    at, next_ones, as_before = runtime.clock.now(), [], []
    for match in await _matched(
        rows, [(each, found, fees_of(each.row, schedules[each.account])) for each, found in waiting]
    ):
        each, found = by_row[id(match.row)]
        if (match.status, match.reason) == (each.status, each.reason):
            as_before.append((each, match, found))
            continue
        before = await rows.newest(each)
        source = (each.file_id, each.format, each.parser_version)
        after = replace(evidence_of(match, *source, actor, at), version=before.version + 1, supersedes=before.version)
        next_ones.append(_Next(each.account, before, after))
    await _tell_news(runtime, provider, rows, [*as_before, *await _compared_for_news(rows, without_money)])
    return next_ones


async def _compared_for_news(
    rows: WaitingRows, waiting: Sequence[tuple[WaitingRow, Sequence[Candidate]]]
) -> Sequence[_AsBefore]:
    """Of rows about which no money moved there is nothing to say but to the inbox."""
    by_row = {id(each.row): (each, found) for each, found in waiting if each.format in NEWS_FORMATS}
    matches = await _matched(rows, [(each, found, fees_of(each.row, ())) for each, found in by_row.values()])
    return [(by_row[id(match.row)][0], match, by_row[id(match.row)][1]) for match in matches]


async def _tell_news(runtime: Runtime, provider: str, rows: WaitingRows, waiting: Sequence[_AsBefore]) -> None:
    """What names a payment by now, and the inbox was not told of: its file was compared before the payment was known,
    or by an earlier release."""
    may_be = [each for each in waiting if each[0].format in NEWS_FORMATS]
    if not may_be:
        return
    told = await rows.news.told_of([(each.file_id, each.row.position) for each, _, _ in may_be])
    untold = [each for each in may_be if (each[0].file_id, each[0].row.position) not in told]
    gathered: dict[tuple[str, str], NewsIn] = {}
    for each, match, found in untold:
        if (news := news_in(each.format, provider)) is None:
            continue
        added = gathered.setdefault((each.account, each.file_id), news).add(each.row, match, found)
        if added and sum(map(len, gathered.values())) % NEWS_AT_ONCE == 0 and any(m.news() for m in gathered.values()):
            break  # what may be news and is none stands before no other one
    for (account, file_id), news in gathered.items():
        if found_now := news.news():
            await tell(runtime, rows.news, provider, account, file_id, found_now)


async def _matched(
    rows: WaitingRows, waiting: Iterable[tuple[WaitingRow, Sequence[Candidate], FeesOf]]
) -> Sequence[Match]:
    """Rows of different accounts are never one posting together, whatever they name; none takes what another has."""
    taken: set[PostingKey] = set()
    matchers: dict[str, FileMatcher] = {}
    done = []
    for each, found, fees in waiting:
        matcher = matchers.setdefault(each.account, FileMatcher(taken))
        if (match := matcher.add(each.row, found, fees, names_of(each.format, rows.provider))) is not None:
            done.append(match)
    for matcher in matchers.values():
        done.extend(matcher.rest(await rows.with_named_captures(matcher.payments_in_question())))
    return done


async def _write(runtime: Runtime, rows: WaitingRows, found: Sequence[_Next]) -> None:
    """A set for each account, by batch and currency: accounts may have batches of one name."""
    set_ids = {account: new_id("rcm") for account in sorted({each.account for each in found})}
    groups: dict[tuple[str, str, str], list[_Next]] = {}
    for each in found:
        counted = _Next(each.account, each.before, replace(each.after, counted_in=set_ids[each.account]))
        groups.setdefault((each.account, each.after.batch, each.after.currency), []).append(counted)
    sets: dict[str, list[EvidenceSet]] = {}
    for (account, batch, currency), members in groups.items():
        digests = [hashlib.sha256(digest_input(each.after)).digest() for each in members]
        sets.setdefault(account, []).append(
            EvidenceSet(
                batch=batch,
                currency=currency,
                rows=len(members),
                net=sum(each.after.net for each in members),
                root=hashlib.sha256(b"".join(digests)).hexdigest(),
                sums=together([difference_of(each.before, each.after) for each in members]),
            )
        )
    evidence = [each.after for members in groups.values() for each in members]
    await rows.write(set_ids, evidence, sets, runtime.clock.now())
