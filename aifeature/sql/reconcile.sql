-- Compare each window with the sum of the ledger: windows since `p_from` with their calls and charges,
-- a month with its days. One statement reads all of it, so a concurrent write is no drift. Returns the
-- windows that differ and their excess. `p_repair` subtracts the excess, which stays correct after
-- concurrent writes.
CREATE OR REPLACE FUNCTION aif_reconcile_windows(p_from date, p_repair boolean)
RETURNS TABLE (
    scope text, key text, day date, spent_drift bigint, held_drift bigint, own_drift bigint)
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
BEGIN
    FOR scope, key, day, spent_drift, held_drift, own_drift IN
        WITH calls AS (
            SELECT coalesce(nullif(a.budget, ''), a.feature)::text AS feature, a.user_id, a.day,
                   CASE a.state WHEN 'started' THEN 0 WHEN 'unknown' THEN a.bound_micro
                                ELSE a.cost_micro END AS spent,
                   CASE a.state WHEN 'started' THEN a.bound_micro ELSE 0 END AS held,
                   CASE WHEN NOT a.own_spend THEN 0 WHEN a.state = 'unknown' THEN a.bound_micro
                        ELSE a.cost_micro END AS own,
                   -- A job is charged for its last call: the one that was accepted, or that its
                   -- user cancelled. A cancelled job without text and answer is not charged.
                   coalesce((SELECT j.charge_micro FROM aifeature_job j
                              WHERE j.id = a.job_id AND a.state NOT IN ('started', 'failed')
                                AND j.epoch = a.epoch AND j.attempts = a.number
                                AND (j.status <> 'cancelled' OR j.partial_text <> ''
                                     OR j.result IS NOT NULL
                                     OR j.content_blanked_at IS NOT NULL)), 0) AS charge
              FROM aifeature_attempt a
             -- Uses the index on started_at; `day` comes from the same clock.
             WHERE a.started_at >= p_from::timestamp AT TIME ZONE 'UTC' - interval '1 minute'
               AND a.day >= p_from
        ), due AS (
            SELECT 'user' AS scope, c.feature || ':' || c.user_id AS key, c.day,
                   sum(c.charge) AS spent, sum(c.held) AS held, sum(c.own) AS own
              FROM calls c WHERE c.user_id IS NOT NULL GROUP BY 2, 3
            UNION ALL
            SELECT 'account', c.user_id::text, c.day, sum(c.charge), sum(c.held), sum(c.own)
              FROM calls c WHERE c.user_id IS NOT NULL GROUP BY 2, 3
            UNION ALL
            SELECT 'feature', c.feature, c.day, sum(c.spent), sum(c.held), 0
              FROM calls c GROUP BY 2, 3
            UNION ALL
            SELECT 'global', '', c.day, sum(c.spent), sum(c.held), 0 FROM calls c GROUP BY 3
        ), days AS (
            SELECT d.day, d.spent, d.held FROM due d WHERE d.scope = 'global'
            UNION ALL
            SELECT w.day, w.spent_micro, w.held_micro FROM aifeature_spendwindow w
             WHERE w.scope = 'global' AND w.key = ''
               AND w.day >= aif_month(p_from) AND w.day < p_from
        ), all_due AS (
            SELECT * FROM due
            UNION ALL
            SELECT 'month', '', aif_month(d.day), sum(d.spent), sum(d.held), 0
              FROM days d GROUP BY aif_month(d.day)
        ), found AS (
            SELECT w.scope::text, w.key::text, w.day, w.spent_micro, w.held_micro,
                   w.own_spend_micro
              FROM aifeature_spendwindow w
             WHERE w.day >= p_from OR w.scope = 'month' AND w.day >= aif_month(p_from)
        )
        SELECT coalesce(f.scope, d.scope), coalesce(f.key, d.key), coalesce(f.day, d.day),
               (coalesce(f.spent_micro, 0) - coalesce(d.spent, 0))::bigint,
               (coalesce(f.held_micro, 0) - coalesce(d.held, 0))::bigint,
               (coalesce(f.own_spend_micro, 0) - coalesce(d.own, 0))::bigint
          FROM found f FULL JOIN all_due d USING (scope, key, day)
         WHERE coalesce(f.spent_micro, 0) <> coalesce(d.spent, 0)
            OR coalesce(f.held_micro, 0) <> coalesce(d.held, 0)
            OR coalesce(f.own_spend_micro, 0) <> coalesce(d.own, 0)
         -- The order in which all callers lock the windows.
         ORDER BY array_position(ARRAY['user', 'account', 'feature', 'global', 'month'],
                                 coalesce(f.scope, d.scope)), 2, 3
    LOOP
        IF p_repair THEN
            INSERT INTO aifeature_spendwindow AS w (
                scope, key, day, spent_micro, held_micro, own_spend_micro)
            VALUES (scope, key, day, greatest(0, -spent_drift), greatest(0, -held_drift),
                    greatest(0, -own_drift))
                ON CONFLICT ON CONSTRAINT spend_window_once DO UPDATE
               SET spent_micro = w.spent_micro - spent_drift,
                   held_micro = w.held_micro - held_drift,
                   own_spend_micro = w.own_spend_micro - own_drift;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Used by processes of an earlier release.
CREATE OR REPLACE FUNCTION aif_reconcile(p_from date, p_repair boolean)
RETURNS TABLE (scope text, key text, day date, spent_drift bigint, held_drift bigint)
LANGUAGE sql AS $$
    SELECT r.scope, r.key, r.day, r.spent_drift, r.held_drift
      FROM aif_reconcile_windows(p_from, p_repair) r;
$$;
