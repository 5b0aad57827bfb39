-- Return the number of jobs (of the first thousand) that were due for `p_after_s` seconds while no job
-- ran, although workers are available, and the seconds for which the first has been due. No row: there
-- is no such job, or a call was begun meanwhile. Ages count from the end of the last watching gap.
CREATE OR REPLACE FUNCTION aif_stalled(p_after_s double precision)
RETURNS TABLE (jobs bigint, due_s double precision)
LANGUAGE sql STABLE
SET lock_timeout = '2s'
AS $$
    WITH since AS (
        SELECT statement_timestamp() - make_interval(secs => p_after_s) AS moment
    ), first AS (
        SELECT j.feature, j.user_id, greatest(j.run_at, t.since) AS due_at
          FROM aifeature_job j
          JOIN aifeature_watch t ON t.name = 'turn' AND t.since <= (SELECT s.moment FROM since s)
         WHERE j.status = 'queued' AND j.origin = 'user'
           AND j.run_at <= (SELECT s.moment FROM since s)
           AND EXISTS (SELECT 1 FROM aifeature_worker w
                        WHERE w.queue = 'llm' AND w.slots > 0
                          AND w.seen_at > statement_timestamp() - interval '20 seconds')
           AND NOT EXISTS (SELECT 1 FROM aifeature_job r
                            WHERE r.status = 'running' AND r.origin = 'user'
                              AND r.lease_until > statement_timestamp())
           AND NOT EXISTS (SELECT 1 FROM aifeature_attempt a
                            WHERE a.budget = ''
                              AND a.started_at > (SELECT s.moment FROM since s))
         ORDER BY j.run_at LIMIT 1000
    )
    SELECT count(*), extract(epoch FROM statement_timestamp() - min(f.due_at))::double precision
      FROM first f
     WHERE NOT aif_paused(f.feature, f.user_id)
    HAVING count(*) > 0;
$$;
