"""Guards of the calls of a keeper."""

from __future__ import annotations

from typing import Final

from tests.integration.machine.mutations import OURS, Edit, mutations_of

KEEPER_MUTATIONS: Final = mutations_of(
    {
        "lease": {
            "an old epoch is extended": Edit(" AND j.epoch = mine.epoch\n", "\n"),
            "a lease exceeds the deadline": Edit(
                "least(now_ + lease, t.deadline_at + lease)", "now_ + lease"
            ),
            "extending waits for locks": Edit(" SKIP LOCKED"),
            "flags are returned for an old epoch": Edit(" AND t.epoch = mine.epoch\n", "\n"),
            "the keeper ignores the switch": Edit("aif_paused(u.feature, u.user_id)", "false"),
            "giving back ignores the epoch": Edit(OURS, "t.status = 'running'"),
            "giving back waits for locks": Edit(" SKIP LOCKED", last=True),
            "giving back counts no billed run as a try": Edit(
                "a.state <> 'failed')::int", "false)::int"
            ),
            "giving back counts every run as a try": Edit(" AND a.state <> 'failed'"),
            "giving back ignores a cancellation": Edit("IF cancelled IS NULL", "IF true"),
            "giving back keeps the epoch": Edit(
                "epoch = t.epoch + 1,\n               tries", "tries"
            ),
            "giving back a cancelled run keeps the epoch": Edit(
                "'cancelled', epoch = t.epoch + 1", "'cancelled'"
            ),
            "giving back leaves calls open": Edit("PERFORM aif_close_unseen(p_job, 'lease_lost');"),
        },
    }
)
