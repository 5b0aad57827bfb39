-- Enter one provider call into the ledger before it is sent: check the fence, the switch, the
-- deadline and the caps, reserve the upper bound. One verdict comes back; only `ok` may send.
--   fenced       the job is no longer this worker's
--   cancelled    its user asked for that, or the account was closed
--   deadline     its time is up
--   paused       the kill switch of the feature, or of everything, is on
--   budget_spent <scope>   that cap is used up, for the day or the month: `user` (charges of the user
--                          in this feature), `user_spend` (their own spend there), `account` (their own
--                          spend in all features), `feature`, `global` or `month`
--   budget_held <scope>    only what others have reserved is in the way
--   user_busy    as many calls of this user and feature are under way as may be at once
-- `p_caps`: micro-dollars of each scope, and the calls `in_flight`.
CREATE OR REPLACE FUNCTION aif_begin_attempt(
    p_job uuid, p_epoch integer, p_attempt uuid, p_purpose text, p_provider text, p_model text,
    p_prompt_version text, p_prompt_hash text, p_request jsonb, p_bound bigint, p_caps jsonb)
RETURNS text
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    j aifeature_job%ROWTYPE;
    today date := (statement_timestamp() AT TIME ZONE 'UTC')::date;
BEGIN
    UPDATE aifeature_job t SET attempts = t.attempts + 1
     WHERE t.id = p_job AND t.epoch = p_epoch AND t.status = 'running'
       AND t.cancel_requested_at IS NULL AND t.deadline_at > statement_timestamp()
       AND NOT aif_paused(t.feature, t.user_id)
       AND NOT aif_is_closed(t.user_id)
    RETURNING t.* INTO j;
    IF NOT FOUND THEN
        -- A closed account pays for nothing any more, however late its job was claimed.
        UPDATE aifeature_job t
           SET cancel_requested_at = statement_timestamp(), cancelled_by = 'account',
               error_message = aif_closed_sentence()
         WHERE t.id = p_job AND t.epoch = p_epoch AND t.status = 'running'
           AND t.cancel_requested_at IS NULL AND aif_is_closed(t.user_id);
        RETURN coalesce(
            (SELECT CASE WHEN t.cancel_requested_at IS NOT NULL THEN 'cancelled'
                         WHEN t.deadline_at <= statement_timestamp() THEN 'deadline'
                         ELSE 'paused' END
               FROM aifeature_job t
              WHERE t.id = p_job AND t.epoch = p_epoch AND t.status = 'running'),
            'fenced');
    END IF;

    BEGIN
        PERFORM aif_hold_of_user(j.feature, j.user_id, today, p_bound, (p_caps->>'user')::bigint,
                                 (p_caps->>'user_spend')::bigint, (p_caps->>'account')::bigint);
        -- Under the lock of the user's window, so that two calls cannot both be the last.
        IF (SELECT count(*) FROM aifeature_attempt a
             WHERE a.state = 'started' AND a.feature = j.feature AND a.user_id = j.user_id)
           >= (p_caps->>'in_flight')::bigint THEN
            RAISE EXCEPTION 'user_busy' USING ERRCODE = 'AIF03';
        END IF;
        PERFORM aif_hold('feature', j.feature, today, p_bound, (p_caps->>'feature')::bigint);
        PERFORM aif_hold('global', '', today, p_bound, (p_caps->>'global')::bigint);
        PERFORM aif_check_month(today, p_bound, (p_caps->>'month')::bigint);
        -- Looked at once more: the row above may have been waited for while a switch was pulled.
        IF aif_paused(j.feature, j.user_id) THEN
            RAISE EXCEPTION 'paused' USING ERRCODE = 'AIF03';
        END IF;
    EXCEPTION
        WHEN SQLSTATE 'AIF01' OR SQLSTATE 'AIF02' OR SQLSTATE 'AIF03' THEN
            UPDATE aifeature_job t SET attempts = t.attempts - 1 WHERE t.id = p_job;
            RETURN CASE SQLSTATE WHEN 'AIF01' THEN 'budget_spent ' WHEN 'AIF02' THEN 'budget_held '
                                 ELSE '' END || SQLERRM;
    END;

    INSERT INTO aifeature_attempt (
        id, job_id, user_id, feature, epoch, number, purpose, provider, model,
        prompt_version, prompt_hash, request, bound_micro, day)
    VALUES (
        p_attempt, p_job, j.user_id, j.feature, p_epoch, j.attempts, p_purpose, p_provider,
        p_model, p_prompt_version, p_prompt_hash, p_request, p_bound, today);
    RETURN 'ok';
END
$$;
