-- Provider calls that belong to no job (an eval, a judge, a proof of concept). They use the same
-- ledger and the same caps, except the user's.

-- Write a call to the ledger before it is sent. Returns `ok`, `paused`, `budget_spent <scope>` or
-- `budget_held <scope>`.
CREATE OR REPLACE FUNCTION aif_begin_call(
    p_feature text, p_attempt uuid, p_purpose text, p_provider text, p_model text,
    p_prompt_version text, p_prompt_hash text, p_request jsonb, p_bound bigint, p_caps jsonb)
RETURNS text
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    today date := (statement_timestamp() AT TIME ZONE 'UTC')::date;
BEGIN
    BEGIN
        PERFORM aif_hold('feature', p_feature, today, p_bound, (p_caps->>'feature')::bigint);
        PERFORM aif_hold('global', '', today, p_bound, (p_caps->>'global')::bigint);
        PERFORM aif_check_month(today, p_bound, (p_caps->>'month')::bigint);
        IF EXISTS (SELECT 1 FROM aifeature_featurecontrol c
                    WHERE c.feature IN (p_feature, '_everything') AND c.killed) THEN
            RAISE EXCEPTION 'paused' USING ERRCODE = 'AIF03';
        END IF;
    EXCEPTION
        WHEN SQLSTATE 'AIF01' OR SQLSTATE 'AIF02' OR SQLSTATE 'AIF03' THEN
            RETURN CASE SQLSTATE WHEN 'AIF01' THEN 'budget_spent ' WHEN 'AIF02' THEN 'budget_held '
                                 ELSE '' END || SQLERRM;
    END;
    INSERT INTO aifeature_attempt (
        id, feature, epoch, number, purpose, provider, model, prompt_version, prompt_hash, request,
        bound_micro, day)
    VALUES (
        p_attempt, p_feature, 0, 1, p_purpose, p_provider, p_model, p_prompt_version,
        p_prompt_hash, p_request, p_bound, today);
    RETURN 'ok';
END
$$;

-- Close a call. Returns false if it was already closed as lost.
CREATE OR REPLACE FUNCTION aif_settle_call(p_attempt uuid, p_settlement jsonb)
RETURNS boolean
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
BEGIN
    RETURN aif_settle_attempt(p_attempt, p_settlement, false);
END
$$;

-- Return those of these calls that a kill switch stops. Used by processes of an earlier release.
CREATE OR REPLACE FUNCTION aif_stopped_calls(p_attempts uuid[])
RETURNS SETOF uuid
LANGUAGE sql STABLE
SET lock_timeout = '100ms'
AS $$
    SELECT a.id FROM aifeature_attempt a
     WHERE a.id = ANY (p_attempts) AND EXISTS (
        SELECT 1 FROM aifeature_featurecontrol c
         WHERE c.feature IN (a.feature, '_everything') AND c.killed);
$$;

-- Close a call of no job whose process has died: it is older than any call can be. For a probe that is
-- a minute: it takes ten seconds at most, and its end is stored within a lease. Closes one call at a
-- time, because each one changes spend windows.
CREATE OR REPLACE FUNCTION aif_close_lost_call(p_older_s double precision)
RETURNS SETOF uuid
LANGUAGE plpgsql
SET lock_timeout = '500ms'
AS $$
DECLARE
    lost uuid;
BEGIN
    SELECT a.id INTO lost FROM aifeature_attempt a
     WHERE a.state = 'started' AND a.job_id IS NULL
       AND a.started_at < statement_timestamp() - make_interval(
               secs => CASE a.purpose WHEN 'probe' THEN least(p_older_s, 60) ELSE p_older_s END)
     LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF FOUND THEN
        PERFORM aif_settle_attempt(
            lost, jsonb_build_object('state', 'unknown', 'error_code', 'lease_lost'), false);
        RETURN NEXT lost;
    END IF;
END
$$;
