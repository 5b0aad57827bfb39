-- Statements of a process's keeper, on its dedicated connection. Each is short and waits for a lock for
-- at most a tenth of a second, so that none delays the others.

-- Return the features and users that a kill switch stops. A NULL user means calls without a user: only
-- a pulled switch stops those. Reads no jobs.
CREATE OR REPLACE FUNCTION aif_paused_of(p_features text[], p_users @user_key@[])
RETURNS TABLE (feature text, user_id @user_key@)
LANGUAGE sql STABLE
SET lock_timeout = '100ms'
AS $$
    SELECT u.feature, u.user_id FROM unnest(p_features, p_users) AS u (feature, user_id)
     WHERE aif_paused(u.feature, u.user_id);
$$;

-- Return the runs that still have their job, and whether it was cancelled. A plain read that waits for
-- no row lock.
CREATE OR REPLACE FUNCTION aif_still_running(p_jobs uuid[], p_epochs integer[])
RETURNS TABLE (job uuid, epoch integer, cancel_requested boolean)
LANGUAGE sql STABLE
SET lock_timeout = '100ms'
AS $$
    SELECT t.id, t.epoch, t.cancel_requested_at IS NOT NULL
      FROM unnest(p_jobs, p_epochs) AS mine (id, epoch)
      JOIN aifeature_job t ON t.id = mine.id AND t.epoch = mine.epoch
     WHERE t.status = 'running';
$$;

-- Extend each lease of which a third is used up, but to at most one lease after the job's deadline, so
-- that a hanging run ends. Locked rows are left to the next call.
CREATE OR REPLACE FUNCTION aif_extend_leases(
    p_jobs uuid[], p_epochs integer[], p_lease_s double precision)
RETURNS void
LANGUAGE plpgsql
SET lock_timeout = '100ms'
AS $$
DECLARE
    now_ CONSTANT timestamptz := statement_timestamp();
    lease CONSTANT interval := make_interval(secs => p_lease_s);
BEGIN
    UPDATE aifeature_job t SET lease_until = least(now_ + lease, t.deadline_at + lease)
     WHERE t.id = ANY (ARRAY(
        SELECT j.id FROM unnest(p_jobs, p_epochs) AS mine (id, epoch)
          JOIN aifeature_job j ON j.id = mine.id AND j.epoch = mine.epoch
         WHERE j.status = 'running'
           AND j.lease_until < least(now_ + lease * 2 / 3, j.deadline_at + lease)
           FOR NO KEY UPDATE OF j SKIP LOCKED));
END
$$;

-- Return the runs under this worker's name.
CREATE OR REPLACE FUNCTION aif_runs_of(p_worker text)
RETURNS TABLE (job uuid, epoch integer)
LANGUAGE sql STABLE
SET lock_timeout = '100ms'
AS $$
    SELECT j.id, j.epoch FROM aifeature_job j WHERE j.status = 'running' AND j.worker = p_worker;
$$;

-- Put back a run that no thread of its live worker executes any more. It counts as a try only if one of
-- its calls may be billed, because the next run pays for it again. An open call becomes `unknown`. A
-- job with a cancellation request ends. Returns false if the run is over or its row is locked.
CREATE OR REPLACE FUNCTION aif_give_back(
    p_job uuid, p_epoch integer, p_delay_s double precision, p_message text)
RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '100ms'
AS $$
DECLARE
    cancelled timestamptz;
BEGIN
    SELECT t.cancel_requested_at INTO cancelled FROM aifeature_job t
     WHERE t.id = p_job AND t.epoch = p_epoch AND t.status = 'running'
       FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF cancelled IS NULL THEN
        UPDATE aifeature_job t
           SET status = 'queued', epoch = t.epoch + 1,
               tries = t.tries + EXISTS (
                   SELECT 1 FROM aifeature_attempt a
                    WHERE a.job_id = p_job AND a.epoch = p_epoch AND a.state <> 'failed')::int,
               run_at = statement_timestamp() + make_interval(secs => p_delay_s),
               published_at = NULL, lease_until = NULL,
               wait_reason = 'interrupted', error_message = p_message
         WHERE t.id = p_job;
    ELSE
        -- The cancellation request has already stored the message for the user.
        UPDATE aifeature_job t
           SET status = 'cancelled', epoch = t.epoch + 1, error_code = 'cancelled',
               lease_until = NULL, finished_at = statement_timestamp()
         WHERE t.id = p_job;
    END IF;
    PERFORM aif_close_unseen(p_job, 'lease_lost');
    RETURN true;
END
$$;

-- All of these in one call. Used by processes of an earlier release.
CREATE OR REPLACE FUNCTION aif_heartbeat(
    p_jobs uuid[], p_epochs integer[], p_lease_s double precision)
RETURNS TABLE (job uuid, epoch integer, cancel_requested boolean, paused boolean)
LANGUAGE plpgsql
SET lock_timeout = '500ms'
AS $$
BEGIN
    PERFORM aif_extend_leases(p_jobs, p_epochs, p_lease_s);
    RETURN QUERY
        SELECT s.job, s.epoch, s.cancel_requested, aif_paused(t.feature, t.user_id)
          FROM aif_still_running(p_jobs, p_epochs) s JOIN aifeature_job t ON t.id = s.job;
END
$$;
