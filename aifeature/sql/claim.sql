-- Give a due or abandoned job to a worker: one compare-and-set by the database's clock.
-- No row comes back when somebody else has the job, or it is not due, or it has ended.
-- Calls that an earlier holder left open become `unknown`: nobody saw how they ended.
CREATE OR REPLACE FUNCTION aif_claim(p_job uuid, p_worker text, p_lease_s double precision)
RETURNS TABLE (
    epoch integer, feature text, user_id bigint, input jsonb, tries smallint, attempts smallint,
    seconds_left double precision, cancel_requested boolean, error_code text
)
LANGUAGE plpgsql AS $$
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
         WHERE j.id = p_job
           AND (   (j.status = 'queued' AND j.run_at <= statement_timestamp())
                OR (j.status = 'running' AND j.lease_until < statement_timestamp()))
        RETURNING j.epoch, j.feature::text, j.user_id::bigint, j.input, j.tries, j.attempts,
                  extract(epoch FROM j.deadline_at - statement_timestamp())::double precision,
                  j.cancel_requested_at IS NOT NULL, j.error_code::text;
    IF FOUND THEN
        PERFORM aif_close_unseen(p_job, 'lease_lost');
    END IF;
END
$$;
