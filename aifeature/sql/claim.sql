-- Whether this worker may find that another one is gone. After a time in which the database took no
-- writes nobody's sign of life is fresh, and a run that has its answer stores it first. A worker
-- without a row has just begun.
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

-- Give a due or abandoned job to a worker: one compare-and-set by the database's clock.
-- No row comes back when somebody else has the job, or it is not due, or it has ended. A run is taken
-- over only when its lease is over and its worker has shown no sign of life for as long: a lease that
-- could not be extended, since its row was locked, takes nothing from a worker that lives.
-- A row that is locked is passed by: a claim that queued behind the lock could take over a run that
-- goes on. If that job waits, lock_not_available is raised, since its message must not be lost.
-- Calls that an earlier holder left open become `unknown`: nobody saw how they ended.
CREATE OR REPLACE FUNCTION aif_claim(p_job uuid, p_worker text, p_lease_s double precision)
RETURNS TABLE (
    epoch integer, feature text, user_id @user_key@, input jsonb, tries smallint, attempts smallint,
    seconds_left double precision, cancel_requested boolean, error_code text
)
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
BEGIN
    RETURN QUERY
        UPDATE aifeature_job j
           SET status = 'running',
               epoch = j.epoch + 1,
               -- A lease that ran out is a run that ended badly: it counts towards the poison cap.
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
                  j.cancel_requested_at IS NOT NULL, j.wait_reason::text;
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
