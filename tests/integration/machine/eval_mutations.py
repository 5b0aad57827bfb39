# ruff: noqa: E501 (SQL as in the files)
"""Guards of jobs of evaluations: their payer, their charge, their window and their key."""

from __future__ import annotations

from typing import Final

from tests.integration.machine.mutations import Edit, mutations_of

_PAYER = "coalesce(nullif(a.budget, ''), a.feature)"
_LOST = "j.lease_until < now_ AND NOT aif_lives(j.worker, p_stale_s)\n                       AND ("
_AGAIN = "WHEN running < threads THEN least(p_again_after_s, p_lost_after_s)"

EVAL_MUTATIONS: Final = mutations_of(
    {
        "windows": {
            "the feature pays for its evaluations": Edit(
                "CASE p_origin WHEN 'user' THEN p_feature ELSE '_evals' END", "p_feature"
            ),
        },
        "begin_attempt": {
            "a call of an evaluation reserves for a user": Edit(
                "of_user := j.origin = 'user'", "of_user := true"
            ),
            "the feature reserves for its evaluations": Edit(
                "aif_hold('feature', aif_payer(j.feature, j.origin),",
                "aif_hold('feature', j.feature,",
            ),
        },
        "settle_attempt": {
            "an evaluation is charged": Edit("WHEN a.budget <> '' THEN 0", "WHEN false THEN 0"),
            "the feature pays when its evaluation is settled": Edit(_PAYER, "a.feature"),
        },
        "settle_unknown": {
            "the feature pays when its evaluation is settled later": Edit(_PAYER, "a.feature"),
        },
        "reconcile": {"reconcile counts evaluations as the feature's": Edit(_PAYER, "a.feature")},
        "submit": {
            "a repeated evaluation fails": Edit("ON CONFLICT DO NOTHING", last=True),
            "an evaluation is a job of its user": Edit("'queued', p_origin", "'queued', 'user'"),
        },
        "dispatch": {
            "evaluations take places of users": Edit(
                "j.published_at IS NOT NULL AND j.origin = 'user')", "j.published_at IS NOT NULL)"
            ),
            "running evaluations take places of users": Edit(
                "j.status = 'running' AND j.origin = 'user')", "j.status = 'running')"
            ),
            "evaluations are sent in the turns of users": Edit(
                "j.published_at IS NULL AND j.origin = 'user'\n                          AND j.feature = at_feature",
                "j.published_at IS NULL\n                          AND j.feature = at_feature",
            ),
            "lost runs of evaluations are sent to workers of users": Edit(
                "j.lease_until < now_ AND j.origin = 'user'", "j.lease_until < now_"
            ),
            "jobs of users are sent as evaluations": Edit(
                "j.status = 'queued' AND j.origin <> 'user' AND j.published_at IS NULL",
                "j.status = 'queued' AND j.published_at IS NULL",
            ),
            "evaluations have no window": Edit(
                "least(p_limit, 2 * threads - running - sent)", "p_limit"
            ),
            "sent evaluations take no place": Edit("- running - sent", "- running"),
            "evaluations ignore the switch": Edit(" AND NOT aif_paused(j.feature, j.user_id)"),
            "evaluations ignore run_at": Edit(
                "\n               AND j.run_at <= now_ AND", "\n               AND"
            ),
            "evaluations of live workers are sent again": Edit(
                _LOST, "j.lease_until < now_\n                       AND ("
            ),
            "evaluations under way are sent again": Edit(_LOST, "("),
            "a sent evaluation is sent again at once": Edit(
                _AGAIN, "WHEN running < threads THEN 0"
            ),
            "a lost message of an evaluation waits while a thread is free": Edit(
                _AGAIN, "WHEN false THEN 0"
            ),
            "the choice of evaluations waits for locks": Edit(
                "FOR NO KEY UPDATE SKIP LOCKED", "FOR NO KEY UPDATE", last=True
            ),
        },
    }
)
