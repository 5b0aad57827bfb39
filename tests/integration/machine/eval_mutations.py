"""Guards of jobs of evaluations whose absence random walks soon find.

Plain tests hold these and the other ones: `integration/jobs/test_evaluations.py` and
`integration/dispatch/test_evaluations.py`.
"""

from __future__ import annotations

from typing import Final

from tests.integration.machine.mutations import Edit, mutations_of

_PAYER = "coalesce(nullif(a.budget, ''), a.feature)"
_LOST = "j.lease_until < now_ AND NOT aif_lives(j.worker, p_stale_s)\n                       AND ("

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
                "aif_hold('feature', aif_payer_of(j.feature, j.origin, j.options),",
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
            "lost runs of evaluations are sent to workers of users": Edit(
                "j.lease_until < now_ AND j.origin = 'user'", "j.lease_until < now_"
            ),
            "jobs of users are sent as evaluations": Edit(
                "j.status = 'queued' AND j.origin <> 'user' AND j.published_at IS NULL",
                "j.status = 'queued' AND j.published_at IS NULL",
            ),
            "evaluations under way are sent again": Edit(_LOST, "("),
        },
    }
)
