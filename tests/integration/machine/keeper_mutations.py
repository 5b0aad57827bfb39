"""Guards of what the keeper of a process asks."""

from __future__ import annotations

from typing import Final

from tests.integration.machine.mutations import OURS, Mutation

KEEPER_MUTATIONS: Final = (
    Mutation("an old epoch is extended", "lease", " AND j.epoch = mine.epoch\n", "\n"),
    Mutation(
        "a lease outlasts the deadline",
        "lease",
        "least(now_ + lease, t.deadline_at + lease)",
        "now_ + lease",
    ),
    Mutation("extending waits for locks", "lease", " SKIP LOCKED"),
    Mutation("flags of an old epoch", "lease", " AND t.epoch = mine.epoch\n", "\n"),
    Mutation("the keeper ignores the switch", "lease", "aif_paused(u.feature, u.user_id)", "false"),
    Mutation("giving back ignores the epoch", "lease", OURS, "t.status = 'running'"),
    Mutation("giving back waits for locks", "lease", " SKIP LOCKED", last=True),
    Mutation(
        "giving back counts no paid run",
        "lease",
        "a.state <> 'failed')::int",
        "false)::int",
    ),
    Mutation("giving back counts every run", "lease", " AND a.state <> 'failed'"),
    Mutation("giving back ignores a cancellation", "lease", "IF cancelled IS NULL", "IF true"),
    Mutation(
        "giving back keeps the epoch",
        "lease",
        "epoch = t.epoch + 1,\n               tries",
        "tries",
    ),
    Mutation(
        "giving back a cancelled run keeps the epoch",
        "lease",
        "'cancelled', epoch = t.epoch + 1",
        "'cancelled'",
    ),
    Mutation(
        "giving back leaves calls open", "lease", "PERFORM aif_close_unseen(p_job, 'lease_lost');"
    ),
)
