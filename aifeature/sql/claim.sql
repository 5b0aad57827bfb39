-- Return whether this worker may judge that another worker is gone. After a time without database
-- writes, every presence is stale, and a run that has its answer must be able to store it first. A
-- worker without a row has just started.
CREATE OR REPLACE FUNCTION aif_may_take_over(p_worker text)
RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN NOT EXISTS (SELECT 1 FROM aifeature_worker w
                        WHERE w.name = p_worker
                          AND (   w.seen_at < statement_timestamp() - interval '3 seconds'
                               OR w.resumed_at > statement_timestamp() - interval '5 seconds'));
END
$$;

-- Claim a due or abandoned job for a worker, by one compare-and-set on the database's clock.
-- Returns no row if another worker owns the job, it is not due, or it has ended. A run is taken over
-- only if its lease has expired and its worker's presence is stale: if a locked row kept the lease from
-- being extended, a live worker keeps its run.
-- A locked row is skipped: a claim that waited for the lock could take over a run that continues. If
-- that job is queued, lock_not_available is raised, because its message must not be lost.
-- Calls that an earlier run left open become `unknown`.
CREATE OR REPLACE FUNCTION aif_claim_run(p_job uuid, p_worker text, p_lease_s double precision)
RETURNS TABLE (
    epoch integer, feature text, user_id @user_key@, input jsonb, tries smallint, attempts smallint,
    seconds_left double precision, cancel_requested boolean, waited_for text, origin text,
    options jsonb
)
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
BEGIN
    RETURN QUERY
        UPDATE aifeature_job j
           SET status = 'running',
               epoch = j.epoch + 1,
               -- A run whose lease expired counts as a try.
               tries = j.tries + (j.status = 'running')::int,
               worker = p_worker,
               started_at = coalesce(j.started_at, statement_timestamp()),
               lease_until = statement_timestamp() + make_interval(secs => p_lease_s)
         WHERE j.id = (
            SELECT d.id FROM aifeature_job d
             WHERE d.id = p_job
               AND (   (d.status = 'queued' AND d.run_at <= statement_timestamp())
                    OR (d.status = 'running' AND d.lease_until < statement_timestamp()
                        AND NOT aif_lives(d.worker, p_lease_s)
                        AND aif_may_take_over(p_worker)))
               FOR NO KEY UPDATE SKIP LOCKED)
        RETURNING j.epoch, j.feature::text, j.user_id::@user_key@, j.input, j.tries, j.attempts,
                  extract(epoch FROM j.deadline_at - statement_timestamp())::double precision,
                  j.cancel_requested_at IS NOT NULL, j.wait_reason::text, j.origin::text, j.options;
    IF FOUND THEN
        PERFORM aif_close_unseen(p_job, 'lease_lost');
    ELSIF EXISTS (SELECT 1 FROM aifeature_job j
                   WHERE j.id = p_job AND j.status = 'queued'
                     AND j.run_at <= statement_timestamp()) THEN
        RAISE EXCEPTION 'job %: its row is locked by another transaction', p_job
            USING ERRCODE = 'lock_not_available';
    END IF;
END
$$;

-- Used by processes of an earlier release.
CREATE OR REPLACE FUNCTION aif_claim(p_job uuid, p_worker text, p_lease_s double precision)
RETURNS TABLE (
    epoch integer, feature text, user_id @user_key@, input jsonb, tries smallint, attempts smallint,
    seconds_left double precision, cancel_requested boolean, error_code text
)
LANGUAGE sql
SET lock_timeout = '2s'
AS $$
    SELECT c.epoch, c.feature, c.user_id, c.input, c.tries, c.attempts, c.seconds_left,
           c.cancel_requested, c.waited_for
      FROM aif_claim_run(p_job, p_worker, p_lease_s) AS c;
$$;
