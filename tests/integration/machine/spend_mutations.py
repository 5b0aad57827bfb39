# ruff: noqa: E501 (SQL as in the files)
"""Guards of own spend, of the charge for shown text and of the author of a cancellation."""

from __future__ import annotations

from typing import Final

from tests.integration.machine.mutations import Edit, mutations_of

_OWN = ",\n           own_spend_micro = greatest(0, w.own_spend_micro + p_own)"
_SPEND = "CASE a.state WHEN 'unknown' THEN a.bound_micro ELSE a.cost_micro END"
_BY_USER = "p_status = 'cancelled' AND author = 'user'"
_SHARED = "SET held_micro = greatest(0, w.held_micro - p_held),\n           spent_micro = greatest(0, w.spent_micro + p_charge)"
_AUTHOR = "CASE WHEN t.cancel_requested_at IS NULL THEN p_by\n                               ELSE t.cancelled_by END"

SPEND_MUTATIONS: Final = mutations_of(
    {
        "windows": {
            "own spend is not counted": Edit(_OWN),
            "own spend is not counted in the account": Edit(_OWN, last=True),
            "a reservation leaves out the account": Edit(
                "SET held_micro = t.held_micro + p_micro\n     WHERE p_account_cap",
                "SET held_micro = t.held_micro\n     WHERE p_account_cap",
            ),
            "a settlement leaves the reservation in the account": Edit(
                _SHARED, "SET spent_micro = greatest(0, w.spent_micro + p_charge)", last=True
            ),
            "the account counts no charge": Edit(
                _SHARED, "SET held_micro = greatest(0, w.held_micro - p_held)", last=True
            ),
            "the cap of charges is not checked": Edit(
                "t.spent_micro + t.held_micro + p_micro <= p_charge_cap", "true"
            ),
            "the cap of own spend is not checked": Edit(
                "t.own_spend_micro + t.held_micro + p_micro <= p_spend_cap", "true"
            ),
            "the cap of own spend ignores reservations": Edit(
                "t.own_spend_micro + t.held_micro + p_micro <= p_spend_cap",
                "t.own_spend_micro + p_micro <= p_spend_cap",
            ),
            "the first call of a user's day has no spend cap": Edit(
                "\n       AND (p_spend_cap IS NULL OR p_micro <= p_spend_cap)"
            ),
            "the cap of the account is not checked": Edit(
                "t.own_spend_micro + t.held_micro + p_micro <= p_account_cap", "true"
            ),
            "the cap of the account ignores reservations": Edit(
                "t.own_spend_micro + t.held_micro + p_micro <= p_account_cap",
                "t.own_spend_micro + p_micro <= p_account_cap",
            ),
            "the cap of the account counts charges": Edit(
                "t.own_spend_micro + t.held_micro + p_micro <= p_account_cap",
                "t.spent_micro + t.held_micro + p_micro <= p_account_cap",
            ),
            "the first call of an account's day has no cap": Edit(
                "\n     WHERE p_account_cap IS NULL OR p_micro <= p_account_cap"
            ),
            "own spend and charge get the same verdict": Edit(
                "RAISE EXCEPTION 'user_spend'", "RAISE EXCEPTION 'user'"
            ),
            "held and spent of an account get the same verdict": Edit(
                "coalesce(w.own_spend_micro, 0) + p_micro > p_account_cap", "true"
            ),
        },
        "settle_attempt": {
            "an estimated call counts at its bound": Edit(
                _SPEND,
                "CASE WHEN a.state IN ('unknown', 'estimated') THEN a.bound_micro ELSE a.cost_micro END",
            ),
            "calls that other causes ended are own spend": Edit(
                " AND coalesce(p->>'ended_by', '') = 'user'"
            ),
            "calls that staff or a switch ended are own spend": Edit(
                "AND j.cancelled_by = 'user')),", ")),"
            ),
            "calls that the user ended are not own spend": Edit(
                "p->>'state' IN ('estimated', 'unknown') AND coalesce", "false AND coalesce"
            ),
            "a call whose end is unknown is own spend": Edit(
                "'error_code', p_error_code)", "'error_code', p_error_code, 'ended_by', 'user')"
            ),
            "an answer is not own spend": Edit("p->>'state' = 'settled'\n               OR "),
            "own spend of an unknown call is its cost": Edit(
                "CASE WHEN a.own_spend THEN spend ELSE 0 END",
                "CASE WHEN a.own_spend THEN a.cost_micro ELSE 0 END",
            ),
            "shown text is charged above the spend": Edit(
                "least(coalesce(p_delivered_micro, 0), spend)", "coalesce(p_delivered_micro, 0)"
            ),
            "shown text costs the whole call": Edit(
                "least(coalesce(p_delivered_micro, 0), spend)",
                "CASE WHEN p_delivered_micro > 0 THEN spend ELSE 0 END",
            ),
        },
        "reconcile": {
            "reconcile removes the charge of an answer": Edit(
                "\n                                     OR j.result IS NOT NULL"
            ),
            "reconcile ignores drift of own spend": Edit(
                "\n            OR coalesce(f.own_spend_micro, 0) <> coalesce(d.own, 0)"
            ),
            "reconcile repairs no own spend": Edit(
                ",\n                   own_spend_micro = w.own_spend_micro - own_drift"
            ),
            "reconcile counts an estimated call at its bound": Edit(
                "WHEN 'unknown' THEN a.bound_micro\n                                ELSE a.cost_micro END AS spent",
                "WHEN 'settled' THEN a.cost_micro\n                                ELSE a.bound_micro END AS spent",
            ),
            "reconcile counts calls that other causes ended": Edit(
                "WHEN NOT a.own_spend THEN 0 WHEN",
                "WHEN a.state IN ('started', 'failed') THEN 0 WHEN",
            ),
            "reconcile ignores the charge of a cut call": Edit(
                "a.state NOT IN ('started', 'failed')", "a.state = 'settled'"
            ),
            "reconcile ignores accounts": Edit(
                "SELECT 'account', c.user_id::text, c.day, sum(c.charge), sum(c.held), sum(c.own)\n              FROM calls c WHERE c.user_id IS NOT NULL",
                "SELECT 'account', c.user_id::text, c.day, sum(c.charge), sum(c.held), sum(c.own)\n              FROM calls c WHERE false",
            ),
        },
        "finish": {
            "text is charged when staff cancels": Edit(
                _BY_USER, "p_status = 'cancelled' AND author <> ''"
            ),
            "text is charged when a job fails": Edit(_BY_USER, "author IN ('user', '')"),
            "shown text is not charged": Edit("CASE WHEN shown <> '' THEN", "CASE WHEN false THEN"),
            "shown text is not kept": Edit("partial_text = shown,"),
            "the charge is not stored": Edit("coalesce(charge, t.charge_micro)", "t.charge_micro"),
            "a deadline is not stored as the author": Edit(
                "THEN 'deadline' ELSE t.cancelled_by END", "THEN '' ELSE t.cancelled_by END"
            ),
            "every failure has the deadline as author": Edit(
                "p_status = 'failed' AND p_error_code = 'deadline_exceeded'", "p_status = 'failed'"
            ),
            "a deadline replaces the author": Edit(
                "\n                                    AND t.cancel_requested_at IS NULL"
            ),
        },
        "overdue": {
            "the deadline of a queued job is not stored as the author": Edit(
                ", cancelled_by = 'deadline'"
            ),
            "the deadline of a lost run is not stored as the author": Edit(
                "ELSE 'deadline' END", "ELSE t.cancelled_by END"
            ),
            "the deadline of a lost run replaces the author": Edit(
                "IS NOT NULL THEN t.cancelled_by\n", "IS NOT NULL THEN 'deadline'\n"
            ),
        },
        "cancel": {
            "the last cancellation sets the author": Edit(_AUTHOR, "p_by"),
            "the user always is the author": Edit("THEN p_by\n", "THEN 'user'\n"),
        },
        "stopped": {
            "a switch is not stored as the author": Edit("cancelled_by = 'switch',"),
            "a switch that holds cancels": Edit(" AND c.kill_mode = 'cancel'"),
            "a released switch cancels": Edit("c.killed AND c.kill_mode", "c.kill_mode"),
            "a switch cancels twice": Edit(" AND j.cancel_requested_at IS NULL"),
            "a switch ends running jobs": Edit(
                "status = CASE t.status WHEN 'running' THEN t.status ELSE 'cancelled' END",
                "status = 'cancelled', lease_until = NULL",
            ),
            "a switch leaves jobs that need approval": Edit(", 'needs_approval')", ")"),
            "a switch waits for locks": Edit(
                "LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED", "LIMIT p_limit FOR NO KEY UPDATE"
            ),
        },
        "settle_unknown": {
            "an estimated call is never settled": Edit(
                "t.state IN ('unknown', 'estimated')", "t.state = 'unknown'"
            ),
            "settling leaves the own spend": Edit(
                "PERFORM aif_move_hold_of_user(a.feature, a.user_id, a.day, 0, 0, more);", "NULL;"
            ),
            "settling adds own spend for every call": Edit("IF a.own_spend THEN", "IF true THEN"),
            "settling corrects the charge": Edit("a.day, 0, 0, more", "a.day, 0, more, more"),
            "an estimated call is settled from its bound": Edit(_SPEND, "a.bound_micro"),
        },
    }
)
