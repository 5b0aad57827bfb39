-- Whether each window is the sum of the ledger: those of `p_from` and later by their calls and
-- charges, a month by its days. All is read in one statement, so what is being written cannot look
-- like a drift. Returned are the windows that differ, by how much they are too high; with `p_repair`
-- they are put right by that difference, which holds whatever was written meanwhile.
CREATE OR REPLACE FUNCTION aif_reconcile(p_from date, p_repair boolean)
RETURNS TABLE (scope text, key text, day date, spent_drift bigint, held_drift bigint)
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
BEGIN
    FOR scope, key, day, spent_drift, held_drift IN
        WITH calls AS (
            SELECT a.feature::text, a.user_id, a.day,
                   CASE a.state WHEN 'started' THEN 0 WHEN 'unknown' THEN a.bound_micro
                                ELSE a.cost_micro END AS spent,
                   CASE a.state WHEN 'started' THEN a.bound_micro ELSE 0 END AS held,
                   -- The accepted call of a charged job is the last it made.
                   coalesce((SELECT j.charge_micro FROM aifeature_job j
                              WHERE j.id = a.job_id AND a.state = 'settled'
                                AND j.epoch = a.epoch AND j.attempts = a.number), 0) AS charge
              FROM aifeature_attempt a
             -- By the index of beginnings; the day is the same clock's.
             WHERE a.started_at >= p_from::timestamp AT TIME ZONE 'UTC' - interval '1 minute'
               AND a.day >= p_from
        ), due AS (
            SELECT 'user' AS scope, c.feature || ':' || c.user_id AS key, c.day,
                   sum(c.charge) AS spent, sum(c.held) AS held
              FROM calls c WHERE c.user_id IS NOT NULL GROUP BY 2, 3
            UNION ALL
            SELECT 'feature', c.feature, c.day, sum(c.spent), sum(c.held) FROM calls c GROUP BY 2, 3
            UNION ALL
            SELECT 'global', '', c.day, sum(c.spent), sum(c.held) FROM calls c GROUP BY 3
        ), days AS (
            SELECT d.day, d.spent, d.held FROM due d WHERE d.scope = 'global'
            UNION ALL
            SELECT w.day, w.spent_micro, w.held_micro FROM aifeature_spendwindow w
             WHERE w.scope = 'global' AND w.key = ''
               AND w.day >= aif_month(p_from) AND w.day < p_from
        ), all_due AS (
            SELECT * FROM due
            UNION ALL
            SELECT 'month', '', aif_month(d.day), sum(d.spent), sum(d.held)
              FROM days d GROUP BY aif_month(d.day)
        ), found AS (
            SELECT w.scope::text, w.key::text, w.day, w.spent_micro, w.held_micro
              FROM aifeature_spendwindow w
             WHERE w.day >= p_from OR w.scope = 'month' AND w.day >= aif_month(p_from)
        )
        SELECT coalesce(f.scope, d.scope), coalesce(f.key, d.key), coalesce(f.day, d.day),
               (coalesce(f.spent_micro, 0) - coalesce(d.spent, 0))::bigint,
               (coalesce(f.held_micro, 0) - coalesce(d.held, 0))::bigint
          FROM found f FULL JOIN all_due d USING (scope, key, day)
         WHERE coalesce(f.spent_micro, 0) <> coalesce(d.spent, 0)
            OR coalesce(f.held_micro, 0) <> coalesce(d.held, 0)
         -- The order in which everybody locks them.
         ORDER BY array_position(ARRAY['user', 'feature', 'global', 'month'],
                                 coalesce(f.scope, d.scope)), 2, 3
    LOOP
        IF p_repair THEN
            INSERT INTO aifeature_spendwindow AS w (scope, key, day, spent_micro, held_micro)
            VALUES (scope, key, day, greatest(0, -spent_drift), greatest(0, -held_drift))
                ON CONFLICT ON CONSTRAINT spend_window_once DO UPDATE
               SET spent_micro = w.spent_micro - spent_drift,
                   held_micro = w.held_micro - held_drift;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$$;
