"""The statements that find orphaned rows of subjects and streams, built from the declared kinds."""

from __future__ import annotations

from tallystick.domain.kinds import KINDS, SubjectKind, heads, members_of


def orphans_statement() -> str:
    """For a merchant ($1): (subject_id, detail) of each row of history whose subject is not there, of each row of
    ledger, rejections and messages without its stream, and of each subject without its stream. History of a subject
    that is in another stream is found where the subject's own stream is looked at."""
    parts = [_history()]
    for table, name, what in (
        ("outbox", "message_id", "message"),
        ("rejection", "rejection_id", "rejection"),
        ("transfer", "stream_id", "transfer"),
    ):
        parts.append(
            f"SELECT t.{name} AS subject_id, '{what} of a missing stream' AS detail FROM {table} t\n"
            f"WHERE t.merchant_id = $1 AND {_no_head('t')}"
        )
    for head in heads():
        parts += [_member(head, member) for member in members_of(head)]
    return "\nUNION ALL\n".join(parts)


def transfers_of_no_stream_statement() -> str:
    """For a merchant ($1): (subject_id, detail) of each ledger row with neither a stream nor a step of history. Those
    that have a stream are looked at with it."""
    return (
        "WITH lost AS MATERIALIZED (\n"
        "    SELECT t.merchant_id, t.stream_id, t.subject_id, t.version, t.leg, t.kind FROM transfer t\n"
        f"    WHERE t.merchant_id = $1 AND {_no_head('t')}\n"
        ")\n"
        "SELECT l.subject_id, format('version %s, leg %s: %s', l.version, l.leg, l.kind) AS detail FROM lost l\n"
        "WHERE NOT EXISTS (SELECT 1 FROM history s WHERE s.merchant_id = l.merchant_id"
        " AND s.subject_id = l.subject_id AND s.version = l.version AND s.stream_id = l.stream_id)"
    )


def _history() -> str:
    # Steps are sought in their key alone, which is a fifth of their table; what they say only of those that are found.
    missing = "\n    AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {kind.table} s WHERE s.merchant_id = t.merchant_id"
        f" AND s.{kind.id_field} = t.subject_id)"
        for kind in KINDS.values()
    )
    return (
        "SELECT h.subject_id, format('history of a missing %s, version %s', h.subject, h.version) AS detail\n"
        "FROM (SELECT t.merchant_id, t.subject_id, t.version FROM transition t\n"
        f"    WHERE t.merchant_id = $1 AND {missing} OFFSET 0) AS m\n"
        "JOIN history h ON h.merchant_id = m.merchant_id AND h.subject_id = m.subject_id AND h.version = m.version"
    )


def _no_head(row: str) -> str:
    return "\n  AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {head.table} h WHERE h.merchant_id = {row}.merchant_id"
        f" AND h.{head.id_field} = {row}.stream_id)"
        for head in heads()
    )


def _member(head: SubjectKind, member: SubjectKind) -> str:
    return (
        f"SELECT m.{member.id_field}, '{member.name} of a missing {head.name}' FROM {member.table} m\n"
        f"WHERE m.merchant_id = $1 AND NOT EXISTS (SELECT 1 FROM {head.table} h WHERE h.merchant_id = m.merchant_id"
        f" AND h.{head.id_field} = m.{member.stream_field})"
    )
