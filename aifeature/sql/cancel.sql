-- Cancel a job of this user. A queued job ends immediately; a running job ends when its worker sees
-- the request. The row keeps `p_by` (user, staff, erasure) and the message of the first caller.
-- A queued job keeps `p_shown`, the text that an interrupted run showed to the user, uncharged. The
-- text of a running job comes from its worker. Returns the new status, or NULL if there is no such job.
CREATE OR REPLACE FUNCTION aif_cancel_shown(
    p_job uuid, p_user @user_key@, p_message text, p_by text, p_shown text)
RETURNS text
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    status_now text;
BEGIN
    UPDATE aifeature_job t
       SET cancel_requested_at = coalesce(t.cancel_requested_at, statement_timestamp()),
           cancelled_by = CASE WHEN t.cancel_requested_at IS NULL THEN p_by
                               ELSE t.cancelled_by END,
           status = CASE t.status WHEN 'running' THEN t.status ELSE 'cancelled' END,
           partial_text = CASE WHEN t.status = 'queued' AND p_by = 'user' THEN p_shown
                               ELSE t.partial_text END,
           error_code = CASE t.status WHEN 'running' THEN t.error_code ELSE 'cancelled' END,
           error_message = CASE WHEN t.cancel_requested_at IS NULL THEN p_message
                                ELSE t.error_message END,
           finished_at = CASE t.status WHEN 'running' THEN NULL ELSE statement_timestamp() END
     WHERE t.id = p_job AND t.user_id = p_user
       AND t.status IN ('queued', 'running', 'needs_approval')
    RETURNING t.status INTO status_now;
    IF FOUND THEN
        RETURN status_now;
    END IF;
    RETURN (SELECT t.status FROM aifeature_job t WHERE t.id = p_job AND t.user_id = p_user);
END
$$;

-- Used by processes of an earlier release, which do not pass the shown text.
CREATE OR REPLACE FUNCTION aif_cancel_by(p_job uuid, p_user @user_key@, p_message text, p_by text)
RETURNS text
LANGUAGE sql AS $$
    SELECT aif_cancel_shown(p_job, p_user, p_message, p_by, '');
$$;

-- Used by processes of an earlier release, which do not pass the author.
CREATE OR REPLACE FUNCTION aif_cancel(p_job uuid, p_user @user_key@, p_message text)
RETURNS text
LANGUAGE sql AS $$
    SELECT aif_cancel_by(p_job, p_user, p_message, '');
$$;
