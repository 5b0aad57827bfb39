# ruff: noqa: E501 (SQL as it stands in the files)
"""Guards of a user's own spend, of shown text and of who cancelled."""

from __future__ import annotations

from typing import Final

from tests.integration.machine.mutations import Mutation

_OWN = ",\n           own_spend_micro = greatest(0, w.own_spend_micro + p_own)"
_SPEND = "CASE a.state WHEN 'unknown' THEN a.bound_micro ELSE a.cost_micro END"
_BY_THE_USER = "p_status = 'cancelled' AND author = 'user'"
_SHARED = "SET held_micro = greatest(0, w.held_micro - p_held),\n           spent_micro = greatest(0, w.spent_micro + p_charge)"
_AUTHOR = "CASE WHEN t.cancel_requested_at IS NULL THEN p_by\n                               ELSE t.cancelled_by END"

SPEND_MUTATIONS: Final = (
    # The two windows of a user.
    Mutation("own spend is not counted", "windows", _OWN),
    Mutation("own spend is not counted in the account", "windows", _OWN, last=True),
    Mutation(
        "the account is not held",
        "windows",
        "SET held_micro = t.held_micro + p_micro\n     WHERE p_account_cap",
        "SET held_micro = t.held_micro\n     WHERE p_account_cap",
    ),
    Mutation(
        "the account keeps what is no longer held",
        "windows",
        _SHARED,
        "SET spent_micro = greatest(0, w.spent_micro + p_charge)",
        last=True,
    ),
    Mutation(
        "the account counts no charge",
        "windows",
        _SHARED,
        "SET held_micro = greatest(0, w.held_micro - p_held)",
        last=True,
    ),
    Mutation(
        "the cap of charges is not looked at",
        "windows",
        "t.spent_micro + t.held_micro + p_micro <= p_charge_cap",
        "true",
    ),
    Mutation(
        "the cap of own spend is not looked at",
        "windows",
        "t.own_spend_micro + t.held_micro + p_micro <= p_spend_cap",
        "true",
    ),
    Mutation(
        "the cap of own spend forgets what is held",
        "windows",
        "t.own_spend_micro + t.held_micro + p_micro <= p_spend_cap",
        "t.own_spend_micro + p_micro <= p_spend_cap",
    ),
    Mutation(
        "the first call of a user's day has no spend cap",
        "windows",
        "\n       AND (p_spend_cap IS NULL OR p_micro <= p_spend_cap)",
    ),
    Mutation(
        "the cap of the account is not looked at",
        "windows",
        "t.own_spend_micro + t.held_micro + p_micro <= p_account_cap",
        "true",
    ),
    Mutation(
        "the cap of the account forgets what is held",
        "windows",
        "t.own_spend_micro + t.held_micro + p_micro <= p_account_cap",
        "t.own_spend_micro + p_micro <= p_account_cap",
    ),
    Mutation(
        "the cap of the account looks at charges",
        "windows",
        "t.own_spend_micro + t.held_micro + p_micro <= p_account_cap",
        "t.spent_micro + t.held_micro + p_micro <= p_account_cap",
    ),
    Mutation(
        "the first call of an account's day has no cap",
        "windows",
        "\n     WHERE p_account_cap IS NULL OR p_micro <= p_account_cap",
    ),
    Mutation(
        "own spend and charge are one verdict",
        "windows",
        "RAISE EXCEPTION 'user_spend'",
        "RAISE EXCEPTION 'user'",
    ),
    Mutation(
        "held and spent of an account are one verdict",
        "windows",
        "coalesce(w.own_spend_micro, 0) + p_micro > p_account_cap",
        "true",
    ),
    # What a call counts.
    Mutation(
        "an estimated call counts at its bound",
        "settle_attempt",
        _SPEND,
        "CASE WHEN a.state IN ('unknown', 'estimated') THEN a.bound_micro ELSE a.cost_micro END",
    ),
    Mutation(
        "what others cut is the user's spend",
        "settle_attempt",
        " AND coalesce(p->>'ended_by', '') = 'user'",
    ),
    Mutation(
        "what staff or a switch cut is the user's spend",
        "settle_attempt",
        "AND j.cancelled_by = 'user')),",
        ")),",
    ),
    Mutation(
        "what a user cut is not their spend",
        "settle_attempt",
        "p->>'state' IN ('estimated', 'unknown') AND coalesce",
        "false AND coalesce",
    ),
    Mutation(
        "reconcile takes back the charge of an answer",
        "reconcile",
        "\n                                     OR j.result IS NOT NULL",
    ),
    Mutation(
        "a call that nobody saw end is the user's spend",
        "settle_attempt",
        "'error_code', p_error_code)",
        "'error_code', p_error_code, 'ended_by', 'user')",
    ),
    Mutation(
        "an answer is not the user's spend",
        "settle_attempt",
        "p->>'state' = 'settled'\n               OR ",
    ),
    Mutation(
        "own spend of an unknown call is its cost",
        "settle_attempt",
        "CASE WHEN a.own_spend THEN spend ELSE 0 END",
        "CASE WHEN a.own_spend THEN a.cost_micro ELSE 0 END",
    ),
    Mutation(
        "shown text is charged above the spend",
        "settle_attempt",
        "least(coalesce(p_delivered_micro, 0), spend)",
        "coalesce(p_delivered_micro, 0)",
    ),
    Mutation(
        "shown text costs the whole call",
        "settle_attempt",
        "least(coalesce(p_delivered_micro, 0), spend)",
        "CASE WHEN p_delivered_micro > 0 THEN spend ELSE 0 END",
    ),
    # Who cancelled, and what is charged then.
    Mutation(
        "text is charged when staff cancels",
        "finish",
        _BY_THE_USER,
        "p_status = 'cancelled' AND author <> ''",
    ),
    Mutation("text is charged when a job fails", "finish", _BY_THE_USER, "author IN ('user', '')"),
    Mutation(
        "shown text is not charged", "finish", "CASE WHEN shown <> '' THEN", "CASE WHEN false THEN"
    ),
    Mutation("shown text is not kept", "finish", "partial_text = shown,"),
    Mutation(
        "what was charged is not stored",
        "finish",
        "coalesce(charge, t.charge_micro)",
        "t.charge_micro",
    ),
    Mutation(
        "a deadline is no author",
        "finish",
        "THEN 'deadline' ELSE t.cancelled_by END",
        "THEN '' ELSE t.cancelled_by END",
    ),
    Mutation(
        "every failure is a deadline",
        "finish",
        "p_status = 'failed' AND p_error_code = 'deadline_exceeded'",
        "p_status = 'failed'",
    ),
    Mutation(
        "a deadline takes the place of who cancelled",
        "finish",
        "\n                                    AND t.cancel_requested_at IS NULL",
    ),
    Mutation(
        "the deadline of a job that waits is no author", "overdue", ", cancelled_by = 'deadline'"
    ),
    Mutation(
        "the deadline of a lost run is no author",
        "overdue",
        "ELSE 'deadline' END",
        "ELSE t.cancelled_by END",
    ),
    Mutation(
        "a deadline takes the place of who cancelled a lost run",
        "overdue",
        "IS NOT NULL THEN t.cancelled_by\n",
        "IS NOT NULL THEN 'deadline'\n",
    ),
    Mutation("the last to cancel is the author", "cancel", _AUTHOR, "p_by"),
    Mutation("a user always is the author", "cancel", "THEN p_by\n", "THEN 'user'\n"),
    Mutation("a switch is no author", "stopped", "cancelled_by = 'switch',"),
    Mutation("a switch that holds cancels", "stopped", " AND c.kill_mode = 'cancel'"),
    Mutation("a released switch cancels", "stopped", "c.killed AND c.kill_mode", "c.kill_mode"),
    Mutation("a switch cancels twice", "stopped", " AND j.cancel_requested_at IS NULL"),
    Mutation(
        "a switch ends what runs",
        "stopped",
        "status = CASE t.status WHEN 'running' THEN t.status ELSE 'cancelled' END",
        "status = 'cancelled', lease_until = NULL",
    ),
    Mutation(
        "a switch waits for locks",
        "stopped",
        "LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED",
        "LIMIT p_limit FOR NO KEY UPDATE",
    ),
    # Settled later.
    Mutation(
        "an estimated call is never settled",
        "settle_unknown",
        "t.state IN ('unknown', 'estimated')",
        "t.state = 'unknown'",
    ),
    Mutation(
        "settling leaves the own spend",
        "settle_unknown",
        "PERFORM aif_move_hold_of_user(a.feature, a.user_id, a.day, 0, 0, more);",
        "NULL;",
    ),
    Mutation(
        "settling counts for every user", "settle_unknown", "IF a.own_spend THEN", "IF true THEN"
    ),
    Mutation(
        "settling corrects the charge",
        "settle_unknown",
        "a.day, 0, 0, more",
        "a.day, 0, more, more",
    ),
    Mutation(
        "an estimated call is settled from its bound", "settle_unknown", _SPEND, "a.bound_micro"
    ),
    # The reconciler.
    Mutation(
        "reconcile ignores own spend that drifted",
        "reconcile",
        "\n            OR coalesce(f.own_spend_micro, 0) <> coalesce(d.own, 0)",
    ),
    Mutation(
        "reconcile repairs no own spend",
        "reconcile",
        ",\n                   own_spend_micro = w.own_spend_micro - own_drift",
    ),
    Mutation(
        "reconcile takes an estimated call for its bound",
        "reconcile",
        "WHEN 'unknown' THEN a.bound_micro\n                                ELSE a.cost_micro END AS spent",
        "WHEN 'settled' THEN a.cost_micro\n                                ELSE a.bound_micro END AS spent",
    ),
    Mutation(
        "reconcile counts what others cut",
        "reconcile",
        "WHEN NOT a.own_spend THEN 0 WHEN",
        "WHEN a.state IN ('started', 'failed') THEN 0 WHEN",
    ),
    Mutation(
        "reconcile knows no charge of a cut call",
        "reconcile",
        "a.state NOT IN ('started', 'failed')",
        "a.state = 'settled'",
    ),
    Mutation(
        "reconcile knows no accounts",
        "reconcile",
        "SELECT 'account', c.user_id::text, c.day, sum(c.charge), sum(c.held), sum(c.own)\n              FROM calls c WHERE c.user_id IS NOT NULL",
        "SELECT 'account', c.user_id::text, c.day, sum(c.charge), sum(c.held), sum(c.own)\n              FROM calls c WHERE false",
    ),
)
