-- Ends that need no worker, so that every job ends even without one. `p_ends` maps a wait reason to
-- the {"code", "message"} of the failure; '' is the default.

-- Fail queued jobs past their deadline.
CREATE OR REPLACE FUNCTION aif_end_overdue(p_limit integer, p_ends jsonb)
RETURNS SETOF uuid
LANGUAGE sql
SET lock_timeout = '500ms'
AS $$
    WITH due AS (
        SELECT j.id,
               coalesce(
                   p_ends -> CASE WHEN aif_paused(j.feature, j.user_id)
                                  THEN 'feature_paused' ELSE j.wait_reason END,
                   p_ends -> '') AS how
          FROM aifeature_job j
         WHERE j.status = 'queued' AND j.deadline_at <= statement_timestamp()
         ORDER BY j.deadline_at LIMIT p_limit FOR UPDATE SKIP LOCKED
    )
    UPDATE aifeature_job t
       SET status = 'failed', cancelled_by = 'deadline',
           error_code = due.how ->> 'code', error_message = due.how ->> 'message',
           finished_at = statement_timestamp()
      FROM due
     WHERE t.id = due.id
    RETURNING t.id;
$$;

-- Fail jobs about which no person has decided in time. Their deadline does not end them.
CREATE OR REPLACE FUNCTION aif_end_unapproved(p_limit integer, p_code text, p_message text)
RETURNS SETOF uuid
LANGUAGE sql
SET lock_timeout = '500ms'
AS $$
    WITH expired AS (
        SELECT j.id FROM aifeature_job j
         WHERE j.status = 'needs_approval' AND j.approval_expires_at <= statement_timestamp()
         ORDER BY j.approval_expires_at LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE aifeature_job t
       SET status = 'failed', error_code = p_code, error_message = p_message,
           finished_at = statement_timestamp()
      FROM expired
     WHERE t.id = expired.id
    RETURNING t.id;
$$;

-- End one run that will not be repeated: its worker is gone, and its deadline has passed or it has a
-- cancellation request; or its deadline passed more than `p_stale_s` ago: it hangs, even if its worker
-- is alive. One at a time, because it changes spend windows: several jobs in one transaction would
-- lock the windows in a different order than other callers.
CREATE OR REPLACE FUNCTION aif_end_lost_run(p_ends jsonb, p_stale_s double precision)
RETURNS SETOF uuid
LANGUAGE plpgsql
SET lock_timeout = '500ms'
AS $$
DECLARE
    gone uuid;
    passed_by uuid[] := '{}';
BEGIN
    FOR step IN 1 .. 5 LOOP
        SELECT j.id INTO gone FROM aifeature_job j
         WHERE j.status = 'running' AND j.lease_until < statement_timestamp()
           AND (   j.deadline_at <= statement_timestamp() - make_interval(secs => p_stale_s)
                OR (j.deadline_at <= statement_timestamp() OR j.cancel_requested_at IS NOT NULL)
                   AND NOT aif_lives(j.worker, p_stale_s))
           AND j.id <> ALL (passed_by)
         ORDER BY j.lease_until LIMIT 1 FOR UPDATE SKIP LOCKED;
        IF NOT FOUND THEN
            RETURN;
        END IF;
        BEGIN
            UPDATE aifeature_job t
               SET status = CASE WHEN t.cancel_requested_at IS NOT NULL THEN 'cancelled' ELSE 'failed' END,
                   cancelled_by = CASE WHEN t.cancel_requested_at IS NOT NULL THEN t.cancelled_by
                                       ELSE 'deadline' END,
                   epoch = t.epoch + 1,
                   error_code = CASE WHEN t.cancel_requested_at IS NOT NULL THEN 'cancelled'
                                     ELSE coalesce(p_ends -> t.wait_reason, p_ends -> '') ->> 'code' END,
                   -- The cancellation request has already stored the message for the user.
                   error_message = CASE WHEN t.cancel_requested_at IS NOT NULL THEN t.error_message
                                        ELSE coalesce(p_ends -> t.wait_reason, p_ends -> '') ->> 'message'
                                   END,
                   lease_until = NULL,
                   finished_at = statement_timestamp()
             WHERE t.id = gone;
            PERFORM aif_close_unseen(gone, 'lease_lost');
            RETURN NEXT gone;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            -- Another transaction has locked a window that the run needs: try the next run.
            passed_by := passed_by || gone;
        END;
    END LOOP;
END
$$;

-- Used by processes of an earlier release.
CREATE OR REPLACE FUNCTION aif_end_abandoned(p_ends jsonb)
RETURNS SETOF uuid
LANGUAGE sql
SET lock_timeout = '500ms'
AS $$
    SELECT aif_end_lost_run(p_ends, 15);
$$;
