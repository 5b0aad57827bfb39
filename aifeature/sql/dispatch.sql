-- Choice of the next queued jobs for the broker. The broker is first in, first out, so fairness must be
-- decided before it: only a window of jobs is in flight (sent and not claimed, or running).
-- Evaluations have a queue, workers and a window of their own (`aif_choose_others`), so they never
-- delay a user.

-- Return whether this worker has sent a heartbeat within `p_stale_s` seconds. PL/pgSQL caches its plan.
CREATE OR REPLACE FUNCTION aif_lives(p_worker text, p_stale_s double precision)
RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (SELECT 1 FROM aifeature_worker w
                    WHERE w.name = p_worker
                      AND w.seen_at > statement_timestamp() - make_interval(secs => p_stale_s));
END
$$;

-- Return the threads of the live workers that run jobs, and at least eight, so that a few jobs are sent
-- even if no worker is known.
CREATE OR REPLACE FUNCTION aif_slots()
RETURNS integer
LANGUAGE sql STABLE AS $$
    SELECT greatest(8, coalesce(sum(w.slots), 0))::integer
      FROM aifeature_worker w
     WHERE w.queue = 'llm' AND w.seen_at > statement_timestamp() - interval '20 seconds';
$$;

CREATE OR REPLACE FUNCTION aif_out()
RETURNS integer
LANGUAGE sql STABLE AS $$
    SELECT ((SELECT count(*) FROM aifeature_job j
              WHERE j.status = 'queued' AND j.published_at IS NOT NULL AND j.origin = 'user')
          + (SELECT count(*) FROM aifeature_job j
              WHERE j.status = 'running' AND j.origin = 'user'))::integer;
$$;

-- Return the publish time of a job that is being inserted: now if a thread is free, else NULL. The
-- second half of the window is reserved for the dispatcher, which is fair.
CREATE OR REPLACE FUNCTION aif_mark_at_submit()
RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN aif_out() < aif_slots() THEN statement_timestamp() END;
$$;

-- Return the number of jobs of one user and feature in flight.
CREATE OR REPLACE FUNCTION aif_out_of(p_feature text, p_user @user_key@)
RETURNS integer
LANGUAGE sql STABLE AS $$
    SELECT ((SELECT count(*) FROM aifeature_job j
              WHERE j.status = 'queued' AND j.published_at IS NOT NULL
                AND j.feature = p_feature AND j.user_id = p_user)
          + (SELECT count(*) FROM aifeature_job j
              WHERE j.status = 'running' AND j.feature = p_feature AND j.user_id = p_user))::integer;
$$;

-- The same for a user who may have `p_at_once` jobs in flight; NULL is no limit.
CREATE OR REPLACE FUNCTION aif_mark_of_user(p_feature text, p_user @user_key@, p_at_once integer)
RETURNS timestamptz
LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN p_at_once IS NULL OR aif_out_of(p_feature, p_user) < p_at_once
                THEN aif_mark_at_submit() END;
$$;

-- Choose and mark up to `p_limit` jobs and return their ids, in the order to send them. First come runs
-- whose lease has expired and whose worker's presence is older than `p_stale_s`, then queued jobs, one
-- per user of a feature in turn, until twice the workers' threads are in flight. Marks older than
-- `p_lost_after_s` are cleared before: those messages are lost (a wiped Redis). The lock on the turn
-- serialises callers. `p_at_once` is the most jobs of one user in flight, by "feature", or by
-- "feature:user" for users with an override; a missing key means no limit.
CREATE OR REPLACE FUNCTION aif_choose_jobs(
    p_limit integer, p_lost_after_s double precision, p_again_after_s double precision,
    p_stale_s double precision, p_at_once jsonb)
RETURNS SETOF uuid
LANGUAGE plpgsql
SET lock_timeout = '2s'
-- The statistics of a queue that has just filled are those of an empty one, so a full sort seems cheap.
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    now_ timestamptz := statement_timestamp();
    at_feature text;
    at_user @user_key@;
    live text[];
    out_of jsonb;
    whose text;
    room integer;
    picked uuid;
    next_user @user_key@;
    found_one boolean := true;
BEGIN
    RETURN QUERY
        UPDATE aifeature_job t SET published_at = now_
         WHERE t.id = ANY (ARRAY(
            SELECT j.id FROM aifeature_job j
             WHERE j.status = 'running' AND j.lease_until < now_ AND j.origin = 'user'
               AND NOT aif_lives(j.worker, p_stale_s)
               -- Ignore publish times set by the expired run.
               AND (j.published_at IS NULL OR j.published_at < j.lease_until
                    OR j.published_at < now_ - make_interval(secs => p_again_after_s))
             ORDER BY j.lease_until LIMIT p_limit FOR UPDATE SKIP LOCKED))
        RETURNING t.id;

    -- While a thread is free, a message is claimed immediately. An unclaimed mark means that the sender
    -- died before sending, or that the message was lost with its reader.
    UPDATE aifeature_job t SET published_at = NULL
     WHERE t.id = ANY (ARRAY(
        SELECT j.id FROM aifeature_job j
         WHERE j.status = 'queued' AND j.origin = 'user'
           AND j.published_at < now_ - make_interval(secs =>
               CASE WHEN (SELECT count(*) FROM aifeature_job r
                           WHERE r.status = 'running' AND r.origin = 'user')
                         < (SELECT sum(w.slots) FROM aifeature_worker w
                             WHERE w.queue = 'llm'
                               AND w.seen_at > now_ - interval '20 seconds')
                    THEN least(p_again_after_s, p_lost_after_s)
                    ELSE p_lost_after_s END)
         FOR UPDATE SKIP LOCKED));

    -- Features with queued jobs, by one index probe per feature.
    WITH RECURSIVE f AS (
        (SELECT j.feature FROM aifeature_job j
          WHERE j.status = 'queued' AND j.published_at IS NULL AND j.origin = 'user'
          ORDER BY j.feature LIMIT 1)
        UNION ALL
        SELECT (SELECT j.feature FROM aifeature_job j
                 WHERE j.status = 'queued' AND j.published_at IS NULL AND j.origin = 'user'
                   AND j.feature > f.feature
                 ORDER BY j.feature LIMIT 1)
          FROM f WHERE f.feature IS NOT NULL
    )
    SELECT array_agg(f.feature) INTO live FROM f
     WHERE f.feature IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM aifeature_featurecontrol c
                        WHERE c.feature IN (f.feature, '_everything') AND c.killed);
    IF live IS NULL OR NOT EXISTS (
        SELECT 1 FROM aifeature_job j
         WHERE j.status = 'queued' AND j.published_at IS NULL AND j.origin = 'user'
           AND j.run_at <= now_ AND j.feature = ANY (live)) THEN
        RETURN;
    END IF;

    INSERT INTO aifeature_dispatchturn AS d (id, feature, user_id) VALUES (1, '', 0)
        ON CONFLICT (id) DO UPDATE SET feature = d.feature
    RETURNING d.feature, d.user_id INTO at_feature, at_user;
    room := least(p_limit, 2 * aif_slots() - aif_out());
    SELECT coalesce(jsonb_object_agg(o.whose, o.jobs), '{}') INTO out_of
      FROM (SELECT j.feature || ':' || j.user_id AS whose, count(*) AS jobs
              FROM aifeature_job j
             WHERE j.origin = 'user'
               AND (j.status = 'running' OR j.status = 'queued' AND j.published_at IS NOT NULL)
             GROUP BY 1) AS o;

    -- Users without a due job are skipped. The number of steps is limited, and the next call continues
    -- where this one stopped.
    FOR step IN 1 .. 2000 LOOP
        EXIT WHEN room <= 0;
        next_user := NULL;
        IF at_feature = ANY (live) THEN
            SELECT j.user_id INTO next_user FROM aifeature_job j
             WHERE j.status = 'queued' AND j.published_at IS NULL AND j.origin = 'user'
               AND j.feature = at_feature AND j.user_id > at_user
             ORDER BY j.user_id LIMIT 1;
        END IF;
        IF next_user IS NULL THEN
            at_feature := (SELECT min(f) FROM unnest(live) AS f WHERE f > at_feature);
            at_user := 0;
            IF at_feature IS NULL THEN
                EXIT WHEN NOT found_one;  -- a whole round without a due job
                found_one := false;
                at_feature := '';
            END IF;
            CONTINUE;
        END IF;
        at_user := next_user;
        whose := at_feature || ':' || at_user;
        CONTINUE WHEN coalesce((out_of ->> whose)::integer, 0)
                      >= coalesce(p_at_once ->> whose, p_at_once ->> at_feature)::integer
                   OR aif_paused(at_feature, at_user);
        UPDATE aifeature_job t SET published_at = now_
         WHERE t.id = (SELECT j.id FROM aifeature_job j
                        WHERE j.status = 'queued' AND j.published_at IS NULL AND j.origin = 'user'
                          AND j.feature = at_feature AND j.user_id = at_user
                          AND j.run_at <= now_
                        ORDER BY j.run_at LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING t.id INTO picked;
        IF FOUND THEN
            room := room - 1;
            out_of := out_of
                || jsonb_build_object(whose, coalesce((out_of ->> whose)::integer, 0) + 1);
            found_one := true;
            RETURN NEXT picked;
        END IF;
    END LOOP;
    UPDATE aifeature_dispatchturn d SET feature = coalesce(at_feature, ''), user_id = at_user
     WHERE d.id = 1;
END
$$;

-- Return the threads of the live workers of jobs of other origins, such as evaluations, and how many of
-- these jobs run, or are sent and not claimed.
CREATE OR REPLACE FUNCTION aif_window_of_others()
RETURNS TABLE (threads integer, running integer, sent integer)
LANGUAGE sql STABLE AS $$
    SELECT (SELECT coalesce(sum(w.slots), 0)::integer FROM aifeature_worker w
             WHERE w.queue = 'evals'
               AND w.seen_at > statement_timestamp() - interval '20 seconds'),
           (count(*) FILTER (WHERE j.status = 'running'))::integer,
           (count(*) FILTER (WHERE j.status = 'queued' AND j.published_at IS NOT NULL))::integer
      FROM aifeature_job j
     WHERE j.status IN ('queued', 'running') AND j.origin <> 'user';
$$;

-- The same as `aif_choose_jobs` for jobs of other origins and their queue `evals`: in the order in
-- which they are due, until twice the threads of its live workers are in flight.
CREATE OR REPLACE FUNCTION aif_choose_others(
    p_limit integer, p_lost_after_s double precision, p_again_after_s double precision,
    p_stale_s double precision)
RETURNS SETOF uuid
LANGUAGE plpgsql
SET lock_timeout = '2s'
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    now_ timestamptz := statement_timestamp();
    threads integer;
    running integer;
    sent integer;
BEGIN
    IF NOT EXISTS (SELECT 1 FROM aifeature_job j
                    WHERE j.status IN ('queued', 'running') AND j.origin <> 'user') THEN
        RETURN;
    END IF;
    SELECT * INTO threads, running, sent FROM aif_window_of_others();

    RETURN QUERY
        UPDATE aifeature_job t SET published_at = now_
         WHERE t.id = ANY (ARRAY(
            SELECT j.id FROM aifeature_job j
             WHERE j.status IN ('queued', 'running') AND j.origin <> 'user'
               AND CASE j.status
                   WHEN 'running' THEN
                       j.lease_until < now_ AND NOT aif_lives(j.worker, p_stale_s)
                       AND (j.published_at IS NULL OR j.published_at < j.lease_until
                            OR j.published_at < now_ - make_interval(secs => p_again_after_s))
                   ELSE
                       -- While a thread is free, an unclaimed message is soon counted as lost.
                       j.published_at < now_ - make_interval(secs => CASE
                           WHEN running < threads THEN least(p_again_after_s, p_lost_after_s)
                           ELSE p_lost_after_s END)
                   END
             ORDER BY j.run_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED))
        RETURNING t.id;

    RETURN QUERY
        UPDATE aifeature_job t SET published_at = now_
         WHERE t.id = ANY (ARRAY(
            SELECT j.id FROM aifeature_job j
             WHERE j.status = 'queued' AND j.origin <> 'user' AND j.published_at IS NULL
               AND j.run_at <= now_ AND NOT aif_paused(j.feature, j.user_id)
             ORDER BY j.run_at LIMIT greatest(0, least(p_limit, 2 * threads - running - sent))
               FOR NO KEY UPDATE SKIP LOCKED))
        RETURNING t.id;
END
$$;

-- Choose from both, and return the queue of each job.
CREATE OR REPLACE FUNCTION aif_choose(
    p_limit integer, p_lost_after_s double precision, p_again_after_s double precision,
    p_stale_s double precision, p_at_once jsonb)
RETURNS TABLE (queue text, job uuid)
LANGUAGE sql
SET lock_timeout = '2s'
AS $$
    SELECT 'llm', j FROM aif_choose_jobs(
        p_limit, p_lost_after_s, p_again_after_s, p_stale_s, p_at_once) AS j
    UNION ALL
    SELECT 'evals', j FROM aif_choose_others(
        p_limit, p_lost_after_s, p_again_after_s, p_stale_s) AS j;
$$;

-- Used by processes of earlier releases.
CREATE OR REPLACE FUNCTION aif_dispatch_turns(
    p_limit integer, p_lost_after_s double precision, p_again_after_s double precision,
    p_at_once jsonb)
RETURNS SETOF uuid
LANGUAGE sql
SET lock_timeout = '2s'
AS $$
    SELECT aif_choose_jobs(p_limit, p_lost_after_s, p_again_after_s, 15, p_at_once);
$$;

CREATE OR REPLACE FUNCTION aif_dispatch(
    p_limit integer, p_lost_after_s double precision, p_again_after_s double precision)
RETURNS SETOF uuid
LANGUAGE sql
SET lock_timeout = '2s'
AS $$
    SELECT aif_choose_jobs(p_limit, p_lost_after_s, p_again_after_s, 15, '{}');
$$;

-- Clear the marks of these jobs if they are queued, so that they are chosen again. Returns the jobs
-- whose row is locked; they keep their mark.
CREATE OR REPLACE FUNCTION aif_take_back(p_jobs uuid[])
RETURNS SETOF uuid
LANGUAGE plpgsql
SET lock_timeout = '500ms'
AS $$
BEGIN
    UPDATE aifeature_job t SET published_at = NULL
     WHERE t.id = ANY (ARRAY(
        SELECT j.id FROM aifeature_job j
         WHERE j.id = ANY (p_jobs)
           AND j.status = 'queued' AND j.published_at IS NOT NULL
           FOR NO KEY UPDATE SKIP LOCKED));
    RETURN QUERY
        SELECT j.id FROM aifeature_job j
         WHERE j.id = ANY (p_jobs) AND j.status = 'queued' AND j.published_at IS NOT NULL;
END
$$;

-- The same for all queued jobs. Returns their number. Jobs whose row is locked keep their mark until it
-- counts as lost.
CREATE OR REPLACE FUNCTION aif_take_all_back()
RETURNS integer
LANGUAGE plpgsql
SET lock_timeout = '500ms'
AS $$
DECLARE
    taken integer;
BEGIN
    UPDATE aifeature_job t SET published_at = NULL
     WHERE t.id = ANY (ARRAY(
        SELECT j.id FROM aifeature_job j
         WHERE j.status = 'queued' AND j.published_at IS NOT NULL
           FOR NO KEY UPDATE SKIP LOCKED));
    GET DIAGNOSTICS taken = ROW_COUNT;
    RETURN taken;
END
$$;

-- Return the seconds until a job is due, a lease expires or a deadline passes. An expired lease whose
-- worker is alive is due when the run counts as hanging. Negative if overdue; NULL if no job is open.
CREATE OR REPLACE FUNCTION aif_next_moment(p_stale_s double precision)
RETURNS double precision
LANGUAGE sql STABLE
SET lock_timeout = '500ms'
AS $$
    SELECT extract(epoch FROM least(
        -- Jobs of a stopped feature are due after its release, which the dispatcher soon detects.
        -- Jobs of evaluations are due while their window has room. Their workers refill it.
        CASE WHEN NOT EXISTS (SELECT 1 FROM aifeature_featurecontrol c WHERE c.killed)
             THEN (SELECT min(j.run_at) FROM aifeature_job j
                    WHERE j.status = 'queued' AND j.published_at IS NULL
                      AND (j.origin = 'user'
                           OR (SELECT 2 * o.threads > o.running + o.sent
                                 FROM aif_window_of_others() o)))
             ELSE (SELECT min(j.run_at) FROM aifeature_job j
                    WHERE j.status = 'queued' AND j.published_at IS NULL
                      AND (j.origin = 'user'
                           OR (SELECT 2 * o.threads > o.running + o.sent
                                 FROM aif_window_of_others() o))
                      AND NOT EXISTS (SELECT 1 FROM aifeature_featurecontrol c
                                       WHERE c.feature IN (j.feature, '_everything') AND c.killed))
        END,
        (SELECT min(CASE WHEN j.lease_until < statement_timestamp()
                              AND aif_lives(j.worker, p_stale_s)
                         THEN greatest(j.lease_until,
                                       j.deadline_at + make_interval(secs => p_stale_s))
                         ELSE j.lease_until END)
           FROM aifeature_job j WHERE j.status = 'running'),
        (SELECT min(j.deadline_at) FROM aifeature_job j WHERE j.status = 'queued')
    ) - statement_timestamp())::double precision;
$$;

-- Used by processes of an earlier release.
CREATE OR REPLACE FUNCTION aif_next_due()
RETURNS double precision
LANGUAGE sql STABLE
SET lock_timeout = '500ms'
AS $$
    SELECT aif_next_moment(15);
$$;

-- Record a worker's heartbeat: its queue, its threads (0 if it takes no more work), and the time of the
-- first heartbeat after a gap (`aif_may_take_over`). Rows of workers gone for an hour are deleted.
CREATE OR REPLACE FUNCTION aif_worker_alive(p_worker text, p_queue text, p_slots integer)
RETURNS void
LANGUAGE sql
SET lock_timeout = '100ms'
AS $$
    INSERT INTO aifeature_worker (name, queue, slots, seen_at)
    VALUES (p_worker, p_queue, p_slots, statement_timestamp())
        ON CONFLICT (name) DO UPDATE
       SET queue = p_queue, slots = p_slots,
           resumed_at = CASE WHEN aifeature_worker.seen_at
                                  < statement_timestamp() - interval '3 seconds'
                             THEN statement_timestamp() ELSE aifeature_worker.resumed_at END,
           seen_at = statement_timestamp();
    DELETE FROM aifeature_worker w WHERE w.name = ANY (ARRAY(
        SELECT g.name FROM aifeature_worker g
         WHERE g.seen_at < statement_timestamp() - interval '1 hour' FOR UPDATE SKIP LOCKED));
$$;

-- The same for a worker that runs jobs. Used by processes of an earlier release.
CREATE OR REPLACE FUNCTION aif_presence(p_worker text, p_slots integer)
RETURNS void
LANGUAGE sql
SET lock_timeout = '500ms'
AS $$
    SELECT aif_worker_alive(p_worker, 'llm', p_slots);
$$;
