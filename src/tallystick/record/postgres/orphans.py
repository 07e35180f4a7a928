"""The statement that finds orphaned rows of subjects and streams, built from the declared kinds."""

from __future__ import annotations

from tallystick.domain.kinds import KINDS, SubjectKind, heads, members_of


def orphans_statement() -> str:
    """For a merchant ($1): (subject_id, detail) of each row of history, ledger, rejections and messages without its
    subject or stream, and of each subject without its stream."""
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


def _history() -> str:
    missing = "\n  AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {kind.table} s WHERE s.merchant_id = t.merchant_id"
        f" AND s.{kind.id_field} = t.subject_id"
        f"{'' if kind.stands_alone else f' AND s.{kind.stream_field} = t.stream_id'})"
        for kind in KINDS.values()
    )
    return (
        "SELECT t.subject_id, format('history of a missing %s, version %s', t.subject, t.version) AS detail\n"
        f"FROM history t\nWHERE t.merchant_id = $1 AND {missing}"
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
