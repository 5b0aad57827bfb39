-- End a job: settle its last call, charge the user once, store the result. Returns false, and changes
-- nothing, if this worker no longer owns the job.
-- A job that its user cancelled is charged for the text they were shown: `p_settlement` holds that text
-- and its price as `delivered_text` and `delivered_micro`, and the job keeps the text. No other end
-- without a result is charged. Text of an earlier call or run, also without a call (`p_attempt` NULL),
-- is kept in the same way, without a charge.
-- An answer that needs approval is not charged (`aif_await_approval`).
CREATE OR REPLACE FUNCTION aif_finish(
    p_job uuid, p_epoch integer, p_status text, p_result jsonb, p_error_code text,
    p_error_message text, p_attempt uuid, p_settlement jsonb)
RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    a aifeature_attempt%ROWTYPE;
    cancelled timestamptz;
    author text;
    accepted boolean := p_status = 'succeeded';
    shown text := '';
    charge bigint;
BEGIN
    SELECT t.cancel_requested_at, t.cancelled_by INTO cancelled, author FROM aifeature_job t
      WHERE t.id = p_job AND t.epoch = p_epoch AND t.status = 'running' FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF p_status = 'needs_approval' AND cancelled IS NOT NULL THEN
        -- The job has not ended yet, so the earlier cancellation applies.
        RETURN aif_finish(
            p_job, p_epoch, 'cancelled', NULL, 'cancelled', NULL, p_attempt, p_settlement);
    END IF;
    IF p_status = 'cancelled' AND author = 'user' THEN
        shown := coalesce(p_settlement->>'delivered_text', '');
    END IF;
    IF p_attempt IS NOT NULL THEN
        IF EXISTS (SELECT 1 FROM aifeature_attempt t
                    WHERE t.id = p_attempt AND t.job_id = p_job) THEN
            charge := aif_close_attempt(
                p_attempt, p_settlement, accepted,
                CASE WHEN shown <> '' THEN (p_settlement->>'delivered_micro')::bigint ELSE 0 END);
        END IF;
        IF charge IS NULL THEN
            -- Otherwise the job's charge would be missing in its user's window.
            RAISE EXCEPTION 'call % is no open call of job %: it cannot end the job',
                p_attempt, p_job USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    END IF;
    PERFORM aif_close_unseen(p_job, 'run_failed');
    IF accepted OR p_status = 'needs_approval' OR shown <> '' THEN
        SELECT * INTO a FROM aifeature_attempt t WHERE t.id = p_attempt;
    END IF;
    -- One statement writes all columns: an ended row no longer changes.
    UPDATE aifeature_job t
       SET status = p_status,
           result = p_result,
           error_code = coalesce(p_error_code, ''),
           -- The cancellation request has already stored the message for the user.
           error_message = CASE WHEN p_status = 'cancelled' THEN t.error_message
                                ELSE coalesce(p_error_message, '') END,
           partial_text = shown,
           cancelled_by = CASE WHEN p_status = 'failed' AND p_error_code = 'deadline_exceeded'
                                    AND t.cancel_requested_at IS NULL
                               THEN 'deadline' ELSE t.cancelled_by END,
           lease_until = NULL,
           finished_at = CASE WHEN p_status <> 'needs_approval' THEN statement_timestamp() END,
           model = coalesce(a.model, t.model),
           prompt_version = coalesce(a.prompt_version, t.prompt_version),
           input_tokens = coalesce(a.input_tokens, t.input_tokens),
           output_tokens = coalesce(a.output_tokens, t.output_tokens),
           cache_read_tokens = coalesce(a.cache_read_tokens, t.cache_read_tokens),
           cache_write_tokens = coalesce(a.cache_write_tokens, t.cache_write_tokens),
           charge_micro = coalesce(charge, t.charge_micro)
     WHERE t.id = p_job;
    RETURN true;
END
$$;

-- End a job with the plain answer of its feature, which no model made. No call is charged. A job with a
-- cancellation request ends as cancelled.
CREATE OR REPLACE FUNCTION aif_finish_plain(
    p_job uuid, p_epoch integer, p_result jsonb, p_attempt uuid, p_settlement jsonb)
RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
BEGIN
    UPDATE aifeature_job t SET degraded = true
     WHERE t.id = p_job AND t.epoch = p_epoch AND t.status = 'running'
       AND t.cancel_requested_at IS NULL;
    IF NOT FOUND THEN
        RETURN aif_finish(
            p_job, p_epoch, 'cancelled', NULL, 'cancelled', NULL, p_attempt, p_settlement);
    END IF;
    IF p_attempt IS NOT NULL THEN
        PERFORM aif_settle_attempt(p_attempt, p_settlement, false);
    END IF;
    RETURN aif_finish(p_job, p_epoch, 'succeeded', p_result, NULL, NULL, NULL, NULL);
END
$$;

-- Keep an answer until a person decides about it, for `p_expires_s` seconds at most. Its call is spend
-- and no charge. A job with a cancellation request ends instead, as in `aif_finish`.
CREATE OR REPLACE FUNCTION aif_await_approval(
    p_job uuid, p_epoch integer, p_result jsonb, p_reason text, p_expires_s double precision,
    p_attempt uuid, p_settlement jsonb)
RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
BEGIN
    UPDATE aifeature_job t
       SET approval_reason = p_reason,
           approval_expires_at = statement_timestamp() + make_interval(secs => p_expires_s)
     WHERE t.id = p_job AND t.epoch = p_epoch AND t.status = 'running' AND t.cancel_requested_at IS NULL;
    RETURN aif_finish(
        p_job, p_epoch, 'needs_approval', p_result, NULL, NULL, p_attempt, p_settlement);
END
$$;

-- Put a job back in the queue. Raises the epoch, which fences the previous worker immediately.
-- `p_burn`: this run counts as a try. A job with a cancellation request ends instead.
-- `{until}` in the message is replaced by the time of the job's deadline, in UTC.
CREATE OR REPLACE FUNCTION aif_release(
    p_job uuid, p_epoch integer, p_delay_s double precision, p_burn boolean, p_error_code text,
    p_error_message text, p_attempt uuid, p_settlement jsonb)
RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
BEGIN
    UPDATE aifeature_job t
       SET status = 'queued',
           epoch = t.epoch + 1,
           tries = t.tries + p_burn::int,
           run_at = statement_timestamp() + make_interval(secs => p_delay_s),
           published_at = NULL,
           wait_reason = coalesce(p_error_code, ''),
           error_message = replace(coalesce(p_error_message, ''), '{until}',
                                   to_char(t.deadline_at AT TIME ZONE 'UTC', 'HH24:MI')),
           lease_until = NULL
     -- Checked under the row's lock: an earlier read could miss a cancellation that is committing.
     WHERE t.id = p_job AND t.epoch = p_epoch AND t.status = 'running'
       AND t.cancel_requested_at IS NULL;
    IF NOT FOUND THEN
        RETURN aif_finish(
            p_job, p_epoch, 'cancelled', NULL, 'cancelled', NULL, p_attempt, p_settlement);
    END IF;
    IF p_attempt IS NOT NULL THEN
        PERFORM aif_settle_attempt(p_attempt, p_settlement, false);
    END IF;
    PERFORM aif_close_unseen(p_job, 'run_failed');
    RETURN true;
END
$$;

-- Close a call whose job continues (for example, with a repair). Returns false if this worker no longer
-- owns the job. Idempotent: a repetition after a lost reply changes nothing and returns the same.
CREATE OR REPLACE FUNCTION aif_settle(
    p_job uuid, p_epoch integer, p_attempt uuid, p_settlement jsonb)
RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
BEGIN
    PERFORM 1 FROM aifeature_job t
      WHERE t.id = p_job AND t.epoch = p_epoch AND t.status = 'running' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM aif_settle_attempt(p_attempt, p_settlement, false);
    RETURN true;
END
$$;
