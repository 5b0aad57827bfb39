# ruff: noqa: E501 (SQL as in the files)
"""Guards of the SQL functions, and the edits that remove them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aifeature import sql


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces the text of a guard, at its last place or at its first."""

    guard: str
    replacement: str = ""
    last: bool = False


@dataclass(frozen=True, slots=True)
class Mutation:
    """A file of functions with one guard removed."""

    name: str
    file: str
    edit: Edit

    def text(self) -> str:
        """Return the file without the guard.

        Raises:
            ValueError: the guard is not in the file; this table must follow the functions.
        """
        whole, guard = sql.text(self.file), self.edit.guard
        place = whole.rindex(guard) if self.edit.last else whole.index(guard)
        return whole[:place] + self.edit.replacement + whole[place + len(guard) :]


def mutations_of(table: Mapping[str, Mapping[str, Edit]]) -> tuple[Mutation, ...]:
    """Return the mutations of a table: by file and by name, the edit."""
    return tuple(
        Mutation(name, file, edit) for file, edits in table.items() for name, edit in edits.items()
    )


OURS: Final = "t.epoch = p_epoch AND t.status = 'running'"

MUTATIONS: Final = mutations_of(
    {
        "claim": {
            "claim ignores the lease": Edit(" AND d.lease_until < statement_timestamp()"),
            "claim ignores the worker": Edit("AND NOT aif_lives(d.worker, p_lease_s)"),
            "claim waits for locks": Edit(" SKIP LOCKED"),
            "claim reports a locked job as gone": Edit("ELSIF EXISTS (", "ELSIF NOT EXISTS ("),
            "claim ignores run_at": Edit(" AND d.run_at <= statement_timestamp()"),
            "claim keeps the epoch": Edit("j.epoch + 1", "j.epoch"),
            "claim counts no lost run": Edit(" + (j.status = 'running')::int"),
            "claim leaves calls open": Edit(
                "PERFORM aif_close_unseen(p_job, 'lease_lost')", "NULL"
            ),
        },
        "finish": {
            "finish ignores the epoch": Edit(OURS, "t.status = 'running'"),
            "finish ignores the status": Edit(OURS, "t.epoch = p_epoch"),
            "finish leaves calls open": Edit(
                "PERFORM aif_close_unseen(p_job, 'run_failed')", "NULL"
            ),
            "finish charges the cost of a job that failed": Edit(
                "p_attempt, p_settlement, accepted,", "p_attempt, p_settlement, true,"
            ),
            "finish charges every end": Edit(
                "IF accepted OR p_status = 'needs_approval' OR shown <> '' THEN", "IF true THEN"
            ),
            "finish locks nothing": Edit(" FOR NO KEY UPDATE"),
            "release ignores the epoch": Edit(
                "t.epoch = p_epoch AND t.status = 'running'\n       AND",
                "t.status = 'running'\n       AND",
                last=True,
            ),
            "release ignores a cancellation": Edit(
                "\n       AND t.cancel_requested_at IS NULL", last=True
            ),
            "an answer that needs approval replaces a cancellation": Edit(
                "cancelled IS NOT NULL", "false"
            ),
            "an answer that needs approval is charged": Edit(
                "accepted boolean := p_status =",
                "accepted boolean := p_result IS NOT NULL OR p_status =",
            ),
            "await ignores the epoch": Edit(
                "t.epoch = p_epoch AND t.status = 'running' AND", "t.status = 'running' AND"
            ),
            "await ignores the status": Edit(
                "t.epoch = p_epoch AND t.status = 'running' AND", "t.epoch = p_epoch AND"
            ),
            "await ignores a cancellation": Edit(
                "t.status = 'running' AND t.cancel_requested_at IS NULL", "t.status = 'running'"
            ),
            "release keeps the epoch": Edit("epoch = t.epoch + 1", "epoch = t.epoch"),
            "release leaves calls open": Edit(
                "PERFORM aif_close_unseen(p_job, 'run_failed')", "NULL", last=True
            ),
            "settle ignores the epoch": Edit(OURS, "t.status = 'running'", last=True),
            "settle locks nothing": Edit(" FOR UPDATE", last=True),
            "settle ignores the fence": Edit(
                "    IF NOT FOUND THEN\n        RETURN false;\n    END IF;\n", last=True
            ),
            "a second settlement counts as fenced": Edit(
                "PERFORM aif_settle_attempt(p_attempt, p_settlement, false);\n    RETURN true;",
                "RETURN aif_settle_attempt(p_attempt, p_settlement, false);",
                last=True,
            ),
        },
        "settle_unknown": {
            "settle unknown settles twice": Edit(" AND t.state IN ('unknown', 'estimated')"),
            "settle unknown moves no window": Edit(
                "PERFORM aif_move_hold('global', '', a.day, 0, more);"
            ),
        },
        "settle_attempt": {
            "finish charges the bound": Edit(
                "WHEN p_accepted THEN a.cost_micro", "WHEN p_accepted THEN a.bound_micro"
            ),
            "a settlement changes the window of today": Edit(
                "a.user_id, a.day,", "a.user_id, (statement_timestamp() AT TIME ZONE 'UTC')::date,"
            ),
            "a call is settled twice": Edit(" AND t.state = 'started'"),
            "users pay for every call": Edit("WHEN p_accepted THEN", "WHEN true THEN"),
            "an unknown call costs nothing": Edit(
                "CASE a.state WHEN 'unknown' THEN a.bound_micro ELSE a.cost_micro END",
                "a.cost_micro",
            ),
            "the calls of every job are closed": Edit("a.job_id = p_job AND "),
        },
        "begin_attempt": {
            "begin ignores the epoch": Edit(OURS, "t.status = 'running'"),
            "begin ignores the status": Edit(OURS, "t.epoch = p_epoch"),
            "begin ignores a cancellation": Edit("t.cancel_requested_at IS NULL AND "),
            "begin ignores the deadline": Edit(" AND t.deadline_at > statement_timestamp()"),
            "concurrent calls are not counted": Edit(
                "RAISE EXCEPTION 'user_busy' USING ERRCODE = 'AIF03';", "NULL;"
            ),
            "the month has no cap": Edit(
                "PERFORM aif_check_month(today, p_bound, (p_caps->>'month')::bigint);"
            ),
            "begin counts refused calls": Edit(
                "UPDATE aifeature_job t SET attempts = t.attempts - 1 WHERE t.id = p_job;"
            ),
            "begin reserves for no user": Edit(
                "PERFORM aif_hold_of_user(\n                j.feature, j.user_id, today, p_bound, (p_caps->>'user')::bigint,\n                (p_caps->>'user_spend')::bigint, (p_caps->>'account')::bigint);"
            ),
        },
        "submit": {"submit ignores the switch": Edit("aif_paused(p_feature, p_user)", "false")},
        "paused": {"no statement reads the switch": Edit("c.killed OR ")},
        "windows": {
            "the cap of a month ignores reservations": Edit(
                "m.spent_micro + m.held_micro", "m.spent_micro"
            ),
            "a cap is not checked": Edit("w.spent_micro + w.held_micro + p_micro <= p_cap", "true"),
            "a cap ignores reservations": Edit(
                "w.spent_micro + w.held_micro + p_micro <= p_cap",
                "w.spent_micro + p_micro <= p_cap",
            ),
            "a cap allows one micro-dollar more": Edit(
                "w.held_micro + p_micro <= p_cap", "w.held_micro + p_micro <= p_cap + 1"
            ),
            "the first call of a day has no cap": Edit(
                " WHERE p_cap IS NULL OR p_micro <= p_cap\n", "\n"
            ),
            "held and spent get the same verdict": Edit(
                "coalesce(already, 0) + p_micro > p_cap", "true"
            ),
            "a reservation is not returned": Edit(
                "held_micro = greatest(0, w.held_micro - p_held),\n           "
            ),
            "a settled call adds no spend": Edit(
                ",\n           spent_micro = greatest(0, w.spent_micro + p_spent)"
            ),
            "a settlement changes the windows of every day": Edit(" AND w.day = p_day;", ";"),
        },
        "cancel": {
            "a cancellation by staff keeps text": Edit(" AND p_by = 'user'"),
            "cancel drops the text": Edit("p_by = 'user' THEN p_shown", "false THEN ''"),
            "cancel ignores the owner": Edit(" AND t.user_id = p_user\n", " \n"),
            "cancel ignores the status": Edit(
                "\n       AND t.status IN ('queued', 'running', 'needs_approval')"
            ),
            "cancel ends a running job": Edit(
                "status = CASE t.status WHEN 'running' THEN t.status ELSE 'cancelled' END",
                "status = 'cancelled', lease_until = NULL",
            ),
            "the last cancellation sets the message": Edit(
                "CASE WHEN t.cancel_requested_at IS NULL THEN p_message\n                                ELSE t.error_message END",
                "p_message",
            ),
        },
        "dispatch": {
            "dispatch takes live runs": Edit(" AND j.lease_until < now_"),
            "dispatch takes runs of live workers": Edit("AND NOT aif_lives(j.worker, p_stale_s)"),
            "dispatch sends again at once": Edit(
                "\n                    OR j.published_at < now_ - make_interval(secs => p_again_after_s)",
                " OR true",
            ),
            "dispatch waits for locks": Edit("FOR UPDATE SKIP LOCKED", "FOR UPDATE"),
            "dispatch ignores run_at": Edit("\n                          AND j.run_at <= now_"),
            "dispatch ignores the switch": Edit(" AND c.killed", " AND false"),
            "dispatch ignores the turns of users": Edit(
                "SET feature = coalesce(at_feature, ''), user_id = at_user", "SET feature = ''"
            ),
            "dispatch unmarks jobs that it has just published": Edit(
                "ELSE p_lost_after_s END", "ELSE 0 END"
            ),
        },
        "overdue": {
            "overdue ignores the deadline": Edit(" AND j.deadline_at <= statement_timestamp()"),
            "overdue ends jobs that need approval": Edit(
                "j.status = 'queued' AND ", "j.status IN ('queued', 'needs_approval') AND "
            ),
            "an approval expires at once": Edit(
                " AND j.approval_expires_at <= statement_timestamp()"
            ),
            "an ended job expires": Edit("j.status = 'needs_approval' AND "),
            "the end of an approval waits for locks": Edit(
                "FOR NO KEY UPDATE SKIP LOCKED", "FOR NO KEY UPDATE"
            ),
            "abandoned ignores the lease": Edit(" AND j.lease_until < statement_timestamp()"),
            "abandoned ends runs of live workers": Edit("AND NOT aif_lives(j.worker, p_stale_s)"),
            "a run that hangs never ends": Edit(
                "j.deadline_at <= statement_timestamp() - make_interval(secs => p_stale_s)", "false"
            ),
            "abandoned ignores the deadline": Edit(
                "j.deadline_at <= statement_timestamp() OR j.cancel", "true OR j.cancel"
            ),
            "abandoned keeps the epoch": Edit("epoch = t.epoch + 1,"),
            "abandoned leaves calls open": Edit("PERFORM aif_close_unseen(gone, 'lease_lost');"),
            "abandoned waits for locks": Edit("FOR UPDATE SKIP LOCKED", "FOR UPDATE", last=True),
        },
    }
)
