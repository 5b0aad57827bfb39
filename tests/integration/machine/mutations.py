# ruff: noqa: E501 (SQL as it stands in the files)
"""Guards of the SQL functions, each as the text that makes it and the text without it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aifeature import sql


@dataclass(frozen=True, slots=True)
class Mutation:
    """A file of functions with one guard removed."""

    name: str
    file: str
    guard: str
    without: str = ""
    last: bool = False
    """Of several places with this text the last one, else the first."""

    def text(self) -> str:
        """The file without the guard.

        Raises:
            ValueError: the guard is no longer there; this table must follow the functions.
        """
        whole = original(self.file)
        place = whole.rindex(self.guard) if self.last else whole.index(self.guard)
        return whole[:place] + self.without + whole[place + len(self.guard) :]


def original(file: str) -> str:
    """The text of a file of functions as it is."""
    return sql.text(file)


OURS: Final = "t.epoch = p_epoch AND t.status = 'running'"

MUTATIONS: Final = (
    Mutation("claim ignores the lease", "claim", " AND d.lease_until < statement_timestamp()"),
    Mutation("claim ignores the worker", "claim", "AND NOT aif_lives(d.worker, p_lease_s)"),
    Mutation("claim waits for locks", "claim", " SKIP LOCKED"),
    Mutation("claim loses a locked job", "claim", "ELSIF EXISTS (", "ELSIF NOT EXISTS ("),
    Mutation("claim ignores run_at", "claim", " AND d.run_at <= statement_timestamp()"),
    Mutation("claim keeps the epoch", "claim", "j.epoch + 1", "j.epoch"),
    Mutation("claim counts no lost run", "claim", " + (j.status = 'running')::int"),
    Mutation(
        "claim leaves calls open", "claim", "PERFORM aif_close_unseen(p_job, 'lease_lost')", "NULL"
    ),
    Mutation("finish ignores the epoch", "finish", OURS, "t.status = 'running'"),
    Mutation("finish ignores the status", "finish", OURS, "t.epoch = p_epoch"),
    Mutation(
        "finish leaves calls open",
        "finish",
        "PERFORM aif_close_unseen(p_job, 'run_failed')",
        "NULL",
    ),
    Mutation(
        "finish takes every cost from the user",
        "finish",
        "p_attempt, p_settlement, accepted,",
        "p_attempt, p_settlement, true,",
    ),
    Mutation(
        "finish charges every end",
        "finish",
        "IF accepted OR shown <> '' THEN",
        "IF true THEN",
    ),
    Mutation("finish locks nothing", "finish", " FOR NO KEY UPDATE"),
    Mutation("settle unknown twice", "settle_unknown", " AND t.state IN ('unknown', 'estimated')"),
    Mutation(
        "settle unknown moves no window",
        "settle_unknown",
        "PERFORM aif_move_hold('global', '', a.day, 0, more);",
    ),
    Mutation(
        "finish charges the bound",
        "settle_attempt",
        "WHEN p_accepted THEN a.cost_micro",
        "WHEN p_accepted THEN a.bound_micro",
    ),
    Mutation(
        "release ignores the epoch",
        "finish",
        "t.epoch = p_epoch AND t.status = 'running'\n       AND",
        "t.status = 'running'\n       AND",
    ),
    Mutation(
        "release ignores a cancellation", "finish", "\n       AND t.cancel_requested_at IS NULL"
    ),
    Mutation(
        "an answer to be approved outruns a cancellation",
        "finish",
        "cancelled IS NOT NULL",
        "false",
    ),
    Mutation("release keeps the epoch", "finish", "epoch = t.epoch + 1", "epoch = t.epoch"),
    Mutation(
        "release leaves calls open",
        "finish",
        "PERFORM aif_close_unseen(p_job, 'run_failed')",
        "NULL",
        last=True,
    ),
    Mutation("settle ignores the epoch", "finish", OURS, "t.status = 'running'", last=True),
    Mutation("settle locks nothing", "finish", " FOR UPDATE", "", last=True),
    Mutation(
        "settle ignores the fence",
        "finish",
        "    IF NOT FOUND THEN\n        RETURN false;\n    END IF;\n",
        last=True,
    ),
    Mutation(
        "settle is fenced by itself",
        "finish",
        "PERFORM aif_settle_attempt(p_attempt, p_settlement, false);\n    RETURN true;",
        "RETURN aif_settle_attempt(p_attempt, p_settlement, false);",
        last=True,
    ),
    Mutation("begin ignores the epoch", "begin_attempt", OURS, "t.status = 'running'"),
    Mutation("begin ignores the status", "begin_attempt", OURS, "t.epoch = p_epoch"),
    Mutation("begin ignores a cancellation", "begin_attempt", "t.cancel_requested_at IS NULL AND "),
    Mutation(
        "begin ignores the deadline", "begin_attempt", " AND t.deadline_at > statement_timestamp()"
    ),
    Mutation("submit ignores the switch", "submit", "aif_paused(p_feature, p_user)", "false"),
    Mutation("nobody looks at the switch", "paused", "c.killed OR "),
    Mutation(
        "calls at once are not counted",
        "begin_attempt",
        "RAISE EXCEPTION 'user_busy' USING ERRCODE = 'AIF03';",
        "NULL;",
    ),
    Mutation(
        "the month has no cap",
        "begin_attempt",
        "PERFORM aif_check_month(today, p_bound, (p_caps->>'month')::bigint);",
    ),
    Mutation(
        "a month forgets what is held", "windows", "m.spent_micro + m.held_micro", "m.spent_micro"
    ),
    Mutation(
        "begin counts refused calls",
        "begin_attempt",
        "UPDATE aifeature_job t SET attempts = t.attempts - 1 WHERE t.id = p_job;",
    ),
    Mutation(
        "begin reserves for no user",
        "begin_attempt",
        "PERFORM aif_hold_of_user(j.feature, j.user_id, today, p_bound, (p_caps->>'user')::bigint,\n                                 (p_caps->>'user_spend')::bigint, (p_caps->>'account')::bigint);",
    ),
    Mutation(
        "a cap is not looked at",
        "windows",
        "w.spent_micro + w.held_micro + p_micro <= p_cap",
        "true",
    ),
    Mutation(
        "a cap forgets what is held",
        "windows",
        "w.spent_micro + w.held_micro + p_micro <= p_cap",
        "w.spent_micro + p_micro <= p_cap",
    ),
    Mutation(
        "a cap is late by one",
        "windows",
        "w.held_micro + p_micro <= p_cap",
        "w.held_micro + p_micro <= p_cap + 1",
    ),
    Mutation(
        "the first call of a day has no cap",
        "windows",
        " WHERE p_cap IS NULL OR p_micro <= p_cap\n",
        "\n",
    ),
    Mutation(
        "held and spent are one verdict",
        "windows",
        "coalesce(already, 0) + p_micro > p_cap",
        "true",
    ),
    Mutation(
        "a reservation is not given back",
        "windows",
        "held_micro = greatest(0, w.held_micro - p_held),\n           ",
    ),
    Mutation(
        "what was held is not spent",
        "windows",
        ",\n           spent_micro = greatest(0, w.spent_micro + p_spent)",
    ),
    Mutation("the window of every day moves", "windows", " AND w.day = p_day;", ";"),
    Mutation(
        "the window of today moves",
        "settle_attempt",
        "a.user_id, a.day,",
        "a.user_id, (statement_timestamp() AT TIME ZONE 'UTC')::date,",
    ),
    Mutation("a call is settled twice", "settle_attempt", " AND t.state = 'started'"),
    Mutation(
        "users pay for every call",
        "settle_attempt",
        "CASE WHEN p_accepted THEN",
        "CASE WHEN true THEN",
    ),
    Mutation(
        "an unknown call costs nothing",
        "settle_attempt",
        "CASE a.state WHEN 'unknown' THEN a.bound_micro ELSE a.cost_micro END",
        "a.cost_micro",
    ),
    Mutation("calls of every job are closed", "settle_attempt", "a.job_id = p_job AND "),
    Mutation("anybody's cancellation keeps text", "cancel", " AND p_by = 'user'"),
    Mutation("cancel forgets the text", "cancel", "p_by = 'user' THEN p_shown", "false THEN ''"),
    Mutation("cancel ignores the owner", "cancel", " AND t.user_id = p_user\n", " \n"),
    Mutation(
        "cancel ignores the status",
        "cancel",
        "\n       AND t.status IN ('queued', 'running', 'needs_approval')",
    ),
    Mutation(
        "cancel ends a running job",
        "cancel",
        "status = CASE t.status WHEN 'running' THEN t.status ELSE 'cancelled' END",
        "status = 'cancelled', lease_until = NULL",
    ),
    Mutation(
        "the last cancellation speaks",
        "cancel",
        "CASE WHEN t.cancel_requested_at IS NULL THEN p_message\n                                ELSE t.error_message END",
        "p_message",
    ),
    Mutation("dispatch takes live runs", "dispatch", " AND j.lease_until < now_"),
    Mutation(
        "dispatch takes runs of live workers", "dispatch", "AND NOT aif_lives(j.worker, p_stale_s)"
    ),
    Mutation(
        "dispatch sends again at once",
        "dispatch",
        "\n                                OR j.published_at < now_ - make_interval(secs => p_again_after_s)",
        " OR true",
    ),
    Mutation("dispatch waits for locks", "dispatch", "FOR UPDATE SKIP LOCKED", "FOR UPDATE"),
    Mutation(
        "dispatch ignores run_at", "dispatch", "\n                          AND j.run_at <= now_"
    ),
    Mutation("dispatch ignores the switch", "dispatch", " AND c.killed", " AND false"),
    Mutation(
        "dispatch takes no turns",
        "dispatch",
        "SET feature = coalesce(at_feature, ''), user_id = at_user",
        "SET feature = ''",
    ),
    Mutation(
        "dispatch takes back fresh marks",
        "dispatch",
        "ELSE p_lost_after_s END",
        "ELSE 0 END",
    ),
    Mutation(
        "overdue ignores the deadline", "overdue", " AND j.deadline_at <= statement_timestamp()"
    ),
    Mutation(
        "overdue ends what needs approval",
        "overdue",
        "j.status = 'queued' AND ",
        "j.status IN ('queued', 'needs_approval') AND ",
    ),
    Mutation(
        "abandoned ignores the lease", "overdue", " AND j.lease_until < statement_timestamp()"
    ),
    Mutation(
        "abandoned ends runs of live workers",
        "overdue",
        "AND NOT aif_lives(j.worker, p_stale_s)",
    ),
    Mutation(
        "a run that hangs never ends",
        "overdue",
        "j.deadline_at <= statement_timestamp() - make_interval(secs => p_stale_s)",
        "false",
    ),
    Mutation(
        "abandoned ignores the deadline",
        "overdue",
        "j.deadline_at <= statement_timestamp() OR j.cancel",
        "true OR j.cancel",
    ),
    Mutation("abandoned keeps the epoch", "overdue", "epoch = t.epoch + 1,"),
    Mutation(
        "abandoned leaves calls open", "overdue", "PERFORM aif_close_unseen(gone, 'lease_lost');"
    ),
    Mutation(
        "abandoned waits for locks", "overdue", "FOR UPDATE SKIP LOCKED", "FOR UPDATE", last=True
    ),
)
