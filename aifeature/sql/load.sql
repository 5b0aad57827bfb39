-- Figures on how long a new job would wait for a thread. Jobs held by a kill switch are not counted:
-- they delay no other job.

-- Return the number of due jobs that may be dispatched, by feature and user.
CREATE OR REPLACE FUNCTION aif_waiting()
RETURNS TABLE (feature text, user_id @user_key@, jobs bigint)
LANGUAGE sql STABLE AS $$
    WITH w AS (
        SELECT j.feature, j.user_id, count(*) AS jobs FROM aifeature_job j
         WHERE j.status = 'queued' AND j.published_at IS NULL AND j.origin = 'user'
           AND j.run_at <= statement_timestamp()
         GROUP BY 1, 2
    )
    SELECT w.feature, w.user_id, w.jobs FROM w
     WHERE NOT EXISTS (SELECT 1 FROM aifeature_featurecontrol c
                        WHERE c.killed OR c.release_percent < 100)
        OR NOT aif_paused(w.feature, w.user_id);
$$;

-- Return the number of jobs ahead of the next job of this user and feature, and how many of them are
-- the user's own. Users take turns, so each other user counts for at most as many jobs as this user
-- would have. Jobs in flight count too.
CREATE OR REPLACE FUNCTION aif_ahead_of(p_feature text, p_user @user_key@)
RETURNS TABLE (ahead bigint, own bigint)
LANGUAGE sql STABLE
SET lock_timeout = '2s'
AS $$
    WITH waiting AS (
        SELECT * FROM aif_waiting()
    ), mine AS (
        SELECT coalesce((SELECT w.jobs FROM waiting w
                          WHERE w.feature = p_feature AND w.user_id = p_user), 0) AS jobs
    )
    SELECT aif_out() + coalesce((SELECT sum(least(w.jobs, mine.jobs + 1)) FROM waiting w
                                  WHERE (w.feature, w.user_id) <> (p_feature, p_user)), 0)::bigint
           + mine.jobs,
           mine.jobs + aif_out_of(p_feature, p_user)
      FROM mine;
$$;

-- Return the load that a feature's next job meets: jobs that may be dispatched or are in flight; the
-- threads; the mean seconds of the latest calls of all features and of this one (NULL without recent
-- calls; only settled calls, since timeouts do not show how long work takes, and no probes); and the
-- seconds for which the feature's jobs have booked the provider's rate limits (0 below 20 such jobs).
CREATE OR REPLACE FUNCTION aif_load(p_feature text)
RETURNS TABLE (
    jobs bigint, slots integer, call_s double precision, own_call_s double precision,
    booked_s double precision)
LANGUAGE sql STABLE
SET lock_timeout = '2s'
AS $$
    WITH calls AS (
        SELECT a.feature, a.latency_ms / 1000.0 AS seconds FROM aifeature_attempt a
         WHERE a.started_at > statement_timestamp() - interval '10 minutes'
           AND a.latency_ms IS NOT NULL AND a.state = 'settled' AND a.purpose <> 'probe'
           AND a.budget = ''
         ORDER BY a.started_at DESC LIMIT 200
    ), booked AS (
        SELECT extract(epoch FROM j.run_at - statement_timestamp()) AS seconds
          FROM aifeature_job j
         WHERE j.status = 'queued' AND j.published_at IS NULL AND j.origin = 'user'
           AND j.feature = p_feature AND j.wait_reason = 'provider_limited'
    )
    SELECT aif_out() + coalesce((SELECT sum(w.jobs) FROM aif_waiting() w), 0)::bigint,
           aif_slots(),
           (SELECT avg(c.seconds) FROM calls c)::double precision,
           (SELECT avg(c.seconds) FROM calls c WHERE c.feature = p_feature)::double precision,
           coalesce((SELECT CASE WHEN count(*) >= 20 THEN
                                percentile_cont(0.9) WITHIN GROUP (ORDER BY b.seconds) END
                       FROM booked b), 0)::double precision;
$$;
