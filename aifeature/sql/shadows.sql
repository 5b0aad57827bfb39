-- Jobs of shadows: their caps, their stop, and the erasure and retention of their copies of a request.
-- `options.shadow` of such a job is the id of its shadow.

-- Return the caps of a call of a shadow. The day's budget is in its row; an ended shadow has none. It
-- stops at 80 % of the global caps, so that it never takes the last room from users.
CREATE OR REPLACE FUNCTION aif_caps_of_shadow(p_options jsonb, p_caps jsonb)
RETURNS jsonb
LANGUAGE sql STABLE AS $$
    SELECT p_caps || jsonb_build_object(
        'feature', coalesce((
            SELECT floor(s.daily_budget_usd * 1000000)::bigint FROM aifeature_shadow s
             WHERE s.id = (p_options->>'shadow')::bigint AND s.state = 'running'), 0),
        'global', (p_caps->>'global')::bigint * 8 / 10,
        'month', (p_caps->>'month')::bigint * 8 / 10);
$$;

-- Return whether a kill switch stops the feature of this shadow. Its judge's jobs are of another feature.
CREATE OR REPLACE FUNCTION aif_shadow_paused(p_options jsonb, p_user @user_key@)
RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT 1 FROM aifeature_shadow s
                    WHERE s.id = (p_options->>'shadow')::bigint AND aif_paused(s.feature, p_user));
$$;

-- End the queued jobs of a shadow that ended, and request the cancellation of the running ones. Returns
-- their number.
CREATE OR REPLACE FUNCTION aif_cancel_shadow(p_shadow bigint, p_message text)
RETURNS integer
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    done integer;
BEGIN
    -- The condition of the index `job_open_others`.
    UPDATE aifeature_job t
       SET cancel_requested_at = statement_timestamp(),
           cancelled_by = 'staff',
           status = CASE t.status WHEN 'running' THEN t.status ELSE 'cancelled' END,
           error_code = CASE t.status WHEN 'running' THEN t.error_code ELSE 'cancelled' END,
           error_message = p_message,
           finished_at = CASE t.status WHEN 'running' THEN NULL ELSE statement_timestamp() END
     WHERE t.status IN ('queued', 'running') AND t.origin <> 'user' AND t.origin = 'shadow'
       AND t.cancel_requested_at IS NULL AND t.options->>'shadow' = p_shadow::text;
    GET DIAGNOSTICS done = ROW_COUNT;
    RETURN done;
END
$$;

-- Return the jobs with copies of these jobs' requests: the candidate's, and the judge's two.
CREATE OR REPLACE FUNCTION aif_shadows_of(p_jobs uuid[])
RETURNS SETOF uuid
LANGUAGE sql STABLE AS $$
    SELECT copy FROM aifeature_shadowpair p,
           unnest(ARRAY[p.shadow_job_id, p.judge_job_id, p.second_judge_job_id]) AS copy
     WHERE p.job_id = ANY (p_jobs) AND copy IS NOT NULL;
$$;

-- Blank up to `p_limit` ended copies of the requests of a person, of any age, with their calls. Returns
-- their number.
CREATE OR REPLACE FUNCTION aif_erase_shadows(p_user @user_key@, p_limit integer)
RETURNS integer
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    chosen uuid[];
BEGIN
    SELECT array_agg(found.id) INTO chosen FROM (
        SELECT c.id FROM aifeature_job c
         WHERE c.id IN (SELECT aif_shadows_of(ARRAY(
                   SELECT p.job_id FROM aifeature_shadowpair p JOIN aifeature_job j ON j.id = p.job_id
                    WHERE j.user_id = p_user)))
           AND c.finished_at IS NOT NULL AND c.content_blanked_at IS NULL
         LIMIT p_limit FOR UPDATE) found;
    PERFORM aif_blank_copies(chosen);
    RETURN coalesce(cardinality(chosen), 0);
END
$$;

-- Blank up to `p_limit` ended copies whose request was blanked already. Returns their number. Locked rows
-- are left to the next call.
CREATE OR REPLACE FUNCTION aif_blank_shadows(p_limit integer)
RETURNS integer
LANGUAGE plpgsql
SET lock_timeout = '2s'
AS $$
DECLARE
    pairs bigint[];
    chosen uuid[];
BEGIN
    -- The condition of the index `shadow_pair_with_content`.
    SELECT array_agg(found.id) INTO pairs FROM (
        SELECT p.id FROM aifeature_shadowpair p JOIN aifeature_job j ON j.id = p.job_id
         WHERE NOT p.is_blanked AND j.content_blanked_at IS NOT NULL
           AND NOT EXISTS (
               SELECT 1 FROM aifeature_job c
                WHERE c.id IN (p.shadow_job_id, p.judge_job_id, p.second_judge_job_id)
                  AND c.finished_at IS NULL)
         LIMIT p_limit FOR UPDATE OF p SKIP LOCKED) found;
    SELECT array_agg(c.id) INTO chosen FROM aifeature_job c
     WHERE c.finished_at IS NOT NULL AND c.content_blanked_at IS NULL
       AND c.id IN (SELECT copy FROM aifeature_shadowpair p,
                           unnest(ARRAY[p.shadow_job_id, p.judge_job_id, p.second_judge_job_id])
                           AS copy WHERE p.id = ANY (pairs));
    PERFORM aif_blank_copies(chosen);
    UPDATE aifeature_shadowpair p SET is_blanked = true WHERE p.id = ANY (pairs);
    RETURN coalesce(cardinality(pairs), 0);
END
$$;

-- Blank these jobs and their calls.
CREATE OR REPLACE FUNCTION aif_blank_copies(p_jobs uuid[])
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE aifeature_job
       SET input = NULL, result = NULL, partial_text = '', approval_reason = '',
           content_blanked_at = statement_timestamp()
     WHERE id = ANY (p_jobs);
    PERFORM aif_blank_calls(p_jobs);
END
$$;
