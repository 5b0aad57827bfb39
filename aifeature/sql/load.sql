-- How long a job that is submitted now would wait for a thread.

-- How many jobs go before another one of this user and feature: of each user of a feature at most as
-- many as this user would have, since turns go round. Those out and not done count as well.
CREATE OR REPLACE FUNCTION aif_ahead_of(p_feature text, p_user bigint)
RETURNS bigint
LANGUAGE sql STABLE AS $$
    WITH waiting AS (
        SELECT j.feature, j.user_id, count(*) AS jobs FROM aifeature_job j
         WHERE j.status = 'queued' AND j.published_at IS NULL
           AND j.run_at <= statement_timestamp()
         GROUP BY 1, 2
    ), mine AS (
        SELECT coalesce((SELECT w.jobs FROM waiting w
                          WHERE w.feature = p_feature AND w.user_id = p_user), 0) AS jobs
    )
    SELECT aif_out() + coalesce((SELECT sum(least(w.jobs, mine.jobs + 1)) FROM waiting w
                                  WHERE (w.feature, w.user_id) <> (p_feature, p_user)), 0)::bigint
           + mine.jobs
      FROM mine;
$$;

-- The load as a whole: jobs that wait for their turn or are out, the threads there are, the mean
-- seconds of the latest calls (NULL while there were none), and for how many seconds the jobs of this
-- feature have booked all that the provider lets through.
CREATE OR REPLACE FUNCTION aif_load(p_feature text)
RETURNS TABLE (jobs bigint, slots integer, call_s double precision, booked_s double precision)
LANGUAGE sql STABLE AS $$
    SELECT aif_out() + (SELECT count(*) FROM aifeature_job j
                         WHERE j.status = 'queued' AND j.published_at IS NULL
                           AND j.run_at <= statement_timestamp()),
           aif_slots(),
           (SELECT avg(a.latency_ms) / 1000.0
              FROM (SELECT t.latency_ms, t.started_at FROM aifeature_attempt t
                     ORDER BY t.started_at DESC LIMIT 200) AS a
             WHERE a.latency_ms IS NOT NULL
               AND a.started_at > statement_timestamp() - interval '10 minutes')::double precision,
           coalesce((SELECT extract(epoch FROM max(j.run_at) - statement_timestamp())
                       FROM aifeature_job j
                      WHERE j.status = 'queued' AND j.published_at IS NULL
                        AND j.feature = p_feature AND j.error_code = 'provider_limited'),
                    0)::double precision;
$$;
