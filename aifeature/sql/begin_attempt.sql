-- Write one provider call to the ledger before it is sent: check the epoch, the switch, the deadline
-- and the caps, and reserve the bound. Returns one verdict; the call may be sent only on `ok`.
--   fenced       this worker no longer owns the job
--   cancelled    a cancellation was requested, or the account was closed
--   deadline     the deadline has passed
--   paused       the kill switch of the feature, or of everything, is pulled
--   budget_spent <scope>   that cap is used up, for the day or the month: `user` (charges of the user
--                          in this feature), `user_spend` (their own spend there), `account` (their own
--                          spend in all features), `feature`, `global` or `month`
--   budget_held <scope>    the cap would have room without the reservations of other calls
--   user_busy    the limit of concurrent calls of this user and feature is reached
-- A call of an evaluation has no user, and the budget of evaluations pays instead of the feature's:
-- `feature` in `p_caps` is its cap. A shadow has a budget of its own too, and its row is its cap,
-- instead of the one in `p_caps` (`aif_caps_of_shadow`).
-- `p_caps`: micro-dollars by scope, the most concurrent calls as `in_flight`, and `reason`, why this
-- model is called.
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
    of_user boolean;
BEGIN
    UPDATE aifeature_job t SET attempts = t.attempts + 1
     WHERE t.id = p_job AND t.epoch = p_epoch AND t.status = 'running'
       AND t.cancel_requested_at IS NULL AND t.deadline_at > statement_timestamp()
       AND NOT aif_paused(t.feature, t.user_id)
       AND NOT (t.origin = 'shadow' AND aif_shadow_paused(t.options, t.user_id))
       AND NOT aif_is_closed(t.user_id)
    RETURNING t.* INTO j;
    IF NOT FOUND THEN
        -- No call is made for a closed account, however late its job was claimed.
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

    of_user := j.origin = 'user';
    IF j.origin = 'shadow' THEN
        p_caps := aif_caps_of_shadow(j.options, p_caps);
    END IF;
    BEGIN
        IF of_user THEN
            PERFORM aif_hold_of_user(
                j.feature, j.user_id, today, p_bound, (p_caps->>'user')::bigint,
                (p_caps->>'user_spend')::bigint, (p_caps->>'account')::bigint);
            -- Counted under the lock of the user's window, so that two calls cannot both be the last.
            -- A moderation call does not count: the call whose answer it reads does.
            IF (SELECT count(*) FROM aifeature_attempt a
                 WHERE a.state = 'started' AND a.feature = j.feature AND a.user_id = j.user_id
                   AND a.purpose <> 'moderation')
               >= (p_caps->>'in_flight')::bigint THEN
                RAISE EXCEPTION 'user_busy' USING ERRCODE = 'AIF03';
            END IF;
        END IF;
        PERFORM aif_hold('feature', aif_payer_of(j.feature, j.origin, j.options), today, p_bound,
                         (p_caps->>'feature')::bigint);
        PERFORM aif_hold('global', '', today, p_bound, (p_caps->>'global')::bigint);
        PERFORM aif_check_month(today, p_bound, (p_caps->>'month')::bigint);
        -- Checked again: a switch may have been pulled during the wait for the row above.
        IF aif_paused(j.feature, j.user_id)
           OR j.origin = 'shadow' AND aif_shadow_paused(j.options, j.user_id) THEN
            RAISE EXCEPTION 'paused' USING ERRCODE = 'AIF03';
        END IF;
    EXCEPTION
        WHEN SQLSTATE 'AIF01' OR SQLSTATE 'AIF02' OR SQLSTATE 'AIF03' THEN
            UPDATE aifeature_job t SET attempts = t.attempts - 1 WHERE t.id = p_job;
            RETURN CASE SQLSTATE WHEN 'AIF01' THEN 'budget_spent ' WHEN 'AIF02' THEN 'budget_held '
                                 ELSE '' END || SQLERRM;
    END;

    INSERT INTO aifeature_attempt (
        id, job_id, user_id, feature, budget, epoch, number, purpose, provider, model, reason,
        prompt_version, prompt_hash, request, bound_micro, day)
    VALUES (
        p_attempt, p_job, CASE WHEN of_user THEN j.user_id END, j.feature,
        CASE WHEN of_user THEN '' ELSE aif_payer_of(j.feature, j.origin, j.options) END, p_epoch,
        j.attempts, p_purpose, p_provider, p_model, coalesce(p_caps->>'reason', ''), p_prompt_version, p_prompt_hash, p_request, p_bound,
        today);
    RETURN 'ok';
END
$$;
