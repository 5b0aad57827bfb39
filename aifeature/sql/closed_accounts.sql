-- Open jobs of closed accounts: no further call is sent for them, and each ends as cancelled by
-- `account`, which is never charged.

-- Return the sentence that the user reads if the account is opened again.
CREATE OR REPLACE FUNCTION aif_closed_sentence()
RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT 'Your account was closed, so this request was cancelled.';
$$;

CREATE OR REPLACE FUNCTION aif_is_closed(p_user @user_key@)
RETURNS boolean
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN NOT EXISTS (SELECT 1 FROM @user_table@ u WHERE u.@user_id@ = p_user AND u.is_active);
END
$$;

-- End jobs that are queued or need approval, and request the cancellation of running jobs. A locked row is left to the next call.
-- Partial indexes find the open jobs, so that the cost depends on the number of open jobs and not on
-- the number of closed accounts.
CREATE OR REPLACE FUNCTION aif_cancel_of_closed(p_limit integer)
RETURNS SETOF uuid
LANGUAGE sql
SET lock_timeout = '500ms'
AS $$
    WITH owners AS (
        SELECT j.user_id FROM aifeature_job j
         WHERE j.status = 'queued' AND j.published_at IS NULL AND j.origin = 'user'
        UNION
        SELECT j.user_id FROM aifeature_job j WHERE j.status = 'queued' AND j.published_at IS NOT NULL
        UNION
        SELECT j.user_id FROM aifeature_job j WHERE j.status = 'running'
        UNION
        SELECT j.user_id FROM aifeature_job j WHERE j.status = 'needs_approval'
        UNION
        SELECT j.user_id FROM aifeature_job j
         WHERE j.status IN ('queued', 'running') AND j.origin <> 'user'
    ), closed AS (
        SELECT o.user_id FROM owners o JOIN @user_table@ u ON u.@user_id@ = o.user_id WHERE NOT u.is_active
    ), chosen AS (
        SELECT j.id FROM aifeature_job j
         WHERE j.user_id IN (SELECT c.user_id FROM closed c)
           AND j.status IN ('queued', 'running', 'needs_approval') AND j.cancel_requested_at IS NULL
         LIMIT p_limit FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE aifeature_job t
       SET cancel_requested_at = statement_timestamp(),
           cancelled_by = 'account',
           status = CASE t.status WHEN 'running' THEN t.status ELSE 'cancelled' END,
           error_code = CASE t.status WHEN 'running' THEN t.error_code ELSE 'cancelled' END,
           error_message = aif_closed_sentence(),
           finished_at = CASE t.status WHEN 'running' THEN NULL ELSE statement_timestamp() END
      FROM chosen
     WHERE t.id = chosen.id
    RETURNING t.id;
$$;
